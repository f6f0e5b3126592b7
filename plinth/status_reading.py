"""Reads what is applied, what is pending, and what is wrong."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script
from sqlalchemy import Connection, text

from plinth import checksum, environment, own_schema, safety
from plinth.apply import half_done, phases, resuming, standing
from plinth.apply.ledger import APPLIED, Entry, change_of, history_name, newest, version_table
from plinth.apply.ledger import read as entries_of
from plinth.apply.lock import is_held
from plinth.apply.points import Interrupted
from plinth.errors import PlinthError
from plinth.sql_text import lexed, plain
from plinth.status import INVALID_INDEXES, NOT_VALID_CONSTRAINTS, UNCHECKED_KEYS, Line, Problem, Status


def read(config: Config) -> list[Status]:
    """Return where each database stands that `env.py` leads to.

    Raises:
        alembic.util.CommandError: there is no connection.
    """

    def look(heads: Sequence[str], context: MigrationContext) -> Status:
        return _of_context(heads, context)

    return environment.look(config, look, any_heads=True)


def _of_context(heads: Sequence[str], context: MigrationContext) -> Status:
    """Return where a database stands.

    Args:
        heads: what its version table says.
        context: Alembic's, on that database.
    """
    script, connection = context.script, context.connection
    if script is None or not isinstance(connection, Connection):
        raise PlinthError("The status stands in the database: there is no --sql for it.")
    table = history_name(connection, context.opts)
    entries = newest(entries_of(connection, table))
    files = {revision.revision: revision for revision in script.walk_revisions()}
    unknown = standing.unknown_heads(script, heads)
    applied = standing.applied(script, heads, entries)
    slipped = standing.slipped_in(script, heads, entries)
    states = dict.fromkeys(files, "unknown" if unknown and not entries else "pending")
    states |= dict.fromkeys(slipped, "skipped") | dict.fromkeys(applied, "applied")
    pending = [name for name in reversed(files) if states[name] == "pending"]
    after = dict.fromkeys(phases.after_the_code(script, pending), phases.AFTER)
    held = after if phases.do_wait(heads, context) else {}
    lines = [
        replace(
            _line(revision, entries.get(name) if name in applied else None, states[name]),
            phase=after.get(name, phases.BEFORE),
        )
        for name, revision in reversed(files.items())
    ]
    missing = [name for name, entry in entries.items() if name not in files and entry.direction in APPLIED]
    lines += [_line_without_file(name, entries.get(name)) for name in dict.fromkeys([*missing, *unknown])]
    mixed = standing.say_mixed_heads(heads, script, version_table(context.opts))
    problems = [
        *_edited(files, applied, entries),
        *(Problem("ahead", name, standing.say_unknown(script, name, entries)) for name in unknown),
        *_missing(missing, unknown),
        *(
            Problem("skipped", name, standing.say_slipped_in(script, name, heads, entries))
            for name in slipped
        ),
        *([Problem("heads", ", ".join(sorted(heads)), mixed)] if mixed else []),
        *(Problem("heads", ", ".join(heads), standing.say_fork(heads)) for heads in standing.forks(script)),
        *(Problem("caught", name, said) for name, said in phases.caught(script, after).items()),
        *_left_invalid(connection, resuming.standing_half_way(context)),
        *(() if is_held(connection, table) else _left_half_way(context, connection, heads, held)),
    ]
    return Status(
        database=str(connection.scalar(text("select current_database()"))),
        environment=safety.read_marker(connection),
        heads=sorted(heads),
        revisions=lines,
        problems=problems,
    )


def _line(revision: Script, entry: Entry | None, state: str) -> Line:
    message = (revision.doc or "").splitlines()[0] if revision.doc else ""
    if entry is None:
        return Line(revision.revision, message, state, change=change_of(revision), marked=state == "applied")
    return Line(
        revision.revision,
        message,
        state,
        entry.applied_at,
        entry.application,
        entry.database_user,
        entry.duration.total_seconds() if entry.duration and entry.direction == "up" else None,
        entry.batch,
        change_of(revision),
        entry.direction != "up",
    )


def _line_without_file(name: str, entry: Entry | None) -> Line:
    if entry is None:
        return Line(name, "(its file is missing)", "applied", marked=True)
    return Line(
        name,
        "(its file is missing)",
        "applied",
        entry.applied_at,
        entry.application,
        entry.database_user,
        entry.duration.total_seconds() if entry.duration else None,
        entry.batch,
        entry.change,
        entry.direction != "up",
    )


def _edited(files: dict[str, Script], applied: set[str], entries: dict[str, Entry]) -> Iterator[Problem]:
    for name in sorted(applied):
        then = entries[name].checksum if name in entries else None
        if then and then != checksum.of_file(Path(files[name].path)):
            file = Path(files[name].path).name
            yield Problem(
                "edited",
                name,
                f"{file} was edited after it had been applied: other databases may differ. Put it back, and "
                "write what is to change in a new revision.",
            )


def _missing(missing: Sequence[str], unknown: Sequence[str]) -> Iterator[Problem]:
    for name in missing:
        if name not in unknown:
            yield Problem("missing", name, f"Revision {name} is applied, and its file is missing.")


def _left_invalid(connection: Connection, half_way: Iterable[Interrupted]) -> Iterator[Problem]:
    """Yield what was left INVALID or NOT VALID, but for constraints that a revision half-way goes on with."""
    statements = (each.statement for begun in half_way for each in begun.done.values())
    done = [text for statement in statements for text in lexed(statement).nested]
    for index, table, kind in connection.execute(text(INVALID_INDEXES)):
        hint = (
            "it isn't attached to an index on each partition"
            if kind == "I"
            else "a build was interrupted. Run the same upgrade again, or REINDEX INDEX CONCURRENTLY it"
        )
        yield Problem("invalid index", index, f"Index {index} on {table} is INVALID: {hint}.")
    for constraint, table in connection.execute(text(NOT_VALID_CONSTRAINTS)):
        if any(each.names(plain(constraint)) for each in done):
            continue
        yield Problem(
            "not valid",
            constraint,
            f"Constraint {constraint} on {table} is NOT VALID: older rows may break it. "
            f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}",
        )
    for key, table, definition in connection.execute(text(UNCHECKED_KEYS)):
        yield Problem(
            "not checked",
            key,
            f"Foreign key {key} on {table} isn't checked, for triggers are disabled: rows may break it. "
            f"ALTER TABLE {table} DROP CONSTRAINT {key}, ADD CONSTRAINT {key} {definition}",
        )


def _left_half_way(
    context: MigrationContext, connection: Connection, heads: Sequence[str], held: Collection[str]
) -> Iterator[Problem]:
    script = context.script
    left = half_done.left_half_done(context) if script else []
    found = [
        Problem("interrupted", each.revision, half_done.say(each, script, heads)) for each in left if script
    ]
    # One whose points are known, too, can neither go on nor be taken back.
    known = {each.name for each in found}
    found += [each for each in _half_way(context, connection, heads, held) if each.name not in known]
    yield from found
    known = {each.name for each in found}
    table = history_name(connection, context.opts)
    yield from (each for each in _building(connection, table) if each.name not in known)


def _half_way(
    context: MigrationContext, connection: Connection, heads: Sequence[str], held: Collection[str]
) -> Iterator[Problem]:
    """Yield the revisions that were interrupted behind a point; an upgrade leaves out those that are held."""
    script = context.script
    if script is None:
        return
    for each in resuming.standing_half_way(context):
        misplaced = resuming.why_misplaced(script, heads, each)
        if misplaced:
            yield Problem("interrupted", each.revision, misplaced)
            continue
        step = f"behind step {each.last}" if each.done else "in step 1"
        onward, back = "alembic upgrade head", "alembic downgrade -1"
        if len(script.get_heads()) > 1:
            onward, back = resuming.ways(each)
        elif each.direction == "down":
            onward, back = back, onward
        if each.direction == "up" and each.revision in held:
            onward = phases.RELEASE
        go_on = f"To go on: {onward}"
        path = Path(script.get_revision(each.revision).path)
        if each.needs_its_file and each.checksum != checksum.of_file(path):
            go_on = f"{path.name} was edited since: put it back as it was. Then, to go on: {onward}"
        yield Problem(
            "interrupted",
            each.revision,
            f"Revision {each.revision} stands half-way, {step} of its {each.direction}grade. {go_on}. "
            f"To take back what is done: {back}",
        )


def _building(connection: Connection, table: str) -> Iterator[Problem]:
    """Yield the revisions of which only is known that they were building an index."""
    if not own_schema.exists(connection, "unfinished"):
        return
    noted = text("select distinct revision from plinth.unfinished where version_table = :table order by 1")
    for name in connection.scalars(noted, {"table": table}):
        yield Problem("interrupted", name, f"Revision {name} was interrupted. Run the same command again.")
