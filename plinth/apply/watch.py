"""A second session that looks on while a revision runs: who blocks it, and how far a build or backfill is.

Who blocks must be asked while the statement still waits: after its timeout there is nobody to name.
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

from plinth.apply.progress import (
    Display,
    LogLines,
    describe_batches,
    describe_build,
    describe_fill,
    table_of_batches,
)

log = logging.getLogger(__name__)

SHORTEST_INTERVAL = 0.005  # seconds
LONGEST_INTERVAL = 0.5  # seconds
LONG_WAIT = 2.0  # seconds after which a wait without a timeout is worth a line

_BLOCKERS = """
    select blocker.pid, coalesce(nullif(b.application_name, ''), 'unknown program'), b.usename, b.state,
           to_char(coalesce(b.xact_start, b.backend_start), 'HH24:MI:SS'), b.query
    from pg_stat_get_activity(%(pid)s) me
    cross join lateral (select distinct unnest(pg_blocking_pids(me.pid))) blocker (pid)
    left join pg_stat_activity b on b.pid = blocker.pid
    where me.wait_event_type = 'Lock'
    """
_BUILD = """
    select phase, blocks_done, blocks_total, tuples_done, tuples_total
    from pg_stat_progress_create_index where pid = %(pid)s
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
        lock_timeout: how long a revision waits; a blocker must be seen within it.
        batches: returns the statement that the revision repeats, and how often it ran; or what a block that
            runs has told of how far it is.
        display: where progress is shown.
    """

    def __init__(
        self,
        session: "psycopg.Connection[Any]",
        pid: int,
        lock_timeout: timedelta,
        batches: Callable[[], tuple[str, int] | str | None],
        display: Display | LogLines,
    ) -> None:
        self._session = session
        self._pid = pid
        self._timeout = lock_timeout.total_seconds()
        self._interval = min(max(self._timeout / 5, SHORTEST_INTERVAL), LONGEST_INTERVAL)
        self._batches = batches
        self._rows: dict[str, int | None] = {}  # of the table that a statement updates
        self._display = display
        self._blockers: tuple[float, list[Blocker]] = (0.0, [])
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._waiting_since: float | None = None
        self._waited_long = 0.0  # when that was seen last
        self._told = False

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look on as long as the block runs, from the first revision on."""
        try:
            yield
        finally:
            self._stop.set()
            if self._thread:
                self._thread.join()
            self._display.close()

    def start(self) -> None:
        """Begin to look, if that hasn't been done."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="plinth watcher", daemon=True)
            self._thread.start()

    def blockers(self) -> list[Blocker]:
        """Return who was seen blocking a moment ago."""
        seen, found = self._blockers
        return found if time.monotonic() - seen <= self._timeout + 1 else []

    def has_waited_long(self, since: float) -> bool:
        """Whether the session was seen waiting, since a moment, for about as long as it does for one lock."""
        return self._waited_long >= since

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._interval):
                self._look()
        except psycopg.Error as error:
            # The command itself notices when the server is gone; here only the names of blockers are lost.
            log.debug("Stopped looking on: %s", error)

    def _look(self) -> None:
        rows = self._session.execute(_BLOCKERS, {"pid": self._pid}).fetchall()
        now = time.monotonic()
        if rows:
            found = [Blocker(*row) for row in rows]
            self._blockers = (now, found)
            self._waiting_since = self._waiting_since or now
            if now - self._waiting_since >= self._timeout / 2:
                self._waited_long = now
            if not self._told and now - self._waiting_since > LONG_WAIT:
                log.warning("Waiting, without blocking others, for %s", "; ".join(map(str, found)))
                self._told = True
        else:
            self._waiting_since, self._told = None, False
        if self._display.is_due():
            self._display.show(self._progress())

    def _progress(self) -> str | None:
        build = self._session.execute(_BUILD, {"pid": self._pid}).fetchone()
        if build:
            return describe_build(*build)
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
