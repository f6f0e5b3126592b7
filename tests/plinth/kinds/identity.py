"""Identity columns and serial ones."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Identity,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
)

from tests.plinth.kinds.kind import Kind, Models, check, kept, nothing, t

ROWS = ("insert into t (name) values ('a'), ('b')",)


def keyed(*arguments: Any, kind: Any = Integer, **options: Any) -> Models:
    """Return a table whose key has these arguments; each is a function."""

    def models(m: MetaData) -> Table:
        made = [each() for each in arguments]
        return Table("t", m, Column("id", kind, *made, primary_key=True, **options), Column("name", Text))

    return models


def ident(**options: Any) -> Any:
    return lambda: Identity(**options)


def other(*arguments: Any, **options: Any) -> Models:
    return lambda m: t(
        m, Column("name", Text), Column("n", Integer, *(each() for each in arguments), **options)
    )


def change(name: str, before: Models, after: Models, **options: Any) -> Kind:
    return Kind(
        f"identity.{name}",
        before,
        after,
        **{"rows": ROWS, "checks": (kept("select count(*) from t", 2),), **options},
    )


def numbered(m: MetaData) -> Table:
    """Return a table with a key of a bigger type, and an identity column beside it."""
    key = Column("id", BigInteger, primary_key=True)
    return Table("t", m, key, Column("name", Text), Column("no", Integer, Identity(), nullable=False))


# Numbers are gone with their column.
NUMBERED = (
    kept("select sum(id) from t", 3),
    check("select sum((to_jsonb(t) ->> 'no')::int) from t", 3, None),
)
NEXT = "insert into t (name) values ('c') returning id"
KEPT_KEYS = (kept("select sum(id) from t", 3), check(NEXT, up=3, down=4))

KINDS = [
    Kind("identity.create", nothing, keyed(ident()), listed=True),
    Kind("identity.drop_table", keyed(ident(start=7)), nothing, rows=ROWS, x=("drop=t",), listed=True),
    Kind(
        "identity.create_always",
        nothing,
        keyed(ident(always=True, start=5, increment=5, minvalue=5, maxvalue=500, cycle=True, cache=3)),
    ),
    change("serial_to_identity", keyed(), keyed(ident()), checks=KEPT_KEYS, listed=True),
    change("identity_to_serial", keyed(ident()), keyed(), checks=KEPT_KEYS),
    change("serial_to_plain", keyed(), keyed(autoincrement=False)),
    change(
        "plain_to_serial",
        keyed(autoincrement=False),
        keyed(),
        rows=("insert into t (id, name) values (1, 'a'), (2, 'b')",),
    ),
    change(
        "plain_to_identity",
        keyed(autoincrement=False),
        keyed(ident()),
        rows=("insert into t (id, name) values (1, 'a'), (2, 'b')",),
    ),
    change("identity_to_plain", keyed(ident()), keyed(autoincrement=False)),
    change(
        "add_nonpk",
        other(nullable=False),
        other(ident(), nullable=False),
        rows=("insert into t (name, n) values ('a', 1), ('b', 2)",),
    ),
    change("drop_nonpk", other(ident()), other(nullable=False), listed=True),
    change("drop_nonpk_to_nullable", other(ident()), other()),
    change(
        "column_added",
        lambda m: t(m, Column("name", Text)),
        other(ident()),
        checks=(check("select sum(n) from t", up=3),),
    ),
    change(
        "column_added_always_with_options",
        lambda m: t(m, Column("name", Text)),
        other(ident(always=True, start=10, increment=5, minvalue=10, maxvalue=500, cycle=True), comment="c"),
        checks=(
            check("select sum(n) from t", up=25),
            check("insert into t (name) values ('c') returning n", up=20),
        ),
    ),
    change(
        "column_added_although_a_backfill_is_said",
        lambda m: t(m, Column("name", Text)),
        other(ident(), info={"backfill": "7"}, unique=True),
        checks=(
            check("select sum(n) from t", up=3),
            check("insert into t (name) values ('c') returning n", up=3),
        ),
    ),
    change(
        "columns_added_to_two_tables",
        lambda m: (t(m, Column("name", Text)), t(m, name="u")),
        lambda m: (
            other(ident())(m),
            t(m, Column("number", BigInteger, Identity(), unique=True), Column("more", Integer), name="u"),
        ),
        rows=(*ROWS, "insert into u default values"),
        checks=(check("select max(n) + max(number) from t, u", up=3),),
    ),
    change(
        "column_added_odd_names",
        lambda m: Table("T a", m, Column("I d", Integer, primary_key=True)),
        lambda m: Table(
            "T a", m, Column("I d", Integer, primary_key=True), Column("N %o", Integer, Identity())
        ),
        rows=('insert into "T a" default values',),
        checks=(check('insert into "T a" default values returning "N %o"', up=2),),
    ),
    change(
        "column_added_in_place_of_the_key",
        lambda m: Table("t", m, Column("name", Text, primary_key=True)),
        lambda m: Table(
            "t", m, Column("name", Text, nullable=False), Column("id", Integer, Identity(), primary_key=True)
        ),
        checks=(check("select sum(id) from t", up=3),),
    ),
    change(
        "serial_column_added_in_place_of_the_key",
        lambda m: Table("t", m, Column("name", Text, primary_key=True)),
        lambda m: Table(
            "t", m, Column("name", Text, nullable=False), Column("id", Integer, primary_key=True)
        ),
        checks=(
            check("select sum(id) from t", up=3),
            check("insert into t (name) values ('c') returning id", up=3),
        ),
    ),
    change("column_dropped", other(ident()), lambda m: t(m, Column("name", Text))),
    change(
        "change_always",
        keyed(ident()),
        keyed(ident(always=True)),
        checks=(kept("select sum(id) from t", 3), check(NEXT, up=3)),
        listed=True,
    ),
    change("change_to_by_default", keyed(ident(always=True)), keyed(ident(always=False))),
    change(
        "change_start_increment",
        keyed(ident(start=1, increment=1)),
        keyed(ident(start=100, increment=10)),
        listed=True,
    ),
    change("change_min_max", keyed(ident()), keyed(ident(minvalue=1, maxvalue=1000))),
    change("change_max_back", keyed(ident(maxvalue=1000)), keyed(ident())),
    change("change_cycle_cache", keyed(ident()), keyed(ident(cycle=True, cache=10))),
    change(
        "change_type", keyed(ident()), keyed(ident(), kind=BigInteger), checks=KEPT_KEYS, x=("rewrite=t.id",)
    ),
    change(
        "change_type_down",
        keyed(ident(), kind=BigInteger),
        keyed(ident(), kind=SmallInteger),
        checks=KEPT_KEYS,
        x=("rewrite=t.id",),
    ),
    change(
        "serial_type_down", keyed(kind=BigInteger), keyed(kind=Integer), checks=KEPT_KEYS, x=("rewrite=t.id",)
    ),
    change("bigger_key_and_a_new_one", keyed(), numbered, checks=NUMBERED),
    change("defaults_written_out", keyed(ident()), keyed(ident(start=1, increment=1, minvalue=1, cache=1))),
    change(
        "negative_increment",
        keyed(ident()),
        keyed(ident(start=-1, increment=-1)),
        rows=(),
        checks=(check(NEXT, up=-1, down=1),),
    ),
    Kind(
        "identity.in_schema",
        lambda m: t(m, schema="billing"),
        lambda m: Table("t", m, Column("id", Integer, Identity(), primary_key=True), schema="billing"),
        prepare=("create schema billing",),
        rows=("insert into billing.t default values",),
        checks=(check("insert into billing.t default values returning id", up=2, down=3),),
    ),
    Kind(
        "identity.odd_names",
        lambda m: Table("T a", m, Column("I d", Integer, primary_key=True)),
        lambda m: Table("T a", m, Column("I d", Integer, Identity(), primary_key=True)),
        rows=('insert into "T a" default values',),
        checks=(check('insert into "T a" default values returning "I d"', up=2, down=3),),
    ),
    change(
        "bounds_exclude_where_it_stands",
        keyed(ident(start=1, maxvalue=50)),
        keyed(ident(start=100, minvalue=100)),
        checks=(check(NEXT, up=100, down=3),),
    ),
    change(
        "stands_beyond_a_bound_that_comes",
        keyed(ident()),
        keyed(ident(start=4, minvalue=4)),
        rows=("insert into t (name) select '' from generate_series(1, 9)", "delete from t where id > 3"),
        checks=(check(NEXT, up=10, down=11),),
    ),
    change(
        "narrowed_with_bounds",
        keyed(ident(maxvalue=9_000_000_000), kind=BigInteger),
        keyed(ident(maxvalue=2_000_000_000)),
        checks=KEPT_KEYS,
        x=("rewrite=t.id",),
    ),
    change(
        "narrowed_to_the_types_own_bounds",
        keyed(ident(maxvalue=9_000_000_000), kind=BigInteger),
        keyed(ident()),
        checks=KEPT_KEYS,
        x=("rewrite=t.id",),
    ),
    change(
        "widened_with_bounds",
        keyed(ident(maxvalue=2_000_000_000)),
        keyed(ident(maxvalue=9_000_000_000), kind=BigInteger),
        checks=KEPT_KEYS,
        x=("rewrite=t.id",),
    ),
    change(
        "table_renamed_at_once",
        keyed(ident()),
        lambda m: Table(
            "u",
            m,
            Column("id", Integer, Identity(), primary_key=True),
            Column("name", Text),
            info={"renamed_from": "t"},
        ),
        checks=(
            check("select sum(id) from u", up=3),
            check("insert into u (name) values ('c') returning id", up=3),
            check(NEXT, down=4),
        ),
    ),
    change(
        "serial_takes_turns_beside_a_new_key",
        lambda m: (keyed()(m), t(m, name="u")),
        lambda m: (keyed(ident(always=True))(m), t(m, Column("t_id", ForeignKey("t.id")), name="u")),
        checks=KEPT_KEYS,
    ),
]
