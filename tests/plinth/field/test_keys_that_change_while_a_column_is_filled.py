"""An application changes rows, and their keys, while a column is filled: each row has its value at once."""
# ruff: noqa: S608 - SQL made of constants

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, Identity, Integer, MetaData, Table, Text, Uuid, text

from tests.plinth.field.changing import Changing
from tests.plinth.history import do, psql, rows, wait_until_blocked
from tests.plinth.kinds.kind import also

NEW: dict[str, Callable[[], "list[Column[Any]]"]] = {
    "a default": lambda: [Column("c", Uuid, nullable=False, server_default=text("gen_random_uuid()"))],
    "an identity": lambda: [Column("c", BigInteger, Identity())],
    "a backfill": lambda: [
        Column("c", Text, nullable=False, server_default="x", info={"backfill": "'b' || id"})
    ],
    "a constant": lambda: [Column("c", Text, nullable=False, info={"backfill": "'x'"})],
    "a nullable one": lambda: [Column("c", Uuid, server_default=text("gen_random_uuid()"))],
    "of another one": lambda: [
        Column("c", Text, nullable=False, info={"backfill": "old || t.n"}),
        Column("old", Text, info={"backfill": "'f' || n"}),
    ],
}


def models(new: "list[Column[Any]]", *, has_key: bool = True, what: str = "") -> Callable[[MetaData], object]:
    """Return what makes a table `t`, partitioned or with an heir."""

    def make(metadata: MetaData) -> object:
        parted: dict[str, Any] = {"postgresql_partition_by": "RANGE (id)"} if what == "partitions" else {}
        key = Column("id", Integer, primary_key=has_key, autoincrement=False)
        table = Table("t", metadata, key, Column("n", Integer), *new, **parted)
        if what == "partitions":
            also(table, "create table t_low partition of t for values from (minvalue) to (3000)")
            also(table, "create table t_high partition of t default")
        if what == "heirs":
            heir = Table("t_heir", metadata, Column("more", Integer), postgresql_inherits="t")
            heir.add_is_dependent_on(table)
        return table

    return make


@pytest.mark.parametrize(
    ("new", "has_key", "what"),
    [
        *[(new, True, "") for new in NEW],
        *[("a backfill", False, ""), ("a backfill", True, "partitions"), ("a constant", True, "heirs")],
    ],
)
def test_each_row_gets_its_value(
    new: str, has_key: bool, what: str, changing: Changing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLINTH_LOCK_TIMEOUT", "60s")
    url = changing.engine.url
    changing.write_models(models([], has_key=has_key, what=what), "prove=no")
    changing.upgrade()
    table = "t_heir" if what == "heirs" else "t"
    do(url, f"insert into {table} (id, n) select n, n from generate_series(1, 6000) n")
    changing.write_models(models(NEW[new](), has_key=has_key, what=what))
    file = max((changing.history.folder / "versions").glob("*.py"))
    block = "with op.get_context().autocommit_block():\n        op.execute("
    wait = block + '"select from pg_advisory_lock_shared(1)")\n        op.execute('
    file.write_text(file.read_text().replace(block, wait, 1))
    with (
        ThreadPoolExecutor(1) as pool,
        psql(url) as application,
        psql(url) as first,
        psql(url, autocommit=False) as second,
    ):
        first.execute("select pg_advisory_lock(1)")
        upgrade = pool.submit(changing.upgrade)
        wait_until_blocked(url)  # before the fill
        second.execute(f"update {table} set n = n where id = 3000")
        first.execute("select pg_advisory_unlock(1)")
        while not upgrade.done() and rows(url, "select from t where id = 1 and c is null"):
            time.sleep(0.01)
        wait_until_blocked(url)  # at that row
        for old, later in ((5400, 9000), (5300, -5)):
            application.execute(f"update {table} set id = {later} where id = {old}")
        application.execute(f"update {table} set n = 7 where id = 9000")
        application.execute(f"insert into {table} (id, n) values (9001, 7)")
        assert rows(url, "select from t where c is null and id in (9000, -5, 9001)") == []
        second.commit()
        upgrade.result()
    assert rows(url, "select count(*) from t where c is null") == [(0,)]
    left = "select proname from pg_proc where pronamespace = 'public'::regnamespace"
    assert rows(url, left) == []
