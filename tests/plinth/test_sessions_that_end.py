"""A server that restarts, a password that changes, an interruption: a sentence, and nothing half done."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth.local_server import LocalServer
from tests.plinth.history import (
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
    wait_until,
)
from tests.plinth.project import Project, copy_project

HEAD = "alembic", "upgrade", "head"
SLEEPS = "select from pg_stat_activity where query ~ '^select pg_sleep' and state = 'active'"
END = """
    select pg_terminate_backend(pid, 60000) /* until it has ended */ from pg_stat_activity
    where application_name like 'alembic upgrade %'
    """
END_ONESELF = "select pg_terminate_backend(pg_backend_pid())"
ROLE = "migrator"


@pytest.fixture
def server(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    """A server of the test's own, on which one role needs a password."""
    rules = open_folder / "hba.conf"
    rules.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
    rules.chmod(0o644)
    monkeypatch.setenv("PLINTH_HOME", str(open_folder / "home"))
    server = LocalServer("ends", options=(f"hba_file={rules}", "fsync=off"))
    server.start()
    with psql(server.url("postgres")) as connection:
        connection.execute(f"create role {ROLE} login password 'first'".encode())
        connection.execute(f"create database app owner {ROLE}".encode())
    yield server
    server.stop()


def with_password(server: LocalServer, password: str) -> URL:
    return server.url("app").set(username=ROLE, password=password)


@pytest.mark.slow
def test_a_server_that_restarts_between_revisions(server: LocalServer, open_folder: Path) -> None:
    url = server.url("app")
    project = copy_project(open_folder / "app", url)
    history = clear(project)
    history.add("a", None, 'op.execute("create table a ()")')
    history.add("b", "a", 'op.execute("create table b ()")\nop.execute("select pg_sleep(60)")')
    upgrade = start(project, *HEAD)
    wait_until(url, SLEEPS)
    waiting = start(project, *HEAD)
    read_until(waiting, "Waiting for")
    server.stop()
    server.start()
    for process, standing in ((upgrade, "1 of 2 revisions done; the database stands at a."), (waiting, "")):
        log, _ = process.communicate()
        assert process.returncode != 0
        assert "The connection to the server was lost" in log
        assert standing in log
        assert "Run the same command again" in log
        assert "Traceback" not in log
    assert heads(url) == {"a"}
    history.add("b", "a", 'op.execute("create table b ()")')
    project.ok(*HEAD)
    assert [row[:2] for row in ledger(url)] == [("a", "up"), ("b", "up")]


@pytest.mark.slow
def test_a_password_that_changes_midway(server: LocalServer, open_folder: Path) -> None:
    project = copy_project(open_folder / "app", with_password(server, "first"))
    history = clear(project)
    history.add(
        "a", None, f"op.execute('create table a ()')\nop.execute(\"alter role {ROLE} password 'second'\")"
    )
    history.add("b", "a", f"op.execute('create table b ()')\nop.execute('{END_ONESELF}')")
    line = project.refused(*HEAD)
    assert "The connection to the server was lost during revision b" in line
    assert "1 of 2 revisions done; the database stands at a." in line
    line = project.refused(*HEAD)
    assert f"User '{ROLE}' is refused" in line
    assert "correct user and password in DATABASE_URL" in line
    app = server.url("app")
    assert (heads(app), [row[:2] for row in ledger(app)]) == ({"a"}, [("a", "up")])
    assert rows(app, "select to_regclass('b')") == [(None,)]
    history.add("b", "a", 'op.execute("create table b ()")')
    project.ok(*HEAD, DATABASE_URL=with_password(server, "second").render_as_string(hide_password=False))
    assert heads(app) == {"b"}


def test_a_password_that_the_second_session_is_refused_with(server: LocalServer, history: History) -> None:
    history.tables("a")
    engine = create_engine(with_password(server, "first"), poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def change_password(*_: object) -> None:
        with psql(server.url("postgres")) as connection:
            connection.execute(f"alter role {ROLE} password 'second'".encode())

    with pytest.raises(CommandError, match=r"no second connection.*password authentication failed"):
        command.upgrade(history.config(engine), "head")
    app = server.url("app")
    assert (catalog(app), rows(app, "select to_regnamespace('plinth')")) == ([], [(None,)])
    assert leftovers(app) == []
    command.upgrade(
        history.config(create_engine(with_password(server, "second"), poolclass=NullPool)), "head"
    )
    assert heads(app) == {"a"}


def test_the_session_of_the_lock_ends(history: History, empty_engine: Engine, empty_url: URL) -> None:
    history.add("a", None, f"op.execute({END!r})")
    history.add("b", "a", 'op.execute("create table b ()")')
    with pytest.raises(
        CommandError, match=r"session that holds the lock.*has ended.* 1 of 2 .* stands at a\."
    ):
        command.upgrade(history.config(empty_engine), "head")
    assert heads(empty_url) == {"a"}
    command.upgrade(history.config(empty_engine), "head")
    assert [row[0] for row in ledger(empty_url)] == ["a", "b"]


def test_an_interrupt_says_where_it_stands(project: Project, empty_url: URL) -> None:
    history = clear(project)
    history.tables("a")
    history.add("b", "a", 'op.execute("create table b ()")\nop.execute("select pg_sleep(60)")')
    upgrade = start(project, *HEAD)
    wait_until(empty_url, SLEEPS)
    upgrade.send_signal(signal.SIGINT)
    log, _ = upgrade.communicate()
    assert upgrade.returncode == 130
    assert "Traceback" not in log
    assert log.splitlines()[-1].endswith("Interrupted. 1 of 2 revisions done; the database stands at a.")
    assert rows(empty_url, "select to_regclass('t_a')::text, to_regclass('b')::text") == [("t_a", None)]
    assert leftovers(empty_url) == []
