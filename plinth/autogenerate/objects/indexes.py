"""Indexes that no constraint made; those of a busy table are built and dropped without holding anybody up."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.sql.elements import TextClause, conv

from plinth.autogenerate.change.expressions import as_said, bare
from plinth.autogenerate.change.heirs import is_constraint_inherited
from plinth.autogenerate.change.partitions import built, on_each
from plinth.autogenerate.change.parts import Piece, is_kept_with, name_beside
from plinth.autogenerate.change.quoting import comment_sql, quoted, schema_of, sql_name, without_binds
from plinth.autogenerate.change.stages import TableStage
from plinth.autogenerate.change.steps import Change, Forced, SqlOp, Step
from plinth.autogenerate.change.way import Operations, Outside, Way
from plinth.autogenerate.objects.values import becoming_required
from plinth.catalog.picture import Catalog, ColumnName, Constraint, Index, Name, Table


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
    if index.tablespace is not None:
        options["postgresql_tablespace"] = index.tablespace
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


# What holds for what is written from then on; other storage parameters say how an index is built.
_SETTINGS = {
    "fillfactor",
    "deduplicate_items",
    "buffering",
    "fastupdate",
    "gin_pending_list_limit",
    "autosummarize",
}


def are_settings(before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    """Whether an index that stands can get other storage parameters (ALTER INDEX)."""
    return all(option.partition("=")[0] in _SETTINGS for option in {*before} ^ {*after})


def setting_ops(
    before: tuple[str, ...], after: tuple[str, ...], index: str, table: Name, catalog: Catalog
) -> Iterator[SqlOp]:
    """Yield what gives an index other storage parameters.

    Args:
        before: those that it has.
        after: those that it should have.
        index: its name.
        table: the index's.
        catalog: the schema that should be.
    """
    old, new = (dict(option.split("=", 1) for option in each) for each in (before, after))
    name = sql_name(Name(table.schema, index), catalog)
    if gone := [option for option in old if option not in new]:
        yield SqlOp(f"ALTER INDEX {name} RESET ({', '.join(gone)})", f"change {index}", table)
    if changed := [f"{option} = {value}" for option, value in new.items() if old.get(option) != value]:
        yield SqlOp(f"ALTER INDEX {name} SET ({', '.join(changed)})", f"change {index}", table)


def drop_op(index: Index, table: Table, catalog: Catalog) -> ops.DropIndexOp:
    """Return what drops an index."""
    return ops.DropIndexOp(conv(index.name), table.name.name, schema=schema_of(table.name, catalog))


def detail_ops(before: Index | None, after: Index, table: Name, catalog: Catalog) -> Iterator[SqlOp]:
    """Yield what else is said of an index: its comment, settings, and statistics targets of its expressions.

    Args:
        before: what was said of it; None of a new one.
        after: what should be.
        table: the index's.
        catalog: the schema that should be.
    """
    name = sql_name(Name(table.schema, after.name), catalog)
    if after.comment != (before.comment if before else None):
        yield SqlOp(comment_sql(f"INDEX {name}", after.comment), f"comment {after.name}", table)
    if before:
        yield from setting_ops(before.options, after.options, after.name, table, catalog)
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
    """Whether an index is as it should be, its comment and settings aside."""
    if after is None or not before.valid:
        return False
    return before.definition == after.definition or _is_set(before, after)


def _is_set(before: Index, after: Index) -> bool:
    """Whether indexes differ in settings alone; that of a partitioned table takes no others."""
    heads = [each.definition.partition(" USING ")[0] for each in (before, after)]
    is_same = replace(before, options=after.options, definition="") == replace(
        after, definition="", comment=before.comment, statistics=before.statistics
    )
    return (
        is_same
        and heads[0] == heads[1]
        and " ON ONLY " not in heads[0]
        and are_settings(before.options, after.options)
    )


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
        index.tablespace,
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


# On a busy database


def drop_index(way: Way, name: Name, index: Index) -> None:
    """Go on by dropping an index concurrently."""
    table = way.at.tables[name]
    down = Outside(build(index, table, way.at))
    way.step(way.with_table(table.without(index.name)), _drop(index, table, way.at), down)


def add_index(way: Way, name: Name, index: Index, *, goes: bool = False) -> None:
    """Go on by building an index concurrently.

    Args:
        way: so far.
        name: the table.
        index: what is built.
        goes: it is dropped together with something else when the way is gone back.
    """
    table = way.at.tables[name]
    up = Outside(build(index, table, way.at))
    way.step(way.with_table(table.having(index)), up, [] if goes else _drop(index, table, way.at))


def replace_index(way: Way, name: Name, old: Index, new: Index) -> None:
    """Build another index of the same name: beside the old one, whose name it takes when that is gone."""
    table = way.at.tables[name]
    own = name_beside(new, table)
    add_index(way, name, replace(new, name=own))
    drop_index(way, name, old)
    to = way.with_table(way.at.tables[name].without(own).having(new))
    up, down = (rename_op(name, *pair, way.at) for pair in ((own, new.name), (new.name, own)))
    way.step(to, [up], [down])


def build(index: Index, table: Table, catalog: Catalog) -> Iterator[ops.MigrateOperation]:
    """Yield what builds an index without holding anybody up."""
    create = add_op(index, table, catalog)
    if table.partition_key:
        yield on_each(index.name, table, catalog, built(index))
    else:
        create.kw["postgresql_concurrently"] = True
    yield create
    yield from detail_ops(None, index, table.name, catalog)


def build_for_key(index: Index, table: Table, catalog: Catalog) -> list[ops.MigrateOperation]:
    """Return what builds the index on which a key will stand; on each partition of a partitioned table."""
    if table.partition_key:
        return [on_each(index.name, table, catalog, built(index))]
    return list(build(index, table, catalog))


def _drop(index: Index, table: Table, catalog: Catalog) -> Operations:
    """Return what drops an index; that of a partitioned table can't be dropped concurrently."""
    drop = drop_op(index, table, catalog)
    if table.partition_key:
        return [drop]
    drop.kw["postgresql_concurrently"] = True
    return Outside([drop])


def is_in_the_way(way: Way, name: Name, part: Piece) -> bool:
    """Whether an index or key that goes has to go before another one comes, or before rows get values."""
    schema, own = name.schema, {ColumnName(name, part.name)}
    if own & (way.forced.parts("index") | way.forced.parts("constraint")):
        return True
    tables = [each for each in way.change.after.tables.values() if each.name.schema == schema]
    if any(part.name in {*each.constraints, *each.indexes} for each in tables):
        return _taking_name(way, name, part) is None
    return refuses_values(way, name, part)


def _taking_name(way: Way, name: Name, part: Piece) -> Piece | None:
    """Return the key or index of the same table that gets the name of one that goes."""
    wanted = way.change.after.tables[name]
    key = wanted.constraints.get(part.name)
    if key is None or key.type not in {"p", "u"}:
        return wanted.indexes.get(part.name)
    return None if is_constraint_inherited(way.change, name, key, way.change.after) else key


def taking_turn(way: Way, name: Name, part: Piece) -> Piece | None:
    """Return the key or index that gets the name of one that goes, in the transaction in which that goes.

    An index that wasn't unique goes as soon as another one is there (`replace_index`).
    """
    new = None if is_kept_with(way, name, part) else _taking_name(way, name, part)
    if isinstance(part, Index) and isinstance(new, Index):
        return new if part.unique and not is_kept(part, new) else None
    return new


def refuses_values(way: Way, name: Name, part: Piece) -> bool:
    """Whether rows get values that an index or constraint which goes might refuse, and nothing else later."""
    if isinstance(part, Index) and not part.unique:
        return False
    return is_of_filled(way, name, part) and not _is_unique_later(way, name, part)


def _is_unique_later(way: Way, name: Name, part: Piece) -> bool:
    """Whether what is unique by an index or key will be so by another one, or is by one that stays."""
    if isinstance(part, Constraint) and part.type not in {"p", "u"}:
        return False
    wanted = way.change.after.tables[name]
    found: list[set[str | None]] = [
        {*each.columns} for each in wanted.constraints.values() if each.type in {"p", "u"}
    ]
    found += [{*each.key_columns} for each in wanted.indexes.values() if each.unique and each.where is None]
    own = part.key_columns if isinstance(part, Index) else part.columns
    is_plain = None not in own and not part.nulls_not_distinct
    return is_plain and any(each.issubset(own) for each in found)


def is_of_filled(way: Way, name: Name, part: Piece) -> bool:
    """Whether an index or constraint has a column whose rows get values because it becomes required."""
    return not {each.name for each in becoming_required(way, name)}.isdisjoint(part.columns)


def drop_indexes(way: Way, name: Name, *, early: bool = False) -> None:
    """Go on by dropping the indexes of a table that go; `early` those that are in the way of others.

    What takes the place of the rest stands by then: at no moment is there neither.
    """
    forced_indexes = way.forced.of(way.forced.parts("index"), name) if early else ()
    wanted = way.change.after.tables[name].indexes
    for index in way.at.tables[name].indexes.values():
        goes = index.name in forced_indexes or index.name not in wanted
        if goes and not is_kept_with(way, name, index) and (not early or is_in_the_way(way, name, index)):
            drop_index(way, name, index)


def _choose_index(way: Way, name: Name) -> None:
    """Say by which index rows are told apart or ordered, where it had to be built first."""
    wanted = way.change.after.tables[name]
    chosen = {"clustered_on": wanted.clustered_on, "replica_identity": wanted.replica_identity}
    way.go(way.with_table(replace(way.at.tables[name], **chosen)))  # type: ignore[arg-type]


STAGES = (
    TableStage("no indexes in the way", partial(drop_indexes, early=True), ["no constraints in the way"]),
    TableStage("chosen indexes", _choose_index, ["constraints"]),
    TableStage("no indexes that go", drop_indexes, ["no constraints that go"]),
)
