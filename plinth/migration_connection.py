"""The connection that Alembic's commands work on."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from alembic.config import Config
from sqlalchemy import Connection, Engine

from plinth import connecting, settings
from plinth.errors import as_command_errors


@contextmanager
def migration_connection(config: Config) -> Iterator[Connection]:
    """Yield what was handed over in `config.attributes["connection"]`, else a connection to our database.

    Raises:
        alembic.util.CommandError: there is no connection; the message says why.
    """
    with _open(config) as connection:
        callers = connection.in_transaction()
        yield connection
        if not callers:
            # `ensure_version` leaves its work uncommitted when each revision has a transaction of its own.
            connection.commit()


@contextmanager
def _open(config: Config) -> Iterator[Connection]:
    given = config.attributes.get("connection")
    if isinstance(given, Connection):
        yield given  # the caller's to close
    elif isinstance(given, Engine):
        with given.connect() as connection:
            yield connection
    else:
        with ExitStack() as stack:
            with as_command_errors():
                connection = stack.enter_context(connecting.connect(settings.migration_url()))
            yield connection
