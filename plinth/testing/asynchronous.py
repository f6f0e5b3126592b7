"""The fixtures for asynchronous code: they run in the event loop of the test, whoever runs that.

It is anyio's plug-in where a test asks for it (`@pytest.mark.anyio`), else pytest-asyncio; neither is needed
by a project without asynchronous tests.
"""

import contextlib
import importlib
import re
from collections.abc import AsyncIterator, Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth import settings
from plinth.development import alembic_config
from plinth.testing.commits import refuse_commits

if TYPE_CHECKING:  # it needs greenlet, which a project without asynchronous code hasn't got
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

_OF_ASYNCPG = ("host", "port", "target_session_attrs")
_DRIVERS = ("asyncpg", "psycopg_async", "psycopg")
_LOOPS = ("function", "class", "module", "package", "session")  # of pytest-asyncio


@pytest.fixture(scope="session")
def async_driver() -> str:
    """The driver that the project's URL names: `asyncpg`, or else `psycopg`."""
    named = (settings.variable("TEST_DATABASE_URL"), settings.variable("DATABASE_URL"), _url_of_file())
    drivers = [(url or "").partition("://")[0].partition("+")[2] for url in named]
    return next((each for each in drivers if each in _DRIVERS), "psycopg")


@pytest.fixture(scope="session")
def async_engine(shared_url: URL, async_driver: str) -> "AsyncEngine":
    """An asynchronous engine on the database that all tests share; it keeps no connection."""
    return engine_of(shared_url, async_driver)


def engine_of(url: URL, driver: str) -> "AsyncEngine":
    """Return an asynchronous engine on a database, whose URL has libpq's options."""
    try:
        from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415
    except ImportError:
        pytest.fail("An asynchronous engine needs greenlet: pip install 'sqlalchemy[asyncio]'", pytrace=False)
    url, arguments = url.set(drivername=f"postgresql+{driver}"), {}
    if driver == "asyncpg":  # it has names of its own for libpq's options, or none
        arguments = {"server_settings": _set_by(str(url.query.get("options", "")))}
        url = url.set(query={name: url.query[name] for name in _OF_ASYNCPG if name in url.query})
    return create_async_engine(url, poolclass=NullPool, connect_args=arguments)


@pytest.fixture
def async_connection(request: pytest.FixtureRequest) -> "AsyncConnection":
    """A connection to the migrated database, in a transaction that is rolled back when the test ends."""
    connection: AsyncConnection = request.getfixturevalue(_runner(request))
    return connection


@pytest.fixture
def async_session(async_connection: "AsyncConnection") -> "AsyncSession":
    """A session on the migrated database. What it commits, the next test doesn't see."""
    from sqlalchemy.ext.asyncio import AsyncSession  # noqa: PLC0415

    return AsyncSession(async_connection, join_transaction_mode="create_savepoint", expire_on_commit=False)


def _set_by(options: str) -> dict[str, str]:
    """Return the settings that libpq's `options` make: `-c name=value`, a blank in which has a backslash."""
    words = [re.sub(r"\\(.)", r"\1", each) for each in re.findall(r"(?:\\.|\S)+", options)]
    joined = re.findall(r"(?:\A|\0)(?:-c\0?|--)([^\0=]+)=([^\0]*)", "\0".join(words))
    return {name.replace("-", "_"): value for name, value in joined}


def _url_of_file() -> str | None:
    return alembic_config().get_main_option("sqlalchemy.url")


def _runner(request: pytest.FixtureRequest) -> str:
    """Return the fixture that connects in the loop in which a test runs."""
    if "anyio_backend" in request.fixturenames:
        return _name("anyio")
    if not request.config.pluginmanager.has_plugin("asyncio"):
        pytest.fail(
            "An asynchronous test needs a plug-in that runs it: pip install pytest-asyncio, or anyio and "
            "@pytest.mark.anyio.",
            pytrace=False,
        )
    marker = request.node.get_closest_marker("asyncio")
    loop = marker and (marker.kwargs.get("loop_scope") or marker.kwargs.get("scope"))
    return _name(loop or request.config.getini("asyncio_default_test_loop_scope") or "function")


def _name(loop: str) -> str:
    return f"_async_connection_in_{loop}"


def _connecting() -> "Callable[..., AsyncIterator[AsyncConnection]]":
    async def connected(async_engine: "AsyncEngine") -> "AsyncIterator[AsyncConnection]":
        async with async_engine.connect() as connection:
            await connection.run_sync(refuse_commits)
            await connection.begin()
            yield connection

    return connected


def loops() -> ModuleType:
    """Return a plug-in: the fixtures by which anyio, and pytest-asyncio in each of its loops, connect."""
    made = ModuleType(f"{__name__}.loops")

    def add(loop: str, fixture: Callable[..., Any], **options: str) -> None:
        setattr(made, _name(loop), fixture(name=_name(loop), **options)(_connecting()))

    add("anyio", pytest.fixture)
    with contextlib.suppress(ModuleNotFoundError):
        asyncio: Any = importlib.import_module("pytest_asyncio")
        for loop in _LOOPS:
            add(loop, asyncio.fixture, loop_scope=loop)
    return made
