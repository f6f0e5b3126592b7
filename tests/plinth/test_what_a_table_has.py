"""What a table has, whoever made it, is there when another table has taken its place."""

import io
import secrets
import subprocess
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import Engine, MetaData
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from plinth.__main__ import libpq_url, psql
from tests.plinth.history import History, do, rows
from tests.plinth.history import psql as psql_session
from tests.plinth.judge import difference, dump
from tests.plinth.kinds.kind import NAMING_CONVENTION, also
from tests.plinth.project import Project
from tests.plinth.test_busy_tables import begun, write

OWNER = f"plinth_{secrets.token_hex(4)}"
READER = f"plinth_{secrets.token_hex(4)}"
FILL = """
    insert into shops select n from generate_series(1, 50) n;
    insert into goods (code, name, price, shop_id) select 'code ' || n, 'name ' || n, n, 1 + n % 50
    from generate_series(1, 2000) n;
    insert into orders (good_id) select id from goods;
    """
OF_MODELS = (
    "create function stamp() returns trigger language plpgsql as $$ begin return new; end $$",
    "create trigger stamp before update on goods for each row execute function stamp()",
    "create trigger asleep before update on goods for each row execute function stamp()",
    "create statistics of_goods on price, shop_id from goods",
    "create policy all_of_them on goods using (price > -1)",
    "create view dear as select code, price from goods where price > 1",
)
BY_HAND = (
    "comment on table goods is 'what is sold'",
    "comment on column goods.price is 'in cents'",
    "comment on column goods.id is 'a number'",
    "comment on constraint pk_goods on goods is 'the key'",
    "comment on constraint goods_shop_id_id on goods is 'unique in a shop'",
    "comment on constraint ck_goods_price on goods is 'no debts'",
    "comment on constraint fk_goods_shop_id_shops on goods is 'its shop'",
    "comment on constraint fk_orders_good_id_goods on orders is 'its good'",
    "comment on index ix_goods_price is 'by price'",
    "comment on index goods_code is 'by code'",
    "comment on index pk_goods is 'index of the key'",
    "comment on sequence goods_id_seq is 'numbers'",
    "comment on policy all_of_them on goods is 'all'",
    "comment on statistics of_goods is 'both'",
    "comment on view dear is 'not cheap'",
    "comment on column dear.price is 'high'",
    "alter table goods set (fillfactor = 71, autovacuum_vacuum_threshold = 1000)",
    "alter table goods set (toast.autovacuum_enabled = false)",
    "alter index ix_goods_price set (fillfactor = 72)",
    "alter index goods_code set (deduplicate_items = off)",
    "alter index pk_goods set (fillfactor = 73)",
    "alter index goods_shop_id_id set (fillfactor = 74)",
    "alter index goods_lower alter column 1 set statistics 75",
    "alter table goods alter price set statistics 200, alter price set (n_distinct = 5)",
    "alter table goods alter id set statistics 201",
    "alter table goods alter id set (n_distinct = 5)",
    "alter table goods alter name set storage external, alter name set compression pglz",
    "alter statistics of_goods set statistics 300",
    "alter table goods replica identity using index goods_code",
    "alter table goods cluster on ix_goods_price",
    "alter table goods enable row level security",
    "alter sequence goods_id_seq increment 3 cache 2",
    "create sequence goods_extra owned by goods.shop_id",
    f"create role {OWNER}; create role {READER}; grant create on schema public to {OWNER}",
    f"alter table goods owner to {OWNER}; alter statistics of_goods owner to {OWNER}",
    f"grant select on goods, dear to {READER}; grant update (price), select (id) on goods to {READER}",
    f"grant insert on goods to {READER} with grant option",
    f"grant usage on sequence goods_id_seq to {READER}",
    f"alter view dear owner to {OWNER}; alter view dear set (security_barrier = true)",
)
# What no model or revision knows of, or knows otherwise.
ALONE = (
    "alter table goods disable trigger asleep",
    "create publication of_goods for table goods (id, code) where (code <> 'it''s'), orders",
    "create policy by_hand on goods as restrictive for select to public using (price > -2)",
    "create constraint trigger by_hand after insert on goods deferrable initially deferred "
    "for each row when (new.price > 3) execute function stamp()",
    "create statistics by_hand (mcv) on name, code from goods",
    "create rule by_hand as on delete to goods where old.price < -9 do also delete from shops where id < 0",
    "alter table goods disable rule by_hand",
    "alter policy all_of_them on goods using (price > -3 or code in ('a', 'b'))",
    "drop trigger stamp on goods",
    "create trigger stamp before insert on goods for each row execute function stamp()",
    "alter table goods enable always trigger stamp",
    "comment on trigger stamp on goods is 'stamps'",
    "comment on trigger by_hand on goods is 'by hand'",
)


def models(twice: str | None = None, key: type[sa.types.TypeEngine[int]] = sa.Integer) -> MetaData:
    """Return shops, goods and orders; `twice` generates a column of goods, `key` is their key's type."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    sa.Table("shops", metadata, sa.Column("id", sa.Integer, primary_key=True))
    sa.Table(
        "goods",
        metadata,
        sa.Column("id", key, sa.Identity(always=True), primary_key=True),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("price", sa.Integer, nullable=False, index=True, server_default="0"),
        sa.Column("shop_id", sa.ForeignKey("shops.id", ondelete="CASCADE"), nullable=False),
        sa.Index("goods_code", "code", unique=True),
        sa.Index("goods_lower", sa.text("lower(name)")),
        sa.UniqueConstraint("shop_id", "id", name="goods_shop_id_id"),
        sa.CheckConstraint("price > -100", name="price"),
        *([sa.Column("twice", sa.BigInteger, sa.Computed(twice, persisted=True))] if twice else ()),
    )
    sa.Table(
        "orders",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("good_id", key, sa.ForeignKey("goods.id", ondelete="CASCADE"), index=True),
    )
    for statement in OF_MODELS:
        also(metadata, statement)
    return metadata


@pytest.fixture
def url(empty_engine: Engine) -> Iterator[URL]:
    """A database to which roles belong that go with it."""
    yield from with_roles(empty_engine.url, OWNER, READER)


def with_roles(url: URL, *roles: str) -> Iterator[URL]:
    """Yield a database to which roles may belong, and drop them then."""
    yield url
    for role in roles:
        if rows(url, "select from pg_roles where rolname = %s", role):
            do(url, f"drop owned by {role} cascade; drop role {role}")


def go(history: History, engine: Engine, where: str, *, printed: bool) -> None:
    """Apply revisions up to one, or take them back; by what `--sql` prints, if `printed`."""
    way = "upgrade" if where in {"head", "+1"} else "downgrade"
    if not printed:
        getattr(command, way)(history.config(engine), where)
        return
    [(at,)] = rows(engine.url, "select version_num from alembic_version")
    config = history.config()
    config.output_buffer = io.StringIO()
    getattr(command, way)(config, f"{at}:{where}", sql=True)
    subprocess.run(
        [psql(), "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", libpq_url(engine.url)],
        input=config.output_buffer.getvalue(),
        text=True,
        check=True,
    )


def head(url: URL) -> str:
    """Return what is applied."""
    [(name,)] = rows(url, "select version_num from alembic_version")
    return str(name)


@pytest.mark.slow
@pytest.mark.parametrize("printed", [False, True])
def test_it_is_there_when_another_table_takes_the_place(
    project: Project, empty_engine: Engine, url: URL, *, printed: bool
) -> None:
    history = begun(project, empty_engine, models("price * 2"), FILL)
    first = head(url)
    [second] = write(history, empty_engine, models("price * 3"))
    for statement in (*BY_HAND, *ALONE):
        do(url, statement)
    before = dump(url, owners=True)
    go(history, empty_engine, "head", printed=printed)
    assert head(url) == second
    there = {
        name: each.replace("(price * 3)", "(price * 2)") for name, each in dump(url, owners=True).items()
    }
    assert difference(before, there) == ""
    go(history, empty_engine, first, printed=printed)
    assert difference(before, dump(url, owners=True)) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("made", "named"),
    [
        ("create index ours on goods (name)", "index ours"),
        ("alter table goods add constraint ours check (price < 1000000)", "constraint ours"),
        ("create view ours as select id from goods", "view ours"),
        ("create view ours as select price from dear", "view ours"),
        ("create materialized view ours as select id from goods", "materialized view ours"),
        (
            "create function ours(goods) returns int language sql as 'select 1'",
            "function ours",
        ),
        ("create policy ours on shops using (exists (select from goods))", "policy ours"),
        ("create table ours () inherits (goods)", "table ours"),
        ("create table ours (good_id int references goods)", "constraint ours_good_id_fkey"),
        ("create rule ours as on insert to dear do instead nothing", "rule ours"),
    ],
)
def test_what_cant_go_over_stops_by_name_before_anything_is_made(
    project: Project, empty_engine: Engine, url: URL, made: str, named: str
) -> None:
    history = begun(project, empty_engine, models("price * 2"), FILL)
    write(history, empty_engine, models("price * 3"))
    do(url, made)
    before = dump(url)
    with pytest.raises(DBAPIError, match=f"{named} stands on goods, or differs there"):
        command.upgrade(history.config(empty_engine), "head")
    assert dump(url) == before


def test_where_an_index_lies_stops_it_if_no_revision_says_so(
    project: Project, empty_engine: Engine, url: URL
) -> None:
    space = f"plinth_{secrets.token_hex(4)}"
    history = begun(project, empty_engine, models("price * 2"), FILL)
    write(history, empty_engine, models("price * 3"))
    with psql_session(url) as session:
        if session.info.server_version < 150000:
            pytest.skip("PostgreSQL 15")
        session.execute("set allow_in_place_tablespaces = on")
        session.execute(f"create tablespace {space} location ''".encode())
    try:
        do(url, f"alter index goods_code set tablespace {space}")
        with pytest.raises(DBAPIError, match="the tablespace of goods_code stands on goods"):
            command.upgrade(history.config(empty_engine), "head")
        do(url, "alter index goods_code set tablespace pg_default")
        command.upgrade(history.config(empty_engine), "head")
    finally:
        do(url, "alter index goods_code set tablespace pg_default")
        do(url, f"drop tablespace {space}")
