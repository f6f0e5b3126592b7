"""A revision of several transactions is resumed behind the last one that was committed."""
# ruff: noqa: S608 - SQL in revisions' files, made of constants

import threading
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from plinth.apply.points import reads
from plinth.apply.renamed import ways_back
from plinth.catalog import read_catalog
from plinth.status import WRONG, status
from tests.plinth.history import CONCURRENTLY, History, do, heads, psql, rows

POINTS = "select number from plinth.points where number > 0 order by number"
# Any of these would fail, or leave something else, if it were run twice.
STATEMENTS = (
    'op.add_column("t_a", sa.Column("n", sa.Integer()))',
    'op.execute("insert into t_a (id, n) values (1, 0)")',
    f'{CONCURRENTLY}op.execute("update t_a set n = n + 1")',
    f'{CONCURRENTLY}op.create_index("ix", "t_a", ["n"], postgresql_concurrently=True)',
    f'{CONCURRENTLY}op.execute("do $$ begin update t_a set n = n + 10; end $$")',
    'op.create_check_constraint(op.f("ck"), "t_a", "n > 0", postgresql_not_valid=True)',
    f'{CONCURRENTLY}op.execute("alter table t_a validate constraint ck")',
    'op.execute("update t_a set n = n + 100")',
)
STOP = 'op.execute("select 1 / count(*) from pass_on")'  # reads: it has no number


@pytest.fixture
def table(history: History, empty_engine: Engine, empty_url: URL) -> History:
    """A history with a table `t_a`, applied."""
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    with psql(empty_url) as connection:
        connection.execute("create table pass_on ()")
    return history


def let_pass(url: URL) -> None:
    with psql(url) as connection:
        connection.execute("insert into pass_on default values")


@pytest.mark.parametrize("place", range(len(STATEMENTS) + 1))
def test_it_goes_on_behind_the_last_point(
    table: History, empty_engine: Engine, empty_url: URL, place: int
) -> None:
    table.add("b", "a", "\n".join([*STATEMENTS[:place], STOP, *STATEMENTS[place:]]))
    with pytest.raises(CommandError, match="The rows don't bear revision b"):
        command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"a"}
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"b"}
    assert rows(empty_url, "select id, n from t_a") == [(1, 111)]
    assert rows(empty_url, "select convalidated from pg_constraint where conname = 'ck'") == [(True,)]
    assert rows(empty_url, "select indisvalid from pg_index where indexrelid = 'ix'::regclass") == [(True,)]
    assert rows(empty_url, POINTS) == []


def test_the_way_down_is_resumed_too(table: History, empty_engine: Engine, empty_url: URL) -> None:
    table.add("b", "a", "pass", "\n".join([*STATEMENTS[:3], STOP, *STATEMENTS[3:]]))
    command.upgrade(table.config(empty_engine), "head")
    with pytest.raises(CommandError, match="What it had finished before stays"):
        command.downgrade(table.config(empty_engine), "-1")
    assert (heads(empty_url), rows(empty_url, POINTS)) == ({"b"}, [(1,), (2,), (3,)])
    let_pass(empty_url)
    command.downgrade(table.config(empty_engine), "-1")
    assert (heads(empty_url), rows(empty_url, "select n from t_a")) == ({"a"}, [(111,)])


FAULTS = {
    "select 1 / 0": r"Fix the rows, and run .*again\. Or, to correct the file, take back .*: {back}$",
    "select nothing": r"Take back what is done \({back}\), correct the file, and run",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("direction", ["up", "down"])
def test_its_file_is_corrected_when_it_is_taken_back(
    table: History, empty_engine: Engine, empty_url: URL, direction: str, fault: str
) -> None:
    first = f'{CONCURRENTLY}op.execute("create table t_b ()")'
    wrong = f'{first}\nop.execute("{fault}")'
    config = table.config(empty_engine)
    config.cmd_opts = Namespace(x=None)  # as typed
    file = table.add("b", "a", *([wrong, "pass"] if direction == "up" else ["pass", wrong]))
    run: Callable[[], object] = lambda: command.upgrade(config, "head")  # noqa: E731
    go_back: Callable[[], object] = lambda: command.downgrade(config, "b@-1")  # noqa: E731
    back = "alembic downgrade b@-1"
    if direction == "down":
        run()
        run, go_back, back = go_back, lambda: command.upgrade(config, "b"), "alembic upgrade b"
    with pytest.raises(CommandError, match=FAULTS[fault].format(back=back)):
        run()
    file.write_text(file.read_text().replace(fault, "select 1"))
    with pytest.raises(CommandError, match="its file was edited"):
        run()
    go_back()
    assert rows(empty_url, POINTS) == []
    run()
    assert heads(empty_url) == ({"b"} if direction == "up" else {"a"})


def test_what_a_statement_returned_is_returned_again(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    loop = (
        'op.execute("insert into t_a select generate_series(1, 5)")\n'
        "with op.get_context().autocommit_block():\n"
        "    taken = []\n"
        '    batch = sa.text("delete from t_a where id in (select min(id) from t_a) returning id")\n'
        "    while found := op.get_bind().execute(batch).scalars().all():\n"
        "        taken += found\n"
        '    count = op.get_bind().exec_driver_sql("update t_a set id = id").rowcount\n'
        f"    {STOP}\n"
        '    op.execute(f"create table t_b as select {sum(taken)} as total, {count} as count")'
    )
    table.add("b", "a", loop)
    with pytest.raises(CommandError, match="The rows don't bear"):
        command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select from t_a") == []
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select * from t_b") == [(15, 0)]


# Rows that have no value yet get one, one after the other, each with a commit.
_LEFT = 'op.get_bind().scalars(sa.text("select id from t_a where n is null order by id limit {}")).all()'
_VALUE = 'op.get_bind().execute(sa.text("update t_a set n = 1 where id = any(:ids)"), {"ids": [found[0]]})'
ONE_BY_ONE = {
    "what is left": f"    while found := {_LEFT.format(1)}:\n        {_VALUE}\n        {STOP}\n",
    "a list": f"    for found in ([each] for each in {_LEFT.format(9)}):\n        {_VALUE}\n        {STOP}\n",
}


@pytest.mark.parametrize("over", ONE_BY_ONE)
def test_no_row_is_missed_by_a_loop_that_has_other_values_when_it_is_resumed(
    table: History, empty_engine: Engine, empty_url: URL, over: str
) -> None:
    with psql(empty_url) as connection:
        connection.execute("insert into t_a (id) select generate_series(1, 5)")
    table.add("b", "a", f"{STATEMENTS[0]}\nwith op.get_context().autocommit_block():\n{ONE_BY_ONE[over]}")
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select count(*) from t_a where n is null") == [(4,)]
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"b"}
    assert rows(empty_url, "select count(*) from t_a where n is null") == [(0,)]
    assert rows(empty_url, POINTS) == []


def test_what_the_driver_was_told_directly_is_not_done_twice(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    direct = "op.get_bind().connection.cursor().execute('insert into t_a values (7)')"
    create = f'{CONCURRENTLY}op.create_index("ix", "t_a", ["id"], postgresql_concurrently=True)'
    file = table.add("b", "a", f"{direct}\n{create}\n{STOP}")
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    unseen = r"the driver's own cursor\(\) in line 16 isn't seen.*downgrade -1.*repeatable = True"
    with pytest.raises(CommandError, match=unseen):
        command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select id from t_a") == [(7,)]
    file.write_text(f"{file.read_text()}\nrepeatable = True\n")
    with psql(empty_url) as connection:
        connection.execute("delete from t_a")
    command.upgrade(table.config(empty_engine), "head")
    assert (rows(empty_url, "select id from t_a"), rows(empty_url, POINTS)) == ([(7,)], [])


def test_a_commit_of_its_own_is_a_point(table: History, empty_engine: Engine, empty_url: URL) -> None:
    body = ['op.execute("create table t_b ()")', 'op.execute("COMMIT")', STOP, 'op.execute("drop table t_b")']
    table.add("b", "a", "\n".join(body))
    with pytest.raises(CommandError, match="What it had finished before stays"):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"b"}


def test_what_was_rolled_back_to_a_savepoint_is_not_done(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    body = (
        "savepoint = op.get_bind().begin_nested()\n"
        'op.execute("create table t_b ()")\n'
        "savepoint.rollback()\n"
        f'{CONCURRENTLY}op.execute("create table t_c ()")\n'
        f"{STOP}\n"
        'op.execute("create table t_b ()")'
    )
    table.add("b", "a", body)
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select to_regclass('t_b') is null, to_regclass('t_c') is null") == [
        (False, False)
    ]


def test_a_file_that_was_edited_is_refused(table: History, empty_engine: Engine, empty_url: URL) -> None:
    file = table.add("b", "a", "\n".join([*STATEMENTS[:3], STOP]))
    before = file.read_text()
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    file.write_text(before.replace("n + 1", "n + 1000"))
    with pytest.raises(CommandError, match="interrupted after its step 3, and its file was edited since"):
        command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"a"}
    file.write_text(before)
    command.upgrade(table.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, "select n from t_a")) == ({"b"}, [(1,)])


def test_another_statement_in_the_place_of_one_that_is_done_is_refused(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    told = table.folder / "told"
    told.write_text("0")
    read = f'__import__("pathlib").Path({str(told)!r}).read_text()'
    body = f'{CONCURRENTLY}op.execute("create table t_" + {read} + " ()")\n{STOP}'
    table.add("b", "a", body)
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    told.write_text("1")
    with pytest.raises(CommandError, match=r"its step 1 is another.*create table t_1.*older Plinth.*-1; or"):
        command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select to_regclass('t_1')") == [(None,)]


def test_old_files_are_simply_run_again(table: History, empty_engine: Engine, empty_url: URL) -> None:
    body = f'{CONCURRENTLY}op.execute("create table if not exists t_b ()")\n{STOP}'
    table.add("b", "a", body, extra="repeatable = True")
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, POINTS) == []
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"b"}


def test_nothing_is_remembered_of_a_revision_of_one_transaction(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    table.add("b", "a", f'op.execute("create table t_b ()")\n{STOP}')
    with pytest.raises(CommandError, match="It was rolled back: nothing of it has changed the database"):
        command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, POINTS) == []
    assert sa.inspect(empty_engine).has_table("t_b") is False


def test_a_commit_that_is_read_from_a_file_is_a_point(
    table: History, empty_engine: Engine, empty_url: URL, tmp_path: Path
) -> None:
    (tmp_path / "some.sql").write_text("insert into t_a values (1); commit;")
    body = (
        'found = op.get_bind().scalar(sa.text("select count(*) from t_a"))\n'
        f'from pathlib import Path\nfor each in Path("{tmp_path}/some.sql").read_text().split("; "):\n'
        "    op.execute(each)\n"
        f'{STOP}\nif not found:\n    op.execute("insert into t_a values (2)")'
    )
    table.add("b", "a", body)
    with pytest.raises(CommandError, match="goes on behind it"):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select id from t_a order by id") == [(1,), (2,)]


SHAPE = (
    "select attname from pg_attribute where attrelid = 't_a'::regclass and attnum > 0 and not attisdropped"
)
PARTS = (
    "select conname from pg_constraint where conrelid = 't_a'::regclass and contype in ('c', 'p') order by 1"
)


@pytest.mark.parametrize("place", range(3, len(STATEMENTS) + 1))
def test_what_is_done_half_way_is_taken_back(
    table: History, empty_engine: Engine, empty_url: URL, place: int
) -> None:
    make = 'op.execute("create type mood as enum (\'a\')")\nop.execute("create table t_new (m mood)")'
    table.add("b", "a", "\n".join([make, *STATEMENTS[:place], STOP, *STATEMENTS[place:]]))
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    with psql(empty_url) as connection:
        connection.execute("create table somebody_elses ()")
    command.downgrade(table.config(empty_engine), "-1")
    assert (heads(empty_url), rows(empty_url, POINTS)) == ({"a"}, [])
    assert status(table.config(empty_engine)).problems == []
    assert rows(empty_url, SHAPE) == [("id",)]
    assert rows(empty_url, PARTS) == [("pk_t_a",)]
    names = ("t_new", "ix", "somebody_elses")
    assert [rows(empty_url, f"select to_regclass('{each}') is null") for each in names] == [
        [(True,)],
        [(True,)],
        [(False,)],
    ]
    assert rows(empty_url, "select to_regtype('mood')") == [(None,)]
    with psql(empty_url) as connection:
        connection.execute("delete from t_a")
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, "select n from t_a")) == ({"b"}, [(111,)])


@pytest.mark.parametrize(
    "renames",
    [
        ['op.alter_column("t_a", "x", new_column_name="z")'],
        ['op.rename_table("t_a", "t_z")', 'op.alter_column("t_z", "x", new_column_name="z")'],
        [
            'op.alter_column("t_a", "x", new_column_name="aside %")',
            'op.alter_column("t_a", "y", new_column_name="x")',
            'op.alter_column("t_a", "aside %", new_column_name="y")',
        ],
        [
            "op.execute(\"alter type mood rename value 'well' to 'fine'\")",
            'op.execute("alter type mood rename to feeling")',
            'op.execute("do $$ begin alter table t_a rename constraint pk_t_a to a_key; end $$")',
            'op.execute("create schema elsewhere")\nop.execute("alter table t_a set schema elsewhere")',
        ],
        [
            'op.execute("""ALTER /* x */ TABLE IF EXISTS only t_a RENAME X TO value""")',
            'op.execute("""alter table public."t_a" rename value -- y\n to "Z z" """)',
            """op.execute("do 'begin execute $$alter table t_a rename constraint pk_t_a to k$$; end'")""",
            """op.execute("alter type mood rename value 'well' to 'it''s so'; select 1")""",
        ],
        [
            'op.alter_column("t_a", "x", new_column_name="z", server_default=None)',
            'op.add_column("t_a", sa.Column("z_new", sa.Text))\nop.execute("update t_a set z_new = z")',
            'op.alter_column("t_a", "z", new_column_name="z_old")',
            'op.alter_column("t_a", "z_new", new_column_name="z")',
        ],
        [
            'op.alter_column("t_a", "x", new_column_name="z")',
            'op.add_column("t_a", sa.Column("z_new", sa.Text))\nop.execute("update t_a set z_new = z")',
            'op.alter_column("t_a", "z", new_column_name="z_aside")',
            'op.alter_column("t_a", "z_new", new_column_name="z")',
            'op.execute("create materialized view v as select z from t_a")',
            'op.alter_column("t_a", "z", new_column_name="z_new")',
            'op.alter_column("t_a", "z_aside", new_column_name="z")',
        ],
        [
            'op.add_column("t_a", sa.Column("x_new", sa.Text))\nop.execute("update t_a set x_new = x")',
            'op.alter_column("t_a", "x", new_column_name="x_old", server_default=None)',
            'op.alter_column("t_a", "x_new", new_column_name="x")',
            'op.alter_column("t_a", "x", new_column_name="z")\nop.drop_column("t_a", "x_old")',
        ],
        [
            'op.alter_column("t_a", "x", new_column_name="x_old")',
            'op.add_column("t_a", sa.Column("x", sa.Integer))',
            'op.execute("alter table t_a rename constraint pk_t_a to pk_old")',
            'op.create_check_constraint(op.f("pk_t_a"), "t_a", "x > 0")',
            'op.execute("alter index ix_y rename to \\"ix {}\\"")',
            'op.create_index("ix_y", "t_a", ["x"])',
            'op.rename_table("t_a", "t_z")\nop.execute("create view t_a as select * from t_z")',
        ],
    ],
    ids=[
        "column",
        "table and column",
        "ring",
        "type, constraint and schema",
        "in other words",
        "second column",
        "names that are lent",
        "drop",
        "names that are taken",
    ],
)
def test_what_was_renamed_half_way_keeps_its_rows(
    table: History, empty_engine: Engine, empty_url: URL, renames: list[str]
) -> None:
    with psql(empty_url) as connection:
        connection.execute("create type mood as enum ('well')")
        connection.execute("alter table t_a add x text default 'x', add y text default 'y', add m mood")
        connection.execute("create index ix_y on t_a (y)")
        connection.execute("insert into t_a (m, x, y) values ('well', 'its x', 'its y')")
    table.add("b", "a", "\n".join([*renames, f'{CONCURRENTLY}op.execute("create table t_new ()")', STOP]))
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    command.downgrade(table.config(empty_engine), "-1")
    assert rows(empty_url, "select x, y, m::text from t_a") == [("its x", "its y", "well")]
    assert rows(empty_url, PARTS) == [("pk_t_a",)]
    assert rows(empty_url, "select indexdef from pg_indexes where tablename = 't_a' order by 1") == [
        ("CREATE INDEX ix_y ON public.t_a USING btree (y)",),
        ("CREATE UNIQUE INDEX pk_t_a ON public.t_a USING btree (id)",),
    ]
    assert rows(empty_url, "select to_regtype('mood')::text, to_regclass('t_new')") == [("mood", None)]


def test_what_took_the_name_of_one_that_was_renamed_and_dropped_gets_its_first_name(
    table: History, empty_engine: Engine
) -> None:
    statements = [
        "ALTER TABLE t_a RENAME CONSTRAINT pk_t_a TO pk_a",
        "ALTER TABLE t_a DROP CONSTRAINT pk_a",
        "ALTER TABLE t_a ADD CONSTRAINT pk_new PRIMARY KEY (id)",
        "ALTER TABLE t_a RENAME CONSTRAINT pk_new TO pk_a",
    ]
    with empty_engine.connect() as connection:
        before = read_catalog(connection)
        for statement in statements:
            connection.exec_driver_sql(statement)
        now = read_catalog(connection)
    assert ways_back(statements, before, now) == ["ALTER TABLE t_a RENAME CONSTRAINT pk_a TO pk_t_a"]


def test_what_a_table_took_along_to_another_schema_gets_its_first_name(
    table: History, empty_engine: Engine
) -> None:
    statements = [
        "ALTER TABLE t_a SET SCHEMA far",
        "ALTER TABLE far.t_a RENAME TO t_b",
        "ALTER SEQUENCE far.t_a_id_seq RENAME TO t_b_id_seq",
    ]
    with empty_engine.connect() as connection:
        before = read_catalog(connection)
        connection.exec_driver_sql("CREATE SCHEMA far")
        for statement in statements:
            connection.exec_driver_sql(statement)
        back = ways_back(statements, before, read_catalog(connection))
        for statement in back:
            connection.exec_driver_sql(statement)
        assert read_catalog(connection).sequences == before.sequences


def test_names_are_told_from_words_that_contain_them(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    """What somebody else has made stays; what the revision has made goes, in whichever letters it said so."""
    make = ("CREATE TABLE Loud (id int)", 'create table "so ""called"" 100%" ()', "create table login ()")
    made = "".join(f"{CONCURRENTLY}op.execute({each!r})\n" for each in make)
    table.add("b", "a", f"{made}{STOP}")
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    with psql(empty_url) as connection:
        connection.execute('create table log (); create table "Table" (); create table "Loud" ()')
    command.downgrade(table.config(empty_engine), "-1")
    left = "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
    stays = ("Loud", "Table", "alembic_version", "log", "pass_on", "t_a")
    assert [each for (each,) in rows(empty_url, f"{left} order by 1")] == [*stays]


@pytest.mark.parametrize("what", ["t_a.x", "t_a"])
def test_what_a_statement_may_have_renamed_is_not_dropped(
    table: History, empty_engine: Engine, empty_url: URL, what: str
) -> None:
    with psql(empty_url) as connection:
        connection.execute("alter table t_a add x int")
        connection.execute("insert into t_a (id, x) values (1, 7)")
    words, back = "alter table t_a rename to %I", "alter table t_z rename to t_a"
    if what == "t_a.x":
        words, back = "alter table t_a rename x to %I", "alter table t_a rename t_z to x"
    rename = f"do $$ begin execute format('{words}', 't_z'); end $$"
    refer = "create table t_b (id int references t_a (id) on delete cascade)"
    both = f'{CONCURRENTLY}op.execute("{refer}")\n{CONCURRENTLY}op.execute("{rename}")'
    table.add("b", "a", f"{both}\n{STOP}")
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    with pytest.raises(CommandError, match=rf"{what} isn't there any more.* and (t_b, )?t_z would go"):
        command.downgrade(table.config(empty_engine), "-1")
    with psql(empty_url) as connection:
        connection.execute(back)
    command.downgrade(table.config(empty_engine), "-1")
    assert rows(empty_url, "select x from t_a") == [(7,)]


def test_what_is_taken_back_in_part_is_not_gone_on_with(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    rename = 'op.rename_table("t_a", "t_b")'
    table.add("b", "a", f'{rename}\n{CONCURRENTLY}op.execute("create table t_new (n int)")\n{STOP}')
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    with psql(empty_url) as connection:
        connection.execute("create view somebody_elses as select from t_new")
    with pytest.raises(Exception, match="somebody_elses depends on table t_new"):
        command.downgrade(table.config(empty_engine), "-1")
    assert rows(empty_url, "select to_regclass('t_a')::text, to_regclass('t_new')::text") == [
        ("t_a", "t_new")
    ]
    with psql(empty_url) as connection:
        connection.execute("drop view somebody_elses")
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, POINTS)) == ({"b"}, [])
    assert rows(empty_url, "select to_regclass('t_a'), to_regclass('t_b')::text") == [(None, "t_b")]


def test_a_downgrade_half_way_is_taken_back_by_an_upgrade(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    index = 'op.create_index("ix", "t_a", ["id"])'
    table.add("b", "a", index, f'{CONCURRENTLY}op.drop_index("ix", postgresql_concurrently=True)\n{STOP}')
    command.upgrade(table.config(empty_engine), "head")
    with pytest.raises(CommandError):
        command.downgrade(table.config(empty_engine), "-1")
    assert rows(empty_url, "select to_regclass('ix')") == [(None,)]
    command.upgrade(table.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, POINTS)) == ({"b"}, [])
    assert rows(empty_url, "select indisvalid from pg_index where indexrelid = 'ix'::regclass") == [(True,)]


def test_the_status_says_where_a_revision_stands_and_what_to_type(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    table.add("b", "a", "\n".join([*STATEMENTS[:4], STOP, *STATEMENTS[4:]]))
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    found = status(table.config(empty_engine))
    assert [each.message for each in found.problems] == [
        "Revision b stands half-way, behind step 4 of its upgrade. To go on: alembic upgrade head. "
        "To take back what is done: alembic downgrade -1"
    ]
    assert found.exit_code == WRONG
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert status(table.config(empty_engine)).problems == []


def test_the_status_leaves_out_what_a_revision_half_way_goes_on_with(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, "alter table t_a add constraint ok_too check (id > 0) not valid")
    add = "op.execute('alter table t_a add constraint ok check (id > 0) not valid')"
    table.add("b", "a", f"{CONCURRENTLY}{add}\n{STOP}")
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    found = [(each.kind, each.name) for each in status(table.config(empty_engine)).problems]
    assert found == [("not valid", "ok_too"), ("interrupted", "b")]


@pytest.mark.parametrize(
    "asks",
    [
        'for (name,) in op.get_bind().execute(sa.text("select id from t_a")).all():\n    print(name)',
        "sa.inspect(op.get_bind()).get_columns('t_a')",
        "op.get_bind().scalar(sa.text('select 1'))",
    ],
)
def test_what_asks_the_database_can_not_be_printed_as_sql_and_nothing_is(
    table: History, capsys: pytest.CaptureFixture[str], asks: str
) -> None:
    table.add("b", "a", "op.execute('select 1')", "op.execute('select 2')")
    table.add("c", "b", f"{STATEMENTS[0]}\n{STATEMENTS[3]}\n{asks}", asks)
    way = "Apply it to the database itself: alembic upgrade c. What comes after it is printed by"
    with pytest.raises(CommandError, match=f"Revision c can't be printed as SQL, .* {way}") as refused:
        command.upgrade(table.config(), "a:c", sql=True)
    assert "None" not in str(refused.value)
    with pytest.raises(CommandError, match=r"Nothing is printed\. .*: the same command without --sql$"):
        command.downgrade(table.config(), "c:a", sql=True)
    assert capsys.readouterr().out == ""
    command.upgrade(table.config(), "a:b", sql=True)
    assert "select 1" in capsys.readouterr().out


def test_a_mistake_is_not_taken_for_a_question(table: History) -> None:
    table.add("b", "a", "op.creat_table()")
    with pytest.raises(AttributeError, match="creat_table"):
        command.upgrade(table.config(), "a:b", sql=True)


def test_a_query_that_sets_a_sequence_is_not_repeated(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    count = 'op.execute("select setval(\'counted\', 7)")\nop.execute("drop sequence counted")'
    add = 'op.add_column("t_a", sa.Column("n", sa.Integer()))'
    table.add("b", "a", f'{add}\nop.execute("create sequence counted")\n{count}\n{STATEMENTS[2]}\n{STOP}')
    with pytest.raises(CommandError, match="The rows don't bear revision b"):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"b"}


PUT = """
    create function "Put"() returns int language sql as
    'insert into t_a (id) select coalesce(max(id), 0) + 1 from t_a returning id'
    """


@pytest.mark.parametrize(
    "query",
    [
        'select "Put"()',
        'select id into other from t_a; select "Put"()',
        "insert into t_a values (1); select lo_create(42)",
        "select \"Put\"(), set_config('app.x', 'y', false)",
    ],
)
def test_a_query_that_writes_is_not_repeated(
    table: History, empty_engine: Engine, empty_url: URL, query: str
) -> None:
    with psql(empty_url) as connection:
        connection.execute(PUT)
    first = "".join(f"{CONCURRENTLY}op.execute({each!r})\n" for each in query.split("; "))
    table.add("b", "a", f"{first}{STOP}")
    with pytest.raises(CommandError, match="The rows don't bear revision b"):
        command.upgrade(table.config(empty_engine), "head")
    steps = 1 + query.count(";")
    [problem] = status(table.config(empty_engine)).problems
    assert f"behind step {steps} of its " in problem.message
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select id from t_a") == [(1,)]


ADD = "update t_a set n = n + 1"
IN_ONE_TEXT = (
    f"set local work_mem = '8MB'; {ADD}",
    f"select ';' as \"a;b\" /* ; */; -- ;\n{ADD};",
    f"explain analyze {ADD}",
)


@pytest.mark.parametrize("text", IN_ONE_TEXT)
@pytest.mark.parametrize("where", ["", CONCURRENTLY])
def test_several_statements_of_which_the_first_reads_are_not_repeated(
    table: History, empty_engine: Engine, empty_url: URL, text: str, where: str
) -> None:
    do(empty_url, "alter table t_a add n int; insert into t_a values (1, 0)")
    table.add(
        "b", "a", f'{where}op.execute({text!r})\n{CONCURRENTLY}op.execute("create table t_b ()")\n{STOP}'
    )
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, "select n from t_a")) == ({"b"}, [(1,)])


@pytest.mark.parametrize("word", ["set", "select set_config('search_path', 'other', false);--"])
def test_what_several_statements_have_set_holds_when_they_are_passed_over(
    table: History, empty_engine: Engine, empty_url: URL, word: str
) -> None:
    do(empty_url, "create schema other")
    setting = f"{word} search_path = other\n; create table t_b (id int)"
    first = f"op.execute('commit')\nop.execute({setting!r})"
    create = f'{CONCURRENTLY}op.execute("insert into t_b values (1)")'
    table.configure('version_table_schema="public"')
    command.stamp(table.config(empty_engine), "a")
    table.add("b", "a", f"{first}\n{create}\n{STOP.replace('pass_on', 'public.pass_on')}\n{create}")
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select count(*) from other.t_b") == [(2,)]


LEFT = (
    f"op.execute('{ADD}; commit')",
    f"op.execute('begin; {ADD}; commit')",
    f"op.execute('commit; {ADD}')",
    f"op.execute('{ADD}')\nop.get_bind().connection.commit()",
)
FAILS = f"op.execute('{ADD}; commit; select 1 / count(*) from pass_on')"
LEFT_BY_FAILURE = (FAILS, f"with op.get_context().autocommit_block():\n    {FAILS}")
ELSEWHERE = "with op.get_bind().engine.begin() as other:\n    other.execute(sa.text('{}'))"
ELSEWHERE_TOO = tuple(
    ELSEWHERE.format(each)
    for each in (ADD, "select add_one()", f"with a as (select 1) select 1; {ADD}", f"/* /* */ */ {ADD}")
)


def test_what_fails_before_it_commits_is_rolled_back(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, "alter table t_a add n int; insert into t_a values (1, 0)")
    table.add("b", "a", f"op.execute('{ADD}; select 1 / count(*) from pass_on; commit')")
    with pytest.raises(CommandError, match="It was rolled back"):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select n from t_a") == [(1,)]


@pytest.mark.parametrize(
    "text",
    [
        f"/* a /* b */ ; commit; */ {ADD}; select 1",
        f"create function two() returns int begin atomic select 1; select 2; end; {ADD}",
        f"create rule r as on delete to t_a do also (notify a; notify b); {ADD} -- ; commit",
    ],
)
def test_what_only_looks_like_a_commit_leaves_nothing_half_done(
    table: History, empty_engine: Engine, empty_url: URL, text: str
) -> None:
    do(empty_url, "alter table t_a add n int; insert into t_a values (1, 0)")
    table.add("b", "a", f"op.execute({text!r})\n{STOP}")
    with pytest.raises(CommandError, match="It was rolled back"):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select n from t_a") == [(1,)]


@pytest.mark.parametrize("way", [*LEFT, *LEFT_BY_FAILURE, *ELSEWHERE_TOO])
@pytest.mark.parametrize("first", ["", f'{CONCURRENTLY}op.execute("create table t_b ()")\n'])
def test_what_it_has_committed_by_itself_is_not_done_twice(
    table: History, empty_engine: Engine, empty_url: URL, way: str, first: str
) -> None:
    do(empty_url, "alter table t_a add n int; insert into t_a values (1, 0)")
    do(empty_url, f"create function add_one() returns void language sql as '{ADD}'")
    file = table.add("b", "a", f"{first}{way}\n{STOP}")
    with pytest.raises(CommandError, match="may not bear to be done twice"):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    with pytest.raises(CommandError, match=r"Revision b was left half done.*repeatable = True.*stamp b$"):
        command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select n from t_a") == [(1,)]
    file.write_text(
        f"{file.read_text().replace('table t_b', 'table if not exists t_b')}\nrepeatable = True\n"
    )
    command.upgrade(table.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, "select n from t_a")) == ({"b"}, [(2,)])
    assert rows(empty_url, "select from plinth.unfinished") == []


@pytest.mark.parametrize("query", ["select 1", "with one as (select 1) select from one", "show search_path"])
def test_what_another_connection_reads_may_be_read_twice(
    table: History, empty_engine: Engine, empty_url: URL, query: str
) -> None:
    table.add("b", "a", f"{ELSEWHERE.format(query)}\n{STOP}")
    with pytest.raises(CommandError, match="nothing of it has changed the database"):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"b"}


def test_what_an_application_does_by_the_same_engine_is_its_own(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, "create table said (id int)")

    def work() -> None:
        while not rows(empty_url, "select from pg_stat_activity where query ~ '^select pg_sleep'"):
            time.sleep(0.05)
        with empty_engine.begin() as connection:
            connection.exec_driver_sql("insert into said values (1)")

    table.add("b", "a", f"op.execute('select pg_sleep(1)')\n{STOP}")
    application = threading.Thread(target=work)
    application.start()
    with pytest.raises(CommandError, match="nothing of it has changed the database"):
        command.upgrade(table.config(empty_engine), "head")
    application.join()
    assert rows(empty_url, "select id from said") == [(1,)]
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"b"}


def test_indented_sql_is_read_at_once() -> None:
    indented = "\n" + 4000 * " " + "/* add */" + 4000 * " "
    assert not reads(f"{indented}insert into t values (1)")
    assert reads(f"{indented}select 1")


@pytest.mark.parametrize(
    ("text", "only_reads"),
    [
        ("select 'x into y', \"into\" /* into */ from t -- into", True),
        ("/* /* select 1 */ */ SET x = 1; Show\nx; (select $$setval('a')$$)", True),
        ("select Setval ('a', 1)", False),
        ("select \"nextval\"('a')", False),
        ("select 1 /* x */ INTO t", False),
        ("prepare /* x */ transaction 'a'", False),
        ("rollback -- x\n to a", True),
        ("/* select */", False),
        ("values (';'); delete from t", False),
    ],
)
def test_what_only_reads_is_told_by_its_words(text: str, only_reads: bool) -> None:
    assert reads(text) is only_reads


@pytest.mark.parametrize(
    ("first", "stays"),
    [
        (f'{CONCURRENTLY}op.execute("create table t_b ()")', "had finished before stays"),
        (LEFT[0], "had committed stays, and may not bear to be done twice"),
        ("pass", "was lost during revision b: [^.]*. 0 of 1 revision done"),
    ],
)
def test_what_stays_is_said_when_the_connection_is_lost(
    table: History, empty_engine: Engine, empty_url: URL, first: str, stays: str
) -> None:
    do(empty_url, "alter table t_a add n int")
    table.add("b", "a", f'{first}\nop.execute("select pg_terminate_backend(pg_backend_pid())")')
    with pytest.raises(CommandError, match=stays):
        command.upgrade(table.config(empty_engine), "head")


@pytest.mark.parametrize("way", LEFT)
def test_a_point_behind_what_it_has_committed_by_itself_notes_that(
    table: History, empty_engine: Engine, empty_url: URL, way: str
) -> None:
    do(empty_url, "alter table t_a add n int; insert into t_a values (1, 0)")
    table.add("b", "a", f'{way}\n{CONCURRENTLY}op.execute("create table t_b ()")\n{STOP}')
    with pytest.raises(CommandError, match="goes on behind it"):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, "select n from t_a")) == ({"b"}, [(1,)])
    assert rows(empty_url, "select from plinth.unfinished") == []


TRANSACTION = ("begin", f"lock table t_a; {ADD}", "insert into t_a values (2, 0)", "commit")


def test_a_transaction_that_was_typed_by_hand_is_one(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, "alter table t_a add n int; insert into t_a values (1, 0)")
    begin, *rest = (f"    op.execute({each!r})\n" for each in TRANSACTION)
    block = f'with op.get_context().autocommit_block():\n    op.execute("create table made ()")\n{begin}'
    stop, content = f"    {STOP}\n", "select id, n from t_a order by id"
    table.add("b", "a", f"{block}{rest[0]}{stop}{rest[1]}{rest[2]}")
    with pytest.raises(CommandError, match="goes on behind it"):
        command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, content) == [(1, 0)]
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, content) == [(1, 1), (2, 0)]
    table.add("c", "b", f"{block}{''.join(rest)}{stop}{STOP}".replace("(2", "(3").replace("made", "more"))
    do(empty_url, "truncate pass_on")
    with pytest.raises(CommandError, match="goes on behind it"):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, content) == [(1, 2), (2, 1), (3, 0)]


TEMPORARY = (
    "create temp table t_t as select id from t_a",
    "select id into temporary t_t from t_a",
    '/* x */ create table -- x\n pg_temp . "t_t" as select id from t_a',
    "do $$ begin create temp table t_t as select id from t_a; end $$",
    "create temp table t_t as select id from t_a; drop table if exists t_t2 /* on commit drop */",
)
DROPPED = (
    *(f"{each}; /* x */ drop table if exists pg_temp.T_T" for each in TEMPORARY),
    "create temp table t_t on commit drop as select id from t_a",
)


@pytest.mark.parametrize(
    "what", ["function pg_temp.f() returns int language sql as 'select 1'", "type pg_temp.f as (n int)"]
)
def test_what_else_a_session_alone_has_is_said_to_be_gone_too(
    what: str, table: History, empty_engine: Engine, empty_url: URL
) -> None:
    table.add(
        "b", "a", f'op.execute("create {what}")\n{CONCURRENTLY}op.execute("create table t_b ()")\n{STOP}'
    )
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    with pytest.raises(CommandError, match=r"made for its session alone went with that.*downgrade -1"):
        command.upgrade(table.config(empty_engine), "head")
    command.downgrade(table.config(empty_engine), "-1")
    assert rows(empty_url, "select from pg_class where relname = 't_b'") == []


def test_a_lock_that_lasts_with_its_session_is_held_behind_a_point(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    held = "select count(*)::int as n from pg_locks where locktype = 'advisory' and objid = 42"
    table.add(
        "b",
        "a",
        f'op.execute("select pg_advisory_lock(42)")\n{CONCURRENTLY}op.execute("create table t_b ()")\n'
        f'{STOP}\nop.execute("create table held as {held}")',
    )
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select n from held") == [(1,)]


def test_a_text_about_a_temporary_table_is_none(table: History, empty_engine: Engine, empty_url: URL) -> None:
    do(empty_url, "alter table t_a add t text")
    note = """op.execute("insert into t_a values (1, 'create temp table t_t ()')")"""
    table.add("b", "a", f'{note}\n{CONCURRENTLY}op.execute("create table t_b ()")\n{STOP}')
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select id from t_a") == [(1,)]


@pytest.mark.parametrize(
    ("text", "is_dropped"), [*((each, False) for each in TEMPORARY), *((each, True) for each in DROPPED)]
)
def test_another_table_is_not_taken_for_a_temporary_one_that_is_gone(
    table: History, empty_engine: Engine, empty_url: URL, text: str, is_dropped: bool
) -> None:
    do(empty_url, "create table t_t (id int); insert into t_a values (1)")
    first = f'op.execute({text!r})\n{CONCURRENTLY}op.execute("create table t_b ()")'
    table.add(
        "b", "a", f'{first}\n{STOP}\nop.execute("delete from t_a where id not in (select id from t_t)")'
    )
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    if is_dropped:
        command.upgrade(table.config(empty_engine), "head")
        return
    with pytest.raises(CommandError, match=r"made for its session alone went with that.*downgrade -1"):
        command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select from t_a") == [()]
    command.downgrade(table.config(empty_engine), "-1")
    command.upgrade(table.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, "select from t_a")) == ({"b"}, [()])


@pytest.mark.parametrize("what", [ADD, "insert into t_a (n) values (1)"])
def test_what_was_prepared_is_prepared_again(
    table: History, empty_engine: Engine, empty_url: URL, what: str
) -> None:
    do(empty_url, "alter table t_a add n int")
    if what == ADD:
        do(empty_url, "insert into t_a values (1, 0)")
    first = f'op.execute("prepare u as {what}")\n{CONCURRENTLY}op.execute("create table t_b ()")'
    table.add("b", "a", f'{first}\n{STOP}\nop.execute("execute u")')
    with pytest.raises(CommandError):
        command.upgrade(table.config(empty_engine), "head")
    let_pass(empty_url)
    command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select n from t_a") == [(1,)]


def test_a_savepoint_outside_of_a_transaction_is_no_time_limit(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    table.add("b", "a", f"{CONCURRENTLY}op.get_bind().begin_nested()")
    with pytest.raises(Exception, match="SAVEPOINT can only be used in transaction blocks") as refused:
        command.upgrade(table.config(empty_engine), "head")
    assert "time limit" not in str(refused.value)


def test_a_percent_sign_means_what_it_does_to_plain_alembic(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    table.add(
        "b",
        "a",
        "op.execute(\"create table t_b (n text default '5% %% %s'); create table t_c ()\")\n"
        'op.add_column("t_c", sa.Column("%s 100%", sa.Text(), server_default="%(n)s"))\n'
        "op.get_bind().exec_driver_sql(\"insert into t_b values ('5%%')\")",
    )
    command.upgrade(table.config(empty_engine), "head")
    do(empty_url, "insert into t_b default values; insert into t_c default values")
    assert rows(empty_url, "select n from t_b order by n") == [("5%",), ("5% %% %s",)]
    assert rows(empty_url, 'select "%s 100%" from t_c') == [("%(n)s",)]
    table.add("c", "b", "op.get_bind().exec_driver_sql(\"insert into t_b values ('5%')\")")
    with pytest.raises(Exception, match="placeholder"):
        command.upgrade(table.config(empty_engine), "head")
