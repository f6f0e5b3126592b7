"""Where a revision that stands half-way is met by other commands than the one that it was interrupted in."""

import argparse
import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress

import psycopg
import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

from plinth import undo
from plinth.status import status
from tests.plinth.history import CONCURRENTLY, History, acting_as, do, heads, ledger, psql, rows
from tests.plinth.interruptions import Interrupted, interrupted
from tests.plinth.judge import dump

POINTS = "select revision from plinth.points group by revision order by revision"
STOP = 'op.execute("select 1 / count(*) from pass_on")'


def add(history: History, name: str, below: "str | tuple[str, ...] | None", *, extra: str = "") -> None:
    """Write a revision that makes a table, and stops half-way, both ways, as long as it is told to."""
    history.add(
        name,
        below,
        f'{CONCURRENTLY}op.execute("create table t_{name} (id int)")\n{STOP}\n'
        f'op.execute("create table u_{name} (id int)")',
        f'{CONCURRENTLY}op.execute("drop table u_{name}")\n{STOP}\nop.execute("drop table t_{name}")',
        extra=extra,
    )


def let_pass(url: URL) -> None:
    do(url, "insert into pass_on default values")


def hold(url: URL) -> None:
    do(url, "delete from pass_on")


def tables(url: URL) -> list[str]:
    found = rows(url, "select relname from pg_class where relname ~ '^[tu]_' and relkind = 'r' order by 1")
    return [name for (name,) in found]


@pytest.fixture
def half(history: History, empty_engine: Engine, empty_url: URL) -> History:
    """A history of `a`, `b` and `c`, of which the last stands half-way."""
    do(empty_url, "create table pass_on ()")
    history.tables("a", "b")
    command.upgrade(history.config(empty_engine), "head")
    add(history, "c", "b")
    with pytest.raises(CommandError):
        command.upgrade(history.config(empty_engine), "head")
    return history


@pytest.mark.parametrize(
    ("target", "left"),
    [("-1", "b"), ("-2", "a"), ("-3", None), ("b", "b"), ("a", "a"), ("base", None), ("c-1", "b"),
     ("c@-2", "a")],
)  # fmt: skip
def test_a_downgrade_counts_what_stands_half_way(
    half: History, empty_engine: Engine, empty_url: URL, target: str, left: str | None
) -> None:
    command.downgrade(half.config(empty_engine), target)
    assert heads(empty_url) == ({left} if left else set())
    assert tables(empty_url) == {"b": ["t_a", "t_b"], "a": ["t_a"], None: []}[left]
    assert rows(empty_url, POINTS) == []


def test_a_downgrade_of_too_many_is_refused(half: History, empty_engine: Engine, empty_url: URL) -> None:
    with pytest.raises(CommandError, match="-4 didn't produce 4 migrations"):
        command.downgrade(half.config(empty_engine), "-4")
    assert (heads(empty_url), tables(empty_url)) == ({"b"}, ["t_a", "t_b", "t_c"])


def test_the_first_revision_is_taken_back(history: History, empty_engine: Engine, empty_url: URL) -> None:
    do(empty_url, "create table pass_on ()")
    add(history, "a", None)
    with pytest.raises(CommandError):
        command.upgrade(history.config(empty_engine), "head")
    command.downgrade(history.config(empty_engine), "-1")
    assert (tables(empty_url), rows(empty_url, POINTS)) == ([], [])


@pytest.mark.parametrize(
    ("target", "left"), [("+1", "b"), ("+2", "c"), ("head", "c"), ("b", "b"), ("a+1", "b")]
)
def test_an_upgrade_counts_what_stands_half_way_of_its_way_down(
    history: History, empty_engine: Engine, empty_url: URL, target: str, left: str
) -> None:
    do(empty_url, "create table pass_on ()")
    history.tables("a")
    add(history, "b", "a")
    let_pass(empty_url)
    command.upgrade(history.config(empty_engine), "head")
    history.add("c", "b", 'op.execute("create table t_c ()")', 'op.execute("drop table t_c")')
    hold(empty_url)
    with pytest.raises(CommandError):
        command.downgrade(history.config(empty_engine), "-1")
    assert tables(empty_url) == ["t_a", "t_b"]
    command.upgrade(history.config(empty_engine), target)
    assert heads(empty_url) == {left}
    assert tables(empty_url) == ["t_a", "t_b", *(["t_c"] if left == "c" else []), "u_b"]
    assert rows(empty_url, POINTS) == []


def test_rollback_takes_back_the_batch_with_what_stands_half_way_of_it(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, "create table pass_on ()")
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    history.tables("a", "b")
    add(history, "c", "b")
    for _ in range(2):  # goes on, and is interrupted again
        with pytest.raises(CommandError):
            command.upgrade(history.config(empty_engine), "head")
    assert heads(empty_url) == {"b"}
    assert undo.rollback(history.config(empty_engine)).undone == ["c", "b"]
    assert (heads(empty_url), tables(empty_url), rows(empty_url, POINTS)) == ({"a"}, ["t_a"], [])


def test_rollback_takes_back_what_another_batch_left_half_way(
    half: History, empty_engine: Engine, empty_url: URL
) -> None:
    assert undo.rollback(half.config(empty_engine)).undone == ["c"]
    assert (heads(empty_url), tables(empty_url)) == ({"b"}, ["t_a", "t_b"])


def test_redo_begins_again_with_what_stands_half_way(
    half: History, empty_engine: Engine, empty_url: URL
) -> None:
    let_pass(empty_url)
    done = undo.redo(half.config(empty_engine))
    assert (done.undone, done.applied) == (["c"], ["c"])
    assert (heads(empty_url), tables(empty_url)) == ({"c"}, ["t_a", "t_b", "t_c", "u_c"])
    assert rows(empty_url, POINTS) == []


@pytest.fixture
def branches(history: History, empty_engine: Engine, empty_url: URL) -> History:
    """A history of `a`, with `x` and `y` on it, of which `y` stands half-way, and `z` on `x` is pending."""
    do(empty_url, "create table pass_on ()")
    history.tables("a")
    history.add("x", "a", 'op.execute("create table t_x (id int)")', 'op.execute("drop table t_x")')
    command.upgrade(history.config(empty_engine), "head")
    add(history, "y", "a")
    with pytest.raises(CommandError):
        command.upgrade(history.config(empty_engine), "y")
    history.add("z", "x", 'op.execute("create table t_z (id int)")', 'op.execute("drop table t_z")')
    return history


@pytest.mark.parametrize("words", [("upgrade", "z"), ("downgrade", "x@-1")])
def test_another_branch_waits_for_what_stands_half_way(
    branches: History, empty_engine: Engine, empty_url: URL, words: tuple[str, str]
) -> None:
    refused = "Revision y stands half-way.*To go on: alembic upgrade y. To take back.* alembic downgrade y@-1"
    with pytest.raises(CommandError, match=refused):
        getattr(command, words[0])(branches.config(empty_engine), words[1])
    assert (heads(empty_url), tables(empty_url)) == ({"x"}, ["t_a", "t_x", "t_y"])


def test_others_wait_for_what_is_held_back_half_way(
    branches: History, empty_engine: Engine, empty_url: URL
) -> None:
    command.downgrade(branches.config(empty_engine), "-1")
    add(branches, "y", "a", extra='deploy = "after"')
    with pytest.raises(CommandError):
        command.upgrade(branches.config(empty_engine), "y")
    config = branches.config(empty_engine)
    config.cmd_opts = argparse.Namespace(x=["after=no"])
    with pytest.raises(CommandError, match=r"Revision y stands half-way.*others wait for it"):
        command.upgrade(config, "heads")
    assert (heads(empty_url), tables(empty_url)) == ({"x"}, ["t_a", "t_x", "t_y"])


def test_redo_begins_again_with_an_edited_file(half: History, empty_engine: Engine, empty_url: URL) -> None:
    file = half.folder / "versions" / "c_make.py"
    file.write_text(file.read_text().replace("u_c", "u_of_c"))  # another length: Python compiles it anew
    let_pass(empty_url)
    undo.redo(half.config(empty_engine))
    assert (heads(empty_url), tables(empty_url)) == ({"c"}, ["t_a", "t_b", "t_c", "u_of_c"])


def test_what_stands_half_way_comes_first(branches: History, empty_engine: Engine, empty_url: URL) -> None:
    let_pass(empty_url)
    command.upgrade(branches.config(empty_engine), "heads")
    assert [name for name, *_ in ledger(empty_url)] == ["a", "x", "y", "z"]
    assert heads(empty_url) == {"y", "z"}


@pytest.mark.parametrize("target", ["-1", "y@-1"])
def test_a_branch_half_way_is_taken_back_alone(
    branches: History, empty_engine: Engine, empty_url: URL, target: str
) -> None:
    command.downgrade(branches.config(empty_engine), target)
    assert (heads(empty_url), tables(empty_url)) == ({"x"}, ["t_a", "t_x"])
    assert rows(empty_url, POINTS) == []


@pytest.mark.parametrize("direction", ["up", "down", "on"])
def test_a_merge_point_half_way_goes_the_other_way_or_on(
    history: History, empty_engine: Engine, empty_url: URL, direction: str
) -> None:
    do(empty_url, "create table pass_on ()")
    history.tables("a")
    for name in ("x", "y"):
        history.add(
            name, "a", f'op.execute("create table t_{name} ()")', f'op.execute("drop table t_{name}")'
        )
    add(history, "m", ("x", "y"))
    if direction != "up":
        let_pass(empty_url)
        command.upgrade(history.config(empty_engine), "head")
        hold(empty_url)
        with pytest.raises(CommandError):
            command.downgrade(history.config(empty_engine), "x")
        assert (heads(empty_url), tables(empty_url)) == ({"m"}, ["t_a", "t_m", "t_x", "t_y"])
    if direction == "on":
        let_pass(empty_url)
        [said] = [each.message for each in status(history.config(empty_engine)).problems]
        assert "To go on: alembic downgrade -1" in said
        command.downgrade(history.config(empty_engine), "-1")
        assert (heads(empty_url), tables(empty_url)) == ({"x", "y"}, ["t_a", "t_x", "t_y"])
    elif direction == "down":
        command.upgrade(history.config(empty_engine), "head")
        assert (heads(empty_url), tables(empty_url)) == ({"m"}, ["t_a", "t_m", "t_x", "t_y", "u_m"])
    else:
        with pytest.raises(CommandError):
            command.upgrade(history.config(empty_engine), "head")
        assert heads(empty_url) == {"x", "y"}
        command.downgrade(history.config(empty_engine), "-1")
        assert (heads(empty_url), tables(empty_url)) == ({"x", "y"}, ["t_a", "t_x", "t_y"])
        command.downgrade(history.config(empty_engine), "base")
        assert (heads(empty_url), tables(empty_url)) == (set(), [])
    assert rows(empty_url, POINTS) == []


def test_what_depends_on_another_branch_goes_both_ways(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, "create table pass_on ()")
    history.tables("a")
    history.add("x", None, 'op.execute("create table t_x (id int)")', 'op.execute("drop table t_x")')
    add(history, "y", "a", extra='depends_on = "x"')
    with pytest.raises(CommandError):
        command.upgrade(history.config(empty_engine), "heads")
    assert heads(empty_url) == {"a", "x"}
    command.downgrade(history.config(empty_engine), "-1")
    assert (heads(empty_url), tables(empty_url)) == ({"a", "x"}, ["t_a", "t_x"])
    with pytest.raises(CommandError):
        command.upgrade(history.config(empty_engine), "heads")
    command.downgrade(history.config(empty_engine), "base")
    assert (heads(empty_url), tables(empty_url), rows(empty_url, POINTS)) == (set(), [], [])


def test_the_status_says_what_works_in_a_branch(
    branches: History, empty_engine: Engine, empty_url: URL
) -> None:
    [said] = [each.message for each in status(branches.config(empty_engine)).problems if each.name == "y"]
    assert "To go on: alembic upgrade y. To take back what is done: alembic downgrade y@-1" in said


def test_a_schema_that_was_emptied_by_hand_is_not_gone_on_with(
    half: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, "drop schema public cascade; create schema public; create table pass_on (id int)")
    let_pass(empty_url)
    with pytest.raises(CommandError, match=r"c stands half-way.* no version table.* alembic stamp base"):
        command.upgrade(half.config(empty_engine), "head")
    command.stamp(half.config(empty_engine), "base")
    command.upgrade(half.config(empty_engine), "head")
    assert (heads(empty_url), tables(empty_url)) == ({"c"}, ["t_a", "t_b", "t_c", "u_c"])


def test_stamp_has_the_last_word(half: History, empty_engine: Engine, empty_url: URL) -> None:
    do(empty_url, "drop table t_c")
    let_pass(empty_url)
    command.stamp(half.config(empty_engine), "b")
    assert rows(empty_url, POINTS) == []
    command.upgrade(half.config(empty_engine), "head")
    assert tables(empty_url) == ["t_a", "t_b", "t_c", "u_c"]


@pytest.mark.parametrize("purge", [False, True])
def test_a_stamp_that_fails_has_no_last_word(
    half: History, empty_engine: Engine, empty_url: URL, monkeypatch: pytest.MonkeyPatch, purge: bool
) -> None:
    monkeypatch.setenv("PLINTH_RETRY_LIMIT", "300ms")
    config = half.config(empty_engine)
    before = ledger(empty_url)
    with psql(empty_url, autocommit=False) as other:
        other.execute("lock table plinth.ledger in share mode")
        with pytest.raises(CommandError, match="Gave up"):
            command.stamp(config, "c", purge=purge)
    assert (rows(empty_url, POINTS), ledger(empty_url), heads(empty_url)) == ([("c",)], before, {"b"})
    command.stamp(config, "c", purge=purge)
    assert (rows(empty_url, POINTS), heads(empty_url)) == ([], {"c"})


def test_stamp_of_another_branch_leaves_what_stands_half_way(
    branches: History, empty_engine: Engine, empty_url: URL
) -> None:
    command.stamp(branches.config(empty_engine), "z")
    assert rows(empty_url, POINTS) == [("y",)]


def test_what_stands_half_way_and_has_no_file_is_named(
    half: History, empty_engine: Engine, empty_url: URL
) -> None:
    file = half.folder / "versions" / "c_make.py"
    file.unlink()
    for name, target in (("upgrade", "head"), ("downgrade", "-1")):
        with pytest.raises(CommandError, match=r"c stands half-way, and has no file here. Put the file back"):
            getattr(command, name)(half.config(empty_engine), target)
    assert tables(empty_url) == ["t_a", "t_b", "t_c"]
    [said] = [each.message for each in status(half.config(empty_engine)).problems if each.name == "c"]
    assert "has no file here" in said


def test_a_callers_transaction_goes_nowhere_while_one_stands_half_way(
    half: History, empty_engine: Engine, empty_url: URL
) -> None:
    for name, target in (("upgrade", "head"), ("downgrade", "-1")):
        with empty_engine.begin() as connection, pytest.raises(CommandError, match=r"c stands half-way"):
            getattr(command, name)(half.config(connection), target)
    assert (heads(empty_url), tables(empty_url)) == ({"b"}, ["t_a", "t_b", "t_c"])


def test_a_callers_transaction_may_be_another_drivers(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    async def run(name: str, target: str) -> None:
        engine = create_async_engine(empty_url.set(drivername="postgresql+asyncpg"))
        try:
            async with engine.begin() as connection:
                await connection.run_sync(lambda given: getattr(command, name)(history.config(given), target))
        finally:
            await engine.dispose()

    do(empty_url, "create table pass_on ()")
    history.tables("a", "b")
    for name, target in (("upgrade", "a"), ("upgrade", "b"), ("downgrade", "a")):
        asyncio.run(run(name, target))
        assert heads(empty_url) == {"b" if target == "b" else "a"}
    add(history, "c", "b")
    with pytest.raises(CommandError):
        command.upgrade(history.config(empty_engine), "head")
    with pytest.raises(CommandError, match=r"c stands half-way.*To go on: alembic upgrade c"):
        asyncio.run(run("downgrade", "-1"))


@pytest.mark.parametrize("words", [("upgrade", "b:head"), ("downgrade", "b:a")])
def test_sql_stops_where_one_stands_half_way(
    half: History,
    empty_engine: Engine,
    empty_url: URL,
    words: tuple[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    getattr(command, words[0])(half.config(), words[1], sql=True)
    with pytest.raises(psycopg.errors.RaiseException, match=r"Revision c stands half-way.*alembic upgrade c"):
        do(empty_url, capsys.readouterr().out)
    assert (heads(empty_url), tables(empty_url)) == ({"b"}, ["t_a", "t_b", "t_c"])


@pytest.mark.parametrize("set_path", ["set search_path to {}", "select public.lead('{}')"])
def test_what_was_done_by_another_search_path_is_not_forgotten(
    history: History, empty_engine: Engine, empty_url: URL, set_path: str
) -> None:
    lead = "begin execute format('set search_path to %s', $1); end"
    do(empty_url, f"create function lead(text) returns void language plpgsql as $${lead}$$")
    for schema in ("one", "two", "other"):
        do(empty_url, f"create schema {schema}; create table {schema}.t (id int)")
    do(empty_url, "create table pass_on ()")
    history.tables("a")
    each = 'op.execute("alter table t add n int")\nop.execute("create view v as table t")'
    path = set_path.format("{schema}")
    tenants = f'for schema in ("one", "two"):\n    op.execute(f"{path}")\n{each}'
    loop = tenants.replace("\nop.", "\n    op.")
    reset = set_path.format("default")
    then = f'op.execute("{reset}")\n{CONCURRENTLY}op.execute("create table t_b ()")\n{STOP}'
    history.add("b", "a", f"{loop}\n{then}")
    with pytest.raises(CommandError):
        command.upgrade(history.config(empty_engine), "head")
    do(empty_url, "create table other.aside ()")
    refused = r"sets the search path.*\. one\.t, two\.t, view one\.v, view two\.v: undo.*alembic upgrade b"
    with pytest.raises(CommandError, match=refused):
        command.downgrade(history.config(empty_engine), "-1")
    assert rows(empty_url, POINTS) == [("b",)]
    for schema in ("one", "two"):
        do(empty_url, f"drop view {schema}.v; alter table {schema}.t drop n")
    command.downgrade(history.config(empty_engine), "-1")
    assert (rows(empty_url, POINTS), tables(empty_url)) == ([], ["t_a"])


def test_a_schema_that_is_named_is_the_same_one(half: History, empty_engine: Engine, empty_url: URL) -> None:
    half.configure('version_table_schema="public"')
    assert "c stands half-way" in status(half.config(empty_engine)).problems[0].message
    let_pass(empty_url)
    command.upgrade(half.config(empty_engine), "head")
    assert {name for (name,) in rows(empty_url, "select version_table from plinth.ledger")} == {
        "alembic_version"
    }
    assert tables(empty_url) == ["t_a", "t_b", "t_c", "u_c"]


def test_points_whose_schema_was_dropped_pass_nothing_over(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, "create table pass_on ()")
    add(history, "a", None)
    with pytest.raises(CommandError):
        command.upgrade(history.config(empty_engine), "head")
    do(empty_url, "drop schema public cascade; create schema public; create table pass_on ()")
    let_pass(empty_url)
    with pytest.raises(CommandError, match=r"there is no version table.*alembic stamp base"):
        command.upgrade(history.config(empty_engine), "head")
    command.stamp(history.config(empty_engine), "base")
    command.upgrade(history.config(empty_engine), "head")
    assert (heads(empty_url), tables(empty_url)) == ({"a"}, ["t_a", "u_a"])


def test_the_status_runs_nothing_of_it(half: History, empty_engine: Engine, empty_url: URL) -> None:
    file = half.folder / "versions" / "c_make.py"
    file.write_text(file.read_text().replace("def upgrade():", "def upgrade():\n    raise SystemExit", 1))
    (problem,) = status(half.config(empty_engine)).problems
    assert problem.message == (
        "Revision c stands half-way, behind step 1 of its upgrade. c_make.py was edited since: put it "
        "back as it was. Then, to go on: alembic upgrade head. To take back what is done: "
        "alembic downgrade -1"
    )


def test_a_role_that_is_set_for_each_session_is_the_locks_too(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    owner, login = (f"plinth_test_{each}_{secrets.token_hex(4)}" for each in ("owner", "login"))
    do(empty_url, f"create role {owner}; create role {login} login noinherit; grant {owner} to {login}")
    do(empty_url, f"grant all on database {empty_url.database} to {owner}; create table pass_on ()")
    do(empty_url, f"grant all on schema public to {owner}; grant select on pass_on to {owner}")
    engine = acting_as(owner, empty_url.set(username=login))
    history.tables("a")
    add(history, "b", "a")
    with pytest.raises(CommandError, match="The rows don't bear revision b"):
        command.upgrade(history.config(engine), "head")
    let_pass(empty_url)
    command.upgrade(history.config(engine), "head")
    assert (heads(empty_url), tables(empty_url)) == ({"b"}, ["t_a", "t_b", "u_b"])
    do(empty_url, f"drop owned by {owner}, {login}; drop role {owner}, {login}")


def test_another_tenants_rows_stay(
    history: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    do(empty_url, "create schema one; create schema two; create table pass_on ()")
    engines = [
        create_engine(empty_url, connect_args={"options": f"-csearch_path={name},public"})
        for name in ("one", "two")
    ]
    history.tables("a")
    for engine in engines:
        command.upgrade(history.config(engine), "head")
    history.add(
        "b",
        "a",
        f'{CONCURRENTLY}op.execute("create table t_b (id int)")\n'
        f'{CONCURRENTLY}op.execute("alter table t_a add n int")\n{STOP}',
        'op.execute("drop table t_b")\nop.execute("alter table t_a drop n")',
    )
    with pytest.raises(CommandError):
        command.upgrade(history.config(engines[0]), "head")
    let_pass(empty_url)
    command.upgrade(history.config(engines[1]), "head")
    do(empty_url, "insert into two.t_b values (1); insert into two.t_a values (1, 2)")
    assert [bool(status(history.config(each)).problems) for each in engines] == [True, False]
    command.downgrade(history.config(engines[0]), "-1")
    assert "Left alone is what was made or changed since" in caplog.text
    assert "statements have its name: two.t_a, two.t_b." in caplog.text
    assert rows(empty_url, "select to_regclass('one.t_b') is null") == [(True,)]
    assert rows(empty_url, "select * from two.t_b, two.t_a") == [(1, 1, 2)]
    for engine in engines:
        engine.dispose()


def test_what_somebody_has_added_to_a_table_meanwhile_stays(
    half: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(
        empty_url,
        "alter table t_a add note text; insert into t_a values (1, 'kept'); create index on t_a (note)",
    )
    command.downgrade(half.config(empty_engine), "-1")
    assert (tables(empty_url), rows(empty_url, "select * from t_a")) == (["t_a", "t_b"], [(1, "kept")])
    assert rows(empty_url, "select to_regclass('t_a_note_idx') is null") == [(False,)]


# What stands before, what the revision has done, what somebody else does meanwhile, and how to see it.
OTHERS = {
    "a column that has the name of another table's": (
        "create table t_b (id int)",
        "alter table t_b add note text",
        "alter table t_a add note text default 'theirs', add text int default 5",
        "select note, text from t_a",
        [("theirs", 5)],
    ),
    "a table that has the name of a column": (
        "",
        "alter table t_a add notes text",
        "create table notes (id int); insert into notes values (1)",
        "select * from notes",
        [(1,)],
    ),
    "parts of a table that a statement names": (
        "",
        "alter table t_a add n int",
        "create index theirs on t_a (id); alter table t_a add constraint theirs_too check (id > 0)",
        "select to_regclass('theirs')::text, (select conname from pg_constraint where conname ~ '^theirs')",
        [("theirs", "theirs_too")],
    ),
    "a table that a comment has, and a body that isn't executed": (
        "",
        "alter table t_a add n int /* as if /* we */ create table notes (id int) */; "
        "create function f() returns void language plpgsql as "
        "'begin perform 1; create table notes (id int); drop table t cascade; end'",
        "create table notes (id int); insert into notes values (1)",
        "select * from notes",
        [(1,)],
    ),
    "a table whose name is a part of one that is made": (
        "",
        'create table "notes of ours" (id int); create table "Notes" (id int)',
        "create table notes (id int); insert into notes values (1)",
        "select * from notes",
        [(1,)],
    ),
    "changes of what no statement names": (
        "create table orders (id int, old int default 3, kind int); insert into orders values (1, 2, 3)",
        "alter table t_a add n int references t_a (id) on delete cascade",
        "alter table orders drop old; alter table orders alter kind type text; "
        "alter table orders add extra int default 4",
        "select * from orders",
        [(1, "3", 4)],
    ),
    "drops of what no statement names": (
        "create table orders (); create view v as select 1 as a; create type mood as enum ('a')",
        "alter table t_a add n int",
        "drop table orders; drop view v; drop type mood",
        "select to_regclass('orders'), to_regclass('v'), to_regtype('mood')",
        [(None, None, None)],
    ),
}


@pytest.mark.parametrize("is_interrupted", [False, True])
@pytest.mark.parametrize("what", OTHERS)
def test_what_somebody_else_has_made_or_changed_stays(
    history: History, empty_engine: Engine, empty_url: URL, what: str, is_interrupted: bool
) -> None:
    prepared, statement, meanwhile, query, answer = OTHERS[what]
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    do(empty_url, f"create table pass_on (); {prepared}")
    do(empty_url, "insert into t_a values (1)")
    history.add("b", "a", f"{CONCURRENTLY}op.execute({statement!r})\n{STOP}")
    with pytest.raises(CommandError):
        command.upgrade(history.config(empty_engine), "head")
    do(empty_url, f"{meanwhile}; alter table t_a add extra int default 8")
    if is_interrupted:
        with interrupted(0), suppress(Interrupted):
            command.downgrade(history.config(empty_engine), "-1")
        assert rows(empty_url, POINTS) == [("b",)]
    command.downgrade(history.config(empty_engine), "-1")
    assert (rows(empty_url, POINTS), rows(empty_url, query)) == ([], answer)
    assert rows(empty_url, "select extra from t_a") == [(8,)]


def test_what_has_the_name_that_a_column_had_is_not_dropped(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    do(empty_url, "create table pass_on (); alter table t_a add x int; insert into t_a values (1, 7)")
    history.add("b", "a", f'op.alter_column("t_a", "x", new_column_name="z")\n{CONCURRENTLY}{STOP}')
    with pytest.raises(CommandError):
        command.upgrade(history.config(empty_engine), "head")
    do(empty_url, "alter table t_a add x text default 'theirs'")
    with pytest.raises(
        CommandError, match=r"new column t_a\.x has the name of one that was renamed.* drop it"
    ):
        command.downgrade(history.config(empty_engine), "-1")
    do(empty_url, "alter table t_a rename x to theirs")
    command.downgrade(history.config(empty_engine), "-1")
    assert rows(empty_url, "select x, theirs from t_a") == [(7, "theirs")]


def test_long_names_are_known_as_postgresql_cuts_them(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    do(empty_url, "create table pass_on ()")
    before = dump(empty_url)
    make = (f"create table {'x' * 70} (id int)", f'alter table t_a add "{"é" * 40}" int')
    made = "\n".join(f"op.execute({each!r})" for each in make)
    history.add("b", "a", f"{made}\n{CONCURRENTLY}{STOP}")
    with pytest.raises(CommandError):
        command.upgrade(history.config(empty_engine), "head")
    command.downgrade(history.config(empty_engine), "-1")
    assert dump(empty_url) == before


def test_values_that_are_gone_and_may_not_be_null_are_not_taken_back(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    do(
        empty_url,
        "create table pass_on (); alter table t_a add x int not null; insert into t_a values (1, 7)",
    )
    history.add("b", "a", f'op.drop_column("t_a", "x")\n{CONCURRENTLY}{STOP}')
    with pytest.raises(CommandError):
        command.upgrade(history.config(empty_engine), "head")
    with pytest.raises(CommandError, match=r"t_a\.x was dropped, and may not be NULL.*\(alembic upgrade b\)"):
        command.downgrade(history.config(empty_engine), "-1")
    let_pass(empty_url)
    command.upgrade(history.config(empty_engine), "b")
    assert heads(empty_url) == {"b"}


def test_what_stands_in_the_way_of_taking_back_is_named(
    half: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, "create view v as select from t_c")
    with pytest.raises(
        CommandError, match=r"What revision c has done can't be taken back.* view v depends on"
    ):
        command.downgrade(half.config(empty_engine), "-1")
    do(empty_url, "drop view v")
    command.downgrade(half.config(empty_engine), "-1")
    assert tables(empty_url) == ["t_a", "t_b"]


LOOP = """
    do $$ begin
        for number in 1..3 loop
            update t_a set n = n + {0} where id = number and n < 100;
            commit;
            if number = 2 then perform 1 / count(*) from pass_on; end if;
        end loop;
    end $$
    """
EDITS: dict[str, tuple[Callable[[str], str], bool]] = {
    "formatted": (
        lambda text: text.replace("'''", '"' * 3).replace("def upgrade():", "def upgrade( ) :"),
        True,
    ),
    "a comment": (lambda text: text.replace("def upgrade", "# why\n\ndef upgrade"), True),
    "a statement behind": (lambda text: text + "\ndef more():\n    op.execute('select 1')\n", False),
    "another value": (lambda text: text.replace("+ 10", "+ 1000"), False),
}


PROCEDURE = "create procedure put() language plpgsql as " + LOOP.format(10).replace("do $$", "$$", 1)


def test_a_block_that_only_speaks_of_a_commit_is_one_transaction(
    history: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    do(empty_url, "create table pass_on (); alter table t_a add n int; insert into t_a values (1, 0)")
    block = (
        "/* x */ do $$ begin -- commit;\n update t_a set n = n + 1; raise notice 'commit; raise debug'; "
        "perform 1 / count(*) from pass_on; end $$"
    )
    history.add("b", "a", f"{CONCURRENTLY}op.execute({block!r})")
    with pytest.raises(CommandError):
        command.upgrade(history.config(empty_engine), "head")
    let_pass(empty_url)
    command.upgrade(history.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, "select n from t_a")) == ({"b"}, [(1,)])
    assert not [each for each in caplog.messages if "is run again" in each]


@pytest.mark.parametrize("call", ["do", "call"])
@pytest.mark.parametrize("first", ["pass", "op.execute('alter table t_a add m int')"])
def test_a_block_that_commits_and_is_run_again_is_named(  # noqa: PLR0917 - fixtures, and a case
    history: History,
    empty_engine: Engine,
    empty_url: URL,
    call: str,
    first: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    do(
        empty_url,
        "create table pass_on (); alter table t_a add n int default 0; "
        f"insert into t_a select generate_series(1, 3); {PROCEDURE}",
    )
    block = LOOP.format(10) if call == "do" else "call put()"
    history.add(
        "b",
        "a",
        first + 2 * f"\n{CONCURRENTLY}op.execute('''{block}''')",
    )
    with pytest.raises(CommandError):
        command.upgrade(history.config(empty_engine), "head")
    let_pass(empty_url)
    caplog.clear()
    command.upgrade(history.config(empty_engine), "head")
    [said] = [each for each in caplog.messages if "is run again from its start" in each]
    assert "A block of revision b that commits was interrupted" in said
    assert rows(empty_url, "select from plinth.unfinished") == []


@pytest.mark.parametrize("edit", EDITS)
def test_a_file_that_was_edited_in_its_first_step_is_refused(
    history: History, empty_engine: Engine, empty_url: URL, edit: str
) -> None:
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    do(
        empty_url,
        "create table pass_on (); alter table t_a add n int default 0; "
        "insert into t_a select generate_series(1, 3)",
    )
    file = history.add("b", "a", f"{CONCURRENTLY}op.execute('''{LOOP.format(10)}''')")
    with pytest.raises(CommandError):
        command.upgrade(history.config(empty_engine), "head")
    assert rows(empty_url, "select n from t_a order by id") == [(10,), (10,), (0,)]
    let_pass(empty_url)
    change, goes_on = EDITS[edit]
    file.write_text(change(file.read_text()))
    if goes_on:
        command.upgrade(history.config(empty_engine), "head")
        assert heads(empty_url) == {"b"}
    else:
        with pytest.raises(CommandError, match="interrupted in its first step, and its file was edited"):
            command.upgrade(history.config(empty_engine), "head")
        assert (heads(empty_url), rows(empty_url, "select max(n) from t_a")) == ({"a"}, [(10,)])


@pytest.mark.parametrize(
    ("statement", "stays"),
    [
        ("update t_a set n = n + 1", True),
        ("do $$ begin update only public.t_a as t set m = 1, n = 7 where t.id > 0; end $$", True),
        ("insert into t_a (id) values (7)", True),
        ("delete from t_a where id = 1", True),
        ("update t_a set m = n", False),
        ("update t_a set m = (select max(n) from t_a), m2[1] = 1 from u_b", False),
        ('with x as (UPDATE /* x */ t_a SET (m, "n") = (select 1, 2) returning 1) select from x', True),
        ("do $$ begin execute 'update t_a set n = 1'; end $$", True),
        ("do $$ begin update t_a set m = case when id = 1 then 1 else 2 end, n = 7; end $$", True),
        ("select 'update t_a set n = 1' /* delete from t_a */ into b2", False),
        ("insert into u_b select id from t_a for update", False),
        ("insert into u_b select id from t_a", False),
        ("do $$ begin update t_a set n = 7; commit; perform 1 / count(*) from pass_on; end $$", True),
    ],
)
def test_rows_that_are_not_taken_back_are_named(  # noqa: PLR0917 - fixtures, and a case
    half: History,
    empty_engine: Engine,
    empty_url: URL,
    statement: str,
    stays: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    command.downgrade(half.config(empty_engine), "-1")
    do(empty_url, "alter table t_a add n int; insert into t_a select 1")
    half.add(
        "c",
        "b",
        'op.execute("create table u_b (id int)")\nop.execute("alter table t_a add m int, add m2 int[]")\n'
        f"{CONCURRENTLY}op.execute({statement!r})\n{STOP}",
    )
    with pytest.raises(CommandError):
        command.upgrade(half.config(empty_engine), "head")
    caplog.clear()
    command.downgrade(half.config(empty_engine), "-1")
    said = [each for each in caplog.messages if "Not so the rows that it has changed" in each]
    assert bool(said) is stays
    assert all(statement in each for each in said)


@pytest.mark.slow
def test_what_was_made_to_take_it_back_goes_too(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    do(
        empty_url,
        "create table pass_on (); alter table t_a add n int; create index ix on t_a (n); "
        "insert into t_a select n, n from generate_series(1, 50) n",
    )
    before = dump(empty_url)
    history.add("b", "a", f'op.alter_column("t_a", "n", type_=sa.BigInteger())\n{CONCURRENTLY}{STOP}')
    done = False
    behind = 0
    while not done:
        with pytest.raises(CommandError):
            command.upgrade(history.config(empty_engine), "head")
        assert rows(empty_url, "select from plinth.points")
        with interrupted(behind) as ran, suppress(Interrupted):
            command.downgrade(history.config(empty_engine), "-1")
            done = True
        command.downgrade(history.config(empty_engine), "-1") if not done else None
        assert (dump(empty_url), rows(empty_url, POINTS)) == (before, []), ran
        behind += 1
    assert behind > 2


@pytest.mark.parametrize("has_rows", [False, True])
def test_a_new_table_under_the_name_of_a_renamed_one_makes_room_if_it_is_empty(
    history: History,
    empty_engine: Engine,
    empty_url: URL,
    has_rows: bool,
) -> None:
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    do(empty_url, "create table pass_on (); insert into t_a values (7); create type mood as enum ('a')")
    history.add(
        "b",
        "a",
        'op.rename_table("t_a", "t_z")\nop.execute("create table t_a (n int)")\n'
        "op.execute('alter type mood rename to \"The mood\"')\n"
        "op.execute(\"create type mood as enum ('b')\")\n"
        f"{CONCURRENTLY}{STOP}",
    )
    with pytest.raises(CommandError):
        command.upgrade(history.config(empty_engine), "head")
    if has_rows:
        do(empty_url, "insert into t_a values (1)")
        with pytest.raises(CommandError, match=r"the new table t_a has the name of one.*and has rows"):
            command.downgrade(history.config(empty_engine), "-1")
        assert rows(empty_url, "select n, id from t_a, t_z") == [(1, 7)]
        do(empty_url, "delete from t_a")
    command.downgrade(history.config(empty_engine), "-1")
    assert (tables(empty_url), rows(empty_url, "select id from t_a")) == (["t_a"], [(7,)])
    assert rows(empty_url, "select enumtypid::regtype::text, enumlabel from pg_enum") == [("mood", "a")]


@pytest.mark.parametrize("is_valid", [True, False])
def test_an_index_whose_build_ended_unseen_is_taken_back(
    history: History, empty_engine: Engine, empty_url: URL, is_valid: bool
) -> None:
    history.tables("a")
    history.add(
        "b",
        "a",
        f'{CONCURRENTLY}op.execute("alter table t_a add column n int")\n'
        '    op.execute("create index concurrently ix_n on t_a (id)")\n'
        'op.execute("select 1 / 0")',
    )
    with pytest.raises(CommandError, match="The rows don't bear revision b"):
        command.upgrade(history.config(empty_engine), "head")
    # The client was gone before the build had ended, and nothing more was noted.
    do(empty_url, "delete from plinth.points where number > 1")
    if not is_valid:
        do(empty_url, "update pg_index set indisvalid = false where indexrelid = 'ix_n'::regclass")
    command.downgrade(history.config(empty_engine), "-1")
    assert rows(empty_url, "select to_regclass('ix_n')::text") == [(None,)]
    columns = "select attname::text from pg_attribute where attrelid = 't_a'::regclass and attnum > 0"
    assert rows(empty_url, f"{columns} and not attisdropped") == [("id",)]


@pytest.mark.parametrize(
    ("before", "shorten"),
    [
        pytest.param("n varchar(20)", "alter table t_a alter n type varchar(10)", id="a published column"),
        pytest.param(
            "n timestamp",
            "alter table t_a alter n type timestamptz using n at time zone 'UTC'",
            id="a time that gets a zone",
        ),
    ],
)
def test_a_type_that_takes_several_operations_is_taken_back(
    history: History, empty_engine: Engine, empty_url: URL, before: str, shorten: str
) -> None:
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    do(empty_url, f"create table pass_on (); alter table t_a add {before}")
    do(
        empty_url,
        "insert into t_a values (1, '2026-01-01'); create publication shop for table t_a (id, n)",
    )
    there = dump(empty_url), rows(empty_url, "select id, n::text from t_a")
    listed = "alter publication shop {} table t_a{}"
    statements = listed.format("drop", ""), shorten, listed.format("add", " (id, n)")
    up = "\n".join(f'op.execute("{each}")' for each in statements)
    history.add("b", "a", f"{up}\n{CONCURRENTLY}{STOP}")
    with pytest.raises(CommandError):
        command.upgrade(history.config(empty_engine), "head")
    command.downgrade(history.config(empty_engine), "-1")
    assert (dump(empty_url), rows(empty_url, "select id, n::text from t_a")) == there


def test_what_comes_back_empty_is_named(
    history: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    do(empty_url, "create table pass_on (); create table gone (id int); alter table t_a add n int, add m int")
    do(empty_url, "insert into t_a values (1, 2, 3); insert into gone values (1)")
    history.add("b", "a", f'op.drop_table("gone")\nop.drop_column("t_a", "n")\n{CONCURRENTLY}{STOP}')
    with pytest.raises(CommandError):
        command.upgrade(history.config(empty_engine), "head")
    command.downgrade(history.config(empty_engine), "-1")
    [said] = [each for each in caplog.messages if "comes back without" in each]
    assert "comes back without its rows or values: column public.t_a.n, table public.gone." in said
    assert rows(empty_url, "select to_jsonb(t) from t_a t") == [({"id": 1, "m": 3, "n": None},)]
