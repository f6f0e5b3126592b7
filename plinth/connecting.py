"""Connections to a database, and a sentence for each way in which there is none."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from plinth.errors import PlinthError

MAINTENANCE_DATABASES = ("postgres", "template1")


class ConnectError(PlinthError):
    """There is no connection; the message says why and what to do."""


class MissingDatabaseError(ConnectError):
    """The server is there and lets us in, but has no database of that name."""


def engine(url: URL) -> Engine:
    """Return an engine without a pool: a command connects once, and leaves nothing behind."""
    return create_engine(url, poolclass=NullPool)


@contextmanager
def connect(url: URL, *, autocommit: bool = False) -> Iterator[Connection]:
    """Yield a connection.

    Args:
        url: the database.
        autocommit: each statement stands for itself, as CREATE DATABASE demands.

    Raises:
        MissingDatabaseError: there is no database of that name.
        ConnectError: the server can't be reached, or refuses.
    """
    try:
        connection = engine(url).connect()
    except OperationalError as error:
        raise explain(url, error) from error
    with connection:
        if autocommit:
            connection.execution_options(isolation_level="AUTOCOMMIT")
        yield connection


@contextmanager
def connect_to_maintenance_database(url: URL) -> Iterator[Connection]:
    """Yield a connection, in autocommit, to a database of the same server from which others are made.

    Raises:
        ConnectError: there is none that lets us in.
    """
    for database in MAINTENANCE_DATABASES[:-1]:
        try:
            with connect(url.set(database=database), autocommit=True) as connection:
                yield connection
                return
        except MissingDatabaseError:
            continue
    with connect(url.set(database=MAINTENANCE_DATABASES[-1]), autocommit=True) as connection:
        yield connection


def explain(url: URL, error: OperationalError) -> ConnectError:
    """Return why there is no connection to `url`, in one line.

    The server's words differ by version and language, so they are shown and not read: that a database is
    missing is seen by connecting to another one.
    """
    place = url.render_as_string(hide_password=True).replace("+psycopg", "")
    words = " ".join(str(error.orig).split()).rstrip(".?") + "."
    if url.database not in MAINTENANCE_DATABASES and _lets_us_in(url):
        return MissingDatabaseError(
            f"Database {url.database!r} can't be opened at {place}: {words} "
            "Create it (createdb, or make db-reset for development), or correct DATABASE_URL."
        )
    if isinstance(error.orig, psycopg.OperationalError) and _was_asked_for_password(error.orig):
        return ConnectError(
            f"User {url.username!r} is refused at {place}: {words} "
            "Correct the user and password in DATABASE_URL."
        )
    return ConnectError(
        f"There is no connection to {place}: {words} "
        "Check that the server runs, and host, port and options in DATABASE_URL."
    )


def _lets_us_in(url: URL) -> bool:
    for database in MAINTENANCE_DATABASES:
        try:
            with engine(url.set(database=database)).connect():
                return True
        except OperationalError:
            continue
    return False


def _was_asked_for_password(error: psycopg.OperationalError) -> bool:
    return error.pgconn is not None and (error.pgconn.needs_password or error.pgconn.used_password)
