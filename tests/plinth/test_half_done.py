"""A revision that had committed a part without a note, and then failed: nobody knows what of it is done."""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from plinth import checksum, undo
from plinth.apply.half_done import note
from plinth.status import status
from tests.plinth.history import CONCURRENTLY, History, do, heads, psql, rows

INSERT = "insert into t_a values (1)"
ELSEWHERE = f'with op.get_bind().engine.begin() as other:\n    other.execute(sa.text("{INSERT}"))'
FAIL = '\nop.execute("select 1 / 0")'
NOTES = "select object from plinth.unfinished"


@pytest.fixture
def left(history: History, empty_engine: Engine) -> History:
    """A history of which a and b are applied, and c was left half done."""
    history.tables("a", "b")
    command.upgrade(history.config(empty_engine), "head")
    history.add("c", "b", ELSEWHERE + FAIL, "pass")
    with pytest.raises(CommandError, match="may not bear to be done twice"):
        command.upgrade(history.config(empty_engine), "head")
    return history


def test_it_is_not_done_twice_in_a_callers_transaction(
    left: History, empty_engine: Engine, empty_url: URL
) -> None:
    with empty_engine.begin() as connection, pytest.raises(CommandError, match="c was left half done"):
        command.upgrade(left.config(connection), "head")
    assert (heads(empty_url), rows(empty_url, "select id from t_a")) == ({"b"}, [(1,)])
    assert rows(empty_url, NOTES) == [("up (half done)",)]
    left.add("c", "b", "op.execute('insert into t_a values (1) on conflict do nothing')")
    with empty_engine.begin() as connection:
        command.upgrade(left.config(connection), "head")
    assert (heads(empty_url), rows(empty_url, NOTES)) == ({"c"}, [])


UNDO: "list[Callable[[Config], object]]" = [
    lambda config: command.downgrade(config, "-1"),
    undo.rollback,
    undo.redo,
]


@pytest.mark.parametrize("way", UNDO)
@pytest.mark.parametrize("is_callers", [False, True])
def test_nothing_is_undone_below_it(
    left: History, empty_engine: Engine, empty_url: URL, way: "Callable[[Config], object]", is_callers: bool
) -> None:
    with empty_engine.connect() as connection:
        if is_callers:
            connection.begin()
        with pytest.raises(
            CommandError, match=r"c was left half done.*others wait for it.*stamp b; .*stamp c$"
        ):
            way(left.config(connection))
    assert (heads(empty_url), rows(empty_url, NOTES)) == ({"b"}, [("up (half done)",)])


def test_what_it_has_noted_besides_is_not_taken_back(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a", "b")
    command.upgrade(history.config(empty_engine), "head")
    history.add("c", "b", f'{CONCURRENTLY}op.execute("create table t_c ()")\n{ELSEWHERE}{FAIL}')
    with pytest.raises(CommandError, match="may not bear to be done twice"):
        command.upgrade(history.config(empty_engine), "head")
    for way in UNDO:
        with pytest.raises(CommandError, match="others wait for it"):
            way(history.config(empty_engine))
    assert len(rows(empty_url, NOTES)) == 1


def test_nothing_is_applied_above_what_was_left_half_undone(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a")
    history.add("b", "a", "pass", ELSEWHERE + FAIL)
    command.upgrade(history.config(empty_engine), "head")
    with pytest.raises(CommandError, match="may not bear to be done twice"):
        command.downgrade(history.config(empty_engine), "-1")
    history.add("c", "b", "pass")
    with pytest.raises(
        CommandError,
        match=r"others wait.*go on: alembic downgrade b@-1; .*alembic stamp b; .*alembic stamp a$",
    ):
        command.upgrade(history.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, NOTES)) == ({"b"}, [("down (half done)",)])


@pytest.mark.parametrize("is_callers", [False, True])
def test_who_undid_it_by_hand_says_so(
    left: History, empty_engine: Engine, empty_url: URL, is_callers: bool
) -> None:
    [problem] = status(left.config(empty_engine)).problems
    assert re.search(
        r"repeatable = True .*undo by hand .*alembic stamp b; .*alembic stamp c$", problem.message
    )
    do(empty_url, "delete from t_a")
    with empty_engine.connect() as connection:
        transaction = connection.begin() if is_callers else None
        command.stamp(left.config(connection), "b")
        if transaction:
            transaction.commit()
    assert (heads(empty_url), rows(empty_url, NOTES)) == ({"b"}, [])
    left.add("c", "b", ELSEWHERE)
    command.upgrade(left.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, "select id from t_a")) == ({"c"}, [(1,)])


def test_a_stamp_of_another_branch_does_not_forget_it(
    left: History, empty_engine: Engine, empty_url: URL
) -> None:
    left.add("x", None, "pass")
    command.stamp(left.config(empty_engine), "x")
    assert (heads(empty_url), len(rows(empty_url, NOTES))) == ({"b", "x"}, 1)


def test_the_status_does_not_say_that_it_goes_on_where_it_does_not(
    history: History, empty_engine: Engine
) -> None:
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    history.add("b", "a", f'{CONCURRENTLY}op.execute("create table t_b ()")\n{ELSEWHERE}{FAIL}')
    with pytest.raises(CommandError, match="may not bear to be done twice"):
        command.upgrade(history.config(empty_engine), "head")
    [problem] = status(history.config(empty_engine)).problems
    assert "b was left half done" in problem.message


def test_another_branch_stays_where_it_is_when_it_is_said_that_it_was_undone(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a", "b")
    history.add("d", "b", "pass")
    history.add("x", None, "pass", "pass")
    command.upgrade(history.config(empty_engine), "heads")
    for name, below in (("c", "b"), ("y", None)):
        history.add(name, below, ELSEWHERE + FAIL)
        with pytest.raises(CommandError, match="may not bear to be done twice"):
            command.upgrade(history.config(empty_engine), name)
        do(empty_url, "delete from t_a")
        with pytest.raises(CommandError, match=r"undo by hand .*: alembic stamp d x; or finish"):
            command.upgrade(history.config(empty_engine), name)
        command.stamp(history.config(empty_engine), ["d", "x"])
        assert (heads(empty_url), rows(empty_url, NOTES)) == ({"d", "x"}, [])


def test_a_downgrade_to_the_base_of_a_branch_is_finished_by_hand(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a", "b")
    history.add("x", None, "pass", ELSEWHERE + FAIL)
    command.upgrade(history.config(empty_engine), "heads")
    for match in ("may not bear to be done twice", r"finish by hand .*: alembic stamp x@base$"):
        with pytest.raises(CommandError, match=match):
            command.downgrade(history.config(empty_engine), "x@base")
    command.stamp(history.config(empty_engine), "x@base")
    assert (heads(empty_url), rows(empty_url, NOTES)) == ({"b"}, [])


RAW = "raw = op.get_bind().connection\ncur = raw.cursor()\n"
ADD = "update t_a set id = id + 10"
OURS = "from pg_stat_activity where datname = current_database() and application_name ~ '^alembic'"
SLEEPS = f"{OURS} and query = 'select pg_sleep(600)'"
WAIT = "(cur.execute if 'cur' in locals() else op.execute)('select pg_sleep(600)')"
THREADS = f"""from concurrent.futures import ThreadPoolExecutor
def work():
    with engine.begin() as other:
        other.execute(sa.text("{ADD}"))
engine = op.get_bind().engine
with ThreadPoolExecutor() as pool:
    pool.submit(work).result()
"""
BY_ITSELF = {
    "the driver's commit": (f"{RAW}cur.execute({ADD!r})\nraw.commit()\n", 11, False),
    "of what is seen": (f"{RAW}op.execute({ADD!r})\nraw.commit()\ncur.execute('select')\n", 11, False),
    "its second transaction": (f"{RAW}raw.rollback()\ncur.execute({ADD!r})\nraw.commit()\n", 11, False),
    "its copy": (f"{RAW}cur.execute({ADD!r})\n", 1, True),
    "its copy, and a savepoint": (
        f"{RAW}# no rollback\nwith op.get_bind().begin_nested() as it:\n    it.rollback()\n"
        f"op.execute('savepoint a')\nop.execute('rollback to a')\ncur.execute({ADD!r})\n", 1, True,
    ),
    "its second transaction, by a word": (
        f"{RAW}cur.execute('rollback')\ncur.execute({ADD!r})\nraw.commit()\n", 11, False,
    ),
    "threads": (THREADS, 11, False),
    "what was rolled back elsewhere": (
        f"other = op.get_bind().engine.connect()\nother.execute(sa.text({ADD!r}))\n"
        "other.close()\n", 1, True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("end", ["", " when its session ends"])
@pytest.mark.parametrize("way", BY_ITSELF)
def test_what_is_committed_unseen_is_not_done_twice_and_what_is_rolled_back_is(  # noqa: PLR0917
    history: History, empty_url: URL, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    way: str, end: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("DATABASE_URL", empty_url.render_as_string(hide_password=False))
    body, done, goes_on = BY_ITSELF[way]
    history.tables("a")
    command.upgrade(history.config(), "head")
    do(empty_url, "insert into t_a values (1)")
    file = history.add("b", "a", body + (WAIT if end else WAIT.replace("pg_sleep(600)", "1 / 0")))
    with ThreadPoolExecutor() as pool:
        upgrade = pool.submit(command.upgrade, history.config(), "head")
        while end and not upgrade.done() and not rows(empty_url, f"select {SLEEPS}"):
            time.sleep(0.05)
        while end and not upgrade.done():
            rows(empty_url, f"select pg_terminate_backend(pid) {OURS}")
            time.sleep(0.05)
    said = f"{caplog.text} {upgrade.exception()}"
    assert end or ("not bear to be done twice" in said) is not goes_on, said
    assert rows(empty_url, "select id from t_a") == [(done,)]
    if goes_on:
        file.write_text(re.sub(r"select (pg_sleep\(600\)|1 / 0)", "select 1", file.read_text()))
        command.upgrade(history.config(), "head")
        assert heads(empty_url) == {"b"}
    else:
        with pytest.raises(CommandError, match="Revision b was left half done"):
            command.upgrade(history.config(), "head")
        assert rows(empty_url, "select id from t_a") == [(done,)]
    assert bool(rows(empty_url, NOTES)) is not goes_on


def test_rows_that_another_connection_refused_are_mended(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    do(empty_url, INSERT)
    history.add("b", "a", ELSEWHERE)
    with pytest.raises(CommandError, match=r"nothing of it has changed the database.*Fix the rows"):
        command.upgrade(history.config(empty_engine), "head")
    do(empty_url, "delete from t_a")
    command.upgrade(history.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, NOTES)) == ({"b"}, [])


OTHERS = {
    "of an older release": (r" \S+(?= \d+$)", ""),
    "of another server": (r" \d+(?=/)", " 1"),
    "of a copy that was promoted": (r"/\d+", "/1000"),
}


@pytest.mark.parametrize("whose", ["its own", *OTHERS])
def test_the_numbers_of_another_servers_transactions_say_nothing(
    history: History, empty_engine: Engine, empty_url: URL, whose: str
) -> None:
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    file = history.add("b", "a", f"op.execute({INSERT!r})")
    with psql(empty_url) as session:
        session.execute("begin")
        [(number,)] = session.execute("select pg_current_xact_id()::text").fetchall()
        session.execute("rollback")
        noted = note(session, str(checksum.of_file(file)), {number})
        said = re.sub(*OTHERS[whose], noted) if whose in OTHERS else noted
        row = ("alembic_version", "b", "up (half done)", said)
        session.execute("insert into plinth.unfinished values (%s, %s, %s, %s)", row)
    if whose == "its own":
        command.upgrade(history.config(empty_engine), "head")
    else:
        with pytest.raises(CommandError, match="Revision b was left half done"):
            command.upgrade(history.config(empty_engine), "head")
    assert len(rows(empty_url, "select from t_a")) == (whose == "its own")


def test_no_numbers_are_noted_by_who_can_not_tell_a_server_from_its_copies(empty_url: URL) -> None:
    do(empty_url, "revoke execute on function pg_control_checkpoint() from public")
    with psql(empty_url) as session:
        session.execute("set role pg_signal_backend")
        assert note(session, "of its file", {"1", "2"}) == "of its file"
