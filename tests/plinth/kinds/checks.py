"""CHECK constraints, and enums that are no types."""

from typing import Any

from sqlalchemy import Boolean, CheckConstraint, Column, Enum, Integer, String, column, text

from tests.plinth.kinds.kind import Kind, Models, also, kept, t

ROWS = ("insert into t (n, name) values (1, 'a'), (20, 'b')",)


def having(*make: Any) -> Models:
    return lambda m: t(m, Column("n", Integer), Column("name", String(50)), *(each() for each in make))


def rule(sql: Any, name: str | None = "pos", **options: Any) -> Any:
    return lambda: CheckConstraint(sql, name=name, **options)


def change(name: str, before: Models, after: Models, rows: Any = ROWS, **options: Any) -> Kind:
    return Kind(
        f"check.{name}", before, after, rows=rows, checks=(kept("select count(*) from t", 2),), **options
    )


def enum(*values: str, **options: Any) -> Models:
    kind = Enum(*values, name="st", native_enum=False, create_constraint=True, length=10)
    return lambda m: t(m, Column("s", kind, **options))


def grown(column_: Any) -> Models:
    return lambda m: t(m, Column("n", Integer), Column("name", String(50)), *column_())


KINDS = [
    change("add", having(), having(rule("n > 0")), listed=True),
    change("drop", having(rule("n > 0")), having()),
    change("change_expr", having(rule("n > 0")), having(rule("n > 0 AND n < 100")), listed=True),
    change("rename", having(rule("n > 0")), having(rule("n > 0", "positive")), listed=True),
    change("rename_and_change", having(rule("n > 0")), having(rule("n >= 0", "positive"))),
    change("on_added_column", having(), having(lambda: Column("c", Integer), rule("c > 0")), listed=True),
    change("on_dropped_column", having(lambda: Column("c", Integer), rule("c > 0")), having(), listed=True),
    change(
        "over_two_columns",
        having(),
        having(rule("n > length(name)", "both")),
        rows=("insert into t (n, name) values (2, 'a'), (3, 'b')",),
    ),
    change("same_written_otherwise", having(rule("n>0")), having(rule("(n > 0)"))),
    change("in_list", having(rule("name IN ('a', 'b')")), having(rule("name IN ('a', 'b', 'c')"))),
    change("in_list_is_any", having(rule("n IN (1, 20)")), having(rule("n = ANY (ARRAY[1, 20])"))),
    change("between", having(), having(rule("n BETWEEN 1 AND 100"))),
    change("regular_expression", having(), having(rule(r"name ~ '^[a-z]\w*$'"))),
    change("like_percent", having(), having(rule("name NOT LIKE '100%' AND name <> 'a:b'"))),
    change("python_expression", having(), having(rule(column("n", Integer) > 0))),
    change("cast_colons", having(), having(rule(text("n::text <> ''")))),
    change("json", having(), having(lambda: Column("c", Boolean), rule("c IS NOT TRUE OR n IS NOT NULL"))),
    change(
        "function_by_hand",
        having(),
        having(rule("is_fine(n)")),
        prepare=("create function is_fine(n int) returns bool language sql immutable as $$ select n > 0 $$",),
    ),
    change("unnamed", having(), having(rule("n > 0", None)), convention=False),
    change("unnamed_drop", having(rule("n > 0", None)), having(), convention=False),
    change("unnamed_change", having(rule("n > 0", None)), having(rule("n >= 0", None)), convention=False),
    change("two", having(), having(rule("n > 0"), rule("name <> ''", "filled"))),
    change(
        "not_valid",
        having(),
        having(rule("n > 1", postgresql_not_valid=True)),  # which a row isn't
        in_reference=(
            "alter table t drop constraint ck_t_pos",
            "alter table t add constraint ck_t_pos check (n > 1) not valid",
        ),
    ),
    change("not_valid_to_valid", having(rule("n > 0", postgresql_not_valid=True)), having(rule("n > 0"))),
    change("valid_to_not_valid", having(rule("n > 0")), having(rule("n > 0", postgresql_not_valid=True))),
    change(
        "no_inherit",
        having(),
        lambda m: also(having()(m), "ALTER TABLE t ADD CONSTRAINT ck_t_pos CHECK (n > 0) NO INHERIT"),
    ),
    change(
        "no_inherit_change",
        having(rule("n > 0")),
        lambda m: also(having()(m), "ALTER TABLE t ADD CONSTRAINT ck_t_pos CHECK (n > 0) NO INHERIT"),
    ),
    change("comment_change", having(rule("n > 0", comment="a")), having(rule("n > 0", comment="b"))),
    change("odd_name", having(), having(rule("n > 0", 'Po"s 100% :x'))),
    change("rows_that_break_it", having(), having(rule("n > 0 OR n IS NULL"))),
    Kind(
        "check.nonnative_enum_add_value",
        enum("a", "b"),
        enum("a", "b", "c"),
        rows=("insert into t (s) values ('a')",),
        listed=True,
    ),
    Kind(
        "check.nonnative_enum_remove_value",
        enum("a", "b", "c"),
        enum("a", "b"),
        rows=("insert into t (s) values ('a')",),
    ),
    Kind("check.nonnative_enum_create", t, enum("a", "b")),
    Kind("check.nonnative_enum_drop", enum("a", "b"), t),
    Kind(
        "check.nonnative_enum_longer_value",
        lambda m: t(m, Column("s", Enum("a", "b", name="st", native_enum=False))),
        lambda m: t(m, Column("s", Enum("a", "bbbb", name="st", native_enum=False))),
        rows=("insert into t (s) values ('a')",),
    ),
    Kind(
        "check.boolean_constraint",
        lambda m: t(m, Column("b", Boolean)),
        lambda m: t(m, Column("b", Boolean(create_constraint=True, name="bo"))),
    ),
]
