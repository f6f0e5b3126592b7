"""A backfill hint on a column that may be NULL: rows get their values."""

import pytest
from sqlalchemy import Column, Integer, Text

from tests.plinth.field.changing import Changing


@pytest.mark.parametrize("x", [(), ("online=no",)], ids=["online", "one"])
def test_rows_get_their_values(changing: Changing, x: tuple[str, ...]) -> None:
    changing.begin(Column("note", Text), values=("'note 7'", "'note '"))
    number = Column("number", Integer, info={"backfill": "nullif(split_part(note, ' ', 2), '')::int"})
    changing.write(Column("note", Text), number, x=x)
    changing.upgrade()
    assert changing.values("number") == [7, None]
