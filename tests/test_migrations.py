"""The chain of revisions: one head, each revision up and down, and at its end what the models say."""

import os
import subprocess
from collections.abc import Iterator

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth.__main__ import libpq_url
from plinth.development import alembic_config
from plinth.local_server import client_program

REVISIONS = [script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()][
    ::-1
]


@pytest.fixture
def config(empty_url: URL) -> Iterator[Config]:
    """Alembic on an empty database."""
    engine: Engine = create_engine(empty_url, poolclass=NullPool)
    config = alembic_config()
    config.attributes["connection"] = engine
    yield config
    engine.dispose()


def catalog(url: URL) -> list[str]:
    """Return everything that pg_dump says of the database, the tables of Alembic and Plinth aside."""
    dump = subprocess.run(
        [
            client_program("pg_dump"),
            "--schema-only",
            "--exclude-table=alembic_version",
            "--exclude-schema=plinth",
            "--restrict-key=same",
            libpq_url(url),
        ],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    return dump.stdout.splitlines()


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(alembic_config()).get_heads()) == 1


def test_each_revision_goes_up_down_and_up(config: Config, empty_url: URL) -> None:
    for revision in REVISIONS:
        before = catalog(empty_url)
        command.upgrade(config, revision)
        after = catalog(empty_url)
        command.downgrade(config, "-1")
        assert catalog(empty_url) == before, f"the downgrade of {revision} doesn't put back what was there"
        command.upgrade(config, revision)
        assert catalog(empty_url) == after, f"{revision} makes something else the second time"


def test_the_whole_chain_goes_down_to_nothing(config: Config, empty_url: URL) -> None:
    before = catalog(empty_url)
    command.upgrade(config, "head")
    command.downgrade(config, "base")
    assert catalog(empty_url) == before


def test_models_and_database_agree(config: Config) -> None:
    command.upgrade(config, "head")
    command.check(config)
