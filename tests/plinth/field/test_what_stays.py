"""What revisions made and models don't say, or no longer do, is named when autogenerate runs."""

import argparse
import logging

import pytest
from alembic import command
from sqlalchemy import Column, Date, Engine, Integer, MetaData, Table

from tests.plinth.history import History, psql
from tests.plinth.kinds.kind import also

ITS_OWN = (
    "create view v as select id from t",
    "alter table t enable row level security",
    "create policy mine on t using (id > 0)",
    "create table old partition of t for values from (minvalue) to ('2024-01-01')",
)


def models(*statements: str) -> MetaData:
    metadata = MetaData()
    Table("t", metadata, Column("id", Integer), Column("d", Date), postgresql_partition_by="RANGE (d)")
    for statement in statements:
        also(metadata, statement)
    return metadata


def autogenerate(history: History, engine: Engine, metadata: MetaData, *x: str) -> None:
    config = history.config(engine)
    config.cmd_opts = argparse.Namespace(x=list(x))
    config.attributes["target_metadata"] = metadata
    command.revision(config, message="take a step", autogenerate=True)
    command.upgrade(history.config(engine), "head")


@pytest.mark.slow
def test_it_is_named_until_it_is_said_to_go(
    history: History, empty_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "alembic.autogenerate")
    with psql(empty_engine.url) as connection:
        connection.execute("create view theirs as select 1")  # no revision made it
    autogenerate(history, empty_engine, models(*ITS_OWN))
    assert "so it stays" not in caplog.text
    autogenerate(history, empty_engine, models())
    assert (
        "so it stays: partition old, policy mine on public.t, t.row_security, view public.v. "
        "If it should go: alembic -x drop=NAME revision" in caplog.text
    )
    caplog.clear()
    autogenerate(history, empty_engine, models(), "drop=old", "drop=mine", "drop=t.row_security", "drop=v")
    with psql(empty_engine.url) as connection:
        found = connection.execute(
            "select relname, relrowsecurity from pg_class "
            "where relname in ('t', 'v', 'old', 'theirs') order by 1"
        ).fetchall()
    assert found == [("t", False), ("theirs", False)]
    caplog.clear()
    autogenerate(history, empty_engine, models())
    assert "so it stays" not in caplog.text
