"""On a protected database, a downgrade that loses rows is refused before it runs, whatever its way."""

import secrets
from collections.abc import Iterator

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth.apply import losses
from plinth.safety import write_marker
from tests.plinth.history import CONCURRENTLY, History, acting_as, do, psql, rows
from tests.plinth.test_safety import elsewhere

IN_BLOCK = CONCURRENTLY + "op.execute({!r})"
EXECUTE = "op.execute({!r})"
DRIVER = "connection = op.get_bind().connection.driver_connection\n"
DOWNGRADES = {
    "table": ("op.drop_table('t')", r"table public\.t \(100 rows\)"),
    "column": ("op.drop_column('t', 'v')", r"column public\.t\.v \(100 rows\)"),
    "hidden by row security": (
        "op.execute('alter table t enable row level security, force row level security')\nop.drop_table('t')",
        r"table public\.t \(100 rows\)",
    ),
    "delete": (EXECUTE.format("delete from t"), r"100 rows of table public\.t"),
    "truncate": (EXECUTE.format("truncate t"), r"column public\.t\.id \(100 rows\)"),
    "update to null": (EXECUTE.format("update t set v = null"), r"column public\.t\.v \(100 rows\)"),
    "update": (EXECUTE.format("update t set v = left(v, 1)"), r"values of column public\.t\.v"),
    "exchange": (
        EXECUTE.format("update t set id = 101 - id"),
        r"values of table public\.t \(up to 100 rows\)",
    ),
    "deferred trigger": (
        EXECUTE.format(
            "create function f() returns trigger language plpgsql as "
            "'begin delete from t; return null; end'; create table made (id int); "
            "create constraint trigger later after insert on made deferrable initially deferred "
            "for each row execute function f(); insert into made values (1)"
        ),
        r"100 rows of table public\.t",
    ),
    "conversion": (
        EXECUTE.format("alter table t alter v type int using null"),
        r"column public\.t\.v \(100 rows\)",
    ),
    "cut": (
        EXECUTE.format("alter table t alter v type varchar(1) using left(v, 1)"),
        r"values of column public\.t\.v",
    ),
    "materialized view": (
        EXECUTE.format("drop materialized view m"),
        r"materialized view public\.m \(100 rows\)",
    ),
    "large object": (EXECUTE.format("select lo_unlink(4711)"), r"large objects \(1 of them\)"),
    "online column": (IN_BLOCK.format("alter table t drop v"), "leaves its transaction"),
    "online delete": (IN_BLOCK.format("delete from t"), "leaves its transaction"),
    "online comment": (IN_BLOCK.format("drop /* x */ table t"), "leaves its transaction"),
    "online block": (IN_BLOCK.format("do $$ begin drop table t; end $$"), "leaves its transaction"),
    "commit": ("op.drop_table('t')\nop.execute('commit')", "leaves its transaction"),
    "swallowed commit": (
        "op.drop_table('t')\ntry:\n    op.execute('commit')\nexcept Exception:\n    op.drop_table('t')\n"
        "    op.execute('commit')",
        "leaves its transaction",
    ),
    "rollback": (
        "op.execute('rollback')\nop.drop_table('t')\nop.execute('commit')",
        "leaves its transaction",
    ),
    "bind's commit": ("op.drop_table('t')\nop.get_bind().commit()", "leaves its transaction"),
    "driver's commit": (
        "op.drop_table('t')\n" + DRIVER + "connection.commit()",
        "speaks to the driver itself",
    ),
    "driver's rollback": (
        "raw = op.get_bind().connection\nraw.rollback()\nraw.cursor().execute('drop table t')\nraw.commit()",
        r"speaks to the driver itself \(cursor\(\) in line",
    ),
    "rollback in a text": (EXECUTE.format("/* */ rollback work; drop table t"), "leaves its transaction"),
    "engine": (
        "engine = sa.create_engine(op.get_bind().engine.url)\n"
        "with engine.begin() as own:\n    own.execute(sa.text('drop table t'))",
        "leaves its transaction",
    ),
    "import": ("import psycopg", "imports psycopg"),
    "isolation": (
        EXECUTE.format("set transaction isolation level serializable") + "\nop.drop_table('t')",
        "has a statement that needs a transaction of its own",
    ),
}


@pytest.fixture
def owner(empty_url: URL) -> Iterator[Engine]:
    """An engine whose sessions own all in a protected database, and are no superuser's."""
    role = f"owner_{secrets.token_hex(4)}"
    do(empty_url, f"create role {role}; grant create on schema public to {role}")
    do(empty_url, f'grant create on database "{empty_url.database}" to {role}')
    engine = create_engine(elsewhere(empty_url), poolclass=NullPool)
    with engine.begin() as connection:
        write_marker(connection, "production")
    do(empty_url, f"alter schema plinth owner to {role}; alter table plinth.environment owner to {role}")
    do(empty_url, "grant execute on function pg_control_system() to public")
    yield acting_as(role, elsewhere(empty_url))
    do(empty_url, f"drop owned by {role}; drop role {role}")


@pytest.fixture
def filled(history: History, owner: Engine, monkeypatch: pytest.MonkeyPatch) -> History:
    """A history whose revision a made a table with rows, a view of it, and a large object."""
    monkeypatch.delenv("APP_ENV", raising=False)
    history.add(
        "a",
        None,
        "op.execute('create table t (id int, v text)')\n"
        "op.execute(\"insert into t select n, n || ' values' from generate_series(1, 100) n\")\n"
        "op.execute('create materialized view m as select generate_series(1, 100) n')\n"
        "op.execute('select lo_create(4711)')",
    )
    command.upgrade(history.config(owner), "a")
    return history


def content(url: URL) -> list[tuple[object, ...]]:
    return rows(
        url,
        "select (select count(*) || ' ' || count(v) || ' ' || sum(length(v)) from t), "
        "(select count(*) from m), (select count(*) from pg_largeobject_metadata where oid = 4711)",
    )


@pytest.mark.parametrize("kind", DOWNGRADES)
def test_it_is_refused_before_it_loses_them(
    kind: str, filled: History, owner: Engine, empty_url: URL
) -> None:
    down, words = DOWNGRADES[kind]
    filled.add("b", "a", "pass", down)
    command.upgrade(filled.config(owner), "b")
    before = content(empty_url)
    with pytest.raises(CommandError, match=rf"{words}.*PLINTH_CONFIRM={empty_url.database}"):
        command.downgrade(filled.config(owner), "a")
    assert content(empty_url) == before
    assert rows(empty_url, "select version_num from alembic_version") == [("b",)]


def test_a_look_while_others_wait_for_the_table_is_short(
    filled: History, owner: Engine, empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(empty_url, "analyze t")
    do(empty_url, "insert into t select n, n || ' values' from generate_series(101, 300000) n")
    monkeypatch.setattr(losses, "LOOK", 0)
    filled.add("b", "a", "pass", "op.execute('update t set v = v where id = 1')")
    command.upgrade(filled.config(owner), "b")
    with pytest.raises(CommandError, match=r"lose values of table public\.t \(up to about \d{6} rows\)"):
        command.downgrade(filled.config(owner), "a")
    monkeypatch.setattr(losses, "LOOK", 60)
    command.downgrade(filled.config(owner), "a")


def test_rows_that_row_security_hides_count_as_lost(filled: History, owner: Engine, empty_url: URL) -> None:
    filled.add("b", "a", "pass", "op.execute('drop table t')")
    command.upgrade(filled.config(owner), "b")
    do(empty_url, "alter table t enable row level security; alter table t force row level security")
    with pytest.raises(CommandError, match=r"table public\.t \(rows that row security hides"):
        command.downgrade(filled.config(owner), "a")


@pytest.mark.parametrize(
    "down",
    [
        "op.add_column('t', sa.Column('w', sa.Text()))\nop.execute('update t set w = v')",
        "op.alter_column('t', 'id', type_=sa.BigInteger())",
        "op.create_index('i', 't', ['v'])",
        "op.execute('update t set v = v')",
    ],
)
def test_what_loses_nothing_needs_no_word(down: str, filled: History, owner: Engine, empty_url: URL) -> None:
    filled.add("b", "a", "pass", down)
    command.upgrade(filled.config(owner), "b")
    command.downgrade(filled.config(owner), "a")
    assert rows(empty_url, "select version_num from alembic_version") == [("a",)]


def test_a_domain_loses_its_check_and_then_goes(filled: History, owner: Engine, empty_url: URL) -> None:
    filled.add(
        "b",
        "a",
        "op.execute('create domain d as int')\nop.execute('alter table t add d d')",
        "op.execute('alter table t drop d')\nop.execute('drop domain d')",
    )
    filled.add(
        "c",
        "b",
        "op.execute('alter domain d add constraint positive check (value > 0)')",
        "op.execute('alter domain d drop constraint positive')",
    )
    command.upgrade(filled.config(owner), "c")
    command.downgrade(filled.config(owner), "a")
    assert rows(empty_url, "select version_num from alembic_version") == [("a",)]


@pytest.mark.parametrize(
    "sql", ["select setval('ids', 7)", "select setval('ids', 1, false)", "select setval('falling', -7)"]
)
def test_a_sequence_that_the_trial_set_back_stands_again_where_it_stood(
    sql: str, filled: History, owner: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    made = "create sequence ids", "create sequence falling increment -1"
    drawn = "select setval('ids', 100), setval('falling', -100)"
    up = "\n".join(EXECUTE.format(each) for each in (*made, drawn))
    filled.add("b", "a", up, f"{EXECUTE.format(sql)}\nop.drop_table('t')")
    command.upgrade(filled.config(owner), "b")
    with pytest.raises(CommandError, match="PLINTH_CONFIRM="):
        command.downgrade(filled.config(owner), "a")
    assert rows(empty_url, "select nextval('ids'), nextval('falling')") == [(101, -101)]
    name = "public.falling" if "falling" in sql else "public.ids"
    assert f"They stand again where they stood: {name}." in caplog.text


def test_a_sequence_that_went_on_stays(
    filled: History, owner: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    up = "\n".join(map(EXECUTE.format, ("create sequence ids", "select setval('ids', 100)")))
    filled.add("b", "a", up, EXECUTE.format("select setval('ids', 200)") + "\nop.drop_table('t')")
    command.upgrade(filled.config(owner), "b")
    with pytest.raises(CommandError, match="PLINTH_CONFIRM="):
        command.downgrade(filled.config(owner), "a")
    assert rows(empty_url, "select nextval('ids')") == [(201,)]
    assert "stand again" not in caplog.text


@pytest.mark.parametrize("down", [IN_BLOCK.format("delete from t"), "op.execute('commit')"])
def test_by_the_word_it_runs(
    down: str, filled: History, owner: Engine, empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.add("b", "a", "pass", down)
    command.upgrade(filled.config(owner), "b")
    monkeypatch.setenv("PLINTH_CONFIRM", str(empty_url.database))
    command.downgrade(filled.config(owner), "a")
    assert rows(empty_url, "select version_num from alembic_version") == [("a",)]


def test_what_a_downgrade_does_by_a_driver_is_done_once(
    filled: History, owner: Engine, empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.add(
        "b",
        "a",
        "pass",
        "import psycopg\ninfo = op.get_bind().connection.driver_connection.info\n"
        "with psycopg.connect(info.dsn, password=info.password) as own:\n"
        "    own.execute('update t set id = id + 1')",
    )
    command.upgrade(filled.config(owner), "b")
    monkeypatch.setenv("PLINTH_CONFIRM", str(empty_url.database))
    command.downgrade(filled.config(owner), "a")
    assert rows(empty_url, "select max(id) from t") == [(101,)]


def test_a_downgrade_may_choose_its_isolation(
    filled: History, owner: Engine, empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    level = EXECUTE.format("set transaction isolation level serializable")
    filled.add("b", "a", level, f"{level}\nop.drop_column('t', 'v')")
    command.upgrade(filled.config(owner), "b")
    monkeypatch.setenv("PLINTH_CONFIRM", str(empty_url.database))
    command.downgrade(filled.config(owner), "a")
    assert rows(empty_url, "select to_jsonb(t) from t where id = 1") == [({"id": 1},)]


def test_nothing_of_a_row_of_downgrades_runs_when_a_later_one_is_refused(
    filled: History, owner: Engine, empty_url: URL
) -> None:
    filled.add("b", "a", "pass", IN_BLOCK.format("delete from t"))
    filled.add("c", "b", "op.execute('create table c ()')", "op.execute('drop table c')")
    command.upgrade(filled.config(owner), "c")
    with pytest.raises(CommandError, match="Revision b leaves its transaction"):
        command.downgrade(filled.config(owner), "a")
    with psql(empty_url) as session:
        assert session.execute("select to_regclass('c')").fetchone() == ("c",)


@pytest.mark.parametrize("kind", ["table", "delete", "online delete", "commit", "driver's commit"])
def test_it_is_refused_in_a_callers_transaction_too(
    kind: str, filled: History, owner: Engine, empty_url: URL
) -> None:
    down, words = DOWNGRADES[kind]
    filled.add("b", "a", "pass", down)
    command.upgrade(filled.config(owner), "b")
    before = content(empty_url)
    with owner.connect() as connection, connection.begin() as transaction:
        with pytest.raises(CommandError, match=rf"{words}.*PLINTH_CONFIRM={empty_url.database}"):
            command.downgrade(filled.config(connection), "a")
        if transaction.is_active:
            transaction.commit()
    assert content(empty_url) == before


def test_what_loses_nothing_is_undone_in_a_callers_transaction(
    filled: History, owner: Engine, empty_url: URL
) -> None:
    filled.add("b", "a", "op.create_index('i', 't', ['v'])", "op.drop_index('i')")
    command.upgrade(filled.config(owner), "b")
    with owner.begin() as connection:
        command.downgrade(filled.config(connection), "a")
    assert rows(empty_url, "select to_regclass('i')") == [(None,)]
    assert rows(empty_url, "select version_num from alembic_version") == [("a",)]
