"""How the parts of a change are cut into transactions."""

from dataclasses import replace
from typing import Any, cast

import pytest
import sqlalchemy as sa
from alembic.operations import ops

from plinth.autogenerate.change.steps import AutocommitOp, CommentOp, SqlOp
from plinth.autogenerate.change.way import Outside, Part
from plinth.autogenerate.write.files import files
from plinth.catalog.picture import Catalog, Name, Other

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


@pytest.mark.parametrize("summary", [None, "drop function total"])
def test_a_view_that_goes_is_locked_before_tables_as_queries_lock_it(summary: str | None) -> None:
    drops = [
        SqlOp("DROP FUNCTION total()", summary),
        SqlOp('DROP VIEW s."My view"'),
        SqlOp("DROP VIEW other"),
    ]
    [found] = files([Part([SqlOp("SET LOCAL a.b = c"), *add("a", "p"), *drops], [])], STANDING)
    statements = [each.sql.split(" ||")[0] if isinstance(each, SqlOp) else "ADD" for each in found.up]
    first = ["DO $$ BEGIN EXECUTE 'ALTER VIEW s.\"My view\" '", "DO $$ BEGIN EXECUTE 'ALTER VIEW other '"]
    of = [each.sql for each in drops]
    assert statements == [
        "SET LOCAL a.b = c",
        *(first if summary else of[1:]),
        "ADD",
        *(of if summary else of[:1]),
    ]


def test_a_view_that_is_replaced_is_locked_before_tables_too_or_alone() -> None:
    standing = replace(STANDING, others={("view", "s.v"): Other("view", "s.v", "", "s", bare="v")})
    view: list[ops.MigrateOperation] = [SqlOp("CREATE OR REPLACE VIEW s.v …", None, Name("s", "v"))]
    for parts, expected in (([add("a", "p"), view], ["p", ["…"]]), ([view, add("a", "p")], ["…", "p"])):
        (found,) = files([Part(each, []) for each in parts], standing)
        assert shape(list(found.up)) == expected
