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

from plinth.sql_text import IDENTIFIER, SPACE, plain

log = logging.getLogger(__name__)

_ABOUT = (
    r"(create|alter|drop)\s+(?:role|group|user(?!\s+mapping\b))\s+(?:if\s+exists\s+)?"
    rf"({IDENTIFIER}(?:\s*,\s*{IDENTIFIER})*)"
)
_COMMAND = re.compile(rf"\A{SPACE}{_ABOUT}", re.IGNORECASE | re.DOTALL)
# In a block of PL/pgSQL, where a statement begins.
_BLOCK = re.compile(rf"\A{SPACE}do\b", re.IGNORECASE | re.DOTALL)
_WITHIN = re.compile(
    rf"(?:(?<=;)|(?<=\bbegin)|(?<=\bthen)|(?<=\belse)){SPACE}{_ABOUT}(?:'[^']*'|[^;'])*",
    re.IGNORECASE | re.DOTALL,
)
# Of the whole server, or of a database that is named: the scratch database's name no revision knows.
_SHARED = re.compile(
    rf"\A{SPACE}(?:alter\s+(?:system|database)|(?:grant|revoke|comment)\b[^;]*?\bon\s+database)\b",
    re.IGNORECASE | re.DOTALL,
)
_MEMBERSHIP = re.compile(rf"\A{SPACE}(?:grant|revoke)\b(?![^;]*\bon\b)", re.IGNORECASE | re.DOTALL)
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
        is_membership = _MEMBERSHIP.match(statement) and not any(name in statement for name in self.made)
        if is_membership or _SHARED.match(statement):
            return self._nothing(statement), parameters
        if _BLOCK.match(statement):

            def leave(found: re.Match[str]) -> str:
                return " NULL" if self._is_others(cursor, found) else found[0]

            return _WITHIN.sub(leave, statement), parameters
        found = _COMMAND.match(statement)
        if found and self._is_others(cursor, found):
            return self._nothing(statement), parameters
        return statement, parameters

    @staticmethod
    def _nothing(statement: str) -> str:
        log.debug("Left alone, for it is the whole server's: %s", statement)
        return _NOTHING

    def _is_others(self, cursor: Any, command: re.Match[str]) -> bool:  # noqa: ANN401 - psycopg's
        there = {name: _oid(cursor, name) for name in _names(command)}
        return any(oid is not None and self.made.get(name) != oid for name, oid in there.items())

    def _after(self, connection: Connection, cursor: object, statement: str, *_: object) -> None:
        """Remember the roles that have been made."""
        del cursor
        of = _WITHIN if _BLOCK.match(statement) else _COMMAND
        for command in of.finditer(statement):
            if command[1].lower() == "create":
                name = _names(command)[0]
                oid = _oid(connection.connection.cursor(), name)
                if oid is not None:
                    self.made[name] = oid


def _oid(cursor: Any, name: str) -> int | None:  # noqa: ANN401 - psycopg's
    found = cursor.execute("select oid from pg_roles where rolname = %s", [name]).fetchone()
    return found and int(found[0])


def _names(command: re.Match[str]) -> list[str]:
    """Return the roles that a command is about."""
    return [plain(each) for each in re.findall(IDENTIFIER, command[2])]
