"""Rows of tables without a primary key get values: there are but pages to go through them by."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import BigInteger, Column, Identity, Integer, MetaData, Table, Text, text

from tests.plinth.kinds.kind import Check, Kind, Models, check, kept

ROWS = (
    "insert into t (\"n %\", s) select n, nullif('s' || n % 9, 's0') from generate_series(1, 5000) n",
    'delete from t where "n %" % 3 = 0',
    'update t set s = repeat(s, 9) where "n %" % 5 = 0',
)
COUNT = kept("select count(*) from t", 3334)


def without(*columns: Callable[[], Any], n: Any = Integer, heir: bool = False) -> Models:
    """Return models of a table without a primary key, and maybe an heir of it."""

    def made(m: MetaData) -> None:
        Table("t", m, Column("n %", n), Column("s", Text), *(each() for each in columns))
        if heir:
            Table("heir of t", m, Column("own", Integer), postgresql_inherits="t")

    return made


def change(name: str, before: Models, after: Models, *checks: Check, **options: Any) -> Kind:
    """Return a change of the table, with rows, dead ones among them."""
    return Kind(f"without_key.{name}", before, after, checks=(COUNT, *checks), **{"rows": ROWS, **options})


WITH_HEIRS = (
    ROWS[0],
    'insert into "heir of t" ("n %", s, own) select n, \'h\' || n, n from generate_series(1, 2000) n',
    'delete from t where "n %" % 3 = 0',
)
ALL = kept("select count(*) from t", 3334 + 1334)

KINDS = [
    change(
        "required_column",
        without(),
        without(lambda: Column("more", Text, nullable=False, info={"backfill": """ '100% $$ ' || "n %" """})),
        check("select count(distinct more) from t", 3334),
    ),
    change(
        "required_column_with_default",
        without(),
        without(
            lambda: Column("more", Text, nullable=False, server_default=text("gen_random_uuid()::text")),
            lambda: Column(
                "page", Integer, nullable=False, server_default="1", info={"backfill": '"n %" + 1'}
            ),
        ),
        check("select count(distinct more) + count(distinct page) from t", 6668),
    ),
    change(
        "nullable_column_that_stays_empty_here_and_there",
        without(),
        without(lambda: Column("more", Text, info={"backfill": "upper(s)"})),
        check("select count(*) from t where more is distinct from upper(s)", 0),
    ),
    change(
        "identity_column",
        without(),
        without(lambda: Column("id", Integer, Identity(), nullable=False)),
        check("select count(distinct id) from t", 3334),
    ),
    change(
        "another_type",
        without(),
        without(n=BigInteger),
        kept('select sum("n %") from t', 8336667),
        check(
            "select attnotnull::text from pg_attribute where attrelid = 't'::regclass and attnum = 1", "false"
        ),
    ),
    Kind(
        "without_key.column_in_heirs",
        without(heir=True),
        without(
            lambda: Column("more", Text, nullable=False, info={"backfill": "'m' || \"n %\""}),
            lambda: Column("maybe", Text, server_default=text("gen_random_uuid()::text")),
            heir=True,
        ),
        checks=(ALL, check("select count(maybe) + count(more) from t", 2 * 4668)),
        rows=WITH_HEIRS,
    ),
]
