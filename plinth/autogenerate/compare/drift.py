"""A database that isn't as its revisions make it: somebody has changed it, or a revision, by hand.

What leads from such a database to the models doesn't work where the revisions are run. So a revision is
written from what they make, on request (`-x compare=revisions`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from alembic.operations.ops import MigrateOperation
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine

from plinth.autogenerate.change.dependents import nodes_there
from plinth.autogenerate.change.quoting import shown_names
from plinth.autogenerate.change.refusals import Refusal
from plinth.autogenerate.change.steps import SqlOp, leaves
from plinth.autogenerate.compare.hints import Models
from plinth.autogenerate.compare.models import own_of
from plinth.autogenerate.compare.scope import in_scope
from plinth.autogenerate.comparison import Comparison, Subject
from plinth.catalog import Catalog, Difference, differences
from plinth.catalog.picture import Other
from plinth.connecting import on_our_driver_too
from plinth.scratch.baseline import Below, on_baseline, revisions_catalog, without
from plinth.scratch.databases import NoScratchError
from plinth.scratch.revisions import History, RevisionError, copy_missing, history_of, upgrade

T = TypeVar("T")


def in_what_revisions_make(
    target: Connection, history: History, metadata: Models, look: Callable[[Connection, Catalog], T]
) -> T:
    """Return what is found in a scratch database in which all revisions are applied.

    Args:
        target: the database at hand.
        history: the revisions.
        metadata: of the models.
        look: is given a connection to the scratch database, and what the revisions made there.

    Raises:
        RevisionError: a revision fails.
        NoScratchError: there is no place for it.
    """
    standing = history.read(target)

    def found(engine: Engine, below: Below | None) -> T:
        upgrade(engine, history)
        with engine.connect() as connection:
            made = without(history.read(connection, standing.default_schema), below)
        copy_missing(engine, standing, own_of(metadata, target.dialect, standing.default_schema).has)
        with engine.connect() as connection:
            return look(connection, made)

    return on_baseline(target, history, found)


def has_it_already(there: Catalog, subject: Subject) -> bool:
    """Return whether a database has what leads from the revisions to the models; it may have none of it.

    Args:
        there: its schema.
        subject: the comparison of what the revisions make with the models.

    Raises:
        Refusal: it has a part of it: one revision could neither be applied there nor be said to be.
    """

    def to_models(catalog: Catalog) -> dict[tuple[str, str, str], Difference]:
        found = differences(*in_scope(catalog, subject.models, subject.scope))
        return {each.key: each for each in found}

    all_of_it, lacking = to_models(subject.database), to_models(there)
    has = [f"{each.kind} {each.name}" for key, each in all_of_it.items() if key not in lacking]
    lacks = [f"{each.kind} {each.name}" for key, each in all_of_it.items() if key in lacking]
    if has and lacks:
        raise Refusal(
            "drift",
            f"The database has a part of it already ({shown_names(has)}), and lacks another "
            f"({shown_names(lacks)}): one revision could neither be applied there nor be stamped. Let the "
            "models say only the one, write that, apply or stamp it, and then the other.",
        )
    return bool(has)


def drift(
    context: MigrationContext, subject: Subject, *, with_what_stays: bool = False
) -> Sequence[Difference]:
    """Return in what a command's database isn't as its revisions make it; nothing if they can't be run.

    Args:
        context: Alembic's.
        subject: the comparison of the models with that database.
        with_what_stays: beside anything else also what neither revisions nor models know and is let stay: a
            view on a table of theirs, for instance, which a file that changes the table names.
    """
    given = context.connection
    if not isinstance(given, Connection):
        return []
    try:
        with on_our_driver_too(given) as target:
            made = revisions_catalog(history_of(context), target, subject.database)
    except (NoScratchError, RevisionError):
        return []
    scope = replace(subject.scope, old_tables=(), revisions=lambda: made)
    found = differences(*in_scope(subject.database, made, scope))
    return [*found, *_unknown(subject, made)] if found and with_what_stays else found


def made_by_hand(
    comparison: Comparison, operations: Sequence[MigrateOperation]
) -> tuple[list[str], list[str]]:
    """Return what operations drop or make and neither revisions nor models do, as messages name it.

    Returns:
        What stands on something that revisions make; what may be of the time before them, or can't be told.
    """
    subject, before = comparison.subject, comparison.change.before
    written = {op.sql for op in leaves(operations) if isinstance(op, SqlOp)}
    said = [
        each for each in before.others.values() if written & {f"DROP {each.address}", each.definition.strip()}
    ]
    made = subject.scope.revisions() if said else None
    unknown = _others_unknown(subject, made)
    standing = {(each.kind, each.name) for each in _unknown(subject, made)} if made else set()
    found: tuple[list[str], list[str]] = [], []
    for each in said:
        key = each.kind, each.name
        # What a rename has changed in the name itself is called as it was (a policy's table).
        alike = [
            it for it, other in subject.database.others.items() if (it[0], other.bare) == (key[0], each.bare)
        ]
        keys = {key} if key in subject.database.others else set(alike)
        if keys and keys <= unknown.keys():
            found[not keys & standing].append(" ".join(key))
    return found


def _others_unknown(subject: Subject, made: Catalog | None) -> dict[tuple[str, str], Other]:
    """Return what neither revisions nor models make of what models can't say."""
    known = {*(made.others if made else ()), *(subject.models.others.keys() - subject.models.leaned_on)}
    return {key: each for key, each in subject.database.others.items() if key not in known}


def _unknown(subject: Subject, made: Catalog) -> list[Difference]:
    """Return what stands on what revisions make, and neither they nor the models know."""
    left = _others_unknown(subject, made)
    found: dict[tuple[str, str], Difference] = {}
    nodes = nodes_there(made)
    while new := {
        key: each
        for key, each in left.items()
        if key not in found
        and (
            each.table in made.tables
            or nodes & each.needs
            or {use.table for use in each.uses} & made.tables.keys()
        )
    }:
        found |= {key: Difference(each.kind, each.name, actual=each) for key, each in new.items()}
        nodes |= {each.node for each in new.values()}
    return [found[key] for key in sorted(found)]
