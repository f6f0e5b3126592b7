"""Connections to a database, and a sentence for each way in which there is none."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psycopg.conninfo
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from plinth import leaving, redirecting, settings
from plinth.errors import PlinthError
from plinth.listening import listening
from plinth.server_errors import advice, words

# A dead network is noticed within half a minute, whoever waits. What the URL says goes first.
BOUNDS: Mapping[str, Any] = {
    "connect_timeout": 15,  # seconds
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
    "client_encoding": "utf8",
}
# How values are read and printed, whatever database and role say. "ISO" keeps the order of day and month.
FORMATS = {
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "client_encoding": "UTF8",
    "extra_float_digits": "1",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    "xmloption": "content",
}
# They would end a session that waits for another one: a proof, the plan, a question to the user.
LIMITS = ("idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout")
# Behind a pooler the session is another client's too, which keeps its limits; older servers have fewer.
_SETTLE = """
    select set_config(name, value, false)
    from (select name, value from unnest(%s::text[], %s::text[]) given (name, value)
          union all
          select name, '0' from unnest(%s::text[]) limits (name)
          where current_setting(name, true) is not null and pg_backend_pid() = %s) wanted
    """

MAINTENANCE_DATABASES = ("postgres", "template1")

_IS_ENTERED = text(leaving.IS_ENTERED.replace("$1", ":name"))
_ITS_URL = "DATABASE_URL, or where else its URL stands"


class Led(BaseException):
    """Where a connection would lead, in its place. No error, so that nobody takes it for one."""

    def __init__(self, url: URL) -> None:
        super().__init__(str(url))
        self.url = url


class ConnectError(PlinthError):
    """There is no connection; the message says why and what to do."""


class MissingDatabaseError(ConnectError):
    """The server itself says that it has no database of that name, or has dropped it half."""


def engine(url: URL) -> Engine:
    """Return an engine without a pool: a command connects once, and leaves nothing behind."""
    bounds = {name: value for name, value in BOUNDS.items() if name not in url.query}
    # Behind a pooler, a prepared statement is unknown to the session that gets the next transaction.
    made = create_engine(url, poolclass=NullPool, connect_args={"prepare_threshold": None, **bounds})
    redirecting.stays_where_it_is(made)

    @event.listens_for(made, "connect", insert=True)  # before the dialect asks something
    def settle(session: "psycopg.Connection[Any]", _: object) -> None:
        settle_session(session)

    return made


def is_ours(dialect: Dialect) -> bool:
    """Whether a dialect is psycopg's, and not the asynchronous one, which has the same name."""
    return dialect.driver == "psycopg" and not dialect.is_async


def on_our_driver(given: Engine) -> Engine:
    """Return an engine that leads where a given one does, on psycopg.

    Raises:
        ConnectError: it isn't PostgreSQL's, or makes its connections by a function of its own.
    """
    if given.dialect.name != "postgresql":
        raise ConnectError(
            f"The connection that was handed over is {given.dialect.name}'s: only PostgreSQL is supported."
        )
    if is_ours(given.dialect):
        return given
    return engine(redirecting.target() or _where(given))


def _where(given: Engine) -> URL:
    """Return where an engine's connections go, by its `connect_args` and listeners too; none is made."""

    def refuse(_: object, __: object, arguments: Sequence[Any], options: Mapping[str, Any]) -> None:
        raise Led(url_of_arguments(arguments, options, "The engine"))

    try:
        with listening((given, "do_connect", refuse)), suppress(SQLAlchemyError):
            given.pool.recreate().connect().close()
    except Led as led:
        return led.url
    raise ConnectError(
        "The engine that was handed over makes its connections by a function of its own (async_creator), and "
        "where they lead isn't seen. Hand over one of psycopg's (postgresql+psycopg://, create_engine), or "
        "none: then it is DATABASE_URL's database."
    )


def url_of_arguments(arguments: Sequence[Any], options: Mapping[str, Any], setting: str) -> URL:
    """Return the URL of what a driver's `connect()` is told.

    Args:
        arguments: by their places.
        options: by their names.
        setting: where they come from, for messages.

    Raises:
        SettingsError: a URL can't say it.
    """
    said = {**(psycopg.conninfo.conninfo_to_dict(arguments[0]) if arguments else {}), **options}
    database = said.pop("dbname", None) or said.pop("database", None)
    user, password = said.pop("user", None), said.pop("password", None)
    sets = dict(said.pop("server_settings", {}))  # asyncpg's
    if "application_name" in sets:  # libpq's, too, and poolers know it
        said["application_name"] = sets.pop("application_name")
    if sets:
        escaped = {name: re.sub(r"([\\ ])", r"\\\1", value) for name, value in sets.items()}
        said["options"] = " ".join(f"-c {name}={value}" for name, value in escaped.items())
    rest = {
        name: ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        for name, value in said.items()
        if isinstance(value, str | int | list | tuple)
    }
    host, port = rest.get("host", ""), rest.get("port", "")
    if host and "/" not in host and "," not in host + port:
        del rest["host"]
        rest.pop("port", None)
    else:
        host, port = "", ""
    named = URL.create(
        "postgresql+asyncpg",  # the options are some driver's
        username=user,
        password=password,
        host=host or None,
        port=int(port) if port else None,
        database=database,
        query=rest,
    )
    return settings.parse_url(named.render_as_string(hide_password=False), setting)


@contextmanager
def on_our_driver_too(given: Connection) -> Iterator[Connection]:
    """Yield a connection if it is psycopg's, else one beside it that leads to the same database.

    Raises:
        ConnectError: it isn't PostgreSQL's, or there is none.
    """
    if is_ours(given.dialect):
        yield given
        return
    other = on_our_driver(given.engine)
    with connect(other.url) as connection:
        yield connection


def settle_session(session: "psycopg.Connection[Any]") -> None:
    """Set what our commands depend on, as no database or role may change it; the session has no transaction.

    Limits of idle time and of a transaction's are lifted, unless a pooler stands between.
    """
    names, values = list(FORMATS), list(FORMATS.values())
    session.execute(_SETTLE, [names, values, list(LIMITS), session.info.backend_pid])
    session.commit()


@contextmanager
def connect(url: URL, *, autocommit: bool = False) -> Iterator[Connection]:
    """Yield a connection.

    Args:
        url: the database.
        autocommit: each statement stands for itself, as CREATE DATABASE demands.

    Raises:
        MissingDatabaseError: there is no database of that name.
        ConnectError: the server can't be reached, or refuses.
    """
    try:
        connection = engine(url).connect()
    except DBAPIError as error:
        raise explain(url, error) from error
    with connection:
        if autocommit:
            connection.execution_options(isolation_level="AUTOCOMMIT")
        yield connection


@contextmanager
def connect_to_maintenance_database(url: URL) -> Iterator[Connection]:
    """Yield a connection, in autocommit, to a database of the same server from which others are made.

    Raises:
        ConnectError: there is none that lets us in.
    """
    with ExitStack() as stack:
        yield _enter_first(stack, [url.set(database=name) for name in MAINTENANCE_DATABASES])


def wait_until_left(server: Connection, name: str) -> None:
    """Return when nobody is in a database that is to be dropped, renamed or copied, or soon (`leaving`).

    Args:
        server: a connection, in autocommit, to another database of its server.
        name: its name.
    """
    leaving.wait(lambda: server.scalar(_IS_ENTERED, {"name": name}))


def server_version(connection: Connection) -> int:
    """Return the major version of the server."""
    version = connection.dialect.server_version_info
    return int(version[0]) if version else 0


def explain(url: URL, error: DBAPIError) -> ConnectError:
    """Return why there is no connection to `url`, in one line.

    The server's words differ by version and language, so they are shown and not read: whether a database is
    missing is asked in another one.
    """
    secrets = [name for name in url.query if "password" in name or "secret" in name or "_key" in name]
    shown = url.set(drivername="postgresql").difference_update_query(secrets)
    place = shown.render_as_string(hide_password=True)
    said = words(error)
    remedy = advice(error)  # the session was there, and got no further
    if remedy:
        return ConnectError(f"There is no session at {place}: {said} {remedy}")
    if _is_missing(url):
        makes = settings.to_type("db-reset", "plinth reset")
        return MissingDatabaseError(
            f"There is no database {url.database!r} at {place}: {said} "
            f"Create it (createdb, or {makes} for development), or correct {_ITS_URL}."
        )
    if isinstance(error.orig, psycopg.OperationalError) and _was_asked_for_password(error.orig):
        return ConnectError(
            f"User {url.username!r} is refused at {place}: {said} "
            f"If it is about the password, correct user and password in {_ITS_URL}."
        )
    return ConnectError(
        f"There is no connection to {place}: {said} "
        f"Check that the server runs, and user, password, host, port and options in {_ITS_URL}."
    )


def _enter_first(stack: ExitStack, urls: Iterable[URL]) -> Connection:
    errors = []
    for url in urls:
        try:
            return stack.enter_context(connect(url, autocommit=True))
        except ConnectError as error:
            errors.append(error)
    raise errors[0]


def _is_missing(url: URL) -> bool:
    """Whether the server has no such database, or half of one; one that only refuses us is not missing."""
    # With a limit of -2, a DROP DATABASE was interrupted: all that it can be is dropped.
    found = text(
        "select exists (select from pg_database where datname = cast(:name as name) and datconnlimit <> -2)"
    )
    for other in MAINTENANCE_DATABASES:
        try:
            with engine(url.set(database=other)).connect() as connection:
                return not connection.scalar(found, {"name": url.database})
        except DBAPIError:
            continue
    return False


def _was_asked_for_password(error: psycopg.OperationalError) -> bool:
    return error.pgconn is not None and (error.pgconn.needs_password or error.pgconn.used_password)
