"""Online steps: what a revision does outside a transaction, made safe to run again.

A concurrent index build or drop that dies leaves an index behind that is INVALID, or a finished one whose
revision doesn't count yet. What such a statement begins is therefore noted in `plinth.unfinished`, and the
next run goes on from what it finds: an INVALID index is dropped and built again, a finished one is kept.
"""

import logging
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
from sqlalchemy import Connection, CursorResult, event
from sqlalchemy.engine.interfaces import ExecutionContext

from plinth.apply.session import is_idle
from plinth.errors import PlinthError
from plinth.server_errors import words

log = logging.getLogger(__name__)

POLL_INTERVAL = 0.1  # seconds
HALF_DONE = "(half done)"  # in the place of an object's name
CLEAN_UP_TIMEOUT = "10s"  # then the next run does it

_IDENTIFIER = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_NAME = rf"{_IDENTIFIER}(?:\s*\.\s*{_IDENTIFIER})?"
_START = r"\A(?:\s+|--[^\n]*\n|/\*.*?\*/)*"
_CREATE = re.compile(
    rf"{_START}create\s+(?:unique\s+)?index\s+concurrently\s+(?P<tolerant>if\s+not\s+exists\s+)?"
    rf"(?P<index>{_IDENTIFIER})\s+on\s+(?:only\s+)?(?P<table>{_NAME})",
    re.IGNORECASE | re.DOTALL,
)
_DROP = re.compile(
    rf"{_START}drop\s+index\s+concurrently\s+(?P<tolerant>if\s+exists\s+)?(?P<index>{_NAME})\s*"
    r"(?:cascade|restrict)?\s*;?\s*\Z",
    re.IGNORECASE | re.DOTALL,
)
_CONCURRENT = re.compile(
    rf"{_START}(?:(?:create|drop|reindex|refresh|alter)\b.*\bconcurrently\b)", re.IGNORECASE | re.DOTALL
)
_READS = re.compile(rf"{_START}(?:select|show|set|reset|values|table|explain)\b", re.IGNORECASE | re.DOTALL)
_REPEATABLE = re.compile(
    r"\bconcurrently\b|\bif\s+(?:not\s+)?exists\b|\bvalidate\s+constraint\b", re.IGNORECASE
)

_INDEX = """
    select indrelid, indisvalid, quote_ident(nspname) || '.' || quote_ident(relname)
    from pg_index join pg_class c on c.oid = indexrelid join pg_namespace n on n.oid = relnamespace
    where relname = %s and relnamespace = %s
    """
_NOTHING = "SELECT 1 /* already done by an earlier, interrupted run */"


class OnlineStepError(PlinthError):
    """An online step can't go on; the message says why and what to do."""


@dataclass
class Step:
    """What the running revision has done so far.

    Args:
        revision: its id.
        is_upgrade: which way it goes.
        declared_repeatable: whether the file says so: `repeatable = True`.
        has_left: it ended its transaction by itself, and not by `autocommit_block`.
        statements: how often each ran outside a transaction.
    """

    revision: str
    is_upgrade: bool
    declared_repeatable: bool = False
    wrote_in_transaction: bool = False
    is_online: bool = False
    did_once_only: bool = False
    has_left: bool = False
    statements: Counter[str] = field(default_factory=Counter)

    @property
    def is_half_done(self) -> bool:
        """Whether a failure now leaves it half done, in a way that it may not bear to be done twice."""
        return (self.is_online or self.has_left) and not self.repeatable

    @property
    def repeatable(self) -> bool:
        """Whether all that it did so far may be done twice."""
        return self.declared_repeatable or not self.did_once_only


class OnlineStatements:
    """Watches the statements of one connection.

    Args:
        connection: the migrations'.
        version_table: whose revisions they are.
        lock_timeout: holds for every statement but the concurrent ones.
        statement_timeout: likewise.
    """

    def __init__(
        self,
        connection: Connection,
        version_table: str,
        lock_timeout: timedelta,
        statement_timeout: timedelta,
    ) -> None:
        self.connection = connection
        self.version_table = version_table
        self.timeouts = (_milliseconds(lock_timeout), _milliseconds(statement_timeout))
        self.step: Step | None = None
        self._unbounded = False
        self._build: tuple[str, int] | None = None  # the index and its namespace
        self._are_ours = False  # the statements that run now: they aren't watched

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch as long as the block runs."""
        event.listen(self.connection, "before_cursor_execute", self._before, retval=True)
        event.listen(self.connection, "after_cursor_execute", self._after)
        try:
            yield
        finally:
            event.remove(self.connection, "before_cursor_execute", self._before)
            event.remove(self.connection, "after_cursor_execute", self._after)

    def set_timeouts(self) -> None:
        """Bound the waiting of this session's statements."""
        self._set(*self.timeouts)
        self._unbounded = False

    def batches(self) -> tuple[str, int] | None:
        """Return the statement that the running step repeats, and how often it ran; None if there is none."""
        done = self.step.statements.most_common(1) if self.step else []
        return done[0] if done and done[0][1] > 1 else None

    def look(self) -> None:
        """See whether the running step has ended its transaction by itself (COMMIT, ROLLBACK)."""
        step = self.step
        if step and step.wrote_in_transaction and not step.is_online and is_idle(self.connection):
            step.has_left = step.did_once_only = True

    def was_half_done(self, step: Step) -> bool:
        """Whether an earlier run left the step half done, in a way that it may not bear to be done twice."""
        return self._noted(step, HALF_DONE) is not None

    def note_half_done(self, step: Step) -> None:
        """Note that it is now; the caller commits."""
        self._note(step, HALF_DONE, "")

    def clean_up(self, session: "psycopg.Connection[Any]") -> None:
        """Drop the INVALID index that an unfinished build of the running step left behind, if it did.

        Args:
            session: another one, in autocommit: after an interruption this one is gone.
        """
        build, self._build = self._build, None
        if build is None:
            return
        try:
            row = session.execute(_INDEX, build).fetchone()
            if row and not row[1]:
                session.execute("select set_config('statement_timeout', %s, false)", [CLEAN_UP_TIMEOUT])
                session.execute(f"drop index concurrently {row[2]}".encode())
                session.execute("select set_config('statement_timeout', '0', false)")
        except psycopg.Error as error:
            log.warning("Index %s stays INVALID until the next run drops it: %s", build[0], words(error))

    def _before(
        self,
        conn: Connection,
        _cursor: object,
        statement: str,
        parameters: object,
        context: ExecutionContext,
        *_: object,
    ) -> tuple[str, object]:
        if self._are_ours:
            return statement, parameters
        if not _in_autocommit(conn):
            if self._unbounded:
                self.set_timeouts()
            self.look()
            if self.step and not _READS.match(statement):
                self.step.wrote_in_transaction = True
            return statement, parameters
        step = self.step
        if step is None:
            return statement, parameters
        if not step.is_online:
            step.is_online = True
            if step.wrote_in_transaction:
                step.did_once_only = True
                log.warning(
                    "Revision %s changes something in a transaction and then leaves it (autocommit_block): "
                    "an interruption from here on leaves it half applied. Better make it two revisions.",
                    step.revision,
                )
        # The driver makes one percent sign of two, unless it is told that there are no parameters.
        sql = statement if context.no_parameters else statement.replace("%%", "%")
        return _NOTHING if self._is_done(step, sql) else statement, parameters

    def _is_done(self, step: Step, statement: str) -> bool:
        """Prepare what a statement is about; return whether an interrupted run has done it already."""
        concurrent = _CONCURRENT.match(statement) is not None
        if concurrent != self._unbounded:
            # A lock timeout would kill a build that waits for older transactions, which blocks nobody.
            self._set(*("0", "0") if concurrent else self.timeouts)
            self._unbounded = concurrent
        if match := _CREATE.match(statement):
            return self._is_created(step, statement, match)
        if match := _DROP.match(statement):
            return self._is_dropped(step, statement, match)
        return False

    def _is_created(self, step: Step, statement: str, match: re.Match[str]) -> bool:
        table = self._one(
            "select oid, relnamespace from pg_class where oid = to_regclass(%s)", match["table"]
        )
        if table is None:
            return False
        self._wait_for_other_builds(table[0], match["table"])
        name, namespace = _plain(match["index"]), table[1]
        noted = self._noted(step, match["index"])
        found = self._index(name, namespace)
        if found and found[0] == table[0]:
            _, is_valid, full_name = found
            if is_valid and noted == statement:
                return True
            if not is_valid or (noted and not match["tolerant"]):
                log.warning(
                    "Index %s is left over from an interrupted build: dropped, and built again.", name
                )
                self._run(f"drop index concurrently if exists {full_name}".replace("%", "%%"))
                found = None
        if found is None:
            self._note(step, match["index"], statement)
            self._build = (name, namespace)
        return False

    def _is_dropped(self, step: Step, statement: str, match: re.Match[str]) -> bool:
        found = self._one("select to_regclass(%s)", match["index"])
        if found and found[0] is not None:
            self._note(step, match["index"], statement)
            return False
        return not match["tolerant"] and self._noted(step, match["index"]) == statement

    def _after(self, conn: Connection, _cursor: object, statement: str, *_: object) -> None:
        step = self.step
        if step is None or self._are_ours:
            return
        if not _in_autocommit(conn):
            self.look()
            return
        if not _READS.match(statement):
            step.statements[statement] += 1
            if not _REPEATABLE.search(statement):
                step.did_once_only = True
        if self._build and _CREATE.match(statement):
            name, namespace = self._build
            self._build = None
            found = self._index(name, namespace)
            if found is None or not found[1]:
                raise OnlineStepError(
                    f"Index {name} is not valid after its build: revision {step.revision} doesn't count as "
                    "applied. Run the same command again."
                )

    def _wait_for_other_builds(self, table: int, name: str) -> None:
        told = False
        while builder := self._one(
            "select pid from pg_stat_progress_create_index where datname = current_database() "
            "and relid = %s and pid <> pg_backend_pid()",
            table,
        ):
            if not told:
                log.warning("Waiting for another index build on %s (pid %s) to end ...", name, builder[0])
                told = True
            time.sleep(POLL_INTERVAL)

    def _index(self, name: str, namespace: int) -> tuple[int, bool, str] | None:
        """Return an index's table, whether it is valid, and its name with its schema."""
        row = self._one(_INDEX, name, namespace)
        return None if row is None else (row[0], row[1], row[2])

    def _note(self, step: Step, what: str, statement: str) -> None:
        self._run(
            "insert into plinth.unfinished values (%s, %s, %s, %s) "
            "on conflict (version_table, revision, object) do update set statement = excluded.statement",
            self.version_table,
            step.revision,
            _noted_object(step, what),
            statement,
        )

    def _noted(self, step: Step, what: str) -> str | None:
        row = self._one(
            "select statement from plinth.unfinished "
            "where version_table = %s and revision = %s and object = %s",
            self.version_table,
            step.revision,
            _noted_object(step, what),
        )
        return None if row is None else str(row[0])

    def _set(self, lock_timeout: str, statement_timeout: str) -> None:
        self._run(
            "select set_config('lock_timeout', %s, false), set_config('statement_timeout', %s, false)",
            lock_timeout,
            statement_timeout,
        )

    def _one(self, sql: str, *parameters: object) -> Any:  # noqa: ANN401
        return self._run(sql, *parameters).first()

    def _run(self, sql: str, *parameters: object) -> CursorResult[Any]:
        self._are_ours = True
        try:
            return self.connection.exec_driver_sql(sql, parameters)
        finally:
            self._are_ours = False


def _in_autocommit(connection: Connection) -> bool:
    return connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"


def _noted_object(step: Step, what: str) -> str:
    return f"{'up' if step.is_upgrade else 'down'} {what}"


def _plain(identifier: str) -> str:
    """Return a name as the catalog has it."""
    if identifier.startswith('"'):
        return identifier[1:-1].replace('""', '"')
    return identifier.lower()


def _milliseconds(duration: timedelta) -> str:
    return str(round(duration.total_seconds() * 1000))
