"""Columns that leave their names to others, and what stands on them although no revision knows of it.

A view goes by the column itself, and would read from then on what nobody writes any more.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from plinth.apply.points import driver_session
from plinth.errors import PlinthError
from plinth.listening import listening

_NAME = r'((?:"(?:[^"]|"")+"|[\w$]+)(?:\.(?:"(?:[^"]|"")+"|[\w$]+))?)'
_RENAME = re.compile(
    rf"\s*ALTER\s+TABLE\s+{_NAME}\s+RENAME\s+(?:COLUMN\s+)?{_NAME}\s+TO\s+{_NAME}\s*;?\s*", re.IGNORECASE
)
_STANDING = """
    select distinct pg_describe_object(classid, objid, 0)
    from pg_depend join pg_attribute on attrelid = refobjid and attnum = refobjsubid
    where refclassid = 'pg_class'::regclass and attrelid = to_regclass(%s::text)
      and %s::text in (attname::text, quote_ident(attname))
      and classid::regclass in ('pg_rewrite', 'pg_policy', 'pg_trigger', 'pg_proc', 'pg_publication_rel')
    union
    -- Of partitions all is asked: what their table has there has made way, but for NOT NULL of an identity.
    select distinct pg_describe_object(classid, objid, 0)
    from pg_partition_tree(to_regclass(%s::text)) join pg_attribute on attrelid = relid
    join pg_depend on refobjid = attrelid and refobjsubid = attnum
    left join pg_constraint k on k.oid = objid and classid = 'pg_constraint'::regclass
    where refclassid = 'pg_class'::regclass and level > 0
      and (k.contype = 'n' and k.coninhcount > 0) is not true
      and %s::text in (attname::text, quote_ident(attname))
      and classid::regclass in ('pg_rewrite', 'pg_policy', 'pg_trigger', 'pg_proc', 'pg_publication_rel',
                                'pg_attrdef', 'pg_class', 'pg_constraint')
    """


class LeftColumnError(PlinthError):
    """Something would go on reading a column that another one takes the place of."""


@contextmanager
def refused(connection: Connection) -> Iterator[None]:
    """Let no column take over the name of one that something still stands on, as long as the block runs.

    Args:
        connection: the migrations'.
    """
    left: dict[tuple[str, str], str] = {}

    def before(conn: Connection, _cursor: object, statement: str, *_: object) -> None:
        found = _RENAME.fullmatch(statement)
        if not found:
            return
        table, old, new = found.groups()
        if _is_exchange(new, left.get((table, new), ""), old):
            _refuse(conn, table, new, left[table, new])
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


def _refuse(connection: Connection, table: str, column: str, left: str) -> None:
    found = [each for (each,) in driver_session(connection).execute(_STANDING.encode(), (table, left) * 2)]
    if found:
        raise LeftColumnError(
            f"{', '.join(sorted(found))} stands on {table}.{column}, and no revision knows of it: it would "
            "go on reading the old column, which nothing writes any more. Drop it, run the same command "
            "again, and make it anew then."
        )
