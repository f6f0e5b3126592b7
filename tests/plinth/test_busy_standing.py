"""A column gets another type under what stands on it, while an application reads and writes through that."""
# ruff: noqa: S608 - SQL made of constants

import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine, MetaData
from sqlalchemy.dialects.postgresql import DOMAIN

from app import database
from plinth.autogenerate.change.refusals import Refusal
from tests.plinth.history import History, clear, do, rows
from tests.plinth.interruptions import take_back
from tests.plinth.kinds.kind import NAMING_CONVENTION, also
from tests.plinth.project import Project
from tests.plinth.test_busy_tables import at_work, begun, write
from tests.plinth.test_kinds import major_version

ROWS = 5000
FILL = f"insert into goods (price, name) select n, 'name ' || n from generate_series(1, {ROWS}) n"
VIEWS = (
    "create view dear as select id, price, name from goods where price > 1",
    "create view dearest as select d.id, d.price, g.name from goods g join dear d using (id)",
)
READ_AND_WRITE = (
    "update goods set price = price + 1, name = cast(:state as text) where id = :id + 1 returning price",
    "insert into goods (price, name) values (:id, 'mine') returning id",
    "delete from goods where id = (select max(id) from goods where name = 'mine' and price = :id) "
    "returning id",
)


def models(kind: type[sa.types.TypeEngine[int]], *statements: str) -> MetaData:
    """Return goods with a price, and statements that make what stands on it."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    table = sa.Table(
        "goods",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("price", kind, nullable=False, server_default="0"),
        sa.Column("name", sa.Text, index=True),
        sa.Column("stamped", sa.Integer, nullable=False, server_default="0"),
    )
    for statement in statements:
        also(table, statement)
    return metadata


Begin = Callable[..., tuple[History, list[str]]]


@pytest.fixture
def begin(project: Project, empty_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """Let a table stand with what stands on it, and rows; and write the revisions that widen its prices."""

    def begun(*statements: str, by_hand: Sequence[str] = ()) -> tuple[History, list[str]]:
        monkeypatch.setenv("DATABASE_URL", empty_engine.url.render_as_string(hide_password=False))
        found = clear(project)
        write(found, empty_engine, models(sa.Integer, *statements))
        command.upgrade(found.config(empty_engine), "head")
        for statement in (FILL, *by_hand):
            do(empty_engine.url, statement)
        return found, write(found, empty_engine, models(sa.BigInteger, *statements))

    return begun


def to_and_fro(history: History, engine: Engine, written: list[str], *statements: str) -> list[Exception]:
    """Go up, down and up while an application is at work; return its errors."""
    with at_work(database.engine.__wrapped__(), (*statements, *READ_AND_WRITE)) as errors:
        command.upgrade(history.config(engine), "head")
        command.downgrade(history.config(engine), f"-{len(written)}")
        command.upgrade(history.config(engine), "head")
    assert rows(engine.url, "select pg_typeof(price)::text from goods limit 1") == [("bigint",)]
    return errors


@pytest.mark.slow
def test_who_reads_and_writes_through_views_notices_nothing(begin: Begin, empty_engine: Engine) -> None:
    history, written = begin(*VIEWS)
    errors = to_and_fro(
        history,
        empty_engine,
        written,
        "select price, name from dear where id = :id + 1",
        "select a.price, b.name from dearest a join goods b using (id) where a.id = :id + 1",
        "update dear set price = price + 1 where id = :id + 1 returning price",
        "select sum(price) from dearest where id < 10",
    )
    assert errors == []
    do(empty_engine.url, "update dear set price = 3000000000 where id = 2")
    assert rows(empty_engine.url, "select price from dearest where id = 2") == [(3000000000,)]


TRIGGERS = (
    "create table seen (good_id int, was numeric, is_now numeric)",
    "create function stamp() returns trigger language plpgsql as "
    "$$ begin if new.price > 1 then new.stamped := new.stamped + 1; end if; return new; end $$",
    "create function see() returns trigger language plpgsql as "
    "$$ begin insert into seen values (new.id, old.price, new.price); return null; end $$",
    "create trigger stamp before update on goods for each row execute function stamp()",
    "create trigger see after update of price on goods for each row "
    "when (old.price is distinct from new.price) execute function see()",
)


@pytest.mark.slow
def test_triggers_fire_for_the_application_and_not_for_what_fills(begin: Begin, empty_engine: Engine) -> None:
    history, written = begin(*TRIGGERS)
    errors = to_and_fro(history, empty_engine, written, "select stamped from goods where id = :id + 1")
    assert errors == []
    url = empty_engine.url
    [(updated, seen)] = rows(
        url,
        "select (select sum(stamped)::int from goods), "
        "(select count(*)::int from seen where is_now = was + 1)",
    )
    assert updated == seen > 4
    assert rows(url, "select sum(price - id)::int from goods where id in (2, 3)") == [(seen,)]
    assert rows(url, "select count(*) from goods where stamped > 0") == [(2,)]


MATERIALIZED = (
    *VIEWS,
    "create materialized view stock as select d.id, d.price, g.name from goods g join dear d using (id)",
    "create unique index stock_id on stock (id)",
    "create index on stock (price) where price > 10",
    "comment on materialized view stock is 'refreshed at night'",
    "create materialized view sums as select name, sum(price) as price from stock group by name",
    "create materialized view none_yet as select id, price from stock",
    "create view shown as select price from sums",
)


@pytest.mark.slow
def test_who_reads_materialized_views_always_finds_rows(
    begin: Begin, empty_engine: Engine, role: str
) -> None:
    history, written = begin(*MATERIALIZED)
    url = empty_engine.url
    do(
        url,
        f"create role {role}; grant select on stock, shown to {role}; "
        f"grant create on schema public to {role}",
    )
    do(url, f"alter materialized view none_yet owner to {role}")
    do(url, "refresh materialized view stock; refresh materialized view sums")
    do(url, "refresh materialized view none_yet with no data")
    errors = to_and_fro(
        history,
        empty_engine,
        written,
        "select 1 / count(price) from stock where id = :id + 1000",  # fails if the row isn't there
        "select 1 / count(*) from shown where price > 0",
        "select s.price, g.price from goods g join stock s using (id) where g.id = :id + 2000",
    )
    assert errors == []
    filled = (
        "select relname, relispopulated, pg_get_userbyid(relowner) = %s from pg_class where relkind = 'm'"
    )
    assert sorted(rows(url, filled.replace("%s", f"'{role}'"))) == [
        ("none_yet", False, True),
        ("stock", True, False),
        ("sums", True, False),
    ]
    assert rows(url, f"select has_table_privilege('{role}', 'stock', 'select')") == [(True,)]
    do(url, "update goods set price = 3000000000 where id = 2; refresh materialized view concurrently stock")
    assert rows(url, "select price from stock where id = 2") == [(3000000000,)]


@pytest.mark.slow
def test_one_that_is_not_filled_stays_so_though_another_one_reads_it(
    begin: Begin, empty_engine: Engine
) -> None:
    history, written = begin(*MATERIALIZED)
    url, config = empty_engine.url, history.config(empty_engine)
    do(url, "refresh materialized view stock; refresh materialized view sums")
    do(url, "refresh materialized view stock with no data")
    command.upgrade(config, "head")
    command.downgrade(config, f"-{len(written)}")
    assert rows(url, "select count(*), sum(price) from sums") == [(ROWS - 1, sum(range(2, ROWS + 1)))]
    command.upgrade(config, "head")
    assert rows(url, "select count(*), sum(price) from sums") == [(ROWS - 1, sum(range(2, ROWS + 1)))]
    assert rows(url, "select relispopulated from pg_class where relname = 'stock'") == [(False,)]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_what_an_interrupted_way_under_materialized_views_has_done_is_taken_back(
    begin: Begin, empty_engine: Engine, part: int
) -> None:
    history, written = begin(*MATERIALIZED, *POLICIES[:2])
    do(empty_engine.url, "refresh materialized view stock; refresh materialized view sums")
    content = "select (select sum(price) from stock), (select sum(price) from shown)"
    take_back(history, empty_engine, written[0], content, slice(1 + 2 * part, None, 8))


PUBLICATIONS = (
    "create publication listed for table goods (id, price)",
    "create publication few for table goods (id, price, name) where (price > 10 and name <> 'it''s') "
    "with (publish = 'insert')",
    "create publication beside for table goods (id, name)",
)
PUBLISHED = """
    select pubname, array(select unnest(attnames) order by 1)::text, rowfilter
    from pg_publication_tables order by 1
    """
# The view pg_publication_tables asks for each table anew, and sees commits that its query doesn't.
IS_PUBLISHED = """
    select 1 / count(*) from pg_publication p join pg_publication_rel on prpubid = p.oid
    cross join unnest(prattrs::int2[]) number join pg_attribute on attrelid = prrelid and attnum = number
    where pubname = 'listed' and attname = 'price' and :id > 0
    """


@pytest.mark.slow
def test_publications_name_the_column_all_the_time(begin: Begin, empty_engine: Engine) -> None:
    history, written = begin(by_hand=PUBLICATIONS)
    published = [
        ("beside", "{id,name}", None),
        ("few", "{id,name,price}", "((price > 10) AND (name <> 'it''s'::text))"),
        ("listed", "{id,price}", None),
    ]
    assert rows(empty_engine.url, PUBLISHED) == published
    assert to_and_fro(history, empty_engine, written, IS_PUBLISHED) == []
    assert rows(empty_engine.url, PUBLISHED) == published


@pytest.mark.slow
def test_what_an_interrupted_way_of_published_columns_has_done_is_taken_back(
    begin: Begin, empty_engine: Engine
) -> None:
    history, written = begin(by_hand=PUBLICATIONS)
    take_back(history, empty_engine, written[0], PUBLISHED, slice(3, None, 3))


ROLE = f"plinth_test_shop_{secrets.token_hex(4)}"
POLICIES = (
    "alter table goods enable row level security",
    "create policy dear on goods as restrictive for select using (price <> 4000)",
    "create policy all_of_them on goods using (price > 0) with check (price < 1000000 or name <> 'mine')",
    "create statistics together on price, name from goods",
)
PRIVILEGES = f"""
    create role {ROLE};
    grant select (id, price, name), insert (price, name), update (price, name) on goods to {ROLE};
    grant delete on goods to {ROLE};
    grant usage on sequence goods_id_seq to {ROLE};
    """


@pytest.fixture
def role(empty_engine: Engine) -> Iterator[str]:
    """The name of a role that doesn't own the table; it is made by `PRIVILEGES`."""
    yield ROLE
    do(empty_engine.url, f"drop owned by {ROLE}; drop role {ROLE}")


@pytest.mark.slow
def test_policies_and_privileges_hold_all_the_time(
    begin: Begin, empty_engine: Engine, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, written = begin(*POLICIES)
    url = empty_engine.url
    do(url, PRIVILEGES)
    as_role = url.update_query_dict({"options": f"-c role={role}"})
    monkeypatch.setenv("DATABASE_URL", as_role.render_as_string(hide_password=False))
    errors = to_and_fro(
        history,
        empty_engine,
        written,
        "select 1 / (2 - count(*)) from goods where id in (4000, 1000 + :id)",  # fails if both are seen
        "select 1 / count(price) from goods where id = :id + 1000",  # fails if it isn't seen
    )
    assert errors == []
    may = "select has_column_privilege('{0}', 'goods', '{1}', 'select')"
    assert rows(url, may.format(role, "price")) == [(True,)]
    assert rows(url, may.format(role, "stamped")) == [(False,)]
    assert rows(as_role, "select count(*) from goods where id = 4000") == [(0,)]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))
def test_what_an_interrupted_way_has_done_is_taken_back(
    begin: Begin, empty_engine: Engine, part: int
) -> None:
    history, written = begin(*VIEWS, *TRIGGERS, *POLICIES)
    content = "select (select sum(price) from dear), (select sum(stamped) from goods)"
    take_back(history, empty_engine, written[0], content, slice(1 + 2 * part, None, 6))


VIRTUAL = (
    "alter table goods add twice bigint not null generated always as (price * 2) virtual",
    "alter table goods add constraint twice_as_much check (twice >= price)",
    "comment on column goods.twice is 'for two'",
    "create view doubled as select id, price, twice from goods where twice > 0",
)


@pytest.fixture
def of_virtual(begin: Begin, empty_engine: Engine) -> tuple[History, list[str]]:
    """Revisions by which what a virtual column is generated from gets another type."""
    if major_version(empty_engine.url) < 18:
        pytest.skip("PostgreSQL 18")
    return begin(*VIRTUAL)


@pytest.mark.slow
def test_what_a_virtual_column_is_generated_from_gets_another_type(
    of_virtual: tuple[History, list[str]], empty_engine: Engine
) -> None:
    errors = to_and_fro(
        of_virtual[0],
        empty_engine,
        of_virtual[1],
        "select twice from goods where id = :id + 1 and twice = price * 2",
        "select price, twice from doubled where id = :id + 1",
    )
    assert errors == []
    do(empty_engine.url, "update goods set price = 3000000000 where id = 2")
    assert rows(empty_engine.url, "select twice from doubled where id = 2") == [(6000000000,)]


@pytest.mark.slow
def test_what_an_interrupted_exchange_under_a_virtual_column_has_done_is_taken_back(
    of_virtual: tuple[History, list[str]], empty_engine: Engine
) -> None:
    history, written = of_virtual
    take_back(history, empty_engine, written[0], "select sum(twice) from doubled", slice(1, None, 4))


def test_what_is_generated_from_a_column_is_refused_with_the_way_by_hand(
    project: Project, empty_engine: Engine
) -> None:
    history = clear(project)

    def generating(kind: type[sa.types.TypeEngine[int]]) -> MetaData:
        found = models(kind)
        twice = sa.Column("twice", sa.BigInteger, sa.Computed("price * 2", persisted=True))
        found.tables["goods"].append_column(twice)
        return found

    write(history, empty_engine, generating(sa.Integer))
    command.upgrade(history.config(empty_engine), "head")
    why = "add a second stored column: let a trigger fill"
    with pytest.raises(Refusal, match=f"twice is generated from it, and .*{why}"):
        write(history, empty_engine, generating(sa.BigInteger))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"type_": sa.Text}, {"info": {"using": "v::integer + g", "using_back": "v::text"}}),
        ({"type_": sa.SmallInteger}, {"nullable": False, "info": {"backfill": "g"}}),
    ],
)
def test_an_expression_of_a_generated_column_is_refused(
    project: Project, empty_engine: Engine, old: dict[str, Any], new: dict[str, Any]
) -> None:
    def having(said: dict[str, Any]) -> MetaData:
        metadata = MetaData(naming_convention=NAMING_CONVENTION)
        columns = (sa.Column("id", sa.Integer, primary_key=True), sa.Column("v", **said))
        sa.Table("t", metadata, *columns, sa.Column("g", sa.Integer, sa.Computed("id + 1", persisted=True)))
        return metadata

    history = begun(project, empty_engine, having(old))
    with pytest.raises(Refusal, match="names g, which is generated"):
        write(history, empty_engine, having({"type_": sa.Integer, **new}))


def test_a_column_of_a_domain_that_refuses_null_is_refused(project: Project, empty_engine: Engine) -> None:
    def of(kind: sa.types.TypeEngine[int]) -> MetaData:
        metadata = MetaData(naming_convention=NAMING_CONVENTION)
        sa.Table("t", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("a", kind))
        return metadata

    history = begun(project, empty_engine, of(DOMAIN("given", sa.Integer, not_null=True)))
    with pytest.raises(Refusal, match="nothing gives the old column values any more"):
        write(history, empty_engine, of(sa.BigInteger()))


def test_a_materialized_view_that_needs_a_primary_key_is_refused_by_name(begin: Begin) -> None:
    grouped = "create materialized view each as select id, name, sum(price) as sums from goods group by id"
    why = r"view public\.each groups by a primary key and shows other columns.*rewrite=goods\.price"
    with pytest.raises(Refusal, match=why):
        begin(grouped)


@pytest.mark.parametrize(
    ("made", "named"),
    [
        ("create view rich as select id from goods where price > 100", "rule _RETURN on view rich"),
        ("create policy rich on goods using (price > 100)", "policy rich on table goods"),
        (
            "create publication rich for table goods (id, price)",
            "publication of table goods in publication rich",
        ),
    ],
)
def test_what_no_revision_knows_is_named_before_it_would_read_the_old_column(
    begin: Begin, empty_engine: Engine, made: str, named: str
) -> None:
    history, _ = begin()
    do(empty_engine.url, made)
    with pytest.raises(CommandError, match=f"{named} stands on goods.price, and no revision knows of it"):
        command.upgrade(history.config(empty_engine), "head")
    assert rows(empty_engine.url, "select pg_typeof(price)::text from goods limit 1") == [("integer",)]
    name = named.removeprefix("rule _RETURN on ").removeprefix("publication of table goods in ")
    do(empty_engine.url, f"drop {name.replace(' table ', ' ')}")
    command.upgrade(history.config(empty_engine), "head")
    assert rows(empty_engine.url, "select pg_typeof(price)::text from goods limit 1") == [("bigint",)]


def loose(kind: type[sa.types.TypeEngine[int]], comment: str | None = None) -> MetaData:
    """Return a table with odd names, on whose column nothing stands."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    column = sa.Column("100% : n", kind, comment=comment)
    sa.Table("loose % :x", metadata, sa.Column("id", sa.Integer, primary_key=True), column)
    return metadata


LOOSE, N = '"loose % :x"', '"100% : n"'


def test_a_trigger_that_the_database_has_disabled_stays_so(begin: Begin, empty_engine: Engine) -> None:
    history, written = begin(*TRIGGERS[1::2])
    do(empty_engine.url, "alter table goods disable trigger stamp")
    for move, to in ((command.upgrade, "head"), (command.downgrade, f"-{len(written)}")):
        move(history.config(empty_engine), to)
        states = "select tgname, tgenabled::text from pg_trigger where not tgisinternal"
        assert rows(empty_engine.url, states) == [("stamp", "D")]
        assert rows(empty_engine.url, "select max(stamped) from goods") == [(0,)]


def test_an_identity_keeps_what_it_has_in_the_database(project: Project, empty_engine: Engine) -> None:
    def of(kind: type[sa.types.TypeEngine[int]]) -> MetaData:
        metadata = MetaData(naming_convention=NAMING_CONVENTION)
        column = sa.Column("id", kind, sa.Identity(), primary_key=True)
        sa.Table("50% t", metadata, column, sa.Column("a", sa.Integer))
        return metadata

    history = begun(project, empty_engine, of(sa.Integer), 'insert into "50% t" (a) values (1)')
    written = write(history, empty_engine, of(sa.BigInteger))
    do(
        empty_engine.url,
        'alter sequence "50% t_id_seq" increment 10 cache 5 minvalue -7 maxvalue 9000 start 3 cycle',
    )
    steps = (
        "select seqincrement, seqcache, seqmin, seqmax, seqstart, seqcycle from pg_sequence "
        "where seqrelid = '\"50% t_id_seq\"'::regclass"
    )
    for move, to in ((command.upgrade, written[0]), (command.downgrade, "-1")):
        move(history.config(empty_engine), to)
        assert rows(empty_engine.url, steps) == [(10, 5, -7, 9000, 3, True)]
    do(empty_engine.url, 'insert into "50% t" (a) values (2)')
    assert rows(empty_engine.url, 'select id from "50% t" order by id') == [(1,), (11,)]


def test_what_only_the_database_has_on_a_view_doesnt_go_with_it(
    begin: Begin, empty_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    history, _ = begin(
        "create view dear as select id, price from goods",
        "create materialized view sums as select sum(price) from goods",
    )
    do(
        empty_engine.url,
        "create function f() returns trigger language plpgsql as 'begin return null; end'; "
        "create trigger ours instead of insert on dear for each row execute function f(); "
        "alter view dear set (security_barrier); create index ours on sums (sum)",
    )
    with pytest.raises(CommandError, match=r"trigger ours on view .*dear: no revision knows of it"):
        command.upgrade(history.config(empty_engine), "head")
    do(empty_engine.url, "drop trigger ours on dear")
    command.upgrade(history.config(empty_engine), "head")
    assert rows(empty_engine.url, "select max(price) from dear") == [(ROWS,)]
    options = "select reloptions from pg_class where relname = 'dear'"
    assert rows(empty_engine.url, options) == [(["security_barrier=true"],)]
    assert "sums is made anew, and had this: index ours" in caplog.text


def test_a_sequence_that_only_the_database_has_goes_over(project: Project, empty_engine: Engine) -> None:
    history = begun(project, empty_engine, loose(sa.Integer))
    written = write(history, empty_engine, loose(sa.BigInteger))
    do(empty_engine.url, f"create sequence ours owned by {LOOSE}.{N}")
    command.upgrade(history.config(empty_engine), "head")
    command.downgrade(history.config(empty_engine), f"-{len(written)}")
    assert rows(empty_engine.url, "select nextval('ours')") == [(1,)]


@pytest.mark.parametrize(
    ("made", "named", "away"),
    [
        (f"create unique index ours on {LOOSE} ({N})", "index ours", "drop index ours"),
        (f"create index ours on {LOOSE} (abs({N}))", "index ours", "drop index ours"),
        (
            f"alter table {LOOSE} add constraint ours check ({N} < 99)",
            f"constraint ours on table {LOOSE}",
            f"alter table {LOOSE} drop constraint ours",
        ),
        (
            f"alter table {LOOSE} alter {N} set default 3",
            f"default value for column 100% : n_old of table {LOOSE}",
            f"alter table {LOOSE} alter {N} drop default",
        ),
        (
            f"alter table {LOOSE} alter {N} set not null",
            f"NOT NULL of table {LOOSE}",
            f"alter table {LOOSE} alter {N} drop not null",
        ),
        (
            f"create statistics ours on id, {N} from {LOOSE}",
            "statistics object ours",
            "drop statistics ours",
        ),
        (f"create view ours as select {N} from {LOOSE}", "rule _RETURN on view ours", "drop view ours"),
        (
            f"create table ours () inherits ({LOOSE})",
            "table ours, which inherits from it,",
            "drop table ours",
        ),
    ],
)
def test_what_only_the_database_has_on_a_column_doesnt_stay_with_the_old_one(
    project: Project, empty_engine: Engine, made: str, named: str, away: str
) -> None:
    url = empty_engine.url
    history = begun(project, empty_engine, loose(sa.Integer), f"insert into {LOOSE} ({N}) values (1)")
    first, _ = write(history, empty_engine, loose(sa.BigInteger))
    do(url, made)
    with pytest.raises(CommandError) as raised:
        command.upgrade(history.config(empty_engine), "head")
    assert f"{named} stands on {LOOSE}.{N}, and no revision knows of it" in str(raised.value)
    assert rows(url, f"select {N} from {LOOSE}") == [(1,)]
    do(url, away)
    command.upgrade(history.config(empty_engine), first)
    assert rows(url, f"select pg_typeof({N})::text from {LOOSE}") == [("bigint",)]
    do(url, made)
    with pytest.raises(CommandError) as raised:
        command.downgrade(history.config(empty_engine), "-1")
    assert named.replace("_old", "_new") in str(raised.value)
    do(url, away)
    command.downgrade(history.config(empty_engine), "-1")
    assert rows(url, f"select pg_typeof({N})::text from {LOOSE}") == [("integer",)]


def test_a_comment_that_goes_together_with_a_type_goes(project: Project, empty_engine: Engine) -> None:
    history = begun(project, empty_engine, loose(sa.Integer, "it's what"))
    written = write(history, empty_engine, loose(sa.BigInteger))
    config = history.config(empty_engine)
    comment = "select col_description(attrelid, attnum) from pg_attribute where attname = '100% : n'"
    command.upgrade(config, "head")
    assert rows(empty_engine.url, comment) == [(None,)]
    command.downgrade(config, f"-{len(written)}")
    assert rows(empty_engine.url, comment) == [("it's what",)]
