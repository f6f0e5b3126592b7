"""What lies behind foreign servers, in files and in other sessions: no trial reaches it."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from psycopg.errors import UndefinedFile
from sqlalchemy import Connection, Engine, MetaData
from sqlalchemy.engine import URL

from plinth.check import check
from plinth.plan.planning import plans
from plinth.safety import write_marker
from plinth.scratch.databases import scratch_database
from tests.plinth.history import History, do, psql, rows


@pytest.fixture
def far(empty_url: URL) -> Iterator[URL]:
    """Another database, in which invoices are kept, and to which the one at hand has a way."""
    url = empty_url.set(database=f"far_{secrets.token_hex(4)}")
    do(empty_url, f"create database {url.database}")
    do(url, "create table invoices (id int, state text); insert into invoices values (1, 'old'), (2, 'new')")
    try:
        with psql(empty_url) as session:
            info = session.info
            place = f"host '{info.host}', port '{info.port}', dbname '{url.database}'"
            login = f"user '{info.user}', password '{info.password}'"
            try:
                session.execute("create extension postgres_fdw")
            except UndefinedFile:
                pytest.skip("this server has no postgres_fdw")
            session.execute(
                f"create server billing foreign data wrapper postgres_fdw options ({place})".encode()
            )
            session.execute(f"create user mapping for public server billing options ({login})".encode())
            session.execute("create foreign table invoices (id int, state text) server billing")
        yield url
    finally:
        do(empty_url, f"drop database {url.database} with (force)")


@pytest.fixture
def config(history: History, empty_engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Config:
    monkeypatch.setenv("APP_ENV", "test")
    monkeypatch.setenv("PLINTH_HOME", str(tmp_path))
    config = history.config(empty_engine)
    config.attributes["target_metadata"] = MetaData()
    return config


def invoices(far: URL) -> list[tuple[object, ...]]:
    return rows(far, "select * from invoices order by id")


def test_rows_behind_a_foreign_table_are_not_touched(history: History, config: Config, far: URL) -> None:
    history.add("a", None, "op.execute('create view v as select 1 as n')", "op.execute('drop view v')")
    history.add("b", "a", "op.execute('delete from invoices')")
    command.upgrade(config, "a")
    before = invoices(far)
    assert str(plans(config)[0].failure).startswith(
        "Revision b (make b) was not tried, for it needs what lies behind a foreign server"
    )
    assert invoices(far) == before
    command.upgrade(config, "b")  # for that it was written
    assert invoices(far) == []
    report = check(config)
    assert report.agrees, report.problems
    assert report.verdict() == "Models and database agree (2 revisions, not all of them tried)."
    assert "Revision b (make b) was not tried" in report.notes[0]


def test_nor_by_a_server_that_a_revision_makes(
    history: History, config: Config, empty_url: URL, far: URL
) -> None:
    with psql(empty_url) as session:
        place = f"host '{session.info.host}', port '{session.info.port}', dbname '{far.database}'"
    do(empty_url, "drop extension postgres_fdw cascade")
    history.add(
        "a",
        None,
        f"""
op.execute("create extension postgres_fdw")
op.execute("create server billing foreign data wrapper postgres_fdw options ({place})")
op.execute("create user mapping for current_user server billing")
op.execute("create table all_invoices (id int, state text) partition by list (id)")
op.execute("create foreign table invoices partition of all_invoices for values in (1, 2, 3) server billing")
""",
        """
op.execute("drop table all_invoices")
op.execute("drop user mapping for current_user server billing")
op.execute("drop server billing")
op.execute("drop extension postgres_fdw")
""",
    )
    history.add("b", "a", "op.execute('create view v as select 1 as n')", "op.execute('drop view v')")
    before = invoices(far)
    assert plans(config)[0].failure is None
    report = check(config)
    assert [each.kind for each in report.problems] == ["models"]  # there are none
    assert not report.untried
    assert invoices(far) == before


@pytest.mark.parametrize(
    "statement",
    [
        "copy (select 1 as to_that) to '{file}'",
        "copy (select 1) to program 'cat > {file}'",
        "do $$ begin copy (select 1) to '{file}'; end $$",
        "select lo_export(lo_from_bytea(0, '\\x00'), '{file}')",
        "SELECT PG_CATALOG . \"lo_export\" (lo_from_bytea(0, '\\x00'), '{file}')",
        "do $$ begin perform lo_export(lo_from_bytea(0, '\\x00'), '{file}'); end $$",
        "select pg_terminate_backend(pid) from pg_stat_activity where pid = {pid}",
    ],
)
def test_nor_files_nor_other_sessions(
    empty_engine: Engine, open_folder: Path, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    open_folder.chmod(0o777)
    file = open_folder / secrets.token_hex(4)
    with empty_engine.connect() as target:
        write_marker(target, "test")
        target.commit()
        with scratch_database(target) as scratch, scratch.begin() as connection:
            pid = target.exec_driver_sql("select pg_backend_pid()").scalar()
            connection.exec_driver_sql(statement.format(file=file, pid=pid))
            assert _answers(target)
    assert not file.exists()
    if statement.startswith("select pg_"):
        assert "Not tried, for it reaches beyond the database: pg_terminate_backend()" in caplog.text


def _answers(connection: Connection) -> bool:
    return connection.exec_driver_sql("select 1").scalar() == 1
