from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import DateTime, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.base import Base, Timestamps

if TYPE_CHECKING:
    from app.models.authentication import Authentication


class User(Timestamps, Base):
    """A person who uses the service."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True, sort_order=-3)
    deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    first_name: Mapped[str | None] = mapped_column(String(255))
    last_name: Mapped[str | None] = mapped_column(String(255))
    email: Mapped[str | None] = mapped_column(String(255))

    # The database deletes them (ON DELETE CASCADE); passive_deletes lets it.
    authentications: Mapped[list["Authentication"]] = relationship(
        back_populates="user", cascade="all, delete-orphan", passive_deletes=True
    )
