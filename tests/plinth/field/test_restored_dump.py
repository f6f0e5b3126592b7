"""A database that was restored from a dump: production moved, a copy for staging, an upgrade by pg_dump."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    Enum,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    text,
)
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth import safety
from plinth.catalog.reread import reread
from plinth.check import check
from tests.plinth.history import History, psql, rows
from tests.plinth.judge import dump, empty_database, restore
from tests.plinth.kinds import KINDS
from tests.plinth.kinds.kind import also
from tests.plinth.system_server import system_programs, system_server
from tests.plinth.test_kinds import try_kind

LISTED = "status IN ('A', 'B')"


def models(*more: Column[str]) -> MetaData:
    """Return models in which whatever can hold an expression holds a list of strings."""
    metadata = MetaData()
    grade = DOMAIN("grade", String(9), check="VALUE IN ('A', 'B')")
    kind = Enum("A", "B", name="kind", native_enum=False, create_constraint=True)
    Table(
        "jobs",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("status", String(9), server_default="A"),
        Column("grade", grade),
        Column("kind", kind),
        Column("is_open", Integer, Computed(f"CASE WHEN {LISTED} THEN 1 END", persisted=True)),
        *more,
        CheckConstraint(LISTED, name="listed"),
        CheckConstraint("status NOT IN ('C', 'D') OR status LIKE ANY (ARRAY['E%', 'F%'])", name="others"),
        Index("ix_open", "id", postgresql_where=text(LISTED)),
        Index("ix_is_open", text(f"({LISTED})")),
    )
    for statement in (
        f"CREATE VIEW open_jobs AS SELECT id, {LISTED} AS is_open FROM jobs WHERE {LISTED}",  # noqa: S608
        f"CREATE MATERIALIZED VIEW many AS SELECT id FROM jobs WHERE {LISTED}",  # noqa: S608
        "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF NEW.status IN ('A', 'B') THEN RETURN NULL; END IF; RETURN NEW; END $$",
        f"CREATE TRIGGER look AFTER UPDATE ON jobs FOR EACH ROW WHEN (NEW.{LISTED}) EXECUTE FUNCTION look()",
        f"CREATE RULE kept AS ON DELETE TO jobs WHERE OLD.{LISTED} DO INSTEAD NOTHING",
        f"CREATE POLICY seen ON jobs USING ({LISTED}) WITH CHECK (EXISTS (SELECT 'x' WHERE {LISTED}))",
        "ALTER TABLE jobs ENABLE ROW LEVEL SECURITY",
    ):
        also(metadata, statement)
    return metadata


Configured = Callable[[URL, MetaData], Config]


@pytest.fixture
def configured(history: History, monkeypatch: pytest.MonkeyPatch) -> Configured:
    """Return what makes a configuration for a database and models."""
    monkeypatch.setenv("APP_ENV", "test")

    def configure(url: URL, metadata: MetaData) -> Config:
        config = history.config(create_engine(url, poolclass=NullPool))
        config.attributes["target_metadata"] = metadata
        return config

    return configure


@pytest.fixture
def restored(empty_url: URL, configured: Configured) -> Iterator[URL]:
    """A database that was restored from a dump of one that was restored from a dump."""
    config = configured(empty_url, models())
    command.revision(config, message="begin with jobs", autogenerate=True)
    command.upgrade(config, "head")
    with ExitStack() as stack:
        url = empty_url
        for number in (1, 2):
            whole = dump(url, everything=True)
            url = stack.enter_context(empty_database(url, f"{empty_url.database}_{number}"))
            restore(whole.text, url)
            mark(url)
        yield url


def mark(url: URL) -> None:
    """Say that the copy is for development, as whoever restores it for that purpose does."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        safety.write_marker(connection, "development")


def test_nothing_differs(restored: URL, configured: Configured, history: History) -> None:
    printed = "select pg_get_constraintdef(oid) from pg_constraint where conname = 'listed'"
    assert "ARRAY[('A'::character varying)::text" in rows(restored, printed)[0][0]
    config = configured(restored, models())
    command.check(config)
    assert check(config).problems == []
    command.revision(config, message="change nothing", autogenerate=True)
    assert len(list((history.folder / "versions").glob("*.py"))) == 1


@pytest.mark.slow
def test_another_change_is_written_and_goes_both_ways(
    restored: URL, configured: Configured, history: History
) -> None:
    config = configured(restored, models(Column("nickname", Text)))
    before = dump(restored)
    command.revision(config, message="add a nickname", autogenerate=True)
    written = max((history.folder / "versions").glob("*nickname.py")).read_text()
    assert "listed" not in written
    assert "ix_open" not in written
    command.upgrade(config, "head")
    command.check(config)
    assert check(config).problems == []
    command.downgrade(config, "-1")
    assert dump(restored) == before


@pytest.mark.parametrize("name", ["read_again.check_longer", "read_again.partial_index_longer"])
@pytest.mark.slow
def test_a_longer_status_keeps_what_stands_on_it(name: str, server: URL, tmp_path: Path) -> None:
    try_kind(next(kind for kind in KINDS if kind.name == name), server, tmp_path, "online=no")


EXPRESSIONS = """
    v IN ('a', 'it''s')
    v NOT IN ('a', 'b')
    v IN ('a', NULL)
    v IN ('a' COLLATE "C", 'b')
    v IN (x, 'b')
    v IN (c, 'b')
    v IN (SELECT 'a')
    v = ANY (ARRAY[['a', 'b'], ['c', 'd']])
    v LIKE ANY (ARRAY['a%'])
    v ~ ANY (ARRAY['a', 'b'])
    v > ALL (ARRAY['a', E'\\\\b'])
    v = '(ARRAY[''a''])::text[]'
    v::varchar(3) IN ('a', 'b')
    lower(v) IN ('a', 'b')
    coalesce(v, 'x') IN ('a', 'b')
    nullif(v, 'a') IN ('a', 'b')
    CASE WHEN i = 1 THEN v ELSE 'x' END IN ('a', 'b')
    NOT v IN ('a', 'b') OR c NOT IN ('a', 'b')
    (v, i) IN (('a', 1), ('b', 2))
    "IN" IN ('IN', 'in')
    c IN ('a', 'b')
    x IN ('a', 'b')
    d IN ('a', 'b')
    d = ANY (ARRAY['a'::d, 'b'])
    m IN ('a', 'b')
    m::varchar IN ('a', 'b')
    i IN (1, -1)
    i::varchar(5) IN ('1', '2')
    b IN (1, 2)
    b = ANY (ARRAY[1, 2])
    n IN (1, 2.5)
    n = ANY (ARRAY[1, 2])
    l @> ARRAY[v]
    l && '{a}'
    ARRAY[v, 'x'] = ARRAY['a', 'b']::varchar[]
    ARRAY[v, c::varchar] <@ ARRAY['a', 'b']::varchar[]
    (ARRAY[v, 'b'])[i] IN ('a', 'b')
    array_to_string(ARRAY[v, v], ',') = 'a'
    jsonb_build_object('a', ARRAY[v, 'x']) ->> 'a' IN ('a', 'b')
    EXISTS (SELECT 'x' WHERE v IN ('a', 'b'))
    """.strip().splitlines()


def printed_twice(url: URL, expressions: Sequence[str]) -> list[tuple[str, str]]:
    """Return what PostgreSQL prints of expressions, and what it prints of that."""

    def printed(expression: str) -> str:
        with psql(url, autocommit=False) as connection:
            connection.execute(f"create policy p on t using ({expression})".encode())
            row = connection.execute("select pg_get_expr(polqual, polrelid) from pg_policy").fetchone()
            connection.rollback()
        assert row
        return str(row[0])

    with psql(url) as connection:
        connection.execute("create type m as enum ('a', 'b'); create domain d as varchar(9)")
        connection.execute(
            "create table t (v varchar(9), c char(3), i int, b bigint, n numeric, d d, x text, l varchar[], "
            'm m, "IN" varchar)'
        )
    return [(once := printed(each), printed(once)) for each in expressions]


def test_definitions_have_the_form_that_postgresql_prints_when_it_reads_its_own(empty_url: URL) -> None:
    assert all_reread(printed_twice(empty_url, EXPRESSIONS)) > 15


@pytest.mark.slow
@pytest.mark.parametrize("programs", [pytest.param(each, id=each.parent.name) for each in system_programs()])
def test_so_they_have_on_other_versions(programs: Path) -> None:
    with system_server(programs) as url:
        assert all_reread(printed_twice(url, EXPRESSIONS)) > 15


def all_reread(printed: Sequence[tuple[str, str]]) -> int:
    """Return how many definitions change when they are read again, having looked that we know how."""
    for once, twice in printed:
        assert reread(once) == twice
        assert reread(twice) == twice
    return sum(once != twice for once, twice in printed)
