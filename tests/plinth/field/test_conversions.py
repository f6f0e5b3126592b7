"""Values that become others: the model says how, on both sides and on the way back."""

from typing import Any

import pytest
from alembic.util import CommandError
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Enum,
    Integer,
    Numeric,
    String,
    Text,
)
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.types import TypeEngine

from plinth.check import check
from tests.plinth.field.changing import Changing
from tests.plinth.history import psql, rows

ZONED = DateTime(timezone=True)
_BACK = "case v when 'open' then 7 else v::integer end"


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        (String(20), pg.JSONB(), r'"v::jsonb"'),
        (ARRAY(Text), Text(), r'"v\[1\]::text", "using_back": "ARRAY\[v\]::text\[\]"'),
        (Text(), Integer(), r'"v::integer"'),
        (DateTime(), ZONED, r"AT TIME ZONE 'UTC'\"}, with the zone of the times"),
        (ZONED, DateTime(), r"AT TIME ZONE 'UTC'"),
    ],
    ids=str,
)
def test_what_postgresql_doesnt_do_by_itself_is_asked(
    changing: Changing, old: TypeEngine[Any], new: TypeEngine[Any], hint: str
) -> None:
    changing.begin(Column("v", old))
    with pytest.raises(CommandError, match=f"Say how, on the column in the model: .*{hint}"):
        changing.write(Column("v", new))


@pytest.mark.parametrize(
    ("old", "new", "value", "words"),
    [
        (pg.JSON(), pg.JSONB(), """'{"a": 1, "b": {"c": ":", "c": 2}}'""", "1 row of t would lose"),
        (pg.JSON(), pg.JSONB(), """'{"a": ":::", "b": null}'""", "cuts values without a word"),
        (ARRAY(pg.JSON), ARRAY(pg.JSONB), """array['{"a": 1, "a": 2}']::json[]""", "1 row of t would lose"),
    ],
    ids=["two keys", "none", "array"],
)
def test_the_first_of_two_keys_is_not_lost_without_a_word(
    changing: Changing, old: TypeEngine[Any], new: TypeEngine[Any], value: str, words: str
) -> None:
    changing.begin(Column("v", old), values=(value,))
    with pytest.raises(CommandError, match=words):
        changing.write(Column("v", new))
    said = "v::jsonb[]" if isinstance(old, ARRAY) else "v::jsonb"
    assert changing.write(Column("v", new, info={"using": said}))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (pg.TIMESTAMP(precision=0), Date()),
        (pg.TIMESTAMP(precision=3), pg.TIMESTAMP(precision=0)),
        (pg.TIME(precision=3), pg.TIME(precision=0)),
        (Numeric(20, 2), Integer()),
        (pg.REAL(), Numeric()),
        (String(3), pg.CHAR(3)),
        (Text(), pg.CHAR(400)),
    ],
    ids=str,
)
def test_what_a_value_would_lose_is_asked_where_no_row_has_it(
    changing: Changing, old: TypeEngine[Any], new: TypeEngine[Any]
) -> None:
    changing.begin(Column("v", old))
    with pytest.raises(CommandError, match="rounds or cuts values without a word"):
        changing.write(Column("v", new))


@pytest.mark.parametrize(
    ("old", "new", "values"),
    [
        (Numeric(10, 2), Numeric(14, 4), ("1.25", "1.2345")),
        (Integer(), Numeric(12, 3), ("7", "7.777")),
        (pg.REAL(), pg.DOUBLE_PRECISION(), ("0.1", "0.1234567890123")),
        (ARRAY(pg.DOMAIN("money_t", Numeric(10, 2))), ARRAY(Numeric(14, 4)), ("{1.25}", "{1.2345}")),
        (Date(), pg.TIMESTAMP(), ("2026-01-01", "2026-01-01 23:59")),
        (pg.TIMESTAMP(precision=0), pg.TIMESTAMP(), ("2026-01-01 10:00", "2026-01-01 10:00:00.654")),
        (ARRAY(Numeric(10, 2)), ARRAY(Numeric(14, 4)), ("{1.25,NULL}", "{1.2345}")),
    ],
    ids=str,
)
@pytest.mark.parametrize("online", ["yes", "no"])
def test_a_downgrade_stops_at_what_it_would_round(
    changing: Changing, old: TypeEngine[Any], new: TypeEngine[Any], values: tuple[str, str], online: str
) -> None:
    changing.begin(Column("v", old), values=(f"'{values[0]}'", "NULL"))
    stood = changing.values("v")
    back = f"-{len(changing.write(Column('v', new), x=(f'online={online}',)))}"
    changing.upgrade()
    changing.downgrade(back)
    assert changing.values("v") == stood
    changing.upgrade()
    with psql(changing.engine.url) as connection:
        connection.execute(f"insert into t values (9, '{values[1]}')".encode())  # noqa: S608
    finer = changing.values("v")
    with pytest.raises(CommandError, match=r"(\S+) would become (?!\1)"):
        changing.downgrade(back)
    changing.upgrade()
    assert changing.values("v") == finer


def test_a_real_takes_back_what_it_prints_alike(changing: Changing) -> None:
    changing.begin(Column("v", pg.REAL))
    changing.write(Column("v", pg.DOUBLE_PRECISION), x=("online=no",))
    changing.upgrade()
    with psql(changing.engine.url) as connection:
        connection.execute("insert into t values (1, 0.1), (2, null)")
    changing.downgrade("-1")
    assert rows(changing.engine.url, "select v::text from t order by id") == [("0.1",), (None,)]


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        (pg.MACADDR(), String(3), "'08:00:2b:01:02:03'"),
        (pg.TSVECTOR(), String(3), "'a b c'"),
        (pg.BIT(8, varying=True), pg.BIT(8), "b'101'"),
    ],
    ids=str,
)
def test_rows_that_do_not_fit_are_counted_whatever_their_type(
    changing: Changing, old: TypeEngine[Any], new: TypeEngine[Any], value: str
) -> None:
    changing.begin(Column("v", old), values=(value,))
    with pytest.raises(CommandError, match="1 row of t would lose something by it"):
        changing.write(Column("v", new))


@pytest.mark.slow
def test_texts_stay_texts_in_json(changing: Changing) -> None:
    changing.begin(Column("v", Text), values=("'plain'", "'5'", "'true'"))
    hints = {"using": "to_jsonb(v)", "using_back": "v #>> '{}'"}
    changing.write(Column("v", pg.JSONB, info=hints))
    file, text = changing.stop_before("DROP TRIGGER")
    with psql(changing.engine.url) as connection:
        connection.execute("insert into t values (4, 'new')")
    changing.upgrade()
    file.write_text(text)
    assert changing.values("v") == ["plain", "5", "true", "new"]
    assert check(changing.config(Column("v", pg.JSONB, info=hints))).hints == [
        'The hint info={"using": …} of t.v is done, and can go.'
    ]
    changing.downgrade("-2")
    assert changing.values("v") == ["plain", "5", "true", "new"]


def test_the_way_back_is_asked_too(changing: Changing) -> None:
    changing.begin(Column("v", Text))
    with pytest.raises(CommandError, match=r"the way back needs one too.*\"using_back\": \"v\[1\]::text\""):
        changing.write(Column("v", ARRAY(Text), info={"using": "ARRAY[v]"}))


def test_rows_that_an_expression_doesnt_bear_are_counted(changing: Changing) -> None:
    changing.begin(Column("v", Text), values=("'7'", "'seven'", "'eight'"))
    with pytest.raises(CommandError, match=r"2 rows of t can't be converted by info="):
        changing.write(Column("v", Integer, info={"using": "v::integer"}))


@pytest.mark.parametrize(
    ("old", "new", "using"),
    [
        (String(5), String(50), "left(v, 5)"),
        (Integer(), Text(), "v::text"),
        (Integer(), Text(), "CAST(v AS varchar)"),
    ],
    ids=["done", "cast", "CAST"],
)
def test_a_word_that_isnt_needed_is_refused(
    changing: Changing, old: TypeEngine[Any], new: TypeEngine[Any], using: str
) -> None:
    changing.begin(Column("v", old), values=("1", "null"))
    with pytest.raises(CommandError, match="Take it out"):
        changing.write(Column("v", new, info={"using": using, "using_back": f"v::{old}"}))


@pytest.mark.parametrize(
    ("columns", "value", "made"),
    [
        ((Integer, Text, "case v when 7 then 'open' else v::text end", _BACK), "7", "open"),
        ((Boolean, Text, "case v when true then 'yes' when false then 'no' end", "v = 'yes'"), "true", "yes"),
        ((String(5), String(50), "case v when 'gone' then 'closed' else v end", "left(v, 5)"), "'7'", "7"),
        ((Integer, BigInteger, "v * 100", "v / 100"), "7", 700),
    ],
    ids=["a number", "a boolean", "a value that is rare", "another value"],
)
def test_a_word_is_taken_although_nothing_would_be_lost_without_it(
    changing: Changing, columns: tuple[Any, Any, str, str], value: str, made: object
) -> None:
    old, new, using, back = columns
    changing.begin(Column("v", old), values=(value, "null"))
    before = changing.values("v")
    changing.write(Column("v", new, info={"using": using, "using_back": back}))
    changing.upgrade()
    assert changing.values("v") == [made, None]
    changing.downgrade("-2")
    assert changing.values("v") == before


@pytest.mark.parametrize("x", [(), ("online=no",)], ids=["online", "plain"])
@pytest.mark.parametrize("required", [True, False])
def test_a_word_for_all_other_values_has_its_way_back(
    changing: Changing, required: bool, x: tuple[str, ...]
) -> None:
    default = "1" if required else None
    changing.begin(Column("v", Integer, nullable=not required, server_default=default), values=("1", "2"))
    said = {
        "using": "case v when 1 then 'open' else 'closed' end",
        "using_back": "case v when 'open' then 1 else 2 end",
    }
    default = "open" if required else None
    new = Column("v", Text, nullable=not required, server_default=default, info=said)
    files = changing.write(new, x=x)
    for _ in range(2):
        changing.upgrade()
        assert changing.values("v") == ["open", "closed"]
        changing.downgrade(f"-{len(files)}")
        assert changing.values("v") == [1, 2]


def test_a_value_for_null_is_no_cast(changing: Changing) -> None:
    changing.begin(Column("v", Integer))
    said = {"using": "coalesce(v, 0)::text", "using_back": "v::integer"}
    assert changing.write(Column("v", Text, info=said))


def test_another_value_where_none_was_needed_is_said(
    changing: Changing, caplog: pytest.LogCaptureFixture
) -> None:
    changing.begin(Column("v", Integer))
    changing.write(Column("v", BigInteger, info={"using": "v * 100", "using_back": "v / 100"}))
    assert "says it of a change that is done, take it out" in caplog.text


def test_a_time_gets_one_zone_whoever_writes(changing: Changing) -> None:
    changing.begin(Column("v", DateTime), values=("'2026-06-01 12:00'",))
    files = changing.write(Column("v", ZONED, info={"using": "v AT TIME ZONE 'Europe/Berlin'"}))
    assert len(files) == 2
    changing.stop_before("DROP TRIGGER")
    with psql(changing.engine.url) as connection:
        connection.execute("set timezone = 'Asia/Tokyo'")
        connection.execute("insert into t values (2, '2026-06-01 12:00')")
    changing.upgrade()
    assert changing.values("v at time zone 'UTC'") == changing.values("timestamp '2026-06-01 10:00'")
    changing.downgrade("-2")
    assert changing.values("v") == changing.values("timestamp '2026-06-01 12:00'")


def test_utc_writes_nothing_anew(changing: Changing) -> None:
    changing.begin(Column("v", DateTime), values=("'2026-06-01 12:00'",))
    files = changing.write(Column("v", ZONED, info={"using": "v AT TIME ZONE 'UTC'"}))
    assert len(files) == 1
    node = rows(changing.engine.url, "select pg_relation_filenode('t')")
    with psql(changing.engine.url) as connection:
        name = changing.engine.url.database
        connection.execute(f"alter database \"{name}\" set timezone = 'Europe/Berlin'".encode())
    changing.upgrade()
    assert rows(changing.engine.url, "select pg_relation_filenode('t')") == node
    assert changing.values("v = '2026-06-01 12:00Z'") == [True]


def test_values_of_an_enum_that_are_too_long_are_counted(changing: Changing) -> None:
    state = Enum("new", "cancelled", name="state")
    changing.begin(Column("v", state), values=("'new'", "'cancelled'"))
    with pytest.raises(CommandError, match=r"1 row of t have a value that is too long for it"):
        changing.write(Column("v", String(5)))


def test_an_expression_for_an_enum_that_doesnt_bear_the_rows(changing: Changing) -> None:
    changing.begin(Column("v", Text), values=("'new'", "'gone'"))
    hints = {"using": "v::state", "using_back": "v::text"}
    with pytest.raises(CommandError, match=r"1 row of t can't be converted by info="):
        changing.write(Column("v", Enum("new", "paid", name="state"), info=hints))


@pytest.mark.slow
def test_an_expression_for_an_enum_is_tried_with_each_value(changing: Changing) -> None:
    changing.begin(Column("v", Enum("new", "paid", name="state")), values=("'new'", "'paid'"))
    hints = {"using": "upper(v::text)::status", "using_back": "lower(v::text)::state"}
    changing.write(Column("v", Enum("NEW", "PAID", name="status"), info=hints))
    changing.upgrade()
    assert changing.values("v::text") == ["NEW", "PAID"]
