"""A type that holds less: nothing is cut or rounded without the author's word."""

import re
from typing import Any

import pytest
from alembic.util import CommandError
from sqlalchemy import ARRAY, Column, DateTime, Numeric, String, Text
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.types import TypeEngine

from tests.plinth.field.changing import Changing
from tests.plinth.history import psql


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        (String(20), String(5), "'plainly too long'"),
        (Text(), String(5), "'plainly too long'"),
        (ARRAY(String(30)), ARRAY(String(5)), "'{plainly too long}'"),
        (pg.BIT(8), pg.BIT(4), "B'10101011'"),
        (pg.BIT(8, varying=True), pg.BIT(4, varying=True), "B'10101011'"),
        (Numeric(10, 4), Numeric(10, 2), "1.2345"),
        (DateTime(), pg.TIMESTAMP(precision=0), "'2026-01-01 00:00:00.5'"),
        (pg.BIGINT(), pg.INTEGER(), "5000000000"),
    ],
    ids=str,
)
def test_rows_that_would_lose_something_are_counted(
    changing: Changing, old: TypeEngine[Any], new: TypeEngine[Any], value: str
) -> None:
    changing.begin(Column("v", old), values=(value,))
    for x in ((), ("online=no",)):
        with pytest.raises(CommandError, match=r"1 row of t would lose .*info=\{\"using\": ") as refused:
            changing.write(Column("v", new), x=x)
        assert "Column t.v changes from" in str(refused.value)


def test_what_rounds_is_asked_without_rows_too(changing: Changing) -> None:
    changing.begin(Column("v", Numeric(10, 4)))
    with pytest.raises(CommandError, match="rounds or cuts values without a word"):
        changing.write(Column("v", Numeric(12, 2)))
    assert changing.write(Column("v", Numeric(12, 2), info={"using": "round(v, 2)"}))


def test_a_value_that_comes_later_stops_and_stays_whole(changing: Changing) -> None:
    changing.begin(Column("v", String(20)), values=("'short'",))
    changing.write(Column("v", String(5)))
    with psql(changing.engine.url) as connection:
        connection.execute("insert into t values (2, 'plainly too long')")
    with pytest.raises(CommandError, match=r"The rows don't bear revision .*too long for type"):
        changing.upgrade()
    assert changing.values("v") == ["short", "plainly too long"]
    with psql(changing.engine.url) as connection:
        with pytest.raises(Exception, match="too long for type"):
            connection.execute("insert into t values (3, 'also much too long')")
        connection.execute("update t set v = 'fits' where id = 2")
    changing.upgrade()
    assert changing.values("v") == ["short", "fits"]


def test_the_authors_word_cuts_old_rows_and_new_ones(changing: Changing) -> None:
    changing.begin(Column("v", String(20)), values=("'plainly too long'",))
    changing.write(Column("v", String(5), info={"using": "left(v, 5)"}))
    changing.stop_before("DROP TRIGGER")
    with psql(changing.engine.url) as connection:
        connection.execute("insert into t values (2, 'also too long')")
    changing.upgrade("+1")
    assert changing.values("v") == ["plain", "also "]
    changing.downgrade("-1")  # the old column is there again, and nothing has changed since
    assert changing.values("v") == ["plainly too long", "also too long"]


def test_the_way_back_compares_what_the_way_up_makes(changing: Changing) -> None:
    changing.begin(Column("v", Text()), values=("'short'",))
    text = re.sub(r'["\s]', "", "".join(changing.write(Column("v", String(5)))))
    assert "(v||rpad('',char_length(v)-5,'.'))::charactervarying(5)" in text
    assert "(NEW.v_old||rpad('',char_length(NEW.v_old)-5,'.'))::charactervarying(5)" in text
