"""What is said of objects beside the statement that makes them: a view's indexes, states, comments."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Enum,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import DOMAIN, ENUM

from tests.plinth.kinds.kind import Kind, Models, also, check, first, kept, t
from tests.plinth.kinds.others import ROWS, TOUCH, TRIGGER, grown, listening, plain

MV = "create materialized view v as select id, n from t"
MV_MORE = "create materialized view v as select id, n, name from t"
VIEW = "create view v as select id, n from t"
VIEW_MORE = "create view v as select id, n, name from t where n > 0"
VIEW_TURNED = "create view v as select n, id from t"
UNIQUE = "create unique index v_id on v (id)"
RULE = "create rule quiet as on delete to t where old.n > 1 do instead nothing"
LONG = "VALUE <> '" + "x" * 50 + "'"
ROLES = ("do $$ begin create role plinth_reader; exception when duplicate_object then null; end $$",)
COLLATIONS = (
    "create collation by_bytes (provider = libc, locale = 'C')",
    "create collation plain (provider = libc, lc_collate = 'C', lc_ctype = 'POSIX')",
    "comment on collation plain is 'by bytes'",
)
SEARCH = (
    "create text search dictionary short (template = simple, stopwords = english, accept = false)",
    "create text search configuration ours (copy = simple)",
    "alter text search configuration ours alter mapping for asciiword, word with short, english_stem",
)
UNUSED = ("create type feeling as enum ('a', 'b')", "create domain size as int check (value > 0)")
BEFORE = "for values from (minvalue) to ('2024-01-01')"
A_YEAR = "for values from ('2023-01-01') to ('2024-01-01')"
OLD_PARTED = f"create table old partition of parted {BEFORE} partition by range (d)"
OLD = f"create table old partition of parted {BEFORE}"
NEW = "create table new partition of parted for values from ('2024-01-01') to (maxvalue)"
PARTED_ROWS = ("insert into parted (d, n) values ('2023-05-05', 1)",)
OF_OLD = (
    "alter table old alter column n set default 7",
    "alter table old add constraint positive check (n > 0)",
    "create index old_n on old (n)",
    "comment on column old.n is 'number'",
    "comment on table old is 'past'",
)


def parted(*statements: str) -> Models:
    """Return models of a partitioned table, whose partitions listeners make."""

    def made(m: MetaData) -> None:
        Table(
            "parted",
            m,
            Column("d", Date, primary_key=True),
            Column("n", Integer, index=True, server_default="5", comment="of all"),
            postgresql_partition_by="RANGE (d)",
        )
        for statement in statements:
            also(m, statement)

    return made


OF_ALL: dict[str, Callable[[], Any]] = {
    "index": lambda: Index("ix_divided_n", "n", "s"),
    "odd_index": lambda: Index("Odd {ix}", text("lower(s)"), postgresql_where=text("s <> 'a:b%{}'")),
    "unique": lambda: UniqueConstraint("d", "n"),
    "unique_index": lambda: Index("uq", "d", "n", unique=True, postgresql_include=["s"]),
    "unique_deferrable": lambda: UniqueConstraint("d", "n", deferrable=True, initially="DEFERRED"),
    "check": lambda: CheckConstraint("n > 0", name="positive"),
    "column_and_index": lambda: Column("more", Integer, index=True),
}


def divided(*parts: Callable[[], Any]) -> Models:
    """Return models of a table with two partitions, of which one has partitions itself."""

    def made(m: MetaData) -> None:
        Table(
            "divided",
            m,
            Column("d", Date, nullable=False),
            Column("n", Integer),
            Column("s", String(20)),
            *(part() for part in parts),
            postgresql_partition_by="RANGE (d)",
        )
        also(m, f"create table divided_old partition of divided {BEFORE} partition by range (d)")
        also(m, f"create table divided_old_a partition of divided_old {A_YEAR}")
        also(m, NEW.replace("parted", "divided").replace("new", '"Divided New"'))

    return made


def said(name: str, before: tuple[str, ...], after: tuple[str, ...], **options: Any) -> Kind:
    """Return two kinds in one: from the statements of some listeners to others."""
    models = options.pop("models", plain)
    return Kind(
        name, listening(*before, models=models), listening(*after, models=models), rows=ROWS, **options
    )


def both(name: str, before: tuple[str, ...], after: tuple[str, ...], **options: Any) -> list[Kind]:
    """Return the change and its reverse, each of which is tried up and down."""
    return [
        said(name, before, after, **options),
        said(f"{name}_taken_back", after, before, **options),
    ]


def _domain(*checks: str) -> Models:
    def made(m: MetaData) -> None:
        t(m, Column("d", DOMAIN("d", Text, check=" and ".join(checks), constraint_name="good")))

    return made


def positive(*statements: str) -> Models:
    def made(m: MetaData) -> None:
        first(m, "create domain pos as int check (value > 0)")
        t(m, Column("d", DOMAIN("pos", Integer, create_type=False)))
        for statement in statements:
            also(m, statement)

    return made


def _arrays(*values: str) -> Models:
    """Return models with an enum in an array, copied as tenants' tables are."""

    def made(m: MetaData) -> None:
        own = MetaData()
        table = Table(
            "t", own, Column("id", Integer, primary_key=True), Column("d", ARRAY(Enum(*values, name="e")))
        )
        table.to_metadata(m)

    return made


KINDS = [
    Kind(
        "domain.long_checks_that_begin_alike",
        _domain(LONG, "VALUE <> 'one'"),
        _domain(LONG, "VALUE <> 'two'"),
        rows=("insert into t (d) values ('three')",),
        checks=(kept("select count(*) from t", 1),),
    ),
    Kind(
        "domain.long_check_create",
        lambda m: t(m, name="u"),
        lambda m: (t(m, name="u"), _domain(LONG, "VALUE <> 'one'")(m)),
        rows=("insert into u default values",),
    ),
    *both(
        "domain.constraint_comment",
        ("create domain pos as int constraint above check (value > 0)",),
        (
            "create domain pos as int constraint above check (value > 0)",
            "comment on constraint above on domain pos is 'it''s :so'",
        ),
        models=lambda m: t(m, Column("n", Integer), Column("name", Text)),
        prepare=(),
    ),
    *both(
        "view.materialized_index",
        (MV,),
        (MV, UNIQUE, "comment on index v_id is 'refresh'"),
    ),
    said("view.materialized_index_change", (MV, UNIQUE), (MV, UNIQUE.replace("(id)", "(id, n)"))),
    said(
        "view.materialized_anew_with_index",
        (MV, UNIQUE, "comment on index v_id is 'refresh'", "comment on column v.n is 'n'"),
        (MV_MORE, UNIQUE, "comment on index v_id is 'refresh'", "comment on column v.n is 'n'"),
    ),
    said(
        "view.materialized_of_retyped_column_with_index",
        (MV, UNIQUE, "alter materialized view v cluster on v_id"),
        (MV, UNIQUE, "alter materialized view v cluster on v_id", "create index by_name on t (name)"),
    ),
    *both(
        "view.materialized_settings",
        (MV,),
        (
            MV,
            "alter materialized view v alter column n set statistics 500",
            "alter materialized view v alter column n set (n_distinct = 5)",
        ),
    ),
    *both(
        "view.column_comment_and_default",
        (VIEW,),
        (VIEW, "comment on column v.n is 'number'", "alter view v alter column n set default 5"),
    ),
    said(
        "view.anew_with_column_comment_and_default",
        (VIEW, "comment on column v.n is 'number'", "alter view v alter column n set default 5"),
        (VIEW_TURNED, "comment on column v.n is 'number'", "alter view v alter column n set default 5"),
    ),
    Kind(
        "view.replaced_keeps_privileges",
        listening(VIEW),
        listening(VIEW_MORE),
        rows=ROWS,
        handmade=(*ROLES, "grant select on v to plinth_reader"),
        checks=(kept("select has_table_privilege('plinth_reader', 'v', 'select')", True),),
    ),
    Kind(
        "view.anew_keeps_privileges",
        listening(VIEW),
        listening(VIEW_TURNED),
        rows=ROWS,
        handmade=(
            *ROLES,
            "grant select on v to plinth_reader with grant option",
            "grant update (n) on v to public",
        ),
        checks=(kept("select has_table_privilege('plinth_reader', 'v', 'select')", True),),
    ),
    *both(
        "listener.trigger_disabled", (TOUCH, TRIGGER), (TOUCH, TRIGGER, "alter table t disable trigger touch")
    ),
    said(
        "listener.trigger_replica_to_always",
        (TOUCH, TRIGGER, "alter table t enable replica trigger touch"),
        (TOUCH, TRIGGER, "alter table t enable always trigger touch"),
    ),
    said(
        "listener.trigger_anew_stays_disabled",
        (TOUCH, TRIGGER, "alter table t disable trigger touch"),
        (TOUCH, TRIGGER.replace("before", "after"), "alter table t disable trigger touch"),
    ),
    *both("listener.rule_disabled", (RULE,), (RULE, "alter table t disable rule quiet")),
    said(
        "listener.rule_anew_stays_disabled",
        (RULE, "alter table t disable rule quiet"),
        (RULE.replace("> 1", "> 2"), "alter table t disable rule quiet"),
    ),
    Kind(
        "listener.range_type",
        plain,
        listening(
            "create type floats as range"
            " (subtype = float8, subtype_diff = float8mi, multirange_type_name = many)",
            "create type texts as range"
            ' (subtype = text, collation = "C", subtype_opclass = text_pattern_ops)',
        ),
        rows=ROWS,
    ),
    *both(
        "listener.statistics_target",
        ("create statistics st on n, name from t",),
        ("create statistics st on n, name from t", "alter statistics st set statistics 500"),
    ),
    *both(
        "listener.column_and_index_statistics",
        ("create index up on t (upper(name))",),
        (
            "create index up on t (upper(name))",
            "alter index up alter column 1 set statistics 500",
            "alter table t alter column n set (n_distinct = -0.5)",
        ),
    ),
    said(
        "listener.statistics_of_a_new_table",
        (),
        (
            "create table u (n int, name text)",
            "create index u_up on u (upper(name))",
            "alter index u_up alter column 1 set statistics 500",
            "alter table u alter column n set (n_distinct = -0.5)",
        ),
    ),
    Kind(
        "index.nulls_not_distinct_but_not_unique",
        plain,
        lambda m: t(
            m,
            Column("n", Integer),
            Column("name", Text),
            Index("by_n", "n", postgresql_nulls_not_distinct=True),
        ),
        rows=ROWS,
        server=15,
    ),
    Kind(
        "enum.value_removed_in_an_array_copied",
        _arrays("a", "b"),
        _arrays("a", "c", "d"),
        rows=("insert into t (d) values ('{a,a}')",),
        checks=(kept("select d::text from t", "{a,a}"),),
    ),
    Kind(
        "enum.value_added_in_an_array_copied",
        _arrays("a", "b"),
        _arrays("a", "b", "c"),
        rows=("insert into t (d) values ('{a,b}')",),
        checks=(kept("select d::text from t", "{a,b}"),),
    ),
    Kind(
        "listener.aggregate_without_arguments_stays",
        plain,
        grown,
        rows=ROWS,
        handmade=(
            "create aggregate how_many(*) (sfunc = int8inc, stype = int8, initcond = '0')",
            "comment on aggregate how_many(*) is 'rows'",
        ),
    ),
    Kind(
        "listener.function_of_another_signature",
        listening("create function f(i integer) returns integer language sql as $$ select 1 $$"),
        listening("create function f(i bigint) returns integer language sql as $$ select 2 $$"),
        rows=ROWS,
        x=("drop=f",),
        checks=(check("select f(1::int)", up=2, down=1),),
    ),
    Kind(
        "listener.view_moves_to_another_schema",
        listening("create schema s", 'create view "a ""b" as select id from t'),
        listening("create schema s", 'create view s."a ""b" as select id from t'),
        rows=ROWS,
        x=('drop=a "b',),
        checks=(check('select count(*) from s."a ""b"', up=2), check('select count(*) from "a ""b"', down=2)),
    ),
    said(
        "schema.comments",
        ("create schema s",),
        ("create schema s", "comment on schema s is 'it''s'", "comment on schema public is 'ours'"),
    ),
    said("schema.empty_create", (), ("create schema s", "comment on schema s is 'empty'")),
    *both("listener.unused_types", (), UNUSED),
    said(
        "listener.unused_types_change",
        UNUSED,
        ("create type feeling as enum ('a', 'c')", "create domain size as int check (value > 1)"),
    ),
    Kind(
        "enum.without_a_column",
        plain,
        lambda m: (plain(m), ENUM("x", "y", name="mood", metadata=m)),
        rows=ROWS,
    ),
    Kind(
        "enum.without_a_column_taken_back",
        lambda m: (plain(m), ENUM("x", "y", name="mood", metadata=m)),
        plain,
        rows=ROWS,
    ),
    said(
        "listener.row_security_taken_back",
        ("alter table t enable row level security", "create policy mine on t using (n > 0)"),
        (),
        x=("drop=t.row_security", "drop=mine"),
    ),
    said(
        "listener.index_settings_taken_back",
        (
            "create unique index by_id on t (id)",
            "alter table t replica identity using index by_id",
            "alter table t cluster on by_id",
        ),
        ("create unique index by_id on t (id)",),
        x=("drop=t.replica_identity", "drop=t.clustered_on"),
    ),
    said(
        "listener.index_of_replica_identity_goes",
        ("create unique index by_id on t (id)", "alter table t replica identity using index by_id"),
        (),
    ),
    Kind(
        "listener.statistics_of_columns_that_stand_otherwise",
        plain,
        lambda m: also(
            t(m, Column("more", Integer), Column("n", Integer), Column("name", Text)),
            "create statistics st (ndistinct) on n, more, (n + 1) from t",
        ),
        rows=ROWS,
    ),
    Kind(
        "partition.with_things_of_its_own",
        parted(),
        parted(OLD_PARTED, *OF_OLD, f"create table old_a partition of old {A_YEAR}"),
        rows=(),
    ),
    Kind(
        "partition.drop_with_partitions",
        lambda m: (
            t(m, name="u"),
            parted(OLD_PARTED, *OF_OLD, f"create table old_a partition of old {A_YEAR}")(m),
        ),
        lambda m: t(m, name="u"),
        rows=(*PARTED_ROWS, "insert into u default values"),
    ),
    Kind(
        "partition.drop_one",
        parted(OLD, NEW),
        parted(NEW),
        rows=PARTED_ROWS,
        keeps_rows=False,
        x=("drop=old",),
    ),
    Kind(
        "partition.change_of_its_own",
        parted(OLD, *OF_OLD),
        parted(OLD, "alter table old alter column n set default 8", "create index old_d on old (d)"),
        rows=PARTED_ROWS,
    ),
    *(
        Kind(
            f"partition.{name}_of_all",
            divided(),
            divided(part),
            rows=(
                "insert into divided (d, n, s) select '2023-01-01'::date + n, n, 'a' || n from "
                "generate_series(1, 800) n",
            ),
            checks=(kept("select count(*) from divided", 800),),
        )
        for name, part in OF_ALL.items()
    ),
    Kind(
        "partition.replaced_index_of_all",
        divided(lambda: Index("ix_divided_n", "n")),
        divided(lambda: Index("ix_divided_n", "s")),
        rows=("insert into divided (d, n, s) values ('2023-05-05', 1, 'a'), ('2024-05-05', 2, 'b')",),
        checks=(kept("select count(*) from divided", 2),),
    ),
    Kind(
        "partition.attached",
        parted("create table old (like parted including all)"),
        parted(
            "create table old (like parted including all)",
            f"alter table parted attach partition old {BEFORE}",
        ),
        rows=(),
        refusal="Table old is no partition and should be a partition of parted FOR VALUES FROM",
    ),
    Kind(
        "partition.detached",
        parted(
            "create table old (like parted including all)",
            f"alter table parted attach partition old {BEFORE}",
        ),
        parted("create table old (like parted including all)"),
        rows=PARTED_ROWS,
        refusal="Table old is a partition of parted .* and should be no partition: attach or detach it",
    ),
    Kind(
        "partition.trigger_of_all",
        parted(
            OLD, "create function touch() returns trigger language plpgsql as $$ begin return new; end $$"
        ),
        parted(
            OLD,
            "create function touch() returns trigger language plpgsql as $$ begin return new; end $$",
            "create trigger touch before update on parted for each row execute function touch()",
        ),
        rows=PARTED_ROWS,
    ),
    Kind(
        "domain.not_valid",
        positive(),
        positive("alter domain pos add constraint above check (value > 5) not valid"),
        rows=("insert into t (d) values (1)",),
        checks=(kept("select d from t", 1),),
    ),
    Kind(
        "domain.not_valid_to_valid",
        positive("alter domain pos add constraint above check (value > 5) not valid"),
        positive("alter domain pos add constraint above check (value > 5)"),
        rows=("insert into t (d) values (7)",),
        checks=(kept("select d from t", 7),),
    ),
    said("listener.collation", (), COLLATIONS),
    said("listener.collation_drop", COLLATIONS, (), x=("drop=by_bytes", "drop=plain")),
    said("listener.text_search", (), SEARCH),
    said("listener.text_search_drop", SEARCH, (), x=("drop=ours", "drop=short")),
    said(
        "listener.text_search_change",
        (*SEARCH, "create index by_text on t using gin (to_tsvector('ours', name))"),
        (
            *SEARCH,
            "alter text search configuration ours alter mapping for word with simple",
            "create index by_text on t using gin (to_tsvector('ours', name))",
        ),
    ),
    said(
        "listener.typed_table",
        (),
        ("create type pair as (a int, b int)", "create table pairs of pair"),
        refusal="Table pairs is one of the type pair: make it by a revision written by hand",
    ),
    said(
        "listener.foreign_table",
        (),
        ("create foreign table far_t (id int) server far",),
        prepare=("create extension postgres_fdw", "create server far foreign data wrapper postgres_fdw"),
        refusal="Table far_t is one of another server: make it by a revision written by hand",
    ),
    Kind(
        "view.of_retyped_column_keeps_privileges",
        listening(VIEW),
        listening(VIEW, models=lambda m: t(m, Column("n", BigInteger), Column("name", Text))),
        rows=ROWS,
        handmade=(*ROLES, "grant select on v to plinth_reader"),
        x=("rewrite=t.n",),
        checks=(kept("select has_table_privilege('plinth_reader', 'v', 'select')", True),),
    ),
]
