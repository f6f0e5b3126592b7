"""The session that migrates."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from plinth.connecting import FORMATS, LIMITS
from plinth.server_errors import sqlstate

log = logging.getLogger(__name__)

_CHANGED = (
    "lock_timeout",
    "statement_timeout",
    "client_connection_check_interval",
    "application_name",
    "synchronous_commit",
)
OWN = (*_CHANGED, "client_min_messages")  # what is ours, whatever a revision makes of it
# What a policy hides from the role would be passed over without a word, and go with what is dropped next.
SEES_ALL_ROWS = ("row_security", "off")
_SET = text(
    "select set_config(name, value, false) from unnest(cast(:names as text[]), cast(:values as text[])) "
    "given (name, value)"
)
# What isn't wanted (NULL) is read alone. One name says for itself what it is where nobody has set it.
_PREPARE = text(
    """
    with before as materialized (
        select name, wanted, current_setting(name, true) as value
        from unnest(cast(:names as text[]), cast(:wanted as text[])) given (name, wanted))
    select name, value, case
        when name = 'application_name' and value <> '' then null
        when wanted <> value then set_config(name, wanted, false) end
    from before where value is not null
    """
)
_LOST = ("08", "57P", "25P03", "25P04")  # connection exceptions, a server that ends, limits of idle sessions
_PUT_OFF = text(
    """
    with before as materialized (select current_setting('synchronous_commit') as value)
    select value, set_config('synchronous_commit', 'off', false) from before
    """
)


class Settings:
    """Our own settings, in a session where revisions may change them.

    Args:
        connection: the session's.
        wanted: what they are.
    """

    def __init__(self, connection: Connection, wanted: Mapping[str, str | None]) -> None:
        self._connection = connection
        self._wanted = wanted
        self._given: str | None = None
        self.hold = False  # as far as was seen
        names = ", ".join(
            f"current_setting('{name}', true)" for name, value in wanted.items() if value is not None
        )
        self.picture = f"concat_ws(' ', {names})"  # of what is set, in SQL

    def give(self) -> None:
        """Give the session these settings again, in the transaction that runs."""
        _prepare(self._connection, self._wanted)
        self._given = self._connection.exec_driver_sql(f"select {self.picture}").scalar()
        self.hold = True

    def see(self, picture: str | None) -> None:
        """See what is set at the end of a revision."""
        self.hold = self._given is not None and picture == self._given


@contextmanager
def prepared(
    connection: Connection, command: str, timeouts: tuple[str, str], *, put_back: bool
) -> Iterator[Settings]:
    """Give the session a name and the settings of our own, and let it end soon after its client is gone.

    Yields these settings, to be given again.

    Args:
        connection: the session's, without a transaction.
        command: what is going on.
        timeouts: for a lock, and for a statement.
        put_back: whether the session lives on, and gets its settings back.
    """
    wanted: dict[str, str | None] = {
        **dict.fromkeys(_CHANGED),
        **FORMATS,
        **dict.fromkeys(LIMITS, "0"),
        **dict([SEES_ALL_ROWS]),
        **dict(zip(("lock_timeout", "statement_timeout"), timeouts, strict=True)),
        "application_name": f"alembic {command}",
        "client_connection_check_interval": "250ms",
    }
    try:
        before = _prepare(connection, wanted)
    except DBAPIError:  # the server's platform can't: what an orphan does, the next applier waits for
        connection.rollback()
        wanted["client_connection_check_interval"] = None
        before = _prepare(connection, wanted)
    connection.commit()
    try:
        yield Settings(connection, wanted)
    finally:
        if put_back and not connection.closed and not connection.invalidated:
            connection.rollback()
            _set(connection, before)


@contextmanager
def in_transactions(connection: Connection) -> Iterator[None]:
    """Let a connection have transactions as long as the block runs, also one whose engine says AUTOCOMMIT."""
    if not getattr(connection.connection.driver_connection, "autocommit", False):
        yield
        return
    connection.rollback()  # there may be one that has only asked
    connection.execution_options(isolation_level=connection.default_isolation_level)
    try:
        yield
    finally:
        if not connection.closed and not connection.invalidated:
            connection.rollback()
            connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def seeing_all_rows(connection: Connection) -> Iterator[None]:
    """Let what row security would hide be an error, as long as the block runs in a caller's transaction."""
    name, value = SEES_ALL_ROWS
    setting = text("select set_config(:name, :value, true)")
    before = connection.scalar(text("select current_setting(:name)"), {"name": name})
    connection.execute(setting, {"name": name, "value": value})
    yield  # an error ends the transaction, and the setting with it
    connection.execute(setting, {"name": name, "value": before})


class Flushing:
    """Lets commits return before they are on disk, all but the last: then they all are.

    PostgreSQL writes commits in their order. A server that crashes in between comes up with the first so many
    revisions, each whole and with its rows in the version table and the ledger, as after any interruption.

    Args:
        connection: the session's.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._before: str | None = None  # what holds otherwise, while commits don't wait

    def put_off(self) -> None:
        """Let commits return early, that of the running transaction too; if it is rolled back, so is this."""
        if self._before is None:
            self._before = self._connection.scalar(_PUT_OFF)

    def resume(self) -> None:
        """Let the next commit wait until it is on disk, and with it all before; there is no transaction."""
        if self._before is not None:
            _set(self._connection, {"synchronous_commit": self._before})
            self._before = None

    def flush(self) -> None:
        """Return when all commits are on disk, unless there is no session any more."""
        if self._before is None or self._connection.closed or self._connection.invalidated:
            return
        try:
            roll_back(self._connection)
            self.resume()
            # Something has to be written, or the commit doesn't wait.
            self._connection.execute(text("select pg_logical_emit_message(true, 'plinth', '')"))
            self._connection.commit()
        except (DBAPIError, psycopg.Error) as error:
            log.debug("The last commits may not be on disk for a moment: %s", error)


def is_lost(connection: Connection, error: Exception) -> bool:
    """Whether an error means that a session has ended: this one, or the one that holds the lock."""
    if connection.invalidated or connection.closed:
        return True
    if isinstance(error, psycopg.OperationalError):  # as a lock is that didn't come
        return (sqlstate(error) or _LOST[0]).startswith(_LOST)
    return isinstance(error, DBAPIError) and error.connection_invalidated


def is_idle(connection: Connection) -> bool:
    """Whether the server knows of no transaction, whatever SQLAlchemy takes for granted."""
    if connection.closed or connection.invalidated:
        return False
    # psycopg's own answer is made anew each time, and this is asked before each statement.
    session = getattr(connection.connection.driver_connection, "pgconn", None)
    return session is not None and session.transaction_status == TransactionStatus.IDLE


def is_interrupted(error: BaseException | None) -> bool:
    """Whether somebody pressed Ctrl-C; leaving a block without a transaction, Alembic hides it."""
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def codec(session: "psycopg.Connection[Any]") -> str:
    """Return the encoding of a session's statements and values: what its `client_encoding` is now."""
    encoding = session.info.encoding
    return "utf-8" if encoding == "ascii" else encoding  # as psycopg does with values


def roll_back(connection: Connection) -> None:
    """Roll back, if there is a session."""
    if not connection.closed and not connection.invalidated:
        connection.rollback()
        # SQLAlchemy's transaction ends with a COMMIT that was refused; the server's goes on.
        connection.connection.rollback()


def _prepare(connection: Connection, wanted: Mapping[str, str | None]) -> dict[str, str]:
    """Set what is wanted of what the server knows, and return what was set before."""
    rows = connection.execute(_PREPARE, {"names": list(wanted), "wanted": list(wanted.values())}).all()
    return {name: value for name, value, _ in rows}


def _set(connection: Connection, values: Mapping[str, str]) -> None:
    connection.execute(_SET, {"names": list(values), "values": list(values.values())})
    connection.commit()
