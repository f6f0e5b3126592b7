"""One command at a time changes a database; those that only read never wait."""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth.apply.lock import one_applier
from plinth.status import PENDING, status
from tests.plinth.history import (
    CONCURRENTLY,
    PATIENCE,
    History,
    catalog,
    clear,
    empty,
    heads,
    ledger,
    leftovers,
    psql,
    read_until,
    rows,
    start,
    wait_until,
    wait_until_blocked,
)
from tests.plinth.project import Project
from tests.plinth.transaction_pooler import TransactionPooler

HEAD = "alembic", "upgrade", "head"


def some_revisions(project: Project) -> History:
    history = clear(project)
    history.tables("a", "b", "c")
    history.add(
        "d", "c", f'{CONCURRENTLY}op.create_index("ix_d", "t_a", ["id"], postgresql_concurrently=True)'
    )
    history.add("e", "d", 'op.add_column("t_a", sa.Column("e", sa.Integer()))')
    return history


def eight_at_once(project: Project) -> str:
    """Run eight upgrades, which must all end well, and return what they printed."""
    started = [start(project, *HEAD) for _ in range(8)]
    ended = [(process.communicate()[0], process.returncode) for process in started]
    assert [code for _, code in ended] == [0] * 8, ended
    return "".join(log for log, _ in ended)


def each_once(url: URL) -> None:
    assert [row[:2] for row in ledger(url)] == [(name, "up") for name in "abcde"]
    assert heads(url) == {"e"}
    assert not rows(url, "select from pg_index where not indisvalid")
    assert leftovers(url) == []


def test_eight_at_once_on_an_empty_database(project: Project, empty_url: URL) -> None:
    some_revisions(project)
    assert "Waiting for alembic upgrade" in eight_at_once(project)
    each_once(empty_url)


@pytest.mark.slow
def test_eight_at_once_twenty_times(project: Project, empty_url: URL, empty_engine: Engine) -> None:
    history = some_revisions(project)
    command.upgrade(history.config(empty_engine), "head")
    wanted = catalog(empty_url)
    for turn in range(20):
        empty(empty_url)
        if turn % 2:  # every other time half-way
            command.upgrade(history.config(empty_engine), "b")
        eight_at_once(project)
        each_once(empty_url)
        assert catalog(empty_url) == wanted


@pytest.mark.slow
def test_who_waits_says_for_whom_and_who_reads_does_not_wait(
    project: Project, empty_url: URL, empty_engine: Engine
) -> None:
    history = clear(project)
    history.add("a", None, 'op.execute("create table t ()")\nop.execute("select pg_advisory_xact_lock(42)")')
    config = history.config(empty_engine)
    with psql(empty_url) as gate:
        gate.execute("select pg_advisory_lock(42)")
        first = start(project, *HEAD, PLINTH_LOCK_TIMEOUT="0")
        wait_until_blocked(empty_url)
        second = start(project, *HEAD)
        line = read_until(second, "Waiting for alembic upgrade")[-1]
        assert "@" in line
        assert "(pid " in line
        command.current(config)
        command.history(config, indicate_current=True)
        with pytest.raises(CommandError, match="not up to date"):
            command.check(config)
        found = status(config)
        assert (found.pending, found.exit_code) == (["a"], PENDING)
        assert (first.poll(), second.poll()) == (None, None)
    for process in (first, second):
        log, _ = process.communicate()
        assert process.returncode == 0, log
    assert ledger(empty_url) == [("a", "up", 1)]


@pytest.mark.slow
@pytest.mark.parametrize("undo", [("alembic", "downgrade", "-1"), ("plinth", "rollback")])
def test_who_waits_undoes_what_was_meant(project: Project, empty_url: URL, undo: tuple[str, ...]) -> None:
    history = clear(project)
    history.add("a", None, 'op.execute("create table t ()")', 'op.execute("drop table t")')
    history.add("b", "a", "pass", 'op.execute("select pg_advisory_xact_lock(42)")')
    project.ok("alembic", "upgrade", "a")
    project.ok("alembic", "upgrade", "b")
    with psql(empty_url) as gate:
        gate.execute("select pg_advisory_lock(42)")
        first = start(project, *undo, PLINTH_LOCK_TIMEOUT="0")
        wait_until_blocked(empty_url)
        second = start(project, *undo)
        read_until(second, "Waiting for")
    for process, code in ((first, 0), (second, None)):
        log, _ = process.communicate()
        if code is None:
            assert "the database went from b to a" in log
            assert process.returncode != 0
        else:
            assert process.returncode == code, log
    assert rows(empty_url, "select to_regclass('t') is null") == [(False,)]
    project.ok(*undo)
    assert rows(empty_url, "select to_regclass('t') is null") == [(True,)]


@pytest.mark.slow
def test_a_killed_applier_leaves_no_lock(project: Project, empty_url: URL) -> None:
    history = clear(project)
    history.add("a", None, f'op.execute("create table t ()")\nop.execute("select pg_sleep({10 * PATIENCE})")')
    first = start(project, *HEAD)
    wait_until(
        empty_url, "select from pg_stat_activity where query ~ '^select pg_sleep' and state = 'active'"
    )
    first.kill()
    first.communicate()
    history.add("a", None, 'op.execute("create table t ()")')
    again = start(project, *HEAD)
    log, _ = again.communicate()
    assert again.returncode == 0, log
    assert ledger(empty_url) == [("a", "up", 1)]
    assert leftovers(empty_url) == []


@pytest.mark.slow
def test_an_orphan_that_the_server_keeps_is_ended(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a")
    # What a kill leaves where the server can't see that its client is gone: the second lock alone.
    ready, done = threading.Event(), threading.Event()

    def hold() -> None:
        with (
            empty_engine.connect() as connection,
            one_applier(connection, "alembic_version", "upgrade") as lock,
        ):
            lock.session.close()
            ready.set()
            done.wait(30)
            with pytest.raises(Exception, match="terminating connection"):
                connection.exec_driver_sql("select 1")
            connection.invalidate()

    thread = threading.Thread(target=hold)
    thread.start()
    ready.wait(10)
    command.upgrade(history.config(empty_engine), "head")
    done.set()
    thread.join()
    assert heads(empty_url) == {"a"}


@pytest.fixture
def pooled_url(empty_url: URL) -> Iterator[URL]:
    """The empty database behind a pooler that pools transactions."""
    with TransactionPooler(empty_url) as pooler:
        yield pooler.url


@pytest.mark.slow
def test_a_pooler_of_transactions_is_refused(
    history: History, empty_url: URL, pooled_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.tables("a")
    config = history.config(create_engine(pooled_url, poolclass=NullPool))
    refused_behind_a_pooler(history, empty_url, pooled_url)
    command.current(config)
    del config.attributes["connection"]
    monkeypatch.setenv("DATABASE_URL", pooled_url.render_as_string(hide_password=False))
    monkeypatch.setenv("MIGRATION_DATABASE_URL", empty_url.render_as_string(hide_password=False))
    command.upgrade(config, "head")
    assert heads(empty_url) == {"a"}


def refused_behind_a_pooler(history: History, direct: URL, pooled: URL) -> None:
    engine = create_engine(pooled, poolclass=NullPool, connect_args={"prepare_threshold": None})
    with pytest.raises(CommandError, match=r"pools transactions.*MIGRATION_DATABASE_URL"):
        command.upgrade(history.config(engine), "head")
    assert catalog(direct) == []
    assert not rows(
        direct,
        "select from pg_locks where locktype = 'advisory' and database = "
        "(select oid from pg_database where datname = current_database())",
    )


@pytest.fixture
def pgbouncer(empty_url: URL, open_folder: Path) -> Iterator[int]:
    """The port of a PgBouncer in front of the empty database, which pools transactions."""
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("pgbouncer is not on PATH")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    target = f"host={empty_url.query['host']} port={empty_url.query['port']} user={empty_url.username}"
    settings = open_folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = {target}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        "unix_socket_dir =\nauth_type = any\npool_mode = transaction\n"
    )
    settings.chmod(0o644)
    # As root it refuses to run, and as another account than the server's it can't reach the socket.
    process = subprocess.Popen([program, settings], user="nobody" if os.geteuid() == 0 else None)
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            break
        time.sleep(0.05)
    yield port
    process.terminate()
    process.wait()


def test_a_real_pgbouncer_is_refused(history: History, empty_url: URL, pgbouncer: int) -> None:
    history.tables("a")
    pooled = URL.create("postgresql+psycopg", "postgres", None, "127.0.0.1", pgbouncer, empty_url.database)
    refused_behind_a_pooler(history, empty_url, pooled)
