"""What an error of the server is about: its code, its words, and what to do if no statement is to blame."""

import re
from collections.abc import Iterator

import psycopg
from sqlalchemy.exc import DBAPIError

ACTIVE_SQL_TRANSACTION = "25001"
INSUFFICIENT_PRIVILEGE = "42501"
_NEW_VALUE_IN_USE = "55P04"
_NOT_READY = "55000"
_HIDES_ROWS = "check_enable_rls"  # the server's function, whatever its language

_TOO_LONG = "A time limit of the server's ended the session: raise it for this role."

# By SQLSTATE, or by its first letters: what is not the fault of the statement that met it.
_ADVICE = {
    "25006": "The server takes no changes (a standby, or default_transaction_read_only): "
    "connect to the one that does.",
    "25P03": _TOO_LONG,
    "25P04": _TOO_LONG,
    "28": "Correct user and password.",
    "3D": "Correct the database in DATABASE_URL.",
    "3F": "Make the schema, or correct the search_path of role and database.",
    INSUFFICIENT_PRIVILEGE: "Grant it to this role, or let MIGRATION_DATABASE_URL sign in as the owner; "
    "docs/applying.md lists what each command needs.",
    "53100": "The server's disk is full: make room, and run the same command again.",
    "53200": "The server is out of memory or of room for locks: raise max_locks_per_transaction, or do it "
    "in smaller revisions.",
    "53300": "All connections are taken: end some, or raise the limit of server, database or role.",
    "53": "The server has reached a limit: raise it, and run the same command again.",
    "55": "Something else uses it: run the same command again when that has ended.",
    "57014": "Cancelled, by statement_timeout or by somebody: run the same command again.",
    "57": "The server ended it: run the same command again.",
    "58030": "The server can't read or write its disk.",
    "58P01": "The server lacks a file: install there what is missing.",
}


_POINTED_AT = re.compile(r"^LINE \d+: .*\n *\^ *$", re.MULTILINE)
_ENDS = (".", "?", "!", ":")  # of a sentence
_PART = re.compile(r"\n(?:(?:DETAIL|HINT):|(?=CONTEXT:))")

_ROWS_HIDDEN = (
    "Row security would hide rows from this role, and the revision would pass over them: let a role with "
    "BYPASSRLS migrate, or the table's owner without FORCE. A revision that means only the rows which it "
    'sees says so: op.execute("SET LOCAL row_security = on")'
)


def origin(error: BaseException) -> BaseException:
    """Return the driver's error: where a session ends, others come up in its wake."""
    return next((each for each in _chain(error) if isinstance(each, psycopg.Error)), error)


def sqlstate(error: BaseException) -> str | None:
    """Return PostgreSQL's code of an error; None when it isn't the server's."""
    found = error.orig if isinstance(error, DBAPIError) else error
    return getattr(found, "sqlstate", None)


def words(error: BaseException) -> str:
    """Return PostgreSQL's own words, the detail among them, in sentences."""
    return in_sentences(str(origin(error)))


def in_sentences(text: str) -> str:
    """Return what PostgreSQL says in lines as sentences, without the place that it points at."""
    parts = _PART.split(_POINTED_AT.sub("", text.strip()))
    lines = [" ".join(each.split()) for each in parts]
    # A statement to be typed ends so.
    said = " ".join(each if each.endswith((*_ENDS, ")")) else f"{each}." for each in lines if each)
    return said if said.endswith(_ENDS) else f"{said}."


def advice(error: BaseException) -> str | None:
    """Return what to do about a refusal that is no statement's fault; None for any other error."""
    code = sqlstate(error)
    if code is None or code in {_NEW_VALUE_IN_USE, _NOT_READY}:
        return None
    if code == INSUFFICIENT_PRIVILEGE and _source(error) == _HIDES_ROWS:
        return _ROWS_HIDDEN
    return next((_ADVICE[code[:length]] for length in (5, 3, 2) if code[:length] in _ADVICE), None)


def sentence(error: BaseException) -> str | None:
    """Return a refusal of the server's, with what to do about it; None for any other error."""
    said = advice(error)
    if said is None and isinstance(origin(error), psycopg.OperationalError) and sqlstate(error) is None:
        if getattr(origin(error), "pgconn", None):  # psycopg sets it where it was connecting
            return f"There is no connection: {words(error)} Check that the server runs, and the URL."
        return f"The connection to the server was lost: {words(error)} Run the same command again."
    return f"The server refuses: {words(error)} {said}" if said else None


def _source(error: BaseException) -> str | None:
    diagnostics = getattr(origin(error), "diag", None)
    return getattr(diagnostics, "source_function", None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
