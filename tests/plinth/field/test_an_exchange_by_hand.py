"""A column that takes the place of another one, in a revision that somebody has written by hand."""

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from tests.plinth.history import History, do, heads, rows

EXCHANGE = (
    "op.execute('alter table t add a_new bigint')\n"
    "op.execute('update t set a_new = a')\n"
    "op.alter_column('t', 'a', new_column_name='a_old')\n"
    "op.alter_column('t', 'a_new', new_column_name='a')\n"
)


@pytest.mark.parametrize("had", ["a int default 5", "a int not null", "a int primary key", "a int unique"])
def test_what_goes_with_the_old_column_is_not_in_the_way(
    history: History, empty_engine: Engine, empty_url: URL, had: str
) -> None:
    do(empty_url, f"create table t ({had}, v text)")
    do(empty_url, "insert into t values (1, 'one'), (2, 'two')")
    history.add("a", None, EXCHANGE + "op.drop_column('t', 'a_old')")
    command.upgrade(history.config(empty_engine), "head")
    assert rows(empty_url, "select a, v from t order by a") == [(1, "one"), (2, "two")]


def test_what_stays_with_it_is(history: History, empty_engine: Engine, empty_url: URL) -> None:
    do(empty_url, "create table t (a int default 5, v text); create view seen as select a from t")
    history.add("a", None, EXCHANGE)
    with pytest.raises(
        CommandError, match=r"view seen.* no revision knows of it: .*stay with the old column"
    ):
        command.upgrade(history.config(empty_engine), "head")
    assert heads(empty_url) == set()
    do(empty_url, "drop view seen; alter table t alter a drop default")
    command.upgrade(history.config(empty_engine), "head")
