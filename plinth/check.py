"""Whether models, revisions and database agree: all revisions are tried in a scratch database."""

import contextlib
import hashlib
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from alembic.config import Config
from alembic.runtime.migration import MigrationStep, RevisionStep
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from plinth import settings
from plinth.apply.irreversible import reason_of
from plinth.apply.ledger import history_name, newest, read, version_table
from plinth.apply.standing import (
    forks,
    say_fork,
    say_mixed_heads,
    say_slipped_in,
    say_unknown,
    slipped_in,
    unknown_heads,
)
from plinth.autogenerate.change.quoting import quoted, shown_names
from plinth.autogenerate.compare.hints import done_hints, read_hints
from plinth.autogenerate.compare.leaving import done_words, what_leaves
from plinth.autogenerate.compare.models import own_of
from plinth.autogenerate.prove.proof import shown_differences, title
from plinth.catalog import Catalog, Difference, differences, unseen, unseen_differences
from plinth.catalog.picture import Other
from plinth.configured import Configured, at_hand, configured, on_scratch
from plinth.connecting import ConnectError, MissingDatabaseError, connect, connect_to_maintenance_database
from plinth.errors import PlinthError
from plinth.migration_connection import migration_connection
from plinth.own_schema import objection_to_version_schema
from plinth.quiet import quiet_context
from plinth.scratch.baseline import (
    Below,
    MissingError,
    is_missing,
    named,
    on_baseline,
    revisions_catalog,
    without,
)
from plinth.scratch.beyond import passed_over
from plinth.scratch.cache import count_known, remembered
from plinth.scratch.databases import NoScratchError, begin_again, run_in, scratch_database
from plinth.scratch.prerequisites import Prerequisite
from plinth.scratch.revisions import (
    History,
    RevisionError,
    all_steps,
    copy_missing,
    run,
    sources_of,
)
from plinth.ways_back import changes_more, not_as_it_was

# A revision that gives default privileges itself finds none.
_GIVES = re.compile(r"\bdefault\s+privileges\b", re.IGNORECASE)
# Parts of a table: one that no revision made is a difference in a table that one did make.
_PARTS = {"column", "constraint", "index"}


@dataclass(frozen=True)
class Problem:
    """Something that doesn't agree.

    Args:
        kind: "upgrade", "downgrade", "models", "database", "heads", "ahead" or "skipped".
        name: of the revision or database.
        message: what it is.
        is_missing: something isn't there on which it leans.
    """

    kind: str
    name: str
    message: str
    is_missing: bool = field(default=False, compare=False, repr=False)


@dataclass
class Report:
    """What was found.

    Args:
        revisions: how many there are.
        problems: what doesn't agree.
        hints: hints in the models that are done and can go.
        notes: what could not be looked at, and why; what is none of ours.
        tried: whether all revisions could be applied in a trial, or failed.
        untried: those that need what trials leave alone, one way at least.
    """

    revisions: int = 0
    problems: list[Problem] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tried: bool = True
    untried: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether nothing was found that doesn't agree."""
        return not self.problems

    def verdict(self) -> str:
        """Return a sentence for where all agrees."""
        number = f"{self.revisions} revision{'s' * (self.revisions != 1)}"
        how = "not all of them tried" if self.untried else "each tried up and down"
        if self.tried:
            return f"Models and revisions agree ({number}, {how})."
        return f"Models and database agree ({number}, {how if self.untried else 'none of them tried'})."

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        shown = [{"kind": each.kind, "name": each.name, "message": each.message} for each in self.problems]
        return asdict(self) | {"agrees": self.agrees, "problems": shown}

    def add(self, kind: str, name: str, message: str, *, is_missing: bool = False) -> None:
        """Note a problem."""
        self.problems.append(Problem(kind, name, message, is_missing))


def check(config: Config) -> Report:
    """Return whether models, revisions and database agree.

    Every revision is applied, undone (unless it says that it can't be) and applied again, in a scratch
    database; what they make is compared with the models, as `alembic check` does it, and with the database
    at hand if that has all revisions. Where `env.py` leads to several databases, each one is looked at.

    Args:
        config: Alembic's.

    Raises:
        PlinthError: there is no server on which anything could be tried.
        alembic.util.CommandError: the revisions can't be read.
    """
    report = Report()
    script = ScriptDirectory.from_config(config)
    report.revisions = sum(1 for _ in script.walk_revisions())
    for several in forks(script):
        report.add("heads", ", ".join(several), say_fork(several))
    try:
        found = configured(config)
    except Exception as error:  # of any driver
        _check_without_database(config, error, report)
        return report
    for each in found:
        with at_hand(config, each) as target:
            _check_one(each, target, report)
    return report


def _check_one(found: Configured, target: Connection, report: Report) -> None:
    heads, script = found.heads(target), found.history.script
    entries = newest(read(target, history_name(target, dict(found.options))))
    for name in unknown_heads(script, heads):
        report.add("ahead", name, say_unknown(script, name, entries))
    mixed = say_mixed_heads(heads, script, version_table(dict(found.options)))
    if mixed:
        report.add("heads", ", ".join(sorted(heads)), mixed)
    for name in slipped_in(script, heads, entries):
        report.add("skipped", name, say_slipped_in(script, name, heads, entries))
    missing = objection_to_version_schema(target, found.options.get("version_table_schema"))
    if missing:
        report.add("database", str(target.engine.url.database), missing)
    try:
        made = _try(found, target, report)
    except NoScratchError as error:
        report.tried = False
        report.notes.append(f"The revisions could not be tried. {error}")
        _check_models(found, target, report)
        return
    if made:
        _check_database(target, found, heads, made, report)
    elif not report.tried:
        _check_models(found, target, report)


def _check_without_database(config: Config, failure: Exception, report: Report) -> None:
    """Try the revisions on the server of a database that isn't there, or on the local one.

    Raises:
        Exception: the failure, if that isn't why `env.py` fails.
        NoScratchError: there is no place to try them either, so that there is nothing to tell.
    """
    with place(config, report) as (target, is_at_hand):
        if is_at_hand:
            raise failure
        try:
            with scratch_database(target) as engine:
                _add_all(report, _tried(on_scratch(config, engine), engine)[1])
        except NoScratchError as error:
            said = " ".join([*(each.message for each in report.problems), *report.notes])
            raise NoScratchError(f"Nothing could be looked at. {said} {error}") from error


@contextmanager
def place(config: Config, report: Report) -> Iterator[tuple[Connection, bool]]:
    """Yield a connection to the database at hand, and True; else to another one that has a server.

    Raises:
        ConnectError: there is none, nor a local server.
    """
    if config.attributes.get("connection") is not None:
        with migration_connection(config) as given:
            yield given, True
        return
    url = settings.migration_url(config)
    with contextlib.ExitStack() as stack:
        try:
            at_hand = stack.enter_context(connect(url))
        except MissingDatabaseError:
            makes = settings.to_type("db-reset", "plinth reset")
            report.notes.append(f"There is no database {url.database!r} to compare: {makes} makes it.")
            at_hand = None
        except ConnectError as error:
            report.add("database", str(url.database), f"The database can't be compared. {error}")
            url = _local_server(error)
            at_hand = None
        if at_hand is not None:
            yield at_hand, True
        else:
            yield stack.enter_context(connect_to_maintenance_database(url)), False


def _local_server(instead: ConnectError) -> URL:
    try:
        from plinth.local_server import development_server  # noqa: PLC0415 - for development only

        development_server().start()
        return development_server().url("postgres")
    except (ImportError, PlinthError):
        raise instead from None


def _try(found: Configured, target: Connection, report: Report) -> Catalog | None:
    """Try all revisions, on what stands below them where they lean on it; return what they make."""
    standing = found.history.read(target)
    missed: Problem | None = None

    def tried(engine: Engine, below: Below | None) -> Catalog | None:
        nonlocal missed
        made, own = _tried(found, engine, standing, below)
        missing = next((each for each in own.problems if each.is_missing), None)
        if missing and missed is None and below is None:
            missed = missing
            raise MissingError(missing.message)
        if missed and not made and own.tried:
            said = " ".join(each.message for each in own.problems if each.kind == "upgrade")
            if said != missed.message:
                own.notes.append(f"On a copy of what stands in the database they were tried, too: {said}")
            own.problems = [missed]  # what can't be taken back now stands in the way
        elif below and not below.failure and (names := named(below.catalog)):
            what = "No revision makes this, so they were tried on a copy of it:"
            own.notes.append(f"{what} {shown_names(names)}.")
        if below:
            note_untried(below, found.history.script, own, missed)
        _add_all(report, own)
        return below.without_shells(made) if below and made else made

    try:
        return on_baseline(target, found.history, tried)
    except MissingError:
        report.problems += [missed] if missed else []
        return None


def _add_all(report: Report, own: Report) -> None:
    report.problems += own.problems
    report.hints += own.hints
    report.notes += own.notes
    report.tried = report.tried and own.tried
    report.untried += own.untried


def _tried(
    found: Configured, engine: Engine, standing: Catalog | None = None, below: Below | None = None
) -> tuple[Catalog | None, Report]:
    """Try all revisions; return what they make, or None when they can't be applied, and what was found."""
    report, history, metadata = Report(), found.history, found.options.get("target_metadata")
    if not try_all(engine, history, report):
        rest = ", and models and database were not compared" if report.tried else ""
        report.notes.append(f"What comes after it was not tried{rest}.")
        return None, report
    with engine.connect() as connection:
        made = history.read(connection)
    if standing:
        copy_missing(engine, standing, own_of(metadata, engine.dialect, standing.default_schema).has)
    with engine.connect() as connection:
        if not (below and below.failure):
            # The comparison would make it again, to tell what is ours: what was copied isn't.
            revisions_catalog(history, connection, found=without(made, below))
        _check_models(found, connection, report)
    if metadata is None:
        return made, report
    leaving = settings.configured().leaving
    if leaves := what_leaves(metadata, made, leaving):
        what = "On its way out, and left as it is (leaving in [tool.plinth]):"
        report.notes.append(f"{what} {shown_names(leaves)}.")
    report.hints += done_words(metadata, made, leaving)
    if report.agrees:
        report.hints += done_hints(read_hints(metadata, made.default_schema), made)
    return made, report


def try_all(engine: Engine, history: History, report: Report) -> bool:
    """Return whether all revisions could be applied.

    Args:
        engine: of a scratch database, which has all of them afterwards. It is made anew behind a downgrade
            that leaves something.
        history: the revisions. Those that are applied there already count as untried.
        report: gets what is wrong with them.
    """
    steps = all_steps(history.script)
    sources = sources_of([step.revision for step in steps]) or []
    given = [] if _GIVES.search("\n".join(sources)) else engine.get_execution_options()["default_privileges"]
    given = given if sources else []  # what isn't read may give them itself
    with engine.connect() as connection:
        key = [run_in(connection, sources), history.key, *given]
        heads = quiet_context(connection, opts=dict(history.options)).get_current_heads()
    rest = {step.revision.revision for step in all_steps(history.script, heads)}
    report.untried += [name for step in steps if (name := step.revision.revision) not in rest]
    digests = _digests(sources)
    tried = count_known("tried", [[*key, digest] for digest in digests])
    proven = {step.revision.revision for step in steps[:tried]}
    problems = len(report.problems)
    trial = _Trial(history, report, _known_notes([*key, digests[tried - 1]]) if tried else [])

    def walk(connection: Connection, heads: tuple[str, ...]) -> Generator[MigrationStep]:
        before: Catalog | None = None
        for step in all_steps(history.script, heads):
            if step.revision.revision in proven:
                yield step
            else:
                before = yield from trial.there_and_back(connection, step, before or history.read(connection))

    while True:
        try:
            if given:
                _give(engine, given)
            run(engine, history, walk)
        except RevisionError as error:
            if error.is_upgrade and error.revision in trial.undone - proven:
                if error.revision not in report.untried:  # else what stays is no fault of its downgrade
                    _say_it_stays_undone(error, report)
                begin_again(engine)
                names = [step.revision.revision for step in steps]
                proven.update(names[: names.index(error.revision) + 1])
                continue
            _note(error, report)
            if error.is_upgrade:
                return False
            continue  # from the next one: it is applied still
        break
    report.notes += trial.lost
    if digests and len(report.problems) == problems and not report.untried:
        remembered("tried", [*key, digests[-1]], lambda: trial.lost)
    return True


def _give(engine: Engine, statements: Sequence[str]) -> None:
    """Let what is made in a scratch database get the privileges that it gets in the database in question."""
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        for each in statements:
            with contextlib.suppress(DBAPIError):  # a role of another server, a schema that is still to come
                connection.exec_driver_sql(each.replace("%", "%%"))


class _Trial:
    """Tries revisions, each there and back and there again.

    Args:
        history: the revisions.
        report: gets what is wrong with them.
        lost: notes of what downgrades don't bring back of what was dropped.
    """

    def __init__(self, history: History, report: Report, lost: list[str]) -> None:
        self.undone: set[str] = set()
        self.lost = lost
        self._history = history
        self._report = report

    def there_and_back(
        self, connection: Connection, step: RevisionStep, before: Catalog
    ) -> Generator[MigrationStep, None, Catalog]:
        """Yield the steps of one revision; return what is there then."""
        revision = step.revision
        more = unseen(connection) if changes_more(revision) else None
        passed_over(connection)
        yield step
        self._note_untried(connection, revision, "upgrade")
        after = self._history.read(connection)
        if reason_of(revision) is None:
            yield self._history.down(revision)
            self._note_untried(connection, revision, "downgrade")
            found = differences(self._history.read(connection), before)
            if revision.revision in self._report.untried:  # what would have been taken away with it is there
                found = [each for each in found if each.attribute or each.wanted is not None]
            elif more is not None:
                found += self._more(connection, revision, more)
            if found:
                what = f"The downgrade of revision {title(revision)} doesn't put back what was there:"
                shown = shown_differences(what, found)
                self._report.add("downgrade", revision.revision, f"{shown}{_how_it_goes(found)}")
            self.undone.add(revision.revision)
            yield self._history.up(revision)
        return after

    def _note_untried(self, connection: Connection, revision: Script, way: str) -> None:
        for what in passed_over(connection):
            said = f"The {way} of revision {title(revision)} was not tried wholly"
            self._report.notes.append(f"{said}, for it reaches beyond the database: {what}.")
            if revision.revision not in self._report.untried:
                self._report.untried.append(revision.revision)

    def _more(
        self, connection: Connection, revision: Script, before: Mapping[str, str | None]
    ) -> list[Difference]:
        """Return what else isn't as it was; what merely went with a drop is noted."""
        table = self._history.options.get("version_table") or "alembic_version"
        found = unseen_differences(unseen(connection), before, table)
        wrong = not_as_it_was(found, [revision])
        names = [f"{each.kind} {each.name}" for each in found if each not in wrong]
        if names:
            what = f"The downgrade of revision {title(revision)} makes anew what was dropped"
            self.lost.append(f"{what}, with other privileges or the like: {shown_names(names)}.")
        return wrong


def note_untried(
    below: Below, script: ScriptDirectory, report: Report, missed: Problem | None = None
) -> None:
    """Note why revisions could not be tried that a copy of a database has still.

    Args:
        below: what it has.
        script: the revisions.
        report: gets it.
        missed: why they were tried on a copy.
    """
    failure = below.failure
    if failure is None:
        return
    revision = script.get_revision(failure.revision)
    is_fault = not failure.is_beyond and revision is not None and reason_of(revision) is None
    if is_fault:
        _note(failure, report)
    why = [] if missed is None else [f"From nothing: {missed.message}."]
    why.append(
        f"On a copy of what stands, revision {failure.revision} can't be undone"
        f"{'' if is_fault else f' ({failure})'}."
    )
    report.notes.append(f"Not tried: {shown_names(report.untried)}. {' '.join(why)}")


def _known_notes(key: Sequence[str]) -> list[str]:
    known: object = remembered("tried", key, list)
    return [*known] if isinstance(known, list) else []


def _note(error: RevisionError, report: Report) -> None:
    """Note a revision that fails, or that needs what trials leave alone."""
    if error.is_beyond:
        report.untried.append(error.revision)
        report.notes.append(str(error))
        report.tried = not error.is_upgrade
        return
    lacks = error.is_upgrade and is_missing(error)
    report.add("upgrade" if error.is_upgrade else "downgrade", error.revision, str(error), is_missing=lacks)


def _how_it_goes(found: Sequence[Difference]) -> str:
    """Return what to write where a downgrade leaves enums, as Alembic's own do, or what only SQL makes."""
    left = [each for each in found if not each.attribute and each.wanted is None]
    enums = [f"DROP TYPE {_sql_name(each)}" for each in left if each.kind == "enum"]
    others = [each.actual for each in left if isinstance(each.actual, Other) and each.actual.table is None]
    drops = [*(f"DROP {each.address}" for each in others), *enums]
    if not drops:
        return ""
    words = "\n".join(f"    op.execute({each!r})" for each in drops)
    why = "An enum stays when its last column goes. " if enums else ""
    return f"\n  {why}At the end of that downgrade():\n{words}"


def _sql_name(enum: Difference) -> str:
    name = enum.actual.name
    return quoted(name.name) if enum.name == name.name else f"{quoted(name.schema)}.{quoted(name.name)}"


def _say_it_stays_undone(error: RevisionError, report: Report) -> None:
    """Note that a revision can't be applied again, where what its downgrade leaves is named."""
    last = report.problems[-1] if report.problems else None
    if last and (last.kind, last.name) == ("downgrade", error.revision):
        report.problems[-1] = replace(last, message=f"{last.message}\n  Applied again: {error}")
    else:
        report.add("downgrade", error.revision, f"Applied again after its downgrade: {error}")


def _digests(sources: Sequence[str]) -> list[str]:
    """Return what tells each revision and those before it from others."""
    digests = []
    digest = hashlib.sha256()
    for source in sources:
        digest.update(hashlib.sha256(source.encode()).digest())
        digests.append(digest.hexdigest())
    return digests


def _check_models(found: Configured, place: Connection, report: Report) -> None:
    """Compare a database with the models as `alembic check` does."""
    try:
        found.check(place)
    except CommandError as error:
        words = str(error).replace(
            "The database is not as the models say", "The revisions don't make what the models say"
        )
        report.add("models", "models", words, is_missing=is_missing(error))


def _check_database(
    target: Connection, found: Configured, heads: Sequence[str], made: Catalog, report: Report
) -> None:
    name = str(target.engine.url.database)
    if set(heads) != set(found.history.script.get_heads()):
        report.notes.append(f"Database {name!r} was not compared: it doesn't have all revisions.")
        return
    all_found = differences(found.history.read(target, made.default_schema), made)
    known = own_of(found.options.get("target_metadata"), target.dialect, made.default_schema)
    others = [
        f"{each.kind} {each.name}"
        for each in all_found
        if is_others(each) and not comes_along(each) and not known.has(_named(each))
    ]
    if others:
        what = "No revision made this and no model knows it, so it is left alone:"
        report.notes.append(f"{what} {shown_names(others)}.")
    differing = [each for each in all_found if not is_others(each)]
    if differing:
        what = f"Database {name!r} is not as the revisions make it:"
        way = "  To undo each by hand, or to keep it: plinth adopt"
        report.add("database", name, f"{shown_differences(what, differing)}\n{way}")


def _named(difference: Difference) -> Prerequisite:
    """Return what is there alone, by its name."""
    there = difference.actual
    if isinstance(there, Other):
        return Prerequisite(there.kind, there.bare, "")
    if isinstance(there, str):  # a schema
        return Prerequisite(difference.kind, there, "")
    kind = "type" if difference.kind == "enum" else difference.kind
    return Prerequisite(kind, there.name.name, "", there.name)


def is_others(difference: Difference) -> bool:
    """Whether something was made by hand or by another application, which is none of ours."""
    return not difference.attribute and difference.wanted is None and difference.kind not in _PARTS


def comes_along(difference: Difference) -> bool:
    """Whether it is a whole sequence of a serial column's, of which its table's name says enough."""
    there = difference.actual or difference.wanted
    return difference.kind == "sequence" and not difference.attribute and there.owner is not None
