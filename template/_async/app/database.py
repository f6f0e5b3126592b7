"""The engine and sessions; nothing is built, and nothing connects, at import."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from app.settings import database_url


@cache
def engine() -> AsyncEngine:
    """Return the process's engine."""
    # Prepared on the server, a statement fails once when a migration gives a column that it returns another
    # type, and behind a pooler it may meet a session that doesn't know it.
    return create_async_engine(database_url(), pool_pre_ping=True, connect_args={"prepare_threshold": None})


@asynccontextmanager
async def session() -> AsyncIterator[AsyncSession]:
    """Yield a session in a transaction: committed at the end, rolled back on an error."""
    # What was read stays readable after a commit: to read it again behind an attribute's back would block.
    async with async_sessionmaker(engine(), expire_on_commit=False).begin() as opened:
        yield opened
