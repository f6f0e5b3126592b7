"""What autogenerate asks before it writes: could this be a rename, are there rows that stand in the way."""

from collections.abc import Iterator

from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection, text

from plinth import settings
from plinth.autogenerate.enums import columns_of
from plinth.autogenerate.quoting import literal, quoted, shown, sql_name
from plinth.autogenerate.refusals import Refusal
from plinth.autogenerate.steps import Change
from plinth.catalog.picture import Catalog, Column, ColumnName, Name, Table

FEWEST_COLUMNS = 3  # of two tables that are so alike that one may be the other's new name


def said(context: AutogenContext, argument: str) -> set[str]:
    """Return the tables and columns that `-x drop=…` or `-x rewrite=…` names."""
    environment = context.migration_context.environment_context
    arguments = environment.get_x_argument() if environment else []
    return {value for name, _, value in (each.partition("=") for each in arguments) if name == argument}


def bound_waiting(connection: Connection) -> None:
    """Let the trial of renames wait no longer for a lock than a revision does, until the savepoint ends."""
    milliseconds = round(1000 * settings.configured().lock_timeout.total_seconds())
    connection.execute(text("select set_config('lock_timeout', :value, true)"), {"value": str(milliseconds)})


def ask(connection: Connection, change: Change, named: set[str]) -> None:
    """Return if nothing about a change is doubtful.

    Args:
        connection: the database, renames done.
        change: from what is there to what the models mean.
        named: what is meant to be dropped.

    Raises:
        Refusal: a drop could be a rename, or rows stand in the way.
    """
    _refuse_possible_renames(change, named)
    _refuse_nulls(connection, change)
    _refuse_used_values(connection, change)


def _refuse_possible_renames(change: Change, named: set[str]) -> None:
    before, after = change.before, change.after
    for name in sorted(set(before.tables) & set(after.tables)):
        for old, new in _alike(before.tables[name], after.tables[name]):
            place = f"{shown(name, before)}.{old.name}"
            if place in named or f"{name}.{old.name}" in named:
                continue
            raise Refusal(
                "possible rename",
                f"Column {place} goes and {new.name} comes, of the same type: that could be a rename, and "
                f'its values would be lost. If it is one, write info={{"renamed_from": "{old.name}"}} on '
                f"{new.name} in the model. If it isn't: -x drop={place}",
            )
    gone = [before.tables[name] for name in sorted(set(before.tables) - set(after.tables))]
    come = [after.tables[name] for name in sorted(set(after.tables) - set(before.tables))]
    for old_table in gone:
        place = shown(old_table.name, before)
        new_table = next((each for each in come if _shape(each) == _shape(old_table)), None)
        if new_table is None or len(old_table.columns) < FEWEST_COLUMNS:
            continue
        if place in named or str(old_table.name) in named:
            continue
        raise Refusal(
            "possible rename",
            f"Table {place} goes and {shown(new_table.name, after)} comes, with the same columns: that could "
            "be a rename, and its rows would be lost. If it is one, write "
            f'info={{"renamed_from": "{place}"}} '
            f"in the model's __table_args__. If it isn't: -x drop={place}",
        )


def _alike(before: Table, after: Table) -> Iterator[tuple[Column, Column]]:
    come = [each for each in after.columns if not before.column(each.name) and not each.generated]
    for old in before.columns:
        if after.column(old.name) is None and not old.generated and old.is_local:
            new = next((each for each in come if each.type == old.type), None)
            if new:
                yield old, new


def _shape(table: Table) -> set[tuple[str, str]]:
    return {(column.name, column.type) for column in table.columns}


def _refuse_nulls(connection: Connection, change: Change) -> None:
    for name, table in change.after.tables.items():
        old_table = change.before.tables.get(name)
        for column in table.columns if old_table else ():
            old = old_table.column(column.name) if old_table else None
            if old is None or old.not_null or not column.not_null or column.generated or column.identity:
                continue
            if ColumnName(name, column.name) in change.backfills or column.default is not None:
                continue
            place = f"{shown(name, change.after)}.{column.name}"
            if _any(connection, name, change.before, f"{quoted(column.name)} IS NULL"):
                raise Refusal(
                    "required",
                    f"Column {place} becomes required, and there are rows without a value. Say which one "
                    'they get: info={"backfill": "an SQL expression"} or server_default=… in the model.',
                )


def _refuse_used_values(connection: Connection, change: Change) -> None:
    for name, enum in change.before.enums.items():
        after = change.after.enums.get(name)
        removed = [value for value in enum.values if after and value not in after.values]
        if not removed:
            continue
        values = ", ".join(map(literal, removed))
        for table, column in columns_of(name, change.before):
            kept = change.after.tables.get(table.name)
            new = kept.column(column.name) if kept else None
            if new is None or new.named_type != name:
                continue
            condition = f"{quoted(column.name)}::text IN ({values})"
            if column.type.endswith("[]"):
                condition = f"{quoted(column.name)}::text[] && ARRAY[{values}]"
            if _any(connection, table.name, change.before, condition):
                raise Refusal(
                    "used enum value",
                    f"Values of the enum {shown(name, change.before)} are removed ({', '.join(removed)}), "
                    f"and rows of {shown(table.name, change.before)} have them in {column.name}. Give those "
                    "rows another value first (a revision by hand), or rename the value: "
                    f'info={{"enum_renames": {{"{removed[0]}": "…"}}}} on the column.',
                )


def _any(connection: Connection, table: Name, catalog: Catalog, condition: str) -> bool:
    query = f"SELECT EXISTS (SELECT FROM {sql_name(table, catalog)} WHERE {condition})"  # noqa: S608 - quoted names
    return bool(connection.exec_driver_sql(query.replace("%", "%%")).scalar_one())
