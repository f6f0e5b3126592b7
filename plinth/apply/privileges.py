"""Who may do what with objects: what is granted, what is by default, and the statements that say it."""

import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from plinth.apply.privilege_words import PUBLIC
from plinth.sql_text import lexed, parts, plain

TYPE = "TYPE "  # holds no rows that somebody may not see
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
        select format('{TYPE}%%I.%%I', nspname, typname), null, nspname, t.oid, 0, typowner,
               typacl is not null, coalesce(typacl, acldefault('T', typowner))
        from pg_type t join pg_namespace n on n.oid = typnamespace left join pg_class c on c.oid = typrelid
        where typtype in ('d', 'e', 'r', 'c') and coalesce(relkind, 'c') = 'c' and {_SCHEMAS}
    ) o left join lateral aclexplode(acl) g on grantee <> owner
    """  # noqa: S608 - a constant

Place = tuple[str, str]  # an object as GRANT names it, and a column of it or nothing
Privilege = tuple[int, str, bool]  # who, what, and whether it may be passed on
Roles = dict[int, str]  # their names in SQL; what a role that is gone had, nobody has
_PUBLIC = 0
_ROLES = f"""
    select {_PUBLIC}::oid, '{PUBLIC}'::name, upper('{PUBLIC}')
    union all select oid, rolname, quote_ident(rolname) from pg_roles
    """  # noqa: S608 - a constant
_ME = """
    select role, oid from unnest(array['current_user', 'current_role', 'session_user']) role join pg_roles
    on rolname = case role when 'session_user' then session_user else current_user end
    """
# What others get on what a role makes, in all schemas or in one (ALTER DEFAULT PRIVILEGES).
_DEFAULTS = """
    select defaclrole, coalesce(nspname, ''), defaclobjtype::text, grantee, privilege_type, is_grantable
    from pg_default_acl left join pg_namespace n on n.oid = defaclnamespace
    left join lateral aclexplode(defaclacl) on grantee <> defaclrole
    """
_LETTERS = {"": "r", "SEQUENCE": "S", "ROUTINE": "f", "TYPE": "T"}  # there, of kinds
_BUILT_IN = {"f": {(_PUBLIC, "EXECUTE", False)}, "T": {(_PUBLIC, "USAGE", False)}}
_WITH_OPTION = " WITH GRANT OPTION"


@dataclass
class Granted:
    """What was granted on one object or column.

    Args:
        identity: which it is.
        is_said: somebody has granted or revoked something.
        owner: the role; None where the revision says itself who is to be it, or its table does.
        privileges: of others than its owner.
        unsure: of these, what the revision may have revoked, by words that can't be read with certainty.
    """

    identity: tuple[int, int]
    is_said: bool
    owner: int | None
    privileges: set[Privilege] = field(default_factory=set)
    unsure: set[Privilege] = field(default_factory=set)

    def take_away(self, taken: Collection[Privilege], *, only_option: bool = False) -> None:
        """Take away some of the privileges, or that they may be passed on."""
        self.privileges.difference_update(taken)
        self.privileges |= {(who, what, False) for who, what, _ in taken} if only_option else set()


class Server:
    """Roles, and what they get by default on what is made.

    Args:
        session: the migrations'.
    """

    def __init__(self, session: "psycopg.Connection[Any]") -> None:
        self._session = session

    @functools.cached_property
    def roles(self) -> Roles:
        """Their names in SQL."""
        return {number: shown for number, _, shown in self._roles}

    @functools.cached_property
    def _roles(self) -> list[tuple[int, str, str]]:
        return self._session.execute(_ROLES.encode()).fetchall()

    @functools.cached_property
    def _known(self) -> dict[str, int]:
        return {name: number for number, name, _ in self._roles} | self._said

    @functools.cached_property
    def _said(self) -> dict[str, int]:
        return dict(self._session.execute(_ME.encode()).fetchall())

    @property
    def current(self) -> int | None:
        """The role that migrates."""
        return self._said.get("current_user")

    def numbers(self, written: Iterable[str]) -> set[int | None]:
        """Return roles by what a statement calls them."""
        return {self._said.get(each) or self._known.get(plain(each)) for each in written}

    @functools.cached_property
    def _defaults(self) -> dict[tuple[int, str, str], set[Privilege]]:
        found: dict[tuple[int, str, str], set[Privilege]] = {}
        for role, schema, letter, *privilege in self._session.execute(_DEFAULTS.encode()):
            of = found.setdefault((role, schema, letter), set())
            if privilege[0] is not None:
                of.add((privilege[0], privilege[1], privilege[2]))
        return found

    def given(self, place: Place, owner: int | None) -> set[Privilege]:
        """Return what others get on an object when it is made, by its owner or by the role that migrates."""
        name, column = place
        if column:
            return set()
        letter, schema = _LETTERS[kind_of(name)], name_of(place)[0]
        found: set[Privilege] = set()
        for role in {owner, self.current} - {None}:
            everywhere = self._defaults.get((role or 0, "", letter))
            found |= _BUILT_IN.get(letter, set()) if everywhere is None else everywhere
            found |= self._defaults.get((role or 0, schema, letter), set())
        return found


def all_granted(
    session: "psycopg.Connection[Any]", with_columns: Collection[str] = ()
) -> dict[Place, Granted]:
    """Return what is granted on each object, each column with privileges, and all columns of some tables."""
    found: dict[Place, Granted] = {}
    for shown, column, object_, number, is_said, who, what, passed_on, owner in session.execute(
        _GRANTED.encode(), {"columns": list(with_columns)}
    ):
        one = found.setdefault((shown, column), Granted((object_, number), is_said, owner))
        if what is not None:
            one.privileges.add((who, what, passed_on))
    return found


def statements_of(verb: str, place: Place, privileges: Collection[Privilege], roles: Roles) -> Iterator[str]:
    """Yield what grants some privileges on an object, or revokes them: of roles that there are."""
    name, column = place
    of = f" ({column})" if column else ""
    said: dict[tuple[str, bool], list[str]] = defaultdict(list)
    theirs = [(roles[who], what, passed_on) for who, what, passed_on in privileges if who in roles]
    for role, what, passed_on in sorted(theirs):
        said[role, passed_on].append(f"{what}{of}")
    for (role, passed_on), each in said.items():
        to = "TO" if verb == "GRANT" else "FROM"
        yield f"{verb} {', '.join(each)} ON {name} {to} {role}{_WITH_OPTION if passed_on else ''}"


def as_note(place: Place, was: Granted) -> list[Any]:
    """Return it as the ledger has it (`from_note`)."""
    return [*place, was.identity, was.is_said, was.owner, sorted(was.privileges), sorted(was.unsure)]


def from_note(note: Sequence[Any]) -> tuple[Place, Granted]:
    """Return what the ledger has (`as_note`)."""
    name, column, (number, part), is_said, owner, *privileges = note
    had, unsure = ({(who, what, passed_on) for who, what, passed_on in each} for each in privileges)
    return (name, column), Granted((number, part), is_said, owner, had, unsure)


def kind_of(name: str) -> str:
    """Return the word before an object's name, as GRANT needs it; empty before a table's or view's."""
    return next((each for each in _LETTERS if each and name.startswith(f"{each} ")), "")


def name_of(place: Place) -> tuple[str, ...]:
    """Return an object's schema and its own name, as the catalog has them."""
    found = lexed(place[0]).begins("[sequence | routine | type] <name>")
    return tuple(parts(found["name"])) if found else ()
