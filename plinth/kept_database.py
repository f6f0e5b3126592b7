"""What revisions made, kept: the next reset, or the next run of the tests, begins with a copy of it.

It is copied where its name is that of the revisions as they are now (`plinth.kept_name`), in which all stands
that they depend on. Where a revision reads something else (a file, the environment, the application, what
belongs to the whole server), or does something outside of its database, or new databases aren't empty,
nothing is kept. Nobody can connect to what is kept, so it stays as it was.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from psycopg.sql import Identifier
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from plinth import advisory, kept_name

log = logging.getLogger(__name__)

POLL_INTERVAL = 0.1  # seconds

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
_KEPT = text(kept_name.KEPT.replace("$1", ":prefix"))


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
        if not kept_name.are_pure() or self._name_now() != self._name:  # a file was edited meanwhile
            return
        kept = _quoted(self._name)
        try:
            self._server.execute(text(f"create database {kept} template {_quoted(database)}"))
        except DBAPIError as error:  # somebody is connected: the next one runs the revisions
            log.debug("Database %s isn't kept: %s", database, error)
        else:
            self._server.execute(text(f"alter database {kept} allow_connections false"))

    def _name_now(self) -> str | None:
        given = self._url.get_dialect()().create_connect_args(self._url)[1]
        return kept_name.name_of(
            {name: str(value) for name, value in given.items()}, self._prefix, self._beside
        )


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


def _quoted(name: str) -> str:
    return Identifier(name).as_string().replace(":", r"\:")
