"""What the last reset made by revisions, kept beside the development database: the next one is a copy of it.

It is copied where nothing differs that revisions depend on: their files and all that an upgrade reads
(`plinth.up_to_date`). Where a revision reads something else (a file, the environment, the application), or
does something outside of its database, or new databases aren't empty, nothing is kept. Nobody can connect to
what is kept, so it stays as it was.
"""

import hashlib
import logging
import re
from pathlib import Path

from psycopg.sql import Identifier
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from plinth import settings, up_to_date
from plinth.connecting import connect

log = logging.getLogger(__name__)

PREFIX = "plinth_reset_"

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
    rb"|\bcurrent_database\b|\bcurrent_setting\b",
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
_KEPT = text("select datname, datallowconn from pg_database where starts_with(datname, :prefix)")


class ResetTemplate:
    """What is kept of one database.

    Args:
        server: a session, in autocommit, of the server.
        url: the database.
    """

    def __init__(self, server: Connection, url: URL) -> None:
        self._server = server
        self._database = str(url.database)
        self._prefix = f"{PREFIX}{hashlib.sha256(self._database.encode()).hexdigest()[:8]}_"
        self._url = url
        self._name = self._name_now()

    def find(self) -> str | None:
        """Return the name of what is kept of the same revisions; what is kept of others is dropped."""
        found = None
        for name, can_change in self._server.execute(_KEPT, {"prefix": self._prefix}).all():
            if name == self._name and not can_change:
                found = name
            else:
                self._drop(name)
        return found

    def keep(self) -> None:
        """Keep the database as it is, if a copy of it is all that the revisions have made."""
        if self._name is None or self._server.scalar(_BESIDE, {"name": self._database}):
            return
        if self._name_now() != self._name:  # a file was edited meanwhile
            return
        ours, kept = _quoted(self._database), _quoted(self._name)
        try:
            self._server.execute(text(f"create database {kept} template {ours}"))
        except DBAPIError as error:  # somebody is connected: the next reset runs the revisions
            log.debug("Database %s isn't kept: %s", self._database, error)
        else:
            self._server.execute(text(f"alter database {kept} allow_connections false"))

    def _name_now(self) -> str | None:
        key = _key(self._url)
        return key and f"{self._prefix}{key[:32]}"

    def _drop(self, name: str) -> None:
        self._server.execute(text(f"drop database {_quoted(name)} with (force)"))


def _key(url: URL) -> str | None:
    """Return what tells revisions apart that make another database; None where that can't be told."""
    files = up_to_date.fingerprint()
    if files is None or not all(map(_is_pure, up_to_date.revisions())):
        return None
    with connect(url.set(database="template1")) as connection:
        if connection.scalar(_IS_FILLED):
            return None
    return hashlib.sha256(f"{files} {settings.app_env()}".encode()).hexdigest()


def _is_pure(file: Path) -> bool:
    """Whether a revision does the same each time, as far as its text tells."""
    source = file.read_bytes()
    imported = [(one or other).partition(b".")[0].decode() for one, other in _IMPORTS.findall(source)]
    are_all = len(imported) == len(re.findall(rb"\bimport\b", source))
    return are_all and _PURE.issuperset(imported) and not _IMPURE.search(source)


def _quoted(name: str) -> str:
    return Identifier(name).as_string().replace(":", r"\:")
