"""What somebody has changed by hand in the database at hand doesn't get into a file for all."""

import pytest
from alembic.util import CommandError
from sqlalchemy import Column, Text

from tests.plinth.field.changing import Changing
from tests.plinth.history import do

BY_HAND = {
    "index": "create index dba_ix on t (id)",
    "column": "alter table t add dba_col int",
    "check": "alter table t add constraint dba_ck check (id > 0)",
}


@pytest.mark.parametrize("kind", BY_HAND)
def test_it_is_refused_by_name(changing: Changing, kind: str) -> None:
    changing.begin()
    do(changing.engine.url, BY_HAND[kind])
    with pytest.raises(
        CommandError, match=r"(?s)isn't as its revisions make it.*dba_.* is too much"
    ) as caught:
        changing.write(Column("note", Text))
    assert "-x compare=revisions" in str(caught.value)
    assert "Nothing has been written" in str(caught.value)


def test_it_is_left_out_where_the_revisions_are_compared(changing: Changing) -> None:
    changing.begin()
    do(changing.engine.url, "create index dba_ix on t (id)")
    [written] = changing.write(Column("note", Text), x=("compare=revisions",))
    assert "dba_ix" not in written
