"""What revisions made, kept: the next reset, or the next run of the tests, begins with a copy of it.

It is copied where its name is that of the revisions as they are now (`plinth.kept_name`), in which all stands
that they depend on. Where a revision reads something else (a file, the environment, the application, what
belongs to the whole server), or does something outside of its database, or new databases aren't empty,
nothing is kept. They are run in a database under a name of its own, where nobody else writes: rows that an
application adds meanwhile would be in each copy. Nobody can connect to what is kept, so it stays as it was.
"""

import ast
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from psycopg.sql import Identifier
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from plinth import advisory, belongings, kept_name, up_to_date
from plinth.apply import sources
from plinth.connecting import wait_until_left
from plinth.sql_text import lexed

log = logging.getLogger(__name__)

POLL_INTERVAL = 0.1  # seconds

_NEW = "_new"  # behind the name of what isn't finished
_SAYS_DATABASE = re.compile(
    r"database|datname|\b(?:table|constraint|domain|udt|specific|routine|sequence|trigger|view)_catalog\b"
    r"|catalog_name",
    re.IGNORECASE,
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
        self.why_not = ""  # in a sentence: a revision that can't be kept

    def find(self) -> str | None:
        """Return the name of what is kept of the same revisions; what is kept of others is dropped."""
        found = None
        for name, is_unfinished in self._server.execute(_KEPT, {"prefix": self._prefix}).all():
            if name == self._name and not is_unfinished:
                found = name
            else:
                self._drop(name)
        return found

    def make(self, migrate: Callable[[URL], None], named: str = "") -> str | None:
        """Return the name of what is kept from now on; None if a copy of it isn't all that revisions make.

        Args:
            migrate: runs the revisions in the database of a URL.
            named: the database that is to be a copy; revisions that speak of it are run in it.

        Raises:
            Exception: that of a revision, which would fail there as well.
        """
        self.why_not = self._reason(named)
        if self._name is None or self.why_not:
            return None
        new = f"{self._name}{_NEW}"
        self._server.execute(text(f"create database {_quoted(new)}"))
        try:
            migrate(self._url.set(database=new))
        except BaseException:
            with suppress(DBAPIError):  # the next one drops it
                self._drop(new)
            raise
        if self._is_all(new, named) and self._close(new):
            return self._name
        self._drop(new)
        return None

    def _reason(self, named: str) -> str:
        """Return what keeps a copy from being all that revisions make, as far as their text tells."""
        for file in sorted(up_to_date.revisions()) if self._name else ():
            if not kept_name.is_pure(file):
                return f"{file.name} depends on more than its file."
            if named and speaks_of(file.read_bytes(), named):
                return f"{file.name} speaks of database {named}."
        return ""

    def _close(self, new: str) -> bool:
        """Give what is finished its name, which nobody can enter from now on; False if somebody is in it."""
        wait_until_left(self._server, new)
        try:
            self._server.execute(text(f"alter database {_quoted(new)} allow_connections false"))
            self._server.execute(text(f"alter database {_quoted(new)} rename to {_quoted(str(self._name))}"))
        except DBAPIError as error:
            log.debug("Database %s isn't kept: %s", new, error)
            return False
        return True

    def _is_all(self, *databases: str) -> bool:
        """Whether a copy is all that the revisions have made, and they are the same still."""
        has_none = all(belongings.are_none(self._server, each) for each in databases)
        return has_none and self._name_now() == self._name

    def _drop(self, name: str) -> None:
        wait_until_left(self._server, name)
        self._server.execute(text(f"drop database if exists {_quoted(name)} with (force)"))

    def _name_now(self) -> str | None:
        given = self._url.get_dialect()().create_connect_args(self._url)[1]
        return kept_name.name_of(
            {name: str(value) for name, value in given.items()}, self._prefix, self._beside
        )


def speaks_of(source: bytes, database: str) -> bool:
    """Whether a revision's strings have the name of a database, and it has a word for one."""
    if database.lower().encode() not in source.lower():
        return False
    tree = sources.tree_of(source)
    texts = [*sources.strings(tree)]
    attributes = [each.attr for each in ast.walk(tree) if isinstance(each, ast.Attribute)] if tree else []
    if not any(map(_SAYS_DATABASE.search, [*texts, *attributes])):
        return False
    parts = [part for each in texts for part in lexed(each).nested]
    return any(part.text == database or part.names(database) for part in parts)


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
