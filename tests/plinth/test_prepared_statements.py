"""What docs/adopting.md says of prepared statements: behind a pooler, and when a column gets another type."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from plinth import settings
from tests.plinth.history import do
from tests.plinth.transaction_pooler import TransactionPooler

OFTEN = 8  # psycopg prepares what is run more than five times
QUERY = "select id, n from t where id > 0"


@pytest.fixture
def place(empty_url: URL) -> URL:
    do(empty_url, "create table t (id int, n int)")
    do(empty_url, "insert into t values (1, 1)")
    return empty_url


def of_the_document(driver: str) -> dict[str, Any]:
    """Return the `connect_args` that the document shows for a driver."""
    shown = (Path(settings.root()) / "docs" / "adopting.md").read_text(encoding="utf-8")
    [found] = re.findall(rf"\| {driver} \|.*?`connect_args=(\{{.*?\}})`", shown)
    return dict(eval(found))  # noqa: S307 - our own document


@pytest.mark.parametrize("is_set", [True, False])
def test_psycopg_behind_a_pooler_of_transactions(place: URL, is_set: bool) -> None:
    given = of_the_document("psycopg") if is_set else {}
    with TransactionPooler(place) as pooler:
        engines = [create_engine(pooler.url, connect_args=given) for _ in range(2)]

        def use() -> None:
            for engine in engines:
                with engine.connect() as connection:
                    for _ in range(OFTEN):
                        assert connection.scalar(text(QUERY)) == 1
                        connection.commit()

        if is_set:
            use()
        else:
            with pytest.raises(DBAPIError, match="prepared statement"):
                use()
        for engine in engines:
            engine.dispose()


@pytest.mark.parametrize("is_set", [True, False])
def test_asyncpg_when_a_column_gets_another_type(place: URL, is_set: bool) -> None:
    given = of_the_document("asyncpg") if is_set else {}

    async def use() -> None:
        engine = create_async_engine(place.set(drivername="postgresql+asyncpg"), connect_args=given)
        try:
            for number in range(2):
                async with engine.connect() as connection:
                    assert (await connection.execute(text(QUERY))).one() == (1, 1)
                if number == 0:
                    do(place, "alter table t alter n type bigint")
        finally:
            await engine.dispose()

    if is_set:
        asyncio.run(use())
    else:
        with pytest.raises(DBAPIError, match="cached statement plan is invalid"):
            asyncio.run(use())
