"""Partitions: what is their own, and how they come beside a default one."""

from collections.abc import Collection
from dataclasses import replace

from plinth.autogenerate.change.order import in_order
from plinth.autogenerate.change.quoting import (
    do_block,
    literal,
    sql_name,
    temporary_name,
)
from plinth.autogenerate.change.stages import Stage
from plinth.autogenerate.change.steps import SqlOp
from plinth.autogenerate.change.way import Outside, Way
from plinth.autogenerate.objects.constraints import add_not_valid, drop_op, validate
from plinth.autogenerate.objects.foreign_keys import refers_to
from plinth.catalog.picture import NO_DEFAULT, Catalog, Column, Constraint, Node, Table


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
        if column.default is None and above.default is not None and not above.generated:
            given["default"] = NO_DEFAULT
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
        own = [_own(table, catalog, known) for catalog, table in pair]
        changed = {each.name for each in own[0].columns if each.default != own[1][each.name].default}
        there[name], wanted[name] = (
            _with_defaults(each, changed, table) for each, (_, table) in zip(own, pair, strict=True)
        )
    return replace(before, tables=there), replace(after, tables=wanted)


def _own(table: Table, catalog: Catalog, known: Collection[Node]) -> Table:
    parent = catalog.tables.get(table.parents[0])
    own = own_of_partition(table, parent) if parent else table
    return replace(own, columns=tuple(each for each in own.columns if own.part("column", each.name) in known))


def _with_defaults(own: Table, names: Collection[str], table: Table) -> Table:
    """Return what is a partition's own, and the defaults of some columns whosever they are."""
    columns = (
        replace(each, default=table[each.name].default or NO_DEFAULT, words=table[each.name].words)
        if each.name in names
        else each
        for each in own.columns
    )
    return replace(own, columns=tuple(columns))


def own_constraints(table: Table) -> list[Constraint]:
    """Return the constraints that the table itself has, those first that come first in hand-written SQL."""
    order = {"f": 0, "p": 1, "u": 2, "c": 3, "x": 4}
    own = (each for each in table.constraints.values() if each.type != "n" and each.is_local)
    return sorted(own, key=lambda each: (order[each.type], each.name))


def _make_partitions(way: Way) -> None:
    """Make partitions beside a default one, whose rows are looked at beforehand, without keeping anybody out.

    PostgreSQL spares itself the look if a check says that none of them belongs to the new one.
    """
    after = way.change.after
    for name in in_order(after.tables.keys() - way.at.tables.keys(), after):
        table = after.tables[name]
        default = default_beside(way, table)
        if default is None:
            continue
        check = without_rows_of(default, table)
        way.step(way.at, Outside([look_for_rows(default, table, way.at)]))
        add_not_valid(way, default.name, check)
        validate(way, default.name, check)
        checked = way.at.tables[default.name]
        late = after.tables.keys() - way.at.tables.keys() - {name}
        new = table.without(*(each.name for each in table.constraints.values() if refers_to(each, late)))
        made = way.between(way.at, replace(way.at, tables={**way.at.tables, name: new}))
        to = way.with_table(checked.without(check.name))
        to = replace(to, tables={**to.tables, name: new})
        way.step(to, [*made.up, drop_op(check, checked, way.at)], made.down)


def look_for_rows(default: Table, table: Table, catalog: Catalog) -> SqlOp:
    """Return what stops if rows of a default partition belong to one that is to come."""
    there = sql_name(default.name, catalog)
    found = f"rows of {there} belong to the new partition {sql_name(table.name, catalog)}: move them first"
    lines = [
        f"BEGIN IF EXISTS (SELECT FROM {there} WHERE {table.partition_condition}) THEN",
        f"    RAISE USING ERRCODE = '23000', MESSAGE = {literal(found)};",
        "END IF;",
    ]
    return SqlOp(do_block(lines), table=default.name)


def without_rows_of(default: Table, table: Table) -> Constraint:
    """Return the check that says of a default partition that it has no row of another one."""
    name = temporary_name(f"{default.name.name}_without_{table.name.name}", "", default.constraints)
    condition = f"(NOT ({table.partition_condition}))"
    return Constraint(name, "c", f"CHECK ({condition})", expression=condition)


def default_beside(way: Way, table: Table) -> Table | None:
    """Return the default partition that stands where a new one comes, if there is one."""
    if table.partition_bound in {None, "DEFAULT"} or not table.partition_condition:
        return None
    parents = [each.tables.get(table.parents[0]) for each in (way.at, way.change.after)]
    if None in parents or parents[0] != parents[1]:
        return None
    for each in way.at.tables.values():
        if each.partition_bound == "DEFAULT" and each.parents == table.parents:
            return each if each.name in way.before.tables else None
    return None


STAGES = (Stage("partitions beside default ones", _make_partitions, ["checks of domains"]),)
