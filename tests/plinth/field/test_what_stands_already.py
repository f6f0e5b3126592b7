"""What a revision makes stands already: made by hand, or by a run that ended half-way."""

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from plinth.status import status
from tests.plinth.history import History, do, heads, rows


@pytest.mark.parametrize(
    ("up", "by_hand"),
    [
        ("op.create_table('t', sa.Column('id', sa.Integer()))", "create table t (id int)"),
        ("op.execute('create type mood as enum ()')", "create type mood as enum ()"),
        ("op.execute('create schema s')", "create schema s"),
        ("op.execute('create index i on base (id)')", "create index i on base (id)"),
        ("op.add_column('base', sa.Column('v', sa.Text()))", "alter table base add v text"),
    ],
)
def test_tables_made_by_other_means_are_told_apart_from_a_fault(
    up: str, by_hand: str, history: History, empty_engine: Engine, empty_url: URL
) -> None:
    do(empty_url, f"create table base (id int); {by_hand}")
    history.add("a", None, f"op.execute('create table new ()')\n{up}")
    with pytest.raises(CommandError, match=r"revision a makes stands already: .*alembic stamp a\."):
        command.upgrade(history.config(empty_engine), "head")
    assert rows(empty_url, "select to_regclass('new')") == [(None,)]
    command.stamp(history.config(empty_engine), "a")
    command.upgrade(history.config(empty_engine), "head")
    assert heads(empty_url) == {"a"}


def test_a_step_that_was_left_half_done_says_so_the_second_time(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a")
    add = "op.add_column('t_a', sa.Column('v', sa.Text()))"
    commit = "op.get_bind().connection.driver_connection.commit()"
    history.add("b", "a", f"{add}\n{commit}\nop.execute('select 1 / 0')")
    config = history.config(empty_engine)
    with pytest.raises(CommandError, match="may not bear to be done twice"):
        command.upgrade(config, "head")
    [problem] = status(config).problems
    assert problem.kind == "interrupted"
    assert problem.message.endswith("alembic stamp b")
    for _ in range(2):
        with pytest.raises(CommandError, match=r"b was left half done.*IF NOT EXISTS.*alembic stamp b$"):
            command.upgrade(config, "head")
    command.stamp(config, "b")
    assert status(config).problems == []
    assert heads(empty_url) == {"b"}


def test_let_it_bear_it_and_it_runs(history: History, empty_engine: Engine, empty_url: URL) -> None:
    history.add("a", None, "op.execute('create table t (); commit')\nop.execute('select 1 / 0')")
    with pytest.raises(CommandError, match="what it had committed stays"):
        command.upgrade(history.config(empty_engine), "head")
    with pytest.raises(CommandError, match="Revision a was left half done"):
        command.upgrade(history.config(empty_engine), "head")
    history.add("a", None, "op.execute('create table if not exists t ()')")
    command.upgrade(history.config(empty_engine), "head")
    assert status(history.config(empty_engine)).problems == []
    assert heads(empty_url) == {"a"}
