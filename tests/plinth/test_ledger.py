"""The ledger: every application of a revision, in the transaction that made it."""

import getpass
import io
import re
import socket
import subprocess

import psycopg
import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine, MetaData, text
from sqlalchemy.engine import URL

from plinth import checksum
from plinth.__main__ import libpq_url, psql
from plinth.apply.lock import is_held
from plinth.listening import listening
from tests.plinth.history import CONCURRENTLY, History, catalog, clear, do, heads, ledger, rows
from tests.plinth.project import Project

PLAIN = """
revision = "1"

def upgrade() -> None:
    op.execute('select 1')
    op.add_column("users", sa.Column("a", sa.String(20)), schema=f"x{1}y")
"""
SAME = '''
"""A docstring."""
revision: str = '1'  # a comment
def upgrade():
    """Another."""
    op.execute(
        "select "
        "1",
    )
    op.add_column('users', sa.Column("a", sa.String(20),), schema=f'x{1}' "y")
'''


def test_a_row_for_each_application(history: History, empty_engine: Engine, empty_url: URL) -> None:
    history.tables("a", "b", "c")
    command.upgrade(history.config(empty_engine), "b")
    command.upgrade(history.config(empty_engine), "head")
    command.downgrade(history.config(empty_engine), "-1")
    assert ledger(empty_url) == [("a", "up", 1), ("b", "up", 1), ("c", "up", 2), ("c", "down", 2)]
    full = rows(
        empty_url,
        "select distinct database_user = session_user, application, length(checksum), "
        "duration between '0' and '1 minute', applied_at between now() - interval '1 minute' and now() "
        "from plinth.ledger",
    )
    assert full == [(True, f"{getpass.getuser()}@{socket.gethostname()}", 32, True, True)]


def test_the_row_goes_with_its_revision(history: History, empty_engine: Engine, empty_url: URL) -> None:
    history.tables("a")
    history.add("b", "a", 'op.execute("create table t_b ()")\nraise RuntimeError')
    with pytest.raises(RuntimeError):
        command.upgrade(history.config(empty_engine), "head")
    assert ledger(empty_url) == [("a", "up", 1)]
    assert heads(empty_url) == {"a"}
    assert not rows(empty_url, "select from pg_class where relname = 't_b'")


def test_a_database_from_before_the_ledger(history: History, empty_engine: Engine, empty_url: URL) -> None:
    history.tables("5f3a", "9c1b", "d00d")
    command.upgrade(history.config(empty_engine), "9c1b")
    with empty_engine.begin() as connection:
        connection.execute(text("drop schema plinth cascade"))
    command.upgrade(history.config(empty_engine), "head")
    assert ledger(empty_url) == [("5f3a", "stamp", 0), ("9c1b", "stamp", 0), ("d00d", "up", 1)]


def test_nothing_pending_fills_the_ledger_too(history: History, empty_engine: Engine, empty_url: URL) -> None:
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    with empty_engine.begin() as connection:
        connection.execute(text("drop schema plinth cascade"))
    command.upgrade(history.config(empty_engine), "head")
    assert ledger(empty_url) == [("a", "stamp", 0)]


def test_stamps(history: History, empty_engine: Engine, empty_url: URL) -> None:
    history.tables("a", "b", "c")
    command.stamp(history.config(empty_engine), "b")
    command.stamp(history.config(empty_engine), "a")
    assert ledger(empty_url) == [("a", "stamp", 1), ("b", "stamp", 1), ("b", "unstamp", 2)]
    command.stamp(history.config(empty_engine), "c", purge=True)
    assert heads(empty_url) == {"c"}
    assert ledger(empty_url)[-3:] == [("a", "stamp", 3), ("b", "stamp", 3), ("c", "stamp", 3)]


def test_branches_and_merges(history: History, empty_engine: Engine, empty_url: URL) -> None:
    history.tables("a")
    history.add("b1", "a", 'op.execute("create table b1 ()")', 'op.execute("drop table b1")')
    history.add("b2", "a", 'op.execute("create table b2 ()")', 'op.execute("drop table b2")')
    command.upgrade(history.config(empty_engine), "heads")
    assert heads(empty_url) == {"b1", "b2"}
    history.add("m", ("b1", "b2"), "pass")
    command.upgrade(history.config(empty_engine), "head")
    assert [row[0] for row in ledger(empty_url)][-1] == "m"
    command.downgrade(history.config(empty_engine), "base")
    assert heads(empty_url) == set()
    assert sorted(row[:2] for row in ledger(empty_url)[4:]) == [(n, "down") for n in ("a", "b1", "b2", "m")]


def test_two_version_tables_have_a_ledger_each(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    history.configure('version_table="other"')
    command.stamp(history.config(empty_engine), "head")
    assert rows(empty_url, "select version_table, direction, batch from plinth.ledger order by id") == [
        ("alembic_version", "up", 1),
        ("other", "stamp", 1),
    ]


def test_it_is_no_drift(history: History, empty_engine: Engine) -> None:
    history.add("a", None, "pass")
    history.configure("include_schemas=True")
    config = history.config(empty_engine)
    config.attributes["target_metadata"] = MetaData()
    command.upgrade(config, "head")
    command.check(config)


def test_sql_writes_timeouts_and_rows(project: Project, empty_url: URL) -> None:
    history = clear(project)
    history.tables("a", "b")
    history.add("c", "b", f'{CONCURRENTLY}op.create_index("ix", "t_a", ["id"], postgresql_concurrently=True)')
    nowhere = {"DATABASE_URL": "postgresql://nowhere.invalid/none", "PLINTH_LOCK_TIMEOUT": "1s"}
    sql = project.ok("alembic", "upgrade", "head", "--sql", **nowhere)
    assert sql.count("SET LOCAL lock_timeout = 1000;") == 4
    assert sql.index("SET LOCAL lock_timeout", sql.index("Running upgrade b")) < sql.index("CONCURRENTLY")
    assert "COMMIT;\n\nCREATE INDEX CONCURRENTLY" in sql
    subprocess.run(
        [psql(), "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", libpq_url(empty_url)],
        input=sql,
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    assert ledger(empty_url) == [("a", "up", 1), ("b", "up", 1), ("c", "up", 1)]
    project.alembic("upgrade", "head")
    assert len(ledger(empty_url)) == 3


@pytest.mark.parametrize("words", [("upgrade", "a:head"), ("downgrade", "b:a")])
def test_printed_sql_runs_once_and_only_where_it_begins(
    words: tuple[str, str],
    history: History,
    empty_engine: Engine,
    empty_url: URL,
    capsys: pytest.CaptureFixture[str],
) -> None:
    history.configure('version_table="odd:versions"')
    history.tables("a")
    history.add("b", "a", *["op.execute('insert into t_a values ((select count(*) from t_a))')"] * 2)
    history.add("other", None, "op.execute('create table other ()')")
    command.upgrade(history.config(empty_engine), "a" if words[0] == "upgrade" else "b")
    command.upgrade(history.config(empty_engine), "other")
    before = rows(empty_url, "select count(*) from t_a")[0][0]
    getattr(command, words[0])(history.config(), words[1].replace("head", "b"), sql=True)
    printed = capsys.readouterr().out
    do(empty_url, printed)
    again = (
        re.escape(f"This begins at {words[1][0]}, and the database stands at ")
        + ".*alembic upgrade FROM:TO --sql"
    )
    with pytest.raises(psycopg.errors.RaiseException, match=again):
        do(empty_url, printed)
    assert rows(empty_url, "select count(*) from t_a") == [(before + 1,)]


def test_printed_sql_is_one_applier_of_all(
    history: History, empty_engine: Engine, empty_url: URL, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two at once, each began where it should, and the second version of the row was no one's."""
    history.tables("a")
    history.add("b", "a", "op.execute('insert into t_a select count(*) from t_a')")
    history.add("c", "b", "op.execute('create table t_c ()')")
    command.upgrade(history.config(empty_engine), "a")
    capsys.readouterr()
    command.upgrade(history.config(), "a:b", sql=True)
    printed = capsys.readouterr().out
    begun, update, rest = printed.partition("UPDATE alembic_version")
    with psycopg.connect(libpq_url(empty_url), autocommit=True) as first:
        first.execute(begun.encode())
        with pytest.raises(psycopg.errors.RaiseException, match="Another session migrates this database"):
            do(empty_url, printed)
        with empty_engine.connect() as connection:
            assert is_held(connection, "alembic_version")
        first.execute(f"{update}{rest}".encode())
    command.upgrade(history.config(empty_engine), "head")
    assert rows(empty_url, "select id from t_a") == [(0,)]


_FIRST = "insert into t_a select count(*) from t_a"
_WHERE = (
    f"op.execute('{_FIRST}')\n{CONCURRENTLY}",
    f"op.execute('{_FIRST}')\nop.execute('commit')\n",
    f"op.execute('{_FIRST}; commit')\n",
)


@pytest.mark.parametrize("first", _WHERE)
@pytest.mark.parametrize("words", [("upgrade", "a:head"), ("downgrade", "b:a")])
def test_printed_sql_that_stops_half_way_is_not_begun_again(
    words: tuple[str, str], history: History, empty_engine: Engine, empty_url: URL, first: str
) -> None:
    history.tables("a")
    stop = "op.execute('select 1 / count(*) from pass_on')\nop.execute('drop table pass_on')"
    body = first + stop
    history.add("b", "a", *[body] * 2)
    way, target = words
    command.upgrade(history.config(empty_engine), "a")
    if way == "downgrade":
        command.stamp(history.config(empty_engine), "b")
    config = history.config()
    config.output_buffer = io.StringIO()
    getattr(command, way)(config, target, sql=True)
    printed = config.output_buffer.getvalue()

    def typed() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [psql(), "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", libpq_url(empty_url)],
            input=printed,
            text=True,
            capture_output=True,
            check=False,
        )

    do(empty_url, "create table pass_on ()")
    assert "division by zero" in typed().stderr
    do(empty_url, "insert into pass_on default values")
    assert "Revision b was left half done" in typed().stderr
    with pytest.raises(CommandError, match="Revision b was left half done"):
        getattr(command, way)(history.config(empty_engine), "b" if way == "upgrade" else "a")
    assert rows(empty_url, "select id from t_a") == [(0,)]
    do(empty_url, "delete from plinth.unfinished where revision = 'b'")
    assert (typed().returncode, rows(empty_url, "select from plinth.unfinished")) == (0, [])
    assert rows(empty_url, "select count(*) from t_a") == [(2,)]


def test_a_callers_transaction_stays_the_callers(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a", "b")
    with empty_engine.connect() as connection:
        connection.execute(text("select 1"))
        command.upgrade(history.config(connection), "head")
        assert connection.scalar(text("select count(*) from plinth.ledger")) == 2
        assert connection.in_transaction()
        connection.rollback()
    assert catalog(empty_url) == []
    history.add("c", "b", f'{CONCURRENTLY}op.create_index("ix", "t_a", ["id"], postgresql_concurrently=True)')
    with empty_engine.begin() as connection:
        connection.execute(text("select 1"))
        with pytest.raises(CommandError, match=r"Revision c has an online step.*Hand over an engine"):
            command.upgrade(history.config(connection), "head")


def test_a_connection_without_a_transaction_is_put_back(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a")
    settings = text("select current_setting('lock_timeout'), current_setting('application_name')")
    with empty_engine.connect() as connection:
        before = connection.execute(settings).one()
        connection.commit()
        command.upgrade(history.config(connection), "head")
        assert not connection.in_transaction()
        assert connection.execute(settings).one() == before
        ours = text("select from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()")
        assert connection.execute(ours).all() == []
    assert heads(empty_url) == {"a"}


def test_a_command_asks_nothing_twice(history: History, empty_engine: Engine) -> None:
    history.tables("a", "b")
    asked: list[tuple[str, str]] = []

    def note(_: object, __: object, statement: str, parameters: object, *___: object) -> None:
        asked.append((statement, repr(parameters)))

    with listening((empty_engine, "before_cursor_execute", note)):
        command.upgrade(history.config(empty_engine), "a")
        asked.clear()
        command.upgrade(history.config(empty_engine), "head")
    of_alembic = [each for each in asked if "pg_catalog.pg_class.relname" in each[0]]
    ours = [each for each in asked if each not in of_alembic]
    assert len(ours) == len(set(ours))
    assert len(asked) <= 24, asked


def test_only_the_last_commit_waits_for_the_disk(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, f"alter database {empty_url.database} set synchronous_commit = 'on'")
    settings = "current_setting('synchronous_commit') as waits, current_setting('lock_timeout') as lock"
    history.add("a", None, f'op.execute("create table seen as select 1 as at, {settings}")')
    history.add("b", "a", f'op.execute("insert into seen select 2, {settings}")')
    history.add("c", "b", f'op.execute("insert into seen select 3, {settings}")')
    command.upgrade(history.config(empty_engine), "head")
    # Another session cancels after 250 ms; this is the last resort.
    seen = [(1, "off", "5250ms"), (2, "off", "5250ms"), (3, "on", "5250ms")]
    assert rows(empty_url, "select * from seen order by at") == seen
    with empty_engine.connect() as connection:
        command.downgrade(history.config(connection), "a")
        assert connection.scalar(text("show synchronous_commit")) == "on"


def test_the_checksum_is_of_what_the_file_means() -> None:
    assert checksum.of_source(PLAIN) == checksum.of_source(SAME)
    assert checksum.of_source(PLAIN) == "5acb77e5255ff193724758a24ed3e078"
    assert checksum.of_source(PLAIN) != checksum.of_source(PLAIN.replace("20", "21"))
    assert checksum.of_source(PLAIN) != checksum.of_source(PLAIN.replace("20", "'20'"))
    assert checksum.of_source(PLAIN) != checksum.of_source(PLAIN.replace("{1}", "{1!r}"))


def test_the_checksum_is_of_what_the_file_said_when_its_revision_began(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("r1")
    edits = 'with open(__file__, "a") as file:\n    file.write("edited = True\\n")'
    file = history.add("r2", "r1", edits)
    said = checksum.of_file(file)
    command.upgrade(history.config(empty_engine), "head")
    assert said != checksum.of_file(file)
    assert rows(empty_url, "select checksum from plinth.ledger where revision = 'r2'") == [(said,)]
