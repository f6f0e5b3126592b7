"""Tables: created, dropped, and what they are beside their columns, constraints and indexes."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from plinth.autogenerate.objects import constraints, indexes
from plinth.autogenerate.objects.columns import (
    INTEGERS,
    alter_op,
    column_sql,
    default_sql,
    is_serial,
    native_column,
    settings,
)
from plinth.autogenerate.objects.heirs import ancestors
from plinth.autogenerate.objects.quoting import quoted, schema_of, shown, sql_name
from plinth.autogenerate.objects.refusals import refuse
from plinth.autogenerate.objects.steps import Change, SqlOp, Step
from plinth.catalog.picture import Catalog, Column, ColumnName, Constraint, Name, Node, Table


def in_order(tables: Iterable[Name], catalog: Catalog) -> list[Name]:
    """Return tables, each after those that it refers to or inherits from, as far as there are no cycles."""
    waiting = sorted(tables)
    ordered: list[Name] = []
    while waiting:
        free = [
            name for name in waiting if not _needs(catalog.tables[name]).intersection(waiting) - {name}
        ] or [min(waiting, key=lambda name: (_is_child(name, waiting, catalog), name))]
        ordered += free
        waiting = [name for name in waiting if name not in free]
    return ordered


def as_they_change(kept: Sequence[Name], change: Change) -> list[Name]:
    """Return standing tables in the order in which they change: those first that become logged or unlogged.

    What refers to a table becomes unlogged before it, and logged after it: PostgreSQL refuses keys of logged
    tables to unlogged ones (documentation, CREATE TABLE).
    """
    before, after = change.before.tables, change.after.tables
    moved = [name for name in kept if before[name].persistence != after[name].persistence]
    ordered = in_order(moved, change.after)
    unlogged = [name for name in reversed(ordered) if after[name].persistence == "u"]
    logged = [name for name in ordered if name not in unlogged]
    return [*unlogged, *logged, *(name for name in kept if name not in moved)]


def _is_child(name: Name, waiting: Iterable[Name], catalog: Catalog) -> bool:
    return bool(set(catalog.tables[name].parents).intersection(waiting))


def _needs(table: Table) -> set[Name]:
    keys = (each.foreign_key for each in table.constraints.values())
    return {key.table for key in keys if key} | set(table.parents)


def create_steps(change: Change) -> Iterator[Step]:
    """Yield what creates the tables that aren't there, with all that belongs to them."""
    before, after = change.before, change.after
    standing = set(before.tables)
    for name in in_order(set(after.tables) - set(before.tables), after):
        table = after.tables[name]
        standing.add(name)
        late = {
            each.name
            for each in table.constraints.values()
            if each.foreign_key
            and (each.foreign_key.table not in standing or not stands_firm(each, after, before))
        }
        yield from _create(change, table, late)


def stands_firm(key: Constraint, catalog: Catalog, other: Catalog) -> bool:
    """Whether what a foreign key refers to is the same in another schema, or isn't there at all.

    Args:
        key: the foreign key.
        catalog: the schema that it belongs to.
        other: what comes before, or after.
    """
    target = key.reference.table
    here, there = catalog.tables.get(target), other.tables.get(target)
    if here is None or there is None:
        return True
    if here.persistence != there.persistence:  # no key of a logged table refers to an unlogged one
        return False
    for name in key.reference.columns:
        old, new = here.column(name), there.column(name)
        if old is None or new is None or (old.type, old.collation) != (new.type, new.collation):
            return False
    return any(
        constraints.stands_on(key, target, each)
        and constraints.is_kept(each, there.constraints.get(each.name))
        for each in here.constraints.values()
    ) or any(
        set(each.key_columns) == set(key.reference.columns)
        and indexes.is_kept(each, there.indexes.get(each.name))
        for each in here.indexes.values()
        if each.unique
    )


def _create(change: Change, table: Table, late: set[str]) -> Iterator[Step]:
    catalog = change.after
    _refuse_special(table, catalog)
    if table.partition_bound is not None:
        yield from _create_partition(change, table)
        return
    nodes = table.column_nodes | table.sequences_but(change.before.sequences)
    own = {column.name for column in table.columns if column.is_local}
    inline = [
        each for each in _own_constraints(table) if each.name not in late and own.issuperset(each.columns)
    ]
    native = _native_table(change, table, inline)
    if native is None:
        create: ops.MigrateOperation = SqlOp(create_sql(table, inline, catalog), f"create {table.name.name}")
        written = {each.name for each in inline}
        if table.comment is not None:
            yield Step(_comment(table, catalog), "comment")
        for column in table.columns:
            if column.comment is not None:
                yield Step(alter_op(table, column.name, catalog, modify_comment=column.comment), "comment")
    else:
        create, written = native
    made = Step(create).making(*nodes)
    yield made.making(*(table.part("constraint", each) for each in written))
    yield from _create_parts(table, _own_constraints(table), written, catalog)
    for column in table.columns:
        yield from settings(change, table, Column(column.name, column.type), column)


def _create_parts(
    table: Table, own: Iterable[Constraint], written: Collection[str], catalog: Catalog
) -> Iterator[Step]:
    """Yield what gives a new table its constraints, those aside that are written already, and indexes."""
    for constraint in own:
        if constraint.name not in written:
            about = None if constraint.type == "f" else "table"
            step = Step(constraints.add_op(constraint, table, catalog), about)
            yield step.making(table.part("constraint", constraint.name))
        if constraint.comment is not None:
            yield Step(constraints.comment_op(constraint, table, catalog), "comment")
    for index in table.indexes.values():
        step = Step(indexes.add_op(index, table, catalog), "table")
        yield step.making(table.part("index", index.name))
        for op in indexes.detail_ops(None, index, table.name, catalog):
            yield Step(op, "comment")
    yield from _security(Table(table.name), table, catalog)


def _refuse_special(table: Table, catalog: Catalog) -> None:
    """Return if a table is one that autogenerate can make.

    Raises:
        Refusal: it lies on another server, or has its columns from a type.
    """
    if table.is_foreign or table.of_type:
        what = f"of the type {table.of_type}" if table.of_type else "of another server"
        refuse(
            "unknown change",
            f"Table {shown(table.name, catalog)} is one {what}: make it by a revision written by hand, "
            "with op.execute('CREATE …').",
        )


def _create_partition(change: Change, table: Table) -> Iterator[Step]:
    catalog = change.after
    sql = create_sql(table, (), catalog)
    parent = catalog.tables.get(table.parents[0])
    own = own_of_partition(table, parent) if parent else table
    created = Step(SqlOp(sql, f"create {table.name.name}"))
    yield created.making(*table.column_nodes, *(table.nodes - own.nodes))
    if table.comment is not None:
        yield Step(_comment(table, catalog), "comment")
    for column in own.columns:
        if column.default is not None:
            alter = f"ALTER TABLE {sql_name(table.name, catalog)} ALTER COLUMN {quoted(column.name)}"
            step = Step(SqlOp(f"{alter} SET DEFAULT {default_sql(column)}"), "table")
            yield step.making(table.part("default", column.name))
        if column.comment is not None:
            yield Step(alter_op(table, column.name, catalog, modify_comment=column.comment), "comment")
        yield from settings(change, table, Column(column.name, column.type), column)
    yield from _create_parts(table, own.constraints.values(), (), catalog)


def is_same_partition(before: Table, after: Table) -> bool:
    """Whether a table is, and stays, the same partition of the same table."""
    return (
        before.partition_bound is not None
        and before.partition_bound == after.partition_bound
        and before.partition_key == after.partition_key
        and before.parents == after.parents
    )


def own_of_partition(table: Table, parent: Table) -> Table:
    """Return a partition without what it has from the table that it is a partition of."""

    def own(column: Column) -> Column:
        above = parent.column(column.name)
        if above is None:
            return column
        given = {
            name: getattr(column, name)
            for name in ("default", "words", "storage", "compression", "statistics", "options")
            if getattr(column, name) != getattr(above, name)
        }
        return Column(column.name, "", comment=column.comment, **given)

    own_constraints = (each for each in table.constraints.values() if each.is_local and each.type != "n")
    return replace(
        table,
        columns=tuple(map(own, table.columns)),
        constraints={each.name: each for each in own_constraints},
    )


def with_partitions_own(before: Catalog, after: Catalog) -> tuple[Catalog, Catalog]:
    """Return two schemas in which standing partitions have what is their own; all else follows from above."""
    there, wanted = dict(before.tables), dict(after.tables)
    for name in there.keys() & wanted.keys():
        pair = [(before, before.tables[name]), (after, after.tables[name])]
        if not is_same_partition(before.tables[name], after.tables[name]):
            continue
        known = before.tables[name].column_nodes & after.tables[name].column_nodes
        there[name], wanted[name] = (_own(table, catalog, known) for catalog, table in pair)
    return replace(before, tables=there), replace(after, tables=wanted)


def _own(table: Table, catalog: Catalog, known: Collection[Node]) -> Table:
    parent = catalog.tables.get(table.parents[0])
    own = own_of_partition(table, parent) if parent else table
    return replace(own, columns=tuple(each for each in own.columns if own.part("column", each.name) in known))


def _own_constraints(table: Table) -> list[Constraint]:
    """Return the constraints that the table itself has, those first that come first in hand-written SQL."""
    order = {"f": 0, "p": 1, "u": 2, "c": 3, "x": 4}
    own = (each for each in table.constraints.values() if each.type != "n" and each.is_local)
    return sorted(own, key=lambda each: (order[each.type], each.name))


def _native_table(
    change: Change, table: Table, inline: list[Constraint]
) -> tuple[ops.CreateTableOp, set[str]] | None:
    """Return `op.create_table` and the constraints in it; None where SQLAlchemy has no words for a column."""
    catalog = change.after
    columns = [native_column(column, table, catalog) for column in table.columns if column.is_local]
    if any(column is None for column in columns) or table.is_foreign or table.partition_bound:
        return None
    if any(parent.schema != table.name.schema for parent in table.parents):
        return None
    given = {each.name: constraints.native_constraint(each, catalog) for each in inline}
    written = {name: each for name, each in given.items() if each is not None}
    key = table.primary_key
    if not _say_autoincrement(table, [each for each in columns if each is not None], set(written), catalog):
        return None
    if key is not None and key.name not in written:
        for column in columns:
            if column is not None and column.name in key.columns:
                column.autoincrement = False
    op = ops.CreateTableOp(
        table.name.name,
        [*columns, *written.values()],  # type: ignore[list-item]
        schema=schema_of(table.name, catalog),
        comment=table.comment,
        **_table_options(table),
    )
    return op, set(written)


def _say_autoincrement(
    table: Table, columns: list[sa.Column[object]], inline: set[str], catalog: Catalog
) -> bool:
    """Tell SQLAlchemy which column is SERIAL, where it wouldn't guess so; return whether it can be told."""
    key = table.primary_key
    for native in columns:
        column = table[native.name]
        in_key = key is not None and key.name in inline and column.name in key.columns
        alone = in_key and key is not None and len(key.columns) == 1
        has_foreign_key = any(
            each.type == "f" and each.name in inline and column.name in each.columns
            for each in table.constraints.values()
        )
        if is_serial(column, table, catalog):
            if not in_key:
                return False
            if not alone or has_foreign_key:
                native.autoincrement = True
        elif (
            alone
            and column.type in INTEGERS
            and not has_foreign_key
            and not (column.default or column.identity or column.generated)
        ):
            native.autoincrement = False
    return True


def _table_options(table: Table) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if table.persistence == "u":
        options["prefixes"] = ["UNLOGGED"]
    if table.options:
        options["postgresql_with"] = indexes.storage_options(table.options)
    if table.partition_key:
        options["postgresql_partition_by"] = table.partition_key
    if table.parents:
        parents = [parent.name for parent in table.parents]
        options["postgresql_inherits"] = parents[0] if len(parents) == 1 else tuple(parents)
    if table.access_method:
        options["postgresql_using"] = table.access_method
    if table.tablespace:
        options["postgresql_tablespace"] = table.tablespace
    return options


def create_sql(table: Table, inline: Iterable[Constraint], catalog: Catalog) -> str:
    """Return the statement that creates a table, without its indexes and comments."""
    words = "CREATE UNLOGGED TABLE" if table.persistence == "u" else "CREATE TABLE"
    sql = f"{words} {sql_name(table.name, catalog)}"
    if table.partition_bound is not None:
        sql += f" PARTITION OF {sql_name(table.parents[0], catalog)} {table.partition_bound}"
    else:
        lines = [column_sql(column, table, catalog) for column in table.columns if column.is_local]
        lines += [constraints.sql_definition(each) for each in inline]
        sql += " (\n    " + ",\n    ".join(lines) + "\n)"
    if table.parents and table.partition_bound is None:
        sql += f" INHERITS ({', '.join(sql_name(parent, catalog) for parent in table.parents)})"
    if table.partition_key:
        sql += f" PARTITION BY {table.partition_key}"
    if table.access_method:
        sql += f" USING {quoted(table.access_method)}"
    if table.options:
        sql += f" WITH ({', '.join(table.options)})"
    if table.tablespace:
        sql += f" TABLESPACE {quoted(table.tablespace)}"
    return sql


def _comment(table: Table, catalog: Catalog) -> ops.MigrateOperation:
    schema = schema_of(table.name, catalog)
    if table.comment is None:
        return ops.DropTableCommentOp(table.name.name, schema=schema)
    return ops.CreateTableCommentOp(table.name.name, table.comment, schema=schema)


def drop_steps(change: Change) -> Iterator[Step]:
    """Yield what drops the tables that should not be there."""
    before = change.before
    gone = set(before.tables) - set(change.after.tables)
    ordered = in_order(gone, before)
    keys: set[Node] = set()
    for place, name in enumerate(ordered):
        table = before.tables[name]
        # Dropped in reverse order: what a table refers to must still be to come, or the key goes first.
        for constraint in table.constraints.values():
            key = constraint.foreign_key
            comes_first = key is not None and key.table in gone and ordered.index(key.table) > place
            if key and (comes_first or not stands_firm(constraint, before, change.after)):
                node = table.part("constraint", constraint.name)
                keys.add(node)
                step = Step(constraints.drop_op(constraint, table, before))
                yield step.dropping(node)
    for name in reversed(ordered):
        table = before.tables[name]
        parts = {table.part("constraint", each) for each in table.constraints} - keys
        parts |= {table.part("index", each) for each in table.indexes}
        parts |= table.sequences_but(change.after.sequences)
        if _is_referred_to(table, before) and table.parents[0] in change.after.tables:
            # PostgreSQL looks whether rows refer to it, and drops no partition that they might refer to.
            parent, own = (sql_name(each, before) for each in (table.parents[0], name))
            yield Step(SqlOp(f"ALTER TABLE {parent} DETACH PARTITION {own}", None, name), "table")
        step = Step(ops.DropTableOp(name.name, schema=schema_of(name, before)))
        yield step.dropping(*table.column_nodes, *parts)


def _is_referred_to(partition: Table, catalog: Catalog) -> bool:
    """Whether a foreign key refers to the table that one is a partition of."""
    above = ancestors(partition.name, catalog) if partition.partition_bound else []
    keys = (each.foreign_key for table in catalog.tables.values() for each in table.constraints.values())
    return any(key.table in above for key in keys if key)


def alter_steps(change: Change, name: Name) -> Iterator[Step]:
    """Yield what makes a standing table as it should be, its columns, constraints and indexes aside.

    Raises:
        Refusal: PostgreSQL can't.
    """
    before, after = change.before.tables[name], change.after.tables[name]
    if before.partition_key != after.partition_key or before.is_foreign != after.is_foreign:
        refuse(
            "partitioning",
            f"Table {shown(name, change.after)} can't become another kind of table: partitioning is "
            f"{before.partition_key or 'none'}, and should be {after.partition_key or 'none'}. That is a "
            "revision by hand. A table becomes partitioned without a copy: a check of what the first "
            "partition's bounds will be, NOT VALID, then VALIDATE; in one transaction, rename the table, "
            "CREATE TABLE … (LIKE … INCLUDING ALL) PARTITION BY …, and ATTACH the old one: it then looks "
            "at no row. docs/autogenerate.md has it written out (A table that becomes partitioned). In "
            "all other cases: a new table beside it, and the rows moved there.",
        )
    if before.partition_bound != after.partition_bound and not is_same_partition(before, after):
        refuse(
            "partitioning",
            f"Table {shown(name, change.after)} is {_as_partition(before, change.before)} and should be "
            f"{_as_partition(after, change.after)}: attach or detach it by a revision written by hand, "
            "with op.execute('ALTER TABLE … ATTACH PARTITION …'). If the table has rows, add a check "
            "beforehand that says what the bounds say (NOT VALID, then VALIDATE): ATTACH looks at no row "
            "then while nobody can use them.",
        )
    sql = f"ALTER TABLE {sql_name(name, change.after)}"
    summary = f"change {name.name}"

    def step(action: str) -> Step:
        return Step(SqlOp(f"{sql} {action}", summary, name), "table")

    if before.persistence != after.persistence:
        yield step("SET UNLOGGED" if after.persistence == "u" else "SET LOGGED")
    old, new = _options(before.options), _options(after.options)
    gone = [option for option in old if option not in new]
    if gone:
        yield step(f"RESET ({', '.join(gone)})")
    changed = [f"{option} = {value}" for option, value in new.items() if old.get(option) != value]
    if changed:
        yield step(f"SET ({', '.join(changed)})")
    if before.access_method != after.access_method:
        yield step(f"SET ACCESS METHOD {quoted(after.access_method) if after.access_method else 'DEFAULT'}")
    if before.tablespace != after.tablespace:
        yield step(f"SET TABLESPACE {quoted(after.tablespace or 'pg_default')}")
    for parent in before.parents:
        if parent not in after.parents and not before.partition_bound:
            op = SqlOp(f"{sql} NO INHERIT {sql_name(parent, change.before)}", summary, name)
            # What is inherited can't be dropped: this comes first.
            yield Step(op).dropping(before.part("inheritance", str(parent)))
    for parent in after.parents:
        if parent not in before.parents and not after.partition_bound:
            op = SqlOp(f"{sql} INHERIT {sql_name(parent, change.after)}", summary, name)
            yield Step(op).making(after.part("inheritance", str(parent)))
    if before.comment != after.comment:
        yield Step(_comment(after, change.after), "comment")
    yield from _security(before, after, change.after)


def _as_partition(table: Table, catalog: Catalog) -> str:
    if table.partition_bound is None:
        return "no partition"
    return f"a partition of {shown(table.parents[0], catalog)} {table.partition_bound}"


def _options(options: tuple[str, ...]) -> Mapping[str, str]:
    return dict(option.split("=", 1) for option in options)


def _security(before: Table, after: Table, catalog: Catalog) -> Iterator[Step]:
    actions = [
        on if word in after.row_security else off
        for word, on, off in (
            ("enabled", "ENABLE ROW LEVEL SECURITY", "DISABLE ROW LEVEL SECURITY"),
            ("forced", "FORCE ROW LEVEL SECURITY", "NO FORCE ROW LEVEL SECURITY"),
        )
        if (word in before.row_security) != (word in after.row_security)
    ]
    if before.replica_identity != after.replica_identity:
        actions.append(f"REPLICA IDENTITY {after.replica_identity or 'DEFAULT'}")
    if before.clustered_on != after.clustered_on:
        index = after.clustered_on
        actions.append(f"CLUSTER ON {quoted(index)}" if index else "SET WITHOUT CLUSTER")
    for action in actions:
        sql = f"ALTER TABLE {sql_name(after.name, catalog)} {action}"
        yield Step(SqlOp(sql, f"change {after.name.name}", after.name), "other")


def columns_kept(change: Change) -> set[ColumnName]:
    """Return the columns that are there before and after."""
    return {
        ColumnName(name, column.name)
        for name, table in change.before.tables.items()
        if name in change.after.tables
        for column in table.columns
        if change.after.tables[name].column(column.name)
    }
