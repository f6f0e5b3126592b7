"""Models lean on what has no place in them: text search, collations, operators, casts, made by hand."""

from typing import Any

import pytest
from alembic import command
from sqlalchemy import CheckConstraint, Column, Computed, Engine, Index, Integer, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import TSVECTOR

from tests.plinth.field.test_what_no_revision_makes import Configured, agrees, change, configured
from tests.plinth.history import History, do
from tests.plinth.kinds.kind import also

__all__ = ["configured"]

HELPERS = {
    "a text search configuration": "create text search configuration plain (copy = simple)",
    "a text search dictionary": (
        "create text search dictionary small (template = simple);"
        "create text search configuration plain (copy = simple);"
        "alter text search configuration plain alter mapping for asciiword with small"
    ),
    "a collation": "create collation sorted (provider = libc, locale = 'C')",
    "an operator": (
        "create function near(integer, integer) returns boolean immutable return abs($1 - $2) < 3;"
        "create operator ~= (function = near, leftarg = integer, rightarg = integer)"
    ),
    "an aggregate": (
        "create function add(integer, integer) returns integer language sql immutable as 'select $1 + $2';"
        "create aggregate total(integer) (sfunc = add, stype = integer, initcond = 0)"
    ),
    "a cast": (
        "create type part as (n integer);"
        "create function part(integer) returns part language sql immutable as 'select row($1)::part';"
        "create cast (integer as part) with function part(integer)"
    ),
    "an operator class": (
        "create operator class backwards for type integer using btree as operator 1 >, operator 2 >=,"
        "operator 3 =, operator 4 <=, operator 5 <, function 1 btint4cmp(integer, integer)"
    ),
}


def helpers(*quick: str) -> list[Any]:
    """Return all helpers; those that aren't named are slow."""
    return [pytest.param(each, marks=() if each in quick else pytest.mark.slow) for each in HELPERS]


def models(helper: str, *more: Column[Any]) -> MetaData:
    """Return models that lean on a helper."""
    metadata = MetaData()
    parts: list[Any] = list(more)
    if "text search" in helper:
        found = Computed("to_tsvector('plain'::regconfig, body)", persisted=True)
        parts.append(Column("found", TSVECTOR, found))
    own: dict[str, list[Any]] = {
        "a collation": [Column("name", Text(collation="sorted"))],
        "an operator": [CheckConstraint("id ~= 5", name="close")],
        "a cast": [CheckConstraint("(id::part).n > 0", name="whole")],
        "an operator class": [Index("ix_back", text("id backwards"))],
    }
    parts += own.get(helper, [])
    Table("things", metadata, Column("id", Integer, primary_key=True), Column("body", Text), *parts)
    if helper == "an aggregate":
        also(metadata, "CREATE VIEW totals AS SELECT total(id) AS total FROM things")
    return metadata


@pytest.mark.parametrize("helper", helpers("a text search configuration"))
@pytest.mark.slow
def test_a_revision_made_it(helper: str, configured: Configured, history: History) -> None:
    history.add("a1", None, f"op.execute({HELPERS[helper]!r})", "raise NotImplementedError('it stays')")
    command.upgrade(configured(models(helper)), "head")
    change(configured(models(helper)), "begin")
    change(configured(models(helper, Column("more", Text))), "add more")
    agrees(configured(models(helper, Column("more", Text))))


@pytest.mark.parametrize("helper", helpers("an operator"))
@pytest.mark.slow
def test_an_administrator_made_it(helper: str, configured: Configured, empty_engine: Engine) -> None:
    do(empty_engine.url, HELPERS[helper])
    change(configured(models(helper)), "begin")
    change(configured(models(helper, Column("more", Text))), "add more")
    agrees(configured(models(helper, Column("more", Text))))
