"""Who doesn't answer any more is given up within a bound, and a pool that is too small is named."""

import socket

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth.apply import lock
from plinth.apply.lock import second_session
from plinth.connecting import ConnectError, connect
from tests.plinth.history import History, catalog
from tests.plinth.transaction_pooler import TransactionPooler

BOUNDS = {"connect_timeout": "15", "keepalives_idle": "15", "tcp_user_timeout": "30000"}


def test_both_sessions_are_bounded_and_the_url_goes_first(empty_url: URL) -> None:
    with connect(empty_url) as connection, second_session(connection) as second:
        driver = connection.connection.driver_connection
        assert driver is not None
        for parameters in (driver.info.get_parameters(), second.info.get_parameters()):
            assert parameters | BOUNDS == parameters
    hasty = empty_url.update_query_dict({"connect_timeout": "7"})
    with connect(hasty) as connection, second_session(connection) as second:
        assert second.info.get_parameters()["connect_timeout"] == "7"
    engine = create_engine(empty_url, poolclass=NullPool)  # somebody else's
    with engine.connect() as connection, second_session(connection) as second:
        assert second.info.get_parameters() | BOUNDS == second.info.get_parameters()


@pytest.mark.slow
def test_a_server_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        url = URL.create("postgresql+psycopg", "u", None, "127.0.0.1", port, "d", {"connect_timeout": "2"})
        with pytest.raises(ConnectError, match="There is no connection"), connect(url):
            pass


@pytest.mark.slow
def test_a_session_pool_with_one_place(
    history: History, empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "ANSWER_TIMEOUT", 1.0)
    history.tables("a")
    with TransactionPooler(empty_url, for_good=True) as pooler:
        engine = create_engine(pooler.url, poolclass=NullPool)
        with pytest.raises(CommandError, match=r"doesn't answer.*must have room for two sessions"):
            command.upgrade(history.config(engine), "head")
    assert catalog(empty_url) == []
