"""What a command does about revisions that stand half-way: it goes on with them, or takes them back.

Alembic is asked as if what is to be taken back were applied (or undone) already. So a relative number counts
it, and branches, merge points and dependencies mean what they always do.
"""

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import ScriptDirectory
from alembic.util import to_tuple
from sqlalchemy import Connection, select

from plinth import own_schema
from plinth.alembic_command import AlembicCommand
from plinth.apply.ledger import ancestors, history_name, parents, points, unfinished
from plinth.apply.points import Interrupted, PointError, driver_session, interrupted
from plinth.connecting import is_ours

log = logging.getLogger(__name__)

Work = Callable[..., Iterable[Any]]

_ONE = re.compile(r"(?:(?P<name>.+)@)?-1")
_COUNTS = re.compile(r"[+-]\d+\Z")
BACK = {"downgrade", "rollback", "redo"}


def standing_half_way(context: MigrationContext) -> list[Interrupted]:
    """Return the revisions that stand half-way in a context's database; by another driver, only which."""
    connection = context.connection
    if not isinstance(connection, Connection) or not own_schema.exists(connection, "points"):
        return []
    history = history_name(connection, context.opts)
    if is_ours(connection.dialect):
        return interrupted(driver_session(connection), history)
    noted = select(points.c.revision, points.c.direction).where(points.c.version_table == history)
    return [Interrupted(*each) for each in connection.execute(noted.distinct())]


def plan(
    work: Work,
    heads: Sequence[str],
    context: MigrationContext,
    command: AlembicCommand,
    half_way: Sequence[Interrupted],
) -> tuple[list[MigrationStep], list[Interrupted]]:
    """Return a command's steps, and what is to be taken back before them.

    Args:
        work: the command's own, which plans its steps.
        heads: what is applied.
        context: Alembic's.
        command: which one.
        half_way: the revisions that stand half-way.

    Raises:
        PointError: one can't be placed.
    """
    script = context.script
    if not half_way or script is None or command.name == "stamp":
        return list(work(heads, context)), []
    for each in half_way:
        misplaced = why_misplaced(script, heads, each)
        if misplaced:
            raise PointError(misplaced)
    steps: list[MigrationStep] | None = None
    goes_back = command.name in BACK
    turned = [each for each in half_way if (each.direction == "up") is goes_back]
    back = _only(turned, context)
    onward = _only([each for each in half_way if goes_back and each not in turned], context)
    if back:
        steps = []
    elif onward:
        steps = [RevisionStep(script.revision_map, script.get_revision(onward[0].revision), False)]
    elif turned:
        steps = list(work(_as_if_done(script, heads, turned), context))
        for each in turned:
            place = _place(steps, each, is_upgrade=not goes_back)
            if place is not None:
                back.append(each)
                del steps[place]
    if steps is None or not (back or onward):
        steps = list(work(heads, context))
    # What is taken back in part can't be gone on with, whatever the command.
    back += [each for each in half_way if each.goes_back and each not in back]
    for each in half_way:
        if each in back:
            continue
        place = _place(steps, each, is_upgrade=each.direction == "up")
        if place is not None:
            steps.insert(0, steps.pop(place))
    return steps, back


def refuse_half_way(connection: Connection, version_table: str) -> None:
    """Return if no revision stands half-way, where the version table isn't there.

    Raises:
        PointError: one does: its points outlive the schema that it was about.
    """
    if not own_schema.exists(connection, "points"):
        return
    noted = select(points.c.revision).where(points.c.version_table == version_table)
    found = connection.scalars(noted).first()
    if found is not None:
        raise PointError(
            f"Revision {found} stands half-way by what was noted, and there is no version table: its schema "
            "was dropped since, or the search path leads elsewhere. If nothing of the revision is there any "
            "more, say so: alembic stamp base"
        )


def refuse_what_moved(
    before: Sequence[str] | None, heads: Sequence[str], context: MigrationContext, command: AlembicCommand
) -> None:
    """Return if what a command undoes is what it would have undone when it was typed, or is named.

    Args:
        before: what was applied before it waited for others; None where it doesn't undo anything.
        heads: what is applied.
        context: Alembic's.
        command: which one.

    Raises:
        PointError: it would undo something else.
    """
    target = str(context.opts.get("destination_rev"))
    does_count = command.name != "downgrade" or _COUNTS.search(target)
    if before is not None and does_count and set(before) != set(heads):
        was, now = (", ".join(sorted(each)) or "base" for each in (before, heads))
        what = f"{command.name} {target}" if command.name == "downgrade" else command.name
        raise PointError(
            f"While this command waited for another one, the database went from {was} to {now}: {what} would "
            "undo something else now. Nothing has been changed. If that is what you want, run the same "
            "command again."
        )


def counts(context: MigrationContext, command: AlembicCommand) -> bool:
    """Whether a command that is run again, after a part of it, would do something else than the rest of it.

    What is left of a batch is a batch still.
    """
    return command.name == "redo" or bool(_COUNTS.search(str(context.opts.get("destination_rev"))))


def to_type(steps: Sequence[MigrationStep]) -> str:
    """Return what to type for the steps that are left of such a command: each way, they are a chain."""
    down = [step for step in steps if not step.is_upgrade]
    found = []
    if down:
        (first, *_), target = down[0].from_revisions_no_deps, down[-1].to_revisions_no_deps
        found.append(f"alembic downgrade {first}@{target[0] if target else 'base'}")
    if len(down) < len(steps):
        found.append(f"alembic upgrade {steps[-1].to_revisions_no_deps[0]}")
    return ", and then ".join(found)


def refuse_others(
    half_way: Sequence[Interrupted], back: Sequence[Interrupted], steps: Sequence[MigrationStep]
) -> None:
    """Return if what stands half-way is gone on with or taken back, before anything else runs.

    Raises:
        PointError: it isn't.
    """
    for each in half_way:
        is_meant = each in back or _place(steps, each, is_upgrade=each.direction == "up") is not None
        if steps and not is_meant:
            raise PointError(
                f"Revision {each.revision} stands half-way, and is no part of what this command does: others "
                f"wait for it. {say_ways(each)}"
            )


def ways(each: Interrupted) -> tuple[str, str]:
    """Return what to type to go on, and to take back what is done, whatever branches there are."""
    up, down = f"alembic upgrade {each.revision}", f"alembic downgrade {each.revision}@-1"
    return (up, down) if each.direction == "up" else (down, up)


def say_ways(each: Interrupted) -> str:
    """Return sentences that say the same."""
    forth, back = ways(each)
    return f"To go on: {forth}. To take back what is done: {back}"


def forget(context: MigrationContext, heads: Sequence[str], version_table: str, begun: Iterable[str]) -> None:
    """Forget what `alembic stamp` has the last word on: revisions above or below those that it names.

    One that names what is applied, and nothing else, is there to say that nothing else is in the database.

    Args:
        context: Alembic's.
        heads: what is applied.
        version_table: whose revisions they are.
        begun: those of which something is noted.
    """
    script, connection = context.script, context.connection
    if script is None or not isinstance(connection, Connection):
        return
    named = [
        found.revision
        for name in to_tuple(context.opts.get("destination_rev"), default=())
        for found in script.get_revisions(name) or script.get_revisions(name.removesuffix("@base"))
        if found is not None
    ]
    known = {found.revision for found in script.walk_revisions()}
    below = ancestors(script, named)
    for name in sorted(begun):
        is_about = name in below or set(named) == set(heads) or not named or name not in known
        if is_about or not ancestors(script, [name]).isdisjoint(named):
            for table in (unfinished, points):
                where = (table.c.version_table == version_table, table.c.revision == name)
                connection.execute(table.delete().where(*where))
            log.warning("What is noted of revision %s is forgotten, and what it had done stays.", name)


def _only(half_way: Sequence[Interrupted], context: MigrationContext) -> list[Interrupted]:
    """Return the one that a downgrade by one step is about; Alembic doesn't walk down from a merge point."""
    match = _ONE.fullmatch(str(context.opts.get("destination_rev")))
    return [each for each in half_way if match and match["name"] in {None, each.revision}][:1]


def _place(steps: Sequence[MigrationStep], each: Interrupted, *, is_upgrade: bool) -> int | None:
    for place, step in enumerate(steps):
        is_same = isinstance(step, RevisionStep) and step.revision.revision == each.revision
        if is_same and step.is_upgrade is is_upgrade:
            return place
    return None


def _as_if_done(
    script: ScriptDirectory, heads: Sequence[str], turned: Sequence[Interrupted]
) -> tuple[str, ...]:
    """Return the heads as they were if these had been done whole: first those which they make."""
    found = list(heads)
    for each in turned:
        below = parents(script, script.get_revision(each.revision))
        if each.direction == "up":
            found = [each.revision, *(name for name in found if name not in below)]
        else:
            found.remove(each.revision)
            rest = ancestors(script, found)
            bare = [name for name in below if name not in rest]
            others = [ancestors(script, [name]) - {name} for name in bare]
            found = [name for name in bare if not any(name in other for other in others)] + found
    return tuple(found)


def why_misplaced(script: ScriptDirectory, heads: Sequence[str], each: Interrupted) -> str | None:
    """Return what to say of a revision that can't be half-way where the database stands; None if it can."""
    known = {found.revision: found for found in script.walk_revisions()}
    at = f"alembic stamp {' '.join(heads) or 'base'}"
    revision = known.get(each.revision)
    if revision is None:
        return (
            f"Revision {each.revision} stands half-way, and has no file here. Put the file back; or undo by "
            f"hand what it has done, and say so: {at}"
        )
    applied = ancestors(script, heads)
    why = ""
    if each.direction == "up":
        missing = set(parents(script, revision)) - applied
        if missing:
            why = f"{', '.join(sorted(missing))}, on which it stands, isn't applied"
        elif each.revision in applied:
            why = "it counts as applied"
    elif each.revision not in heads:
        why = "it is no head of what is applied"
    if not why:
        return None
    return (
        f"Revision {each.revision} stands half-way of its {each.direction}grade by what was noted, and "
        f"{why}: the database was changed since by other means, or the file was. Put its down_revision back; "
        f"or, if nothing of it is there any more, or all of it, say where the database stands: {at}"
    )
