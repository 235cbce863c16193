"""Alembic's environment. The catalog hands over its own connection; there is no configuration file."""

from alembic import context

from assetctl.catalog.models import Row

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Row.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
