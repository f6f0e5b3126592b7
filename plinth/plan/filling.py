"""A row in each table of a scratch database, as far as that is easy.

A revision that works through rows in batches does nothing where there are none, and would look harmless.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier, Literal

PASSES = 5  # a row needs those that its foreign keys point to: a chain of tables is filled link by link

_COLUMNS = """
    select n.nspname, c.relname, a.attname, format_type(t.oid, a.atttypmod), b.typcategory,
           (select enumlabel from pg_enum where enumtypid = b.oid order by enumsortorder limit 1),
           a.attnotnull and not a.atthasdef and a.attidentity = ''
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_type t on t.oid = a.atttypid
    left join pg_type b on b.oid = case t.typtype when 'd' then t.typbasetype else t.oid end
    where c.oid = any(%s) and c.relkind in ('r', 'p')
    order by c.oid, a.attnum
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

    def value(self) -> str:
        return self.label or _BY_TYPE.get(self.type) or _VALUES.get(self.category, "1")


def fill(session: "psycopg.Connection[Any]", tables: Sequence[int]) -> None:
    """Put a row into each table that has none; one that refuses stays empty.

    Args:
        session: in autocommit.
        tables: their oids.
    """
    found: dict[tuple[str, str], list[_Column]] = {}
    for schema, table, *column in session.execute(_COLUMNS, [list(tables)]):
        columns = found.setdefault((schema, table), [])
        if column[0] is not None:
            columns.append(_Column(*column))
    waiting = [table for table in found if not _has_rows(session, table)]
    for _ in range(PASSES):
        refused = [table for table in waiting if not _insert(session, table, found[table])]
        if len(refused) in {0, len(waiting)}:
            return
        waiting = refused


def _has_rows(session: "psycopg.Connection[Any]", table: tuple[str, str]) -> bool:
    return session.execute(SQL("select 1 from {} limit 1").format(Identifier(*table))).fetchone() is not None


def _insert(session: "psycopg.Connection[Any]", table: tuple[str, str], columns: Sequence[_Column]) -> bool:
    required = [column for column in columns if column.is_required]
    names = SQL(", ").join(Identifier(column.name) for column in required)
    values = SQL(", ").join(
        SQL("cast({} as {})").format(Literal(column.value()), SQL(column.type)) for column in required
    )
    statement = SQL("insert into {} ({}) values ({})").format(Identifier(*table), names, values)
    try:
        session.execute(
            statement if required else SQL("insert into {} default values").format(Identifier(*table))
        )
    except psycopg.Error:
        return False
    return True
