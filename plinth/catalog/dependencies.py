"""What stands on what: PostgreSQL's own dependencies (pg_depend), between the objects of a picture."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from plinth.catalog import queries
from plinth.catalog.picture import NOTHING, Catalog, Column, ColumnName, Domain, Name, Node, Table

Address = tuple[int, int]  # of a system catalog, and of a row in it

Needs = Mapping[Node, frozenset[Node]]


def read_needs(
    rows: Callable[[str], Iterable[Any]],
    parts: Callable[[Mapping[str, str]], Iterable[Any]],
    others: Iterable[Any],
) -> Needs:
    """Return for each object those that it stands on directly.

    Args:
        rows: runs a query.
        parts: runs those queries that find something.
        others: the rows of `queries.OTHERS`.
    """
    nodes: dict[Address, Node] = {}
    for catalog, oid, kind, *names in parts(queries.NODES):
        nodes[catalog, oid] = _node(kind, *names)
    for kind, name, *_, oid, catalog, _ in others:
        nodes[catalog, oid] = Node(kind, name)
    for catalog, oid, other_catalog, other in rows(queries.ALIASES):
        if (other_catalog, other) in nodes:
            nodes.setdefault((catalog, oid), nodes[other_catalog, other])
    found: dict[Node, set[Node]] = defaultdict(set)
    for *user, column, catalog, oid, used_column in rows(queries.DEPENDENCIES):
        here, there = nodes.get((user[0], user[1])), nodes.get((catalog, oid))
        # A sequence belongs to its column, and is there before it.
        if here is None or there is None or here.kind == "sequence":
            continue
        here, there = _part(here, column), _part(there, used_column)
        if here != there:
            found[here].add(there)
    return {node: frozenset(needs) for node, needs in found.items()}


def _node(kind: str, schema: str | None, name: str, part: str | None) -> Node:
    if schema is None:
        return Node(kind, name)
    found = Name(schema, name)
    return Node(kind, found if part is None else ColumnName(found, part))


def _part(node: Node, column: str | None) -> Node:
    """Return a table's column, where one is meant; what else has columns is one object."""
    if column is None or node.kind != "table" or not isinstance(node.name, Name):
        return node
    return Node("column", ColumnName(node.name, column))


def with_needs(catalog: Catalog, needs: Needs) -> Catalog:
    """Return a picture in which each object says what it stands on."""
    published: dict[Node, set[str]] = defaultdict(set)
    for node, used in needs.items():
        if node.kind == "publication":
            for each in used:
                published[each].add(str(node.name))
    return replace(
        catalog,
        tables={name: _table(each, needs, published) for name, each in catalog.tables.items()},
        domains={name: _domain(each, needs) for name, each in catalog.domains.items()},
        others={
            key: replace(each, needs=needs.get(Node(*key), NOTHING)) for key, each in catalog.others.items()
        },
    )


def _table(table: Table, needs: Needs, published: Mapping[Node, set[str]]) -> Table:
    def of(kind: str, name: str) -> frozenset[Node]:
        return needs.get(Node(kind, ColumnName(table.name, name)), NOTHING)

    def column(each: Column) -> Column:
        own, its_default = of("column", each.name), of("default", each.name)
        publications = published.get(table.part("column", each.name), ())
        if not (own or its_default or publications):
            return each  # as most are
        return replace(each, needs=own, default_needs=its_default, published_by=frozenset(publications))

    return replace(
        table,
        needs=needs.get(Node("table", table.name), NOTHING),
        columns=tuple(map(column, table.columns)),
        constraints={
            name: replace(each, needs=of("constraint", name)) for name, each in table.constraints.items()
        },
        indexes={name: replace(each, needs=of("index", name)) for name, each in table.indexes.items()},
    )


def _domain(domain: Domain, needs: Needs) -> Domain:
    constraints = {
        name: replace(
            each, needs=needs.get(Node("domain constraint", ColumnName(domain.name, name)), NOTHING)
        )
        for name, each in domain.constraints.items()
    }
    return replace(domain, needs=needs.get(Node("type", domain.name), NOTHING), constraints=constraints)
