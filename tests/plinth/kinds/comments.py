"""Comments on everything that SQLAlchemy can comment."""

from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from tests.plinth.kinds.kind import Kind, Models, also, nothing, t

ODD = 'It\'s 100% "odd" :x \\n\nsecond line é'


def table(comment: str | None) -> Models:
    return lambda m: t(m, Column("name", Text), comment=comment)


def column(comment: str | None, **options: Any) -> Models:
    return lambda m: t(m, Column("name", Text, comment=comment, **options))


def constraint(comment: str | None) -> Models:
    return lambda m: t(m, Column("n", Integer), CheckConstraint("n > 0", name="pos", comment=comment))


def key(comment: str | None) -> Models:
    return lambda m: Table("t", m, Column("id", Integer), PrimaryKeyConstraint("id", comment=comment))


def checked(comment: str | None, state: str = "") -> Models:
    """Return models of a table with a check and a foreign key that may not hold for all rows yet."""

    def made(m: MetaData) -> None:
        table = t(m, Column("n", Integer))
        for name, what in (("c", "check (n > 0)"), ("fk", "foreign key (n) references t (id)")):
            also(table, f"alter table t add constraint {name} {what} {state}")
            if comment:
                also(table, f"comment on constraint {name} on t is '{comment}'")

    return made


def _odd(m: MetaData, comment: str | None) -> Table:
    return t(
        m,
        Column("c :x 100%", Text, comment=comment),
        CheckConstraint("id > 0", name='k"k', comment=comment),
        name='T "x"',
        comment=comment,
    )


def required(comment: str | None, *, null: bool = False, name: str | None = None) -> Models:
    """Return models of a table with a NOT NULL constraint that has a comment (PostgreSQL 18)."""

    def made(m: MetaData) -> None:
        table = t(m, Column("n", Integer, nullable=null, info={"backfill": "1"}))
        if name:
            also(table, f"alter table t rename constraint t_n_not_null to {name}")
        if comment:
            also(table, f"comment on constraint {name or 't_n_not_null'} on t is '{comment}'")

    return made


KINDS = [
    Kind("comment.table_add", table(None), table("why"), listed=True),
    Kind("comment.table_change", table("why"), table("why not"), listed=True),
    Kind("comment.table_drop", table("why"), table(None)),
    Kind("comment.table_odd", table("x"), table(ODD)),
    Kind("comment.table_odd_back", table(ODD), table("x")),
    Kind("comment.table_empty_is_none", table(None), table("")),
    Kind("comment.column_add", column(None), column("why"), listed=True),
    Kind("comment.column_drop", column("why"), column(None), listed=True),
    Kind("comment.column_change", column("why"), column("why not"), listed=True),
    Kind("comment.column_odd", column("x"), column(ODD)),
    Kind(
        "comment.column_with_type_and_default",
        column("x"),
        column("y", nullable=False, server_default="z"),
        rows=("insert into t (name) values ('a')",),
    ),
    Kind("comment.column_added_with", t, column(ODD)),
    Kind(
        "comment.table_added_with",
        t,
        lambda m: (t(m), t(m, Column("n", Integer, comment=ODD), name="u", comment=ODD)),
    ),
    Kind("comment.constraint_add", constraint(None), constraint("why"), listed=True),
    Kind("comment.constraint_change", constraint("why"), constraint(ODD)),
    Kind("comment.constraint_drop", constraint("why"), constraint(None)),
    Kind("comment.primary_key_add", key(None), key("why")),
    Kind("comment.primary_key_drop", key("why"), key(None)),
    Kind(
        "comment.unique_added_with",
        lambda m: t(m, Column("n", Integer)),
        lambda m: t(m, Column("n", Integer), UniqueConstraint("n", comment="why")),
    ),
    Kind(
        "comment.exclude_added_with",
        lambda m: t(m, Column("n", Integer)),
        lambda m: t(
            m, Column("n", Integer), ExcludeConstraint(("n", "="), using="btree", name="ex", comment="why")
        ),
    ),
    Kind(
        "comment.index_by_listener",
        lambda m: t(m, Column("n", Integer, index=True)),
        lambda m: also(t(m, Column("n", Integer, index=True)), "COMMENT ON INDEX ix_t_n IS 'fast'"),
    ),
    Kind("comment.constraint_validated", checked("why", "not valid"), checked("why")),
    Kind("comment.constraint_validated_change", checked("why", "not valid"), checked("why not")),
    Kind("comment.constraint_validated_drop", checked("why", "not valid"), checked(None)),
    Kind("comment.not_null_add", required(None), required("why"), server=18),
    Kind("comment.not_null_change", required("why"), required("why not"), server=18),
    Kind("comment.not_null_drop", required("why", name="given"), required(None, name="given"), server=18),
    Kind("comment.not_null_comes_with", required(None, null=True), required("why"), server=18),
    Kind("comment.not_null_goes_with", required("why"), required(None, null=True), server=18),
    Kind("comment.not_null_and_its_name", required(None, null=True), required("why", name="g"), server=18),
    Kind("comment.not_null_of_new_column", t, required("why"), server=18),
    Kind("comment.not_null_of_new_table", nothing, required("why"), server=18),
    Kind("comment.odd_names", lambda m: _odd(m, None), lambda m: _odd(m, "why")),
]
