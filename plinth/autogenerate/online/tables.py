"""All that touches no standing table, the changes of those that aren't taken apart, and tables that go."""

from collections.abc import Collection
from dataclasses import replace

from plinth.autogenerate.objects.enums import is_extended
from plinth.autogenerate.objects.heirs import (
    ancestors,
)
from plinth.autogenerate.objects.order import mentioned
from plinth.autogenerate.objects.quoting import quoted
from plinth.autogenerate.objects.tables import in_order, stands_firm
from plinth.autogenerate.online.columns import new_and_filled
from plinth.autogenerate.online.domains import new_domains
from plinth.autogenerate.online.enums import rebuilt_enum
from plinth.autogenerate.online.others import with_what_is_needed
from plinth.autogenerate.online.stages import Stage
from plinth.autogenerate.online.way import Way
from plinth.catalog.picture import Catalog, ColumnName, Name, Node, Table


def _make_what_is_new(way: Way) -> None:
    way.go(_beside(way))


def _beside(way: Way) -> Catalog:
    """Return the schema with all that is new and touches no standing table; nothing is dropped yet."""
    before, after = way.at, way.change.after
    enums = {
        name: enum
        for name, enum in after.enums.items()
        if name not in before.enums or is_extended(before.enums[name], enum)
    }
    tables = {
        name: _without_late_keys(way, table)
        for name, table in after.tables.items()
        if name not in before.tables
    }
    domains = new_domains(way)
    others = {key: each for key, each in after.others.items() if key not in before.others}
    late = _late(way, replace(after, tables=tables, domains=domains, others=others))
    tables = {name: table for name, table in tables.items() if not _body(table) & late}
    tables = {name: _with_keys_to(table, {*before.tables, *tables}) for name, table in tables.items()}
    sequences = {
        name: each
        for name, each in after.sequences.items()
        if name not in before.sequences and (each.owner is None or each.owner.table in tables)
    }
    return replace(
        before,
        schemas={**before.schemas, **{k: v for k, v in after.schemas.items() if k not in before.schemas}},
        enums={**before.enums, **enums},
        domains={**before.domains, **{k: v for k, v in domains.items() if not v.nodes & late}},
        sequences={**before.sequences, **sequences},
        tables={**before.tables, **tables},
        others={**before.others, **{k: v for k, v in others.items() if v.node not in late}},
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


def _with_keys_to(table: Table, targets: Collection[Name]) -> Table:
    """Return a table with its foreign keys to some tables alone."""
    constraints = {
        name: each
        for name, each in table.constraints.items()
        if each.foreign_key is None or each.foreign_key.table in targets
    }
    return replace(table, constraints=constraints)


def _without_late_keys(way: Way, table: Table) -> Table:
    """Return a new table without its foreign keys to what standing tables haven't got yet."""
    return replace(
        table,
        constraints={
            each.name: each
            for each in table.constraints.values()
            if each.type != "f" or stands_firm(each, way.change.after, way.before)
        },
    )


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


_VIEWS = {"view", "materialized view"}


def _change_rest(way: Way) -> None:
    """Make what is left as it should be, in one transaction, but for enums of late, and drop nothing yet."""
    after, at = way.change.after, way.at
    late = {rebuilt_enum(way, place) for place in way.swapped}
    gone = {name: table for name, table in at.tables.items() if name not in after.tables}
    tables = {name: _with_what_goes(at.tables.get(name), table) for name, table in after.tables.items()}
    tables |= {**gone, **{name: at.tables[name] for name in way.split}}
    columns = {ColumnName(name, column.name) for name, table in tables.items() for column in table.columns}
    rest = {name: each for name, each in at.sequences.items() if name not in after.sequences}
    owned = {name: each for name, each in rest.items() if each.owner is None or each.owner in columns}
    taken = {name for _, name in after.others} | {_full_name(name) for name in after.tables}
    others = {
        key: each
        for key, each in at.others.items()
        if key not in after.others
        and (each.table in gone or (each.kind in _VIEWS and each.name not in taken))
    }
    enums = {name: each for name, each in at.enums.items() if name not in after.enums or name in late}
    to = replace(
        after,
        schemas={**at.schemas, **after.schemas},
        tables=tables,
        sequences={**owned, **after.sequences},
        enums={**after.enums, **enums},
        domains={**{k: v for k, v in at.domains.items() if k not in after.domains}, **after.domains},
        others={**others, **after.others},
    )
    way.go(with_what_is_needed(way.at, to))


def _with_what_goes(before: Table | None, after: Table) -> Table:
    """Return a table with the columns that go later; none of them is required meanwhile."""
    gone = [column for column in before.columns if after.column(column.name) is None] if before else []
    kept = [replace(column, not_null=column.not_null and not column.is_required) for column in gone]
    not_null = {column.name for column in kept if column.not_null}
    named = {
        name: each
        for name, each in (before.constraints.items() if before else ())
        if each.type == "n" and not_null.issuperset(each.columns)
    }
    return replace(after, columns=(*after.columns, *kept), constraints={**named, **after.constraints})


def _full_name(name: Name) -> str:
    return f"{quoted(name.schema)}.{quoted(name.name)}"


def _drop_tables(way: Way) -> None:
    """Drop tables, one by one; what refers to them goes first."""
    gone = [name for name in way.at.tables if name not in way.change.after.tables]
    for name in reversed(in_order(gone, way.at)):
        tables = {
            other: replace(
                table,
                constraints={
                    each.name: each
                    for each in table.constraints.values()
                    if each.foreign_key is None or each.foreign_key.table != name
                },
            )
            for other, table in way.at.tables.items()
            if other != name
        }
        kept = {
            key: each for key, each in way.at.sequences.items() if not each.owner or each.owner.table != name
        }
        others = {key: each for key, each in way.at.others.items() if each.table != name}
        to = replace(way.at, tables=tables, sequences=kept, others=others)
        way.go(to)


def _finish(way: Way) -> None:
    way.go(way.change.after)


STAGES = (
    Stage("new objects", _make_what_is_new, ["enums' new values"]),
    # The two before change what the tables are when the rest of the way begins.
    Stage("changes taken apart", _take_apart, ["columns beside old names"]),
    Stage("the rest", _change_rest, ["checks of domains"]),
    Stage("no tables that go", _drop_tables, ["no columns that go"], is_after=True),
    Stage("all", _finish, ["no tables that go"], is_after=True),
)
