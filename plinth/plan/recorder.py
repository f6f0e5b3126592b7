"""Looks at locks, files and scans before and after each statement of a revision.

What a transaction holds is seen in its own session. In an autocommit block, the statement is tried in a
transaction first, looked at and rolled back: a block of PL/pgSQL without its commits. One that no transaction
can hold is looked at by others.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, LiteralString, NamedTuple, cast

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection, Engine

from plinth.apply.lock import second_session
from plinth.listening import listening
from plinth.plan.bounds import gone_through
from plinth.plan.facts import Revision, Statement, Table, Use, asks, in_words, stronger
from plinth.plan.filling import HERE, clear, fill
from plinth.plan.looking_on import LookingOn
from plinth.plan.triggers import TRIGGERS
from plinth.sql_text import lexed, parts, plain

_ROWS = "select | insert | update | delete | merge | with | do | call | table"

_RELATIONS = """
    select c.oid, n.nspname, c.relname, c.oid::regclass::text, c.relkind
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'm', 'f', 'v') and c.relpersistence <> 't'
      and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'plinth')
    """
_COLUMNS = """
    select attrelid, attnum, attname, attgenerated <> '' from pg_attribute
    where attrelid = any(%s) and attnum > 0 and not attisdropped
    """
_VALUES = """
    select e.oid, n.nspname, t.typname, t.oid::regtype::text, enumlabel
    from pg_enum e join pg_type t on t.oid = enumtypid join pg_namespace n on n.oid = t.typnamespace
    order by 4, enumsortorder
    """
# The planner opens every index of a table: a lock on one is felt by all who use the table.
_INDEXES = "select indexrelid, indrelid from pg_index where indrelid = any(%s)"
_LOCKS = """
    select relation, mode from pg_locks
    where pid = pg_backend_pid() and locktype = 'relation' and granted
      and database = (select oid from pg_database where datname = current_database())
    """
_STORED = """
    select c.oid, c.relfilenode, c.reltablespace, pg_stat_get_xact_numscans(c.oid),
           (select coalesce(sum(pg_stat_get_xact_numscans(indexrelid)), 0)::bigint
            from pg_index where indrelid = c.oid),
           (select coalesce(sum(pg_stat_get_xact_tuples_returned(indexrelid)), 0)::bigint
            from pg_index where indrelid = c.oid),
           pg_stat_get_xact_tuples_inserted(c.oid),
           pg_stat_get_xact_tuples_updated(c.oid) + pg_stat_get_xact_tuples_deleted(c.oid)
    from pg_class c where c.oid = any(%s)
    """
# Without those that a foreign key's check has locked, which a change of other columns doesn't wait for.
_NUMBER = "select count(*) from {0}"
_LOCKED = (
    "select count(*) - (select count(*) from (select from {0} for no key update skip locked) free) from {0}"
)
_ROW_LOCKS = {"ROW SHARE", "ROW EXCLUSIVE"}
_NAME = f"""
    select nspname, relname from pg_class c join pg_namespace n on n.oid = relnamespace
    where c.oid = %s and relkind in ('r', 'p', 'm') and relispopulated and {HERE}
    """  # noqa: S608


@dataclass(frozen=True)
class _Stored:
    file: int
    tablespace: int
    scans: int
    index_scans: int
    index_reads: int  # rows
    inserted: int
    changed: int


@dataclass(frozen=True)
class _Look:
    """What a session holds and has done at one moment."""

    locks: Mapping[int, str]
    stored: Mapping[int, _Stored]
    empty: frozenset[int] = frozenset()  # of those that got another file since the look before
    locked: Mapping[int, int] = field(default_factory=dict)  # rows, as another session finds them


@dataclass(frozen=True)
class _Sent:
    """A statement.

    Args:
        rows: it is about rows, and no DDL.
        times: with how many sets of parameters it is sent.
        is_batch: it commits by itself, or its plan says what it goes through: that all rows which are made up
            would be in one batch says nothing.
    """

    rows: bool
    times: int
    is_batch: bool


@dataclass(frozen=True)
class _Relation:
    oid: int
    schema: str
    name: str
    shown: str
    kind: str


class _Value(NamedTuple):
    schema: str
    type_name: str
    shown: str
    label: str


@dataclass(frozen=True)
class _Names:
    """The names of relations and their columns at one moment."""

    relations: Mapping[int, _Relation]
    columns: Mapping[tuple[int, int], str]
    generated: Collection[tuple[int, int]]
    values: Mapping[int, _Value]  # of enums

    @property
    def tables(self) -> dict[int, _Relation]:
        return {oid: each for oid, each in self.relations.items() if each.kind != "v"}


class Recorder:
    """Records what revisions do, one after the other.

    Args:
        engine: of the scratch database.
        version_table: which no revision touches itself.
        bare: revisions before which empty tables get no row, while they do before all others.
    """

    def __init__(self, engine: Engine, version_table: str, *, bare: Collection[str]) -> None:
        self.revisions: list[Revision] = []
        self.running: str | None = None  # the last one that began
        self.triggers: set[tuple[str, str]] = set()  # that some revision had made before one began
        self._engine = engine
        self._version_table = version_table
        self._bare = bare
        self._made_up: list[int] = []  # tables whose row is ours
        self._stack = ExitStack()
        self._others: tuple[psycopg.Connection[Any], psycopg.Connection[Any]] | None = None
        self._first_names: dict[int, str] | None = None
        self._recording = False
        self._standing: dict[int, Table] = {}
        self._relations: dict[int, _Relation] = {}
        self._indexes: dict[int, int] = {}
        self._statements: list[Statement] = []
        self._transaction: object = None  # in which the statement begins; None outside of any
        self._last_transaction: object = None  # that of the last one that counts
        self._before: _Look | None = None
        self._looking_on: LookingOn | None = None
        self._numbers: dict[int, int] = {}  # of the rows that tables have
        self._gone_through: set[int] | None = None  # what the statement's plan says
        self._commits = False  # the statement does, by itself
        self._looked: _Look | None = None  # at what an autocommit statement did when it was tried

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the engine's statements as long as the block runs."""
        with self._stack:
            try:
                with listening(
                    (self._engine, "before_cursor_execute", self._before_statement),
                    (self._engine, "after_cursor_execute", self._after_statement),
                ):
                    yield
            finally:
                if self._looking_on:
                    self._looking_on.stop()

    @contextmanager
    def recording(self, connection: Connection, revision: str, message: str) -> Iterator[None]:
        """Record a revision as long as the block runs.

        Args:
            connection: the one that it runs on.
            revision: its id.
            message: its file's first line.
        """
        raw = _raw(connection)
        before = self._names(raw)
        if self._first_names is None:
            self._first_names = {oid: each.shown for oid, each in before.tables.items()}
        self.triggers |= {(table, name) for table, name, *_ in raw.execute(TRIGGERS)}
        self._relations = before.tables
        self._standing = {
            oid: Table(oid, each.shown, self._first_names.get(oid)) for oid, each in before.tables.items()
        }
        if revision in self._bare:
            clear(self._sessions(connection)[0], [oid for oid in self._made_up if oid in self._standing])
            self._made_up = []
        else:
            self._made_up += fill(self._sessions(connection)[0], list(self._standing), further=1)
        looker = self._sessions(connection)[1]
        self._numbers = {oid: self._asked(looker, oid, _NUMBER) for oid in self._standing}
        self._indexes = dict(raw.execute(_INDEXES, [list(self._standing)]).fetchall())
        self._statements = []
        self._last_transaction = None
        self.running = revision
        self._recording = True
        try:
            yield
        finally:
            self._recording = False
        after = self._names(_raw(connection))
        said = [each.sql for each in self._statements]
        dropped, renamed = _changed_names(before, after, said)
        gone = _gone(before, after)
        columns = {
            f"{after.relations[oid].shown}.{name}"
            for (oid, _), name in after.columns.items()
            if oid in after.relations
        }
        self.revisions.append(
            Revision(
                revision,
                message,
                tuple(self._statements),
                dropped,
                gone,
                renamed,
                frozenset(columns.intersection(dropped)),
            )
        )

    def _sessions(self, connection: Connection) -> "tuple[psycopg.Connection[Any], psycopg.Connection[Any]]":
        if self._others is None:
            writer = self._stack.enter_context(second_session(connection))
            self._others = writer, self._stack.enter_context(second_session(connection))
        return self._others

    def _names(self, raw: "psycopg.Connection[Any]") -> _Names:
        found = [_Relation(*row) for row in raw.execute(_RELATIONS)]
        relations = {each.oid: each for each in found if each.shown != self._version_table}
        columns = raw.execute(_COLUMNS, [list(relations)]).fetchall()
        return _Names(
            relations,
            {(oid, number): name for oid, number, name, _ in columns},
            {(oid, number) for oid, number, _, is_generated in columns if is_generated},
            {oid: _Value(*row) for oid, *row in raw.execute(_VALUES)},
        )

    def _before_statement(
        self,
        conn: Connection,
        _cursor: object,
        statement: str,
        parameters: Any,  # noqa: ANN401
        _context: object,
        executemany: bool,
    ) -> None:
        if not self._recording:
            return
        raw = _raw(conn)
        if lexed(statement).begins(_ROWS):
            # A table of one page is read from end to end even where its index leads to the row.
            raw.execute("select set_config('enable_seqscan', 'off', false)")
        self._looked = self._transaction = self._gone_through = None
        self._commits = False
        if not raw.autocommit:
            self._transaction = raw.execute("select transaction_timestamp()").fetchone()
            self._gone_through = self._explained(raw, statement, parameters, executemany=executemany)
            self._before = self._look(raw)
        elif not self._try(raw, statement, parameters, executemany=executemany):
            self._before = self._look(raw)
            others = self._sessions(conn)
            self._looking_on = LookingOn(*others, raw.info.backend_pid)
            tables = [each for each in self._relations.values() if each.kind in {"r", "p"}]
            self._looking_on.start(
                [(each.schema, each.name) for each in self._still_there(others[1], tables)]
            )

    def _after_statement(
        self,
        conn: Connection,
        _cursor: object,
        statement: str,
        parameters: Any,  # noqa: ANN401
        _context: object,
        executemany: bool,
    ) -> None:
        if not self._recording or self._before is None:
            return
        raw = _raw(conn)
        seen = "measured"
        if self._looking_on:
            locks = self._looking_on.stop()
            self._looking_on = None
            looked = replace(self._look(raw), locks=self._by_table(locks))
            seen = "sampled"
        else:
            looked = self._looked or self._look(raw, self._before)
        sent = _Sent(
            rows=lexed(statement).begins(_ROWS) is not None,
            times=len(parameters) if executemany else 1,
            is_batch=raw.autocommit and (self._commits or self._gone_through is not None),
        )
        uses = self._uses(self._before, looked, sent)
        if lexed(statement).begins(_ROWS):
            raw.execute("select set_config('enable_seqscan', 'on', false)")
        if uses or not asks(statement):
            shown = _shown(raw, statement, parameters[0] if executemany and parameters else parameters)
            number = self._number_of_transaction()
            self._statements.append(Statement(shown, not raw.autocommit, uses, seen, number))
        self._before = None

    def _number_of_transaction(self) -> int:
        """Return the number of a statement's transaction; outside of any, each statement is one."""
        is_same = self._transaction is not None and self._transaction == self._last_transaction
        self._last_transaction = self._transaction
        last = self._statements[-1].transaction if self._statements else 0
        return last if is_same else last + 1

    def _try(
        self,
        raw: "psycopg.Connection[Any]",
        statement: str,
        parameters: Any,  # noqa: ANN401
        *,
        executemany: bool,
    ) -> bool:
        """Run a statement in a transaction that is rolled back; return whether one can hold it."""
        raw.execute("begin")
        try:
            self._gone_through = self._explained(raw, statement, parameters, executemany=executemany)
            self._before = self._look(raw)
            cursor = raw.cursor()
            if executemany:
                cursor.executemany(statement, parameters)
            else:
                cursor.execute(statement, parameters)
            self._looked = self._look(raw, self._before)
        except (psycopg.errors.ActiveSqlTransaction, psycopg.errors.InvalidTransactionTermination):
            self._commits = True
        except psycopg.Error:
            self._looked = self._before  # it is going to fail again, where the revision sees it
        finally:
            raw.execute("rollback")
        # A backfill in one block commits each batch, which it can't do in a transaction, if it finds rows.
        whole = lexed(statement).with_blocks(lambda each: "NULL" if each.begins("commit") else None)
        self._commits |= whole != statement
        if self._looked:
            return True
        return whole != statement and self._try(raw, whole, parameters, executemany=executemany)

    @staticmethod
    def _explained(
        raw: "psycopg.Connection[Any]",
        statement: str,
        parameters: Any,  # noqa: ANN401
        *,
        executemany: bool,
    ) -> set[int] | None:
        if not lexed(statement).begins(_ROWS):
            return None
        return gone_through(raw, statement, parameters[0] if executemany and parameters else parameters)

    def _look(self, raw: "psycopg.Connection[Any]", before: _Look | None = None) -> _Look:
        stored = {oid: _Stored(*row) for oid, *row in raw.execute(_STORED, [list(self._standing)])}
        locks = self._by_table(raw.execute(_LOCKS))
        moved = {
            oid
            for oid, now in stored.items()
            if before and oid in before.stored and before.stored[oid].file != now.file
        }
        empty = frozenset(oid for oid in moved if not self._asked(raw, oid, _NUMBER))
        looker = self._others[1] if self._others else raw
        locked = {oid: self._asked(looker, oid, _LOCKED) for oid, lock in locks.items() if lock in _ROW_LOCKS}
        return _Look(locks, stored, empty, locked)

    @staticmethod
    def _asked(session: "psycopg.Connection[Any]", oid: int, question: LiteralString) -> int:
        """Return the number of a table's rows that a question is about; 0 where there is no such table."""
        row = session.execute(_NAME, [oid]).fetchone()
        if row is None:
            return 0
        found = session.execute(SQL(question).format(Identifier(*row))).fetchone()
        return int(found[0]) if found else 0

    def _by_table(self, locks: Any) -> dict[int, str]:  # noqa: ANN401
        """Return the strongest lock on each standing table."""
        found: dict[int, str] = {}
        for relation, mode in locks:
            table = self._indexes.get(relation, relation)
            if table in self._standing:
                found[table] = stronger(found.get(table), in_words(mode)) or ""
        return found

    def _uses(self, before: _Look, after: _Look, sent: _Sent) -> tuple[Use, ...]:
        uses = (self._use(table, before, after, sent) for table in self._standing.values())
        return tuple(
            use for use in uses if use.lock or use.scans or use.rewrites or use.empties or use.locks_rows
        )

    def _use(self, table: Table, before: _Look, after: _Look, sent: _Sent) -> Use:
        held, holds = before.locks.get(table.oid), after.locks.get(table.oid)
        lock = holds if holds != held else None
        was, now = before.stored.get(table.oid), after.stored.get(table.oid)
        if was is None or now is None:
            return Use(table, lock)
        several = max(self._numbers.get(table.oid, 0), 2) * sent.times  # of one row, all aren't told from one
        scans = now.scans > was.scans
        # What DDL reads by an index, it reads from end to end: a foreign key's check may merge two of them.
        by_index = now.index_scans > was.index_scans
        if sent.rows:
            by_index = not sent.is_batch and now.index_reads - was.index_reads >= several
        reads = scans or by_index
        other_file = now.file != was.file
        copied = reads or now.tablespace != was.tablespace or self._relations[table.oid].kind == "m"
        if other_file and ((self._numbers.get(table.oid) and table.oid in after.empty) or not copied):
            return Use(table, lock, empties=True)
        newly = after.locked.get(table.oid, 0) - before.locked.get(table.oid, 0)
        changed = now.changed - was.changed
        locks_rows = table.oid in (self._gone_through or ())
        if not sent.is_batch:
            locks_rows |= max(newly, changed) >= several
            if self._gone_through is None:  # a function, a block, several statements
                is_looked_for = lock == "ROW EXCLUSIVE" and now.inserted == was.inserted
                locks_rows |= reads and (changed > 0 or is_looked_for)
        return Use(table, lock, reads, rewrites=other_file, locks_rows=locks_rows)

    @staticmethod
    def _still_there(session: "psycopg.Connection[Any]", tables: Sequence[_Relation]) -> list[_Relation]:
        found = {oid: (schema, name) for oid, schema, name, *_ in session.execute(_RELATIONS)}
        return [each for each in tables if found.get(each.oid) == (each.schema, each.name)]


def _are_copied(table: _Relation, said: Collection[str]) -> bool:
    """Whether a statement has put a table's rows into another one."""
    copies = (each for sql in said for each in lexed(sql).executed if each.has("insert into ... select"))
    read = (parts(found["table"]) for each in copies for found in each.find("from [only] <table>"))
    return parts(table.shown) in read


def _later_name(column: str, said: Collection[str]) -> str | None:
    """Return the name that statements give a column of a table, if they do."""
    executed = (each for sql in said for each in lexed(sql).executed)
    renames = (found for each in executed for found in each.find("rename [column] <old> to <new>"))
    names = [plain(each["new"]) for each in renames if plain(each["old"]) == column]
    return names[-1] if names else None


def _changed_names(
    before: _Names, after: _Names, said: Collection[str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the tables and columns that are gone, and those with another name, values of enums included.

    Where one that stood before has taken over another's name, neither is: they were swapped. Nor is a
    generated column that was made anew, or a materialized view, be it as a view, or a table whose rows are in
    the one that has its name.
    """
    tables_before = {each.shown for each in before.relations.values()}
    columns_before = {(oid, name) for (oid, _), name in before.columns.items()}
    now = {(each.schema, each.name): oid for oid, each in after.relations.items()}
    columns = {(oid, name): number for (oid, number), name in after.columns.items()}
    views = after.relations.keys() - after.tables.keys()
    dropped: dict[str, None] = {}
    renamed: dict[str, str] = {}
    anew: dict[int, int] = {}  # materialized views and tables, by their old oids
    for oid, table in before.tables.items():
        successor = now.get((table.schema, table.name))
        if oid not in after.relations:
            kind = after.relations[successor].kind if successor is not None else None
            is_anew = (
                kind in {"m", "v"} if table.kind == "m" else kind == table.kind and _are_copied(table, said)
            )
            if successor is not None and is_anew:
                anew[oid] = successor
            elif successor not in before.relations:
                dropped[table.shown] = None
            continue
        if successor is None and after.relations[oid].shown not in tables_before:
            renamed[table.shown] = after.relations[oid].shown
    for (oid, number), name in before.columns.items():
        if oid in anew and (anew[oid], name) not in columns:
            shown, later = f"{before.relations[oid].shown}.{name}", _later_name(name, said)
            renamed |= {shown: later} if later and (anew[oid], later) in columns else {}
            dropped |= {} if shown in renamed else {shown: None}
        if oid not in before.tables or oid not in after.relations:
            continue
        shown = f"{before.relations[oid].shown}.{name}"
        heir = columns.get((oid, name))
        table = before.tables[oid]
        successor = now.get((table.schema, table.name))
        if successor in views and (successor, name) in columns:  # code finds it by the old names
            continue
        if (oid, number) not in after.columns:
            is_lost = (oid, heir) not in before.columns and (oid, number) not in before.generated
            if heir is None or is_lost:
                dropped[shown] = None
        elif heir is None and (oid, after.columns[oid, number]) not in columns_before:
            renamed[shown] = after.columns[oid, number]
    labels = {*after.values.values()}
    renamed |= {
        f"value {each.label} of {each.shown}": new.label
        for oid, each in before.values.items()
        if (new := after.values.get(oid)) and new.label != each.label and each not in labels
    }
    return tuple(dropped), renamed


def _gone(before: _Names, after: _Names) -> tuple[str, ...]:
    """Return the views that are gone, and the values that enums have lost which are there still."""
    there = {(each.schema, each.name) for each in after.relations.values()}
    views = [
        each for oid, each in before.relations.items() if each.kind == "v" and oid not in after.relations
    ]
    enums, there_still = {each[:3] for each in after.values.values()}, {*after.values.values()}
    lost = [
        f"value {each.label} of {each.shown}"
        for oid, each in before.values.items()
        if each[:3] in enums and each not in there_still and oid not in after.values
    ]
    return (*(each.shown for each in views if (each.schema, each.name) not in there), *lost)


def _raw(connection: Connection) -> "psycopg.Connection[Any]":
    """Return the driver's connection: what is asked there is not watched."""
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)


def _shown(raw: "psycopg.Connection[Any]", statement: str, parameters: Any) -> str:  # noqa: ANN401
    """Return a statement with its parameters in their places."""
    try:
        return psycopg.ClientCursor(raw).mogrify(statement, parameters).strip()
    except psycopg.Error:
        return statement.strip()
