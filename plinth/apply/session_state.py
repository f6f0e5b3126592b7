"""What a session alone has: settings, locks, prepared statements, temporary tables.

A revision that is resumed has another session. So it is noted with each point, against what the session had
when the command began, and given back behind the last point: whether it was set by a statement of the
revision, or in a block or function. What can't be given back (a temporary table) is refused by its name.

In a transaction nobody can tell what lasts from what ends with it (SET LOCAL, ON COMMIT DROP). What the
transaction of a point has changed is therefore looked at once more behind its end.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.sql import Identifier

from plinth.apply.session import OWN, codec
from plinth.sql_text import lexed, plain

Has = dict[str, str]  # what by its kind and name, and its value
Change = dict[str, str | None]  # None of what isn't there any more

NOTED = "session"  # in the result of a point's last step: the change since the command began
UNSETTLED = "unsettled"  # and what of it may have ended with the transaction

# It is asked at each point: little to plan, and tables are read only where there is something temporary.
_READ = """
    select 'setting ' || name, setting from pg_settings
    where source = 'session' and name <> all(%(own)s) and name !~ '^transaction_(is|read|def)'
    union all
    select 'setting ' || name, current_setting(name, true) from unnest(%(names)s::text[]) name
    where current_setting(name, true) <> ''
    union all
    values ('setting session_authorization', session_user::text), ('setting role', current_setting('role')),
        ('temporary', nullif(pg_my_temp_schema(), 0)::text)
    union all
    select concat_ws(' ', 'lock', case objsubid when 1 then (classid::bigint << 32 | objid::bigint)::text
        else concat_ws(', ', classid::bigint::bit(32)::int, objid::bigint::bit(32)::int) end, mode), ''
    from pg_locks
    where pid = pg_backend_pid() and locktype = 'advisory' and granted
    union all
    select 'prepared ' || name, statement from pg_prepared_statements where from_sql
    union all
    select 'cursor ' || name, '' from pg_cursors where is_holdable
    """
_READ_TEMPORARY = """
    select 'table ' || relname, '' from pg_class
    where relnamespace = pg_my_temp_schema() and relkind in ('r', 'p', 'v', 'S')
    union all
    select 'function ' || proname, '' from pg_proc where pronamespace = pg_my_temp_schema()
    union all
    select 'type ' || typname, '' from pg_type left join pg_class c on c.oid = typrelid
    where typnamespace = pg_my_temp_schema() and typcategory <> 'A' and coalesce(relkind = 'c', true)
    """
# pg_settings has none that no library knows; what functions say of them is found in their sources.
_OWN_NAMES = r"(?i)(?:set_config\s*\(\s*'|\mset\s+(?:session\s+)?)(\w+\.\w+)(?:'|\s*=|\s+to\M)"
_IN_FUNCTIONS = """
    select distinct lower(name[1]) from pg_proc, regexp_matches(prosrc, %s, 'g') name
    where pronamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    """
_IN_TEXT = re.compile(_OWN_NAMES.replace(r"\m", r"\b").replace(r"\M", r"\b"))
_SEED = "seed of random()"
_MADE_ANEW = ("setting ", "lock ")


class SessionState:
    """What the session of a command has.

    Args:
        session: in which nothing has run yet.
    """

    def __init__(self, session: "psycopg.Connection[Any]") -> None:
        self._names: set[str] = set()  # of settings that pg_settings doesn't have
        self._local: set[str] = set()  # what a statement has set for the running transaction
        self._unseen: Has = {}  # what no catalog tells
        self._base: Has = {}
        self._base = self._began = self._settled = self._read(session)
        self._found = self._base  # when the revision began, or was tried again
        self._of: object = None
        self._is_in_question = False

    def begin(self, session: "psycopg.Connection[Any]", of: object) -> None:
        """See how a revision begins; where it is tried again, it begins as it did.

        Args:
            session: the command's.
            of: which revision.
        """
        self._local.clear()
        self._unseen.clear()
        if of == self._of:
            self._found = self._read(session)
            self._bring(session, self._found, self._began)
        else:
            self._of = of
            self._names |= {name for (name,) in session.execute(_IN_FUNCTIONS, [_OWN_NAMES])}
            self._found = self._began = self._read(session)
        self._settled, self._is_in_question = self._began, False

    def see(self, statement: str) -> None:
        """See what a statement says of settings."""
        if "set" not in statement.lower():
            return
        self._names |= {name.lower() for name in _IN_TEXT.findall(statement)}
        self._unseen |= {_SEED: ""} if "setseed" in statement.lower() else {}
        for each in lexed(statement).executed:
            found = each.begins("set local <name>")
            self._local |= {f"setting {plain(found['name'])}"} if found else set()

    def noted(self, session: "psycopg.Connection[Any]") -> dict[str, Any]:
        """Return what is noted of it when a transaction ends, or has ended."""
        now = self._read(session)
        self._is_in_question = now != self._settled
        local, self._local = self._local, set()
        if session.info.transaction_status == TransactionStatus.IDLE:
            self._settled, self._is_in_question = now, False
        for what in local & {*_differing(now, self._settled)}:
            now.pop(what, None)
            now |= {what: self._settled[what]} if what in self._settled else {}
        noted = {NOTED: _change(self._base, now)}
        unsettled = [*_differing(self._settled, now)]
        return noted | ({UNSETTLED: unsettled} if unsettled else {})

    def settled(self, session: "psycopg.Connection[Any]") -> Change | None:
        """Return what is noted behind a transaction that may have changed it; None if none has."""
        if not self._is_in_question:
            return None
        self._settled, self._is_in_question = self._read(session), False
        return _change(self._base, self._settled)

    def gone(self, noted: Mapping[str, str | None]) -> list[str]:
        """Return what was noted and can't be given back."""
        return [
            what
            for what, value in noted.items()
            if value is not None and what not in self._found
            if not (what.startswith(_MADE_ANEW) or _preparing(what, value))
        ]

    def give_back(self, session: "psycopg.Connection[Any]", noted: Change, unsettled: list[str]) -> list[str]:
        """Give back what was noted; return what isn't known.

        Args:
            session: between two transactions.
            noted: the change since the command began that noted it.
            unsettled: what of it may have ended with its transaction.

        Raises:
            psycopg.Error: it can't be given back.
        """
        now = self._read(session)
        wanted = {what: value for what, value in (self._base | noted).items() if value is not None}
        unknown = [what for what in unsettled if now.get(what) != wanted.get(what)]
        if not unknown:
            self._bring(session, now, wanted)
            self._settled = wanted
        return unknown

    def _read(self, session: "psycopg.Connection[Any]") -> Has:
        given = {"own": [*OWN], "names": sorted(self._names)}
        # Prepared, psycopg might forget it, and with it what the revision has prepared.
        has = dict(session.execute(_READ, given, prepare=False).fetchall())
        if has.pop("temporary"):
            has.update(session.execute(_READ_TEMPORARY, prepare=False).fetchall())
        ours = {what: value for what, value in self._base.items() if what.startswith("lock ")}
        return has | ours | self._unseen

    @staticmethod
    def _bring(session: "psycopg.Connection[Any]", now: Has, wanted: Has) -> None:
        """Let a session have what is wanted, but for what can't be made anew."""
        for what in sorted(_differing(now, wanted), key=_order):
            kind, _, name = what.partition(" ")
            if kind == "setting":
                session.execute("select set_config(%s, %s, false)", [name, wanted.get(what)])
            elif kind == "lock":
                key, _, mode = name.rpartition(" ")
                un, shared = "" if what in wanted else "un", "_shared" if mode == "ShareLock" else ""
                session.execute(f"select pg_advisory_{un}lock{shared}({key})".encode())
            elif kind == "prepared":
                text = (
                    _preparing(what, wanted[what])
                    if what in wanted
                    else f"deallocate {Identifier(name).as_string()}"
                )
                session.execute(text.encode(codec(session)))
        if not session.autocommit:
            session.commit()


def _differing(one: Mapping[str, str | None], other: Mapping[str, str | None]) -> Iterator[str]:
    return (what for what in one.keys() | other.keys() if one.get(what) != other.get(what))


def _change(before: Has, now: Has) -> Change:
    return {what: now.get(what) for what in sorted(_differing(before, now))}


def _preparing(what: str, text: str) -> str:
    """Return the statement of a text that prepares another one; empty if none does."""
    found = ((each.begins("prepare <name>"), each.text) for each in lexed(text).statements)
    return next((text for of, text in found if of and what == f"prepared {plain(of['name'])}"), "")


def _order(what: str) -> tuple[bool, bool, str]:
    # A role may less: it comes last, and first who has logged in.
    return what == "setting role", what != "setting session_authorization", what
