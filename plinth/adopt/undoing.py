"""The SQL that undoes what somebody has changed by hand in a database; it is shown, and never run."""

import io
from collections.abc import Iterator
from dataclasses import replace

from alembic.operations import Operations
from alembic.operations.ops import AlterColumnOp, DropColumnOp, DropTableOp, MigrateOperation
from alembic.util import CommandError
from sqlalchemy import Connection

from plinth.autogenerate.change.casts import read_casts
from plinth.autogenerate.change.quoting import quoted, sql_name
from plinth.autogenerate.change.steps import Change, EachPartitionOp, leaves
from plinth.autogenerate.directives import ordinary
from plinth.autogenerate.objects.constraints import sql_definition
from plinth.autogenerate.objects.difference import difference
from plinth.catalog import Catalog, differences
from plinth.quiet import quiet_context

_LOSES = {
    DropColumnOp: "-- with its values:",
    DropTableOp: "-- with its rows:",
    AlterColumnOp: "-- rounds values, or fails by those that don't fit:",
}


def undoing(target: Connection, there: Catalog, wanted: Catalog) -> list[str]:
    """Return the statements that lead from one schema to another, or a comment that says why there are none.

    Args:
        target: the database.
        there: its schema.
        wanted: the other one.
    """
    if not differences(there, wanted):
        return []
    change = Change(there, wanted, read_casts(target))
    try:
        difference(change)
        parts = ordinary(change)
    except CommandError as error:
        return [f"-- {' '.join(str(error).split())}"]
    lines = [line for op in leaves(op for part in parts for op in part.up) for line in _sql(target, op)]
    return [*_checked(there, wanted), *lines]


def _checked(there: Catalog, wanted: Catalog) -> Iterator[str]:
    """Yield what makes constraints anew whose triggers are disabled: all rows are checked then."""
    for name in sorted(there.tables.keys() & wanted.tables.keys()):
        should_be = wanted.tables[name].constraints
        for each in there.tables[name].constraints.values():
            is_all = should_be.get(each.name) == replace(each, disabled=False)
            if each.disabled and each.is_local and is_all:
                anew = f"DROP CONSTRAINT {quoted(each.name)}, ADD {sql_definition(each)}"
                yield f"ALTER TABLE {sql_name(name, there)} {anew};"


def _sql(target: Connection, op: MigrateOperation) -> Iterator[str]:
    if not isinstance(op, AlterColumnOp) or op.modify_type is not None:
        yield from filter(None, [_LOSES.get(type(op))])
    if isinstance(op, EachPartitionOp):  # asks which there are
        yield from (f"{each};" for each in op.on(target))
        return
    printed = io.StringIO()
    options = {"as_sql": True, "output_buffer": printed, "literal_binds": True}
    Operations(quiet_context(dialect=target.dialect, opts=options)).invoke(op)
    yield from (line for line in printed.getvalue().splitlines() if line.strip())
