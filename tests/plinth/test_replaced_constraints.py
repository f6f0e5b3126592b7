"""A check or foreign key that another one takes the place of: at no moment is there none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import Engine, MetaData, event
from sqlalchemy.engine import URL

from tests.plinth.history import History, psql, rows
from tests.plinth.judge import dump
from tests.plinth.kinds.kind import NAMING_CONVENTION, also
from tests.plinth.project import Project
from tests.plinth.test_busy_tables import begun, write

ROWS = """
    insert into shops select n from generate_series(1, 5) n;
    insert into goods (shop_id, price, code) select 1 + n % 5, n, nullif(n, 7) from generate_series(1, 50) n;
    insert into sales (day, shop_id) select '2024-05-01', 1 + n % 5 from generate_series(1, 50) n;
    """


def models(
    check: str = "price > 0",
    *more: sa.schema.SchemaItem,
    price: type[sa.types.TypeEngine[int]] = sa.Integer,
    codes: str = "code < 1000",
    code: sa.Column[int] | None = None,
    ondelete: str | None = None,
    ending: str = "",
) -> MetaData:
    """Return goods and sales of shops, and a large table beside them."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    sa.Table("shops", metadata, sa.Column("id", sa.Integer, primary_key=True))
    sa.Table(
        "goods",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("shop_id", sa.ForeignKey("shops.id", name=f"fk{ending}", ondelete=ondelete)),
        sa.Column("price", price),
        sa.Column("code", sa.Integer) if code is None else code,
        sa.CheckConstraint(check, name=sa.schema.conv(f"ck{ending}")),
        sa.CheckConstraint(codes, name=sa.schema.conv("codes")),
        *more,
    )
    sales = sa.Table(
        "sales",
        metadata,
        sa.Column("day", sa.Date),
        sa.Column("shop_id", sa.ForeignKey("shops.id", name=f"fk_sales{ending}", ondelete=ondelete)),
        postgresql_partition_by="RANGE (day)",
    )
    also(sales, "create table sales_2024 partition of sales for values from ('2024-01-01') to ('2025-01-01')")
    return metadata


def indexed() -> list[sa.schema.SchemaItem]:
    return [sa.Index("ix_goods_price", "price")]


FILLED = "a check of a column that is filled"
CHANGES: dict[str, Callable[[], MetaData]] = {
    "what a foreign key does": lambda: models("price > 0", *indexed(), ondelete="CASCADE"),
    "other ones of other names": lambda: models("price >= 0", *indexed(), ondelete="CASCADE", ending="_2"),
    "a wider check": lambda: models("price >= 0", *indexed()),
    "a narrower check": lambda: models("price > 0 and price < 100", *indexed()),
    "a check of a column that gets another type": lambda: models("price >= 0", price=sa.BigInteger),
    FILLED: lambda: models(
        codes="code < 2000",
        code=sa.Column("code", sa.Integer, nullable=False, info={"backfill": "1500"}),
    ),
    "a check of a new column": lambda: models(
        "price > 0 and weight > 0",
        sa.Column("weight", sa.Integer, nullable=False, info={"backfill": "1"}),
    ),
}

# Those of a name that hold for new rows, in the eyes of others.
STANDING = """
    select replace(conname::text, '_2', '') as its, count(*) from pg_constraint
    where conrelid in ('goods'::regclass, 'sales'::regclass)
        and conname ~ '^(fk|ck|fk_sales|codes)(_2)?$' group by 1
    """


@pytest.fixture
def history(project: Project, empty_engine: Engine) -> History:
    """Revisions that make the tables, applied, and rows in them."""
    return begun(project, empty_engine, models(), ROWS)


@contextmanager
def looked_at(url: URL) -> Iterator[list[dict[str, int]]]:
    """Yield what stands behind each statement of the block."""
    found: list[dict[str, int]] = []
    with psql(url) as other:

        def look(*_: object) -> None:
            found.append(dict(other.execute(STANDING).fetchall()))

        event.listen(Engine, "after_cursor_execute", look)
        try:
            yield found
        finally:
            event.remove(Engine, "after_cursor_execute", look)


@pytest.mark.parametrize("change", CHANGES)
def test_none_is_ever_missing(history: History, empty_engine: Engine, change: str) -> None:
    url = empty_engine.url
    begun_with = dump(url)
    back = f"-{len(write(history, empty_engine, CHANGES[change]()))}"
    # The old check doesn't bear what the rows are given.
    for revision in ("head",) if change == FILLED else ("head", back, "head"):
        with looked_at(url) as found:
            go = command.downgrade if revision == back else command.upgrade
            go(history.config(empty_engine), revision)
        assert len(found) > 1
        assert [each for each in found if set(each) != {"fk", "ck", "fk_sales", "codes"}] == []
        if revision == back:
            assert dump(url) == begun_with
    assert rows(url, "select count(*) from pg_constraint where not convalidated") == [(0,)]
