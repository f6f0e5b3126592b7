"""What is dropped or seeded is the database that was judged, whatever URLs and markers say."""

from collections.abc import Iterator

import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy import text
from sqlalchemy.engine import URL

from plinth.connecting import connect, connect_to_maintenance_database
from plinth.safety import SafetyError, identity, read_marker, same, write_marker
from tests.plinth.field.roles import as_owner, role
from tests.plinth.history import psql
from tests.plinth.project import Project
from tests.plinth.test_safety import elsewhere
from tests.plinth.transaction_pooler import TransactionPooler


def render(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@pytest.fixture
def other_url(empty_url: URL) -> Iterator[URL]:
    """Another database of the same server, with something in it."""
    name = f"{empty_url.database}_other"
    with connect_to_maintenance_database(empty_url) as server:
        server.execute(text(f"create database {name}"))
        url = empty_url.set(database=name)
        with psql(url) as connection:
            connection.execute("create table precious (id int)")
        yield url
        server.execute(text(f"drop database if exists {name} with (force)"))


def mark(url: URL, environment: str) -> None:
    with connect(url) as connection:
        write_marker(connection, environment)
        connection.commit()


def marker(url: URL) -> str | None:
    with connect(url) as connection:
        return read_marker(connection)


def is_there(url: URL) -> bool:
    with connect(url) as connection:
        return bool(connection.scalar(text("select to_regclass('precious') is not null")))


def test_two_urls_that_lead_to_two_databases(project: Project, empty_url: URL, other_url: URL) -> None:
    mark(other_url, "development")
    line = project.refused("plinth", "reset", MIGRATION_DATABASE_URL=render(other_url))
    assert "don't lead to one database" in line
    assert is_there(other_url)


@pytest.mark.slow
def test_a_pooler_that_knows_a_database_by_another_name(
    project: Project, empty_url: URL, other_url: URL
) -> None:
    mark(empty_url, "development")
    with TransactionPooler(empty_url) as pooler:
        alias = render(pooler.url.set(database=other_url.database))
        line = project.refused("plinth", "reset", DATABASE_URL=alias)
    assert "Refused to" in line
    assert is_there(other_url)


def test_the_servers_own_databases_are_not_dropped(project: Project, empty_url: URL) -> None:
    for name in ("postgres", "template1"):
        line = project.refused("plinth", "reset", DATABASE_URL=render(empty_url.set(database=name)))
        assert "the server's own" in line


@pytest.mark.slow
def test_production_takes_the_marker_of_development_away(project: Project, empty_url: URL) -> None:
    mark(empty_url, "development")
    done = project.run("alembic", "upgrade", "head", APP_ENV="production")
    assert "This was a development database" in done.stderr
    assert marker(empty_url) == "production"
    assert "production database" in project.refused("plinth", "reset")


@pytest.mark.slow
def test_seeds_are_for_development(project: Project, empty_url: URL) -> None:
    project.alembic("upgrade", "head")
    mark(empty_url, "production")
    assert "Refused to load development rows" in project.refused("plinth", "seed")
    with connect(empty_url) as connection:
        assert connection.scalar(text("select count(*) from users")) == 0
    unmarked = render(elsewhere(empty_url))
    with psql(empty_url) as connection:
        connection.execute("drop table plinth.environment")
    assert "nothing says that it is a development database" in project.refused(
        "plinth", "seed", DATABASE_URL=unmarked
    )


@pytest.mark.parametrize(("environment", "left"), [("development", None), ("production", "production")])
def test_a_renamed_database(other_url: URL, environment: str, left: str | None) -> None:
    mark(other_url, environment)
    renamed = f"{other_url.database}_renamed"
    with connect_to_maintenance_database(other_url) as server:
        server.execute(text(f"alter database {other_url.database} rename to {renamed}"))
        try:
            assert marker(other_url.set(database=renamed)) == left
        finally:
            server.execute(text(f"alter database {renamed} rename to {other_url.database}"))
    assert marker(other_url) == environment


@pytest.mark.parametrize("column", ["timeline", "server", "database"])
def test_a_copy_is_not_development(empty_url: URL, column: str) -> None:
    """As a promoted copy of the server has it, another server, a database made from this as a template."""
    mark(empty_url, "development")
    with psql(empty_url) as connection:
        connection.execute(SQL("update plinth.environment set {} = 1234").format(Identifier(column)))
    assert marker(empty_url) is None


def test_a_marker_of_an_older_release(empty_url: URL) -> None:
    mark(empty_url, "development")
    with psql(empty_url) as connection:
        connection.execute("alter table plinth.environment drop database_name, drop timeline")
    assert marker(empty_url) is None  # it may be a renamed one's
    mark(empty_url, "development")
    assert marker(empty_url) == "development"


def test_a_role_that_may_not_ask_for_the_server(empty_url: URL) -> None:
    """It can't tell a database from its copies: only production's marker can do without."""
    as_owner(empty_url, "revoke execute on function pg_control_system() from public")
    with role(empty_url, "plain") as url:
        as_owner(empty_url, "create schema plinth authorization {plain}", plain=url)
        with pytest.raises(SafetyError, match="GRANT EXECUTE ON FUNCTION"):
            mark(url, "development")
        mark(url, "production")
        assert marker(url) == marker(empty_url) == "production"
        with connect(url) as plain, connect(empty_url) as superuser:
            assert same(identity(plain), identity(superuser))
            assert not same(identity(plain), identity(superuser, "postgres"))
