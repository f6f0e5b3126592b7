"""What lies beyond a scratch database, and isn't gone with it.

What its server keeps for all databases, other servers, sessions and files. Trials leave it as it is: else a
look ahead would change what somebody else has. Roles that a trial makes are its own, and so is whatever
concerns those alone. Foreign servers nobody is known to, in a trial: no user mapping is copied or made.
"""

import functools
import logging
import re
from collections.abc import Callable
from typing import Any

from psycopg.sql import Identifier
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError

from plinth.sql_text import Lexed, Tokens, lexed, parts, plain

log = logging.getLogger(__name__)

_NOTHING = "select null"  # it is a statement, and has an answer where one is asked for
# What PostgreSQL keeps for the whole server, roles aside. A named database is another one: no revision
# knows the scratch database.
_OF_THE_SERVER = (
    "alter system",
    "{create | alter | drop} {database | tablespace | subscription}",
    "{comment on | security label [for <provider>] on} {database | tablespace | subscription}",
    "{grant | revoke} ... on {database | tablespace | parameter} <name> ... {to | from}",
)
_USER_MAPPING = "{create | alter | drop} user mapping"
# What reaches other databases, sessions and files.
_CALLS = {
    *("dblink", "dblink_connect", "dblink_connect_u", "dblink_exec", "dblink_open", "dblink_send_query"),
    *("lo_export", "pg_file_write", "pg_file_rename", "pg_file_unlink"),
    *("pg_reload_conf", "pg_rotate_logfile"),
    *("pg_terminate_backend", "pg_cancel_backend"),
    *("pg_create_logical_replication_slot", "pg_create_physical_replication_slot"),
    *("pg_drop_replication_slot", "pg_replication_origin_create", "pg_replication_origin_drop"),
}
_MAY_CALL = "select | with | values | insert | update | delete | merge | call | perform"
_ABOUT_ROLES = (
    "{create | alter | drop} {role | group | user} [if exists]",
    "{comment on | security label [for <provider>] on} role",
    "{drop | reassign} owned by",
)
_MEMBERSHIP = "{grant | revoke} [{admin | inherit | set} option for]"
_OWNED = "{drop | reassign} owned"  # it changes what is in the database, too
_CREATE = "create {role | group | user}"
# Without one of these words nothing of that is said, and the text needn't be read.
_WORDS = re.compile(
    r"\b(system|database|tablespace|subscription|parameter|mapping|role|group|user|owned|grant|revoke|copy"
    rf"|execute|{'|'.join(_CALLS)})\b",
    re.IGNORECASE,
)
_WHOEVER = {"all", "current_role", "current_user", "session_user"}
_PASSED_OVER = "plinth_passed_over"


class Beyond:
    """What the sessions in a scratch database do beyond it.

    Args:
        server: a connection to another database of the server.
        made: the roles that they made, by their ids: a later one of the same name is another's.
    """

    def __init__(self, server: Connection) -> None:
        self.made: set[int] = set()
        self._server = server

    def watch(self, scratch: Engine) -> None:
        """Let no session of an engine's change what isn't its own."""
        event.listen(scratch, "before_cursor_execute", self._before, retval=True)
        event.listen(scratch, "after_cursor_execute", self._after)

    def drop_roles(self, server: Connection) -> None:
        """Drop those that were made and are there still; their database is gone.

        Args:
            server: a connection to another database of the server.
        """
        there = "select rolname from pg_roles where oid = any(%s)"
        for (name,) in server.exec_driver_sql(there, ([*self.made],)).all():
            try:
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
        if not _WORDS.search(statement):
            return statement, parameters

        def is_beyond(each: Lexed) -> bool:
            return any(self._is_beyond(connection, cursor, one) for one in _said(each))

        def instead(other: str) -> Callable[[Lexed], str | None]:
            return lambda each: other if is_beyond(each) else None

        others = lexed(statement).with_statements(instead(_NOTHING))
        return lexed(others).with_blocks(instead("NULL")), parameters

    def _is_beyond(
        self,
        connection: Connection,
        cursor: Any,  # noqa: ANN401 - psycopg's
        statement: Lexed,
    ) -> bool:
        reaching = _reaching(statement)
        if reaching:
            _pass_over(connection, reaching)
            return True
        if statement.begins(_USER_MAPPING) or any(map(statement.begins, _OF_THE_SERVER)):
            return True
        sides = _roles(statement)
        if not sides or any(all(self._is_own(cursor, each) for each in side) for side in sides):
            return False
        if statement.begins(_OWNED):
            _pass_over(connection, statement.text)
        return True

    def _is_own(self, cursor: Any, role: str) -> bool:  # noqa: ANN401 - psycopg's
        """Whether a role is one that a trial made, or that isn't there."""
        if not role or role in _WHOEVER:
            return False
        found = cursor.execute("select oid from pg_roles where rolname = %s", [plain(role)]).fetchone()
        return found is None or found[0] in self.made

    def _after(self, connection: Connection, cursor: object, statement: str, *_: object) -> None:
        """Remember the roles that have been made."""
        del cursor
        if not _WORDS.search(statement):
            return
        creates = [found.rest for each in lexed(statement).executed if (found := each.begins(_CREATE))]
        if not creates:
            return
        names = [plain(name) for each in creates for name in _names(each) if name]
        session = connection.connection.cursor()
        session.execute("select rolname, oid from pg_roles")
        there = dict(session.fetchall())
        self.made.update(there[name] for name in names if name in there)
        if len(names) < len(creates):  # what a block puts together, nobody else sees yet
            seen = {oid for (oid,) in self._server.exec_driver_sql("select oid from pg_roles")}
            self.made.update(set(there.values()) - seen)


def is_beyond(error: BaseException | None) -> bool:
    """Whether something fails because it needs what lies behind a foreign server."""
    diagnostics = getattr(getattr(error, "orig", None), "diag", None)
    return diagnostics is not None and diagnostics.source_function == "GetUserMapping"


def passed_over(connection: Connection) -> list[str]:
    """Return the statements, or calls, that were not tried in a session since this was asked."""
    found: list[str] = connection.info.pop(_PASSED_OVER, [])
    return found


def _pass_over(connection: Connection, what: str) -> None:
    _say_untried(what)
    connection.info.setdefault(_PASSED_OVER, []).append(" ".join(what.split()))


@functools.cache  # a revision is tried several times
def _say_untried(what: str) -> None:
    log.warning("Not tried, for it reaches beyond the database: %s", " ".join(what.split()))


def _reaching(statement: Lexed) -> str | None:
    """Return what it is by which a statement reaches something elsewhere, without what it says there."""
    if statement.begins("copy"):
        program = statement.begins("copy ... {to | from} program")
        file = any(found["place"].startswith("'") for found in statement.find("to <place>"))
        return "COPY … PROGRAM" if program else "COPY … TO a file" if file else None
    calls = statement.find("<function> (") if statement.begins(_MAY_CALL) else ()
    names = (parts(each["function"])[-1] for each in calls)
    return next((f"{name}()" for name in names if name in _CALLS), None)


def _said(statement: Lexed) -> list[Lexed]:
    """Return a statement, and what PL/pgSQL executes by it: a % stands for what isn't a string."""
    if not statement.begins("execute"):
        return [statement]
    strings = (each[1:] for each in statement.listed if each.startswith("'"))
    return [statement, *lexed(" % ".join(strings)).statements]


def _roles(statement: Lexed) -> list[list[str]]:
    """Return the roles that a statement is about; of a membership both sides' own, of which one is enough."""
    about = next(filter(None, map(statement.begins, _ABOUT_ROLES)), None)
    if about:
        names = _names(about.rest)
        return [] if statement.begins(_CREATE) and not all(names) else [names]
    membership = statement.begins(_MEMBERSHIP)
    if membership and not statement.has("on"):
        grantees = statement.begins("{grant | revoke} ... {to | from}")
        return [_names(membership.rest), _names(grantees.rest) if grantees else [""]]
    return []


def _names(roles: Tokens) -> list[str]:
    """Return the names that a list has, as SQL has them; an empty one for what isn't any, and ends it."""
    names = []
    for each in roles.elements():
        found = each.begins("<name>")
        names.append(found["name"] if found else "")
        if found is None or found.rest.listed:
            break
    return names
