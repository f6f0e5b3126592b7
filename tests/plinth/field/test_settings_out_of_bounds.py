"""Settings that PostgreSQL can't take are refused by a sentence that names them."""

import pytest

from plinth import settings
from plinth.settings import SettingsError
from tests.plinth.project import Project


@pytest.mark.parametrize("name", ["PLINTH_LOCK_TIMEOUT", "PLINTH_STATEMENT_TIMEOUT", "PLINTH_RETRY_LIMIT"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("0.0001us", "1ms at least"),  # rounded to 0 it would be for ever
        ("0.4ms", "1ms at least"),
        ("100d", "24d at most"),
        ("99999999999d", "24d at most"),
    ],
)
def test_durations(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name} is '{value}': write {words}"):
        settings.configured()


@pytest.mark.parametrize(
    ("value", "words"),
    [("postgres", "the server's own"), ("template1", "the server's own"), ("x" * 64, "63")],
)
def test_names_of_the_development_database(monkeypatch: pytest.MonkeyPatch, value: str, words: str) -> None:
    monkeypatch.setenv("PLINTH_DATABASE", value)
    with pytest.raises(SettingsError, match=words):
        settings.configured()


def test_the_command_says_it_in_one_line(project: Project) -> None:
    line = project.refused("alembic", "upgrade", "head", PLINTH_LOCK_TIMEOUT="100d")
    assert "PLINTH_LOCK_TIMEOUT is '100d'" in line
