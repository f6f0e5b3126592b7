"""Which databases count as development, and the word that a destructive command needs for any other.

A database remembers its environment in the table `plinth.environment`. The row names the very database it was
written in: its name, its oid, its server and the server's timeline. A copy made from a dump or a template, a
database that was renamed and a copy of the whole server that was promoted are not development because the
original was. A copy of the server's files that is started as it is can't be told from the original.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL

from plinth import own_schema, settings
from plinth.connecting import MissingDatabaseError, connect
from plinth.errors import PlinthError

if TYPE_CHECKING:
    from plinth.local_server import LocalServer

CONFIRMATION = "PLINTH_CONFIRM"

log = logging.getLogger(__name__)

_IDENTITY = text(
    "select datname as name, oid::bigint as oid, "
    "extract(epoch from pg_postmaster_start_time())::text as started, "
    "has_function_privilege('pg_control_system()', 'EXECUTE') "
    "and has_function_privilege('pg_control_checkpoint()', 'EXECUTE') as may_ask "
    "from pg_database where datname = coalesce(cast(:name as name), current_database()) "
    "and datconnlimit <> -2"  # a DROP of it was interrupted: nobody can get in any more
)
_CONTROL = text(
    "select system_identifier, timeline_id from pg_control_system() cross join pg_control_checkpoint()"
)
_TABLE = own_schema.OwnTable(
    "environment",
    ("SELECT", "INSERT", "DELETE"),
    text(
        "create table if not exists plinth.environment ("
        "name text not null, database oid not null, server bigint not null, database_name text, timeline int)"
    ),
)


class SafetyError(PlinthError):
    """A destructive command is refused; the message says why and which word it takes."""


@dataclass(frozen=True)
class Identity:
    """Which database a session is in, by its own word; whatever URL led there.

    Args:
        name: the database's.
        oid: the database's.
        started: when its server did.
        server: the number that its server was given when it was made; None if the role may not ask for it.
        timeline: it changes when a copy of the server is promoted; None likewise.
    """

    name: str
    oid: int
    started: str
    server: int | None
    timeline: int | None


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


def identity(connection: Connection, database: str | None = None) -> Identity | None:
    """Return which database of a session's server has that name; None if there is none.

    Args:
        connection: the session.
        database: a name; that of the session's own when left out.
    """
    found = connection.execute(_IDENTITY, {"name": database}).one_or_none()
    if found is None:
        return None
    control = connection.execute(_CONTROL).one() if found.may_ask else (None, None)
    return Identity(found.name, found.oid, found.started, *control)


def same(one: Identity | None, other: Identity | None) -> bool:
    """Whether two sessions are in the same database, or there is none for either."""
    if one is None or other is None:
        return one is other
    pairs = zip(astuple(one), astuple(other), strict=True)
    return all(a == b for a, b in pairs if a is not None and b is not None)  # not each role may ask for all


def refuse_unless_development(url: URL, action: str) -> Identity | None:
    """Return if a destructive command may go on: on a development database, or by an explicit word.

    A database that isn't there has nothing to lose, unless APP_ENV is production.

    Args:
        url: the database.
        action: what would be done, to follow "I would".

    Returns:
        The database that was judged, which is the one to be destroyed; None if there is none.

    Raises:
        SafetyError: it may not.
        ConnectError: the server can't be reached.
    """
    judged, name = None, str(url.database)
    try:
        with connect(url) as connection:
            judged, objection = identity(connection), protection(connection).objection()
            name = judged.name if judged else name
    except MissingDatabaseError:
        objection = "APP_ENV is production" if settings.app_env() == "production" else None
    if objection and os.environ.get(CONFIRMATION) != name:
        raise SafetyError(
            f"Refused to {action} database {name!r}: {objection}. If you mean it, set {CONFIRMATION}={name}"
        )
    return judged


def objection_to_losses(connection: Connection) -> str | None:
    """Return why rows must not be lost here, with the word that allows it; None when they may."""
    known = protection(connection)
    if os.environ.get(CONFIRMATION) == known.database or is_for_development(connection):
        return None
    objection = known.objection()
    return f"{objection}. If you mean it, set {CONFIRMATION}={known.database}" if objection else None


def is_for_development(connection: Connection) -> bool:
    """Whether nobody's data are in a database: it is for development, or on the server of the tests."""
    return _is_on(_place(connection), _test_server) or protection(connection).objection() is None


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
    """Let a database remember what it is, where that is certain; the caller commits.

    A database on the local server is for development; one that is migrated with APP_ENV=production is
    production for good, whatever it was. Any other stays without a marker, and thereby protected.

    Raises:
        PrivilegeError: it is migrated with APP_ENV=production, and the role may not say so.
    """
    marker, app_env = read_marker(connection), settings.app_env()
    if app_env == "production" and marker != app_env:
        write_marker(connection, app_env)
        if marker:
            log.warning(
                "This was a %s database: with APP_ENV=production it is a production database.", marker
            )
    elif marker is None and _is_on(_place(connection), _development_server):
        write_marker(connection, app_env or "development")


def protection(connection: Connection) -> Protection:
    """Return what protects the database of a session."""
    tables = connection.scalar(
        text(
            "select count(*) from pg_class join pg_namespace on pg_namespace.oid = relnamespace "
            "where relkind in ('r', 'p', 'f', 'm', 'v') and nspname !~ '^pg_' "
            "and nspname <> 'information_schema' and not (nspname = 'plinth' and relname in "
            "('environment', 'ledger', 'points', 'unfinished', 'up_to_date')) "
            "or exists (select from pg_largeobject_metadata)"
        )
    )
    return Protection(
        database=str(connection.scalar(text("select current_database()"))),
        marker=read_marker(connection),
        on_local_server=is_on_local_server(_place(connection)),
        is_empty=tables == 0,
    )


def read_marker(connection: Connection) -> str | None:
    """Return the environment that the database remembers; None when it doesn't, or when it is a copy.

    Raises:
        PrivilegeError: the role may not read it.
    """
    if not own_schema.exists(connection, "environment"):
        return None
    row: dict[str, Any] | None = connection.scalar(text("select to_jsonb(e) from plinth.environment e"))
    here = identity(connection)
    if row is None or here is None or int(row["database"]) != here.oid:
        return None
    if row["name"] == "production":  # renamed, or moved to another machine: it stays what it is
        return "production" if here.server is None or row["server"] in {0, here.server} else None
    written = row["server"], row.get("timeline"), row.get("database_name")
    return str(row["name"]) if written == (here.server, here.timeline, here.name) else None


def write_marker(connection: Connection, environment: str) -> None:
    """Make the database remember its environment; the caller commits.

    That it is production's is forgotten by an explicit word only: the next reset would drop it.

    Raises:
        SafetyError: there is no such environment, or no way to tell the database from its copies; or it is
            production's, and the word isn't said.
        PrivilegeError: the role may not write it.
    """
    if environment not in settings.ENVIRONMENTS:
        names = ", ".join(settings.ENVIRONMENTS)
        raise SafetyError(f"{environment!r} is no environment: write one of {names}.")
    here = identity(connection)
    if here is None or (here.server is None and environment != "production"):
        raise SafetyError(
            "A database that this role can't tell from its copies is not marked. Let a superuser run: GRANT "
            "EXECUTE ON FUNCTION pg_control_system, pg_control_checkpoint TO PUBLIC"
        )
    is_left = environment != "production" and read_marker(connection) == "production"
    if is_left and os.environ.get(CONFIRMATION) != here.name:
        raise SafetyError(
            f"Refused to make database {here.name!r} a {environment} database: it is a production database. "
            f"If you mean it, set {CONFIRMATION}={here.name}"
        )
    own_schema.make(connection, [_TABLE])
    if "timeline" not in _columns(connection):  # made by an older release
        connection.execute(
            text("alter table plinth.environment add column database_name text, add column timeline int")
        )
    connection.execute(text("delete from plinth.environment"))
    connection.execute(
        text("insert into plinth.environment values (:environment, :oid, :server, :name, :timeline)"),
        {
            "environment": environment,
            "oid": here.oid,
            "server": here.server or 0,
            "name": here.name,
            "timeline": here.timeline,
        },
    )


def _columns(connection: Connection) -> set[str]:
    names = text(
        "select attname from pg_attribute a join pg_class c on c.oid = attrelid join pg_namespace n "
        "on n.oid = relnamespace where nspname = 'plinth' and relname = 'environment' and attnum > 0"
    )
    return set(connection.scalars(names))


def is_on_local_server(url: URL) -> bool:
    """Whether `url` leads to the project's own local server."""
    return _is_on(url, _development_server) or _is_on(url, _test_server)


def is_on_development_server(url: URL) -> bool:
    """Whether `url` leads to the project's own local server, and not to that of its tests."""
    return _is_on(url, _development_server)


def _place(connection: Connection) -> URL:
    """Return where a session's server is, by the driver's own word; nowhere, for another driver than ours."""
    info = getattr(connection.connection.driver_connection, "info", None)
    query = {}
    if info is not None:
        query = {"host": info.host, "port": str(info.port)}
        query |= {name: value for name, value in info.get_parameters().items() if name == "hostaddr"}
    return URL.create("postgresql+psycopg", query=query)


def _development_server() -> "LocalServer":
    from plinth.local_server import development_server  # noqa: PLC0415

    return development_server()


def _test_server() -> "LocalServer":
    from plinth.local_server import test_server  # noqa: PLC0415

    return test_server()


def _is_on(url: URL, find: Callable[[], "LocalServer"]) -> bool:
    if url.host or "host" not in url.query or "hostaddr" in url.query:
        return False  # and its libraries need not be loaded
    try:
        server = find()
        if not server.exists():
            return False
        own = server.url("postgres")
    except (ImportError, PlinthError):  # its libraries are for development: no local server here
        return False
    return all(url.query.get(name) == own.query[name] for name in ("host", "port"))
