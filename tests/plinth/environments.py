"""Virtual environments of tests' own, into which the wheel is installed as anybody else would."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from plinth import settings
from tests.plinth.project import clean_environment


@dataclass(frozen=True)
class Environment:
    """A virtual environment.

    Args:
        folder: where it lies.
        wheel: of this repository.
    """

    folder: Path
    wheel: Path

    @property
    def python(self) -> str:
        """Its Python."""
        return str(self.folder / "bin" / "python")

    def pip(self, *arguments: str) -> None:
        """Run pip in it."""
        _run(self.python, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments)

    def install(self) -> None:
        """Install the wheel; what it needs is there."""
        self.pip("install", "--no-deps", "--force-reinstall", str(self.wheel))

    def uninstall(self) -> None:
        """Take it away."""
        self.pip("uninstall", "--yes", "alembic-plinth")


def build_wheel(folder: Path) -> Path:
    """Return the wheel of this repository."""
    _run(sys.executable, "-m", "flit_core.wheel", "--outdir", str(folder), str(settings.root()))
    [wheel] = folder.glob("alembic_plinth-*.whl")
    return wheel


def make_environment(
    folder: Path, wheel: Path, *requirements: str, extras: str = "", python: str = sys.executable
) -> Environment:
    """Return a new environment with the wheel, what it needs, and more."""
    _run(python, "-m", "venv", str(folder))
    made = Environment(folder, wheel)
    made.pip("install", f"{wheel}{extras}", *requirements)
    return made


def _run(*command: str) -> None:
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
