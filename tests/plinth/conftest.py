import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth import settings
from plinth.testing.server import DatabaseServer
from tests.plinth.history import History, empty_history
from tests.plinth.project import Project, copy_project


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Let programs that tests start hear SIGINT: in the background, a shell's are deaf to it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def server(database_server: DatabaseServer) -> URL:
    """The server that tests use."""
    return database_server.url(database_server.maintenance_dbname)


@pytest.fixture
def project(tmp_path: Path, empty_url: URL) -> Project:
    """A copy of the scaffold, in a folder with a space in its name, on an empty database."""
    return copy_project(tmp_path / "my app", empty_url, PLINTH_HOME=own_home())


@pytest.fixture
def migrated(tmp_path: Path, clone_url: URL) -> Project:
    """A copy of the scaffold on a migrated database."""
    return copy_project(tmp_path / "my app", clone_url, PLINTH_HOME=own_home())


def own_home() -> str:
    """Return the folder of the tests' own server: a copy knows it, and starts none for scratch databases."""
    return settings.variable("PLINTH_HOME") or str(settings.root() / ".postgres")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the account of a local server can reach, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="plinth-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def history(tmp_path: Path) -> History:
    """A folder of revisions with none in it."""
    return empty_history(tmp_path / "history")


@pytest.fixture
def empty_engine(empty_url: URL) -> Iterator[Engine]:
    """An engine on an empty database."""
    engine = create_engine(empty_url, poolclass=NullPool)
    yield engine
    engine.dispose()
