"""Foreign keys of tables that stand to tables that are new, and begin without a row to refer to."""

from collections.abc import Iterator

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from plinth.autogenerate.change.quoting import quoted, shown, sql_name
from plinth.autogenerate.change.refusals import refuse
from plinth.autogenerate.change.steps import Change
from plinth.autogenerate.compare.hidden import answer
from plinth.catalog.picture import ColumnName, Constraint, Table


def ask(connection: Connection, change: Change) -> None:
    """Ask about rows that would refer to a table which begins empty.

    Args:
        connection: the database, renames done.
        change: from what is there to what the models mean.

    Raises:
        Refusal: there are such, and refusals aren't collected.
    """
    for table, key, conditions in _to_new_tables(change):
        if _any(connection, change, table, conditions):
            mine, theirs = _names(change, table, key)
            refuse(
                "foreign key",
                f"Rows of {shown(table.name, change.after)} have values in {mine}, and {theirs}, to which "
                "its foreign key refers, is new and begins empty: the upgrade would stop at them. Take the "
                f"foreign key out of the model until {theirs} has its revision, and its rows "
                "(op.bulk_insert() behind its op.create_table(), for instance).",
            )


def cautions(change: Change) -> Iterator[str]:
    """Yield the same of rows that aren't here, and may be elsewhere."""
    for table, key, _ in _to_new_tables(change):
        mine, theirs = _names(change, table, key)
        yield (
            f"No row seen here has a value in {mine}; one that has, in production, stops the upgrade: "
            f"{theirs}, to which its foreign key refers, is new and begins empty. If there are such, put its "
            "rows in by hand: op.bulk_insert() behind its op.create_table(), for instance."
        )


def _to_new_tables(change: Change) -> Iterator[tuple[Table, Constraint, list[str]]]:
    """Yield the foreign keys, and what is true of a row that refers by them."""
    new = change.after.tables.keys() - change.before.tables.keys()
    for name, table in sorted(change.after.tables.items()):
        for key in table.constraints.values() if name not in new else ():
            if key.foreign_key is None or key.foreign_key.table not in new:
                continue
            conditions = [_has_value(change, ColumnName(name, each)) for each in key.columns]
            if key.is_local and key.validated and not key.is_not_enforced and None not in conditions:
                yield table, key, [each for each in conditions if each]


def _has_value(change: Change, place: ColumnName) -> str | None:
    """Return what is true of a row that will have a value in a column; None if none will."""
    old, new = change.before.column(*place), change.after.column(*place)
    fill = change.backfills.get(place)
    if new is None or (old is None and fill is None and not new.fills_itself):
        domain = new and change.after.domain_of(new)
        return "true" if domain and domain.default is not None else None
    if old is None:
        return "true" if fill is None else f"({fill}) IS NOT NULL"
    if new.not_null or new.generated:
        return "true"
    return f"({change.using(place, old, new) or quoted(place.column)}) IS NOT NULL"


def _names(change: Change, table: Table, key: Constraint) -> tuple[str, str]:
    """Return the columns, and the table to which they refer, as a message has them."""
    mine = shown(table.name, change.after)
    return ", ".join(f"{mine}.{each}" for each in key.columns), shown(key.reference.table, change.after)


def _any(connection: Connection, change: Change, table: Table, conditions: list[str]) -> bool:
    """Whether there is such a row; what its values are made of need not be there yet."""
    only = "" if table.partition_key else "ONLY "
    place = f"{only}{sql_name(table.name, change.before)}"
    query = f"SELECT EXISTS (SELECT FROM {place} WHERE {' AND '.join(conditions)})"  # noqa: S608 - quoted names
    try:
        return bool(answer(connection, shown(table.name, change.before), query))
    except DBAPIError:
        return False
