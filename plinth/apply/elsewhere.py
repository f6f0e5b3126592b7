"""Other connections of the engine that migrates, which a revision takes: they wait no longer than it does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy.pool import ConnectionPoolEntry

_BEFORE = "plinth_lock_timeout"
_SET = "select current_setting('lock_timeout'), set_config('lock_timeout', %s, false)"


class Elsewhere:
    """Bounds the waiting of other connections.

    Args:
        lock_timeout: how long they wait for a lock; 0 is for ever.
        are_the_revisions: whether it is a revision that takes one now.
    """

    def __init__(self, lock_timeout: timedelta, are_the_revisions: Callable[[], bool]) -> None:
        self._milliseconds = str(round(lock_timeout.total_seconds() * 1000))
        self._are_the_revisions = are_the_revisions

    def bound(self, session: "psycopg.Connection[Any]", entry: ConnectionPoolEntry, _: object) -> None:
        """Bound one that a revision takes."""
        if self._are_the_revisions():
            entry.info[_BEFORE] = _set(session, self._milliseconds)

    def put_back(self, session: "psycopg.Connection[Any] | None", entry: ConnectionPoolEntry) -> None:
        """Let one that goes back to its pool wait as it did."""
        before = entry.info.pop(_BEFORE, None)
        if before is not None and session and not session.closed:
            _set(session, before)


@contextmanager
def unbounded(session: "psycopg.Connection[Any]") -> Iterator[None]:
    """Let one that is in autocommit wait as long as it takes, as long as the block runs."""
    before = _set(session, "0") if session.autocommit else None
    try:
        yield
    finally:
        if before is not None and not session.closed:
            _set(session, before)


def _set(session: "psycopg.Connection[Any]", value: str) -> str:
    row = session.execute(_SET, [value]).fetchone()
    if session.info.transaction_status != TransactionStatus.IDLE:
        session.commit()
    return str(row[0]) if row else ""
