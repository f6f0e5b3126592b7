"""A revision that came in below an applied one is named, and never taken for applied."""

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from plinth.check import check
from plinth.status import WRONG, status
from tests.plinth.history import History, do, ledger, rows


@pytest.fixture
def slipped(history: History, empty_engine: Engine) -> History:
    """A history whose a and b are applied; then a2 came in between them, and c after them."""
    history.tables("a", "b")
    command.upgrade(history.config(empty_engine), "head")
    history.tables("a", "a2", "b", "c")
    return history


def test_an_upgrade_says_what_it_would_skip(slipped: History, empty_engine: Engine, empty_url: URL) -> None:
    with pytest.raises(CommandError, match=r"Revision a2 has never been applied here.*alembic stamp b$"):
        command.upgrade(slipped.config(empty_engine), "head")
    assert [name for name, *_ in ledger(empty_url)] == ["a", "b"]
    assert rows(empty_url, "select to_regclass('t_c')") == [(None,)]


def test_status_and_check_name_it(slipped: History, empty_engine: Engine) -> None:
    found = status(slipped.config(empty_engine))
    assert {line.revision: line.state for line in found.revisions} == {
        "a": "applied",
        "a2": "skipped",
        "b": "applied",
        "c": "pending",
    }
    assert [(each.kind, each.name) for each in found.problems] == [("edited", "b"), ("skipped", "a2")]
    assert found.exit_code == WRONG
    report = check(slipped.config(empty_engine))
    assert ("skipped", "a2") in {(each.kind, each.name) for each in report.problems}


def test_undoing_what_stands_on_it_stops_too(slipped: History, empty_engine: Engine, empty_url: URL) -> None:
    for target in ("base", "a2", "-1"):
        with pytest.raises(CommandError, match="a2 has never been applied"):
            command.downgrade(slipped.config(empty_engine), target)
    assert [name for name, *_ in ledger(empty_url)] == ["a", "b"]


def test_moved_to_the_end_it_runs(slipped: History, empty_engine: Engine, empty_url: URL) -> None:
    slipped.tables("a", "b", "c", "a2")
    command.upgrade(slipped.config(empty_engine), "head")
    assert ledger(empty_url)[2:] == [("c", "up", 2), ("a2", "up", 2)]


def test_stamped_it_counts_as_applied(slipped: History, empty_engine: Engine, empty_url: URL) -> None:
    do(empty_url, "create table t_a2 (id int primary key)")
    command.stamp(slipped.config(empty_engine), "b")
    assert ("a2", "stamp") in {row[:2] for row in ledger(empty_url)}
    command.upgrade(slipped.config(empty_engine), "head")
    assert not [each for each in status(slipped.config(empty_engine)).problems if each.kind == "skipped"]


def test_a_history_older_than_the_ledger_is_in_order(
    slipped: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, "create table t_a2 (id int primary key); drop schema plinth cascade")
    command.upgrade(slipped.config(empty_engine), "head")
    assert ledger(empty_url)[:3] == [("a", "stamp", 0), ("a2", "stamp", 0), ("b", "stamp", 0)]
