"""What the server refuses for reasons of its own is one sentence that says what to do."""

import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy.engine import URL

from tests.plinth.field.commands import Commands
from tests.plinth.history import clear, heads, psql
from tests.plinth.project import HEAD, Project


def alter(url: URL, change: str) -> None:
    with psql(url) as connection:
        connection.execute(SQL("alter database {} " + change).format(Identifier(str(url.database))))


def test_a_server_that_takes_no_changes(
    project: Project, commands: Commands, empty_url: URL, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.sign_in(empty_url)
    commands.ok("upgrade")
    commands.ok("environment", "development")
    alter(empty_url, "set default_transaction_read_only = on")
    for command in (("rollback",), ("environment", "production")):
        assert "connect to the one that does" in commands.refusal(*command)
    for command in (("stamp", "base"), ("downgrade", "base")):
        with pytest.raises(SystemExit):
            project.alembic(*command)
        assert "connect to the one that does" in capsys.readouterr().out
    assert heads(empty_url) == {HEAD}
    assert "All is applied" in commands.ok("status")


def test_a_search_path_that_leads_nowhere(
    project: Project, empty_url: URL, capsys: pytest.CaptureFixture[str]
) -> None:
    alter(empty_url, "set search_path = nowhere")
    with pytest.raises(SystemExit):
        project.alembic("upgrade", "head")
    assert "The search_path (nowhere) names no schema" in capsys.readouterr().out


def test_a_limit_of_the_server_within_a_revision(
    project: Project, empty_url: URL, capsys: pytest.CaptureFixture[str]
) -> None:
    history = clear(project)
    history.add("a", None, 'op.execute("create table a ()")')
    sort = "set temp_file_limit = 0; select count(distinct i) from generate_series(1, 1000000) i"
    history.add("b", "a", f'op.execute("create table b ()")\nop.execute("{sort}")')
    with pytest.raises(SystemExit):
        project.alembic("upgrade", "head")
    said = capsys.readouterr().out
    assert "The server refuses during revision b: temporary file size exceeds" in said
    assert "It was rolled back: nothing of it has changed the database." in said
    assert "1 of 2 revisions done; the database stands at a." in said
    assert said.endswith("raise it, and run the same command again.\n")


def test_no_connection_is_left(commands: Commands, empty_url: URL) -> None:
    """The superuser that tests are isn't limited, so another role is."""
    role = f"{empty_url.database}_role"
    with psql(empty_url) as connection:
        connection.execute(SQL("create role {} login connection limit 0").format(Identifier(role)))
    try:
        commands.sign_in(empty_url.set(username=role))
        line = commands.refusal("status")
    finally:
        with psql(empty_url) as connection:
            connection.execute(SQL("drop role {}").format(Identifier(role)))
    assert "There is no connection" in line
    assert "orrect the user and password" not in line
