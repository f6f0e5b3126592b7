"""Constraints that hold for new rows first, and for all rows after a look at them that blocks nobody."""

from dataclasses import replace

from alembic.operations import ops

from plinth.autogenerate.objects import constraints
from plinth.autogenerate.objects.quoting import made_name, quoted, schema_of, sql_name, temporary_name
from plinth.autogenerate.objects.steps import AutocommitOp, SqlOp
from plinth.autogenerate.online.way import Part, Way
from plinth.catalog.picture import Catalog, Column, Constraint, Name, Table


def add_not_valid(way: Way, name: Name, constraint: Constraint, *, goes: bool = False) -> None:
    """Go on by a transaction that adds a constraint for new rows.

    Args:
        way: so far.
        name: the table.
        constraint: what is added.
        goes: it only helps, and isn't there any more when the whole way is gone back.
    """
    table = way.at.tables[name]
    unchecked = replace(constraint.for_new_rows, comment=None)
    to = way.with_table(replace(table, constraints={**table.constraints, constraint.name: unchecked}))
    up = [not_valid_op(constraint, table, way.at)]
    way.step(to, Part(up, [] if goes else [constraints.drop_op(constraint, table, way.at)]))


def validate(way: Way, name: Name, constraint: Constraint, *, stood: bool = False) -> None:
    """Go on by a look at all rows, outside of any transaction that holds a lock.

    Args:
        way: so far.
        name: the table.
        constraint: what is validated.
        stood: it wasn't added on this way, and is NOT VALID again when that is gone back.
    """
    table = way.at.tables[name]
    to = way.with_table(replace(table, constraints={**table.constraints, constraint.name: constraint}))
    up = [validate_op(constraint, table, way.at), *comment_ops(constraint, table, way.at)]
    down = [constraints.drop_op(constraint, table, way.at), not_valid_op(constraint, table, way.at)]
    way.step(to, Part([AutocommitOp(up)], down if stood else []))


def comment_ops(constraint: Constraint, table: Table, catalog: Catalog) -> list[ops.MigrateOperation]:
    """Return what puts a constraint's comment on it, if it has one."""
    return [] if constraint.comment is None else [constraints.comment_op(constraint, table, catalog)]


def not_valid_op(constraint: Constraint, table: Table, catalog: Catalog) -> ops.MigrateOperation:
    """Return what adds a constraint that holds for new rows only."""
    return constraints.add_op(constraint.for_all_rows.for_new_rows, table, catalog)


def validate_op(constraint: Constraint, table: Table, catalog: Catalog) -> SqlOp:
    """Return what looks whether a constraint holds for all rows."""
    name = sql_name(table.name, catalog)
    return SqlOp(
        f"ALTER TABLE {name} VALIDATE CONSTRAINT {quoted(constraint.name)}",
        f"validate {constraint.name}",
        table.name,
    )


def not_null_check(table: Table, column: Column) -> Constraint:
    """Return the check that lets SET NOT NULL trust that no row has NULL."""
    name = made_name(table.name.name, column.name, "required")
    name = temporary_name(name, "", {*table.constraints, *table.indexes})
    expression = f"({quoted(column.name)} IS NOT NULL)"
    return Constraint(name, "c", f"CHECK ({expression})", (column.name,), expression)


def nullable_op(table: Table, column: Column, catalog: Catalog, nullable: bool) -> ops.AlterColumnOp:
    """Return what lets a column be NULL, or no longer."""
    schema = schema_of(table.name, catalog)
    return ops.AlterColumnOp(table.name.name, column.name, schema=schema, modify_nullable=nullable)


def loosen(way: Way, name: Name, column: Column) -> None:
    """Go on by letting a column take NULL; the way back holds nobody up."""
    table = way.at.tables[name]
    to = with_not_null(way, name, column.name, False)
    check = not_null_check(table, column)
    way.step(
        to,
        Part(
            [nullable_op(table, column, way.at, True)],
            [
                AutocommitOp(
                    [
                        not_valid_op(check, table, way.at),
                        validate_op(check, table, way.at),
                        nullable_op(table, column, way.at, False),
                        *constraints.not_null_name_ops(table, column.name, way.at),
                        constraints.drop_op(check, table, way.at),
                    ]
                ),
            ],
        ),
    )


def with_not_null(way: Way, name: Name, column: str, not_null: bool) -> Catalog:
    """Return the schema so far in which a column refuses NULL, or doesn't any more."""
    table = way.at.tables[name]
    columns = {each.name: each for each in table.columns}
    columns[column] = replace(columns[column], not_null=not_null)
    others = {
        each.name: each
        for each in table.constraints.values()
        if each.type != "n" or each.columns != (column,)
    }
    if not_null:
        source = way.change.after.tables[name]
        others |= {
            each.name: each
            for each in source.constraints.values()
            if each.type == "n" and each.columns == (column,)
        }
    return way.with_table(replace(table, columns=tuple(columns.values()), constraints=others))
