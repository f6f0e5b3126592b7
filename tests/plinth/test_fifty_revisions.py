"""Fifty changes of a shop, with rows in all tables: each written, applied, seen; then a dump restored."""

import argparse
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth.__main__ import libpq_url
from plinth.check import check
from plinth.connecting import connect
from plinth.lint.linting import REFUSED, lint
from plinth.local_server import client_program
from plinth.safety import write_marker
from plinth.testing.server import RUN
from tests.plinth.history import clear, do
from tests.plinth.oldest_server import oldest_server
from tests.plinth.project import copy_project
from tests.plinth.shop import EXTENSIONS, NEVER_BEFORE, NOTICED, SCHEMAS, STEPS, THEIRS, after, models

FEW = 8  # steps of the run that everybody makes
CHECKED = 10  # every so many steps, all revisions are tried as well


class Shop:
    """The shop's project, whose team goes on step by step."""

    def __init__(self, folder: Path, url: URL) -> None:
        self.project = copy_project(folder / "the shop", url)
        clear(self.project)
        self.url = url
        self.source = ""
        self.execute(THEIRS)

    def config(self, url: URL, *x: str) -> Config:
        """Return Alembic's configuration, as the programs have it."""
        root = self.project.root
        config = Config(
            str(root / "alembic.ini"),
            toml_file=str(root / "pyproject.toml"),
            cmd_opts=argparse.Namespace(x=list(x)),
        )
        config.attributes["connection"] = create_engine(url, poolclass=NullPool)
        config.attributes["target_metadata"] = models(self.source)
        return config

    def go(self, number: int, *x: str) -> None:
        """Do a step: models, revisions, database, rows; and see that they agree."""
        step = STEPS[number]
        self.source = after(self.source, step)
        command.revision(self.config(self.url, *x, *step.x), step.message, autogenerate=True)
        command.upgrade(self.config(self.url), "head")
        if step.rows:
            self.execute(step.rows)
        command.check(self.config(self.url))
        if number % CHECKED == CHECKED - 1:
            self.agrees(self.url)

    def agrees(self, url: URL) -> None:
        """Try all revisions, and compare them with the models and a database."""
        report = check(self.config(url))
        assert report.agrees, [problem.message for problem in report.problems]

    def there_and_back(self, url: URL) -> None:
        """Undo some revisions with what is in the tables, then all; and apply them again."""
        do(url, NEVER_BEFORE)
        for target in ("-9", "base"):
            command.downgrade(self.config(url), target)
            command.upgrade(self.config(url), "head")
            self.agrees(url)

    def refused_by_lint(self) -> set[str]:
        """Return the messages of the revisions that need the author's reason."""
        found = lint(self.config(self.url))
        assert found.not_measured is None
        files = {
            each.file for each in found.revisions for finding in each.findings if finding.level == REFUSED
        }
        folder = self.project.root / "alembic" / "versions"
        return {(folder / file).read_text().splitlines()[0].strip('"') for file in files}

    def execute(self, sql: str) -> None:
        """Run statements in the shop's database."""
        with create_engine(self.url, poolclass=NullPool).begin() as connection:
            connection.exec_driver_sql(sql)

    def rows(self, url: URL) -> dict[str, int]:
        """Return how many rows each table has."""
        found = {}
        with create_engine(url, poolclass=NullPool).connect() as connection:
            for table in models(self.source).sorted_tables:
                found[table.fullname] = connection.execute(
                    text(f"select count(*) from {table.fullname}")  # noqa: S608 - names of our own
                ).scalar_one()
        return found


def restore(source: URL, target: URL) -> None:
    """Put a dump of one database into another one, which is empty."""
    dump = subprocess.run([client_program("pg_dump"), libpq_url(source)], check=True, capture_output=True)
    subprocess.run(
        [client_program("psql"), "-q", "-v", "ON_ERROR_STOP=1", libpq_url(target)],
        check=True,
        input=dump.stdout,
        stdout=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_the_first_few(tmp_path: Path, empty_url: URL) -> None:
    shop = Shop(tmp_path, empty_url)
    for number in range(FEW):
        shop.go(number, "online=no")
    shop.agrees(empty_url)


@pytest.mark.slow
def test_all_of_them_and_a_dump_of_it_restored(tmp_path: Path, empty_url: URL, another_url: URL) -> None:
    shop = Shop(tmp_path, empty_url)
    for number in range(len(STEPS)):
        shop.go(number)
    rows = shop.rows(empty_url)
    assert 0 not in rows.values(), rows
    assert shop.refused_by_lint() == NOTICED
    restore(empty_url, another_url)
    shop.agrees(another_url)
    assert shop.rows(another_url) == rows
    shop.there_and_back(another_url)


@pytest.fixture
def another_url(server: URL) -> Iterator[URL]:
    """The URL of a second empty database."""
    name = f"{RUN}_{secrets.token_hex(4)}"
    engine = create_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"create database {name} template template0"))
    yield server.set(database=name)
    with engine.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))


@pytest.mark.slow
def test_all_of_them_where_the_default_schema_is_another(tmp_path: Path, another_url: URL) -> None:
    do(another_url, "create schema app")
    do(another_url, f"alter database {another_url.database} set search_path = app")
    shop = Shop(tmp_path, another_url)
    for number in range(len(STEPS)):
        shop.go(number)
    shop.agrees(another_url)
    shop.there_and_back(another_url)


@pytest.mark.slow
def test_all_of_them_on_the_oldest_postgresql(tmp_path: Path) -> None:
    with oldest_server() as url:
        with connect(url) as connection:
            write_marker(connection, "development")
            connection.commit()
        shop = Shop(tmp_path, url)
        for number in range(len(STEPS)):
            shop.go(number)
        shop.agrees(url)
        shop.there_and_back(url)


@pytest.fixture
def deployer(server: URL) -> Iterator[str]:
    """A role that may do nothing but sign in."""
    name = f"{RUN}_{secrets.token_hex(4)}"
    do(server, f"create role {name} login nosuperuser nocreatedb nocreaterole")
    yield name
    do(server, f"drop role {name}")


@pytest.mark.slow
def test_a_role_without_privileges_does_all_of_them(
    tmp_path: Path, deployer: str, empty_url: URL, another_url: URL
) -> None:
    """It writes, proves, applies and undoes, in schemas and with extensions that an administrator made."""
    do(empty_url, f"revoke all on database {empty_url.database} from public")
    do(empty_url, f"grant connect on database {empty_url.database} to {deployer}")
    do(empty_url, f"grant usage, create on schema public to {deployer}")
    for schema in SCHEMAS:
        do(empty_url, f"create schema {schema} authorization {deployer}")
    for extension in EXTENSIONS:
        do(empty_url, f"create extension {extension}")
    url = empty_url.set(username=deployer)
    shop = Shop(tmp_path, url)
    for number in range(len(STEPS)):
        shop.go(number)
    shop.agrees(url)
    shop.there_and_back(url)
    do(another_url, f"revoke all on database {another_url.database} from public")
    do(another_url, f"grant connect on database {another_url.database} to {deployer}")
    restore(empty_url, another_url)
    shop.agrees(another_url.set(username=deployer))
