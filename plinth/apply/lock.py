"""One applier at a time: a lock that belongs to the database and ends with the process that holds it.

Two sessions hold it. The first does nothing else, so that the lock outlives each revision's transaction and
an idle transaction never stalls a concurrent index build. The second is the one that migrates: after a
kill -9 of the client the server may go on with its last statement, and nobody starts before that has ended.
"""

import logging
import math
import os
import random
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Connection, text

from plinth.advisory import HOLDER, lock_key
from plinth.apply.ledger import who
from plinth.connecting import BOUNDS, ConnectError, settle_session
from plinth.errors import PlinthError
from plinth.server_errors import words

log = logging.getLogger(__name__)

POLL_INTERVAL = 0.1  # seconds
REMIND_INTERVAL = 60.0  # seconds
ASK_INTERVAL = 1.0  # seconds
ANSWER_TIMEOUT = 15.0  # seconds
ORPHAN_GRACE = (
    3.0  # seconds; the server itself ends most orphans after one: see client_connection_check_interval
)


class LockError(PlinthError):
    """The lock can't be had, or is lost; the message says why and what to do."""


@dataclass
class Lock:
    """The lock, held.

    Args:
        session: the session that does nothing but hold it; others may ask it something in between.
        migrating: the pid of the server's process for the session that migrates.
    """

    session: "psycopg.Connection[Any]"
    migrating: int
    _asked: float = -math.inf  # when the server last answered

    def is_alive(self) -> bool:
        """Whether the session still is there, and so is the server."""
        try:
            self.session.execute("select 1")
        except psycopg.Error:
            return False
        return True

    def check(self) -> None:
        """Return if the lock is still held.

        A session that ends says so, or its socket does: the server is asked when there is something to read,
        and else every second. Who takes the lock meanwhile waits for the session that migrates.

        Raises:
            LockError: its session has ended.
        """
        if time.monotonic() - self._asked < ASK_INTERVAL and not self._has_something_to_say():
            return
        try:
            self.session.execute("select 1")
            self._asked = time.monotonic()
        except psycopg.Error as error:
            raise LockError(
                "The session that holds the lock of the migrations has ended, so another command may be "
                f"migrating now: {words(error)} Run the same command again."
            ) from error

    def _has_something_to_say(self) -> bool:
        with self.session.lock:  # the watcher asks it something, too
            try:
                return bool(select.select([self.session.fileno()], [], [], 0)[0])
            except (psycopg.Error, OSError, ValueError):  # it is closed
                return True


@contextmanager
def one_applier(connection: Connection, version_table: str, command: str) -> Iterator[Lock]:
    """Hold the lock as long as the block runs; wait for whoever has it.

    Args:
        connection: the one that migrates.
        version_table: whose revisions are applied; other ones in the same database have a lock of their own.
        command: what is going on, for those that wait.

    Raises:
        LockError: the connection goes through a pooler that gives each transaction another session.
        ConnectError: there is no second connection.
    """
    with second_session(connection) as session:
        pid = refuse_pooler(session, connection)
        role = connection.scalar(text("select current_setting('role')"))
        connection.commit()
        session.execute(
            "select set_config('application_name', %s, false), "
            "set_config('idle_session_timeout', '0', false), set_config('statement_timeout', '0', false), "
            # The server soon notices that a machine is gone, and gives the lock to the next.
            "set_config('tcp_keepalives_idle', '15', false), set_config('tcp_keepalives_count', '3', false), "
            "set_config('tcp_keepalives_interval', '5', false), set_config('role', %s, false)",
            [f"alembic {command} {who()}"[:63], role],
        )
        _wait(session, lock_key("session", version_table))
        with _migrating(session, connection, lock_key("migrating", version_table)):
            yield Lock(session, pid)


@contextmanager
def second_session(connection: Connection) -> Iterator["psycopg.Connection[Any]"]:
    """Yield another session of the same database, in autocommit.

    Raises:
        ConnectError: the server doesn't let us in a second time.
    """
    info = connection.connection.driver_connection.info  # type: ignore[union-attr] # psycopg's, sync or async
    parameters = {**BOUNDS, **info.get_parameters()} | ({"password": info.password} if info.password else {})
    try:
        session = psycopg.connect(**parameters, autocommit=True, prepare_threshold=None)
    except psycopg.OperationalError as error:
        raise ConnectError(
            "There is no second connection to the database, which holds the lock of the migrations: "
            f"{words(error)}"
        ) from error
    try:
        with _answering(session):
            settle_session(session)
    except psycopg.OperationalError as error:
        raise ConnectError(
            "The second connection to the database, which holds the lock of the migrations, doesn't answer: "
            f"{words(error)} A pooler between must have room for two sessions: give its pool more, or set "
            "MIGRATION_DATABASE_URL to a URL that leads to the server directly."
        ) from error
    with session:
        yield session


@contextmanager
def _answering(session: "psycopg.Connection[Any]") -> Iterator[None]:
    """Hang up on who lets us in and then doesn't answer: a pool whose only place is our first session's."""
    with ExitStack() as stack:
        own = stack.enter_context(socket.socket(fileno=os.dup(session.fileno())))
        timer = threading.Timer(ANSWER_TIMEOUT, own.shutdown, [socket.SHUT_RDWR])
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def refuse_pooler(session: "psycopg.Connection[Any]", connection: Connection) -> int:
    """Return the pid of a connection's process if sessions are the server's own, so that locks last.

    A transaction-pooling proxy gives a session's next statement to any of the server's sessions: two of ours
    then meet in one, or one of ours wanders.

    Raises:
        LockError: there is such a proxy.
    """
    seen = set()
    for _ in range(3):
        seen.add(("session", _pid(session)))
        seen.add(("connection", connection.scalar(text("select pg_backend_pid()"))))
        connection.commit()  # the proxy may have but one session, and two of us
        seen.add(("session", _pid(session)))
        if ("session", session.info.backend_pid) in seen:
            break  # the server's own word: nobody stands between
    pids = [pid for _, pid in seen]
    if len(pids) != 2 or len(set(pids)) != 2:
        raise LockError(
            "The database is reached through a pooler that pools transactions (PgBouncer's pool_mode = "
            "transaction, for instance): no lock and no timeout would last there. Set MIGRATION_DATABASE_URL "
            "to a URL that leads to the server directly; the application may keep its own."
        )
    return next(pid for whose, pid in seen if whose == "connection")


def is_held(connection: Connection, version_table: str) -> bool:
    """Whether a command applies revisions of this version table now."""
    key = lock_key("session", version_table)
    return connection.exec_driver_sql(HOLDER, {"key": key}).first() is not None


def _wait(session: "psycopg.Connection[Any]", key: int) -> None:
    reminded = None
    # Polled: who waits inside pg_advisory_lock() holds a snapshot, and concurrent index builds wait for it.
    while not _try(session, key):
        if reminded is None or time.monotonic() - reminded > REMIND_INTERVAL:
            holder = session.execute(HOLDER, {"key": key}).fetchone()
            if holder:
                pid, program, address, since = holder
                place = f", from {address}" if address else ""
                log.warning("Waiting for %s (pid %s%s, since %s) to end ...", program, pid, place, since)
                reminded = time.monotonic()
        time.sleep(POLL_INTERVAL * random.uniform(0.5, 1.5))  # noqa: S311 - no secret


def _pid(session: "psycopg.Connection[Any]") -> int:
    return int(session.execute("select pg_backend_pid()").fetchall()[0][0])


def _try(session: "psycopg.Connection[Any]", key: int) -> bool:
    row = session.execute("select pg_try_advisory_lock(%s)", [key]).fetchone()
    return bool(row and row[0])


@contextmanager
def _migrating(session: "psycopg.Connection[Any]", connection: Connection, key: int) -> Iterator[None]:
    began = time.monotonic()
    told = ended = False
    while not connection.scalar(text("select pg_try_advisory_lock(:key)"), {"key": key}):
        connection.commit()
        holder = session.execute(HOLDER, {"key": key}).fetchone()
        if holder and not told:
            log.warning("Waiting for session %s of an applier that was killed ...", holder[0])
            told = True
        # It has lost its client, or at least the first lock: what it does will never count.
        if holder and not ended and time.monotonic() - began > ORPHAN_GRACE:
            try:
                session.execute("select pg_terminate_backend(%s)", [holder[0]])
            except psycopg.errors.InsufficientPrivilege:
                log.warning(
                    "Session %s belongs to another user: it ends by itself, or is ended by hand.", holder[0]
                )
            ended = True
        time.sleep(POLL_INTERVAL)
    connection.commit()
    try:
        yield
    finally:
        if not connection.closed and not connection.invalidated:
            connection.rollback()
            connection.execute(text("select pg_advisory_unlock(:key)"), {"key": key})
            connection.commit()
