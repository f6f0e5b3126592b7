"""A table that stands gets a foreign key to one that is new, and has no row to which theirs could refer."""

from typing import Any

import pytest
from alembic.util import CommandError
from sqlalchemy import Column, Enum, ForeignKey, ForeignKeyConstraint, Integer, MetaData, Table, Text

from tests.plinth.field.changing import Changing, Models
from tests.plinth.history import psql


def ticket(*columns: "Column[Any] | ForeignKeyConstraint") -> Models:
    return lambda m: Table("ticket", m, Column("id", Integer, primary_key=True), *columns)


def referring(*columns: "Column[Any] | ForeignKeyConstraint") -> Models:
    def models(m: MetaData) -> None:
        Table("state", m, Column("code", Text, primary_key=True), Column("part", Text, primary_key=True))
        Table("single", m, Column("code", Text, primary_key=True))
        ticket(*columns)(m)

    return models


def begin(changing: Changing, models: Models, *statements: str) -> None:
    changing.write_models(models, "prove=no")
    changing.upgrade()
    with psql(changing.engine.url) as connection:
        for each in statements:
            connection.execute(each.encode())


def key(
    info: dict[str, str] | None = None, *, default: str | None = None, nullable: bool = True
) -> Column[str]:
    target = ForeignKey("single.code")
    return Column("state", Text, target, info=info or {}, server_default=default, nullable=nullable)


def cases() -> dict[str, tuple[Models, str, Models, bool]]:
    """Return the models before, a row's values, the models after, and whether the row would refer."""
    return {
        "an enum": (
            ticket(
                Column(
                    "state", Enum("open", "closed", name="state_of"), nullable=False, server_default="open"
                )
            ),
            "(id) values (1)",
            referring(key(default="open", nullable=False)),
            True,
        ),
        "a text": (ticket(Column("state", Text)), "values (1, 'open')", referring(key()), True),
        "NULL": (ticket(Column("state", Text)), "values (1, null)", referring(key()), False),
        "NULL by what is said": (
            ticket(Column("state", Integer)),
            "values (1, 7)",
            referring(key({"using": "null::text", "using_back": "state::integer"})),
            False,
        ),
        "a new one": (ticket(), "values (1)", referring(key()), False),
        "a new one's default": (ticket(), "values (1)", referring(key(default="open")), True),
        "a new one's backfill": (
            ticket(),
            "values (1)",
            referring(key({"backfill": "'state ' || id"})),
            True,
        ),
        "one of two is NULL": (
            ticket(Column("a", Text), Column("b", Text)),
            "values (1, 'x', null)",
            referring(
                Column("a", Text),
                Column("b", Text),
                ForeignKeyConstraint(["a", "b"], ["state.code", "state.part"]),
            ),
            False,
        ),
    }


@pytest.mark.parametrize("x", [(), ("online=no",)], ids=["online", "plain"])
@pytest.mark.parametrize("what", cases())
def test_rows_that_would_refer_are_asked_about(changing: Changing, what: str, x: tuple[str, ...]) -> None:
    before, values, after, refers = cases()[what]
    begin(changing, before, f"insert into ticket {values}")
    if refers:
        with pytest.raises(CommandError, match="is new and begins empty: the upgrade would stop at them"):
            changing.write_models(after, *x, "drop=state_of")
    else:
        changing.write_models(after, *x, "drop=state_of")
        changing.upgrade()


def test_rows_that_may_be_elsewhere_are_named(changing: Changing, caplog: pytest.LogCaptureFixture) -> None:
    before, _, after, _ = cases()["a text"]
    begin(changing, before)
    changing.write_models(after)
    assert "No row seen here has a value in ticket.state; one that has, in production" in caplog.text


def test_a_new_column_without_a_value_is_nothing_to_speak_of(
    changing: Changing, caplog: pytest.LogCaptureFixture
) -> None:
    before, _, after, _ = cases()["a new one"]
    begin(changing, before)
    changing.write_models(after)
    assert "begins empty" not in caplog.text
