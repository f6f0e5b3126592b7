"""Columns that leave their names to others, and what they have although no revision knows of it.

A view goes by the column itself, and would read from then on what nobody writes any more; an index or check
would say nothing about the new values. Comments, settings and sequences go over to the column that takes the
place. So it is where a column was kept beside another one of another name, and goes (`keep_old`).
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Connection

from plinth.apply.points import driver_session
from plinth.apply.session import codec
from plinth.errors import PlinthError
from plinth.listening import listening
from plinth.sql_text import lexed, parts, plain

log = logging.getLogger(__name__)

_ALTER = "alter table [if exists] [only] <table>"
_KEPT = "_kept"  # behind the names of triggers: `online.kept_names`
# The table with its partitions, in each of which the columns are.
_TABLES = """
    with tables as (
        select to_regclass(%(table)s::text)::oid id
        union select relid from pg_partition_tree(to_regclass(%(table)s::text)))
    """
# What revisions know of has made way by now, but for an identity, with its sequence and NOT NULL.
_STANDING = f"""{_TABLES},
    old as (
        select attrelid, attnum, attnotnull and attidentity = '' is_required, attacl
        from tables join pg_attribute on attrelid = id
        where attname = %(left)s::text)
    select pg_describe_object(classid, objid, 0)
    from old join pg_depend on refobjid = attrelid and refobjsubid = attnum
    left join pg_class c on c.oid = objid and classid = 'pg_class'::regclass
    left join pg_constraint k on k.oid = objid and classid = 'pg_constraint'::regclass
    where refclassid = 'pg_class'::regclass and contype is distinct from 'n'
      and (relkind is distinct from 'S' or %(goes)s)
      and not (%(goes)s and exists (  -- the one of the other name has the same default
          select from pg_attrdef d join pg_attrdef o on o.adrelid = d.adrelid and o.adnum <> d.adnum
          where d.oid = pg_depend.objid and classid = 'pg_attrdef'::regclass
            and pg_get_expr(o.adbin, o.adrelid) = pg_get_expr(d.adbin, d.adrelid)))
      and classid::regclass in ('pg_rewrite', 'pg_policy', 'pg_trigger', 'pg_proc', 'pg_publication_rel',
                                'pg_attrdef', 'pg_class', 'pg_constraint', 'pg_statistic_ext')
    union select format('NOT NULL of table %%s', attrelid::regclass) from old where is_required
    union select format('a privilege on a column of table %%s', attrelid::regclass)
    from old where attacl is not null and %(goes)s
    union select format('table %%s, which inherits from it,', c.oid::regclass)
    from old join pg_inherits on inhparent = attrelid join pg_class c on c.oid = inhrelid
    where not relispartition
    order by 1
    """  # noqa: S608 - a constant
# Triggers and rules that revisions know are dropped before their view.
_ON_VIEW = """
    with view as (select to_regclass(%s) id)
    select 'trigger ' || quote_ident(tgname) from view join pg_trigger on tgrelid = id
    union select 'rule ' || quote_ident(rulename) from view join pg_rewrite on ev_class = id
    where rulename <> '_RETURN'
    """
_SAID_OF_VIEW = """
    with view as (select oid, reloptions from pg_class where oid = to_regclass(%s))
    select 'its comment ' || quote_literal(obj_description(oid, 'pg_class')) from view
    union select reloptions::text from view
    union select 'index ' || indexrelid::regclass from view join pg_index on indrelid = oid
    """
_TRIGGER = """
    select tgenabled::text, pg_get_triggerdef(oid) from pg_trigger
    where tgrelid = to_regclass(%s) and tgname = %s
    """
_STATES = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
_FILLS = "plinth.fills"  # in the condition of a trigger, as long as columns are filled (`objects.triggers`)
_HEIRS = "select inhrelid::regclass::text from pg_inherits where inhparent = to_regclass(%s) order by 1"
_SEQUENCES = f"""{_TABLES}
    select format('ALTER SEQUENCE %%s OWNED BY %%s.%%I', objid::regclass, id::regclass, new.attname)
    from tables join pg_attribute old on old.attrelid = id join pg_attribute new on new.attrelid = id
    join pg_depend on refclassid = 'pg_class'::regclass and refobjid = id and refobjsubid = old.attnum
         and classid = 'pg_class'::regclass and deptype = 'a'
    join pg_class c on c.oid = objid and relkind = 'S'
    where old.attname = %(left)s::text and new.attname = %(taker)s::text
    order by 1
    """  # noqa: S608 - a constant
# Autogenerate gives no column that has such settings another type in this way, and says if a comment goes.
_CARRIED = f"""{_TABLES},
    columns as (
        select id, col_description(id, attnum) said, attname, coalesce(attstattarget, -1) target, attoptions,
               nullif(attstorage, typstorage) storage, typstorage <> 'p' is_long, attcompression, wanted
        from tables join pg_attribute on attrelid = id join pg_type t on t.oid = atttypid,
            unnest(array[%(left)s, %(taker)s]::text[]) wanted
        where attname = wanted)
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
    left: dict[tuple[str, ...], str] = {}
    kept: set[int] = set()
    exchanged: list[tuple[str, str, str]] = []
    states: dict[tuple[str, str], tuple[str, str]] = {}
    views: dict[str, _View] = {}
    tables: set[str] = set()

    def before(conn: Connection, _cursor: object, statement: str, *_: object) -> None:
        text = lexed(statement.replace("%%", "%"))  # as the driver makes of it
        if found := text.matches(f"{_ALTER} rename [column] <old> to <new>"):
            table, old, new = found["table"], found["old"], found["new"]
            if (aside := left.get((*parts(table), plain(new)))) and _is_exchange(new, aside, old):
                session = driver_session(conn)
                _refuse(session, table, new, aside)
                _carry_over(session, _CARRIED, table, aside, old)
                exchanged.append((table, aside, new))
                tables.add(table)
            left[*parts(table), plain(old)] = new
        elif found := text.begins("create trigger <name> before insert or update on <table>"):
            if plain(found["name"]).endswith(_KEPT):
                _refuse_heirs(driver_session(conn), found["table"])
        elif found := text.matches("drop [materialized] view [if exists] <view>"):
            views[found["view"]] = _View.read(driver_session(conn), found["view"])
        elif found := text.matches("drop trigger [if exists] <name> on <table>"):
            name, table = found["name"], found["table"]
            if plain(name).endswith(_KEPT):
                kept.add(_oid(driver_session(conn), table))
            if was := _state(driver_session(conn), table, name):
                states[table, name] = was
        elif (kept or exchanged) and (found := text.matches(f"{_ALTER} drop [column] [if exists] <column>")):
            hand_on(conn)
            if _oid(driver_session(conn), found["table"]) in kept:
                _refuse(driver_session(conn), found["table"], found["column"])

    def hand_on(conn: Connection) -> None:
        for each in exchanged:  # after the revision, which gives its own to the new column itself
            _carry_over(driver_session(conn), _SEQUENCES, *each)
        exchanged.clear()

    def settle(conn: Connection) -> None:
        hand_on(conn)
        for (table, name), was in states.items():
            _carry_state(driver_session(conn), table, name, was)
        for view, had in views.items() if tables else ():
            had.refuse_loss(driver_session(conn), view)
        forget(conn)

    def forget(_: Connection) -> None:
        left.clear()
        kept.clear()
        exchanged.clear()
        states.clear()
        views.clear()
        tables.clear()

    with listening(
        (connection, "before_cursor_execute", before),
        (connection, "commit", settle),
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


def _oid(session: "psycopg.Connection[Any]", table: str) -> int:
    row = session.execute("select to_regclass(%s)::oid", (table,)).fetchone()
    return row[0] or 0 if row else 0


@dataclass(frozen=True)
class _View:
    """What a view has.

    Args:
        parts: triggers and rules.
        said: its comment, its options and indexes.
    """

    parts: frozenset[str]
    said: frozenset[str]

    @classmethod
    def read(cls, session: "psycopg.Connection[Any]", name: str) -> "_View":
        """Return what the view of a name has; nothing, if there is none."""
        parts = frozenset(part for (part,) in session.execute(_ON_VIEW, (name,)))
        return cls(parts, frozenset(said for (said,) in session.execute(_SAID_OF_VIEW, (name,)) if said))

    def refuse_loss(self, session: "psycopg.Connection[Any]", name: str) -> None:
        """Return if a view that is made anew, as columns exchange their names, has what it had.

        What a revision may have taken away from it is named.
        """
        row = session.execute("select to_regclass(%s) is not null", (name,)).fetchone()
        if not row or not row[0]:
            return
        now = _View.read(session, name)
        if lost := sorted(self.parts - now.parts):
            raise LeftColumnError(
                f"{', '.join(lost)} on view {name}: no revision knows of it, and it would go, as the view is "
                "made anew. Drop it, run the same command again, and make it anew then."
            )
        if gone := sorted(self.said - now.said):
            log.warning("The view %s is made anew, and had this: %s", name, "; ".join(gone))


def _state(session: "psycopg.Connection[Any]", table: str, trigger: str) -> tuple[str, str] | None:
    """Return whether a trigger fires, as pg_trigger has it, and its definition."""
    row = session.execute(_TRIGGER, (table, plain(trigger))).fetchone()
    return (row[0], row[1]) if row else None


def _carry_state(session: "psycopg.Connection[Any]", table: str, trigger: str, was: tuple[str, str]) -> None:
    """Let a trigger that is made anew around the filling of columns fire, or not, as it did."""
    now = _state(session, table, trigger)
    if now and now[0] == "O" and was[0] in _STATES and any(_FILLS in each[1] for each in (now, was)):
        statement = f"ALTER TABLE {table} {_STATES[was[0]]} TRIGGER {trigger}"
        session.execute(statement.encode(codec(session)))
        log.info("A trigger that is made anew fires as it did: %s", statement)


def _refuse(session: "psycopg.Connection[Any]", table: str, column: str, left: str | None = None) -> None:
    """Return if nothing stands on a column that goes, or has left its name to another one."""
    given = {"table": table, "left": plain(left or column), "goes": left is None}
    standing = session.execute(_STANDING.encode(), given).fetchall()
    if standing:
        names = ", ".join(name for (name,) in standing)
        what = (
            "go with it. Make it on the column of the other name, drop it, and run the same command again."
            if left is None
            else "stay with the old column, which nothing writes any more. Drop it, run the same command "
            "again, and make it anew then; or let the revision itself drop it before it renames the column."
        )
        raise LeftColumnError(
            f"{names} stands on {table}.{column}, and no revision knows of it: it would {what}"
        )


def _refuse_heirs(session: "psycopg.Connection[Any]", table: str) -> None:
    heirs = session.execute(_HEIRS, (table,)).fetchall()
    if heirs:
        names = ", ".join(name for (name,) in heirs)
        raise LeftColumnError(
            f"{names} inherits from {table}, and no revision knows of it: no trigger would keep its columns "
            "equal. Let the column be renamed at once, without keep_old."
        )


def _carry_over(session: "psycopg.Connection[Any]", query: str, table: str, left: str, taker: str) -> None:
    given = {"table": table, "left": plain(left), "taker": plain(taker)}
    for (statement,) in session.execute(query.encode(), given).fetchall():
        session.execute(statement.encode(codec(session)))
        log.info("What the old column has goes over to the new one: %s", statement)
