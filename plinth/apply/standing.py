"""Where a database stands against the code.

Its version table may name revisions that have no file here: another branch's, or a newer release's. And a
file may have come in below a revision that is applied already, which Alembic takes for applied too.
"""

from collections.abc import Iterable, Mapping, Sequence

from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from alembic.util import to_tuple
from sqlalchemy import Connection, text

from plinth import settings
from plinth.alembic_command import AlembicCommand
from plinth.apply.ledger import APPLIED, Entry, ancestors, history_name, newest, read, version_table
from plinth.errors import PlinthError

_ROOM = text(
    "select greatest(atttypmod - 4, -1) from pg_attribute "
    "where attrelid = to_regclass(:table) and attname = 'version_num'"
)


class StandingError(PlinthError):
    """The database doesn't stand where the code can go on from; the message says where, and the ways out."""


def unknown_heads(script: ScriptDirectory, heads: Iterable[str]) -> list[str]:
    """Return the heads that have no file here."""
    known = _files(script)
    return [head for head in heads if head not in known]


def applied(script: ScriptDirectory, heads: Iterable[str], entries: Mapping[str, Entry]) -> set[str]:
    """Return the revisions with a file that are applied, by the version table or, failing that, the ledger.

    Args:
        script: the revisions.
        heads: what the version table says.
        entries: the newest row of each revision in the ledger.
    """
    heads = list(heads)
    found = ancestors(script, heads)
    if unknown_heads(script, heads):
        found |= ancestors(script, _recorded(entries) & _files(script))
    return found - set(slipped_in(script, heads, entries))


def slipped_in(script: ScriptDirectory, heads: Iterable[str], entries: Mapping[str, Entry]) -> list[str]:
    """Return the revisions that never ran and stand below one of which the ledger knows that it is applied.

    Args:
        script: the revisions.
        heads: what the version table says.
        entries: the newest row of each revision in the ledger.
    """
    below_heads = ancestors(script, heads)
    recorded = _recorded(entries) & below_heads
    return sorted(ancestors(script, recorded) - recorded)


def forks(script: ScriptDirectory) -> list[list[str]]:
    """Return the heads that are to be joined: several of one branch. Branches that have labels are meant."""
    found: dict[frozenset[str], list[str]] = {}
    for head in sorted(script.get_heads()):
        labels = frozenset(script.get_revision(head).branch_labels)
        found.setdefault(labels, []).append(head)
    return [heads for heads in found.values() if len(heads) > 1]


def say_fork(heads: Sequence[str]) -> str:
    """Return what to say of heads that are to be joined."""
    names = ", ".join(heads)
    return f"The revisions have {len(heads)} heads: {names}. Join them: alembic merge {' '.join(heads)}"


def refuse_unknown_heads(heads: Sequence[str], context: MigrationContext) -> None:
    """Return if the code has all that the version table says.

    Raises:
        StandingError: it hasn't.
    """
    script, connection = context.script, context.connection
    if script is None or not isinstance(connection, Connection):
        return
    unknown = unknown_heads(script, heads)
    if unknown:
        entries = newest(read(connection, history_name(connection, context.opts)))
        raise StandingError(" ".join(say_unknown(script, head, entries) for head in unknown))


def refuse_heads(heads: Sequence[str], context: MigrationContext, command: AlembicCommand) -> None:
    """Return if a command can begin where the version table says that the database stands.

    Args:
        heads: what it says.
        context: Alembic's.
        command: which one: by `stamp` the author says something else.

    Raises:
        StandingError: the code hasn't one of them, or one stands on another.
    """
    refuse_unknown_heads(heads, context)
    if command.name != "stamp" and context.script is not None:
        mixed = say_mixed_heads(heads, context.script, version_table(context.opts))
        if mixed:
            raise StandingError(mixed)


def refuse_slipped_in(
    heads: Sequence[str],
    context: MigrationContext,
    command: AlembicCommand,
    planned: Sequence[MigrationStep] = (),
) -> dict[str, Entry] | None:
    """Return if all that counts as applied was applied, as far as the command is concerned.

    Args:
        heads: what the version table says.
        context: Alembic's.
        command: which one: by `stamp` the author says that the revision is applied.
        planned: what it is about to do.

    Returns:
        The newest row of each revision in the ledger, if it was read.

    Raises:
        StandingError: a revision was skipped.
    """
    script, connection = context.script, context.connection
    if command.name == "stamp" or script is None or not isinstance(connection, Connection):
        return None
    entries = newest(read(connection, history_name(connection, context.opts)))
    slipped = slipped_in(script, heads, entries)
    if planned and not any(step.is_upgrade for step in planned):
        touched = {
            name for step in planned for name in (*step.from_revisions_no_deps, *step.to_revisions_no_deps)
        }
        slipped = [name for name in slipped if name in touched]
    if slipped:
        raise StandingError(" ".join(say_slipped_in(script, name, heads, entries) for name in slipped))
    return entries


def say_mixed_heads(heads: Sequence[str], script: ScriptDirectory, table: str) -> str | None:
    """Return what to say of heads of which one stands on another, which would be undone first; else None.

    Args:
        heads: what the version table says.
        script: the revisions.
        table: the version table.
    """
    below = {each.revision: to_tuple(each.down_revision, default=()) for each in script.walk_revisions()}
    for head in sorted(heads) if len(heads) > 1 else ():
        rest, seen = list(below.get(head, ())), set[str]()
        while rest:
            name = rest.pop()
            if name in heads:
                mended = f"DELETE FROM {table} WHERE version_num = '{name}'"  # noqa: S608 - for a reader
                return (
                    f"The version table names {name} beside {head}, which stands on it: the rows of two "
                    "databases are in it, or one was put there by hand. Delete the one that is wrong: "
                    f"{mended}, for instance."
                )
            rest += [] if name in seen else below.get(name, ())
            seen.add(name)
    return None


def refuse_long_ids(context: MigrationContext, planned: Sequence[MigrationStep]) -> None:
    """Return if the version table has room for the ids of all that is about to be applied.

    Raises:
        StandingError: it hasn't; nothing has run yet.
    """
    names = {name for step in planned for name in step.to_revisions_no_deps}
    column = context._version.c.version_num.type
    length = getattr(column, "length", None)
    connection = context.connection
    if length is None or max(map(len, names), default=0) <= length or not isinstance(connection, Connection):
        return
    made = connection.execute(
        _ROOM, {"table": version_table(context.opts)}
    ).scalar()  # perhaps widened by hand
    for name in sorted(names):
        refuse_long_id(name, length if made is None else made)


def refuse_long_id(name: str, length: int) -> None:
    """Return if an id fits into the version table.

    Args:
        name: the id.
        length: of the table's column; negative where it has no limit.

    Raises:
        StandingError: it doesn't.
    """
    if len(name) > length >= 0:
        raise StandingError(
            f"The id {name!r} is longer than the version table's column for it, {length} characters. Give "
            "the revision a shorter one (revision = … in its file, and down_revision of what stands on it)."
        )


def say_unknown(script: ScriptDirectory, head: str, entries: Mapping[str, Entry]) -> str:
    """Return what to say of a head that has no file here: whose it is, and the ways out."""
    known = _files(script)
    common = _tops(script, {name for name in _recorded(entries) if name in known})
    # Where the ledger doesn't know, base would be all that there is.
    back = (
        f"alembic downgrade {', '.join(common)}"
        if common
        else "down to the newest revision that is here, too"
    )
    anew = settings.to_type("db-reset", "plinth reset")
    bases = script.get_bases()
    squashed = ""
    if len(bases) == 1 and not common:
        squashed = (
            f" If {bases[0]} was written in the place of older revisions, and the database has all that it "
            f"makes: alembic stamp --purge {bases[0]}"
        )
    return (
        f"The database is ahead of the code: it stands at {head}, which has no file here"
        f"{_by(entries.get(head))}. If it is another branch's, go back to that branch and undo it there "
        f"({back}), or make a development database anew ({anew}). If the code is "
        f"older than the database, use the code that has it.{squashed}"
    )


def say_slipped_in(
    script: ScriptDirectory, name: str, heads: Sequence[str], entries: Mapping[str, Entry]
) -> str:
    """Return what to say of a revision that came in below an applied one: what to type."""
    above = next(
        each for each in entries if entries[each].direction in APPLIED and name in ancestors(script, [each])
    )
    tip, at = ", ".join(script.get_heads()), " ".join(heads)
    return (
        f"Revision {name} has never been applied here, and stands below {above}, which is: an upgrade "
        f"would skip it. Let it come last (down_revision = {tip!r} in its file, and {above} stands again "
        f"on what it stood on before). Or, if the database has what it makes, say so: alembic stamp {at}"
    )


def _by(entry: Entry | None) -> str:
    if entry is None:
        return ""
    who = f" by {entry.application}" if entry.application else ""
    when = f" on {entry.applied_at.astimezone():%Y-%m-%d %H:%M}" if entry.applied_at else ""
    return f" (applied{who}{when})" if who or when else ""


def _recorded(entries: Mapping[str, Entry]) -> set[str]:
    return {name for name, entry in entries.items() if entry.direction in APPLIED}


def _files(script: ScriptDirectory) -> set[str]:
    return {revision.revision for revision in script.walk_revisions()}


def _tops(script: ScriptDirectory, names: set[str]) -> list[str]:
    """Return those of the revisions on which none of the others stands."""
    return sorted(
        name for name in names if not any(name in ancestors(script, [each]) for each in names - {name})
    )
