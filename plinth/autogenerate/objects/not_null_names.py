"""Names of NOT NULL constraints, which PostgreSQL has since 18."""

from collections.abc import Iterator
from dataclasses import replace

from alembic.operations import ops

from plinth.autogenerate.change.heirs import is_constraint_inherited
from plinth.autogenerate.change.quoting import (
    do_block,
    dollar_quoted,
    literal,
    made_name,
    quoted,
    sql_name,
)
from plinth.autogenerate.change.refusals import refuse
from plinth.autogenerate.change.steps import (
    Change,
    SqlOp,
    Step,
)
from plinth.autogenerate.objects.constraints import comment_ops
from plinth.catalog.picture import Catalog, Table


def not_null_names(change: Change) -> Iterator[Step]:
    """Yield what gives new NOT NULL constraints names that aren't the usual ones (PostgreSQL 18).

    Raises:
        Refusal: one isn't valid for all rows.
    """
    for name, table in change.after.tables.items():
        before = change.before.tables.get(name)
        known = (
            {each.columns for each in before.constraints.values() if each.type == "n"} if before else set()
        )
        for each in table.constraints.values():
            if each.type != "n" or each.columns in known:
                continue
            if is_constraint_inherited(change, name, each, change.after):
                continue
            if not each.validated:
                refuse(
                    "not null",
                    f"Constraint {each.name} of {name} is NOT VALID: add it in a revision by hand.",
                )
                continue
            own = replace(table, constraints={each.name: replace(each, is_local=True)})
            for op in not_null_name_ops(own, each.columns[0], change.after):
                yield Step(op, "comment")


def not_null_name_ops(table: Table, column: str, catalog: Catalog) -> list[ops.MigrateOperation]:
    """Return what gives a column's new NOT NULL constraint its name, if it hasn't got it yet, and a comment.

    It may be the usual one, and before PostgreSQL 18 there is none.
    """
    usual = _usual_name(table, column)
    place = sql_name(table.name, catalog)
    own = [
        each
        for each in table.constraints.values()
        if each.type == "n" and each.columns == (column,) and each.is_local
    ]
    said = [op for each in own for op in comment_ops(each, table, catalog)]
    if any(_usual_name(table, each.name) == usual for each in table.columns if each.name != column):
        return [*(named_by_column(each.name, table, column, place) for each in own), *said]
    there = (
        f"SELECT FROM pg_constraint WHERE conname = {literal(usual)} "
        f"AND conrelid = {literal(place)}::regclass"
    )
    rename = f"IF EXISTS ({there}) THEN ALTER TABLE {place} RENAME CONSTRAINT {quoted(usual)}"
    return [
        *(
            SqlOp(
                f"DO {dollar_quoted(f' BEGIN {rename} TO {quoted(each.name)}; END IF; END ')}",
                None,
                table.name,
            )
            for each in own
            if each.name != usual
        ),
        *said,
    ]


def _usual_name(table: Table, column: str) -> str:
    return made_name(table.name.name, column, "not_null")


def named_by_column(name: str, table: Table, column: str, place: str) -> SqlOp:
    """Return what gives a NOT NULL constraint its name, which one of a column that begins alike may have.

    Args:
        name: the one that it gets.
        table: whose.
        column: on which it is, whatever it is called.
        place: the table's name as SQL.
    """
    of_table = f"conrelid = {literal(place)}::regclass"

    def renamed(old: str, new: str) -> str:
        alter = literal(f"ALTER TABLE {place.replace('%', '%%')} RENAME CONSTRAINT %I TO %I")
        return f"EXECUTE format({alter}, {old}, {new});"

    wanted, aside = literal(name), f"md5({literal(name)})"
    lines = [
        "DECLARE own name; BEGIN",
        "    SELECT conname INTO own FROM pg_constraint JOIN pg_attribute",
        f"        ON attrelid = conrelid AND attnum = conkey[1] WHERE contype = 'n' AND {of_table}",
        f"        AND attname = {literal(column)};",
        f"    IF own IS NULL OR own = {wanted} THEN NULL;",
        f"    ELSIF EXISTS (SELECT FROM pg_constraint WHERE conname = {wanted} AND {of_table}) THEN",
        f"        {renamed(wanted, aside)}",
        f"        {renamed('own', wanted)}",
        f"        {renamed(aside, 'own')}",
        "    ELSE",
        f"        {renamed('own', wanted)}",
        "    END IF;",
    ]
    return SqlOp(do_block(lines), None, table.name)
