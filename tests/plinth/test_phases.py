"""Deploys in two phases: what comes before the code, and what comes after it."""

import argparse
import io
import json

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine

from plinth import development, safety, up_to_date
from plinth.__main__ import main
from plinth.plan.planning import plans
from plinth.status import PENDING, status
from tests.plinth.history import CONCURRENTLY, History, heads, psql

AFTER = 'deploy = "after"'
CAUGHT = (
    "Revision later is caught behind narrower: it comes before the code, and stands on what comes after it. "
    "Code that needs it can't go out until that is applied."
)


def add_chain(history: History) -> None:
    """Write four revisions, of which the third comes after the code."""
    history.add("first", None, "op.execute('create table t (id int, old int)')", "op.execute('drop table t')")
    history.add("wider", "first", "op.execute('alter table t add new int')")
    history.add("narrower", "wider", "op.execute('alter table t drop old')", extra=AFTER)
    history.add("later", "narrower", "op.execute('alter table t add last int')")


def said(history: History, engine: Engine, *x: str) -> Config:
    config = history.config(engine)
    config.cmd_opts = argparse.Namespace(x=list(x))
    return config


@pytest.fixture
def protected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' database is none for development, and `hold_after` is set."""
    monkeypatch.setenv("PLINTH_HOLD_AFTER", "yes")
    monkeypatch.setattr(safety, "is_for_development", lambda _: False)


@pytest.fixture
def printed(
    history: History,
    empty_engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> pytest.CaptureFixture[str]:
    """What our commands print; they run on the history's revisions."""

    def config() -> Config:
        return said(history, empty_engine)

    monkeypatch.setattr(development, "alembic_config", config)
    # The short way knows but the project in whose folder the tests run, which may be up to date.
    monkeypatch.setattr(up_to_date, "fingerprint", lambda: None)
    return capsys


def test_all_that_comes_before_the_code_is_applied_and_what_waits_is_told(
    history: History,
    empty_engine: Engine,
    printed: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    add_chain(history)
    assert main(["upgrade", "--before", "--json"]) == 0
    answer = json.loads(printed.readouterr().out)
    assert answer == {"applied": ["first", "wider"], "heads": ["wider"], "waiting": ["narrower", "later"]}
    assert (
        "Held back, to come after the code: narrower, later. When no older code runs any more: "
        "python -m plinth upgrade --after, or alembic -x after=yes upgrade head" in caplog.text
    )
    assert caplog.text.count(CAUGHT) == 1
    assert main(["status"]) == PENDING
    shown = printed.readouterr().out
    assert f"! {CAUGHT}" in shown
    assert shown.count("pending, after the code") == 3
    assert "2 pending, after the code: when no older code runs, make db-upgrade-after" in shown
    found = status(history.config(empty_engine))
    assert found.waiting == found.pending == ["narrower", "later"]
    planned = plans(history.config(empty_engine))[0]
    assert [(each.measured.revision, each.phase) for each in planned.revisions] == [
        ("narrower", "after"),
        ("later", "after"),
    ]
    assert main(["plan"]) == 0
    shown = printed.readouterr().out
    assert "narrower make narrower (after the code): " in shown
    assert " ".join(shown.split()).count(f"! {CAUGHT}") == 1
    assert main(["upgrade", "--before"]) == 0
    assert "Applied: nothing." in printed.readouterr().out
    assert main(["upgrade"]) == 0
    assert "Applied: narrower, later." in printed.readouterr().out
    assert status(history.config(empty_engine)).exit_code == 0


def test_alembic_itself_applies_all_unless_it_is_told_to_wait(history: History, empty_engine: Engine) -> None:
    add_chain(history)
    command.upgrade(said(history, empty_engine, "after=no"), "head")
    assert heads(empty_engine.url) == {"wider"}
    command.upgrade(said(history, empty_engine), "head")
    assert heads(empty_engine.url) == {"later"}
    with pytest.raises(CommandError, match="-x after is 'soon': write yes or no"):
        command.upgrade(said(history, empty_engine, "after=soon"), "head")


@pytest.mark.usefixtures("protected")
def test_outside_of_development_the_setting_holds_back_until_it_is_released(
    history: History, empty_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    add_chain(history)
    command.upgrade(history.config(empty_engine), "first")
    command.upgrade(history.config(empty_engine), "head")
    assert heads(empty_engine.url) == {"wider"}
    assert "Held back, to come after the code: narrower, later." in caplog.text
    command.upgrade(said(history, empty_engine, "after=yes"), "head")
    assert heads(empty_engine.url) == {"later"}


@pytest.mark.usefixtures("protected")
def test_our_own_word_releases_them_too(
    history: History, empty_engine: Engine, printed: pytest.CaptureFixture[str]
) -> None:
    add_chain(history)
    command.upgrade(history.config(empty_engine), "wider")
    assert main(["upgrade"]) == 0
    assert main(["upgrade", "--after"]) == 0
    assert "Applied: narrower, later." in printed.readouterr().out


@pytest.mark.usefixtures("protected")
def test_in_a_new_database_nothing_has_to_wait(history: History, empty_engine: Engine) -> None:
    add_chain(history)
    command.upgrade(history.config(empty_engine), "head")
    assert heads(empty_engine.url) == {"later"}


def test_the_setting_holds_nothing_back_in_development(
    history: History, empty_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLINTH_HOLD_AFTER", "yes")
    add_chain(history)
    command.upgrade(history.config(empty_engine), "first")
    command.upgrade(history.config(empty_engine), "head")
    assert heads(empty_engine.url) == {"later"}


def test_sql_leaves_out_what_waits_as_well(
    history: History, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_chain(history)
    monkeypatch.setenv("PLINTH_HOLD_AFTER", "yes")
    monkeypatch.setenv("APP_ENV", "production")
    command.upgrade(history.config(), "wider:head", sql=True)
    assert "drop old" not in capsys.readouterr().out
    command.upgrade(history.config(), "base:head", sql=True)
    assert "drop old" in capsys.readouterr().out


def test_another_branch_does_not_wait_and_a_merge_does(history: History, empty_engine: Engine) -> None:
    add_chain(history)
    history.add("beside", "first", "op.execute('create table u ()')")
    history.add("on_it", "beside", "op.execute('create table v ()')")
    history.add("merge", ("later", "on_it"), "pass")
    history.add("apart", None, "op.execute('create table w ()')", extra='depends_on = "narrower"')
    command.upgrade(said(history, empty_engine, "after=no"), "heads")
    assert heads(empty_engine.url) == {"wider", "on_it"}
    command.upgrade(history.config(empty_engine), "heads")
    assert heads(empty_engine.url) == {"merge", "apart"}


def test_a_merge_that_makes_nothing_is_not_caught_and_what_stands_on_it_is(
    history: History, empty_engine: Engine
) -> None:
    history.add("first", None, "op.execute('create table t (id int, old int)')", "op.execute('drop table t')")
    history.add("narrower", "first", "op.execute('alter table t drop old')", extra=AFTER)
    history.add("beside", "first", "op.execute('create table u ()')")
    history.add("merge", ("narrower", "beside"), '"""Merge them."""')
    command.upgrade(said(history, empty_engine, "after=no"), "heads")
    assert [each.message for each in status(history.config(empty_engine)).problems] == []
    history.add("later", "merge", "op.execute('alter table t add last int')")
    assert [each.message for each in status(history.config(empty_engine)).problems] == [CAUGHT]


def test_a_caller_who_has_a_transaction_is_heard_too(history: History, empty_engine: Engine) -> None:
    add_chain(history)
    with empty_engine.begin() as connection:
        config = history.config(connection)
        config.cmd_opts = argparse.Namespace(x=["after=no"])
        command.upgrade(config, "head")
    assert heads(empty_engine.url) == {"wider"}


def test_another_word_is_refused(history: History, empty_engine: Engine) -> None:
    history.add("first", None, "pass", extra='deploy = "later"')
    with pytest.raises(CommandError, match="Revision first says deploy = 'later': write deploy = \"after\""):
        command.upgrade(said(history, empty_engine, "after=no"), "head")


def test_what_waits_is_no_failure_for_those_that_are_applied_already(
    history: History, empty_engine: Engine
) -> None:
    add_chain(history)
    command.upgrade(history.config(empty_engine), "narrower")
    command.upgrade(said(history, empty_engine, "after=no"), "head")  # nothing that is pending says so
    assert heads(empty_engine.url) == {"later"}
    with psql(empty_engine.url) as connection:
        connection.execute("select last from t")


@pytest.mark.usefixtures("protected")
def test_what_is_held_and_stands_half_way_goes_on_by_the_word_that_releases_it(
    history: History, empty_engine: Engine, printed: pytest.CaptureFixture[str]
) -> None:
    history.add("first", None, "op.execute('create table t (id int, old int)')")
    command.upgrade(history.config(empty_engine), "head")
    steps = f"{CONCURRENTLY}op.execute('alter table t drop old')\n"
    stop = "op.execute('select 1 / count(*) from t')"
    history.add("narrower", "first", steps + stop, extra=AFTER)
    with pytest.raises(CommandError):
        command.upgrade(said(history, empty_engine, "after=yes"), "head")
    [problem] = status(history.config(empty_engine)).problems
    assert (
        "To go on: python -m plinth upgrade --after, or alembic -x after=yes upgrade head. To take back what "
        "is done: alembic downgrade -1" in problem.message
    )
    with psql(empty_engine.url) as connection:
        connection.execute("insert into t values (1)")
    command.upgrade(history.config(empty_engine), "head")
    assert heads(empty_engine.url) == {"first"}
    assert main(["upgrade", "--after"]) == 0
    assert status(history.config(empty_engine)).problems == []


@pytest.mark.parametrize(
    ("columns", "comes_after"),
    [
        ([], True),
        ([sa.Column("new", sa.Text)], False),
        ([sa.Column("old", sa.Text), sa.Column("new", sa.Text)], None),
    ],
    ids=["a drop alone", "a drop with something else", "no drop"],
)
def test_a_plain_file_comes_after_the_code_if_it_only_drops_and_else_says_what_it_mixes(
    history: History,
    empty_engine: Engine,
    columns: "list[sa.Column[str]]",
    comes_after: bool | None,
) -> None:
    history.add(
        "first", None, "op.execute('create table t (id int, old text)')", "op.execute('drop table t')"
    )
    command.upgrade(history.config(empty_engine), "head")
    metadata = sa.MetaData()
    sa.Table("t", metadata, sa.Column("id", sa.Integer), *columns)
    config = said(history, empty_engine, "online=no", "drop=t.old")
    config.attributes["target_metadata"] = metadata
    config.stdout = output = io.StringIO()
    command.revision(config, "narrow the table t", autogenerate=True)
    (text,) = [
        file.read_text() for file in (history.folder / "versions").glob("*.py") if "first" not in file.name
    ]
    assert (AFTER in text) == bool(comes_after)
    assert ("apply it while no code runs" in output.getvalue()) == (comes_after is False)
