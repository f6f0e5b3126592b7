"""A database for tests: `session` for most of them, `postgresql` for code that needs real commits.

One server (the local one, or TEST_DATABASE_URL's), one template database migrated once, and everything that a
test writes is gone when it ends.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from psycopg.sql import SQL, Identifier
from pytest_postgresql import factories
from pytest_postgresql.executors import NoopExecutor
from pytest_postgresql.janitor import DatabaseJanitor
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from plinth import settings
from plinth.development import alembic_config
from plinth.local_server import test_server

PREFIX = "plinth_test_"
RUN = PREFIX + secrets.token_hex(4)


@dataclass(frozen=True)
class DatabaseServer:
    """Where pytest-postgresql makes its databases."""

    host: str
    port: str
    user: str
    password: str | None
    maintenance_dbname: str
    options: str = ""
    template_dbname: str | None = None

    def url(self, database: str) -> URL:
        """Return a database's URL; a host that is a folder is a socket's."""
        place = {"host": self.host, "port": self.port}
        return URL.create("postgresql+psycopg", self.user, self.password, database=database, query=place)


def pytest_configure(config: pytest.Config) -> None:
    """Settle which project it is, whatever files commands are told in this process.

    And let the base count its kinds of change; a project that was made from the scaffold hasn't got them.
    """
    settings.use_root(config.rootpath)
    if (Path(__file__).parent / "plinth" / "score.py").exists():
        config.pluginmanager.import_plugin("tests.plinth.score")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print at the end of the run what tests recorded for it with `record_property`."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(str(value) if name == "summary" else f"{name}: {value}")


@pytest.fixture(scope="session")
def database_server() -> Iterator[DatabaseServer]:
    """The server of TEST_DATABASE_URL, else the local one, which is started; never DATABASE_URL's."""
    with pytest.MonkeyPatch.context() as environment:
        configured = settings.variable("TEST_DATABASE_URL")
        if configured:
            url = settings.parse_url(configured, "TEST_DATABASE_URL")
            keep_connection_options(url, environment)
        else:
            test_server().start()
            url = test_server().url("postgres")
        settings.forget_libpq_places()
        server = DatabaseServer(
            host=str(url.host or url.query.get("host", "")),
            port=str(url.port or url.query.get("port", 5432)),
            user=url.username or "",
            password=str(url.password) if url.password else None,
            maintenance_dbname=str(url.database),
            options=str(url.query.get("options", "")),
        )
        with psycopg.connect(**libpq(server, server.maintenance_dbname), autocommit=True) as connection:
            connection.execute("select pg_advisory_lock(%s)", [lock_key(RUN)])
            drop_leftovers(connection)
            yield server


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


def lock_key(run: str) -> int:
    """Return the key of the lock that a run holds as long as it lives."""
    return int.from_bytes(hashlib.sha256(run.encode()).digest()[:8], signed=True)


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
        row = connection.execute("select pg_try_advisory_lock(%s)", [lock_key(run)]).fetchone()
        if not row or not row[0]:
            continue
        if is_template:
            connection.execute(SQL("alter database {} with is_template false").format(Identifier(name)))
        connection.execute(SQL("drop database if exists {} with (force)").format(Identifier(name)))
        connection.execute("select pg_advisory_unlock(%s)", [lock_key(run)])


def migrate(host: str, port: str, user: str, dbname: str, password: str | None, **_: object) -> None:
    """Bring the template database to the newest revision."""
    place = {"host": str(host), "port": str(port)}
    url = URL.create("postgresql+psycopg", user, password, database=dbname, query=place)
    config = alembic_config()
    config.attributes["connection"] = create_engine(url, poolclass=NullPool)
    command.upgrade(config, "head")


postgresql_noproc = factories.postgresql_noproc(depends_on="database_server", dbname=RUN, load=[migrate])
postgresql = factories.postgresql("postgresql_noproc")


@pytest.fixture(scope="session")
def engine(database_server: DatabaseServer, postgresql_noproc: NoopExecutor) -> Iterator[Engine]:
    """An engine on a migrated database that all tests of this run share, each in a transaction of its own."""
    name = f"{postgresql_noproc.dbname}_shared"
    janitor = DatabaseJanitor(
        user=database_server.user,
        host=database_server.host,
        port=database_server.port,
        password=database_server.password,
        maintenance_dbname=database_server.maintenance_dbname,
        dbname=name,
        template_dbname=postgresql_noproc.template_dbname,
    )
    with janitor:
        shared = create_engine(database_server.url(name))
        yield shared
        shared.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session on the migrated database. What it commits, the next test doesn't see."""
    with engine.connect() as connection, connection.begin() as transaction:
        with Session(connection, join_transaction_mode="create_savepoint") as opened:
            yield opened
        transaction.rollback()


@pytest.fixture
def clone_url(database_server: DatabaseServer, postgresql: psycopg.Connection) -> URL:
    """The URL of a migrated database of this test's own."""
    return database_server.url(postgresql.info.dbname)


@pytest.fixture
def empty_url(database_server: DatabaseServer) -> Iterator[URL]:
    """The URL of an empty database of this test's own."""
    name = f"{RUN}{os.environ.get('PYTEST_XDIST_WORKER', '')}_{secrets.token_hex(4)}"
    janitor = DatabaseJanitor(
        user=database_server.user,
        host=database_server.host,
        port=database_server.port,
        password=database_server.password,
        maintenance_dbname=database_server.maintenance_dbname,
        dbname=name,
    )
    with janitor:
        yield database_server.url(name)
