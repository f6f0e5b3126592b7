"""Generated columns."""

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Computed, Index, Integer, Numeric, Table, Text
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


def over_virtual(
    *parts: Any, a: Any = Integer, c: Any = Integer, sql: str = "a + 1", name: str = "a", **options: Any
) -> Models:
    """Return a table in which `c` is virtual, by `sql`, and whatever else is given.

    Args:
        parts: further columns and the like.
        a: the type of what it is generated from; with `name`.
        c: its type.
        sql: what generates it.
        name: the name of its base.
        options: "base": of the base; else its own.
    """
    base = options.pop("base", {})

    def made(m: Any) -> None:
        t(
            m,
            Column(name, a, **base),
            Column("b", Integer),
            *(part() for part in parts),
            Column("c", c, Computed(sql, persisted=False), **options),
        )

    return made


def of_virtual(
    name: str, before: Models, after: Models, up: object = 4, down: object = 4, **more: Any
) -> Kind:
    """Return a change of what is virtual, or stands beside it."""
    return change(f"virtual_{name}", before, after, up, down, server=18, **more)


def positive() -> Any:
    return CheckConstraint("c > 0", name="positive")


def both_positive() -> Any:
    return CheckConstraint("c > 0 and a > 0", name="both_positive")


def other_positive() -> Any:
    return CheckConstraint("b > 0", name="other")


def viewed(**options: Any) -> Models:
    def made(m: Any) -> None:
        over_virtual(**options)(m)
        also(m, "create view v as select id, c from t where c > 0")

    return made


def parted(*items: Any, sql: str | None = None, a: Any = Integer) -> Models:
    """Return a partitioned table, with a virtual column if it is said by what."""

    def made(m: Any) -> None:
        own = Column("c", Integer, Computed(sql, persisted=False)) if sql else None
        table = Table(
            "t",
            m,
            Column("id", Integer, primary_key=True),
            Column("a", a),
            Column("b", Integer),
            *([] if own is None else [own]),
            *(item() for item in items),
            postgresql_partition_by="RANGE (id)",
        )
        also(table, "create table t_1 partition of t for values from (minvalue) to (1000)")
        also(table, "create table t_2 partition of t default")

    return made


def inherited(*items: Any, sql: str | None = None) -> Models:
    """Return a table with an heir, and a virtual column in both if it is said by what."""

    def made(m: Any) -> None:
        own = [] if sql is None else [Column("c", Integer, Computed(sql, persisted=False))]
        t(m, Column("a", Integer), Column("b", Integer), *own, *(item() for item in items))
        Table("heir", m, Column("more", Integer), postgresql_inherits="t")

    return made


IN_PARTITIONS = ("insert into t (id, a, b) values (1, 3, 4), (2000, 3, 4)",)
OF_PARTITIONS = (check("select sum(c) from t", up=8),)

VIRTUAL = [
    of_virtual("required_add", without, over_virtual(nullable=False), down=None, checks=()),
    of_virtual("add_with_check", without, over_virtual(positive), checks=()),
    of_virtual(
        "add_beside_check",
        lambda m: t(m, Column("a", Integer), Column("b", Integer), other_positive()),
        over_virtual(other_positive),
        checks=(),
    ),
    of_virtual("becomes_required", over_virtual(), over_virtual(nullable=False)),
    of_virtual("becomes_nullable", over_virtual(nullable=False), over_virtual()),
    of_virtual("gets_check", over_virtual(), over_virtual(positive)),
    of_virtual("loses_check", over_virtual(positive), over_virtual()),
    of_virtual("comment", over_virtual(), over_virtual(comment="of a")),
    of_virtual("change_required", over_virtual(nullable=False), over_virtual(sql="a + 2", nullable=False), 5),
    of_virtual("change_with_check", over_virtual(positive), over_virtual(positive, sql="a + 2"), 5),
    of_virtual(
        "change_with_checks",
        over_virtual(positive, both_positive, other_positive),
        over_virtual(positive, both_positive, other_positive, sql="a + 2"),
        5,
    ),
    of_virtual("change_under_view", viewed(), viewed(sql="a + 2"), 5),
    of_virtual("change_with_comment", over_virtual(comment="x"), over_virtual(comment="x", sql="a + b"), 7),
    of_virtual("type", over_virtual(), over_virtual(c=BigInteger)),
    of_virtual("type_with_check", over_virtual(positive), over_virtual(positive, c=BigInteger)),
    of_virtual("type_under_view", viewed(), viewed(c=BigInteger)),
    of_virtual(
        "base_renamed",
        over_virtual(),
        over_virtual(name="d", sql="d + 1", base={"info": {"renamed_from": "a"}}),
    ),
    of_virtual(
        "renamed",
        over_virtual(),
        lambda m: t(
            m,
            Column("a", Integer),
            Column("b", Integer),
            Column("d", Integer, Computed("a + 1", persisted=False), info={"renamed_from": "c"}),
        ),
        checks=(),
    ),
    of_virtual("base_gets_type", over_virtual(), over_virtual(a=BigInteger)),
    of_virtual("base_and_it_get_type", over_virtual(), over_virtual(a=BigInteger, c=BigInteger)),
    of_virtual("base_gets_type_and_it_changes", over_virtual(), over_virtual(a=BigInteger, sql="a + 2"), 5),
    of_virtual("base_gets_type_under_view", viewed(), viewed(a=BigInteger)),
    of_virtual(
        "base_gets_type_with_checks",
        over_virtual(positive, both_positive, other_positive, nullable=False, comment="x"),
        over_virtual(positive, both_positive, other_positive, a=BigInteger, nullable=False, comment="x"),
    ),
    of_virtual(
        "base_dropped_too",
        over_virtual(),
        lambda m: t(m, Column("b", Integer)),
        checks=(),
        x=("drop=t.a", "drop=t.c"),
    ),
    of_virtual(
        "base_dropped",
        over_virtual(),
        lambda m: t(m, Column("b", Integer), Column("c", Integer, Computed("b + 1", persisted=False))),
        5,
        None,
        x=("drop=t.a",),
    ),
    of_virtual("to_stored_with_index", over_virtual(), having(stored("a + 1"), index=True)),
    of_virtual("from_stored_with_index", having(stored("a + 1"), index=True), over_virtual()),
    of_virtual("in_partitions_add", parted(), parted(sql="a + 1"), rows=IN_PARTITIONS, checks=OF_PARTITIONS),
    of_virtual(
        "in_partitions_change",
        parted(sql="a + 2"),
        parted(sql="a + 1"),
        rows=IN_PARTITIONS,
        checks=OF_PARTITIONS,
    ),
    of_virtual(
        "in_partitions_change_with_check",
        parted(positive, sql="a + 2"),
        parted(positive, sql="a + 1"),
        rows=IN_PARTITIONS,
        checks=OF_PARTITIONS,
    ),
    of_virtual(
        "in_partitions_base_gets_type",
        parted(sql="a + 1"),
        parted(sql="a + 1", a=BigInteger),
        rows=IN_PARTITIONS,
        checks=OF_PARTITIONS,
    ),
    of_virtual("in_heirs_add", inherited(), inherited(sql="a + 1"), checks=(check("select c from t", up=4),)),
    of_virtual("in_heirs_change", inherited(sql="a + 2"), inherited(sql="a + 1"), 4, 5),
    of_virtual(
        "in_heirs_change_with_check", inherited(positive, sql="a + 2"), inherited(positive, sql="a + 1"), 4, 5
    ),
]


KINDS = [
    *VIRTUAL,
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
