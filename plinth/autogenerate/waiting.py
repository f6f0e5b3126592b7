"""What of a revision makes queries wait, as far as its operations tell."""

from collections.abc import Collection, Iterable, Iterator

from alembic.operations import ops

from plinth.autogenerate.change.quoting import sql_name
from plinth.autogenerate.change.steps import AutocommitOp, EachPartitionOp, SqlOp, Waiting, leaves
from plinth.autogenerate.objects.columns import WAITING
from plinth.autogenerate.objects.constraints import RULES
from plinth.catalog.picture import Catalog, Name

# A partitioned table takes these over from its partitions, which got them one by one.
_TAKEN_OVER = (
    ops.CreateForeignKeyOp,
    ops.CreateIndexOp,
    ops.CreatePrimaryKeyOp,
    ops.CreateUniqueConstraintOp,
)


def waits(operations: Iterable[ops.MigrateOperation], before: Catalog) -> Iterator[Waiting]:
    """Yield what operations make queries wait for.

    Args:
        operations: of a revision for a busy database, in their order.
        before: the schema before it.
    """
    locked: set[Name | None] = set()  # in this transaction
    prepared: set[object] = set()  # tables whose partitions have by then what they take over
    for op in operations:
        is_outside = isinstance(op, AutocommitOp)
        if is_outside:
            locked.clear()
        for each in leaves([op]):
            if isinstance(each, EachPartitionOp):
                prepared.add(each.given["table"])
            found, name = _waiting(each, before, prepared), _table(each, before)
            is_read = found is not None and found.only_where_locked
            if found and (not is_read or name in locked):
                yield found
            if not is_outside and not is_read:
                locked.add(name)


def _waiting(op: ops.MigrateOperation, before: Catalog, prepared: Collection[object]) -> Waiting | None:
    """Return what an operation makes queries wait for; nobody waits for a table that wasn't there."""
    found, name = op.waiting if isinstance(op, SqlOp) else _of_native(op), _table(op, before)
    table = before.tables.get(name) if name else None
    if name is None:
        return found
    is_taken_over = isinstance(op, _TAKEN_OVER) and sql_name(name, before) in prepared
    return None if table is None or is_taken_over else found


def _of_native(op: ops.MigrateOperation) -> Waiting | None:
    match op:
        case ops.AddColumnOp():
            found: Waiting | None = op.column.info.get(WAITING)
            return found
        case ops.CreateIndexOp() if not op.kw.get("postgresql_concurrently"):
            why = f"The index {op.index_name} is built while nobody can write to {op.table_name}"
            return Waiting(why, "require-concurrent-index-creation")
        case ops.CreateCheckConstraintOp() if not op.kw.get("postgresql_not_valid"):
            return _reads(op.constraint_name, op.table_name, RULES["c"])
        case ops.CreateForeignKeyOp() if not op.kw.get("postgresql_not_valid"):
            return _reads(op.constraint_name, op.source_table, RULES["f"])
        case ops.CreatePrimaryKeyOp():
            return _builds(op.constraint_name, op.table_name, RULES["p"])
        case ops.CreateUniqueConstraintOp():
            return _builds(op.constraint_name, op.table_name, RULES["u"])
    return None


def _reads(name: object, table: str, rule: str) -> Waiting:
    return Waiting(f"The constraint {name} reads all rows of {table} while nobody can use it", rule)


def _builds(name: object, table: str, rule: str) -> Waiting:
    return Waiting(f"The constraint {name} builds its index while nobody can use {table}", rule)


def _table(op: ops.MigrateOperation, catalog: Catalog) -> Name | None:
    """Return the table that an operation is about, if any."""
    if isinstance(op, SqlOp):
        return op.table
    schema = getattr(op, "schema", None) or getattr(op, "kw", {}).get("source_schema")
    name = getattr(op, "table_name", None) or getattr(op, "source_table", None)
    return Name(schema or catalog.default_schema, name) if name else None
