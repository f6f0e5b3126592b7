"""Whether models, revisions and database agree: all revisions are tried in a scratch database."""

import contextlib
import copy
import hashlib
import io
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL

from plinth import environment, redirecting, settings
from plinth.apply.irreversible import reason_of
from plinth.apply.ledger import Entry, history_name, newest, read
from plinth.apply.standing import forks, say_fork, say_slipped_in, say_unknown, slipped_in, unknown_heads
from plinth.autogenerate.compare.hints import done_hints, read_hints
from plinth.autogenerate.compare.leaving import done_words, what_leaves
from plinth.autogenerate.objects.quoting import shown_names
from plinth.autogenerate.prove.proof import shown_differences, title
from plinth.catalog import Catalog, Difference, differences
from plinth.connecting import ConnectError, MissingDatabaseError, connect, connect_to_maintenance_database
from plinth.errors import PlinthError
from plinth.migration_connection import migration_connection
from plinth.scratch.baseline import (
    MissingError,
    is_missing,
    named,
    on_baseline,
    revisions_catalog,
    without,
)
from plinth.scratch.cache import count_known, remembered
from plinth.scratch.databases import NoScratchError, place_of, scratch_database, url_of
from plinth.scratch.revisions import (
    History,
    RevisionError,
    all_steps,
    copy_missing,
    history_of,
    run,
    sources_of,
)

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
        tried: whether there was a place to try the revisions.
    """

    revisions: int = 0
    problems: list[Problem] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tried: bool = True

    @property
    def agrees(self) -> bool:
        """Whether nothing was found that doesn't agree."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        shown = [{"kind": each.kind, "name": each.name, "message": each.message} for each in self.problems]
        return asdict(self) | {"agrees": self.agrees, "problems": shown}

    def add(self, kind: str, name: str, message: str, *, is_missing: bool = False) -> None:
        """Note a problem."""
        self.problems.append(Problem(kind, name, message, is_missing))


@dataclass(frozen=True)
class _Environment:
    """What `alembic/env.py` says.

    Args:
        history: the revisions.
        heads: of the database that it was run on.
        metadata: of the models.
        ahead: heads that have no file here, each with what to say of it.
        skipped: revisions that never ran and stand below an applied one, likewise.
    """

    history: History
    heads: Sequence[str]
    metadata: Any
    ahead: Mapping[str, str]
    skipped: Mapping[str, str]


def check(config: Config) -> Report:
    """Return whether models, revisions and database agree.

    Every revision is applied, undone (unless it says that it can't be) and applied again, in a scratch
    database; what they make is compared with the models, as `alembic check` does it, and with the database
    at hand if that has all revisions.

    Args:
        config: Alembic's.

    Raises:
        PlinthError: there is no server on which anything could be tried.
        alembic.util.CommandError: the revisions can't be read.
    """
    report = Report()
    script = ScriptDirectory.from_config(config)
    report.revisions = sum(1 for _ in script.walk_revisions())
    heads = script.get_heads()
    for several in forks(script):
        report.add("heads", ", ".join(several), say_fork(several))
    with place(config, report) as (target, is_at_hand):
        at_hand = _environment(config, target) if is_at_hand else None
        for name, words in at_hand.ahead.items() if at_hand else ():
            report.add("ahead", name, words)
        for name, words in at_hand.skipped.items() if at_hand else ():
            report.add("skipped", name, words)
        try:
            made = _try(config, target, at_hand, report)
        except NoScratchError as error:
            report.tried = False
            report.notes.append(f"The revisions could not be tried. {error}")
            if at_hand:
                _check_models(config, target, report)
            return report
        if made and at_hand:
            _check_database(target, at_hand, heads, made, report)
    return report


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
            report.notes.append(f"There is no database {url.database!r} to compare: make db-reset makes it.")
            at_hand = None
        except ConnectError as error:
            report.notes.append(f"The database was not compared. {error}")
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


def _environment(config: Config, place: Connection | Engine) -> _Environment:
    """Run `alembic/env.py` on a database, and return what it says."""
    found: list[_Environment] = []

    def check(heads: Sequence[str], context: MigrationContext) -> Iterable[MigrationStep]:
        metadata = context.opts.get("target_metadata")
        # What revisions ask of the configuration is the user's, whatever database they run on here.
        history = history_of(context)
        entries = _entries(context)
        found.append(
            _Environment(
                history,
                tuple(heads),
                metadata,
                {
                    each: say_unknown(history.script, each, entries)
                    for each in unknown_heads(history.script, heads)
                },
                {
                    each: say_slipped_in(history.script, each, heads, entries)
                    for each in slipped_in(history.script, heads, entries)
                },
            )
        )
        return []

    # The name by which the running command is known.
    check.__qualname__ = "check.<locals>.check"
    given = _configured(config, place)
    with redirecting.leading_to(_url(place)):
        environment.look(given, check, any_heads=True)
    return found[0]


def _url(place: Connection | Engine) -> URL:
    return place.url if isinstance(place, Engine) else url_of(place)


def _entries(context: MigrationContext) -> dict[str, Entry]:
    connection = context.connection
    if not isinstance(connection, Connection):
        return {}
    return newest(read(connection, history_name(connection, context.opts)))


def _configured(config: Config, place: Connection | Engine) -> Config:
    configured = copy.copy(config)
    configured.attributes = {**config.attributes, "connection": place}
    configured.stdout = io.StringIO()
    return configured


def _try(config: Config, target: Connection, at_hand: _Environment | None, report: Report) -> Catalog | None:
    """Try all revisions, on what stands below them where they lean on it; return what they make."""
    standing = at_hand.history.read(target) if at_hand else None
    missed: Problem | None = None

    def tried(engine: Engine, baseline: Catalog | None) -> Catalog | None:
        nonlocal missed
        found = Report()
        made = _check_revisions(config, engine, standing, baseline, found)
        missing = next((each for each in found.problems if each.is_missing), None)
        if missing and missed is None and at_hand and baseline is None:
            missed = missing
            raise MissingError(missing.message)
        if missed and not made:
            found.problems = [missed]  # what can't be taken back now stands in the way
        elif baseline and (names := named(baseline)):
            what = "No revision makes this, so they were tried on a copy of it:"
            found.notes.append(f"{what} {shown_names(names)}.")
        report.problems += found.problems
        report.hints += found.hints
        report.notes += found.notes
        return made

    if at_hand is None:
        with scratch_database(target) as engine:
            return tried(engine, None)
    try:
        return on_baseline(target, at_hand.history, tried)
    except MissingError:
        report.problems += [missed] if missed else []
        return None


def _check_revisions(
    config: Config, engine: Engine, standing: Catalog | None, baseline: Catalog | None, report: Report
) -> Catalog | None:
    """Try all revisions; return what they make, or None when they can't be applied."""
    environment = _environment(config, engine)
    history = environment.history
    if not try_all(engine, history, report):
        return None
    with engine.connect() as connection:
        made = history.read(connection)
    if standing:
        copy_missing(engine, standing)
    with engine.connect() as connection:
        # The comparison would make it again, to tell what is ours: what was copied isn't.
        revisions_catalog(history, connection, found=without(made, baseline))
    _check_models(config, engine, report)
    leaving = settings.configured().leaving
    if found := what_leaves(environment.metadata, made, leaving):
        what = "On its way out, and left as it is (leaving in [tool.plinth]):"
        report.notes.append(f"{what} {shown_names(found)}.")
    report.hints += done_words(environment.metadata, made, leaving)
    if report.agrees:
        report.hints += done_hints(read_hints(environment.metadata, made.default_schema), made)
    return made


def try_all(engine: Engine, history: History, report: Report) -> bool:
    """Return whether all revisions could be applied."""
    steps = all_steps(history.script)
    with engine.connect() as connection:
        key = [place_of(connection), history.key]
    digests = _digests([step.revision for step in steps])
    tried = count_known("tried", [[*key, digest] for digest in digests])
    proven = {step.revision.revision for step in steps[:tried]}
    problems = len(report.problems)

    def walk(connection: Connection, heads: tuple[str, ...]) -> Generator[MigrationStep]:
        before: Catalog | None = None
        for step in all_steps(history.script, heads):
            revision = step.revision
            if revision.revision in proven:
                yield step
                continue
            before = before or history.read(connection)
            yield step
            after = history.read(connection)
            if reason_of(revision) is None:
                yield history.down(revision)
                found = differences(history.read(connection), before)
                if found:
                    what = f"The downgrade of revision {title(revision)} doesn't put back what was there:"
                    report.add("downgrade", revision.revision, shown_differences(what, found))
                yield history.up(revision)
            before = after

    while True:
        try:
            run(engine, history, walk)
        except RevisionError as error:
            report.add(
                "upgrade" if error.is_upgrade else "downgrade",
                error.revision,
                str(error),
                is_missing=error.is_upgrade and is_missing(error),
            )
            if error.is_upgrade:
                return False
            continue  # from the next one: it is applied still
        break
    if digests and len(report.problems) == problems:
        remembered("tried", [*key, digests[-1]], lambda: True)
    return True


def _digests(revisions: Sequence[Script]) -> list[str]:
    """Return what tells each revision and those before it from others; nothing where that can't be told."""
    digests = []
    digest = hashlib.sha256()
    for source in sources_of(revisions) or ():
        digest.update(hashlib.sha256(source.encode()).digest())
        digests.append(digest.hexdigest())
    return digests


def _check_models(config: Config, place: Connection | Engine, report: Report) -> None:
    """Compare a database with the models as `alembic check` does."""
    try:
        with redirecting.leading_to(_url(place)):
            command.check(_configured(config, place))
    except CommandError as error:
        words = str(error).replace(
            "The database is not as the models say", "The revisions don't make what the models say"
        )
        report.add("models", "models", words, is_missing=is_missing(error))


def _check_database(
    target: Connection, at_hand: _Environment, heads: Sequence[str], made: Catalog, report: Report
) -> None:
    name = str(target.engine.url.database)
    if set(at_hand.heads) != set(heads):
        report.notes.append(f"Database {name!r} was not compared: it doesn't have all revisions.")
        return
    all_found = differences(at_hand.history.read(target, made.default_schema), made)
    others = [f"{each.kind} {each.name}" for each in all_found if is_others(each) and not comes_along(each)]
    if others:
        what = "No revision made this and no model knows it, so it is left alone:"
        report.notes.append(f"{what} {shown_names(others)}.")
    found = [each for each in all_found if not is_others(each)]
    if found:
        what = f"Database {name!r} is not as the revisions make it:"
        report.add("database", name, shown_differences(what, found))


def is_others(difference: Difference) -> bool:
    """Whether something was made by hand or by another application, which is none of ours."""
    return not difference.attribute and difference.wanted is None and difference.kind not in _PARTS


def comes_along(difference: Difference) -> bool:
    """Whether it is a serial column's sequence, of which its table's name says enough."""
    return difference.kind == "sequence" and difference.actual.owner is not None
