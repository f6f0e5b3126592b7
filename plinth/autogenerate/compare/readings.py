"""What backfills read, as PostgreSQL says it: each is the column of a view, in a scratch database.

There a table has all columns that it has before or after the change, for a backfill may name both.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from sqlalchemy import Connection

from plinth.autogenerate.change.expressions import named
from plinth.autogenerate.change.quoting import quoted, sql_name
from plinth.autogenerate.change.steps import Change
from plinth.catalog import Catalog, read_catalog
from plinth.catalog.picture import Column, ColumnName, Name, Node
from plinth.scratch import prerequisites
from plinth.scratch.databases import NoScratchError, scratch_database
from plinth.scratch.prerequisites import Prerequisite

_SCHEMA = "plinth_reads"  # of the views, in the scratch database
_VIEWS = {"view", "materialized view"}


def with_reads(connection: Connection, change: Change) -> Change:
    """Return a change that knows what its backfills read.

    A scratch database is made only where a word of one may mean something that isn't as it was.

    Args:
        connection: the database, renames done.
        change: from what is there to what the models mean.
    """
    fills = {
        place: sql
        for place, sql in change.backfills.items()
        if place not in change.kept_names and change.gets_values(place)
    }
    by_words = {place: _by_words(change, place, sql) for place, sql in fills.items()}
    asked = {
        place: fills[place]
        for place, found in by_words.items()
        if _is_doubtful(change, found - {_column(*place)})
    }
    reads = by_words | (_by_server(connection, change, asked) if asked else {})
    return replace(
        change, reads={place: found - {_column(*place)} for place, found in _with_wholes(change, reads)}
    )


def _column(table: Name, column: str) -> Node:
    return Node("column", ColumnName(table, column))


def _columns(change: Change, table: Name) -> dict[str, Column]:
    """Return the columns that a table has before or after, by their names."""
    tables = (each.tables.get(table) for each in (change.before, change.after))
    return {column.name: column for each in tables if each for column in each.columns}


def _by_words(change: Change, place: ColumnName, sql: str) -> frozenset[Node]:
    """Return what an expression may read, by its words: more than it does, for an alias is one, too."""
    words, catalogs = named(sql), (change.before, change.after)
    tables = {name for each in catalogs for name in each.tables if name.name in words or name == place.table}
    columns = (_column(name, each) for name in tables for each in _columns(change, name) if each in words)
    others = (
        other.node
        for each in catalogs
        for key, other in each.others.items()
        if other.bare in words
        and (other.kind in _VIEWS or change.before.others.get(key) != change.after.others.get(key))
    )
    return frozenset({*columns, *others, *(Node("table", name) for name in tables)})


def _is_doubtful(change: Change, found: Collection[Node]) -> bool:
    """Whether something of what is read isn't as it was: it is new, for instance, or has another type."""
    for _, name in found:
        if isinstance(name, ColumnName) and change.before.column(*name) != change.after.column(*name):
            return True
        if isinstance(name, str) or (isinstance(name, Name) and name not in change.before.tables):
            return True
    return False


def _by_server(
    connection: Connection, change: Change, fills: Mapping[ColumnName, str]
) -> dict[ColumnName, frozenset[Node]]:
    """Return what PostgreSQL finds in expressions; nothing of those that it doesn't take."""
    default = change.after.default_schema
    asked = dict(enumerate(sorted(fills.items())))
    views = [
        Prerequisite(
            "view",
            str(number),
            f"CREATE VIEW {_SCHEMA}.v{number} AS SELECT ({sql}) AS value "  # noqa: S608 - it is what is asked
            f"FROM {sql_name(place.table, change.after)}",
        )
        for number, (place, sql) in asked.items()
    ]
    needed = {each.statement: each for each in (*_leaned_on(change, fills), *views)}
    try:
        with scratch_database(connection) as engine, engine.connect() as scratch:
            scratch.execution_options(isolation_level="AUTOCOMMIT")
            prerequisites.make(scratch, default, needed.values())
            with engine.connect() as reader:
                made = read_catalog(reader, default_schema=default)
    except NoScratchError:
        return {}
    found = {place: made.others.get(("view", f"{_SCHEMA}.v{number}")) for number, (place, _) in asked.items()}
    return {place: _through_views(view.needs, made) for place, view in found.items() if view}


def _leaned_on(change: Change, fills: Mapping[ColumnName, str]) -> Iterator[Prerequisite]:
    """Yield what expressions may need, in either of the two schemas."""
    words = set[str]().union(*map(named, fills.values()))
    both = (change.after, change.before)
    nodes = {Node("table", place.table) for place in fills}
    nodes |= {Node("table", name) for each in both for name in each.tables if name.name in words}
    nodes |= {other.node for each in both for other in each.others.values() if other.bare in words}
    while more := {node for each in both for found in nodes for node in each.needs(found)} - nodes:
        nodes |= more
    yield prerequisites.schema(_SCHEMA)
    for each in both:
        yield from prerequisites.leaned_on(each)
    tables = {node.name.table if isinstance(node.name, ColumnName) else node.name for node in nodes}
    for name in sorted(name for name in tables if isinstance(name, Name) and _columns(change, name)):
        columns = ", ".join(f"{quoted(key)} {each.type}" for key, each in _columns(change, name).items())
        yield Prerequisite("table", name.name, f"CREATE TABLE {sql_name(name, change.after)} ({columns})")
    for each in both:
        others = (each.others.get((node.kind, str(node.name))) for node in nodes if node.kind in _VIEWS)
        yield from (Prerequisite("view", other.bare, other.definition) for other in others if other)


def _through_views(needs: Collection[Node], made: Catalog) -> frozenset[Node]:
    """Return what is read, with what stands behind views and functions."""
    found = set(needs)
    while more := {node for each in found if isinstance(each.name, str) for node in made.needs(each)} - found:
        found |= more
    return frozenset(found)


def _with_wholes(
    change: Change, reads: Mapping[ColumnName, frozenset[Node]]
) -> Iterator[tuple[ColumnName, frozenset[Node]]]:
    """Yield reads; of a table of which no column is named, a row may be read: all that gets values."""
    for place, found in reads.items():
        named_tables = {node.name.table for node in found if isinstance(node.name, ColumnName)}
        whole = {node.name for node in found if node.kind == "table" and isinstance(node.name, Name)}
        further = (
            _column(name, column)
            for name in whole - named_tables - {place.table}
            for column in _columns(change, name)
            if change.gets_values(ColumnName(name, column))
        )
        yield place, found.union(further)
