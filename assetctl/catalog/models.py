"""The tables, as SQLAlchemy's typed ORM sees them. `migrations/` makes them; a test holds the two together."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, MetaData, String, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import JSON

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Row(DeclarativeBase):
    """Base of all tables: constraints get names, so that migrations can speak of them."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012 - SQLAlchemy's own protocol


class AssetRow(Row):
    """One asset, as it counts: what was identified, with what a person overrode on top."""

    __tablename__ = "assets"
    __table_args__ = (
        CheckConstraint("size >= 0", name="size"),
        CheckConstraint("name <> ''", name="name"),
        # the migration gives the first columns of the indexes NOCASE, which the ORM cannot compare
        Index(None, "kind", "name"),
        Index(None, "family", "name"),
        Index(None, "base_model", "name"),
        Index(None, "family", "kind", "name", "base_model"),
        Index("ix_assets_stored", "path", sqlite_where=text("in_store")),
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
    added_at: Mapped[str]
    updated_at: Mapped[str]


class FileRow(Row):
    """One file of an asset, or one more place where its bytes lie."""

    __tablename__ = "files"
    __table_args__ = (
        CheckConstraint("role IN ('main', 'part', 'copy')", name="role"),
        CheckConstraint("size >= 0", name="size"),
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

    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[str] = mapped_column(index=True)
    prompt: Mapped[str] = mapped_column(index=True)
    negative_prompt: Mapped[str]
    steps: Mapped[int]
    cfg_scale: Mapped[float]
    sampler: Mapped[str]
    seed: Mapped[int] = mapped_column(index=True)
    width: Mapped[int]
    height: Mapped[int]
    image_path: Mapped[str]
    image_sha256: Mapped[str] = mapped_column(index=True)
    record: Mapped[dict[str, Any]]


class GenerationAssetRow(Row):
    """An asset's part in a picture; it stays when the asset goes."""

    __tablename__ = "generation_assets"
    __table_args__ = (CheckConstraint("role IN ('checkpoint', 'lora', 'embedding', 'vae')", name="role"),)

    generation_id: Mapped[int] = mapped_column(ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    asset_id: Mapped[int | None] = mapped_column(ForeignKey("assets.id", ondelete="SET NULL"), index=True)
    role: Mapped[str]
    name: Mapped[str]
    sha256: Mapped[str | None]
    weight: Mapped[float | None]
