"""Locks that didn't come, also where a revision goes on as if nothing had happened.

Without our bound the statement would have waited. What passes over its failure (`except`, EXCEPTION WHEN
OTHERS), because a thing may not be there, would have it counted as done.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Connection
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DBAPIError

from plinth.apply.points import reads
from plinth.apply.retry import passes
from plinth.listening import listening
from plinth.sql_text import lexed, plain

_BOUNDS = {"lock_timeout", "statement_timeout"}


class Waits:
    """What became of the waiting of one connection's statements.

    Args:
        connection: the migrations'.
        are_ours: whether the statements that run now are none of a revision's.
    """

    def __init__(self, connection: Connection, are_ours: Callable[[], bool]) -> None:
        self._connection = connection
        self._are_ours = are_ours
        self._missed: DBAPIError | None = None
        self.are_own = False  # the bounds: the revision has set some
        self.were_seen: Callable[[float], bool] = lambda _: False  # long ones, since a moment

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch as long as the block runs."""
        connection = self._connection
        with listening(
            (connection.engine, "handle_error", self._see),
            (connection, "before_cursor_execute", self._before),
        ):
            yield

    def begin(self) -> None:
        """Forget what was: another revision begins."""
        self._missed, self.are_own = None, False

    def refuse_missed(self) -> None:
        """Return if all locks came.

        Raises:
            DBAPIError: one didn't.
        """
        if self._missed:
            raise self._missed

    def run(self, statement: str, run: Callable[[], object]) -> None:
        """Run a statement.

        Raises:
            psycopg.Error: its own; or it passes over errors, and a lock may not have come, by its waiting.
        """
        began = time.monotonic()
        run()
        if self.swallows(statement) and self.were_seen(began):
            raise psycopg.errors.LockNotAvailable(
                "a lock didn't come in time, which EXCEPTION WHEN OTHERS passes over"
            )

    def swallows(self, statement: str) -> bool:
        """Whether a statement goes on after errors, and has our bounds."""
        return not self.are_own and any(
            each.block.has("{when | or} others then") for each in lexed(statement).statements if each.block
        )

    def has_ours(self, statement: str) -> bool:
        """Whether it is our bounds that a statement waits by."""
        return not self.are_own and not any(each.has("nowait") for each in lexed(statement).executed)

    def _see(self, context: ExceptionContext) -> None:
        error = context.sqlalchemy_exception
        if context.connection is self._connection and isinstance(error, DBAPIError) and passes(error):
            self._missed = self._missed or (error if self.has_ours(context.statement or "") else None)

    def _before(self, _conn: object, _cursor: object, statement: str, *_: object) -> None:
        if self._are_ours():
            return
        if _sets_bounds(statement):
            self.are_own = True
        if not reads(statement):  # a transaction, or a savepoint, may end
            self.refuse_missed()


def _sets_bounds(statement: str) -> bool:
    if "_timeout" not in statement.lower() and " all" not in statement.lower():
        return False
    for each in lexed(statement).executed:
        own = [each.begins("{set | reset} [session | local] <name>"), *each.find("set_config ( <name>")]
        if each.begins("{reset | discard} all") or any(
            found and plain(found["name"].removeprefix("'")) in _BOUNDS for found in own
        ):
            return True
    return False
