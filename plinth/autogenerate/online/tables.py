"""All that touches no standing table, the changes of those that aren't taken apart, and tables that go."""

from collections.abc import Collection
from dataclasses import replace

from plinth.autogenerate.objects.constraints import drop_op
from plinth.autogenerate.objects.enums import is_extended
from plinth.autogenerate.objects.heirs import (
    ancestors,
)
from plinth.autogenerate.objects.order import mentioned
from plinth.autogenerate.objects.quoting import do_block, literal, quoted, sql_name, temporary_name
from plinth.autogenerate.objects.steps import AutocommitOp, SqlOp
from plinth.autogenerate.objects.tables import in_order, stands_firm
from plinth.autogenerate.online.columns import new_and_filled
from plinth.autogenerate.online.constraints import add_not_valid, validate
from plinth.autogenerate.online.domains import new_domains
from plinth.autogenerate.online.enums import rebuilt_enum
from plinth.autogenerate.online.others import with_what_is_needed
from plinth.autogenerate.online.stages import Stage
from plinth.autogenerate.online.way import Part, Way, between
from plinth.catalog.picture import Catalog, ColumnName, Constraint, Name, Node, Other, Table, only


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
        name: table.with_constraints(lambda each: not _refers_to(each, waiting))
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
    while more := {node for node in new.nodes - late if (new.needs(node) | mentioned(node, new)) & late}:
        late |= more
    return late


def _body(table: Table) -> frozenset[Node]:
    """Return a table and what is made together with it."""
    keys = (table.part("constraint", each.name) for each in table.constraints.values() if each.type == "f")
    return table.nodes.difference(keys)


def _refers_to(constraint: Constraint, tables: Collection[Name]) -> bool:
    return constraint.foreign_key is not None and constraint.foreign_key.table in tables


def _take_apart(way: Way) -> None:
    """Find the tables whose changes are taken apart: what they are before these is known by now."""
    standing = way.before.tables.keys() & way.change.after.tables.keys()
    way.split = {name for name in standing if _is_split(way, name)}
    filled = {ColumnName(name, column.name) for name in way.split for column in new_and_filled(way, name)}
    way.change = replace(way.change, filled_later=filled)


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


def _make_partitions(way: Way) -> None:
    """Make partitions beside a default one, whose rows are looked at beforehand, without keeping anybody out.

    PostgreSQL spares itself the look if a check says that none of them belongs to the new one.
    """
    after = way.change.after
    for name in in_order(after.tables.keys() - way.at.tables.keys(), after):
        table = after.tables[name]
        default = _default_beside(way, table)
        if default is None:
            continue
        there, condition = sql_name(default.name, way.at), table.partition_condition
        found = f"rows of {there} belong to the new partition {sql_name(name, after)}: move them first"
        look = [
            f"BEGIN IF EXISTS (SELECT FROM {there} WHERE {condition}) THEN",
            f"    RAISE EXCEPTION USING MESSAGE = {literal(found)};",
            "END IF;",
        ]
        way.step(way.at, Part([AutocommitOp([SqlOp(do_block(look), table=default.name)])], []))
        own = temporary_name(f"{default.name.name}_without_{name.name}", "", default.constraints)
        check = Constraint(own, "c", f"CHECK ((NOT ({condition})))", expression=f"(NOT ({condition}))")
        add_not_valid(way, default.name, check, goes=True)
        validate(way, default.name, check)
        checked = way.at.tables[default.name]
        late = after.tables.keys() - way.at.tables.keys() - {name}
        new = table.without(*(each.name for each in table.constraints.values() if _refers_to(each, late)))
        made = between(way.change, way.at, replace(way.at, tables={**way.at.tables, name: new}))
        to = way.with_table(checked.without(check.name))
        to = replace(to, tables={**to.tables, name: new})
        way.step(to, Part([*made.up, drop_op(check, checked, way.at)], made.down))


def _default_beside(way: Way, table: Table) -> Table | None:
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


_VIEWS = {"view", "materialized view"}


def _change_rest(way: Way) -> None:
    """Make what is left as it should be, in one transaction, but for enums of late, and drop nothing yet."""
    after, at = way.change.after, way.at
    late = {rebuilt_enum(way, place) for place in way.swapped}
    gone = {name: table for name, table in at.tables.items() if name not in after.tables}
    tables = {name: _with_what_goes(at.tables.get(name), table) for name, table in after.tables.items()}
    tables |= {**gone, **{name: at.tables[name] for name in way.split}}
    columns = {ColumnName(name, column.name) for name, table in tables.items() for column in table.columns}
    taken = {name for _, name in after.others} | {_full_name(name) for name in after.tables}

    def waits(other: Other) -> bool:
        return other.table in gone or (other.kind in _VIEWS and other.name not in taken)

    owned = only(at.sequences, lambda each: each.owner is None or each.owner in columns)
    to = replace(
        after,
        schemas={**at.schemas, **after.schemas},
        tables=tables,
        sequences={**owned, **after.sequences},
        enums={**at.enums, **after.enums, **only(at.enums, lambda each: each.name in late)},
        domains={**at.domains, **after.domains},
        others={**only(at.others, waits), **after.others},
    )
    way.go(with_what_is_needed(way.at, to))


def _with_what_goes(before: Table | None, after: Table) -> Table:
    """Return a table with the columns that go later; none of them is required meanwhile."""
    gone = [column for column in before.columns if after.column(column.name) is None] if before else []
    kept = [replace(column, not_null=column.not_null and not column.is_required) for column in gone]
    not_null = {column.name for column in kept if column.not_null}
    standing = before.constraints if before else {}
    named = only(standing, lambda each: each.type == "n" and not_null.issuperset(each.columns))
    return replace(after, columns=(*after.columns, *kept), constraints={**named, **after.constraints})


def _full_name(name: Name) -> str:
    return f"{quoted(name.schema)}.{quoted(name.name)}"


def _drop_tables(way: Way) -> None:
    """Drop tables, one by one; what refers to them goes first."""
    gone = [name for name in way.at.tables if name not in way.change.after.tables]
    for name in reversed(in_order(gone, way.at)):
        way.go(_without_table(way.at, name))


def _without_table(at: Catalog, name: Name) -> Catalog:
    left = [table for table in at.tables if table != name]
    return replace(
        at,
        tables={
            table: at.tables[table].with_constraints(lambda each: not _refers_to(each, {name}))
            for table in left
        },
        sequences=only(at.sequences, lambda each: not each.owner or each.owner.table != name),
        others=only(at.others, lambda each: each.table != name),
    )


def _finish(way: Way) -> None:
    way.go(way.change.after)


STAGES = (
    Stage("new objects", _make_what_is_new, ["enums' new values"]),
    # The two before change what the tables are when the rest of the way begins.
    Stage("changes taken apart", _take_apart, ["columns beside old names"]),
    Stage("partitions beside default ones", _make_partitions, ["checks of domains"]),
    Stage("the rest", _change_rest, ["partitions beside default ones"]),
    Stage("no tables that go", _drop_tables, ["no columns that go"], is_after=True),
    Stage("all", _finish, ["no tables that go"], is_after=True),
)
