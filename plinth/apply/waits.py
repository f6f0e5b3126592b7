"""Locks that didn't come, also where a revision goes on as if nothing had happened.

Without our bound the statement would have waited. What passes over its failure (`except`, EXCEPTION WHEN
OTHERS), because a thing may not be there, would have it counted as done.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection
from sqlalchemy.engine.interfaces import ExceptionContext

from plinth.apply.lock import LockError
from plinth.apply.points import driver_session, reads
from plinth.apply.watch import Watcher
from plinth.listening import listening
from plinth.sql_text import lexed, plain

_BOUNDS = ("lock_timeout", "statement_timeout")
_ASK = """
    select name from pg_settings
    where name = any(%(names)s) and setting <> (%(ours)s::text[])[array_position(%(names)s, name)]
    """


class LockTimeout(psycopg.errors.LockNotAvailable):
    """A statement waited for a lock for too long, and was ended."""

    def __init__(self) -> None:
        super().__init__("canceling statement due to lock timeout")


def is_by_our_bounds(error: BaseException) -> bool:
    """Whether a statement failed for want of locks, and not by what the revision itself says of waiting."""
    return isinstance(error, LockTimeout | psycopg.errors.DeadlockDetected)


class Waits:
    """What became of the waiting of one connection's statements.

    Args:
        connection: the migrations'.
        bounds: returns ours as they are set now, for locks and statements, in milliseconds.
        are_ours: whether the statements that run now are none of a revision's.
    """

    def __init__(
        self, connection: Connection, bounds: Callable[[], Sequence[str]], are_ours: Callable[[], bool]
    ) -> None:
        self._connection = connection
        self._bounds = bounds
        self._are_ours = are_ours
        self._missed: psycopg.Error | None = None
        self._by = ("", "")  # the statement and its values
        self._own: set[str] = set()  # the bounds that the revision has set
        self._may_be_own = False
        self.watcher: Watcher | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch as long as the block runs."""
        connection = self._connection
        with listening(
            (connection.engine, "handle_error", self._see),
            (connection, "before_cursor_execute", self._before),
            (connection, "after_cursor_execute", self._after),
        ):
            yield

    def begin(self) -> None:
        """Forget what was: another revision begins, with bounds of ours."""
        self._missed, self._own, self._may_be_own = None, set(), False
        if self.watcher:
            self.watcher.forget()

    @property
    def are_bounded(self) -> bool:
        """Whether a lock has to come within our time: the revision has set none."""
        return "lock_timeout" not in self._own

    def refuse_missed(self) -> None:
        """Return if all locks came.

        Raises:
            psycopg.Error: one didn't.
            LockError: nobody knows whether they did.
        """
        if self._missed is None and self.watcher and self.watcher.has_ended_a_wait():
            self._missed, self._by = LockTimeout(), ("", "")  # nobody heard of it
        if self._missed:
            raise self._missed

    def run(self, run: Callable[[], object]) -> None:
        """Run a statement.

        Raises:
            LockTimeout: it waited too long.
            LockError: nobody knows whether it did.
            psycopg.Error: its own.
        """
        watcher, began = self.watcher, time.time()
        try:
            run()
        except psycopg.errors.QueryCanceled as error:
            if watcher and watcher.has_ended_a_wait():
                raise LockTimeout from error
            raise
        if watcher and watcher.has_ended_a_wait():
            raise LockTimeout  # passed over by EXCEPTION WHEN query_canceled
        if watcher and not watcher.has_looked_on(began):
            raise LockError(
                "A statement ran while nobody could look on (was the machine asleep?), and may have passed "
                "over a lock that didn't come in time. Run the same command again."
            )

    def missed(self, error: Exception) -> psycopg.Error | None:
        """Return what a revision fails with in the end if a lock didn't come."""
        try:
            self.refuse_missed()
        except psycopg.Error as missed:
            return missed if missed is not error else None
        return None

    def _see(self, context: ExceptionContext) -> None:
        error = context.original_exception
        if context.connection is not self._connection or not isinstance(error, psycopg.Error):
            return
        is_cancelled = (
            isinstance(error, psycopg.errors.QueryCanceled) and "statement_timeout" not in self._own
        )
        if is_cancelled and self.watcher and self.watcher.has_ended_a_wait():
            error = LockTimeout()  # of a statement of our own: a revision's says so (`run`)
        if is_cancelled or is_by_our_bounds(error):
            self._missed = self._missed or error
            if self._missed is error:
                self._by = (context.statement or "", repr(context.parameters))

    def _before(self, _conn: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if self._are_ours():
            return
        if self._may_be_own:
            self._ask()
        own = _bounds_in(statement)
        self._own |= own
        self._may_be_own |= bool(own) or "set_config" in statement.lower()
        if self._missed and not self._is_again(statement, parameters) and not reads(statement):
            self.refuse_missed()

    def _is_again(self, statement: str, parameters: object) -> bool:
        """Whether a revision tries again what failed, or comes to that."""
        return self._by == (statement, repr(parameters)) or _is_savepoint(statement)

    def _after(self, _conn: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if self._missed and self._by == (statement, repr(parameters)) and not self._are_ours():
            self._missed = None  # the revision tries by itself, and this time it came

    def _ask(self) -> None:
        """See whose the bounds are by now: what a transaction sets ends with it."""
        session = driver_session(self._connection)
        if session.info.transaction_status != TransactionStatus.INERROR:
            given = {"names": list(_BOUNDS), "ours": list(self._bounds())}
            with session.cursor() as cursor:
                self._own = {name for (name,) in cursor.execute(_ASK, given)}
            self._may_be_own = bool(self._own)


def _is_savepoint(statement: str) -> bool:
    form = "{savepoint | release | rollback [work | transaction] to}"
    return all(each.begins(form) for each in lexed(statement).statements)


def _bounds_in(statement: str) -> set[str]:
    """Return which bounds a statement sets."""
    found: set[str] = set()
    if "_timeout" not in statement.lower() and " all" not in statement.lower():
        return found
    for each in lexed(statement).executed:
        if each.begins("{reset | discard} all"):
            return {*_BOUNDS}
        own = [each.begins("{set | reset} [session | local] <name>"), *each.find("set_config ( <name>")]
        found |= {plain(of["name"].removeprefix("'")) for of in own if of}
    return found & {*_BOUNDS}
