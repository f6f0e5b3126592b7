"""Columns: added, dropped, renamed."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)

from tests.plinth.kinds.kind import Kind, Models, check, kept, t

TWO = ("insert into t (name) values ('a'), ('b')",)


def plain(m: MetaData) -> Table:
    return t(m, Column("name", String(50)))


def plus(*make: object) -> Models:
    """Return the plain table with more columns; each is a function, for a column belongs to one table."""
    return lambda m: t(m, Column("name", String(50)), *(each() for each in make))  # type: ignore[operator]


def old(name: str) -> dict[str, str]:
    return {"renamed_from": name}


def renames(*names: str) -> tuple[Models, Models]:
    return (
        lambda m: t(m, Column(names[0], String(50))),
        lambda m: t(m, Column(names[1], String(50), info=old(names[0]))),
    )


def rename(name: str, before: Models, after: Models, new: str = "title", **options: object) -> Kind:
    """Return the renaming of `name`, with two rows that have to survive it."""
    return Kind(
        f"column.{name}",
        before,
        after,
        rows=TWO,
        checks=(
            check(f"select string_agg({new}, '' order by id) from t", up="ab"),  # noqa: S608 - a name of this module
            check("select string_agg(name, '' order by id) from t", down="ab"),
        ),
        **options,  # type: ignore[arg-type]
    )


def odd_columns(m: MetaData) -> None:
    t(
        m,
        Column("select", Integer, index=True),
        Column("CamelCase", String(20), unique=True),
        Column("with space", Integer, server_default="3"),
        Column("dash-ed", Integer),
        CheckConstraint('"select" > 0', name="Select"),
        name="Order",
        comment='It\'s "odd"',
    )


KINDS = [
    Kind("column.add", plain, plus(lambda: Column("age", Integer)), rows=TWO),
    Kind(
        "column.add_several", plain, plus(lambda: Column("a", Integer), lambda: Column("b", Text)), rows=TWO
    ),
    Kind(
        "column.add_notnull_no_default_rows",
        plain,
        plus(lambda: Column("age", Integer, nullable=False)),
        rows=TWO,
        refusal=r"t\W.*age|age.*t\W",
        listed=True,
    ),
    Kind(
        "column.add_notnull_no_default_empty",
        plain,
        plus(lambda: Column("age", Integer, nullable=False)),
        refusal=r"age",
    ),
    Kind(
        "column.add_notnull_python_default",
        plain,
        plus(lambda: Column("age", Integer, nullable=False, default=5)),
        rows=TWO,
        refusal=r"age",
    ),
    Kind(
        "column.add_notnull_server_default_rows",
        plain,
        plus(lambda: Column("age", Integer, nullable=False, server_default="7")),
        rows=TWO,
        checks=(check("select sum(age) from t", up=14),),
        listed=True,
    ),
    Kind(
        "column.add_notnull_volatile_default",
        plain,
        plus(lambda: Column("key", Text, nullable=False, server_default=text("gen_random_uuid()::text"))),
        rows=TWO,
        checks=(check("select count(distinct key) from t", up=2),),
    ),
    Kind(
        "column.add_notnull_backfill",
        plain,
        plus(lambda: Column("size", Integer, nullable=False, info={"backfill": "length(name) + 1"})),
        rows=TWO,
        checks=(check("select sum(size) from t", up=4),),
    ),
    Kind(
        "column.add_nullable_backfill",
        plain,
        plus(lambda: Column("size", Integer, info={"backfill": "nullif(length(name), 3)"})),
        rows=(*TWO, "insert into t (name) values ('abc')"),
        checks=(check("select array_agg(size order by id) from t", up=[1, 1, None]),),
    ),
    Kind(
        "column.rename_and_another_length_unsaid",
        lambda m: t(m, Column("name", String(10))),
        lambda m: t(m, Column("title", String(20))),
        refusal='"renamed_from": "name"',
    ),
    rename(
        "rename_and_another_length",
        lambda m: t(m, Column("name", String(10))),
        lambda m: t(m, Column("title", String(20), info=old("name"))),
    ),
    rename(
        "rename_and_another_type",
        lambda m: t(m, Column("name", Text)),
        lambda m: t(m, Column("title", String(20), info=old("name"))),
    ),
    Kind(
        "column.add_notnull_backfill_empty_table",
        plain,
        plus(lambda: Column("size", Integer, nullable=False, info={"backfill": "length(name)"})),
    ),
    Kind(
        "column.add_notnull_backfill_and_default",
        plain,
        plus(
            lambda: Column(
                "size", Integer, nullable=False, server_default="9", info={"backfill": "length(name)"}
            )
        ),
        rows=TWO,
        checks=(
            check("select sum(size) from t", up=2),
            check("insert into t (name) values ('c') returning size", up=9),
        ),
    ),
    Kind(
        "column.add_notnull_backfill_with_percent_and_colon",
        plain,
        plus(lambda: Column("s", Text, nullable=False, info={"backfill": "name || '100% :x'::text"})),
        rows=TWO,
        checks=(check("select min(s) from t", up="a100% :x"),),
    ),
    Kind(
        "column.add_nullable_backfill_is_inert",
        plus(lambda: Column("size", Integer, nullable=False, info={"backfill": "0"})),
        plus(lambda: Column("size", Integer, nullable=False, info={"backfill": "0"})),
    ),
    Kind(
        "column.add_unique_indexed_fk",
        lambda m: (t(m, name="p"), plain(m)),
        lambda m: (
            t(m, name="p"),
            plus(
                lambda: Column("p_id", ForeignKey("p.id"), index=True),
                lambda: Column("code", Text, unique=True),
            )(m),
        ),
        rows=TWO,
    ),
    Kind(
        "column.drop",
        plus(lambda: Column("age", Integer)),
        plain,
        rows=("insert into t (name, age) values ('a', 3)",),
        checks=(check("select count(*) from t where age is null", down=1),),
    ),
    Kind(
        "column.drop_notnull_rows",
        plus(lambda: Column("age", Integer, nullable=False)),
        plain,
        rows=("insert into t (name, age) values ('a', 1), ('b', 2)",),
        downgrade_may_stop=True,
        listed=True,
    ),
    Kind("column.drop_notnull_empty", plus(lambda: Column("age", Integer, nullable=False)), plain),
    Kind(
        "column.drop_notnull_default_rows",
        plus(lambda: Column("age", Integer, nullable=False, server_default="4")),
        plain,
        rows=("insert into t (name, age) values ('a', 1), ('b', 2)",),
        checks=(check("select sum(age) from t", down=8),),
    ),
    Kind(
        "column.drop_notnull_backfill_rows",
        plus(lambda: Column("age", Integer, nullable=False, info={"backfill": "6"})),
        plain,
        rows=("insert into t (name, age) values ('a', 1), ('b', 2)",),
        downgrade_may_stop=True,
    ),
    Kind(
        "column.drop_with_everything_on_it",
        lambda m: (
            t(m, name="p"),
            t(
                m,
                Column("name", String(50)),
                Column("age", Integer, ForeignKey("p.id"), index=True, server_default="1", comment="years"),
                CheckConstraint("age > 0", name="age"),
                UniqueConstraint("age", "name"),
                Index("ix_age_partial", "name", postgresql_where=text("age > 5")),
                Index("ix_age_include", "name", postgresql_include=["age"]),
            ),
        ),
        lambda m: (t(m, name="p"), plain(m)),
        rows=("insert into p default values", "insert into t (name, age) values ('a', 1)"),
    ),
    Kind(
        "column.drop_used_in_multicol_index",
        lambda m: t(m, Column("a", Integer), Column("b", Integer), Index("ix_ab", "a", "b")),
        lambda m: t(m, Column("a", Integer)),
        rows=("insert into t (a, b) values (1, 2)",),
        listed=True,
    ),
    Kind(
        "column.drop_used_in_generated_column",
        lambda m: t(
            m, Column("a", Integer), Column("b", Integer), Column("c", Integer, Computed("a + b", True))
        ),
        lambda m: t(m, Column("a", Integer)),
        rows=("insert into t (a, b) values (1, 2)",),
    ),
    Kind(
        "column.replace_by_other_type",
        lambda m: t(m, Column("old", Integer)),
        lambda m: t(m, Column("new", Text)),
        rows=("insert into t (old) values (1)",),
    ),
    rename("rename", plain, lambda m: t(m, Column("title", String(50), info=old("name"))), listed=True),
    Kind(
        "column.rename_without_hint",
        plain,
        lambda m: t(m, Column("title", String(50))),
        refusal=r"drop=t\.name",
    ),
    Kind(
        "column.rename_without_hint_shows_the_hint",
        plain,
        lambda m: t(m, Column("title", String(50))),
        rows=TWO,
        refusal=r"renamed_from",
    ),
    Kind(
        "column.drop_and_add_said_to_be",
        plain,
        lambda m: t(m, Column("title", String(50))),
        rows=TWO,
        x=("drop=t.name",),
        checks=(check("select count(title) from t", up=0), check("select count(name) from t", down=0)),
    ),
    rename(
        "rename_indexed_unique",
        lambda m: t(
            m,
            Column("name", String(50), index=True),
            UniqueConstraint("name"),
            CheckConstraint("name <> ''", name="ne"),
        ),
        lambda m: t(
            m,
            Column("title", String(50), index=True, info=old("name")),
            UniqueConstraint("title"),
            CheckConstraint("title <> ''", name="ne"),
        ),
        listed=True,
    ),
    rename(
        "rename_indexed_unique_without_convention",
        lambda m: t(m, Column("name", String(50), index=True), UniqueConstraint("name")),
        lambda m: t(m, Column("title", String(50), index=True, info=old("name")), UniqueConstraint("title")),
        convention=False,
    ),
    rename(
        "rename_in_composite_unique_and_index",
        lambda m: t(
            m,
            Column("name", Text),
            Column("n", Integer),
            UniqueConstraint("n", "name"),
            Index(None, "name", "n"),
        ),
        lambda m: t(
            m,
            Column("title", Text, info=old("name")),
            Column("n", Integer),
            UniqueConstraint("n", "title"),
            Index(None, "title", "n"),
        ),
    ),
    Kind(
        "column.rename_foreign_key",
        lambda m: (t(m, name="p"), t(m, Column("p_id", ForeignKey("p.id"), index=True))),
        lambda m: (
            t(m, name="p"),
            t(m, Column("parent_id", ForeignKey("p.id"), index=True, info=old("p_id"))),
        ),
        rows=("insert into p default values", "insert into t (p_id) values (1)"),
        checks=(check("select sum(parent_id) from t", up=1), check("select sum(p_id) from t", down=1)),
    ),
    Kind(
        "column.rename_referenced",
        lambda m: (
            t(m, Column("code", Text, unique=True), name="p"),
            t(m, Column("p", ForeignKey("p.code", onupdate="CASCADE"))),
        ),
        lambda m: (
            t(m, Column("key", Text, unique=True, info=old("code")), name="p"),
            t(m, Column("p", ForeignKey("p.key", onupdate="CASCADE"))),
        ),
        rows=("insert into p (code) values ('x')", "insert into t (p) values ('x')"),
        checks=(check("select max(key) from p", up="x"), check("select max(code) from p", down="x")),
    ),
    Kind(
        "column.rename_primary_key",
        lambda m: t(m, Column("name", Text)),
        lambda m: Table(
            "t", m, Column("key", Integer, primary_key=True, info=old("id")), Column("name", Text)
        ),
        rows=TWO,
        checks=(
            check("select sum(key) from t", up=3),
            check("insert into t (name) values ('c') returning key", up=3),
            check("select sum(id) from t", down=3),
            check("insert into t (name) values ('c') returning id", down=4),
        ),
    ),
    Kind(
        "column.rename_serial",
        lambda m: Table("t", m, Column("no", BigInteger, primary_key=True), Column("name", Text)),
        lambda m: Table(
            "t", m, Column("number", BigInteger, primary_key=True, info=old("no")), Column("name", Text)
        ),
        rows=TWO,
        checks=(check("insert into t (name) values ('c') returning number", up=3),),
    ),
    Kind(
        "column.rename_identity",
        lambda m: t(m, Column("no", Integer, Identity(start=5)), Column("name", Text)),
        lambda m: t(m, Column("number", Integer, Identity(start=5), info=old("no")), Column("name", Text)),
        rows=TWO,
        checks=(
            check("select sum(number) from t", up=11),
            check("insert into t (name) values ('c') returning number", up=7),
            check("select sum(no) from t", down=11),
        ),
    ),
    Kind(
        "column.rename_used_in_generated",
        lambda m: t(m, Column("a", Integer), Column("c", Integer, Computed("a * 2", True))),
        lambda m: t(m, Column("b", Integer, info=old("a")), Column("c", Integer, Computed("b * 2", True))),
        rows=("insert into t (a) values (4)",),
        checks=(check("select b + c from t", up=12), check("select a + c from t", down=12)),
    ),
    Kind(
        "column.rename_generated",
        lambda m: t(m, Column("a", Integer), Column("c", Integer, Computed("a * 2", True))),
        lambda m: t(m, Column("a", Integer), Column("d", Integer, Computed("a * 2", True), info=old("c"))),
        rows=("insert into t (a) values (4)",),
        checks=(check("select d from t", up=8), check("select c from t", down=8)),
    ),
    rename(
        "rename_with_comment_and_default",
        lambda m: t(m, Column("name", Text, server_default="x", comment="c")),
        lambda m: t(m, Column("title", Text, server_default="x", comment="c", info=old("name"))),
    ),
    rename(
        "rename_and_change_comment_and_default",
        lambda m: t(m, Column("name", Text, server_default="x", comment="c")),
        lambda m: t(m, Column("title", Text, server_default="y", comment="d", info=old("name"))),
    ),
    Kind(
        "column.rename_and_retype",
        lambda m: t(m, Column("val", String(10), nullable=False)),
        lambda m: t(m, Column("num", Integer, nullable=False, info={**old("val"), "using": "num::integer"})),
        rows=("insert into t (val) values ('1'), ('2')",),
        checks=(check("select sum(num) from t", up=3), check("select max(val) from t", down="2")),
        listed=True,
    ),
    rename(
        "rename_and_to_notnull",
        plain,
        lambda m: t(m, Column("title", String(50), nullable=False, info=old("name"))),
    ),
    rename(
        "rename_and_index",
        plain,
        lambda m: t(m, Column("title", String(50), index=True, unique=True, info=old("name"))),
    ),
    rename(
        "rename_with_expression_index",
        lambda m: t(
            m,
            Column("name", Text),
            Index("ix_lower", text("lower(name)"), postgresql_where=text("name <> ''")),
        ),
        lambda m: t(
            m,
            Column("title", Text, info=old("name")),
            Index("ix_lower", text("lower(title)"), postgresql_where=text("title <> ''")),
        ),
    ),
    rename("rename_to_reserved_word", *renames("name", "order"), new='"order"'),
    rename("rename_to_capitals", *renames("name", "Title"), new='"Title"'),
    rename("rename_to_odd_name", *renames("name", "a%b:c d"), new='"a%b:c d"'),
    Kind(
        "column.rename_swap",
        lambda m: t(m, Column("a", Integer), Column("b", Text)),
        lambda m: t(m, Column("b", Integer, info=old("a")), Column("a", Text, info=old("b"))),
        rows=("insert into t (a, b) values (1, 'x')",),
        checks=(check("select sum(b) from t", up=1), check("select sum(a) from t", down=1)),
        keeps_rows=False,
    ),
    Kind(
        "column.rename_chain",
        lambda m: t(m, Column("a", Integer), Column("b", Integer)),
        lambda m: t(m, Column("b", Integer, info=old("a")), Column("c", Integer, info=old("b"))),
        rows=("insert into t (a, b) values (1, 2)",),
        checks=(check("select 10 * b + c from t", up=12), check("select 10 * a + b from t", down=12)),
        keeps_rows=False,
    ),
    Kind(
        "column.rename_and_reuse_the_name",
        plain,
        lambda m: t(m, Column("title", String(50), info=old("name")), Column("name", Integer)),
        rows=TWO,
        checks=(check("select string_agg(title, '' order by id) from t", up="ab"),),
        keeps_rows=False,
    ),
    Kind(
        "column.rename_and_drop_and_add",
        lambda m: t(m, Column("name", Text), Column("x", Integer)),
        lambda m: t(m, Column("title", Text, info=old("name")), Column("y", Integer)),
        rows=TWO,
        x=("drop=t.x",),
        checks=(check("select string_agg(title, '' order by id) from t", up="ab"),),
    ),
    Kind(
        "column.rename_enum_column",
        lambda m: t(m, Column("s", Enum("a", "b", name="st"))),
        lambda m: t(m, Column("state", Enum("a", "b", name="st"), info=old("s"))),
        rows=("insert into t (s) values ('a')",),
        checks=(check("select state::text from t", up="a"), check("select s::text from t", down="a")),
    ),
    Kind(
        "column.rename_done_is_inert",
        lambda m: t(m, Column("title", String(50), info=old("name"))),
        lambda m: t(m, Column("title", String(50), info=old("name"))),
    ),
    Kind(
        "column.rename_many",
        lambda m: t(m, *(Column(f"a{n}", Integer, index=n % 2 == 0) for n in range(6))),
        lambda m: t(m, *(Column(f"b{n}", Integer, index=n % 2 == 0, info=old(f"a{n}")) for n in range(6))),
        rows=("insert into t (a0, a1, a2, a3, a4, a5) values (0, 1, 2, 3, 4, 5)",),
        checks=(
            check("select concat(b0, b1, b2, b3, b4, b5) from t", up="012345"),
            check("select concat(a0, a1, a2, a3, a4, a5) from t", down="012345"),
        ),
    ),
    Kind("column.mixed_case_reserved", plain, lambda m: (plain(m), odd_columns(m)), listed=True),
    Kind("column.mixed_case_reserved_drop", lambda m: (plain(m), odd_columns(m)), plain),
    Kind(
        "column.reordered_is_no_change",
        lambda m: t(m, Column("a", Integer), Column("b", Text)),
        lambda m: t(m, Column("b", Text), Column("a", Integer)),
        rows=("insert into t (a, b) values (1, 'x')",),
    ),
    Kind(
        "column.odd_names_change",
        lambda m: t(
            m, Column("it's", Integer), Column("50%", Integer), Column("a:b", Integer), name='say "x"'
        ),
        lambda m: t(
            m,
            Column("it's", BigInteger, nullable=False, server_default="1"),
            Column("50%", Numeric(5, 2), index=True),
            Column("a:b", Integer, unique=True, comment='50% of :x, it\'s "so"'),
            Column("ünïcode", Text, server_default="é % :x"),
            name='say "x"',
        ),
        rows=('''insert into "say ""x""" ("it's", "50%", "a:b") values (1, 2, 3)''',),
    ),
    Kind(
        "column.with_system_like_names",
        plain,
        plus(lambda: Column("user", Text), lambda: Column("table", Text), lambda: Column("end", Integer)),
        rows=TWO,
    ),
    Kind("column.63_bytes", plain, plus(lambda: Column("x" * 63, Integer, index=True))),
    Kind(
        "column.system_schema_functions",
        plain,
        plus(lambda: Column("at", Text, server_default=func.current_user())),
        rows=TWO,
    ),
    Kind(
        "column.move_to_another_table",
        lambda m: (plain(m), t(m, Column("x", Integer), name="u")),
        lambda m: (plus(lambda: Column("x", Integer))(m), t(m, name="u")),
        rows=("insert into u (x) values (1)",),
        checks=(kept("select count(*) from u", 1),),
    ),
]
