"""Models that stay as they are: nothing may be written."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Sequence,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects import postgresql as pg

from tests.plinth.kinds.kind import Kind, Models, also, t
from tests.plinth.kinds.tables import cycle_of_three, full, long_names, with_others
from tests.plinth.kinds.types import every_type


def wide(m: MetaData) -> None:
    with_others(m)
    kind = Enum("a", "b", name="st")
    t(
        m,
        Column("s", kind, server_default="a", nullable=False, comment="state"),
        Column("many", pg.ARRAY(kind), server_default="{}"),
        Column("j", pg.JSONB, server_default=text("'{\"a\": [1, 2]}'::jsonb"), nullable=False),
        Column("at", pg.TIMESTAMP(timezone=True, precision=3), server_default=func.now()),
        Column("n", Integer, Identity(always=True, start=5)),
        Column("total", Integer, Computed("id * 2", persisted=True)),
        Column("r", pg.INT4RANGE),
        Column("p", pg.DOMAIN("posint", Integer, check="VALUE > 0")),
        CheckConstraint("j ->> 'a' IN ('x', 'y') OR id BETWEEN 1 AND 5", name="odd", comment="why"),
        UniqueConstraint("id", "s", deferrable=True, initially="DEFERRED"),
        pg.ExcludeConstraint(("r", "&&"), where=text("id > 1"), name="ex"),
        Index("ix_gin", "j", postgresql_using="gin", postgresql_ops={"j": "jsonb_path_ops"}),
        Index("ix_partial", "s", postgresql_where=text("s <> 'b'")),
        name="wide",
        comment="all of it",
        postgresql_with={"fillfactor": 80},
    )
    Sequence("loose", metadata=m, start=3)


def func_index_cast(m: MetaData) -> None:
    t(
        m,
        Column("name", String(50)),
        Column("j", pg.JSONB),
        Index("ix_a", text("(j ->> 'a')")),
        Index("ix_b", text("((j ->> 'n')::integer)")),
        Index("ix_c", text("lower(name::text)")),
        Index("ix_d", func.coalesce(text("name"), text("''"))),
    )


def odd_names(m: MetaData) -> None:
    t(
        m,
        Column("select", Integer, index=True, server_default=text("1 % 3")),
        Column("It's 100% :x", Text, unique=True, comment="'\"\\"),
        Column("ünï", Enum("é", "'", '"', name="Ün ï"), server_default="'"),
        Column("parent", ForeignKey("Order by.id"), index=True),
        CheckConstraint("\"It's 100% \\:x\" <> '\\:y %'", name="1st"),
        name="Order by",
    )


def schemas(m: MetaData) -> None:
    t(m, Column("s", Enum("a", name="st", schema="billing")), name="inv", schema="billing")
    t(m, Column("inv_id", ForeignKey("billing.inv.id")), schema="stock")


def same(name: str, models: Models, **options: object) -> Kind:
    return Kind(f"noop.{name}", models, models, **options)  # type: ignore[arg-type]


KINDS = [
    same("wide", wide, listed=True),
    same("long_identifiers", long_names, listed=True),
    same("func_index_cast", func_index_cast, listed=True),
    same("nothing_at_all", lambda _: None),
    same("every_type", every_type),
    same("odd_names", odd_names),
    same("schemas", schemas),
    same("cycle", cycle_of_three),
    same("without_convention", wide, convention=False),
    same("full_without_convention", lambda m: full(m, "t"), convention=False),
    same(
        "hand_made_objects",
        lambda m: t(m, Column("n", Integer)),
        handmade=(
            "create view v as select id, n from t",
            "create materialized view mv as select count(*) from t",
            "create function f() returns int language sql as $$ select 1 $$",
            "create function touch() returns trigger language plpgsql as $$ begin return new; end $$",
            "create trigger touch before update on t for each row execute function touch()",
            "alter table t enable row level security",
            "create policy mine on t using (n > 0)",
            "create extension citext",
            "create type pair as (a int, b int)",
            "create statistics st on id, n from t",
            "create rule quiet as on delete to v do instead nothing",
            "create domain d as int check (value > 0)",
            "create type by_hand_mood as enum ('a')",
            "create schema by_hand",
            "create function by_hand.x(d, by_hand_mood) returns int language sql as 'select 1'",
            "grant select on t to public",
        ),
    ),
    same(
        "other_applications_objects",
        lambda m: t(m, Column("n", Integer)),
        foreign=(
            "create table theirs (id int primary key)",
            "create view theirs_v as select id from theirs",
            "create sequence theirs_no",
            "create type theirs_mood as enum ('a')",
            "create schema other",
            "create table other.x (id int)",
            "create index theirs_ix on theirs (id)",
        ),
    ),
    same(
        "ddl_listeners",
        lambda m: also(t(m, Column("n", Integer)), "CREATE INDEX by_listener ON t (n) WHERE n > 0"),
    ),
]

# Kinds of other groups that change nothing in PostgreSQL's eyes: no revision may be written for them, and one
# must be for every kind that isn't here.
SAME = {
    *(kind.name for kind in KINDS),
    "check.same_written_otherwise",
    "check.in_list_is_any",
    "check.not_valid_to_valid",
    "check.valid_to_not_valid",
    "check.boolean_constraint",
    "column.add_nullable_backfill_is_inert",
    "column.rename_done_is_inert",
    "column.reordered_is_no_change",
    "comment.table_empty_is_none",
    "computed.same_written_otherwise",
    "computed.virtual_is_the_default",
    "default.now_is_now",
    "default.bool_as_string_is_no_change",
    "default.bool_t_is_true",
    "default.int_as_text_is_no_change",
    "default.cast_only",
    "domain.check_same_written_otherwise",
    "enum.rename_value_done_is_inert",
    "fk.no_action_is_the_default",
    "fk.not_deferrable_is_the_default",
    "fk.match_simple_is_the_default",
    "fk.not_valid_to_valid",
    "identity.defaults_written_out",
    "index.partial_predicate_same_written_otherwise",
    "index.expression_same_written_otherwise",
    "index.nulls_last_is_the_default",
    "index.btree_is_the_default",
    "null.backfill_done_is_inert",
    "view.noop",
    "sequence.bigint_is_the_default",
    "table.rename_done_is_inert",
    "table.heap_is_the_default",
    "type.array_dimensions_is_no_change",
    "type.float_is_double",
    "type.unicode_is_varchar",
    "type.decimal_is_numeric",
    "unique.nulls_distinct_is_the_default",
    "unique.two_over_the_same_columns",
}
