"""A backfill hint on a column that may be NULL: rows get their values."""

import pytest
from alembic.util import CommandError
from sqlalchemy import Column, Integer, Text

from tests.plinth.field.changing import Changing


@pytest.mark.parametrize("x", [(), ("online=no",)], ids=["online", "one"])
def test_rows_get_their_values(changing: Changing, x: tuple[str, ...]) -> None:
    changing.begin(Column("note", Text), values=("'note 7'", "'note '"))
    number = Column("number", Integer, info={"backfill": "nullif(split_part(note, ' ', 2), '')::int"})
    changing.write(Column("note", Text), number, x=x)
    changing.upgrade()
    assert changing.values("number") == [7, None]


@pytest.mark.parametrize("required", [False, True], ids=["nullable", "required"])
def test_one_that_is_made_of_another_comes_after_it(changing: Changing, required: bool) -> None:
    changing.begin(Column("x", Integer), values=("1", "2"))
    changing.write(
        Column("x", Integer),
        Column("total", Integer, nullable=not required, info={"backfill": 'a * 2 + t."B"'}),
        Column("a", Integer, nullable=not required, info={"backfill": '"B" + x'}),
        Column("B", Integer, info={"backfill": "10 * x"}),
    )
    changing.upgrade()
    assert changing.values("total") == [32, 64]


def test_two_that_are_made_of_each_other_are_refused(changing: Changing) -> None:
    changing.begin(Column("x", Integer), values=("1",))
    a, b = (Column(*each) for each in (("a", Integer), ("b", Integer)))
    a.info["backfill"], b.info["backfill"] = "coalesce(b, x)", "coalesce(a, x)"
    with pytest.raises(CommandError, match=r"rows get in t\.a, t\.b are made of each other"):
        changing.write(Column("x", Integer), a, b)
