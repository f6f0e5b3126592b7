"""Primary keys."""

from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, MetaData, PrimaryKeyConstraint, Table, Text

from tests.plinth.kinds.kind import Kind, Models, check, kept, t


def keyed(*columns: str, name: str | None = None, comment: str | None = None, **options: Any) -> Models:
    """Return a table with a key of these columns."""

    def models(m: MetaData) -> Table:
        key = [PrimaryKeyConstraint(*columns, name=name, comment=comment, **options)] if columns else []
        return Table(
            "t",
            m,
            Column("id", Integer, nullable=False, autoincrement=False),
            Column("other", Integer, nullable=False),
            Column("name", Text),
            *key,
        )

    return models


def change(name: str, before: Models, after: Models, **options: Any) -> Kind:
    rows = ("insert into t (id, other) values (1, 10), (2, 20)",)
    return Kind(
        f"pk.{name}", before, after, rows=rows, checks=(kept("select count(*) from t", 2),), **options
    )


KINDS = [
    Kind(
        "pk.change_column",
        lambda m: Table(
            "t", m, Column("id", Integer, primary_key=True), Column("code", Text, nullable=False)
        ),
        lambda m: Table(
            "t", m, Column("id", Integer, nullable=False), Column("code", Text, primary_key=True)
        ),
        rows=("insert into t (code) values ('a'), ('b')",),
        checks=(
            kept("select sum(id) from t", 3),
            check("insert into t (code) values ('c') returning id", down=3),
        ),
        listed=True,
    ),
    change("add_pk_to_table", keyed(), keyed("id"), listed=True),
    change("drop_pk", keyed("id"), keyed()),
    change("rename", keyed("id", name="pk_a"), keyed("id", name="pk_b"), listed=True),
    change("widen", keyed("id"), keyed("id", "other")),
    change("narrow", keyed("id", "other"), keyed("id")),
    change("order_of_columns", keyed("id", "other"), keyed("other", "id")),
    change("include", keyed("id"), keyed("id", postgresql_include=["name"])),
    change("deferrable", keyed("id"), keyed("id", deferrable=True, initially="DEFERRED")),
    change("unnamed", keyed(), keyed("id"), convention=False),
    change("unnamed_widen", keyed("id"), keyed("id", "other"), convention=False),
    change("odd_name", keyed("id"), keyed("id", name='P"k 100% :x')),
    Kind(
        "pk.add_to_nullable_column",
        lambda m: Table("t", m, Column("id", Integer), Column("name", Text)),
        lambda m: Table(
            "t", m, Column("id", Integer, primary_key=True, autoincrement=False), Column("name", Text)
        ),
        rows=("insert into t (id) values (1), (2)",),
    ),
    Kind(
        "pk.add_serial_key_to_table_without",
        lambda m: Table("t", m, Column("name", Text)),
        lambda m: t(m, Column("name", Text)),
        rows=("insert into t (name) values ('a'), ('b')",),
        checks=(
            check("select sum(id) from t", up=3),
            check("insert into t (name) values ('c') returning id", up=3),
        ),
    ),
    Kind(
        "pk.change_of_referenced_table",
        lambda m: (
            t(m, Column("other", Integer, nullable=False, unique=True), name="p"),
            t(m, Column("p_id", ForeignKey("p.id"))),
        ),
        lambda m: (
            Table(
                "p",
                m,
                Column("id", Integer, nullable=False, unique=True),
                Column("other", Integer, primary_key=True, autoincrement=False),
            ),
            t(m, Column("p_id", ForeignKey("p.id"))),
        ),
        rows=("insert into p (other) values (10)", "insert into t (p_id) values (1)"),
    ),
    Kind(
        "pk.composite_with_new_column",
        lambda m: Table("t", m, Column("a", Integer, primary_key=True, autoincrement=False)),
        lambda m: Table(
            "t",
            m,
            Column("a", Integer, primary_key=True, autoincrement=False),
            Column("b", BigInteger, primary_key=True, server_default="0"),
        ),
        rows=("insert into t (a) values (1)",),
        checks=(check("select b from t", up=0),),
    ),
]
