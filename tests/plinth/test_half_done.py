"""A revision that had committed a part without a note, and then failed: nobody knows what of it is done."""

from collections.abc import Callable

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from plinth import undo
from tests.plinth.history import CONCURRENTLY, History, heads, rows

INSERT = "insert into t_a values (1)"
ELSEWHERE = f'with op.get_bind().engine.begin() as other:\n    other.execute(sa.text("{INSERT}"))'
DELETE = ELSEWHERE.replace(INSERT, "delete from t_a")
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
    with pytest.raises(CommandError, match=r"others wait for it.*alembic stamp b; .*alembic stamp a$"):
        command.upgrade(history.config(empty_engine), "head")
    assert (heads(empty_url), rows(empty_url, NOTES)) == ({"b"}, [("down (half done)",)])
