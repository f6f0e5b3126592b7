"""What all models share."""

from datetime import UTC, datetime

from sqlalchemy import DateTime, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# Every constraint has a name, so that a migration can drop it. All columns stand in it: two constraints on
# one table that share their first column have names of their own.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def now() -> datetime:
    """Return the time with its time zone."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """The base of all models."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Timestamps:
    """When a row was made and last changed, filled by the models and not by the database."""

    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now, sort_order=-2)
    updated_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), onupdate=now, sort_order=-1)
