"""Leads an `env.py` to a database, whichever it would go to by itself.

Alembic's own templates connect to what `sqlalchemy.url` says, applications' to what their settings say. What
is tried must be tried elsewhere: as long as a block lasts, all engines of SQLAlchemy's but our own make their
connections to one database, with their own drivers.
"""

import contextlib
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.pool import Pool

from plinth.errors import PlinthError
from plinth.listening import listening

_ours: "WeakSet[Dialect]" = WeakSet()
_target: URL | None = None

# What says where a connection goes, and how it is let in, in the arguments of any driver.
_PLACES = (
    *("host", "hostaddr", "port", "unix_sock", "dsn", "service", "database", "dbname", "user", "password"),
    *("passfile", "ssl", "ssl_context", "direct_tls", "sslmode", "sslcert", "sslkey", "sslrootcert"),
    *("sslpassword", "channel_binding", "gssencmode", "target_session_attrs"),
)


class RedirectError(PlinthError):
    """An environment has a connection to another database; the message says what to do."""


def stays_where_it_is(engine: Engine) -> None:
    """Let an engine of our own connect to its own database, always."""
    _ours.add(engine.dialect)


def is_ours(dialect: Dialect) -> bool:
    """Whether an engine is one of our own."""
    return dialect in _ours


def target() -> URL | None:
    """Return the database that all engines but our own are led to now; None when they aren't."""
    return _target


@contextlib.contextmanager
def leading_to(url: URL) -> Iterator[None]:
    """Lead all engines but our own to a database, until the block ends.

    Args:
        url: for psycopg.

    Raises:
        RedirectError: one of them uses a connection that it made before.
    """
    global _target  # noqa: PLW0603 - as the listeners: of the process
    made: list[object] = []
    used: set[Engine] = set()

    def lead(dialect: Dialect, _: object, arguments: list[Any], options: dict[str, Any]) -> None:
        if dialect.name == "postgresql" and dialect not in _ours:
            for name in _PLACES:
                options.pop(name, None)
            arguments[:] = []
            options |= _options(dialect, url)

    def note(connection: object, _: object) -> None:
        made.append(connection)

    def judge(connection: Connection) -> None:
        engine = connection.engine
        if engine.dialect.name != "postgresql" or engine.dialect in _ours:
            return
        used.add(engine)
        if not any(connection.connection.dbapi_connection is each for each in made):
            raise RedirectError(
                f"env.py uses a connection to {engine.url.database!r} that was made before, and can't be led "
                f"to {url.database!r}. Let it connect with an engine of its own (poolclass=NullPool), or by "
                "plinth.env.run()."
            )

    listeners = ((Engine, "do_connect", lead), (Pool, "connect", note), (Engine, "engine_connect", judge))
    before, _target = _target, url
    try:
        with listening(*listeners):
            yield
    finally:
        _target = before
        for engine in used:  # what is kept in a pool leads to a database that may be gone tomorrow
            engine.dispose(close=not engine.dialect.is_async)


def _options(dialect: Dialect, url: URL) -> dict[str, Any]:
    """Return what a driver's `connect()` takes for a URL."""
    if not dialect.driver.startswith("psycopg"):  # the rest is libpq's
        url = url.set(query={name: value for name, value in url.query.items() if name in {"host", "port"}})
    options = dict(dialect.create_connect_args(url)[1])
    if dialect.driver == "pg8000" and str(options.get("host", "")).startswith("/"):
        options["unix_sock"] = f"{options.pop('host')}/.s.PGSQL.{options.pop('port', 5432)}"
    return options
