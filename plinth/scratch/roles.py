"""Roles, which belong to a whole server: trials in a scratch database take what is there, and leave it alone.

Else a revision that makes a role could be tried on one server once, and the trial of a way back would drop a
role that others have.
"""

import logging
from collections.abc import Callable
from typing import Any

from psycopg.sql import Identifier
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError

from plinth.sql_text import Lexed, lexed, plain

log = logging.getLogger(__name__)

_ABOUT = "{create | alter | drop} {role | group | user} [if exists]"
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
        """Return the statements, or such that do nothing, where they are about what is others'."""
        del connection

        def instead(other: str) -> Callable[[Lexed], str | None]:
            return lambda each: other if self._is_others(cursor, each) else None

        others = lexed(statement).with_statements(instead(_NOTHING))
        return lexed(others).with_blocks(instead("NULL")), parameters

    def _is_others(self, cursor: Any, statement: Lexed) -> bool:  # noqa: ANN401 - psycopg's
        if statement.begins("grant | revoke") and not statement.has("on"):  # a membership
            is_others = not any(map(statement.names, self.made))
        elif statement.begins("alter {system | database} | {grant | revoke | comment} ... on database"):
            # Of the whole server, or of a database that is named: the scratch database's no revision knows.
            is_others = True
        else:
            there = {name: _oid(cursor, name) for name in _roles(statement)}
            is_others = any(oid is not None and self.made.get(name) != oid for name, oid in there.items())
        if is_others:
            log.debug("Left alone, for it is the whole server's: %s", statement.text)
        return is_others

    def _after(self, connection: Connection, cursor: object, statement: str, *_: object) -> None:
        """Remember the roles that have been made."""
        del cursor
        for each in lexed(statement).executed:
            for name in _roles(each)[:1] if each.begins("create") else ():
                oid = _oid(connection.connection.cursor(), name)
                if oid is not None:
                    self.made[name] = oid


def _oid(cursor: Any, name: str) -> int | None:  # noqa: ANN401 - psycopg's
    found = cursor.execute("select oid from pg_roles where rolname = %s", [name]).fetchone()
    return found and int(found[0])


def _roles(statement: Lexed) -> list[str]:
    """Return the roles that a statement makes, alters or drops."""
    about = statement.begins(_ABOUT)
    if about is None or statement.begins("{create | alter | drop} user mapping"):
        return []
    names = (each.begins("<name>") for each in about.rest.elements())
    found = [plain(each["name"]) for each in names if each]
    return found if statement.begins("drop") else found[:1]
