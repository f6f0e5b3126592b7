"""Columns: added, dropped, renamed."""

from sqlalchemy import Column, Integer, String

from tests.plinth.kinds.kind import Kind, check, t

KINDS = [
    Kind(
        "column.add_notnull_no_default_rows",
        lambda m: t(m, Column("name", String(50))),
        lambda m: t(m, Column("name", String(50)), Column("age", Integer, nullable=False)),
        rows=("insert into t (name) values ('a'), ('b')",),
        refusal=r"t.*age",
        listed=True,
    ),
    Kind(
        "column.add_notnull_server_default_rows",
        lambda m: t(m, Column("name", String(50))),
        lambda m: t(
            m, Column("name", String(50)), Column("age", Integer, nullable=False, server_default="7")
        ),
        rows=("insert into t (name) values ('a'), ('b')",),
        checks=(check("select sum(age) from t", up=14),),
        listed=True,
    ),
]
