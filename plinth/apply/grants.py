"""What was granted on an object that a revision makes anew is granted on the new one, and its owner stays.

Which roles may use a view, a type or a column, each database says for itself: no revision knows all of them.
So what is there before something is dropped or renamed is compared with what bears the same name when the
transaction ends. What has only changed its name keeps its own privileges: they are those of its rows.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from sqlalchemy import Connection

from plinth.apply.left_columns import ending
from plinth.apply.points import driver_session
from plinth.apply.session import codec
from plinth.listening import listening
from plinth.server_errors import words
from plinth.sql_text import Lexed, lexed, parts, plain

log = logging.getLogger(__name__)

_WORDS = ("drop", "rename", "revoke", "owner", "owned")  # one of which is in all that matters here
_PATH = "select unnest(current_schemas(false))"
_TYPE = "TYPE "  # holds no rows that somebody may not see
_SCHEMAS = "nspname !~ '^pg_' and nspname not in ('information_schema', 'plinth')"
# Objects and columns, with what others than their owner may do: who, what, and whether it may be passed on.
# Each by its schema: what names alone lead to changes with the search path, which tenants set in turn.
_GRANTED = f"""
    select shown, coalesce(quote_ident(attname), ''), object, number, is_said,
           grantee, privilege_type, is_grantable,
           case when exists (  -- a column's sequence belongs to whom its table does
               select from pg_depend where classid = 'pg_class'::regclass and objid = object
               and refclassid = 'pg_class'::regclass and refobjsubid > 0 and deptype in ('a', 'i')
           ) and shown like 'SEQUENCE %%' then null else owner end
    from (
        select format('%%s%%I.%%I', case relkind when 'S' then 'SEQUENCE ' end, nspname, relname) shown,
               null::name attname, nspname, c.oid object, 0 number, relowner owner,
               relacl is not null is_said,
               coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner)) acl
        from pg_class c join pg_namespace n on n.oid = relnamespace
        where relkind in ('r', 'p', 'v', 'm', 'f', 'S') and {_SCHEMAS}
        union all
        select format('%%I.%%I', nspname, relname), attname, nspname, c.oid, attnum, relowner,
               attacl is not null, attacl
        from pg_class c join pg_namespace n on n.oid = relnamespace join pg_attribute on attrelid = c.oid
        where attnum > 0 and not attisdropped and {_SCHEMAS} and relkind in ('r', 'p', 'v', 'm', 'f')
          and (attacl is not null or format('%%I.%%I', nspname, relname) = any(%(columns)s))
        union all
        select format('ROUTINE %%I.%%I(%%s)', nspname, proname, (
                   select string_agg(case a.nspname when 'pg_catalog' then format_type(t.oid, null)
                                     else format('%%I.%%I', a.nspname, typname) end, ', ' order by place)
                   from unnest(proargtypes) with ordinality given (id, place) join pg_type t on t.oid = id
                   join pg_namespace a on a.oid = typnamespace
               )), null, nspname, p.oid, 0, proowner, proacl is not null,
               coalesce(proacl, acldefault('f', proowner))
        from pg_proc p join pg_namespace n on n.oid = pronamespace where {_SCHEMAS}
        union all
        select format('{_TYPE}%%I.%%I', nspname, typname), null, nspname, t.oid, 0, typowner,
               typacl is not null, coalesce(typacl, acldefault('T', typowner))
        from pg_type t join pg_namespace n on n.oid = typnamespace left join pg_class c on c.oid = typrelid
        where typtype in ('d', 'e', 'r', 'c') and coalesce(relkind, 'c') = 'c' and {_SCHEMAS}
    ) o left join lateral aclexplode(acl) g on grantee <> owner
    """  # noqa: S608 - a constant

Place = tuple[str, str]  # an object as GRANT names it, and a column of it or nothing
Privilege = tuple[int, str, bool]  # who, what, and whether it may be passed on
Roles = dict[int, str]  # their names in SQL; what a role that is gone had, nobody has
_PUBLIC = 0
_ROLES = f"select {_PUBLIC}::oid, 'PUBLIC' union all select oid, quote_ident(rolname) from pg_roles"  # noqa: S608


@dataclass
class _Granted:
    """What was granted on one object or column.

    Args:
        identity: which it is.
        is_said: somebody has granted or revoked something.
        owner: the role; None where the revision says itself who is to be it, or its table does.
        privileges: of others than its owner.
    """

    identity: tuple[int, int]
    is_said: bool
    owner: int | None
    privileges: set[Privilege] = field(default_factory=set)


class Grants:
    """The privileges on what the running revision makes anew."""

    def __init__(self) -> None:
        self._before: dict[Place, _Granted] = {}
        self._is_known = False  # as it is before this transaction

    def follow(self) -> None:
        """Forget what an earlier revision has dropped: what comes later under its name is another thing."""
        self._before.clear()
        self._is_known = False

    @contextmanager
    def kept(self, connection: Connection) -> Iterator[None]:
        """Put back what goes, as long as the block runs.

        Args:
            connection: the migrations'.
        """

        def before(conn: Connection, _cursor: object, statement: str, *_: object) -> None:
            lowered = statement.lower()
            if not any(word in lowered for word in _WORDS):
                return
            text = lexed(statement.replace("%%", "%"))  # as the driver makes of it
            if not self._is_known and any(each.has("drop | rename") for each in text.executed):
                self._look(driver_session(conn))
            for each in text.statements:
                if _does(each, "revoke"):  # the revision says itself who may use what it names
                    for place in self._named(driver_session(conn), each):
                        del self._before[place]
                elif _does(each, "alter ... owner to"):
                    for place in self._named(driver_session(conn), each):
                        self._before[place].owner = None
                elif _does(each, "reassign owned by"):
                    for was in self._before.values():
                        was.owner = None

        def put_back(conn: Connection) -> None:
            self._is_known = False
            if self._before:
                self._put_back(driver_session(conn))

        def forget(_: Connection) -> None:
            self._is_known = False

        with listening(
            (connection, "before_cursor_execute", before),
            (connection, "commit", put_back),
            (connection, "rollback", forget),
        ):
            yield

    def _look(self, session: "psycopg.Connection[Any]") -> None:
        """See what is granted now; what isn't there any more, or is made anew just now, had what it had."""
        now = _granted(session, {name for name, column in self._before if column})
        for place, was in self._before.items():
            if place not in now or now[place].identity != was.identity:
                now[place] = was
        self._before, self._is_known = now, True

    def _named(self, session: "psycopg.Connection[Any]", statement: Lexed) -> list[Place]:
        """Return what a statement names: by its schema, or as the first of its name on the search path."""
        path = [schema for (schema,) in session.execute(_PATH)]
        names = {place: _name(place) for place in self._before}
        known = {*names.values()}
        said = {tuple(parts(found["name"])) for each in statement.nested for found in each.find("<name>")}
        led = {(next((each for each in path if (each, name) in known), ""), name) for *_, name in said}
        return [place for place, name in names.items() if name in said or (name in led and name[1:] in said)]

    def _put_back(self, session: "psycopg.Connection[Any]") -> None:
        with_columns = {name for (name, column), each in self._before.items() if column and each.is_said}
        now = _granted(session, with_columns)
        roles: Roles = dict(session.execute(_ROLES.encode()).fetchall())
        standing = {each.identity: place for place, each in now.items()}
        for place, was in self._before.items():
            found = now.get(place)
            if found is None or found.identity == was.identity:
                continue
            statements = list(_statements(place, was, found, roles)) if was.is_said else []
            is_anew = place[0].startswith(_TYPE) or was.identity not in standing
            if is_anew or _has_made_way(place, standing[was.identity]):
                _give(session, place, was, found, roles)  # first: what a role had as the owner goes over, too
                for statement in statements:
                    session.execute(statement.encode(codec(session)))
                    log.info("%s is made anew, and gets what was granted on it: %s", place[0], statement)
            elif statements:
                log.warning(
                    "What was called %s has another name now, and its privileges go with it. If what has the "
                    "name now should have them too: %s",
                    ".".join(filter(None, place)),
                    "; ".join(statements),
                )
            was.identity = found.identity


def _give(
    session: "psycopg.Connection[Any]", place: Place, was: _Granted, found: _Granted, roles: Roles
) -> None:
    """Let what is made anew have the owner of what it was, with whose privileges a view or function works."""
    name, column = place
    owner = roles.get(was.owner or 0)
    if column or found.owner is None or was.owner in {None, found.owner} or owner is None:
        return
    kind, _, _ = name.partition(" ") if name.startswith((_TYPE, "ROUTINE ")) else ("TABLE", "", "")
    bare = name.removeprefix(f"{kind} ").removeprefix("SEQUENCE ")
    statement = f"ALTER {kind} {bare} OWNER TO {owner}"
    try:
        with session.transaction():  # a savepoint
            session.execute(statement.encode(codec(session)))
    except psycopg.errors.InsufficientPrivilege as error:
        log.warning(
            "%s is made anew, and belonged to %s, to which this role can't give it (%s): %s",
            *(name, owner, words(error), statement),
        )
    else:
        log.info("%s is made anew, and belongs to whom it did: %s", name, statement)


def _has_made_way(place: Place, now: Place) -> bool:
    """Whether a column has left its name to one that takes its place."""
    (table, column), (its_table, called) = place, now
    return bool(column) and table == its_table and ending(plain(column), plain(called)) == "old"


def _name(place: Place) -> tuple[str, ...]:
    """Return an object's schema and its own name, as the catalog has them."""
    found = lexed(place[0]).begins("[sequence | routine | type] <name>")
    return tuple(parts(found["name"])) if found else ()


def _does(statement: Lexed, form: str) -> bool:
    return any(each.begins(form) for each in statement.executed)


def _granted(session: "psycopg.Connection[Any]", with_columns: Collection[str] = ()) -> dict[Place, _Granted]:
    """Return what is granted on each object, each column with privileges, and all columns of some tables."""
    found: dict[Place, _Granted] = {}
    for shown, column, object_, number, is_said, who, what, passed_on, owner in session.execute(
        _GRANTED.encode(), {"columns": list(with_columns)}
    ):
        one = found.setdefault((shown, column), _Granted((object_, number), is_said, owner))
        if what is not None:
            one.privileges.add((who, what, passed_on))
    return found


def _statements(place: Place, was: _Granted, found: _Granted, roles: Roles) -> Iterator[str]:
    """Yield what gives a new object the privileges of the old one, and takes from PUBLIC what it hadn't."""
    name, column = place
    of = f" ({column})" if column else ""
    missing: dict[tuple[str, bool], list[str]] = defaultdict(list)
    gone = was.privileges - found.privileges
    theirs = [(roles[who], what, passed_on) for who, what, passed_on in gone if who in roles]
    for role, what, passed_on in sorted(theirs):
        missing[role, passed_on].append(f"{what}{of}")
    for (role, passed_on), privileges in missing.items():
        yield f"GRANT {', '.join(privileges)} ON {name} TO {role}{' WITH GRANT OPTION' if passed_on else ''}"
    if any(who == _PUBLIC for who, *_ in found.privileges - was.privileges):
        yield f"REVOKE ALL ON {name} FROM PUBLIC"
