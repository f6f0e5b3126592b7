"""What autogenerate asks before it writes: could this be a rename, are there rows that stand in the way."""

import shlex
from contextlib import AbstractContextManager

from alembic.autogenerate.api import AutogenContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from plinth import settings
from plinth.apply.session import SEES_ALL_ROWS
from plinth.autogenerate.change import refusals
from plinth.autogenerate.change.heirs import with_inherited
from plinth.autogenerate.change.quoting import literal, quoted, shown, sql_name
from plinth.autogenerate.change.refusals import refuse
from plinth.autogenerate.change.steps import Change
from plinth.autogenerate.compare import conversions, filling, possible_renames, referring
from plinth.autogenerate.compare.hidden import answer
from plinth.autogenerate.objects.enums import columns_of
from plinth.catalog.picture import Catalog, ColumnName, Name


def said(context: AutogenContext, argument: str) -> set[str]:
    """Return the tables and columns that `-x drop=…` or `-x rewrite=…` names."""
    environment = context.migration_context.environment_context
    arguments = environment.get_x_argument() if environment else []
    return {value for name, _, value in (each.partition("=") for each in arguments) if name == argument}


def is_online(context: MigrationContext) -> bool:
    """Whether revisions are to be online: `-x online=no`, or else the setting.

    Not where one file is for several databases: its `env.py` holds a transaction on each until all are done.
    """
    if is_one_of_several(context):
        return False
    environment = context.environment_context
    arguments = environment.get_x_argument(as_dictionary=True) if environment else {}
    word = arguments.get("online")
    return settings.configured().online if word is None else settings.yes_or_no(word, "-x online")


def is_one_of_several(context: MigrationContext) -> bool:
    """Whether a revision has functions for several databases (Alembic's template multidb)."""
    return str(context.opts.get("upgrade_token", "upgrades")) != "upgrades"


def prepare(connection: Connection) -> None:
    """Let the trial of renames wait no longer for a lock than a revision does, until the savepoint ends.

    What row security hides from questions is an error until then.
    """
    milliseconds = round(1000 * settings.configured().lock_timeout.total_seconds())
    for name, value in (("lock_timeout", str(milliseconds)), SEES_ALL_ROWS):
        connection.execute(text("select set_config(:name, :value, true)"), {"name": name, "value": value})


def collected(context: AutogenContext) -> AbstractContextManager[None]:
    """Collect the refusals inside, and refuse them together, with the command that answers all.

    Raises:
        Refusal: there is one.
        Refusals: there are several.
    """
    environment = context.migration_context.environment_context
    given = list(environment.get_x_argument()) if environment else []
    revision = context.opts.get("revision_context")
    message = revision.command_args.get("message") if revision else None
    tail = f" -m {shlex.quote(message)}" if message else ""
    return refusals.collected(given, f"revision --autogenerate{tail}")


def ask(connection: Connection, change: Change, named: set[str]) -> None:
    """Ask about what is doubtful in a change.

    Args:
        connection: the database, renames done.
        change: from what is there to what the models mean.
        named: what is meant to be dropped.

    Raises:
        Refusal: a drop could be a rename, or rows stand in the way, and refusals aren't collected.
    """
    possible_renames.ask(change, named)
    conversions.ask(connection, change)
    filling.ask(change)
    referring.ask(connection, change)
    _refuse_nulls(connection, change)
    _refuse_used_values(connection, change)


def _refuse_nulls(connection: Connection, change: Change) -> None:
    for name, table in change.after.tables.items():
        for column in table.columns:
            old = change.before.column(name, column.name)
            old = old and with_inherited(change, name, old)  # filled with that of the table above
            if old is None or old.not_null or not column.not_null or column.generated or column.identity:
                continue
            if ColumnName(name, column.name) in change.backfills or column.default is not None:
                continue
            place = f"{shown(name, change.after)}.{column.name}"
            if _any(connection, name, change.before, f"{quoted(column.name)} IS NULL"):
                refuse(
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
            new = change.after.column(table.name, column.name)
            if new is None or new.named_type != name:
                continue
            condition = f"{quoted(column.name)}::text IN ({values})"
            if column.type.endswith("[]"):
                condition = f"{quoted(column.name)}::text[] && ARRAY[{values}]"
            if _any(connection, table.name, change.before, condition):
                refuse(
                    "used enum value",
                    f"Values of the enum {shown(name, change.before)} are removed "
                    f"({', '.join(removed)}), "
                    f"and rows of {shown(table.name, change.before)} have them in {column.name}. Give "
                    "those rows another value first (an UPDATE, in a revision by hand: that also lets two "
                    "values become one), or rename the value to one that isn't there yet: "
                    f'info={{"enum_renames": {{"{removed[0]}": "…"}}}} on the column.',
                )


def _any(connection: Connection, table: Name, catalog: Catalog, condition: str) -> bool:
    query = f"SELECT EXISTS (SELECT FROM {sql_name(table, catalog)} WHERE {condition})"  # noqa: S608 - quoted names
    return bool(answer(connection, shown(table, catalog), query))
