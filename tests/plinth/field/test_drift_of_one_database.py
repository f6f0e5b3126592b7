"""What somebody has changed by hand in the database at hand doesn't get into a file for all."""

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Column, Enum, Integer, Numeric, Text

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


ON_AN_ENUM = {
    "view public.dba_it": "create view dba_it as select e from t",
    "materialized view public.dba_it": "create materialized view dba_it as select e from t",
    "function public.dba_it(en)": "create function dba_it(en) returns int language sql as 'select 1'",
    "procedure public.dba_it(en)": "create procedure dba_it(en) language sql as 'select 1'",
    "composite type public.dba_it": "create type dba_it as (e en)",
    "policy dba_it on public.t": "create policy dba_it on t using (e = 'a')",
}


def of_enum(*values: str) -> "Column[str]":
    return Column("e", Enum(*values, name="en"))


@pytest.mark.parametrize(
    ("values", "name"), [*(("a", each) for each in ON_AN_ENUM), ("abc", "function public.dba_it(en)")]
)
def test_what_stands_on_a_type_gets_into_no_file_by_its_text(
    changing: Changing, values: str, name: str
) -> None:
    changing.begin(of_enum("a", "b"))
    do(changing.engine.url, ON_AN_ENUM[name])
    with pytest.raises(CommandError, match="Put it into a revision") as caught:
        changing.write(of_enum(*values), x=("online=no",))
    assert f"no model knows it: {name}. Yet" in str(caught.value)


def test_what_a_revision_makes_is_made_anew(changing: Changing) -> None:
    changing.begin(of_enum("a", "b"))
    do(changing.engine.url, "create view dba_it as select e from t")
    head = ScriptDirectory.from_config(changing.config()).get_current_head()
    changing.history.add(
        "later", head, "op.execute('create view dba_it as select e from t')", "op.execute('drop view dba_it')"
    )
    command.stamp(changing.config(), "head")
    [written] = changing.write(of_enum("a"), x=("online=no",))
    assert "dba_it" in written


def test_what_may_be_older_than_revisions_is_told(
    changing: Changing, caplog: pytest.LogCaptureFixture
) -> None:
    do(changing.engine.url, "create type en as enum ('a', 'b'); create table t (id int primary key, e en)")
    do(changing.engine.url, "create view dba_it as select e from t")
    command.revision(changing.config(), "baseline")
    command.stamp(changing.config(), "head")
    [written] = changing.write(of_enum("a"), x=("online=no",))
    assert "dba_it" in written
    assert "No revision is known to make this" in caplog.text
    assert ": view public.dba_it" in caplog.text
