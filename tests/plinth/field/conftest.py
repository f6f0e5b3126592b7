import pytest
from sqlalchemy import Engine

from tests.plinth.field.changing import Changing
from tests.plinth.history import History


@pytest.fixture
def changing(history: History, empty_engine: Engine) -> Changing:
    """A database whose models change, with nothing in it yet."""
    return Changing(history, empty_engine)
