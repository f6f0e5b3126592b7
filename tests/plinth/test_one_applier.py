"""One command at a time changes a database; those that only read never wait."""

import threading
import time
from collections.abc import Iterator

import pytest
from alembic import command
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from plinth.apply.lock import one_applier
from tests.plinth.history import (
    CONCURRENTLY,
    History,
    catalog,
    clear,
    heads,
    ledger,
    leftovers,
    psql,
    read_until,
    rows,
    start,
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


def eight_at_once(project: Project) -> None:
    started = [start(project, *HEAD) for _ in range(8)]
    ended = [(process.communicate()[1], process.returncode) for process in started]
    assert [code for _, code in ended] == [0] * 8, ended


def each_once(url: URL) -> None:
    assert [row[:2] for row in ledger(url)] == [(name, "up") for name in "abcde"]
    assert heads(url) == {"e"}
    assert not rows(url, "select from pg_index where not indisvalid")
    assert leftovers(url) == []


def test_eight_at_once_on_an_empty_database(project: Project, empty_url: URL) -> None:
    some_revisions(project)
    eight_at_once(project)
    each_once(empty_url)


@pytest.mark.slow
def test_eight_at_once_twenty_times(project: Project, empty_url: URL, empty_engine: Engine) -> None:
    history = some_revisions(project)
    wanted = None
    for turn in range(20):
        command.upgrade(history.config(empty_engine), ["head", "b"][turn % 2])  # every other time half-way
        if turn % 2 == 0:
            wanted = catalog(empty_url)
            command.downgrade(history.config(empty_engine), "base")
            with psql(empty_url) as connection:
                connection.execute("drop schema plinth cascade; drop table alembic_version")
        eight_at_once(project)
        each_once(empty_url)
        assert catalog(empty_url) == wanted
        with psql(empty_url) as connection:
            connection.execute("drop schema public cascade; create schema public; drop schema plinth cascade")


def test_who_waits_says_for_whom_and_who_reads_does_not_wait(project: Project, empty_url: URL) -> None:
    history = clear(project)
    history.add("slow", None, 'op.execute("create table t ()")\nop.execute("select pg_sleep(3)")')
    first = start(project, *HEAD)
    read_until(first, "Running upgrade")
    second = start(project, *HEAD)
    line = read_until(second, "Waiting for alembic upgrade")[-1]
    assert "@" in line
    assert "(pid " in line
    project.ok("alembic", "current")
    project.ok("alembic", "history", "-i")
    project.run("plinth", "status")
    assert first.poll() is None or ledger(empty_url) == [("slow", "up", 1)]
    assert [process.communicate() and process.returncode for process in (first, second)] == [0, 0]
    assert ledger(empty_url) == [("slow", "up", 1)]


def test_a_killed_applier_leaves_no_lock(project: Project, empty_url: URL) -> None:
    history = clear(project)
    history.add("slow", None, 'op.execute("create table t ()")\nop.execute("select pg_sleep(30)")')
    first = start(project, *HEAD)
    read_until(first, "Running upgrade")
    first.kill()
    first.communicate()
    began = time.monotonic()
    history.add("slow", None, 'op.execute("create table t ()")')
    project.ok(*HEAD)
    assert time.monotonic() - began < 20
    assert ledger(empty_url) == [("slow", "up", 1)]
    assert leftovers(empty_url) == []


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


def test_a_pooler_of_transactions_is_refused(project: Project, empty_url: URL, pooled_url: URL) -> None:
    pooled = pooled_url.render_as_string(hide_password=False)
    line = project.refused(*HEAD, DATABASE_URL=pooled)
    assert "pools transactions" in line
    assert "MIGRATION_DATABASE_URL" in line
    assert not rows(
        empty_url,
        "select from pg_locks where locktype = 'advisory' and database = "
        "(select oid from pg_database where datname = current_database())",
    )
    project.ok("alembic", "current", DATABASE_URL=pooled)
    direct = empty_url.render_as_string(hide_password=False)
    project.ok(*HEAD, DATABASE_URL=pooled, MIGRATION_DATABASE_URL=direct)
