"""A constraint that models want for new rows only, and rows that break it."""

import argparse

import pytest
from alembic import command
from sqlalchemy import CheckConstraint, Column, Engine, Integer, MetaData, Table

from tests.plinth.history import History, psql, rows

VALID = "select convalidated from pg_constraint where conname = 'positive'"


def models(*checks: CheckConstraint) -> MetaData:
    metadata = MetaData()
    Table("t", metadata, Column("id", Integer, primary_key=True), Column("n", Integer), *checks)
    return metadata


def autogenerate(history: History, engine: Engine, metadata: MetaData, online: str) -> None:
    config = history.config(engine)
    config.cmd_opts = argparse.Namespace(x=[f"online={online}"])
    config.attributes["target_metadata"] = metadata
    command.revision(config, message="take a step", autogenerate=True)
    command.upgrade(history.config(engine), "head")
    command.check(config)


@pytest.mark.slow
@pytest.mark.parametrize("online", ["yes", "no"])
def test_it_is_added_for_new_rows_and_stays_so_until_models_say_otherwise(
    history: History, empty_engine: Engine, online: str
) -> None:
    url = empty_engine.url
    autogenerate(history, empty_engine, models(), online)
    with psql(url) as connection:
        connection.execute("insert into t (n) values (-1)")
    waiting = models(CheckConstraint("n > 0", name="positive", postgresql_not_valid=True))
    autogenerate(history, empty_engine, waiting, online)
    assert rows(url, VALID) == [(False,)]
    with psql(url) as connection:
        connection.execute("update t set n = 1")
    autogenerate(history, empty_engine, models(CheckConstraint("n > 0", name="positive")), online)
    assert rows(url, VALID) == [(True,)]
    files = sorted((history.folder / "versions").iterdir())
    autogenerate(history, empty_engine, waiting, online)  # what holds for all rows holds for new ones
    assert sorted((history.folder / "versions").iterdir()) == files
