"""Sequences that stand alone."""

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, MetaData, Sequence, SmallInteger, Table, Text, text

from tests.plinth.kinds.kind import Kind, Models, also, check, t


def having(*names: str, **options: Any) -> Models:
    def models(m: MetaData) -> None:
        t(m)
        for name in names:
            Sequence(name, metadata=m, **options)

    return models


def change(name: str, old: dict[str, Any], new: dict[str, Any], **options: Any) -> Kind:
    return Kind(f"sequence.{name}", having("inv_no", **old), having("inv_no", **new), **options)


NEXT = "select nextval('inv_no')"


def asked(m: MetaData, **options: Any) -> None:
    Sequence("no", metadata=m, **options)
    t(m, Column("n", Integer, server_default=text("nextval('no')")))


def owned_by(name: str, m: MetaData) -> None:
    Sequence("s", metadata=m)
    also(t(m, Column("n", Integer), name=name), f"ALTER SEQUENCE s OWNED BY {name}.n")


KINDS = [
    Kind("sequence.add", having(), having("inv_no", start=1000), checks=(check(NEXT, up=1000),), listed=True),
    Kind("sequence.drop", having("inv_no", start=1000), having(), listed=True),
    Kind(
        "sequence.add_with_options",
        having(),
        having(
            "inv_no", start=10, increment=5, minvalue=5, maxvalue=500, cycle=True, cache=7, data_type=Integer
        ),
    ),
    Kind("sequence.add_two", having(), having("a", "b")),
    change("change_increment", {}, {"increment": 5}, listed=True),
    change("change_start", {"start": 1}, {"start": 1000}),
    change("change_bounds", {}, {"minvalue": -5, "maxvalue": 100}),
    change("change_cycle", {}, {"cycle": True}),
    change("change_cache", {"cache": 10}, {}),
    change("change_type", {"data_type": BigInteger}, {"data_type": Integer}),
    change("change_type_smallint", {"data_type": SmallInteger}, {"data_type": BigInteger}),
    change("bigint_is_the_default", {}, {"data_type": BigInteger}),
    change(
        "value_is_kept",
        {},
        {"increment": 10},
        rows=("select nextval('inv_no')", "select nextval('inv_no')"),
        checks=(check(NEXT, up=12),),
    ),
    change("descending", {"increment": 1}, {"increment": -1, "start": -1}),
    Kind("sequence.odd_name", having(), having('In"v 100% :x', start=3)),
    Kind(
        "sequence.in_schema", having(), having("inv_no", schema="billing"), prepare=("create schema billing",)
    ),
    Kind(
        "sequence.in_schema_drop",
        having("inv_no", schema="billing"),
        having(),
        prepare=("create schema billing",),
    ),
    Kind(
        "sequence.added_with_its_user",
        t,
        lambda m: (
            Sequence("no", metadata=m, start=5),
            t(m, Column("n", Integer, nullable=False, server_default=text("nextval('no')"))),
        ),
        rows=("insert into t default values",),
        checks=(check("select n from t", up=5),),
    ),
    Kind(
        "sequence.dropped_with_its_user",
        lambda m: (
            Sequence("no", metadata=m),
            t(m, Column("n", Integer, server_default=text("nextval('no')"))),
        ),
        t,
        rows=("insert into t default values",),
    ),
    Kind(
        "sequence.owned_by_column",
        lambda m: (Sequence("no", metadata=m), t(m, Column("n", Integer))),
        lambda m: (
            Sequence("no", metadata=m),
            also(t(m, Column("n", Integer)), "ALTER SEQUENCE no OWNED BY t.n"),
        ),
    ),
    change(
        "bounds_exclude_where_it_stands",
        {"start": 1, "maxvalue": 50},
        {"start": 100, "minvalue": 100, "maxvalue": 900},
        checks=(check(NEXT, up=100, down=1),),
    ),
    change(
        "stands_beyond_a_bound_that_comes",
        {"start": 1, "minvalue": 1},
        {"start": 1000, "minvalue": 1000},
        rows=("select setval('inv_no', 5000)",),
        checks=(check(NEXT, up=5001, down=5002),),
    ),
    change(
        "comes_to_a_bound",
        {"start": -1, "increment": -1},
        {"start": -1000, "maxvalue": -1000, "increment": -1, "cache": 5},
        rows=("select setval('inv_no', -900)",),
        checks=(check(NEXT, up=-1000),),
    ),
    Kind(
        "sequence.of_the_application_takes_over_from_serials",
        lambda m: t(m, Column("n", Integer)),
        lambda m: Table(
            "t", m, Column("id", Integer, Sequence("s2"), primary_key=True), Column("n", Integer)
        ),
        rows=("insert into t (n) values (1), (2)",),
        checks=(check("select nextval('s2')", up=3),),
    ),
    Kind(
        "sequence.new_default_of_a_column_with_values",
        lambda m: t(m, Column("n", Integer)),
        asked,
        rows=("insert into t (n) values (7)",),
        checks=(check("insert into t default values returning n", up=8),),
    ),
    Kind(
        "sequence.bounds_exclude_what_a_default_asks",
        lambda m: asked(m, start=1, maxvalue=50),
        lambda m: asked(m, start=100, minvalue=100),
        rows=("insert into t default values", "insert into t default values"),
        checks=(check("insert into t default values returning n", up=100, down=3),),
    ),
    Kind(
        "sequence.becomes_serials",
        lambda m: (
            Sequence("t_id_seq", metadata=m),
            Table(
                "t",
                m,
                Column(
                    "id",
                    Integer,
                    Sequence("t_id_seq"),
                    primary_key=True,
                    server_default=text("nextval('t_id_seq')"),
                ),
                Column("n", Integer),
            ),
        ),
        lambda m: t(m, Column("n", Integer)),
        rows=("insert into t (n) values (1), (2)",),
        checks=(check("insert into t (n) values (3) returning id", up=3, down=4),),
    ),
    Kind(
        "sequence.of_a_key_that_becomes_a_text",
        lambda m: (t(m, Column("n", Integer)), t(m, name="gone")),
        lambda m: Table("t", m, Column("id", Text, primary_key=True), Column("n", Integer)),
        rows=("insert into t (n) values (1), (2), (3)", "delete from t where id = 3"),
        checks=(check("select nextval(pg_get_serial_sequence('t', 'id'))", up=None, down=3),),
        x=("rewrite=t.id", "drop=gone"),
    ),
    Kind(
        "sequence.is_asked_by_the_application_alone",
        lambda m: t(m, Column("n", Integer)),
        lambda m: Table(
            "t", m, Column("id", Integer, Sequence("t_id_seq"), primary_key=True), Column("n", Integer)
        ),
        rows=("insert into t (n) values (1), (2)",),
        checks=(check("select nextval('t_id_seq')", up=3, down=4),),
    ),
    Kind(
        "sequence.owner_moves_to_a_new_table",
        lambda m: owned_by("t1", m),
        lambda m: owned_by("t2", m),
        rows=("insert into t1 (n) values (1), (2)",),
        x=("drop=t1",),
    ),
    Kind(
        "sequence.owner_moves_between_tables",
        lambda m: (owned_by("t1", m), t(m, Column("n", Integer), name="t2")),
        lambda m: (t(m, Column("n", Integer), name="t1"), owned_by("t2", m)),
        rows=("select nextval('s')", "select nextval('s')"),
        checks=(check("select nextval('s')", up=3, down=4),),
    ),
    Kind(
        "sequence.owner_gone",
        lambda m: owned_by("t1", m),
        lambda m: (Sequence("s", metadata=m), t(m, Column("n", Integer), name="t1")),
    ),
    Kind(
        "sequence.renamed_is_drop_and_add",
        having("old_no"),
        having("new_no"),
        x=("drop=old_no",),
    ),
]
