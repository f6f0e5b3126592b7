"""Undoing as a whole: the last batch (`rollback`), the last change (`redo`).

Both go through `env.py` as a downgrade does, under the same lock, and are stopped by the same things:
revisions that can't be undone, rows that would be lost.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from plinth.apply import resuming
from plinth.apply.ledger import Entry, ancestors, change_of, history_name, newest, parents, read
from plinth.apply.points import Interrupted
from plinth.errors import PlinthError


class UndoError(PlinthError):
    """There is nothing that could be undone as a whole; the message says what can be done instead."""


@dataclass
class Undone:
    """What was undone, in that order, and then perhaps applied again."""

    undone: list[str] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)


def rollback(config: Config) -> Undone:
    """Undo the last batch: the revisions that one command applied, as far as they still are.

    Raises:
        alembic.util.CommandError: there is none, later revisions stand on it, one of them can't be undone, or
            rows would be lost.
    """
    done = Undone()

    def steps(heads: Sequence[str], context: MigrationContext) -> Iterable[MigrationStep]:
        script, applied, entries = _state(heads, context)
        batches: dict[str, float] = {
            name: entry.batch for name, entry in entries.items() if entry.direction == "up" and entry.batch
        }
        for each in _begun(context, applied):
            batches[each.revision] = each.batch or math.inf
        if not batches:
            raise UndoError(_no_batch(applied))
        last = {name for name, batch in batches.items() if batch == max(batches.values())}
        downgrades = _downgrades(script, applied, last)
        done.undone = [step.revision.revision for step in downgrades]
        return downgrades

    _run(config, steps)
    return done


def redo(config: Config) -> Undone:
    """Undo the last change and apply it again: all that one autogenerate wrote, or the last revision.

    Raises:
        alembic.util.CommandError: there is none, later revisions stand on it, one of them can't be undone, or
            rows would be lost.
    """
    done = Undone()

    def steps(heads: Sequence[str], context: MigrationContext) -> Iterable[MigrationStep]:
        script, applied, entries = _state(heads, context)
        begun = [each.revision for each in _begun(context, applied)]
        last = begun[0] if begun else _last(heads, applied, entries)
        change = change_of(script.get_revision(last))
        same = {name for name in applied if change and change_of(script.get_revision(name)) == change}
        downgrades = _downgrades(script, applied, same or {last})
        upgrades = [RevisionStep(step.revision_map, step.revision, True) for step in reversed(downgrades)]
        done.undone = [step.revision.revision for step in downgrades]
        done.applied = [step.revision.revision for step in upgrades]
        return [*downgrades, *upgrades]

    _run(config, steps)
    return done


def _run(config: Config, steps: object) -> None:
    script = ScriptDirectory.from_config(config)
    with EnvironmentContext(config, script, fn=steps):
        script.run_env()


def _state(
    heads: Sequence[str], context: MigrationContext
) -> tuple[ScriptDirectory, set[str], dict[str, Entry]]:
    """Return the revisions' files, what is applied, and its newest rows in the ledger."""
    script, connection = context.script, context.connection
    if script is None or not isinstance(connection, Connection):
        raise UndoError("There is no --sql for this: what to undo stands in the database.")
    applied = ancestors(script, heads)
    entries = newest(read(connection, history_name(connection, context.opts)))
    return script, applied, {name: entry for name, entry in entries.items() if name in applied}


def _begun(context: MigrationContext, applied: set[str]) -> list[Interrupted]:
    """Return the revisions whose upgrade stands half-way; what is to be undone counts as applied."""
    return [
        each
        for each in resuming.standing_half_way(context)
        if each.direction == "up" and each.revision in applied
    ]


def _no_batch(applied: set[str]) -> str:
    if not applied:
        return "There is nothing to undo: no revision is applied."
    return (
        "There is no batch to undo: the ledger doesn't know who applied these revisions. "
        "To undo the last one: alembic downgrade -1"
    )


def _last(heads: Sequence[str], applied: set[str], entries: dict[str, Entry]) -> str:
    """Return the revision that was applied last."""
    if not applied:
        raise UndoError("There is nothing to undo: no revision is applied.")
    known = [entry for entry in entries.values() if entry.applied_at]
    if known:
        return max(known, key=lambda entry: entry.id).revision
    if len(heads) == 1:
        return heads[0]
    raise UndoError(
        "There are several heads, and the ledger doesn't know which was applied last. "
        f"Undo one by its name: alembic downgrade {heads[0]}@-1"
    )


def _downgrades(script: ScriptDirectory, applied: set[str], chosen: set[str]) -> list[RevisionStep]:
    """Return the steps that undo the chosen revisions, newest first.

    Raises:
        UndoError: a revision that stays stands on one of them.
    """
    for name in applied - chosen:
        below = chosen.intersection(parents(script, script.get_revision(name)))
        if below:
            raise UndoError(
                f"Revision {name} stands on {below.pop()}, which would be undone, and belongs to another "
                "batch or was marked by hand (alembic stamp). Undo them by name: alembic downgrade REVISION"
            )
    return [
        RevisionStep(script.revision_map, revision, False)
        for revision in script.walk_revisions()
        if revision.revision in chosen
    ]
