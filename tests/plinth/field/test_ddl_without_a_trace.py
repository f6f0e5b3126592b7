"""What the models' own DDL makes and no revision can, is named when autogenerate runs."""

import argparse
import logging

import pytest
from alembic import command
from sqlalchemy import Column, Engine, Integer, MetaData, Table

from tests.plinth.history import History, psql
from tests.plinth.kinds.kind import also

DDL = {
    "publication pub": "create publication pub for table t",
    "operator public.==(integer,integer)": "create operator == (function=int4eq, leftarg=int, rightarg=int)",
    "cast (public.pair AS integer)": "create cast (pair as int) with inout",
    "event trigger loud": "create event trigger loud on sql_drop execute function shout()",
    "privileges on table public.t for PUBLIC": "grant select on t to public",
    "privileges on function public.shout()": "revoke all on function shout() from public",
    "comment on index public.t_pkey": "comment on index t_pkey is 'key'",
    "rows of table public.t": "insert into t values (1)",
}
SEEN = (
    "create type pair as (a int, b int)",
    "create function shout() returns event_trigger language plpgsql as $$ begin end $$",
    "create materialized view v as select id from t",
    "create index v_id on v (id)",
)


def models(*statements: str) -> MetaData:
    metadata = MetaData()
    Table("t", metadata, Column("id", Integer, primary_key=True))
    for statement in statements:
        also(metadata, statement)
    return metadata


def autogenerate(history: History, engine: Engine, metadata: MetaData) -> None:
    config = history.config(engine)
    config.cmd_opts = argparse.Namespace(x=["prove=no"])
    config.attributes["target_metadata"] = metadata
    command.revision(config, message="take a step", autogenerate=True)
    command.upgrade(history.config(engine), "head")


def test_it_is_named_until_it_is_there(
    history: History, empty_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    everything = models(*SEEN, *DDL.values())
    autogenerate(history, empty_engine, everything)
    (said,) = (each.getMessage() for each in caplog.records if "writes no revision" in each.getMessage())
    assert f"which DDL in the models makes: {'; '.join(sorted(DDL))}." in said
    with psql(empty_engine.url) as connection:
        for statement in DDL.values():
            connection.execute(statement)
    caplog.clear()
    autogenerate(history, empty_engine, everything)
    assert not caplog.records


def test_nothing_is_named_that_is_in_the_picture(
    history: History, empty_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    autogenerate(history, empty_engine, models(*SEEN))
    assert "writes no revision" not in caplog.text
