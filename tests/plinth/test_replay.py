"""Up to the last point a revision that is resumed goes the way that it went: all is answered as it was."""
# ruff: noqa: S608 - SQL in revisions' files, made of constants

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from tests.plinth.history import CONCURRENTLY, History, do, heads, psql, rows, wait_until_blocked

POINTS = "select number from plinth.points where number > 0 order by number"
STOP = 'op.execute("select 1 / count(*) from pass_on")'
BLOCK = f'{CONCURRENTLY}op.execute("create table made ()")\n{STOP}\n'
BIND = "bind = op.get_bind()\n"
COLUMNS = 'each["name"] for each in sa.inspect(op.get_bind()).get_columns("t_a")'
GUARDED = (
    f'if "n" not in {{{COLUMNS}}}:\n'
    '    op.add_column("t_a", sa.Column("n", sa.Integer()))\n'
    "    with op.get_context().autocommit_block():\n"
    '        op.create_index("ix", "t_a", ["n"], unique=True, postgresql_concurrently=True)\n'
    f"    {STOP}\n"
    '    op.execute("update t_a set n = 7")'
)


@pytest.fixture
def table(history: History, empty_engine: Engine, empty_url: URL) -> History:
    """A history with a table `t_a` that has a row, applied."""
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    do(empty_url, "create table pass_on (); insert into t_a values (1)")
    return history


def stopped(
    history: History, engine: Engine, url: URL, body: str, match: str = "The rows don't bear"
) -> None:
    """Write revision b, and apply it up to where it is told to stop."""
    history.add("b", "a", body)
    with pytest.raises(CommandError, match=match):
        command.upgrade(history.config(engine), "head")
    assert heads(url) == {"a"}
    do(url, "insert into pass_on default values")


@contextmanager
def let_go(other: "psycopg.Connection[Any]", url: URL) -> Iterator[None]:
    """Let another session end its transaction when a command has waited for it in vain."""

    def wait() -> None:
        wait_until_blocked(url)
        time.sleep(0.5)
        other.rollback()

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()


def test_a_guard_goes_the_same_way(table: History, empty_engine: Engine, empty_url: URL) -> None:
    stopped(table, empty_engine, empty_url, GUARDED)
    command.upgrade(table.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, "select n from t_a")) == ({"b"}, [(7,)])
    assert rows(empty_url, POINTS) == []


def test_a_guard_of_the_way_down_does_too(table: History, empty_engine: Engine, empty_url: URL) -> None:
    do(empty_url, "alter table t_a add n int, add m int")
    down = (
        f'if "n" in {{{COLUMNS}}}:\n    op.drop_column("t_a", "n")\n'
        "    with op.get_context().autocommit_block():\n"
        f'        op.create_index("ix", "t_a", ["id"], postgresql_concurrently=True)\n    {STOP}\n'
        '    op.drop_column("t_a", "m")'
    )
    table.add("b", "a", "pass", down)
    command.upgrade(table.config(empty_engine), "head")
    with pytest.raises(CommandError, match="The rows don't bear"):
        command.downgrade(table.config(empty_engine), "-1")
    do(empty_url, "insert into pass_on default values")
    command.downgrade(table.config(empty_engine), "-1")
    assert (heads(empty_url), rows(empty_url, "select to_jsonb(t) from t_a t")) == ({"a"}, [({"id": 1},)])


def test_it_does_within_one_command(table: History, empty_engine: Engine, empty_url: URL) -> None:
    do(empty_url, "create table t_u (id int)")
    last = 'op.add_column("t_u", sa.Column("n", sa.Integer()))'
    table.add("b", "a", GUARDED.replace(STOP, "pass").replace('op.execute("update t_a set n = 7")', last))
    with psql(empty_url, autocommit=False) as other:
        other.execute("select from t_u")
        with let_go(other, empty_url):
            command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"b"}
    assert rows(empty_url, "select from pg_attribute where attrelid = 't_u'::regclass and attname = 'n'")


def test_what_is_asked_only_once_in_a_command_is_not_missed(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    body = GUARDED.replace(f"{{{COLUMNS}}}", "columns()").replace(STOP, 'op.execute("lock table pass_on")')
    remember = f"import functools\n@functools.cache\ndef columns():\n    return {{{COLUMNS}}}"
    table.add("b", "a", body, extra=remember)
    with psql(empty_url, autocommit=False) as other:
        other.execute("select from pass_on")
        with let_go(other, empty_url):
            command.upgrade(table.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, "select n from t_a")) == ({"b"}, [(7,)])


def test_one_of_an_older_plinth_is_refused_where_it_goes_another_way(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    stopped(table, empty_engine, empty_url, GUARDED)
    do(empty_url, "update plinth.points set result = result - 'before' - 'after'")
    with pytest.raises(CommandError, match=r"to its end after its step 0 now.*Not reached is .*downgrade -1"):
        command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"a"}
    command.downgrade(table.config(empty_engine), "-1")
    command.upgrade(table.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, "select n from t_a")) == ({"b"}, [(7,)])


def test_one_of_an_older_plinth_goes_on_where_it_goes_the_same_way(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    ask = f'{BIND}assert bind.scalar(sa.text("select count(*) from t_a")) == 1\n'
    stopped(table, empty_engine, empty_url, f'{ask}{BLOCK}op.execute("create table more ()")')
    do(empty_url, "update plinth.points set result = result - 'before' - 'after'")
    command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"b"}


def test_rows_that_were_read_before_they_were_changed_are_those(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, "alter table t_a add kind text; create table t_s (id int)")
    do(empty_url, "update t_a set kind = 'special'; insert into t_a values (2, 'special'), (3, 'plain')")
    body = (
        f"{BIND}found = bind.scalars(sa.text(\"select id from t_a where kind = 'special'\")).all()\n"
        "op.execute(\"update t_a set kind = 'plain'\")\n"
        f"{BLOCK}"
        "for each in found:\n"
        '    op.execute(sa.text("insert into t_s values (:id)").bindparams(id=each))'
    )
    stopped(table, empty_engine, empty_url, body)
    command.upgrade(table.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, "select id from t_s")) == ({"b"}, [(1,), (2,)])


def test_a_loop_whose_statements_are_alike_takes_none_for_another(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, "create table todo (n int); insert into todo values (1), (2), (3)")
    body = (
        f'{BIND}for n in bind.scalars(sa.text("select n from todo order by n")).all():\n'
        "    with op.get_context().autocommit_block():\n"
        '        op.execute("insert into t_a select min(n) * 10 from todo")\n'
        '        op.execute("delete from todo where n = (select min(n) from todo)")\n'
        f"        {STOP}"
    )
    stopped(table, empty_engine, empty_url, body)
    command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select id from t_a order by id") == [(1,), (10,), (20,), (30,)]
    assert rows(empty_url, "select from todo") == []


def test_a_guard_of_an_index_that_is_not_finished_builds_it(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, "insert into t_a values (2); alter table t_a add n int default 1")
    body = (
        'if "ix" not in {each["name"] for each in sa.inspect(op.get_bind()).get_indexes("t_a")}:\n'
        f"    {CONCURRENTLY.strip()}\n"
        '        op.create_index("ix", "t_a", ["n"], unique=True, postgresql_concurrently=True)'
    )
    stopped(table, empty_engine, empty_url, body)
    # As after a kill -9, and the index is left.
    do(empty_url, "delete from t_a where id = 2; create unique index if not exists ix on t_a (n)")
    do(empty_url, "update pg_index set indisvalid = false where indexrelid = 'ix'::regclass")
    command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"b"}
    assert rows(empty_url, "select indisvalid from pg_index where indexrelid = 'ix'::regclass") == [(True,)]


def test_what_another_connection_reads_is_answered_as_it_was(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    body = (
        "with op.get_bind().engine.connect() as other:\n"
        '    names = {each["name"] for each in sa.inspect(other).get_columns("t_a")}\n'
        'if "n" not in names:\n'
        '    op.add_column("t_a", sa.Column("n", sa.Integer()))\n'
        f'    {CONCURRENTLY.strip()}\n        op.execute("create table made ()")\n'
        f'    {STOP}\n    op.execute("update t_a set n = 7")'
    )
    stopped(table, empty_engine, empty_url, body)
    command.upgrade(table.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, "select n from t_a")) == ({"b"}, [(7,)])


# What is caught, and what has another outcome once the statements behind it are done.
CAUGHT = {
    "a savepoint": (
        "for name in ('key', 'uq'):\n"
        "    try:\n"
        "        with bind.begin_nested():\n"
        '            op.drop_constraint(name, "t_a")\n'
        "    except sa.exc.ProgrammingError as error:\n"
        '        assert error.orig.diag.sqlstate == "42704" and name in str(error)\n'
        'op.create_unique_constraint("uq", "t_a", ["email"])\n'
    ),
    "no transaction": (
        "with op.get_context().autocommit_block():\n"
        "    try:\n"
        '        op.drop_constraint("uq", "t_a")\n'
        "    except sa.exc.ProgrammingError:\n"
        "        pass\n"
        'op.drop_constraint("key", "t_a")\n'
        'op.create_unique_constraint("uq", "t_a", ["email"])\n'
    ),
    "a typed savepoint": (
        'op.execute("savepoint s")\n'
        "try:\n"
        '    op.execute("create table gone ()")\n'
        '    op.execute("alter table t_a drop constraint uq")\n'
        "except sa.exc.ProgrammingError:\n"
        '    op.execute("rollback work to savepoint S")\n'
        'op.drop_constraint("key", "t_a")\n'
        'op.create_unique_constraint("uq", "t_a", ["email"])\n'
    ),
    "a question": (
        "try:\n"
        "    with bind.begin_nested():\n"
        '        bind.execute(sa.text("select from made"))\n'
        "except sa.exc.ProgrammingError:\n"
        '    op.drop_constraint("key", "t_a")\n'
        '    op.create_unique_constraint("uq", "t_a", ["email"])\n'
    ),
}


@pytest.mark.parametrize("where", CAUGHT)
def test_what_failed_fails_again(table: History, empty_engine: Engine, empty_url: URL, where: str) -> None:
    do(empty_url, "alter table t_a add email text constraint key unique")
    stopped(table, empty_engine, empty_url, f"{BIND}{CAUGHT[where]}{BLOCK}")
    do(empty_url, "insert into t_a values (2, 'a')")
    command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"b"}
    unique = "select conname from pg_constraint where conrelid = 't_a'::regclass and contype = 'u'"
    assert rows(empty_url, unique) == [("uq",)]
    assert rows(empty_url, "select to_regclass('gone')") == [(None,)]


def test_what_was_rolled_back_is_not_taken_for_done(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    body = (
        'op.execute("alter table t_a add n int")\n'
        'op.execute("savepoint s")\n'
        'op.execute("alter table t_a rename n to m")\n'
        'op.execute("rollback to s")\n'
        'op.execute("alter table t_a rename n to k")\n'
        'op.execute("rollback to s")\n'
        f"{BLOCK}"
        'op.execute("update t_a set n = 1")'
    )
    stopped(table, empty_engine, empty_url, body)
    assert rows(empty_url, POINTS) == [(1,), (4,)]
    command.downgrade(table.config(empty_engine), "-1")
    assert rows(empty_url, "select to_jsonb(t) from t_a t") == [({"id": 1},)]
    do(empty_url, "delete from pass_on")
    stopped(table, empty_engine, empty_url, body)
    command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select n from t_a") == [(1,)]


MADE_ANEW = {
    "values": (
        'sa.text("insert into t_a values (:n)").bindparams(n=time.time_ns() % 10**9)',
        "other values now",
    ),
    "a text": ('f"insert into t_a values ({time.time_ns() % 10**9})"', "is another statement now"),
    "a question": (
        'sa.text("select id from t_a where id < :n").bindparams(n=time.time_ns())',
        "asks something else now",
    ),
}


@pytest.mark.parametrize("what", MADE_ANEW)
def test_what_python_makes_anew_is_refused_before_anything_runs(
    table: History, empty_engine: Engine, empty_url: URL, what: str
) -> None:
    statement, said = MADE_ANEW[what]
    stopped(
        table, empty_engine, empty_url, f'op.execute({statement})\n{BLOCK}op.execute("create table more ()")'
    )
    for _ in range(2):
        with pytest.raises(CommandError, match=rf"after its step \d.*{said}.*downgrade -1; or do by hand"):
            command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select to_regclass('more')") == [(None,)]


def test_a_refusal_that_the_revision_catches_is_one(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    body = (
        "try:\n"
        '    op.execute(f"insert into t_a values ({time.time_ns() % 10**9})")\n'
        f'except Exception:\n    pass\n{BLOCK}op.execute("create table more ()")'
    )
    stopped(table, empty_engine, empty_url, body)
    with pytest.raises(CommandError, match="is another statement now"):
        command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select to_regclass('more')") == [(None,)]


VALUES = """
    select null::int as a, '{1,NULL,2}'::int[] as b, 'null'::jsonb as c, '[1, {"x": null}]'::json as d,
        '\\\\x00ff'::bytea as e, 1.50::numeric as f, 'NaN'::float8 as g,
        '2020-01-01 10:00+02'::timestamptz as h,
        '1 mon 2 days'::interval as i, true as j, 'c3f5b5ba-0000-4000-8000-000000000000'::uuid as k,
        '[1,3)'::int4range as l, 'ab'::char(5) as m, '101'::bit(3) as n, '10'::varbit(4) as o,
        '5'::"char" as p, array['ab', 'c']::name[] as q, '1 2'::oidvector as r, '3 4'::int2vector as s,
        array['a b', null]::char(3)[] as t, 'x'::mood as u, 7::positive as v, '10.0.0.0/8'::cidr as w,
        't_a'::regclass as x, (1, 'a')::pair as y, array['x']::mood[] as z, '' as "é %%", 'x' as "é %%",
        date '2020-02-29' as aa, time '10:00' as ab, '$5'::money as ac, array[B'101'] as ad,
        '{[1,3),[5,7)}'::int4multirange as ae, array['2020-01-01'::date] as af, 1::smallint, 'é'::varchar(3)
    """


@pytest.mark.parametrize("how", ["reads", "writes"])
def test_values_of_all_kinds_come_back(
    table: History, empty_engine: Engine, empty_url: URL, how: str
) -> None:
    do(
        empty_url,
        "create type mood as enum ('x'); create domain positive as int; create type pair as (a int, b text)",
    )
    query = f"with w as (insert into t_a values (2)) {VALUES}" if how == "writes" else VALUES
    said = table.folder / "said"
    body = (
        f'{BIND}found = bind.exec_driver_sql("""{query}""")\n'
        f"with open({str(said)!r}, 'a') as file:\n"
        "    print(list(found.keys()), found.rowcount, found.all(), file=file)\n"
        f'{CONCURRENTLY}op.execute("drop type if exists mood cascade")\n{STOP}'
    )
    stopped(table, empty_engine, empty_url, body)
    command.upgrade(table.config(empty_engine), "head")
    first, second = said.read_text().splitlines()
    assert first == second


def test_of_rows_that_nobody_asked_for_only_the_number_comes_back(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    body = f'n = op.get_bind().exec_driver_sql("update t_a set id = id + 1").rowcount\n{BLOCK}'
    stopped(table, empty_engine, empty_url, f'{body}op.execute(f"insert into t_a values ({{n}})")')
    do(empty_url, "update plinth.points set result = result || '{\"rowcount\": 70000000}' where number = 1")
    command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select max(id) from t_a") == [(70000000,)]


LONG = "select generate_series(1, 200000) + count(*) as n from t_a"


@pytest.mark.parametrize(
    ("query", "before", "refused"),
    [
        (LONG, "", None),
        (LONG, "insert into t_a values (2)", "what it asks can't be passed over.*is another one by now"),
        (f"with w as ({LONG}) select n from w", "", None),
        ("select (1, count(*)) as n from t_a", "insert into t_a values (2)", "is another one by now"),
        (f"with w as (insert into t_a values (5)) {LONG}", "", "its step 1 can't be passed over.*too long"),
    ],
)  # fmt: skip
def test_what_is_too_long_is_asked_again_and_has_to_be_the_same(  # noqa: PLR0917 - fixtures, and a case
    table: History, empty_engine: Engine, empty_url: URL, query: str, before: str, refused: str | None
) -> None:
    body = f'found = op.get_bind().exec_driver_sql("{query}").all()\n{BLOCK}'
    stopped(table, empty_engine, empty_url, f'{body}op.execute(f"insert into t_a values ({{len(found)}})")')
    do(empty_url, before or "select")
    if refused:
        with pytest.raises(CommandError, match=rf"{refused}.*downgrade -1"):
            command.upgrade(table.config(empty_engine), "head")
        assert heads(empty_url) == {"a"}
        return
    command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select max(id) from t_a") == [(200000,)]


STREAMS = {
    "all of them": (".all()", [(1,), (2,), (3,), (4,), (11,), (12,), (13,), (14,)]),
    "one after the other": ("", [(1,), (2,), (3,), (4,), (11,), (12,), (13,), (14,)]),
    "the first": (".fetchmany(2)", [(1,), (2,), (3,), (4,), (11,), (12,)]),
}


@pytest.mark.parametrize("way", STREAMS)
@pytest.mark.parametrize("query", ["select id from t_a", "with w as (select id from t_a) select id from w"])
def test_what_is_streamed_is_remembered_as_far_as_it_was_read(
    table: History, empty_engine: Engine, empty_url: URL, query: str, way: str
) -> None:
    read, expected = STREAMS[way]
    do(empty_url, "insert into t_a select generate_series(2, 4)")
    body = (
        f'{BIND}query = sa.text("{query} order by id")\n'
        'result = bind.execute(query, execution_options={"yield_per": 2}).scalars()\n'
        f"found = list(result{read})\nresult.close()\n"
        f"{BLOCK}for each in found:\n"
        '    op.execute(f"insert into t_a values ({each} + 10)")'
    )
    stopped(table, empty_engine, empty_url, body)
    command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select id from t_a order by id") == expected


def test_a_stream_that_is_too_long_is_not_taken_for_no_rows(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    body = (
        f"{BIND}query = sa.text(\"select repeat('x', 500000) from generate_series(1, 3)\")\n"
        'found = bind.execute(query, execution_options={"stream_results": True}).scalars().all()\n'
        f'{BLOCK}op.execute("insert into t_a values (2)")'
    )
    stopped(table, empty_engine, empty_url, body)
    with pytest.raises(CommandError, match=r"not remembered, for it was too long.*downgrade -1"):
        command.upgrade(table.config(empty_engine), "head")


DROPPED = {
    "a function": (
        "op.execute(\"create function fill() returns void language sql as 'insert into t_a values (5)'\")\n"
        'op.execute("select fill()")\nop.execute("drop function fill()")\n'
    ),
    "a type": (
        "op.execute(\"create type mood as enum ('x')\")\n"
        "op.get_bind().exec_driver_sql(\"insert into t_a values (5) returning 'x'::mood\").all()\n"
        'op.execute("drop type mood")\n'
    ),
}


@pytest.mark.parametrize("what", DROPPED)
def test_what_is_dropped_by_a_later_step_is_not_needed_again(
    table: History, empty_engine: Engine, empty_url: URL, what: str
) -> None:
    stopped(table, empty_engine, empty_url, f"{DROPPED[what]}{BLOCK}")
    command.upgrade(table.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, "select id from t_a")) == ({"b"}, [(1,), (5,)])


@pytest.mark.parametrize(
    "make",
    [
        ["create unlogged table kept as select id from t_a"],
        ["create unlogged table public.kept (id int)", "insert into kept select id from t_a"],
    ],
)
@pytest.mark.parametrize("way", ["fill", "back"])
def test_a_helper_table_that_a_crash_has_emptied_is_not_read(
    table: History, empty_engine: Engine, empty_url: URL, make: list[str], way: str
) -> None:
    helper = "".join(f'op.execute("{each}")\n' for each in make)
    last = 'op.execute("update t_a set id = kept.id + 1 from kept where kept.id = t_a.id")'
    stopped(table, empty_engine, empty_url, f"{helper}{BLOCK}{last}")
    do(empty_url, "truncate kept")  # which is what is left of it
    with pytest.raises(CommandError, match=r"UNLOGGED table (public\.)?kept is gone.*Fill it again.*or take"):
        command.upgrade(table.config(empty_engine), "head")
    if way == "fill":
        do(empty_url, "insert into kept select id from t_a")
    else:
        command.downgrade(table.config(empty_engine), "-1")
    command.upgrade(table.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, "select id from t_a")) == ({"b"}, [(2,)])


def test_a_helper_table_that_is_empty_by_rights_is_not_missed(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    texts = [
        "create unlogged table kept as select id from t_a",
        "delete from kept",
        "create unlogged table k ()",
    ]
    helper = "".join(f'op.execute("{each}")\n' for each in texts)
    stopped(table, empty_engine, empty_url, f"{helper}{BLOCK}")
    command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"b"}


def test_an_index_that_was_made_by_hand_meanwhile_is_not_taken_for_the_one_that_failed(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, "alter table t_a add n int default 1; insert into t_a values (2)")
    create = 'op.create_index("ix", "t_a", ["n"], unique=True, postgresql_concurrently=True)'
    stopped(table, empty_engine, empty_url, f"{CONCURRENTLY}{create}")
    do(empty_url, "drop index if exists ix; create index ix on t_a (n); delete from t_a where id = 2")
    command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"b"}
    assert rows(empty_url, "select indisunique from pg_index where indexrelid = 'ix'::regclass") == [(True,)]


HELPER = """
from alembic import op

def load(bind):
    with bind.connection.cursor() as cursor, cursor.copy("copy t_a from stdin") as copy:
        copy.write_row((7,))
"""


def test_what_a_helper_tells_the_driver_is_not_done_twice(
    table: History, empty_engine: Engine, empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(table.folder))
    (table.folder / "our_loading.py").write_text(HELPER)
    body = f"from our_loading import load\n{BIND}op.execute('create table t_u ()')\nload(bind)\n{BLOCK}"
    stopped(table, empty_engine, empty_url, body)
    unseen = (
        r"the driver's own cursor\(\) in line 5 of our_loading isn't seen.*downgrade -1.*repeatable = True"
    )
    with pytest.raises(CommandError, match=unseen):
        command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select id from t_a order by id") == [(1,), (7,)]


BLOCK_ELSEWHERE = """
import sqlalchemy as sa
from alembic import op

def build():
    columns = {each["name"] for each in sa.inspect(op.get_bind()).get_columns("t_a")}
    if "n" not in columns:
        op.add_column("t_a", sa.Column("n", sa.Integer()))
        with op.get_context().autocommit_block():
            op.create_index("ix", "t_a", ["n"], postgresql_concurrently=True)
        op.execute("select 1 / count(*) from pass_on")
        op.execute("update t_a set n = 7")
"""


@pytest.mark.parametrize("way", ["on", "back"])
def test_a_helper_that_commits_goes_on_and_is_taken_back(
    table: History, empty_engine: Engine, empty_url: URL, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    package = table.folder / f"our_{way}"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "building.py").write_text(BLOCK_ELSEWHERE)
    monkeypatch.syspath_prepend(str(table.folder))
    body = f'from our_{way} import building\nop.execute("create table t_u ()")\nbuilding.build()'
    stopped(table, empty_engine, empty_url, body)
    if way == "back":
        command.downgrade(table.config(empty_engine), "b@-1")
        assert rows(empty_url, "select to_regclass('t_u'), to_regclass('ix')") == [(None, None)]
    command.upgrade(table.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, "select n from t_a")) == ({"b"}, [(7,)])


def test_no_point_is_behind_a_lock_that_did_not_come(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, "create table t_u (id int constraint positive check (id > 0))")
    body = (
        f'{BIND}op.execute("alter table t_a add n int")\n'
        "try:\n"
        "    with bind.begin_nested():\n"
        '        op.drop_constraint("positive", "t_u")\n'
        "except sa.exc.DBAPIError:\n"
        "    pass\n"
        f'{CONCURRENTLY}op.execute("update t_a set n = 1")'
    )
    table.add("b", "a", body)
    with psql(empty_url, autocommit=False) as other:
        other.execute("select from t_u")
        with let_go(other, empty_url):
            command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"b"}
    assert rows(empty_url, "select from pg_constraint where conname = 'positive'") == []
