"""A team's PostgreSQL in a container, of another version than the local one, which nothing says is theirs."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import URL, make_url

from plinth.__main__ import libpq_url
from tests.plinth.history import rows
from tests.plinth.project import Project, copy_project
from tests.plinth.system_server import system_programs, system_server


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Project]:
    """A project on a database of such a server."""
    programs = system_programs()
    if not programs:
        pytest.skip("no PostgreSQL is installed on this machine")
    with system_server(programs[0]) as url:
        make_database(url, "shop")
        yield copy_project(tmp_path / "my app", url.set(database="shop"))


def make_database(server: URL, name: str) -> None:
    with psycopg.connect(libpq_url(server), autocommit=True) as connection:
        connection.execute(f'create database "{name}"'.encode())


@pytest.mark.slow
def test_autogenerate_names_the_one_command_and_writes_nothing_until_then(team: Project) -> None:
    team.ok("alembic", "upgrade", "head")
    team.add_column("nick: Mapped[str | None] = mapped_column(String(50), index=True)")
    before = team.versions()
    autogenerate = ("revision", "--autogenerate", "-m", "add users nick")
    assert "python -m plinth environment development" in team.refused("alembic", *autogenerate)
    assert "python -m plinth environment development" in team.refused("alembic", "check")
    assert team.versions() == before
    assert "neither exact" in team.run("alembic", "-x", "compare=alembic", *autogenerate).stderr
    [written] = set(team.versions()) - set(before)
    team.ok("alembic", "upgrade", "head")
    team.ok("alembic", "downgrade", "-1")
    (team.root / "alembic" / "versions" / written).unlink()
    team.ok("plinth", "environment", "development")
    team.ok("alembic", *autogenerate)
    team.ok("alembic", "upgrade", "head")
    assert team.ok("alembic", "check")


def test_a_comparison_that_nobody_knows_is_refused(team: Project) -> None:
    team.ok("alembic", "upgrade", "head")
    assert "write -x compare=alembic" in team.refused("alembic", "-x", "compare=django", "check")


@pytest.mark.slow
def test_what_is_pending_on_productions_version_is_tried_on_the_server_of_the_tests(team: Project) -> None:
    """Where the local server is of another version than production's."""
    team.ok("alembic", "upgrade", "head")
    team.add_column("nick: Mapped[str | None] = mapped_column(String(50), index=True)")
    own = team.environment["DATABASE_URL"]
    with system_server(system_programs()[0]) as url:
        place = {"TEST_DATABASE_URL": libpq_url(url), "APP_ENV": "production"}
        team.ok("alembic", "revision", "--autogenerate", "-m", "add users nick", **place)
        assert "CREATE INDEX CONCURRENTLY" in team.ok("plinth", "plan", **place)
        made = "select count(*) from pg_database where datname like 'plinth%'"
        assert rows(make_url(own), made) == [(0,)]
        team.ok("plinth", "environment", "production", DATABASE_URL=libpq_url(url))
        assert "the database of TEST_DATABASE_URL is production's" in team.refused("plinth", "plan", **place)
        same = {**place, "TEST_DATABASE_URL": own}
        assert "leads to that same server" in team.refused("plinth", "plan", **same)
    assert "set it to a database of a server of PostgreSQL" in team.refused(
        "plinth", "plan", APP_ENV="production"
    )
