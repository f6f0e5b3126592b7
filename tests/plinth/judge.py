"""One change of models, tried on a database of its own and judged by pg_dump.

The way of a user: models, revision, upgrade, rows, other models, revision, upgrade, downgrade, upgrade. What
the database then looks like is told by `pg_dump --schema-only`, which shares no code with the catalog reader,
and compared with what a plain `metadata.create_all()` makes elsewhere.
"""

import argparse
import difflib
import logging
import re
import secrets
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from psycopg.sql import SQL, Identifier, Literal
from sqlalchemy import Engine, MetaData, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateSchema

from plinth import safety
from plinth.__main__ import libpq_url
from plinth.advisory import number_of
from plinth.local_server import client_program
from plinth.testing.server import RUN, run_of
from tests.plinth.history import History, empty_history, psql

RAISED = "P0001"  # SQLSTATE of RAISE EXCEPTION: a sentence that somebody wrote


@dataclass(frozen=True)
class Anything:
    """A value that isn't checked."""


ANYTHING = Anything()


@dataclass(frozen=True)
class Check:
    """A query on the rows, run in a transaction that is rolled back.

    Args:
        sql: returns one value; it may insert.
        up: the value after the upgrade.
        down: the value after the downgrade.
    """

    sql: str
    up: object = ANYTHING
    down: object = ANYTHING


@dataclass(frozen=True)
class Outcome:
    """What came of a change.

    Args:
        failed: the step that failed; None when all went well, or when the change was refused.
        detail: a unified diff, or the error.
        refusal: the message with which autogenerate declined to write the change's revision.
        revisions: the text of the files that autogenerate wrote for the change, in order.
    """

    failed: str | None = None
    detail: str = ""
    refusal: str | None = None
    revisions: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every step went well."""
        return self.failed is None and self.refusal is None

    def __str__(self) -> str:
        """Return it as a failed test shows it."""
        if self.refusal is not None:
            return f"refused: {self.refusal}"
        if self.failed is None:
            return "passed"
        return "\n\n".join([f"{self.failed}: {self.detail}", *self.revisions])


class _Failed(Exception):  # noqa: N818 - it ends the trial and is no error
    def __init__(self, step: str, detail: str) -> None:
        super().__init__(f"{step}: {detail}")
        self.step = step
        self.detail = detail


@contextmanager
def empty_place(server: URL, folder: Path) -> Iterator[tuple[History, Engine]]:
    """Yield a history with no revision and an engine on an empty database, which is dropped afterwards.

    Args:
        server: any database of the server.
        folder: not there yet.
    """
    with empty_database(server, f"plinth_test_{secrets.token_hex(8)}") as url:
        engine = create_engine(url, poolclass=NullPool)
        if not safety.is_on_local_server(url):
            with engine.begin() as connection:
                safety.write_marker(connection, "development")
        yield empty_history(folder), engine


@contextmanager
def empty_database(server: URL, name: str) -> Iterator[URL]:
    """Yield the URL of a new database, dropped afterwards; other runs of tests let it be till then."""
    with psql(server.set(database="postgres")) as connection:
        run = run_of(name)
        if run and run != RUN:
            connection.execute("select pg_advisory_lock_shared(%s)", [number_of(run)])
        connection.execute(SQL("create database {} template template0").format(Identifier(name)))
        try:
            yield server.set(database=name)
        finally:
            connection.execute(SQL("drop database {} with (force)").format(Identifier(name)))


def try_change(
    history: History,
    engine: Engine,
    before: MetaData,
    after: MetaData,
    *,
    rows: Sequence[str] = (),
    checks: Sequence[Check] = (),
    x: Sequence[str] = (),
    prepare: Sequence[str] = (),
    handmade: Sequence[str] = (),
    foreign: Sequence[str] = (),
    in_reference: Sequence[str] = (),
    keeps_rows: bool = True,
    schemas_may_stay: bool = False,
    downgrade_may_stop: bool = False,
    begin_with_sql: bool = False,
    written: Callable[[Config, str, set[str]], None] | None = None,
) -> Outcome:
    """Take a database from the models `before` to the models `after`, back, and there again.

    A warning counts as the caller's filters have it: under pytest it is an error.

    Args:
        history: with no revision in it.
        engine: an empty database, on a server where databases may be made.
        before: the models at first.
        after: the models then.
        rows: statements that put rows into the database of `before`.
        checks: queries on the rows.
        x: arguments of `-x` for the change's autogenerate.
        prepare: statements of a hand-written revision that comes first (extensions, functions, schemas).
        handmade: statements of a hand-written revision that follows on `before` (views, triggers).
        foreign: statements that no revision runs: another application's objects.
        in_reference: statements after create_all() of `after`, where that makes something else.
        keeps_rows: columns that keep their name and type must keep their values too.
        schemas_may_stay: a schema that has become empty may stay.
        downgrade_may_stop: the downgrade may end with a sentence, if its revision then has changed nothing.
        written: looks at the change's revisions, given Alembic's configuration, the revision before them, and
            the rules of lint that autogenerate has named when it wrote them.
        begin_with_sql: take `before` from `create_all()`'s own SQL, for a judgement of the change alone.
    """
    trial = _Trial(history, engine, before, after, list(prepare), list(handmade), list(foreign))
    known: set[Path] | None = None
    try:
        trial.begin(with_sql=begin_with_sql)
        known = trial.files()
        trial.execute("rows", rows)
        try:
            trial.write("take the second step", after, x)
        except CommandError as error:
            trial.expect(trial.files() == known, "refused", "files were left behind")
            return Outcome(refusal=str(error))
        trial.in_reference = list(in_reference)
        if written is not None:
            written(trial.config(), trial.place, trial.told)
        trial.change(checks, known, keeps_rows, schemas_may_stay, downgrade_may_stop)
    except _Failed as failed:
        return Outcome(failed.step, failed.detail, revisions=trial.texts(known))
    return Outcome(revisions=trial.texts(known))


def start_change(
    history: History,
    engine: Engine,
    before: MetaData,
    after: MetaData,
    *,
    prepare: Sequence[str] = (),
    handmade: Sequence[str] = (),
    foreign: Sequence[str] = (),
) -> "_Trial":
    """Return a trial whose database is as `before` says, unjudged; the arguments are `try_change`'s."""
    trial = _Trial(history, engine, before, after, list(prepare), list(handmade), list(foreign))
    trial.stand(with_sql=False)
    return trial


@contextmanager
def told() -> Iterator[set[str]]:
    """Yield the rules of lint that autogenerate names as long as the block runs."""
    found: set[str] = set()

    def see(record: logging.LogRecord) -> bool:
        found.update(re.findall(r"# lint: allow (\S+):", record.getMessage()))
        return True

    log = logging.getLogger("alembic.autogenerate")
    log.addFilter(see)
    try:
        yield found
    finally:
        log.removeFilter(see)


@dataclass
class _Trial:
    """The state of one trial; its methods are the steps.

    Args:
        history: the revisions.
        engine: the database.
        before: the models at first.
        after: the models then.
        prepare: statements of the first revision.
        handmade: statements of the revision that follows on `before`.
        foreign: statements that no revision runs.
    """

    history: History
    engine: Engine
    before: MetaData
    after: MetaData
    prepare: list[str]
    handmade: list[str]
    foreign: list[str]
    in_reference: list[str] = field(default_factory=list, init=False)
    place: str = field(default="base", init=False)  # where `before` stands
    told: set[str] = field(default_factory=set, init=False)  # rules of lint named by the last autogenerate

    def begin(self, *, with_sql: bool) -> None:
        """Bring the empty database to `before`, and see that it is."""
        self.stand(with_sql=with_sql)
        self.place = self.heads()
        self.expect_dump("begin: dump", self.reference(self.before))
        if not with_sql:
            with _step("begin: autogenerate again is empty"):
                command.check(self.config(self.before))

    def stand(self, *, with_sql: bool) -> None:
        """Bring the empty database to `before`."""
        self.execute("foreign", self.foreign)
        if self.prepare:
            self.by_hand("prepare", self.prepare)
        if with_sql:
            if statements := creation(self.before):
                self.by_hand("begin", statements)
        else:
            with _step("begin"):
                self.write("take the first step", self.before, ("prove=no",))  # the dump is proof enough
        self.upgrade("begin: upgrade")
        if self.handmade:
            self.by_hand("handmade", self.handmade)

    def change(
        self,
        checks: Sequence[Check],
        known: set[Path],
        keeps_rows: bool,
        schemas_may_stay: bool,
        downgrade_may_stop: bool,
    ) -> None:
        """Apply what was written for the change, up and down, and look at the database each time."""
        with_before, with_after = dump(self.engine.url), self.reference(self.after)
        is_noop = with_before == with_after
        written = self.files() != known
        self.expect(not (is_noop and written), "nothing to write", "a revision was written")
        self.expect(is_noop or written, "detect", difference(with_after, with_before))
        stored = stored_values(self.engine.url)
        self.upgrade("upgrade")
        with_after = self.expect_dump("upgrade: dump", with_after, schemas_may_stay=schemas_may_stay)
        upgraded = stored_values(self.engine.url)
        self.expect_checks("upgrade: rows", [(check.sql, check.up) for check in checks])
        if keeps_rows:
            self.expect_values("upgrade: rows", stored, upgraded)
        with _step("autogenerate again is empty"):
            command.check(self.config(self.after))
        if not self.downgrade(may_stop=downgrade_may_stop):
            if len(self.files() - known) == 1:
                self.expect_dump("downgrade: stopped, dump", with_after)
            self.upgrade("upgrade after a downgrade that stopped")
            self.expect_dump("upgrade after a downgrade that stopped: dump", with_after)
            return
        self.expect_dump("downgrade: dump", with_before)
        self.expect_checks("downgrade: rows", [(check.sql, check.down) for check in checks])
        if keeps_rows:
            kept = {name: values for name, values in stored.items() if name in upgraded}
            self.expect_values("downgrade: rows", kept, stored_values(self.engine.url))
        self.upgrade("upgrade again")
        self.expect_dump("upgrade again: dump", with_after)

    def downgrade(self, *, may_stop: bool) -> bool:
        """Go back to `before`; return whether that is done."""
        try:
            with _step("downgrade"):
                command.downgrade(self.config(), self.place)
        except _Failed as failed:
            error = failed.__cause__
            sentence = not isinstance(error, DBAPIError) or getattr(error.orig, "sqlstate", None) == RAISED
            if may_stop and sentence:
                return False
            raise
        return True

    def config(self, models: MetaData | None = None, x: Sequence[str] = ()) -> Config:
        config = self.history.config(self.engine)
        config.cmd_opts = argparse.Namespace(x=list(x))
        if models is not None:
            config.attributes["target_metadata"] = models
        return config

    def write(self, message: str, models: MetaData, x: Sequence[str]) -> None:
        """Let autogenerate write revisions for the models.

        Raises:
            CommandError: it declines.
            _Failed: it fails.
        """
        try:
            with told() as self.told:
                command.revision(self.config(models, x), message=message, autogenerate=True)
        except CommandError:
            raise
        except Exception as error:
            raise _Failed("write", _words(error)) from error

    def by_hand(self, name: str, statements: Sequence[str]) -> None:
        body = "\n".join(f"op.execute({_without_parameters(statement)!r})" for statement in statements)
        head = None if self.heads() == "base" else self.heads()
        self.history.add(name, head, body)
        self.upgrade(name)

    def upgrade(self, step: str) -> None:
        with _step(step):
            command.upgrade(self.config(), "head")

    def heads(self) -> str:
        script = self.history.config(self.engine)
        directory = ScriptDirectory.from_config(script)
        return directory.get_current_head() or "base"

    def files(self) -> set[Path]:
        return set((self.history.folder / "versions").glob("*.py"))

    def texts(self, known: set[Path] | None) -> tuple[str, ...]:
        return () if known is None else tuple(file.read_text() for file in sorted(self.files() - known))

    def execute(self, step: str, statements: Sequence[str]) -> None:
        with _step(step), psql(self.engine.url) as connection:
            for statement in statements:
                connection.execute(statement)

    def reference(self, models: MetaData) -> "Dump":
        """Return the dump of a database in which plain `create_all()` made the models."""
        with empty_database(self.engine.url, f"{self.engine.url.database}_reference") as url:
            statements = [*self.foreign, *self.prepare, *creation_of_schemas(models)]
            with _step("models"), psql(url) as connection:
                for statement in statements:
                    connection.execute(statement)
                models.create_all(create_engine(url, poolclass=NullPool))
                for statement in (*self.handmade, *(self.in_reference if models is self.after else ())):
                    connection.execute(statement)
            return dump(url)

    def expect(self, holds: bool, step: str, detail: str) -> None:
        if not holds:
            raise _Failed(step, detail)

    def expect_dump(self, step: str, expected: "Dump", *, schemas_may_stay: bool = False) -> "Dump":
        """Compare the database with a dump, and return its own."""
        found = dump(self.engine.url)
        compared = without_empty_schemas(found, expected) if schemas_may_stay else found
        if compared != expected:
            # PostgreSQL prints some things otherwise once it has read its own print, as ALTER TYPE does.
            expected, compared = restored(expected, self.engine.url), restored(found, self.engine.url)
            compared = without_empty_schemas(compared, expected) if schemas_may_stay else compared
        self.expect(compared == expected, step, difference(expected, compared))
        return found

    def expect_checks(self, step: str, checks: Sequence[tuple[str, object]]) -> None:
        for sql, expected in checks:
            if expected is ANYTHING:
                continue
            with _step(step), psql(self.engine.url, autocommit=False) as connection:
                row = connection.execute(sql).fetchone()
                connection.rollback()
            found = row[0] if row else None
            self.expect(found == expected, step, f"{sql} -> {found!r}, expected {expected!r}")

    def expect_values(
        self, step: str, before: "dict[Place, Counter[str]]", after: "dict[Place, Counter[str]]"
    ) -> None:
        for column in before.keys() & after.keys():
            lost = before[column] - after[column]
            self.expect(not lost, step, f"{column} has lost {dict(lost)}")


@contextmanager
def _step(name: str) -> Iterator[None]:
    """Turn whatever goes wrong into the failure of a step."""
    try:
        yield
    except _Failed:
        raise
    except Exception as error:
        raise _Failed(name, _words(error)) from error


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _without_parameters(statement: str) -> str:
    """Return a statement in which SQLAlchemy's text() finds no :parameter."""
    return re.sub(r"(?<![:\w\\]):(?=\w)", r"\\:", statement)


# What the models say, as SQL


def creation(models: MetaData) -> list[str]:
    """Return the statements of `create_all()`, schemas first."""
    from sqlalchemy import create_mock_engine  # noqa: PLC0415 - seldom needed

    statements = creation_of_schemas(models)

    def collect(statement: Any, *_: object, **__: object) -> None:  # noqa: ANN401
        compiled = statement.compile(dialect=mock.dialect)
        statements.append(str(compiled).strip().replace("%%", "%"))

    mock = create_mock_engine("postgresql+psycopg://", collect)
    models.create_all(mock, checkfirst=False)
    return statements


def creation_of_schemas(models: MetaData) -> list[str]:
    """Return the statements that make the schemas which the models lie in."""
    named = [
        models.schema,
        *(each.schema for each in (*models.tables.values(), *_types_and_sequences(models))),
    ]
    schemas = {schema for schema in named if schema and schema != "public"}
    return [str(CreateSchema(schema, if_not_exists=True)) for schema in sorted(schemas)]


def _types_and_sequences(models: MetaData) -> list[Any]:
    types = [
        kind
        for table in models.tables.values()
        for column in table.columns
        for kind in (column.type, getattr(column.type, "item_type", None))
        if getattr(kind, "schema", None)
    ]
    return [*types, *models._sequences.values()]


# pg_dump


class Dump(dict[str, str]):
    """An object's name and kind, and its SQL; and the whole text."""

    text = ""


_OBJECT = re.compile(r"^--\n-- (Name: .*; Type: .*; Schema: .*; Owner: .*)\n--\n", re.MULTILINE)


def dump(url: URL, *, everything: bool = False, owners: bool = False) -> Dump:
    """Return the schema of a database, without what Alembic and Plinth keep for themselves; or all of it."""
    program = [str(client_program("pg_dump")), *([] if everything else ["--schema-only"])]
    program += [] if owners else ["--no-owner"]
    ours = [] if everything else ["--exclude-table=public.alembic_version", "--exclude-schema=plinth"]
    with (
        nullcontext() if everything else _heirs_aside(url),
        nullcontext() if everything else _chosen_names_aside(url),
    ):
        done = subprocess.run(
            [*program, *ours, libpq_url(url)],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    if done.returncode:
        raise RuntimeError(done.stderr)
    objects = Dump()
    objects.text = done.stdout
    _, *parts = _OBJECT.split(done.stdout.partition("\n--\n-- PostgreSQL database dump complete")[0])
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        key, _, owner = name.partition("; Owner:")
        place = owner.partition("; Tablespace: ")[2]
        said = [objects.get(key), normalised(body.strip()), place and f"-- In the tablespace {place}"]
        objects[key] = "\n".join(filter(None, said))
    return objects


@contextmanager
def _heirs_aside(url: URL) -> Iterator[None]:
    """Let all that heirs inherit be merely inherited inside; a table that becomes one has it as its own, too.

    Like the order of columns, no statement changes that.
    """
    sets = {"pg_attribute": ("attislocal", "attinhcount"), "pg_constraint": ("conislocal", "coninhcount")}
    with psql(url) as connection:

        def let(catalog: str, places: object, is_local: str) -> list[str]:
            local, _ = sets[catalog]
            where = "where ctid = any(cast(%s as tid[])) returning ctid::text"
            sql = f"update {catalog} set {local} = {is_local} {where}"  # noqa: S608 - constants
            return [row[0] for row in connection.execute(sql.encode(), [places])]

        found = {}
        for catalog, (local, count) in sets.items():
            merged = f"select ctid::text from {catalog} where {local} and {count} > 0"  # noqa: S608 - constants
            places = [row[0] for row in connection.execute(merged.encode())]
            found[catalog] = let(catalog, places, "false") if places else []
        try:
            yield
        finally:
            for catalog, places in found.items():
                if places:
                    let(catalog, places, "true")


# The indexes that partitions have for one of the whole table's, and a name that says just that.
_ATTACHED = """
    select i.oid, i.relname, case when octet_length(said) < 64 then said else md5(said) end
    from pg_class i join pg_index on indexrelid = i.oid join pg_class t on t.oid = indrelid
    cross join lateral concat(t.relname, ' for ', pg_partition_root(i.oid)::regclass) said
    where i.relispartition
    """


@contextmanager
def _chosen_names_aside(url: URL) -> Iterator[None]:
    """Let what partitions have for one of the whole table bear names that follow from its name."""
    with psql(url) as connection:
        found = connection.execute(_ATTACHED).fetchall()

        def name(names: list[tuple[int, str]]) -> None:
            for oid, each in names:
                connection.execute("update pg_class set relname = %s where oid = %s", [each, oid])
                connection.execute("update pg_constraint set conname = %s where conindid = %s", [each, oid])

        name([(oid, said) for oid, _, said in found])
        try:
            yield
        finally:
            name([(oid, chosen) for oid, chosen, _ in found])


def restored(given: Dump, server: URL) -> Dump:
    """Return the dump of a database into which a dump was restored."""
    with empty_database(server, f"{server.database}_restored") as url:
        restore(given.text, url)
        return dump(url)


def restore(text: str, url: URL) -> None:
    """Run a dump in an empty database."""
    subprocess.run(
        [str(client_program("psql")), "--quiet", "--no-psqlrc", f"--dbname={libpq_url(url)}"],
        input=text,
        check=True,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # a schema that is there already
    )


_STORAGE = re.compile(r"(?<=\bWITH \()\w+='[^']*'(?:, \w+='[^']*')+(?=\))")


def _sorted_storage(parameters: re.Match[str]) -> str:
    """Return storage parameters sorted: the server keeps them in the order in which they were set."""
    return ", ".join(sorted(parameters[0].split(", ")))


_STATISTICS = re.compile(r"(?<=^CREATE STATISTICS )(\S+ (?:\([\w, ]+\) )?ON )(.*)(?= FROM )")


def _sorted_columns(said: re.Match[str]) -> str:
    """Return the columns of statistics sorted: the server has them as they stand in the table."""
    return said[1] + ", ".join(sorted(said[2].split(", ")))


def normalised(statements: str) -> str:
    """Return an object's SQL without settings of the session, columns of a table sorted."""
    kept = [
        _STATISTICS.sub(_sorted_columns, _STORAGE.sub(_sorted_storage, line))
        for line in statements.splitlines()
        if line and not line.startswith("SET default_")
    ]
    if not kept or not re.match(r"CREATE (UNLOGGED |FOREIGN )?TABLE ", kept[0]):
        return "\n".join(kept)
    end = next((number for number, line in enumerate(kept) if line.startswith(")")), len(kept))
    columns = sorted(line.removesuffix(",") for line in kept[1:end])
    return "\n".join([kept[0], *columns, *kept[end : end + 1], *sorted(kept[end + 1 :])])


def without_empty_schemas(found: Dump, expected: Dump) -> Dump:
    """Return a dump without schemas that hold nothing and aren't expected."""
    schemas = Counter(match[1] for name in found if (match := re.search(r"; Schema: (.*)$", name)))
    empty = {
        name
        for name in found.keys() - expected.keys()
        if (match := re.match(r"Name: (.*); Type: SCHEMA;", name)) and not schemas[match[1]]
    }
    return Dump({name: body for name, body in found.items() if name not in empty})


def difference(expected: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Return a unified diff of two dumps; `+` is what the database has too much."""
    names = sorted(expected.keys() | found.keys())
    differing = [name for name in names if expected.get(name) != found.get(name)]
    lines = (
        difflib.unified_diff(
            expected.get(name, "").splitlines(),
            found.get(name, "").splitlines(),
            "models",
            "database",
            lineterm="",
            n=1,
        )
        for name in differing
    )
    return "\n".join(
        line for name, diff in zip(differing, lines, strict=True) for line in (name, *list(diff)[3:])
    )


# Rows

Place = tuple[str, str, str, str]  # schema, table, column, type

_COLUMNS = """
    select n.nspname, c.relname, a.attname,
           format_type(a.atttypid, a.atttypmod)
    from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
      and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'plinth')
      and c.relname <> 'alembic_version'
    """


def stored_values(url: URL) -> dict[Place, Counter[str]]:
    """Return the values of all columns, those that are NULL aside; a whole row is the column ''."""
    found: dict[Place, Counter[str]] = {}
    with psql(url) as connection:
        for schema, table, column, kind in connection.execute(_COLUMNS).fetchall():
            query = SQL("select {}::text, count(*) from {} where {} is not null group by 1")
            names = Identifier(column), Identifier(schema, table), Identifier(column)
            found[schema, table, column, kind] = Counter(
                dict(connection.execute(query.format(*names)).fetchall())
            )
            if (schema, table, "", "") not in found:
                query = SQL("select {}, count(*) from {}")
                count = connection.execute(query.format(Literal("rows"), Identifier(schema, table)))
                found[schema, table, "", ""] = Counter(dict(count.fetchall()))
    return found
