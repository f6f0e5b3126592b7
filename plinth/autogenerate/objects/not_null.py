"""NULL, allowed or not, without a look at all rows while nobody can use the table."""

from collections.abc import Collection
from dataclasses import replace

from alembic.operations import ops

from plinth.autogenerate.change.heirs import with_heirs
from plinth.autogenerate.change.parts import old_columns
from plinth.autogenerate.change.quoting import (
    made_name,
    quoted,
    temporary_name,
)
from plinth.autogenerate.change.stages import TableStage
from plinth.autogenerate.change.steps import CommentOp
from plinth.autogenerate.change.way import Outside, Way
from plinth.autogenerate.objects import constraints, not_null_names, triggers
from plinth.autogenerate.objects.columns import alter_op, loosened
from plinth.autogenerate.objects.constraints import add_not_valid, not_valid_op, validate, validate_op
from plinth.autogenerate.objects.row_triggers import fill_while, is_known_of_new_row
from plinth.autogenerate.objects.values import (
    becoming_required,
    by_use,
    fill_column,
    fills,
    tables_read,
)
from plinth.catalog.picture import Catalog, Column, ColumnName, Constraint, Name, Table


def not_null_check(table: Table, column: Column) -> Constraint:
    """Return the check that lets SET NOT NULL trust that no row has NULL."""
    name = made_name(table.name.name, column.name, "required")
    name = temporary_name(name, "", {*table.constraints, *table.indexes})
    expression = f"({quoted(column.name)} IS NOT NULL)"
    return Constraint(name, "c", f"CHECK ({expression})", (column.name,), expression)


def tightened(table: Table, column: str, check: Constraint, catalog: Catalog) -> list[ops.MigrateOperation]:
    """Return what lets a column refuse NULL, as a check has seen that no row has it."""
    return [
        alter_op(table, column, catalog, modify_nullable=False),
        *not_null_names.not_null_name_ops(table, column, catalog),
        constraints.drop_op(check, table, catalog),
    ]


def loosen(way: Way, name: Name, column: Column) -> None:
    """Go on by letting a column take NULL; the way back holds nobody up."""
    table = way.at.tables[name]
    to = with_not_null(way, name, column.name, False)
    check = not_null_check(table, column)
    goes = way.change.after.tables[name].column(column.name) is None
    warning = (
        f"Rows that are written meanwhile may have no {column.name}, and none has one once it was dropped:"
    )
    back = [
        *([CommentOp(warning), CommentOp("this works as long as all have one.")] if goes else []),
        not_valid_op(check, table, way.at),
        validate_op(check, table, way.at),
        *tightened(table, column.name, check, way.at),
    ]
    way.step(to, loosened(table, column.name, way.at), Outside(back))


def with_not_null(way: Way, name: Name, column: str, not_null: bool) -> Catalog:
    """Return the schema so far in which a column refuses NULL, or doesn't any more."""
    table = way.at.tables[name]
    columns = {each.name: each for each in table.columns}
    columns[column] = replace(columns[column], not_null=not_null)

    def is_its(constraint: Constraint) -> bool:
        return constraint.type == "n" and constraint.columns == (column,)

    names = filter(is_its, way.change.after.tables[name].constraints.values()) if not_null else ()
    table = table.with_constraints(lambda each: not is_its(each)).having(*names)
    return way.with_table(replace(table, columns=tuple(columns.values())))


def _fill_and_require(way: Way, name: Name) -> None:
    """Give rows their values, and let columns refuse NULL; triggers don't fire for the one nor the other."""
    others, filled = way.at.others, list(fills(way, name))
    if filled:
        triggers.guard(way, triggers.with_heirs(name, way.at))
    values = {
        column: value
        for column, value, _ in filled
        if is_known_of_new_row(way, ColumnName(name, column), value)
    }
    kept = {column for column in values if ColumnName(name, column) in way.change.kept_names}  # by a trigger
    filling = fill_while(way, name, {column: values[column] for column in values if column not in kept})
    for column, value, may_be_null in filled:
        is_kept = column in values and column not in kept
        fill_column(way, ColumnName(name, column), value, may_be_null=may_be_null, is_kept=is_kept)
    _require(way, name, values)
    way.step(way.at, [op for trigger in filling for op in trigger.drop(way.at)])
    if others != way.at.others:
        to = replace(way.at, others=others)
        way.step(to, way.up(way.at, to))


def _require(way: Way, name: Name, kept: Collection[str]) -> None:
    """Let columns refuse NULL; in those that are `kept`, a trigger gives rows a value."""
    for column in by_use(way, name, becoming_required(way, name)):
        table = way.at.tables[name]
        check = not_null_check(table, column)
        add_not_valid(way, name, check)
        place = ColumnName(name, column.name)
        value = way.change.backfills.get(place)
        if value is not None and column.name not in kept:  # for rows that came after the first time
            fill_column(way, place, value)
        validate(way, name, check)
        to = with_not_null(way, name, column.name, True)
        table = to.tables[name]
        to = with_heirs(to, table.without(check.name))
        up = tightened(table, column.name, check, to)
        # A new column that gets an identity by then takes no NULL: on the way back it goes as a whole.
        is_numbered_anew = column.identity and way.before.tables[name].column(column.name) is None
        way.step(to, up, [] if is_numbered_anew else loosened(table, column.name, to))


def _loosen_columns(way: Way, name: Name) -> None:
    """Let columns be NULL that may be, or that go, when no key has them any more."""
    for column in way.change.after.tables[name].columns:
        old = way.at.tables[name].column(column.name)
        was = way.before.tables[name].column(column.name)
        # PostgreSQL lets no column be NULL while it numbers rows.
        if old and was and old.not_null and not column.not_null and not old.identity:
            loosen(way, name, column)
    kept = way.change.after.tables[name]
    for column in way.before.tables[name].columns:
        old = way.at.tables[name].column(column.name)
        stays = column.name in old_columns(way, name)
        if old and old.is_required and kept.column(column.name) is None and not stays:
            loosen(way, name, old)  # code that doesn't know it any more inserts rows without it


STAGES = (
    # What goes doesn't have to allow the new values.
    TableStage("NOT NULL", _fill_and_require, ["stored columns"], behind=tables_read),
    TableStage("NULL allowed", _loosen_columns, ["no indexes that go"]),
    TableStage("NULL allowed at last", _loosen_columns, ["no columns that go"], is_after=True),
)
