"""Which databases count as development, and the word that a destructive command needs for any other.

A database remembers its environment in the table `plinth.environment`. The row names the very database it was
written in: a copy made from a dump or a template doesn't inherit it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL

from plinth import settings
from plinth.connecting import MissingDatabaseError, connect
from plinth.errors import PlinthError

if TYPE_CHECKING:
    from plinth.local_server import LocalServer

ENVIRONMENTS = ("development", "test", "production")
CONFIRMATION = "PLINTH_CONFIRM"

_THIS_DATABASE = "(select oid from pg_database where datname = current_database())"
_THIS_SERVER = "(select system_identifier from pg_control_system())"


class SafetyError(PlinthError):
    """A destructive command is refused; the message says why and which word it takes."""


@dataclass(frozen=True)
class Protection:
    """What is known of a database before something destructive is done to it.

    Args:
        database: its name.
        marker: the environment it remembers, if it does.
        on_local_server: whether it is on the project's own local server.
        is_empty: whether it has no tables.
    """

    database: str
    marker: str | None
    on_local_server: bool
    is_empty: bool

    def objection(self) -> str | None:
        """Return why a destructive command must not touch the database; None when it may."""
        app_env = settings.app_env()
        environment = self.marker or ("development" if self.on_local_server else None)
        if environment and app_env and environment != app_env:
            return f"it is a {environment} database and APP_ENV is {app_env}"
        if environment == "production":
            return "it is a production database"
        if environment == "test" and app_env != "test":
            return "it is a test database and APP_ENV is not set to test"
        if environment:
            return None
        if self.is_empty and app_env == "development":
            return None
        return (
            "nothing says that it is a development database (the local server, or the marker that "
            "`python -m plinth environment development` sets)"
        )


def refuse_unless_development(url: URL, action: str) -> None:
    """Return if a destructive command may go on: on a development database, or by an explicit word.

    A database that isn't there has nothing to lose, unless APP_ENV is production.

    Args:
        url: the database.
        action: what would be done, to follow "I would".

    Raises:
        SafetyError: it may not.
        ConnectError: the server can't be reached.
    """
    if os.environ.get(CONFIRMATION) == url.database:
        return
    try:
        with connect(url) as connection:
            objection = protection(connection, url).objection()
    except MissingDatabaseError:
        objection = "APP_ENV is production" if settings.app_env() == "production" else None
    if objection:
        raise SafetyError(
            f"Refused to {action} database {url.database!r}: {objection}. "
            f"If you mean it, set {CONFIRMATION}={url.database}"
        )


def objection_to_losses(connection: Connection) -> str | None:
    """Return why rows must not be lost here, with the word that allows it; None when they may."""
    known = protection(connection, connection.engine.url)
    if os.environ.get(CONFIRMATION) == known.database or _is_on(connection.engine.url, _test_server):
        return None
    objection = known.objection()
    return f"{objection}. If you mean it, set {CONFIRMATION}={known.database}" if objection else None


def refuse_if_protected(connection: Connection, action: str) -> None:
    """Return if a database may be emptied that has no rows to lose: unless it is known to be protected.

    Args:
        connection: the database.
        action: what would be done, to follow "Refused to".

    Raises:
        SafetyError: its marker says production or differs from APP_ENV, or APP_ENV is production.
    """
    if read_marker(connection) is None and settings.app_env() != "production":
        return
    objection = objection_to_losses(connection)
    if objection:
        raise SafetyError(f"Refused to {action}: {objection}")


def remember_environment(connection: Connection) -> None:
    """Let a database that has no marker remember what it is, where that is certain; the caller commits.

    A database on the local server is for development; one that is migrated with APP_ENV=production is
    production for good. Any other stays without a marker, and thereby protected.
    """
    if read_marker(connection) is not None:
        return
    app_env = settings.app_env()
    if app_env == "production":
        write_marker(connection, app_env)
    elif _is_on(connection.engine.url, _development_server):
        write_marker(connection, app_env or "development")


def protection(connection: Connection, url: URL) -> Protection:
    """Return what protects the database of `connection`, which `url` led to."""
    tables = connection.scalar(
        text(
            "select count(*) from pg_class join pg_namespace on pg_namespace.oid = relnamespace "
            "where relkind in ('r', 'p', 'f', 'm', 'v') and nspname !~ '^pg_' "
            "and nspname not in ('information_schema', 'plinth')"
        )
    )
    return Protection(
        database=str(connection.scalar(text("select current_database()"))),
        marker=read_marker(connection),
        on_local_server=is_on_local_server(url),
        is_empty=tables == 0,
    )


def read_marker(connection: Connection) -> str | None:
    """Return the environment that the database remembers; None when it doesn't, or when it is a copy."""
    if connection.scalar(text("select to_regclass('plinth.environment')")) is None:
        return None
    marker: str | None = connection.scalar(
        text(
            "select name from plinth.environment "  # noqa: S608 - constants of this module
            f"where database = {_THIS_DATABASE} and server = {_THIS_SERVER}"
        )
    )
    return marker


def write_marker(connection: Connection, environment: str) -> None:
    """Make the database remember its environment; the caller commits.

    Raises:
        SafetyError: there is no such environment.
    """
    if environment not in ENVIRONMENTS:
        raise SafetyError(f"{environment!r} is no environment: write one of {', '.join(ENVIRONMENTS)}.")
    connection.execute(text("create schema if not exists plinth"))
    connection.execute(
        text(
            "create table if not exists plinth.environment ("
            "name text not null, database oid not null, server bigint not null)"
        )
    )
    connection.execute(text("delete from plinth.environment"))
    connection.execute(
        text(
            "insert into plinth.environment (name, database, server) "
            f"select :name, {_THIS_DATABASE}, {_THIS_SERVER}"
        ),
        {"name": environment},
    )


def is_on_local_server(url: URL) -> bool:
    """Whether `url` leads to the project's own local server."""
    return _is_on(url, _development_server) or _is_on(url, _test_server)


def _development_server() -> "LocalServer":
    from plinth.local_server import development_server  # noqa: PLC0415

    return development_server()


def _test_server() -> "LocalServer":
    from plinth.local_server import test_server  # noqa: PLC0415

    return test_server()


def _is_on(url: URL, find: Callable[[], "LocalServer"]) -> bool:
    if url.host or "host" not in url.query:
        return False  # and its libraries need not be loaded
    try:
        server = find()
        if not server.exists():
            return False
        own = server.url("postgres")
    except (ImportError, PlinthError):  # its libraries are for development: no local server here
        return False
    return all(url.query.get(name) == own.query[name] for name in ("host", "port"))
