"""Several schemas."""

from typing import Any

from sqlalchemy import Column, Enum, ForeignKey, Index, Integer, MetaData, Text, text

from tests.plinth.kinds.kind import Kind, check, kept, t

BILLING = ("create schema billing",)


def plain(m: MetaData) -> None:
    t(m)


def invoice(m: MetaData, *items: Any, schema: str = "billing", **options: Any) -> None:
    t(m)
    t(m, Column("name", Text, index=True, unique=False), *items, name="inv", schema=schema, **options)


def moved(m: MetaData, *items: Any, hint: str = "public.inv", **options: Any) -> None:
    t(m)
    t(
        m,
        Column("name", Text, index=True),
        *items,
        name=options.pop("name", "inv"),
        schema="billing",
        info={"renamed_from": hint},
        **options,
    )


def public(m: MetaData) -> None:
    t(m)
    t(m, Column("name", Text, index=True), name="inv")


ROWS = ("insert into inv (name) values ('a'), ('b')",)
MOVED = (check("select count(*) from billing.inv", up=2), check("select count(*) from public.inv", down=2))

KINDS = [
    Kind("schema.add_table_new_schema", plain, invoice, listed=True),
    Kind(
        "schema.drop_last_table",
        invoice,
        plain,
        prepare=BILLING,
        rows=("insert into billing.inv (name) values ('a')",),
        x=("drop=billing.inv", "drop=inv"),
        listed=True,
    ),
    Kind(
        "schema.drop_last_table_of_our_schema",
        invoice,
        plain,
        x=("drop=billing.inv", "drop=inv"),
        schemas_may_stay=True,
    ),
    Kind("schema.add_table_existing_schema", plain, invoice, prepare=BILLING, listed=True),
    Kind(
        "schema.add_two_tables_two_schemas",
        plain,
        lambda m: (
            invoice(m),
            t(m, Column("inv_id", ForeignKey("billing.inv.id")), name="line", schema="stock"),
        ),
    ),
    Kind(
        "schema.enum_in_schema",
        plain,
        lambda m: invoice(m, Column("s", Enum("a", name="st", schema="billing"))),
        listed=True,
        prepare=BILLING,
    ),
    Kind(
        "schema.enum_in_new_schema",
        plain,
        lambda m: invoice(m, Column("s", Enum("a", name="st", schema="billing"))),
    ),
    Kind(
        "schema.enum_in_schema_of_its_own",
        plain,
        lambda m: t(m, Column("s", Enum("a", name="st", schema="kinds"))),
    ),
    Kind("schema.move_table", public, moved, prepare=BILLING, rows=ROWS, checks=MOVED),
    Kind("schema.move_table_to_new_schema", public, moved, rows=ROWS, checks=MOVED),
    Kind(
        "schema.move_two_tables_to_new_schema",
        lambda m: (public(m), t(m, Column("inv_id", ForeignKey("inv.id")), name="line")),
        lambda m: (
            moved(m),
            t(
                m,
                Column("inv_id", ForeignKey("billing.inv.id")),
                name="line",
                schema="billing",
                info={"renamed_from": "public.line"},
            ),
        ),
        rows=(*ROWS, "insert into line (inv_id) values (2)"),
        checks=(
            *MOVED,
            check("select sum(inv_id) from billing.line", up=2),
            check("select sum(inv_id) from public.line", down=2),
        ),
    ),
    Kind(
        "schema.move_table_back",
        invoice,
        lambda m: (
            t(m),
            t(m, Column("name", Text, index=True), name="inv", info={"renamed_from": "billing.inv"}),
        ),
        prepare=BILLING,
        rows=("insert into billing.inv (name) values ('a')",),
        checks=(
            check("select count(*) from public.inv", up=1),
            check("select count(*) from billing.inv", down=1),
        ),
    ),
    Kind(
        "schema.move_and_rename_table",
        public,
        lambda m: moved(m, name="invoice"),
        prepare=BILLING,
        rows=ROWS,
        checks=(
            check("select count(*) from billing.invoice", up=2),
            check("select count(*) from public.inv", down=2),
        ),
    ),
    Kind(
        "schema.move_and_change_table",
        public,
        lambda m: moved(m, Column("n", Integer, nullable=False, server_default="1"), comment="x"),
        prepare=BILLING,
        rows=ROWS,
        checks=MOVED,
    ),
    Kind(
        "schema.move_referenced_table",
        lambda m: (public(m), t(m, Column("inv_id", ForeignKey("inv.id")), name="line")),
        lambda m: (moved(m), t(m, Column("inv_id", ForeignKey("billing.inv.id")), name="line")),
        prepare=BILLING,
        rows=(*ROWS, "insert into line (inv_id) values (1)"),
        checks=(*MOVED, kept("select sum(inv_id) from line", 1)),
    ),
    Kind(
        "schema.rename_within_schema",
        invoice,
        lambda m: (
            t(m),
            t(
                m,
                Column("name", Text, index=True),
                name="bill",
                schema="billing",
                info={"renamed_from": "inv"},
            ),
        ),
        prepare=BILLING,
        rows=("insert into billing.inv (name) values ('a')",),
        checks=(
            check("select count(*) from billing.bill", up=1),
            check("select count(*) from billing.inv", down=1),
        ),
    ),
    Kind(
        "schema.same_name_in_two",
        public,
        lambda m: (public(m), t(m, Column("other", Text), name="inv", schema="billing")),
        prepare=BILLING,
        rows=ROWS,
        checks=(kept("select count(*) from inv", 2),),
    ),
    Kind(
        "schema.change_columns",
        lambda m: invoice(m, Column("n", Integer)),
        lambda m: invoice(m, Column("n", Text), Column("k", Integer)),
        prepare=BILLING,
        rows=("insert into billing.inv (n) values (1)",),
        checks=(kept("select n::text from billing.inv", "1"),),
        x=("rewrite=billing.inv.n", "rewrite=inv.n"),
    ),
    Kind(
        "schema.rename_column",
        lambda m: invoice(m, Column("n", Integer, index=True)),
        lambda m: invoice(m, Column("k", Integer, index=True, info={"renamed_from": "n"})),
        prepare=BILLING,
        rows=("insert into billing.inv (n) values (1)",),
        checks=(check("select k from billing.inv", up=1), check("select n from billing.inv", down=1)),
    ),
    Kind(
        "schema.indexes_and_comments",
        invoice,
        lambda m: invoice(m, Index("ix_l", text("lower(name)")), comment="bills"),
        prepare=BILLING,
    ),
    Kind(
        "schema.default_of_metadata",
        lambda m: t(m, Column("name", Text)),
        lambda m: t(m, Column("name", Text, index=True), Column("s", Enum("a", name="st"))),
        schema="shop",
        prepare=("create schema shop",),
        rows=("insert into shop.t (name) values ('a')",),
    ),
    Kind(
        "schema.odd_name",
        plain,
        lambda m: (
            t(m),
            t(
                m,
                Column("t_id", ForeignKey("t.id"), index=True),
                Column("s", Enum("a", name="s t", schema='Bill"ing 100%')),
                name="in v",
                schema='Bill"ing 100%',
            ),
        ),
    ),
    Kind(
        "schema.public_written_out",
        lambda m: t(m, Column("name", Text)),
        lambda m: t(m, Column("name", Text), Column("n", Integer), schema="public"),
        rows=("insert into t (name) values ('a')",),
        checks=(kept("select count(*) from t", 1),),
    ),
    Kind(
        "schema.foreign_schema_left_alone",
        plain,
        lambda m: t(m, Column("n", Integer)),
        foreign=(
            "create schema theirs",
            "create table theirs.x (id int primary key)",
            "create type theirs.e as enum ('a')",
        ),
    ),
    Kind(
        "schema.foreign_tables_in_our_schema_left_alone",
        invoice,
        lambda m: invoice(m, Column("n", Integer)),
        prepare=BILLING,
        foreign=("create table theirs (id int primary key, name text)",),
    ),
]
