"""Branches that have labels are meant: several heads of them are in order."""

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from plinth.apply.standing import forks
from plinth.check import check
from plinth.status import status
from tests.plinth.history import History


def make(history: History, name: str, after: str | None, extra: str = "") -> None:
    up = f"op.create_table('t_{name}', sa.Column('id', sa.Integer(), primary_key=True))"
    history.add(name, after, up, f"op.drop_table('t_{name}')", extra=extra)


@pytest.fixture
def labelled(history: History) -> History:
    """Two branches with labels, each with two revisions, and no common base."""
    for label in ("shop", "mail"):
        make(history, f"{label}1", None, f"branch_labels = {label!r}")
        make(history, f"{label}2", f"{label}1")
    return history


def test_status_and_check_find_nothing_wrong(labelled: History, empty_engine: Engine) -> None:
    config = labelled.config(empty_engine)
    command.upgrade(config, "heads")
    assert status(config).problems == []
    assert status(config).heads == ["mail2", "shop2"]
    assert [each for each in check(config).problems if each.kind != "models"] == []
    command.downgrade(config, "shop@base")
    command.upgrade(config, "shop@head")
    assert status(config).problems == []


def test_a_fork_within_one_of_them_is_named(labelled: History, empty_engine: Engine) -> None:
    make(labelled, "shop3", "shop1")
    assert forks(ScriptDirectory.from_config(labelled.config())) == [["shop2", "shop3"]]
    [problem] = status(labelled.config(empty_engine)).problems
    assert (problem.kind, problem.name) == ("heads", "shop2, shop3")
    assert problem.message.endswith("alembic merge shop2 shop3")


def test_two_bases_without_labels_are_named(history: History) -> None:
    make(history, "a", None)
    make(history, "b", None)
    assert forks(ScriptDirectory.from_config(history.config())) == [["a", "b"]]
