"""All models. Alembic sees those that are imported here."""

from app.models.base import Base

__all__ = ["Base"]
