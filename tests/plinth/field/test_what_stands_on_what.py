"""Functions, views and types that stand on each other, and what else stands on them."""

import argparse

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Column, Engine, Integer, MetaData, Table

from tests.plinth.history import History, psql
from tests.plinth.kinds.kind import also, first

F = "create function f(a integer) returns integer language sql immutable return a + 1"
VIEW = "create view v as select f(id) as id from t"


def models(*early: str, late: tuple[str, ...] = (), columns: tuple[str, ...] = ()) -> MetaData:
    metadata = MetaData()
    for statement in early:
        first(metadata, statement)
    Table(
        "t", metadata, Column("id", Integer, primary_key=True), *(Column(each, Integer) for each in columns)
    )
    for statement in late:
        also(metadata, statement)
    return metadata


def autogenerate(history: History, engine: Engine, metadata: MetaData, *x: str) -> None:
    config = history.config(engine)
    config.cmd_opts = argparse.Namespace(x=list(x))
    config.attributes["target_metadata"] = metadata
    command.revision(config, message="take a step", autogenerate=True)
    command.upgrade(history.config(engine), "head")


def test_a_first_revision_has_a_view_that_calls_a_function(history: History, empty_engine: Engine) -> None:
    autogenerate(history, empty_engine, models(F, late=(VIEW,)))
    with psql(empty_engine.url) as connection:
        connection.execute("insert into t values (1)")
        assert connection.execute("select id from v").fetchall() == [(2,)]


def test_a_function_gets_another_argument_under_a_view_with_privileges(
    history: History, empty_engine: Engine
) -> None:
    autogenerate(history, empty_engine, models(F, late=(VIEW,)))
    with psql(empty_engine.url) as connection:
        connection.execute("insert into t values (1)")
        connection.execute("grant select on v to public")
    renamed = F.replace("f(a integer)", "f(b integer)").replace("a + 1", "b + 1")
    autogenerate(history, empty_engine, models(renamed, late=(VIEW,)))
    with psql(empty_engine.url) as connection:
        assert connection.execute("select id from v").fetchall() == [(2,)]
        assert connection.execute("select f(b => 2)").fetchall() == [(3,)]
        granted = (
            "select from information_schema.table_privileges where grantee = 'PUBLIC' and table_name = 'v'"
        )
        assert len(connection.execute(granted).fetchall()) == 1


@pytest.mark.slow
def test_what_something_made_by_hand_stands_on_is_not_dropped_with_it(
    history: History, empty_engine: Engine
) -> None:
    autogenerate(history, empty_engine, models(F))
    head = ScriptDirectory.from_config(history.config()).get_current_head()
    history.add(
        "by_hand",
        head,
        'op.execute("create operator !!! (rightarg = integer, function = f)")',
        'op.execute("drop operator !!! (none, integer)")',
    )
    command.upgrade(history.config(empty_engine), "head")
    with pytest.raises(CommandError, match="Change or drop first, in a revision written by hand") as error:
        autogenerate(history, empty_engine, models(), "drop=f")
    assert "CASCADE" not in str(error.value)
