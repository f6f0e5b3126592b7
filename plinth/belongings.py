"""What belongs to a database and goes with it, though it isn't in it: a new one gets it.

Its encoding and locale, tablespace and limit of connections, the settings that it has for all roles or for
one, its owner, privileges, comment and security labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.sql import SQL, Composable, Literal
from sqlalchemy import Connection, text

from plinth import kept_name

_PROVIDERS = {"b": "builtin", "c": "libc", "i": "icu"}

_ROW = text(
    """
    select to_jsonb(d) || jsonb_build_object('encoding', pg_encoding_to_char(d.encoding)) as row,
           quote_ident(s.spcname) as tablespace, d.dattablespace <> t.dattablespace as is_elsewhere,
           to_jsonb(d) - cast(:beside as text[]) = to_jsonb(t) - cast(:beside as text[]) as is_like_all
    from pg_database d join pg_tablespace s on s.oid = d.dattablespace,
         (select * from pg_database where datname = 'template1') t
    where d.datname = cast(:name as name)
    """
)
# A list is kept as it is written behind SET, each other value as a text.
_SETTINGS = text(
    """
    with settings as (
        select setrole, setting, number, quote_ident(:new) as new,
               quote_ident(split_part(setting, '=', 1)) as name,
               substr(setting, strpos(setting, '=') + 1) as value
        from pg_db_role_setting join pg_database d on d.oid = setdatabase,
             unnest(setconfig) with ordinality one (setting, number)
        where datname = cast(:name as name)
    ), written as (
        select name, setrole, number,
               case setrole when 0 then '' else format('role %I in ', pg_get_userbyid(setrole)) end
                   || format('database %s', new) as place,
               case when name <> all(cast(:lists as text[])) then quote_literal(value)
                    when value in ('', '""') then quote_literal('') else value end as value
        from settings
    )
    select setrole::bigint as role, name, format('alter %s set %s = %s', place, name, value) as make,
           format('alter %s reset %s', place, name) as take_back
    from written order by setrole, number
    """
)
_STATEMENTS = text(
    """
    with it as (
        select *, pg_get_userbyid(datdba) as owner, quote_ident(:new) as new from pg_database
        where datname = cast(:name as name)
    )
    select statement from (
        select 1, 0, format('comment on database %s is %L', new, description)
        from it join pg_shdescription on classoid = 'pg_database'::regclass and objoid = oid
        union all
        select 1, 0, format('security label for %I on database %s is %L', provider, new, label)
        from it join pg_shseclabel on classoid = 'pg_database'::regclass and objoid = oid
        union all
        select 2, 0, format('alter database %s owner to %I', new, owner)
        from it where owner <> current_user
        union all
        select 3, 0, format('revoke all on database %s from public, %I', new, owner)
        from it where datacl is not null
        union all
        select 4, number, format('grant %s on database %s to %s%s', privilege_type, new,
                         case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end,
                         case when is_grantable and grantee <> datdba then ' with grant option' else '' end)
        from it, aclexplode(datacl)
             with ordinality acl (grantor, grantee, privilege_type, is_grantable, number)
    ) found (turn, number, statement) order by turn, number, statement
    """
)
_LISTS = (
    *("search_path", "temp_tablespaces", "local_preload_libraries", "session_preload_libraries"),
    *("shared_preload_libraries", "unix_socket_directories"),
)
_IS_PLAIN = text(kept_name.IS_PLAIN.replace("$1", ":name"))


@dataclass(frozen=True)
class Belongings:
    """What belongs to a database.

    Args:
        options: of CREATE DATABASE.
        settings: what its sessions begin with. Revisions are run without them, for they may be what revisions
            have made.
        statements: to be run behind it.
    """

    options: str
    settings: "Sequence[Setting]"
    statements: Sequence[str]


@dataclass(frozen=True)
class Setting:
    """One that a database has, for all roles or for one.

    Args:
        role: its number; 0 for all.
        name: of the setting.
        make: the statement that makes it.
        take_back: the one that takes it back.
    """

    role: int
    name: str
    make: str
    take_back: str


def are_none(server: Connection, name: str) -> bool:
    """Whether a database has nothing that a plain new one of this role hasn't; there may be none."""
    return bool(server.scalar(_IS_PLAIN, {"name": name}))


def of(server: Connection, name: str, new: str) -> Belongings:
    """Return what belongs to a database; nothing if there is none.

    Args:
        server: a session of its server.
        name: the database's.
        new: that of the one that is to get it.
    """
    beside = list(kept_name.OF_EACH_DATABASE)
    row = server.execute(_ROW, {"name": name, "beside": beside}).one_or_none()
    if row is None:
        return Belongings("", [], [])
    options: list[Composable] = [] if row.is_like_all else [SQL("template template0"), *like(row.row)]
    if row.is_elsewhere:
        options.append(SQL("tablespace {}").format(SQL(row.tablespace)))
    if row.row["datconnlimit"] >= 0:
        options.append(SQL("connection limit {}").format(Literal(row.row["datconnlimit"])))
    return Belongings(
        SQL(" ").join(options).as_string(server.connection.driver_connection),
        settings(server, name, new),
        list(server.scalars(_STATEMENTS, {"name": name, "new": new})),
    )


def settings(server: Connection, name: str, new: str) -> list[Setting]:
    """Return the settings of a database, with the statements for another one, as `of` does."""
    found = server.execute(_SETTINGS, {"name": name, "new": new, "lists": list(_LISTS)})
    return [Setting(**each._mapping) for each in found]


def like(database: dict[str, Any]) -> list[Composable]:
    """Return the options that give a database the encoding and locale of another."""
    given = {
        "encoding": database["encoding"],
        "lc_collate": database["datcollate"],
        "lc_ctype": database["datctype"],
    }
    provider = _PROVIDERS.get(database.get("datlocprovider", ""))
    if provider:
        given["locale_provider"] = provider
        # PostgreSQL 17 keeps one locale, 15 and 16 ICU's own.
        locale = database.get("datlocale") or database.get("daticulocale")
        if locale and provider != "libc":
            given["icu_locale" if provider == "icu" else "builtin_locale"] = locale
        if database.get("daticurules"):
            given["icu_rules"] = database["daticurules"]
    return [SQL("{} {}").format(SQL(name), Literal(value)) for name, value in given.items()]
