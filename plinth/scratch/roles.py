"""Roles, which belong to a whole server: trials in a scratch database take what is there, and leave it alone.

Else a revision that makes a role could be tried on one server once, and the trial of a way back would drop a
role that others have.
"""

import logging
import re
from typing import Any

from psycopg.sql import Identifier
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError

log = logging.getLogger(__name__)

_NAME = r'"(?:[^"]|"")+"|[^\W\d][\w$]*'
_COMMAND = re.compile(
    rf"\s*(create|alter|drop)\s+(?:role|group|user(?!\s+mapping\b))\s+(?:if\s+exists\s+)?"
    rf"((?:{_NAME})(?:\s*,\s*(?:{_NAME}))*)",
    re.IGNORECASE,
)
_NOTHING = "select"  # it is a statement


class TrialRoles:
    """What the sessions in a scratch database do to roles.

    Args:
        made: the roles that they made, each with its id: a later one of that name is another's.
    """

    def __init__(self) -> None:
        self.made: dict[str, int] = {}

    def watch(self, scratch: Engine) -> None:
        """Let no session of an engine's change roles that it didn't make."""
        event.listen(scratch, "before_cursor_execute", self._before, retval=True)
        event.listen(scratch, "after_cursor_execute", self._after)

    def drop(self, server: Connection) -> None:
        """Drop those that were made and are there still; their database is gone.

        Args:
            server: a connection to another database of the server.
        """
        for name, oid in self.made.items():
            try:
                if _oid(server.connection.cursor(), name) == oid:
                    server.exec_driver_sql(f"drop role {Identifier(name).as_string()}".replace("%", "%%"))
            except DBAPIError as error:
                log.warning("A trial made role %s, and it stays: %s", name, " ".join(str(error.orig).split()))

    def _before(
        self,
        connection: Connection,
        cursor: Any,  # noqa: ANN401 - psycopg's
        statement: str,
        parameters: Any,  # noqa: ANN401 - the driver's
        *_: object,
    ) -> tuple[str, Any]:
        """Return the statement, or one that does nothing, where it is about a role of others'."""
        del connection
        names = _read(statement)[1]
        there = {name: _oid(cursor, name) for name in names}
        is_left = any(oid is not None and self.made.get(name) != oid for name, oid in there.items())
        if not is_left:
            return statement, parameters
        log.debug("Left alone, for it is the whole server's: %s", statement)
        return _NOTHING, parameters

    def _after(self, connection: Connection, cursor: object, statement: str, *_: object) -> None:
        """Remember a role that has been made."""
        del cursor
        verb, names = _read(statement)
        if verb == "create":
            oid = _oid(connection.connection.cursor(), names[0])
            if oid is not None:
                self.made[names[0]] = oid


def _oid(cursor: Any, name: str) -> int | None:  # noqa: ANN401 - psycopg's
    found = cursor.execute("select oid from pg_roles where rolname = %s", [name]).fetchone()
    return found and int(found[0])


def _read(statement: str) -> tuple[str, list[str]]:
    """Return what a statement does to roles, and to which: nothing, where it is about something else."""
    found = _COMMAND.match(statement)
    if not found:
        return "", []
    names = re.findall(_NAME, found[2])
    return found[1].lower(), [
        each[1:-1].replace('""', '"') if each.startswith('"') else each.lower() for each in names
    ]
