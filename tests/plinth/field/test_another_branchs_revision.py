"""A database at a revision that has no file here: which, whose, and the ways out."""

import json

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from plinth import undo
from plinth.apply.ledger import who
from plinth.check import check
from plinth.plan.planning import plans
from plinth.status import status
from tests.plinth.history import History, do, ledger
from tests.plinth.project import FIRST, HEAD, Project


@pytest.fixture
def switched(history: History, empty_engine: Engine) -> History:
    """A history on whose database another branch's revision is applied."""
    history.tables("a", "b", "other")
    command.upgrade(history.config(empty_engine), "head")
    (history.folder / "versions" / "other_make.py").unlink()
    history.tables("a", "b", "c")
    return history


def test_every_command_says_which_whose_and_both_ways_out(switched: History, empty_engine: Engine) -> None:
    config = switched.config(empty_engine)
    for run in (
        lambda: command.upgrade(config, "head"),
        lambda: command.downgrade(config, "-1"),
        lambda: command.current(config),
        lambda: command.stamp(config, "c"),
        lambda: command.check(config),
        lambda: command.revision(config, "add t_a more", autogenerate=True),
        lambda: undo.rollback(config),
        lambda: undo.redo(config),
        lambda: plans(config)[0],
    ):
        with pytest.raises(CommandError, match="stands at other, which has no file here") as refused:
            run()
        words = str(refused.value)
        assert f"(applied by {who()} on 20" in words
        assert "alembic downgrade b" in words
        assert "make db-reset" in words


def test_status_takes_nothing_that_is_applied_for_pending(switched: History, empty_engine: Engine) -> None:
    found = status(switched.config(empty_engine))
    assert [(line.revision, line.state) for line in found.revisions] == [
        *(("a", "applied"), ("b", "applied"), ("c", "pending"), ("other", "applied"))
    ]
    assert [each.kind for each in found.problems] == ["ahead"]


def test_without_a_ledger_status_doesnt_guess(
    switched: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, "drop schema plinth cascade")
    found = status(switched.config(empty_engine))
    assert {line.state for line in found.revisions if line.revision != "other"} == {"unknown"}
    assert found.pending == []


def test_check_names_it_and_still_tries_the_revisions(switched: History, empty_engine: Engine) -> None:
    report = check(switched.config(empty_engine))
    assert "ahead" in {each.kind for each in report.problems}
    assert report.revisions == 3


def test_a_purging_stamp_is_still_a_way_out(switched: History, empty_engine: Engine, empty_url: URL) -> None:
    command.stamp(switched.config(empty_engine), "b", purge=True)
    assert ("other", "unstamp") in {row[:2] for row in ledger(empty_url)}


@pytest.mark.slow
def test_older_code_advises_nothing_that_cant_work(migrated: Project) -> None:
    newest = next(migrated.root.joinpath("alembic", "versions").glob(f"{HEAD}_*"))
    newest.unlink()
    assert "use the code that has it" in migrated.refused("alembic", "upgrade", "head")
    table = migrated.run("plinth", "status")
    assert "make db-upgrade" not in table.stdout
    shown = json.loads(migrated.run("plinth", "status", "--json").stdout)
    assert shown["pending"] == []
    assert shown["revisions"][0]["revision"] == FIRST
