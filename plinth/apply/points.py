"""Points: how far a revision of several transactions came, so that it is resumed and never repeated.

Each statement of a revision has a number. When a transaction inside the revision ends, what it held is noted
in `plinth.points`, in that same transaction; a statement outside of any transaction is given one of its own,
with its note, unless PostgreSQL says that it can't be in one. The same revision run again passes over what is
noted, known by its number and its text. What only reads or sets (SELECT, SHOW, SET, …) has no number and
always runs; a query that calls a function which may write has one. So has a text of several statements of
which one does more: when it is passed over, those of it that set something run again.
"""

import ast
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.sql import Literal
from psycopg.types.json import Jsonb
from sqlalchemy import Connection

from plinth import checksum
from plinth.apply.session import codec
from plinth.errors import PlinthError
from plinth.sql_text import IDENTIFIER, SPACE

BLOCK = "(a block that commits)"  # in plinth.unfinished: how far it came nobody knows
HALF_DONE = "(half done)"  # there too, in the place of an object's name
MOST_ROWS = 1000  # that a statement may return and be passed over later

_SET = (
    r"(?:set|reset|savepoint|release|rollback\s+to|prepare(?!\s+transaction)|deallocate)\b"  # for its session
)
_READS = re.compile(rf"\A{SPACE}\(?{SPACE}(?:select|show|values|table)\b", re.IGNORECASE | re.DOTALL)
_SETS = re.compile(rf"\A{SPACE}{_SET}", re.IGNORECASE | re.DOTALL)
_SETS_BY_CALL = re.compile(rf"\A{SPACE}select\b.*\bset_config\s*\(", re.IGNORECASE | re.DOTALL)
_READS_WITH = re.compile(
    rf"\A{SPACE}with\b(?!.*\b(?:insert|update|delete|merge)\b)", re.IGNORECASE | re.DOTALL
)
_BEGINS = re.compile(rf"\A{SPACE}(?:begin|start)\b", re.IGNORECASE | re.DOTALL)
# A semicolon, or what may have one in it: comments, texts, names, and what stands between dollars.
_TOKEN = re.compile(
    r"""--[^\n]*|/\*.*?\*/|(?<![\w$])e'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|"""
    r"(?<![\w$])(?P<dollars>\$(?:[^\W\d]\w*)?\$).*?(?P=dollars)|(?P<end>;)|[^;'\"/$e-]+|.",
    re.IGNORECASE | re.DOTALL,
)
_NOTHING = re.compile(rf"{SPACE}\Z", re.DOTALL)
_WRITES = re.compile(
    r"\b(?:(?:setval|nextval)\s*\(|into\b)", re.IGNORECASE
)  # a SELECT that does more than read
_CALLED = re.compile(r'("(?:[^"]|"")+"|[^\W\d][\w$]*)\s*\(')
_INDEX = re.compile(
    rf"\A{SPACE}(?:create|drop)\s+(?:unique\s+)?index\s+concurrently\b", re.IGNORECASE | re.DOTALL
)
_TEMPORARY = re.compile(
    rf"\A{SPACE}(?:create\s+(?:or\s+replace\s+)?(?:(?:local|global)\s+)?temp(?:orary)?\s+(?:recursive\s+)?\w+"
    r"|(?:select|with)\b.*?\binto\s+temp(?:orary)?(?:\s+table)?)"
    rf"\s+(?:if\s+not\s+exists\s+)?(?:pg_temp\s*\.\s*)?(?P<name>{IDENTIFIER})",
    re.IGNORECASE | re.DOTALL,
)
_DROPPED = re.compile(r"\bon\s+commit\s+drop\b|\A\s*drop\b", re.IGNORECASE)
_ROLLS_BACK = re.compile(
    rf"\A{SPACE}(?:abort|rollback(?!\s+(?:(?:work|transaction)\s+)?to\b))\b", re.IGNORECASE | re.DOTALL
)
_ENDS = re.compile(rf"\A{SPACE}(?:commit|end)\b", re.IGNORECASE | re.DOTALL)

_MAY_WRITE = """
    select exists (
        select from pg_proc join pg_namespace n on n.oid = pronamespace
        where proname = any(%s) and provolatile = 'v' and nspname not in ('pg_catalog', 'information_schema')
    )
    """
_TYPES = "select format_type(oid, null) from unnest(%s::oid[]) with ordinality t (oid, n) order by n"
_INSERT = """
    insert into plinth.points (version_table, revision, direction, number, statement, result, checksum)
    values (%s, %s, %s, %s, %s, %s, %s)
    """
_SELECT = """
    select revision, direction, number, statement, result, checksum from plinth.points
    where version_table = %s order by revision, direction, number
    """
_BEGUN = "select revision, object, statement from plinth.unfinished where version_table = %s"
_GO_BACK = """
    update plinth.points set result = result || '{"goes_back": true}'
    where version_table = %s and revision = %s and number = 0
    """
_NOTE_BACK = """
    update plinth.points
    set result = result || jsonb_build_object('back', concat(result ->> 'back', %s::text))
    where version_table = %s and revision = %s and number = 0
    """
_DELETE = (
    "delete from plinth.points where version_table = %s and revision = %s",
    "delete from plinth.unfinished where version_table = %s and revision = %s",
)


class PointError(PlinthError):
    """An interrupted revision can't be resumed; the message says why and what to do."""


def reads(text: str) -> bool:
    """Whether a statement only reads, or sets something for its session or transaction; of several, each."""
    return all(
        _SETS.match(each) or _BEGINS.match(each) or (_READS.match(each) and not _WRITES.search(each))
        for each in statements_of(text)
    )


def changes(session: "psycopg.Connection[Any]", text: str) -> bool:
    """Whether a statement does more than read, or set something."""
    return not (reads(text) or _READS_WITH.match(text)) or calls_what_may_write(session, text)


def settings_in(session: "psycopg.Connection[Any]", text: str) -> list[str]:
    """Return those of a text of several statements that only set something for session or transaction."""
    found = statements_of(text)
    return [
        each
        for each in (found if found[1:] else ())
        if _SETS.match(each) or (_SETS_BY_CALL.match(each) and not changes(session, each))
    ]


def statements_of(text: str) -> list[str]:
    """Return the statements of a text: most have but one."""
    if ";" not in text.rstrip().rstrip(";"):
        return [text]
    found, begin = [], 0
    for token in _TOKEN.finditer(text):
        if token["end"]:
            found.append(text[begin : token.start()])
            begin = token.end()
    return [each for each in (*found, text[begin:]) if not _NOTHING.match(each)]


def calls_what_may_write(session: "psycopg.Connection[Any]", query: str) -> bool:
    """Whether a query calls a function that may write: one that is VOLATILE, and not PostgreSQL's own."""
    called = {
        each[1:-1].replace('""', '"') if each[0] == '"' else each.lower() for each in _CALLED.findall(query)
    }
    return bool(called) and session.execute(_MAY_WRITE, [sorted(called)]).fetchone() == (True,)


def ends_transaction(text: str) -> bool:
    """Whether a statement commits, as some old revisions do by themselves; of several, the first."""
    return _ENDS.match(text) is not None


def rolls_back(text: str) -> bool:
    """Whether one of a text's statements takes back all of its transaction."""
    return any(_ROLLS_BACK.match(each) for each in statements_of(text))


def is_single(text: str) -> bool:
    """Whether a text has one statement."""
    return len(statements_of(text)) == 1


@dataclass(frozen=True)
class Done:
    """A statement that is done.

    Args:
        number: its place in the revision, from 1 on.
        statement: its text.
        result: what it returned (`{"rowcount": n}`, and "columns" and "rows" where it returned rows), and a
            checksum of its parameters, if it had any ("values").
    """

    number: int
    statement: str
    result: dict[str, Any]


@dataclass
class Interrupted:
    """What a revision has done, when it was interrupted.

    Args:
        revision: its id.
        direction: "up" or "down".
        checksum: of its file, as it was then.
        done: its statements by their numbers.
        picture: of the schema before it, as `plinth.catalog.record_catalog` has it; None if there is none.
        goes_back: some of what it has done is taken back already.
        is_noted: the database knows that it was begun, although nothing of it may be done yet.
        first: its first statement, if that is one that no transaction can hold.
        builds: builds and drops of indexes that had begun, some of them done.
        block: a statement that had begun and commits by itself; how far it came nobody knows.
        batch: of the command that began it.
        back: the statements that take back what it has done, once that was begun.
    """

    revision: str
    direction: str
    checksum: str | None = None
    done: dict[int, Done] = field(default_factory=dict)
    picture: str | None = None
    goes_back: bool = False
    is_noted: bool = False
    first: str = ""
    batch: int | None = None
    back: str = ""
    builds: list[str] = field(default_factory=list)
    block: str = ""

    @property
    def statements(self) -> list[str]:
        """What it has done, or begun to do, in order."""
        return [
            *filter(None, [self.first]),
            *(each.statement for each in self.done.values()),
            *filter(None, [*self.builds, self.block]),
        ]

    @property
    def last(self) -> int:
        """The number of the last statement that is done; 0 if only the first was begun."""
        return max(self.done, default=0)

    @property
    def needs_its_file(self) -> bool:
        """Whether only the file as it was goes on with it: not where an index alone was begun."""
        return bool(self.done) or _commits(self.first)


def interrupted(session: "psycopg.Connection[Any]", version_table: str) -> list[Interrupted]:
    """Return the revisions that stand half-way.

    Args:
        session: any of the database's.
        version_table: whose revisions they are.
    """
    if session.execute("select to_regclass('plinth.points')").fetchone() == (None,):
        return []
    found: dict[tuple[str, str], Interrupted] = {}
    for revision, direction, number, statement, result, of_file in session.execute(_SELECT, [version_table]):
        noted = Interrupted(revision, direction, of_file, is_noted=True)
        of = found.setdefault((revision, direction), noted)
        if number:
            of.done[number] = Done(number, statement, result)
        else:
            of.first, of.picture, of.goes_back = statement, result["picture"], result.get("goes_back", False)
            of.batch, of.back = result.get("batch"), result.get("back", "")
    for revision, object_, statement in session.execute(_BEGUN, [version_table]):
        direction, _, name = object_.partition(" ")
        begun = found.get((revision, direction))
        if begun and name == BLOCK:
            begun.block = statement
        elif begun:
            begun.builds.append(statement)
    return list(found.values())


class Points:
    """The points of one revision, in one direction.

    Args:
        version_table: whose revision it is.
        begun: the revision; with what an earlier, interrupted run has done, and the picture from before it.
        source: what its file says; None where it isn't looked at.

    Raises:
        PointError: the file was edited since.
    """

    def __init__(
        self,
        version_table: str,
        begun: "Interrupted",
        source: bytes | None,
    ) -> None:
        revision, direction = begun.revision, begun.direction
        if begun.needs_its_file and begun.checksum != checksum.of(source):
            place = f"after its step {begun.last}" if begun.done else "in its first step"
            raise PointError(
                f"Revision {revision} was interrupted {place}, and its file was edited "
                "since: what is done can't be told from what isn't. Put the file back as it was, and run the "
                f"same command again; or take back what is done: {way_back(direction)}"
            )
        by = unseen(_tree(source)) if begun.done else None
        if by:
            raise PointError(
                f"Revision {revision} was interrupted after its step {begun.last}, and what it does by the "
                f"driver's own {by} isn't seen: whether that is done isn't known. Take back what is "
                f"done: {way_back(direction)}; or, if all of it may be done twice, say so in the file: "
                "repeatable = True"
            )
        self._key = (version_table, revision, direction)
        self._source = source
        self._before = begun.done
        self._about = {"picture": begun.picture, "batch": begun.batch}
        self._number = 0
        self._values: str | None = None  # of the statement of that number
        self._waiting: list[Done] = []  # for the end of their transaction
        self._savepoints: list[tuple[str, int]] = []
        self._passed_over: dict[tuple[str, str | None], int] = {}  # with other values than it was done with
        self.are_kept = begun.is_noted  # in the database

    def next(self, statement: str, values: str | None = None) -> Done | None:
        """Count a statement; return what is known of it if it is done.

        Args:
            statement: its text.
            values: a checksum of its parameters.

        Raises:
            PointError: another one was done in its place.
        """
        self._number += 1
        done = self._before.get(self._number)
        if done and done.statement != statement:
            _, revision, direction = self._key
            raise PointError(
                f"Revision {revision} was interrupted after its step {max(self._before)}, and its step "
                f"{self._number} is another statement now than it was then: {shown(statement)} Let it do "
                "what it did, and run the same command again; or, if an older Plinth was interrupted, which "
                f"may have counted other statements, take back what is done: {way_back(direction)}"
            )
        if done and "values" in done.result and done.result["values"] != values:
            self._passed_over.setdefault((statement, values), self._number)
        else:
            self._passed_over.pop((statement, values), None)
        self._values = values
        return done

    def refuse_what_is_gone(self, session: "psycopg.Connection[Any]") -> None:
        """Return if the session has the temporary tables that what is done has made there.

        Raises:
            PointError: it hasn't: a session before it had, or what is left finds another table of that name.
        """
        texts = [text for _, each in sorted(self._before.items()) for text in statements_of(each.statement)]
        for place, text in enumerate(texts):
            made = None if _DROPPED.search(text) else _TEMPORARY.match(text)
            name = made and made["name"]
            if not name or any(_DROPPED.search(each) and name in each for each in texts[place + 1 :]):
                continue
            if session.execute("select to_regclass(%s)", [f"pg_temp.{name}"]).fetchone() == (None,):
                _, revision, direction = self._key
                raise PointError(
                    f"Revision {revision} was interrupted after its step {max(self._before)}, and what it "
                    f"has made for its session alone went with that: {shown(text)} Take back what is done, "
                    f"and begin again: {way_back(direction)}; or, if all of it may be done twice, say so in "
                    "the file: repeatable = True"
                )

    def refuse_what_was_missed(self) -> None:
        """Return if the revision has come to all that is done of it, when it has come to its end.

        What only reads is asked again, and may be answered otherwise: a column is there already, fewer rows
        are left.

        Raises:
            PointError: it hasn't, so it may have left out what isn't done, too.
        """
        last = max(self._before, default=0)
        if self._number < last:
            _, revision, direction = self._key
            raise PointError(
                f"Revision {revision} was interrupted after its step {last}, and came to its end after its "
                f"step {self._number} now: what it asks before it goes on is answered otherwise since. Not "
                f"reached is {shown(self._before[last].statement)} Take back what is done, and begin again: "
                f"{way_back(direction)}; or do by hand what is missing, and mark the revision as applied: "
                "alembic stamp"
            )
        self._refuse_what_was_passed_over()

    def _refuse_what_was_passed_over(self) -> None:
        """Return if all that was passed over was done, with the same values.

        A loop over what is left to do has other values when it is resumed: it comes to those again that were
        passed over. One over a list that was read before it doesn't.

        Raises:
            PointError: something wasn't.
        """
        for (statement, _), number in self._passed_over.items():
            _, revision, direction = self._key
            raise PointError(
                f"Revision {revision} was interrupted after its step {max(self._before)}, and its step "
                f"{number} was passed over, for it was done with other values: {shown(statement)} Whether "
                "those that it has now were missed can't be told. Take back what is done, and begin again: "
                f"{way_back(direction)}; or do by hand what is missing, and mark the revision as applied: "
                "alembic stamp"
            )

    def done(self, statement: str, cursor: "psycopg.Cursor[Any]") -> None:
        """Note a statement that has run."""
        result = result_of(cursor)
        if self._values is not None:
            result["values"] = self._values
        self._waiting.append(Done(self._number, statement, result))

    @property
    def checksum(self) -> str | None:
        """That of the revision's file."""
        return checksum.of(self._source)

    @property
    def has_unkept(self) -> bool:
        """Whether something was done since the last point."""
        return bool(self._waiting)

    def savepoint(self, name: str) -> None:
        """Remember where a savepoint begins."""
        self._savepoints.append((name, len(self._waiting)))

    def rollback_to(self, name: str) -> None:
        """Forget what was rolled back to a savepoint."""
        while self._savepoints:
            known, place = self._savepoints.pop()
            if known == name:
                del self._waiting[place:]
                return

    def begin(self, session: "psycopg.Connection[Any]", statement: str) -> None:
        """Write down that a statement begins which no transaction can hold; the session commits by itself."""
        if not self.are_kept:
            session.execute(_INSERT, self._beginning(checksum.of(self._source), statement))
            self.are_kept = True

    def _beginning(self, of_file: str | None, statement: str = "") -> tuple[object, ...]:
        return (*self._key, 0, statement, Jsonb(self._about), of_file)

    def keep(self, session: "psycopg.Connection[Any]") -> bool:
        """Write down what was done since the last point, if anything; the caller commits."""
        key, waiting = self._key, self._waiting
        of_file = checksum.of(self._source) if waiting else None
        rows: list[tuple[object, ...]] = [
            (*key, each.number, each.statement, Jsonb(each.result), of_file) for each in waiting
        ]
        self.forget()
        if rows and not self.are_kept:
            rows.append(self._beginning(of_file))
        if rows:
            with session.cursor() as cursor:
                cursor.executemany(_INSERT, rows)
            self.are_kept = True
        return bool(rows)

    def forget(self) -> None:
        """Forget what was done since the last point: it was rolled back."""
        self._waiting.clear()
        self._savepoints.clear()


def _commits(statement: str) -> bool:
    """Whether a statement may have done a part of its work; that of an index is known otherwise."""
    return bool(statement) and _INDEX.match(statement) is None


def may_commit(source: bytes | None) -> bool:
    """Whether a revision may end its transaction before its end, as far as its text tells."""
    return source is None or b"commit" in source.lower()


def _tree(source: bytes | None) -> ast.Module | None:
    try:
        return None if source is None else ast.parse(source)
    except (SyntaxError, ValueError):
        return None


def unseen(tree: ast.Module | None) -> str | None:
    """Return by what a revision speaks to the driver itself, if it does; SQLAlchemy tells nothing of that."""
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "cursor":
            return f"cursor() in line {node.lineno}"
        if isinstance(node, ast.Attribute) and node.attr in {"driver_connection", "dbapi_connection"}:
            return f"{node.attr} in line {node.lineno}"
    return None


def way_back(direction: str) -> str:
    """Return what to type to take back what an interrupted revision has done."""
    return "alembic downgrade -1" if direction == "up" else "alembic upgrade head"


def go_back(session: "psycopg.Connection[Any]", version_table: str, revision: str) -> None:
    """Note that what a revision has done is being taken back; the caller commits."""
    session.execute(_GO_BACK, [version_table, revision])


def note_back(session: "psycopg.Connection[Any]", version_table: str, revision: str, sql: str) -> None:
    """Note the statements that are about to take back what a revision has done; the caller commits."""
    session.execute(_NOTE_BACK, [sql, version_table, revision])


def erase(session: "psycopg.Connection[Any]", version_table: str, revision: str) -> None:
    """Delete a revision's points, and what is noted of its index builds; the caller commits."""
    for delete in _DELETE:
        session.execute(delete, [version_table, revision])


def checksum_of_values(session: "psycopg.Connection[Any]", parameters: object) -> str | None:
    """Return a checksum of a statement's parameters, as the server gets them; None if it has none.

    Args:
        session: that runs it.
        parameters: by name, or in order, or several of either.
    """
    if not parameters:
        return None
    found = hashlib.sha256()
    for value in _flat(parameters):
        found.update(Literal(value).as_bytes(session))
        found.update(b"\0")
    return found.hexdigest()


def _flat(parameters: object) -> Iterator[object]:
    if isinstance(parameters, Mapping):
        for name in sorted(parameters):
            yield parameters[name]
    elif isinstance(parameters, Sequence) and parameters and isinstance(parameters[0], Mapping | tuple):
        for each in parameters:
            yield from _flat(each)
    elif isinstance(parameters, Sequence):
        yield from parameters


def result_of(cursor: "psycopg.Cursor[Any]") -> dict[str, Any]:
    """Return what a statement has returned, for a later run that passes over it."""
    found: dict[str, Any] = {"rowcount": cursor.rowcount}
    if cursor.description is None or cursor.pgresult is None:
        return found
    if cursor.rowcount > MOST_ROWS:
        return found | {"too_many": True}
    session = cursor.connection
    types = session.execute(_TYPES, [[column.type_code for column in cursor.description]]).fetchall()
    names = [column.name for column in cursor.description]
    found["columns"] = [[name, type_] for name, (type_,) in zip(names, types, strict=True)]
    rows = range(cursor.pgresult.ntuples)
    found["rows"] = [[_text(cursor, row, place) for place in range(len(names))] for row in rows]
    return found


def _text(cursor: "psycopg.Cursor[Any]", row: int, place: int) -> str | None:
    value = cursor.pgresult.get_value(row, place) if cursor.pgresult else None
    return None if value is None else value.decode(codec(cursor.connection))


def replay(cursor: "psycopg.Cursor[Any]", done: Done, statement: str) -> None:
    """Let a cursor return what a statement returned when it was done.

    Raises:
        PointError: that was too much to be remembered.
    """
    if done.result.get("too_many"):
        raise PointError(
            f"Step {done.number} of an interrupted revision is done and can't be passed over, for it "
            f"returned more than {MOST_ROWS} rows: {shown(statement)} Finish by hand what is left, and mark "
            "the revision as applied: alembic stamp"
        )
    if "columns" in done.result:
        columns = ", ".join(_column(place, *each) for place, each in enumerate(done.result["columns"]))
        rows = "from jsonb_array_elements(%s) with ordinality as done (line, place) order by place"
        select = f"select {columns or 'null'} {rows}".encode(codec(cursor.connection))
        cursor.execute(select, [Jsonb(done.result["rows"])])
    else:
        cursor.execute("select from generate_series(1, %s)", [max(0, done.result["rowcount"])])


def _column(place: int, name: str, type_: str) -> str:
    quoted = name.replace('"', '""').replace("%", "%%")
    return f'(line ->> {place})::{type_.replace("%", "%%")} as "{quoted}"'


def shown(statement: str) -> str:
    """Return a statement as a message has it: in one line that ends with a full stop."""
    line = " ".join(statement.split()).rstrip(".;")
    return f"{line[:120]} …." if len(line) > 120 else f"{line}."


def driver_session(connection: Connection) -> "psycopg.Connection[Any]":
    """Return psycopg's own connection of a connection."""
    session: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    return session
