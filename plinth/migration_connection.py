"""The connection that Alembic's commands work on."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from alembic.config import Config
from sqlalchemy import Connection, Engine

from plinth import connecting, settings
from plinth.errors import PlinthError, as_command_errors, sentence_of

ASKED = "plinth.asked"  # in a configuration's attributes: `env.py` is run to learn where it leads


@contextmanager
def migration_connection(config: Config) -> Iterator[Connection]:
    """Yield what was handed over in `config.attributes["connection"]`, else a connection to our database.

    Raises:
        alembic.util.CommandError: there is no connection; the message says why.
        connecting.Led: all that is asked is where it would lead.
    """
    with _open(config) as connection:
        callers = connection.in_transaction()
        yield connection
        if not callers:
            # `ensure_version` leaves its work uncommitted when each revision has a transaction of its own.
            connection.commit()


@contextmanager
def _open(config: Config) -> Iterator[Connection]:
    is_asked = bool(config.attributes.get(ASKED))
    given = config.attributes.get("connection")
    given = getattr(given, "sync_engine", given)  # an AsyncEngine's
    if isinstance(given, Connection):
        with as_command_errors():
            _refuse_other_drivers(given, in_transaction=given.in_transaction())
        yield given  # the caller's to close
    elif isinstance(given, Engine):
        with as_command_errors():
            engine = connecting.on_our_driver(given)
            if is_asked and engine is not given:
                raise connecting.Led(engine.url)
        with engine.connect() as connection:
            yield connection
    else:
        with ExitStack() as stack:
            with as_command_errors():
                url = settings.migration_url(config)
                if is_asked:
                    raise connecting.Led(url)
                try:
                    connection = stack.enter_context(connecting.connect(url))
                except OSError as error:
                    raise PlinthError(sentence_of(error)) from error
            yield connection


def _refuse_other_drivers(given: Connection, *, in_transaction: bool) -> None:
    """Return if what was handed over can be used.

    Raises:
        ConnectError: it isn't PostgreSQL's, or another driver's, by which we can't make a second session.
    """
    dialect = given.dialect
    if dialect.name != "postgresql":
        raise connecting.ConnectError(
            f"The connection that was handed over is {dialect.name}'s: only PostgreSQL is supported."
        )
    if not connecting.is_ours(dialect) and not in_transaction:
        driver = f"{dialect.driver}'s{' (asynchronous)' if dialect.is_async else ''}"
        raise connecting.ConnectError(
            f"The connection that was handed over is {driver}, beside which the lock of the migrations can't "
            "be held. Hand over one of psycopg's (postgresql+psycopg://, create_engine), an engine of any "
            "driver's, a connection in a transaction (with engine.begin() as connection), or none: then it "
            "is DATABASE_URL's database."
        )
