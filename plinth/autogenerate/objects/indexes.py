"""Indexes that no constraint made."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.sql.elements import TextClause, conv

from plinth.autogenerate.objects.expressions import as_said, bare
from plinth.autogenerate.objects.quoting import comment_sql, quoted, schema_of, sql_name, without_binds
from plinth.autogenerate.objects.steps import Change, Forced, SqlOp, Step
from plinth.catalog.picture import Catalog, Index, Name, Table


def add_op(index: Index, table: Table, catalog: Catalog) -> ops.CreateIndexOp:
    """Return what creates an index."""
    keys: list[str | TextClause] = [
        column
        if column is not None and key == quoted(column)
        else sa.text(without_binds(as_said(key, index.words)))
        for key, column in zip(index.keys, index.key_columns, strict=True)
    ]
    options: dict[str, Any] = {}
    if index.method != "btree":
        options["postgresql_using"] = index.method
    if index.include:
        options["postgresql_include"] = list(index.include)
    if index.nulls_not_distinct:
        options["postgresql_nulls_not_distinct"] = True
    if index.options:
        options["postgresql_with"] = storage_options(index.options)
    if index.where is not None:
        options["postgresql_where"] = sa.text(without_binds(bare(index.where, index.words)))
    if " TABLESPACE " in index.definition:
        options["postgresql_tablespace"] = index.definition.partition(" TABLESPACE ")[2].split()[0].strip('"')
    return ops.CreateIndexOp(
        conv(index.name),
        table.name.name,
        keys,
        schema=schema_of(table.name, catalog),
        unique=index.unique,
        **options,
    )


def storage_options(options: tuple[str, ...]) -> dict[str, int | float | bool | str]:
    """Return storage parameters as SQLAlchemy takes them."""
    found: dict[str, int | float | bool | str] = {}
    for option in options:
        name, _, value = option.partition("=")
        found[name] = int(value) if value.lstrip("-").isdigit() else value
    return found


def drop_op(index: Index, table: Table, catalog: Catalog) -> ops.DropIndexOp:
    """Return what drops an index."""
    return ops.DropIndexOp(conv(index.name), table.name.name, schema=schema_of(table.name, catalog))


def detail_ops(before: Index | None, after: Index, table: Name, catalog: Catalog) -> Iterator[SqlOp]:
    """Yield what else is said of an index: its comment, and the statistics targets of its expressions.

    Args:
        before: what was said of it; None of a new one.
        after: what should be.
        table: the index's.
        catalog: the schema that should be.
    """
    name = sql_name(Name(table.schema, after.name), catalog)
    if after.comment != (before.comment if before else None):
        yield SqlOp(comment_sql(f"INDEX {name}", after.comment), f"comment {after.name}", table)
    old, new = dict(before.statistics if before else ()), dict(after.statistics)
    for number in sorted({*old, *new}):
        if old.get(number) != new.get(number):
            action = f"ALTER COLUMN {number} SET STATISTICS {new.get(number, -1)}"
            yield SqlOp(f"ALTER INDEX {name} {action}", f"change {after.name}", table)


def rename_op(table: Name, old: str, new: str, catalog: Catalog) -> SqlOp:
    """Return what renames an index."""
    name = sql_name(Name(table.schema, old), catalog)
    return SqlOp(f"ALTER INDEX {name} RENAME TO {quoted(new)}", f"rename {old} to {new}", table)


def is_kept(before: Index, after: Index | None) -> bool:
    """Whether an index is as it should be, its comment aside."""
    return after is not None and before.definition == after.definition and before.valid


def meaning(index: Index) -> tuple[object, ...]:
    """Return all of an index but its name."""
    return (
        index.keys,
        index.include,
        index.unique,
        index.method,
        index.where,
        index.nulls_not_distinct,
        index.options,
    )


def steps(change: Change, name: Name, forced: Forced) -> Iterator[Step]:
    """Yield what makes the indexes of a standing table as they should be.

    Args:
        change: the whole.
        name: the table.
        forced: what is dropped, or made anew.
    """
    before, after = change.before.tables[name], change.after.tables[name]
    for old in before.indexes.values():
        node = before.part("index", old.name)
        if node in forced.changed:
            yield Step(drop_op(old, before, change.before)).dropping(node)
    for new in after.indexes.values():
        node = after.part("index", new.name)
        standing = None if node in forced.changed else before.indexes.get(new.name)
        if standing is None:
            yield Step(add_op(new, after, change.after)).making(node)
        for op in detail_ops(standing, new, name, change.after):
            yield Step(op, "comment")
