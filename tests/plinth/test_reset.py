"""`make db-reset`: drop, create, migrate and seed."""

import subprocess
import sys
from pathlib import Path

import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy import text
from sqlalchemy.engine import URL

from plinth.connecting import connect
from tests.plinth.history import psql
from tests.plinth.project import Project, clean_environment, copy_project


@pytest.fixture
def project(tmp_path: Path, empty_url: URL) -> Project:
    """A copy of the scaffold that says in so many words that its database is for development."""
    return copy_project(tmp_path / "my app", empty_url, APP_ENV="development")


def users(url: URL) -> int:
    with connect(url) as connection:
        count = connection.scalar(text("select count(*) from users"))
    assert isinstance(count, int)
    return count


def test_reset_migrates_seeds_and_says_how_to_connect(project: Project, empty_url: URL) -> None:
    output = project.ok("plinth", "reset")
    assert f"Database {empty_url.database} is new, migrated and seeded" in output
    assert "make db-shell" in output
    assert users(empty_url) == 3
    project.ok("plinth", "seed")
    assert users(empty_url) == 3


@pytest.mark.slow
def test_two_at_once_both_end_well(project: Project, empty_url: URL) -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "plinth", "reset"],
            cwd=project.root,
            env=clean_environment() | project.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for command in running:
        _, errors = command.communicate()
        assert command.returncode == 0, errors
    assert users(empty_url) == 3


@pytest.mark.slow
def test_odd_names_of_databases(project: Project, empty_url: URL) -> None:
    for name in ("select", 'My "App": 100%', "x" * 63):
        url = empty_url.set(database=name)
        drop = SQL("drop database if exists {} with (force)").format(Identifier(name))
        with psql(empty_url) as connection:
            connection.execute(drop)  # a killed run's
            try:
                project.ok("plinth", "reset", DATABASE_URL=url.render_as_string(hide_password=False))
                assert users(url) == 3
            finally:
                connection.execute(drop)


@pytest.mark.slow
def test_reset_after_a_kill(project: Project, empty_url: URL) -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "plinth", "reset"],
        cwd=project.root,
        env=clean_environment() | project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stderr
    while "Running upgrade" not in command.stderr.readline():
        assert command.poll() is None
    command.kill()
    command.communicate()
    project.ok("plinth", "reset")
    assert users(empty_url) == 3
