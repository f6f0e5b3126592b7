"""Runs a project's revisions on databases of the tests', by its own env.py."""

import contextlib
import logging
from collections.abc import Iterator

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from plinth import redirecting, settings
from plinth.apply.standing import forks
from plinth.development import alembic_config
from plinth.errors import PlinthError, sentence_of
from plinth.scratch.baseline import is_missing
from plinth.server_errors import words

WAY_ON = (
    "If they begin on what others made, let the fixture `baseline` return its SQL, as pg_dump --schema-only "
    "prints it."
)


class ChainError(PlinthError):
    """The revisions can't be applied to an empty database; the message says why and what to do."""


@contextlib.contextmanager
def config_on(url: URL) -> Iterator[Config]:
    """Yield Alembic's configuration for a database, in the project's folder, as its file may expect.

    Whatever `env.py` connects to, it is that database. It may set up a program's logging, which is undone.
    """
    config = alembic_config()
    config.cmd_opts = None  # an application runs it
    config.attributes["connection"] = create_engine(url, poolclass=NullPool)
    with contextlib.chdir(settings.root()), redirecting.leading_to(url), _logging_as_it_is():
        yield config


def upgrade(config: Config) -> None:
    """Apply all revisions.

    Raises:
        ChainError: they lean on what isn't there.
    """
    try:
        command.upgrade(config, "head" if forks(ScriptDirectory.from_config(config)) else "heads")
    except DBAPIError as error:
        if not is_missing(error):
            raise
        raise ChainError(
            f"The revisions don't build a database from nothing: {words(error)} {WAY_ON}"
        ) from error


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
def _logging_as_it_is() -> Iterator[None]:
    known = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    before = [(each, each.handlers[:], each.level, each.disabled) for each in (logging.root, *known)]
    try:
        yield
    finally:
        for logger, handlers, level, disabled in before:
            logger.handlers[:] = handlers
            logger.setLevel(level)
            logger.disabled = disabled


@contextlib.contextmanager
def failing_in_a_sentence() -> Iterator[None]:
    """Let a test fail with one sentence where a command would end with it, and with no traceback."""
    try:
        yield
    except Exception as error:
        sentence = str(error) if isinstance(error, CommandError) else sentence_of(error)
        if sentence is None:
            raise
        raise pytest.fail.Exception(sentence, pytrace=False) from None
