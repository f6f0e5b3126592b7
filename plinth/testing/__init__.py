"""A pytest plug-in: a PostgreSQL for tests, and the tests that every project with revisions wants.

`pytest_plugins = ["plinth.testing"]` in tests/conftest.py gives the fixtures, and

    from plinth.testing import MigrationTests


    class TestMigrations(MigrationTests): ...

in tests/test_migrations.py the tests. PYTEST_DONT_REWRITE: a conftest.py may have imported it before.
"""

import pytest

try:
    import pytest_postgresql as _  # noqa: F401
except ModuleNotFoundError as error:
    raise pytest.UsageError(
        "plinth.testing needs pytest-postgresql, which isn't here. Run: pip install 'alembic-plinth[test]'"
    ) from error

from plinth import settings
from plinth.testing.databases import (
    baseline,
    clone_url,
    connection,
    database_server,
    empty_url,
    engine,
    migrated_template,
    session,
    shared_url,
)
from plinth.testing.migrations import MigrationTests
from plinth.testing.server import DatabaseServer

__all__ = [
    "DatabaseServer",
    "MigrationTests",
    "baseline",
    "clone_url",
    "connection",
    "database_server",
    "empty_url",
    "engine",
    "migrated_template",
    "session",
    "shared_url",
]


def pytest_configure(config: pytest.Config) -> None:
    """The project is that of the tests, wherever pytest was started."""
    settings.use_root(config.rootpath)
