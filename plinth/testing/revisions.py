"""Runs a project's revisions on databases of the tests', by its own env.py."""

import contextlib
from collections.abc import Iterator

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth import settings
from plinth.apply.standing import forks
from plinth.development import alembic_config
from plinth.errors import sentence_of


@contextlib.contextmanager
def config_on(url: URL) -> Iterator[Config]:
    """Yield Alembic's configuration for a database, in the project's folder, as its file may expect."""
    engine = create_engine(url, poolclass=NullPool)
    config = alembic_config()
    config.attributes["connection"] = engine
    with contextlib.chdir(settings.root()):
        yield config


def upgrade(config: Config) -> None:
    """Apply all revisions."""
    command.upgrade(config, "head" if forks(ScriptDirectory.from_config(config)) else "heads")


def lay(baseline: str, url: URL) -> None:
    """Make what stands below the revisions.

    Args:
        baseline: SQL, as pg_dump prints it; without rows.
        url: the empty database.
    """
    lines = [line for line in baseline.splitlines() if not line.startswith("\\")]  # psql's own commands
    sql = "\n".join(lines).strip()
    if sql:
        with create_engine(url, poolclass=NullPool).begin() as connection:
            connection.exec_driver_sql(sql.replace("%", "%%"))


@contextlib.contextmanager
def failing_in_a_sentence() -> Iterator[None]:
    """Let a test fail with one sentence where a command would end with it, and with no traceback."""
    try:
        yield
    except Exception as error:
        sentence = str(error) if isinstance(error, CommandError) else sentence_of(error)
        if sentence is None:
            raise
        pytest.fail(sentence, pytrace=False)
