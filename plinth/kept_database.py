"""What revisions made, kept: the next reset, or the next run of the tests, begins with a copy of it.

It is copied where nothing differs that revisions depend on: their files and all that an upgrade reads
(`plinth.up_to_date`), who applies them, his session's settings, the roles that they name, and the day, as one
may make this month's partition. Where a revision reads something else (a file, the environment, the
application, what belongs to the whole server), or does something outside of its database, or new databases
aren't empty, nothing is kept. Nobody can connect to what is kept, so it stays as it was.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.sql import Identifier
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from plinth import advisory, settings, up_to_date
from plinth.connecting import connect

log = logging.getLogger(__name__)

POLL_INTERVAL = 0.1  # seconds

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
    *("math", "re", "string", "textwrap", "typing", "uuid"),
}
# What depends on more than the file and the database, or reaches out of the database.
_IMPURE = re.compile(
    rb"\b(?:open|exec|eval|compile|__import__|getattr|globals|vars)\s*\(|__file__|__builtins__|\benviron|get_x_argument"
    rb"|\bconfig\b|\b(?:create|alter|drop)\s+(?:role|user|group|tablespace|database|subscription|server)\b"
    rb"|\balter\s+system\b|\bcomment\s+on\s+database\b|\bon\s+database\b|\bcopy\b|\bdblink|\bpg_read|\blo_import"
    rb"|\bcurrent_(?:database|catalog|setting)\b|\bcreate_(?:async_)?engine\b|\bopts\b"
    rb"|\bpg_(?:roles|authid|auth_members|user|group|shadow|database|tablespace|settings|available_ext\w+)\b",
    re.IGNORECASE,
)
# What initdb makes has smaller numbers: somebody has put something where each new database begins.
_IS_FILLED = text(
    "select "  # noqa: S608 - constants
    + " or ".join(
        f"exists (select from {table} where oid >= 16384)"
        for table in ("pg_class", "pg_proc", "pg_type", "pg_namespace", "pg_extension", "pg_default_acl")
    )
)
# What belongs to a database, and a copy of it hasn't.
_BESIDE = text(
    """
    select exists (select from pg_db_role_setting where setdatabase = d.oid)
        or exists (select from pg_shdescription where classoid = 'pg_database'::regclass and objoid = d.oid)
        or exists (select from pg_shseclabel where classoid = 'pg_database'::regclass and objoid = d.oid)
        or exists (select from pg_subscription where subdbid = d.oid)
        or datacl is not null
    from pg_database d where datname = :name
    """
)
# What another role keeps is neither copied nor dropped: most may do neither. After an interrupted DROP, the
# limit of connections is -2.
_KEPT = text(
    """
    select datname, datallowconn or datconnlimit = -2 from pg_database
    where starts_with(datname, :prefix) and pg_has_role(datdba, 'usage')
    """
)
# Where and to whom new objects go, how a literal is read, and what day it is.
_SESSION = text(
    """
    select current_user || current_date || string_agg(name || '=' || setting, ',' order by name)
    from pg_settings
    where context in ('user', 'superuser') and source <> 'default' and name <> 'application_name'
    """
)
_ROLES = text("select rolname from pg_roles order by rolname")


class KeptDatabase:
    """What is kept of the same revisions; who asks has his turn (`one_at_a_time`).

    Args:
        server: a session, in autocommit, of the server.
        url: any database's of that server.
        prefix: of the names of what is kept; there is at most one, and the others are dropped.
        beside: what else the revisions depend on.
    """

    def __init__(self, server: Connection, url: URL, prefix: str, beside: str = "") -> None:
        self._server = server
        self._url = url
        self._prefix = prefix
        self._beside = beside
        self._name = self._name_now()

    def find(self) -> str | None:
        """Return the name of what is kept of the same revisions; what is kept of others is dropped."""
        found = None
        for name, is_unfinished in self._server.execute(_KEPT, {"prefix": self._prefix}).all():
            if name == self._name and not is_unfinished:
                found = name
            else:
                self._server.execute(text(f"drop database {_quoted(name)} with (force)"))
        return found

    def keep(self, database: str) -> None:
        """Keep a database as it is, if a copy of it is all that the revisions have made."""
        if self._name is None or self._server.scalar(_BESIDE, {"name": database}):
            return
        if self._name_now() != self._name:  # a file was edited meanwhile
            return
        kept = _quoted(self._name)
        try:
            self._server.execute(text(f"create database {kept} template {_quoted(database)}"))
        except DBAPIError as error:  # somebody is connected: the next one runs the revisions
            log.debug("Database %s isn't kept: %s", database, error)
        else:
            self._server.execute(text(f"alter database {kept} allow_connections false"))

    def _name_now(self) -> str | None:
        key = _key(self._url, self._beside)
        return key and f"{self._prefix}{key[:32]}"


@contextmanager
def one_at_a_time(server: Connection, name: str, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock on the server as long as the block runs; it ends with its session, whatever happens.

    Args:
        server: a session, in autocommit.
        name: of what is done one at a time.
        waiting: called once if another one is at it.
    """
    key = advisory.number_of(name)
    is_said = False
    # Polled: who waits inside pg_advisory_lock() holds a snapshot, and concurrent index builds wait for it.
    while not server.scalar(text("select pg_try_advisory_lock(:key)"), {"key": key}):
        if not is_said:
            waiting()
            is_said = True
        time.sleep(POLL_INTERVAL)
    try:
        yield
    finally:
        if not server.invalidated:  # by an interruption: the lock has ended with the session
            server.execute(text("select pg_advisory_unlock(:key)"), {"key": key})


def _key(url: URL, beside: str) -> str | None:
    """Return what tells revisions apart that make another database; None where that can't be told."""
    files = up_to_date.fingerprint()
    if files is None or not all(map(_is_pure, up_to_date.revisions())):
        return None
    with connect(url.set(database="template1")) as connection:
        if connection.scalar(_IS_FILLED):
            return None
        session = connection.scalar(_SESSION)
        roles = connection.scalars(_ROLES).all()
    sources = b"\n".join(file.read_bytes() for file in up_to_date.revisions()).decode(errors="replace")
    named = [role for role in roles if role in sources]  # GRANT … TO one that may be missing
    return hashlib.sha256(f"{files} {settings.app_env()} {session} {named} {beside}".encode()).hexdigest()


def _is_pure(file: Path) -> bool:
    """Whether a revision does the same each time, as far as its text tells."""
    source = file.read_bytes()
    imported = [(one or other).partition(b".")[0].decode() for one, other in _IMPORTS.findall(source)]
    are_all = len(imported) == len(re.findall(rb"\bimport\b", source))
    return are_all and _PURE.issuperset(imported) and not _IMPURE.search(source)


def _quoted(name: str) -> str:
    return Identifier(name).as_string().replace(":", r"\:")
