"""What autogenerate asks: sensible pairs only, all at once, with the command that answers them."""

import re
from typing import Any

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import ARRAY, DDL, BigInteger, Boolean, Column, Integer, MetaData, String, Table, Text, event
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.types import UserDefinedType

from tests.plinth.field.changing import Changing
from tests.plinth.history import heads, psql


def asked(changing: Changing, *columns: "Column[Any]", x: tuple[str, ...] = ()) -> str:
    with pytest.raises(CommandError) as refused:
        changing.write(*columns, x=x)
    return str(refused.value)


def test_another_length_is_a_possible_rename_too(changing: Changing) -> None:
    changing.begin(Column("title", String(10)), values=("'kept'",))
    words = asked(changing, Column("heading", String(20)))
    assert '"renamed_from": "title"' in words
    assert words.endswith("-x drop=t.title")
    changing.write(Column("heading", String(20), info={"renamed_from": "title"}))
    changing.upgrade()
    assert changing.values("heading") == ["kept"]


def test_six_that_go_and_one_that_comes_are_one_question(changing: Changing) -> None:
    names = ["is_old", "is_open", "is_paid_by_invoice", "is_late", "is_big", "is_new"]
    changing.begin(*(Column(name, Boolean) for name in names))
    words = asked(changing, Column("is_paid", Boolean))
    assert "Column t.is_paid_by_invoice goes and is_paid comes, of the same type" in words
    assert "questions" not in words
    assert changing.write(Column("is_paid", Boolean), x=("drop=t.is_paid_by_invoice",))


def test_all_are_asked_at_once(changing: Changing) -> None:
    begun: list[Column[Any]] = [
        Column("a b", Text),
        Column("n", ARRAY(Integer)),
        Column("s", String(20)),
        Column("r", Text),
    ]
    changing.begin(*begun, values=("'x', '{1}', 'plainly too long', null",))
    wanted: list[Column[Any]] = [
        Column("c", Text),
        Column("n", Integer),
        Column("s", String(5)),
        Column("r", Text, nullable=False),
        Column("new", Integer, nullable=False),
    ]
    words = asked(changing, *wanted, x=("online=no",))
    assert words.startswith("5 questions. Nothing has been written.\n")
    for each in ("t.a b goes", "t.n changes", "t.s changes", "t.r becomes required", "t.new is required"):
        assert f"\n  Column {each}" in words
    last = words.splitlines()[-1]
    assert last == (
        "If each -x is meant: alembic -x online=no -x 'drop=t.a b' "
        "revision --autogenerate -m 'change the shop'"
    )
    assert len(re.findall("^  ", words, re.MULTILINE)) == 5


def test_a_rewrite_is_asked_with_the_others(changing: Changing) -> None:
    changing.begin(Column("a", Text))
    with psql(
        changing.engine.url
    ) as connection:  # no second column can take the place of one beside a trigger that uses whole rows
        connection.execute(
            "create function f() returns trigger language plpgsql as 'begin return old.*; end'"
        )
        connection.execute("create trigger f before insert on t for each row execute function f()")
    config = changing.config()
    models = MetaData()
    Table("t", models, Column("id", BigInteger, primary_key=True), Column("b", Text))
    config.attributes["target_metadata"] = models
    with pytest.raises(CommandError, match=r"alembic -x drop=t\.a -x rewrite=t\.id revision"):
        command.revision(config, "change the shop", autogenerate=True)


BEGUN = (
    "create schema tools; create extension citext schema tools",
    "create table parted (id int not null, old int) partition by range (id)",
    "create type place as (x int, y int); create table at (id int primary key, p place)",
    "create domain positive as int; create table listed (id int primary key, v positive[])",
)


class Place(UserDefinedType[str]):
    """A composite type, which the models' own DDL makes."""

    def get_col_spec(self, **_: object) -> str:
        """Return its name."""
        return "place"


def test_refusals_come_with_the_questions(changing: Changing) -> None:
    changing.begin(Column("title", Text), Column("r", Text), values=("'x', null",))
    [head] = heads(changing.engine.url)
    changing.history.add("by_hand", head, "\n".join(f'op.execute("{each}")' for each in BEGUN))
    changing.upgrade()
    with psql(changing.engine.url) as connection:
        connection.execute("update pg_extension set extrelocatable = false where extname = 'citext'")
    models = MetaData()
    Table("t", models, Column("id", Integer, primary_key=True), Column("heading", Text), Column("r", Text))
    models.tables["t"].c.r.nullable = False
    models.tables["t"].c.heading.info = {"using_back": "heading"}
    Table("parted", models, Column("id", Integer, nullable=False), Column("old", Integer))
    Table("at", models, Column("id", Integer, primary_key=True), Column("p", Place))
    v = ARRAY(DOMAIN("positive", Integer, check="value > 0", constraint_name="positive_check"))
    Table("listed", models, Column("id", Integer, primary_key=True), Column("v", v))
    for sql in (
        "create schema more",
        "create extension citext schema more",
        "create type place as (y bigint)",
        "create aggregate total (int) (sfunc = int4pl, stype = int)",
    ):
        event.listen(models, "before_create", DDL(sql))  # type: ignore[no-untyped-call]
    config = changing.config()
    config.attributes["target_metadata"] = models
    with pytest.raises(CommandError) as refused:
        command.revision(config, "change the shop", autogenerate=True)
    words = str(refused.value)
    assert words.startswith("8 questions. Nothing has been written.\n")
    for each in (
        'info={"using_back": …} of t.heading says nothing without "using".',
        "Column t.title goes and heading comes, of the same type",
        "Column t.r becomes required",
        "Domain positive changes, and column listed.v is an array of it",
        "Table parted can't become another kind of table",
        "PostgreSQL can't change composite type public.place in this way while public.at.p is of it",
        "Extension citext stands in schema tools and should stand in more",
        "Aggregate public.total(integer) must be made by a revision written by hand.",
    ):
        assert f"\n  {each}" in words
    assert words.endswith("-x drop=t.title revision --autogenerate -m 'change the shop'")
