"""A new table takes the place of a busy one, which gets a stored generated column, or another expression."""
# ruff: noqa: S608 - SQL made of constants

import secrets

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import Engine, MetaData
from sqlalchemy.dialects.postgresql import JSON

from tests.plinth.history import do, rows
from tests.plinth.interruptions import take_back
from tests.plinth.judge import dump
from tests.plinth.kinds.kind import NAMING_CONVENTION, also
from tests.plinth.project import Project
from tests.plinth.test_busy_tables import at_work, begun, write

WRITER = f"plinth_{secrets.token_hex(4)}"
ROWS = 5000
FILL = f"""
    insert into shops select n from generate_series(1, 50) n;
    insert into goods (code, price, shop_id, above_id, said)
    select 'code ' || n, n, 1 + n % 50, nullif(1 + (n * 7) % {ROWS}, n), '{{"a": 1, "a": 2}}'
    from generate_series(1, {ROWS}) n;
    insert into orders (good_id) select id from goods;
    """
# More than most tables have.
ON_THE_TABLE = (
    "create view dear as select id, price, code from goods where price > 1",
    "create function stamp() returns trigger language plpgsql as "
    "$$ begin new.stamped := new.stamped + 1; return new; end $$",
    "create trigger stamp before update on goods for each row execute function stamp()",
    "create statistics of_goods on price, shop_id from goods",
    "alter table goods enable row level security",
    "create policy all_of_them on goods using (price > -1)",
    "alter table goods replica identity using index goods_code",
    "alter table goods cluster on ix_goods_price",
    "alter table goods set (fillfactor = 90)",
    "comment on table goods is 'what is sold'",
    "comment on column goods.price is 'in cents'",
    "alter table goods alter price set statistics 200",
)


def models(twice: str | None = None) -> MetaData:
    """Return shops, goods that belong to them and to each other, and orders; `twice` generates a column."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    sa.Table("shops", metadata, sa.Column("id", sa.Integer, primary_key=True))
    generated = [sa.Column("twice", sa.BigInteger, sa.Computed(twice or "0", persisted=True), index=True)]
    sa.Table(
        "goods",
        metadata,
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("price", sa.Integer, nullable=False, index=True, server_default="0"),
        sa.Column("shop_id", sa.ForeignKey("shops.id", ondelete="CASCADE"), nullable=False),
        sa.Column("above_id", sa.ForeignKey("goods.id", ondelete="SET NULL", onupdate="CASCADE")),
        sa.Column("said", JSON),
        sa.Column("stamped", sa.Integer, nullable=False, server_default="0"),
        sa.Column("size", sa.Integer, sa.Computed("length(code)", persisted=True)),
        sa.Index("goods_code", "code", unique=True),
        sa.UniqueConstraint("shop_id", "id"),
        sa.CheckConstraint("price > -100", name="price"),
        *(generated if twice else ()),
    )
    sa.Table(
        "orders",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("good_id", sa.ForeignKey("goods.id", ondelete="CASCADE", onupdate="CASCADE"), index=True),
    )
    for statement in ON_THE_TABLE:
        also(metadata, statement)
    return metadata


STATEMENTS = (
    "with made as (insert into goods (code, price, shop_id) values ('mine ' || gen_random_uuid(), :id, 1) "
    "returning id) insert into orders (good_id) values (:id) returning (select id from made)",
    "insert into goods (code, price, shop_id) select code, 0, 1 from goods where id = :id "
    "on conflict (code) do update set price = goods.price + 1 returning cast(:state as text)",
    "update goods set price = price + 1 where id = :id returning price",
    "update goods set id = -id where abs(id) = 100 + :id returning id",
    "update goods set shop_id = 1 + (shop_id + 1) % 50 where id between 10 * :id and 10 * :id + 5 "
    "and id % 6 = 0 returning id",
    "delete from goods where id = (select max(id) from goods where code like 'mine%' and price = :id) "
    "returning id",
    "select d.price, o.id from dear d join orders o on o.good_id = d.id where d.id = :id limit 1",
    "select count(*) from goods g left join goods a on a.id = g.above_id where g.shop_id = :id",
)
STANDING = """
    select
        (select count(*) from goods where id > 0 and code not like 'mine%') between {rows} - 2 and {rows},
        (select count(*) from goods where code like 'mine%') <= 2,
        (select bool_and(twice = {twice} and size = length(code) and said::text is not null
            or code like 'mine%') from goods),
        (select count(*) from orders where good_id is not null) - (select count(*) from orders),
        (select max(id) <= (select last_value from goods_id_seq) from goods)
    """


@pytest.mark.slow
def test_an_application_of_another_role_notices_nothing(project: Project, empty_engine: Engine) -> None:
    url = empty_engine.url
    history = begun(project, empty_engine, models(), FILL)
    do(url, f"create role {WRITER}; grant select, insert, update, delete on goods, orders, dear to {WRITER}")
    do(
        url,
        f"grant usage on sequence orders_id_seq, goods_id_seq to {WRITER}; grant select on shops to {WRITER}",
    )
    do(url, f"grant update (said) on goods to {WRITER} with grant option")
    do(url, "create publication of_goods for table goods (id, code) where (code <> 'it''s'), orders")
    config = history.config(empty_engine)
    before = dump(url)
    assert len(write(history, empty_engine, models("price * 2"))) == 1
    engine = sa.create_engine(url, connect_args={"options": f"-c role={WRITER}", "prepare_threshold": None})
    try:
        with at_work(engine, STATEMENTS) as errors:
            command.upgrade(config, "head")
            assert rows(url, STANDING.format(rows=ROWS, twice="price * 2")) == [(True, True, True, 0, True)]
            assert errors == []
            command.downgrade(config, "-1")
            command.upgrade(config, "head")
        assert errors == []
        written = write(history, empty_engine, models("price * 3"))
        assert len(written) == 1
        with at_work(engine, STATEMENTS) as errors:
            command.upgrade(config, "head")
            assert rows(url, STANDING.format(rows=ROWS, twice="price * 3")) == [(True, True, True, 0, True)]
            command.downgrade(config, "-1")
            command.upgrade(config, "head")
            command.downgrade(config, "-2")
        assert errors == []
        assert dump(url) == before
        # Each client added 2 for each order that it made, and none of that is lost.
        [(lost,)] = rows(
            url,
            "select max(abs(price - id - 2 * (select count(*) - 1 from orders where good_id = goods.id))) "
            "from goods where id in (1, 2)",
        )
        assert lost <= 2
        assert rows(
            url, "select tablename, attnames::text, rowfilter from pg_publication_tables order by 1"
        ) == [
            ("goods", "{id,code}", "(code <> 'it''s'::text)"),
            ("orders", "{id,good_id}", None),
        ]
        assert rows(url, f"select has_sequence_privilege('{WRITER}', 'goods_id_seq', 'usage')") == [(True,)]
        may = "select grantee, is_grantable from information_schema.column_privileges "
        assert rows(url, f"{may} where column_name = 'said' and privilege_type = 'UPDATE' order by 2") == [
            (WRITER, "YES"),
        ] or rows(
            url, f"select has_column_privilege('{WRITER}', 'goods', 'said', 'update with grant option')"
        ) == [(True,)]
    finally:
        engine.dispose()
        do(url, "drop publication of_goods")
        do(url, f"drop owned by {WRITER}; drop role {WRITER}")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_what_an_interrupted_way_has_done_is_taken_back(
    project: Project, empty_engine: Engine, part: int
) -> None:
    history = begun(project, empty_engine, models("price * 2"), FILL)
    [written] = write(history, empty_engine, models("price * 3"))
    content = (
        "select (select sum(price) from goods), (select count(*) from orders), (select count(*) from shops)"
    )
    take_back(history, empty_engine, written, content, slice(1 + 2 * part, None, 8))
