"""A second session that looks on while a revision runs, and ends what waits too long for a lock.

A `lock_timeout` is an error that EXCEPTION WHEN OTHERS passes over, in a block or in a function; a cancel
isn't. So this session cancels, and knows that it did. The server's own timeout is longer, for a client that
stands still meanwhile.

It also tells how far a build or backfill is, and who blocks: that must be asked while the statement still
waits, for after that there is nobody to name.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg

from plinth.apply.lock import LockError
from plinth.apply.progress import (
    Display,
    LogLines,
    describe_batches,
    describe_build,
    describe_fill,
    table_of_batches,
)
from plinth.server_errors import words

log = logging.getLogger(__name__)

SHORTEST_INTERVAL = 0.005  # seconds
LONGEST_INTERVAL = 0.5  # seconds
LONG_WAIT = 2.0  # seconds after which a wait without a timeout is worth a line
LAST_RESORT = 5.0  # seconds that the server waits longer for a lock

# As who has logged in: what another role's session does isn't shown, and not cancelled either. What is set by
# the first statement of a text ends with the text.
_AS_ONESELF = "set local role none"
_WAITS = "select from pg_stat_get_activity({pid}) where wait_event_type = 'Lock'"  # it costs little
_BLOCKERS = """
    select blocker.pid, coalesce(nullif(b.application_name, ''), 'unknown program'), b.usename, b.state,
           to_char(coalesce(b.xact_start, b.backend_start), 'HH24:MI:SS'), b.query
    from pg_stat_get_activity({pid}) me
    cross join lateral (select distinct unnest(pg_blocking_pids(me.pid))) blocker (pid)
    left join pg_stat_activity b on b.pid = blocker.pid
    where me.wait_event_type = 'Lock'
    """
_CANCEL = """
    select pg_cancel_backend({pid})
    from pg_locks
    where pid = {pid} and not granted and waitstart < clock_timestamp() - interval '{timeout} seconds'
    limit 1
    """
_BUILD = """
    select phase, blocks_done, blocks_total, tuples_done, tuples_total
    from pg_stat_progress_create_index where pid = {pid}
    """
_ROWS = "select reltuples::bigint from pg_class where oid = to_regclass(%(name)s)"


@dataclass(frozen=True)
class Blocker:
    """A session that holds what a revision waits for."""

    pid: int
    application: str
    user: str | None
    state: str | None
    since: str | None
    query: str | None

    def __str__(self) -> str:
        """Return it as a message has it."""
        if self.pid == 0:
            return "a prepared transaction (see pg_prepared_xacts)"
        if self.state is None:
            return f"pid {self.pid}"
        query = " ".join((self.query or "").split())
        return (
            f"pid {self.pid} ({self.application}, user {self.user}, {self.state}, since {self.since}, "
            f"query: {query[:200]})"
        )


class Watcher:
    """Looks on from a session of its own.

    Args:
        session: its session.
        pid: the session that migrates.
        bound: returns how long the statement that runs may wait for one lock; 0 is for ever.
        batches: returns the statement that the revision repeats, and how often it ran; or what a block that
            runs has told of how far it is.
        display: where progress is shown.
    """

    def __init__(
        self,
        session: "psycopg.Connection[Any]",
        pid: int,
        bound: Callable[[], timedelta],
        batches: Callable[[], tuple[str, int] | str | None],
        display: Display | LogLines,
    ) -> None:
        self._session = session
        self._pid = pid
        self._bound = bound
        self._timeout = bound().total_seconds()
        self._interval = min(max(self._timeout / 5, SHORTEST_INTERVAL), LONGEST_INTERVAL)
        self._patience = self._timeout - self._interval  # the next look may come too late
        self._batches = batches
        self._rows: dict[str, int | None] = {}  # of the table that a statement updates
        self._display = display
        self._blockers: tuple[float, list[Blocker]] = (0.0, [])
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._waiting_since: float | None = None
        self._told = False
        self._looks = threading.Lock()
        self._ended_a_wait = False
        self._asked = 0.0  # when it was asked for that
        self._looked = 0.0  # by a clock that goes on while the machine sleeps
        self._looked_away = 0.0  # until when, for long
        self._failure: psycopg.Error | None = None

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look on as long as the block runs."""
        self._asked = self._looked = time.time()
        self._thread = threading.Thread(target=self._run, name="plinth watcher", daemon=True)
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            if self._thread:
                self._thread.join()
            self._display.close()

    def blockers(self) -> list[Blocker]:
        """Return who was seen blocking a moment ago."""
        seen, found = self._blockers
        return found if time.monotonic() - seen <= self._timeout + 1 else []

    def has_ended_a_wait(self) -> bool:
        """Whether a statement was cancelled for its waiting since that was asked last.

        Raises:
            LockError: there is nobody any more who would know.
        """
        now = time.time()
        if not self._timeout or (not self._ended_a_wait and 0 <= now - self._asked < self._patience):
            return False  # none can have waited so long
        with self._looks:  # one that has cancelled may not know it yet
            ended, self._ended_a_wait, self._asked = self._ended_a_wait, False, now
        if self._failure:
            raise LockError(
                "The session that looks on whether locks come in time has ended, so nobody knows: "
                f"{words(self._failure)} Run the same command again."
            ) from self._failure
        return ended

    def has_looked_on(self, since: float) -> bool:
        """Whether no statement has waited unseen for so long that the server ended it.

        Args:
            since: when the statement began.
        """
        if time.time() - since < LAST_RESORT:
            return True
        with self._looks:
            self._try_to_look()
        return self._looked_away < since

    def forget(self) -> None:
        """Forget what was."""
        self._ended_a_wait, self._asked = False, time.time()

    def _run(self) -> None:
        while not self._stop.wait(self._interval) and not self._failure:
            with self._looks:
                self._try_to_look()

    def _try_to_look(self) -> None:
        try:
            self._look()
        except psycopg.Error as error:
            # The command itself notices when the server is gone.
            log.debug("Stopped looking on: %s", error)
            self._failure = error

    def _look(self) -> None:
        is_bounded = bool(self._bound())
        found, cancelled = self._ask_of_waiting(is_bounded=is_bounded)
        now = time.monotonic()
        last, self._looked = self._looked, time.time()
        if is_bounded and self._looked - last > LAST_RESORT / 2:
            self._looked_away = self._looked
        self._ended_a_wait |= bool(cancelled)
        if found:
            blockers = [Blocker(*row) for row in found]
            self._blockers = (now, blockers)
            self._waiting_since = self._waiting_since or now
            if not self._told and now - self._waiting_since > LONG_WAIT:
                log.warning("Waiting, without blocking others, for %s", "; ".join(map(str, blockers)))
                self._told = True
        else:
            self._waiting_since, self._told = None, False
        if self._display.line and self._display.is_due():
            self._display.show(self._progress())

    def _ask_of_waiting(self, *, is_bounded: bool) -> list[list[tuple[Any, ...]]]:
        """Return who blocks, and a row if that was waited for too long and was cancelled."""
        (waits,) = self._ask(_WAITS)
        return self._ask(_BLOCKERS, _CANCEL if is_bounded else "select where false") if waits else [[], []]

    def _ask(self, *queries: str) -> list[list[tuple[Any, ...]]]:
        """Return the rows of queries."""
        given = {"pid": self._pid, "timeout": self._patience}
        cursor = self._session.execute("; ".join([_AS_ONESELF, *queries]).format_map(given).encode())
        return [cursor.fetchall() for _ in queries if cursor.nextset()]

    def _progress(self) -> str | None:
        (builds,) = self._ask(_BUILD)
        if builds:
            return describe_build(*builds[0])
        repeated = self._batches()
        if isinstance(repeated, str):
            return describe_fill(repeated)
        if repeated is None:
            return None
        statement, number = repeated
        if statement not in self._rows:
            table = self._session.execute(_ROWS, {"name": table_of_batches(statement)}).fetchone()
            self._rows[statement] = table[0] if table else None
        return describe_batches(statement, number, self._rows[statement])
