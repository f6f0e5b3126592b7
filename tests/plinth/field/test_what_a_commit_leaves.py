"""A revision that commits by itself and then fails: what is said of the database is true."""

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from tests.plinth.history import History, do, rows

MAKE = "op.execute('create table made ()')\n"
WAYS = {
    "COMMIT": "op.execute('commit')\n",
    "driver": "op.get_bind().connection.driver_connection.commit()\n",
    "in one statement": "op.execute('create table more (); commit')\n",
}


@pytest.mark.parametrize("way", ["driver", "in one statement"])
def test_what_it_had_committed_stays_and_is_said_to_stay(
    way: str, history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.add("a", None, f"{MAKE}{WAYS[way]}op.execute('select 1 / 0')")
    with pytest.raises(CommandError) as refused:
        command.upgrade(history.config(empty_engine), "head")
    assert "It ended its transaction itself" in str(refused.value)
    assert "what it had committed stays" in str(refused.value)
    assert "nothing of it has changed" not in str(refused.value)
    assert rows(empty_url, "select to_regclass('made')") == [("made",)]


def test_after_a_commit_of_its_own_it_is_resumed(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    stop = "op.execute('select 1 / count(*) from pass_on')"
    history.add("a", None, MAKE + WAYS["COMMIT"] + stop)
    do(empty_url, "create table pass_on ()")
    with pytest.raises(
        CommandError, match="had finished before stays, and the same command goes on behind it"
    ):
        command.upgrade(history.config(empty_engine), "head")
    assert rows(empty_url, "select to_regclass('made')") == [("made",)]
    do(empty_url, "insert into pass_on default values")
    command.upgrade(history.config(empty_engine), "head")


def test_what_was_rolled_back_is_said_to_be(history: History, empty_engine: Engine, empty_url: URL) -> None:
    history.add("a", None, f"{MAKE}op.execute('select 1 / 0')")
    with pytest.raises(CommandError, match="nothing of it has changed the database"):
        command.upgrade(history.config(empty_engine), "head")
    assert rows(empty_url, "select to_regclass('made')") == [(None,)]


def test_an_error_of_pythons_is_told_the_same(
    history: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    history.add("a", None, f"{MAKE}{WAYS['driver']}raise RuntimeError('so')")
    with pytest.raises(RuntimeError, match="so"):
        command.upgrade(history.config(empty_engine), "head")
    assert "what it had committed stays" in caplog.text
    do(empty_url, "drop table made")


def test_it_isnt_tried_again_when_a_lock_wont_come(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.add(
        "a",
        None,
        f"{MAKE}{WAYS['driver']}op.execute(\"do $$ begin raise sqlstate '55P03'; end $$\")",
    )
    with pytest.raises(CommandError, match="It isn't tried again"):
        command.upgrade(history.config(empty_engine), "head")
