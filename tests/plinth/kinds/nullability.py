"""Columns that become required, or no longer are."""

from typing import Any

from sqlalchemy import Boolean, Column, Enum, Integer, MetaData, String, Table, Text, text

from tests.plinth.kinds.kind import Kind, Models, also, check, kept, t

SOME_NULL = ("insert into t (name) values ('a'), (null)",)


def named(*arguments: Any, **options: Any) -> Models:
    def models(m: MetaData) -> Table:
        return t(m, Column("name", *(arguments or (String(50),)), **options))

    return models


def stamped(m: MetaData, **name: Any) -> None:
    table = t(m, Column("name", String(50), **name), Column("stamped", Integer, server_default="0"))
    also(
        table,
        "create function stamp() returns trigger language plpgsql as "
        "$$ begin new.stamped := new.stamped + 1; return new; end $$",
    )
    also(table, "create trigger stamp before update on t for each row execute function stamp()")


KINDS = [
    Kind(
        "null.backfill_is_no_update_of_the_application",
        stamped,
        lambda m: stamped(m, nullable=False, info={"backfill": "'row ' || id"}),
        rows=("insert into t (name) values (null)",),
        checks=(
            check("select name || stamped from t", up="row 10"),
            check("update t set name = 'b' returning stamped", up=1, down=1),
        ),
    ),
    Kind(
        "null.to_notnull_null_rows",
        named(),
        named(nullable=False),
        rows=SOME_NULL,
        refusal=r"name",
        listed=True,
    ),
    Kind(
        "null.to_notnull_null_rows_shows_the_hint",
        named(),
        named(nullable=False),
        rows=SOME_NULL,
        refusal=r"backfill",
    ),
    Kind(
        "null.to_notnull_full_rows",
        named(),
        named(nullable=False),
        rows=("insert into t (name) values ('a')",),
    ),
    Kind("null.to_notnull_empty", named(), named(nullable=False)),
    Kind(
        "null.to_notnull_with_default_null_rows",
        named(),
        named(nullable=False, server_default="x"),
        rows=SOME_NULL,
        checks=(check("select string_agg(name, '' order by id) from t", up="ax"),),
        listed=True,
    ),
    Kind(
        "null.to_notnull_with_standing_default_null_rows",
        named(server_default="x"),
        named(nullable=False, server_default="x"),
        rows=SOME_NULL,
        checks=(check("select string_agg(name, '' order by id) from t", up="ax"),),
    ),
    Kind(
        "null.to_notnull_with_function_default",
        lambda m: t(m, Column("at", Text)),
        lambda m: t(m, Column("at", Text, nullable=False, server_default=text("now()::text"))),
        rows=("insert into t (at) values (null), ('x')",),
        checks=(check("select count(at) from t", up=2),),
    ),
    Kind(
        "null.to_notnull_backfill",
        named(),
        named(nullable=False, info={"backfill": "'n' || id"}),
        rows=SOME_NULL,
        checks=(check("select string_agg(name, ',' order by id) from t", up="a,n2"),),
    ),
    Kind(
        "null.to_notnull_backfill_from_other_table",
        lambda m: (t(m, Column("n", Integer), name="u"), named()(m)),
        lambda m: (
            t(m, Column("n", Integer), name="u"),
            named(nullable=False, info={"backfill": "(select 'n' || u.n from u where u.id = t.id)"})(m),
        ),
        rows=("insert into u (n) values (10), (20)", *SOME_NULL),
        checks=(check("select string_agg(name, ',' order by id) from t", up="a,n20"),),
    ),
    Kind(
        "null.to_notnull_many_rows",
        named(),
        named(nullable=False, info={"backfill": "'x'"}),
        rows=("insert into t (name) select null from generate_series(1, 5000)",),
        checks=(
            check("select count(*) from t where name = 'x'", up=5000),
            kept("select count(*) from t", 5000),
        ),
    ),
    Kind(
        "null.to_notnull_boolean",
        named(Boolean),
        named(Boolean, nullable=False, server_default=text("false")),
        rows=("insert into t (name) values (true), (null)",),
        checks=(check("select count(*) from t where not name", up=1),),
    ),
    Kind(
        "null.to_notnull_enum_backfill",
        named(Enum("a", "b", name="st")),
        named(Enum("a", "b", name="st"), nullable=False, info={"backfill": "'b'"}),
        rows=SOME_NULL,
        checks=(check("select string_agg(name::text, '' order by id) from t", up="ab"),),
    ),
    Kind(
        "null.to_notnull_odd_name",
        lambda m: t(m, Column("a%b:c", Integer)),
        lambda m: t(m, Column("a%b:c", Integer, nullable=False, info={"backfill": '"id" % 2'})),
        rows=("insert into t default values",),
        checks=(check('select "a%b:c" from t', up=1),),
    ),
    Kind(
        "null.to_nullable",
        named(nullable=False),
        named(),
        rows=("insert into t (name) values ('a')",),
        checks=(check("insert into t (name) values (null) returning name is null", up=True),),
        listed=True,
    ),
    Kind(
        "null.to_nullable_null_rows_come_back",
        named(nullable=False, server_default="x"),
        named(server_default="x"),
        rows=("insert into t (name) values ('a')",),
    ),
    Kind(
        "null.two_at_once",
        lambda m: t(m, Column("a", Integer), Column("b", Integer, nullable=False)),
        lambda m: t(m, Column("a", Integer, nullable=False), Column("b", Integer)),
        rows=("insert into t (a, b) values (1, 2)",),
    ),
    Kind(
        "null.backfill_done_is_inert",
        named(nullable=False, info={"backfill": "'x'"}),
        named(nullable=False, info={"backfill": "'x'"}),
    ),
]
