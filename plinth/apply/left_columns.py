"""Columns that leave their names to others, and what they have although no revision knows of it.

A view goes by the column itself, and would read from then on what nobody writes any more; an index or check
would say nothing about the new values. Comments and settings go over to the column that takes the place.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection

from plinth.apply.points import driver_session
from plinth.apply.session import codec
from plinth.errors import PlinthError
from plinth.listening import listening
from plinth.sql_text import IDENTIFIER

log = logging.getLogger(__name__)

_NAME = rf"({IDENTIFIER}(?:\.{IDENTIFIER})?)"
_RENAME = re.compile(
    rf"\s*ALTER\s+TABLE\s+{_NAME}\s+RENAME\s+(?:COLUMN\s+)?{_NAME}\s+TO\s+{_NAME}\s*;?\s*", re.IGNORECASE
)
# The table with its partitions, in each of which the columns are.
_TABLES = """
    with tables as (
        select to_regclass(%(table)s::text)::oid id
        union select relid from pg_partition_tree(to_regclass(%(table)s::text)))
    """
# What revisions know of has made way by now, but for an identity, with its sequence and NOT NULL.
_STANDING = f"""{_TABLES},
    old as (
        select attrelid, attnum, attnotnull and attidentity = '' is_required
        from tables join pg_attribute on attrelid = id
        where %(left)s::text in (attname::text, quote_ident(attname)))
    select pg_describe_object(classid, objid, 0)
    from old join pg_depend on refobjid = attrelid and refobjsubid = attnum
    left join pg_class c on c.oid = objid and classid = 'pg_class'::regclass
    left join pg_constraint k on k.oid = objid and classid = 'pg_constraint'::regclass
    where refclassid = 'pg_class'::regclass and relkind is distinct from 'S' and contype is distinct from 'n'
      and classid::regclass in ('pg_rewrite', 'pg_policy', 'pg_trigger', 'pg_proc', 'pg_publication_rel',
                                'pg_attrdef', 'pg_class', 'pg_constraint', 'pg_statistic_ext')
    union select format('NOT NULL of table %%s', attrelid::regclass) from old where is_required
    union select format('table %%s, which inherits from it,', c.oid::regclass)
    from old join pg_inherits on inhparent = attrelid join pg_class c on c.oid = inhrelid
    where not relispartition
    order by 1
    """  # noqa: S608 - a constant
# Autogenerate gives no column that has such settings another type in this way, and says if a comment goes.
_CARRIED = f"""{_TABLES},
    columns as (
        select id, col_description(id, attnum) said, attname, coalesce(attstattarget, -1) target, attoptions,
               nullif(attstorage, typstorage) storage, typstorage <> 'p' is_long, attcompression, wanted
        from tables join pg_attribute on attrelid = id join pg_type t on t.oid = atttypid,
            unnest(array[%(left)s, %(taker)s]::text[]) wanted
        where wanted in (attname::text, quote_ident(attname)))
    select format(statement, new.id::regclass, new.attname, what)
    from columns old join columns new on new.id = old.id, lateral (values
        ('COMMENT ON COLUMN %%s.%%I IS %%L', case when new.said is null then old.said end),
        ('ALTER TABLE ONLY %%s ALTER COLUMN %%I SET STATISTICS %%s',
         case when new.target < 0 and old.target >= 0 then old.target::text end),
        ('ALTER TABLE ONLY %%s ALTER COLUMN %%I SET (%%s)',
         case when new.attoptions is null then array_to_string(old.attoptions, ', ') end),
        ('ALTER TABLE ONLY %%s ALTER COLUMN %%I SET STORAGE %%s',
         case when new.is_long and new.storage is null then case old.storage
              when 'p' then 'PLAIN' when 'e' then 'EXTERNAL' when 'm' then 'MAIN' when 'x' then 'EXTENDED'
         end end),
        ('ALTER TABLE ONLY %%s ALTER COLUMN %%I SET COMPRESSION %%s',
         case when new.is_long and new.attcompression = '' then case old.attcompression
              when 'p' then 'pglz' when 'l' then 'lz4'
         end end)
    ) each (statement, what)
    where old.wanted = %(left)s::text and new.wanted = %(taker)s::text and what is not null
    order by 1
    """  # noqa: S608 - a constant


class LeftColumnError(PlinthError):
    """Something would go on reading a column that another one takes the place of."""


@contextmanager
def looked_after(connection: Connection) -> Iterator[None]:
    """Let no column take over the name of one that something still stands on, as long as the block runs.

    One that takes it over gets what the other has by itself.

    Args:
        connection: the migrations'.
    """
    left: dict[tuple[str, str], str] = {}

    def before(conn: Connection, _cursor: object, statement: str, *_: object) -> None:
        found = _RENAME.fullmatch(statement)
        if not found:
            return
        table, old, new = (each.replace("%%", "%") for each in found.groups())  # as the driver makes of it
        if _is_exchange(new, left.get((table, new), ""), old):
            session = driver_session(conn)
            _refuse(session, table, new, left[table, new])
            _carry_over(session, table, left[table, new], old)
        left[table, old] = new

    def forget(_: Connection) -> None:
        left.clear()

    with listening(
        (connection, "before_cursor_execute", before),
        (connection, "commit", forget),
        (connection, "rollback", forget),
    ):
        yield


def _is_exchange(column: str, left: str, taker: str) -> bool:
    """Whether a column takes the place of another one: two that swap their names don't."""
    return {ending(column, left), ending(column, taker)} == {"old", "new"}


def ending(column: str, called: str) -> str | None:
    """Return which of the columns that take turns under a name one is, "old" or "new" (`online.exchange`)."""
    found = re.fullmatch(r'"?(.+)_(old|new)(?:_\d+)?"?', called)
    return found[2] if found and column.strip('"').startswith(found[1]) else None


def _refuse(session: "psycopg.Connection[Any]", table: str, column: str, left: str) -> None:
    standing = session.execute(_STANDING.encode(), {"table": table, "left": left}).fetchall()
    if standing:
        names = ", ".join(name for (name,) in standing)
        raise LeftColumnError(
            f"{names} stands on {table}.{column}, and no revision knows of it: it would stay with the old "
            "column, which nothing writes any more. Drop it, run the same command again, and make it anew "
            "then."
        )


def _carry_over(session: "psycopg.Connection[Any]", table: str, left: str, taker: str) -> None:
    given = {"table": table, "left": left, "taker": taker}
    for (statement,) in session.execute(_CARRIED.encode(), given).fetchall():
        session.execute(statement.encode(codec(session)))
        log.info("What the old column has goes over to the new one: %s", statement)
