"""What stands below the revisions, and none of them makes.

A platform's tables, what an administrator or another application has made, all tables of a database that was
adopted with an empty first revision. To try revisions that lean on it, the database's schema is copied, and
their own downgrades take away what they have made.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from alembic.util import CommandError
from psycopg import errors
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from plinth.autogenerate.change.quoting import shown
from plinth.catalog import Catalog
from plinth.catalog.picture import Name
from plinth.errors import PlinthError
from plinth.quiet import quiet_context
from plinth.revision_files import is_empty
from plinth.scratch import prerequisites
from plinth.scratch.beyond import is_beyond
from plinth.scratch.cache import remembered
from plinth.scratch.copying import CopyError, copy_schema
from plinth.scratch.databases import run_in, scratch_database, undisturbed
from plinth.scratch.left_behind import drop_left_behind
from plinth.scratch.revisions import (
    History,
    RevisionError,
    all_steps,
    downgrade,
    make_version_schema,
    sources_of,
    upgrade,
)

log = logging.getLogger(__name__)

T = TypeVar("T")
_MISSING = {
    each.sqlstate
    for each in (
        errors.UndefinedObject,
        errors.UndefinedFunction,
        errors.UndefinedTable,
        errors.InvalidSchemaName,
        errors.CannotCoerce,
        errors.DatatypeMismatch,
    )
}


class MissingError(PlinthError):
    """Something isn't there on which revisions or models lean."""


@dataclass(frozen=True)
class Below:
    """What stands below the revisions, in a copy of a database.

    Args:
        catalog: the schema.
        failure: why not all revisions could be undone there; what that one and those before it make is in
            the schema, too, and nobody can tell it from the rest.
        shells: tables of which the copy has no more than the columns and keys, for they may not be read.
    """

    catalog: Catalog
    failure: RevisionError | None = None
    shells: frozenset[Name] = frozenset()

    def without_shells(self, made: Catalog) -> Catalog:
        """Return what came about on the copy, without what doesn't tell how the database's own looks."""
        return replace(
            made, tables={name: each for name, each in made.tables.items() if name not in self.shells}
        )


def _state(error: DBAPIError) -> str | None:
    """Return the server's word for what went wrong, under whichever driver."""
    state: str | None = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    return state


def is_missing(error: BaseException) -> bool:
    """Whether something fails because what it leans on isn't there."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MissingError) or (isinstance(cause, DBAPIError) and _state(cause) in _MISSING):
            return not is_beyond(cause)
        cause = cause.__cause__
    return False


def on_baseline(target: Connection, history: History, do: Callable[[Engine, Below | None], T]) -> T:
    """Do something in an empty scratch database; if it is missed there, in one with what no revision makes.

    Args:
        target: the database in question.
        history: the revisions.
        do: is given what stands below as well, None when that is nothing.

    Raises:
        RevisionError: a revision fails.
        NoScratchError: there is no place for it.
    """
    first: Exception | None = None
    if not begins_with_what_stands(history):
        try:
            with scratch_database(target) as engine:
                return do(engine, None)
        except Exception as error:
            if not is_missing(error):
                raise
            first = error
    with contextlib.ExitStack() as stack:
        try:
            engine, below = stack.enter_context(standing_below(target, history))
        except CopyError as error:
            if first is None:
                raise
            log.warning("%s", error)
            raise first from None
        return do(engine, below)


def begins_with_what_stands(history: History) -> bool:
    """Whether a first revision is empty: it was stamped on a database that stood already."""
    roots = (history.script.get_revision(name) for name in history.script.get_bases())
    return any(is_empty(root) for root in roots if root)


def copy_standing(target: Connection, engine: Engine, history: History) -> frozenset[Name]:
    """Make a copy of a database's schema, in which the same revisions count as applied.

    Returns:
        the tables of which there is but a shell.

    Raises:
        CopyError: it can't be copied, or has revisions that there are no files of.
    """
    with undisturbed(target):
        heads = quiet_context(target, opts=dict(history.options)).get_current_heads()
    with engine.connect() as connection:
        make_version_schema(connection, history)
    version_table = history.options.get("version_table") or "alembic_version"
    shells = copy_schema(
        target,
        engine,
        leaves_out=lambda entry: entry.kind.startswith("TABLE") and entry.name == version_table,
    )
    try:
        with engine.begin() as connection:
            if heads:
                stamped = quiet_context(connection, opts=dict(history.options))
                stamped.stamp(history.script, heads)  # type: ignore[arg-type] # several are fine
    except CommandError as error:
        raise CopyError(f"The database's schema could not be copied: {error}") from error
    return shells


@contextmanager
def standing_below(target: Connection, history: History) -> Iterator[tuple[Engine, Below]]:
    """Yield a scratch database with what stands below the revisions and none of them makes, and that.

    Where a revision can't be undone, it is there still, and so are those before it.

    Raises:
        CopyError: the database can't be copied.
        NoScratchError: there is no place for it.
    """
    with scratch_database(target) as below:
        shells = copy_standing(target, below, history)
        failure = None
        try:
            downgrade(below, history)
        except RevisionError as error:
            failure = error
        drop_left_behind(below, history, lambda: scratch_database(target, like=below))
        with below.connect() as connection:
            found = history.read(connection)
        with scratch_database(target, like=below) as engine:
            yield engine, Below(found, failure, shells)


def revisions_catalog(
    history: History, target: Connection, standing: Catalog | None = None, *, found: Catalog | None = None
) -> Catalog:
    """Return the schema that all revisions make: what stands below them isn't in it.

    It is kept between runs, as long as no revision changes.

    Args:
        history: the revisions.
        target: the database in question.
        standing: its schema, if it has been read already.
        found: what they make, if that is known already.

    Raises:
        RevisionError: a revision fails.
        NoScratchError: there is no place to try them.
    """
    there = standing or history.read(target)

    def make() -> Catalog:
        if found is not None:
            return found
        return on_baseline(target, history, made_on)

    def made_on(engine: Engine, below: Below | None) -> Catalog:
        upgrade(engine, history)
        with engine.connect() as connection:
            return without(history.read(connection, there.default_schema), below)

    sources = sources_of([step.revision for step in all_steps(history.script)])
    if sources is None:
        return make()
    leaned_on = [each.statement for each in prerequisites.leaned_on(there)]
    key = [run_in(target, sources), history.key, there.default_schema]
    return remembered("revisions", [*key, *leaned_on, *sources], make)


def without(made: Catalog, below: Below | None) -> Catalog:
    """Return what revisions made, without what stood there before.

    Raises:
        RevisionError: that can't be told, for one of them could not be undone.
    """
    if below is None:
        return made
    if below.failure:
        raise below.failure
    baseline = below.catalog
    return replace(
        made,
        tables={name: each for name, each in made.tables.items() if name not in baseline.tables},
        sequences={name: each for name, each in made.sequences.items() if name not in baseline.sequences},
        enums={name: each for name, each in made.enums.items() if name not in baseline.enums},
        domains={name: each for name, each in made.domains.items() if name not in baseline.domains},
        others={name: each for name, each in made.others.items() if name not in baseline.others},
    )


def named(baseline: Catalog) -> list[str]:
    """Return the objects of a baseline, as messages name them."""
    owned = {name for name, sequence in baseline.sequences.items() if sequence.owner}
    own = {"public", baseline.default_schema}  # every database has them
    return [
        *(f"schema {name}" for name in sorted(set(baseline.schemas) - own)),
        *(f"table {shown(name, baseline)}" for name in sorted(baseline.tables)),
        *(f"sequence {shown(name, baseline)}" for name in sorted(set(baseline.sequences) - owned)),
        *(f"type {shown(name, baseline)}" for name in sorted({*baseline.enums, *baseline.domains})),
        *(f"{kind} {name}" for kind, name in sorted(baseline.others)),
    ]
