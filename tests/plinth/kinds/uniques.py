"""Unique constraints."""

from typing import Any

from sqlalchemy import Column, Index, Integer, MetaData, String, UniqueConstraint, text

from tests.plinth.kinds.kind import Kind, Models, also, kept, t

ROWS = ("insert into t (name, n) values ('a', 1), ('b', 2), (null, 3)",)


def having(*make: Any) -> Models:
    return lambda m: t(m, Column("name", String(50)), Column("n", Integer), *(each() for each in make))


def unique(*columns: str, **options: Any) -> Any:
    return lambda: UniqueConstraint(*(columns or ("name",)), **options)


def filled(factor: int | None) -> Models:
    """Return models of a unique constraint whose index is filled to a factor."""

    def models(m: MetaData) -> None:
        options = f"with (fillfactor = {factor})" if factor else ""
        also(having()(m), f"alter table t add constraint u unique (name) {options}")

    return models


def change(name: str, before: Models, after: Models, **options: Any) -> Kind:
    return Kind(
        f"unique.{name}", before, after, rows=ROWS, checks=(kept("select count(*) from t", 3),), **options
    )


KINDS = [
    change("with_fillfactor", having(), filled(70)),
    change("change_fillfactor", filled(70), filled(80)),
    change("reset_fillfactor", filled(70), filled(None)),
    change("with_fillfactor_changes", filled(70), having(unique("n", name="u"))),
    change("add", having(), having(unique())),
    change("drop", having(unique()), having(), listed=True),
    change(
        "change_cols_same_name", having(unique("name", name="u")), having(unique("n", name="u")), listed=True
    ),
    change(
        "change_order_of_columns",
        having(unique("name", "n", name="u")),
        having(unique("n", "name", name="u")),
    ),
    change(
        "add_nulls_not_distinct",
        having(),
        having(unique(postgresql_nulls_not_distinct=True)),
        server=15,
        listed=True,
    ),
    change(
        "change_nulls_not_distinct",
        having(unique()),
        having(unique(postgresql_nulls_not_distinct=True)),
        server=15,
        listed=True,
    ),
    change(
        "drop_nulls_not_distinct",
        having(unique(postgresql_nulls_not_distinct=True)),
        having(unique()),
        server=15,
    ),
    change(
        "nulls_distinct_is_the_default",
        having(unique(postgresql_nulls_not_distinct=False)),
        having(unique()),
        server=15,
    ),
    change("change_deferrable", having(unique()), having(unique(deferrable=True)), listed=True),
    change(
        "change_initially",
        having(unique(deferrable=True)),
        having(unique(deferrable=True, initially="DEFERRED")),
    ),
    change("drop_deferrable", having(unique(deferrable=True, initially="DEFERRED")), having(unique())),
    change(
        "index_nulls_not_distinct",
        having(),
        having(lambda: Index("ix_x", "name", unique=True, postgresql_nulls_not_distinct=True)),
        server=15,
        listed=True,
    ),
    change("rename", having(unique(name="a")), having(unique(name="b"))),
    change("include_add", having(unique(name="u")), having(unique(name="u", postgresql_include=["n"]))),
    change("include_drop", having(unique(name="u", postgresql_include=["n"])), having(unique(name="u"))),
    change("constraint_to_index", having(unique(name="u")), having(lambda: Index("u", "name", unique=True))),
    change("index_to_constraint", having(lambda: Index("u", "name", unique=True)), having(unique(name="u"))),
    change("unnamed", having(), having(unique(), unique("name", "n")), convention=False),
    change("unnamed_drop", having(unique(), unique("name", "n")), having(), convention=False),
    change("comment_add", having(unique()), having(unique(comment="why"))),
    change("comment_change", having(unique(comment="why")), having(unique(comment="why not"))),
    change("two_over_the_same_columns", having(unique(name="a")), having(unique(name="a"), unique(name="b"))),
    change("odd_name", having(), having(unique(name='Un"ique 100% :x'))),
    change(
        "partial_index_instead",
        having(unique(name="u")),
        having(lambda: Index("u", "name", unique=True, postgresql_where=text("n > 0"))),
    ),
    change("add_with_new_column", having(), having(lambda: Column("k", Integer), unique("k", "name"))),
]
