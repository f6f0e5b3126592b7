"""What the tests of this project choose; the fixtures are those of `plinth.testing`."""

from pathlib import Path

import pytest

pytest_plugins = ["plinth.testing"]


def pytest_configure(config: pytest.Config) -> None:
    """Let the base count what it tries; a project that was made from the scaffold hasn't got that."""
    if (Path(__file__).parent / "plinth" / "score.py").exists():
        config.pluginmanager.import_plugin("tests.plinth.score")
