"""A schema with a dot in its name, at which Alembic splits it: what is there is changed by hand."""

from collections.abc import Callable
from typing import Any

import pytest
from alembic.util import CommandError
from sqlalchemy import Column, Enum, ForeignKey, Integer, MetaData, Table, Text

from tests.plinth.field.changing import Changing, Models
from tests.plinth.history import rows

NAME = "Weird.Name"
MADE = (
    f'create schema "{NAME}"',
    f'create table "{NAME}"."order" (id serial constraint order_pkey primary key, "user" text)',
    f'insert into "{NAME}"."order" ("user") values (\'a\')',  # noqa: S608 - of this module
)


def order(*columns: "Column[Any]", name: str = "order", info: dict[str, str] | None = None) -> Models:
    key = Column("id", Integer, primary_key=True)
    return lambda m: Table(name, m, key, *columns, schema=NAME, info=info or {})


def also_one(m: MetaData, *columns: "Column[Any]") -> None:
    order(Column("user", Text))(m)
    Table("t", m, Column("id", Integer, primary_key=True), *columns)


@pytest.fixture
def standing(changing: Changing) -> Changing:
    """A table in such a schema, with a row, of a revision by hand."""
    changing.history.add("a", None, "\n".join(f"op.execute({each!r})" for each in MADE))
    changing.upgrade()
    return changing


@pytest.mark.parametrize("x", [(), ("online=no",)], ids=["online", "plain"])
@pytest.mark.parametrize(
    "models",
    [
        lambda: order(Column("name", Text, info={"renamed_from": "user"})),
        lambda: order(Column("user", Text), name="orders", info={"renamed_from": f"{NAME}.order"}),
        lambda: order(Column("user", Text), Column("n", Integer)),
        lambda: order(Column("user", Text, nullable=False)),
        lambda: order(Column("user", Text, index=True)),
        order,
        lambda: lambda m: (order(Column("user", Text))(m), order(name="other")(m)),
        lambda: lambda m: also_one(m, Column("o", ForeignKey(f"{NAME}.order.id"))),
    ],
    ids=["column", "table", "new column", "required", "index", "drop", "new table", "foreign key"],
)
def test_a_change_is_refused_by_the_schemas_name(
    standing: Changing, models: Callable[[], Models], x: tuple[str, ...]
) -> None:
    with pytest.raises(
        CommandError, match=r'splits the name of the schema "Weird\.Name" at its dot'
    ) as caught:
        standing.write_models(models(), *x, f"drop={NAME}.order.user")
    assert "\n" not in str(caught.value)


def test_what_isnt_touched_stays(standing: Changing) -> None:
    standing.write_models(lambda m: also_one(m, Column("a", Text)))
    standing.upgrade()
    standing.write_models(
        lambda m: also_one(m, Column("state", Enum("a", "b", name="state", schema=NAME))),
        "drop=t.a",
    )
    standing.upgrade()
    standing.downgrade("a")
    assert rows(standing.engine.url, f'select "user" from "{NAME}"."order"') == [("a",)]  # noqa: S608
