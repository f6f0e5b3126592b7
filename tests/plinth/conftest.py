from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.plinth.project import Project, copy_project


@pytest.fixture
def project(tmp_path: Path, empty_url: URL) -> Project:
    """A copy of the scaffold, in a folder with a space in its name, on an empty database."""
    return copy_project(tmp_path / "my app", empty_url)


@pytest.fixture
def migrated(tmp_path: Path, clone_url: URL) -> Project:
    """A copy of the scaffold on a migrated database."""
    return copy_project(tmp_path / "my app", clone_url)
