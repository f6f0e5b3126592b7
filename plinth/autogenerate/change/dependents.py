"""What stands on columns that change their names: a view, or what stands on one, goes by the column itself.

It is dropped before the columns exchange their names, and made anew after it, in the same transaction.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace

from plinth.autogenerate.change.refusals import ALONE
from plinth.autogenerate.change.way import Way
from plinth.catalog.picture import Catalog, ColumnName, Node, Other

_MOVED = {"view", "materialized view", "policy", "rule", "trigger", "statistics"}


def standing_on(catalog: Catalog, nodes: Collection[Node], own: Collection[Other] = ()) -> list[Other]:
    """Return what stands on some objects, or on what does; `own` are those of them that are such things."""
    found = {each.node: each for each in own}
    shaken = {*nodes}
    while more := {
        each.node: each
        for each in catalog.others.values()
        if each.node not in found and not each.needs.isdisjoint(shaken)
    }:
        found |= more
        shaken |= more.keys()
    return list(found.values())


def nodes_of(catalog: Catalog, place: ColumnName) -> set[Node]:
    """Return a column, what is virtual and generated from it, and the primary key that it is of.

    A view that groups by the key stands on that.
    """
    table = catalog.tables[place.table]
    key = table.primary_key
    virtual = {each.name for each in table.columns if each.generated == "v" and place.column in each.uses}
    own = {table.part("column", each) for each in (place.column, *virtual)}
    return own | ({table.part("constraint", key.name)} if key and place.column in key.columns else set())


def objections(way: Way, place: ColumnName, goes_before: Collection[Node]) -> Iterator[str]:
    """Yield what stands on a column and can't be made on a second one.

    Args:
        way: so far.
        place: the column.
        goes_before: what isn't there any more by then.
    """
    before, after = way.before, way.change.after
    for catalog in (before, after):
        found = standing_on(catalog, nodes_of(catalog, place))
        for each in found:
            if each.node in goes_before:
                continue
            if each.kind not in _MOVED:
                yield f"{each.kind} {each.name} stands on it"
            wanted = after.others.get((each.kind, each.name))
            if catalog is before and wanted and not _can_be_made(way, each, wanted):
                name = f"{each.kind} {each.name}"
                yield f"{name}, which stands on it, changes as well: {ALONE}"
        nodes = {each.node for each in found}
        for node in catalog.nodes if nodes else ():
            if node not in nodes and not catalog.needs(node).isdisjoint(nodes):
                yield f"a {node.kind} of a table stands on what stands on it"


def _can_be_made(way: Way, old: Other, new: Other) -> bool:
    """Whether what stands on a column can be made as it should be when columns exchange their names."""
    if old.definition == new.definition:
        return True
    before, after = way.before, way.change.after
    columns = (after.tables[name].column_nodes for name in before.tables.keys() & after.tables)
    return new.needs <= nodes_there(before).union(*columns)


def nodes_there(catalog: Catalog) -> set[Node]:
    """Return all that something can stand on."""
    types = {Node("type", name) for name in catalog.enums}
    return {*catalog.nodes, *types, *(Node("sequence", name) for name in catalog.sequences)}


def goal_of(way: Way) -> Catalog:
    """Return the schema to come, with what can't be made as it should be yet as it is now."""
    after, there = way.change.after, nodes_there(way.at)
    waiting = {
        key: old
        for key, old in way.at.others.items()
        if (new := after.others.get(key)) and new.definition != old.definition and not new.needs <= there
    }
    return replace(after, others={**after.others, **waiting})


def without(catalog: Catalog, gone: Collection[Other]) -> Catalog:
    """Return a schema in which some things aren't."""
    keys = {(each.kind, each.name) for each in gone}
    return replace(catalog, others={key: each for key, each in catalog.others.items() if key not in keys})


def with_again(catalog: Catalog, gone: Collection[Other], goal: Catalog) -> Catalog:
    """Return a schema in which they are again, as another one has them."""
    others = dict(catalog.others)
    for each in gone:
        new = goal.others.get((each.kind, each.name), each)
        others[each.kind, each.name] = replace(new, privileges=new.privileges or each.privileges)
    return replace(catalog, others=others)
