"""A column becomes wider: nothing is written anew, but PostgreSQL reads all rows for a check on it."""

import pytest
from sqlalchemy import CheckConstraint, Column, Numeric

from plinth.lint.linting import REFUSED, lint
from tests.plinth.field.changing import Changing
from tests.plinth.history import do, rows

CHECK = "select pg_get_constraintdef(oid) from pg_constraint where conname = 'positive' and convalidated"


@pytest.mark.slow
def test_it_is_read_while_others_write(changing: Changing) -> None:
    def price(digits: int) -> Column[object]:
        return Column("price", Numeric(digits, 2), CheckConstraint("price >= 0", name="positive"))

    changing.write(price(8))
    changing.upgrade()
    do(changing.engine.url, "insert into t (price) values (1.5)")
    [text] = changing.write(price(10))
    assert "VALIDATE" in text
    changing.upgrade()
    found = lint(changing.config(price(10)))
    assert found.not_measured is None
    assert [each for file in found.revisions for each in file.findings if each.level == REFUSED] == []
    [(definition,)] = rows(changing.engine.url, CHECK)
    assert "price >= " in definition
