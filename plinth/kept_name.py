"""The name of what is kept of the same revisions, in which all stands that they depend on.

It differs where anything does that another database would come of: the revisions' files and all that an
upgrade reads (`plinth.up_to_date`), who applies them, his session's settings, the roles that they name, and
the day, as one may make this month's partition.

A reset that copies has no other question to put. So this is asked by libpq, without SQLAlchemy and psycopg.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plinth import libpq, settings, up_to_date

_WITHIN = 5  # seconds, for each answer

_IMPORTS = re.compile(
    rb"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import\b|import[ \t]+([\w.]+)(?:[ \t]+as[ \t]+\w+)?[ \t]*$)",
    re.MULTILINE,
)
_PURE = {
    *(
        "__future__",
        "alembic",
        "sqlalchemy",
        "collections",
        "datetime",
        "decimal",
        "enum",
        "itertools",
        "json",
    ),
    *("math", "re", "string", "textwrap", "time", "typing", "uuid"),
}
# What depends on more than the file and the database, or reaches out of the database.
_IMPURE = (
    rb"\b(?:open|exec|eval|compile|__import__|getattr|globals|vars)\s*\(|__file__|__builtins__|\benviron|get_x_argument"
    rb"|\bconfig\b|\b(?:create|alter|drop)\s+(?:role|user|group|tablespace|database|subscription|server)\b"
    rb"|\balter\s+system\b|\bcomment\s+on\s+database\b|\bon\s+database\b|\bcopy\b|\bdblink|\bpg_read|\blo_import"
    rb"|\bcurrent_(?:database|catalog|setting)\b|\bcreate_(?:async_)?engine\b|\bopts\b"
    rb"|\bpg_(?:roles|authid|auth_members|user|group|shadow|database|tablespace|settings|available_ext\w+)\b"
)
# What initdb makes has smaller numbers: somebody has put something where each new database begins.
_IS_FILLED = " or ".join(
    f"exists (select from {table} where oid >= 16384)"
    for table in ("pg_class", "pg_proc", "pg_type", "pg_namespace", "pg_extension", "pg_default_acl")
)
# Who runs revisions and when, where and to whom new objects go, how a literal is read, and which roles there
# are. What a session, or its database, sets beside that is its own affair.
RUN = """
    select current_user || current_date || coalesce(string_agg(name || '=' || setting, ',' order by name), '')
           as session, (select json_agg(rolname order by rolname) from pg_roles) as roles
    from pg_settings
    where context in ('user', 'superuser') and source not in ('default', 'database', 'session')
      and name <> 'application_name'
    """
# What another role keeps is neither copied nor dropped: most may do neither. After an interrupted DROP, the
# limit of connections is -2.
KEPT = """
    select datname as name, datallowconn or datconnlimit = -2 as is_unfinished from pg_database
    where starts_with(datname, $1) and pg_has_role(datdba, 'usage')
    """
# What a database doesn't share with others, or what says nothing of how it was made.
OF_EACH_DATABASE = (
    *("oid", "datname", "datdba", "datistemplate", "datallowconn", "datconnlimit", "datlastsysoid", "datacl"),
    *("datfrozenxid", "datminmxid", "dattablespace", "datcollversion", "dathasloginevt"),
)
# A database has what a new one has that this role makes: a copy of another one is all that can be said of it.
IS_PLAIN = """
    select not exists (
        select from pg_database d, (select * from pg_database where datname = 'template1') t
        where d.datname = cast($1 as name) and (
            d.datacl is not null or d.datconnlimit not in (-1, -2) or d.dattablespace <> t.dattablespace
            or d.datdba <> (select oid from pg_roles where rolname = current_user)
            or to_jsonb(d) - '{beside}'::text[] <> to_jsonb(t) - '{beside}'::text[]
            or exists (select from pg_db_role_setting where setdatabase = d.oid)
            or exists (select from pg_shdescription
                       where classoid = 'pg_database'::regclass and objoid = d.oid)
            or exists (select from pg_shseclabel where classoid = 'pg_database'::regclass and objoid = d.oid)
            or exists (select from pg_subscription where subdbid = d.oid)))
    """.replace("{beside}", f"{{{','.join(OF_EACH_DATABASE)}}}")


def name_of(place: Mapping[str, str], prefix: str, beside: str = "") -> str | None:
    """Return the name of what is kept of the revisions as they are; None where it can't be told.

    Args:
        place: what libpq is told of any database of the server.
        prefix: of the name.
        beside: what else the revisions depend on.
    """
    files = up_to_date.fingerprint()
    if files is None:
        return None
    asked = f"select {_IS_FILLED} as is_filled, run.* from ({RUN}) run"  # noqa: S608 - all ours
    try:
        with libpq.session({**place, "dbname": "template1"}, _WITHIN) as session:
            (found,) = session.ask(asked)
    except libpq.NoAnswer:
        return None
    if found["is_filled"]:
        return None
    sources = b"\n".join(file.read_bytes() for file in up_to_date.revisions()).decode(errors="replace")
    seen = f"{files} {place.get('client_encoding')} {depends_on(found, sources)} {beside}"
    return f"{prefix}{hashlib.sha256(seen.encode()).hexdigest()[:32]}"


def depends_on(run: Mapping[str, Any], sources: str) -> str:
    """Return all that the same revisions would make something else by: who runs them, where and on which day.

    Args:
        run: what `RUN` finds.
        sources: the revisions'.
    """
    named = [role for role in run["roles"] if role in sources]  # GRANT … TO one that may be missing
    return f"{settings.app_env()} {run['session']} {named}"


def is_pure(file: Path) -> bool:
    """Whether a revision does the same each time, as far as its text tells."""
    source = file.read_bytes()
    imported = [(one or other).partition(b".")[0].decode() for one, other in _IMPORTS.findall(source)]
    are_all = len(imported) == len(re.findall(rb"\bimport\b", source))
    return are_all and _PURE.issuperset(imported) and not re.search(_IMPURE, source, re.IGNORECASE)
