"""Another type by what values are printed as: alike, whatever the sessions have set that write meanwhile."""

import pytest
from sqlalchemy import Column, Double, Interval, LargeBinary, Text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.types import TypeEngine

from tests.plinth.field.changing import Changing
from tests.plinth.history import psql

SEARCHED = {"using": "to_tsvector(v)", "using_back": "v::text"}
SAID = {"using": "'<' || v::text || '>'", "using_back": "btrim(v, '<>')::interval"}


@pytest.mark.parametrize(
    ("old", "new", "setting", "value", "said"),
    [
        (Double(), Text(), "extra_float_digits = 0", "0.1 + 0.2::float8", {}),
        (LargeBinary(), Text(), "bytea_output = 'escape'", r"'\x41ff'", {}),
        (Interval(), Text(), "intervalstyle = 'iso_8601'", "'1 day 02:00'", SAID),
        (Text(), TSVECTOR(), "default_text_search_config = 'simple'", "'the running dogs'", SEARCHED),
    ],
    ids=["digits", "bytes", "intervals", "words"],
)
def test_what_is_written_meanwhile_is_printed_as_what_is_there(  # noqa: PLR0917 - parameters
    changing: Changing,
    old: TypeEngine[object],
    new: TypeEngine[object],
    setting: str,
    value: str,
    said: dict[str, str],
) -> None:
    changing.begin(Column("v", old), values=(value,))
    changing.write(Column("v", new, info=said), x=("prove=no",))  # words don't come back as they were
    changing.stop_before("DROP TRIGGER")
    with psql(changing.engine.url) as connection:
        connection.execute(f"set {setting}".encode())
        connection.execute(f"insert into t (id, v) values (2, {value})".encode())  # noqa: S608
    changing.upgrade()
    assert len(set(changing.values("v"))) == 1
