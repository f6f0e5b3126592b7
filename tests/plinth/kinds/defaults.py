"""Server defaults of every sort."""

from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Enum,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    Sequence,
    String,
    Text,
    Uuid,
    func,
    literal,
    text,
)
from sqlalchemy.dialects import postgresql as pg

from tests.plinth.kinds.kind import Kind, check, t


def change(name: str, kind: Any, old: Any, new: Any, **options: Any) -> Kind:
    return Kind(
        f"default.{name}",
        lambda m: t(m, Column("v", kind, server_default=old)),
        lambda m: t(m, Column("v", kind, server_default=new)),
        rows=options.pop("rows", ("insert into t default values",)),
        **options,
    )


def sequence(m: Any, name: str, **options: Any) -> Sequence:
    return Sequence(name, metadata=m, **options)


ESCAPES = """do $$ begin
    execute format('alter database %I set standard_conforming_strings = off', current_database());
end $$"""

KINDS = [
    change("backslash_where_it_escapes", String(20), None, "x\\ny", foreign=(ESCAPES,)),
    change("add", String(20), None, "x"),
    change("drop", String(20), "x", None, listed=True),
    change("change", String(20), "x", "y"),
    change("add_now", DateTime, None, func.now(), listed=True),
    change("now_to_clock_timestamp", DateTime, func.now(), text("clock_timestamp()"), listed=True),
    change("func_to_equal_valued_func", DateTime, func.now(), text("transaction_timestamp()"), listed=True),
    change("now_to_statement_timestamp", DateTime, func.now(), text("statement_timestamp()")),
    change("now_to_current_timestamp", DateTime, func.now(), text("CURRENT_TIMESTAMP")),
    change("now_is_now", DateTime, func.now(), text("now()")),
    change("utc_now", DateTime, None, text("timezone('utc', now())")),
    change("now_plus_interval", DateTime, func.now(), text("now() + interval '1 day'")),
    change("bool_change", Boolean, text("true"), text("false"), listed=True),
    change("bool_as_string_is_no_change", Boolean, "true", text("true")),
    change("bool_t_is_true", Boolean, "t", "true"),
    change(
        "json_change", pg.JSONB, text("""'{"a": 1}'::jsonb"""), text("""'{"a": 2}'::jsonb"""), listed=True
    ),
    change("json_type_change", JSON, text("""'{"a": 1}'::json"""), text("""'{"a": 2}'::json"""), listed=True),
    change("json_with_colons", pg.JSONB, "{}", '{"a": ":b", "c::d": "100%"}'),
    change("json_empty_object", JSON, None, "{}"),
    change("string_case", String(20), "abc", "ABC", listed=True),
    change("string_quotes", Text, "it's", 'say "it\'s" 100% :x \\n'),
    change("string_newline", Text, "a", "a\nb\tc"),
    change("string_backslash", Text, "a", r"C:\temp\new"),
    change("string_empty", Text, None, ""),
    change("string_empty_to_null", Text, "", text("NULL")),
    change("string_unicode", Text, "e", "é 漢 🐘"),
    change("string_number_like", Text, "1", "1.0"),
    change("int_change", Integer, "1", "2"),
    change("int_negative", Integer, "1", "-1"),
    change("int_as_text_is_no_change", Integer, "1", text("1")),
    change("int_expression", Integer, "1", text("1 + 1")),
    change("numeric_scale", Numeric(10, 2), "1.5", "1.50"),
    change("double", Double, "0", "1e10"),
    change("date", Date, None, text("CURRENT_DATE")),
    change("date_literal", Date, "2024-01-01", "2024-01-02"),
    change("interval", Interval, None, text("interval '1 day 2 hours'")),
    change("interval_equal_value", Interval, text("'1 day'"), text("'24 hours'")),
    change("bytea", LargeBinary, None, text(r"'\x00ff'::bytea")),
    change("uuid_function", Uuid, None, text("gen_random_uuid()")),
    change("uuid_literal", Uuid, None, "6f1e4f2c-0000-4000-8000-000000000001"),
    change("array_empty", pg.ARRAY(Text), None, "{}"),
    change("array_change", pg.ARRAY(Integer), text("'{1,2}'::int[]"), text("ARRAY[1, 2]")),
    change("range", pg.INT4RANGE, None, "[1,10)"),
    change("inet", pg.INET, None, "10.0.0.1"),
    change("bit", pg.BIT(4), None, text("B'1010'")),
    change("enum", Enum("a", "b", name="st"), "a", "b"),
    change("enum_drop", Enum("a", "b", name="st"), "a", None),
    change("literal_expression", Integer, None, literal(5)),
    change("current_user", Text, None, func.current_user()),
    change("case_expression", Text, None, text("CASE WHEN random() < 0.5 THEN 'a' ELSE 'b' END")),
    change("concatenation", Text, text("'a' || 'b'"), text("'a' || 'c'")),
    change("cast_only", Text, text("'a'"), text("'a'::text")),
    change("function_with_schema", Text, None, text("pg_catalog.upper('x')")),
    change(
        "function_by_hand",
        Text,
        None,
        text("my_default()"),
        prepare=("create function my_default() returns text language sql immutable as $$ select 'x' $$",),
    ),
    change(
        "function_by_hand_replaced",
        Text,
        text("my_default()"),
        text("my_default() || '2'"),
        prepare=("create function my_default() returns text language sql immutable as $$ select 'x' $$",),
    ),
    Kind(
        "default.add_sequence",
        lambda m: t(m, Column("v", Integer)),
        lambda m: t(m, Column("v", Integer, s := sequence(m, "t_v_seq2"), server_default=s.next_value())),
        rows=("insert into t (v) values (41)",),
        checks=(check("insert into t default values returning v", up=42),),
        listed=True,
    ),
    Kind(
        "default.drop_sequence",
        lambda m: t(m, Column("v", Integer, s := sequence(m, "t_v_seq2"), server_default=s.next_value())),
        lambda m: t(m, Column("v", Integer)),
        rows=("insert into t default values",),
        listed=True,
    ),
    Kind(
        "default.change_sequence",
        lambda m: t(m, Column("v", Integer, s := sequence(m, "one"), server_default=s.next_value())),
        lambda m: t(
            m, Column("v", Integer, s := sequence(m, "two", start=100), server_default=s.next_value())
        ),
        rows=("insert into t default values",),
        checks=(check("insert into t default values returning v", up=100, down=2),),
        downgrade_may_stop=False,
    ),
    Kind(
        "default.sequence_with_text_around",
        t,
        lambda m: (
            sequence(m, "no"),
            t(m, Column("v", Text, server_default=text("'N' || lpad(nextval('no')::text, 4, '0')"))),
        ),
        rows=("insert into t default values",),
        checks=(check("select v from t", up="N0001"),),
    ),
    Kind(
        "default.serial_on_other_column",
        lambda m: t(m, Column("v", Integer)),
        lambda m: t(
            m,
            Column(
                "v",
                pg.INTEGER,
                s := sequence(m, "t_v_seq", data_type=Integer),
                nullable=False,
                server_default=s.next_value(),
            ),
        ),
        rows=("insert into t default values", "insert into t default values"),
        checks=(check("select count(distinct v) from t", up=2),),
        downgrade_may_stop=False,
    ),
]
