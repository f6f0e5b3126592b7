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
    "{}\n"
    "op.alter_column('t', 'a', new_column_name='a_old')\n"
    "op.alter_column('t', 'a_new', new_column_name='a')\n"
    "op.drop_column('t', 'a_old')"
)


def test_what_stands_on_the_old_column_is_the_revisions_to_drop(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, "create table t (a int default 5, v text); insert into t values (1, 'one'), (2, 'two')")
    file = history.add("a", None, EXCHANGE.format(""))
    with pytest.raises(CommandError, match=r"default value .* let the revision itself drop it before"):
        command.upgrade(history.config(empty_engine), "head")
    assert heads(empty_url) == set()
    file.write_text(
        file.read_text().replace("set a_new = a')", "set a_new = a'); op.execute('" + DROP + "')")
    )
    command.upgrade(history.config(empty_engine), "head")
    assert rows(empty_url, "select a, v from t order by a") == [(1, "one"), (2, "two")]


DROP = "alter table t alter a drop default"
