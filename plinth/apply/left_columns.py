"""Columns that leave their names to others, and what they have although no revision knows of it.

A view goes by the column itself, and would read from then on what nobody writes any more; an index or check
would say nothing about the new values. Comments, settings, privileges and sequences go over to the column
that takes the place, and what stood on it has again what it had (`made_anew`). So it is, but for sequences,
where a column was kept beside another one of another name, and goes (`keep_old`); that one has its privileges
as soon as it is kept, and what was granted later on one of the two stops it. What `--sql` prints does the
same in blocks.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import psycopg
from psycopg.sql import SQL, Literal
from sqlalchemy import Connection

from plinth.apply.made_anew import IS_SAID, MARK, Gone
from plinth.apply.points import driver_session
from plinth.apply.session import codec
from plinth.errors import PlinthError
from plinth.listening import listening
from plinth.server_errors import words
from plinth.settings import LONGEST_NAME
from plinth.sql_text import Lexed, lexed, parts, plain

log = logging.getLogger(__name__)

# In a transaction: the names of what a revision says something else of than it did (`online.exchange`).
SAID_ANEW = "plinth.said_anew"
_LOST = (
    "no revision knows of it, and it would go, as the view is made anew. Drop it, run the same command "
    "again, and make it anew then."
)
_CANT = "can't have this any more"
_ALTER = "alter table [if exists] [only] <table>"
# Stops where a trigger that keeps two columns equal was passed by, just before it goes (`online.kept_names`).
_EQUAL = "update <table> set <new> = <old> where they differ"
# The table with its partitions, in each of which the columns are.
_TABLES = """
    with tables as (
        select to_regclass({table})::oid id
        union select relid from pg_partition_tree(to_regclass({table})))
    """
# By these a revision says itself that something goes which it had said, or somebody.
_UNSAID = (
    "comment on ... is null",
    "alter {index | [materialized] view} ... reset ...",
    "alter table ... enable trigger <name>",
)
_KEEPS = (
    "create trigger <name> before insert or update on <table> for each row execute {function | procedure} "
    "<function>"
)
# What revisions know of has made way by now, but for an identity, with its sequence and NOT NULL.
_STANDING = f"""{_TABLES},
    old as (
        select attrelid, attnum, attnotnull and attidentity = '' is_required, attacl
        from tables join pg_attribute on attrelid = id
        where attname = {{left}})
    select pg_describe_object(classid, objid, 0)
    from old join pg_depend on refobjid = attrelid and refobjsubid = attnum
    left join pg_class c on c.oid = objid and classid = 'pg_class'::regclass
    left join pg_constraint k on k.oid = objid and classid = 'pg_constraint'::regclass
    where refclassid = 'pg_class'::regclass and contype is distinct from 'n'
      and (relkind is distinct from 'S' or {{goes}})
      and not ({{goes}} and exists (  -- the one of the other name has the same default
          select from pg_attrdef d join pg_attrdef o on o.adrelid = d.adrelid and o.adnum <> d.adnum
          where d.oid = pg_depend.objid and classid = 'pg_attrdef'::regclass
            and pg_get_expr(o.adbin, o.adrelid) = pg_get_expr(d.adbin, d.adrelid)))
      and classid::regclass in ('pg_rewrite', 'pg_policy', 'pg_trigger', 'pg_proc', 'pg_publication_rel',
                                'pg_attrdef', 'pg_class', 'pg_constraint', 'pg_statistic_ext')
    union select format('NOT NULL of table %s', attrelid::regclass) from old where is_required
    union select format('a privilege on a column of table %s', attrelid::regclass)
    from old, aclexplode(attacl) had where {{goes}} and not exists (
        select from pg_attribute n, aclexplode(n.attacl) has
        where n.attrelid = old.attrelid and n.attname = {{taker}} and has.grantee = had.grantee
          and has.privilege_type = had.privilege_type and has.is_grantable >= had.is_grantable)
    union select format('table %s, which inherits from it,', c.oid::regclass)
    from old join pg_inherits on inhparent = attrelid join pg_class c on c.oid = inhrelid
    where not relispartition
    order by 1
    """  # noqa: S608 - a constant
_HEIRS = """
    select c.oid::regclass::text from pg_inherits join pg_class c on c.oid = inhrelid
    where inhparent = to_regclass({table}) and not relispartition order by 1
    """
_SEQUENCES = f"""{_TABLES}
    select format('ALTER SEQUENCE %s OWNED BY %s.%I', objid::regclass, id::regclass, new.attname)
    from tables join pg_attribute old on old.attrelid = id join pg_attribute new on new.attrelid = id
    join pg_depend on refclassid = 'pg_class'::regclass and refobjid = id and refobjsubid = old.attnum
         and classid = 'pg_class'::regclass and deptype = 'a'
    join pg_class c on c.oid = objid and relkind = 'S'
    where old.attname = {{left}} and new.attname = {{taker}}
    order by 1
    """  # noqa: S608 - a constant
# Autogenerate gives no column that has such settings another type in this way, and says if a comment goes.
_CARRIED = f"""{_TABLES},
    columns as (
        select id, col_description(id, attnum) said, attname, coalesce(attstattarget, -1) target, attoptions,
               nullif(attstorage, typstorage) storage, typstorage <> 'p' is_long, attcompression, wanted
        from tables join pg_attribute on attrelid = id join pg_type t on t.oid = atttypid,
            unnest(array[{{left}}, {{taker}}]::text[]) wanted
        where attname = wanted)
    select format(statement, new.id::regclass, new.attname, what)
    from columns old join columns new on new.id = old.id, lateral (values
        ('COMMENT ON COLUMN %s.%I IS %L', case when new.said is null then old.said end),
        ('ALTER TABLE ONLY %s ALTER COLUMN %I SET STATISTICS %s',
         case when new.target < 0 and old.target >= 0 then old.target::text end),
        ('ALTER TABLE ONLY %s ALTER COLUMN %I SET (%s)',
         case when new.attoptions is null then array_to_string(old.attoptions, ', ') end),
        ('ALTER TABLE ONLY %s ALTER COLUMN %I SET STORAGE %s',
         case when new.is_long and new.storage is null then case old.storage
              when 'p' then 'PLAIN' when 'e' then 'EXTERNAL' when 'm' then 'MAIN' when 'x' then 'EXTENDED'
         end end),
        ('ALTER TABLE ONLY %s ALTER COLUMN %I SET COMPRESSION %s',
         case when new.is_long and new.attcompression = '' then case old.attcompression
              when 'p' then 'pglz' when 'l' then 'lz4'
         end end)
    ) each (statement, what)
    where old.wanted = {{left}} and new.wanted = {{taker}} and what is not null
    order by 1
    """  # noqa: S608 - a constant
_GRANTED = f"""{_TABLES}
    select format(
        'GRANT %s (%I) ON %s TO %s%s', privilege_type, {{taker}}::text, attrelid::regclass,
        case grantee when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(grantee)) end,
        case when is_grantable then ' WITH GRANT OPTION' end)
    from tables join pg_attribute on attrelid = id, aclexplode(attacl) where attname = {{left}}
    order by 1
    """  # noqa: S608 - a constant


class LeftColumnError(PlinthError):
    """Something would go on reading a column that another one takes the place of."""


class _Looks(Protocol):
    """What is done about it, at once or in what is printed."""

    grants: bool  # privileges go over by it; else by what compares them all (`grants`)

    def stop_at(self, standing: str, told: str) -> None:
        """Stop if a query finds something; its names stand before what is told."""

    def carry(self, statements: str) -> None:
        """Execute the statements that a query finds."""

    def note(self, gone: Gone) -> None:
        """Remember what is said of an object that goes."""

    def put_back(self, gone: Gone, *, stops: bool, tells: bool = False) -> None:
        """Say it again of what is there now, or tell it; what can't be said stops it, or is only told."""


class _Transaction:
    """A transaction in which columns may leave their names to others.

    Args:
        looks: what is done about it.
    """

    def __init__(self, looks: _Looks) -> None:
        self._looks = looks
        self._called: dict[tuple[str, ...], str] = {}  # indexes that wait for what takes their names
        self.forget()

    def forget(self) -> None:
        """Begin a further one."""
        self._left: dict[tuple[str, ...], str] = {}
        self._keeping: dict[tuple[str, ...], set[tuple[str, str]]] = {}  # by functions
        self._equal: dict[tuple[str, ...], str] = {}
        self._exchanged: list[tuple[str, str, str]] = []
        self._is_exchange = False
        self._gone: list[Gone] = []
        self._said_anew: list[Lexed] = []  # before or behind what drops it
        self._types_made: set[tuple[str, ...]] = set()
        self._privileges: list[Lexed] = []  # words about them, and owners

    def follow(self, statement: Lexed) -> None:
        """Look at a statement before it is executed; of several in a text, at what they drop."""
        if len(statement.statements) > 1:
            for each in filter(None, map(Gone.found, statement.statements)):
                self._note(each)
        elif any(statement.matches(each) for each in _UNSAID):
            self._gone = [
                each
                for each in self._gone
                if each.is_identity or each.is_type or not each.is_named_in(statement)
            ]
        elif statement.begins("alter table"):
            self._alter(statement)
        elif statement.begins("create"):
            self._keep(statement)
        elif found := statement.matches(f"set [local] {SAID_ANEW} = <names>"):
            self._said_anew.append(lexed(found["names"][1:]))
        elif found := statement.matches("alter index [if exists] <name> rename to <new>"):
            *schema, name = parts(found["name"])
            if ending(name, plain(found["new"])):
                self._called[*schema, plain(found["new"])] = found["name"]
        elif statement.begins("drop") and (gone := Gone.found(statement)):
            self._note(replace(gone, again=self._called.pop(tuple(parts(gone.name)), "")))
        elif statement.begins("do"):
            for text in statement.nested:
                for found in text.find(_EQUAL):
                    self._are_equal(*(found[name].replace("%%", "%") for name in ("table", "old", "new")))

    def follow_types(self, text: Lexed) -> None:
        """Note types that go or leave their names, where nothing else compares what is granted (`grants`)."""
        for each in text.statements:
            if gone := Gone.type_in(each):
                self._note(gone)
            if found := each.begins("create {type | domain} <name>"):
                self._types_made.add(tuple(parts(found["name"])))
            elif found := each.matches("alter {type | domain} <name> rename to <new>"):
                self._types_made.add((*parts(found["name"])[:-1], plain(found["new"])))
            elif each.begins("grant | revoke | alter {type | domain} <name> owner to"):
                self._privileges.append(each)

    def _keep(self, statement: Lexed) -> None:
        """Note which function keeps two columns equal, each by the other one; heirs' rows aren't kept so."""
        if found := statement.begins("create function <name>"):
            given = {pair for each in statement.nested for pair in _given(each)}
            self._keeping[tuple(parts(found["name"]))] = {
                (old, new) for old, new in given if old != new and (new, old) in given
            }
        found = statement.begins(_KEEPS)
        if found and (pairs := self._keeping.get(tuple(parts(found["function"])))):
            self._looks.stop_at(*_heirs(found["table"]))
            for old, new in sorted(pairs):  # and the other way round
                self._looks.carry(_filled(_GRANTED, found["table"], old, new))

    def _are_equal(self, table: str, old: str, new: str) -> None:
        if plain(old) != plain(new):
            self._equal |= {(*parts(table), plain(old)): new, (*parts(table), plain(new)): old}

    def _alter(self, statement: Lexed) -> None:
        if found := statement.matches(f"{_ALTER} rename [column] <old> to <new>"):
            table, old, new = found["table"], found["old"], found["new"]
            if (aside := self._left.get((*parts(table), plain(new)))) and _is_exchange(new, aside, old):
                self._looks.stop_at(*_standing(table, new, aside))
                self._looks.carry(_filled(_CARRIED, table, aside, old))
                if self._looks.grants:
                    self._looks.carry(_filled(_GRANTED, table, aside, old))
                self._exchanged.append((table, aside, new))
                self._is_exchange = True
            elif ending(plain(old), plain(new)):
                self._note(Gone.identity(table, old))
            self._left[*parts(table), plain(old)] = new
        elif found := statement.matches(f"{_ALTER} drop [column] [if exists] <column>"):
            self._hand_on()
            table, column = found["table"], found["column"]
            if other := self._equal.get((*parts(table), plain(column))):
                self._looks.stop_at(*_standing(table, column, taker=other))
                self._looks.carry(_filled(_CARRIED, table, column, other))
        elif gone := Gone.found(statement):
            self._note(gone)

    def end(self) -> None:
        """Settle what the transaction has done, just before it is committed."""
        self._hand_on()
        for each in self._gone:
            if each.is_type:
                if tuple(parts(each.name)) in self._types_made:
                    self._looks.put_back(
                        each, stops=False, tells=any(map(each.is_named_in, self._privileges))
                    )
                continue
            if any(map(each.is_named_in, self._said_anew)):
                continue
            if self._is_exchange or not each.is_identity:
                self._looks.put_back(each, stops=self._is_exchange)
        self.forget()

    def _note(self, gone: Gone) -> None:
        if gone not in self._gone:
            self._gone.append(gone)
            self._looks.note(gone)

    def _hand_on(self) -> None:
        for each in self._exchanged:  # after the revision, which gives its own to the new column itself
            self._looks.carry(_filled(_SEQUENCES, *each))
        self._exchanged.clear()


class _AtOnce:
    """Done in the session in which revisions are applied."""

    grants = False

    def __init__(self) -> None:
        self.session: psycopg.Connection[Any]
        self._had: dict[Gone, dict[str, str | None]] = {}

    def stop_at(self, standing: str, told: str) -> None:
        if names := ", ".join(name for (name,) in self._rows(standing)):
            raise LeftColumnError(f"{names} {told}")

    def carry(self, statements: str) -> None:
        for (statement,) in self._rows(statements):
            self._execute(statement)

    def note(self, gone: Gone) -> None:
        self._had[gone] = dict(self._rows(gone.said()))

    def put_back(self, gone: Gone, *, stops: bool, tells: bool = False) -> None:
        had = self._had.pop(gone)
        if not had or not self._rows(gone.here()):
            return
        now = dict(self._rows(gone.said(is_again=True)))
        marks = {mark: name for mark, name in now.items() if name and mark.startswith(MARK)}
        for about, statement in sorted(had.items()):
            if about in now or statement == IS_SAID:
                continue
            if statement is None and stops:
                raise LeftColumnError(f"{_named(about, marks)}: {_LOST}")
            if statement and not tells:
                self._say(gone, _named(statement, marks))
            else:
                log.warning("%s is made anew, and had this: %s", gone.name, _named(about, marks))

    def _say(self, gone: Gone, statement: str) -> None:
        try:
            with self.session.transaction():  # a savepoint
                self._execute(statement)
        except (psycopg.ProgrammingError, psycopg.NotSupportedError) as error:
            log.warning("%s is made anew, and %s (%s): %s", gone.name, _CANT, words(error), statement)

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.session.execute(query.encode(codec(self.session))).fetchall()

    def _execute(self, statement: str) -> None:
        self.session.execute(statement.encode(codec(self.session)))
        log.info("What makes way hands on what it has: %s", statement)


class _Printed:
    """Printed, for somebody who runs it later."""

    grants = True

    def __init__(self) -> None:
        self.texts: list[str | Gone] = []
        self._noted: dict[Gone, tuple[str, str]] = {}

    def stop_at(self, standing: str, told: str) -> None:
        self._do(
            "DECLARE found text; BEGIN",
            f"    SELECT string_agg(name, ', ') INTO found FROM ({standing}) it (name);",  # noqa: S608
            "    IF found IS NOT NULL THEN",
            f"        RAISE '% %', found, {_literal(told)} USING ERRCODE = '55000';",
            "    END IF;",
        )

    def carry(self, statements: str) -> None:
        self._do(
            "DECLARE found text; BEGIN", f"    FOR found IN {statements}", "    LOOP EXECUTE found; END LOOP;"
        )

    def note(self, gone: Gone) -> None:
        self.texts.append(gone)

    def put_back(self, gone: Gone, *, stops: bool, tells: bool = False) -> None:
        setting = _literal(f"plinth.had_{len(self._noted)}")
        self._noted[gone] = setting, gone.said(with_privileges=stops)
        name, said = _literal(gone.name), gone.said(is_again=True, with_privileges=stops)
        self._do(
            f"DECLARE had jsonb := current_setting({setting}); has jsonb;",
            "    its text; found text; a_mark text; a_name text;",
            "BEGIN",
            "    SELECT coalesce(jsonb_object_agg(about, said), '{}') INTO has",
            f"    FROM ({said}) it (about, said);",
            f"    IF NOT EXISTS ({gone.here()}) THEN RETURN; END IF;",
            "    FOR its, found IN SELECT * FROM jsonb_each_text(had) ORDER BY 1 LOOP",
            f"        CONTINUE WHEN has ? its OR found = {_literal(IS_SAID)};",
            "        FOR a_mark, a_name IN SELECT * FROM jsonb_each_text(has)",
            f"            WHERE starts_with(key, {_literal(MARK)})",
            "        LOOP",
            "            its := replace(its, a_mark, a_name); found := replace(found, a_mark, a_name);",
            "        END LOOP;",
            f"        IF found IS NULL AND {stops} THEN",
            f"            RAISE '%: %', its, {_literal(_LOST)} USING ERRCODE = '55000';",
            f"        ELSIF coalesce(found, '') = '' OR {tells} THEN",
            f"            RAISE WARNING '% is made anew, and had this: %', {name}, its;",
            "        ELSE BEGIN EXECUTE found;",
            "        EXCEPTION WHEN syntax_error_or_access_rule_violation OR feature_not_supported THEN",
            "            RAISE WARNING '% is made anew, and % (%): %',",
            f"                {name}, {_literal(_CANT)}, SQLERRM, found;",
            "        END; END IF;",
            "    END LOOP;",
        )

    def printed(self) -> Iterator[str]:
        """Yield what is to be printed."""
        for each in self.texts:
            if isinstance(each, str):
                yield each
            elif each in self._noted:
                setting, found = self._noted[each]
                yield _block(
                    "BEGIN",
                    f"    PERFORM set_config({setting}, coalesce((",
                    f"        SELECT jsonb_object_agg(about, said) FROM ({found}) it (about, said)",  # noqa: S608
                    "    ), '{}')::text, false);",  # a statement may stand outside of any transaction
                )

    def _do(self, *lines: str) -> None:
        self.texts.append(_block(*lines))


@contextmanager
def looked_after(connection: Connection) -> Iterator[None]:
    """Let no column take over the name of one that something still stands on, as long as the block runs.

    One that takes it over gets what the other has by itself.

    Args:
        connection: the migrations'.
    """
    looks = _AtOnce()
    transaction = _Transaction(looks)

    def before(conn: Connection, _cursor: object, statement: str, *_: object) -> None:
        looks.session = driver_session(conn)
        transaction.follow(lexed(statement.replace("%%", "%")))  # as the driver makes of it

    def settle(conn: Connection) -> None:
        looks.session = driver_session(conn)
        transaction.end()

    def forget(_: Connection) -> None:
        transaction.forget()

    with listening(
        (connection, "before_cursor_execute", before),
        (connection, "commit", settle),
        (connection, "rollback", forget),
    ):
        yield


def looked_after_in(texts: Sequence[str]) -> list[str]:
    """Return the statements of a transaction that is printed, with those that look after its columns."""
    looks = _Printed()
    transaction = _Transaction(looks)
    for text in texts:
        transaction.follow_types(lexed(text))
        transaction.follow(lexed(text))
        looks.texts.append(text)
    transaction.end()
    return list(looks.printed())


def _block(*lines: str) -> str:
    return "\n".join(["DO $look$", *lines, "END $look$;\n\n"])


def _filled(query: str, table: str, left: str, taker: str = "", *, goes: bool = False) -> str:
    names = {"table": table, "left": plain(left), "taker": plain(taker), "goes": goes}
    return SQL(query).format(**{name: Literal(each) for name, each in names.items()}).as_string()


def _named(text: str, marks: Mapping[str, str]) -> str:
    for mark, name in marks.items():
        text = text.replace(mark, name)
    return text


def _literal(text: str) -> str:
    return Literal(text).as_string()


def _standing(table: str, column: str, left: str | None = None, taker: str = "") -> tuple[str, str]:
    """Return the query for what stands on a column that goes, or has left its name to another one."""
    what = (
        "go with it. Make it on the column of the other name, drop it, and run the same command again."
        if left is None
        else "stay with the old column, which nothing writes any more. Drop it, run the same command "
        "again, and make it anew then; or let the revision itself drop it before it renames the column."
    )
    told = f"stands on {table}.{column}, and no revision knows of it: it would {what}"
    return _filled(_STANDING, table, left or column, taker, goes=left is None), told


def _heirs(table: str) -> tuple[str, str]:
    told = (
        f"inherits from {table}, and no revision knows of it: no trigger would keep its columns equal. "
        "Let the column be renamed at once, without keep_old."
    )
    return _filled(_HEIRS, table, ""), told


def _given(body: Lexed) -> Iterator[tuple[str, str]]:
    """Yield the columns of a new row that get values in a function's body, each with the one it is from."""
    words = body.listed
    for place, each in enumerate(words):
        if each == ":=" and words[place - 3 : place - 1] == ["new", "."] == words[place + 1 : place + 3]:
            yield words[place - 1], words[place + 3]


def _is_exchange(column: str, left: str, taker: str) -> bool:
    """Whether a column takes the place of another one: two that swap their names don't."""
    return {ending(plain(column), plain(each)) for each in (left, taker)} == {"old", "new"}


def ending(column: str, called: str) -> str | None:
    """Return which of the columns that take turns under a name one is, "old" or "new" (`online.exchange`).

    Args:
        column: the name, as the catalog has it.
        called: what the one is called; of a long name the end is cut off for it (`temporary_name`).
    """
    found = re.fullmatch(r"(.+)(_(old|new)(?:_\d+)?)", called, re.DOTALL)
    if found is None:
        return None
    base, end, turn = found.groups()
    return turn if base == column.encode()[: LONGEST_NAME - len(end)].decode(errors="ignore") else None
