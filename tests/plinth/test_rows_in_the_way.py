"""Rows that don't bear a revision: one sentence, and the database stands where it stood."""

from pathlib import Path

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Column, Engine, MetaData, String, Text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from tests.plinth.history import CONCURRENTLY, History, catalog, clear, heads, psql, rows
from tests.plinth.judge import empty_place, start_change
from tests.plinth.kinds.kind import t
from tests.plinth.project import Project

TABLES = """op.execute("create table parent (id int primary key)")
op.execute("create table child (id int, parent int, name text)")"""
ROWS = "insert into child values (1, 1, 'one'), (1, null, 'two')"


@pytest.fixture
def filled(history: History, empty_engine: Engine, empty_url: URL) -> History:
    """A table with rows that a constraint or a type may not bear."""
    history.add("a", None, TABLES, 'op.drop_table("child")\nop.drop_table("parent")')
    command.upgrade(history.config(empty_engine), "head")
    with psql(empty_url) as connection:
        connection.execute(ROWS)
    return history


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("alter table child alter parent set not null", 'column "parent" of relation "child"'),
        ("alter table child add unique (id)", r"Key \(id\)=\(1\) is duplicated\."),
        ("alter table child add constraint positive check (id > 1)", '"positive"'),
        ("alter table child add foreign key (parent) references parent", r"Key \(parent\)=\(1\) is not"),
        ("alter table child alter name type int using name::int", 'integer: "one"'),
        ("alter table child alter name type varchar(2)", r"character varying\(2\)"),
        ("update child set id = 1 / (id - 1)", "division by zero"),
    ],
)
def test_one_sentence_says_it_all(
    filled: History, empty_engine: Engine, empty_url: URL, sql: str, words: str
) -> None:
    filled.add("b", "a", f'op.execute("alter table child add b int")\nop.execute("{sql}")')
    before = catalog(empty_url)
    with pytest.raises(CommandError, match=f"The rows don't bear revision b: .*{words}") as caught:
        command.upgrade(filled.config(empty_engine), "head")
    line = str(caught.value)
    assert "\n" not in line
    assert "It was rolled back: nothing of it has changed the database." in line
    assert "0 of 1 revision done; the database stands at a." in line
    assert line.endswith("Fix the rows, or the revision, and run the same command again.")
    assert catalog(empty_url) == before
    assert heads(empty_url) == {"a"}


def test_a_constraint_that_is_checked_at_commit(
    filled: History, empty_engine: Engine, empty_url: URL
) -> None:
    deferred = "foreign key (id) references parent deferrable initially deferred not valid"
    filled.add("b", "a", f'op.execute("alter table child add {deferred}")')
    filled.add("c", "b", "op.execute(\"insert into child values (5, null, '')\")")
    with pytest.raises(CommandError, match=r"bear revision c: .*rolled back.*1 of 2 .* stands at b\."):
        command.upgrade(filled.config(empty_engine), "head")
    assert heads(empty_url) == {"b"}


def test_a_downgrade(filled: History, empty_engine: Engine, empty_url: URL) -> None:
    filled.add("b", "a", "pass", 'op.execute("alter table child alter parent set not null")')
    command.upgrade(filled.config(empty_engine), "head")
    with pytest.raises(CommandError, match=r"bear revision b: .*rolled back"):
        command.downgrade(filled.config(empty_engine), "-1")
    assert heads(empty_url) == {"b"}


def test_an_online_step_does_not_claim_that_all_was_rolled_back(
    filled: History, empty_engine: Engine, empty_url: URL
) -> None:
    filled.add(
        "b",
        "a",
        f'{CONCURRENTLY}op.create_index("ix", "child", ["name"], postgresql_concurrently=True)\n'
        '    op.create_index("uq", "child", ["id"], unique=True, postgresql_concurrently=True)',
    )
    with pytest.raises(CommandError, match=r"bear revision b: .*\(id\)=\(1\)") as caught:
        command.upgrade(filled.config(empty_engine), "head")
    assert "rolled back" not in str(caught.value)
    assert "What it had finished before stays, and the same command goes on" in str(caught.value)
    indexes = "select indexrelid::regclass::text, indisvalid from pg_index where indrelid = 'child'::regclass"
    assert rows(empty_url, indexes) == [("ix", True)]
    with psql(empty_url) as connection:
        connection.execute("delete from child where parent is null")
    command.upgrade(filled.config(empty_engine), "head")
    assert sorted(rows(empty_url, indexes)) == [("ix", True), ("uq", True)]


def test_the_program_prints_one_line(project: Project, empty_url: URL) -> None:
    history = clear(project)
    history.add("a", None, TABLES)
    history.add("b", "a", f'op.execute("{ROWS}")\nop.execute("alter table child add unique (id)")')
    line = project.refused("alembic", "upgrade", "head")
    assert "The rows don't bear revision b" in line
    assert "1 of 2 revisions done; the database stands at a." in line
    assert heads(empty_url) == {"a"}


def test_a_mistake_of_the_revision_is_no_fault_of_the_rows(filled: History, empty_engine: Engine) -> None:
    filled.add("b", "a", 'op.execute("alter table nowhere add b int")')
    with pytest.raises(DBAPIError, match="nowhere"):
        command.upgrade(filled.config(empty_engine), "head")


@pytest.mark.parametrize("x", [(), ("online=no",)], ids=["online", "plain"])
@pytest.mark.parametrize("is_up", [True, False], ids=["up", "down"])
def test_blanks_at_the_end_are_not_cut(server: URL, tmp_path: Path, is_up: bool, x: tuple[str, ...]) -> None:
    def models(kind: type[Text] | String) -> MetaData:
        metadata = MetaData()
        t(metadata, Column("v", kind))
        return metadata

    kinds: list[type[Text] | String] = [Text, String(5)] if is_up else [String(5), Text]
    with empty_place(server, tmp_path / "history") as (history, engine):
        trial = start_change(history, engine, models(kinds[0]), models(kinds[0]))
        old = trial.heads()
        trial.write("change texts of t", models(kinds[1]), x)
        config = trial.config()
        if not is_up:
            command.upgrade(config, "head")
        with psql(engine.url) as connection:
            connection.execute("insert into t values (1, 'abc       '), (2, 'abc')")
        with pytest.raises(CommandError, match=r"character varying\(5\)"):
            command.upgrade(config, "head") if is_up else command.downgrade(config, old)
        assert rows(engine.url, "select length(v) from t order by id") == [(10,), (3,)]
        with psql(engine.url) as connection:
            connection.execute("update t set v = rtrim(v)")
        command.upgrade(config, "head") if is_up else command.downgrade(config, old)
        assert rows(engine.url, "select v from t") == [("abc",), ("abc",)]
