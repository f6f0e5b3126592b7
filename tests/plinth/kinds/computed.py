"""Generated columns."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Numeric,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import INT4RANGE, TSVECTOR, ExcludeConstraint

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
    of_virtual("from_stored_with_unique", having(stored("a + 1"), unique=True), over_virtual()),
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


def beside(
    *items: Any, sql: str | None = "a + 1", c: Any = Integer, said: tuple[str, ...] = (), **options: Any
) -> Models:
    """Return a table in whose place a new one comes, if a stored column is added, or changes.

    Args:
        items: what makes further columns and the like.
        sql: what generates the column `c`, if there is one.
        c: its type.
        said: statements when all tables are made.
        options: of the column.
    """

    def made(m: Any) -> None:
        own = [] if sql is None else [Column("c", c, Computed(sql, persisted=True), **options)]
        parts = [each(m) for each in items]
        t(m, Column("a", Integer), Column("b", Integer), *own, *(each for each in parts if each is not None))
        for statement in said:
            also(m, statement)

    return made


def _above(_: Any) -> Any:
    return Column("above", ForeignKey("t.id", ondelete="SET NULL", deferrable=True, initially="DEFERRED"))


def _of_shop(m: Any) -> Any:
    Table("shop", m, Column("id", Integer, primary_key=True))
    return Column("shop", ForeignKey("shop.id", ondelete="CASCADE"), server_default="1")


def _referring(m: Any) -> None:
    Table(
        "u", m, Column("id", Integer, primary_key=True), Column("t", ForeignKey("t.id", onupdate="CASCADE"))
    )
    Table(
        "parted",
        m,
        Column("id", Integer, primary_key=True),
        Column("t", ForeignKey("t.id")),
        postgresql_partition_by="RANGE (id)",
    )
    also(m, "create table parted_1 partition of parted default")


KEYS = (_of_shop, _above, _referring)
OF_KEYS = (
    "insert into shop values (1)",
    *ROWS,
    "insert into t (a, b, above) values (5, 6, 1)",
    "insert into u (id, t) values (1, 1), (2, 2)",
    "insert into parted (id, t) values (1, 1), (2, 2)",
)
PARTS: tuple[Any, ...] = (
    lambda _: Column("number", Integer, Sequence("numbers"), server_default=Sequence("numbers").next_value()),
    lambda _: Column("name", Text, comment="of it"),
    lambda _: Column("during", INT4RANGE),
    lambda _: UniqueConstraint("a", "b", name="ab", postgresql_include=["number"]),
    lambda _: UniqueConstraint("name", name="name"),
    lambda _: CheckConstraint("a > 0 and b <> 0", name="positive", comment="both"),
    lambda _: Index("some", text("lower(name)"), postgresql_where=text("a > 1"), unique=True),
    lambda _: ExcludeConstraint(("during", "&&"), name="alone"),
)
ON_IT = (
    "create view v as select id, a from t where a > 0",
    "create view w as select v.id, t.b from v join t using (id)",
    "create function touch() returns trigger language plpgsql as 'begin new.b := new.b + 1; return new; end'",
    "create trigger touch before update on t for each row execute function touch()",
    "alter table t disable trigger touch",
    "create rule quiet as on delete to t where old.a < 0 do instead nothing",
    "create policy mine on t using (a > 0 and exists (select from v))",
    "create table u (id int primary key)",
    "create policy theirs on u using (exists (select from t where t.id = u.id))",
    "alter table t enable row level security",
    "create statistics st (ndistinct) on a, b from t",
    "alter table t replica identity full",
    "alter table t cluster on pk_t",
    "comment on table t is 'it''s'",
)
BOTH: dict[str, Any] = {"rows": ROWS, "checks": (check("select c from t where a = 3", up=4),)}


def beside_kinds(name: str, *items: Any, **options: Any) -> list[Kind]:
    """Return two kinds: the column is added, and it is generated otherwise."""
    given = {"rows": ROWS, **options}
    said = given.pop("said", ())
    return [
        Kind(
            f"computed.beside_{name}_add",
            beside(*items, sql=None, said=said),
            beside(*items, said=said),
            **{"checks": (check("select c from t where a = 3", up=4),), **given},
        ),
        Kind(
            f"computed.beside_{name}_change",
            beside(*items, said=said),
            beside(*items, sql="a + 2", said=said),
            **{"checks": (check("select c from t where a = 3", up=5, down=4),), **given},
        ),
    ]


NEW_TABLES = [
    *beside_kinds(
        "keys",
        *KEYS,
        rows=OF_KEYS,
        checks=(kept("select count(*) from u join t on t.id = u.t join parted p on p.t = t.id", 2),),
    ),
    *beside_kinds("parts", *PARTS, rows=("insert into t (a, b, name) values (3, 4, 'x')",)),
    *beside_kinds("on_it", said=ON_IT),
    *beside_kinds(
        "identity",
        lambda _: Column("i", BigInteger, Identity(always=True, start=7, increment=3, cache=5), unique=True),
        handmade=("select setval('t_i_seq', 100)",),
        checks=(kept("select pg_sequence_last_value('t_i_seq') >= 100", True),),
    ),
    Kind("computed.beside_required", beside(sql=None), beside(nullable=False, index=True), **BOTH),
    Kind("computed.beside_unique", beside(sql=None), beside(unique=True), **BOTH),
    Kind(
        "computed.beside_with_key",
        beside(_of_shop, sql=None),
        beside(
            _of_shop,
            lambda _: ForeignKeyConstraint(["c"], ["shop.id"]),
            lambda _: CheckConstraint("c > 0", name="positive"),
        ),
        rows=("insert into shop values (1), (4)", *ROWS),
        checks=BOTH["checks"],
    ),
    Kind(
        "computed.beside_with_all_on_it_changes",
        beside(
            lambda _: CheckConstraint("c > 0 and a > 0", name="both"),
            lambda _: Index("of_c", "c", "a"),
            said=("create view v as select c from t", "create policy p on t using (c > 0)"),
            nullable=False,
            unique=True,
            comment="sum",
        ),
        beside(
            lambda _: CheckConstraint("c > 0 and a > 0", name="both"),
            lambda _: Index("of_c", "c", "a"),
            said=("create view v as select c from t", "create policy p on t using (c > 0)"),
            sql="a + 2",
            nullable=False,
            unique=True,
            comment="another sum",
        ),
        rows=ROWS,
        checks=(check("select c from v", up=5, down=4),),
    ),
    Kind(
        "computed.beside_another_type_and_more",
        lambda m: t(m, Column("a", Integer), Column("b", Integer, index=True), Column("gone", Text)),
        lambda m: t(
            m,
            Column("aa", Integer, info={"renamed_from": "a"}),
            Column("b", BigInteger, index=True),
            Column("d", Text, nullable=False, info={"backfill": "'x' || id"}),
            Column("c", Integer, Computed("aa + 1", persisted=True)),
        ),
        rows=ROWS,
        x=("drop=t.gone",),
        checks=(check("select c || d from t", up="4x1"),),
    ),
    Kind(
        "computed.beside_composite_key",
        lambda m: Table("t", m, Column("k", Text, primary_key=True), Column("a", Integer, primary_key=True)),
        lambda m: Table(
            "t",
            m,
            Column("k", Text, primary_key=True),
            Column("a", Integer, primary_key=True),
            Column("c", Integer, Computed("a + 1", persisted=True)),
        ),
        rows=("insert into t values ('x', 3), ('y', 5)",),
        checks=BOTH["checks"],
    ),
    Kind(
        "computed.beside_odd_names",
        lambda m: Table(
            'T%"ö',
            m,
            Column("New Id", Integer, primary_key=True),
            Column("a:b%", Integer),
            Column("old", Text),
        ),
        lambda m: Table(
            'T%"ö',
            m,
            Column("New Id", Integer, primary_key=True),
            Column("a:b%", Integer),
            Column("old", Text),
            Column("found", Integer, Computed('"a:b%" + 1', persisted=True)),
        ),
        rows=("""insert into "T%""ö" ("a:b%") values (3)""",),
        checks=(check("""select found from "T%""ö" """, up=4),),
    ),
    Kind(
        "computed.beside_in_a_schema",
        lambda m: Table("t", m, Column("id", Integer, primary_key=True), Column("a", Integer), schema="shop"),
        lambda m: Table(
            "t",
            m,
            Column("id", Integer, primary_key=True),
            Column("a", Integer),
            Column("c", Integer, Computed("a + 1", persisted=True)),
            schema="shop",
        ),
        prepare=("create schema shop",),
        rows=("insert into shop.t (a) values (3)",),
        checks=(check("select c from shop.t", up=4),),
        schemas_may_stay=True,
    ),
    Kind(
        "computed.without_key",
        lambda m: Table("t", m, Column("a", Integer)),
        lambda m: Table(
            "t", m, Column("a", Integer), Column("c", Integer, Computed("a + 1", persisted=True))
        ),
        rows=("insert into t values (3)",),
        checks=BOTH["checks"],
    ),
    Kind(
        "computed.under_a_materialized_view",
        beside(sql=None, said=("create materialized view v as select a from t",)),
        beside(said=("create materialized view v as select a from t",)),
        **BOTH,
    ),
    Kind(
        "computed.beside_a_deferrable_one",
        beside(lambda _: UniqueConstraint("a", deferrable=True), sql=None),
        beside(lambda _: UniqueConstraint("a", deferrable=True)),
        **BOTH,
    ),
]


KINDS = [
    *VIRTUAL,
    *NEW_TABLES,
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
