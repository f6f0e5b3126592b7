"""The way of one command through Alembic."""

import functools
import itertools
import logging
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg
from alembic.config import Config
from alembic.runtime.migration import MigrationContext, MigrationInfo, MigrationStep, RevisionStep
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from plinth import alembic_command, checksum, collector, safety, settings, up_to_date
from plinth.alembic_command import AlembicCommand
from plinth.apply import drops, half_done, left_columns, losses, phases, resuming, session, version_row
from plinth.apply.callers import Callers, refuse_losses
from plinth.apply.grants import Grants
from plinth.apply.half_done import HalfDone
from plinth.apply.irreversible import refuse_irreversible
from plinth.apply.ledger import HISTORY, Entry, Writer, ancestors, history_in, history_name
from plinth.apply.lock import Lock, one_applier
from plinth.apply.online import OnlineStatements, Step
from plinth.apply.points import (
    GRANTED,
    Interrupted,
    Points,
    driver_session,
    interrupted,
    may_commit,
)
from plinth.apply.progress import display
from plinth.apply.retry import (
    Backoff,
    is_about_rows,
    is_cancelled,
    is_there_already,
    is_unprepared,
    passes,
    passing,
)
from plinth.apply.session_state import SessionState
from plinth.apply.standing import refuse_heads, refuse_long_ids, refuse_slipped_in, refuse_unknown_heads
from plinth.apply.steps import (
    ApplyError,
    Options,
    Work,
    name_of,
    named_like,
    saying_what_to_type,
    says_repeatable,
    undoes,
    with_callback,
)
from plinth.apply.watch import Watcher
from plinth.connecting import server_version
from plinth.errors import PlinthError, as_command_errors
from plinth.own_schema import refuse_without_version_table
from plinth.places import is_projects, line_in
from plinth.quiet import quiet_context
from plinth.server_errors import advice, words

log = logging.getLogger(__name__)

UNCHANGED = "Nothing has been changed."


class Migrate(Protocol):
    """The part of `plinth.env`: configure the context with these options and run the migrations."""

    def __call__(self, options: Options) -> None: ...  # noqa: D102


def apply(config: Config, command: AlembicCommand, options: Options, migrate: Migrate) -> None:
    """Run one of Alembic's commands on a database.

    A connection that is in a transaction stays the caller's: no lock, no retry, no commit.

    Args:
        config: Alembic's.
        command: which one.
        options: for `context.configure()`, the connection among them.
        migrate: configures the context with the options that it is given, and runs the migrations.

    Raises:
        alembic.util.CommandError: it was refused, or gave up; what was committed stays.
    """
    work = alembic_command.work()
    if command.name == "downgrade":
        work = saying_what_to_type(work)
    connection: Connection = options["connection"]
    with as_command_errors():
        callers = connection.in_transaction()
        if not callers:
            schema, is_there = _refuse_without_privileges(connection, command, options)
            if schema is not None:
                options = options | {HISTORY: history_in(schema, options)}
            if not is_there and command.changes_database and command.name != "stamp":
                resuming.refuse_half_way(connection, history_name(connection, options))
        if not command.changes_database:
            # What only reads must not even create the version table.
            migrate({**options, "dont_mutate": True, "fn": named_like(work, _reading(command, work))})
        elif callers:
            theirs = Callers(command, options, work)
            with drops.announced(connection, lambda: not theirs.are_tried):
                migrate(theirs.options())
        else:
            applier = _Applier(config, command, options, work)
            try:
                with applier.saying_what_is_left(), session.in_transactions(connection):
                    applier.run(migrate)
            except KeyboardInterrupt:
                log.warning("Interrupted. %s", applier.standing())
                if config.cmd_opts is None:
                    raise
                sys.exit(130)  # as shells have it; under the program `alembic` a traceback would say less


def _refuse_without_privileges(
    connection: Connection, command: AlembicCommand, options: Options
) -> tuple[str | None, bool]:
    """Return the version table's schema, if that is known yet, and whether the table is there."""
    schema, table = options.get("version_table_schema"), options.get("version_table") or "alembic_version"
    try:
        return refuse_without_version_table(connection, schema, table, to_change=command.changes_database)
    finally:
        session.roll_back(connection)


def _reading(command: AlembicCommand, work: Work) -> Work:
    """Return the work of a command that changes nothing, if the database stands where it can begin."""

    def steps(heads: Sequence[str], context: MigrationContext) -> Iterable[Any]:
        if not context.opts.get("any_heads"):
            refuse_unknown_heads(heads, context)
            if command.needs_models or command.name == "plan":  # they begin where an upgrade does
                refuse_heads(heads, context, command)
            if command.needs_models:  # to compare them with the database
                refuse_slipped_in(heads, context, command)
            if command.name == "check":
                return work(phases.as_if_applied(heads, context), context)
        return work(heads, context)

    return steps


class _Applier:
    """Revisions in transactions of our own."""

    def __init__(self, config: Config, command: AlembicCommand, options: Options, work: Work) -> None:
        self._config = config
        self._command = command
        self._connection: Connection = options["connection"]
        self._options = options
        self._work = work
        self._stamps = command.name == "stamp"  # in one transaction, with all that it has the last word on
        self._settings = settings.configured()
        self._backoff = Backoff(self._settings.retry_limit)
        self._planned: list[MigrationStep] | None = None
        self._counts = False  # the command, from where the database stands
        self._before: Sequence[str] | None = None  # what was applied before others were waited for
        self._to_take_back: set[str] = set()
        self._done = 0
        self._batches: tuple[int, dict[str, int]] | None = None
        self._grants = Grants()
        self._heads: tuple[str, ...] | None = None  # as committed
        self._measured = 0  # steps of which is known what they lose
        self._objection: str | None = None  # to losing rows
        self._is_measured = False  # what the running step loses
        self._step_began = 0.0
        self._prepares = True
        self._source: bytes | None = None  # what the revision's file said when it began
        self._running: str | None = None  # the revision
        self._left: list[HalfDone] = []  # by earlier runs
        self._was_half_done: HalfDone | None = None  # the running one
        self._display = display()
        self._writer: Writer
        self._lock: Lock
        self._watcher: Watcher
        self._online: OnlineStatements
        self._flushing: session.Flushing
        self._ours: session.Settings
        self._session_state: SessionState | None = None

    def run(self, migrate: Migrate) -> None:
        """Run until all is done.

        Raises:
            ApplyError: something can't be helped.
        """
        connection = self._connection
        table = history_name(connection, self._options)
        if self._command.name in resuming.BACK:
            names = {name: value for name, value in self._options.items() if name.startswith("version_table")}
            self._before = quiet_context(connection, opts=names).get_current_heads()
        connection.rollback()
        timeouts = self._settings.lock_timeout, self._settings.statement_timeout
        with ExitStack() as stack:
            stack.enter_context(collector.rarely())
            given = self._config.attributes.get("connection") is not None
            self._lock = stack.enter_context(one_applier(connection, table, self._command.name))
            self._online = OnlineStatements(connection, table, *timeouts, self._lock.session)
            self._online.is_shared = given
            bounds = self._online.timeouts
            ours = session.prepared(connection, self._command.name, bounds, put_back=given)
            self._online.settings = self._ours = stack.enter_context(ours)
            self._flushing = session.Flushing(connection)
            stack.callback(self._flushing.flush)
            stack.enter_context(self._online.watched())
            stack.enter_context(drops.announced(connection, lambda: not self._is_measured))
            stack.enter_context(self._grants.kept(connection))
            stack.enter_context(left_columns.looked_after(connection))
            watched = self._lock.migrating, self._online.bound, self._online.batches, self._display
            self._watcher = Watcher(self._lock.session, *watched)
            self._online.waits.watcher = self._watcher
            self._online.may_try_again = self._may_try_again
            self._online.reached_point = self._backoff.start_again
            stack.enter_context(self._watcher.looking())
            try:
                while not self._attempt(migrate):
                    pass
                self._note_up_to_date()
            except KeyboardInterrupt:
                self._online.clean_up(self._lock.session)
                raise

    def _note_up_to_date(self) -> None:
        """Note it if nothing is pending any more, for the next one who asks: see `plinth.up_to_date`."""
        known = self._config.attributes.get(up_to_date.ATTRIBUTE)
        is_done = set(self._writer.heads) == set(self._writer.script.get_heads())
        if known is None or not is_done or up_to_date.fingerprint() != known:
            return
        try:
            self._writer.note_up_to_date(self._connection, known)
            self._connection.commit()
        except DBAPIError as error:  # all is done, and the next one takes the long way
            if session.is_lost(self._connection, error):  # not all may be on disk
                raise
            log.debug("It isn't noted that nothing is pending: %s", error)
            session.roll_back(self._connection)

    def standing(self) -> str:
        """Return a sentence that says what is done and where the database stands."""
        if self._planned is None or self._heads is None:
            return UNCHANGED
        total = len(self._planned)
        place = ", ".join(sorted(self._heads)) or "base"
        done = f"{self._done} of {total} revision{'s' * (total != 1)} done; the database stands at {place}."
        left = self._left_to_type()
        if not left:
            return done
        return (
            f'{done} To go on: {left}. What was typed would count from here: "the same command" is this one.'
        )

    def _left_to_type(self) -> str:
        """Return what to type for what is left, where the same command would do something else now."""
        counts = self._planned and self._done and self._counts
        return resuming.to_type((self._planned or [])[self._done :]) if counts else ""

    @contextmanager
    def saying_what_is_left(self) -> Iterator[None]:
        """Say it of a lost connection, too."""
        try:
            yield
        except Exception as error:
            if isinstance(error, PlinthError | CommandError) or not session.is_lost(self._connection, error):
                raise
            raise self.lost(error) from error

    def lost(self, error: Exception) -> ApplyError:
        """Return what to say when there is no connection any more."""
        standing = self.standing()
        step = self._online.step if self._running else None
        if step and (step.stands_half_way or step.is_half_done):
            standing = f"{self._what_stays()} {standing}"
        if self._done and not self._lock.is_alive():
            standing += " If the server crashed, the last of them may be pending again."
        return ApplyError(
            f"The connection to the server was lost{self._during()}: {words(error)} {standing} "
            "Run the same command again."
        )

    def _during(self) -> str:
        return f" during revision {self._running}" if self._running else ""

    def _attempt(self, migrate: Migrate) -> bool:
        """Run what is left; return whether that was all."""
        connection = self._connection
        self._online.follow(None)
        self._running = None
        if self._planned is not None:  # another attempt: the one before may have lifted them
            self._online.renew_settings()
            connection.commit()  # or Alembic takes it for a caller's transaction, and never commits
        try:
            migrate(
                {
                    **self._options,
                    "fn": named_like(self._work, self._steps),
                    "on_version_apply": with_callback(self._options, self._write),
                    "transaction_per_migration": not self._stamps,
                }
            )
            connection.commit()
        except (DBAPIError, psycopg.Error) as error:  # also what the driver was told by the revision itself
            return self._judge(self._online.waits.missed(error) or error)
        except (PlinthError, CommandError) as error:
            session.roll_back(connection)
            raise ApplyError(f"{error} {self.standing()}" if self._done else str(error)) from error
        except Exception as error:
            if session.is_interrupted(error):
                raise KeyboardInterrupt from error
            if session.is_lost(connection, error):
                raise
            session.roll_back(connection)
            wrong = self._is_wrong(error, f"{type(error).__name__}: {error}")
            if wrong and is_projects(error):
                raise wrong from error
            stays = f"{self._what_stays()} " if self._running else ""
            log.warning("Stopped by an error%s. %s%s", self._during(), stays, self.standing())
            raise
        finally:
            self._online.waits.begin()
        return True

    def _judge(self, error: DBAPIError | psycopg.Error) -> bool:
        """Return after a pause if another attempt is worth it.

        Raises:
            ApplyError: it isn't, for want of locks, of a connection, or of rows that bear it.
            DBAPIError: it isn't, for the revision's own fault.
            psycopg.Error: likewise, told by the driver.
        """
        if session.is_lost(self._connection, error):
            raise self.lost(error) from error
        session.roll_back(self._connection)
        self._online.clean_up(self._lock.session)
        during = self._during()
        if is_about_rows(error) and self._running:
            back = self._way_back()
            ways = f" Or, to correct the file, take back what is done first: {back}" if back else ""
            raise ApplyError(
                f"The rows don't bear revision {self._running}: {words(error)} {self._what_stays()} "
                f"{self.standing()} Fix the rows{'' if back else ', or the revision'}, and run the same "
                f"command again.{ways}"
            ) from error
        if is_cancelled(error) and self._running:
            raise ApplyError(
                f"A statement of revision {self._running} was cancelled: {words(error)} {self._what_stays()} "
                f"{self.standing()} Run the same command again, with a longer PLINTH_STATEMENT_TIMEOUT if "
                "that was it."
            ) from error
        is_half_done = self._online.step is not None and self._online.step.is_half_done
        if self._prepares and is_unprepared(error) and not is_half_done:
            self._prepares = False  # the revision forgets what its session has prepared (DEALLOCATE ALL)
            return False
        remedy = None if passes(error) else advice(error)
        if remedy:
            stays = f" {self._what_stays()}" if self._running else ""
            raise ApplyError(
                f"The server refuses{during}: {words(error)}{stays} {self.standing()} {remedy}"
            ) from error
        if self._was_half_done and not passes(error):
            raise ApplyError(
                f"Revision {self._running} was left half done by an earlier run, and doesn't bear to be done "
                f"twice: {words(error)} {self.standing()} "
                f"{half_done.say_ways(self._was_half_done, self._writer.script, self._writer.heads)}"
            ) from error
        if self._running and is_there_already(error):
            raise ApplyError(
                f"What revision {self._running} makes stands already: {words(error)} {self._what_stays()} "
                f"{self.standing()} If the database has all that it makes, say so: {self._stamp()}. Else "
                "rename or drop what stands in its way."
            ) from error
        if not passes(error):
            statement = error.statement if isinstance(error, DBAPIError) else None
            sql = f" [{statement}]" if statement else ""
            wrong = self._is_wrong(error, f"{words(error)}{sql}{self._too_old()}")
            if wrong:
                raise wrong from error
            stays = f"{self._what_stays()} " if self._running else ""
            log.warning("Stopped by an error%s. %s%s%s", during, stays, self.standing(), self._too_old())
            raise error
        why, what = self._why_waiting(error), passing(error)
        if self._online.step and self._online.step.is_half_done:
            raise ApplyError(
                f"{what[0].upper()}{what[1:]}{during}: {why} {self._what_stays()} It isn't tried again. "
                f"{self.standing()} If it may be done twice, say so in the file: repeatable = True"
            ) from error
        if self._may_try_again(error):
            return False
        limit = f"{self._settings.retry_limit.total_seconds():g} s"
        raise ApplyError(
            f"Gave up after {limit}: {what}{during}: {why} {self.standing()} Run the same command again."
        ) from error

    def _why_waiting(self, error: Exception) -> str:
        blockers = "; ".join(map(str, self._watcher.blockers()))
        return words(error) + (f" Blocked by {blockers}." if blockers else "")

    def _may_try_again(self, error: Exception) -> bool:
        """Pause, and return whether what needed a lock may be tried again; not when the time is up."""
        pause = self._backoff.next_pause()
        if pause is None:
            return False
        why, what = self._why_waiting(error), passing(error)
        log.warning(
            "%s%s%s: %s Trying again in %.1f s.", what[0].upper(), what[1:], self._during(), why, pause
        )
        time.sleep(pause)
        self._lock.check()
        return True

    def _is_wrong(self, error: Exception, said: str) -> ApplyError | None:
        """Return what to say when a revision is wrong; None to a program that runs the command itself."""
        planned = self._planned[self._done] if self._planned and self._done < len(self._planned) else None
        if not self._running or not isinstance(planned, RevisionStep) or self._config.cmd_opts is None:
            return None
        place, back = line_in(Path(planned.revision.path), error), self._way_back()
        first = f"Take back what is done ({back}), correct" if back else "Correct"
        return ApplyError(
            f"Revision {self._running} is wrong ({place}): {' '.join(said.split())} {self._what_stays()} "
            f"{self.standing()} {first} the file, and run the same command again."
        )

    def _way_back(self) -> str:
        """Return what to type before the running revision's file may change; empty if it may."""
        step = self._online.step
        if not step or not step.points or not step.stands_half_way or step.is_half_done:
            return ""
        for each in interrupted(self._lock.session, self._writer.version_table):
            if each.revision == step.revision and each.needs_its_file:
                return resuming.ways(each)[1]
        return ""

    def _prepare(
        self, heads: Sequence[str], context: MigrationContext, entries: Mapping[str, Entry] | None
    ) -> None:
        """Make the ledger ready, and see what earlier runs left half done: nothing may pass it over."""
        self._writer = Writer(context, heads)
        self._writer.prepare(self._connection, entries)
        self._batches = self._batches or (self._writer.batch, self._writer.batches)
        self._writer.batch, self._writer.batches = self._batches  # one batch for all that the command does
        self._left = half_done.left_half_done(context) if self._writer.half_way else []
        if not self._stamps:
            steps = (self._planned or [])[self._done :]
            half_done.refuse_others(self._left, self._to_take_back, steps, self._writer.script, heads)

    def _look_for_half_done(self, running: Step, step: MigrationStep) -> None:
        """See whether an earlier run left a step half done.

        Raises:
            ApplyError: it did, and the file is as it was then: what is done would be done twice.
        """
        left = [each for each in self._left if running.points and each.is_of(step)]
        self._was_half_done = left[0] if left else None
        for each in left:
            script, heads = self._writer.script, self._writer.heads
            half_done.refuse_twice(each, script, heads, running.checksum, self.standing())

    def _stamp(self) -> str:
        """Return what to type when what the running revision does has been done by hand."""
        planned = self._planned[self._done] if self._planned else None
        names = planned.to_revisions_no_deps if planned else ()
        base = f"{name_of(planned)}@base" if planned else "base"  # other branches stay
        return f"alembic stamp {' '.join(names) or base}"

    def _what_stays(self) -> str:
        """Return a sentence that says what is left of the revision that failed."""
        step = self._online.step
        if step and step.elsewhere:
            return (
                "It changed something by a connection of its own: what it had committed there stays, and may "
                "not bear to be done twice."
            )
        if step and step.has_left:
            return (
                "It ended its transaction itself (COMMIT or ROLLBACK in the revision): what it had committed "
                "stays, and may not bear to be done twice; what came after was rolled back."
            )
        if step is None or not step.stands_half_way:
            return "It was rolled back: nothing of it has changed the database."
        return "What it had finished before stays, and the same command goes on behind it."

    def _too_old(self) -> str:
        """Return what to say where the server is older than those for which revisions are written."""
        oldest = self._settings.oldest_server
        version = server_version(self._connection)
        if version >= oldest:
            return ""
        return (
            f" The server is PostgreSQL {version}, and revisions are written for {oldest} and newer: if "
            f"that is why, write oldest_server = {version} in [tool.plinth], and this revision anew."
        )

    def _steps(self, heads: Sequence[str], context: MigrationContext) -> Iterator[MigrationStep]:
        """Yield the steps that are left.

        They are planned once: after a failure, `+2` must not begin to count again.
        """
        connection = self._connection
        self._heads = tuple(heads)
        entries = self._plan(heads, context) if self._planned is None else None
        self._prepare(heads, context, entries)
        safety.remember_environment(connection)  # first: what is refused later is production all the same
        self._session_state = self._session_state or SessionState(driver_session(connection))
        planned = self._planned or []
        if not self._stamps:
            if self._done + 1 < len(planned):
                self._flushing.put_off()
            connection.commit()
        half_way = self._settled(context)
        version_row.written_at_once(context, self._move)
        for number in range(self._done, len(planned)):
            step = planned[number]
            if not self._stamps:
                connection.commit()  # the one before may have left a transaction that it began itself
            self._lock.check()
            self._display.line = f"revision {number + 1} of {len(planned)}: {step.doc or step.short_log}"
            self._online.follow(None)
            self._source = checksum.read(step.revision.path) if isinstance(step, RevisionStep) else None
            points = self._points(context, step, half_way)
            # What is interrupted was measured when it began.
            self._online.waits.begin()
            is_begun = points is not None and points.are_kept
            self._is_measured = True  # nor is a trial's drop one
            lost = losses.Losses() if is_begun else self._refuse_losses(context, planned, number)
            self._is_measured = lost.measured > 0
            if number + 1 == len(planned):
                self._flushing.resume()
            self._begin(step)
            self._grants.follow(points.granted if points else ())
            running = Step(name_of(step), is_upgrade=step.is_upgrade, points=points)
            self._look_for_half_done(running, step)
            self._online.follow(running)
            self._online.waits.begin()
            self._step_began = time.monotonic()
            self._look_after(step, lost.empty)
            yield step
            self._online.follow(None)
            self._running = None
            if not self._stamps:
                self._heads = tuple(self._writer.heads)
                self._done = number + 1
            self._backoff.start_again()

    def _plan(self, heads: Sequence[str], context: MigrationContext) -> dict[str, Entry] | None:
        """Decide on the steps, unless one may not be; return the ledger's newest rows if they were read."""
        refuse_heads(heads, context, self._command)
        resuming.refuse_what_moved(self._before, heads, context, self._command)
        half_way = resuming.standing_half_way(context)
        steps, back = resuming.plan(self._work, heads, context, self._command, half_way)
        planned = phases.but_for_those_after(steps, heads, context)
        if not self._stamps:
            resuming.refuse_others(half_way, back, planned)
        refuse_irreversible(planned)
        entries = refuse_slipped_in(heads, context, self._command, planned)
        refuse_long_ids(context, planned)
        self._refuse_to_empty(planned, context)
        self._counts = resuming.counts(context, self._command)
        # Last: where a lock doesn't come before it, all of it is asked again.
        self._planned, self._to_take_back = planned, {each.revision for each in back}
        return entries

    def _look_after(self, step: MigrationStep, empty: Sequence[losses.Empty]) -> None:
        """See in which transaction a step ends, also when it fails: Alembic then rolls back.

        Args:
            step: the step.
            empty: what it drops, and may only while that is empty.
        """
        run = step.migration_fn

        @functools.wraps(run)
        def looked_after(**arguments: object) -> None:
            try:
                if self._done and not self._ours.hold:  # whatever the one before has set
                    self._online.renew_settings()
                self._ours.hold = False  # unless it is seen
                with self._online.unwatched():
                    losses.hold(self._connection, empty)
                self._online.mark()
                run(**arguments)
            except BaseException:
                self._online.settle()
                raise
            finally:
                self._online.look()
            self._online.waits.refuse_missed()

        step.migration_fn = looked_after

    def _begin(self, step: MigrationStep) -> None:
        self._running = name_of(step)

    def _points(
        self, context: MigrationContext, step: MigrationStep, half_way: Sequence[Interrupted]
    ) -> Points | None:
        """Return what is remembered of a revision; None of one that is simply run again."""
        if not isinstance(step, RevisionStep) or says_repeatable(step):
            return None
        key = step.revision.revision, "up" if step.is_upgrade else "down"
        begun = next((each for each in half_way if (each.revision, each.direction) == key), None)
        if begun:
            place = f"behind its step {begun.last}" if begun.done else "with its first step"
            log.warning("Revision %s was interrupted: it goes on %s.", key[0], place)
        else:
            begun = Interrupted(*key, batch=self._writer.batch)
            if may_commit(self._source):
                from plinth.catalog import record_catalog  # noqa: PLC0415 - most revisions need no picture

                begun.picture = record_catalog(self._connection, **_names(context))
        driver = driver_session(self._connection)
        if self._session_state and may_commit(self._source):
            self._session_state.begin(driver, key)
        found = Points(self._writer.version_table, begun, self._source, self._session_state)
        found.see_grants = self._grants.noted
        found.refuse_what_is_gone(driver)
        session.roll_back(self._connection)  # the first statement of the revision begins its transaction
        return found

    def _settled(self, context: MigrationContext) -> list[Interrupted]:
        """Take back what goes, forget what `stamp` says, and return what stands half-way still."""
        table = self._writer.version_table
        half_way = interrupted(self._lock.session, table) if self._writer.half_way else []
        for each in half_way:
            if each.revision in self._to_take_back:
                self._take_back(context, each)
        self._to_take_back.clear()
        if half_way:
            half_way = interrupted(self._lock.session, table)
        if self._stamps and self._writer.half_way:
            resuming.forget(context, self._writer.heads, table, self._writer.half_way)
        return half_way

    def _take_back(self, context: MigrationContext, begun: Interrupted) -> None:
        """Take back what an interrupted revision has done.

        Raises:
            SafetyError: rows could be lost, and may not.
        """
        objection = safety.objection_to_losses(self._connection)
        if objection:
            raise safety.SafetyError(
                f"To take back what revision {begun.revision} has done may lose rows. Refused: {objection}"
            )
        from plinth.apply.half_way import take_back  # noqa: PLC0415 - rarely needed

        self._grants.follow(begun.noted.get(GRANTED, ()))
        try:
            take_back(context, self._connection, begun, self._writer.version_table, _names(context))
        except DBAPIError as error:
            if passes(error) or advice(error) or session.is_lost(self._connection, error):
                raise
            raise ApplyError(
                f"What revision {begun.revision} has done can't be taken back: {words(error)} Mend that, and "
                "run the same command again."
            ) from error

    def _move(self, old: str, new: str) -> bool:
        """Write the rows of the step that ends in one statement; return whether they are."""
        step = self._planned[self._done] if self._planned else None
        if not isinstance(step, RevisionStep) or not self._online.comes_to_its_end():
            return False
        ids = {"old": old, "new": new}
        row = self._writer.row(step, self._source, time.monotonic() - self._step_began)
        moved = self._writer.move(self._connection, ids, row, self._ours.picture, prepare=self._prepares)
        if moved and not self._options.get("on_version_apply"):  # nor does anybody else come behind it
            self._ours.see(moved[0])
        return moved is not None

    def _write(self, ctx: MigrationContext, step: MigrationInfo, heads: set[str], **_: object) -> None:
        running = self._online.step
        if running:
            if running.points:
                running.points.refuse_what_was_missed()
            running.is_written = True
            if running.is_online or running.stands_half_way or running.is_half_done or running.transaction:
                self._writer.half_way.add(running.revision)
        self._writer.write(ctx, step, heads, time.monotonic() - self._step_began)

    def _refuse_to_empty(self, planned: Sequence[MigrationStep], context: MigrationContext) -> None:
        """Return if all that was ever applied may be undone, or isn't.

        Raises:
            SafetyError: it may not.
        """
        undone = {name for step in planned if undoes(step) for name in step.from_revisions_no_deps}
        if not undone or any(step.is_upgrade for step in planned):
            return
        if context.script and not ancestors(context.script, self._heads or ()) - undone:
            safety.refuse_if_protected(self._connection, "downgrade to base")

    def _refuse_losses(
        self, context: MigrationContext, planned: Sequence[MigrationStep], number: int
    ) -> losses.Losses:
        """Say what the next downgrades lose; return what is known of that.

        Where they may not, each is measured once more before it runs: meanwhile rows may have come.

        Raises:
            SafetyError: they may not.
        """
        is_known = number < self._measured
        if not undoes(planned[number]):
            return losses.Losses()
        if is_known and not self._objection:
            return losses.Losses(measured=1)  # and said
        objection = self._objection = safety.objection_to_losses(self._connection)
        downgrades = [planned[number]] if is_known else list(itertools.takewhile(undoes, planned[number:]))
        lost = losses.measure(
            context, self._connection, downgrades, self._begin, strictly=objection is not None
        )
        self._online.waits.refuse_missed()
        running, self._running = self._running, None
        if objection:
            refuse_losses(lost, running or "", objection)
        self._measured = max(self._measured, number + max(lost.measured, 1))
        if lost.found:
            log.warning("This loses %s.", ", ".join(lost.found))
        if objection and len(downgrades) > 1:
            return self._refuse_losses(context, planned, number)  # this one's, of all
        return lost if objection else losses.Losses(measured=lost.measured)


def _names(context: MigrationContext) -> dict[str, Any]:
    """Return the version table's names, as `read_catalog` takes them."""
    names = ("version_table", "version_table_schema")
    return {name: context.opts[name] for name in names if context.opts.get(name)}
