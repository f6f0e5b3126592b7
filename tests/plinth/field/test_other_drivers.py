"""The application's driver may be another one: migrations run on psycopg, or say why they can't."""

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import create_engine

from plinth.settings import SettingsError, parse_url
from tests.plinth.history import History
from tests.plinth.project import HEAD, Project


@pytest.mark.parametrize(
    ("given", "query"),
    [
        ("postgresql+asyncpg://u:p@h/d", {}),
        ("postgresql+psycopg2://u:p@h/d", {}),
        ("postgresql+pg8000://u:p@h/d", {}),
        ("postgresql+psycopg_async://u:p@h/d?sslmode=verify-full", {"sslmode": "verify-full"}),
        ("postgresql+asyncpg://u:p@h/d?ssl=require", {"sslmode": "require"}),
        ("postgresql+asyncpg://u:p@h/d?ssl=true&prepared_statement_cache_size=0", {"sslmode": "require"}),
        ("postgresql+asyncpg://u:p@h/d?timeout=5", {"connect_timeout": "5"}),
    ],
)
def test_a_url_of_another_driver_is_postgresqls(given: str, query: dict[str, str]) -> None:
    url = parse_url(given, "DATABASE_URL")
    assert url.drivername == "postgresql+psycopg"
    assert (url.username, url.password, url.host, url.database) == ("u", "p", "h", "d")
    assert url.query == query


def test_what_leads_elsewhere_is_refused_under_any_driver() -> None:
    with pytest.raises(SettingsError, match="dbname"):
        parse_url("postgresql+asyncpg://u:p@h/d?dbname=other", "DATABASE_URL")
    with pytest.raises(SettingsError, match="only PostgreSQL is supported"):
        parse_url("mysql+asyncmy://u:p@h/d", "DATABASE_URL")


def test_migrations_run_under_an_asyncpg_url(project: Project) -> None:
    url = project.environment["DATABASE_URL"].replace("+psycopg:", "+asyncpg:")
    assert "+asyncpg:" in url
    project.ok("plinth", "upgrade", DATABASE_URL=url)
    assert HEAD in project.ok("alembic", "current", DATABASE_URL=url)


def test_a_connection_that_isnt_postgresqls_is_refused(history: History) -> None:
    history.tables("a")
    engine = create_engine("sqlite://")
    with pytest.raises(CommandError, match="is sqlite's: only PostgreSQL"):
        command.upgrade(history.config(engine), "head")
    with engine.connect() as connection, pytest.raises(CommandError, match="is sqlite's"):
        command.upgrade(history.config(connection), "head")
