"""EXCLUDE constraints."""

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, MetaData, Text, column, func, text
from sqlalchemy.dialects.postgresql import INT4RANGE, TSTZRANGE, ExcludeConstraint

from tests.plinth.kinds.kind import Kind, Models, kept, nothing, t

BTREE_GIST = ("create extension btree_gist",)


def having(*rules: tuple[Any, ...], room: Any = Integer, **options: Any) -> Models:
    def models(m: MetaData) -> None:
        constraint = [ExcludeConstraint(*rules, **{"name": "ex_r", **options})] if rules else []
        t(
            m,
            Column("r", INT4RANGE),
            Column("room", room),
            Column("during", TSTZRANGE),
            Column("name", Text),
            *constraint,
        )

    return models


def change(name: str, before: Models, after: Models, **options: Any) -> Kind:
    rows = ("insert into t (r, room) values ('[1,5)', 1), ('[7,9)', 2)",)
    return Kind(
        f"exclude.{name}", before, after, rows=rows, checks=(kept("select count(*) from t", 2),), **options
    )


plain = having(("r", "&&"))

WHERE: dict[str, Any] = {"where": text("room > 0")}
REWRITE = {"x": ("rewrite=t.room",)}

KINDS = [
    Kind("exclude.table_with", nothing, plain, listed=True),
    Kind("exclude.table_with_drop", plain, nothing),
    change("add", having(), plain, listed=True),
    change("drop", plain, having(), listed=True),
    change("change_op", plain, having(("r", "=")), listed=True),
    change("rename", plain, having(("r", "&&"), name="other")),
    change("where_add", plain, having(("r", "&&"), where=text("room > 0"))),
    change(
        "where_change",
        having(("r", "&&"), where=text("room > 0")),
        having(("r", "&&"), where=text("room > 1")),
    ),
    change(
        "where_of_another_type",
        having(("r", "&&"), **WHERE),
        having(("r", "&&"), room=BigInteger, **WHERE),
        **REWRITE,
    ),
    change(
        "where_that_changes_with_its_type",
        having(("r", "&&"), **WHERE),
        having(("r", "&&"), room=BigInteger, where=text("room > 1")),
        **REWRITE,
    ),
    change(
        "where_of_a_column_that_loses_it",
        having(("r", "&&"), **WHERE),
        having(("r", "&&"), room=BigInteger),
        **REWRITE,
    ),
    change(
        "deferrable",
        plain,
        having(("r", "&&"), deferrable=True, initially="DEFERRED"),
        x=("rewrite=t.ex_r",),
    ),
    change("using_spgist", plain, having(("r", "&&"), using="spgist")),
    change("two_columns", plain, having(("room", "="), ("r", "&&")), prepare=BTREE_GIST),
    change("opclass", having(), having(("r", "&&"), ops={"r": "range_ops"})),
    change(
        "opclass_of_extension",
        having(),
        having(("room", "<>"), using="gist", ops={"room": "gist_int4_ops"}, where=text("room = 1")),
        prepare=BTREE_GIST,
    ),
    change("expression", having(), having((func.int4range(column("room"), text("room + 1")), "&&"))),
    change("hash_equality", having(), having(("room", "="), using="hash")),
    change("odd_name", having(), having(("r", "&&"), name='ex "r" 100% :x')),
]
