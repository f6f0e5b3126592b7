"""Operations in order: what nothing can order is refused. Stages in order, which no list says."""

import random

import pytest

from plinth.autogenerate.change.order import ordered
from plinth.autogenerate.change.refusals import Refusal
from plinth.autogenerate.change.stages import Stage, TableStage
from plinth.autogenerate.change.stages import ordered as ordered_stages
from plinth.autogenerate.change.steps import Change, SqlOp, Step
from plinth.autogenerate.online.sequence import STAGES
from plinth.catalog.picture import Catalog, Name, Node, Other


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


def in_order(stages: list[Stage]) -> list[tuple[str, str | None, bool]]:
    tables = [Name("public", name) for name in ("b", "c", "a")]
    return [
        (stage.makes, table and table.name, stage.is_after) for stage, table in ordered_stages(stages, tables)
    ]


def test_stages_come_in_the_order_of_what_they_need_however_they_are_listed() -> None:
    wanted = in_order(list(STAGES))
    for seed in range(20):
        shuffled = list(STAGES)
        random.Random(seed).shuffle(shuffled)  # noqa: S311 - to be drawn again
        assert in_order(shuffled) == wanted


def test_all_that_comes_after_the_code_comes_last() -> None:
    late = [is_after for *_, is_after in in_order(list(STAGES))]
    assert late == sorted(late)


def test_a_table_is_left_when_nothing_more_can_be_done_for_it() -> None:
    def nothing(*_: object) -> None: ...

    stages: list[Stage] = [
        TableStage("keys", nothing, ["values"], needs_of_all=["parts"]),
        TableStage("parts", nothing, ["values"]),
        TableStage("values", nothing, ["begun"]),
        Stage("begun", nothing),
    ]
    assert [(what, table) for what, table, _ in in_order(stages)] == [
        ("begun", None),
        *((what, table) for table in "bca" for what in ("values", "parts")),
        *(("keys", table) for table in "bca"),
    ]
