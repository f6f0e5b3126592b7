"""What a downgrade would lose: found by running it in a transaction that can't be committed.

The revisions' text says little about it: a hand-written one drops what it likes, and CASCADE more. So the
catalog is compared before and after, PostgreSQL's own counters tell which tables lost or changed rows, and
what is gone is counted once it is back.
"""

import ast
import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from psycopg.sql import Identifier
from sqlalchemy import Connection, CursorResult, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.pool import Pool

from plinth import safety
from plinth.apply import sequences, session
from plinth.apply.points import rolls_back
from plinth.apply.retry import QUERY_CANCELED
from plinth.apply.sources import unseen
from plinth.listening import listening
from plinth.server_errors import ACTIVE_SQL_TRANSACTION, sqlstate

LOOK = 0.25  # seconds for a look at a table that is locked
COUNTED = 1_000_000  # rows; of larger tables PostgreSQL's own estimate is shown

_TABLES = """
    select c.oid, coalesce(nullif(pg_partition_root(c.oid)::oid, 0), c.oid), n.nspname, c.relname,
           cast(c.relkind as text), c.relispopulated,
           -- as the planner does it: so many on each page, and so many pages by now
           case when c.relpages > 0 then c.reltuples / c.relpages * ceil(pg_relation_size(c.oid)
               / current_setting('block_size')::int) else greatest(c.reltuples, 0) end,
           pg_relation_filenode(c.oid),
           pg_stat_get_xact_tuples_deleted(c.oid), pg_stat_get_xact_tuples_updated(c.oid),
           row_security_active(c.oid) and pg_relation_size(c.oid) > 0
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'f', 'm') and c.relpersistence <> 't'
      and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'plinth')
    """
_COLUMNS = """
    select attrelid, attnum, attname from pg_attribute
    where attrelid = any(cast(:tables as oid[])) and attnum > 0 and not attisdropped order by attrelid, attnum
    """
_DEFERRABLE = """
    select distinct quote_ident(n.nspname) || '.' || quote_ident(c.conname) as name, c.condeferred
    from pg_constraint c join pg_namespace n on n.oid = c.connamespace
    where c.condeferrable and n.oid <> pg_my_temp_schema()
    """
_LARGE_OBJECTS = """
    select pg_stat_get_xact_tuples_deleted('pg_catalog.pg_largeobject_metadata'::regclass),
           pg_stat_get_xact_tuples_updated('pg_catalog.pg_largeobject'::regclass)
             + pg_stat_get_xact_tuples_deleted('pg_catalog.pg_largeobject'::regclass)
    """

# Two equal values, which PostgreSQL refuses when it is to commit: whoever asks for it, and however.
_BAR = "plinth_only_a_trial"
_BARRED = (
    f"create temporary table {_BAR} (id int unique deferrable initially deferred) on commit drop",
    f"insert into {_BAR} values (1), (1)",  # noqa: S608 - a constant
)
_MISSING = """
    select format('GRANT TEMPORARY ON DATABASE %%I TO %%I', current_database(), current_user)
    where not has_database_privilege(current_database(), 'TEMPORARY')
    """
# ALTER DOMAIN … DROP CONSTRAINT leaves news of it for the session's next statement that writes. Behind a
# savepoint that comes before that one, PostgreSQL refuses to change anything.
_WRITTEN = f"insert into {_BAR} values (null)"  # noqa: S608 - a constant

# Whatever else a revision imports may reach the database by a way of its own.
_WAYS_OUT = {
    *("asyncio", "ctypes", "importlib", "multiprocessing", "os", "pty", "runpy", "socket", "subprocess")
}
_HARMLESS = {"alembic", "sqlalchemy", *sys.stdlib_module_names} - _WAYS_OUT
# What these do in a trial can't be undone, and would be done twice; a project's own types are only imported.
_ACTS = {"asyncpg", "pg8000", "psycopg", "psycopg2", *_WAYS_OUT}


@dataclass(frozen=True)
class Table:
    """A table, or materialized view, as it stands in the catalog, and what the transaction did to it."""

    oid: int
    root: int
    schema: str
    name: str
    kind: str
    is_populated: bool
    estimate: float
    file: int | None
    deleted: int
    updated: int
    hides_rows: bool

    @property
    def full_name(self) -> str:
        """Its name with its schema, as a message has it."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Column:
    """A column as it stands in the catalog."""

    table: Table
    number: int
    name: str

    @property
    def key(self) -> tuple[int, int]:
        """What it keeps under any name."""
        return self.table.oid, self.number

    @property
    def names(self) -> tuple[str, str, str]:
        """The names that lead to it."""
        return self.table.schema, self.table.name, self.name


@dataclass
class Losses:
    """What a run of downgrades would lose.

    Args:
        found: each as a message has it, with the number of rows.
        measured: how many of the steps are known: all, or those before the one that can't be.
        blind: why the next one can't be, to follow the revision's name; None when all are known.
        empty: what goes and had no rows, or values.
    """

    found: list[str] = field(default_factory=list)
    measured: int = 0
    blind: str | None = None
    empty: list["Empty"] = field(default_factory=list)


@dataclass(frozen=True)
class Empty:
    """A table without rows, or a column without values, that goes.

    Args:
        table: as a message has it.
        sql: its name in SQL.
        column: its name; None of the whole table.
    """

    table: str
    sql: str
    column: str | None = None

    @property
    def shown(self) -> str:
        """What it is, as a message has it."""
        return f"table {self.table}" if self.column is None else f"column {self.table}.{self.column}"


def hold(connection: Connection, empty: Sequence[Empty]) -> None:
    """Keep what was empty when it was measured from getting rows, until the transaction ends.

    Args:
        connection: in the transaction in which it goes.
        empty: what goes; of nothing else is the lock a strong one.

    Raises:
        SafetyError: rows have come since.
    """
    for sql in dict.fromkeys(each.sql for each in empty):
        connection.exec_driver_sql(f"lock table {sql} in access exclusive mode".replace("%", "%%"))
    for each in empty:
        having = "" if each.column is None else f" where {Identifier(each.column).as_string()} is not null"
        some = f"select exists (select from {each.sql}{having})"  # noqa: S608 - quoted
        if connection.exec_driver_sql(some.replace("%", "%%")).scalar_one():
            raise safety.SafetyError(
                f"This would lose {each.shown}: rows have come while it was measured. "
                "The same command counts them."
            )


class _Unmeasurable(Exception):  # noqa: N818 - it ends the measuring and is no error
    """The revision leaves its transaction."""


def measure(
    context: MigrationContext,
    connection: Connection,
    steps: Sequence[MigrationStep],
    begin: Callable[[MigrationStep], None],
    *,
    strictly: bool,
) -> Losses:
    """Return what a run of downgrades would lose; whatever it does is rolled back.

    Args:
        context: Alembic's.
        connection: its connection, between two transactions, or in a caller's.
        steps: the downgrades, in order.
        begin: is told of each before it runs.
        strictly: not even a revision is tried that may reach the database by another way; else not one that
            imports a driver, or what starts programs.
    """
    losses = Losses()
    standing: list[sequences.Standing] = []
    in_callers = context._in_external_transaction  # which goes on
    if in_callers:
        connection.exec_driver_sql("savepoint plinth_trial")
    try:
        begin(steps[0])
        losses.blind = _bar(connection)
        if losses.blind:
            return losses
        before = _Picture.of(connection)
        standing = sequences.read(connection)
        trial = _Trial(context, connection)
        began = time.monotonic()
        for step in steps:
            begin(step)
            losses.blind = _ways_out(step, strictly=strictly) or trial.run(step)
            if losses.blind:
                break
            losses.measured += 1
        if trial.is_over:
            losses.measured = 0
            return losses
        after = _Picture.of(connection)
        suspects = _by_table([*_replaced(before, after), *_touched(before, after)])
        within = max(LOOK, time.monotonic() - began)  # as long as others wait anyway
        left = [
            _content(connection, table, [each.after.name for each in columns], within)
            for (_, table), columns in suspects
        ]
    finally:
        _undo(connection, in_callers=in_callers)
        if not connection.closed and not connection.invalidated:
            sequences.put_back(connection, standing)
    had = [
        _content(connection, table, [each.before.name for each in columns]) if known else None
        for ((table, _), columns), known in zip(suspects, left, strict=True)
    ]
    losses.found = [
        *_gone(connection, before, after),
        *_lost_values(suspects, had, left),
        *_removed(before, after),
    ]
    valued = {
        each.before.key
        for (_, columns), content in zip(suspects, had, strict=True)
        for each, (values, _) in zip(columns, content.columns if content else (), strict=False)
        if values
    }
    losses.empty = list(dict.fromkeys(_empty(before, after, valued)))
    if not in_callers:
        connection.rollback()
    return losses


def _undo(connection: Connection, *, in_callers: bool) -> None:
    if in_callers and not connection.closed and not connection.invalidated:
        try:
            connection.exec_driver_sql("rollback to savepoint plinth_trial")
        except (DBAPIError, InvalidRequestError):  # the revision has ended it, by a COMMIT that was refused
            session.roll_back(connection)
    else:
        session.roll_back(connection)


def _bar(connection: Connection) -> str | None:
    """Begin a transaction that can't be committed; return why there is none."""
    if connection.scalar(text("select current_setting('track_counts')")) != "on":
        return "can't be measured, as track_counts is off"
    missing = connection.exec_driver_sql(_MISSING).scalar()
    if missing:
        return f"can't be tried, as this role may not make a temporary table ({missing})"
    for statement in _BARRED:
        connection.exec_driver_sql(statement)
    return None


class _Trial:
    """Runs downgrades in the transaction that can't be committed, and notices when they leave it.

    Args:
        context: Alembic's.
        connection: in that transaction.
    """

    LEAVES = "leaves its transaction (autocommit_block, COMMIT, another connection)"

    def __init__(self, context: MigrationContext, connection: Connection) -> None:
        self._context = context
        self._connection = connection
        self._transaction = self._id()
        self._left = False
        self.is_over = False  # the transaction

    def run(self, step: MigrationStep) -> str | None:
        """Run one; return why it can't be tried.

        Raises:
            Exception: the revision's own, with which it would fail outside of a trial, too.
        """
        self._connection.exec_driver_sql(_WRITTEN)
        self._connection.exec_driver_sql("savepoint plinth_step")
        try:
            with self._watched():
                step.migration_fn()
                self._fire_what_is_deferred()
            if not self._left and self._id() == self._transaction:
                return None
        except Exception as error:
            if session.is_lost(self._connection, error) or session.is_interrupted(error):
                raise
            self._go_back()
            if isinstance(error, DBAPIError) and sqlstate(error) == ACTIVE_SQL_TRANSACTION:
                return "has a statement that needs a transaction of its own"
            if not (self._left or self.is_over or _BAR in str(error)):
                raise
        else:
            self._go_back()
        return self.LEAVES

    def _fire_what_is_deferred(self) -> None:
        """Let deferred triggers and constraints do now what they would at the end of the transaction."""
        found = self._connection.exec_driver_sql(_DEFERRABLE).all()
        for mode, names in (
            ("immediate", [each.name for each in found]),
            ("deferred", [each.name for each in found if each.condeferred]),
        ):
            if names:
                self._connection.exec_driver_sql(
                    f"set constraints {', '.join(names)} {mode}".replace("%", "%%")
                )

    def _id(self) -> str | None:
        found: str | None = self._connection.scalar(
            text("select cast(pg_current_xact_id_if_assigned() as text)")
        )
        return found

    def _go_back(self) -> None:
        try:
            self._connection.exec_driver_sql("rollback to savepoint plinth_step")
            self.is_over = self._id() != self._transaction
        except (DBAPIError, InvalidRequestError) as error:  # the server's word, or SQLAlchemy's
            if session.is_lost(self._connection, error):
                raise
            self.is_over = True

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Keep a revision from committing, and from other connections, as long as the block runs."""
        thread = threading.get_ident()

        def refuse(*_: object) -> None:
            if threading.get_ident() == thread:
                self._left = True
                raise _Unmeasurable

        def refuse_without_transaction(_conn: object, _cursor: object, statement: str, *_: object) -> None:
            if self._left or session.is_idle(self._connection) or rolls_back(statement):
                refuse()

        with (
            instead_of_autocommit(self._context, refuse),
            listening(
                (self._connection, "commit", refuse),
                (self._connection, "before_cursor_execute", refuse_without_transaction),
                (Pool, "checkout", refuse),
            ),
        ):
            yield


def _ways_out(step: MigrationStep, *, strictly: bool) -> str | None:
    """Return what to say of a revision that may reach the database by a way that isn't watched."""
    if not isinstance(step, RevisionStep):
        return None
    try:
        tree = ast.parse(Path(step.revision.path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return "has no source that could be read"
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or ".")
    bare = {name: name.partition(".")[0] for name in names}
    foreign = sorted(
        name for name, each in bare.items() if (each not in _HARMLESS if strictly else each in _ACTS)
    )
    if foreign:
        return f"imports {', '.join(foreign)}, which may reach the database by itself"
    by = unseen(tree)
    return f"speaks to the driver itself ({by}), which isn't seen" if by else None


@dataclass(frozen=True)
class _Picture:
    """What there is, and what the transaction has done so far."""

    tables: Mapping[int, Table]
    columns: Mapping[tuple[int, int], Column]
    objects: tuple[int, int]  # large objects that were deleted, and pages of them that changed

    @staticmethod
    def of(connection: Connection) -> "_Picture":
        tables = {row[0]: Table(*row) for row in connection.exec_driver_sql(_TABLES)}
        rows = connection.execute(text(_COLUMNS), {"tables": list(tables)})
        columns = [Column(tables[table], number, name) for table, number, name in rows]
        objects = connection.exec_driver_sql(_LARGE_OBJECTS).one()
        return _Picture(tables, {column.key: column for column in columns}, (objects[0], objects[1]))


@dataclass(frozen=True)
class _Content:
    """What some columns of a table have.

    Args:
        rows: how many there are.
        checksum: of the rows, in no order.
        columns: of each, how many values it has, and their checksum.
    """

    rows: int
    checksum: object
    columns: Sequence[tuple[int, object]]


@dataclass(frozen=True)
class _Suspect:
    """A column whose values may have changed: before, and what now bears its name."""

    before: Column
    after: Column


def _replaced(before: _Picture, after: _Picture) -> Iterator[_Suspect]:
    names = {column.names: column for column in after.columns.values()}
    for key, column in before.columns.items():
        if key not in after.columns and column.names in names:
            yield _Suspect(column, names[column.names])


def _touched(before: _Picture, after: _Picture) -> Iterator[_Suspect]:
    for key, column in before.columns.items():
        now = after.tables.get(column.table.oid)
        if now and key in after.columns and now.kind != "m":
            then = column.table
            if then.file != now.file or then.updated != now.updated:
                yield _Suspect(column, after.columns[key])


def _gone(connection: Connection, before: _Picture, after: _Picture) -> Iterator[str]:
    """Yield the tables and columns that are gone, and nothing has taken their name."""
    names = {column.names for column in after.columns.values()}
    seen: set[int] = set()
    for key, column in before.columns.items():
        if key in after.columns or column.names in names or column.table.oid in seen:
            continue
        if column.table.oid in after.tables:
            yield from _shown(connection, column.table, "column", column.name)
        else:
            seen.add(column.table.oid)
            kind = "materialized view" if column.table.kind == "m" else "table"
            yield from _shown(connection, column.table, kind)


def _empty(before: _Picture, after: _Picture, valued: Set[tuple[int, int]]) -> Iterator[Empty]:
    """Yield what is gone where nothing is lost, but for columns with values that were made anew."""
    names = {column.names for column in after.columns.values()}
    made_anew = {column.table.oid for column in before.columns.values() if column.names in names}
    for key, column in before.columns.items():
        table = column.table
        if key not in after.columns and key not in valued and table.kind in "rp":
            is_whole = table.oid not in after.tables and table.oid not in made_anew
            sql = Identifier(table.schema, table.name).as_string()
            yield Empty(table.full_name, sql, None if is_whole else column.name)


def _shown(connection: Connection, table: Table, kind: str, column: str | None = None) -> Iterator[str]:
    name = table.full_name + (f".{column}" if column else "")
    if table.hides_rows:
        yield f"{kind} {name} (rows that row security hides from this role)"
    elif table.estimate > COUNTED:
        yield f"{kind} {name} (about {round(table.estimate)} rows)"
    elif table.is_populated:
        what = f"count({Identifier(column).as_string()})" if column else "count(*)"
        rows = int(_ask(connection, what, table).scalar_one())
        if rows:
            yield f"{kind} {name} ({_rows(rows)})"


def _by_table(suspects: Iterable[_Suspect]) -> list[tuple[tuple[Table, Table], list[_Suspect]]]:
    """Return the columns by the tables that have them, before and after."""
    found: dict[tuple[int, int], list[_Suspect]] = {}
    for each in suspects:
        found.setdefault((each.before.table.oid, each.after.table.oid), []).append(each)
    return [((of[0].before.table, of[0].after.table), of) for of in found.values()]


def _content(
    connection: Connection, table: Table, columns: Sequence[str], within: float | None = None
) -> _Content | None:
    """Return what columns of a table have; None when that takes too long.

    Args:
        connection: in a transaction.
        table: as it stands now.
        columns: their names.
        within: seconds, while others wait for the table.
    """
    if table.hides_rows or table.estimate > COUNTED or not table.is_populated:
        return None
    names = [Identifier(each).as_string() for each in columns]
    asked = ["count(*)", _checksum(f"row({', '.join(names)})")]
    for name in names:
        asked += [f"count({name})", _checksum(name)]
    if within is None:
        found = list(_ask(connection, ", ".join(asked), table).one())
    else:
        connection.exec_driver_sql("savepoint plinth_look")
        connection.exec_driver_sql(f"set local statement_timeout = {math.ceil(within * 1000)}")
        try:
            found = list(_ask(connection, ", ".join(asked), table).one())
        except DBAPIError as error:
            if sqlstate(error) != QUERY_CANCELED:
                raise
            return None
        finally:
            connection.exec_driver_sql("rollback to savepoint plinth_look")
    return _Content(found[0], found[1], list(zip(found[2::2], found[3::2], strict=True)))


def _checksum(value: str) -> str:
    return f'sum(cast(hashtextextended(cast({value} as text) collate "C", 0) as numeric))'


def _lost_values(
    suspects: Sequence[tuple[tuple[Table, Table], Sequence[_Suspect]]],
    had: Sequence[_Content | None],
    left: Sequence[_Content | None],
) -> Iterator[str]:
    """Yield the columns that have other values than before, and tables where rows have exchanged theirs."""
    for ((table, _), columns), then, now in zip(suspects, had, left, strict=True):
        if then is None or now is None:
            if table.hides_rows:
                yield f"values of table {table.full_name} (rows that row security hides from this role)"
            elif table.is_populated:
                about = f"up to about {round(table.estimate)} rows" if table.estimate else "of many rows"
                yield f"values of table {table.full_name} ({about})"
            continue
        said = list(_other_values(columns, then, now))
        yield from said
        if not said and then.rows == now.rows and then.checksum != now.checksum:
            yield f"values of table {table.full_name} (up to {_rows(then.rows)})"


def _other_values(columns: Sequence[_Suspect], then: _Content, now: _Content) -> Iterator[str]:
    for suspect, had, has in zip(columns, then.columns, now.columns, strict=True):
        name = f"{suspect.before.table.full_name}.{suspect.before.name}"
        if had[0] > has[0]:
            yield f"column {name} ({_rows(had[0] - has[0])})"
        elif had != has:
            yield f"values of column {name} (up to {_rows(had[0])})"


def _rows(number: int) -> str:
    return f"{number} row{'' if number == 1 else 's'}"


def _removed(before: _Picture, after: _Picture) -> Iterator[str]:
    """Yield the tables from which rows were deleted, and large objects."""
    for oid, then in before.tables.items():
        now = after.tables.get(oid)
        rows = now.deleted - then.deleted if now else 0
        if rows > 0:
            yield f"{_rows(rows)} of table {then.full_name}"
    unlinked = after.objects[0] - before.objects[0]
    changed = after.objects[1] - before.objects[1]
    if unlinked > 0 or changed > 0:
        yield f"large objects ({unlinked} of them)" if unlinked > 0 else "parts of large objects"


def _ask(connection: Connection, what: str, table: Table) -> CursorResult[Any]:
    name = Identifier(table.schema, table.name).as_string()
    return connection.exec_driver_sql(f"select {what} from {name}".replace("%", "%%"))  # noqa: S608 - quoted


@contextmanager
def instead_of_autocommit(context: MigrationContext, refuse: Callable[[], None]) -> Iterator[None]:
    """Call `refuse`, which raises, when a revision asks this context to leave its transaction."""

    @contextmanager
    def autocommit_block() -> Iterator[None]:
        refuse()
        yield

    # Alembic has no hook here, and fails on an assertion inside a transaction that isn't its own.
    context.autocommit_block = autocommit_block  # type: ignore[method-assign]
    try:
        yield
    finally:
        del context.autocommit_block
