"""Contexts of Alembic that are our own: they don't tell how they are set up, as the command has said that."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection


@contextmanager
def quietly() -> Iterator[None]:
    """Leave out what Alembic tells of its contexts and of what they run."""
    logger = logging.getLogger("alembic.runtime.migration")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def quiet_context(connection: Connection | None = None, **given: Any) -> MigrationContext:  # noqa: ANN401 - Alembic's
    """Return what `MigrationContext.configure` does."""
    with quietly():
        return MigrationContext.configure(connection, **given)
