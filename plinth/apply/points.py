"""Points: how far a revision of several transactions came, so that it is resumed and never repeated.

Each statement of a revision that may change something is a step, and has a number. When a transaction inside
the revision ends, what it held is noted in `plinth.points`, in that same transaction; a statement outside of
any transaction is given one of its own, with its note, unless PostgreSQL says that it can't be in one.

The same revision run again takes the same way through its Python up to the last point, for nothing of that
is run: each statement is answered as it was then, also what only read, what failed and what was rolled back,
which are noted with the step that came next. Behind the last point everything runs, in a session that has
what that one had. What only sets something for its session or transaction (SET, SAVEPOINT, …) always does.
"""

import functools
import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import psycopg
from psycopg.sql import Literal
from psycopg.types.json import Jsonb
from sqlalchemy import Connection

from plinth import checksum
from plinth.apply.answers import MOST, Answer, Stream, answer_of, failure_of
from plinth.apply.session import codec
from plinth.apply.session_state import NOTED, UNSETTLED, Change, SessionState
from plinth.apply.sources import calls_rollback, helpers, strings, tree_of, unseen_in
from plinth.errors import PlinthError
from plinth.server_errors import words
from plinth.sql_text import Lexed, lexed, parts, plain

BLOCK = "(a block that commits)"  # in plinth.unfinished: how far it came nobody knows
GRANTED = "granted"  # in the result of a point's last step: privileges on what is gone (`grants`)
HALF_DONE = "(half done)"  # there too, in the place of an object's name
_BY_HAND = "do by hand what is missing, and mark the revision as applied: alembic stamp"
ROOM = 50 * MOST  # for the answers between two points: they are kept in memory until the second one

# For its session, or its transaction.
_BACK_TO = "rollback [work | transaction] to"
_SETS = f"set | reset | savepoint | release | {_BACK_TO} | prepare | deallocate | listen | unlisten | load"
_BEGINS = "begin | start"
_ENDS = "commit | end"
_READS = "[(] {select | show | values | table}"
_MAY_COMMIT = re.compile(rb"(?i)commit|\b(open|read\w*|get_data)\s*\(")
_INDEX = "{create | drop} [unique] index concurrently"
_UNLOGGED = (
    "create unlogged table [if not exists] <name>",
    "{select | with} ... into unlogged [table] <name>",
)

_MAY_WRITE = """
    select exists (
        select from pg_proc join pg_namespace n on n.oid = pronamespace
        where proname = any(%s) and provolatile = 'v'
          and (nspname not in ('pg_catalog', 'information_schema') or proname ~ '^lo_')  -- large objects
    )
    """
# A statement of which is known that it has begun keeps what came before it.
_INSERT = """
    insert into plinth.points (version_table, revision, direction, number, statement, result, checksum)
    values (%s, %s, %s, %s, %s, %s, %s)
    on conflict (version_table, revision, direction, number) do update
    set statement = excluded.statement, result = excluded.result || (points.result - 'begun')
    """
_SELECT = """
    select revision, direction, number, statement, result, checksum from plinth.points
    where version_table = %s order by revision, direction, number
    """
_SETTLE = f"""
    update plinth.points set result = result - '{UNSETTLED}' || %s
    where version_table = %s and revision = %s and direction = %s and number = (
        select max(number) from plinth.points
        where version_table = %s and revision = %s and direction = %s and not result ? 'begun')
    """  # noqa: S608 - a constant
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
    return all(_only_sets(each) or _reads(each) for each in lexed(text).statements)


def only_sets(text: str) -> bool:
    """Whether a statement only sets something for its session or transaction; of several, each."""
    return all(_only_sets(each) for each in lexed(text).statements)


def _only_sets(statement: Lexed) -> bool:
    return _sets(statement) or statement.begins(_BEGINS) is not None


def _sets(statement: Lexed) -> bool:
    return statement.begins(_SETS) is not None and not statement.begins("prepare transaction")


def _reads(statement: Lexed) -> bool:
    is_query = statement.begins(_READS) is not None and not statement.has("into")
    return is_query and _called(statement).isdisjoint({"nextval", "setval"})


def changes(session: "psycopg.Connection[Any]", text: str) -> bool:
    """Whether a statement does more than read, or set something."""
    only_reads = all(_only_sets(each) or _reads(each) or _reads_with(each) for each in lexed(text).statements)
    return not only_reads or calls_what_may_write(session, text)


def _reads_with(statement: Lexed) -> bool:
    writes = statement.has("insert | update | delete | merge | into")
    return statement.begins("with") is not None and not writes


def calls_what_may_write(session: "psycopg.Connection[Any]", query: str) -> bool:
    """Whether a query calls a function that may write: a VOLATILE one, of PostgreSQL's own only `lo_*`."""
    called = _called(lexed(query))
    return bool(called) and session.execute(_MAY_WRITE, [sorted(called)]).fetchone() == (True,)


def _called(query: Lexed) -> set[str]:
    return {parts(each["name"])[-1] for each in query.find("<name> (")}


def ends_transaction(text: str) -> bool:
    """Whether a statement commits, as some old revisions do by themselves; of several, the first."""
    return lexed(text).begins(_ENDS) is not None


def rolls_back(text: str) -> bool:
    """Whether one of a text's statements takes back all of its transaction."""
    return any(
        each.begins("abort | rollback") and not each.begins(_BACK_TO) for each in lexed(text).statements
    )


def may_end_on_its_way(text: str) -> bool:
    """Whether one of a text's statements may end a transaction, and another one of it fail."""
    found = lexed(text).statements
    return bool(found[1:]) and (rolls_back(text) or any(each.begins(_ENDS) for each in found))


def begins_transaction(text: str) -> bool:
    """Whether one of a text's statements begins a transaction."""
    return any(each.begins(_BEGINS) for each in lexed(text).statements)


def only_ends_transaction(text: str) -> bool:
    """Whether it does nothing else."""
    return ends_transaction(text) and len(lexed(text).statements) == 1


@dataclass
class Done:
    """A statement that has run.

    Args:
        number: its place among the revision's steps, from 1 on; 0 for one that only reads.
        statement: its text.
        result: what it answered, as `plinth.apply.answers` notes it, and a checksum of its parameters, if it
            had any ("values").
        stands: it is done; not so one that only reads, one that failed, and one that was rolled back.
    """

    number: int
    statement: str
    result: dict[str, Any]
    stands: bool

    @property
    def values(self) -> str | None:
        """The checksum of its parameters."""
        return self.result.get("values")

    def as_noted(self) -> dict[str, Any]:
        """Return what is noted of one that doesn't stand, with the step that came next."""
        return {"number": self.number, "statement": self.statement, "result": self.result}


@dataclass
class Interrupted:
    """What a revision has done, when it was interrupted.

    Args:
        revision: its id.
        direction: "up" or "down".
        checksum: of its file, as it was then.
        done: its steps by their numbers.
        way: all that it asked up to the last point, in order.
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
    way: list[Done] = field(default_factory=list)
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
    def noted(self) -> Mapping[str, Any]:
        """What is noted with its last point."""
        return self.done[self.last].result if self.done else {}

    @property
    def needs_its_file(self) -> bool:
        """Whether only the file as it was goes on with it: not where an index alone was begun."""
        return bool(self.way) or _commits(self.first)


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
            of.way += _noted(result.pop("before", ()))
            after = _noted(result.pop("after", ()))
            if not result.get("begun"):
                of.done[number] = Done(number, statement, result, stands=True)
                of.way.append(of.done[number])
            of.way += after
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


def _noted(entries: Iterable[Mapping[str, Any]]) -> Iterator[Done]:
    for each in entries:
        yield Done(each["number"], each["statement"], each["result"], stands=False)


class Points:
    """The points of one revision, in one direction.

    Args:
        version_table: whose revision it is.
        begun: the revision; with what an earlier, interrupted run has done, and the picture from before it.
        source: what its file says; None where it isn't looked at.
        session_state: of its session; None where it keeps its session.

    Raises:
        PointError: the file was edited since.
    """

    def __init__(
        self,
        version_table: str,
        begun: "Interrupted",
        source: bytes | None,
        session_state: SessionState | None = None,
    ) -> None:
        revision, direction = begun.revision, begun.direction
        if begun.needs_its_file and begun.checksum != checksum.of(source):
            place = f"after its step {begun.last}" if begun.done else "in its first step"
            raise PointError(
                f"Revision {revision} was interrupted {place}, and its file was edited "
                "since: what is done can't be told from what isn't. Put the file back as it was, and run the "
                f"same command again; or take back what is done: {way_back(direction)}"
            )
        self.unseen = unseen_in(source)
        if begun.done and self.unseen:
            raise PointError(
                f"Revision {revision} was interrupted after its step {begun.last}, and what it does by the "
                f"driver's own {self.unseen} isn't seen: whether that is done isn't known. Take back what is "
                f"done: {way_back(direction)}; or, if all of it may be done twice, say so in the file: "
                "repeatable = True"
            )
        self._key = (version_table, revision, direction)
        self._source = source
        self._before = begun.done
        self._ahead = deque(begun.way)  # of what an earlier run asked: what this one has to come to
        self._steps_ahead = sum(each.number > 0 for each in begun.way)
        self._asks_more = ""  # what that one didn't, since the last step
        self._refusal: PointError | None = None
        self._session_state = session_state
        self._noted: Change | None = begun.noted.get(NOTED)  # until it is given back
        self._unsettled: list[str] = begun.noted.get(UNSETTLED, [])
        self.granted: list[Any] = begun.noted.get(GRANTED, [])
        self.see_grants: Callable[[psycopg.Connection[Any]], list[Any]] = lambda _: []  # to be noted so
        self._about = {"picture": begun.picture, "batch": begun.batch}
        self._number = 0
        self.running: Done
        self._waiting: list[Done] = []  # for the end of their transaction
        self._room = ROOM
        self._savepoints: list[tuple[str, int]] = []
        self.are_kept = begun.is_noted  # in the database

    def recall(self, statement: str, values: str | None) -> Done | None:
        """Return what is known of a statement if it was asked before the last point, and go on behind it.

        Args:
            statement: its text.
            values: a checksum of its parameters.

        Raises:
            PointError: it is a step, and what it is about, or what was read before it, is another one by now.
        """
        if self._refusal:  # the revision has caught it
            raise self._refusal
        if self._session_state:
            self._session_state.see(statement)
        for place, each in enumerate(self._ahead):
            if each.number:
                if (each.statement, each.number) != (statement, self._number + 1):
                    return None
                self._refuse_another_way(each, values, is_left_out=place > 0)
                self._number = each.number
                self._steps_ahead -= 1
                for _ in range(place + 1):
                    self._ahead.popleft()
                return each
            if (each.statement, each.values) == (statement, values):
                del self._ahead[place]
                return each
        return None

    def _refuse_another_way(self, step: Done, values: str | None, *, is_left_out: bool) -> None:
        """Return if a step is come to by the way by which it was come to before.

        A question more or less is none, for SQLAlchemy asks some only once; one in another's place is.
        """
        asked, self._asks_more = self._asks_more, ""
        if asked and is_left_out:
            self._refuse(f"asks something else now before its step {step.number}: {shown(asked)}")
        if "values" in step.result and step.values != values:
            self._refuse(f"its step {step.number} has other values now: {shown(step.statement)}")

    def come_to(
        self, session: "psycopg.Connection[Any]", statement: str, values: str | None, *, reads_only: bool
    ) -> bool:
        """Count a statement that wasn't asked before, if it is a step; return whether its answer is noted.

        Args:
            session: that is about to run it.
            statement: its text.
            values: a checksum of its parameters.
            reads_only: it is known to be no step.

        Raises:
            PointError: an earlier run came to another step in its place.
        """
        if self._refusal:
            raise self._refusal
        is_step = not reads_only and (not reads(statement) or calls_what_may_write(session, statement))
        if is_step:
            self._number += 1
            if self._steps_ahead:
                self._refuse(
                    f"its step {self._number} is another statement now than it was then: {shown(statement)} "
                    "Let it do what it did, and run the same command again; or, if an older Plinth was "
                    "interrupted, which may have counted other statements,",
                    "take",
                )
            self._ahead.clear()
        elif self._steps_ahead:
            self._asks_more = statement
        result = {} if values is None else {"values": values}
        self.running = Done(self._number if is_step else 0, statement, result, stands=is_step)
        return True

    def pass_by(self) -> None:
        """Count a statement that only ends a transaction: it is done again."""
        self._number += 1

    def see_unseen(self) -> None:
        """Count what is done by the driver itself until a transaction ends as a step."""
        self._number += 1
        said = f"({self.unseen}: what it does isn't seen)"
        self._waiting.append(Done(self._number, said, {}, stands=True))

    def _refuse(self, what: str, then: str = "Take", or_else: str = _BY_HAND) -> NoReturn:
        _, revision, direction = self._key
        self._refusal = PointError(
            f"Revision {revision} was interrupted after its step {max(self._before, default=0)}, and {what} "
            f"{then} back what is done, and begin again: {way_back(direction)}; or {or_else}"
        )
        raise self._refusal

    def refuse_what_is_forgotten(self, done: Done) -> NoReturn:
        """Say that a statement can't be answered as it was.

        Raises:
            PointError: always.
        """
        what = "what it asks" if not done.number else f"its step {done.number}"
        why = (
            "its answer was too long to be remembered, and is another one by now"
            if "checksum" in done.result
            else "its answer is not remembered, for it was too long"
        )
        self._refuse(f"{what} can't be passed over, for {why}: {shown(done.statement)}")

    def refuse_what_is_gone(self, session: "psycopg.Connection[Any]") -> None:
        """Return if what was made for the session alone is there, and the rows of UNLOGGED tables are.

        Raises:
            PointError: they aren't: a session before this one had them, and what is left would find another
                table of that name; or the server has crashed since.
        """
        self._refuse_what_a_crash_has_emptied(session)
        gone = self._session_state.gone(self._noted) if self._session_state and self._noted else []
        if gone:
            self._refuse(
                f"what it has made for its session alone went with that: {', '.join(gone)}.",
                or_else="if all of it may be done twice, say so in the file: repeatable = True",
            )

    def _refuse_what_a_crash_has_emptied(self, session: "psycopg.Connection[Any]") -> None:
        filled: dict[str, bool] = {}  # by the names that they were made with
        for _, done in sorted(self._before.items()):
            has_rows = done.result.get("rowcount", 0) > 0
            for each in lexed(done.statement).executed:
                for name in [name for name in filled if each.names(parts(name)[-1])]:
                    if each.begins("drop | truncate | delete | alter"):
                        del filled[name]
                    elif has_rows:
                        filled[name] = True
                made = _named(each, _UNLOGGED)
                if made:
                    filled[made] = has_rows
        for name in [name for name, has_rows in filled.items() if has_rows]:
            if session.execute("select to_regclass(%s)", [name]).fetchone() == (None,):
                continue
            if session.execute(f"select from {name} limit 1".encode(codec(session))).fetchone() is None:
                self._refuse(
                    f"what it had put into the UNLOGGED table {name} is gone, as it is when the server "
                    "crashes. Fill it again by hand, and run the same command again; or",
                    "take",
                )

    def refuse_what_was_missed(self) -> None:
        """Return if the revision has come to all that is done of it, when it has come to its end.

        It may not have where its questions weren't noted, by an older Plinth for instance, and are answered
        otherwise now: a column is there already, fewer rows are left.

        Raises:
            PointError: it hasn't, so it may have left out what isn't done, too.
        """
        if self._refusal:
            raise self._refusal
        missed = next((each for each in self._ahead if each.number), None)
        if missed:
            self._refuse(
                f"came to its end after its step {self._number} now. Not reached is {shown(missed.statement)}"
            )

    def done(self, cursor: "psycopg.Cursor[Any]") -> None:
        """Note that the statement which was come to has run."""
        answer = answer_of(cursor, min(MOST, self._room))
        if "checksum" in answer and changes(cursor.connection, self.running.statement):
            answer = {"rowcount": answer["rowcount"], "unknown": True}
        self._note(answer)
        if isinstance(cursor, Stream):
            cursor.tell(self.running.result)

    def begin_again(self) -> None:
        """See that the statement which was come to was rolled back, and is about to run once more."""
        if self._waiting and self._waiting[-1] is self.running:
            self._waiting.pop()
        self.running.stands = self.running.number > 0

    def failed(self, error: psycopg.Error) -> None:
        """Note that it failed: whoever catches that goes on."""
        if self._waiting and self._waiting[-1] is self.running:
            self._waiting.pop()
        self.running.stands = False
        self._note(failure_of(error))

    def _note(self, answer: Answer) -> None:
        if self._steps_ahead:
            return
        self._room -= len(answer.get("rows", ""))
        self.running.result |= answer
        self._waiting.append(self.running)

    @property
    def may_roll_back(self) -> bool:
        """Whether the revision's file, or a module that it imports, may take back all of a transaction."""
        trees = [tree_of(text) for text in (self._source, *(text for _, text in helpers(self._source)))]
        return any(calls_rollback(tree) or any(map(rolls_back, strings(tree))) for tree in trees)

    @property
    def checksum(self) -> str | None:
        """That of the revision's file."""
        return checksum.of(self._source)

    @property
    def has_unkept(self) -> bool:
        """Whether something was done since the last point."""
        return any(each.stands for each in self._waiting)

    def see_setting(self, statement: str) -> None:
        """Follow a SET, a SAVEPOINT, a RELEASE or a ROLLBACK TO: what that rolls back isn't done."""
        if self._session_state:
            self._session_state.see(statement)
        text = lexed(statement)
        found = text.begins(f"{{savepoint | release [savepoint] | {_BACK_TO} [savepoint]}} <name>")
        if found is None:
            return
        name = plain(found["name"])
        if text.begins("savepoint"):
            self._savepoints.append((name, len(self._waiting)))
            return
        while self._savepoints:
            known, place = self._savepoints.pop()
            if known == name:
                if not text.begins("release"):  # it can be rolled back to again
                    self._savepoints.append((known, place))
                    self._roll_back(place)
                return

    def begin(self, session: "psycopg.Connection[Any]", statement: str) -> None:
        """Write down that a statement begins which no transaction can hold; the session commits by itself.

        What was asked before it is, too: an index that isn't finished may answer it otherwise.
        """
        of_file = self.checksum
        if not self.are_kept:
            session.execute(_INSERT, self._beginning(of_file, statement))
            self.are_kept = True
        if self._waiting and not self.has_unkept:
            result = {"begun": True, "before": [each.as_noted() for each in self._waiting]}
            session.execute(_INSERT, (*self._key, self._number, statement, Jsonb(result), of_file))
            self._forget_waiting()

    def _beginning(self, of_file: str | None, statement: str = "") -> tuple[object, ...]:
        return (*self._key, 0, statement, Jsonb(self._about), of_file)

    def keep(self, session: "psycopg.Connection[Any]") -> bool:
        """Write down what was done since the last point, if anything; the caller commits."""
        rows: list[tuple[int, str, dict[str, Any]]] = []
        others: list[dict[str, Any]] = []
        for each in self._waiting:
            if each.stands:
                rows.append(
                    (each.number, each.statement, each.result | ({"before": others} if others else {}))
                )
                others = []
            else:
                others.append(each.as_noted())
        if not rows:
            self._savepoints.clear()
            return False
        if others:
            rows[-1][2]["after"] = others
        if self._session_state:
            rows[-1][2].update(self._session_state.noted(session))
        if granted := self.see_grants(session):
            rows[-1][2][GRANTED] = granted
        of_file = self.checksum
        noted: list[tuple[object, ...]] = [
            (*self._key, number, text, Jsonb(result), of_file) for number, text, result in rows
        ]
        if not self.are_kept:
            noted.append(self._beginning(of_file))
        with session.cursor() as cursor:
            cursor.executemany(_INSERT, noted)
        self.are_kept = True
        self._forget_waiting()
        return True

    def settle(self, session: "psycopg.Connection[Any]") -> None:
        """Between two transactions, see to what the session alone has: what is there, and what should be.

        Raises:
            PointError: it had something else at the last point, and that can't be given back.
        """
        if self._session_state is None:
            return
        settled = self._session_state.settled(session)
        if settled is not None:
            session.execute(_SETTLE, (Jsonb({NOTED: settled}), *self._key, *self._key))
            if not session.autocommit:
                session.commit()
        if self._noted is not None and not self._steps_ahead:
            self._give_back(session, self._session_state, self._noted)

    def _give_back(
        self, session: "psycopg.Connection[Any]", session_state: SessionState, noted: Change
    ) -> None:
        try:
            unknown = session_state.give_back(session, noted, self._unsettled)
        except (psycopg.DataError, psycopg.errors.InsufficientPrivilege) as error:
            self._refuse(f"what its session had can't be given back: {words(error)}")
        if unknown:
            self._refuse(
                f"whether its session had this for that transaction alone isn't known: {', '.join(unknown)}."
            )
        self._noted = None

    def forget(self) -> None:
        """See that what was done since the last point was rolled back."""
        self._roll_back(0)
        self._savepoints.clear()

    def _roll_back(self, place: int) -> None:
        for each in self._waiting[place:]:
            each.stands = False

    def _forget_waiting(self) -> None:
        self._waiting.clear()
        self._savepoints.clear()
        self._room = ROOM


def _commits(statement: str) -> bool:
    """Whether a statement may have done a part of its work; that of an index is known otherwise."""
    return bool(statement) and not lexed(statement).begins(_INDEX)


def _named(statement: Lexed, forms: Iterable[str]) -> str:
    """Return the name that a statement gives to what it makes in one of some forms, as SQL has it."""
    return next((found["name"] for form in forms if (found := statement.begins(form))), "")


@functools.lru_cache(maxsize=1)
def may_commit(source: bytes | None) -> bool:
    """Whether a revision may end its transaction before its end: it says so, or reads its SQL from a file."""
    texts = ((source or b""), *(text for _, text in helpers(source)))
    return source is None or any(_MAY_COMMIT.search(text) for text in texts)


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


def shown(statement: str) -> str:
    """Return a statement as a message has it: in one line that ends with a full stop."""
    line = " ".join(statement.split()).rstrip(".;")
    return f"{line[:120]} …." if len(line) > 120 else f"{line}."


def driver_session(connection: Connection) -> "psycopg.Connection[Any]":
    """Return psycopg's own connection of a connection."""
    session: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    return session
