"""Tables: created, dropped, and what they are beside their columns, constraints and indexes.

On a busy database also all that touches no standing table, and the changes of those that aren't taken apart.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from plinth.autogenerate.change.expressions import default_sql
from plinth.autogenerate.change.heirs import ancestors
from plinth.autogenerate.change.order import in_order, mentioned, names_of, names_taken
from plinth.autogenerate.change.quoting import (
    quoted,
    schema_of,
    shown,
    sql_name,
)
from plinth.autogenerate.change.refusals import refuse
from plinth.autogenerate.change.stages import Stage
from plinth.autogenerate.change.steps import Change, SqlOp, Step, Waiting
from plinth.autogenerate.change.way import Outside, Way
from plinth.autogenerate.objects import constraints, indexes
from plinth.autogenerate.objects.columns import (
    alter_op,
    column_sql,
    native_column,
    settings,
    with_what_fills_it,
)
from plinth.autogenerate.objects.constraints import (
    drop_op,
    not_valid_op,
    validate_op,
)
from plinth.autogenerate.objects.domains import new_domains
from plinth.autogenerate.objects.enums import is_extended, rebuilt_enum
from plinth.autogenerate.objects.foreign_keys import refers_to, stands_firm
from plinth.autogenerate.objects.others import loses_columns, with_what_is_needed
from plinth.autogenerate.objects.partitions import (
    default_beside,
    is_same_partition,
    look_for_rows,
    own_constraints,
    own_of_partition,
    without_rows_of,
)
from plinth.autogenerate.objects.sequences import INTEGERS, is_serial
from plinth.autogenerate.objects.values import new_and_filled
from plinth.catalog.picture import Catalog, Column, ColumnName, Constraint, Name, Node, Other, Table, only


def as_they_change(kept: Sequence[Name], change: Change) -> list[Name]:
    """Return standing tables in the order in which they change: those first that others inherit from.

    Before all others of these come those that become logged or unlogged. What refers to a table becomes
    unlogged before it, and logged after it: PostgreSQL refuses keys of logged tables to unlogged ones
    (documentation, CREATE TABLE).
    """
    before, after = change.before.tables, change.after.tables
    moved = [name for name in kept if before[name].persistence != after[name].persistence]
    ordered = in_order(moved, change.after)
    unlogged = [name for name in reversed(ordered) if after[name].persistence == "u"]
    logged = [name for name in ordered if name not in unlogged]
    found = [*unlogged, *logged, *(name for name in kept if name not in moved)]
    return sorted(found, key=lambda name: len(ancestors(name, change.after)))


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


def _create(change: Change, table: Table, late: set[str]) -> Iterator[Step]:
    catalog = change.after
    _refuse_special(table, catalog)
    if table.partition_bound is not None:
        yield from _create_partition(change, table)
        return
    nodes = table.column_nodes | table.sequences_but(change.before.sequences)
    own = {column.name for column in table.columns if column.is_local}
    inline = [
        each for each in own_constraints(table) if each.name not in late and own.issuperset(each.columns)
    ]
    native = _native_table(change, table, inline)
    if native is None:
        create: ops.MigrateOperation = SqlOp(create_sql(table, inline, catalog), f"create {table.name.name}")
        written = {each.name for each in inline}
        yield from _comments(table, table.columns, catalog)
    else:
        create, written = native
    said = list(_said_of_inherited(table, catalog))
    made = Step(create).making(*nodes.difference(*(step.makes for step in said)))
    yield made.making(*(table.part("constraint", each) for each in written))
    yield from said
    yield from _create_parts(table, own_constraints(table), written, catalog)
    for column in table.columns:
        yield from settings(change, table, Column(column.name, column.type), column)


def _said_of_inherited(table: Table, catalog: Catalog) -> Iterator[Step]:
    """Yield the defaults that a new heir has by itself for columns that it inherits."""
    parents = [catalog.tables[each] for each in table.parents if each in catalog.tables]
    for column in table.columns:
        above = next((found for each in parents if (found := each.column(column.name))), None)
        if column.is_local or above is None or column.generated or column.default == above.default:
            continue
        default = "DROP DEFAULT" if column.default is None else f"SET DEFAULT {default_sql(column)}"
        alter = f"ALTER TABLE {sql_name(table.name, catalog)} ALTER COLUMN {quoted(column.name)} {default}"
        yield Step(SqlOp(alter), "table").making(table.part("default", column.name))


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
    yield from _comments(table, own.columns, catalog)
    for column in own.columns:
        if column.default is not None:
            alter = f"ALTER TABLE {sql_name(table.name, catalog)} ALTER COLUMN {quoted(column.name)}"
            step = Step(SqlOp(f"{alter} SET DEFAULT {default_sql(column)}"), "table")
            yield step.making(table.part("default", column.name))
        yield from settings(change, table, Column(column.name, column.type), column)
    yield from _create_parts(table, own.constraints.values(), (), catalog)


def _comments(table: Table, columns: Iterable[Column], catalog: Catalog) -> Iterator[Step]:
    if table.comment is not None:
        yield Step(_comment(table, catalog), "comment")
    for column in columns:
        if column.comment is not None:
            yield Step(alter_op(table, column.name, catalog, modify_comment=column.comment), "comment")


def _native_table(
    change: Change, table: Table, inline: list[Constraint]
) -> tuple[ops.CreateTableOp, set[str]] | None:
    """Return `op.create_table` and the constraints in it; None where SQLAlchemy has no words for a column."""
    catalog = change.after
    columns = [native_column(column, table, catalog) for column in table.columns if column.is_local]
    if any(column is None for column in columns) or table.is_foreign:
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
            if key is None:
                continue
            if not constraint.is_local:  # a partition's goes with its table's, which nothing has to wait for
                keys.add(table.part("constraint", constraint.name))
                continue
            later = ordered[place + 1 :]  # a foreign key stands on the partitions that it refers to, too
            comes_first = any(key.table in (each, *ancestors(each, before)) for each in later)
            if comes_first or not stands_firm(constraint, before, change.after):
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

    def rewritten(action: str) -> Step:
        why = f"Table {shown(name, change.after)} is written anew while nobody can use it ({action})"
        waiting = None if after.partition_key else Waiting(why, "rewrites")  # it has no rows itself
        return Step(SqlOp(f"{sql} {action}", summary, name, waiting=waiting), "table")

    if before.persistence != after.persistence:
        yield rewritten("SET UNLOGGED" if after.persistence == "u" else "SET LOGGED")
    old, new = _options(before.options), _options(after.options)
    gone = [option for option in old if option not in new]
    if gone:
        yield step(f"RESET ({', '.join(gone)})")
    changed = [f"{option} = {value}" for option, value in new.items() if old.get(option) != value]
    if changed:
        yield step(f"SET ({', '.join(changed)})")
    if before.access_method != after.access_method:
        yield rewritten(
            f"SET ACCESS METHOD {quoted(after.access_method) if after.access_method else 'DEFAULT'}"
        )
    if before.tablespace != after.tablespace:
        yield rewritten(f"SET TABLESPACE {quoted(after.tablespace or 'pg_default')}")
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


# On a busy database


def _make_what_is_new(way: Way) -> None:
    """Make all that is new and touches no standing table; nothing is dropped yet."""
    before, after = way.at, way.change.after

    def stands(each: Constraint) -> bool:
        return each.type != "f" or stands_firm(each, after, way.before)

    new = replace(
        after,
        tables={
            name: table.with_constraints(stands)
            for name, table in after.tables.items()
            if name not in before.tables
        },
        domains=new_domains(way),
        others={key: each for key, each in after.others.items() if key not in before.others},
    )
    late = _late(way, new)
    tables = only(new.tables, lambda table: not _body(table) & late)
    waiting = after.tables.keys() - before.tables.keys() - tables.keys()
    tables = {
        name: table.with_constraints(lambda each: not refers_to(each, waiting))
        for name, table in tables.items()
    }
    enums = only(
        after.enums, lambda each: each.name not in before.enums or is_extended(before.enums[each.name], each)
    )
    sequences = only(after.sequences, lambda each: each.owner is None or each.owner.table in tables)
    way.go(
        replace(
            before,
            schemas={**after.schemas, **before.schemas},
            enums={**before.enums, **enums},
            domains={**only(new.domains, lambda each: not each.nodes & late), **before.domains},
            sequences={**sequences, **before.sequences},
            tables={**tables, **before.tables},
            others={**only(new.others, lambda each: each.node not in late), **before.others},
        )
    )


def _late(way: Way, new: Catalog) -> set[Node]:
    """Return what of a new schema has to wait: for standing tables, for what changes, and for each other."""
    before, after = way.at, way.change.after
    standing = [
        catalog.tables[name] for catalog in (before, after) for name in before.tables.keys() & catalog.tables
    ]
    late = set[Node]().union(*(table.nodes for table in standing))
    late |= {
        other.node
        for key, other in before.others.items()
        if after.others.get(key, other).definition != other.definition
    }
    late |= way.forced.anew
    names = names_taken(before)
    late |= {node for name, nodes in names_taken(new).items() if names[name] - nodes for node in nodes}
    while more := {node for node in new.nodes - late if (new.needs(node) | mentioned(node, new)) & late}:
        late |= more
    return late


def _body(table: Table) -> frozenset[Node]:
    """Return a table and what is made together with it."""
    keys = (table.part("constraint", each.name) for each in table.constraints.values() if each.type == "f")
    return table.nodes.difference(keys)


def _take_apart(way: Way) -> None:
    """Find the tables whose changes are taken apart: what they are before these is known by now."""
    standing = way.before.tables.keys() & way.change.after.tables.keys()
    way.split = {name for name in standing if _is_split(way, name)}
    filled = {ColumnName(name, column.name) for name in way.split for column in new_and_filled(way, name)}
    way.change = replace(way.change, filled_later=filled)
    _refuse_values_of_later(way)


def _refuse_values_of_later(way: Way) -> None:
    """Refuse a backfill that reads values of a table which changes in one go, behind those taken apart."""
    change = way.change
    for place in sorted(each for each in change.reads if each.table in way.split):
        late = (each for each in change.read_columns(place) if each.table not in way.split)
        for read in sorted(filter(change.gets_values, late)):
            mine, theirs = (f"{shown(each.table, change.after)}.{each.column}" for each in (place, read))
            refuse(
                "hint",
                f"The backfill of {mine} reads {theirs}, whose table changes later, in one go. Take {mine} "
                f"out of the model until {theirs} has its revision, or write a plain file:",
                "online=no",
            )


def _is_split(way: Way, name: Name) -> bool:
    """Whether a table's changes have online forms; what begins or ceases to inherit changes in one go."""
    line = [each for each in ancestors(name, way.change.after) if each in way.before.tables]
    return _is_touched(way, name) and not any(_is_whole(way, each) for each in (name, *line))


def _is_touched(way: Way, name: Name) -> bool:
    forced = way.forced.of(way.forced.parts("constraint") | way.swapped, name)
    return bool(forced) or way.before.tables[name] != way.change.after.tables[name]


def _is_whole(way: Way, name: Name) -> bool:
    """Whether a table changes in one go, together with what inherits from it."""
    before, after = way.before.tables[name], way.change.after.tables[name]
    shaken = way.forced.of(way.forced.parts("column") | way.forced.retyped - way.swapped, name)  # and tied
    is_same = (before.partition_key, before.parents) == (after.partition_key, after.parents)
    return bool(shaken) or not is_same


_USED = {"view", "materialized view", "function", "procedure", "aggregate"}
_CALLED_BY_TRIGGERS = (" RETURNS trigger\n", " RETURNS event_trigger\n")


def _change_rest(way: Way) -> None:
    """Make what is left as it should be, in one transaction, but for enums of late, and drop nothing yet."""
    after, at = way.change.after, way.at
    late = {rebuilt_enum(way, place) for place in way.swapped}
    gone = {name: table for name, table in at.tables.items() if name not in after.tables}
    tables = {name: _with_what_goes(at.tables.get(name), table) for name, table in after.tables.items()}
    tables |= {**gone, **{name: at.tables[name] for name in way.split}}
    columns = {ColumnName(name, column.name) for name, table in tables.items() for column in table.columns}
    taken = names_taken(after)

    def waits(other: Other) -> bool:
        if other.table in gone:
            return True
        is_used = other.kind in _USED and not any(each in other.definition for each in _CALLED_BY_TRIGGERS)
        return is_used and names_of(other.node, at).isdisjoint(taken)

    narrowed = {
        key: old
        for key, old in at.others.items()
        if key in after.others and loses_columns(old, after.others[key])
    }
    owned = only(at.sequences, lambda each: each.owner is None or each.owner in columns)
    to = replace(
        after,
        schemas={**at.schemas, **after.schemas},
        tables=tables,
        sequences={**owned, **after.sequences},
        enums={**at.enums, **after.enums, **only(at.enums, lambda each: each.name in late)},
        domains={**at.domains, **after.domains},
        others={**only(at.others, waits), **after.others, **narrowed},
    )
    way.go(with_what_is_needed(way.at, to))


def _with_what_goes(before: Table | None, after: Table) -> Table:
    """Return a table with the columns and defaults that go later; none of them is required meanwhile."""
    columns = [
        with_what_fills_it(before.column(each.name) if before else None, each) for each in after.columns
    ]
    gone = [column for column in before.columns if after.column(column.name) is None] if before else []
    kept = [replace(column, not_null=column.not_null and not column.is_required) for column in gone]
    not_null = {column.name for column in kept if column.not_null}
    standing = before.constraints if before else {}
    named = only(standing, lambda each: each.type == "n" and not_null.issuperset(each.columns))
    return replace(after, columns=(*columns, *kept), constraints={**named, **after.constraints})


def _drop_tables(way: Way) -> None:
    """Drop tables, one by one; what refers to them goes first."""
    gone = [name for name in way.at.tables if name not in way.change.after.tables]
    for name in gone:  # PostgreSQL would look at the rows of partitions to which keys refer, when they go
        for each in list(way.at.tables[name].constraints.values()):
            target = each.foreign_key and way.at.tables.get(each.foreign_key.table)
            if target and target.partition_key and target.name in gone and each.is_local:
                constraints.drop_constraint(way, name, each)
    for name in reversed(in_order(gone, way.at)):
        table, to = way.at.tables[name], _without_table(way.at, name)
        default = default_beside(way, table)
        if default is None or default.name not in to.tables:
            way.go(to)
            continue
        check, part = without_rows_of(default, table), way.between(way.at, to)
        at = way.at
        room = [
            look_for_rows(default, table, at),
            not_valid_op(check, default, at),
            validate_op(check, default, at),
        ]
        way.step(to, part.up, [*part.down, drop_op(check, default, at)])
        way.step(to, [], Outside(room))


def _without_table(at: Catalog, name: Name) -> Catalog:
    left = [table for table in at.tables if table != name]
    return replace(
        at,
        tables={
            table: at.tables[table].with_constraints(lambda each: not refers_to(each, {name}))
            for table in left
        },
        sequences=only(at.sequences, lambda each: not each.owner or each.owner.table != name),
        others=only(at.others, lambda each: each.table != name),
    )


STAGES = (
    Stage("new objects", _make_what_is_new, ["enums' new values"]),
    # The two before change what the tables are when the rest of the way begins.
    Stage("changes taken apart", _take_apart, ["columns beside old names"]),
    Stage("the rest", _change_rest, ["what belongs to tables", "what is said of constraints"]),
    Stage("no tables that go", _drop_tables, ["no columns that go"], is_after=True),
    Stage(
        "all",
        lambda way: way.go(way.change.after),
        ["no tables that go", "NULL allowed at last"],
        is_after=True,
    ),
)
