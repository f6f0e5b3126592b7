"""What a column has, whoever made it, is there when another column has taken its place."""
# ruff: noqa: S608 - SQL made of constants

import secrets
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import Engine, MetaData
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from tests.plinth.history import do, rows
from tests.plinth.judge import difference, dump
from tests.plinth.kinds.kind import NAMING_CONVENTION, also
from tests.plinth.project import Project
from tests.plinth.test_busy_tables import begun, write
from tests.plinth.test_what_a_table_has import go, head

READER = f"plinth_{secrets.token_hex(4)}"
FILL = """
    insert into shops select n from generate_series(1, 50) n;
    insert into goods (code, price, weight, shop_id)
    select 'code ' || n, n, n, 1 + n % 50 from generate_series(1, 2000) n;
    insert into orders (good_id) select id from goods;
    """
OF_MODELS = (
    "create function stamp() returns trigger language plpgsql as $$ begin return new; end $$",
    "create trigger stamp before update of price on goods for each row execute function stamp()",
    "create trigger each before update on goods for each row execute function stamp()",
    "create trigger every before insert or update on goods "
    "for each row when (new.price > 3) execute function stamp()",
    "create statistics of_goods on price, weight from goods",
    "create policy all_of_them on goods using (price > -1)",
    "create view dear as select id, price from goods where price > 1",
)
BY_HAND = (
    "comment on column goods.price is 'in cents'",
    "comment on column goods.id is 'a number'",
    "comment on constraint pk_goods on goods is 'the key'",
    "comment on constraint goods_shop_id_id on goods is 'unique in a shop'",
    "comment on constraint ck_goods_price on goods is 'no debts'",
    "comment on constraint fk_orders_good_id_goods on orders is 'its good'",
    "comment on index ix_goods_price is 'by price'",
    "comment on index pk_goods is 'index of the key'",
    "comment on sequence goods_id_seq is 'numbers'",
    "comment on policy all_of_them on goods is 'all'",
    "comment on statistics of_goods is 'both'",
    "comment on view dear is 'not cheap'",
    "comment on column dear.price is 'high'",
    "alter index ix_goods_price set (fillfactor = 72)",
    "alter index pk_goods set (fillfactor = 73)",
    "alter index goods_abs alter column 1 set statistics 75",
    "alter table goods alter price set statistics 200, alter price set (n_distinct = 5)",
    "alter table goods alter id set statistics 201, alter id set (n_distinct = 6)",
    "alter table goods alter weight set storage external",
    "alter table goods alter weight set compression pglz",
    "alter statistics of_goods set statistics 300",
    "alter table goods replica identity using index goods_shop_id_id",
    "alter table goods cluster on ix_goods_price",
    "alter sequence goods_id_seq increment 3 cache 2",
    "create sequence goods_extra owned by goods.price",
    f"create role {READER}",
    f"grant select on goods, dear to {READER}; grant update (price), select (id) on goods to {READER}",
    f"grant usage on sequence goods_id_seq to {READER}",
    "alter view dear set (security_barrier = true)",
)
# What no model or revision knows of, or knows otherwise.
ALONE = (
    "create or replace view dear with (security_barrier = true) as "
    "select id, price, code from goods where price > 2",
    "create trigger by_hand instead of insert on dear for each row execute function stamp()",
    "drop trigger stamp on goods",
    "create trigger stamp before insert or update of price on goods "
    "for each row when (new.price > 3) execute function stamp()",
    "comment on trigger stamp on goods is 'stamps'",
    "alter table goods enable always trigger stamp",
    "drop trigger each on goods",
    "create trigger each after update on goods for each row when (new.price > 4) execute function stamp()",
    "comment on trigger each on goods is 'each'",
    "alter table goods disable trigger each",
    "alter table goods enable replica trigger every",
    "create constraint trigger by_hand after update of price on goods deferrable initially deferred "
    "for each row when (new.price > 3) execute function stamp()",
    "alter table goods disable trigger by_hand",
    "alter policy all_of_them on goods using (price > -3 or code in ('a', 'b'))",
    "create policy by_hand on goods as restrictive for select to public using (price > -2)",
    "comment on policy by_hand on goods is 'by hand'",
    "drop statistics of_goods; create statistics of_goods (mcv) on price, code from goods",
    "create statistics by_hand (mcv) on price, code from goods",
    "create publication of_goods for table goods (id, shop_id, price) where (id > 0), orders",
)


LOOSE, N = '"loose % :x"', '"100% : n"'
ON_COLUMN = (  # what is made, how it is named, and how it goes
    (f"create unique index ours on {LOOSE} ({N})", "index ours on", "drop index ours"),
    (f"create index ours on {LOOSE} (abs({N}))", "index ours on", "drop index ours"),
    (
        f"alter table {LOOSE} add constraint ours check ({N} < 99)",
        f"constraint ours on table {LOOSE} on",
        f"alter table {LOOSE} drop constraint ours",
    ),
    (
        f"alter table {LOOSE} alter {N} set default 3",
        "the default 3 of",
        f"alter table {LOOSE} alter {N} drop default",
    ),
    (
        f"alter table {LOOSE} alter {N} set not null",
        "the NOT NULL of",
        f"alter table {LOOSE} alter {N} drop not null",
    ),
    (f"create view ours as select {N} from {LOOSE}", "view ours on", "drop view ours"),
    (
        f"create function ours() returns bigint begin atomic select max({N}) from {LOOSE}; end",
        "function ours() on",
        "drop function ours",
    ),
    (f"create table ours () inherits ({LOOSE})", "table ours on", "drop table ours"),
)


def models(kind: type[sa.types.TypeEngine[int]]) -> MetaData:
    """Return shops, goods and orders with keys and prices of a type."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    sa.Table("shops", metadata, sa.Column("id", sa.Integer, primary_key=True))
    sa.Table(
        "goods",
        metadata,
        sa.Column("id", kind, sa.Identity(always=True), primary_key=True),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("price", kind, nullable=False, index=True, server_default="0"),
        sa.Column("weight", sa.Numeric(10, 2 if kind is sa.Integer else 3)),
        sa.Column("shop_id", sa.ForeignKey("shops.id", ondelete="CASCADE"), nullable=False),
        sa.Index("goods_abs", sa.text("abs(price)")),
        sa.UniqueConstraint("shop_id", "id", name="goods_shop_id_id"),
        sa.CheckConstraint("price > -100", name="price"),
    )
    sa.Table(
        "orders",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("good_id", kind, sa.ForeignKey("goods.id", ondelete="CASCADE"), index=True),
    )
    for statement in OF_MODELS:
        also(metadata, statement)
    return metadata


@pytest.fixture
def url(empty_engine: Engine) -> Iterator[URL]:
    """A database to which a role belongs that goes with it."""
    yield empty_engine.url
    if rows(empty_engine.url, "select from pg_roles where rolname = %s", READER):
        do(empty_engine.url, f"drop owned by {READER} cascade; drop role {READER}")


def said(url: URL) -> dict[str, str]:
    """Return what a dump says; the columns of a publication stand in another order than they do there."""
    found = dump(url, owners=True)
    of_publication = "Name: of_goods goods; Type: PUBLICATION TABLE; Schema: public"
    listed = found[of_publication].partition("(")[2].partition(")")[0]
    found[of_publication] = found[of_publication].replace(listed, ", ".join(sorted(listed.split(", "))))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("printed", [False, True])
def test_it_is_there_when_another_column_takes_the_place(
    project: Project, empty_engine: Engine, url: URL, *, printed: bool
) -> None:
    history = begun(project, empty_engine, models(sa.Integer), FILL)
    first = head(url)
    write(history, empty_engine, models(sa.BigInteger))
    for statement in (*BY_HAND, *ALONE):
        do(url, statement)
    before = said(url)
    go(history, empty_engine, "head", printed=printed)
    retyped = {name: each for name, each in said(url).items() if each != before.get(name)}
    assert [each.partition(";")[0] for each in sorted(retyped)] == [
        "Name: goods",
        "Name: orders",
    ]
    go(history, empty_engine, first, printed=printed)
    assert difference(before, said(url)) == ""


def loose(kind: type[sa.types.TypeEngine[int]], comment: str | None = None) -> MetaData:
    """Return a table with odd names, on whose column nothing stands."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    column = sa.Column("100% : n", kind, comment=comment)
    sa.Table("loose % :x", metadata, sa.Column("id", sa.Integer, primary_key=True), column)
    return metadata


def test_what_isnt_made_in_a_moment_is_named_before_it_stays_with_the_old_column(
    project: Project, empty_engine: Engine
) -> None:
    url = empty_engine.url
    history = begun(project, empty_engine, loose(sa.Integer), f"insert into {LOOSE} ({N}) values (1)")
    first, _ = write(history, empty_engine, loose(sa.BigInteger))
    for move, to, was in (
        (command.upgrade, first, "integer"),
        (command.downgrade, "-1", "bigint"),
    ):
        for made, named, away in ON_COLUMN:
            do(url, made)
            with pytest.raises(DBAPIError) as raised:
                move(history.config(empty_engine), to)
            assert f"{named} {LOOSE}" in str(raised.value)
            assert " is lost when another one takes the place" in str(raised.value)
            assert rows(url, f"select {N}, pg_typeof({N})::text from {LOOSE}") == [(1, was)]
            do(url, away)
        move(history.config(empty_engine), to)
        assert rows(url, f"select pg_typeof({N})::text from {LOOSE}") != [(was,)]


def test_what_only_the_database_has_on_a_materialized_view_is_named(
    project: Project, empty_engine: Engine
) -> None:
    def of(kind: type[sa.types.TypeEngine[int]]) -> MetaData:
        metadata = loose(kind)
        also(metadata, f"create materialized view sums as select sum({N}) from {LOOSE}")
        return metadata

    url = empty_engine.url
    history = begun(project, empty_engine, of(sa.Integer))
    write(history, empty_engine, of(sa.BigInteger))
    do(url, "create index ours on sums (sum); comment on materialized view sums is 'all'")
    with pytest.raises(DBAPIError, match="index ours on sums is lost"):
        command.upgrade(history.config(empty_engine), "head")
    do(url, "drop index ours")
    command.upgrade(history.config(empty_engine), "head")
    assert rows(url, "select obj_description('sums'::regclass, 'pg_class')") == [("all",)]


def test_a_comment_that_changes_together_with_a_type_is_the_models(
    project: Project, empty_engine: Engine
) -> None:
    history = begun(project, empty_engine, loose(sa.Integer, "it's what"))
    written = write(history, empty_engine, loose(sa.BigInteger))
    config = history.config(empty_engine)
    comment = "select col_description(attrelid, attnum) from pg_attribute where attname = '100% : n'"
    command.upgrade(config, "head")
    assert rows(empty_engine.url, comment) == [(None,)]
    command.downgrade(config, f"-{len(written)}")
    assert rows(empty_engine.url, comment) == [("it's what",)]
