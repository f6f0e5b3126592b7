"""What has left the models and isn't dropped yet: `leaving` in `[tool.plinth]` names it.

It stays in the database as it is, but for a column that refuses NULL and has no default: code that doesn't
know it any more couldn't insert a row.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from plinth.autogenerate.change.quoting import shown
from plinth.autogenerate.compare.hints import Models, tables_of
from plinth.catalog.picture import Catalog, Column, Name, Node, Table, only
from plinth.scratch.baseline import copy_standing
from plinth.scratch.databases import scratch_database
from plinth.scratch.revisions import History, upgrade


def as_it_will_be(history: History, target: Connection, standing: Catalog) -> Catalog:
    """Return a database's schema when those revisions are applied that wait for the code.

    Args:
        history: the revisions.
        target: the database; they are applied to a copy of its schema.
        standing: its schema.

    Raises:
        RevisionError: one of them fails.
        CopyError: the schema can't be copied.
        NoScratchError: there is no place for the copy.
    """
    with scratch_database(target) as engine:
        copy_standing(target, engine, history)
        upgrade(engine, history)
        with engine.connect() as connection:
            return history.read(connection, standing.default_schema)


def with_what_leaves(models: Catalog, database: Catalog, leaving: Collection[str]) -> Catalog:
    """Return what the models mean, with what has left them and is to stay for now.

    Args:
        models: what they mean.
        database: what is there.
        leaving: tables, and columns (`table.column`), each perhaps with its schema.
    """
    tables: dict[Name, Table] = {}
    for name, table in database.tables.items():
        own = models.tables.get(name)
        if own is None and _calls(name, database) & set(leaving):
            tables[name] = table
        columns = [
            column
            for column in table.columns
            if own and own.column(column.name) is None and _calls(name, database, column.name) & set(leaving)
        ]
        if own and columns:
            tables[name] = _with_columns(own, table, columns)
    if not tables:
        return models
    types = {each.named_type for table in tables.values() for each in table.columns if each.named_type}
    types |= {base for name in types & database.domains.keys() if (base := database.domains[name].base)}
    asked = {need for table in tables.values() for column in table.columns for need in column.default_needs}
    sequences = {
        name: each
        for name, each in database.sequences.items()
        if Node("sequence", name) in asked
        or (each.owner and each.owner.table in tables and tables[each.owner.table].column(each.owner.column))
    }
    return replace(
        models,
        tables={**models.tables, **tables},
        sequences={**sequences, **models.sequences},
        enums={**only(database.enums, lambda each: each.name in types), **models.enums},
        domains={**only(database.domains, lambda each: each.name in types), **models.domains},
    )


def _calls(table: Name, catalog: Catalog, column: str | None = None) -> set[str]:
    """Return what a table or a column may be called."""
    end = "" if column is None else f".{column}"
    return {f"{shown(table, catalog)}{end}", f"{table}{end}"}


def _with_columns(own: Table, standing: Table, columns: Sequence[Column]) -> Table:
    """Return a table of the models with columns that stand, and with what stands on those."""
    names = {column.name for column in columns}
    eased = {column.name for column in columns if column.is_required}
    constraints = {
        name: each
        for name, each in standing.constraints.items()
        if names.intersection(each.columns)
        and not (each.type == "p" and own.primary_key)
        and not (each.type == "n" and eased.issuperset(each.columns))
    }
    indexes = {name: each for name, each in standing.indexes.items() if names & each.columns}
    return replace(
        own,
        columns=(
            *own.columns,
            *(replace(each, not_null=False) if each.name in eased else each for each in columns),
        ),
        constraints={**constraints, **own.constraints},
        indexes={**indexes, **own.indexes},
    )


def what_leaves(metadata: Models, database: Catalog, leaving: Collection[str]) -> list[str]:
    """Return what `leaving` names that has left the models and is there still."""
    own = _in_models(metadata, database)
    return [each for each in leaving if each in _in_database(database) - own]


def done_words(metadata: Models, database: Catalog, leaving: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each name in `leaving` that can go."""
    there, own = _in_database(database), _in_models(metadata, database)
    for each in leaving:
        if each in own:
            yield f"leaving in [tool.plinth] names {each}, which the models have: take it out of one of them."
        elif each not in there:
            yield f"leaving in [tool.plinth] names {each}, which isn't there any more: take it out."


def _in_models(metadata: Models, catalog: Catalog) -> set[str]:
    return _all_called(tables_of(metadata, catalog.default_schema), catalog)


def _in_database(catalog: Catalog) -> set[str]:
    return _all_called(catalog.tables.items(), catalog)


def _all_called(tables: Iterable[tuple[Name, Any]], catalog: Catalog) -> set[str]:
    return {
        call
        for name, table in tables
        for column in (None, *(each.name for each in table.columns))
        for call in _calls(name, catalog, column)
    }
