"""How the parts of a change are cut into transactions."""

from typing import Any, cast

import pytest
import sqlalchemy as sa
from alembic.operations import ops

from plinth.autogenerate.change.steps import AutocommitOp, CommentOp
from plinth.autogenerate.change.way import Outside, Part
from plinth.autogenerate.write.files import files
from plinth.catalog.picture import Catalog, Name

STANDING = Catalog("public", 180000, tables=cast("Any", {Name("public", table): None for table in "abc"}))


def add(table: str, *columns: str) -> list[ops.MigrateOperation]:
    return [ops.AddColumnOp(table, sa.Column(column, sa.Text())) for column in columns]


def shape(operations: list[ops.MigrateOperation]) -> list[object]:
    """Return the columns that operations add, those outside of a transaction in a list of their own."""
    return [
        shape(list(each.ops))
        if isinstance(each, AutocommitOp)
        else each.column.name
        if isinstance(each, ops.AddColumnOp)
        else "…"
        for each in operations
        if not isinstance(each, CommentOp)
    ]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([add("a", "p"), add("a", "q")], ["p", "q"]),
        ([add("a", "p"), add("b", "q")], ["p", ["q"]]),
        ([add("a", "p"), add("b", "q", "r")], [["p"], "q", "r"]),
        ([add("a", "p", "q"), add("b", "r")], ["p", "q", ["r"]]),
        ([add("a", "p", "q"), add("b", "r", "s")], ["p", "q", ["…"], "r", "s"]),
        ([add("a", "p"), add("b", "q"), add("c", "r", "s")], ["p", ["q"], "r", "s"]),
        ([add("a", "p"), add("new", "q"), add("b", "r")], ["p", "q", ["r"]]),
        ([add("a", "p"), Outside(add("a", "q"))], ["p", ["q"]]),
        ([Outside(add("a", "p")), Outside(add("b", "q"))], [["p", "q"]]),
    ],
)
def test_strong_locks_on_two_standing_tables_have_a_commit_between_them(
    parts: list[list[ops.MigrateOperation]], expected: list[object]
) -> None:
    (found,) = files([Part(each, []) for each in parts], STANDING)
    assert shape(list(found.up)) == expected
