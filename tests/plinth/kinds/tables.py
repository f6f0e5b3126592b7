"""Tables: made, dropped, renamed, and what they are made with."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.sql.elements import conv

from tests.plinth.kinds.kind import Kind, Models, also, check, kept, nothing, t

TWO = ("insert into t (name) values ('a'), ('b')",)

LINKED = ("insert into b (n) values (1), (2)", "insert into a (other) values (1), (2)")


def plain(m: MetaData) -> Table:
    return t(m, Column("name", String(50)))


def with_others(m: MetaData) -> None:
    plain(m)
    t(
        m,
        Column("email", String(200), nullable=False, unique=True),
        Column("born", Date, index=True),
        Column("active", Boolean, nullable=False, server_default="true"),
        Column("salary", Numeric(10, 2), server_default="0"),
        Column("seen_at", DateTime(timezone=True), server_default=func.now()),
        Column("photo", LargeBinary),
        Column("t_id", ForeignKey("t.id", ondelete="CASCADE")),
        CheckConstraint("salary >= 0", name="salary"),
        name="people",
        comment="they work here",
    )


def cycle(m: MetaData) -> None:
    t(m, Column("b_id", ForeignKey("b.id", name="fk_a_b", use_alter=True)), name="a")
    t(m, Column("a_id", ForeignKey("a.id", name="fk_b_a", use_alter=True)), name="b")


def cycle_of_three(m: MetaData) -> None:
    plain(m)
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        t(m, Column("other", ForeignKey(f"{other}.id"), nullable=False), name=name)


def chain(m: MetaData) -> None:
    plain(m)
    t(m, name="zparent")
    t(m, Column("p_id", ForeignKey("zparent.id")), name="mchild")
    t(m, Column("p_id", ForeignKey("mchild.id")), name="achild")


def unlogged_when_gone(name: str, before: str | None, after: str | None) -> Kind:
    """Return a kind in which a logged table goes, and what it refers to becomes unlogged."""

    def models(made: str | None, *, is_late: bool) -> Models:
        def make(m: MetaData) -> None:
            number = Column("n", Integer, *([Computed(made, persisted=True)] if made else []))
            t(m, number, prefixes=["UNLOGGED"] if is_late else [])
            if not is_late:
                t(m, Column("t_id", ForeignKey("t.id"), nullable=False), name="gone")

        return make

    return Kind(
        f"table.unlogged_when_a_logged_one_that_refers_goes{name}",
        models(before, is_late=False),
        models(after, is_late=True),
        rows=("insert into t default values", "insert into gone (t_id) values (1)"),
    )


def links(**options: Any) -> Models:
    """Return three tables of which one refers to the other, in no order of their names."""

    def make(m: MetaData) -> None:
        for name, other in (("b", None), ("c", "b"), ("a", "c")):
            keys: list[Column[Any]] = [] if other is None else [Column("other", ForeignKey(f"{other}.id"))]
            t(m, *keys, name=name, **options)

    return make


def linked(*, key: bool = True, ondelete: str | None = None, unlogged: Collection[str] = ()) -> Models:
    """Return two tables of which one refers to the other by a foreign key, or without any."""

    def make(m: MetaData) -> None:
        keys = [ForeignKey("b.id", ondelete=ondelete)] if key else []
        for name, items in (("b", [Column("n", Integer)]), ("a", [Column("other", Integer, *keys)])):
            t(m, *items, name=name, prefixes=["UNLOGGED"] if name in unlogged else [])

    return make


def tree(m: MetaData) -> None:
    plain(m)
    t(m, Column("parent_id", ForeignKey("node.id", ondelete="CASCADE")), name="node")


def renamed(m: MetaData, *items: Any, name: str = "people", old: str = "t") -> Table:
    return t(m, *items, name=name, info={"renamed_from": old})


def full(m: MetaData, name: str, **options: Any) -> Table:
    return t(
        m,
        Column("name", String(50), nullable=False, unique=True),
        Column("code", String(5), index=True),
        Column("n", Integer),
        CheckConstraint("n > 0", name="positive"),
        Index(f"ix_{name}_upper", text("upper(name)")),
        name=name,
        **options,
    )


def family(m: MetaData, parent: str, **options: Any) -> None:
    t(m, Column("name", String(50)), name=parent, **options)
    t(m, Column("parent_id", ForeignKey(f"{parent}.id")), name="child")


def with_options(**options: Any) -> Models:
    return lambda m: t(m, Column("name", String(50)), **options)


def long_names(m: MetaData) -> Table:
    name = "a_really_long_table_name_for_testing_identifier_limits"
    column = "another_extremely_long_column_name_here_x"
    return t(
        m,
        Column(column, Integer, index=True),
        Column(f"{column}y", Integer, unique=True),
        CheckConstraint(f"{column} > 0", name="a_check_constraint_with_a_long_name"),
        UniqueConstraint(column, f"{column}y"),
        Index(None, column, f"{column}y"),
        Column("parent_of_this_very_long_row_id", ForeignKey(f"{name}.id")),
        name=name,
    )


def _heir(m: MetaData) -> None:
    heir = Table("heir", m, Column("extra", Integer), postgresql_inherits="base")
    also(heir, "ALTER TABLE heir ADD CONSTRAINT pk_heir PRIMARY KEY (id)")
    also(heir, "ALTER TABLE heir ADD CONSTRAINT uq_heir_n UNIQUE (n)")


def _base(m: MetaData, name: str = "base") -> None:
    Table(
        name,
        m,
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("name", Text, nullable=False, server_default="none"),
        Column("n", Integer),
        CheckConstraint("n > 0", name=conv(f"ck_{name}_n")),
    )


def _child_of(*parents: str) -> Models:
    def make(m: MetaData) -> None:
        for each in parents:
            _base(m, each)
        Table("child", m, Column("extra", Integer), postgresql_inherits=parents)

    return make


def _less(m: MetaData) -> None:
    Table(
        "base",
        m,
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("name", Text, nullable=False, server_default="none"),
    )
    Table("child", m, Column("extra", Integer), postgresql_inherits="base")


def _on_its_own(m: MetaData) -> None:
    """A table that has what it would inherit, as its own."""
    _base(m)
    Table(
        "child",
        m,
        Column("id", Integer, nullable=False),
        Column("name", Text, nullable=False, server_default="none"),
        Column("n", Integer),
        Column("extra", Integer),
        CheckConstraint("n > 0", name=conv("ck_base_n")),
    )


def _otherwise(m: MetaData) -> None:
    """A table that has only a part of what it would inherit, and more."""
    _base(m)
    Table(
        "child",
        m,
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("name", Text),
        Column("extra", Integer),
        Column("more", Text),
        CheckConstraint("extra > 0", name=conv("ck_child_extra")),
    )


def _alone(m: MetaData) -> None:
    """The same, and what it would inherit from isn't there."""
    _otherwise(m)
    m.remove(m.tables["base"])


def _parted(m: MetaData) -> None:
    parted = t(m, name="parted", postgresql_partition_by="RANGE (id)")
    also(parted, "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100)")
    also(parted, "CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (100) TO (200)")


CHILD = ("insert into child (id, extra) values (1, 2)",)


def _inheriting(name: str, other: Models) -> list[Kind]:
    """Return a table that begins to inherit, and one that ceases to."""
    return [
        Kind(f"table.heir_becomes_{name}", _child_of("base"), other, rows=CHILD, keeps_rows=False),
        Kind(f"table.{name}_becomes_heir", other, _child_of("base"), rows=CHILD, keeps_rows=False),
    ]


KINDS = [
    Kind("table.add", plain, with_others, rows=TWO, listed=True),
    Kind(
        "table.drop",
        with_others,
        plain,
        rows=(*TWO, "insert into people (email, t_id) values ('x@y', 1)"),
        x=("drop=people",),
        checks=(check("select count(*) from people", down=0), kept("select count(*) from t", 2)),
        listed=True,
    ),
    Kind("table.drop_fk_cycle", cycle, nothing, x=("drop=a", "drop=b"), listed=True),
    Kind("table.add_fk_cycle", nothing, cycle),
    Kind("table.add_fk_cycle_of_three", plain, cycle_of_three),
    Kind("table.drop_fk_cycle_of_three", cycle_of_three, plain, x=("drop=a", "drop=b", "drop=c")),
    Kind("table.add_self_fk", plain, tree),
    Kind("table.drop_self_fk", tree, plain, rows=("insert into node (parent_id) values (null), (1)",)),
    Kind("table.add_fk_chain", plain, chain, listed=True),
    Kind(
        "table.drop_fk_chain",
        chain,
        plain,
        rows=(
            "insert into zparent default values",
            "insert into mchild (p_id) values (1)",
            "insert into achild (p_id) values (1)",
        ),
        x=("drop=zparent", "drop=mchild", "drop=achild"),
        listed=True,
    ),
    Kind(
        "table.rename",
        plain,
        lambda m: renamed(m, Column("name", String(50))),
        rows=TWO,
        checks=(check("select count(*) from people", up=2), check("select count(*) from t", down=2)),
        listed=True,
    ),
    Kind(
        "table.rename_full",
        lambda m: full(m, "t"),
        lambda m: full(m, "people", info={"renamed_from": "t"}),
        rows=("insert into t (name, n) values ('a', 1), ('b', 2)",),
        checks=(
            check("select sum(n) from people", up=3),
            check("insert into people (name) values ('c') returning id", up=3),
            check("select sum(n) from t", down=3),
        ),
    ),
    Kind(
        "table.rename_without_convention",
        lambda m: full(m, "t"),
        lambda m: full(m, "people", info={"renamed_from": "t"}),
        rows=("insert into t (name, n) values ('a', 1), ('b', 2)",),
        checks=(check("select sum(n) from people", up=3), check("select sum(n) from t", down=3)),
        convention=False,
    ),
    Kind(
        "table.rename_referenced",
        lambda m: family(m, "t"),
        lambda m: family(m, "people", info={"renamed_from": "t"}),
        rows=(*TWO, "insert into child (parent_id) values (1), (2)"),
        checks=(check("select count(*) from people", up=2), kept("select sum(parent_id) from child", 3)),
    ),
    Kind(
        "table.rename_referencing",
        lambda m: (t(m), t(m, Column("t_id", ForeignKey("t.id")), name="old")),
        lambda m: (t(m), renamed(m, Column("t_id", ForeignKey("t.id")), name="young", old="old")),
        rows=("insert into t default values", "insert into old (t_id) values (1)"),
        checks=(check("select sum(t_id) from young", up=1), check("select sum(t_id) from old", down=1)),
    ),
    Kind(
        "table.rename_self_referencing",
        lambda m: t(m, Column("up_id", ForeignKey("old.id")), name="old"),
        lambda m: renamed(m, Column("up_id", ForeignKey("young.id")), name="young", old="old"),
        rows=("insert into old (up_id) values (null), (1)",),
        checks=(check("select sum(up_id) from young", up=1), check("select sum(up_id) from old", down=1)),
    ),
    Kind(
        "table.rename_both_of_a_cycle",
        lambda m: (
            t(m, Column("o", ForeignKey("b.id")), name="a"),
            t(m, Column("o", ForeignKey("a.id")), name="b"),
        ),
        lambda m: (
            renamed(m, Column("o", ForeignKey("bb.id")), name="aa", old="a"),
            renamed(m, Column("o", ForeignKey("aa.id")), name="bb", old="b"),
        ),
        rows=("insert into a default values", "insert into b (o) values (1)", "update a set o = 1"),
        checks=(check("select sum(o) from aa", up=1), check("select sum(o) from b", down=1)),
    ),
    Kind(
        "table.rename_and_add_column",
        plain,
        lambda m: renamed(m, Column("name", String(50)), Column("age", Integer, index=True)),
        rows=TWO,
        checks=(check("select count(*) from people", up=2), check("select count(*) from t", down=2)),
    ),
    Kind(
        "table.rename_and_drop_column",
        lambda m: t(m, Column("name", String(50)), Column("age", Integer, index=True)),
        lambda m: renamed(m, Column("name", String(50))),
        rows=TWO,
        checks=(check("select count(*) from people", up=2), check("select count(*) from t", down=2)),
    ),
    Kind(
        "table.rename_and_rename_column",
        plain,
        lambda m: renamed(m, Column("title", String(50), info={"renamed_from": "name"})),
        rows=TWO,
        checks=(
            check("select string_agg(title, '' order by id) from people", up="ab"),
            check("select string_agg(name, '' order by id) from t", down="ab"),
        ),
    ),
    Kind(
        "table.rename_and_retype_column",
        plain,
        lambda m: renamed(m, Column("name", Text, nullable=False, server_default="x")),
        rows=TWO,
        checks=(check("select count(*) from people", up=2), check("select count(*) from t", down=2)),
    ),
    Kind(
        "table.rename_swap",
        lambda m: (t(m, Column("n", Integer), name="a"), t(m, Column("s", Text), name="b")),
        lambda m: (
            renamed(m, Column("n", Integer), name="b", old="a"),
            renamed(m, Column("s", Text), name="a", old="b"),
        ),
        rows=("insert into a (n) values (5)", "insert into b (s) values ('x')"),
        checks=(check("select sum(n) from b", up=5), check("select sum(n) from a", down=5)),
        keeps_rows=False,
    ),
    Kind(
        "table.rename_and_reuse_the_name",
        plain,
        lambda m: (renamed(m, Column("name", String(50))), t(m, Column("other", Date), name="t")),
        rows=TWO,
        checks=(check("select count(*) from people", up=2), check("select count(*) from t", up=0, down=2)),
        keeps_rows=False,
    ),
    Kind(
        "table.rename_to_reserved_word",
        plain,
        lambda m: renamed(m, Column("name", String(50)), name="order"),
        rows=TWO,
        checks=(check('select count(*) from "order"', up=2), check("select count(*) from t", down=2)),
    ),
    Kind(
        "table.rename_and_drop_comment",
        lambda m: t(m, Column("name", String(50), server_default="x"), comment="c"),
        lambda m: renamed(m, Column("name", String(50), server_default="x")),
        rows=TWO,
        checks=(check("select count(*) from people", up=2), check("select count(*) from t", down=2)),
    ),
    Kind(
        "table.rename_done_is_inert",
        lambda m: renamed(m, Column("name", String(50))),
        lambda m: renamed(m, Column("name", String(50))),
    ),
    Kind(
        "table.add_storage_param",
        plain,
        with_options(postgresql_with={"fillfactor": 70}),
        rows=TWO,
        listed=True,
    ),
    Kind("table.drop_storage_param", with_options(postgresql_with={"fillfactor": 70}), plain),
    Kind(
        "table.change_storage_params",
        with_options(postgresql_with={"fillfactor": 70, "autovacuum_enabled": False}),
        with_options(postgresql_with={"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.05}),
    ),
    Kind("table.add_with_storage_param", nothing, with_options(postgresql_with={"fillfactor": 70})),
    Kind("table.unlogged_create_drop", with_options(prefixes=["UNLOGGED"]), nothing, listed=True),
    Kind("table.unlogged_create", nothing, with_options(prefixes=["UNLOGGED"])),
    Kind("table.to_unlogged", plain, with_options(prefixes=["UNLOGGED"]), rows=TWO),
    Kind("table.to_logged", with_options(prefixes=["UNLOGGED"]), plain, rows=TWO),
    Kind("table.chain_to_unlogged", links(), links(prefixes=["UNLOGGED"])),
    unlogged_when_gone("", None, None),
    unlogged_when_gone("_and_a_column_is_made_anew", "id + 2", "id + 1"),
    Kind("table.to_unlogged_and_a_key_to_it_goes", linked(), linked(key=False, unlogged={"b"}), rows=LINKED),
    Kind(
        "table.to_unlogged_and_a_key_to_it_changes",
        linked(),
        linked(ondelete="CASCADE", unlogged={"a", "b"}),
        rows=LINKED,
    ),
    Kind("table.to_logged_and_a_key_to_it_comes", linked(key=False, unlogged={"b"}), linked(), rows=LINKED),
    Kind("table.chain_to_logged", links(prefixes=["UNLOGGED"]), links()),
    Kind(
        "table.without_columns",
        plain,
        lambda m: (plain(m), Table("empty", m)),
    ),
    Kind("table.without_primary_key", plain, lambda m: (plain(m), Table("loose", m, Column("n", Integer)))),
    Kind(
        "table.heap_is_the_default",
        plain,
        with_options(postgresql_using="heap"),
    ),
    Kind(
        "table.inherits_create",
        lambda m: t(m, name="base"),
        lambda m: (
            t(m, name="base"),
            Table("child", m, Column("extra", Integer), postgresql_inherits="base"),
        ),
    ),
    Kind(
        "table.inherits_with_keys_on_inherited_columns",
        lambda m: t(m, Column("n", Integer), name="base"),
        lambda m: (t(m, Column("n", Integer), name="base"), _heir(m)),
    ),
    Kind(
        "table.foreign_key_to_a_parted_one",
        lambda m: (_parted(m), t(m, Column("n", Integer), name="u")),
        lambda m: (_parted(m), t(m, Column("n", ForeignKey("parted.id")), name="u")),
        rows=("insert into parted (id) values (1)", "insert into u (n) values (1)"),
    ),
    Kind(
        "table.inherits_drop",
        lambda m: (
            t(m, name="base"),
            Table("child", m, Column("extra", Integer), postgresql_inherits="base"),
        ),
        lambda m: t(m, name="base"),
        rows=("insert into child (id, extra) values (1, 2)",),
        keeps_rows=False,  # the base shows its children's rows
    ),
    Kind(
        "table.inherits_add_column_to_base",
        lambda m: (
            t(m, name="base"),
            Table("child", m, Column("extra", Integer), postgresql_inherits="base"),
        ),
        lambda m: (
            t(m, Column("name", Text), name="base"),
            Table("child", m, Column("extra", Integer), postgresql_inherits="base"),
        ),
        rows=("insert into base (id) values (1)", "insert into child (id, extra) values (2, 2)"),
    ),
    *_inheriting("table", _on_its_own),
    *_inheriting("table_with_less", _otherwise),
    *_inheriting("table_alone", _alone),
    Kind("table.inherits_two", _child_of("base"), _child_of("base", "second"), rows=CHILD),
    Kind("table.inherits_one_of_two", _child_of("base", "second"), _child_of("base"), rows=CHILD),
    Kind(
        "table.what_an_heir_had_before_goes",
        _child_of("base"),
        _less,
        rows=CHILD,
        handmade=("alter table child no inherit base", "alter table child inherit base"),
    ),
    Kind(
        "table.inherits_add_index_to_child",
        lambda m: (
            t(m, name="base"),
            Table("child", m, Column("extra", Integer), postgresql_inherits="base"),
        ),
        lambda m: (
            t(m, name="base"),
            Table("child", m, Column("extra", Integer, index=True), postgresql_inherits="base"),
        ),
    ),
    Kind("table.add_long_identifiers", nothing, long_names, listed=True),
    Kind("table.drop_long_identifiers", long_names, nothing),
    Kind(
        "table.two_added_two_dropped",
        lambda m: (t(m, Column("p", Integer), name="p"), t(m, Column("q", ForeignKey("p.id")), name="q")),
        lambda m: (t(m, Column("r", Text), name="r"), t(m, Column("s", ForeignKey("r.id")), name="s")),
        x=("drop=p", "drop=q"),
    ),
    Kind(
        "table.composite_key_family",
        plain,
        lambda m: (
            plain(m),
            Table(
                "order",
                m,
                Column("shop", Integer),
                Column("number", BigInteger),
                PrimaryKeyConstraint("shop", "number"),
            ),
            Table(
                "line",
                m,
                Column("id", Integer, primary_key=True),
                Column("shop", Integer),
                Column("number", BigInteger),
                ForeignKeyConstraint(["shop", "number"], ["order.shop", "order.number"]),
                UniqueConstraint("shop", "number", "id"),
            ),
        ),
    ),
]
