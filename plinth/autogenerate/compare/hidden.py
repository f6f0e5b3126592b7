"""Rows that a role can't see: row security hides some, or it may not read the table."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from plinth.server_errors import INSUFFICIENT_PRIVILEGE, sqlstate, words

log = logging.getLogger(__name__)
T = TypeVar("T")


def asked_of_rows(connection: Connection, table: str, ask: Callable[[], T]) -> T | None:
    """Return what a question about a table's rows is answered; None if they can't all be seen, which is told.

    Args:
        connection: in a transaction in which `row_security` is off: rows that are hidden are an error.
        table: as messages have it.
        ask: asks it.
    """
    try:
        with connection.begin_nested():
            return ask()
    except DBAPIError as error:
        if sqlstate(error) != INSUFFICIENT_PRIVILEGE:
            raise
        log.warning(
            "This role can't see all rows of %s, so whether some stand in the way isn't known; those that do "
            "stop the upgrade. (%s) Who may SELECT from it sees them; where row security hides some, a role "
            "with BYPASSRLS, or the table's owner without FORCE.",
            table,
            words(error),
        )
        return None


def answer(connection: Connection, table: str, query: str) -> Any:  # noqa: ANN401 - whatever is asked
    """Return the one value that a query about a table's rows finds; likewise."""

    def ask() -> object:
        return connection.exec_driver_sql(query.replace("%", "%%")).scalar_one()

    return asked_of_rows(connection, table, ask)
