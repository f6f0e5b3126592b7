"""Columns that get another type online under what stands on them: views, policies and the like."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Enum,
    ForeignKey,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
)

from tests.plinth.kinds.kind import Kind, Models, also, check, kept, t

ROWS = ("insert into t (n, s) values (1, 'a'), (2, 'b'), (null, 'c')",)
SUM = kept("select sum(n)::int from v", 3)
TOUCH = (
    "create function put() returns trigger language plpgsql as "
    "$$ begin insert into t (n, s) values (new.n, 'put'); return new; end $$"
)


def over(kind: Any, *statements: str, more: tuple[str, ...] = ()) -> Models:
    """Return models of a table, with statements that make what stands on its column n."""

    def made(m: MetaData) -> None:
        t(m, Column("n", kind), Column("s", Text), *(Column(each, Text) for each in more))
        for statement in statements:
            also(m, statement)

    return made


def under(name: str, *statements: str, checks: tuple[Any, ...] = (SUM,), **options: Any) -> Kind:
    return Kind(
        f"standing.{name}",
        over(Integer, *statements),
        over(options.pop("kind", BigInteger), *statements),
        rows=ROWS,
        checks=checks,
        **options,
    )


def users(kind: Any, *statements: str) -> Models:
    def made(m: MetaData) -> None:
        Table("users", m, Column("id", kind, primary_key=True), Column("name", Text))
        Table(
            "orders",
            m,
            Column("id", Integer, primary_key=True),
            Column("user_id", kind, ForeignKey("users.id"), index=True),
        )
        for statement in statements:
            also(m, statement)

    return made


def under_key(name: str, *statements: str, checks: tuple[Any, ...] = (), **options: Any) -> Kind:
    return Kind(
        f"standing.{name}",
        users(Integer, *statements),
        users(BigInteger, *statements),
        rows=(
            "insert into users (name) values ('a'), ('b'), ('c')",
            "insert into orders (user_id) values (1), (1), (2), (null)",
        ),
        checks=(check("insert into users (name) values ('d') returning id", up=4, down=5), *checks),
        **options,
    )


def _order_by(m: MetaData, kind: Any) -> None:
    """Put a table in another schema into the models, two columns of which change."""
    Table(
        "Order by",
        m,
        Column("id", Integer, primary_key=True),
        Column("a b", kind),
        Column("n", kind, unique=True),
        schema="billing",
    )


def _odd(m: MetaData, kind: Any) -> None:
    _order_by(m, kind)
    for statement in (
        'create view billing."v 100% :x" as select "a b", n + 1 as "select" from billing."Order by"',
        'create function billing."it\'s"() returns trigger language plpgsql as '
        '$$ begin new."a b" := new."a b" + 1; return new; end $$',
        'create trigger "zz ""new" before update on billing."Order by" for each row '
        "execute function billing.\"it's\"('100% :x')",
        'alter table billing."Order by" enable row level security',
        'create policy "for" on billing."Order by" using (n > "a b")',
        'create statistics billing."on" on "a b", n from billing."Order by"',
    ):
        also(m, statement)


def _moody(m: MetaData, *moods: str) -> None:
    t(m, Column("mood", Enum(*moods, name="mood"), server_default="well"), Column("n", Integer))
    for statement in (
        "create view v as select id, mood from t",
        "create function touch() returns trigger language plpgsql as "
        "$$ begin new.n := coalesce(new.n, 0) + 1; return new; end $$",
        "create trigger touch before update of mood, n on t for each row execute function touch()",
        "create trigger zz before update on t for each row when (old.n is distinct from new.n) "
        "execute function touch()",
    ):
        also(m, statement)


def _stocked(m: MetaData, *moods: str) -> None:
    t(m, Column("mood", Enum(*moods, name="mood"), server_default="well"))
    for statement in (
        "create materialized view v as select id, mood from t where mood <> 'well'::mood",
        "create index v_ill on v (mood) where mood = 'ill'",
    ):
        also(m, statement)


def _odd_views(m: MetaData, kind: Any) -> None:
    _order_by(m, kind)
    for statement in (
        'create view billing."it\'s" as select id, "a b" from billing."Order by"',
        'create materialized view billing."v 100% :x" as select id, "a b" as "select" from billing."it\'s" '
        'where "a b" <> 5',
        'create unique index "i ""100%"" :x" on billing."v 100% :x" (id)',
        "comment on column billing.\"v 100% :x\".\"select\" is '100%: it''s'",
    ):
        also(m, statement)


def _dollars(m: MetaData, kind: Any, *more: Column[Any]) -> None:
    Table(
        "a$$b $keep$",
        m,
        Column("id", Integer, primary_key=True),
        Column("n$$", kind, nullable=False),
        Column("only $change$", kind),
        *more,
    )
    also(m, 'create materialized view "v$$" as select id, "n$$" from "a$$b $keep$"')


VIEW = "create view v as select id, n from t"
TWO = "create view v as select n + s as n from t where s > n - 1 or s > 0"
MATERIALIZED = (
    "create materialized view v as select id, n from t",
    "create unique index v_id on v (id)",
    "comment on index v_id is 'it''s: 100%'",
    'create index "By n" on v (n) where n > 0',
)
LONG = "long" * 15
# Cut to what a name may have, those of the second ones would be the same.
LONG_NAMES = (MATERIALIZED[0], f"create index {LONG}_a on v (id)", f"create index {LONG}_b on v (n)")
POLICIES = (
    "alter table t enable row level security",
    "create policy seen on t for select using (n > 0)",
    "comment on policy seen on t is 'those: 100%'",
    "create policy own on t for insert to public with check (n > 1 or s = current_user)",
)
# Fired by updates of the application's, and by none that fills a column.
TRIGGERS = (
    "create table seen (n numeric)",
    "create function stamp() returns trigger language plpgsql as "
    "$$ begin new.s := new.s || '!'; return new; end $$  -- the new row is another one",
    "create function see() returns trigger language plpgsql as "
    "$$ begin insert into seen values (new.n); return null; end $$",
    "create function hundred() returns trigger language plpgsql as "
    "$$ begin new.n := 100 * new.n; return new; end $$",
    "create trigger stamp before update on t for each row when (old.* is distinct from new.*) "
    "execute function stamp()",
    "create trigger \"it''s 100% :x\" after update on t for each row "
    "execute function see('EXECUTE FUNCTION')",
    "comment on trigger stamp on t is 'it''s'",
    "create trigger zz_hundred before insert or update of n on t for each row when (new.n > 50) "
    "execute function hundred()",
    "create trigger none after update on t execute function see()",
    "alter table t disable trigger none",
)
TRIGGERED = (
    kept("select string_agg(s, ',' order by id) from t", "a,b,c"),
    kept("select count(*) from seen", 0),
    check("update t set n = 60 where id = 1 returning s || n", up="a!6000", down="a!6000"),
    check("insert into t (n) values (70) returning n::int", up=7000, down=7000),
)
TOUCHES = (
    "create function {0}() returns trigger language plpgsql as "
    "$$ begin new.s := case new.s when 'a' then '' else new.s end || '{0}'; return new; end $$"
)
TOUCHING = "before update on t for each row execute function {}()"
PUBLICATIONS = (
    "create publication listed for table t (id, n), table other (id) where (id > 1)",
    "create publication \"Only 100%\" for table t where (n > 0 and s <> 'it''s') with (publish = 'insert')",
    "create publication whole for table t, other",
    "create publication beside for table t (id, s)",
)
PUBLISHED = kept(
    "select count(*) from pg_publication_tables where tablename = 't' and "
    "(pubname, rowfilter is not null, attnames @> '{n}') in "
    "(('listed', false, true), ('Only 100%', true, true), ('beside', false, false), ('whole', false, true))",
    4,
)
STATISTICS = (
    "create statistics st (ndistinct, mcv) on n, s from t",
    "alter statistics st set statistics 77",
    "comment on statistics st is 'it''s'",
)
MATERIALIZED_TWO = TWO.replace("create view", "create materialized view")
SUM_OF_TWO = kept("select sum(n)::int from v", 7)
INDEXED = kept("select count(*) from pg_class where relkind = 'i' and relname in ('v_id', 'By n')", 2)
ANALYZED = kept(
    "select count(*) from pg_statistic_ext_data d join pg_statistic_ext on oid = stxoid "
    "where stxname = 'st' and stxdndistinct is not null",
    1,
)
KINDS = [
    under("view", VIEW),
    under(
        "view_with_all_that_is_said_of_it",
        "create view v with (security_barrier) as select id, n, n as again, s from t where n > 0 "
        "with local check option",
        "comment on view v is 'what it''s for: 100%'",
        "comment on column v.n is 'how many'",
        "alter view v alter column n set default 7",
        TOUCH,
        "create trigger instead instead of update on v for each row execute function put()",
        "create rule quiet as on delete to v do instead nothing",
        checks=(SUM, check("insert into v (s) values ('x') returning n::int", up=7, down=7)),
    ),
    under(
        "views_on_views",
        "create view b as select n, count(*) as many from t group by n",
        "create view a as select b.n, t.s from b join t using (n)",
        "create view v as select a.n from a",
    ),
    under("view_that_prints_otherwise", "create view v as select n from t where n > 0", kind=Numeric(10, 0)),
    under(
        "view_that_names_it_in_a_condition_only",
        "create view v as select id from t where n > 1",
        checks=(kept("select count(*) from v", 1),),
        kind=Numeric(10, 0),
    ),
    Kind(
        "standing.view_of_two_columns_that_change",
        lambda m: (t(m, Column("n", Integer), Column("s", Integer)), also(m, TWO)),
        lambda m: (t(m, Column("n", BigInteger), Column("s", Numeric(10, 0))), also(m, TWO)),
        rows=("insert into t (n, s) values (1, 1), (2, 3)",),
        checks=(SUM_OF_TWO,),
    ),
    under("view_by_hand", handmade=(VIEW,)),
    under("materialized_view", *MATERIALIZED, checks=(SUM, INDEXED)),
    under(
        "materialized_view_with_all_that_is_said_of_it",
        "create materialized view v with (fillfactor = 70) as select id, n, n as again, s from t where n > 0",
        *MATERIALIZED[1:],
        "alter materialized view v cluster on v_id",
        "alter materialized view v alter column n set statistics 500",
        "alter materialized view v alter column n set (n_distinct = 5)",
        "comment on materialized view v is 'what it''s for: 100%'",
        "comment on column v.n is 'how many'",
        checks=(SUM, INDEXED),
        kind=Numeric(10, 0),
    ),
    under(
        "materialized_view_without_rows",
        *(each.replace(" from t", " from t with no data") for each in MATERIALIZED),
        checks=(INDEXED,),
    ),
    under(
        "materialized_views_on_views",
        "create view b as select n, count(*) as many from t group by n",
        "create materialized view a as select b.n, t.s from b join t using (n)",
        "create index a_n on a (n)",
        "create view c as select n, s from a where n > 0",
        "comment on view c is 'c'",
        "create materialized view v as select c.n, b.many from c join b using (n)",
        "create unique index v_n on v (n)",
        "create view d as select v.n, t.s from v join t on t.n = v.n",
        checks=(SUM, kept("select count(*) from d", 2)),
    ),
    under("materialized_view_by_hand", handmade=MATERIALIZED, checks=(SUM, INDEXED)),
    Kind(
        "standing.materialized_view_that_changes_too",
        over(Integer, *MATERIALIZED),
        over(BigInteger, MATERIALIZED[0].replace("id, n", "id, n, s, n > 1 as many"), *MATERIALIZED[1:3]),
        rows=ROWS,
        checks=(SUM,),
    ),
    Kind(
        "standing.materialized_view_that_goes",
        over(Integer, *MATERIALIZED),
        over(BigInteger),
        rows=ROWS,
        x=("drop=v",),
    ),
    Kind(
        "standing.materialized_view_that_comes",
        over(Integer),
        over(BigInteger, *MATERIALIZED),
        rows=ROWS,
        checks=(check("select sum(n)::int from v", up=3),),
    ),
    Kind(
        "standing.materialized_view_of_two_columns_that_change",
        lambda m: (t(m, Column("n", Integer), Column("s", Integer)), also(m, MATERIALIZED_TWO)),
        lambda m: (t(m, Column("n", BigInteger), Column("s", Numeric(10, 0))), also(m, MATERIALIZED_TWO)),
        rows=("insert into t (n, s) values (1, 1), (2, 3)",),
        checks=(SUM_OF_TWO,),
    ),
    Kind(
        "standing.view_that_changes_too",
        over(Integer, VIEW),
        over(BigInteger, "create view v as select id, n, more from t", more=("more",)),
        rows=ROWS,
        checks=(SUM,),
    ),
    Kind(
        "standing.view_that_goes",
        over(Integer, VIEW),
        over(BigInteger),
        rows=ROWS,
        x=("drop=v",),
    ),
    Kind(
        "standing.view_that_comes",
        over(Integer),
        over(BigInteger, VIEW),
        rows=ROWS,
        checks=(check("select sum(n)::int from v", up=3),),
    ),
    Kind(
        "standing.view_of_a_shorter_text",
        lambda m: (t(m, Column("n", Text), Column("s", Text)), also(m, VIEW)),
        lambda m: (t(m, Column("n", String(20)), Column("s", Text)), also(m, VIEW)),
        rows=ROWS,
        checks=(kept("select count(n) from v", 2),),
    ),
    under_key(
        "materialized_view_of_a_key",
        "create materialized view v as select u.id, u.name, count(o.id) as orders from users u "
        "left join orders o on o.user_id = u.id group by u.id, u.name",
        "create unique index v_id on v (id)",
        "create view w as select * from v where orders > 0",
        checks=(kept("select sum(orders)::int from v", 3), kept("select count(*) from w", 2)),
    ),
    Kind(
        "standing.materialized_view_of_an_enum_that_loses_a_value",
        lambda m: _stocked(m, "well", "so so", "ill"),
        lambda m: _stocked(m, "ill", "well"),
        rows=("insert into t (mood) values ('well'), ('ill')",),
        checks=(kept("select count(*) from v where mood::text = 'ill'", 1),),
    ),
    Kind(
        "standing.odd_names_of_materialized_views",
        lambda m: _odd_views(m, Integer),
        lambda m: _odd_views(m, BigInteger),
        prepare=("create schema billing",),
        rows=('insert into billing."Order by" ("a b", n) values (1, 1), (2, 3)',),
        checks=(kept('select sum("select")::int from billing."v 100% :x"', 3),),
    ),
    Kind(
        "standing.dollars_in_names",
        lambda m: _dollars(m, Integer),
        lambda m: _dollars(m, BigInteger, Column("$$", Text, nullable=False, info={"backfill": "'$$'"})),
        rows=('insert into "a$$b $keep$" ("n$$") values (1), (2)',),
        checks=(kept('select sum("n$$")::int from "v$$"', 3),),
    ),
    under("longest_names_of_indexes_of_a_materialized_view", *LONG_NAMES),
    under("policy", *POLICIES, checks=()),
    under("policy_under_a_type_that_prints_otherwise", *POLICIES, checks=(), kind=Numeric(10, 0)),
    under(
        "policy_and_views",
        *POLICIES,
        VIEW,
        "create view w as select count(*) as many from v where n > 1",
        "create policy few on t as restrictive for update to public using (n <= (select many from w))",
    ),
    under_key(
        "policy_of_another_table",
        "alter table orders enable row level security",
        "create policy own on orders using (exists (select from users u where u.id = user_id))",
        "create policy named on users for select using (name = current_user)",
    ),
    under("trigger", *TRIGGERS, checks=TRIGGERED),
    under("triggers_under_a_type_that_prints_otherwise", *TRIGGERS, checks=TRIGGERED, kind=Numeric(10, 0)),
    under_key(
        "trigger_of_a_key",
        "create table seen (id bigint)",
        "create function see() returns trigger language plpgsql as "
        "$$ begin insert into seen values (old.id); return old; end $$",
        "create trigger see after delete on users for each row execute function see()",
        "create constraint trigger zz_see after update on orders deferrable initially deferred "
        "for each row when (old.user_id is distinct from new.user_id) execute function see()",
        "alter table orders disable trigger zz_see",
        checks=(kept("select count(*) from seen", 0),),
    ),
    under(
        "no_trigger_that_uses_whole_rows",
        "create table seen (it jsonb)",
        "create function see() returns trigger language plpgsql as "
        "$$ begin insert into seen values (to_jsonb(new)); return new; end $$",
        "create trigger see after update on t for each row execute function see()",
        checks=(kept("select count(*) from seen", 0),),
        x=("rewrite=t.n",),
    ),
    Kind(
        "standing.trigger_that_calls_another_function",
        over(Integer, TOUCHES.format("one"), "create trigger touch " + TOUCHING.format("one")),
        over(
            BigInteger,
            TOUCHES.format("one"),
            "create table u (id int primary key)",
            "create view w as select n, count(*) as many from t group by n",
            TOUCHES.format("two")
            .replace("new.s :=", "if (select count(*) from w) > 0 then new.s :=")
            .replace("; return", "; end if; return"),
            "create trigger touch " + TOUCHING.format("two"),
            "create trigger again " + TOUCHING.format("one"),
        ),
        rows=ROWS,
        checks=(check("update t set n = 5 where id = 1 returning s", up="onetwo", down="one"),),
    ),
    Kind(
        "standing.odd_names_and_two_columns",
        lambda m: _odd(m, Integer),
        lambda m: _odd(m, BigInteger),
        prepare=("create schema billing",),
        rows=('insert into billing."Order by" ("a b", n) values (1, 1), (2, 3)',),
        checks=(
            kept('select sum("a b")::int from billing."v 100% :x"', 3),
            check('update billing."Order by" set n = 8 where id = 1 returning n + "a b"', up=10, down=10),
        ),
    ),
    Kind(
        "standing.enum_that_loses_a_value",
        lambda m: _moody(m, "well", "so so", "ill"),
        lambda m: _moody(m, "ill", "well"),
        rows=("insert into t (mood) values ('well'), ('ill')",),
        checks=(
            kept("select count(*) from v where mood::text = 'ill'", 1),
            check("update t set mood = 'well' where id = 2 returning n", up=2, down=2),
        ),
    ),
    Kind(
        "standing.publications",
        lambda m: (over(Integer)(m), t(m, Column("n", Integer), name="other")),
        lambda m: (over(BigInteger)(m), t(m, Column("n", Integer), name="other")),
        rows=ROWS,
        handmade=PUBLICATIONS,
        checks=(PUBLISHED,),
        server=15,
    ),
    Kind(
        "standing.publication_of_a_column_that_changes_in_place",
        lambda m: t(m, Column("n", String(10)), Column("s", Text)),
        lambda m: t(m, Column("n", String(20)), Column("s", Text)),
        handmade=("create publication listed for table t (id, n)",),
        rows=("insert into t (n, s) values ('a', 'a')",),
        checks=(kept("select attnames::text from pg_publication_tables", "{id,n}"),),
        server=15,
    ),
    Kind(
        "standing.publication_by_a_column_alone",  # PostgreSQL prints such a filter without parentheses
        lambda m: t(m, Column("done", Boolean), Column("n", Integer)),
        lambda m: t(m, Column("done", Boolean), Column("n", BigInteger)),
        handmade=("create publication p for table t (id, n) where (done) with (publish = 'insert')",),
        rows=("insert into t (done, n) values (true, 1)",),
        checks=(kept("select rowfilter from pg_publication_tables", "done"),),
        server=15,
    ),
    under_key(
        "publication_of_a_key",
        handmade=(
            "create publication p for table users (id), table orders (id, user_id) where (user_id > 0) "
            "with (publish = 'insert')",
        ),
        server=15,
    ),
    under("statistics", *STATISTICS, checks=(ANALYZED,)),
    under(
        "statistics_under_a_type_that_prints_otherwise",
        *STATISTICS,
        "create statistics other on n, (n % 10), s from t",
        checks=(ANALYZED,),
        kind=Numeric(10, 0),
    ),
    under_key(
        "view_of_a_key",
        "create view v as select u.id, u.name, count(o.id) as orders from users u "
        "left join orders o on o.user_id = u.id group by u.id",
        "create view w as select * from v where orders > 0",
        checks=(kept("select sum(orders)::int from v", 3), kept("select count(*) from w", 2)),
    ),
]
