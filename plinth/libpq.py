"""A few statements to a server, by the libpq that psycopg brings along and without psycopg.

The import of psycopg takes longer than all that is asked or done. Where it uses another libpq (the system's),
they are sent by psycopg after all.
"""

import importlib.util
import json
import os
import select
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import ctypes

    import psycopg.pq.abc

_POLLING_READING, _POLLING_WRITING, _POLLING_OK = 1, 2, 3
_COMMAND_OK, _TUPLES_OK = 1, 2


class NoAnswer(Exception):  # noqa: N818 - nobody is told
    """There is no session, or it doesn't answer as it should."""


class Session(Protocol):
    """A session with a server."""

    @property
    def pid(self) -> int:
        """The id of the process that serves the session, as the server told it at the start."""

    def run(self, sql: str, *parameters: str) -> str:
        """Run a statement, and return its one value; nothing where it has none.

        Args:
            sql: one statement; $1 is the first parameter.
            parameters: as the server's text.

        Raises:
            NoAnswer: it fails, or returns more than one row, or none where it might.
        """

    def ask(self, sql: str, *parameters: str) -> list[dict[str, Any]]:
        """Return the rows of a query, by names, as JSON has them.

        Args:
            sql: a SELECT; $1 is the first parameter.
            parameters: as the server's text.

        Raises:
            NoAnswer: there are none.
        """


@contextmanager
def session(place: Mapping[str, str], seconds: float, *, to_change: bool = False) -> Iterator[Session]:
    """Yield a session in a transaction that sees one state of all, and changes nothing.

    Args:
        place: libpq's parameters.
        seconds: how long the server may take for each answer.
        to_change: each statement stands for itself instead, and may change something.

    Raises:
        NoAnswer: there is none, or a question isn't answered.
    """
    place = {**place, "client_encoding": "utf8", "connect_timeout": str(max(1, round(seconds)))}
    library = _library()
    made: _OfLibpq | _OfPsycopg = (
        _OfPsycopg(place, seconds) if library is None else _OfLibpq(library, place, seconds)
    )
    try:
        if not to_change:
            made.run("begin isolation level repeatable read read only")
        yield made
        if not to_change:
            made.run("rollback")
    finally:
        made.close()


def _library() -> Path | None:
    """Return the libpq that psycopg would load from its own wheel; None if it would load another one."""
    if os.environ.get("PSYCOPG_IMPL", "binary") != "binary" or importlib.util.find_spec("psycopg_c"):
        return None
    wheel = importlib.util.find_spec("psycopg_binary")
    if wheel is None or wheel.origin is None:
        return None
    folder = Path(wheel.origin).parent
    found = [*folder.parent.glob("psycopg_binary.libs/libpq[-.]*"), *folder.glob(".dylibs/libpq[-.]*")]
    return found[0] if len(found) == 1 else None


def _in_one(sql: str) -> str:
    return f"select coalesce(json_agg(row_to_json(each)), '[]')::text from ({sql}) each"  # noqa: S608


def _must(succeeded: object) -> None:
    if not succeeded:
        raise NoAnswer("the server refuses, or the session has ended")


def _wait(socket: int, until: float, *, for_writing: bool = False) -> None:
    """Wait for the server; a signal gets through."""
    left = max(0, until - time.monotonic())
    try:
        found = select.select([] if for_writing else [socket], [socket] if for_writing else [], [], left)
    except (OSError, ValueError) as error:
        raise NoAnswer(str(error)) from error
    _must(any(found))


def _text(value: bytes | None) -> str:
    _must(value is not None)
    try:
        return str(value or b"", "utf-8")
    except UnicodeDecodeError as error:
        raise NoAnswer(str(error)) from error


class _OfLibpq:
    def __init__(self, library: Path, place: Mapping[str, str], seconds: float) -> None:
        import ctypes  # noqa: PLC0415 - not every Python has it

        self._seconds = seconds
        self._ctypes = ctypes
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        try:
            self._pq = ctypes.CDLL(str(library))
            # Else it is printed.
            self._ignore = ctypes.CFUNCTYPE(None, pointer, text)(lambda *_: None)
        except (OSError, MemoryError) as error:  # no memory may be both written and run
            raise NoAnswer(str(error)) from error
        for name in ("PQconnectStartParams", "PQgetResult"):
            getattr(self._pq, name).restype = pointer
        self._pq.PQgetvalue.restype = text
        names, values = self._texts(place), self._texts(place.values())
        self._connection = pointer(self._pq.PQconnectStartParams(names, values, 0))
        self._pq.PQsetNoticeProcessor(self._connection, self._ignore, None)
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def _texts(self, each: Iterable[str]) -> "ctypes.Array[ctypes.c_char_p]":
        values = [*(value.encode() for value in each), None]
        return (self._ctypes.c_char_p * len(values))(*values)

    @property
    def pid(self) -> int:
        return int(self._pq.PQbackendPID(self._connection))

    def _connect(self) -> None:
        until, state = time.monotonic() + self._seconds, _POLLING_WRITING
        while state in {_POLLING_READING, _POLLING_WRITING}:
            _wait(self._pq.PQsocket(self._connection), until, for_writing=state == _POLLING_WRITING)
            state = self._pq.PQconnectPoll(self._connection)
        _must(state == _POLLING_OK)

    def run(self, sql: str, *parameters: str) -> str:
        """Run a statement; return its one value, or nothing."""
        values = self._texts(parameters)
        until = time.monotonic() + self._seconds
        value: bytes | None = None
        _must(
            self._pq.PQsendQueryParams(
                self._connection, sql.encode(), len(parameters), None, values, None, None, 0
            )
        )
        while result := self._result(until):
            status = self._pq.PQresultStatus(result)
            if status == _COMMAND_OK:
                value = b""
            elif status == _TUPLES_OK and self._pq.PQntuples(result) == 1:
                value = self._pq.PQgetvalue(result, 0, 0)
            self._pq.PQclear(result)
        return _text(value)

    def _result(self, until: float) -> "ctypes.c_void_p":
        while self._pq.PQisBusy(self._connection):
            _wait(self._pq.PQsocket(self._connection), until)
            _must(self._pq.PQconsumeInput(self._connection))
        return self._ctypes.c_void_p(self._pq.PQgetResult(self._connection))

    def ask(self, sql: str, *parameters: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.run(_in_one(sql), *parameters))
        return rows

    def close(self) -> None:
        self._pq.PQfinish(self._connection)


class _OfPsycopg:
    def __init__(self, place: Mapping[str, str], seconds: float) -> None:
        import psycopg  # noqa: PLC0415 - see above

        self._error, self._seconds = psycopg.Error, seconds
        options: dict[str, Any] = {**place, "autocommit": True}
        try:
            self._session = psycopg.connect(**options)
        except psycopg.Error as error:
            raise NoAnswer(str(error)) from error

    @property
    def pid(self) -> int:
        return self._session.info.backend_pid

    def run(self, sql: str, *parameters: str) -> str:
        """Run a statement; return its one value, or nothing. A cursor would wait without end."""
        until, value, session = time.monotonic() + self._seconds, None, self._session.pgconn
        try:
            session.send_query_params(sql.encode(), [each.encode() for each in parameters])
            while result := self._result(until):
                if result.status == _COMMAND_OK:
                    value = b""
                elif result.status == _TUPLES_OK and result.ntuples == 1:
                    value = result.get_value(0, 0)
        except self._error as error:
            raise NoAnswer(str(error)) from error
        return _text(value)

    def _result(self, until: float) -> "psycopg.pq.abc.PGresult | None":
        session = self._session.pgconn
        while session.is_busy():
            _wait(session.socket, until)
            session.consume_input()
        return session.get_result()

    def ask(self, sql: str, *parameters: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.run(_in_one(sql), *parameters))
        return rows

    def close(self) -> None:
        self._session.close()
