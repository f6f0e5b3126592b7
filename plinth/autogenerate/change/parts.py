"""What stands on columns of tables: their constraints and indexes."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from hashlib import md5
from typing import Any

from plinth.autogenerate.change.expressions import with_name, with_type
from plinth.autogenerate.change.quoting import quoted, temporary_name
from plinth.autogenerate.change.way import Way
from plinth.catalog.picture import Catalog, ColumnName, Constraint, Index, Name, Table

Piece = Constraint | Index


def on_column(table: Table, column: str) -> list[Piece]:
    """Return what stands on a column, beside NOT NULL."""
    node = table.part("column", column)
    own = [
        each
        for each in table.constraints.values()
        if (each.type != "n" and column in (*each.columns, *each.include))
        or (each.type == "x" and node in each.needs)  # by an expression, or in its condition
    ]
    return [*own, *(each for each in table.indexes.values() if column in each.columns)]


def old_columns(way: Way, name: Name) -> set[str]:
    """Return the columns of a table that stay until the code that uses their names is gone (`keep_old`)."""
    return {old for place, old in way.change.kept_names.items() if place.table == name}


def is_kept_with(way: Way, name: Name, part: Piece) -> bool:
    """Whether an index or constraint stands on such a column, and goes with it."""
    table = way.at.tables[name]
    return any(part in on_column(table, column) for column in old_columns(way, name))


def keys_on(catalog: Catalog, places: Collection[ColumnName]) -> list[tuple[Name, Constraint]]:
    """Return the foreign keys, with their tables, that have or refer to any of some columns.

    Those that partitions have from their tables are no others.
    """
    return [
        (name, each)
        for name, table in catalog.tables.items()
        for each in table.constraints.values()
        if each.foreign_key and each.is_local and not columns_of_key(name, each).isdisjoint(places)
    ]


def columns_of_key(table: Name, key: Constraint) -> set[ColumnName]:
    """Return the columns of a foreign key, and those that it refers to."""
    own = {ColumnName(table, each) for each in key.columns}
    return own | {ColumnName(key.reference.table, each) for each in key.reference.columns}


def moved(part: Piece, columns: Mapping[str, str], name: str, types: Mapping[str, str]) -> Piece:
    """Return an index or constraint with another name, on other columns and types in the place of some."""
    for column, to in columns.items():
        part = _moved(part, column, to)
    for type_, by in types.items():
        part = _reworded(part, lambda text, type_=type_, by=by: with_type(text, type_, by))  # type: ignore[misc]
    return replace(part, name=name)


def _moved(part: Piece, column: str, to: str) -> Piece:
    def other(names: Iterable[str | None]) -> tuple[Any, ...]:
        return tuple(to if each == column else each for each in names)

    part = _reworded(part, lambda text: with_name(text, column, quoted(to)))
    if isinstance(part, Constraint):
        return replace(part, columns=other(part.columns), include=other(part.include))
    return replace(
        part,
        key_columns=other(part.key_columns),
        include=other(part.include),
        columns=frozenset(other(part.columns)),
    )


def _reworded(part: Piece, words: Callable[[str], str]) -> Piece:
    """Return an index or constraint with other words in its SQL."""
    if isinstance(part, Constraint):
        return replace(
            part,
            definition=words(part.definition),
            expression=part.expression and words(part.expression),
        )
    head, using, tail = part.definition.partition(" USING ")
    return replace(
        part,
        definition=f"{head}{using}{words(tail)}",
        keys=tuple(map(words, part.keys)),
        where=part.where and words(part.where),
    )


def name_beside(part: Piece, table: Table) -> str:
    """Return a name for what is built beside something of its name, and gets that later.

    That of partitions keeps this name: it is another one for each that may come to stand there.
    """
    digest = md5(part.definition.encode(), usedforsecurity=False).hexdigest()[:6]
    ending = f"_{digest}" if table.partition_key else "_new"
    return temporary_name(part.name, ending, {*table.constraints, *table.indexes})
