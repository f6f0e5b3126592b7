"""What statements answered: noted with a revision's points, and given once more when it is resumed."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg.abc import PQGen
from psycopg.postgres import types as own_types
from psycopg.pq import DiagnosticField, Format
from psycopg.pq.abc import PGresult

from plinth.apply.session import codec

Answer = dict[str, Any]

MOST = 1_000_000  # characters of one answer that are remembered; of a longer one that is a checksum
_MADE_OF_OTHERS = {"record"}  # PostgreSQL reads none of them back


class Stream(psycopg.ServerCursor[Any]):
    """A cursor whose rows come little by little, and are put into its answer then."""

    def __init__(self, *args: Any, **named: Any) -> None:  # noqa: ANN401 - whatever psycopg has
        super().__init__(*args, **named)
        self._answer: Answer = {}
        self._room = 0

    def tell(self, answer: Answer, most: int = MOST) -> None:
        """Put the rows that come into an answer, as long as they aren't too long.

        What is noted of it when its transaction ends is what was fetched: the stream ends then, too.
        """
        self._answer, self._room = answer, most

    def _fetch_gen(self, num: int | None) -> PQGen[list[Any]]:
        found = yield from super()._fetch_gen(num)
        result, rows = self.pgresult, self._answer.get("rows")
        if result is not None and rows is not None:
            encoding = codec(self.connection)
            come = [_row(result, number, encoding) for number in range(result.ntuples)]
            rows += come
            self._room -= sum(map(_size, come))
            if self._room < 0:
                del self._answer["rows"]
                self._answer["unknown"] = True
        return found


def answer_of(cursor: "psycopg.Cursor[Any]", most: int = MOST) -> Answer:
    """Return what a statement has answered, for a later run that doesn't run it.

    Returns:
        The number of rows (`{"rowcount": n}`); where there are rows, "columns" and "rows" too, or a
        "checksum" of what is too long or of a type that can't be given once more; "unknown" of such a
        stream. The rows of others come later.
    """
    found: Answer = {"rowcount": cursor.rowcount}
    if isinstance(cursor, psycopg.ServerCursor) and not isinstance(cursor, Stream):
        return found | {"unknown": True}
    result = cursor.pgresult
    if cursor.description is None or result is None:
        return found
    types = [_type(cursor, column.type_code) for column in cursor.description]
    columns = [[each.name, type_] for each, type_ in zip(cursor.description, types, strict=True)]
    if isinstance(cursor, Stream):
        return found | ({"unknown": True} if "" in types else {"columns": columns, "rows": []})
    encoding = codec(cursor.connection)
    rows, size = [], most + 1 if "" in types else 0
    for number in range(result.ntuples):
        row = _row(result, number, encoding)
        size += _size(row)
        if size > most:
            return found | {"checksum": _checksum(result)}
        rows.append(row)
    return found | {"columns": columns, "rows": json.dumps(rows, ensure_ascii=False)}


def failure_of(error: psycopg.Error) -> Answer:
    """Return what a statement has answered that failed."""
    fields = {each.name: getattr(error.diag, each.name.lower(), None) for each in DiagnosticField}
    said = {name: text for name, text in fields.items() if text is not None}
    return {"failed": {"kind": type(error).__name__, "message": str(error), "fields": said}}


def give(cursor: "psycopg.Cursor[Any]", answer: Answer, ask: Callable[[], object]) -> bool:
    """Let a cursor answer what was answered before; return whether it does.

    Args:
        cursor: on which nothing has run.
        answer: as it is noted.
        ask: runs the statement; only what was too long to be remembered is asked again.

    Raises:
        psycopg.Error: the one with which it failed.
    """
    if "failed" in answer:
        raise _error(answer["failed"])
    if "checksum" in answer:
        ask()
        return cursor.pgresult is not None and _checksum(cursor.pgresult) == answer["checksum"]
    if "unknown" in answer or "too_many" in answer:  # so an older Plinth
        return False
    if "columns" not in answer:
        cursor._rowcount = answer["rowcount"]  # else it takes as many rows
        return True
    columns = ", ".join(_column(place, *each) for place, each in enumerate(answer["columns"]))
    rows = "from jsonb_array_elements(%s::jsonb) with ordinality as done (line, place) order by place"
    noted = answer["rows"] if isinstance(answer["rows"], str) else json.dumps(answer["rows"])
    query = f"select {columns or 'null'} {rows}"
    cursor.execute(query.encode(codec(cursor.connection)), [noted])
    return True


def _type(cursor: "psycopg.Cursor[Any]", oid: int) -> str | None:
    """Return the type to which the text of a value is cast; empty where that doesn't give the value.

    None is text: as such comes what the driver doesn't know, and its type needn't be there any more.
    """
    if cursor.adapters.get_loader(oid, Format.TEXT) is None:
        return None
    known = own_types.get(oid)
    if known is None or known.name in _MADE_OF_OTHERS:
        return ""
    # Without its length, which `character` and `bit` have unless their names in the catalog are taken.
    return f"pg_catalog.{known.name}{'[]' if oid == known.array_oid else ''}"


def _row(result: PGresult, number: int, encoding: str) -> list[str | None]:
    values = (result.get_value(number, place) for place in range(result.nfields))
    return [None if value is None else value.decode(encoding) for value in values]


def _size(row: Sequence[str | None]) -> int:
    return sum(len(value or "") + 1 for value in row)


def _checksum(result: PGresult) -> str:
    found = hashlib.sha256()
    for row in range(result.ntuples):
        for place in range(result.nfields):
            value = result.get_value(row, place)
            found.update(b"-" if value is None else b"%d:%b" % (len(value), value))
    return found.hexdigest()


def _error(noted: Mapping[str, Any]) -> psycopg.Error:
    kind = getattr(psycopg.errors, noted["kind"], psycopg.Error)
    said = noted["fields"]
    fields: dict[int, bytes | None] = {
        each: said[each.name].encode() for each in DiagnosticField if each.name in said
    }
    error: psycopg.Error = kind(noted["message"], info=fields)
    return error


def _column(place: int, name: str, type_: str | None) -> str:
    quoted = name.replace('"', '""').replace("%", "%%")
    cast = f"::{type_.replace('%', '%%')}" if type_ else ""
    return f'(line ->> {place}){cast} as "{quoted}"'
