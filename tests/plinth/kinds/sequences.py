"""Sequences that stand alone."""

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, MetaData, Sequence, SmallInteger, text

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
    Kind(
        "sequence.renamed_is_drop_and_add",
        having("old_no"),
        having("new_no"),
        x=("drop=old_no",),
    ),
]
