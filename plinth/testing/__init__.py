"""A pytest plug-in: a PostgreSQL for tests, and the tests that every project with revisions wants.

`pytest_plugins = ["plinth.testing"]` in tests/conftest.py gives the fixtures, and

    from plinth.testing import MigrationTests


    class TestMigrations(MigrationTests): ...

in tests/test_migrations.py the tests (`migrations`). `databases` and `asynchronous` are the fixtures, on
databases of the `server`, which `revisions` or a copy have `migrated`; `commits` refuses what would stay.

PYTEST_DONT_REWRITE: a conftest.py may have imported it before.
"""

import os
from pathlib import Path

import pytest

try:
    import pytest_postgresql as _  # noqa: F401
except ModuleNotFoundError as error:
    raise pytest.UsageError(
        "plinth.testing needs pytest-postgresql, which isn't here. Run: pip install 'alembic-plinth[test]'"
    ) from error

from plinth import settings
from plinth.testing import asynchronous, databases
from plinth.testing.migrations import MigrationTests
from plinth.testing.server import DatabaseServer

__all__ = ["DatabaseServer", "MigrationTests"]

OPTION = "alembic_config"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the file of pytest's settings name Alembic's."""
    parser.addini(OPTION, "Alembic's configuration file, where it isn't in the project's folder", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Settle which project it is, wherever pytest was started, and bring the fixtures."""
    settings.use_root(config.rootpath)
    file = _named(config)
    if file:
        os.environ["ALEMBIC_CONFIG"] = str(file)  # for what the tests start, too
        settings.use_root(file)
    for plugin in (databases, asynchronous, asynchronous.loops()):
        config.pluginmanager.register(plugin)


def _named(config: pytest.Config) -> Path | None:
    """Return the file that ALEMBIC_CONFIG names, or else pytest's settings, if one does.

    Raises:
        pytest.UsageError: it isn't there.
    """
    variable, option = os.environ.get("ALEMBIC_CONFIG"), str(config.getini(OPTION))
    if variable:
        return (config.invocation_params.dir / variable).resolve()
    if not option:
        return None
    file = (config.inipath.parent if config.inipath else config.rootpath) / option
    if not file.is_file():
        raise pytest.UsageError(f"{OPTION} in {config.inipath} is {option!r}, and there is no such file.")
    return file.resolve()
