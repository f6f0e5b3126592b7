"""The programs that are compared: installed into a folder of the benchmark, each with a project of its own.

psql comes from the wheel. A peer that can't be had is named with its reason, and the others are measured.
"""

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy.engine import URL

from benchmarks import workload
from plinth import settings
from plinth.local_server import client_program
from tests.plinth.history import clear
from tests.plinth.project import clean_environment, copy_project

PSQL, PLAIN, KNEX, DJANGO = "psql", "plain Alembic", "Knex", "Django"
OURS, UPGRADE = "ours: alembic", "ours: plinth"
INSTALLED = Path(__file__).parent / ".peers"  # git doesn't look at it

# What a project of today gets; of Alembic and what it stands on, the versions that ours has.
_FROM_NPM = ("knex@3", "pg@8")
_FROM_PYPI = ("django>=5.2",)
_DRAWS = ("matplotlib>=3.10",)
_TESTS = (*_FROM_PYPI, "pytest-django>=4.11", "psycopg[binary]")
_AS_OURS = ("alembic", "mako", "markupsafe", "psycopg", "psycopg-binary", "sqlalchemy", "typing-extensions")

# A small process starts the program: what a process held before it became the program would count, too.
_LAUNCHER = """
import os, sys, time
log, *command = sys.argv[1:]
flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
to_log = [(os.POSIX_SPAWN_OPEN, 1, log, flags, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)]
began = time.perf_counter()
pid = os.posix_spawnp(command[0], command, os.environ, file_actions=to_log)
_, status, used = os.wait4(pid, 0)
print(time.perf_counter() - began, used.ru_maxrss, os.waitstatus_to_exitcode(status))
"""
_NO_MODELS = "from sqlalchemy.orm import DeclarativeBase\n\n\nclass Base(DeclarativeBase):\n    pass\n"
_KNEXFILE = """\
module.exports = {
  client: "pg",
  connection: {}, // of PGHOST and so on
  migrations: { directory: "./migrations" },
};
"""
_DJANGO_SETTINGS = """\
import os

NAMES = {"HOST": "PGHOST", "PORT": "PGPORT", "USER": "PGUSER", "PASSWORD": "PGPASSWORD", "NAME": "PGDATABASE"}
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        **{name: os.environ.get(variable, "") for name, variable in NAMES.items()},
    }
}
INSTALLED_APPS = ["bench"]
SECRET_KEY = "-"
USE_TZ = True
"""


class MissingError(Exception):
    """A peer can't be had; the message says why."""


class TooLongError(Exception):
    """A program was ended: it takes longer than it may."""


@dataclass(frozen=True)
class Ran:
    """A whole process.

    Args:
        seconds: from its start to its end.
        memory: the most that it held, in bytes.
    """

    seconds: float
    memory: int


@dataclass(frozen=True)
class Peer:
    """A program with a project of its own, in which all changes are pending.

    Args:
        folder: the project's.
        command: applies what is pending.
        environment: beside what leads to the database.
        repeats: whether it may be run with nothing pending; psql only runs a file.
    """

    folder: Path
    command: Sequence[str]
    environment: Mapping[str, str]
    repeats: bool = True

    def run(self, url: URL, longest: float | None = None) -> Ran:
        """Run the command on a database; it must succeed (`run`)."""
        return run(self.command, self.folder, {**self.environment, **place(url)}, longest)


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], longest: float | None = None
) -> Ran:
    """Run a program, which must succeed, and return what it took.

    Args:
        command: its name and arguments.
        folder: where it runs.
        environment: its own variables.
        longest: how many seconds it may take, if that is limited.

    Raises:
        TooLongError: it took longer.
    """
    log = folder / "output.log"
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", _LAUNCHER, str(log), *command],
        cwd=folder,
        env={**clean_environment(), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=longest)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise TooLongError from error
        raise
    took, memory, code = said.split()
    if code != "0":
        raise RuntimeError(f"{' '.join(command)} failed: {log.read_text(errors='replace')[-4000:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Ran(float(took), int(memory) * unit)


def with_changes(folder: Path, number: int, home: Path) -> tuple[dict[str, Peer], dict[str, str]]:
    """Return the peers with so many changes pending, and why others are missing.

    Args:
        folder: for their projects.
        number: of changes.
        home: PLINTH_HOME of ours.
    """
    made: dict[str, Peer] = {}
    missing: dict[str, str] = {}
    for name, make in _PEERS.items():
        place = folder / re.sub(r"\W+", "_", name)
        place.mkdir(parents=True)
        try:
            made[name] = make(place, number, home)
        except MissingError as error:
            missing[name] = str(error)
    return made, missing


def versions() -> dict[str, str]:
    """Return the versions of what is compared, as far as it is there."""
    found = {"Python": platform.python_version()}
    for name, command in {
        "PostgreSQL": [str(client_program("postgres")), "--version"],
        "Node.js": ["node", "--version"],
        "Knex": ["node", "-p", "require('knex/package.json').version"],
        "pg": ["node", "-p", "require('pg/package.json').version"],
        "Django": ["bin/python", "-m", "django", "--version"],
        "pytest-django": ["bin/python", "-c", "import pytest_django; print(pytest_django.__version__)"],
        "Alembic": ["bin/python", "-c", "import alembic; print(alembic.__version__)"],
        "SQLAlchemy": ["bin/python", "-c", "import sqlalchemy; print(sqlalchemy.__version__)"],
        "psycopg": ["bin/python", "-c", "import psycopg; print(psycopg.__version__)"],
    }.items():
        environment = "pytest_django" if name == "pytest-django" else "python"
        folder = INSTALLED / (environment if command[0].startswith("bin") else "npm")
        try:
            said = subprocess.check_output(command, cwd=folder, text=True, stderr=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):
            continue  # the peer is missing, and that is said
        found[name] = said.split()[-1].removeprefix("v")
    return found


def place(url: URL) -> dict[str, str]:
    """Return the variables that lead to a database: Alembic's is ours to name, the others know libpq's."""
    parts = {
        "PGHOST": url.query.get("host") or url.host,
        "PGPORT": url.query.get("port") or url.port,
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
        "PGDATABASE": url.database,
    }
    given = {name: str(value) for name, value in parts.items() if value}
    return {**given, "DATABASE_URL": url.render_as_string(hide_password=False)}


def _psql(folder: Path, number: int, _: Path) -> Peer:
    workload.write_sql(folder / "changes.sql", number)
    options = ("--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1")
    return Peer(folder, [str(client_program("psql")), *options, "--file=changes.sql"], {}, repeats=False)


def _plain(folder: Path, number: int, _: Path) -> Peer:
    python = str(_python())
    run([python, "-m", "alembic", "init", "alembic"], folder, {})
    (folder / "models.py").write_text(_NO_MODELS)
    env = folder / "alembic" / "env.py"
    lines = (
        "import os\n\nfrom models import Base\n\ntarget_metadata = Base.metadata\n"
        'config.set_main_option("sqlalchemy.url", os.environ["DATABASE_URL"].replace("%", "%%"))'
    )
    env.write_text(env.read_text().replace("target_metadata = None", lines))
    workload.write_alembic(folder / "alembic" / "versions", number)
    return Peer(folder, [python, "-m", "alembic", "upgrade", "head"], {})


def _ours(*command: str) -> Callable[[Path, int, Path], Peer]:
    def make(folder: Path, number: int, home: Path) -> Peer:
        project = copy_project(folder, PLINTH_HOME=str(home))
        clear(project)
        (folder / "app" / "models" / "__init__.py").write_text(_NO_MODELS)
        workload.write_alembic(folder / "alembic" / "versions", number)
        return Peer(folder, [sys.executable, "-m", *command], project.environment)

    return make


def _knex(folder: Path, number: int, _: Path) -> Peer:
    (folder / "node_modules").symlink_to(_npm())
    (folder / "knexfile.js").write_text(_KNEXFILE)
    (folder / "migrations").mkdir()
    workload.write_knex(folder / "migrations", number)
    return Peer(folder, [_program("node"), "node_modules/knex/bin/cli.js", "migrate:latest"], {})


def _django(folder: Path, number: int, _: Path) -> Peer:
    (folder / "settings.py").write_text(_DJANGO_SETTINGS)
    migrations = folder / "bench" / "migrations"
    migrations.mkdir(parents=True)
    for each in (migrations, migrations.parent):
        (each / "__init__.py").touch()
    workload.write_django(migrations, number)
    # makemigrations would find no models; migrate only runs what there is.
    environment = {"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": "."}
    return Peer(folder, [str(_python()), "-m", "django", "migrate", "--verbosity=0"], environment)


_PEERS = {
    PSQL: _psql,
    PLAIN: _plain,
    OURS: _ours("alembic", "upgrade", "head"),
    UPGRADE: _ours("plinth", "upgrade"),
    KNEX: _knex,
    DJANGO: _django,
}


@cache
def _npm() -> Path:
    """Return the folder of Knex and pg, installed if need be."""
    folder = INSTALLED / "npm"
    _install(
        folder,
        " ".join(_FROM_NPM),
        [
            [
                _program("npm"),
                "install",
                "--no-save",
                "--no-audit",
                "--no-fund",
                "--prefix",
                str(folder),
                *_FROM_NPM,
            ]
        ],
    )
    return folder / "node_modules"


@cache
def _python() -> Path:
    """Return the Python of an environment with plain Alembic and Django, installed if need be."""
    lock = (settings.root() / "requirements.lock").read_text()
    pinned = [
        each
        for each in re.findall(r"^([\w.-]+==[\w.]+)", lock, re.MULTILINE)
        if each.partition("==")[0] in _AS_OURS
    ]
    return _environment("python", (*_FROM_PYPI, *pinned))


def python_with_matplotlib() -> Path:
    """Return the Python of an environment with Matplotlib, installed if need be.

    Raises:
        MissingError: it can't be.
    """
    return _environment("matplotlib", _DRAWS)


def python_with_pytest_django() -> Path:
    """Return the Python of an environment with pytest-django; what pytest brings would slow Alembic down.

    Raises:
        MissingError: it can't be.
    """
    return _environment("pytest_django", _TESTS)


@cache
def _environment(name: str, wanted: Sequence[str]) -> Path:
    folder = INSTALLED / name
    python = folder / "bin" / "python"
    _install(
        folder,
        f"{sys.version} {' '.join(wanted)}",
        [
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted],
        ],
    )
    return python


def _install(folder: Path, what: str, commands: Sequence[Sequence[str]]) -> None:
    """Run the commands that fill a folder, unless they have filled it with the same before.

    Raises:
        MissingError: one failed.
    """
    stamp = folder / "installed"
    if stamp.is_file() and stamp.read_text() == what:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for command in commands:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
            raise MissingError(f"it can't be installed: {lines[-1]}")
    stamp.write_text(what)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise MissingError(f"{name} isn't installed")
    return found
