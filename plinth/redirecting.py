"""Leads an `env.py` to a database, whichever it would go to by itself.

Alembic's own templates connect to what `sqlalchemy.url` says, applications' to what their settings say. What
is tried must be tried elsewhere: as long as a block lasts, all engines of SQLAlchemy's but our own make their
connections to one database, with their own drivers.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.pool import NullPool, Pool

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


# Text, for drivers differ in the rest; the server's start tells it from all others.
_PLACE = """
    select current_database()::text, oid::text, extract(epoch from pg_postmaster_start_time())::text
    from pg_database where datname = current_database()
    """


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

    Where each of their connections really is, is asked before it is used: an engine with a way of its own to
    connect (creator, async_creator, a pool, a listener) isn't led, nor is a connection that was made before.

    Args:
        url: for psycopg.

    Raises:
        RedirectError: one of them uses a connection to another database.
    """
    global _target  # noqa: PLW0603 - as the listeners: of the process
    judged: dict[int, object] = {}  # by id; that of one that is gone would be another's
    used: set[Engine] = set()
    wanted: list[Sequence[object]] = []

    def lead(dialect: Dialect, _: object, arguments: list[Any], options: dict[str, Any]) -> None:
        if _is_led(dialect):
            for name in _PLACES:
                options.pop(name, None)
            arguments[:] = []
            options |= _options(dialect, url)

    def judge(session: Any) -> None:  # noqa: ANN401 - some driver's
        if id(session) in judged:
            return
        wanted[:] = wanted or [_place_of(url)]
        found = _asked(session)
        if found != wanted[0]:
            raise RedirectError(
                f"env.py uses a connection to {found[0]!r}, which can't be led to {url.database!r}: it was "
                "made before, or in a way of the engine's own (creator, async_creator, pool). Let env.py use "
                'context.config.attributes["connection"] where that is given, or connect by plinth.env.run().'
            )
        judged[id(session)] = session

    def lent(session: Any, _: object, lent: Any) -> None:  # noqa: ANN401 - the pool's
        if _is_led(lent._pool._dialect):
            judge(session)
            session.rollback()  # the question began a transaction

    def note(connection: Connection) -> None:
        if _is_led(connection.dialect):
            used.add(connection.engine)

    def ask(connection: Connection, *_: object) -> None:
        if _is_led(connection.dialect):  # lent before the block began
            judge(connection.connection.dbapi_connection)

    listeners = (
        (Engine, "do_connect", lead),
        (Pool, "checkout", lent),
        (Engine, "engine_connect", note),
        (Engine, "before_cursor_execute", ask),
    )
    before, _target = _target, url
    try:
        with listening(*listeners):
            yield
    finally:
        _target = before
        for engine in used:  # what is kept in a pool leads to a database that may be gone tomorrow
            engine.dispose(close=not engine.dialect.is_async)


def _is_led(dialect: Any) -> bool:  # noqa: ANN401 - a pool's own may be none
    return getattr(dialect, "name", None) == "postgresql" and dialect not in _ours


def _asked(session: Any) -> Sequence[object]:  # noqa: ANN401 - some driver's
    """Return which database of which server a session is in, under any driver."""
    cursor = session.cursor()
    try:
        cursor.execute(_PLACE)
        return tuple(cursor.fetchone())
    finally:
        cursor.close()


def _place_of(url: URL) -> Sequence[object]:
    engine = create_engine(url, poolclass=NullPool)
    stays_where_it_is(engine)
    with engine.connect() as connection:
        return _asked(connection.connection)


def _options(dialect: Dialect, url: URL) -> dict[str, Any]:
    """Return what a driver's `connect()` takes for a URL."""
    if not dialect.driver.startswith("psycopg"):  # the rest is libpq's
        url = url.set(query={name: value for name, value in url.query.items() if name in {"host", "port"}})
    options = dict(dialect.create_connect_args(url)[1])
    if dialect.driver == "pg8000" and str(options.get("host", "")).startswith("/"):
        options["unix_sock"] = f"{options.pop('host')}/.s.PGSQL.{options.pop('port', 5432)}"
    return options
