"""`make db-reset`: drop, create, migrate and seed."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy import event, text
from sqlalchemy.engine import URL

from plinth.__main__ import libpq_url
from plinth.connecting import connect
from plinth.development import _make_anew
from plinth.errors import PlinthError
from plinth.kept_database import one_at_a_time
from plinth.reset_again import new_name_of
from tests.plinth.history import do, psql, rows
from tests.plinth.project import HEAD, Project, clean_environment, copy_project


@pytest.fixture
def project(tmp_path: Path, empty_url: URL) -> Project:
    """A copy of the scaffold that says in so many words that its database is for development."""
    return copy_project(tmp_path / "my app", empty_url, APP_ENV="development")


def users(url: URL) -> int:
    with connect(url) as connection:
        count = connection.scalar(text("select count(*) from users"))
    assert isinstance(count, int)
    return count


def test_reset_migrates_seeds_and_says_how_to_connect(project: Project, empty_url: URL) -> None:
    output = project.ok("plinth", "reset")
    assert f"Database {empty_url.database} is new, migrated and seeded" in output
    assert "make db-shell" in output
    assert users(empty_url) == 3
    project.ok("plinth", "seed")
    assert users(empty_url) == 3


def test_a_reset_that_was_interrupted_is_typed_again(project: Project, empty_url: URL) -> None:
    """PostgreSQL lets nobody into a database again whose DROP was interrupted."""
    project.ok("plinth", "reset")
    with connect(empty_url.set(database="postgres")) as connection:
        connection.execute(
            text("update pg_database set datconnlimit = -2 where datname = :name"),
            {"name": empty_url.database},
        )
        connection.commit()
    assert f"There is no database {empty_url.database!r}" in project.refused("plinth", "status")
    refused = project.refused("plinth", "reset", APP_ENV="production")
    assert "APP_ENV is production" in refused
    project.ok("plinth", "reset")
    assert users(empty_url) == 3


def test_an_interruption_stays_one(empty_url: URL) -> None:
    def interrupted() -> None:
        with (
            connect(empty_url, autocommit=True) as server,
            one_at_a_time(server, "anything", waiting=lambda: None),
        ):
            server.invalidate()  # as SQLAlchemy does when a statement is interrupted
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_seeds_that_cannot_be_loaded(project: Project, empty_url: URL) -> None:
    missing = empty_url.set(database="nowhere").render_as_string(hide_password=False)
    assert "There is no database 'nowhere'" in project.refused("plinth", "seed", DATABASE_URL=missing)
    failed = project.run("plinth", "seed")  # nothing is migrated
    assert failed.returncode == 1
    assert "migrated" not in failed.stderr
    assert failed.stderr.splitlines()[-1].endswith(
        "whether its tables are as the models say, plinth check tells."
    )


def created(url: URL) -> list[tuple[int]]:
    """Return what tells a database from another one of its name."""
    return rows(url, "select oid from pg_database where datname = current_database()")


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_the_database_is_that_of_an_engine_that_env_py_hands_over(
    project: Project, empty_url: URL, clone_url: URL, driver: str
) -> None:
    missing = empty_url.set(database=f"{empty_url.database}_new")
    engine = missing.set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)
    make = "create_engine" if driver == "psycopg" else "create_async_engine"
    env = project.root / "alembic" / "env.py"
    env.write_text(
        f"from alembic import context\nfrom sqlalchemy import create_engine\n"
        "from sqlalchemy.ext.asyncio import create_async_engine\n"
        f"context.config.attributes['connection'] = {make}({engine!r})\n{env.read_text()}"
    )
    other = clone_url.render_as_string(hide_password=False)
    before = created(clone_url)
    assert str(missing.database) in project.ok("plinth", "url", DATABASE_URL=other)
    project.run("plinth", "reset", DATABASE_URL=other)
    assert created(clone_url) == before
    with connect(missing) as connection:
        assert connection.scalar(text("select count(*) from alembic_version")) == 1
    del project.environment["DATABASE_URL"]
    assert project.ok("plinth", "environment", "production", APP_ENV="production") == "production\n"
    do(clone_url, f"drop database {missing.database}")


def test_the_seeds_go_where_was_judged(project: Project, empty_url: URL, clone_url: URL) -> None:
    """`sqlalchemy.url` goes before DATABASE_URL, which the application follows."""
    production = clone_url.render_as_string(hide_password=False)
    project.ok("plinth", "environment", "production", DATABASE_URL=production, APP_ENV="production")
    named = libpq_url(empty_url).replace("%", "%%")
    project.replace("alembic.ini", "[alembic]\n", f"[alembic]\nsqlalchemy.url = {named}\n")
    for elsewhere in (production, "postgresql+psycopg://nobody@localhost:1/nowhere", ""):
        project.ok("plinth", "reset", DATABASE_URL=elsewhere)
        assert (users(empty_url), users(clone_url)) == (3, 0)
        do(empty_url, "delete from authentication; delete from users")
        project.ok("plinth", "seed", DATABASE_URL=elsewhere)
        assert (users(empty_url), users(clone_url)) == (3, 0)


def test_seeds_that_are_interrupted_end_in_a_line(project: Project) -> None:
    (project.root / "app" / "seeds.py").write_text(
        'import time\n\nif __name__ == "__main__":\n    print("begun", flush=True)\n    time.sleep(100)\n'
    )
    running = subprocess.Popen(
        [sys.executable, "-m", "plinth", "seed"],
        cwd=project.root,
        env=clean_environment() | project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout
    assert running.stdout.readline() == "begun\n"
    os.killpg(running.pid, signal.SIGINT)  # as a terminal's Ctrl-C
    _, errors = running.communicate()
    assert (running.returncode, errors) == (130, "plinth: interrupted\n")


BELONGS = """
    select to_jsonb(d) - '{oid,datname,datfrozenxid,datminmxid}'::text[],
           array(select format('%s %s', setrole::regrole, setconfig) from pg_db_role_setting
                 where setdatabase = d.oid order by 1),
           shobj_description(d.oid, 'pg_database')
    from pg_database d where datname = current_database()
    """


@pytest.fixture
def roles(server: URL, empty_url: URL) -> Iterator[tuple[str, str]]:
    """Two roles: the first is to own the database, and may alter the second."""
    owner, reader = (f"test_{secrets.token_hex(4)}" for _ in range(2))
    do(server, f"create role {owner} createdb createrole login; create role {reader} admin {owner}")
    yield owner, reader
    do(server, f"drop database if exists {empty_url.database} with (force)")
    do(server, f"drop role {owner}, {reader}")


@pytest.mark.parametrize("like", ["encoding latin1 locale 'C'", pytest.param("", marks=pytest.mark.slow)])
def test_what_belongs_to_the_database_is_kept(
    project: Project, empty_url: URL, server: URL, roles: tuple[str, str], like: str
) -> None:
    name, (owner, reader) = str(empty_url.database), roles
    if like:
        do(server, f"drop database {name}")
        do(server, f"create database {name} template template0 {like}")
    for statement in (
        f"""alter database {name} set search_path = public, "My, 'schema'", '$user'""",
        f"alter database {name} set application_name = 'it''s %s :me'",
        f"alter database {name} set temp_tablespaces = ''",
        f"alter role {reader} in database {name} set timezone = 'Asia/Tokyo'",
        f"comment on database {name} is 'It''s 100% :mine'",
        f"revoke all on database {name} from public",
        f"grant connect on database {name} to {reader} with grant option",
        f"alter database {name} owner to {owner}",
        f"alter database {name} connection limit 7",
    ):
        do(server, statement)
    for user in (owner, "postgres"):
        if user == "postgres":
            do(server, f"alter database {name} set app.tenant = '1'")
        [before] = rows(empty_url, BELONGS)
        url = empty_url.set(username=user).render_as_string(hide_password=False)
        project.ok("plinth", "reset", DATABASE_URL=url)
        [after] = rows(empty_url, BELONGS)
        for was, now in zip(before, after, strict=True):
            assert now == was
        assert users(empty_url) == 3
    as_owner = empty_url.set(username=owner).render_as_string(hide_password=False)
    do(empty_url, f"grant usage on schema plinth to {owner}; grant select on plinth.environment to {owner}")
    oid = created(empty_url)
    refused = project.refused("plinth", "reset", DATABASE_URL=as_owner)
    assert f"Nothing is done to database {name}: what belongs to it can't be given to a new one" in refused
    assert "[alter database plinth_new_" in refused
    assert (rows(empty_url, BELONGS), created(empty_url)) == ([after], oid)
    assert rows(server, "select from pg_database where datname like 'plinth_new_%'") == []


def test_a_database_that_can_not_be_dropped_stays(project: Project, empty_url: URL, server: URL) -> None:
    oid = created(empty_url)
    do(server, f"alter database {empty_url.database} is_template true")
    try:
        refused = project.refused("plinth", "reset")
    finally:
        do(server, f"alter database {empty_url.database} is_template false")
    assert f"Database {empty_url.database} can't be dropped, and stays as it is: " in refused
    assert created(empty_url) == oid
    assert rows(server, "select from pg_database where datname like 'plinth_new_%'") == []


@pytest.mark.parametrize("named", [True, False])
def test_settings_that_revisions_make_hold_behind_them(project: Project, empty_url: URL, named: bool) -> None:
    """A second reset gave them to the new database first, and later revisions made another schema."""
    name = str(empty_url.database)
    project.replace("pyproject.toml", 'seeds = "app.seeds"\n', "")
    where = f"'{name}'" if named else "current_database()"
    first, second = "29990101000000", "29990101000001"
    execute = f"execute format('alter database %I set search_path = app, public', {where})"
    project.write_revision(first, HEAD, f'op.execute("create schema app; do $$begin {execute}; end$$")')
    project.write_revision(second, first, "op.create_table('later', sa.Column('id', sa.Integer))")
    do(empty_url, f"alter database {name} set search_path = app, public, information_schema")
    do(empty_url, f"alter database {name} set work_mem = 77777")
    for _ in range(2):
        project.ok("plinth", "reset")
        assert rows(empty_url, "select to_regclass('public.later') is not null") == [(True,)]
        assert rows(empty_url, "select current_setting('search_path'), current_setting('work_mem')") == [
            ("app, public", "77777kB")
        ]
    project.write_revision("29990101000002", second, "op.execute('select 1 / 0')")
    assert project.run("plinth", "reset").returncode == 1
    assert rows(empty_url, "show work_mem") == [("77777kB",)]


def test_who_enters_each_database_does_not_enter_the_new_one(
    project: Project, empty_url: URL, server: URL
) -> None:
    """PostgreSQL renames no database while somebody is in it: the old one was dropped, and none was there."""
    project.replace("pyproject.toml", 'seeds = "app.seeds"\n', "")
    do(server, f"alter database {empty_url.database} set work_mem = 77777")
    new = new_name_of(str(empty_url.database))
    with ExitStack() as entered, project.popen("plinth", "reset") as running:
        while running.poll() is None:
            time.sleep(0.002)
            with suppress(psycopg.Error):
                entered.enter_context(psql(server.set(database=new)))
    assert running.returncode == 0
    assert rows(empty_url, "show work_mem") == [("77777kB",)]


def test_a_new_database_that_can_not_take_its_name(empty_url: URL, server: URL) -> None:
    name = str(empty_url.database)

    def be_first(*arguments: object) -> None:
        if " rename to " in str(arguments[2]):
            do(server, f"create database {name}")

    with connect(server, autocommit=True) as session:
        event.listen(session, "before_cursor_execute", be_first)
        with pytest.raises(
            PlinthError, match=f"^Database {name} was dropped, with .*Type the same command again"
        ):
            _make_anew(session, name, None)
    assert rows(server, "select from pg_database where datname like 'plinth_new_%'") == []


def test_an_error_behind_the_drop_says_that_it_was_dropped(project: Project, empty_url: URL) -> None:
    env = project.root / "alembic" / "env.py"
    env.write_text(
        env.read_text().replace("naming_convention=", "version_table_schema='missing', naming_convention=")
    )
    refused = project.refused("plinth", "reset")
    done = f"Database {empty_url.database} was dropped and made anew; its revisions could not be applied: "
    assert refused.startswith(f"plinth: {done}")
    assert "Nothing has been changed" not in refused
    assert "CREATE SCHEMA missing" in refused


@pytest.mark.slow
def test_two_at_once_both_end_well(project: Project, empty_url: URL) -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "plinth", "reset"],
            cwd=project.root,
            env=clean_environment() | project.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for command in running:
        _, errors = command.communicate()
        assert command.returncode == 0, errors
    assert users(empty_url) == 3


@pytest.mark.slow
def test_odd_names_of_databases(project: Project, empty_url: URL) -> None:
    for name in ("select", 'My "App": 100%', "x" * 63):
        url = empty_url.set(database=name)
        drop = SQL("drop database if exists {} with (force)").format(Identifier(name))
        with psql(empty_url) as connection:
            connection.execute(drop)  # a killed run's
            try:
                project.ok("plinth", "reset", DATABASE_URL=url.render_as_string(hide_password=False))
                assert users(url) == 3
            finally:
                connection.execute(drop)


@pytest.mark.slow
def test_reset_after_a_kill(project: Project, empty_url: URL) -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "plinth", "reset"],
        cwd=project.root,
        env=clean_environment() | project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stderr
    while "Running upgrade" not in command.stderr.readline():
        assert command.poll() is None
    command.kill()
    command.communicate()
    project.ok("plinth", "reset")
    assert users(empty_url) == 3
