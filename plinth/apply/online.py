"""Online steps: what a revision does outside a transaction, made safe to run again.

A concurrent index build or drop that dies leaves an index behind that is INVALID, or a finished one whose
revision doesn't count yet. What such a statement begins is therefore noted in `plinth.unfinished`, and the
next run goes on from what it finds: an INVALID index is dropped and built again, a finished one is kept.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, CursorResult
from sqlalchemy.engine.interfaces import ExecutionContext

from plinth.apply import half_done
from plinth.apply.answers import Stream, give
from plinth.apply.elsewhere import Elsewhere, unbounded
from plinth.apply.points import (
    BLOCK,
    HALF_DONE,
    Points,
    begins_transaction,
    changes,
    checksum_of_values,
    driver_session,
    ends_transaction,
    may_end_on_its_way,
    only_ends_transaction,
    only_sets,
    reads,
    shown,
)
from plinth.apply.session import Settings, codec, is_idle
from plinth.apply.waits import Waits, is_by_our_bounds
from plinth.apply.watch import LAST_RESORT
from plinth.errors import PlinthError
from plinth.listening import behind_commits, listening
from plinth.server_errors import ACTIVE_SQL_TRANSACTION, words
from plinth.sql_text import Found, lexed, plain

log = logging.getLogger(__name__)

POLL_INTERVAL = 0.1  # seconds
CLEAN_UP_TIMEOUT = "10s"  # then the next run does it

_CREATE = "create [unique] index concurrently [if not exists] <index> on [only] <table>"
_DROP = "drop index concurrently [if exists] <index> [cascade | restrict]"

_INDEX = """
    select indrelid, indisvalid, quote_ident(nspname) || '.' || quote_ident(relname), indisunique
    from pg_index join pg_class c on c.oid = indexrelid join pg_namespace n on n.oid = relnamespace
    where relname = %s and relnamespace = %s
    """
_NOTE = """
    insert into plinth.unfinished values (%s, %s, %s, %s)
    on conflict (version_table, revision, object) do update set statement = excluded.statement
    """
_OF_ONE = "where version_table = %s and revision = %s and object = %s"
_NOTED = f"select statement from plinth.unfinished {_OF_ONE}"  # noqa: S608 - a constant
_TRANSACTION = "select pg_current_xact_id()::text"
_STATUS = "select pg_xact_status(%s::xid8)"
_FORGET = f"delete from plinth.unfinished {_OF_ONE}"  # noqa: S608 - a constant
# What PostgreSQL says of a statement that can't be in a transaction: ACTIVE SQL TRANSACTION of a concurrent
# build, INVALID TRANSACTION TERMINATION of a block that commits.
_COMMITTED = "2D000"
_HAS_ITS_OWN = {ACTIVE_SQL_TRANSACTION, _COMMITTED}

# In whose thread and task a revision runs: what an application does beside it by the same engine is its own.
_watching: "ContextVar[OnlineStatements | None]" = ContextVar("watching", default=None)


class OnlineStepError(PlinthError):
    """An online step can't go on; the message says why and what to do."""


@dataclass
class Step:
    """What the running revision has done so far.

    Args:
        revision: its id.
        is_upgrade: which way it goes.
        points: what of it is remembered; None when the file says that it may simply be run again
            (`repeatable = True`).
        has_left: it ended its transaction by itself, and not by `autocommit_block` or a COMMIT that stands
            alone; what it had done in it isn't noted.
        transaction: its number, where the step speaks to the driver itself and may end it unseen.
        elsewhere: numbers of transactions in which it changes something by other connections of the same
            engine, but for those known to be rolled back; empty of one that commits at once.
        is_written: it is, in the ledger.
        statements: how often each ran outside a transaction.
    """

    revision: str
    is_upgrade: bool
    points: Points | None = None
    wrote_in_transaction: bool = False
    is_online: bool = False
    has_left: bool = False
    transaction: str | None = None
    elsewhere: set[str] = field(default_factory=set)
    is_written: bool = False
    statements: Counter[str] = field(default_factory=Counter)

    @property
    def is_half_done(self) -> bool:
        """Whether a failure now leaves it half done, and what is done isn't known."""
        return (self.has_left or bool(self.elsewhere)) and self.points is not None

    @property
    def transactions(self) -> set[str]:
        """What is noted beforehand: it is half done, unless all of these are rolled back; none: it is."""
        numbers = {*self.elsewhere, *filter(None, [self.transaction])}
        return set() if self._may_be_hidden or "" in numbers else numbers

    @property
    def _may_be_hidden(self) -> bool:
        """Whether something of it may be committed in a transaction of which we don't know."""
        rolls_back = self.transaction is not None and self.points is not None and self.points.may_roll_back
        return self.has_left or rolls_back

    @property
    def checksum(self) -> str:
        """That of its file; empty where it has none."""
        return (self.points and self.points.checksum) or ""

    @property
    def stands_half_way(self) -> bool:
        """Whether something of it is committed, although it doesn't count as applied."""
        return self.points.are_kept if self.points else self.is_online


class OnlineStatements:
    """Watches the statements of one connection.

    Args:
        connection: the migrations'.
        version_table: whose revisions they are.
        lock_timeout: holds for every statement but the concurrent ones; the server's is longer, and ends what
            nobody has seen waiting.
        statement_timeout: likewise.
        other: another session, in autocommit, by which it is noted at once that a revision has left its
            transaction; None: it isn't noted.
    """

    def __init__(
        self,
        connection: Connection,
        version_table: str,
        lock_timeout: timedelta,
        statement_timeout: timedelta,
        other: "psycopg.Connection[Any] | None" = None,
    ) -> None:
        self.connection = connection
        self.version_table = version_table
        self._lock_timeout = lock_timeout
        longest = lock_timeout and lock_timeout + timedelta(seconds=LAST_RESORT)
        self.timeouts = (_milliseconds(longest), _milliseconds(statement_timeout))
        self._other = other
        self.is_shared = True  # the engine, with others that use it in other threads
        self.step: Step | None = None
        self.interrupt: Callable[[], None] | None = None  # called at the first statement behind each point
        self.may_try_again: Callable[[psycopg.Error], bool] = lambda _: False  # pauses before it says so
        self.reached_point: Callable[[], None] = lambda: None
        self._is_first = False  # the statement, of its transaction
        self.settings: Settings | None = None  # of our own
        self.told: str | None = None  # what the running block says of how far it is
        self._at_point = False
        self._unbounded = False
        self._build: tuple[str, int] | None = None  # the index and its namespace
        self._are_ours = False  # the statements that run now: they aren't watched
        self.waits = Waits(connection, self._bounds, lambda: self._are_ours)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch as long as the block runs."""
        connection = self.connection
        token = _watching.set(self)
        elsewhere = Elsewhere(self._lock_timeout, self._is_the_revisions)
        with (
            listening(
                (connection.engine, "do_execute", self._execute),
                (connection.engine, "do_execute_no_params", self._execute_no_params),
                (connection.engine, "do_executemany", self._execute_many),
                (connection, "before_cursor_execute", self._see_first),  # before others ask something
                (connection, "commit", self._commit),
                (connection, "rollback", self._rollback),
                (connection.engine, "checkout", elsewhere.bound),
                (connection.engine, "checkin", elsewhere.put_back),
            ),
            behind_commits(connection, self._settle),
            self.waits.watched(),
        ):
            session = driver_session(connection)
            before, session.server_cursor_factory = session.server_cursor_factory, Stream
            try:
                yield
            finally:
                _watching.reset(token)
                session.server_cursor_factory = before

    def _is_the_revisions(self) -> bool:
        """Whether what is done with the engine now is done by a revision."""
        return self.step is not None and (not self.is_shared or _watching.get() is self)

    def follow(self, step: Step | None) -> None:
        """Watch what another revision does from here on; None: nothing."""
        self.step = step
        self._at_point = False

    def renew_settings(self) -> None:
        """Give the session the settings of our own, whatever a revision has set; in a transaction."""
        self._unbounded = False
        if self.settings:
            with self.unwatched():
                self.settings.give()

    def bound(self) -> timedelta:
        """Return how long the statement that runs may wait for a lock."""
        return self._lock_timeout if self.waits.are_bounded and not self._unbounded else timedelta()

    def batches(self) -> tuple[str, int] | str | None:
        """Return the statement that the running step repeats, and how often it ran; or what a block tells."""
        if self.told:
            return self.told
        done = self.step.statements.most_common(1) if self.step else []
        return done[0] if done and done[0][1] > 1 else None

    def comes_to_its_end(self) -> bool:
        """Do what comes before each statement, for one that SQLAlchemy isn't asked to run.

        Returns:
            Whether there may be one: the running step ends in a transaction of SQLAlchemy's that leaves
            statements as they are. Else nothing is done.
        """
        connection = self.connection
        options = connection.get_execution_options()
        if not connection.in_transaction() or _in_autocommit(connection) or "schema_translate_map" in options:
            return False
        if self.step and not self._are_ours:
            self._before(outside=False)
        return True

    def look(self) -> None:
        """See whether the running step has ended its transaction by itself (COMMIT, ROLLBACK)."""
        step = self.step
        if step is None or step.has_left:
            return
        if step.transaction and step.points:
            became = self._became(step.transaction)
            # An error aborts it at once. What rolls it back itself may have committed another one.
            is_ours = became == "aborted" and not step.points.may_roll_back
            step.has_left = not is_ours and became != "in progress"
        elif not is_idle(self.connection):
            return
        elif step.points:
            step.has_left = step.points.has_unkept
        else:
            step.has_left = step.wrote_in_transaction and not step.is_online
        if step.has_left:
            self._note_half_done(step)

    def mark(self) -> None:
        """Note the transaction of a step beforehand that may end it by the driver itself, unseen."""
        step = self.step
        if step and step.points and step.points.unseen and self._other:
            step.transaction = self._one(_TRANSACTION)[0]
            self._note_half_done(step)

    def settle(self) -> None:
        """See what of a step is committed although it has failed."""
        step = self.step
        if step is None or not (step.elsewhere or step.transaction):
            return
        with suppress(psycopg.Error):  # what is noted holds
            self.look()
            step.elsewhere = {each for each in step.elsewhere if not each or self._became(each) != "aborted"}
            step.transaction = None
            if not step.is_half_done:
                self._forget_left(step)

    def _became(self, transaction: str) -> str | None:
        """Return what became of a transaction: "in progress", "aborted", "committed"."""
        found = self._other and self._other.execute(_STATUS, [transaction]).fetchone()
        return found[0] if found else None

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
                session.execute(f"drop index concurrently {row[2]}".encode(codec(session)))
                session.execute("select set_config('statement_timeout', '0', false)")
        except psycopg.Error as error:
            log.warning("Index %s stays INVALID until the next run drops it: %s", build[0], words(error))

    def _execute(
        self,
        cursor: "psycopg.Cursor[Any]",
        statement: str,
        parameters: Any,  # noqa: ANN401
        context: ExecutionContext,
    ) -> bool:
        # The driver makes one percent sign of two, unless it is told that there are no parameters.
        plain = statement.replace("%%", "%")

        def execute() -> None:
            if context.compiled is not None and not parameters:  # it is what the driver would make of it
                cursor.execute(plain.encode(codec(cursor.connection)))
            else:
                cursor.execute(statement.encode(codec(cursor.connection)), parameters)

        return self._run_bounded(cursor, plain, execute, context, parameters)

    def _execute_no_params(
        self, cursor: "psycopg.Cursor[Any]", statement: str, context: ExecutionContext
    ) -> bool:
        def execute() -> None:
            cursor.execute(statement.encode(codec(cursor.connection)))

        return self._run_bounded(cursor, statement, execute, context)

    def _run_bounded(
        self,
        cursor: "psycopg.Cursor[Any]",
        statement: str,
        execute: Callable[[], object],
        context: ExecutionContext,
        parameters: object = None,
    ) -> bool:
        """Run a statement, unless it is done already."""

        def run() -> None:
            self.waits.run(execute)

        if self._run_once(cursor, statement, run, context, parameters):
            return True
        if context.root_connection is self.connection:
            run()
            return True
        if _is_concurrent(statement):
            with unbounded(cursor.connection):
                execute()
            return True
        return False

    def _execute_many(
        self,
        cursor: "psycopg.Cursor[Any]",
        statement: str,
        parameters: Any,  # noqa: ANN401
        context: ExecutionContext,
    ) -> bool:
        def execute() -> None:
            cursor.executemany(statement.encode(codec(cursor.connection)), parameters)

        return self._run_bounded(cursor, statement.replace("%%", "%"), execute, context, parameters)

    def _run_once(
        self,
        cursor: "psycopg.Cursor[Any]",
        statement: str,
        run: Callable[[], object],
        context: ExecutionContext,
        parameters: object = None,
    ) -> bool:
        """Run a statement unless it is done already; return whether SQLAlchemy needn't."""
        step = self.step
        if step is None or self._are_ours or step.is_written:
            return False
        is_elsewhere, outside = context.root_connection is not self.connection, False
        if not is_elsewhere:
            outside = self._is_outside()
            self._before(outside=outside)
        elif (is_thread := _watching.get() is not self) and self.is_shared:
            return False
        elif changes(cursor.connection, statement):
            self._see_elsewhere(step, cursor.connection, statement)
            return False
        elif is_thread:
            return False
        points = step.points
        if only_sets(statement):
            if points and not is_elsewhere:
                points.see_setting(statement)
        elif points and only_ends_transaction(statement):
            points.pass_by()
            self._commit(self.connection)
            run()
            self._settle()
            return True
        elif points:
            values = checksum_of_values(cursor.connection, parameters)
            if self._recall(points, cursor, statement, values, run):
                return True
            if points.come_to(cursor.connection, statement, values, reads_only=is_elsewhere):
                self._run_noted(step, points, context, run, outside=outside)
                return True
        elif not reads(statement):
            self._run_step(step, cursor, statement, run, outside=outside)
            return True
        return False

    def _recall(
        self,
        points: Points,
        cursor: "psycopg.Cursor[Any]",
        statement: str,
        values: str | None,
        run: Callable[[], object],
    ) -> bool:
        """Answer a statement as it was answered before the last point; return whether it was."""
        known = points.recall(statement, values)
        if known is None:
            return False
        if not give(cursor, known.result, run):
            points.refuse_what_is_forgotten(known)
        return True

    def _run_noted(
        self,
        step: Step,
        points: Points,
        context: ExecutionContext,
        run: Callable[[], object],
        *,
        outside: bool,
    ) -> None:
        """Run the statement that was come to, and note what it answers.

        A lock that doesn't come is waited for here by the first statement of a transaction: the revision's
        Python, which may not take the same way twice, goes on.
        """
        cursor: psycopg.Cursor[Any] = context.cursor  # type: ignore[assignment] # psycopg's
        statement = points.running.statement
        is_first = self._is_first and context.root_connection is self.connection and not step.has_left
        may_wait = is_first and not may_end_on_its_way(statement)
        while True:
            try:
                if points.running.number:
                    self._run_step(step, cursor, statement, run, outside=outside)
                else:
                    run()
                    points.done(cursor)
            except psycopg.Error as error:
                again = may_wait and is_by_our_bounds(error)
                if not (again and self._begins_again(points, context, error, outside)):
                    points.failed(error)
                    raise
            else:
                return

    def _see_first(self, *_: object) -> None:
        if not self._are_ours:
            self._is_first = is_idle(self.connection)

    def _begins_again(
        self, points: Points, context: ExecutionContext, error: psycopg.Error, outside: bool
    ) -> bool:
        """Let a transaction begin anew after a pause, for those who listen to the connection too."""
        connection = self.connection
        connection.dispatch.rollback(connection)
        driver_session(connection).rollback()
        if not self.may_try_again(error):
            return False
        points.begin_again()
        if not outside:
            self._unbounded = False  # they may have been set in what was rolled back
            self._set(*self._bounds())
        given = context.cursor, context.statement, context.parameters, context, context.executemany
        for listener in connection.dispatch.before_cursor_execute:
            listener(connection, *given)
        return True

    def _run_step(
        self,
        step: Step,
        cursor: "psycopg.Cursor[Any]",
        statement: str,
        run: Callable[[], object],
        *,
        outside: bool,
    ) -> None:
        """Run a statement that does more than read."""
        if outside:
            with self._listening(cursor.connection, statement), self._as_left(step, cursor, statement):
                self._run_outside(step, cursor, statement, run)
            return
        if ends_transaction(statement):
            self._commit(self.connection)
        with self._as_left(step, cursor, statement):
            run()
        step.wrote_in_transaction = True
        if step.points:
            step.points.done(cursor)
        self.look()

    @contextmanager
    def _as_left(self, step: Step, cursor: "psycopg.Cursor[Any]", statement: str) -> Iterator[None]:
        """Note beforehand that a text may commit, and fail then: what it had done isn't known afterwards."""
        if step.has_left or not may_end_on_its_way(statement):
            yield
            return
        step.has_left = True
        self._note_half_done(step)
        try:
            yield
        except psycopg.Error:
            status = cursor.connection.info.transaction_status
            if status == TransactionStatus.INERROR and not begins_transaction(statement):
                self._forget_left(step)  # it is in the transaction in which it began
            raise

    def _is_outside(self) -> bool:
        """Whether a statement is committed with its end: there may be a BEGIN that was typed by hand."""
        return _in_autocommit(self.connection) and is_idle(self.connection)

    def _see_elsewhere(self, step: Step, session: "psycopg.Connection[Any]", statement: str) -> None:
        """Note that a step does something by another connection, which ends its transactions itself."""
        number = ""
        if not (session.autocommit or ends_transaction(statement) or may_end_on_its_way(statement)):
            row = session.execute(_TRANSACTION).fetchone()
            number = row[0] if row else ""
        if number not in step.elsewhere:
            step.elsewhere.add(number)
            self._note_half_done(step)

    def _note_half_done(self, step: Step) -> None:
        if step.points and self._other:
            said = half_done.note(self._other, step.checksum, step.transactions)
            self._other.execute(_NOTE, (*self._key(step, HALF_DONE), said))

    def _settle(self) -> None:
        """See to what the session alone has, between two transactions."""
        if self.step and self.step.points and is_idle(self.connection):
            self.step.points.settle(driver_session(self.connection))

    def _before(self, *, outside: bool) -> None:
        self._settle()
        if self._at_point and self.interrupt:
            self._at_point = False
            self.interrupt()
        if not outside:
            if self._unbounded:
                self._unbounded = False
                self._set(*self._bounds())
            self.look()

    @contextmanager
    def _listening(self, session: "psycopg.Connection[Any]", statement: str) -> Iterator[None]:
        """Hear what a block tells (RAISE DEBUG) while it runs."""
        if not _tells(statement):
            yield
            return

        def hear(message: psycopg.errors.Diagnostic) -> None:
            if message.severity_nonlocalized == "DEBUG":
                self.told = message.message_primary

        set_level = "select set_config('client_min_messages', %s, false)"
        before = session.execute("show client_min_messages").fetchone()
        session.execute(set_level, ["debug1"])
        session.add_notice_handler(hear)
        try:
            yield
        finally:
            session.remove_notice_handler(hear)
            self.told = None
            with suppress(psycopg.Error):
                session.execute(set_level, before)

    def _run_outside(
        self, step: Step, cursor: "psycopg.Cursor[Any]", statement: str, run: Callable[[], object]
    ) -> None:
        """Run a statement outside of the revision's transactions: in one of its own, if it can be in one."""
        step.is_online = True
        session = cursor.connection
        # It isn't tried in a transaction, for what no rollback takes back would happen twice: numbers of
        # sequences.
        has_its_own = (
            lexed(statement).begins(_CREATE) or lexed(statement).matches(_DROP) or _commits(statement)
        )
        if has_its_own and step.points:
            step.points.begin(session, statement)
        is_done = self._prepare(step, statement)
        if is_done:
            cursor.execute("select /* done by an earlier, interrupted run */")
        elif step.points is None or has_its_own:
            with self._as_block(step, statement, commits=_commits(statement)):
                run()
        else:
            session.execute("begin")
            try:
                run()
                step.points.done(cursor)
                self._at_point = self._keep(step.points, session)
                session.execute("commit")
                self._settle()
            except BaseException as error:
                with suppress(psycopg.Error):
                    session.execute("rollback")
                step.points.forget()
                if not isinstance(error, psycopg.Error) or error.sqlstate not in _HAS_ITS_OWN:
                    raise
                commits = error.sqlstate == _COMMITTED
            else:
                step.statements[statement] += 1
                return
            step.points.begin(session, statement)
            with self._as_block(step, statement, commits=commits):
                run()
        self._see_build(step, statement)
        step.statements[statement] += 1
        if step.points:
            step.points.done(cursor)
            self._at_point = self._keep(step.points, session)

    @contextmanager
    def _as_block(self, step: Step, statement: str, *, commits: bool) -> Iterator[None]:
        """Note that a block begins which commits by itself, until it has ended: how far it came nobody knows.

        Those that tell how far they are, as autogenerate writes them, pass over what is done.
        """
        if step.points is None or not commits:
            yield
            return
        if self._noted(step, BLOCK) == statement and not _tells(statement):
            log.warning(
                "A block of revision %s that commits was interrupted, and is run again from its start: what "
                "it had committed is done twice, unless its statements pass over that. %s",
                step.revision,
                shown(statement),
            )
        self._note(step, BLOCK, statement)
        yield
        self._forget(step, BLOCK)

    def _commit(self, connection: Connection) -> None:
        """Let the end of a transaction inside a revision be a point."""
        step = self.step
        if step is None or self._are_ours or step.is_written or self._is_outside():
            return
        session = driver_session(connection)
        if step.points and session.info.transaction_status == TransactionStatus.INERROR:
            step.points.forget()  # it is rolled back, whatever it is asked for
        elif step.points:
            self.waits.refuse_missed()  # behind a point it would be remembered that it didn't come
            if step.transaction:
                self.look()
                step.points.see_unseen()
            self._at_point |= self._keep(step.points, session)

    def _keep(self, points: Points, session: "psycopg.Connection[Any]") -> bool:
        """Write down what was done, also what the step had left; the caller commits."""
        is_kept = points.keep(session)
        if is_kept:
            self.reached_point()
        if is_kept and self.step and (self.step.has_left or self.step.transaction):
            self.step.transaction = None
            self._forget_left(self.step, session)
        return is_kept

    def _forget_left(self, step: Step, session: "psycopg.Connection[Any] | None" = None) -> None:
        """Forget that a step has left its transaction: what it had done is noted, or rolled back."""
        step.has_left = False
        session = session or self._other
        if session and not step.elsewhere:
            session.execute(_FORGET, self._key(step, HALF_DONE))

    def _rollback(self, _: Connection) -> None:
        if self.step and self.step.points:
            self.step.points.forget()

    def _prepare(self, step: Step, statement: str) -> bool:
        """Prepare what a statement is about; return whether an interrupted run has done it already."""
        text = lexed(statement)
        concurrent = _is_concurrent(statement)
        if concurrent != self._unbounded:
            # A lock timeout would kill a build that waits for older transactions, which blocks nobody.
            self._unbounded = concurrent
            self._set(*self._bounds())
        if found := text.begins(_CREATE):
            return self._is_created(step, statement, found)
        if found := text.matches(_DROP):
            return self._is_dropped(step, statement, found)
        return False

    def _is_created(self, step: Step, statement: str, index: Found) -> bool:
        table = self._one(
            "select oid, relnamespace from pg_class where oid = to_regclass(%s)", index["table"]
        )
        if table is None:
            return False
        self._wait_for_other_builds(table[0], index["table"])
        name, namespace = plain(index["index"]), table[1]
        noted = self._noted(step, index["index"])
        found = self._index(name, namespace)
        if found and found[0] == table[0]:
            _, is_valid, full_name, is_unique = found
            # One that was made by hand meanwhile, while its rows were mended, is another one.
            if is_valid and noted == statement and is_unique is (index.has("unique")):
                return True
            if not is_valid or (noted and not index.has("if not exists")):
                log.warning(
                    "Index %s is left over from an interrupted build: dropped, and built again.", name
                )
                self._run(f"drop index concurrently if exists {full_name}".replace("%", "%%"))
                found = None
        if found is None:
            self._note(step, index["index"], statement)
            self._build = (name, namespace)
        return False

    def _is_dropped(self, step: Step, statement: str, index: Found) -> bool:
        found = self._one("select to_regclass(%s)", index["index"])
        if found and found[0] is not None:
            self._note(step, index["index"], statement)
            return False
        return not index.has("if exists") and self._noted(step, index["index"]) == statement

    def _see_build(self, step: Step, statement: str) -> None:
        """Return if an index that was built is valid.

        Raises:
            OnlineStepError: it isn't.
        """
        if self._build and lexed(statement).begins(_CREATE):
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

    def _index(self, name: str, namespace: int) -> tuple[int, bool, str, bool] | None:
        """Return an index's table, whether it is valid, its name with its schema, whether it is unique."""
        row = self._one(_INDEX, name, namespace)
        return None if row is None else (row[0], row[1], row[2], row[3])

    def _note(self, step: Step, what: str, statement: str) -> None:
        self._run(_NOTE, *self._key(step, what), statement)

    def _noted(self, step: Step, what: str) -> str | None:
        row = self._one(_NOTED, *self._key(step, what))
        return None if row is None else str(row[0])

    def _forget(self, step: Step, what: str) -> None:
        self._run(_FORGET, *self._key(step, what))

    def _key(self, step: Step, what: str) -> tuple[str, str, str]:
        return self.version_table, step.revision, f"{'up' if step.is_upgrade else 'down'} {what}"

    def _bounds(self) -> tuple[str, str]:
        return ("0", "0") if self._unbounded else self.timeouts

    def _set(self, lock_timeout: str, statement_timeout: str) -> None:
        self._run(
            "select set_config('lock_timeout', %s, false), set_config('statement_timeout', %s, false)",
            lock_timeout,
            statement_timeout,
        )

    def _one(self, sql: str, *parameters: object) -> Any:  # noqa: ANN401
        return self._run(sql, *parameters).first()

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """Take the statements for no revision's as long as the block runs."""
        self._are_ours = True
        try:
            yield
        finally:
            self._are_ours = False

    def _run(self, sql: str, *parameters: object) -> CursorResult[Any]:
        with self.unwatched():
            return self.connection.exec_driver_sql(sql, parameters)


def _tells(statement: str) -> bool:
    """Whether a block says how far it is."""
    block = lexed(statement).statements[0].block
    return block is not None and block.has("raise debug")


def _commits(statement: str) -> bool:
    """Whether a block ends transactions by itself."""
    first = lexed(statement).statements[0]
    return any(each.begins("commit | rollback") for each in first.executed[1:])


def _is_concurrent(statement: str) -> bool:
    text = lexed(statement)
    return text.begins("create | drop | reindex | refresh | alter") is not None and text.has("concurrently")


def _in_autocommit(connection: Connection) -> bool:
    return connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"


def _milliseconds(duration: timedelta) -> str:
    return str(round(duration.total_seconds() * 1000))
