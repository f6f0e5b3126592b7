"""Databases whose default schema isn't public: every command works, or says a sentence."""

import io
import secrets

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Column, Engine, Integer, MetaData, Table, Text, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth import undo
from plinth.check import check
from plinth.plan.planning import plans
from plinth.status import status
from tests.plinth.history import History, acting_as, do, rows


def models(*more: str) -> MetaData:
    metadata = MetaData()
    Table("t", metadata, Column("id", Integer, primary_key=True), *(Column(each, Text) for each in more))
    return metadata


@pytest.mark.parametrize("path", ["app", "app, public"])
@pytest.mark.slow
def test_a_schema_by_the_databases_search_path(
    path: str, history: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, f'create schema app; alter database "{empty_url.database}" set search_path = {path}')
    config = history.config(empty_engine)
    config.attributes["target_metadata"] = models()
    command.revision(config, "make t here", autogenerate=True)
    assert len(plans(config)[0].revisions) == 1
    command.upgrade(config, "head")
    command.check(config)
    config.attributes["target_metadata"] = models("v")
    command.revision(config, "add t v", autogenerate=True)
    command.upgrade(config, "head")
    assert check(config).problems == []
    assert status(config).problems == []
    undo.redo(config)
    assert rows(empty_url, "select to_regclass('app.t'), to_regclass('public.t')") == [("t", None)]
    assert {row[0] for row in rows(empty_url, "select version_table from plinth.ledger")} == {
        "app.alembic_version"
    }


def test_a_schema_of_the_version_table_that_is_not_there(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    """What is tried elsewhere would be green, and each upgrade would fail."""
    history.configure('version_table_schema="Old % :x"')
    history.tables("a")
    config = history.config(empty_engine)
    config.attributes["target_metadata"] = models()
    make = 'CREATE SCHEMA "Old % :x"'
    with pytest.raises(CommandError, match=make):
        command.upgrade(config, "head")
    with pytest.raises(CommandError, match=make):
        plans(config)
    assert make in next(each.message for each in check(config).problems if each.kind == "database")
    do(empty_url, make)
    command.upgrade(config, "head")
    assert [each.kind for each in check(config).problems] == ["models"]


@pytest.mark.parametrize("path", ["''", "nowhere"])
def test_no_default_schema_is_a_sentence(
    path: str, history: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, f'alter database "{empty_url.database}" set search_path = {path}')
    history.tables("a")
    config = history.config(empty_engine)
    config.attributes["target_metadata"] = models()
    for run in (
        lambda: command.upgrade(config, "head"),
        lambda: command.stamp(config, "head"),
        lambda: command.check(config),
        lambda: command.revision(config, "make t here", autogenerate=True),
        lambda: command.current(config),
        lambda: status(config),
        lambda: plans(config)[0],
        lambda: check(config),
    ):
        with pytest.raises(CommandError, match=r"search_path .*names no schema.*SET search_path = "):
            run()


def test_tenants_by_search_path_have_a_history_each(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, "create schema ta; create schema tb")
    history.tables("a", "b")
    for tenant, target in (("ta", "b"), ("tb", "a"), ("ta", "head")):
        engine = create_engine(
            empty_url, poolclass=NullPool, connect_args={"options": f"-csearch_path={tenant}"}
        )
        command.upgrade(history.config(engine), target)
    found = rows(empty_url, "select version_table, revision, direction from plinth.ledger order by id")
    assert found == [
        ("ta.alembic_version", "a", "up"),
        ("ta.alembic_version", "b", "up"),
        ("tb.alembic_version", "a", "up"),
    ]
    with empty_engine.connect() as connection:
        connection.execute(text("set search_path = tb"))
        connection.commit()
        assert status(history.config(connection)).pending == ["b"]


def test_the_ledger_of_the_usual_schema_keeps_its_name(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a")
    command.upgrade(history.config(empty_engine), "head")
    assert rows(empty_url, "select version_table from plinth.ledger") == [("alembic_version",)]


@pytest.mark.parametrize(("path", "name"), [("app", "app.alembic_version"), ("public", "alembic_version")])
def test_a_script_of_sql_finds_the_same_history(
    path: str, name: str, history: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, f'create schema app; alter database "{empty_url.database}" set search_path = {path}')
    history.tables("a", "b")
    config = history.config()
    config.output_buffer = io.StringIO()
    command.upgrade(config, "head", sql=True)
    do(empty_url, config.output_buffer.getvalue())
    assert {row[0] for row in rows(empty_url, "select version_table from plinth.ledger")} == {name}
    found = status(history.config(empty_engine))
    assert [line.batch for line in found.revisions] == [1, 1]


def test_a_schema_that_a_revision_makes(history: History, empty_engine: Engine, empty_url: URL) -> None:
    do(empty_url, f'alter database "{empty_url.database}" set search_path = app, public')
    history.add("a", None, "op.execute('create schema app')", "op.execute('drop schema app')")
    config = history.config(empty_engine)
    command.upgrade(config, "head")
    config.attributes["target_metadata"] = models()
    command.revision(config, "make t here", autogenerate=True)
    command.upgrade(config, "head")
    command.check(config)
    assert status(config).problems == []
    assert rows(empty_url, "select to_regclass('app.t')") == [("t",)]


def test_a_role_that_may_create_in_its_own_schema_only(history: History, empty_url: URL) -> None:
    role = f"tenant_{secrets.token_hex(4)}"
    do(empty_url, f"create role {role}; create schema authorization {role}")
    do(empty_url, f"create schema plinth authorization {role}; revoke create on schema public from public")
    history.tables("a", "b")
    config = history.config(acting_as(role, empty_url))
    try:
        command.upgrade(config, "head")
        assert undo.redo(config).applied == ["b"]
        assert status(config).problems == []
        assert rows(empty_url, f"select to_regclass('{role}.t_b') is not null") == [(True,)]
        command.downgrade(config, "base")
        assert {row[0] for row in rows(empty_url, "select version_table from plinth.ledger")} == {
            f"{role}.alembic_version"
        }
    finally:
        do(empty_url, f"drop owned by {role}; drop role {role}")
