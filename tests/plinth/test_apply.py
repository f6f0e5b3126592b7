"""Applying revisions: two at once, a kill, a lock that won't come, and nothing is left half done."""

import random
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth.connecting import connect
from tests.plinth.project import Project, copy_project
from tests.test_migrations import catalog

HEAD = "20151009155020"
ROWS = 200_000

BUILD = """with op.get_context().autocommit_block():
    op.drop_index("ix_big_{name}", if_exists=True, postgresql_concurrently=True)
    op.create_index("ix_big_{name}", "big", ["{column}"], postgresql_concurrently=True)"""
UNBUILD = """with op.get_context().autocommit_block():
    op.drop_index("ix_big_{name}", if_exists=True, postgresql_concurrently=True)"""


def rows(url: URL, sql: str) -> list[tuple[object, ...]]:
    with connect(url) as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def do(url: URL, sql: str) -> None:
    with connect(url) as connection:
        connection.execute(text(sql))
        connection.commit()


def write_chain(project: Project, size: int = ROWS) -> None:
    """Write revisions that take long enough to be caught in the act, of both kinds."""
    fill = f"insert into big select n, n % 97, md5(n::text) from generate_series(1, {size}) n"  # noqa: S608
    project.write_revision(
        "c1", HEAD, f'op.execute("create table big (id int, a int, b text)")\nop.execute("{fill}")',
        'op.drop_table("big")',
    )  # fmt: skip
    project.write_revision("c2", "c1", BUILD.format(name="a", column="a"), UNBUILD.format(name="a"))
    project.write_revision(
        "c3", "c2", 'op.add_column("big", sa.Column("c", sa.Text()))\nop.execute("update big set c = b")',
        'op.drop_column("big", "c")',
    )  # fmt: skip
    project.write_revision("c4", "c3", BUILD.format(name="b", column="b"), UNBUILD.format(name="b"))
    project.write_revision(
        "c5",
        "c4",
        'op.create_check_constraint("ck_big_a", "big", "a >= 0")',
        'op.drop_constraint("ck_big_a", "big")',
    )


def assert_undisturbed(project: Project, url: URL, expected: Sequence[str]) -> None:
    """The catalog, the ledger, the indexes and the sessions are as after an undisturbed run."""
    assert catalog(url) == list(expected)
    applied = rows(
        url, "select revision, count(*) from plinth.ledger where direction = 'up' group by 1 order by 1"
    )
    assert applied == [(name, 1) for name in ("20151009115505", HEAD, "c1", "c2", "c3", "c4", "c5")]
    assert rows(url, "select * from plinth.unfinished") == []
    assert rows(url, "select indexrelid::regclass from pg_index where not indisvalid") == []
    others = "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    deadline = time.monotonic() + 10
    while rows(url, others) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert rows(url, others) == []
    assert project.ok("plinth", "status")


def undisturbed(project: Project, url: URL) -> tuple[list[str], float]:
    """Return the catalog after an undisturbed run, and how long it took; the database is empty again."""
    empty(url)
    began = time.monotonic()
    project.ok("alembic", "upgrade", "head")
    took = time.monotonic() - began
    expected = catalog(url)
    empty(url)
    return expected, took


def empty(url: URL) -> None:
    do(url, "drop schema public cascade; drop schema if exists plinth cascade; create schema public")


def eight_at_once(project: Project, url: URL) -> None:
    running = [project.popen("alembic", "upgrade", "head") for _ in range(8)]
    outputs = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * 8, "\n".join(outputs)
    applied = rows(url, "select revision, count(*) from plinth.ledger group by 1 order by 1")
    assert applied == [("20151009115505", 1), (HEAD, 1)]
    assert any("Waiting for alembic upgrade" in output for output in outputs)


def test_eight_at_once_apply_each_revision_once(project: Project, empty_url: URL) -> None:
    eight_at_once(project, empty_url)


def kill_trials(project: Project, url: URL, trials: int, seed: int) -> int:
    """Kill an upgrade at random moments, run it again, and return how many kills landed in the act."""
    expected, took = undisturbed(project, url)
    chance = random.Random(seed)  # noqa: S311
    landed = 0
    for _ in range(trials):
        running = project.popen("alembic", "upgrade", "head")
        time.sleep(max(0.0, took * chance.uniform(0.3, 0.98)))
        if chance.random() < 0.5:
            running.send_signal(signal.SIGKILL)
        else:  # the server's backend
            do_quietly(
                url,
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()",
            )
        running.communicate()
        in_the_act = rows(url, "select to_regclass('big'), to_regclass('alembic_version')")[0]
        if in_the_act[1] is not None and "c5" not in [
            r[0] for r in rows(url, "select version_num from alembic_version")
        ]:
            landed += 1
        project.ok("alembic", "upgrade", "head")
        assert_undisturbed(project, url, expected)
        empty(url)
    return landed


def do_quietly(url: URL, sql: str) -> None:
    with connect(url) as connection:
        connection.execute(text(sql))


def test_a_kill_at_any_moment_leaves_nothing_half_done(project: Project, empty_url: URL) -> None:
    write_chain(project, 50_000)
    kill_trials(project, empty_url, 3, seed=7)


class Pace(threading.Thread):
    """Queries of an application, and the longest of them."""

    def __init__(self, url: URL, sql: str) -> None:
        super().__init__()
        self.url, self.sql = url, sql
        self.worst = 0.0
        self.done = threading.Event()

    def run(self) -> None:
        """Query until it is done."""
        with connect(self.url) as connection:
            while not self.done.is_set():
                began = time.monotonic()
                connection.execute(text(self.sql))
                connection.commit()
                self.worst = max(self.worst, time.monotonic() - began)
                time.sleep(0.01)


def test_a_lock_that_will_not_come_holds_nobody_up(migrated: Project, clone_url: URL) -> None:
    migrated.write_revision("nick", HEAD, 'op.add_column("users", sa.Column("nick", sa.Text()))')
    pace = Pace(clone_url, "select count(*) from users")
    with connect(clone_url) as blocker:
        blocker.execute(text("select 'holding on' from users"))
        pace.start()
        upgrade = migrated.popen("alembic", "upgrade", "head")
        while not rows(clone_url, "select 1 from pg_locks where not granted"):
            assert upgrade.poll() is None
        time.sleep(2)
        blocker.rollback()
    output, _ = upgrade.communicate()
    pace.done.set()
    pace.join()
    print(f"worst query beside a blocked upgrade: {1000 * pace.worst:.0f} ms")  # noqa: T201
    assert upgrade.returncode == 0, output
    assert "Blocked by pid" in output
    assert "holding on" in output
    assert "Trying again" in output
    assert pace.worst < 2  # the blocker held on for longer than that


def test_a_lock_that_never_comes_ends_with_a_sentence(migrated: Project, clone_url: URL) -> None:
    migrated.write_revision("nick", HEAD, 'op.add_column("users", sa.Column("nick", sa.Text()))')
    with connect(clone_url) as blocker:
        blocker.execute(text("lock table users"))
        done = migrated.run(
            "alembic", "upgrade", "head", PLINTH_RETRY_LIMIT="1s", PLINTH_LOCK_TIMEOUT="100ms"
        )
    assert done.returncode != 0
    assert "Gave up after 1 s" in done.stderr + done.stdout
    assert "Run the same command again" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    migrated.ok("alembic", "upgrade", "head")


def test_reading_commands_never_wait(migrated: Project, clone_url: URL) -> None:
    migrated.write_revision("slow", HEAD, 'op.execute("select pg_sleep(120)")')
    upgrade = migrated.popen("alembic", "upgrade", "head")
    while not rows(
        clone_url, "select 1 from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()"
    ):
        assert upgrade.poll() is None
    for reading in ("current", "history"):
        migrated.ok("alembic", reading)
    assert upgrade.poll() is None
    assert migrated.run("plinth", "status").returncode == 1  # pending
    assert upgrade.poll() is None
    upgrade.send_signal(signal.SIGINT)
    upgrade.communicate()


def test_an_interrupt_says_where_it_stands(migrated: Project, clone_url: URL) -> None:
    migrated.write_revision("one", HEAD, 'op.execute("create table one (id int)")')
    migrated.write_revision(
        "two", "one", 'op.execute("create table two (id int)")\nop.execute("select pg_sleep(30)")'
    )
    upgrade = migrated.popen("alembic", "upgrade", "head")
    while not rows(
        clone_url, "select 1 from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()"
    ):
        assert upgrade.poll() is None
    upgrade.send_signal(signal.SIGINT)
    output, _ = upgrade.communicate()
    assert upgrade.returncode == 130
    assert "Traceback" not in output
    assert output.strip().splitlines()[-1].endswith("1 of 2 revisions done; the database stands at one.")
    assert rows(clone_url, "select to_regclass('one')::text, to_regclass('two')::text") == [("one", None)]


def test_the_ledger_says_who_when_and_how_long(project: Project, empty_url: URL) -> None:
    project.ok("alembic", "upgrade", "head")
    project.ok("alembic", "downgrade", "-1")
    project.ok("alembic", "stamp", "head")
    found = rows(
        empty_url,
        "select revision, direction, applied_at is not null, database_user = session_user, "
        "application like '%@%', checksum is not null from plinth.ledger order by id",
    )
    directions = [("20151009115505", "up"), (HEAD, "up"), (HEAD, "down"), (HEAD, "stamp")]
    assert found == [(*each, True, True, True, True) for each in directions]


def test_a_caller_s_transaction_stays_the_caller_s(migrated: Project, clone_url: URL) -> None:
    migrated.write_revision("nick", HEAD, 'op.add_column("users", sa.Column("nick", sa.Text()))')
    migrated.write_revision(
        "build", "nick", BUILD.replace("big", "users").format(name="email", column="email")
    )
    config = Config(str(migrated.root / "alembic.ini"))
    engine = create_engine(clone_url, poolclass=NullPool)
    with engine.connect() as connection, connection.begin() as transaction:
        config.attributes["connection"] = connection
        command.upgrade(config, "nick")
        assert connection.in_transaction()
        with pytest.raises(CommandError, match="has an online step"):
            command.upgrade(config, "build")
        transaction.rollback()
    columns = "select count(*) from pg_attribute where attrelid = 'users'::regclass and attname = 'nick'"
    assert rows(clone_url, columns) == [(0,)]
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    assert rows(clone_url, columns) == [(1,)]


def test_an_invalid_index_is_dropped_and_built_again(migrated: Project, clone_url: URL) -> None:
    do(clone_url, "insert into users (created_at, email) values (now(), 'a'), (now(), 'a')")
    up = BUILD.replace("ix_big", "uq_users").replace('"big"', '"users"').format(name="email", column="email")
    migrated.write_revision("unique", HEAD, up.replace('["email"],', '["email"], unique=True,'))
    done = migrated.run("alembic", "upgrade", "head")
    assert done.returncode != 0
    assert f"{HEAD}" in migrated.ok("alembic", "current")
    do(clone_url, "delete from users where id = (select max(id) from users)")
    migrated.ok("alembic", "upgrade", "head")
    assert rows(
        clone_url, "select indisvalid from pg_index where indexrelid = 'uq_users_email'::regclass"
    ) == [(True,)]


def test_a_server_that_restarts_between_revisions(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from plinth.local_server import LocalServer  # noqa: PLC0415

    monkeypatch.setenv("PLINTH_HOME", str(open_folder / "home"))
    server = LocalServer("restarts", options=["fsync=off"])
    server.start()
    url = server.url("postgres")
    project = copy_project(open_folder / "app", url)
    project.write_revision(
        "one", HEAD, 'op.execute("create table one (id int)")\nop.execute("select pg_sleep(2)")'
    )
    project.write_revision("two", "one", 'op.execute("create table two (id int)")')
    try:
        upgrade = project.popen("alembic", "upgrade", "head")
        while not rows(
            url, "select 1 from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()"
        ):
            assert upgrade.poll() is None
        server.stop()
        server.start()
        output, _ = upgrade.communicate()
        assert upgrade.returncode != 0
        assert "connection to the server was lost" in output
        assert "Run the same command again" in output
        assert "Traceback" not in output
        project.ok("alembic", "upgrade", "head")
        assert rows(url, "select to_regclass('two')::text") == [("two",)]
    finally:
        server.stop()


def test_sql_has_timeouts_and_ledger_rows(project: Project, empty_url: URL) -> None:
    write_chain(project, 10)
    sql = project.ok("alembic", "upgrade", "head", "--sql", DATABASE_URL="postgresql://nowhere.invalid/none")
    assert "SET LOCAL lock_timeout = 250" in sql
    from plinth.__main__ import libpq_url, psql  # noqa: PLC0415

    subprocess.run(
        [psql(), "-Xq", "-v", "ON_ERROR_STOP=1", libpq_url(empty_url)],
        input=sql, text=True, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert len(rows(empty_url, "select 1 from plinth.ledger where direction = 'up'")) == 7
    project.ok("plinth", "status")
