"""Proves new revisions before they are written: in a scratch database that the existing ones have made.

Upgrade, compare with the models; downgrade one by one, compare with what was there before; upgrade again. On
the way back, and on the second way up, each revision is interrupted behind each of its points, and resumed.
Where values become others there are rows that have something to lose (`rows`).
"""

import contextlib
import copy
import io
import logging
import tempfile
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from alembic.autogenerate.api import RevisionContext
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine

from plinth.autogenerate.change.quoting import shown, shown_names
from plinth.autogenerate.compare.conversions import Conversion
from plinth.autogenerate.compare.renames import Rename
from plinth.autogenerate.prove.rows import Rows, WrongValues, put_rows
from plinth.catalog import Catalog, Difference, Name, differences
from plinth.connecting import on_our_driver_too
from plinth.errors import PlinthError
from plinth.revision_files import read_anew
from plinth.scratch.baseline import begins_with_what_stands, copy_standing, is_missing
from plinth.scratch.copying import CopyError
from plinth.scratch.databases import NoScratchError, scratch_database
from plinth.scratch.revisions import History, RevisionError, Walk, copy_missing, history_of, run, upgrade

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_SHOWN = 20  # differences

NOTHING_WRITTEN = "Nothing has been written."


class ProofError(PlinthError):
    """New revisions don't do what they should; the message names the revision and the objects."""


class UnprovenError(ProofError):
    """New revisions can't be tried from nothing: what they or the existing ones lean on isn't there."""


class _RowsInTheWay(Exception):  # noqa: N818 - the proof goes on without them
    """A revision fails on rows that were made up.

    Args:
        message: the revision's.
        is_about_values: whether a value couldn't be converted.
    """

    def __init__(self, message: str, *, is_about_values: bool) -> None:
        super().__init__(message)
        self.is_about_values = is_about_values


@dataclass(frozen=True)
class Claim:
    """What is to be proved of new revisions: that they lead from one schema to another.

    Args:
        models: the schema that the models describe.
        standing: the schema of the database. What revisions lean on and don't make is copied from it.
        unexplained: in what the first schema isn't as the second demands.
        changed: the tables that stand in the database and that the models know.
        takes_up_drift: whether the new revisions change what somebody has changed in the database by hand.
        conversions: columns whose values become others, or that get some, by the names that they will have.
        renames: what gives them these names.
    """

    models: Catalog
    standing: Catalog
    unexplained: Callable[[Catalog, Catalog], Sequence[Difference]] = differences
    changed: Collection[Name] = ()
    takes_up_drift: Callable[[], bool] = lambda: False
    conversions: Sequence[Conversion] = ()
    renames: Sequence[Rename] = ()


def prove(context: MigrationContext, directives: Sequence[MigrationScript], claim: Claim) -> None:
    """Return if the new revisions do what they should, or if it can't be tried (which is logged).

    Called at the end of `process_revision_directives`, before Alembic writes anything. The files that it
    would write are written to a temporary folder, formatted by the post-write hooks, and run; with
    `-x prove=no` they are only written.

    Args:
        context: Alembic's, on the database that the models were compared with.
        directives: the new revisions, each with the head that it follows.
        claim: what they should do.

    Raises:
        ProofError: they don't, or can't be written as files.
    """
    target = context.connection
    if not isinstance(target, Connection) or not directives:
        return
    with rendered(context, directives) as (script, revisions), on_our_driver_too(target) as target:
        if not _is_wanted(context):
            return
        history = history_of(context)
        with_new = history.with_script(script)
        try:
            _refuse_to_begin_in_the_middle(history, claim)
            _prove(target, lambda engine: _begin(engine, history, claim), with_new, revisions, claim)
        except NoScratchError as error:
            log.warning("The new revisions could not be proved. %s", error)
        except UnprovenError as error:
            if claim.takes_up_drift():  # the copy has it, too, and would prove what fails everywhere else
                raise
            _prove_on_copy(target, with_new, revisions, claim, error)


def asked_after(
    context: MigrationContext,
    directives: Sequence[MigrationScript],
    claim: Claim,
    ask: Callable[[Connection, MigrationContext], T],
) -> list[T]:
    """Return what is answered in a scratch database after each of the new revisions; nothing without a place.

    Args:
        context: Alembic's, on the database that the models were compared with.
        directives: the new revisions.
        claim: what they should do.
        ask: is given the connection, and that context.

    Raises:
        ProofError: they fail.
    """
    given = context.connection
    if not isinstance(given, Connection):
        return []
    found: list[T] = []
    with rendered(context, directives) as (script, revisions), on_our_driver_too(given) as target:
        history = history_of(context)
        with_new = history.with_script(script)

        def walk(connection: Connection, _: tuple[str, ...]) -> Generator[MigrationStep]:
            for revision in revisions:
                yield with_new.up(revision)
                found.append(ask(connection, context))

        def on(begin: Callable[[Engine], object]) -> None:
            with scratch_database(target) as engine:
                begin(engine)
                try:
                    run(engine, with_new, walk)
                except RevisionError as error:
                    kind = UnprovenError if is_missing(error) else ProofError
                    raise kind(f"{error} {NOTHING_WRITTEN}") from error

        try:
            on(lambda engine: _begin(engine, history, claim))
        except NoScratchError:
            return []
        except UnprovenError:
            found.clear()
            on(lambda engine: copy_standing(target, engine, with_new))
    return found


def _is_wanted(context: MigrationContext) -> bool:
    environment = context.environment_context
    arguments = environment.get_x_argument(as_dictionary=True) if environment else {}
    return arguments.get("prove") not in {"no", "false", "off"}


@contextlib.contextmanager
def rendered(
    context: MigrationContext, directives: Sequence[MigrationScript]
) -> Iterator[tuple[ScriptDirectory, list[Script]]]:
    """Yield the revisions with the new ones among them, and the new ones, whose files are gone afterwards.

    Raises:
        ProofError: they can't be written, or can't be read.
    """
    given: RevisionContext = context.opts["revision_context"]
    with tempfile.TemporaryDirectory(prefix="plinth-proof-") as name:
        folder = Path(name)
        trial = copy.copy(given)
        trial.script_directory = read_anew(
            given.script_directory, [*given.script_directory._version_locations, folder]
        )
        revisions = [_written(trial, directive, folder) for directive in directives]
        yield trial.script_directory, revisions


def _written(trial: RevisionContext, directive: MigrationScript, folder: Path) -> Script:
    new = copy.copy(directive)
    new.version_path = str(folder)
    new._needs_render = True  # Alembic says so of all, but only after the hook
    # An existing --version-path or --head is looked at here for the first time: the error is Alembic's own.
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # hooks tell what they do, once is enough
            script = trial._to_script(new)
    except CommandError as error:
        raise ProofError(f"{' '.join(str(error).split())} {NOTHING_WRITTEN}") from error
    except Exception as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        raise ProofError(
            f"The file of revision {directive.rev_id} can't be written or read: {words}. {NOTHING_WRITTEN}"
        ) from error
    if script is None:
        raise ProofError(
            f"The file of revision {directive.rev_id} would not be found again: file_template gives it a "
            f"name that Alembic doesn't take for a revision's. {NOTHING_WRITTEN}"
        )
    return script


def _refuse_to_begin_in_the_middle(history: History, claim: Claim) -> None:
    """Return unless the first revision would change tables that no revision makes.

    Raises:
        ProofError: it would.
    """
    if claim.changed and not history.script.get_bases():
        tables = shown_names([shown(name, claim.standing) for name in sorted(claim.changed)])
        raise ProofError(
            f"No revision makes what stands in the database already ({tables}). Begin with an empty one, "
            "a baseline: alembic revision -m baseline && alembic stamp head (on each database that has these "
            f"tables). {NOTHING_WRITTEN}"
        )


def _prove(
    target: Connection,
    begin: Callable[[Engine], None],
    history: History,
    revisions: Sequence[Script],
    claim: Claim,
) -> None:
    """Prove new revisions in scratch databases, which `begin` makes like the database."""
    try:
        with scratch_database(target) as engine:
            begin(engine)
            rows = _try(engine, history, revisions, claim)
    except _RowsInTheWay as error:
        # Made-up rows may not bear what the real ones do: a check, a unique constraint.
        with scratch_database(target) as engine:
            begin(engine)
            _try(engine, history, revisions, replace(claim, conversions=()))
        if error.is_about_values:
            raise ProofError(f"{error} {NOTHING_WRITTEN}") from error
        return
    for each in rows:
        if each.refused:
            with scratch_database(target) as engine:
                begin(engine)
                _try_refused(engine, history, revisions, each)


def _begin(engine: Engine, history: History, claim: Claim) -> None:
    if begins_with_what_stands(history):
        raise UnprovenError("The first revision is empty.")
    try:
        upgrade(engine, history)
    except RevisionError as error:
        raise UnprovenError(
            f"The new revisions can't be proved, because the existing ones don't run on an empty database. "
            f"{error} Repair that one, or leave the proof out: alembic -x prove=no revision …"
        ) from error
    copy_missing(engine, claim.standing)


def _prove_on_copy(
    target: Connection, history: History, revisions: Sequence[Script], claim: Claim, first: UnprovenError
) -> None:
    """Prove new revisions on a copy of the database's schema, where the existing ones count as applied."""

    def begin(engine: Engine) -> None:
        try:
            copy_standing(target, engine, history)
        except CopyError as error:
            raise ProofError(f"{first} {error}") from first

    log.info("The new revisions are proved on a copy of the database's schema, for no revision makes it.")
    _prove(target, begin, history, revisions, claim)


def _try(engine: Engine, history: History, revisions: Sequence[Script], claim: Claim) -> list[Rows]:
    """Try new revisions there and back; return the rows that they took along."""
    rows = put_rows(engine, claim.conversions, claim.renames)
    stage = _Stage()
    walk = _there_and_back(history, revisions, claim, rows, stage)
    try:
        run(engine, history, walk, is_interrupted=lambda: stage.is_interrupted)
    except WrongValues as error:
        raise ProofError(_wrongly(revisions, error)) from error
    except RevisionError as error:
        code = getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) or ""
        if claim.conversions and code[:2] in {"22", "23"}:
            is_about_values = code.startswith("22") and all(each.are_convertible for each in rows)
            raise _RowsInTheWay(str(error), is_about_values=is_about_values and bool(rows)) from error
        kind = UnprovenError if is_missing(error) else ProofError
        raise kind(f"{error} {NOTHING_WRITTEN}") from error
    return rows


def _try_refused(engine: Engine, history: History, revisions: Sequence[Script], rows: Rows) -> None:
    """Return if a value that can't be converted stops the revisions, or stays as it is."""
    if not rows.put_refused(engine):
        return

    def walk(connection: Connection, _: tuple[str, ...]) -> Generator[MigrationStep]:
        for revision in revisions:
            yield history.up(revision)
        rows.refuse_cut(connection)

    try:
        run(engine, history, walk)
    except WrongValues as error:
        raise ProofError(_wrongly(revisions, error)) from error
    except RevisionError:
        return  # as it should be


def _wrongly(revisions: Sequence[Script], error: WrongValues) -> str:
    return f"{_named(revisions, 'converts', 'convert')} values wrongly: {error} {NOTHING_WRITTEN}"


@dataclass
class _Stage:
    """How far a proof is.

    Args:
        is_interrupted: revisions are interrupted behind each of their points, and resumed.
    """

    is_interrupted: bool = False


def _there_and_back(
    history: History, revisions: Sequence[Script], claim: Claim, rows: Sequence[Rows], stage: _Stage
) -> Walk:
    def walk(connection: Connection, _: tuple[str, ...]) -> Generator[MigrationStep]:
        def read() -> Catalog:
            return history.read(connection, claim.standing.default_schema)

        before = [read()]
        for revision in revisions:
            yield history.up(revision)
            before.append(read())
        after = before.pop()
        _refuse_differences(
            claim.unexplained(after, claim.models),
            _named(revisions, "leaves", "leave") + " a schema that isn't the models'",
        )
        for each in rows:
            each.check_up(connection)
        stage.is_interrupted = True
        for revision, wanted in zip(reversed(revisions), reversed(before), strict=True):
            yield history.down(revision)
            _refuse_differences(
                differences(read(), wanted),
                f"The downgrade of revision {title(revision)} doesn't put back what was there",
            )
        for each in rows:
            each.check_down(connection)
        for revision in revisions:
            yield history.up(revision)
        _refuse_differences(
            differences(read(), after),
            _named(revisions, "makes", "make") + " something else when applied again after the downgrade",
        )
        for each in rows:
            if not each.each.fill:  # what it is made of may have been dropped, and is gone
                each.check_up(connection)

    return walk


def _refuse_differences(found: Sequence[Difference], what: str) -> None:
    """Return if there is no difference.

    Raises:
        ProofError: there is one; the message begins with `what`.
    """
    if found:
        raise ProofError(f"{shown_differences(f'{what}:', found)}\n{NOTHING_WRITTEN}")


def shown_differences(what: str, found: Sequence[Difference]) -> str:
    """Return differences as lines of a message that begins with `what`."""
    shown = [f"  {each}" for each in found[:MOST_SHOWN]]
    if len(found) > MOST_SHOWN:
        shown.append(f"  and {len(found) - MOST_SHOWN} more")
    return "\n".join([what, *shown])


def _named(revisions: Sequence[Script], one: str, several: str) -> str:
    if len(revisions) == 1:
        return f"Revision {title(revisions[0])} {one}"
    return f"The {len(revisions)} new revisions, from {title(revisions[0])} on, {several}"


def title(revision: Script) -> str:
    """Return a revision as messages name it."""
    return f"{revision.revision} ({revision.doc})" if revision.doc else revision.revision
