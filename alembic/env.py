"""Alembic's environment: where the application's models meet the database."""

from sqlalchemy import MetaData

from app.naming import NAMING_CONVENTION
from plinth.env import run


def metadata() -> MetaData:
    """Return the models' metadata; to run revisions, their way of naming is enough, and starts faster."""
    from app.models import Base

    return Base.metadata


run(metadata, naming_convention=NAMING_CONVENTION)
