"""Generated columns."""

from typing import Any

from sqlalchemy import Column, Computed, Index, Integer, Numeric, Text
from sqlalchemy.dialects.postgresql import TSVECTOR

from tests.plinth.kinds.kind import Kind, Models, also, check, kept, t

ROWS = ("insert into t (a, b) values (3, 4)",)


def having(*generated: Any, **options: Any) -> Models:
    """Return a table with the column `c`, plain if nothing generates it."""
    return lambda m: t(
        m,
        Column("a", Integer),
        Column("b", Integer),
        Column("c", Integer, *(each() for each in generated), **options),
    )


def stored(sql: str) -> Any:
    return lambda: Computed(sql, persisted=True)


def virtual(sql: str) -> Any:
    return lambda: Computed(sql, persisted=False)


def without(m: Any) -> None:
    t(m, Column("a", Integer), Column("b", Integer))


def measured(m: Any) -> None:
    having(stored("a + 1"))(m)
    also(m, "alter table t alter column c set statistics 500")


def change(name: str, before: Models, after: Models, up: object, down: object, **options: Any) -> Kind:
    return Kind(
        f"computed.{name}",
        before,
        after,
        **{"rows": ROWS, "checks": (check("select c from t", up=up, down=down),), **options},
    )


KINDS = [
    Kind(
        "computed.add",
        without,
        having(stored("a + 1")),
        rows=ROWS,
        checks=(check("select c from t", up=4),),
        listed=True,
    ),
    Kind(
        "computed.add_with_a_statistics_target",
        without,
        measured,
        rows=ROWS,
        checks=(check("select c from t", up=4),),
    ),
    Kind(
        "computed.drop_column",
        having(stored("a + 1")),
        without,
        rows=ROWS,
        checks=(check("select c from t", down=4),),
        listed=True,
    ),
    change("change_expr", having(stored("a + 1")), having(stored("a + 2")), 5, 4, listed=True),
    change("change_expr_columns", having(stored("a + 1")), having(stored("a * b")), 12, 4),
    change(
        "plain_to_computed",
        having(),
        having(stored("a + 1")),
        4,
        None,
        listed=True,
        downgrade_may_stop=True,
        checks=(check("select c from t", up=4),),
    ),
    change("computed_to_plain", having(stored("a + 1")), having(), 4, 4),
    change("same_written_otherwise", having(stored("a+1")), having(stored("(a + 1)")), 4, 4),
    change("to_notnull", having(stored("a + 1")), having(stored("a + 1"), nullable=False), 4, 4),
    change(
        "type",
        having(stored("a + 1")),
        lambda m: t(
            m,
            Column("a", Integer),
            Column("b", Integer),
            Column("c", Numeric(8, 2), Computed("a + 1", persisted=True)),
        ),
        4,
        4,
        x=("rewrite=t.c",),
    ),
    change(
        "indexed_change_expr",
        having(stored("a + 1"), index=True, comment="sum"),
        having(stored("a + 2"), index=True, comment="sum"),
        5,
        4,
    ),
    change(
        "two_of_one_base",
        lambda m: t(m, Column("a", Integer), Column("b", Integer), Column("c", Integer, Computed("a", True))),
        lambda m: t(
            m,
            Column("a", Integer),
            Column("b", Integer),
            Column("c", Integer, Computed("a", True)),
            Column("d", Integer, Computed("a - 1", True)),
        ),
        3,
        3,
    ),
    Kind(
        "computed.base_dropped_too",
        having(stored("a + 1")),
        lambda m: t(m, Column("b", Integer)),
        rows=ROWS,
        x=("drop=t.a", "drop=t.c"),
        checks=(kept("select b from t", 4),),
    ),
    Kind(
        "computed.base_added_too",
        lambda m: t(m, Column("b", Integer)),
        having(stored("a + b")),
        rows=("insert into t (b) values (4)",),
        checks=(kept("select b from t", 4),),
    ),
    Kind(
        "computed.text_search",
        lambda m: t(m, Column("title", Text)),
        lambda m: t(
            m,
            Column("title", Text),
            Column(
                "words", TSVECTOR, Computed("to_tsvector('english'::regconfig, coalesce(title, ''))", True)
            ),
            Index("ix_words", "words", postgresql_using="gin"),
        ),
        rows=("insert into t (title) values ('two cats')",),
        checks=(check("select count(*) from t where words @@ to_tsquery('english', 'cat')", up=1),),
    ),
    Kind(
        "computed.percent_and_colon",
        lambda m: t(m, Column("a", Integer)),
        lambda m: t(m, Column("a", Integer), Column("c", Text, Computed("(a % 10)::text || '\\:x'", True))),
        rows=("insert into t (a) values (13)",),
        checks=(check("select c from t", up="3:x"),),
    ),
    Kind(
        "computed.virtual_add",
        without,
        having(virtual("a + 1")),
        rows=ROWS,
        checks=(check("select c from t", up=4),),
        server=18,
    ),
    Kind(
        "computed.virtual_drop",
        having(virtual("a + 1")),
        without,
        rows=ROWS,
        checks=(check("select c from t", down=4),),
        server=18,
    ),
    change("virtual_change_expr", having(virtual("a + 1")), having(virtual("a + 2")), 5, 4, server=18),
    change("virtual_to_stored", having(virtual("a + 1")), having(stored("a + 1")), 4, 4, server=18),
    change("stored_to_virtual", having(stored("a + 1")), having(virtual("a + 1")), 4, 4, server=18),
    change(
        "virtual_is_the_default", having(virtual("a + 1")), having(lambda: Computed("a + 1")), 4, 4, server=18
    ),
    change(
        "virtual_to_plain",
        having(virtual("a + 1")),
        having(),
        None,
        4,
        server=18,
        checks=(check("select c from t", down=4),),
    ),
    change(
        "plain_to_virtual",
        having(),
        having(virtual("a + 1")),
        4,
        None,
        server=18,
        downgrade_may_stop=True,
        checks=(check("select c from t", up=4),),
    ),
]
