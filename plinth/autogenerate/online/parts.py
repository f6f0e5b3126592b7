"""Indexes and constraints of a busy table: added and dropped without holding anybody up."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import md5
from typing import Any

from alembic.operations import ops

from plinth.autogenerate.objects import constraints, indexes
from plinth.autogenerate.objects.expressions import with_name, with_type
from plinth.autogenerate.objects.quoting import quoted, quoted_list, sql_name, temporary_name
from plinth.autogenerate.objects.steps import AutocommitOp, SqlOp
from plinth.autogenerate.online.checks import (
    add_not_valid,
    comment_ops,
    not_valid_op,
    validate,
    validate_op,
)
from plinth.autogenerate.online.partitions import built, on_each, referring, used
from plinth.autogenerate.online.way import Part, Way
from plinth.catalog.picture import Catalog, ColumnName, Constraint, Index, Name, Table

Piece = Constraint | Index


def drop_constraint(way: Way, name: Name, constraint: Constraint) -> None:
    """Go on by dropping a constraint; the way back holds nobody up."""
    table = way.at.tables[name]
    left = {each.name: each for each in table.constraints.values() if each.name != constraint.name}
    to = way.with_table(replace(table, constraints=left))
    restore = _restore(constraint, table, way.at)
    if restore is None:
        way.go(to)
    else:
        drop = constraints.drop_op(constraint, table, way.at)
        way.step(to, Part([drop], [AutocommitOp(restore)]))


def _restore(constraint: Constraint, table: Table, catalog: Catalog) -> list[ops.MigrateOperation] | None:
    """Return what puts a constraint back without holding anybody up; None if nothing does."""
    if _is_taken_over(constraint, table):
        return [*_on_partitions(constraint, table, catalog), *_added(constraint, table, catalog)]
    if constraint.type in {"c", "f"} and constraint.validated and not constraint.is_not_enforced:
        add = not_valid_op(constraint, table, catalog)
        return [add, validate_op(constraint, table, catalog), *comment_ops(constraint, table, catalog)]
    if has_plain_index(constraint):
        index = key_index(constraint, table)
        return [
            *_build(index, table, catalog),
            use_index(constraint, constraint.name, table, catalog),
            *comment_ops(constraint, table, catalog),
        ]
    return None


def _is_taken_over(constraint: Constraint, table: Table) -> bool:
    """Whether a partitioned table takes over a constraint that its partitions have already."""
    is_key = constraint.type == "f" and constraint.validated and not constraint.is_not_enforced
    return bool(table.partition_key) and (is_key or has_plain_index(constraint))


def _on_partitions(constraint: Constraint, table: Table, catalog: Catalog) -> list[ops.MigrateOperation]:
    if constraint.type == "f":
        return on_each(constraint.name, table, catalog, *referring(constraint))
    return on_each(constraint.name, table, catalog, built(key_index(constraint, table)), used(constraint))


def _added(constraint: Constraint, table: Table, catalog: Catalog) -> list[ops.MigrateOperation]:
    return [constraints.add_op(constraint, table, catalog), *comment_ops(constraint, table, catalog)]


def _add_taken_over(way: Way, name: Name, constraint: Constraint, *, goes: bool) -> None:
    """Go on by a constraint of each partition, and that of the table."""
    table = way.at.tables[name]
    way.step(way.at, Part([AutocommitOp(_on_partitions(constraint, table, way.at))], []))
    to = way.with_table(replace(table, constraints={**table.constraints, constraint.name: constraint}))
    down = [] if goes else [constraints.drop_op(constraint, table, way.at)]
    way.step(to, Part(_added(constraint, table, way.at), down))


def drop_index(way: Way, name: Name, index: Index) -> None:
    """Go on by dropping an index concurrently."""
    table = way.at.tables[name]
    left = {each.name: each for each in table.indexes.values() if each.name != index.name}
    down = _build(index, table, way.at)
    to = way.with_table(replace(table, indexes=left))
    way.step(to, Part(_drop(index, table, way.at), [AutocommitOp(down)]))


def add_index(way: Way, name: Name, index: Index, *, goes: bool = False) -> None:
    """Go on by building an index concurrently.

    Args:
        way: so far.
        name: the table.
        index: what is built.
        goes: it is dropped together with something else when the way is gone back.
    """
    table = way.at.tables[name]
    to = way.with_table(replace(table, indexes={**table.indexes, index.name: index}))
    up = _build(index, table, way.at)
    way.step(to, Part([AutocommitOp(up)], [] if goes else _drop(index, table, way.at)))


def add_checked(way: Way, name: Name, constraint: Constraint, *, goes: bool = False) -> None:
    """Add a check or foreign key: for new rows first, then for all; `goes` is as for `add_index`."""
    table = way.at.tables[name]
    if not constraint.validated or constraint.is_not_enforced:
        way.go(way.with_table(replace(table, constraints={**table.constraints, constraint.name: constraint})))
        return
    if _is_taken_over(constraint, table):
        _add_taken_over(way, name, constraint, goes=goes)
        return
    add_not_valid(way, name, constraint, goes=goes)
    validate(way, name, constraint)


def add_key(way: Way, name: Name, constraint: Constraint, *, goes: bool = False) -> None:
    """Add a unique constraint or primary key, its index first; `goes` is as for `add_index`."""
    table = way.at.tables[name]
    if _is_taken_over(constraint, table):
        _add_taken_over(way, name, constraint, goes=goes)
        return
    index = key_index(constraint, table)
    add_index(way, name, index, goes=True)
    table = way.at.tables[name]
    left = {each.name: each for each in table.indexes.values() if each.name != index.name}
    to = way.with_table(
        replace(table, indexes=left, constraints={**table.constraints, constraint.name: constraint})
    )
    up = [use_index(constraint, constraint.name, table, way.at), *comment_ops(constraint, table, way.at)]
    way.step(to, Part(up, [] if goes else [constraints.drop_op(constraint, table, way.at)]))


def replace_index(way: Way, name: Name, old: Index, new: Index) -> None:
    """Build another index of the same name: beside the old one, whose name it takes when that is gone."""
    table = way.at.tables[name]
    own = _name_beside(new, table)
    add_index(way, name, replace(new, name=own))
    drop_index(way, name, old)
    table = way.at.tables[name]
    left = {each.name: each for each in table.indexes.values() if each.name != own}
    to = way.with_table(replace(table, indexes={**left, new.name: new}))
    up, down = (indexes.rename_op(name, *pair, way.at) for pair in ((own, new.name), (new.name, own)))
    way.step(to, Part([up], [down]))


def replace_key(way: Way, name: Name, old: Constraint, new: Constraint) -> None:
    """Let a unique constraint or primary key take the place of another one, its index being there before."""
    table = way.at.tables[name]
    ahead, back = (_name_beside(each, table) for each in (new, old))
    ahead_of = key_index(replace(new, name=ahead), table)
    way.step(way.at, Part([AutocommitOp(_build_for_key(ahead_of, table, way.at))], []))
    left = {each.name: each for each in table.constraints.values() if each.name != old.name}
    to = way.with_table(replace(table, constraints={**left, new.name: new}))
    way.step(
        to,
        Part(_take_turns(old, new, ahead, table, way.at), _take_turns(new, old, back, table, way.at)),
    )
    again = _build_for_key(key_index(replace(old, name=back), table), table, way.at)
    way.step(to, Part([], [AutocommitOp(again)]))


def _name_beside(part: Piece, table: Table) -> str:
    """Return a name for what is built beside something of its name, and gets that later.

    That of partitions keeps this name: it is another one for each that may come to stand there.
    """
    digest = md5(part.definition.encode(), usedforsecurity=False).hexdigest()[:6]
    ending = f"_{digest}" if table.partition_key else "_new"
    return temporary_name(part.name, ending, {*table.constraints, *table.indexes})


def _take_turns(
    old: Constraint, new: Constraint, index: str, table: Table, catalog: Catalog
) -> list[ops.MigrateOperation]:
    """Return what drops a key and adds another one on an index that is there."""
    drop = constraints.drop_op(old, table, catalog)
    if table.partition_key:
        [_, each] = on_each(index, table, catalog, used(new))
        return [drop, each, *_added(new, table, catalog)]
    return [drop, use_index(new, index, table, catalog), *comment_ops(new, table, catalog)]


def on_column(table: Table, column: str) -> list[Piece]:
    """Return what stands on a column, beside NOT NULL."""
    own = [
        each
        for each in table.constraints.values()
        if each.type != "n" and column in (*each.columns, *each.include)
    ]
    return [*own, *(each for each in table.indexes.values() if column in each.columns)]


def keys_on(catalog: Catalog, places: Collection[ColumnName]) -> list[tuple[Name, Constraint]]:
    """Return the foreign keys, with their tables, that have or refer to any of some columns."""
    return [
        (name, each)
        for name, table in catalog.tables.items()
        for each in table.constraints.values()
        if each.foreign_key and not columns_of_key(name, each).isdisjoint(places)
    ]


def columns_of_key(table: Name, key: Constraint) -> set[ColumnName]:
    """Return the columns of a foreign key, and those that it refers to."""
    own = {ColumnName(table, each) for each in key.columns}
    return own | {ColumnName(key.reference.table, each) for each in key.reference.columns}


def moved_key(
    key: Constraint, own: Mapping[str, str], referred: Mapping[str, str], name: str, catalog: Catalog
) -> Constraint:
    """Return a foreign key with another name, on and to other columns in the place of some."""
    reference = key.reference
    columns = tuple(own.get(each, each) for each in key.columns)
    target = tuple(referred.get(each, each) for each in reference.columns)
    table = sql_name(reference.table, catalog)
    head = f"FOREIGN KEY ({quoted_list(columns)}) REFERENCES {table}({quoted_list(target)})"
    return replace(
        key,
        name=name,
        definition=head + constraints.foreign_key_tail(key),
        columns=columns,
        foreign_key=replace(reference, columns=target),
    )


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


def has_plain_index(constraint: Constraint) -> bool:
    """Whether a constraint can stand on an index that was built before (ADD ... USING INDEX)."""
    return (
        constraint.type in {"u", "p"}
        and not constraint.options
        and " WITHOUT OVERLAPS" not in constraint.definition
    )


def key_index(constraint: Constraint, table: Table) -> Index:
    """Return the index on which a unique constraint or primary key will stand."""
    keys = tuple(map(quoted, constraint.columns))
    definition = (
        f"CREATE UNIQUE INDEX {quoted(constraint.name)} "
        f"ON {quoted(table.name.schema)}.{quoted(table.name.name)} USING btree ({', '.join(keys)})"
    )
    if constraint.include:
        definition += f" INCLUDE ({quoted_list(constraint.include)})"
    if constraint.nulls_not_distinct:
        definition += " NULLS NOT DISTINCT"
    return Index(
        constraint.name,
        definition,
        keys=keys,
        key_columns=constraint.columns,
        include=constraint.include,
        unique=True,
        nulls_not_distinct=constraint.nulls_not_distinct,
        columns=frozenset((*constraint.columns, *constraint.include)),
    )


def _build(index: Index, table: Table, catalog: Catalog) -> Iterator[ops.MigrateOperation]:
    """Yield what builds an index without holding anybody up."""
    create = indexes.add_op(index, table, catalog)
    if table.partition_key:
        yield from on_each(index.name, table, catalog, built(index))
    else:
        create.kw["postgresql_concurrently"] = True
    yield create
    yield from indexes.detail_ops(None, index, table.name, catalog)


def _build_for_key(index: Index, table: Table, catalog: Catalog) -> list[ops.MigrateOperation]:
    """Return what builds the index on which a key will stand; on each partition of a partitioned table."""
    if table.partition_key:
        return on_each(index.name, table, catalog, built(index))
    return list(_build(index, table, catalog))


def _drop(index: Index, table: Table, catalog: Catalog) -> list[ops.MigrateOperation]:
    """Return what drops an index; that of a partitioned table can't be dropped concurrently."""
    drop = indexes.drop_op(index, table, catalog)
    if table.partition_key:
        return [drop]
    drop.kw["postgresql_concurrently"] = True
    return [AutocommitOp([drop])]


def use_index(constraint: Constraint, index: str, table: Table, catalog: Catalog) -> SqlOp:
    """Return what adds a unique constraint or primary key on an index, which gets its name."""
    kind = "PRIMARY KEY" if constraint.type == "p" else "UNIQUE"
    name = quoted(constraint.name)
    add = f"ADD CONSTRAINT {name} {kind} USING INDEX {quoted(index)}{constraints.timing(constraint)}"
    return SqlOp(
        f"ALTER TABLE {sql_name(table.name, catalog)} {add}",
        f"add constraint {constraint.name}",
        table.name,
    )
