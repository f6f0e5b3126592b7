"""What somebody has changed by hand in the database at hand doesn't get into a file for all."""

import pytest
from alembic.util import CommandError
from sqlalchemy import Column, Integer, Numeric, Text

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


@pytest.mark.parametrize("x", [(), ("online=no",)], ids=["online", "plain"])
@pytest.mark.parametrize("kind", ["view", "materialized view"])
def test_so_is_a_view_that_only_the_database_has(changing: Changing, kind: str, x: tuple[str, ...]) -> None:
    changing.begin(Column("u", Integer), values=("1", "2"))
    do(changing.engine.url, f"create {kind} dba_v as select id, u from t")  # noqa: S608
    do(changing.engine.url, "create view dba_w as select u from dba_v")
    do(changing.engine.url, "create view dba_other as select 1 as one")
    do(changing.engine.url, "comment on column t.u is 'by hand'")
    with pytest.raises(CommandError, match="isn't as its revisions make it") as caught:
        changing.write(Column("u", Numeric), x=x)
    assert "  column t.u: comment is by hand, and should not be set\n" in str(caught.value)
    assert f"  {kind} public.dba_v is too much\n  view public.dba_w is too much\n" in str(caught.value)
    assert "dba_other" not in str(caught.value)


def test_it_is_left_out_where_the_revisions_are_compared(changing: Changing) -> None:
    changing.begin()
    do(changing.engine.url, "create index dba_ix on t (id)")
    [written] = changing.write(Column("note", Text), x=("compare=revisions",))
    assert "dba_ix" not in written
