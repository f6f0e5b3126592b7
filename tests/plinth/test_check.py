"""The check of the whole chain says no exactly when something doesn't agree, and names it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, MetaData, text

from plinth.check import Report, check
from tests.plinth.history import CONCURRENTLY, History, do, rows
from tests.plinth.project import REVISIONS, Project, copy_project

Check = Callable[..., Report]


@pytest.fixture
def checked(history: History, empty_engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Check:
    """Return a function that checks the history, given the tables that the models know."""
    monkeypatch.setenv("APP_ENV", "test")
    monkeypatch.setenv("PLINTH_HOME", str(tmp_path))

    def run(*tables: str, metadata: MetaData | None = None) -> Report:
        return check(configured(history, empty_engine, metadata or models(*tables)))

    return run


def models(*tables: str) -> MetaData:
    metadata = MetaData()
    for table in tables:
        sa.Table(f"t_{table}", metadata, sa.Column("id", sa.Integer, primary_key=True))
    return metadata


def configured(history: History, engine: Engine, metadata: MetaData) -> Config:
    config = history.config(engine)
    config.attributes["target_metadata"] = metadata
    return config


def messages(report: Report) -> str:
    return "\n".join(each.message for each in report.problems)


def test_all_agree(history: History, checked: Check) -> None:
    history.tables("a", "b")
    history.add(
        "c",
        "b",
        CONCURRENTLY + "op.create_index('i', 't_a', ['id'], postgresql_concurrently=True)",
        CONCURRENTLY + "op.drop_index('i', 't_a', postgresql_concurrently=True)",
    )
    metadata = models("a", "b")
    sa.Index("i", metadata.tables["t_a"].c.id)
    for _ in range(2):  # the second time much is known
        report = checked(metadata=metadata)
        assert report.agrees, messages(report)
        assert report.revisions == 3


def test_no_revisions_and_no_models_agree(checked: Check) -> None:
    assert checked().agrees


def test_models_that_no_revision_makes(history: History, checked: Check) -> None:
    history.tables("a")
    report = checked("a", "b")
    assert not report.agrees
    assert "t_b is missing" in messages(report)
    assert not checked("a", "b").agrees


def test_a_table_that_no_model_knows(history: History, checked: Check) -> None:
    history.tables("a", "b")
    report = checked("a")
    assert "t_b is too much" in messages(report)


def test_what_models_cannot_say_is_no_difference(history: History, checked: Check) -> None:
    history.tables("a")
    history.add("b", "a", 'op.execute("create view v as select 1 as n")', 'op.execute("drop view v")')
    assert checked("a").agrees


@pytest.mark.slow
def test_a_downgrade_that_does_nothing(history: History, checked: Check) -> None:
    history.tables("a")
    history.add("b", "a", 'op.execute("create table if not exists t_b (id int)")')
    history.add("c", "b", 'op.execute("drop table t_b")', 'op.execute("create table t_b (id int)")')
    for _ in range(2):
        report = checked("a")
        assert [(each.kind, each.name) for each in report.problems] == [("downgrade", "b")]
        assert "table t_b is too much" in messages(report)


def test_a_downgrade_that_fails_is_named_and_the_rest_is_tried(history: History, checked: Check) -> None:
    history.tables("a")
    history.add("b", "a", 'op.execute("create view b as select 1 as n")', 'op.execute("drop view nobody")')
    history.add("c", "b", 'op.execute("create or replace view c as select 1 as n")')
    report = checked("a")
    assert [(each.kind, each.name) for each in report.problems] == [("downgrade", "b"), ("downgrade", "c")]
    assert '"nobody" does not exist' in messages(report)


def test_an_upgrade_that_fails(history: History, checked: Check) -> None:
    history.tables("a")
    history.add("b", "a", 'op.execute("select nobody")')
    report = checked("a")
    assert [(each.kind, each.name) for each in report.problems] == [("upgrade", "b")]
    assert "Revision b (make b) fails in its upgrade" in messages(report)


def test_an_upgrade_that_works_only_once(history: History, checked: Check) -> None:
    history.tables("a")
    history.add("b", "a", 'op.execute("select lo_create(4711)")')
    history.add("c", "b", 'op.execute("select nobody")')
    report = checked("a")
    assert [(each.kind, each.name) for each in report.problems] == [("downgrade", "b"), ("upgrade", "c")]
    assert "Applied again after its downgrade" in messages(report)
    assert report.notes == ["What comes after it was not tried, and models and database were not compared."]


def test_behind_a_downgrade_that_leaves_a_type_the_rest_is_tried(history: History, checked: Check) -> None:
    """As those of Alembic's own autogenerate do, which drops no enum."""
    history.tables("a")
    moods = 'sa.Enum("good", "bad", name="Mood")'
    up = f'op.create_table("t_b", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("m", {moods}))'
    history.add("b", "a", up, 'op.drop_table("t_b")')
    history.add("c", "b", "op.execute('create type kind as enum ()')")
    history.add("d", "c", 'op.execute("create view d as select 1 as n")', "pass")
    metadata = models("a", "b")
    metadata.tables["t_b"].append_column(sa.Column("m", sa.Enum("good", "bad", name="Mood")))
    for _ in range(2):
        report = checked(metadata=metadata)
        assert [(each.kind, each.name) for each in report.problems] == [
            *(("downgrade", name) for name in ("b", "c", "d")),
            ("models", "models"),
        ], messages(report)
    text = messages(report)
    assert "op.execute('DROP TYPE \"Mood\"')" in text
    assert "Applied again: Revision b (make b) fails in its upgrade: type" in text
    assert "enum kind is too much" in text
    assert "op.execute('DROP VIEW public.d')" in text


def test_what_cannot_be_undone_is_not_undone(history: History, checked: Check) -> None:
    history.tables("a")
    history.add(
        "b", "a", 'op.execute("create view b as select 1 as n")', "raise NotImplementedError('for ever')"
    )
    history.add("c", "b", 'op.execute("create view c as select 1 as n")', extra='irreversible = "why not"')
    history.add("d", "c", 'op.execute("create view d as select 1 as n")', 'op.execute("drop view d")')
    report = checked("a")
    assert report.agrees, messages(report)


@pytest.mark.slow
def test_branches_and_merges(history: History, checked: Check) -> None:
    history.tables("a", "b")
    history.tables("x", "y")
    report = checked("a", "b", "x", "y")
    assert [each.kind for each in report.problems] == ["heads"]
    assert "alembic merge b y" in messages(report)
    history.add("m", ("b", "y"), "pass")
    assert checked("a", "b", "x", "y").agrees


def test_a_row_beside_that_of_what_stands_on_it(
    history: History, checked: Check, empty_engine: Engine
) -> None:
    history.tables("a", "b")
    command.upgrade(history.config(empty_engine), "head")
    do(empty_engine.url, "insert into alembic_version values ('a')")
    assert [each.kind for each in checked("a", "b").problems] == ["heads"]


@pytest.mark.slow
def test_a_changed_revision_is_tried_again(history: History, checked: Check) -> None:
    history.tables("a", "b", "c")
    assert checked("a", "b", "c").agrees
    history.add("b", "a", 'op.execute("create table if not exists t_b (id serial primary key)")')
    report = checked("a", "b", "c")
    assert [(each.kind, each.name) for each in report.problems] == [("downgrade", "b")]


def test_a_revision_that_reads_a_file_is_tried_each_time(history: History, checked: Check) -> None:
    file = history.folder / "versions" / "down.sql"
    file.write_text("select 1")
    extra = "from pathlib import Path"
    history.add(
        "a", None, "pass", f"op.execute((Path(__file__).parent / {file.name!r}).read_text())", extra=extra
    )
    assert checked().agrees
    file.write_text("drop table nonsense")
    assert [(each.kind, each.name) for each in checked().problems] == [("downgrade", "a")]


def test_a_database_that_was_changed_by_hand(history: History, checked: Check, empty_engine: Engine) -> None:
    history.tables("a")
    config = configured(history, empty_engine, models("a"))
    command.upgrade(config, "head")
    with empty_engine.begin() as connection:
        connection.execute(text("create table of_another_application (id serial)"))
    report = checked("a")
    assert report.agrees
    assert [note.partition(": ")[2] for note in report.notes] == ["table of_another_application."]
    with empty_engine.begin() as connection:
        connection.execute(text("alter table t_a add by_hand int"))
    report = checked("a")
    assert [each.kind for each in report.problems] == ["database"]
    assert "column t_a.by_hand is too much" in messages(report)


def test_of_many_things_that_are_none_of_ours_some_are_named(
    history: History, checked: Check, empty_engine: Engine
) -> None:
    with empty_engine.begin() as connection:
        for number in range(100, 112):
            connection.execute(text(f"create table other_{number} (id int)"))
    [note] = checked().notes
    assert note.endswith("table other_108, table other_109, and 2 more.")


def test_a_database_that_is_behind_is_not_compared(
    history: History, checked: Check, empty_engine: Engine
) -> None:
    history.tables("a")
    report = checked("a")
    assert report.agrees
    assert "not compared" in "\n".join(report.notes)
    assert rows(empty_engine.url, "select to_regclass('alembic_version')::text") == [(None,)]


def test_hints_that_are_done_can_go(history: History, checked: Check) -> None:
    history.tables("a")
    metadata = MetaData()
    key = sa.Column("id", sa.Integer, primary_key=True, info={"renamed_from": "number"})
    sa.Table("t_a", metadata, key)
    report = checked(metadata=metadata)
    assert report.agrees
    (hint,) = report.hints
    assert "renamed_from" in hint
    assert "t_a.id" in hint


def test_where_nothing_can_be_tried_it_says_so(
    history: History, checked: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.tables("a")
    monkeypatch.setenv("APP_ENV", "production")
    monkeypatch.setattr("plinth.local_server.major_version", lambda: "17000")
    report = checked("a")
    assert "could not be tried" in "\n".join(report.notes)
    assert [each.kind for each in report.problems] == ["models"]  # as Alembic itself sees it: not up to date
    assert "tried up and down" not in report.verdict()


def test_a_database_that_can_not_be_reached_is_a_problem(
    history: History, empty_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.tables("a")
    monkeypatch.setenv("DATABASE_URL", "postgresql://user@localhost:1/nowhere")
    monkeypatch.setattr("plinth.check._local_server", lambda _: empty_engine.url)
    report = check(history.config())
    assert [each.kind for each in report.problems] == ["database", "models"]
    assert "The database can't be compared. There is no connection to" in report.problems[0].message
    assert not report.agrees


@pytest.mark.slow
def test_the_scaffold_itself_agrees(migrated: Project) -> None:
    assert "agree" in migrated.ok("plinth", "check")
    found = json.loads(migrated.ok("plinth", "check", "--json"))
    assert found["agrees"]
    assert found["problems"] == found["hints"] == found["notes"] == []


@pytest.mark.slow
def test_the_exit_code_says_no(migrated: Project) -> None:
    migrated.add_column("nickname: Mapped[str | None]")
    done = migrated.run("plinth", "check")
    assert done.returncode == 1
    assert "column users.nickname is missing" in done.stdout
    assert "Traceback" not in done.stderr
    done = migrated.run("plinth", "check", "--json")
    assert done.returncode == 1
    assert not json.loads(done.stdout)["agrees"]


@pytest.mark.slow
def test_on_a_fresh_clone_without_any_database(open_folder: Path) -> None:
    project = copy_project(open_folder / "fresh")
    try:
        said = project.ok("plinth", "check")
        assert "plinth reset" in said
        assert f"agree ({len(REVISIONS)} revisions" in said
    finally:
        project.ok("plinth", "stop")
