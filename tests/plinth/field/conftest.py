import pytest
from sqlalchemy import Engine

from tests.plinth.field.changing import Changing
from tests.plinth.field.commands import Commands
from tests.plinth.history import History


@pytest.fixture
def changing(history: History, empty_engine: Engine) -> Changing:
    """A database whose models change, with nothing in it yet."""
    return Changing(history, empty_engine)


@pytest.fixture
def commands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Our commands; which database, `sign_in` says."""
    for name in ("APP_ENV", "MIGRATION_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return Commands(capsys, monkeypatch)
