"""Ids of revisions: two files with one, and one that has no room in the version table."""

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from plinth.apply.standing import StandingError
from plinth.check import check
from plinth.lint.linting import lint
from plinth.status import status
from tests.plinth.history import History, do, heads, rows

LONG = "2026_01_add_a_very_long_description_to_users"


def test_one_id_in_two_files_names_both(history: History, empty_engine: Engine) -> None:
    history.tables("a")
    (history.folder / "versions" / "copy.py").write_text(
        (history.folder / "versions" / "a_make.py").read_text()
    )
    config = history.config(empty_engine)
    for run in (
        lambda: command.upgrade(config, "head"),
        lambda: command.current(config),
        lambda: status(config),
        lambda: check(config),
        lambda: lint(config),
    ):
        with (
            pytest.warns(UserWarning, match="more than once"),
            pytest.raises(CommandError, match=r"a_make\.py and .*copy\.py have the same id, 'a'"),
        ):
            run()


def test_an_id_without_room_is_refused_before_anything_runs(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a", LONG)
    with pytest.raises(CommandError, match=rf"The id '{LONG}' is longer than .*32 characters"):
        command.upgrade(history.config(empty_engine), "head")
    assert rows(empty_url, "select to_regclass('t_a')") == [(None,)]
    with pytest.raises(StandingError, match="is longer than"):
        lint(history.config(empty_engine))


def test_a_column_that_was_widened_has_room(history: History, empty_engine: Engine, empty_url: URL) -> None:
    do(empty_url, "create table alembic_version (version_num varchar(64) primary key)")
    history.tables("a", LONG)
    command.upgrade(history.config(empty_engine), "head")
    assert heads(empty_url) == {LONG}
