"""The ledger: who applied which revision, when, how long it took, and what the file said.

A row is written in the transaction that changes the version table, so that the two can't differ. Rows are
only added. A revision's newest row says whether it is applied:

- `up` and `down`: it ran.
- `stamp` and `unstamp`: it was marked as applied, or as not applied, and nothing ran. Without a time, the
  ledger noticed it later: the database had been migrated before it had a ledger, or by other means.
"""

import getpass
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from alembic.runtime.migration import MigrationContext, MigrationInfo, RevisionStep
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError, to_tuple
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    Executable,
    Identity,
    Integer,
    Interval,
    MetaData,
    Table,
    Text,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.schema import CreateSchema, CreateTable

from plinth import checksum, own_schema
from plinth.advisory import PARTS
from plinth.alembic_command import of_options
from plinth.apply.points import HALF_DONE, driver_session
from plinth.apply.session import codec
from plinth.own_schema import SCHEMA
from plinth.revision_text import change_in

APPLIED = ("up", "stamp")
HISTORY = "plinth_history"  # in the options of a context: the name of the ledger's history

ledger = Table(
    "ledger",
    MetaData(),
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("version_table", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("batch", Integer, nullable=False),
    Column("applied_at", DateTime(timezone=True)),
    Column("duration", Interval),
    Column("database_user", Text),
    Column("application", Text),
    Column("checksum", Text),
    Column("change", Text),
    CheckConstraint("direction in ('up', 'down', 'stamp', 'unstamp')", name="ledger_direction_check"),
    schema=SCHEMA,
)
# What an online step has begun and not yet finished: see plinth.apply.online.
unfinished = Table(
    "unfinished",
    ledger.metadata,
    Column("version_table", Text, primary_key=True),
    Column("revision", Text, primary_key=True),
    Column("object", Text, primary_key=True),
    Column("statement", Text, nullable=False),
    schema=SCHEMA,
)
# How far a revision of several transactions came: see plinth.apply.points.
points = Table(
    "points",
    ledger.metadata,
    Column("version_table", Text, primary_key=True),
    Column("revision", Text, primary_key=True),
    Column("direction", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("statement", Text, nullable=False),
    Column("result", JSONB, nullable=False),
    Column("checksum", Text),
    Column("done_at", DateTime(timezone=True), server_default=func.clock_timestamp(), nullable=False),
    schema=SCHEMA,
)
# What an upgrade saw when nothing was pending any more: see plinth.up_to_date.
up_to_date = Table(
    "up_to_date",
    ledger.metadata,
    Column("version_table", Text, primary_key=True),
    Column("files", Text, nullable=False),
    Column("heads", ARRAY(Text), nullable=False),
    Column("ledger", BigInteger),
    schema=SCHEMA,
)
OWN_TABLES = (
    own_schema.OwnTable("ledger", ("SELECT", "INSERT"), CreateTable(ledger, if_not_exists=True)),
    own_schema.OwnTable(
        "unfinished", ("SELECT", "INSERT", "UPDATE", "DELETE"), CreateTable(unfinished, if_not_exists=True)
    ),
    own_schema.OwnTable(
        "points", ("SELECT", "INSERT", "UPDATE", "DELETE"), CreateTable(points, if_not_exists=True)
    ),
)

# Where the version table is seen, or would be made.
_SCHEMA = """
    select coalesce(
        (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relname = :name and c.relkind in ('r', 'p') and pg_table_is_visible(c.oid)),
        current_schema())
    """
_MAY_NOTE = text(
    """
    select coalesce(
        has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert')
            and has_table_privilege(c.oid, 'update'),
        has_schema_privilege(n.oid, 'create')), c.oid is not null
    from pg_namespace n left join pg_class c on relname = 'up_to_date' and relnamespace = n.oid
    where nspname = 'plinth'
    """
)
_NOTE = text(
    """
    insert into plinth.up_to_date (version_table, files, heads, ledger)
    values (:table, :files, :heads, (select max(id) from plinth.ledger where version_table = :table))
    on conflict (version_table) do update
    set files = excluded.files, heads = excluded.heads, ledger = excluded.ledger
    """
)
# The same text for all revisions, which is compiled once.
_INSERT = """
    insert into plinth.ledger (version_table, revision, direction, batch, applied_at, duration, database_user,
        application, checksum, change)
    """
_ROW = text(
    f"""{_INSERT}
    values (:version_table, :revision, :direction, :batch, clock_timestamp(), :duration, session_user,
        :application, :checksum, :change)
    """
)
# Also the version table's row. What is in a SELECT has no type by itself.
_MOVED = f"""
    with moved as (update {{}} set version_num = %(new)s where version_num = %(old)s returning 1) {_INSERT}
    select %(version_table)s::text, %(revision)s::text, %(direction)s::text, %(batch)s::integer,
        clock_timestamp(), %(duration)s::interval, session_user, %(application)s::text, %(checksum)s::text,
        %(change)s::text
    from moved returning {{}}
    """  # noqa: S608 - a constant
# The last batch, and the revisions of which something is noted.
_BEGUN = text(
    """
    select (select coalesce(max(batch), 0) from plinth.ledger where version_table = :table),
           array(select revision from plinth.unfinished where version_table = :table
                 union select revision from plinth.points where version_table = :table)
    """
)
_OFFLINE_HISTORY = "current_setting('plinth.history')"
# The locks of `plinth.advisory`, until the session ends; one that has just ended gets a moment for it.
_ONE_APPLIER = """
DO $$
BEGIN
    FOR attempt IN 1..30 LOOP
        EXIT WHEN (
            SELECT bool_and(pg_try_advisory_lock(CAST(CAST('x' || left(encode(sha256(convert_to(
                concat('plinth ', part, ' ', current_setting('plinth.history')), 'UTF8')), 'hex'), 16)
                AS bit(64)) AS bigint)))
            FROM unnest(ARRAY[{parts}]) AS part);
        IF attempt = 30 THEN
            RAISE 'Another session migrates this database. Nothing has been changed: run this again when it '
                'has ended, if there is something left to do then.';
        END IF;
        PERFORM pg_sleep(0.1);
    END LOOP;
END $$""".format(parts=", ".join(f"'{each}'" for each in PARTS)).strip()  # noqa: S608 - constants
# What is printed begins each revision at its start.
_REFUSED_OFFLINE = """
DO $$
DECLARE half_way text := (
    SELECT min(revision) FROM plinth.points WHERE version_table = current_setting('plinth.history'));
BEGIN
    IF half_way IS NOT NULL THEN
        RAISE 'Revision % stands half-way. Without --sql, go on, or take back what is done: alembic upgrade '
            '%, or alembic downgrade %@-1', half_way, half_way, half_way;
    END IF;
    half_way := (
        SELECT min(revision) FROM plinth.unfinished WHERE version_table = current_setting('plinth.history')
        AND right(object, {length}) = '{half_done}');
    IF half_way IS NOT NULL THEN
        RAISE 'Revision % was left half done. Finish by hand what is left of it, or undo what is done, and '
            'say where the database stands then: alembic stamp %, or the one below it. Or, if all of it may '
            'be done twice: DELETE FROM plinth.unfinished WHERE revision = %',
            half_way, half_way, quote_literal(half_way);
    END IF;
END $$""".strip().format(length=len(HALF_DONE), half_done=HALF_DONE)
# Else a file that is run twice, or by the wrong database, changes rows twice, and says nothing.
_BEGINS_ELSEWHERE = """
DO $$
DECLARE stands text[] := ARRAY(SELECT version_num::text FROM {table} ORDER BY 1);
BEGIN
    IF NOT stands @> ARRAY[{heads}] THEN
        RAISE 'This begins at {begins}, and the database stands at %. Nothing has been changed. '
            'Print what is left to do, FROM there TO where it should stand: alembic upgrade FROM:TO --sql',
            coalesce(nullif(array_to_string(stands, ', '), ''), 'base');
    END IF;
END $$""".strip()


@dataclass(frozen=True)
class Entry:
    """A row of the ledger."""

    id: int
    revision: str
    direction: str
    batch: int
    applied_at: datetime | None
    duration: timedelta | None
    database_user: str | None
    application: str | None
    checksum: str | None
    change: str | None


def version_table(options: dict[str, Any]) -> str:
    """Return the name of the version table that a context's options ask for."""
    schema, table = options.get("version_table_schema"), options.get("version_table") or "alembic_version"
    return f"{schema}.{table}" if schema else str(table)


def history_name(connection: Connection, options: dict[str, Any]) -> str:
    """Return the name under which the ledger has a history: the version table's, with its schema if need be.

    Tenants may have a version table each, by their search_path: its schema stands before the name, unless it
    is `public`. A command that has asked once says so in its options (HISTORY).

    Args:
        connection: the database's.
        options: of `context.configure()`.
    """
    known: str | None = options.get(HISTORY)
    if known is not None:
        return known
    schema = connection.scalar(text(_SCHEMA), {"name": version_table(options)})
    return history_in(schema, options)


def history_in(schema: str | None, options: dict[str, Any]) -> str:
    """Return that name for a version table in a schema: the search_path's, where the options say none."""
    schema = options.get("version_table_schema") or schema
    table = options.get("version_table") or "alembic_version"
    return str(table) if schema in {None, "public"} else f"{schema}.{table}"


def change_of(revision: Script) -> str | None:
    """Return the id of the change that a revision is a step of.

    It stands in the file's docstring, on a line of its own: `Change: <id>, step 2 of 3`. All revisions that
    one autogenerate wrote have the same; `redo` takes them together.
    """
    return change_in(revision.longdoc or "")


def ancestors(script: ScriptDirectory, heads: Iterable[str]) -> set[str]:
    """Return what is applied when `heads` are, dependencies included; unknown heads are skipped."""
    known = {revision.revision: revision for revision in script.walk_revisions()}
    found: set[str] = set()
    rest = [head for head in heads if head in known]
    while rest:
        name = rest.pop()
        if name not in found:
            found.add(name)
            rest += parents(script, known[name])
    return found


def parents(script: ScriptDirectory, revision: Script) -> list[str]:
    """Return the revisions that must be applied before `revision`."""
    dependencies = [script.get_revision(name) for name in to_tuple(revision.dependencies, default=())]
    return [
        *to_tuple(revision.down_revision, default=()),
        *(each.revision for each in dependencies if each is not None),
    ]


def exists(connection: Connection) -> bool:
    """Whether the database has a ledger."""
    return own_schema.exists(connection, ledger.name)


def read(connection: Connection, version_table: str) -> list[Entry]:
    """Return the ledger of one version table, oldest row first; empty when there is none."""
    if not exists(connection):
        return []
    columns = [column for column in ledger.c if column.name != "version_table"]
    rows = connection.execute(
        select(*columns).where(ledger.c.version_table == version_table).order_by(ledger.c.id)
    )
    return [Entry(*row) for row in rows]


def newest(entries: Sequence[Entry]) -> dict[str, Entry]:
    """Return the newest row of each revision, in the order in which they were written."""
    found: dict[str, Entry] = {}
    for entry in entries:
        found.pop(entry.revision, None)
        found[entry.revision] = entry
    return found


def who() -> str:
    """Return user@host of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def creation() -> Iterator[Executable]:
    """Yield the statements that make the ledger where there is none, for `--sql`."""
    yield CreateSchema(SCHEMA, if_not_exists=True)
    for table in OWN_TABLES:
        yield table.creation


class Writer:
    """Writes the ledger rows of one command.

    Args:
        context: Alembic's, online or offline.
        heads: what was applied before the command.
    """

    def __init__(self, context: MigrationContext, heads: Sequence[str]) -> None:
        script = context.script
        if script is None:
            raise TypeError("a context without a script directory has no revisions")
        self.script: ScriptDirectory = script
        self.version_table = (
            history_in(None, context.opts)
            if context.connection is None or context.as_sql
            else history_name(context.connection, context.opts)
        )
        table = Table(
            context.opts.get("version_table") or "alembic_version",
            MetaData(),
            schema=context.opts.get("version_table_schema"),
        )
        self._quoted_version_table = context.dialect.identifier_preparer.format_table(table)
        self.has_schema = bool(context.opts.get("version_table_schema"))
        self.offline = context.as_sql
        self.purge = bool(context.opts.get("purge"))
        self.is_stamp = of_options(context.opts).name == "stamp"
        self.heads: Sequence[str] = tuple(heads)
        self.half_way: set[str] = set()  # revisions of which something is noted
        self._moved: str | None = None  # the revision whose row is written
        self.batches: dict[str, int] = {}
        self.batch = 0
        self.who = who()

    def prepare(self, connection: Connection, entries: Mapping[str, Entry] | None = None) -> None:
        """Make the ledger, and make it agree with the version table; the caller commits.

        Args:
            connection: the database's.
            entries: the newest row of each revision in the ledger, where it was read just before.
        """
        if entries is None:
            entries = newest(read(connection, self.version_table))
        own_schema.make(connection, OWN_TABLES)
        last, half_way = connection.execute(_BEGUN, {"table": self.version_table}).one()
        self.batch = 1 + last
        self.half_way.update(half_way)
        self.batches = {name: entry.batch for name, entry in entries.items() if entry.direction == "up"}
        applied = ancestors(self.script, self.heads)
        recorded = {name for name, entry in entries.items() if entry.direction in APPLIED}
        gone = recorded - applied
        if not self.purge:
            # What the code doesn't know can't be placed before or after the heads: its row stays as it is.
            gone &= {revision.revision for revision in self.script.walk_revisions()}
        # What stands below an applied revision and was skipped is not applied: see plinth.apply.standing.
        below = ancestors(self.script, recorded & applied)
        rows = [("stamp", name) for name in sorted(applied - recorded - below)]
        rows += [("unstamp", name) for name in sorted(gone)]
        if self.is_stamp:
            for name in sorted(below - recorded):
                connection.execute(_ROW, self._row("stamp", name, None))
        for direction, name in rows:
            noticed = self._of_file(name) | {"revision": name, "direction": direction, "batch": 0}
            connection.execute(ledger.insert().inline().values(version_table=self.version_table, **noticed))

    def offline_preparation(self) -> Iterator[Executable]:
        """Yield the statements that `prepare` would run, for a database that can't be read now."""
        yield text("SET client_encoding = 'UTF8'")
        if self.has_schema:
            history = "SELECT set_config('plinth.history', :name, false) AS history"
        else:  # as history_name has it, in a schema that only the server knows
            history = (
                "SELECT set_config('plinth.history', CASE schema WHEN 'public' THEN :name "  # noqa: S608
                f"ELSE concat(schema, '.', :name) END, false) AS history FROM ({_SCHEMA}) seen (schema)"
            )
        yield text(history).bindparams(name=self.version_table)
        yield text(_ONE_APPLIER)
        yield from creation()
        yield text(_REFUSED_OFFLINE)
        if self.heads:  # from base, the version table itself is made
            yield text(self._begins_elsewhere().replace(":", r"\:"))
        yield text(
            "SELECT set_config('plinth.batch', CAST(coalesce(max(batch), 0) + 1 AS text), false) AS batch "  # noqa: S608
            f"FROM plinth.ledger WHERE version_table = {_OFFLINE_HISTORY}"
        )

    def offline_half_done(self, name: str, *, is_upgrade: bool) -> Executable:
        """Return what notes that a part of a revision is committed, for a file that stops behind it.

        Args:
            name: the revision's.
            is_upgrade: which way it goes.
        """
        return unfinished.insert().values(
            version_table=literal_column(_OFFLINE_HISTORY),
            revision=name,
            object=f"{'up' if is_upgrade else 'down'} {HALF_DONE}",
            statement=self._of_file(name)["checksum"] or "",
        )

    def offline_whole(self, name: str) -> Executable:
        """Return what takes that note back."""
        return unfinished.delete().where(
            unfinished.c.version_table == literal_column(_OFFLINE_HISTORY), unfinished.c.revision == name
        )

    def _begins_elsewhere(self) -> str:
        """Return what stops where a revision isn't applied at which the statements begin."""
        heads = sorted(each.replace("'", "''") for each in self.heads)
        return _BEGINS_ELSEWHERE.format(
            table=self._quoted_version_table,
            heads=", ".join(f"'{each}'" for each in heads),
            begins=", ".join(heads).replace("%", "%%"),
        )

    def move(
        self,
        connection: Connection,
        ids: dict[str, str],
        row: dict[str, Any],
        picture: str,
        *,
        prepare: bool,
    ) -> tuple[str | None] | None:
        """Change the version table's row, and write the ledger's, in one statement.

        Args:
            connection: the migrations', on psycopg, in a transaction.
            ids: the "old" one, which stands there, and the "new" one, which shall.
            row: the ledger's (`row`).
            picture: SQL for what to return.
            prepare: whether the server plans it once.

        Returns:
            The picture, if there was one such row; else nothing may stay.
        """
        given, statement = row | ids, _MOVED.format(self._quoted_version_table, picture)
        session = driver_session(connection)
        threshold, session.prepare_threshold = session.prepare_threshold, 0
        try:
            found = session.execute(statement.encode(codec(session)), given, prepare=prepare).fetchall()
        except psycopg.Error as error:
            connection._handle_dbapi_exception(error, statement, given, None, None)  # as in SQLAlchemy's own
        finally:
            session.prepare_threshold = threshold
        self._moved = row["revision"] if len(found) == 1 else None
        return found[0] if len(found) == 1 else None

    def row(self, step: RevisionStep, source: bytes | None, took: float) -> dict[str, Any]:
        """Return the ledger's row of a step that has run.

        Args:
            step: what has run.
            source: what its file said.
            took: how long, in seconds.
        """
        of_file = {"checksum": checksum.of(source), "change": change_of(step.revision)}
        return of_file | self._of_run("up" if step.is_upgrade else "down", step.revision.revision, took)

    def write(
        self, context: MigrationContext, step: MigrationInfo, heads: set[str], took: float | None
    ) -> None:
        """Write the rows of one step, in its transaction.

        Args:
            context: Alembic's.
            step: what Alembic says of it.
            heads: what is applied after it.
            took: how long, in seconds; None when it isn't known.
        """
        if step.is_stamp:
            before, after = ancestors(self.script, self.heads), ancestors(self.script, heads)
            rows = [("stamp", name) for name in sorted(after - before)]
            rows += [("unstamp", name) for name in sorted(before - after)]
        else:
            rows = [("up" if step.is_upgrade else "down", name) for name in step.up_revision_ids]
        self.heads = tuple(heads)
        moved, self._moved = self._moved, None
        for direction, name in rows:
            if self.offline or context.connection is None:
                context.execute(ledger.insert().inline().values(**self._offline(direction, name)))
                continue
            if name != moved:
                context.connection.execute(_ROW, self._row(direction, name, took))
            if name in self.half_way:
                for table in (unfinished, points):
                    where = (table.c.version_table == self.version_table, table.c.revision == name)
                    context.execute(table.delete().where(*where))

    def note_up_to_date(self, connection: Connection, files: str) -> None:
        """Note that nothing is pending, where this role may; the caller commits.

        Args:
            connection: the database's.
            files: a fingerprint of those that are applied.
        """
        may, is_there = connection.execute(_MAY_NOTE).one()
        if not may:
            return  # the next program takes the long way, too
        if not is_there:
            connection.execute(CreateTable(up_to_date, if_not_exists=True))
        seen = {"table": self.version_table, "files": files, "heads": sorted(self.heads)}
        connection.execute(_NOTE, seen)

    def _row(self, direction: str, name: str, took: float | None) -> dict[str, Any]:
        return self._of_file(name) | self._of_run(direction, name, took)

    def _of_run(self, direction: str, name: str, took: float | None) -> dict[str, Any]:
        return {
            "version_table": self.version_table,
            "revision": name,
            "direction": direction,
            # redo leaves a revision in the batch that it was in
            "batch": self.batches.get(name, self.batch),
            "duration": None if took is None else timedelta(seconds=took),
            "application": self.who,
        }

    def _offline(self, direction: str, name: str) -> dict[str, Any]:
        return self._of_file(name) | {
            "version_table": literal_column(_OFFLINE_HISTORY),
            "revision": name,
            "direction": direction,
            "batch": literal_column("current_setting('plinth.batch')::integer"),
            "applied_at": literal_column("clock_timestamp()"),
            "duration": literal_column("clock_timestamp() - transaction_timestamp()"),
            "database_user": literal_column("session_user"),
            "application": literal_column("current_setting('application_name')"),
        }

    def _of_file(self, name: str) -> dict[str, Any]:
        try:
            revision = self.script.get_revision(name)
        except CommandError:  # its file is gone
            return {"checksum": None, "change": None}
        return {"checksum": checksum.of_file(revision.path), "change": change_of(revision)}
