"""A row in each table of a scratch database, as far as that is easy.

A revision that works through rows in batches does nothing where there are none, and would look harmless.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier, Literal

PASSES = 5  # a row needs those that its foreign keys point to: a chain of tables is filled link by link

_COLUMNS = """
    select c.oid, n.nspname, c.relname, a.attname, format_type(t.oid, a.atttypmod), b.typcategory,
           (select enumlabel from pg_enum where enumtypid = b.oid order by enumsortorder limit 1),
           a.attnotnull and not a.atthasdef and a.attidentity = '', a.atthasdef or a.attidentity <> ''
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_type t on t.oid = a.atttypid
    left join pg_type b on b.oid = case t.typtype when 'd' then t.typbasetype else t.oid end
    where c.oid = any(%s) and c.relkind in ('r', 'p')
    order by c.oid, a.attnum
    """
_NAMES = """
    select nspname, relname from pg_class c join pg_namespace n on n.oid = relnamespace where c.oid = any(%s)
    """
# By pg_type.typcategory; the same number everywhere, so that it is found where a foreign key points.
_VALUES = {"N": "1", "S": "1", "B": "true", "D": "2000-01-01", "T": "1 day", "A": "{}", "I": "127.0.0.1"}
_BY_TYPE = {
    "uuid": "00000000-0000-0000-0000-000000000001",
    "json": "{}",
    "jsonb": "{}",
    "bytea": "1",
    "xml": "<a/>",
}


@dataclass(frozen=True)
class _Column:
    name: str
    type: str
    category: str
    label: str | None
    is_required: bool
    is_made: bool  # by a default, an identity or an expression

    def value(self) -> str:
        return self.label or _BY_TYPE.get(self.type) or _VALUES.get(self.category, "1")


@dataclass(frozen=True)
class _Table:
    name: Identifier
    columns: list[_Column]


def fill(session: "psycopg.Connection[Any]", tables: Sequence[int]) -> list[int]:
    """Put a row into each table that has none; one that refuses stays empty.

    Args:
        session: in autocommit.
        tables: their oids.

    Returns:
        Those that got one.
    """
    found: dict[int, _Table] = {}
    for oid, schema, table, *column in session.execute(_COLUMNS, [list(tables)]):
        columns = found.setdefault(oid, _Table(Identifier(schema, table), [])).columns
        if column[0] is not None:
            columns.append(_Column(*column))
    empty = {oid: table for oid, table in found.items() if not _has_rows(session, table)}
    waiting = empty
    for _ in range(PASSES):
        # What a revision fills in is often what is NULL: at first only what must have a value gets one.
        refused = {
            oid: table
            for oid, table in waiting.items()
            if not _insert(session, table, whole=False) and not _insert(session, table, whole=True)
        }
        if len(refused) in {0, len(waiting)}:
            break
        waiting = refused
    return [oid for oid, table in empty.items() if _has_rows(session, table)]


def clear(session: "psycopg.Connection[Any]", tables: Sequence[int]) -> None:
    """Take the rows away again, where they still are."""
    if tables:
        names = session.execute(_NAMES, [list(tables)]).fetchall()
        listed = SQL(", ").join(Identifier(*name) for name in names)
        if names:
            with contextlib.suppress(psycopg.Error):
                session.execute(SQL("truncate {}").format(listed))


def _has_rows(session: "psycopg.Connection[Any]", table: _Table) -> bool:
    return session.execute(SQL("select 1 from {} limit 1").format(table.name)).fetchone() is not None


def _insert(session: "psycopg.Connection[Any]", table: _Table, *, whole: bool) -> bool:
    given = [column for column in table.columns if column.is_required or (whole and not column.is_made)]
    names = SQL(", ").join(Identifier(column.name) for column in given)
    values = SQL(", ").join(
        SQL("cast({} as {})").format(Literal(column.value()), SQL(column.type)) for column in given
    )
    statement = SQL("insert into {} ({}) values ({})").format(table.name, names, values)
    try:
        session.execute(statement if given else SQL("insert into {} default values").format(table.name))
    except psycopg.Error:
        return False
    return True
