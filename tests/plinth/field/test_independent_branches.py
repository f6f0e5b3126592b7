"""Branches that have labels are meant: several heads of them are in order."""

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from plinth.apply.standing import forks
from plinth.check import check
from plinth.status import status
from tests.plinth.history import History, heads


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


@pytest.mark.parametrize("above", [(), ("d",)], ids=["merge", "above"])
def test_a_number_of_steps_down_from_a_merge_says_what_to_type(
    history: History, empty_engine: Engine, empty_url: URL, above: tuple[str, ...]
) -> None:
    history.add("a", None, "pass")
    for name in ("b", "c"):
        history.add(name, "a", f'op.execute("create table {name} ()")', f'op.drop_table("{name}")')
    history.add("m", ("b", "c"), "pass")
    for name in above:
        history.add(name, "m", "pass")
    command.upgrade(history.config(empty_engine), "head")
    with pytest.raises(CommandError, match=r"^Ambiguous walk: m joins b and c, .* alembic downgrade b\b"):
        command.downgrade(history.config(empty_engine), f"-{len(above) + 1}")
    command.downgrade(history.config(empty_engine), "b")
    assert heads(empty_url) == {"b", "c"}
