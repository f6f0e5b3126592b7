"""The engine and sessions; nothing is built, and nothing connects, at import."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker

from app.settings import database_url


@cache
def engine() -> Engine:
    """Return the process's engine."""
    # Prepared on the server, a statement fails once when a migration gives a column that it returns another
    # type, and behind a pooler it may meet a session that doesn't know it.
    return create_engine(database_url(), pool_pre_ping=True, connect_args={"prepare_threshold": None})


@contextmanager
def session() -> Iterator[Session]:
    """Yield a session in a transaction: committed at the end, rolled back on an error."""
    with sessionmaker(engine()).begin() as opened:
        yield opened
