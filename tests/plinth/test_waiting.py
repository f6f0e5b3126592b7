"""Bounded waiting: a lock that won't come is asked for again, and nobody queues behind the one who waits."""
# ruff: noqa: S608 - SQL in revisions' files, made of constants

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from tests.plinth.far_away import FarAway
from tests.plinth.history import (
    CONCURRENTLY,
    PATIENCE,
    History,
    do,
    heads,
    ledger,
    psql,
    rows,
    wait_until_blocked,
)

ADD = 'op.add_column("t_a", sa.Column("b", sa.Text()))'


@contextmanager
def upgrading(history: History, engine: Engine) -> Iterator["Future[None]"]:
    """Upgrade in another thread; what it raises comes with `result()`."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(command.upgrade, history.config(engine), "head")


def wait_for_words(log: pytest.LogCaptureFixture, words: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while words not in log.text:
        assert time.monotonic() < deadline, log.text
        time.sleep(0.02)


def past(holds: str, run: Callable[[], object], url: URL, log: pytest.LogCaptureFixture) -> None:
    """Run a command while somebody holds a lock, until it didn't come and is tried for again."""
    with ThreadPoolExecutor(1) as pool:
        with psql(url, autocommit=False) as blocker:
            blocker.execute(holds)
            running = pool.submit(run)
            wait_for_words(log, "Trying again in")
        running.result()


def upgrade_past_a_reader(history: History, engine: Engine, url: URL, log: pytest.LogCaptureFixture) -> None:
    """Upgrade while somebody reads t_a, as in `past`."""
    past("select from t_a", lambda: command.upgrade(history.config(engine), "head"), url, log)


class Pace(threading.Thread):
    """Queries of an application, and the longest of them."""

    def __init__(self, url: URL, sql: str) -> None:
        super().__init__()
        self.url, self.sql = url, sql
        self.worst = 0.0
        self.served = 0
        self.done = threading.Event()

    def run(self) -> None:
        """Query until it is done."""
        with psql(self.url) as connection:
            while not self.done.is_set():
                began = time.monotonic()
                connection.execute(self.sql.encode())
                self.worst = max(self.worst, time.monotonic() - began)
                self.served += 1
                time.sleep(0.01)


@pytest.fixture
def table(history: History, empty_engine: Engine) -> History:
    """A history with a table `t_a`, applied."""
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    return history


def test_a_lock_that_will_not_come_holds_nobody_up(
    table: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture,
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    table.add("b", "a", ADD)
    pace = Pace(empty_url, "select count(*) from t_a")
    with upgrading(table, empty_engine) as upgrade:
        with psql(empty_url, autocommit=False) as blocker:
            blocker.execute("select 'holding on' from t_a")
            pace.start()
            wait_until_blocked(empty_url)
            served = pace.served
            time.sleep(2)
            assert pace.served > served  # in a queue behind the upgrade, not one would have been
            blocker.rollback()
        upgrade.result()
    pace.done.set()
    pace.join()
    record_property("longest query beside an upgrade that waits for a lock", f"{1000 * pace.worst:.0f} ms")
    assert heads(empty_url) == {"b"}
    assert "Blocked by pid" in caplog.text
    for words in ("the test", "idle in transaction, since ", "query: select 'holding on'", "Trying again in"):
        assert words in caplog.text


def test_a_lock_that_never_comes_ends_with_a_sentence(
    table: History, empty_engine: Engine, empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.add("b", "a", 'op.execute("create table t_b ()")')
    table.add("c", "b", ADD)
    monkeypatch.setenv("PLINTH_RETRY_LIMIT", "500ms")
    monkeypatch.setenv("PLINTH_LOCK_TIMEOUT", "50ms")
    with psql(empty_url, autocommit=False) as blocker:
        blocker.execute("select from t_a")
        with pytest.raises(CommandError, match=r"Gave up after 0\.5 s.*revision c.*Blocked by pid") as caught:
            command.upgrade(table.config(empty_engine), "head")
    assert "1 of 2 revisions done; the database stands at b. Run the same command again" in str(caught.value)
    assert heads(empty_url) == {"b"}
    command.upgrade(table.config(empty_engine), "head")
    assert [row[:2] for row in ledger(empty_url)] == [(name, "up") for name in "abc"]


@pytest.mark.slow
def test_a_deadlock_is_tried_again(
    table: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("PLINTH_LOCK_TIMEOUT", "60s")
    table.add(
        "b",
        "a",
        "op.execute(\"set local deadlock_timeout = '3s'\")\n"  # the other one's is longer: ours is ended
        'op.execute("create table if not exists t_b ()")\n'
        'op.execute("lock table t_a")\nop.execute("lock table t_0")',
    )
    with psql(empty_url) as other:
        other.execute("create table t_0 ()")
        other.execute("set deadlock_timeout = '60s'")
        with upgrading(table, empty_engine) as upgrade, other.transaction():
            other.execute("lock table t_0")
            wait_until_blocked(empty_url)
            other.execute("lock table t_a")
    upgrade.result()
    assert "deadlock" in caplog.text
    assert "Trying again in" in caplog.text
    assert ledger(empty_url)[-1] == ("b", "up", 2)


def test_a_row_that_moves_to_another_partition_is_waited_for_again(
    table: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("PLINTH_LOCK_TIMEOUT", "60s")
    do(
        empty_url,
        "create table p (id int primary key, n int) partition by range (id);"
        "create table p_low partition of p for values from (0) to (9);"
        "create table p_high partition of p default; insert into p values (1), (2)",
    )
    table.add("b", "a", f'{CONCURRENTLY}op.execute("update p set n = 7 where n is null")')
    with psql(empty_url) as other, upgrading(table, empty_engine) as upgrade:
        with other.transaction():
            other.execute("update p set id = 12 where id = 2")
            wait_until_blocked(empty_url)
        upgrade.result()
    assert "Somebody else's writing came in between during revision" in caplog.text
    assert "another partition" in caplog.text
    assert "Trying again in" in caplog.text
    assert rows(empty_url, "select id, n from p order by id") == [(1, 7), (12, 7)]


@pytest.mark.slow
def test_a_concurrent_build_waits_as_long_as_it_takes(
    table: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("PLINTH_LOCK_TIMEOUT", "50ms")
    monkeypatch.setenv("PLINTH_STATEMENT_TIMEOUT", "100ms")
    table.add("b", "a", f'{CONCURRENTLY}op.create_index("ix", "t_a", ["id"], postgresql_concurrently=True)')
    with upgrading(table, empty_engine) as upgrade:
        with psql(empty_url, autocommit=False) as blocker:
            blocker.execute("insert into t_a values (1)")
            wait_for_words(caplog, "Waiting, without blocking others, for pid")
        upgrade.result()
    assert "Trying again" not in caplog.text
    assert rows(empty_url, "select indisvalid from pg_index where indexrelid = 'ix'::regclass") == [(True,)]


def test_a_statement_that_takes_too_long_ends_with_a_sentence(
    table: History, empty_engine: Engine, empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLINTH_STATEMENT_TIMEOUT", "100ms")
    table.add("b", "a", f'{ADD}\nop.execute("select pg_sleep(60)")')
    with pytest.raises(CommandError, match=r"revision b was cancelled.*rolled back.*STATEMENT_TIMEOUT"):
        command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"a"}


FILL = "op.execute(\"update t_a set note = 'filled' where note is null\")"
COUNT = "op.execute('insert into t_a (id) values (default)')"


def test_a_statement_waits_for_its_own_lock_and_what_is_done_is_not_done_twice(
    table: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("PLINTH_LOCK_TIMEOUT", "50ms")
    table.add("b", "a", 'op.add_column("t_a", sa.Column("note", sa.Text()))')
    command.upgrade(table.config(empty_engine), "head")
    table.add("c", "b", f"{CONCURRENTLY}{COUNT}\n    {FILL}\n{COUNT}")
    with psql(empty_url) as connection:
        connection.execute("insert into t_a (id) values (7)")
    holds = "select from t_a where id = 7 for update"
    past(holds, lambda: command.upgrade(table.config(empty_engine), "head"), empty_url, caplog)
    assert rows(empty_url, "select count(*), count(note) from t_a") == [(3, 2)]


def test_a_step_that_says_so_is_repeated(
    table: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("PLINTH_LOCK_TIMEOUT", "50ms")
    table.add("b", "a", 'op.add_column("t_a", sa.Column("note", sa.Text()))')
    table.add("c", "b", f"{CONCURRENTLY}for _ in range(2):\n        {FILL}", extra="repeatable = True")
    with psql(empty_url) as connection:
        connection.execute("insert into t_a select generate_series(1, 2)")
    holds = "lock table t_a in share mode"
    past(holds, lambda: command.upgrade(table.config(empty_engine), "head"), empty_url, caplog)
    assert rows(empty_url, "select distinct note from t_a") == [("filled",)]


DROP = "alter table t_a drop constraint positive"
SWALLOWED = {
    "except": f"try:\n    with op.get_bind().begin_nested():\n        op.execute({DROP!r})\n"
    "except sa.exc.DBAPIError:\n    pass",
    "when others": f"op.execute('do $$ begin {DROP}; exception when others then null; end $$')",
}
SWALLOWED["when others, in other words"] = (
    "op.execute('comment on table t_a is $$set lock_timeout = 1; nowait$$ -- reset all')\n"
    + SWALLOWED["when others"].replace("when others then", "when /* x */ no_data_found OR OTHERS Then")
)
SWALLOWED["when query_canceled, too"] = SWALLOWED["when others"].replace("when", "when query_canceled or")
SWALLOWED["a function"] = (
    "op.execute('create function away() returns void language plpgsql as "
    f"$$ begin {DROP}; exception when others then null; end $$')\n"
    "op.execute('select away()')\nop.execute('drop function away()')"
)
SWALLOWED["the driver"] = (
    "session = op.get_bind().connection\ntry:\n    with session.transaction():\n"
    f"        session.cursor().execute({DROP!r})\nexcept Exception:\n    pass"
)
SWALLOWED["the driver, without a savepoint"] = (
    f"try:\n    op.get_bind().connection.cursor().execute({DROP!r})\nexcept Exception:\n    pass\n"
    "op.execute('create table u ()')"
)
SWALLOWED["behind values with a setting's name"] = (
    "op.execute('create table config (name text, value text)')\n"
    "op.execute(\"insert into config values ('lock_timeout', '5s'), ('set lock_timeout', '5s')\")\n"
) + SWALLOWED["when others"]
SWALLOWED["behind a setting that ended with its block"] = (
    "with op.get_bind().begin_nested() as block:\n"
    "    op.execute(\"set local lock_timeout = '5s'\")\n    block.rollback()\n"
) + SWALLOWED["except"]
SWALLOWED["outside"] = CONCURRENTLY + SWALLOWED["when others"]
SWALLOWED["before a point"] = f"{SWALLOWED['except']}\n{CONCURRENTLY}op.execute('create table u ()')"


@pytest.mark.parametrize("kind", SWALLOWED)
def test_what_passes_over_a_lock_that_did_not_come_is_done_again(
    kind: str, table: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    table.add("b", "a", SWALLOWED[kind])
    do(empty_url, "alter table t_a add constraint positive check (id > 0)")
    upgrade_past_a_reader(table, empty_engine, empty_url, caplog)
    assert heads(empty_url) == {"b"}
    assert rows(empty_url, "select conname from pg_constraint where conname = 'positive'") == []


def test_a_lock_that_did_not_come_to_a_role_that_acts_as_another_is_asked_for_again(
    table: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    owner, member = f"owner_{empty_url.database}", f"member_{empty_url.database}"
    do(empty_url, f"create role {owner}; create role {member} login in role {owner}")
    do(
        empty_url,
        f"alter role {member} set role = {owner}; grant create on database {empty_url.database} to {owner}",
    )
    do(empty_url, f"alter table t_a owner to {owner}; alter table t_a add constraint positive check (id > 0)")
    try:
        do(empty_url, f"grant all on schema public to {owner}; grant all on alembic_version to {owner}")
        do(
            empty_url,
            f"grant all on schema plinth to {owner}; grant all on all tables in schema plinth to {owner}",
        )
        do(empty_url, f"grant all on all sequences in schema plinth to {owner}")
        table.add("b", "a", SWALLOWED["when others"])
        engine = create_engine(empty_url.set(username=member), poolclass=NullPool)
        upgrade_past_a_reader(table, engine, empty_url, caplog)
        assert "Blocked by pid" in caplog.text
        assert rows(empty_url, "select conname from pg_constraint where conname = 'positive'") == []
    finally:
        do(empty_url, f"reassign owned by {owner} to current_user; drop owned by {owner}")
        do(empty_url, f"drop role {member}; drop role {owner}")


@pytest.mark.slow
def test_a_lock_that_did_not_come_from_far_away_is_asked_for_again(
    table: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    table.add("b", "a", SWALLOWED["when others"])
    do(empty_url, "alter table t_a add constraint positive check (id > 0)")
    with FarAway(empty_url, seconds=0.12) as proxy:
        upgrade_past_a_reader(table, create_engine(proxy.url, poolclass=NullPool), empty_url, caplog)
    assert rows(empty_url, "select conname from pg_constraint where conname = 'positive'") == []


def test_a_block_whose_locks_come_in_time_runs_once(
    table: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("PLINTH_LOCK_TIMEOUT", "3s")
    do(
        empty_url,
        "alter table t_a add n int not null default 0; insert into t_a select generate_series(1, 5)",
    )
    table.add(
        "b",
        "a",
        f'{CONCURRENTLY}op.execute("""do $$ declare r int; begin for r in 1..5 loop '
        "begin update t_a set n = n + 1 where id = r; exception when others then raise; end; "
        'commit; end loop; end $$""")',
    )
    with upgrading(table, empty_engine) as upgrade:
        with psql(empty_url, autocommit=False) as one, psql(empty_url, autocommit=False) as other:
            one.execute("select from t_a where id = 2 for update")
            other.execute("select from t_a where id = 4 for update")
            for blocker in (one, other):  # each comes in time, both together wouldn't
                wait_until_blocked(empty_url)
                time.sleep(2)
                blocker.rollback()
        upgrade.result()
    assert "Trying again in" not in caplog.text
    assert rows(empty_url, "select n, count(*) from t_a group by n") == [(1, 5)]


def test_a_statement_that_took_too_long_is_not_passed_over(
    table: History, empty_engine: Engine, empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLINTH_STATEMENT_TIMEOUT", "100ms")
    slow = "alter table t_a add b int default length(pg_sleep(1)::text)"
    do(empty_url, "insert into t_a values (1)")
    table.add("b", "a", SWALLOWED["except"].replace(DROP, slow))
    with pytest.raises(CommandError, match=r"revision b was cancelled.*rolled back.*STATEMENT_TIMEOUT"):
        command.upgrade(table.config(empty_engine), "head")
    assert heads(empty_url) == {"a"}
    own = "op.execute(\"set local statement_timeout = '50ms'\")\n"
    table.add("b", "a", own + SWALLOWED["except"].replace(DROP, slow))
    command.upgrade(table.config(empty_engine), "head")


def test_a_revision_may_ask_for_its_lock_again_by_itself(
    table: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    table.add(
        "b",
        "a",
        "op.execute('create table attempts ()')\n"
        "for _ in range(100):\n    try:\n        with op.get_bind().begin_nested():\n"
        "            op.execute('alter table t_a add b int')\n        break\n"
        "    except sa.exc.OperationalError as error:\n"
        "        assert error.orig.sqlstate == '55P03'\n        print('Once more')\n        time.sleep(0.1)\n"
        "else:\n    raise RuntimeError('it never came')",
    )
    with upgrading(table, empty_engine) as upgrade:
        with psql(empty_url, autocommit=False) as blocker:
            blocker.execute("select from t_a")
            wait_until_blocked(empty_url)
            time.sleep(1)
        upgrade.result()
    assert "Trying again in" not in caplog.text
    assert rows(empty_url, "select b from t_a") == []


def test_a_lock_that_does_not_come_to_the_driver_is_no_lost_connection(
    table: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    table.add(
        "b",
        "a",
        "with op.get_bind().connection.cursor().copy('copy t_a (id) from stdin') as copy:\n"
        "    copy.write_row((7,))",
    )
    holds = "lock table t_a in share mode"
    past(holds, lambda: command.upgrade(table.config(empty_engine), "head"), empty_url, caplog)
    assert rows(empty_url, "select id from t_a") == [(7,)]


ELSEWHERE = (
    "with op.get_bind().engine.connect() as other:\n    other.execute(sa.text('alter table t_a add b int'))\n"
    "    other.commit()"
)


def test_another_connection_of_the_engine_waits_no_longer(
    table: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    table.add("b", "a", ELSEWHERE)
    upgrade_past_a_reader(table, empty_engine, empty_url, caplog)
    assert rows(empty_url, "select b from t_a") == []


def test_a_pooled_connection_waits_afterwards_as_it_did(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    table.add("b", "a", ELSEWHERE)
    engine = create_engine(empty_url, pool_size=1)
    command.upgrade(table.config(engine), "head")
    with engine.connect() as first, engine.connect() as second:
        show = sa.text("show lock_timeout")
        assert [first.scalar(show), second.scalar(show)] == ["0", "0"]
    engine.dispose()


@pytest.mark.parametrize("kind", ["except", "when others"])
def test_a_trial_that_passes_over_a_lock_that_did_not_come_is_none(
    kind: str, table: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    table.add("b", "a", "pass", SWALLOWED[kind].replace(DROP, "drop table t_a"))
    command.upgrade(table.config(empty_engine), "b")
    do(empty_url, "insert into t_a values (1)")
    past("select from t_a", lambda: command.downgrade(table.config(empty_engine), "a"), empty_url, caplog)
    assert "This loses table public.t_a (1 row)" in caplog.text


def test_a_revision_may_wait_as_it_likes_and_the_next_one_waits_as_ever(
    table: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    own = "op.execute(\"set lock_timeout = '1ms'\")\n" + SWALLOWED["except"]
    table.add("b", "a", own.replace(DROP, "lock table t_a"))
    table.add("c", "b", ADD)
    upgrade_past_a_reader(table, empty_engine, empty_url, caplog)
    assert "during revision b" not in caplog.text
    assert "A lock didn't come during revision c" in caplog.text


OWN = {
    "in the same text": "op.execute(\"set lock_timeout = '60s'; alter table t_a add b int\")",
    "in a block": 'op.execute("do $$ begin set local lock_timeout = 0; alter table t_a add b int; end $$")',
    "by a value": "op.get_bind().execute(sa.select(sa.func.set_config('lock_timeout', '60s', False)))\n"
    + ADD,
}


@pytest.mark.parametrize("kind", OWN)
def test_a_revision_may_wait_longer(
    kind: str, table: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    table.add("b", "a", OWN[kind])
    with upgrading(table, empty_engine) as upgrade:
        with psql(empty_url, autocommit=False) as blocker:
            blocker.execute("select from t_a")
            wait_until_blocked(empty_url)
            time.sleep(1)
        upgrade.result()
    assert "Trying again in" not in caplog.text


ADDED = 'op.add_column("t_a", sa.Column("b", sa.Text()))'
BUILT = f'{CONCURRENTLY}op.create_index("ix", "t_a", ["id"], postgresql_concurrently=True)'
BEHIND = {
    "what the driver was told": f"""raw = op.get_bind().connection.cursor()
with raw.copy("copy t_a from stdin") as copy:
    copy.write_row([7])
{BUILT}
{ADDED}""",
    "values that are made anew": f"""import uuid
op.bulk_insert(sa.table("t_a", sa.column("id")), [{{"id": uuid.uuid4().int % 1_000_000}}])
{BUILT}
{ADDED}""",
    "a build, a drop": f"""new = time.time_ns() % 1000
op.execute(sa.text("insert into t_a values (:id)").bindparams(id=new))
{BUILT}
op.drop_table("t_a")""",
    "a long answer": f"""found = op.get_bind().execute(
    sa.text("select 7 as id, repeat('x', 2_000_000), clock_timestamp()")
).all()
op.execute("create table t_b (id int)")
with op.get_context().autocommit_block():
    op.execute("insert into t_b values (1)")
    op.execute(sa.text("insert into t_a values (:id)").bindparams(id=found[0].id))
{ADDED}""",
}


@pytest.mark.parametrize("kind", BEHIND)
def test_the_first_statement_behind_a_point_waits_without_what_came_before_it(
    kind: str, table: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    table.add("b", "a", BEHIND[kind])
    holds = "lock table t_a in row exclusive mode" if "long" in kind else "select from t_a"
    past(holds, lambda: command.upgrade(table.config(empty_engine), "head"), empty_url, caplog)
    assert heads(empty_url) == {"b"}
    if "drop" not in kind:
        assert rows(empty_url, "select count(*), count(b) from t_a") == [(1, 0)]
    assert rows(empty_url, "select from plinth.points") == []


def test_the_first_statement_of_a_revision_with_points_waits_alone(
    table: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    insert = 'op.execute(f"insert into t_a values ({len(ran)})")'
    table.add("b", "a", f"ran.append(1)\n{ADDED}\n{BUILT}\n{insert}", extra="ran = []")
    table.add("c", "b", "pass")
    upgrade_past_a_reader(table, empty_engine, empty_url, caplog)
    assert rows(empty_url, "select id from t_a") == [(1,)]


def test_each_lock_has_its_own_time(
    table: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("PLINTH_LOCK_TIMEOUT", "50ms")
    monkeypatch.setenv("PLINTH_RETRY_LIMIT", "1500ms")
    do(empty_url, "create table t_b ()")
    statements = ("drop table t_a", "select pg_sleep(2)", "drop table t_b")
    table.add("b", "a", CONCURRENTLY + "\n    ".join(f"op.execute({each!r})" for each in statements))
    with upgrading(table, empty_engine) as upgrade:
        with psql(empty_url, autocommit=False) as last:
            last.execute("select from t_b")
            with psql(empty_url, autocommit=False) as first:
                first.execute("select from t_a")
                wait_for_words(caplog, "query: select from t_a")
            wait_for_words(caplog, "query: select from t_b")
        upgrade.result()
    assert heads(empty_url) == {"b"}


SETS = {
    "by a value": "op.get_bind().execute(sa.select(sa.func.set_config('lock_timeout', '0', False)))",
    "by the driver": 'op.get_bind().connection.cursor().execute("set lock_timeout = 0")',
    "reset": "op.execute('reset all')",
    "in a block": "op.execute(\"do 'begin perform set_config(''lock_timeout'', ''0'', false); end'\")",
    "for its transaction": "op.execute('set local lock_timeout = 0')",
}


@pytest.mark.parametrize("kind", SETS)
def test_what_a_revision_sets_for_its_session_ends_with_it(
    kind: str, table: History, empty_engine: Engine, empty_url: URL
) -> None:
    shows = (
        'op.execute("create table {} as select name, setting from pg_settings where name in '
        "('lock_timeout', 'row_security', 'datestyle', 'idle_in_transaction_session_timeout')\")"
    )
    do(empty_url, f"alter database {empty_url.database} set datestyle = 'SQL'")
    do(empty_url, f"alter database {empty_url.database} set idle_in_transaction_session_timeout = '1h'")
    # Behind one that changes no setting the next one isn't given any.
    quiet = "op.execute('comment on table t_a is null')"
    table.add("q", "a", quiet)
    table.add("r", "q", quiet)
    table.add("b", "r", f"{shows.format('before')}\n{SETS[kind]}")
    table.add("c", "b", shows.format("behind"))
    command.upgrade(table.config(empty_engine), "head")
    assert rows(empty_url, "select * from behind except select * from before") == []


def test_what_a_callback_of_the_project_sets_ends_with_its_revision(
    table: History, empty_engine: Engine, empty_url: URL
) -> None:
    table.configure(
        'on_version_apply=lambda ctx, **_: ctx.connection.exec_driver_sql("set lock_timeout = 0")'
    )
    show = "op.execute(\"create table t_{} as select current_setting('lock_timeout') as lock\")"
    for below, name in ("ab", "bc", "cd"):
        table.add(name, below, show.format(name))
    command.upgrade(table.config(empty_engine), "head")
    seen = "select * from t_b union all select * from t_c union all select * from t_d"
    assert rows(empty_url, seen) == [("5250ms",)] * 3
