"""A second reset is a copy of what the revisions made at the first one, unless anything differs."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import URL

from plinth import kept_database, kept_name, local_server, settings
from plinth.local_server import LocalServer
from tests.plinth.history import do, heads, ledger, psql, rows
from tests.plinth.project import HEAD, Project, copy_project

COPIED = "a copy of what the same revisions made before"
KEPT = "select datname from pg_database where datname like 'plinth\\_reset\\_%'"
NEXT = "29990101000000"


@pytest.fixture
def project(open_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A copy of the scaffold with a local server of its own."""
    home = open_folder / "home"
    monkeypatch.setenv("PLINTH_HOME", str(home))
    server = LocalServer("development", options=("fsync=off",))
    server.start()
    try:
        yield copy_project(tmp_path / "my app", PLINTH_HOME=str(home))
    finally:
        server.stop()


@pytest.fixture
def url(project: Project) -> URL:
    return LocalServer("development", ()).url("app_development")


MADE = """
from pathlib import Path

import pytest
from sqlalchemy import text


@pytest.fixture(scope="session")
def baseline():
    return "BASELINE"


def test_which_it_is(session):
    with Path("made.txt").open("a") as file:
        print(session.scalar(text("select id from made")), file=file)
"""


def has_copied(project: Project) -> bool:
    return COPIED in project.ok("plinth", "reset")


@pytest.mark.slow
def test_a_reset_is_a_copy_while_nothing_differs(project: Project, url: URL) -> None:
    assert not has_copied(project)
    whole = ledger(url), rows(url, "select count(*) from users")
    do(url, "drop table users cascade; update plinth.ledger set batch = 9")
    assert has_copied(project)
    assert (ledger(url), rows(url, "select count(*) from users")) == whole
    assert heads(url) == {HEAD}
    assert project.ok("plinth", "environment").strip() == "development"
    assert project.run("plinth", "status").returncode == 0
    # Nobody can change what is kept.
    (kept,) = rows(url, KEPT)
    assert rows(url, "select datallowconn from pg_database where datname = %s", *kept) == [(False,)]
    # A changed revision is run, and what was kept of the others is gone.
    project.write_revision(NEXT, HEAD, "op.execute('create table later (id int)')")
    assert not has_copied(project)
    assert heads(url) == {NEXT}
    assert len(rows(url, KEPT)) == 1
    assert rows(url, KEPT) != [kept]
    assert has_copied(project)
    assert rows(url, "select to_regclass('later')::text") == [("later",)]
    # One that is edited, too.
    project.write_revision(NEXT, HEAD, "op.execute('create table other (id int)')")
    assert not has_copied(project)
    assert rows(url, "select to_regclass('other')::text") == [("other",)]
    # What was kept half-way, before it was closed, is none.
    (kept,) = rows(url, KEPT)
    do(url, f'alter database "{kept[0]}" allow_connections true')
    assert not has_copied(project)
    # Nor is one whose DROP was interrupted.
    do(url, "update pg_database set datconnlimit = -2 where datname like 'plinth\\_reset\\_%'")
    assert not has_copied(project)
    # New databases aren't empty any more.
    do(url.set(database="template1"), "create function f() returns int language sql as 'select 1'")
    assert not has_copied(project)
    assert rows(url, "select f()") == [(1,)]
    assert rows(url, KEPT) == []


def test_what_others_write_meanwhile_is_in_no_copy(project: Project, url: URL) -> None:
    """An application is connected again as soon as the database is there."""
    project.replace("pyproject.toml", 'seeds = "app.seeds"\n', "")
    project.write_revision(NEXT, HEAD, "op.execute('create table slow as select 1 from pg_sleep(3)')")
    sql = "insert into users (email, created_at) values ('a@b', now())"
    written = 0
    with project.popen("plinth", "reset") as running:
        while running.poll() is None:
            time.sleep(0.05)
            with suppress(psycopg.Error), psql(url) as connection:
                connection.execute(sql)
                written += 1
    assert running.returncode == 0
    assert rows(url, "select count(*) from users") == [(written,)]
    do(url, sql)
    assert has_copied(project)
    assert rows(url, "select count(*) from users") == [(0,)]


def test_a_reset_that_fails_leaves_the_database(project: Project, url: URL) -> None:
    assert not has_copied(project)
    do(url, "create table mine (id int)")
    project.write_revision(NEXT, HEAD, "op.execute('select 1 / 0')")
    failed = project.run("plinth", "reset")
    assert failed.returncode == 1
    assert "division by zero" in failed.stderr
    assert (
        "plinth: Nothing is done to database app_development: its revisions can't be applied" in failed.stderr
    )
    assert rows(url, "select count(*) from mine") == [(0,)]
    assert len(rows(url, "select from pg_database where datname like 'plinth%'")) == 0
    project.write_revision(NEXT, HEAD, "op.execute('select 1')")
    assert not has_copied(project)
    assert rows(url, "select to_regclass('mine')::text") == [(None,)]


def test_another_session_would_make_another_database(project: Project, url: URL) -> None:
    """What revisions make depends on who applies them, on his settings, and on the roles that are there."""
    grant = "do $$begin grant select on users to reader; exception when undefined_object then null; end$$"
    project.write_revision(NEXT, HEAD, f"op.execute({grant!r})")
    assert not has_copied(project)
    do(url, "create role reader; create role maker login createdb")
    assert not has_copied(project)
    assert rows(url, "select has_table_privilege('reader', 'users', 'select')") == [(True,)]
    assert has_copied(project)
    do(url, "alter role postgres set search_path = shop, public; create schema shop")
    assert not has_copied(project)
    do(url, "alter role postgres reset search_path")
    project.environment["PGOPTIONS"] = "-c timezone=Asia/Tokyo"
    assert not has_copied(project)
    # What another role keeps is its own.
    project.environment["MIGRATION_DATABASE_URL"] = url.set(username="maker").render_as_string(False)
    do(url.set(database="postgres"), "drop database app_development with (force)")
    assert not has_copied(project)
    owned = "select tableowner from pg_tables where tablename = 'users'"
    assert rows(url, owned) == [("maker",)]
    del project.environment["MIGRATION_DATABASE_URL"]
    assert not has_copied(project)  # the database is another role's, and stays that
    assert rows(
        url, "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
    ) == [("maker",)]
    do(url.set(database="postgres"), "drop database app_development with (force)")
    assert has_copied(project)
    assert rows(url, owned) == [("postgres",)]


def test_what_a_copy_would_not_have_is_made_anew(project: Project, url: URL) -> None:
    """A database's own settings, and what a revision reads elsewhere."""
    project.write_revision(
        NEXT,
        HEAD,
        "op.execute(\"do $$begin execute format('alter datab' || 'ase %I set work_mem = 77777', "
        '(select catalog_name from information_schema.information_schema_catalog_name)); end$$")',
    )
    for _ in range(2):
        assert not has_copied(project)
    assert rows(url, "show work_mem") == [("77777kB",)]
    assert rows(url, KEPT) == []
    do(url, "alter database app_development reset all")
    # Nor would it have what is said of the database by its name, which no copy's revisions have run under.
    split = "do $$begin execute 'alter datab' || 'ase app_development set work_mem = 66666'; end$$"
    project.write_revision(NEXT, HEAD, f"op.execute({split!r})")
    assert not has_copied(project)
    assert rows(url, "show work_mem") == [("66666kB",)]
    assert rows(url, KEPT) == []
    do(url.set(database="postgres"), "drop database app_development with (force)")
    by_name = "do $$begin execute format('alter %s app_development set work_mem = 55555', 'database'); end$$"
    project.write_revision(NEXT, HEAD, f"op.execute({by_name!r})")
    assert f"{NEXT}_by_hand.py speaks of database app_development." in project.ok("plinth", "reset")
    assert rows(url, "show work_mem") == [("55555kB",)]


@pytest.mark.slow
def test_the_tests_begin_with_a_copy_while_nothing_differs(project: Project) -> None:
    made = "op.execute('create table made as select gen_random_uuid() as id')"
    project.write_revision(NEXT, HEAD, made)
    tests = project.root / "tests"
    tests.mkdir()
    (tests / "conftest.py").write_text('pytest_plugins = ["plinth.testing"]\n')

    def run(*arguments: str, baseline: str = "") -> list[str]:
        """Return which database each process had."""
        (tests / "test_made.py").write_text(MADE.replace("BASELINE", baseline))
        project.ok("pytest", *arguments)
        file = project.root / "made.txt"
        made = file.read_text().split()
        file.unlink()
        return made

    try:
        [first] = run()
        assert run() == [first]
        assert run("-n", "2", "--dist", "each") == [first, first]
        project.write_revision(NEXT, HEAD, f"{made}\nop.execute('select 1')")
        second, other = run("-n", "2", "--dist", "each")  # one of them runs the revisions
        assert first not in (second, other)
        assert second == other
        assert run() == [second]
        [third] = run(baseline="create table below (id int)")
        assert third != second
        assert run(baseline="create table below (id int)") == [third]
        server = local_server.test_server().url("postgres")
        kept = "select datallowconn from pg_database where starts_with(datname, 'plinth_test')"
        assert rows(server, kept) == [(False,)]
    finally:
        local_server.test_server().stop()


@pytest.mark.usefixtures("project")
def test_another_day_may_make_another_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    place = {**LocalServer("development", ()).place(), "user": local_server.SUPERUSER}
    today = kept_name.name_of(place, "kept_")
    assert today
    assert kept_name.name_of(place, "kept_") == today
    tomorrow = kept_name.RUN.replace("current_date", "current_date + 1")
    monkeypatch.setattr(kept_name, "RUN", tomorrow)
    assert kept_name.name_of(place, "kept_") not in (today, None)


PURE = (
    b'"""m"""\nimport sqlalchemy as sa\nfrom alembic import op\n\n\ndef upgrade():\n    op.drop_table("t")\n'
)


@pytest.mark.parametrize(
    "line",
    [
        "import os",
        "import re, os",
        "import sqlalchemy; import os",
        "import \\\n  os",
        "from app.models import User",
        "from . import helper",
        "rows = open('rows.csv')",
        "rows = getattr(op, 'x')()",
        "place = __file__",
        "op.execute('CREATE ROLE reader')",
        "op.execute('alter  system set x = y')",
        "op.execute('grant connect on database x to y')",
        "op.get_context().config",
        "op.get_context().opts['target_metadata'].create_all()",
        "sa.create_engine('postgresql://elsewhere')",
        "op.execute('select current_catalog')",
        "op.execute('select from pg_roles')",
        "op.execute('select from pg_available_extensions')",
    ],
)
def test_revisions_that_depend_on_more_than_their_file_are_run(tmp_path: Path, line: str) -> None:
    file = tmp_path / "revision.py"
    file.write_bytes(PURE)
    assert kept_name.is_pure(file)
    file.write_bytes(PURE + line.encode() + b"\n")
    assert not kept_name.is_pure(file)


@pytest.mark.parametrize(
    ("name", "line", "is_named"),
    [
        (
            "app",
            "op.add_column('t', sa.Column('app_id', sa.Integer, comment='mapped in the database'))",
            False,
        ),
        ("shop", "op.create_table('orders', sa.Column('id', sa.Integer), schema='shop')", False),
        ("blog", "op.execute('select 1')  # of the database blog", False),
        ("blog", "'The database blog'", False),
        ("shop", "op.execute('alter %s shop set work_mem = 9' % 'database')", True),
        ("shop", 'op.execute(f\'alter {"database"} {"shop"} set work_mem = 9\')', True),
        ("shop", "op.execute('ALTER ' 'DATABASE SHOP SET work_mem = 9')", True),
        (
            "my-app",
            "sa.text(\"do $$begin execute format('alter %s %I reset all', 'database', 'my-app'); end$$\")",
            True,
        ),
        ("shop", "run = op.get_bind().engine.url.database == 'shop'", True),
        (
            "shop",
            "op.execute(\"delete from t using information_schema.tables where table_catalog = 'shop'\")",
            True,
        ),
    ],
)
def test_a_revision_names_the_database(name: str, line: str, is_named: bool) -> None:
    source = PURE + b"    " + line.encode() + b"\n"
    assert kept_database.speaks_of(source, name) == is_named


@pytest.mark.slow
def test_a_name_that_is_a_common_word(project: Project) -> None:
    project.replace("pyproject.toml", 'seeds = "app.seeds"\n', "")
    project.replace("pyproject.toml", 'database = "app_development"', 'database = "app"')
    project.write_revision(NEXT, HEAD, "op.execute('create table t (app_id int)')")
    assert not has_copied(project)
    assert has_copied(project)


def test_the_scaffolds_revisions_depend_on_their_files_alone() -> None:
    files = [*(settings.root() / "alembic" / "versions").glob("*.py")]
    assert files
    assert all(map(kept_name.is_pure, files))
