"""What a database or role sets for its sessions changes nothing of what our commands do."""

import pytest
from alembic import command
from sqlalchemy import MetaData, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth.check import check
from plinth.connecting import connect
from plinth.plan.planning import plans
from plinth.safety import write_marker
from tests.plinth.field.commands import Commands
from tests.plinth.field.roles import role
from tests.plinth.history import History, clear, do, psql
from tests.plinth.project import Project

FORMATS = {
    "datestyle": "German",
    "intervalstyle": "sql_standard",
    "bytea_output": "escape",
    "quote_all_identifiers": "on",
    "timezone": "Asia/Kathmandu",
}


def set_for_all_sessions(url: URL, settings: dict[str, str]) -> None:
    with psql(url) as connection:
        for name, value in settings.items():
            connection.execute(f"alter database {url.database} set {name} = '{value}'".encode())


def test_how_values_are_written(commands: Commands, empty_url: URL) -> None:
    set_for_all_sessions(empty_url, FORMATS | {"client_encoding": "SQL_ASCII"})
    commands.sign_in(empty_url)
    commands.ok("upgrade")
    commands.ok("environment", "development")
    assert "All is applied" in commands.ok("status")
    commands.ok("rollback")
    commands.ok("upgrade")


@pytest.mark.slow
def test_printed_definitions_are_compared_all_the_same(project: Project, empty_url: URL) -> None:
    set_for_all_sessions(empty_url, FORMATS)
    project.ok("alembic", "upgrade", "head")
    assert "No new upgrade operations" in project.ok("alembic", "check")


def test_an_engine_that_was_handed_over_gets_them_back(project: Project, empty_url: URL) -> None:
    set_for_all_sessions(empty_url, FORMATS)
    with connect(empty_url) as connection:
        write_marker(connection, "development")
        connection.commit()
    for _ in range(2):  # the second reads what the first wrote
        project.alembic("upgrade", "head")
        project.alembic("downgrade", "base")


@pytest.mark.parametrize("limit", ["transaction_timeout", "idle_in_transaction_session_timeout"])
@pytest.mark.slow
def test_limits_that_end_sessions(project: Project, empty_url: URL, limit: str) -> None:
    with psql(empty_url) as connection:
        known = connection.execute("select from pg_settings where name = %s", [limit]).fetchone()
    if known is not None:  # transaction_timeout came with PostgreSQL 17
        set_for_all_sessions(empty_url, {limit: "1s", "idle_session_timeout": "1s"})
    history = clear(project)
    history.add("a", None, 'op.execute("select pg_sleep(1.3)")\n__import__("time").sleep(1.3)')
    project.alembic("upgrade", "head")
    project.ok("plinth", "status")


@pytest.mark.slow
def test_a_role_whose_statements_may_not_take_long(
    history: History, empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A revision is applied all the same, and so it is tried and planned."""
    monkeypatch.setenv("APP_ENV", "test")
    with role(empty_url, "slow") as url:
        for each in ("superuser", "set statement_timeout = '500ms'", "set lock_timeout = '500ms'"):
            do(empty_url, f"alter role {url.username} {each}")
        config = history.config(create_engine(url, poolclass=NullPool))
        config.attributes["target_metadata"] = MetaData()
        history.add("a", None, 'op.execute("select pg_sleep(0.7)")')
        command.upgrade(config, "head")
        history.add("b", "a", 'op.execute("select pg_sleep(0.7)")')
        assert check(config).problems == []
        assert plans(config)[0].failure is None


def test_a_limit_that_lets_nothing_through(project: Project, empty_url: URL) -> None:
    set_for_all_sessions(empty_url, {"statement_timeout": "1ms"})
    done = project.run("plinth", "status")
    assert "Traceback" not in done.stderr
