"""Revisions and models lean on what others made: a platform, an administrator, another application."""

import argparse
from collections.abc import Callable, Iterator

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import (
    UUID,
    Column,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    select,
)
from sqlalchemy.dialects.postgresql import CITEXT, ENUM
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateView

from plinth.check import Report, check
from plinth.plan.planning import plans
from tests.plinth.history import History, do, rows
from tests.plinth.kinds.kind import also

Configured = Callable[..., Config]


@pytest.fixture
def role(empty_url: URL) -> Iterator[URL]:
    """The empty database as a role that may make databases, and owns this one."""
    name = f"{empty_url.database}_role"
    do(
        empty_url,
        f"create role {name} login createdb password 'secret'; grant all on schema public to {name};"
        f"alter database {empty_url.database} owner to {name}",
    )
    yield empty_url.set(username=name, password="secret")
    do(empty_url, f"reassign owned by {name} to current_user; drop owned by {name}; drop role {name}")


@pytest.fixture
def configured(history: History, empty_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Configured:
    """Return what makes a configuration for some models."""
    monkeypatch.setenv("APP_ENV", "test")

    def configure(metadata: MetaData, *x: str) -> Config:
        config = history.config(empty_engine)
        config.attributes["target_metadata"] = metadata
        config.cmd_opts = argparse.Namespace(x=list(x))
        return config

    return configure


def change(config: Config, message: str) -> None:
    """Let autogenerate write a change, which proves it, and apply it."""
    command.revision(config, message=message, autogenerate=True)
    command.upgrade(config, "head")


def agrees(config: Config) -> Report:
    command.check(config)
    report = check(config)
    assert report.problems == []
    return report


def things(*columns: Column[object], metadata: MetaData | None = None) -> MetaData:
    metadata = MetaData() if metadata is None else metadata
    Table("things", metadata, Column("id", Integer, primary_key=True), *columns)
    return metadata


@pytest.mark.slow
def test_a_key_to_a_platforms_table(configured: Configured, empty_engine: Engine, history: History) -> None:
    do(
        empty_engine.url,
        "create schema auth; create type auth.level as enum ('low', 'high');"
        "create table auth.users (id uuid primary key default gen_random_uuid(), level auth.level);"
        "create function auth.uid() returns uuid language sql as 'select id from auth.users limit 1'",
    )
    history.configure("include_object=lambda each, name, kind, *_: kind != 'table' or each.schema != 'auth'")

    def models(*more: Column[object]) -> MetaData:
        metadata = MetaData()
        Table("users", metadata, Column("id", UUID, primary_key=True), schema="auth")
        owner: Column[object] = Column("user_id", UUID, ForeignKey("auth.users.id"))
        things(owner, *more, metadata=metadata)
        also(metadata, "CREATE POLICY own ON things USING (user_id = auth.uid())")
        return metadata

    change(configured(models()), "begin")
    change(configured(models(Column("more", Text))), "add more")
    report = agrees(configured(models(Column("more", Text))))
    assert "table auth.users" in " ".join(report.notes)
    assert rows(empty_engine.url, "select to_regclass('auth.users')::text") == [("auth.users",)]


@pytest.mark.slow
def test_an_adopted_database_goes_on_from_an_empty_baseline(
    configured: Configured, empty_engine: Engine, history: History
) -> None:
    do(
        empty_engine.url,
        "create table things (id serial primary key, name varchar(10) check (name in ('a', 'b')));"
        "create table other (id int); create view seen as select id from things",
    )

    def models(*more: Column[object]) -> MetaData:
        metadata = things(Column("name", String(10)), *more)
        also(metadata, "ALTER TABLE things ADD CHECK (name in ('a', 'b'))")
        return metadata

    with pytest.raises(CommandError, match=r"No revision makes .* \(things\).*revision -m baseline"):
        command.revision(configured(models(Column("more", Text))), message="add more", autogenerate=True)
    command.revision(configured(models()), message="baseline")
    command.stamp(configured(models()), "head")
    agrees(configured(models()))
    command.revision(configured(models(Column("more", Text))), message="add more", autogenerate=True)
    planned = plans(configured(models()))[0]
    assert planned.failure is None
    assert len(planned.revisions) == 1
    command.upgrade(configured(models()), "head")
    change(configured(models(Column("more", Text), Column("most", Text))), "add most")
    report = agrees(configured(models(Column("more", Text), Column("most", Text))))
    assert "table things" in " ".join(report.notes)
    assert len(list((history.folder / "versions").glob("*.py"))) == 3


@pytest.mark.slow
def test_another_applications_enum(configured: Configured, empty_engine: Engine) -> None:
    do(empty_engine.url, "create schema other; create type other.mood as enum ('a', 'b')")

    def models(*more: Column[object]) -> MetaData:
        return things(Column("mood", ENUM("a", "b", name="mood", schema="other", create_type=False)), *more)

    change(configured(models()), "begin")
    change(configured(models(Column("more", Text))), "add more")
    agrees(configured(models(Column("more", Text))))
    change(configured(things(Column("more", Text)), "drop=things.mood"), "drop the mood")
    assert rows(empty_engine.url, "select to_regtype('other.mood')::text") == [("other.mood",)]


@pytest.mark.slow
def test_another_applications_types_beside_ours(configured: Configured, empty_engine: Engine) -> None:
    do(
        empty_engine.url,
        "create type their_mood as enum ('a'); create domain their_number as int check (value > 0);"
        "create sequence their_numbers; create table theirs (n their_number, m their_mood)",
    )
    change(configured(things()), "begin")
    assert "enum their_mood" in " ".join(agrees(configured(things())).notes)
    change(configured(things(Column("more", Text))), "add more")
    agrees(configured(things(Column("more", Text))))
    assert rows(empty_engine.url, "select to_regtype('their_mood')::text") == [("their_mood",)]


@pytest.mark.slow
def test_an_administrators_extension(configured: Configured, empty_engine: Engine) -> None:
    do(empty_engine.url, "create schema tools; create extension citext schema tools")
    do(empty_engine.url, f"alter database {empty_engine.url.database} set search_path = public, tools")
    config = configured(things(Column("mail", CITEXT)))
    change(config, "begin")
    assert "extension citext" in " ".join(agrees(config).notes)


@pytest.mark.slow
def test_a_view_over_a_table_that_no_model_knows(
    configured: Configured, empty_engine: Engine, history: History
) -> None:
    history.add("a1", None, 'op.execute("create table legacy (id int, n int)")', 'op.drop_table("legacy")')

    def models(*more: Column[object]) -> MetaData:
        metadata = things(*more)
        legacy = Table("legacy", MetaData(), Column("id", Integer), Column("n", Integer))
        CreateView(select(legacy.c.id).where(legacy.c.n > 0), "seen", metadata=metadata)
        return metadata

    command.upgrade(configured(models()), "head")
    do(empty_engine.url, "create view handmade as select n from legacy; create table unknown (id int)")
    change(configured(models()), "begin")
    change(configured(models(Column("more", Text))), "add more")
    agrees(configured(models(Column("more", Text))))
    standing = "select to_regclass('legacy')::text, to_regclass('handmade')::text"
    assert rows(empty_engine.url, standing) == [("legacy", "handmade")]


@pytest.mark.slow
def test_a_platforms_table_that_the_role_may_not_read(
    history: History, empty_url: URL, role: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_ENV", "test")
    do(
        empty_url,
        f"create schema auth; create table auth.users (id uuid primary key, secret text);"
        f"grant usage on schema auth to {role.username};"
        f"grant references on auth.users to {role.username}",
    )
    history.add(
        "a1",
        None,
        'op.execute("create table things (id int primary key, user_id uuid references auth.users)")',
        'op.drop_table("things")',
    )
    config = history.config(create_engine(role, poolclass=NullPool))
    command.upgrade(config, "head")
    config.attributes["target_metadata"] = (metadata := MetaData())
    Table("users", metadata, Column("id", UUID, primary_key=True), Column("secret", Text), schema="auth")
    Table(
        "things",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("user_id", UUID, ForeignKey("auth.users.id", name="things_user_id_fkey")),
        Column("more", Text),
    )
    change(config, "add more")


@pytest.fixture
def audited(history: History, empty_url: URL) -> History:
    """Revisions that lean on a schema made by hand; all but the newest are applied."""
    do(empty_url, "create schema audit; create table audit.log (id int)")
    create = 'op.create_table("t", sa.Column("id", sa.Integer(), primary_key=True), schema="audit")'
    history.add("a", None, create, 'op.drop_table("t", schema="audit")')
    history.add("b", "a", 'op.create_table("gone", sa.Column("id", sa.Integer()))', 'op.drop_table("gone")')
    history.add("d", "c", 'op.execute("create table d ()")', 'op.execute("select 1 / 0 as d")')
    return history


def audit() -> MetaData:
    metadata = MetaData()
    Table("t", metadata, Column("id", Integer, primary_key=True), schema="audit")
    return metadata


@pytest.mark.slow
def test_what_a_failing_downgrade_hides_is_neither_overlooked_nor_kept(
    configured: Configured, audited: History, caplog: pytest.LogCaptureFixture
) -> None:
    """A table whose model is gone, where the copy has still what revisions made."""
    audited.add("c", "b", "pass", 'op.execute("select 1 / 0")')
    (audited.folder / "versions" / "d_make.py").unlink()
    command.upgrade(configured(audit()), "head")
    audited.configure("include_schemas=True")
    for _ in range(2):  # the second time is not by what the first one found
        caplog.clear()
        with pytest.raises(CommandError, match=r"table gone is too much"):
            command.check(configured(audit()))
        assert (
            "counts as theirs in schema public, and nowhere else (left alone: table audit.log)" in caplog.text
        )
        assert "Revision c (make c) fails in its downgrade: division by zero" in caplog.text
    command.revision(configured(audit()), message="drop", autogenerate=True)
    [file] = (audited.folder / "versions").glob("*_drop.py")
    assert "op.drop_table('gone')" in file.read_text().replace('"', "'")
    file.unlink()
    audited.add("c", "b", "pass")
    with pytest.raises(CommandError, match=r"table gone is too much"):
        command.check(configured(audit()))


@pytest.mark.slow
def test_what_stands_below_a_failing_downgrade_is_not_said_to_be_tried(
    configured: Configured, audited: History, empty_url: URL
) -> None:
    audited.add("c", "b", "pass", 'op.execute("select 1 / 0")')
    command.upgrade(configured(audit()), "c")
    for _ in range(2):
        report = check(configured(audit()))
        found = [(each.kind, each.name, "division by zero" in each.message) for each in report.problems]
        assert ("downgrade", "c", True) in found
        assert ("downgrade", "d", True) in found, "what comes after it is tried"
        assert report.untried == ["a", "b", "c"]
        [note] = [each for each in report.notes if each.startswith("Not tried: a, b, c.")]
        assert 'schema "audit" does not exist' in note
        assert "No revision makes" not in " ".join(report.notes)
    audited.add("d", "c", "pass")
    audited.add("c", "b", "pass", 'raise NotImplementedError("for ever")')
    do(empty_url, "drop table gone")
    audited.add("b", "a", "pass")
    report = check(configured(audit()))
    assert report.problems == []
    assert report.verdict() == "Models and revisions agree (4 revisions, not all of them tried)."
    assert "for ever" in " ".join(report.notes)


@pytest.mark.slow
def test_a_table_that_may_not_be_read_is_not_compared_by_its_shell(
    history: History, empty_url: URL, role: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_ENV", "test")
    do(
        empty_url,
        f"create schema audit authorization {role.username}; create table seen (at timestamptz default now(),"
        "who text check (who <> ''), id int generated always as identity); create index on seen (who);",
    )
    table = 'op.create_table("t", sa.Column("id", sa.Integer(), primary_key=True), schema="audit")'
    history.add("a", None, table, 'op.drop_table("t", schema="audit")')
    config = history.config(create_engine(role, poolclass=NullPool))
    config.attributes["target_metadata"] = audit()
    command.upgrade(config, "head")
    report = check(config)
    assert report.problems == []
    assert "No revision made this and no model knows it, so it is left alone: table seen." in report.notes
    do(empty_url, "alter table audit.t add by_hand int")
    [problem] = check(config).problems
    assert "column audit.t.by_hand" in problem.message
