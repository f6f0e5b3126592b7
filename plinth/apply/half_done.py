"""Revisions that were left half done: they had committed a part without a note, and failed behind it.

What of such a one is done nobody knows. So it is neither done again nor undone before somebody has looked.
Only where the numbers of all its transactions were noted, PostgreSQL may know that they were rolled back: on
the server that gave them, for in a copy they are others'.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import ScriptDirectory
from alembic.util import to_tuple
from sqlalchemy import Connection, select, text

from plinth import own_schema, safety
from plinth.apply.ledger import history_name, unfinished
from plinth.apply.points import HALF_DONE
from plinth.apply.steps import ApplyError

# None of one that is too old, or was never here: the database may have been copied.
_STATUS = text(
    """
    select case when number < pg_snapshot_xmax(pg_current_snapshot()) then pg_xact_status(number) end
    from (select cast(cast(:number as text) as xid8)) noted (number)
    """
)
_SERVER = """
    select concat_ws('/', system_identifier, timeline_id) from pg_control_system(), pg_control_checkpoint()
    """


@dataclass(frozen=True)
class HalfDone:
    """A revision that was left half done.

    Args:
        revision: its id.
        is_upgrade: which way it went.
        checksum: its file's as it was then; empty where it had none.
    """

    revision: str
    is_upgrade: bool
    checksum: str

    def is_of(self, step: MigrationStep) -> bool:
        """Whether a step is the revision, and goes the same way."""
        is_same = isinstance(step, RevisionStep) and step.revision.revision == self.revision
        return is_same and step.is_upgrade is self.is_upgrade


def note(session: "psycopg.Connection[Any]", checksum: str, transactions: Collection[str]) -> str:
    """Return what is noted of a revision that may commit a part.

    Args:
        session: in autocommit.
        checksum: of its file.
        transactions: the numbers of all those in which it may; none where they aren't known.
    """
    try:
        server = session.execute(_SERVER).fetchone() if transactions else None
    except psycopg.errors.InsufficientPrivilege:
        server = None
    return " ".join([checksum, *server, *sorted(transactions)] if server else [checksum])


def left_half_done(context: MigrationContext) -> list[HalfDone]:
    """Return the revisions that were left half done in a context's database, whatever its driver is."""
    connection = context.connection
    if not isinstance(connection, Connection) or not own_schema.exists(connection, unfinished.name):
        return []
    ways = {f"{way} {HALF_DONE}": way == "up" for way in ("up", "down")}
    noted = (
        select(unfinished.c.revision, unfinished.c.object, unfinished.c.statement)
        .where(unfinished.c.version_table == history_name(connection, context.opts))
        .where(unfinished.c.object.in_(ways))
        .order_by(unfinished.c.revision)
    )
    found = []
    for name, way, said in connection.execute(noted).all():
        of_file, *transactions = said.split(" ")
        if not _are_rolled_back(connection, *transactions):
            found.append(HalfDone(name, ways[way], of_file))
    return found


def _are_rolled_back(connection: Connection, server: str = "", *transactions: str) -> bool:
    """Whether all that was noted beforehand is known not to have been committed."""
    here = safety.identity(connection) if transactions else None
    is_here = here is not None and server == f"{here.server}/{here.timeline}"
    return is_here and all(connection.scalar(_STATUS, {"number": each}) == "aborted" for each in transactions)


def refuse_twice(
    each: HalfDone, script: ScriptDirectory, heads: Sequence[str], checksum: str | None, standing: str = ""
) -> None:
    """Return if the file isn't any more what it was when the revision was left half done.

    Args:
        each: the revision.
        script: the revisions.
        heads: what is applied.
        checksum: its file's now.
        standing: a sentence that says where the database stands.

    Raises:
        ApplyError: it is, and what is done would be done twice.
    """
    if each.checksum and each.checksum == checksum:
        ways = say_ways(each, script, heads)
        raise ApplyError(" ".join(filter(None, [f"{_said(each)}, and would be done twice.", standing, ways])))


def refuse_others(
    left: Sequence[HalfDone],
    back: Collection[str],
    steps: Sequence[MigrationStep],
    script: ScriptDirectory,
    heads: Sequence[str],
) -> None:
    """Return if no command passes over a revision that was left half done, or undoes a part of it.

    Args:
        left: those that were.
        back: the revisions that are taken back first.
        steps: what the command does then.
        script: the revisions.
        heads: what is applied.

    Raises:
        ApplyError: it does.
    """
    for each in left:
        if each.revision in back or (steps and not any(map(each.is_of, steps))):
            ways = say_ways(each, script, heads)
            raise ApplyError(f"{_said(each)}, and others wait for it. Nothing has been changed. {ways}")


def say(each: HalfDone, script: ScriptDirectory, heads: Sequence[str]) -> str:
    """Return what to say of one: what it is, and the ways on."""
    return f"{_said(each)}. {say_ways(each, script, heads)}"


def say_ways(each: HalfDone, script: ScriptDirectory, heads: Sequence[str]) -> str:
    """Return a sentence that says the ways on."""
    undone = f"undo by hand what of it is done and say so: alembic stamp {' '.join(sorted(heads)) or 'base'}"
    files = {found.revision: found for found in script.walk_revisions()}
    if each.revision not in files:
        return f"Its file isn't here: put it back; or {undone}"
    below = to_tuple(files[each.revision].down_revision, default=())
    onward = f"alembic {f'upgrade {each.revision}' if each.is_upgrade else f'downgrade {each.revision}@-1'}"
    finished = [each.revision] if each.is_upgrade else below
    return (
        "Let its statements bear it (IF NOT EXISTS, IF EXISTS; if they do already, write repeatable = True "
        f"into its file) and go on: {onward}; or {undone}; or finish by hand what is left of it "
        f"and say so: alembic stamp {' '.join(finished) or f'{each.revision}@base'}"
    )


def _said(each: HalfDone) -> str:
    return (
        f"Revision {each.revision} was left half done by an earlier run, which committed a part of it "
        "without a note (COMMIT or ROLLBACK in it, its own connection, SQL of --sql): what is done isn't "
        "known"
    )
