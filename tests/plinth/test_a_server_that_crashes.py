"""What is committed when the server crashes: whole revisions, and all of them when a command has ended."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from alembic import command
from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth.local_server import LocalServer
from tests.plinth.history import History, do, heads, ledger, rows

MADE = "select relname::text from pg_class where relname ~ '^t_.$' and relkind = 'r' order by 1"


@pytest.fixture
def crashing(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    """A server that writes nothing to disk but what somebody waits for."""
    monkeypatch.setenv("PLINTH_HOME", str(open_folder / "home"))
    server = LocalServer("crashes", options=("fsync=off", "wal_writer_delay=10s", "autovacuum=off"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


def crash_and_start(server: LocalServer) -> None:
    """End it at once, as a crash does, and start it again."""
    postmaster = psutil.Process(pid_of(server))
    postmaster.send_signal(signal.SIGQUIT)
    postmaster.wait(60)
    server.start()


def pid_of(server: LocalServer) -> int:
    return int((server._data() / "postmaster.pid").read_text().splitlines()[0])


def upgrade(history: History, url: URL) -> None:
    command.upgrade(history.config(create_engine(url, poolclass=NullPool)), "head")


@pytest.fixture
def url(crashing: LocalServer, history: History) -> URL:
    do(crashing.url("postgres"), "create database crashed")
    history.tables("a", "b", "c", "d")
    return crashing.url("crashed")


def test_all_that_a_command_did_stays(crashing: LocalServer, history: History, url: URL) -> None:
    upgrade(history, url)
    crash_and_start(crashing)
    assert heads(url) == {"d"}
    assert [name for name, *_ in ledger(url)] == ["a", "b", "c", "d"]
    assert rows(url, MADE) == [("t_a",), ("t_b",), ("t_c",), ("t_d",)]


def test_what_a_failing_command_did_before_stays(crashing: LocalServer, history: History, url: URL) -> None:
    history.add("c", "b", "raise RuntimeError('on purpose')")
    with pytest.raises(RuntimeError, match="on purpose"):
        upgrade(history, url)
    crash_and_start(crashing)
    assert heads(url) == {"b"}
    assert [name for name, *_ in ledger(url)] == ["a", "b"]
    assert rows(url, MADE) == [("t_a",), ("t_b",)]
    history.tables("a", "b", "c", "d")
    upgrade(history, url)
    assert heads(url) == {"d"}


def test_a_crash_in_between_leaves_whole_revisions(crashing: LocalServer, history: History, url: URL) -> None:
    history.add(
        "c",
        "b",
        f"import os\nos.kill({pid_of(crashing)}, {int(signal.SIGQUIT)})\nop.execute('select pg_sleep(60)')",
    )
    with pytest.raises(Exception, match="connection to the server was lost"):
        upgrade(history, url)
    crashing.start()
    at = [*heads(url)] if rows(url, "select to_regclass('alembic_version')::text") != [(None,)] else []
    applied = {"": [], "a": ["a"], "b": ["a", "b"]}["".join(at)]
    assert rows(url, MADE) == [(f"t_{name}",) for name in applied]
    if applied:
        assert [name for name, *_ in ledger(url)] == applied
    history.tables("a", "b", "c", "d")
    upgrade(history, url)
    assert heads(url) == {"d"}
    assert [name for name, *_ in ledger(url)] == ["a", "b", "c", "d"]
