from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.config import Config
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url

from plinth import settings
from plinth.__main__ import libpq_url
from plinth.settings import Settings, SettingsError, parse_url


@pytest.mark.parametrize(
    ("text", "host", "query"),
    [
        ("postgres://u:p%40ss@h:1/db", "h", {}),
        ("postgresql://u@h/db?sslmode=require", "h", {"sslmode": "require"}),
        ("postgresql+psycopg://u@/db?host=/tmp/a%20b", None, {"host": "/tmp/a b"}),
    ],
)
def test_urls_of_postgresql_are_taken(text: str, host: str | None, query: dict[str, str]) -> None:
    url = parse_url(text, "DATABASE_URL")
    assert (url.drivername, url.host, url.database) == ("postgresql+psycopg", host, "db")
    assert dict(url.query) == query


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mysql://u@h/db", "'mysql'"),
        ("sqlite://", "'sqlite'"),
        ("nonsense", "not a URL"),
        ("postgresql://h:port/db", "not a URL"),
        ("postgresql://h", "names no database"),
    ],
)
def test_other_urls_are_refused_with_an_example(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        parse_url(text, "DATABASE_URL")
    assert "postgresql://user:password@host:5432/database" in str(caught.value)


def test_production_has_no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("APP_ENV", "production")
    with pytest.raises(SettingsError, match="DATABASE_URL is not set"):
        settings.database_url()


def test_migrations_may_have_a_url_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://app@pooler/db")
    assert settings.migration_url().host == "pooler"
    monkeypatch.setenv("MIGRATION_DATABASE_URL", "postgresql://owner@direct/db")
    assert settings.migration_url().host == "direct"
    assert settings.database_url().host == "pooler"


def test_an_unknown_app_env_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "prod")
    with pytest.raises(SettingsError, match="development, test or production"):
        settings.app_env()


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://u%20ser:p%40s%20s%2B%25@h:1/my%20db%2F%3F",
        "postgresql://u@[::1]:5/db?sslmode=require",
        "postgresql://u@/db?host=%2Ftmp%2Fa%20b%2Bc&port=1",
        "postgresql://h/db",
    ],
)
def test_the_url_for_libpq_says_the_same(text: str) -> None:
    printed = libpq_url(parse_url(text, "DATABASE_URL"))
    assert "+" not in printed
    assert " " not in printed
    assert conninfo_to_dict(printed) == conninfo_to_dict(text)


def test_the_environment_goes_before_pyproject_and_that_before_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert settings.configured().lock_timeout == timedelta(milliseconds=250)
    monkeypatch.setattr(settings, "tool_settings", lambda: {"lock_timeout": "2s", "retry_limit": 1500})
    monkeypatch.setenv("PLINTH_LOCK_TIMEOUT", "1min")
    assert settings.configured().lock_timeout == timedelta(minutes=1)
    assert settings.configured().retry_limit == timedelta(seconds=1.5)
    monkeypatch.setenv("PLINTH_LOCK_TIMEOUT", "soon")
    with pytest.raises(SettingsError, match="PLINTH_LOCK_TIMEOUT is 'soon': write a duration"):
        settings.configured()


def test_the_guide_names_every_duration() -> None:
    guide = (settings.root() / "docs" / "applying.md").read_text()
    for setting in fields(Settings):
        if setting.type is timedelta:
            assert f"| `{setting.name}` | `PLINTH_{setting.name.upper()}` |" in guide


def test_the_url_may_stand_in_pyproject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    (tmp_path / "alembic.ini").write_text("[alembic]\n")
    said = '[tool.alembic]\nscript_location = "migrations"\n"sqlalchemy.url" = "postgresql://u:p@h/shop"\n'
    (tmp_path / "pyproject.toml").write_text(said)
    config = Config(tmp_path / "alembic.ini", toml_file=tmp_path / "pyproject.toml")
    assert settings.migration_url(config) == make_url("postgresql+psycopg://u:p@h/shop")
