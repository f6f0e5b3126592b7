"""Objects that stand on each other: made in order, dropped in order, made anew with what stands on them."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import CheckConstraint, Column, Integer, MetaData, Sequence, Table, Text, text
from sqlalchemy.dialects.postgresql import DOMAIN, ENUM
from sqlalchemy.types import UserDefinedType

from tests.plinth.kinds.kind import Kind, Models, also, first, kept, t

ROWS = ("insert into t (n, name) values (1, 'a'), (2, 'b')",)
COUNT = kept("select count(*) from t", 2)

F = "create function f(a integer) returns integer language sql immutable return a + 1"
F_RENAMED = F.replace("f(a integer)", "f(b integer)").replace("return a + 1", "return b + 1")
F_OF_BIGINT = F.replace("returns integer", "returns bigint").replace("return a", "return a::bigint")
G = "create function g(a integer) returns integer language sql immutable as 'select f(a) + 1'"
PAIR = "create type pair as (x integer)"
VIEW = "create view v as select id, f(n) as n from t"


def table(m: MetaData, *items: Any) -> Any:
    return t(m, Column("n", Integer), Column("name", Text), *items)


def with_(*statements: str, before: tuple[str, ...] = (), items: tuple[Any, ...] = ()) -> Models:
    """Return models of a table, with statements that run after all tables, and some that run before."""

    def made(m: MetaData) -> None:
        for statement in before:
            first(m, statement)
        table(m, *(item() for item in items))
        for statement in statements:
            also(m, statement)

    return made


class Type(UserDefinedType[Any]):
    """A type that SQLAlchemy has no word for."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: object) -> str:
        """Return it as SQL has it."""
        return self.name


def both_ways(name: str, plain: Models, full: Models, x: str, **options: Any) -> list[Kind]:
    """Return a change and the one that takes it back."""
    drops = tuple(f"drop={each}" for each in x.split())
    return [
        Kind(f"order.{name}", plain, full, rows=ROWS, checks=(COUNT,), **options),
        Kind(f"order.{name}_gone", full, plain, rows=ROWS, checks=(COUNT,), x=drops, **options),
    ]


def changed(name: str, before: Models, after: Models, **options: Any) -> Kind:
    return Kind(f"order.{name}", before, after, **{"rows": ROWS, "checks": (COUNT,), **options})


def _checked(m: MetaData) -> None:
    first(m, F)
    first(m, G)
    also(m, "create function h() returns integer language sql as 'select 1'")
    table(m, Column("d", DOMAIN("checked", Integer, check="g(value) > 0", metadata=m)))


def _mood(*values: str, more: tuple[str, ...] = ()) -> Models:
    def made(m: MetaData) -> None:
        table(m, Column("m", ENUM(*values, name="mood", metadata=m), server_default=values[0]))
        for statement in more:
            also(m, statement)

    return made


def _pair(attributes: str, *, used: bool = False, more: tuple[str, ...] = ()) -> Models:
    def made(m: MetaData) -> None:
        first(m, f"create type pair as ({attributes})")
        table(m, *([Column("p", Type("pair"))] if used else []))
        for statement in more:
            also(m, statement)

    return made


def _generated(function: str) -> Models:
    return with_(
        before=(function,),
        items=(
            lambda: Column("d", Integer, server_default=text("f(1)")),
            lambda: CheckConstraint("f(n) > 0", name="positive"),
        ),
    )


def _mood_of_domain(m: MetaData, *values: str) -> None:
    mood = ENUM(*values, name="mood", metadata=m)
    domain = DOMAIN("feeling", mood, check="value::text <> 'q'", metadata=m)
    t(m, Column("n", Integer), Column("d", domain))


def _things(made: Callable[..., Any]) -> Models:
    def models(m: MetaData) -> None:
        table(m)
        made(m)

    return models


ATOMIC = "create function atomic() returns bigint begin atomic select count(*) + f(1) from t; end"
CAPITALS = "create function e(n int) returns int language sql as 'SELECT F(N) -- x'"
TOUCH = "create function touch() returns trigger language plpgsql as $$ begin return new; end $$"
INSTEAD = "create trigger touch instead of insert on v for each row execute function touch()"

KINDS = [
    *both_ways("function_and_view", with_(), with_(VIEW, before=(F,)), "f v"),
    *both_ways("function_and_its_caller", with_(), with_(before=(F, G)), "f g"),
    *both_ways("function_and_its_caller_in_capitals", with_(), with_(before=(F, CAPITALS)), "e f"),
    *both_ways(
        "function_of_rows",
        with_(),
        with_("create function f(t) returns setof t language sql as 'select $1'"),
        "f",
    ),
    *both_ways("function_with_atomic_body", with_(), with_(ATOMIC, before=(F,)), "f atomic"),
    *both_ways(
        "view_of_views", with_(), with_(VIEW, "create view a as select * from v", before=(F,)), "f v a"
    ),
    *both_ways(
        "function_of_a_new_table",
        with_(),
        lambda m: (
            table(m),
            Table("u", m, Column("id", Integer, primary_key=True)),
            also(m, "create function f(u) returns setof u language sql begin atomic select * from u; end"),
            also(m, "create view a as select (f(u)).id from u"),
        ),
        "f a u",
    ),
    *both_ways(
        "function_of_a_new_column_under_a_view",
        with_(),
        with_(
            "create function f() returns bigint language sql begin atomic select sum(extra) from t; end",
            "create view v as select f() as f",
            items=(lambda: Column("extra", Integer),),
        ),
        "f v t.extra",
    ),
    changed("function_gets_another_argument_name", with_(before=(F,)), with_(before=(F_RENAMED,))),
    changed("function_gets_another_result", with_(before=(F,)), with_(before=(F_OF_BIGINT,))),
    changed("function_under_a_view", with_(VIEW, before=(F,)), with_(VIEW, before=(F_RENAMED,))),
    changed(
        "function_under_an_atomic_body",
        with_(ATOMIC, before=(F,)),
        with_(ATOMIC, before=(F_RENAMED,)),
        checks=(kept("select atomic()", 4),),
    ),
    changed(
        "function_under_a_table",
        _generated(F),
        _generated(F_RENAMED),
        checks=(COUNT, kept("select sum(d) from t", 4)),
    ),
    changed(
        "view_under_views",
        with_(
            "create view v as select id, n from t",
            "create view w as select id from v",
            TOUCH,
            INSTEAD,
            "create materialized view mv as select id from w",
        ),
        with_(
            "create view v as select n, id from t",
            "create view w as select id from v",
            TOUCH,
            INSTEAD,
            "create materialized view mv as select id from w",
        ),
    ),
    changed(
        "trigger_function_of_new_columns",
        with_(TOUCH, "create trigger a before update on t for each row execute function touch()"),
        with_(
            TOUCH,
            "create trigger a before update on t for each row execute function touch()",
            items=(lambda: Column("more", Integer),),
        ),
    ),
    *both_ways("domain_checked_by_functions", with_(), _checked, "f g h"),
    changed(
        "enum_loses_a_value_that_a_function_takes",
        _mood("x", "y", "z", more=("create function f(mood) returns mood language sql as 'select $1'",)),
        _mood("x", "y", more=("create function f(mood) returns mood language sql as 'select $1'",)),
        x=("rewrite=t.m",),
    ),
    changed(
        "enum_gets_a_value_for_a_view",
        _mood("x", "y", more=("create view v as select id, m from t where m in ('x')",)),
        _mood("x", "y", "z", more=("create view v as select id, m from t where m in ('x', 'z')",)),
    ),
    changed("composite_type_grows", _pair("x integer"), _pair("x integer, y integer")),
    changed("composite_type_shrinks", _pair("x integer, y integer"), _pair("y integer")),
    changed("composite_type_of_another_collation", _pair("x text"), _pair('x text collate "C"')),
    changed(
        "composite_type_grows_by_a_collation", _pair("x text"), _pair('x text, y text collate "C"', used=True)
    ),
    changed("composite_type_of_another_type", _pair("x integer"), _pair("x text")),
    changed(
        "composite_type_under_a_function",
        _pair(
            "y integer, x integer", more=("create function f(pair) returns pair language sql as 'select $1'",)
        ),
        _pair("x integer", more=("create function f(pair) returns pair language sql as 'select $1'",)),
    ),
    changed(
        "composite_type_of_a_column_grows",
        _pair("x integer", used=True),
        _pair("x integer, y text", used=True),
        rows=(*ROWS, "update t set p = row(n)"),
        checks=(kept("select sum((p).x) from t", 3),),
        keeps_rows=False,
    ),
    changed(
        "composite_type_of_a_column_shrinks",
        _pair("x integer, y text", used=True),
        _pair("x integer", used=True),
        refusal="in a revision by hand",
    ),
    changed(
        "composite_type_of_a_column_changes",
        _pair("x integer", used=True),
        _pair("x text", used=True),
        refusal="second type beside it",
    ),
    changed(
        "composite_type_of_a_domain",
        with_(),
        with_("create domain price as integer check (value > 0)", "create type tag as (p price)"),
    ),
    changed(
        "enum_of_a_composite_type_loses_a_value",
        _mood(
            "x",
            "y",
            "z",
            more=(
                "create type pair as (m mood)",
                "create function f(pair) returns mood language sql as 'select $1.m'",
            ),
        ),
        _mood(
            "x",
            "y",
            more=(
                "create type pair as (m mood)",
                "create function f(pair) returns mood language sql as 'select $1.m'",
            ),
        ),
        x=("rewrite=t.m",),
    ),
    changed(
        "enum_of_a_domain_loses_a_value",
        lambda m: _mood_of_domain(m, "x", "y", "z"),
        lambda m: _mood_of_domain(m, "x", "y"),
        rows=("insert into t (n, d) values (1, 'x'), (2, 'y')",),
        checks=(kept("select string_agg(d::text, '' order by id) from t", "xy"),),
        x=("rewrite=t.d",),
    ),
    changed(
        "range_type_of_a_column_changes",
        lambda m: (
            first(m, "create type r as range (subtype = integer)"),
            t(m, Column("n", Integer), Column("name", Text), Column("r", Type("r"))),
        ),
        lambda m: (
            first(m, "create type r as range (subtype = bigint)"),
            t(m, Column("n", Integer), Column("name", Text), Column("r", Type("r"))),
        ),
        refusal="second type beside it",
    ),
    changed(
        "published_column_of_another_type",
        lambda m: t(m, Column("n", Integer), Column("name", Text)),
        lambda m: t(m, Column("n", Text), Column("name", Text)),
        handmade=("create publication p for table t (id, n)",),
        server=15,
    ),
    changed(
        "published_column_that_goes",
        lambda m: t(m, Column("n", Integer), Column("name", Text)),
        lambda m: t(m, Column("name", Text)),
        x=("drop=t.n",),
        handmade=("create publication p for table t (id, n)",),
        refusal="ALTER PUBLICATION p SET TABLE",
        server=15,
    ),
    *both_ways(
        "materialized_view_of_a_view_grouped_by_key",
        with_(),
        with_(
            "create view v as select id, n, count(*) as c from t group by id",
            "create materialized view a as select id, n from v",
        ),
        "v a",
    ),
    changed(
        "domain_of_rows",
        with_(),
        with_("create domain d as t check ((value).n > 0)"),
        rows=(),
        checks=(),
    ),
    *both_ways(
        "extension_in_its_own_schema",
        with_(),
        with_(
            before=("create schema ext", "create extension citext schema ext"),
        ),
        "citext",
        schemas_may_stay=True,
    ),
    changed(
        "extension_moves",
        with_(before=("create schema ext", "create extension citext schema ext")),
        with_(
            before=(
                "create schema ext",
                "create schema more",
                "create extension citext schema more",
            )
        ),
        schemas_may_stay=True,
    ),
    changed(
        "table_takes_the_name_of_a_sequence",
        _things(lambda m: Sequence("things", metadata=m)),
        _things(lambda m: Table("things", m, Column("id", Integer, primary_key=True))),
        x=("drop=things", "online=no"),
    ),
    changed(
        "table_takes_the_name_of_an_enum",
        _things(lambda m: ENUM("a", name="things", metadata=m)),
        _things(lambda m: Table("things", m, Column("id", Integer, primary_key=True))),
        x=("drop=things", "online=no"),
    ),
]
