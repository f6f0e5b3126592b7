"""The chain of revisions: one head, each revision up and down, and at its end what the models say.

`make db-check` says the same; here it is a part of the tests, on an empty database.
"""

from collections.abc import Iterator

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from app.models import Base
from app.naming import NAMING_CONVENTION
from plinth.apply.irreversible import reason_of
from plinth.catalog import differences, read_catalog
from plinth.check import check
from plinth.development import alembic_config


@pytest.fixture
def engine_on_nothing(empty_url: URL) -> Iterator[Engine]:
    """An engine on an empty database."""
    engine = create_engine(empty_url, poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def config(engine_on_nothing: Engine) -> Config:
    """Alembic on an empty database."""
    config = alembic_config()
    config.attributes["connection"] = engine_on_nothing
    return config


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(alembic_config()).get_heads()) == 1


def test_each_revision_goes_up_down_and_up_and_the_models_agree(config: Config) -> None:
    report = check(config)
    assert report.agrees, "\n".join(problem.message for problem in report.problems)


def test_the_whole_chain_goes_down_again(config: Config, engine_on_nothing: Engine) -> None:
    revisions = ScriptDirectory.from_config(config).walk_revisions()
    bottom = next((each.revision for each in revisions if reason_of(each) is not None), "base")
    if bottom != "base":
        command.upgrade(config, bottom)
    with engine_on_nothing.connect() as connection:
        before = read_catalog(connection)
    command.upgrade(config, "head")
    command.downgrade(config, bottom)
    with engine_on_nothing.connect() as connection:
        assert differences(read_catalog(connection), before) == []


def test_models_and_database_agree(config: Config) -> None:
    command.upgrade(config, "head")
    command.check(config)


def test_revisions_name_constraints_as_the_models_do() -> None:
    assert {**NAMING_CONVENTION, **Base.metadata.naming_convention} == {
        **Base.metadata.naming_convention,
        **NAMING_CONVENTION,
    }
