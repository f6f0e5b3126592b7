"""Indexes: of every method, partial, of expressions, with all their options."""

from typing import Any

from sqlalchemy import Column, Index, Integer, MetaData, String, Table, Text, func, text
from sqlalchemy.dialects import postgresql as pg

from tests.plinth.kinds.kind import Kind, Models, check, kept, t

ROWS = ("insert into t (name, b) values ('a', 1), ('b', 9)",)
JSON_PATH = {"j": "jsonb_path_ops"}


def having(*make: Any, name: str | None = "ix_x") -> Models:
    """Return the table with indexes, which `on` makes."""

    def models(m: MetaData) -> Table:
        columns = {
            "name": Column("name", String(50)),
            "b": Column("b", Integer),
            "j": Column("j", pg.JSONB),
            "r": Column("r", pg.INT4RANGE),
            "a": Column("a", pg.ARRAY(Integer)),
            "v": Column("v", pg.TSVECTOR),
        }
        return t(m, *columns.values(), *(each(columns, name) for each in make))

    return models


def on(*expressions: Any, **options: Any) -> Any:
    """Return a function that makes an index; expressions are names, texts, or functions of the columns."""

    def index(columns: dict[str, Any], name: str | None) -> Index:
        made = [each(columns) if callable(each) else each for each in expressions]
        return Index(options.get("name", name), *made, **{k: options[k] for k in options if k != "name"})

    return index


def change(name: str, before: Models, after: Models, **options: Any) -> Kind:
    return Kind(
        f"index.{name}", before, after, rows=ROWS, checks=(kept("select count(*) from t", 2),), **options
    )


def upper(columns: dict[str, Any]) -> Any:
    return func.upper(columns["name"])


def lower(columns: dict[str, Any]) -> Any:
    return func.lower(columns["name"])


def where(sql: str) -> dict[str, Any]:
    return {"postgresql_where": text(sql)}


def using(method: str, **options: Any) -> dict[str, Any]:
    return {"postgresql_using": method, **options}


plain = having(on("name"))
without = having()

KINDS = [
    change("add", without, plain, listed=True),
    change("drop", plain, without),
    change("change_columns", plain, having(on("name", "b")), listed=True),
    change("change_order_of_columns", having(on("name", "b")), having(on("b", "name"))),
    change("add_unique", plain, having(on("name", unique=True))),
    change("drop_unique", having(on("name", unique=True)), plain),
    change("add_partial", without, having(on("name", **where("b > 0"))), listed=True),
    change("drop_partial", having(on("name", **where("b > 0"))), without, listed=True),
    change(
        "change_partial_predicate",
        having(on("name", **where("b > 0"))),
        having(on("name", **where("b > 5"))),
        listed=True,
    ),
    change("partial_to_full", having(on("name", **where("b > 0"))), plain),
    change("full_to_partial", plain, having(on("name", **where("b > 0")))),
    change(
        "partial_predicate_same_written_otherwise",
        having(on("name", **where("b>0"))),
        having(on("name", **where("(b > 0)"))),
    ),
    change(
        "partial_predicate_with_literals",
        without,
        having(on("b", **where("name LIKE '10%' AND name <> 'a:b' AND name <> 'it''s'"))),
    ),
    change("partial_unique", without, having(on("name", unique=True, **where("b IS NOT NULL")))),
    change("partial_in_list", without, having(on("b", **where("name IN ('a', 'b')")))),
    change("add_expression", without, having(on(lower)), listed=True),
    change("drop_expression", having(on(lower)), without, listed=True),
    change("change_expression", having(on(lower)), having(on(upper)), listed=True),
    change(
        "change_expression_literal",
        having(on(text("(name || 'a')"))),
        having(on(text("(name || 'b')"))),
        listed=True,
    ),
    change("expression_same_written_otherwise", having(on(text("lower(name)"))), having(on(lower))),
    change("expression_and_column", without, having(on("b", lower, text("(b + 1) DESC")))),
    change("expression_json", without, having(on(text("(j ->> 'key')")))),
    change("expression_json_colons", without, having(on(text("(j #>> '{a,b:c}')")))),
    change("expression_percent", without, having(on(text("(b % 10)")))),
    change("expression_cast", without, having(on(text("(b::text)")))),
    change(
        "expression_function_by_hand",
        without,
        having(on(text("my_norm(name)"))),
        prepare=(
            "create function my_norm(text) returns text language sql immutable as $$ select lower($1) $$",
        ),
    ),
    change("add_include", without, having(on("name", postgresql_include=["b"])), listed=True),
    change("drop_include", having(on("name", postgresql_include=["b"])), without, listed=True),
    change("include_to_plain", having(on("name", postgresql_include=["b"])), plain),
    change(
        "change_include",
        having(on("name", postgresql_include=["b"])),
        having(on("name", postgresql_include=["b", "j"])),
    ),
    change(
        "add_gin_opclass", without, having(on("j", **using("gin", postgresql_ops=JSON_PATH))), listed=True
    ),
    change(
        "drop_gin_opclass", having(on("j", **using("gin", postgresql_ops=JSON_PATH))), without, listed=True
    ),
    change(
        "change_opclass",
        having(on("j", **using("gin"))),
        having(on("j", **using("gin", postgresql_ops=JSON_PATH))),
        listed=True,
    ),
    change(
        "sort_ops_text_pattern",
        without,
        having(on("name", postgresql_ops={"name": "varchar_pattern_ops"})),
        listed=True,
    ),
    change("drop_ops_text_pattern", having(on("name", postgresql_ops={"name": "text_pattern_ops"})), plain),
    change("add_desc_nulls", without, having(on(lambda own: own["b"].desc().nulls_last())), listed=True),
    change("change_desc_nulls", having(on("b")), having(on(lambda own: own["b"].desc())), listed=True),
    change(
        "change_nulls_first",
        having(on(lambda own: own["b"].desc())),
        having(on(lambda own: own["b"].desc().nulls_last())),
    ),
    change(
        "nulls_last_is_the_default",
        having(on("b")),
        having(on(lambda own: own["b"].asc().nulls_last())),
    ),
    change(
        "change_with_fillfactor", plain, having(on("name", postgresql_with={"fillfactor": 50})), listed=True
    ),
    change(
        "drop_with_fillfactor", having(on("name", postgresql_with={"fillfactor": 50})), without, listed=True
    ),
    change(
        "change_fillfactor",
        having(on("name", postgresql_with={"fillfactor": 50})),
        having(on("name", postgresql_with={"fillfactor": 60})),
    ),
    change(
        "change_how_it_is_built",
        having(on("b", **using("brin", postgresql_with={"pages_per_range": 16}))),
        having(on("b", **using("brin", postgresql_with={"pages_per_range": 32}))),
    ),
    change("reset_fillfactor", having(on("name", postgresql_with={"fillfactor": 50})), plain),
    change("brin_create", without, having(on("b", **using("brin"))), listed=True),
    change(
        "brin_options", without, having(on("b", **using("brin", postgresql_with={"pages_per_range": 16})))
    ),
    change("gin_array", without, having(on("a", **using("gin")))),
    change(
        "storage_parameters_in_another_order",
        without,
        having(on("v", **using("gin", postgresql_with={"gin_pending_list_limit": 128, "fastupdate": "on"}))),
    ),
    change("gin_tsvector", without, having(on("v", **using("gin", postgresql_with={"fastupdate": False})))),
    change("gist_range", without, having(on("r", **using("gist")))),
    change("spgist", without, having(on("r", **using("spgist")))),
    change("hash", without, having(on("name", **using("hash")))),
    change("change_method", plain, having(on("name", **using("hash")))),
    change("btree_is_the_default", plain, having(on("name", **using("btree")))),
    change("collation", without, having(on(lambda own: own["name"].collate("C")))),
    change("collation_change", plain, having(on(lambda own: own["name"].collate("C")))),
    change(
        "trigram",
        without,
        having(on("name", **using("gin", postgresql_ops={"name": "gin_trgm_ops"}))),
        prepare=("create extension pg_trgm",),
    ),
    change("rename", plain, having(on("name"), name="ix_y"), listed=True),
    change("rename_and_change", plain, having(on("b"), name="ix_y")),
    change("two_over_the_same_column", plain, having(on("name"), on("name", name="ix_y"))),
    change("unnamed_by_convention", without, having(on("name", "b", name=None))),
    change("odd_name", without, having(on("name"), name='I"x 100% :x')),
    change("odd_name_drop", having(on("name"), name='I"x 100% :x'), without),
    change("63_bytes", without, having(on("name"), name="i" * 63)),
    change("concurrently_makes_the_same", without, having(on("b"), on(lower, name="ix_l"))),
    change(
        "nulls_not_distinct_change",
        having(on("b", unique=True)),
        having(on("b", unique=True, postgresql_nulls_not_distinct=True)),
        server=15,
    ),
    change(
        "everything_at_once",
        having(on("name"), on("b", name="ix_b")),
        having(
            on(
                "name",
                "b",
                postgresql_include=["j"],
                postgresql_with={"fillfactor": 70},
                unique=True,
                **where("b > 2 AND name <> ''"),
            ),
            on(lower, "b", name="ix_b"),
            on("r", name="ix_r", **using("gist")),
        ),
    ),
    Kind(
        "index.column_flag",
        lambda m: t(m, Column("a", Text), Column("b", Text, index=True), Column("c", Text, unique=True)),
        lambda m: t(
            m, Column("a", Text, index=True), Column("b", Text), Column("c", Text, unique=True, index=True)
        ),
        rows=("insert into t (a, b, c) values ('1', '2', '3')",),
    ),
    Kind(
        "index.moves_to_another_table",
        lambda m: (t(m, Column("a", Text), Index("ix", "a")), t(m, Column("a", Text), name="u")),
        lambda m: (t(m, Column("a", Text)), t(m, Column("a", Text), Index("ix", "a"), name="u")),
    ),
    Kind(
        "index.on_rows_with_duplicates_not_unique",
        lambda m: t(m, Column("a", Text)),
        lambda m: t(m, Column("a", Text, index=True)),
        rows=("insert into t (a) select 'x' from generate_series(1, 500)",),
        checks=(check("select count(*) from t", 500, 500),),
    ),
    Kind(
        "index.in_schema",
        lambda m: t(m, Column("a", Text), schema="billing"),
        lambda m: t(m, Column("a", Text, index=True), Index("ix_low", text("lower(a)")), schema="billing"),
        prepare=("create schema billing",),
    ),
]
