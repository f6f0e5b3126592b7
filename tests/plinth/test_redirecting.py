"""Nothing is tried in a database that an env.py connects to in a way of its own."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from plinth.__main__ import libpq_url
from plinth.redirecting import RedirectError, leading_to
from tests.plinth.history import rows

Connecting = Callable[[URL], Engine]


def by_url(url: URL) -> Engine:
    return create_engine(url, poolclass=NullPool)


def by_creator(url: URL) -> Engine:
    return create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(libpq_url(url)))


def by_pool(url: URL) -> Engine:
    return create_engine("postgresql+psycopg://", pool=by_creator(url).pool)


def by_listener(url: URL) -> Engine:
    made = by_url(url)
    event.listen(made, "do_connect", lambda *_: psycopg.connect(libpq_url(url)))
    return made


def from_before(url: URL) -> Engine:
    made = create_engine(url)
    made.connect().close()
    return made


@contextmanager
def lent(engine: Engine) -> Iterator[Connection]:
    """Yield a connection of an engine's."""
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.mark.parametrize("how", ["connect", "raw_connection"])
@pytest.mark.parametrize("connecting", [by_creator, by_pool, by_listener, from_before])
def test_a_connection_that_isnt_led_is_refused(
    empty_url: URL, clone_url: URL, connecting: Connecting, how: str
) -> None:
    engine = connecting(empty_url)
    with leading_to(clone_url), pytest.raises(RedirectError, match=str(empty_url.database)):
        getattr(engine, how)()
    engine.dispose()


def test_a_connection_that_is_held_is_refused(empty_url: URL, clone_url: URL) -> None:
    with lent(by_url(empty_url)) as held:
        with leading_to(clone_url), pytest.raises(RedirectError, match=str(empty_url.database)):
            held.exec_driver_sql("create table made (id int)")
        held.commit()
    assert rows(empty_url, "select to_regclass('made')") == [(None,)]


@pytest.mark.parametrize("connecting", [by_url, by_creator])
def test_a_connection_to_the_very_database_is_used(
    empty_url: URL, clone_url: URL, connecting: Connecting
) -> None:
    with leading_to(clone_url), lent(connecting(empty_url if connecting is by_url else clone_url)) as led:
        assert led.exec_driver_sql("select current_database()").scalar() == clone_url.database
        with led.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
            other.exec_driver_sql("vacuum")


def test_an_asynchronous_engine_with_a_creator_is_refused(empty_url: URL, clone_url: URL) -> None:
    async def make() -> "psycopg.AsyncConnection[Any]":
        return await psycopg.AsyncConnection.connect(libpq_url(empty_url))

    async def connect() -> None:
        engine = create_async_engine("postgresql+psycopg://", async_creator=make, poolclass=NullPool)
        async with engine.connect():
            pass

    with leading_to(clone_url), pytest.raises(RedirectError, match=str(empty_url.database)):
        asyncio.run(connect())
