"""The fixtures: a database that all tests share, and databases of one test's own.

A project chooses by fixtures of the same names in its own conftest.py.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session

from plinth.testing import revisions
from plinth.testing.commits import refuse_commits
from plinth.testing.migrated import migrated
from plinth.testing.server import DatabaseServer, started


@pytest.fixture(scope="session")
def database_server() -> Iterator[DatabaseServer]:
    """The server of TEST_DATABASE_URL, else the local one, which is started; never DATABASE_URL's."""
    with ExitStack() as stack:
        with revisions.failing_in_a_sentence():
            server = stack.enter_context(started())
        yield server


@pytest.fixture(scope="session")
def baseline() -> str:
    """SQL that makes what stands below the first revision, and no revision makes: nothing."""
    return ""


@pytest.fixture(scope="session")
def migrated_template(database_server: DatabaseServer, baseline: str) -> Iterator[URL]:
    """The URL of a migrated database of which the others are copies. Nobody may be connected to it."""
    with ExitStack() as stack:
        with revisions.failing_in_a_sentence():
            url = stack.enter_context(migrated(database_server, baseline))
        yield url


@pytest.fixture(scope="session")
def shared_url(database_server: DatabaseServer, migrated_template: URL) -> Iterator[URL]:
    """The URL of a migrated database that all tests of this run share, each in a transaction of its own."""
    with database_server.database(migrated_template) as url:
        yield url


@pytest.fixture(scope="session")
def engine(shared_url: URL) -> Iterator[Engine]:
    """An engine on the database that all tests share."""
    shared = create_engine(shared_url)
    yield shared
    shared.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A connection to the migrated database, in a transaction that is rolled back when the test ends."""
    with engine.connect() as opened:
        refuse_commits(opened)
        opened.begin()
        yield opened


@pytest.fixture
def session(connection: Connection) -> Iterator[Session]:
    """A session on the migrated database. What it commits, the next test doesn't see."""
    with Session(connection, join_transaction_mode="create_savepoint") as opened:
        yield opened


@pytest.fixture
def clone_url(database_server: DatabaseServer, migrated_template: URL) -> Iterator[URL]:
    """The URL of a migrated database of this test's own."""
    with database_server.database(migrated_template) as url:
        yield url


@pytest.fixture
def empty_url(database_server: DatabaseServer) -> Iterator[URL]:
    """The URL of an empty database of this test's own."""
    with database_server.database() as url:
        yield url
