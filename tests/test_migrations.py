"""The chain of revisions: one head, each revision up and down, and at its end what the models say.

`make db-check` and `make db-lint` say the same; here it is a part of the tests, on an empty database.
"""

from app.models import Base
from app.naming import NAMING_CONVENTION
from plinth.testing import MigrationTests


class TestMigrations(MigrationTests):
    """The tests that every project wants."""


def test_revisions_name_constraints_as_the_models_do() -> None:
    assert {**NAMING_CONVENTION, **Base.metadata.naming_convention} == {
        **Base.metadata.naming_convention,
        **NAMING_CONVENTION,
    }
