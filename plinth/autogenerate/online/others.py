"""Views, functions and triggers on the way: made anew when what they stand on allows it, and dropped late."""

from collections.abc import Collection
from dataclasses import replace

from plinth.autogenerate.objects.order import mentioned
from plinth.autogenerate.objects.others import is_replaced
from plinth.autogenerate.online.stages import Stage
from plinth.autogenerate.online.swaps import goes_before_swaps
from plinth.autogenerate.online.way import Way
from plinth.catalog.picture import Catalog, Node, only


def _change_what_is_called(way: Way) -> None:
    """Make functions anew for whose sake constraints and indexes are gone, before these come back."""
    tables, forced = way.before.tables, way.forced
    needs = [tables[table].constraints[name].needs for table, name in forced.parts("constraint")]
    needs += [tables[table].indexes[name].needs for table, name in forced.parts("index")]
    called = frozenset[Node]().union(*needs)
    there = way.at.nodes | {Node("type", name) for name in way.at.enums}
    changed = {}
    for key, old in way.at.others.items():
        new = way.change.after.others.get(key)
        if old.node in called and new and is_replaced(old, new, way.change) and new.needs <= there:
            changed[key] = new
    way.go(replace(way.at, others={**way.at.others, **changed}))


def _drop_triggers(way: Way) -> None:
    """Drop triggers that go before columns are filled: what they do to rows is wanted no more."""
    for name in sorted({place.table for place in way.swapped}):
        others = only(way.at.others, lambda each: each.table != name or not goes_before_swaps(way, each))  # noqa: B023
        way.go(replace(way.at, others=others))


def _drop_views(way: Way) -> None:
    """Drop views, and functions that only they needed, before what these stand on."""
    at, wanted = way.at, way.change.after.others
    kept = {key: each for key, each in at.others.items() if key in wanted or each.table in at.tables}
    way.go(with_what_is_needed(at, replace(at, others=kept)))


def with_what_is_needed(at: Catalog, to: Catalog) -> Catalog:
    """Return a schema with those views and functions of another that something in it still stands on."""
    others = dict(to.others)

    def needs(node: Node) -> Collection[Node]:
        called = mentioned(node, at) if (node.kind, node.name) not in to.others else ()  # it goes later
        return {*to.needs(node), *at.needs(node), *called}

    while (
        more := {
            (node.kind, node.name)
            for each in replace(to, others=others).nodes
            for node in needs(each)
            if isinstance(node.name, str) and (node.kind, node.name) not in others
        }
        & at.others.keys()
    ):
        others = {**{key: at.others[key] for key in more}, **others}
    return replace(to, others=others)


STAGES = (
    Stage("functions that parts call", _change_what_is_called, ["no indexes that go"]),
    Stage("no triggers that go", _drop_triggers, ["columns"]),
    Stage("no views that go", _drop_views, ["the rest"], is_after=True),
)
