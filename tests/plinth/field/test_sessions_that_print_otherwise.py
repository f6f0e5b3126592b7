"""Another type by what values are printed as: alike, whatever the sessions have set that write meanwhile."""

import pytest
from sqlalchemy import Column, Double, Interval, LargeBinary, Text
from sqlalchemy.types import TypeEngine

from tests.plinth.field.changing import Changing
from tests.plinth.history import psql

SAID = {"using": "'<' || v::text || '>'", "using_back": "btrim(v, '<>')::interval"}


@pytest.mark.parametrize(
    ("old", "setting", "value", "said"),
    [
        (Double(), "extra_float_digits = 0", "0.1 + 0.2::float8", {}),
        (LargeBinary(), "bytea_output = 'escape'", r"'\x41ff'", {}),
        (Interval(), "intervalstyle = 'iso_8601'", "'1 day 02:00'", SAID),
    ],
    ids=["digits", "bytes", "intervals"],
)
def test_what_is_written_meanwhile_is_printed_as_what_is_there(
    changing: Changing, old: TypeEngine[object], setting: str, value: str, said: dict[str, str]
) -> None:
    changing.begin(Column("v", old), values=(value,))
    changing.write(Column("v", Text, info=said))
    changing.stop_before("DROP TRIGGER")
    with psql(changing.engine.url) as connection:
        connection.execute(f"set {setting}".encode())
        connection.execute(f"insert into t (id, v) values (2, {value})".encode())  # noqa: S608
    changing.upgrade()
    assert len(set(changing.values("v"))) == 1
