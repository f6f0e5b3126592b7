"""Another type for a column of a busy table: a second column takes its place.

PostgreSQL would write the table anew while nobody can use it. Instead a column of the new type is kept equal
by a trigger, filled in batches, and takes over the name in a short transaction; the old one is dropped later.
"""

from dataclasses import replace

import sqlalchemy as sa
from alembic.operations import ops

from plinth.autogenerate import casts, constraints
from plinth.autogenerate.backfills import backfill_op
from plinth.autogenerate.checks import add_not_valid, not_null_check, validate
from plinth.autogenerate.columns import native_column
from plinth.autogenerate.quoting import (
    made_name,
    quoted,
    schema_of,
    sql_name,
    temporary_name,
    without_binds,
)
from plinth.autogenerate.steps import CommentOp, SqlOp
from plinth.autogenerate.types import is_rewritten
from plinth.autogenerate.way import Operations, Revision, Way
from plinth.catalog.picture import Column, ColumnName, Name, Table


def swaps(way: Way) -> set[ColumnName]:
    """Return the columns that can get their new type so: nothing but NOT NULL and a default is on them."""
    return {each for each in way.forced.retyped if _can_be_swapped(way, each)}


def _can_be_swapped(way: Way, place: ColumnName) -> bool:
    name, column = place
    before, after = way.change.before.tables[name], way.change.after.tables[name]
    old, new = before[column], after[column]
    if not is_rewritten(old.type, new.type) or before.primary_key is None:
        return False
    if way.forced.types & {old.named_type, new.named_type}:
        return False
    if any(_is_special(each) for each in (old, new)) or native_column(new, after, way.change.after) is None:
        return False
    parts = [
        part
        for table in (before, after)
        for part in (
            *(each.columns for each in table.constraints.values() if each.type != "n"),
            *(each.columns for each in table.indexes.values()),
            *(each.uses for each in table.columns),
        )
    ]
    others = (*way.change.before.others.values(), *way.change.after.others.values())
    is_used = any(column in part for part in parts) or any(place in each.uses for each in others)
    is_plain = not (before.parents or before.partition_key or before.row_security)
    has_heirs = any(name in table.parents for table in way.change.before.tables.values())
    return is_plain and not has_heirs and not is_used


def _is_special(column: Column) -> bool:
    settings = column.storage or column.compression or column.statistics
    return bool(column.generated or column.identity or column.sequence or settings)


def swap(way: Way, place: ColumnName) -> None:
    """Go the whole way of one column, but for the drop of the old one."""
    name, column = place
    new = temporary_name(column, "_new")
    wanted = way.change.after.tables[name][column]
    keeper = _Keeper(way, name, column, new)
    table = way.at.tables[name]
    beside = replace(wanted, name=new, not_null=False, default=None)
    to = way.with_table(replace(table, columns=(*table.columns, beside)))
    native = native_column(beside, table, way.change.after)
    if native is None:
        raise TypeError(wanted.type)
    schema = schema_of(name, way.at)
    way.step(
        to,
        Revision(
            [ops.AddColumnOp(name.name, native, schema=schema), *keeper.make()],
            [*keeper.drop(), ops.DropColumnOp(name.name, new, schema=schema)],
            f"add {new}",
        ),
    )
    value = keeper.value
    way.step(
        way.at, Revision([backfill_op(table, new, value, way.at)], [], f"fill {new}", is_repeatable=True)
    )
    if wanted.not_null:
        check = not_null_check(way.at.tables[name], beside)
        add_not_valid(way, name, check, f"let {new} be no longer NULL")
        validate(way, name, check)
    _take_over(way, keeper, wanted, beside)


class _Keeper:
    """The trigger that keeps the new column equal to the old one.

    Args:
        way: so far.
        name: the table.
        column: the old column.
        new: the new one.
    """

    def __init__(self, way: Way, name: Name, column: str, new: str) -> None:
        self.name = name
        self.column = column
        self.new = new
        self.table = sql_name(name, way.at)
        self.function = Name(name.schema, made_name(name.name, column, "new"))
        self._function = sql_name(self.function, way.at)
        before, after = way.change.before.tables[name][column], way.change.after.tables[name][column]
        catalogs = way.change.before, way.change.after, way.change.casts
        self.value = casts.using(before, after, *catalogs) or f"{quoted(column)}::{after.type}"
        self.back = (
            casts.using(after, before, catalogs[1], catalogs[0], catalogs[2])
            or f"{quoted(column)}::{before.type}"
        )

    def make(self) -> Operations:
        """Return what makes it."""
        row = self.value.replace(quoted(self.column), f"NEW.{quoted(self.column)}", 1)
        if self.value.startswith("CASE"):
            row = self.value.replace(quoted(self.column), f"NEW.{quoted(self.column)}")
        body = f"BEGIN NEW.{quoted(self.new)} := {row}; RETURN NEW; END"
        trigger = quoted(self.function.name)
        return [
            SqlOp(
                f"CREATE FUNCTION {self._function}() RETURNS trigger LANGUAGE plpgsql AS $keep$ {body} $keep$"
            ),
            SqlOp(
                f"CREATE TRIGGER {trigger} BEFORE INSERT OR UPDATE ON {self.table} "
                f"FOR EACH ROW EXECUTE FUNCTION {self._function}()"
            ),
        ]

    def drop(self) -> Operations:
        """Return what drops it."""
        return [
            SqlOp(f"DROP TRIGGER {quoted(self.function.name)} ON {self.table}"),
            SqlOp(f"DROP FUNCTION {self._function}()"),
        ]


def _take_over(way: Way, keeper: _Keeper, wanted: Column, beside: Column) -> None:
    """Let the new column take over the name."""
    name, column = keeper.name, keeper.column
    table = way.at.tables[name]
    before = table[column]
    old = temporary_name(column, "_old")
    schema = schema_of(name, way.at)

    def alter(of: str, **what: object) -> ops.AlterColumnOp:
        return ops.AlterColumnOp(name.name, of, schema=schema, **what)  # type: ignore[arg-type]

    up: list[ops.MigrateOperation] = [*keeper.drop()]
    if before.default is not None:
        up.append(alter(column, modify_server_default=None))
    if before.not_null:
        up.append(alter(column, modify_nullable=True))
    up += [alter(column, modify_name=old), alter(keeper.new, modify_name=column)]
    if wanted.default is not None:
        up.append(alter(column, modify_server_default=sa.text(without_binds(wanted.default))))
    check = not_null_check(_without(table, beside), beside)
    if wanted.not_null:
        up += [
            alter(column, modify_nullable=False),
            *constraints.not_null_name_ops(way.change.after.tables[name], column, way.at),
            constraints.drop_op(check, table, way.at),
        ]
    down: list[ops.MigrateOperation] = [
        CommentOp("What the old column has missed is written first: writers wait as long as that takes."),
        SqlOp(f"LOCK TABLE {keeper.table} IN SHARE ROW EXCLUSIVE MODE"),
        SqlOp(
            f"UPDATE {keeper.table} SET {quoted(old)} = {keeper.back} "  # noqa: S608 - quoted names
            # As text: json has no equality.
            f"WHERE {quoted(old)}::text IS DISTINCT FROM ({keeper.back})::text"
        ),
    ]
    if wanted.default is not None:
        down.append(alter(column, modify_server_default=None))
    if wanted.not_null:
        down.append(alter(column, modify_nullable=True))
    down += [alter(column, modify_name=keeper.new), alter(old, modify_name=column)]
    if before.default is not None:
        down.append(alter(column, modify_server_default=sa.text(without_binds(before.default))))
    if before.not_null:
        down.append(alter(column, modify_nullable=False))
        down += constraints.not_null_name_ops(table, column, way.at)
    if wanted.not_null:
        down.append(constraints.add_op(check, table, way.at))
    down += keeper.make()
    columns = [each for each in table.columns if each.name not in {column, keeper.new}]
    columns += [wanted, replace(before, name=old, not_null=False, default=None)]
    left = {
        each.name: each
        for each in table.constraints.values()
        if each.name != check.name and not (each.type == "n" and each.columns == (column,))
    }
    left |= {
        each.name: each
        for each in way.change.after.tables[name].constraints.values()
        if each.type == "n" and each.columns == (column,)
    }
    way.step(
        way.with_table(replace(table, columns=tuple(columns), constraints=left)),
        Revision(up, down, f"let {keeper.new} take over from {column}"),
    )


def _without(table: Table, column: Column) -> Table:
    """Return a table without the checks of a column, whose names are then free."""
    kept = {each.name: each for each in table.constraints.values() if each.columns != (column.name,)}
    return replace(table, constraints=kept)
