"""What a downgrade would lose: found by running it in a transaction that is rolled back.

The revisions' text says little about it: a hand-written one drops what it likes, and CASCADE more. So the
catalog is compared before and after, and what is gone is counted once it is back.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from alembic.runtime.migration import MigrationContext, MigrationStep
from psycopg.sql import Identifier
from sqlalchemy import Connection, event

COUNTED = 1_000_000  # rows; of larger tables PostgreSQL's own estimate is shown

_COLUMNS = """
    select c.oid, a.attnum, n.nspname, c.relname, a.attname, greatest(c.reltuples, 0)
    from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'f') and c.relpersistence <> 't' and a.attnum > 0 and not a.attisdropped
      and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'plinth')
    """


@dataclass(frozen=True)
class Column:
    """A column as it stands in the catalog."""

    table: int
    number: int
    schema: str
    table_name: str
    name: str
    estimate: float

    @property
    def names(self) -> tuple[str, str, str]:
        """The names that lead to it."""
        return self.schema, self.table_name, self.name


@dataclass(frozen=True)
class Loss:
    """A table, or a column of one that stays, whose values would be gone.

    Args:
        name: as SQL has it.
        is_table: whether the whole table goes.
        rows: how many rows have a value there.
        exact: whether they were counted.
    """

    name: str
    is_table: bool
    rows: int
    exact: bool

    def __str__(self) -> str:
        """Return it as a message has it."""
        about = "" if self.exact else "about "
        kind = "table" if self.is_table else "column"
        return f"{kind} {self.name} ({about}{self.rows} row{'' if self.rows == 1 else 's'})"


class _Unmeasurable(Exception):  # noqa: N818 - it ends the measuring and is no error
    """The revision leaves its transaction."""


def measure(
    context: MigrationContext,
    connection: Connection,
    steps: Sequence[MigrationStep],
    begin: Callable[[MigrationStep], None],
) -> tuple[list[Loss], int]:
    """Return what a run of downgrades would lose; whatever it does is rolled back.

    Args:
        context: Alembic's.
        connection: its connection, between two transactions.
        steps: the downgrades, in order.
        begin: is told of each before it runs.

    Returns:
        The losses, and how many of the steps were measured: those before the first online one.
    """
    measured = 0
    try:
        before = _columns(connection)
        with _no_way_out(context, connection):
            for step in steps:
                begin(step)
                with connection.begin_nested():
                    step.migration_fn()
                measured += 1
    except _Unmeasurable:
        pass
    try:
        after = _columns(connection)
        suspects = _suspects(before, after)
        left = {column: _count(connection, column)[0] for column in suspects if suspects[column]}
    finally:
        connection.rollback()
    losses = list(_losses(connection, suspects, left, {column.table for column in after}))
    connection.rollback()
    return losses, measured


def _columns(connection: Connection) -> list[Column]:
    return [Column(*row) for row in connection.exec_driver_sql(_COLUMNS.replace("%", "%%"))]


def _suspects(before: Sequence[Column], after: Sequence[Column]) -> dict[Column, bool]:
    """Return the columns that are gone, each with whether another one has taken over its name."""
    kept = {(column.table, column.number) for column in after}
    names = {column.names for column in after}
    return {column: column.names in names for column in before if (column.table, column.number) not in kept}


def _losses(
    connection: Connection, suspects: dict[Column, bool], left: dict[Column, int], tables: set[int]
) -> Iterator[Loss]:
    seen: set[int] = set()
    for column, replaced in suspects.items():
        whole = column.table not in tables
        if whole and not replaced:
            if column.table in seen:
                continue
            seen.add(column.table)
            rows, exact = _count(connection, column, whole=True)
            name = Identifier(column.schema, column.table_name).as_string()
        else:
            rows, exact = _count(connection, column)
            rows -= left.get(column, 0)
            name = Identifier(column.schema, column.table_name, column.name).as_string()
        if rows > 0:
            yield Loss(name.replace('"', ""), whole and not replaced, rows, exact)


def _count(connection: Connection, column: Column, *, whole: bool = False) -> tuple[int, bool]:
    if column.estimate > COUNTED:
        return round(column.estimate), False
    what = "*" if whole else Identifier(column.name).as_string()
    table = Identifier(column.schema, column.table_name).as_string()
    statement = f"select count({what}) from {table}".replace("%", "%%")  # noqa: S608 - quoted names
    return int(connection.exec_driver_sql(statement).scalar_one()), True


@contextmanager
def _no_way_out(context: MigrationContext, connection: Connection) -> Iterator[None]:
    """Keep a revision from committing."""

    def refuse(*_: object) -> None:
        raise _Unmeasurable

    with instead_of_autocommit(context, refuse):
        event.listen(connection, "commit", refuse)
        try:
            yield
        finally:
            event.remove(connection, "commit", refuse)


@contextmanager
def instead_of_autocommit(context: MigrationContext, refuse: Callable[[], None]) -> Iterator[None]:
    """Call `refuse`, which raises, when a revision asks this context to leave its transaction."""

    @contextmanager
    def autocommit_block() -> Iterator[None]:
        refuse()
        yield

    # Alembic has no hook here, and fails on an assertion inside a transaction that isn't its own.
    context.autocommit_block = autocommit_block  # type: ignore[method-assign]
    try:
        yield
    finally:
        del context.autocommit_block
