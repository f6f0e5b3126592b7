"""A column becomes required and gets another type: rows without a value get the one that is said."""

import pytest
from sqlalchemy import Column, Integer, String, Text

from tests.plinth.field.changing import Changing


@pytest.mark.parametrize("x", [(), ("online=no",)], ids=["online", "plain"])
@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"info": {"backfill": "id * 10"}}, "20"),
        ({"server_default": "7"}, "7"),
        ({"server_default": "7", "info": {"backfill": "other"}}, "8"),
        ({"info": {"backfill": "'v9'", "using": "'v' || v", "using_back": "substr(v, 2)::int"}}, "v9"),
        ({"info": {"backfill": "'9'", "renamed_from": "v"}}, "9"),
    ],
    ids=["backfill", "default", "both", "using", "renamed"],
)
def test_rows_without_a_value(
    options: dict[str, object], value: str, x: tuple[str, ...], changing: Changing
) -> None:
    changing.begin(Column("v", Integer), Column("other", Text), values=("1, '8'", "null, '8'"))
    name = "w" if "renamed_from" in str(options) else "v"
    changing.write(Column(name, String(9), nullable=False, **options), Column("other", Text), x=x)  # type: ignore[arg-type]
    changing.upgrade()
    one = "v1" if "using" in str(options) else "1"
    assert changing.values(name) == [one, value]
