"""Fifty changes of a shop, with rows in all tables: each written, applied, seen; then a dump restored."""

import argparse
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth.__main__ import libpq_url
from plinth.check import check
from plinth.local_server import client_program
from tests.conftest import RUN
from tests.plinth.history import clear
from tests.plinth.oldest_server import oldest_programs
from tests.plinth.project import copy_project
from tests.plinth.shop import STEPS, after, models
from tests.plinth.system_server import system_server

FEW = 8  # steps of the run that everybody makes
CHECKED = 10  # every so many steps, all revisions are tried as well


class Shop:
    """The shop's project, whose team goes on step by step."""

    def __init__(self, folder: Path, url: URL) -> None:
        self.project = copy_project(folder / "the shop", url)
        clear(self.project)
        self.url = url
        self.source = ""

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

    def execute(self, sql: str) -> None:
        """Run statements in the shop's database."""
        with create_engine(self.url, poolclass=NullPool).begin() as connection:
            connection.exec_driver_sql(sql)

    def rows(self, url: URL) -> dict[str, int]:
        """Return how many rows each table has."""
        found = {}
        with create_engine(url, poolclass=NullPool).connect() as connection:
            for table in models(self.source).sorted_tables:
                if table.fullname != "cheap":
                    found[table.fullname] = connection.execute(
                        text(f"select count(*) from {table.fullname}")  # noqa: S608 - names of our own
                    ).scalar_one()
        return found


def restore(source: URL, target: URL) -> None:
    """Put a dump of one database into another one, which is empty."""
    dump = subprocess.run(
        [client_program("pg_dump"), "--no-owner", libpq_url(source)], check=True, capture_output=True
    )
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
    restore(empty_url, another_url)
    shop.agrees(another_url)
    assert shop.rows(another_url) == rows
    command.downgrade(shop.config(another_url), "-9")
    command.upgrade(shop.config(another_url), "head")
    shop.agrees(another_url)


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
    engine = create_engine(another_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("create schema app"))
        connection.execute(text(f"alter database {another_url.database} set search_path = app"))
    shop = Shop(tmp_path, another_url)
    for number in range(len(STEPS)):
        shop.go(number, "online=no")
    shop.agrees(another_url)


@pytest.mark.slow
def test_all_of_them_on_the_oldest_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "development")
    with system_server(oldest_programs(tmp_path)) as url:
        shop = Shop(tmp_path, url)
        for number in range(len(STEPS)):
            shop.go(number, "online=no")
        shop.agrees(url)


ROLE = "plinth_test_shop_deployer"


@pytest.fixture
def deployer(server: URL, another_url: URL) -> Iterator[Engine]:
    """A role that may create in the schemas that are there, and in nothing else."""
    owner = create_engine(another_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        connection.execute(text(f"drop role if exists {ROLE}"))
        connection.execute(text(f"create role {ROLE} login nosuperuser nocreatedb nocreaterole"))
        connection.execute(text(f"revoke create, temporary on database {another_url.database} from public"))
        for schema in ("warehouse", "plinth"):
            connection.execute(text(f"create schema {schema} authorization {ROLE}"))
        connection.execute(text(f"grant usage, create on schema public to {ROLE}"))
    yield create_engine(another_url.set(username=ROLE), poolclass=NullPool)
    with owner.connect() as connection:
        connection.execute(text(f"drop owned by {ROLE} cascade"))
        connection.execute(text(f"drop role {ROLE}"))


@pytest.mark.slow
def test_a_role_without_privileges_applies_all_of_them(
    tmp_path: Path, empty_url: URL, deployer: Engine
) -> None:
    shop = Shop(tmp_path, empty_url)
    for number, step in enumerate(STEPS):
        if step.message == "create suppliers":
            break
        shop.go(number, "online=no")
        command.upgrade(shop.config(deployer.url), "head")
    command.downgrade(shop.config(deployer.url), "-5")
    command.upgrade(shop.config(deployer.url), "head")
    command.current(shop.config(deployer.url))
