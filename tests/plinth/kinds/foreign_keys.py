"""Foreign keys."""

from typing import Any

from sqlalchemy import (
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from tests.plinth.kinds.kind import Kind, Models, also, kept, t

ROWS = (
    "insert into p (a, b, c) values (1, 1, 'x')",
    "insert into t (p_id, a, b) values (1, 1, 1), (null, null, null)",
)


def having(*make: Any) -> Models:
    def models(m: MetaData) -> None:
        t(
            m,
            Column("a", Integer),
            Column("b", Integer),
            Column("c", Text, unique=True),
            UniqueConstraint("a", "b"),
            name="p",
        )
        t(m, Column("p_id", Integer), Column("a", Integer), Column("b", Integer), *(each() for each in make))

    return models


def key(*columns: str, to: tuple[str, ...] = ("p.id",), **options: Any) -> Any:
    return lambda: ForeignKeyConstraint(list(columns or ("p_id",)), list(to), **options)


def pair(**options: Any) -> Any:
    return key("a", "b", to=("p.a", "p.b"), **options)


def change(name: str, before: Models, after: Models, **options: Any) -> Kind:
    return Kind(
        f"fk.{name}", before, after, rows=ROWS, checks=(kept("select count(*) from t", 2),), **options
    )


def coded(*key: str, refers: bool = False) -> Models:
    def made(m: MetaData) -> None:
        columns = [
            Column(name, Integer, primary_key=name in key, nullable=False, autoincrement=False)
            for name in ("a", "b")
        ]
        Table("coded", m, *columns)
        if refers:
            t(m, Column("code", ForeignKey(f"coded.{key[0]}")))

    return made


def with_statement(models: Models, statement: str) -> Models:
    def made(m: MetaData) -> None:
        models(m)
        also(m.tables["t"], statement)

    return made


KINDS = [
    change("add", having(), having(key()), listed=True),
    change("drop", having(key()), having()),
    change("change_ondelete", having(key()), having(key(ondelete="CASCADE")), listed=True),
    change("change_ondelete_back", having(key(ondelete="CASCADE")), having(key()), listed=True),
    change("change_ondelete_set_null", having(key(ondelete="CASCADE")), having(key(ondelete="SET NULL"))),
    change(
        "change_ondelete_set_null_columns",
        having(pair(ondelete="SET NULL")),
        having(pair(ondelete="SET NULL (a)")),
        server=15,
    ),
    change("change_ondelete_restrict", having(key()), having(key(ondelete="RESTRICT"))),
    change(
        "no_action_is_the_default", having(key()), having(key(ondelete="NO ACTION", onupdate="NO ACTION"))
    ),
    change("change_onupdate", having(key()), having(key(onupdate="CASCADE")), listed=True),
    change("change_deferrable", having(key()), having(key(deferrable=True)), listed=True),
    change(
        "change_initially",
        having(key(deferrable=True)),
        having(key(deferrable=True, initially="DEFERRED")),
        listed=True,
    ),
    change("drop_deferrable", having(key(deferrable=True, initially="DEFERRED")), having(key())),
    change("not_deferrable_is_the_default", having(key()), having(key(deferrable=False))),
    change("change_match_full", having(key()), having(key(match="FULL")), listed=True),
    change("match_simple_is_the_default", having(key()), having(key(match="SIMPLE"))),
    change("composite", having(), having(pair()), listed=True),
    change("composite_drop", having(pair()), having()),
    change("composite_order", having(pair(name="f")), having(key("b", "a", to=("p.b", "p.a"), name="f"))),
    change("change_columns", having(key(name="f")), having(key("a", name="f"))),
    change("rename", having(key(name="f")), having(key(name="g"))),
    Kind(
        "fk.not_valid",
        having(),
        having(key(postgresql_not_valid=True)),
        rows=(*ROWS, "insert into t (p_id) values (7)"),  # which refers to nothing
        checks=(kept("select count(*) from t", 3),),
        in_reference=(
            "alter table t drop constraint fk_t_p_id_p",
            "alter table t add constraint fk_t_p_id_p foreign key (p_id) references p (id) not valid",
        ),
    ),
    change("not_valid_to_valid", having(key(postgresql_not_valid=True)), having(key())),
    change("unnamed", having(), having(key(), pair()), convention=False),
    change("unnamed_change", having(key()), having(key(ondelete="CASCADE")), convention=False),
    change("unnamed_drop", having(key(), pair()), having(), convention=False),
    change("comment_add", having(key()), having(key(comment="why"))),
    change("odd_name", having(), having(key(name='f"k 100% :x'))),
    change("self_reference_add", having(), having(key("a", to=("t.id",)))),
    change("self_reference_drop", having(key("a", to=("t.id",))), having()),
    change("two_to_one_table", having(key()), having(key(), key("a", ondelete="SET NULL"))),
    change("on_new_column", having(), having(lambda: Column("new_id", ForeignKey("p.id"), index=True))),
    change("on_new_column_to_unique_text", having(), having(lambda: Column("c", ForeignKey("p.c")))),
    change("on_dropped_column", having(lambda: Column("new_id", ForeignKey("p.id"), index=True)), having()),
    Kind(
        "fk.drop_table_referenced",
        having(key()),
        lambda m: t(m, Column("p_id", Integer), Column("a", Integer), Column("b", Integer)),
        rows=ROWS,
        x=("drop=p",),
        downgrade_may_stop=True,  # the rows that were referred to are gone
        listed=True,
    ),
    Kind(
        "fk.drop_table_and_column_referencing",
        lambda m: (t(m, name="p"), t(m, Column("p_id", ForeignKey("p.id"), index=True))),
        t,
        rows=("insert into p default values", "insert into t (p_id) values (1)"),
        x=("drop=p",),
    ),
    Kind(
        "fk.change_target",
        lambda m: (t(m, name="p"), t(m, name="q"), t(m, Column("x", ForeignKey("p.id", name="f")))),
        lambda m: (t(m, name="p"), t(m, name="q"), t(m, Column("x", ForeignKey("q.id", name="f")))),
        rows=("insert into p default values", "insert into q default values", "insert into t (x) values (1)"),
    ),
    Kind(
        "fk.to_unique_added_at_once",
        lambda m: (t(m, Column("k", Text), name="p"), t(m, Column("k", Text))),
        lambda m: (
            t(m, Column("k", Text, unique=True), name="p"),
            t(m, Column("k", Text, ForeignKey("p.k"))),
        ),
        rows=("insert into p (k) values ('x')", "insert into t (k) values ('x')"),
    ),
    Kind(
        "fk.to_unique_dropped_at_once",
        lambda m: (
            t(m, Column("k", Text, unique=True), name="p"),
            t(m, Column("k", Text, ForeignKey("p.k"))),
        ),
        lambda m: (t(m, Column("k", Text), name="p"), t(m, Column("k", Text))),
        rows=("insert into p (k) values ('x')", "insert into t (k) values ('x')"),
    ),
    Kind(
        "fk.cycle_closed_by_new_column",
        lambda m: (t(m, Column("b_id", ForeignKey("b.id")), name="a"), t(m, name="b")),
        lambda m: (
            t(m, Column("b_id", ForeignKey("b.id")), name="a"),
            t(m, Column("a_id", ForeignKey("a.id", use_alter=True)), name="b"),
        ),
        rows=("insert into b default values", "insert into a (b_id) values (1)"),
    ),
    Kind(
        "fk.cross_schema",
        lambda m: (t(m, schema="billing", name="p"), t(m, Column("p_id", Integer))),
        lambda m: (t(m, schema="billing", name="p"), t(m, Column("p_id", ForeignKey("billing.p.id")))),
        prepare=("create schema billing",),
    ),
    Kind(
        "fk.cross_schema_drop_table",
        lambda m: (t(m, schema="billing", name="p"), t(m, Column("p_id", ForeignKey("billing.p.id")))),
        lambda m: t(m, Column("p_id", Integer)),
        prepare=("create schema billing",),
        x=("drop=billing.p", "drop=p"),
    ),
    change(
        "not_enforced",
        having(),
        with_statement(
            having(), "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (p_id) REFERENCES p (id) NOT ENFORCED"
        ),
        server=18,
    ),
    change(
        "not_enforced_to_enforced",
        with_statement(
            having(), "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (p_id) REFERENCES p (id) NOT ENFORCED"
        ),
        having(key(name="f")),
        server=18,
    ),
    Kind(
        "fk.required_column_beside_a_deferred_one",
        lambda m: t(m, Column("up", ForeignKey("t.id", deferrable=True, initially="DEFERRED"))),
        lambda m: t(
            m,
            Column("up", ForeignKey("t.id", deferrable=True, initially="DEFERRED")),
            Column("n", Integer, nullable=False, info={"backfill": "id + 1"}),
            prefixes=["UNLOGGED"],  # rows of a table that is written anew are checked again when they change
        ),
        rows=("insert into t (up) values (null)", "insert into t (up) values (1)"),
        checks=(kept("select count(*) from t", 2),),
    ),
    Kind(
        "fk.table_goes_that_refers_to_a_key_that_changes",
        coded("a", refers=True),
        coded("b"),
        rows=("insert into coded values (1, 2)", "insert into t (code) values (1)"),
        x=("drop=t",),
    ),
    Kind(
        "fk.table_goes_that_refers_to_a_column_that_goes",
        lambda m: (
            t(m, Column("code", ForeignKey("p.code"))),
            t(m, Column("code", Text, unique=True), name="p"),
        ),
        lambda m: t(m, name="p"),
        rows=("insert into p (code) values ('a')", "insert into t (code) values ('a')"),
        x=("drop=t", "drop=p.code"),
    ),
    Kind(
        "fk.new_table_refers_to_a_new_key",
        coded("a"),
        coded("b", refers=True),
        rows=("insert into coded values (1, 2)",),
    ),
    Kind(
        "fk.new_table_refers_to_a_new_column",
        lambda m: t(m, name="p"),
        lambda m: (
            t(m, Column("code", ForeignKey("p.code"))),
            t(m, Column("code", Text, unique=True), name="p"),
        ),
        rows=("insert into p default values",),
    ),
]
