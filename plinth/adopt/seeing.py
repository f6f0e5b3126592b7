"""Runs a project's `env.py`, whichever it is, in order to know what it says."""

import copy
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from plinth import environment, server_errors
from plinth.alembic_command import AlembicCommand
from plinth.apply.ledger import Entry, history_name, newest, read
from plinth.autogenerate.comparator import subject_of
from plinth.autogenerate.comparison import Subject
from plinth.check import Report, place
from plinth.connecting import connect
from plinth.errors import PlinthError, sentence_of
from plinth.scratch.databases import url_of
from plinth.scratch.revisions import History, history_of, lent_proxies

_SESSION = "select format('%s, %s', current_user, current_setting('search_path'))"
_CHECK = AlembicCommand("check", autogenerates=True, changes_database=False)


@dataclass(frozen=True)
class Seen:
    """What an `env.py` says.

    Args:
        history: the revisions.
        options: of its context.
        environment: Alembic's.
        url: of the database to which it leads; None when there is no connection.
        session: the role and search_path that its sessions have there.
        heads: what that database's version table says.
        entries: what its ledger says.
        failure: why there is no connection.
    """

    history: History
    options: Mapping[str, Any]
    environment: EnvironmentContext
    url: URL | None = None
    session: str = ""
    heads: Sequence[str] = ()
    entries: Mapping[str, Entry] = field(default_factory=dict)
    failure: str | None = None

    @property
    def has_models(self) -> bool:
        """Whether it names the models' metadata."""
        return self.options.get("target_metadata") is not None

    def subject(self, connection: Connection) -> Subject:
        """Return what a comparison of a database with the models is about, with the project's own filters."""
        options = {**self.options, "as_sql": False, "literal_binds": False, "fn": lambda *_: []}
        with lent_proxies():
            context = MigrationContext.configure(
                connection, environment_context=self.environment, opts=options
            )
            return subject_of(AutogenContext(context), connection, _CHECK)


def see(config: Config) -> Seen:
    """Return what `env.py` says, on the database to which it leads, or else without one.

    Raises:
        PlinthError: it fails either way.
    """
    found: list[Seen] = []

    def check(heads: Sequence[str], context: MigrationContext) -> Iterable[Any]:
        assert context.environment_context is not None  # noqa: S101 - env.py has run in one
        history = replace(history_of(context), config=config)
        seen = Seen(history, dict(context.opts), context.environment_context)
        if isinstance(context.connection, Connection):
            entries = newest(read(context.connection, history_name(context.connection, context.opts)))
            url, session = url_of(context.connection), context.connection.scalar(text(_SESSION))
            seen = replace(seen, url=url, session=str(session), heads=tuple(heads), entries=entries)
        found.append(seen)
        return []

    # The name by which the running command is known.
    check.__qualname__ = "check.<locals>.check"
    given = copy.copy(config)
    given.stdout = given.output_buffer = io.StringIO()
    try:
        environment.look(given, check, any_heads=True)
    except Exception as error:
        why = _why(error)
        try:
            script = ScriptDirectory.from_config(given)
            with EnvironmentContext(given, script, fn=check, as_sql=True, dont_mutate=True):
                script.run_env()
        except Exception:
            raise PlinthError(f"env.py can't be run: {why}") from error
        return replace(found[-1], failure=why)
    return found[-1]


def _why(error: Exception) -> str:
    """Return a sentence: nothing has been done yet, so that a session that there isn't was never lost."""
    if isinstance(error, OperationalError) and server_errors.advice(error) is None:
        return f"{server_errors.words(error)} Make it, or correct its URL, and look again."
    return sentence_of(error) or " ".join(f"{type(error).__name__}: {error}".split())


@contextmanager
def on_its_database(seen: Seen, notes: list[str]) -> Iterator[Connection]:
    """Yield a connection to the database that `env.py` leads to; else to a server for scratch databases.

    Args:
        seen: what it says.
        notes: gets why there is none.

    Raises:
        ConnectError: there is no server at all.
    """
    if seen.url is not None:
        with connect(seen.url) as connection:
            yield connection
        return
    report = Report()
    with place(seen.history.config, report) as (connection, _):
        notes.append(f"There is no database to compare. {seen.failure}")
        yield connection
