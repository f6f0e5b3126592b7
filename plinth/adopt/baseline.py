"""A first revision that makes what no revision makes, proved before it is written.

It stands below those that are there: their files stay, but for the `down_revision` of the first one. A
database that has them has it too, for Alembic remembers the newest alone.
"""

import contextlib
import io
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alembic.autogenerate.api import AutogenContext, RevisionContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError, rev_id
from sqlalchemy import Connection, Engine

from plinth import settings
from plinth.adopt import source_file
from plinth.adopt.seeing import Seen
from plinth.apply.standing import forks
from plinth.autogenerate.change.casts import read_casts
from plinth.autogenerate.change.quoting import shown
from plinth.autogenerate.change.steps import Change
from plinth.autogenerate.compare.scope import in_scope
from plinth.autogenerate.directives import ordinary
from plinth.autogenerate.objects.difference import difference
from plinth.autogenerate.prove.proof import shown_differences
from plinth.autogenerate.write.files import files
from plinth.autogenerate.write.rendering import as_ours, use_renderers
from plinth.catalog import Catalog, Difference, Name, differences, unseen, unseen_differences
from plinth.catalog.unseen import ROWS
from plinth.check import Report, comes_along, is_others, try_all
from plinth.errors import PlinthError
from plinth.revision_files import read_anew
from plinth.revision_names import next_id
from plinth.scratch.baseline import standing_below
from plinth.scratch.databases import scratch_database
from plinth.scratch.prerequisites import schema
from plinth.scratch.revisions import History

MESSAGE = "baseline"


class BaselineError(PlinthError):
    """There is no baseline revision; the message says why."""


@dataclass(frozen=True)
class Baseline:
    """A revision that was written.

    Args:
        revision: its id.
        files: what was written or changed.
        stamp: how the database must be told that it has it (`alembic stamp …`); None where it needn't.
        unknown: tables that it makes, for other revisions lean on them, and that no model knows.
        left_out: what the database has, and neither it nor another revision makes.
        with_rows: tables that it makes empty, and that have rows in the database.
    """

    revision: str
    files: tuple[Path, ...]
    stamp: str | None
    unknown: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    with_rows: tuple[str, ...] = ()


def write_baseline(seen: Seen, target: Connection) -> Baseline:
    """Write a revision that makes what no revision makes, if with it all of them make what is there.

    Args:
        seen: what `env.py` says.
        target: the database.

    Raises:
        BaselineError: it can't be written, or doesn't make what is there.
        NoScratchError: there is no place to try it.
    """
    history, script = seen.history, seen.history.script
    roots = [each for name in script.get_bases() if (each := script.get_revision(name))]
    if len(roots) > 1 or forks(script):
        raise BaselineError("There are several first revisions, or several heads: write a baseline by hand.")
    if not seen.heads and roots:
        raise BaselineError(
            "The database isn't marked with any of the revisions, so it isn't known what it has of them: "
            "alembic stamp REVISION says it."
        )
    with scratch_database(target) as engine, engine.connect() as connection:
        _make_version_schema(connection, history)
        nothing = history.read(connection)
    standing = history.read(target)
    if roots:
        with standing_below(target, history) as (_, below):
            standing = below.catalog
        if below.failure:
            raise BaselineError(
                f"What no revision makes can't be told from what they make. {below.failure}"
            ) from below.failure
    nothing = replace(nothing, default_schema=standing.default_schema)
    known = _known_to_models(seen, target, standing)
    if known is not None:  # a filter may leave out public, too, which every database has
        known = replace(known, schemas={**nothing.schemas, **known.schemas})
    if known is not None and known != standing:
        # What no model knows would be dropped by the next autogenerate, once a revision makes it.
        with contextlib.suppress(BaselineError):
            return _written(seen, target, nothing, known, roots)
    return _written(seen, target, nothing, standing, roots)


def _make_version_schema(connection: Connection, history: History) -> None:
    """Make the schema in which Alembic looks before any revision runs: a revision comes too late for it."""
    name = history.options.get("version_table_schema")
    if name:
        connection.exec_driver_sql(schema(name).statement.replace("%", "%%"))


def _written(
    seen: Seen, target: Connection, nothing: Catalog, wanted: Catalog, roots: list[Script]
) -> Baseline:
    history = seen.history
    with _copied(history) as (copy, folders), scratch_database(target) as engine:
        with engine.connect() as connection:
            change = Change(nothing, wanted, read_casts(connection))
            written = _render(seen, copy, connection, change)
        changed = [written]
        for root in roots:
            place = _in_other(Path(root.path), {folder: copied for copied, folder in folders.items()})
            source_file.write(place, _on_top_of(source_file.read(place), written))
            changed.append(place)
        fresh = history.with_script(read_anew(copy, copy._version_locations))
        left_out, with_rows = _prove(fresh, engine, seen, target, wanted)
        revision = _revision(copy, written)
        places = tuple(_put_back(each, folders) for each in changed)
    unknown = set(wanted.tables) - set((_known_to_models(seen, target, wanted) or wanted).tables)
    # The ledger would miss a revision below those of which it knows that they are applied.
    stamp = None if seen.heads and not seen.entries else " ".join(seen.heads) or revision
    if not roots and seen.heads:  # of revisions whose files are gone: this one stands in their place
        stamp = f"--purge {revision}"
    names = tuple(shown(each, wanted) for each in sorted(unknown))
    return Baseline(revision, places, stamp, names, left_out, with_rows)


def _known_to_models(seen: Seen, target: Connection, found: Catalog) -> Catalog | None:
    """Return what models know and the project's own filters let through; None where there are no models."""
    if not seen.has_models:
        return None
    subject = seen.subject(target)
    nothing = replace(found, tables={}, sequences={}, enums={}, domains={}, others={})
    models = _with_partitions(subject.models, found)
    return in_scope(found, models, replace(subject.scope, revisions=lambda: nothing))[0]


def _with_partitions(models: Catalog, found: Catalog) -> Catalog:
    """Return models that have the partitions that stand, too: rows of their tables lie in these alone."""
    tables = dict(models.tables)
    standing = {name: each for name, each in found.tables.items() if each.partition_bound is not None}
    while more := {
        name: each
        for name, each in standing.items()
        if name not in tables and not tables.keys().isdisjoint(each.parents)
    }:
        tables |= more
    return replace(models, tables=tables)


@contextlib.contextmanager
def _copied(history: History) -> Iterator[tuple[ScriptDirectory, dict[Path, Path]]]:
    """Yield the revisions in a copy of their folders, and of which folder each one is a copy."""
    given = history.script
    with tempfile.TemporaryDirectory(prefix="plinth-adopt-") as name:
        folders: dict[Path, Path] = {}
        for number, each in enumerate(map(Path, given._version_locations)):
            copy = Path(name, str(number))
            copy.mkdir()
            if each.exists():
                shutil.copytree(each, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            folders[copy] = each
        yield read_anew(given, folders), folders


def _render(
    seen: Seen,
    script: ScriptDirectory,
    connection: Connection,
    change: Change,
) -> Path:
    """Write the revision, formatted by the project's own hooks, and return its place."""
    use_renderers()
    try:
        difference(change)
    except CommandError as error:
        raise BaselineError(f"A baseline can't be written. {error}") from error
    made = files(ordinary(change), change.before, in_one=True)
    if len(made) != 1:
        raise BaselineError("Nothing stands there that a baseline could make.")
    name = next_id(script) if settings.configured().timestamps else rev_id()
    names: dict[str, Any] = {
        "rev_id": name,
        "message": MESSAGE,
        "head": "base",
        "version_path": str(script._version_locations[0]) if len(script._version_locations) > 1 else None,
        **dict.fromkeys(("splice", "sql"), False),
        **dict.fromkeys(("branch_label", "depends_on")),
    }
    writing = RevisionContext(seen.history.config, script, {**names, "autogenerate": True})
    writing.template_args["notes"] = {}  # type: ignore[assignment]
    context = MigrationContext.configure(
        connection,
        environment_context=seen.environment,
        opts={**seen.options, "as_sql": False, "literal_binds": False, "revision_context": writing},
    )
    writing._last_autogen_context = AutogenContext(context, autogenerate=False)
    directive: ops.MigrationScript = writing.generated_revisions[0]
    assert directive.upgrade_ops is not None  # noqa: S101 - a new revision has both
    assert directive.downgrade_ops is not None  # noqa: S101
    directive.upgrade_ops.ops.extend(as_ours(made[0].up))
    directive.downgrade_ops.ops.extend(as_ours(made[0].down))
    directive._needs_render = True
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # what hooks tell of their work
            written = writing._to_script(directive)
    except CommandError as error:
        raise BaselineError(f"The baseline can't be written. {error}") from error
    if written is None:
        raise BaselineError("The baseline's file would not be found again: file_template names it otherwise.")
    return Path(written.path)


def _on_top_of(source: str, below: Path) -> str:
    """Return a first revision's source, on top of another one."""
    name = re.search(r"^revision\b[^=]*=\s*(['\"])(.+?)\1", below.read_text(encoding="utf-8"), re.MULTILINE)
    line = re.compile(r"^(down_revision\b[^=\n]*=\s*)None\b", re.MULTILINE)
    if name is None or len(line.findall(source)) != 1:
        raise BaselineError("The first revision has no line `down_revision = None` that could be changed.")
    source = re.sub(r"(?m)^Revises: *$", f"Revises: {name[2]}", source)
    return line.sub(lambda found: f"{found[1]}{name[1]}{name[2]}{name[1]}", source)


def _prove(
    fresh: History, engine: Engine, seen: Seen, target: Connection, wanted: Catalog
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Prove that all revisions, the new one first, make from nothing what is there, and that one goes down.

    Returns:
        What is there and isn't made, for it is others' or no picture shows it; and which of the tables that
        are wanted have rows there alone.
    """
    history, report = seen.history, Report()
    try_all(engine, fresh, report)
    # What is wrong with the downgrade of a standing revision is so without a baseline, too.
    wrong = [
        each for each in report.problems if each.kind == "upgrade" or each.name in fresh.script.get_bases()
    ]
    if wrong:
        raise BaselineError(
            f"With a baseline the revisions don't work, and nothing was written. {wrong[0].message} "
            "When that is mended: plinth adopt --write-baseline"
        )
    heads = set(seen.heads) or set(history.script.get_heads())
    if history.script.get_bases() and heads != set(history.script.get_heads()):
        raise BaselineError(
            "The database hasn't all revisions, so a baseline can't be proved: upgrade it first."
        )
    with engine.connect() as connection:
        made, made_more = history.read(connection), unseen(connection)
    there = history.read(target, made.default_schema)
    every = differences(there, made)
    found = [each for each in every if not is_others(each)]
    if found:
        what = (
            "With a baseline the revisions don't make what is there, and nothing was written. The database:"
        )
        raise BaselineError(shown_differences(what, found))
    there_more, table = unseen(target), history.options.get("version_table") or "alembic_version"
    others = [each for each in every if is_others(each) and not comes_along(each)]
    others += unseen_differences(there_more, made_more, table)
    rows = tuple(each for each in wanted.tables if _has_rows(each, there_more) > _has_rows(each, made_more))
    return tuple(_as_named(each) for each in others), tuple(shown(each, wanted) for each in sorted(rows))


def _has_rows(table: Name, more: Mapping[str, str | None]) -> bool:
    """Whether a table has rows, by what `unseen` says."""
    return any(each.replace('"', "") == f"{ROWS}table {table.schema}.{table.name}" for each in more)


def _as_named(difference: Difference) -> str:
    """Return what is there alone, by its name; else in what it differs."""
    is_whole = not difference.attribute and difference.wanted is None
    return f"{difference.kind} {difference.name}" if is_whole else str(difference)


def _in_other(path: Path, folders: dict[Path, Path]) -> Path:
    """Return where a file of one of some folders lies in the other one that belongs to it."""
    for folder, other in folders.items():
        if path.is_relative_to(folder):
            return other / path.relative_to(folder)
    raise BaselineError(f"{path} isn't in the folder of the revisions.")


def _revision(script: ScriptDirectory, path: Path) -> str:
    found = Script._from_path(script, path)
    assert found is not None  # noqa: S101 - it was just written
    return found.revision


def _put_back(copy: Path, folders: dict[Path, Path]) -> Path:
    """Put a file where it belongs."""
    place = _in_other(copy, folders)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(copy, place)
    return place
