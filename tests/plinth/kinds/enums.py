"""Enum types: their values, their names, their users."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Enum,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from tests.plinth.kinds.kind import Kind, Models, check, kept, nothing, t

AB = ("insert into t (s) values ('a'), ('b')",)
HARD = """{"it's \\\\"}"""  # an array, as PostgreSQL prints it


def st(*values: str, name: str = "st", **options: Any) -> Enum:
    return Enum(*values, name=name, **options)


def having(*values: str, column: dict[str, Any] | None = None, name: str = "st", **options: Any) -> Models:
    return lambda m: t(m, Column("s", st(*values, name=name, **options), **(column or {})))


def change(name: str, before: Models, after: Models, **options: Any) -> Kind:
    return Kind(f"enum.{name}", before, after, **{"rows": AB, **options})


def two_tables(m: MetaData, *values: str, second: bool = True) -> None:
    shared = st(*(values or ("a", "b")))
    t(m, Column("s", shared))
    t(m, *([Column("s", shared)] if second else [Column("n", Integer)]), name="u")


def first_alone(m: MetaData) -> None:
    t(m, Column("s", st("a", "b")))


def array(*values: str, **options: Any) -> Models:
    return lambda m: t(m, Column("s", ARRAY(st(*values)), **options))


def used_everywhere(m: MetaData, *values: str) -> None:
    shared = st(*values)
    t(
        m,
        Column("s", shared, nullable=False, server_default="a", index=True),
        Column("other", shared),
        Column("many", ARRAY(shared), server_default="{a}"),
        CheckConstraint("s <> 'b' OR id > 0", name="st"),
        Index("ix_partial", "id", postgresql_where=text("s = 'a'")),
        Index("ix_both", "s", "other"),
    )
    t(m, Column("s", shared, unique=True), name="u")


def named_by_parts(m: MetaData, *values: str, also: tuple[str, ...] = ()) -> None:
    shared = st(*values)
    listed = ", ".join(f"'{each}'" for each in ("a", *also))
    t(
        m,
        Column("s", shared),
        Column("many", ARRAY(shared)),
        CheckConstraint(f"s NOT IN ({listed}) OR id > 0", name="listed"),
        CheckConstraint("many <> '{a}'", name="many"),
        Index("ix_partial", "id", postgresql_where=text(f"s IN ({listed})")),
        Index("ix_one", "many", unique=True, postgresql_where=text("s = 'a' AND many IS NOT NULL")),
        Index("ix_expression", text("(s = 'b')"), "s"),
    )


def keyed(m: MetaData, *values: str, id_: Any = Integer) -> None:
    shared = st(*values)
    Table(
        "t",
        m,
        Column("id", id_, primary_key=True, autoincrement=False),
        Column("s", shared, primary_key=True, server_default="a"),
    )
    t(
        m,
        Column("t_id", id_),
        Column("t_s", shared),
        Column("other", shared, nullable=False),
        ForeignKeyConstraint(["t_id", "t_s"], ["t.id", "t.s"], ondelete="CASCADE"),
        name="u",
    )


def odd(m: MetaData, *values: str) -> None:
    shared = st(*values, name='St"ate 100% :x', schema="billing")
    where = """"S s" = 'a'::billing."St""ate 100% :x\""""
    Table(
        "T a",
        m,
        Column("id", Integer, primary_key=True),
        Column("S s", shared, server_default="a"),
        Column("s", shared),
        Index("I x", "S s", "s", postgresql_where=text(where.replace(":x", "\\:x"))),
        schema="billing",
    )


def renaming(names: dict[str, str]) -> dict[str, Any]:
    return {"info": {"enum_renames": names}}


KINDS = [
    Kind("enum.create_with_table", nothing, having("a", "b"), listed=True),
    Kind("enum.drop_with_table", having("a", "b"), nothing, rows=AB, x=("drop=t",)),
    Kind("enum.add_column", t, having("a", "b"), rows=("insert into t default values",), listed=True),
    Kind(
        "enum.add_column_notnull_default",
        t,
        having("a", "b", column={"nullable": False, "server_default": "b"}),
        rows=("insert into t default values",),
        checks=(check("select s::text from t", up="b"),),
    ),
    change("drop_column", having("a", "b"), t, listed=True),
    change("add_value_end", having("a", "b"), having("a", "b", "c"), listed=True),
    change("add_value_middle", having("a", "b"), having("a", "c", "b"), listed=True),
    change("add_value_start", having("a", "b"), having("c", "a", "b")),
    change("add_values_many", having("a", "b"), having("0", "a", "1", "2", "b", "3", "4")),
    change("add_value_odd", having("a", "b"), having("a", "b", "it's", "100% :x", "with space", "é")),
    change("remove_value_unused", having("a", "b", "c"), having("a", "b"), listed=True),
    change("remove_value_middle_unused", having("a", "c", "b"), having("a", "b")),
    change("remove_value_used", having("a", "b", "c"), having("b", "c"), refusal=r"st\b.*\ba\b|\ba\b.*st\b"),
    change("remove_and_add_value", having("a", "b", "c"), having("a", "b", "d")),
    change(
        "remove_value_used_in_array",
        array("a", "b"),
        array("b"),
        rows=("insert into t (s) values ('{a,b}')",),
        refusal=r"a",
    ),
    change(
        "rename_value",
        having("a", "b"),
        having("a", "bb", column=renaming({"b": "bb"})),
        checks=(check("select string_agg(s::text, '' order by id) from t", up="abb", down="ab"),),
        keeps_rows=False,
        listed=True,
    ),
    change(
        "rename_value_and_add",
        having("a", "b"),
        having("a", "bb", "c", column=renaming({"b": "bb"})),
        checks=(check("select string_agg(s::text, '' order by id) from t", up="abb", down="ab"),),
        keeps_rows=False,
    ),
    change(
        "rename_value_and_remove",
        having("a", "b", "c"),
        having("a", "bb", column=renaming({"b": "bb"})),
        checks=(check("select string_agg(s::text, '' order by id) from t", up="abb", down="ab"),),
        keeps_rows=False,
    ),
    change(
        "rename_values_swapped",
        having("a", "b"),
        having("b", "a", column=renaming({"a": "b", "b": "a"})),
        checks=(check("select string_agg(s::text, '' order by id) from t", up="ba", down="ab"),),
        keeps_rows=False,
    ),
    change(
        "rename_value_with_default",
        having("a", "b", column={"server_default": "b"}),
        having("a", "bb", column={"server_default": "bb", **renaming({"b": "bb"})}),
        checks=(check("insert into t default values returning s::text", up="bb", down="b"),),
        keeps_rows=False,
    ),
    change(
        "rename_value_odd",
        having("a", "b"),
        having("a", "it's 100% :b", column=renaming({"b": "it's 100% :b"})),
        checks=(check("select max(s)::text from t", up="it's 100% :b", down="b"),),
        keeps_rows=False,
    ),
    Kind(
        "enum.rename_value_in_array",
        array("a", "b"),
        array("a", "bb", **renaming({"b": "bb"})),
        rows=("insert into t (s) values ('{a,b}')",),
        checks=(check("select s::text from t", up="{a,bb}", down="{a,b}"),),
        keeps_rows=False,
    ),
    Kind(
        "enum.rename_value_done_is_inert",
        having("a", "bb", column=renaming({"b": "bb"})),
        having("a", "bb", column=renaming({"b": "bb"})),
    ),
    change(
        "reorder",
        having("a", "b"),
        having("b", "a"),
        checks=(check("select min(s)::text from t", up="b", down="a"),),
        listed=True,
    ),
    change("reorder_and_add", having("a", "b"), having("b", "c", "a")),
    change(
        "add_value_with_default",
        having("a", "b", column={"server_default": "a"}),
        having("a", "b", "c", column={"server_default": "c"}),
        checks=(check("insert into t default values returning s::text", up="c", down="a"),),
        listed=True,
    ),
    change(
        "add_value_used_by_backfill",
        having("a", "b"),
        lambda m: t(
            m,
            Column("s", st("a", "b", "c")),
            Column("n", st("a", "b", "c"), nullable=False, server_default="c"),
        ),
        checks=(check("select count(*) from t where n = 'c'", up=2),),
    ),
    change("rename_type", having("a", "b"), having("a", "b", name="st2"), listed=True),
    change("rename_type_and_add_value", having("a", "b"), having("a", "b", "c", name="st2")),
    change(
        "rename_type_with_default",
        having("a", "b", column={"server_default": "a"}),
        having("a", "b", name="st2", column={"server_default": "a"}),
    ),
    change(
        "shared_drop_one",
        two_tables,
        first_alone,
        rows=(*AB, "insert into u (s) values ('a')"),
        x=("drop=u",),
        listed=True,
    ),
    change("shared_drop_column", two_tables, lambda m: two_tables(m, second=False), x=("drop=u.s",)),
    change("shared_drop_both", two_tables, nothing, x=("drop=t", "drop=u"), listed=True),
    change("shared_add_table", first_alone, two_tables, listed=True),
    change("shared_add_both", nothing, two_tables, rows=()),
    change(
        "shared_add_value",
        two_tables,
        lambda m: two_tables(m, "a", "c", "b"),
        rows=(*AB, "insert into u (s) values ('b')"),
    ),
    change(
        "shared_remove_value",
        lambda m: two_tables(m, "a", "b", "c"),
        lambda m: two_tables(m, "a", "b"),
        rows=(*AB, "insert into u (s) values ('b')"),
    ),
    change(
        "remove_value_under_parts_that_name_it",
        lambda m: named_by_parts(m, "a", "c", "b"),
        lambda m: named_by_parts(m, "a", "b"),
        rows=("insert into t (s, many) values ('a', '{a,b}'), ('b', null)",),
        checks=(kept("select count(*) from t where s = 'a' or many is null", 2),),
    ),
    change(
        "remove_value_with_parts_that_name_it",
        lambda m: named_by_parts(m, "a", "c", "b", also=("c",)),
        lambda m: named_by_parts(m, "a", "b"),
        rows=("insert into t (s, many) values ('a', '{a,b}'), ('b', null)",),
    ),
    change(
        "remove_value_and_add_one_that_a_part_names",
        lambda m: named_by_parts(m, "a", "c", "b"),
        lambda m: named_by_parts(m, "a", "b", "d", also=("d",)),
        x=("rewrite=t.s", "rewrite=t.many"),
    ),
    change(
        "remove_value_of_a_key",
        lambda m: keyed(m, "a", "b", "c"),
        lambda m: keyed(m, "a", "b"),
        rows=(
            "insert into t (id, s) values (1, 'a'), (2, 'b')",
            "insert into u (t_id, t_s, other) values (1, 'a', 'b'), (null, null, 'a')",
        ),
        checks=(kept("select count(*) from t join u on t_id = t.id and t_s = s", 1),),
    ),
    change(
        "remove_value_of_a_key_that_gets_another_type_as_well",
        lambda m: keyed(m, "a", "b", "c"),
        lambda m: keyed(m, "a", "b", id_=BigInteger),
        rows=("insert into t (id, s) values (1, 'a'), (2, 'b')",),
        x=("rewrite=t.id", "rewrite=t.s", "rewrite=u.t_id", "rewrite=u.t_s", "rewrite=u.other"),
    ),
    change(
        "remove_value_odd_names",
        lambda m: odd(m, "a", "c c", "B b"),
        lambda m: odd(m, "a", "B b"),
        prepare=("create schema billing",),
        rows=("""insert into billing."T a" ("S s", s) values ('a', 'B b'), ('B b', null)""",),
    ),
    change(
        "remove_value_of_a_column_that_goes",
        lambda m: two_tables(m, "a", "b", "c"),
        lambda m: two_tables(m, "a", "b", second=False),
        x=("drop=u.s", "rewrite=t.s"),
    ),
    Kind("enum.array_create", nothing, array("a", "b"), listed=True),
    Kind(
        "enum.array_drop_table",
        array("a", "b"),
        nothing,
        rows=("insert into t (s) values ('{a}')",),
        x=("drop=t",),
        listed=True,
    ),
    Kind(
        "enum.array_default_loses_its_value",
        array("a", "it's \\", server_default=HARD),
        array("a"),
        checks=(check("insert into t default values returning s::text", down=HARD),),
    ),
    Kind(
        "enum.array_default_gets_a_value",
        array("a", server_default="{a}"),
        array("a", "in use", server_default="{in use}"),
        checks=(check("insert into t default values returning s::text", up='{"in use"}', down="{a}"),),
    ),
    Kind("enum.array_add_column", t, array("a", "b", server_default="{a}")),
    Kind(
        "enum.array_add_value",
        array("a", "b"),
        array("a", "c", "b"),
        rows=("insert into t (s) values ('{a,b}')",),
    ),
    Kind(
        "enum.array_remove_value",
        array("a", "c", "b"),
        array("a", "b"),
        rows=("insert into t (s) values ('{a,b}')",),
    ),
    Kind(
        "enum.scalar_to_array",
        having("a", "b"),
        array("a", "b", info={"using": "ARRAY[s]", "using_back": "s[1]"}),
        rows=AB,
        x=("rewrite=t.s",),
    ),
    Kind(
        "enum.remove_value_under_a_default_of_text",
        lambda m: t(
            m, Column("s", st("a", "b")), Column("label", Text, server_default=text("'a'::st::text"))
        ),
        lambda m: t(m, Column("s", st("a")), Column("label", Text, server_default=text("'a'::st::text"))),
        rows=("insert into t (s) values ('a')",),
        checks=(kept("insert into t (s) values ('a') returning label", "a"),),
        x=("rewrite=t.s",),
    ),
    change(
        "add_value_with_partial_index",
        lambda m: t(m, Column("s", st("a", "b")), Index("ix_p", "id", postgresql_where=text("s = 'a'"))),
        lambda m: t(m, Column("s", st("a", "b", "c")), Index("ix_p", "id", postgresql_where=text("s = 'a'"))),
        listed=True,
    ),
    change(
        "add_value_used_by_new_partial_index",
        lambda m: t(m, Column("s", st("a", "b"))),
        lambda m: t(m, Column("s", st("a", "b", "c")), Index("ix_p", "id", postgresql_where=text("s = 'c'"))),
    ),
    change(
        "add_value_with_check",
        lambda m: t(m, Column("s", st("a", "b")), CheckConstraint("s <> 'a' OR id > 0", name="c")),
        lambda m: t(m, Column("s", st("a", "b", "c")), CheckConstraint("s <> 'a' OR id > 0", name="c")),
        listed=True,
    ),
    change(
        "add_value_used_by_new_check",
        having("a", "b"),
        lambda m: t(m, Column("s", st("a", "b", "c")), CheckConstraint("s <> 'c'", name="c")),
    ),
    change(
        "add_value_used_everywhere",
        lambda m: used_everywhere(m, "a", "b"),
        lambda m: used_everywhere(m, "a", "c", "b"),
        rows=("insert into t (s, other) values ('a', 'b')", "insert into u (s) values ('b')"),
    ),
    change(
        "remove_value_used_everywhere",
        lambda m: used_everywhere(m, "a", "c", "b"),
        lambda m: used_everywhere(m, "a", "b"),
        rows=("insert into t (s, other) values ('a', 'b')", "insert into u (s) values ('b')"),
    ),
    change(
        "remove_value_with_handmade_view",
        having("a", "b", "c"),
        having("a", "b"),
        handmade=("create view v as select id from t",),
    ),
    Kind("enum.in_schema_create", nothing, having("a", schema="billing"), prepare=("create schema billing",)),
    Kind(
        "enum.in_schema_add_value",
        having("a", "b", schema="billing"),
        having("a", "c", "b", schema="billing"),
        prepare=("create schema billing",),
        rows=AB,
    ),
    Kind(
        "enum.in_schema_drop",
        having("a", schema="billing"),
        nothing,
        prepare=("create schema billing",),
        x=("drop=t",),
    ),
    change(
        "moves_to_schema",
        having("a", "b"),
        having("a", "b", schema="billing"),
        prepare=("create schema billing",),
    ),
    Kind(
        "enum.odd_name", t, having("a", "B b", name='St"ate 100% :x'), rows=("insert into t default values",)
    ),
    change(
        "odd_name_add_value",
        having("a", "b", name='St"ate 100% :x'),
        having("a", "x y", "b", name='St"ate 100% :x'),
    ),
    Kind("enum.63_byte_name_and_value", t, having("v" * 63, name="n" * 63)),
    Kind(
        "enum.same_values_two_types",
        t,
        lambda m: t(m, Column("a", st("x", name="one")), Column("b", st("x", name="two"))),
    ),
    Kind(
        "enum.python_enum_members",
        lambda m: t(m, Column("s", Text)),
        lambda m: t(
            m,
            Column("s", Text),
            Column("k", st("LOW", "HIGH", name="level"), nullable=False, server_default="LOW"),
        ),
        rows=("insert into t (s) values ('x')",),
        checks=(kept("select s from t", "x"),),
    ),
    Kind(
        "enum.unused_in_metadata",
        t,
        lambda m: (t(m), Enum("a", "b", name="loose", metadata=m)),
    ),
    Kind(
        "enum.swap_types_of_two_columns",
        lambda m: t(m, Column("p", st("a", "b", name="one")), Column("q", st("a", "b", name="two"))),
        lambda m: t(m, Column("p", st("a", "b", name="two")), Column("q", st("a", "b", name="one"))),
        rows=("insert into t (p, q) values ('a', 'b')",),
        checks=(kept("select p::text || q::text from t", "ab"),),
    ),
]
