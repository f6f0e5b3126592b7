"""Objects beside tables: made by hand, by listeners, by another application, or said with CreateView."""

from typing import Any

from sqlalchemy import BigInteger, Column, Date, Integer, MetaData, String, Table, Text, schema, select

from tests.plinth.kinds.kind import Kind, Models, also, check, first, kept, t

ROWS = ("insert into t (n, name) values (1, 'a'), (2, 'b')",)
TOUCH = (
    "create function touch() returns trigger language plpgsql as $$ begin new.name := 'x'; return new; end $$"
)
TRIGGER = "create trigger touch before update on t for each row execute function touch()"


def plain(m: MetaData) -> Any:
    return t(m, Column("n", Integer), Column("name", Text))


def grown(m: MetaData) -> Any:
    return t(m, Column("n", Integer), Column("name", Text), Column("more", Integer))


STORAGE = "ALTER TABLE t ALTER COLUMN s SET STORAGE EXTERNAL"


def listening(*statements: str, models: Models = plain) -> Models:
    def made(m: MetaData) -> None:
        models(m)
        for statement in statements:
            also(m, statement)

    return made


def viewing(column: str = "n", *, materialized: bool = False, name: str = "v", more: int = 0) -> Models:
    def made(m: MetaData) -> None:
        table = plain(m)
        schema.CreateView(
            select(table.c.id, table.c[column]).where(table.c.n > more),
            name,
            metadata=m,
            materialized=materialized,
        )

    return made


def unknown(name: str, *statements: str, after: Models = grown, **options: Any) -> Kind:
    return Kind(
        f"unknown.{name}",
        plain,
        after,
        rows=ROWS,
        handmade=statements,
        checks=(kept("select count(*) from t", 2),),
        **options,
    )


def _parted(m: MetaData, *items: Any, name: str = "parted", by: str = "RANGE (d)") -> Any:
    return Table(name, m, Column("d", Date, nullable=False), *items, postgresql_partition_by=by)


def _view_of_bigint(m: MetaData) -> None:
    table = t(m, Column("n", BigInteger), Column("name", Text))
    schema.CreateView(select(table.c.id, table.c.n).where(table.c.n > 0), "v", metadata=m)


KINDS = [
    unknown("view", "create view v as select id, n from t"),
    unknown(
        "view_of_changed_column",
        "create view v as select id, name from t",
        after=lambda m: t(
            m, Column("n", Integer), Column("name", Text, nullable=False, index=True, comment="x")
        ),
    ),
    unknown(
        "materialized_view",
        "create materialized view mv as select n, count(*) from t group by n",
        "create unique index mv_n on mv (n)",
    ),
    unknown("function", "create function f(int) returns int language sql as $$ select $1 + 1 $$"),
    unknown(
        "procedure_and_aggregate",
        "create procedure p() language sql as $$ select 1 $$",
        "create aggregate plus(int) (sfunc = int4pl, stype = int, initcond = '0')",
    ),
    unknown("trigger", TOUCH, TRIGGER),
    unknown(
        "policy",
        "alter table t enable row level security",
        "alter table t force row level security",
        "create policy mine on t for select using (n > 0)",
    ),
    unknown("extension", "create extension citext", "create extension pg_trgm"),
    unknown("grants", "grant select (n), update on t to public"),
    unknown("rule", "create rule quiet as on delete to t do instead nothing"),
    unknown("statistics", "create statistics st on n, name from t"),
    unknown("composite_type", "create type pair as (a int, b int)"),
    unknown(
        "foreign_data_wrapper",
        "create extension postgres_fdw",
        "create server far foreign data wrapper postgres_fdw",
        "create foreign table far_t (id int) server far",
    ),
    unknown("collation", "create collation mine (provider = libc, locale = 'C')"),
    unknown(
        "operator",
        "create function same(int, int) returns bool language sql as $$ select $1 = $2 $$",
        "create operator === (leftarg = int, rightarg = int, function = same)",
    ),
    unknown("publication", "create publication pub for table t"),
    Kind(
        "unknown.foreign_tables",
        plain,
        grown,
        rows=ROWS,
        foreign=(
            "create table theirs (id int primary key, n int)",
            "insert into theirs values (1, 1)",
            "create index on theirs (n)",
            "create view theirs_v as select n from theirs",
            "create type theirs_e as enum ('a')",
            "create sequence theirs_s",
        ),
        checks=(kept("select count(*) from theirs", 1),),
    ),
    Kind(
        "unknown.foreign_view_on_our_table",
        plain,
        grown,
        rows=ROWS,
        handmade=("create view v as select id, n, name from t",),
    ),
    Kind(
        "unknown.handmade_partition",
        _parted,
        lambda m: _parted(m, Column("n", Integer, index=True)),
        handmade=(
            "create table parted_24 partition of parted for values from ('2024-01-01') to ('2025-01-01')",
        ),
        rows=("insert into parted (d) values ('2024-05-05')",),
        checks=(kept("select count(*) from parted", 1),),
    ),
    Kind("partition.create", plain, lambda m: (plain(m), _parted(m))),
    Kind("partition.drop", lambda m: (plain(m), _parted(m)), plain, x=("drop=parted",)),
    Kind(
        "partition.by_hash_and_list",
        plain,
        lambda m: (
            plain(m),
            t(m, name="h", postgresql_partition_by="HASH (id)"),
            _parted(m, name="l", by="LIST (d)"),
        ),
    ),
    Kind("partition.add_column_and_index", _parted, lambda m: _parted(m, Column("n", Integer, index=True))),
    Kind(
        "partition.by_listener",
        plain,
        lambda m: (
            plain(m),
            also(
                _parted(m),
                "CREATE TABLE parted_24 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
            ),
        ),
    ),
    Kind("view.create", plain, viewing(), rows=ROWS, checks=(check("select count(*) from v", up=2),)),
    Kind(
        "view.drop",
        viewing(),
        plain,
        rows=ROWS,
        checks=(check("select count(*) from v", down=2),),
        x=("drop=v",),
    ),
    Kind(
        "view.change_where",
        viewing(),
        viewing(more=1),
        rows=ROWS,
        checks=(check("select count(*) from v", up=1, down=2),),
    ),
    Kind(
        "view.change_columns",
        viewing(),
        viewing("name"),
        rows=ROWS,
        checks=(check("select count(name) from v", up=2),),
    ),
    Kind(
        "view.materialized_create",
        plain,
        viewing(materialized=True),
        rows=ROWS,
        checks=(check("select count(*) from v", up=2),),
    ),
    Kind("view.materialized_drop", viewing(materialized=True), plain, rows=ROWS, x=("drop=v",)),
    Kind("view.to_materialized", viewing(), viewing(materialized=True), rows=ROWS),
    Kind("view.stays", viewing(), lambda m: (viewing()(m), t(m, name="u"))),
    Kind("view.noop", viewing(), viewing()),
    Kind(
        "view.new_table_and_view",
        lambda m: t(m, name="u"),
        lambda m: (t(m, name="u"), viewing(name="a_view")(m)),
    ),
    Kind(
        "view.of_retyped_column",
        viewing(),
        _view_of_bigint,
        rows=ROWS,
        checks=(kept("select sum(n)::int from v", 3),),
    ),
    Kind(
        "listener.index",
        plain,
        lambda m: also(plain(m), "CREATE INDEX by_listener ON t (n) WHERE n > 0"),
        rows=ROWS,
    ),
    Kind(
        "listener.function_and_trigger",
        plain,
        listening(TOUCH, TRIGGER),
        rows=ROWS,
        checks=(check("update t set n = n where id = 1 returning name", up="x", down="a"),),
    ),
    Kind(
        "listener.function_and_trigger_drop",
        listening(TOUCH, TRIGGER),
        plain,
        rows=ROWS,
        checks=(check("update t set n = n where id = 1 returning name", up="a", down="x"),),
        x=("drop=touch",),
    ),
    Kind(
        "listener.function_change",
        listening(TOUCH, TRIGGER),
        listening(TOUCH.replace("'x'", "'100% :y'"), TRIGGER),
        rows=ROWS,
        checks=(check("update t set n = n where id = 1 returning name", up="100% :y", down="x"),),
    ),
    Kind(
        "listener.view",
        plain,
        listening("create view lv as select n from t"),
        rows=ROWS,
        checks=(check("select count(*) from lv", up=2),),
    ),
    Kind(
        "listener.policy",
        plain,
        listening("alter table t enable row level security", "create policy mine on t using (n > 0)"),
        rows=ROWS,
    ),
    Kind(
        "listener.storage",
        plain,
        listening(
            "ALTER TABLE t ALTER COLUMN name SET STORAGE EXTERNAL",
            "ALTER TABLE t ALTER COLUMN n SET STATISTICS 500",
        ),
        rows=ROWS,
    ),
    Kind(
        "listener.storage_of_another_type",
        listening(STORAGE, models=lambda m: t(m, Column("s", String(20)))),
        listening(STORAGE, models=lambda m: t(m, Column("s", Text))),
    ),
    Kind("listener.replica_identity", plain, listening("ALTER TABLE t REPLICA IDENTITY FULL"), rows=ROWS),
    Kind(
        "listener.cluster",
        plain,
        listening("CREATE INDEX ic ON t (n)", "ALTER TABLE t CLUSTER ON ic"),
        rows=ROWS,
    ),
    Kind(
        "listener.extension_first",
        plain,
        lambda m: (first(m, "CREATE EXTENSION IF NOT EXISTS citext"), grown(m)),
        rows=ROWS,
    ),
    Kind(
        "listener.schema_first",
        plain,
        lambda m: (first(m, "CREATE SCHEMA IF NOT EXISTS extra"), plain(m), t(m, name="x", schema="extra")),
        rows=ROWS,
    ),
    Kind("listener.composite_type", plain, listening("create type pair as (a int, b int)"), rows=ROWS),
]
