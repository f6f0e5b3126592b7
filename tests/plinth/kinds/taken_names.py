"""Names that go from an object of one kind to one of another."""

from typing import Any

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Sequence,
    Text,
    UniqueConstraint,
    schema,
    select,
)
from sqlalchemy.dialects.postgresql import DOMAIN, ENUM

from tests.plinth.kinds.kind import Kind, Models, also, kept, t

ROWS = ("insert into t (id, n) values (1, 1), (2, 2)",)
LATER = "takes the name of .*, which goes after the code"
STAYS = "takes the name of .*, which stays"
NOT_MADE_OF = "takes the name of .*, and PostgreSQL doesn't make one of the other"


def both(m: MetaData) -> None:
    t(m, Column("n", Integer))
    t(m, Column("n", Integer), name="other")


def viewing(*, materialized: bool = False) -> Models:
    def made(m: MetaData) -> None:
        other = t(m, Column("n", Integer), name="other")
        schema.CreateView(select(other.c.id, other.c.n), "t", metadata=m, materialized=materialized)

    return made


def listening(statement: str) -> Models:
    def made(m: MetaData) -> None:
        also(t(m, Column("n", Integer), name="other"), statement)

    return made


def renamed_and_viewed(m: MetaData) -> None:
    other = t(m, Column("n", Integer), name="other", info={"renamed_from": "t"})
    also(other, "create view t as select id, n from other")


def numbered(m: MetaData) -> None:
    t(m, Column("n", Integer), name="other")
    Sequence("t", metadata=m)


def of_enum(m: MetaData) -> None:
    t(m, Column("status", ENUM("new", "done", name="status", metadata=m)))


def of_domain(m: MetaData) -> None:
    t(m, Column("status", DOMAIN("status", Text, metadata=m)))


def of_table(m: MetaData) -> None:
    t(m, Column("name", Text), name="status")
    t(m, Column("status_id", ForeignKey("status.id")))


def index_of(table: str, *, is_key: bool = False) -> Models:
    def made(m: MetaData) -> None:
        part = UniqueConstraint("n", name="taken") if is_key else Index("taken", "n")
        for name in ("t", "u"):
            t(m, Column("n", Integer), *([part] if name == table else []), name=name)

    return made


def table_taken(m: MetaData) -> None:
    t(m, Column("n", Integer))
    t(m, Column("n", Integer), name="u")
    t(m, Column("n", Integer), name="taken")


def kind(name: str, before: Models, after: Models, **options: Any) -> Kind:
    return Kind(f"taken.{name}", before, after, **options)


NAMED = ("insert into status values (1, 'a')",)
NEW = ("insert into t values (1, 'new')",)
OTHER_VIEW = listening("create view t as select id, n from other")
TYPE = listening("create type t as (a int)")
VIEW, MATERIALIZED = viewing(), viewing(materialized=True)

KINDS = [
    kind("table_to_view", both, VIEW, rows=ROWS, online_refusal=LATER),
    kind("view_to_table", VIEW, both, x=("drop=t",), online_refusal=LATER),
    kind("table_to_materialized_view", both, MATERIALIZED, rows=ROWS, online_refusal=LATER),
    kind("materialized_view_to_table", MATERIALIZED, both, x=("drop=t",), online_refusal=LATER),
    kind("view_to_materialized_view", VIEW, MATERIALIZED),
    kind("materialized_view_to_view", MATERIALIZED, VIEW),
    kind(
        "view_of_no_model_to_table",
        OTHER_VIEW,
        both,
        refusal=STAYS,
    ),
    kind(
        "table_renamed_and_view_for_it",
        lambda m: t(m, Column("n", Integer)),
        renamed_and_viewed,
        rows=ROWS,
        checks=(kept("select sum(n) from t", 3),),
    ),
    kind("enum_to_table", of_enum, of_table, rows=NEW, online_refusal=LATER),
    kind("table_to_enum", of_table, of_enum, rows=NAMED, online_refusal=LATER),
    kind("domain_to_table", of_domain, of_table, rows=NEW, online_refusal=LATER),
    kind("enum_to_domain", of_enum, of_domain, rows=NEW, refusal=NOT_MADE_OF),
    kind("domain_to_enum", of_domain, of_enum, rows=NEW, refusal=NOT_MADE_OF),
    kind("sequence_to_table", numbered, both, online_refusal=LATER),
    kind("table_to_sequence", both, numbered, rows=ROWS, online_refusal=LATER),
    kind(
        "table_to_composite_type",
        both,
        TYPE,
        rows=ROWS,
        online_refusal=LATER,
    ),
    kind("composite_type_of_no_model_to_table", TYPE, both, refusal=STAYS),
    kind("index_to_table", index_of("t"), table_taken, rows=ROWS, online_refusal=LATER),
    kind("table_to_index", table_taken, index_of("t"), rows=ROWS, online_refusal=LATER),
    kind("index_of_another_table", index_of("t"), index_of("u"), rows=ROWS),
    kind("key_to_index_of_another_table", index_of("t", is_key=True), index_of("u"), rows=ROWS),
    kind(
        "index_beside_an_enum",
        lambda m: t(m, Column("s", ENUM("a", "b", name="state", metadata=m))),
        lambda m: t(m, Column("s", ENUM("a", "b", name="state", metadata=m)), Index("state", "s")),
    ),
    kind(
        "enum_beside_an_index",
        lambda m: t(m, Column("n", Integer), Index("state", "n")),
        lambda m: t(
            m,
            Column("n", Integer),
            Column("s", ENUM("a", "b", name="state", metadata=m)),
            Index("state", "n"),
        ),
        rows=("insert into t (n) values (1)",),
    ),
    kind(
        "function_to_procedure",
        listening("create function f(a int) returns int language sql as 'select 1'"),
        listening("create procedure f(a int) language sql as 'select 1'"),
        x=("drop=f",),
    ),
    kind(
        "function_of_no_model_to_procedure",
        listening("create function f(a int) returns int language sql as 'select 1'"),
        listening("create procedure f(a int) language sql as 'select 1'"),
        refusal=STAYS,
    ),
]
