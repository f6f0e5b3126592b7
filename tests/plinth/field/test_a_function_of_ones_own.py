"""Alembic run by another program, with a function of its own: with lock and ledger, too."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from alembic.autogenerate.api import RevisionContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData
from sqlalchemy.engine import URL

from tests.plinth.history import History, ledger, rows


def run(history: History, engine: Engine, fn: Callable[..., Iterable[Any]], **options: object) -> None:
    config = history.config(engine)
    config.attributes["target_metadata"] = MetaData()
    script = ScriptDirectory.from_config(config)
    with EnvironmentContext(config, script, fn=fn, **options):
        script.run_env()


class Upgrade:
    """A function without a qualified name."""

    def __init__(self, script: ScriptDirectory) -> None:
        self.script = script

    def __call__(self, heads: Any, context: object) -> Iterable[Any]:  # noqa: ANN401, D102
        return self.script._upgrade_revs("head", heads)


@pytest.mark.parametrize("kind", ["lambda", "object"])
def test_what_it_applies_is_remembered(
    kind: str, history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a", "b")
    script = ScriptDirectory.from_config(history.config(empty_engine))
    fn = Upgrade(script) if kind == "object" else lambda heads, _: script._upgrade_revs("head", heads)
    run(history, empty_engine, fn, destination_rev="head")
    assert ledger(empty_url) == [("a", "up", 1), ("b", "up", 1)]


def test_one_that_only_compares_changes_nothing(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    config = history.config(empty_engine)
    arguments = dict.fromkeys(
        ("message", "sql", "head", "splice", "branch_label", "version_path", "rev_id", "depends_on")
    ) | {"autogenerate": True, "head": "head"}
    context = RevisionContext(config, ScriptDirectory.from_config(config), arguments)

    def compare(heads: Any, migration_context: Any) -> Iterable[Any]:  # noqa: ANN401
        context.run_autogenerate(heads, migration_context)
        return []

    run(history, empty_engine, compare, revision_context=context)
    assert rows(empty_url, "select count(*) from pg_class where relnamespace = 'public'::regnamespace") == [
        (0,)
    ]
