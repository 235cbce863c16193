"""The tables, as SQLAlchemy's typed ORM sees them, and making and upgrading them with Alembic.

`migrations/` makes what stands here; a test holds the two together. It costs 400 ms, and no other command imports it.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.command import upgrade as alembic_upgrade
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import CheckConstraint, Computed, ForeignKey, Index, MetaData, String, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool
from sqlalchemy.types import JSON

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


#: The number of a row that is gone is not given to another.
_NEVER_AGAIN = {"sqlite_autoincrement": True}


class Row(DeclarativeBase):
    """Base of all tables: constraints get names, so that migrations can speak of them."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012 - SQLAlchemy's own protocol


_SHELF = (
    "kind || char(31) || coalesce(family, '') || char(31) || coalesce(format, '') || char(31) || in_store "
    "|| char(31) || coalesce(base_model, '')"
)


class AssetRow(Row):
    """One asset, as it counts: what was identified, with what a person overrode on top."""

    __tablename__ = "assets"
    __table_args__ = (
        CheckConstraint("size >= 0", name="size"),
        CheckConstraint("name <> ''", name="name"),
        # the largest, and the last used, come first
        *(Index(None, *shelf, *order) for order in (("size", "name"), ("used", "name")) for shelf in ((), ("shelf",))),
        Index(None, "shelf", "name"),
        Index(None, "shelf", "added_at"),
        Index("ix_assets_stored", "path", sqlite_where=text("in_store")),
        _NEVER_AGAIN,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(collation="NOCASE"), unique=True)
    kind: Mapped[str]
    family: Mapped[str | None]
    base_model: Mapped[str | None]
    variant: Mapped[str | None]
    prediction: Mapped[str | None]
    format: Mapped[str | None]
    layout: Mapped[str | None]
    path: Mapped[str] = mapped_column(unique=True)
    size: Mapped[int]
    sha256: Mapped[str | None] = mapped_column(index=True)
    in_store: Mapped[bool]
    default_weight: Mapped[float | None]
    notes: Mapped[str | None]
    added_at: Mapped[str] = mapped_column(index=True)
    updated_at: Mapped[str]
    alias: Mapped[str | None]
    used: Mapped[int] = mapped_column(server_default=text("0"))
    shelf: Mapped[str | None] = mapped_column(Computed(_SHELF, persisted=False))


class FileRow(Row):
    """One file of an asset, or one more place where its bytes lie."""

    __tablename__ = "files"
    __table_args__ = (
        CheckConstraint("role IN ('main', 'part', 'copy')", name="role"),
        CheckConstraint("size >= 0", name="size"),
        _NEVER_AGAIN,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    asset_id: Mapped[int] = mapped_column(ForeignKey("assets.id", ondelete="CASCADE"), index=True)
    path: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    size: Mapped[int]
    mtime_ns: Mapped[int]
    sha256: Mapped[str | None] = mapped_column(index=True)
    autov3: Mapped[str | None] = mapped_column(index=True)
    blake3: Mapped[str | None] = mapped_column(index=True)


class TriggerWordRow(Row):
    """A word that wakes an asset, in the order of importance."""

    __tablename__ = "trigger_words"

    asset_id: Mapped[int] = mapped_column(ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    word: Mapped[str]


class TagRow(Row):
    """A person's own label."""

    __tablename__ = "tags"
    __table_args__ = (Index(None, "tag"),)

    asset_id: Mapped[int] = mapped_column(ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(collation="NOCASE"), primary_key=True)


class OriginRow(Row):
    """Where an asset came from."""

    __tablename__ = "origins"

    asset_id: Mapped[int] = mapped_column(ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True)
    source: Mapped[str]
    reference: Mapped[str]
    revision: Mapped[str | None]
    url: Mapped[str | None]
    fetched_at: Mapped[str | None]
    facts: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class IdentificationRow(Row):
    """What the file itself says, with the evidence; a person's word is kept apart from it."""

    __tablename__ = "identifications"

    asset_id: Mapped[int] = mapped_column(ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True)
    confidence: Mapped[str]
    result: Mapped[dict[str, Any]]
    evidence: Mapped[list[Any]]
    identified_at: Mapped[str]


class OverrideRow(Row):
    """What a person set by hand; it outranks the file and survives identification."""

    __tablename__ = "overrides"

    asset_id: Mapped[int] = mapped_column(ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True)
    field: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    set_at: Mapped[str]


class GenerationRow(Row):
    """One picture that was made."""

    __tablename__ = "generations"
    __table_args__ = (
        Index(None, "job", "image_path", unique=True, sqlite_where=text("job IS NOT NULL")),
        _NEVER_AGAIN,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[str] = mapped_column(index=True)
    prompt: Mapped[str] = mapped_column(index=True)
    negative_prompt: Mapped[str]
    settings: Mapped[dict[str, Any]]
    seed: Mapped[int | None] = mapped_column(
        Computed("CASE WHEN json_valid(settings) THEN json_extract(settings, '$.seed') END", persisted=False),
        index=True,
    )
    image_path: Mapped[str]
    image_sha256: Mapped[str] = mapped_column(index=True)
    record: Mapped[dict[str, Any]]
    job: Mapped[str | None]


class JobRow(Row):
    """Something that waits for the worker, is done by it, or was."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("status IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="status"),
        Index(None, "status", "priority", "id"),
        _NEVER_AGAIN,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    status: Mapped[str]
    priority: Mapped[int]
    request: Mapped[dict[str, Any]]
    pictures: Mapped[list[Any]]
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    attempts: Mapped[int]
    created_at: Mapped[str]
    started_at: Mapped[str | None]
    finished_at: Mapped[str | None]


class GenerationAssetRow(Row):
    """An asset's part in a picture; it stays when the asset goes."""

    __tablename__ = "generation_assets"

    generation_id: Mapped[int] = mapped_column(ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    asset_id: Mapped[int | None] = mapped_column(ForeignKey("assets.id", ondelete="SET NULL"), index=True)
    role: Mapped[str]
    name: Mapped[str]
    sha256: Mapped[str | None]
    weight: Mapped[float | None]


def make_engine(connect: Callable[[], sqlite3.Connection]) -> Engine:
    """An engine whose transactions take the write lock at once, so that two writers queue instead of failing."""
    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


#: What a failing migration raises.
FAILURES = (SQLAlchemyError, sqlite3.Error, CommandError)


def revisions(migrations: Path | None) -> set[str]:
    """All schemas that the scripts in `migrations` know, by default our own."""
    return {script.revision for script in ScriptDirectory.from_config(_config(migrations)).walk_revisions()}


def upgrade(connect: Callable[[], sqlite3.Connection], migrations: Path | None) -> None:
    """Bring the catalog to the newest schema, in one transaction."""
    engine = make_engine(connect)
    try:
        with engine.connect() as connection:
            config = _config(migrations)
            config.attributes["connection"] = connection
            with connection.begin():
                alembic_upgrade(config, "head")
    finally:
        engine.dispose()


def migrations_folder() -> Path:
    """Alembic's scripts: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def _config(migrations: Path | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations or migrations_folder()).replace("%", "%%"))
    return config
