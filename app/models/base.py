"""What all models share."""

from datetime import UTC, datetime

from sqlalchemy import DateTime, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.naming import NAMING_CONVENTION


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
