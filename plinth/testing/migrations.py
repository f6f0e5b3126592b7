"""The tests that every project with revisions wants."""

from collections.abc import Iterable, Iterator, Mapping

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth import safety
from plinth.apply.irreversible import reason_of
from plinth.apply.standing import forks, say_fork
from plinth.autogenerate.prove.proof import shown_differences
from plinth.catalog import Catalog, differences, read_catalog, unseen, unseen_differences
from plinth.check import check
from plinth.lint.linting import REFUSED, lint
from plinth.testing import revisions
from plinth.ways_back import not_as_it_was


class MigrationTests:
    """What must hold of the chain of revisions, tried in an empty database.

    A subclass whose name begins with `Test` runs them; a method of the same name takes a test's place.
    """

    @pytest.fixture
    def empty(self, empty_url: URL, baseline: str) -> URL:
        """A database in which the chain begins."""
        revisions.lay(baseline, empty_url)
        with create_engine(empty_url, poolclass=NullPool).begin() as connection:
            safety.write_marker(connection, "test")  # there may be scratch databases beside it
        return empty_url

    @pytest.fixture
    def config(self, empty: URL) -> Iterator[Config]:
        """Alembic on that database."""
        with revisions.failing_in_a_sentence(), revisions.config_on(empty) as config:
            yield config

    def test_there_is_one_head(self, config: Config) -> None:
        """Two of them are two branches that nobody has merged."""
        several = forks(ScriptDirectory.from_config(config))
        _none(say_fork(each) for each in several)

    def test_each_revision_goes_up_down_and_up_and_the_models_agree(self, config: Config) -> None:
        """The database is the same again after each way back, and at the end what the models say."""
        with revisions.failing_in_a_sentence():
            report = check(config)
        ways_on = [revisions.WAY_ON] if any(each.is_missing for each in report.problems) else []
        _none([*(problem.message for problem in report.problems), *ways_on])
        _none(() if report.tried else report.notes)

    def test_the_whole_chain_goes_down_again(self, config: Config, empty: URL) -> None:
        """From head down to nothing, or to the newest revision that says that it can't be undone."""
        with revisions.failing_in_a_sentence():
            script = ScriptDirectory.from_config(config)
            chain = [*script.walk_revisions()]
            bottom = next((each.revision for each in chain if reason_of(each) is not None), "base")
            if bottom != "base":
                command.upgrade(config, bottom)
            before, more = _standing(empty)
            revisions.upgrade(config)
            command.downgrade(config, bottom)
            left, left_more = _standing(empty)
            found_more = not_as_it_was(unseen_differences(left_more, more), chain)
            found = [*differences(left, before), *found_more]
        what = "The downgrades of all revisions don't put back what was there:"
        _none([shown_differences(what, found)] if found else ())

    def test_models_and_database_agree(self, config: Config) -> None:
        """`alembic check` finds nothing to write after an upgrade."""
        with revisions.failing_in_a_sentence():
            revisions.upgrade(config)
            command.check(config)

    def test_no_revision_blocks_or_loses_data(self, config: Config) -> None:
        """`plinth lint` refuses none; `lint_since` says which ones are too old to matter."""
        with revisions.failing_in_a_sentence():
            found = lint(config)
        _none(
            f"{each.file}: {finding.rule}: {finding.message}"
            for each in found.revisions
            for finding in each.findings
            if finding.level == REFUSED
        )


def _none(problems: Iterable[str]) -> None:
    """Let the test fail with sentences that say all; a traceback would add nothing."""
    said = "\n".join(problems)
    if said:
        pytest.fail(said, pytrace=False)


def _standing(url: URL) -> tuple[Catalog, Mapping[str, str | None]]:
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return read_catalog(connection), unseen(connection)
