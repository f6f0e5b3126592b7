"""All models. Alembic sees those that are imported here."""

from app.models.authentication import Authentication
from app.models.base import Base
from app.models.user import User

__all__ = ["Authentication", "Base", "User"]
