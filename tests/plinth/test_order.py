"""Operations in order: what nothing can order is refused."""

import pytest

from plinth.autogenerate.objects.order import ordered
from plinth.autogenerate.objects.refusals import Refusal
from plinth.autogenerate.objects.steps import Change, SqlOp, Step
from plinth.catalog.picture import Catalog, Node, Other


def views(**needs: tuple[str, ...]) -> Change:
    """Return a change that makes views, each with those that it stands on."""
    others = {
        ("view", name): Other("view", name, "", needs=frozenset(Node("view", each) for each in used))
        for name, used in needs.items()
    }
    empty = Catalog("public", 180000)
    return Change(empty, Catalog("public", 180000, others=others), {})


def made(change: Change) -> list[str]:
    steps = [Step(SqlOp(other.name)).making(other.node) for other in change.after.others.values()]
    return [step.op.sql for step in ordered(steps, change) if isinstance(step.op, SqlOp)]


def test_what_stands_on_something_comes_after_it_and_the_others_stay() -> None:
    assert made(views(a=("c",), b=(), c=("d",), d=())) == ["d", "c", "a", "b"]


def test_what_stands_on_each_other_is_refused_and_named_without_what_stands_on_that() -> None:
    with pytest.raises(Refusal) as refused:
        made(views(a=("b",), b=("c",), c=("b",), d=()))
    assert refused.value.kind == "dependent"
    assert str(refused.value).startswith("These stand on each other, before or after: view b, view c. ")
