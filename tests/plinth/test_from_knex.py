"""Coming from Knex, as docs/from-knex.md says: its commands and settings, and a database that it migrated."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL

from plinth import settings
from plinth.__main__ import libpq_url
from plinth.connecting import connect
from plinth.local_server import client_program
from plinth.testing.server import DatabaseServer, libpq
from tests.plinth.conftest import own_home
from tests.plinth.documents import read
from tests.plinth.project import Project, clean_environment, copy_for_a_reader

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is missing: Knex can't be installed"),
]

DOCUMENT = "docs/from-knex.md"
FILES = settings.root() / "tests" / "plinth" / "knex"


@pytest.fixture(scope="module")
def knex(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Knex and its two migrations."""
    folder = tmp_path_factory.mktemp("knex") / "project"
    shutil.copytree(FILES, folder)
    (folder / "package.json").write_text('{"private": true}\n')
    npm(folder, "npm", "install", "--no-save", "--no-audit", "--no-fund", "knex@3", "pg@8")
    return folder


def npm(folder: Path, *command: str, **environment: str) -> str:
    """Run one of npm's programs, which must succeed, and return what it printed."""
    done = subprocess.run(
        ["/usr/bin/env", *command],
        cwd=folder,
        env=clean_environment() | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def migrated_by_knex(knex: Path, database_server: DatabaseServer, empty_url: URL) -> URL:
    """A database with Knex's two migrations and some rows."""
    given = libpq(database_server, str(empty_url.database))
    names = {
        "host": "PGHOST",
        "port": "PGPORT",
        "user": "PGUSER",
        "dbname": "PGDATABASE",
        "password": "PGPASSWORD",
    }
    place = {names[name]: value for name, value in given.items() if name in names}
    assert "Batch 1 run: 2 migrations" in npm(knex, "npx", "knex", "migrate:latest", **place)
    npm(knex, "npx", "knex", "seed:run", **place)
    return empty_url


@pytest.fixture
def reader(tmp_path: Path, migrated_by_knex: URL) -> Project:
    """A reader's copy on that database."""
    project = copy_for_a_reader(tmp_path / "my app")
    environment = {
        "DATABASE_URL": migrated_by_knex.render_as_string(hide_password=False),
        "PLINTH_HOME": own_home(),
    }
    return replace(project, environment=project.environment | environment)


OURS = ("users", "authentication")
KNEXES = ("migrations", "migrations_lock")


def dump(url: URL, *tables: str) -> list[str]:
    """Return what pg_dump says of tables and their sequences."""
    sequences = ("users_id_seq", "authentication_id_seq", "migrations_id_seq", "migrations_lock_index_seq")
    dumped = subprocess.run(
        [
            client_program("pg_dump"),
            "--schema-only",
            *("--no-owner", "--restrict-key=same"),
            *(f"--table={table}" for table in tables),
            *(f"--table={sequence}" for sequence in sequences if sequence.startswith(tables)),
            libpq_url(url),
        ],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    return dumped.stdout.splitlines()


def test_a_database_that_knex_migrated_goes_on_here(
    reader: Project, migrated_by_knex: URL, clone_url: URL, record_property: Callable[[str, object], None]
) -> None:
    url = migrated_by_knex
    by_knex, of_knex = dump(url, *OURS), dump(url, *KNEXES)
    assert any('"createdAt"' in line for line in by_knex)
    assert of_knex
    before = rows(url)

    record_property("summary", read(reader, DOCUMENT).summary(DOCUMENT))

    assert dump(url, *OURS) == dump(clone_url, *OURS), "it isn't what a new project's database is"
    assert dump(url, *KNEXES) == of_knex
    after = rows(url)
    assert after["users"][0]["first_name"] == "Ada"
    assert after == {table: [snake_case(row) for row in before[table]] for table in before}

    files = reader.versions()
    reader.ok("alembic", "revision", "--autogenerate", "-m", "what is left to do")
    assert reader.versions() == files

    baseline = files[0].partition("_")[0]
    reader.ok("alembic", "downgrade", baseline)
    assert dump(url, *OURS) == by_knex
    assert dump(url, *KNEXES) == of_knex
    assert rows(url) == before

    with connect(url) as connection:
        empty(connection)
    reader.ok("alembic", "upgrade", baseline)
    assert dump(url, *OURS) == by_knex, "the baseline makes something else"


Row = dict[str, object]


def rows(url: URL) -> dict[str, list[Row]]:
    """Return all rows, those of Knex's own tables too."""
    with connect(url) as connection:
        found = {
            name: list(connection.scalars(text(f"select to_jsonb(t) from {name} t order by to_jsonb(t)")))  # noqa: S608
            for name in (*OURS, *KNEXES)
        }
    assert all(found.values())
    return found


def snake_case(row: Row) -> Row:
    """Return a row whose columns are named in snake case."""
    return {re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name): row[name] for name in row}


def empty(connection: Connection) -> None:
    """Drop everything."""
    connection.execute(text("drop schema public cascade"))
    connection.execute(text("drop schema if exists plinth cascade"))
    connection.execute(text("create schema public"))
    connection.commit()


def test_every_command_and_setting_of_knex_is_explained(knex: Path) -> None:
    document = (settings.root() / DOCUMENT).read_text()
    code = [words for words in re.findall(r"`([^`]+)`", document) if "\n" not in words]
    named = {word for words in code for word in re.findall(r"--?[\w-]+|[\w:]+", words)}
    program = (knex / "node_modules/knex/bin/cli.js").read_text()
    commands = set(re.findall(r"\.command\('([\w:]+)", program))
    options = set(re.findall(r"\.option\(\s*[`'](--[\w-]+)", program))
    types = (knex / "node_modules/knex/types/index.d.ts").read_text()
    configured = re.findall(r"interface (?:Migrator|Seeder)Config\w*[^{]*\{(.*?)\n  \}", types, re.DOTALL)
    configured_names = {
        name for each in configured for name in re.findall(r"^    (\w+)\??:", each, re.MULTILINE)
    }
    assert len(commands) > 10
    assert len(options) > 10
    assert len(configured_names) > 15
    assert (commands | options | configured_names) - named == set()
