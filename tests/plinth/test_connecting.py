"""No connection: one line that says why and what to do, and an exit code that isn't 0."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from plinth import server_errors
from plinth.connecting import ConnectError, MissingDatabaseError, connect, connect_to_maintenance_database
from plinth.local_server import LocalServer
from tests.plinth.project import HEAD, Project

ROLE = "with_password"


@pytest.fixture
def password_url(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[URL]:
    """A database of a server that asks for passwords."""
    rules = open_folder / "hba.conf"
    rules.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
    rules.chmod(0o644)
    monkeypatch.setenv("PLINTH_HOME", str(open_folder))
    server = LocalServer("password", options=(f"hba_file={rules}", "fsync=off"))
    server.start()
    url = server.url("postgres")
    with connect(url, autocommit=True) as connection:
        connection.exec_driver_sql(f"create role {ROLE} login createdb password 'p@ss w:rd'")
        connection.exec_driver_sql(f"create database {ROLE} owner {ROLE}")
    yield url.set(username=ROLE, password="p@ss w:rd", database=ROLE)
    server.stop()


def render(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@pytest.mark.slow
def test_a_password_is_used_and_a_wrong_one_is_refused(project: Project, password_url: URL) -> None:
    project.ok("alembic", "upgrade", "head", DATABASE_URL=render(password_url))
    wrong = render(password_url.set(password="wrong"))
    line = project.refused("alembic", "upgrade", "head", DATABASE_URL=wrong)
    assert f"User '{ROLE}' is refused" in line
    assert "password in DATABASE_URL" in line
    assert "wrong@" not in line


def test_a_missing_database(project: Project, empty_url: URL) -> None:
    line = project.refused(
        "alembic", "upgrade", "head", DATABASE_URL=render(empty_url.set(database="no such"))
    )
    assert "There is no database 'no such'" in line
    assert "createdb" in line


@pytest.mark.parametrize("url", ["postgresql://u@127.0.0.1:1/db", "postgresql:///db?host=/nowhere"])
def test_an_unreachable_host(project: Project, url: str) -> None:
    line = project.refused("alembic", "current", DATABASE_URL=url)
    assert "There is no connection to postgresql://" in line
    assert "Check that the server runs" in line


def test_a_connection_that_never_was_is_not_called_lost() -> None:
    """An `env.py` that isn't ours connects by itself."""
    with pytest.raises(psycopg.OperationalError) as failed:
        psycopg.connect("host=/nowhere dbname=shop")
    line = str(server_errors.sentence(failed.value))
    assert line.startswith("There is no connection: ")
    assert line.endswith("on that socket? Check that the server runs, and the URL.")


@pytest.mark.parametrize("option", ["schema=public", "connect_timeout=abc", "sslmode=bogus"])
def test_an_option_that_libpq_refuses(project: Project, empty_url: URL, option: str) -> None:
    line = project.refused("alembic", "current", DATABASE_URL=f"{render(empty_url)}&{option}")
    assert option.partition("=")[0] in line
    assert "options in DATABASE_URL" in line


def test_a_password_among_the_options_is_not_shown(project: Project) -> None:
    line = project.refused(
        "alembic", "current", DATABASE_URL="postgresql:///db?host=/nowhere&password=secret"
    )
    assert "secret" not in line


def test_a_database_that_refuses_us_is_not_missing(empty_url: URL) -> None:
    with connect_to_maintenance_database(empty_url) as connection:
        connection.exec_driver_sql(f"alter database {empty_url.database} with allow_connections false")
    with pytest.raises(ConnectError) as caught, connect(empty_url):
        pass
    assert not isinstance(caught.value, MissingDatabaseError)


def test_a_server_without_the_database_postgres(password_url: URL) -> None:
    superuser = password_url.set(username="postgres")
    with connect(superuser, autocommit=True) as connection:
        connection.exec_driver_sql("drop database postgres")
    with connect_to_maintenance_database(superuser) as connection:
        assert connection.scalar(text("select current_database()")) == "template1"
    with pytest.raises(MissingDatabaseError), connect(superuser.set(database="none")):
        pass


def test_another_kind_of_database(project: Project) -> None:
    assert "only PostgreSQL" in project.refused("alembic", "upgrade", "head", DATABASE_URL="mysql://u@h/db")


@pytest.mark.slow
def test_variables_of_libpq_do_not_choose_the_database(project: Project, empty_url: URL) -> None:
    elsewhere = {"PGHOST": "nowhere.invalid", "PGSERVICE": "other", "PGDATABASE": "other", "PGPORT": "1"}
    project.ok("alembic", "upgrade", "head", **elsewhere)
    assert HEAD in project.ok("alembic", "current", DATABASE_URL=render(empty_url))


def test_the_makefile_prints_the_url_for_psql(project: Project, empty_url: URL) -> None:
    printed = project.ok("plinth", "url").strip()
    assert printed.startswith("postgresql://")
    from plinth.__main__ import psql  # noqa: PLC0415

    answer = subprocess.check_output([psql(), "-XAtc", "select current_database()", printed], text=True)
    assert answer.strip() == empty_url.database
