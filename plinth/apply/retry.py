"""What an error is about: locks that come later, rows, or a cancelled statement; and the next attempt."""

import random
import time
from datetime import timedelta

from plinth.server_errors import sqlstate

LOCK_NOT_AVAILABLE = "55P03"
DEADLOCK_DETECTED = "40P01"
SERIALIZATION_FAILURE = "40001"  # also of a row that was waited for, and has moved to another partition
# A table, column, object, schema or function of that name; a database's is none of a revision's.
THERE_ALREADY = {"42P07", "42701", "42710", "42P06", "42723"}
QUERY_CANCELED = "57014"
INVALID_STATEMENT_NAME = "26000"
ABOUT_ROWS = ("22", "23")  # classes: data exceptions, violated constraints

FIRST_PAUSE = 0.1  # seconds
LONGEST_PAUSE = 2.0  # seconds


def passes(error: BaseException) -> bool:
    """Whether an error is about locks that others hold, or rows that they write, at the moment."""
    return sqlstate(error) in {LOCK_NOT_AVAILABLE, DEADLOCK_DETECTED, SERIALIZATION_FAILURE}


def passing(error: BaseException) -> str:
    """Return what an error that passes is about, as a sentence goes on."""
    if sqlstate(error) == SERIALIZATION_FAILURE:
        return "somebody else's writing came in between"
    return "a lock didn't come"


def is_about_rows(error: BaseException) -> bool:
    """Whether an error says that rows don't bear what a revision does to them."""
    return (sqlstate(error) or "").startswith(ABOUT_ROWS)


def is_there_already(error: BaseException) -> bool:
    """Whether an error says that what a revision makes exists."""
    return sqlstate(error) in THERE_ALREADY


def is_cancelled(error: BaseException) -> bool:
    """Whether a statement was cancelled, by its timeout or by somebody."""
    return sqlstate(error) == QUERY_CANCELED


def is_unprepared(error: BaseException) -> bool:
    """Whether a statement was prepared, and the session has forgotten that."""
    return sqlstate(error) == INVALID_STATEMENT_NAME


class Backoff:
    """Pauses that grow, with jitter, until the time is up.

    Args:
        limit: from the first failure on.
    """

    def __init__(self, limit: timedelta) -> None:
        self._limit = limit.total_seconds()
        self._longest = FIRST_PAUSE
        self._began: float | None = None

    def start_again(self) -> None:
        """Forget what was: another revision has its own time."""
        self._began, self._longest = None, FIRST_PAUSE

    def next_pause(self) -> float | None:
        """Return the next pause in seconds; None when the time is up."""
        now = time.monotonic()
        if self._began is None:
            self._began = now
        if now - self._began >= self._limit:
            return None
        pause = self._longest * random.uniform(0.5, 1)  # noqa: S311 - no secret
        self._longest = min(2 * self._longest, LONGEST_PAUSE)
        return pause
