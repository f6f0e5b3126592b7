"""Online steps: interrupted anywhere, they go on from there, and count only when their index is valid."""

import threading
import time

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from tests.plinth.history import (
    CONCURRENTLY,
    History,
    clear,
    heads,
    leftovers,
    psql,
    read_until,
    rows,
    start,
    wait_until_blocked,
)
from tests.plinth.project import Project

BUILD = f'{CONCURRENTLY}op.create_index("ix", "t_a", ["id"], postgresql_concurrently=True)'
INDEXES = (
    "select indexrelid::regclass::text, indisvalid from pg_index "
    "where indrelid = 't_a'::regclass and not indisprimary"
)
OLD_SNAPSHOT = "set transaction isolation level repeatable read; select 1"  # a build waits for its end
VALID = [("ix", True)]


@pytest.fixture
def table(history: History, empty_engine: Engine) -> History:
    """A history with a table `t_a`, applied."""
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    return history


def invalidate(url: URL) -> None:
    """Leave an INVALID index, as a killed build does."""
    with psql(url) as connection:
        connection.execute("create index if not exists ix on t_a (id)")
        connection.execute("update pg_index set indisvalid = false where indexrelid = 'ix'::regclass")


@pytest.mark.parametrize("build", [BUILD, BUILD.replace("[", "if_not_exists=True, columns=[")])
def test_an_invalid_index_is_built_again(
    table: History, empty_engine: Engine, empty_url: URL, build: str
) -> None:
    table.add("b", "a", build)
    invalidate(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, INDEXES) == VALID


def test_a_finished_build_that_did_not_count_yet_is_kept(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    table.add("b", "a", f'{BUILD}\nsa.inspect(op.get_bind()).get_columns("not_yet")')
    with pytest.raises(sa.exc.NoSuchTableError):
        command.upgrade(table.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, INDEXES)) == ({"a"}, VALID)
    number = rows(empty_url, "select 'ix'::regclass::oid")
    with psql(empty_url) as connection:
        connection.execute("create table not_yet ()")
    command.upgrade(table.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, INDEXES)) == ({"b"}, VALID)
    assert rows(empty_url, "select 'ix'::regclass::oid") == number
    assert (
        rows(empty_url, "select from plinth.unfinished") == rows(empty_url, "select from plinth.points") == []
    )


def test_an_index_of_somebody_else_is_not_taken_for_ours(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    with psql(empty_url) as connection:
        connection.execute("create index ix on t_a ((id + 1))")
    table.add("b", "a", BUILD)
    with pytest.raises(Exception, match='"ix" already exists'):
        command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"a"}


def test_a_drop_that_did_not_count_yet_is_not_repeated(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    table.add("b", "a", BUILD)
    command.upgrade(table.config(empty_engine), "head")
    drop = f'{CONCURRENTLY}op.drop_index("ix", postgresql_concurrently=True)'
    table.add("c", "b", f'{drop}\nsa.inspect(op.get_bind()).get_columns("not_yet")')
    with pytest.raises(sa.exc.NoSuchTableError):
        command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, INDEXES) == []
    with psql(empty_url) as connection:
        connection.execute("create table not_yet ()")
    command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"c"}


@pytest.mark.slow
def test_a_killed_build_that_the_server_goes_on_with(project: Project, empty_url: URL) -> None:
    history = clear(project)
    history.tables("a")
    history.add("b", "a", BUILD)
    with psql(empty_url, autocommit=False) as blocker:
        blocker.execute(OLD_SNAPSHOT)
        first = start(project, "alembic", "upgrade", "head")
        read_until(first, "-> b,")
        wait_until_blocked(empty_url)
        first.kill()
        first.communicate()
        assert rows(empty_url, INDEXES) == [("ix", False)]
        again = start(project, "alembic", "upgrade", "head")
        time.sleep(1)
        blocker.rollback()
    log, _ = again.communicate()
    assert again.returncode == 0, log
    assert (heads(empty_url), rows(empty_url, INDEXES), leftovers(empty_url)) == ({"b"}, VALID, [])


@pytest.mark.slow
@pytest.mark.parametrize("command", ["upgrade head", "downgrade -1"])
def test_a_revision_killed_in_its_first_build_is_what_is_gone_on_with_or_taken_back(
    project: Project, empty_url: URL, command: str
) -> None:
    history = clear(project)
    history.tables("a")
    history.add("b", "a", BUILD)
    with psql(empty_url, autocommit=False) as blocker:
        blocker.execute(OLD_SNAPSHOT)
        first = start(project, "alembic", "upgrade", "head")
        read_until(first, "-> b,")
        wait_until_blocked(empty_url)
        first.kill()
        first.communicate()
        said = project.run("plinth", "status").stdout
        assert "Revision b stands half-way, in step 1 of its upgrade." in " ".join(said.split())
        again = start(project, "alembic", *command.split())
        time.sleep(1)
        blocker.rollback()
    log, _ = again.communicate()
    assert again.returncode == 0, log
    goes_on = command == "upgrade head"
    assert ("it goes on with its first step" in log) is goes_on
    assert ("what it had done is taken back" in log) is not goes_on
    found = heads(empty_url), rows(empty_url, INDEXES), leftovers(empty_url)
    assert found == (({"b"}, VALID, []) if goes_on else ({"a"}, [], []))
    assert rows(empty_url, "select from plinth.unfinished union all select from plinth.points") == []


@pytest.mark.slow
def test_another_session_s_build_on_the_table_is_waited_for(project: Project, empty_url: URL) -> None:
    history = clear(project)
    history.tables("a")
    project.ok("alembic", "upgrade", "head")
    history.add("b", "a", BUILD)

    def build() -> None:
        with psql(empty_url) as connection:
            connection.execute("create index concurrently other on t_a (id)")

    builder = threading.Thread(target=build)
    with psql(empty_url, autocommit=False) as blocker:
        blocker.execute(OLD_SNAPSHOT)
        builder.start()
        wait_until_blocked(empty_url)
        upgrade = start(project, "alembic", "upgrade", "head")
        read_until(upgrade, "Waiting for another index build on t_a (pid ")
        blocker.rollback()
    log, _ = upgrade.communicate()
    builder.join()
    assert upgrade.returncode == 0, log
    assert sorted(rows(empty_url, INDEXES)) == [("ix", True), ("other", True)]
