"""The versions of Python, SQLAlchemy and Alembic that the package allows, each with the core of the tests.

pip chooses them: the newest of one SQLAlchemy, and of all else, or the oldest that pyproject.toml allows.
"""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from plinth import settings
from tests.plinth.conftest import own_home
from tests.plinth.environments import build_wheel, make_environment
from tests.plinth.project import clean_environment

# What the core of the tests needs beside the package.
LIBRARIES = (
    "anyio",
    "argon2-cffi",
    "asyncpg",
    "greenlet",
    "hypothesis",
    "psycopg[binary]",
    "pytest-asyncio",
    "pyyaml",
)
EXTRAS = ("lint", "local", "test")
CORE = (
    "tests/plinth/test_existing_projects.py",
    "tests/plinth/test_kinds.py",
    "tests/plinth/test_ledger.py",
    "tests/plinth/test_rendering.py",
    "tests/plinth/test_testing.py",
)
OLDEST = "the oldest of all"
TRIED = [
    ("3.11", OLDEST),
    ("3.11", "2.0"),
    ("3.12", "2.1"),
    ("3.13", "2.0"),
    ("3.13", "2.1"),
    ("3.14", "2.1"),
]


def project() -> dict[str, Any]:
    """Return what pyproject.toml says of the package."""
    said: dict[str, Any] = tomllib.loads((settings.root() / "pyproject.toml").read_text())["project"]
    return said


def bounds(requirement: str) -> tuple[str, str]:
    """Return the name and the oldest version of a requirement."""
    found = re.fullmatch(r"([\w-]+)>=([\d.]+)(?:,<[\d.]+)?", requirement)
    assert found, requirement
    return found[1], found[2]


def oldest() -> list[str]:
    """Return the oldest versions that the package and its extras allow."""
    needs = [*project()["dependencies"], *(e for x in EXTRAS for e in project()["optional-dependencies"][x])]
    return [f"{name}=={version}" for name, version in map(bounds, needs)]


def python_of(version: str) -> str:
    """Return a Python of a version: from PATH, or from where pyenv and uv put theirs."""
    home = Path.home()
    places = (
        *(home / ".pyenv/versions").glob(f"{version}.*/bin"),
        *(home / ".local/share/uv/python").glob(f"cpython-{version}.*/bin"),
    )
    found = shutil.which("python3", path=":".join(map(str, places))) or shutil.which(f"python{version}")
    if found is None:
        pytest.skip(f"Python {version} is not on this machine, so nothing of it was tried")
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("python", "sqlalchemy"), TRIED)
def test_the_core_of_the_tests_passes(python: str, sqlalchemy: str, tmp_path: Path) -> None:
    chosen = oldest() if sqlalchemy == OLDEST else [f"sqlalchemy=={sqlalchemy}.*"]
    made = make_environment(
        tmp_path / "venv",
        build_wheel(tmp_path),
        *LIBRARIES,
        *chosen,
        extras=f"[{','.join(EXTRAS)}]",
        python=python_of(python),
    )
    done = subprocess.run(
        [
            made.python,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--basetemp={tmp_path / 'core'}",
            *CORE,
        ],
        cwd=settings.root(),
        env=clean_environment() | {"PLINTH_HOME": own_home()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr


def test_what_is_said_of_versions_is_what_is_tried() -> None:
    pythons = {python for python, _ in TRIED}
    said = "Programming Language :: Python :: 3."
    assert {each.rpartition(" ")[2] for each in project()["classifiers"] if said in each} == pythons
    assert project()["requires-python"] == f">={min(pythons)}"
    asked = yaml.safe_load((settings.root() / "copier.yml").read_text())["python"]
    assert set(asked["choices"]) == pythons
    allowed = {each.partition(">=")[0]: each for each in project()["dependencies"]}
    assert {each for _, each in TRIED} - {OLDEST} == {"2.0", "2.1"}
    assert allowed["sqlalchemy"].endswith(",<2.2")
    assert allowed["alembic"].endswith(",<1.21"), "the newest one is tried with the newest of all else"
    oldest_alchemy, oldest_alembic = (bounds(allowed[name])[1] for name in ("sqlalchemy", "alembic"))
    document = " ".join((settings.root() / "docs/adopting.md").read_text().split())
    assert f"Tried are Python {min(pythons)} to {max(pythons)}, " in document
    assert f"SQLAlchemy 2.0 (from {oldest_alchemy} on) and 2.1, " in document
    assert f"and Alembic 1.20 (from {oldest_alembic} on)." in document
