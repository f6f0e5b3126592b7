"""What is dropped although it has values: said before it happens, with their number.

The work is bounded: some rows are read, and what PostgreSQL knows of larger tables is an estimate.
"""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection, text

from plinth.apply.points import driver_session
from plinth.apply.session import codec
from plinth.listening import listening
from plinth.sql_text import lexed, plain

log = logging.getLogger(__name__)

READ = 10_000  # rows of a table, at most

_TABLE = """
    select n.nspname || '.' || c.relname, greatest(c.reltuples, 0), s.null_frac,
           row_security_active(c.oid)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    cross join (select cast(%(column)s as name) as name) wanted
    left join pg_stats s on s.schemaname = n.nspname and s.tablename = c.relname and s.attname = wanted.name
        and s.inherited = c.relhassubclass  -- a table with heirs has statistics of its own rows, and of all
    where c.oid = to_regclass(cast(%(table)s as text)) and c.relkind in ('r', 'p')
      and has_table_privilege(c.oid, 'select')
      and (wanted.name is null or exists (
          select from pg_attribute where attrelid = c.oid and attname = wanted.name))
    """
# A table that takes the place of one (`online.new_tables`): it has the same columns, and a later name.
_SUCCESSOR = """
    select n.oid::regclass::text
    from pg_class o join pg_class n on n.relnamespace = o.relnamespace and n.relkind = o.relkind
    where o.oid = to_regclass(cast(%(table)s as text))
      and n.relname ~ '_new(_\\d+)?$'
      and starts_with(o.relname, regexp_replace(n.relname, '_new(_\\d+)?$', ''))
      and not exists (
          select attname from pg_attribute where attrelid = o.oid and attnum > 0 and not attisdropped
          except select attname from pg_attribute where attrelid = n.oid and attnum > 0 and not attisdropped)
    order by n.oid desc limit 1
    """


@contextmanager
def announced(connection: Connection, is_unmeasured: Callable[[], bool]) -> Iterator[None]:
    """Say what is dropped as long as the block runs.

    Args:
        connection: the migrations'.
        is_unmeasured: whether what runs now loses wasn't measured before, as that of most downgrades is.
    """
    said: set[tuple[str, str | None]] = set()

    def before(conn: Connection, _cursor: object, statement: str, *_: object) -> None:
        if "drop" not in statement.lower() or not is_unmeasured():
            return
        for table, column in dropped(statement.replace("%%", "%")):  # as the driver makes of it
            if (table, column) not in said:
                said.add((table, column))
                words = _filled(conn, table, column)
                if words:
                    log.warning("This drops %s.", words)

    with listening((connection, "before_cursor_execute", before)):
        yield


def dropped(statement: str) -> Iterator[tuple[str, str | None]]:
    """Yield the tables, and columns of tables, that a statement names to be dropped, as SQL has them."""
    for each in lexed(statement).executed:
        tables = each.begins("drop table [if exists]")
        for table in tables.rest.elements() if tables else ():
            yield from ((found["name"], None) for found in [table.begins("<name>")] if found)
        altered = each.begins("alter table [if exists] [only] <table> [*]")
        for action in altered.rest.elements() if altered else ():
            column = action.begins("drop [column] [if exists] <name>")
            if altered and column and not action.begins("drop constraint"):
                yield altered["table"], column["name"]


def _filled(connection: Connection, table: str, column: str | None) -> str | None:
    """Return a dropped table or column with the number of its rows; None when it has none, or isn't there."""
    name = column and plain(column)
    found = _ask(connection, _TABLE, {"table": table, "column": name})
    if found is None:
        return None
    shown, estimate, null_fraction, is_hidden = found
    place = f"table {shown}" if name is None else f"column {shown}.{name}"
    if is_hidden:
        return f"{place} (row security hides how many rows)"
    some = f"select count(*), count({column or '*'}) from (select * from {table} limit {READ + 1}) r"  # noqa: S608
    read, rows = _ask(connection, some)
    successor = _ask(connection, _SUCCESSOR, {"table": table}) if column is None else None
    if successor:
        same = f"select count(*) from (select from {successor[0]} limit {READ + 1}) r"  # noqa: S608 - quoted
        if _ask(connection, same)[0] == read:
            return None
    about = ""
    if read > READ:
        share = 1 - (null_fraction or 0) if column else 1
        about, rows = ("about ", round(estimate * share)) if estimate else ("more than ", rows)
    return f"{place} ({about}{rows} row{'' if rows == 1 else 's'})" if rows else None


def _ask(connection: Connection, sql: str, given: dict[str, str | None] | None = None) -> Any:  # noqa: ANN401
    """Return a query's first row: by the driver itself, which nobody watches, where it is ours."""
    session = driver_session(connection)
    if isinstance(session, psycopg.Connection):
        return session.execute(sql.encode(codec(session)), given).fetchone()
    named = re.sub(r"%\((\w+)\)s", r":\1", sql.replace(":", r"\:"))
    return connection.execute(text(named), given or {}).one_or_none()
