"""In which order operations run: as PostgreSQL's own dependencies say, and else as a reader expects it.

What stands on something is made after it and dropped before it, and what has a name goes before another gets
it. An operation waits for nothing else: what is needed is done just before, and all others stand in the order
of the kinds of objects that they make or drop.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from plinth.autogenerate.change.refusals import Refusal
from plinth.autogenerate.change.steps import Change, Step
from plinth.catalog.picture import Catalog, ColumnName, Constraint, Name, Node, Table
from plinth.sql_text import lexed, plain

Places = Mapping[Node, set[int]]  # in the list of operations

_CLEARED = (
    *("drop other", "drop inheritance", "drop foreign key", "drop constraint", "drop index"),
    "drop generated column",
)
_MADE = ("type", "sequence", "table", "column", "owner", "constraint", "index", "foreign key")
_GONE = (
    *("drop column", "inheritance", "drop table", "drop function", "drop sequence", "drop type"),
    "drop schema",
)
# What is in none of these is one of the others: views, triggers, functions that are made, and the like.
_ORDER = ("schema", *_CLEARED, *_MADE, "comment", "other", *_GONE)
_WHOLES = ("table", "column", "type")  # what else is made or dropped with one is a part of it
_KEYS = {"p", "u", "x"}  # constraints that have an index
ROUTINES = {"function", "procedure"}
_NAMES = {
    **dict.fromkeys(("table", "view", "materialized view", "composite type"), ("pg_class", "pg_type")),
    **dict.fromkeys(("type", "range type"), ("pg_type",)),
    "sequence": ("pg_class",),
}
_PARTS = {"column", "default", "constraint", "index", "domain constraint", "trigger", "rule", "policy"}


def ordered(steps: Iterable[Step], change: Change) -> list[Step]:
    """Return operations in the order in which they run.

    Args:
        steps: those of one change.
        change: the schema before them, and the one after them.

    Raises:
        Refusal: some stand on each other.
    """
    given = sorted(steps, key=lambda step: _ORDER.index(_about(step, change)))
    needed = _needed(given, change)
    for place, other in _mentioned(given, change):
        # Functions may mention each other, and tables that call them: what PostgreSQL knows counts more.
        if place not in _all_needed(other, needed):
            needed[place].add(other)
    try:
        TopologicalSorter(needed).prepare()
    except CycleError as error:
        objects = {node for each in error.args[1] for node in given[each].makes | given[each].drops}
        raise Refusal(
            "dependent",
            f"These stand on each other, before or after: {', '.join(sorted(map(shown_node, objects)))}. "
            "Change one of them first, in a revision of its own.",
        ) from None
    found: dict[int, Step] = {}

    def add(place: int) -> None:
        for other in sorted(needed[place]):
            if other not in found:
                add(other)
        found[place] = given[place]

    for place in range(len(given)):
        if place not in found:
            add(place)
    return list(found.values())


def _about(step: Step, change: Change) -> str:
    """Return which of the places in the order is an operation's."""
    if step.about:
        return step.about
    nodes, catalog = (step.makes, change.after) if step.makes else (step.drops, change.before)
    kinds = {_kind(node, catalog) for node in nodes}
    kind = next((each for each in _WHOLES if each in kinds), min(kinds))
    verb = "" if step.makes else "drop "
    return f"{verb}{kind}" if f"{verb}{kind}" in _ORDER else f"{verb}other"


def _kind(node: Node, catalog: Catalog) -> str:
    """Return what kind of object it is; a foreign key is one of its own."""
    constraint = _constraint(node, catalog)
    return "foreign key" if constraint and constraint.type == "f" else node.kind


def _constraint(node: Node, catalog: Catalog) -> Constraint | None:
    if node.kind != "constraint" or not isinstance(node.name, ColumnName):
        return None
    table = catalog.tables.get(node.name.table)
    return table.constraints.get(node.name.column) if table else None


class Taken(NamedTuple):
    """A name that no other object can have at the same time.

    Args:
        catalog: where it stands: an index and an enum can have the same name.
        name: with its schema.
    """

    catalog: str
    name: Name | str


def names_of(node: Node, catalog: Catalog) -> set[Taken]:
    """Return the names that an object takes: tables and views have a type, too."""
    kind, name = node
    if isinstance(name, ColumnName):
        constraint = _constraint(node, catalog)
        has_index = kind == "index" or (constraint is not None and constraint.type in _KEYS)
        return {Taken("pg_class", Name(name.table.schema, name.column))} if has_index else set()
    if kind in {*ROUTINES, "aggregate"}:
        return {Taken("pg_proc", name)}
    if isinstance(name, str):
        other = catalog.others.get((kind, name))
        if other is None or other.schema is None:
            return set()
        name = Name(other.schema, other.bare)
    return {Taken(each, name) for each in _NAMES.get(kind, ())}


def names_taken(catalog: Catalog) -> dict[Taken, set[Node]]:
    """Return which objects have which names."""
    nodes = [
        *catalog.nodes,
        *(Node("sequence", name) for name in catalog.sequences),
        *(Node("type", name) for name in catalog.enums),
    ]
    found: dict[Taken, set[Node]] = defaultdict(set)
    for node in nodes:
        for each in names_of(node, catalog):
            found[each].add(node)
    return found


def shown_node(node: Node) -> str:
    """Return an object as messages have it."""
    part = isinstance(node.name, ColumnName)
    return f"{node.kind} {'.'.join((str(node.name[0]), str(node.name[1]))) if part else node.name}"


def mentioned(node: Node, catalog: Catalog) -> set[Node]:
    """Return the functions, views and the like whose names stand in a function's text."""
    words = _words(node, catalog)
    found = [each for each in catalog.others.values() if each.bare in words and each.kind not in _PARTS]
    return {each.node for each in found} - {node}


def _all_needed(place: int, needed: Mapping[int, Collection[int]]) -> set[int]:
    """Return an operation and all that come before it."""
    found: set[int] = set()
    waiting = [place]
    while waiting:
        here = waiting.pop()
        if here not in found:
            found.add(here)
            waiting += needed[here]
    return found


def _needed(steps: Sequence[Step], change: Change) -> dict[int, set[int]]:
    """Return for each operation those that come before it."""
    makers, droppers = _places(each.makes for each in steps), _places(each.drops for each in steps)
    found: dict[int, set[int]] = defaultdict(set)
    for user, places in makers.items():
        for used in change.after.needs(user):
            of_used = makers.get(used, set())
            of_both = places & of_used  # a column and its default, made in several operations: as they stand
            for place in places:
                behind = {other for other in of_both if other > place} if place in of_both else set()
                found[place].update(of_used - behind)
    for user, places in droppers.items():
        for used in change.before.needs(user):
            for place in droppers.get(used, ()):
                found[place].update(places)
    for node, places in droppers.items():
        made = makers.get(node, set())
        for later in made - places:  # what alters an object runs between what drops and what makes it
            found[later].update(places)
        for later in places & made:
            found[later].update(places - made)
    for place, other in (*_named(makers, droppers, change), *_said(steps, makers, droppers)):
        found[place].add(other)
    for place, others in found.items():
        others.discard(place)
    return found


def _named(makers: Places, droppers: Places, change: Change) -> Iterator[tuple[int, int]]:
    """Yield an operation, and one that frees a name which it takes for something else."""
    freed: dict[Taken, set[int]] = defaultdict(set)
    for node, places in droppers.items():
        for name in names_of(node, change.before):
            freed[name] |= places
    for node, places in makers.items():
        for name in names_of(node, change.after) if node not in droppers else ():
            yield from ((place, other) for place in places for other in freed[name])


def _said(steps: Sequence[Step], makers: Places, droppers: Places) -> Iterator[tuple[int, int]]:
    """Yield an operation, and one that comes before it because one of them says so."""
    for place, step in enumerate(steps):
        for node in step.needs:
            if step.makes:
                yield from ((place, other) for other in makers.get(node, ()))
            else:
                yield from ((other, place) for other in droppers.get(node, ()))


def _places(nodes: Iterable[Collection[Node]]) -> dict[Node, set[int]]:
    found: dict[Node, set[int]] = defaultdict(set)
    for place, each in enumerate(nodes):
        for node in each:
            found[node].add(place)
    return found


def _mentioned(steps: Sequence[Step], change: Change) -> Iterator[tuple[int, int]]:
    """Yield an operation and one that should come before it, for what functions' texts mention.

    PostgreSQL doesn't keep what stands in a text, but looks for it: in SQL when the function is made, in
    other languages when it is called.
    """
    for catalog, nodes, is_made in (
        (change.after, _places(each.makes for each in steps), True),
        (change.before, _places(each.drops for each in steps), False),
    ):
        by_name: dict[str, set[int]] = defaultdict(set)
        for node, places in nodes.items():
            if node.kind not in _PARTS:
                by_name[_bare_name(node, catalog)].update(places)
        for node, places in nodes.items():
            for word in _words(node, catalog):
                for other in by_name.get(word, ()):
                    yield from ((place, other) if is_made else (other, place) for place in places - {other})


def _words(node: Node, catalog: Catalog) -> set[str]:
    """Return the words in a function's definition, as names; none of what isn't a function."""
    if node.kind not in ROUTINES or not isinstance(node.name, str):
        return set()
    other = catalog.others.get((node.kind, node.name))
    texts = lexed(other.definition).nested if other else []
    return {plain(word) for each in texts for word in each.listed}


def _bare_name(node: Node, catalog: Catalog) -> str:
    """Return an object's name alone, without schema, arguments and table."""
    if isinstance(node.name, str):
        other = catalog.others.get((node.kind, node.name))
        return other.bare if other else node.name
    return node.name.name if isinstance(node.name, Name) else node.name.column


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


def _is_child(name: Name, waiting: Iterable[Name], catalog: Catalog) -> bool:
    return bool(set(catalog.tables[name].parents).intersection(waiting))


def _needs(table: Table) -> set[Name]:
    keys = (each.foreign_key for each in table.constraints.values())
    return {key.table for key in keys if key} | set(table.parents)
