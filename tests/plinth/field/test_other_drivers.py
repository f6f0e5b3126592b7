"""The application's driver may be another one: migrations run on psycopg, or say why they can't."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from plinth.connecting import on_our_driver
from plinth.settings import SettingsError, parse_url
from tests.plinth.history import History, do, rows
from tests.plinth.project import HEAD, Project


@pytest.mark.parametrize(
    ("given", "query"),
    [
        ("postgresql+asyncpg://u:p@h/d", {}),
        ("postgresql+psycopg2://u:p@h/d", {}),
        ("postgresql+pg8000://u:p@h/d", {}),
        ("postgresql+psycopg_async://u:p@h/d?sslmode=verify-full", {"sslmode": "verify-full"}),
        ("postgresql+asyncpg://u:p@h/d?ssl=require", {"sslmode": "require"}),
        ("postgresql+asyncpg://u:p@h/d?ssl=true&prepared_statement_cache_size=0", {"sslmode": "require"}),
        ("postgresql+asyncpg://u:p@h/d?timeout=5", {"connect_timeout": "5"}),
    ],
)
def test_a_url_of_another_driver_is_postgresqls(given: str, query: dict[str, str]) -> None:
    url = parse_url(given, "DATABASE_URL")
    assert url.drivername == "postgresql+psycopg"
    assert (url.username, url.password, url.host, url.database) == ("u", "p", "h", "d")
    assert url.query == query


def test_a_socket_of_pg8000s_is_one_of_libpqs() -> None:
    url = parse_url("postgresql+pg8000://u@/d?unix_sock=/tmp/a/.s.PGSQL.5433", "DATABASE_URL")
    assert (url.host, url.query) == (None, {"host": "/tmp/a", "port": "5433"})
    with pytest.raises(SettingsError, match="unix_sock"):
        parse_url("postgresql+pg8000://u@/d?unix_sock=/tmp/socket", "DATABASE_URL")


def test_what_leads_elsewhere_is_refused_under_any_driver() -> None:
    with pytest.raises(SettingsError, match="dbname"):
        parse_url("postgresql+asyncpg://u:p@h/d?dbname=other", "DATABASE_URL")
    with pytest.raises(SettingsError, match="only PostgreSQL is supported"):
        parse_url("mysql+asyncmy://u:p@h/d", "DATABASE_URL")


def test_migrations_run_under_an_asyncpg_url(project: Project) -> None:
    url = project.environment["DATABASE_URL"].replace("+psycopg:", "+asyncpg:")
    assert "+asyncpg:" in url
    project.ok("plinth", "upgrade", DATABASE_URL=url)
    assert HEAD in project.ok("alembic", "current", DATABASE_URL=url)


@pytest.mark.parametrize(
    ("driver", "given"),
    [
        ("psycopg", {"options": "-c search_path=t1,public"}),
        ("asyncpg", {"server_settings": {"search_path": "t1, public", "application_name": "ours"}}),
    ],
)
def test_an_engine_leads_where_its_arguments_say(
    history: History, empty_url: URL, clone_url: URL, driver: str, given: dict[str, Any]
) -> None:
    """Not its URL alone: here that names another database, and no schema."""
    do(empty_url, "create schema t1")
    history.tables("a")
    name = {"psycopg": "dbname", "asyncpg": "database"}[driver]
    url = clone_url.set(drivername=f"postgresql+{driver}")
    made = create_async_engine(url, connect_args={name: empty_url.database, **given})
    command.upgrade(history.config(made), "head")
    assert rows(empty_url, "select to_regclass('t1.t_a')") == [("t1.t_a",)]
    assert driver == "psycopg" or on_our_driver(made.sync_engine).url.query["application_name"] == "ours"
    assert rows(clone_url, "select to_regclass('t_a')") == [(None,)]


@pytest.mark.filterwarnings("ignore:coroutine")
def test_an_engine_that_says_nothing_of_where_it_leads_is_refused(history: History, empty_url: URL) -> None:
    async def connect() -> None:
        raise AssertionError

    history.tables("a")
    made = create_async_engine(empty_url.set(drivername="postgresql+asyncpg"), async_creator=connect)
    with pytest.raises(CommandError, match="by a function of its own"):
        command.upgrade(history.config(made), "head")


def test_a_connection_that_isnt_postgresqls_is_refused(history: History) -> None:
    history.tables("a")
    engine = create_engine("sqlite://")
    with pytest.raises(CommandError, match="is sqlite's: only PostgreSQL"):
        command.upgrade(history.config(engine), "head")
    with engine.connect() as connection, pytest.raises(CommandError, match="is sqlite's"):
        command.upgrade(history.config(connection), "head")
    engine.dispose()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_what_an_asynchronous_application_hands_over_works_or_is_refused(
    history: History,
    empty_url: URL,
    driver: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLINTH_CONFIRM", str(empty_url.database))
    history.tables("a")
    history.add("b", "a", 'op.drop_column("t_a", "n")', 'op.add_column("t_a", sa.Column("n", sa.Integer()))')
    made = create_async_engine(empty_url.set(drivername=f"postgresql+{driver}"), poolclass=NullPool)
    command.upgrade(history.config(made), "a")
    do(empty_url, "alter table t_a add n int; insert into t_a values (1, 2)")

    def on(connection: Connection) -> None:
        command.upgrade(history.config(connection), "head")

    def back(connection: Connection) -> None:
        command.downgrade(history.config(connection), "base")

    async def in_a_transaction(run: Callable[[Connection], None]) -> None:
        async with made.begin() as connection:
            await connection.run_sync(run)

    async def in_none() -> None:
        async with made.connect() as connection:
            await connection.run_sync(back)

    with pytest.raises(CommandError, match=rf"is {driver}'s \(asynchronous\).*in a transaction"):
        asyncio.run(in_none())
    asyncio.run(in_a_transaction(on))
    assert "This drops column public.t_a.n (1 row)." in caplog.text
    asyncio.run(in_a_transaction(back))
    assert rows(empty_url, "select to_regclass('t_a')") == [(None,)]
