"""A copy of the scaffold to run commands in, as a user would."""

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent

from alembic.config import CommandLine, Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth import settings

COPIED = ("alembic", "alembic.ini", "app", "plinth", "pyproject.toml")

# The scaffold's own revisions, oldest first, however many have come.
REVISIONS = [each.revision for each in ScriptDirectory(str(settings.root() / "alembic")).walk_revisions()][
    ::-1
]
FIRST, HEAD = REVISIONS[0], REVISIONS[-1]

# Whatever the user's git is set to.
# A document's edits follow each other in one second, in which Python takes what it compiled for new.
TYPED = {"PYTHONDONTWRITEBYTECODE": "1"}
GIT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    **{f"GIT_{who}_{what}": "plinth" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}

# What was said to the make that runs these tests, which hands it on in the environment.
OF_MAKE = ("T", "m", "B", "ROWS", "PYTHON")


@dataclass(frozen=True)
class Project:
    """A copy of the scaffold.

    Args:
        root: its folder.
        environment: variables for the commands that run in it.
    """

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m <command>` and return what it printed, whatever its exit code."""
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.root,
            env=clean_environment() | self.environment | environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def ok(self, *command: str, **environment: str) -> str:
        """Run `python -m <command>`, which must succeed, and return what it printed on standard output."""
        done = self.run(*command, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def alembic(self, *arguments: str) -> str:
        """Run the program `alembic` within this process, and return what it printed on standard output.

        It starts no Python anew; the models are this repository's, not the copy's.
        """
        program, output = CommandLine(), io.StringIO()
        parsed = program.parser.parse_args(arguments)
        config = Config(
            str(self.root / "alembic.ini"),
            toml_file=str(self.root / "pyproject.toml"),
            stdout=output,
            output_buffer=output,
            cmd_opts=parsed,
        )
        config.set_main_option("prepend_sys_path", str(settings.root()).replace("%", "%%"))
        config.attributes["connection"] = create_engine(self.environment["DATABASE_URL"], poolclass=NullPool)
        program.run_cmd(config, parsed)
        return output.getvalue()

    def refused(self, *command: str, **environment: str) -> str:
        """Run `python -m <command>`, which must fail with one line and no traceback, and return that line."""
        done = self.run(*command, **environment)
        assert done.returncode != 0, done.stdout + done.stderr
        output = done.stdout + done.stderr
        assert "Traceback" not in output, output
        lines = [line for line in output.splitlines() if not line.startswith("INFO")]
        assert len(lines) == 1, output
        return lines[0]

    def shell(self, commands: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run commands in a shell that stops at the first failure; standard error comes too."""
        return subprocess.run(
            ["/bin/sh", "-e", "-c", commands],
            cwd=self.root,
            env=clean_environment() | self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def popen(self, *command: str, **environment: str) -> "subprocess.Popen[str]":
        """Start `python -m <command>`; standard error comes with standard output."""
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=self.root,
            env=clean_environment() | self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def write_revision(self, name: str, after: str, up: str, down: str = "pass", head: str = "") -> None:
        """Write a revision by hand; `up` and `down` are Python, `head` stands before the functions."""
        (self.root / "alembic" / "versions" / f"{name}_by_hand.py").write_text(
            f'"""by hand {name}"""\n\nimport sqlalchemy as sa\nfrom alembic import op\n\n'
            f"revision = {name!r}\ndown_revision = {after!r}\n"
            f"branch_labels = None\ndepends_on = None\n{head}\n\n"
            f"def upgrade():\n{indent(up, '    ')}\n\n\ndef downgrade():\n{indent(down, '    ')}\n"
        )

    def versions(self) -> list[str]:
        """Return the names of the revision files, sorted."""
        return sorted(path.name for path in (self.root / "alembic" / "versions").glob("*.py"))

    def replace(self, file: str, old: str, new: str) -> None:
        """Replace a text that must stand in the file."""
        path = self.root / file
        content = path.read_text()
        assert old in content, f"{old!r} is not in {file}"
        path.write_text(content.replace(old, new, 1))

    def add_column(self, line: str) -> None:
        """Write a column into the model of users."""
        before = "    email: Mapped[str | None]"
        self.replace("app/models/user.py", before, f"    {line}\n{before}")


def without_modules(folder: Path, *names: str) -> Path:
    """Return a folder with which, in PYTHONPATH, a Python has none of some modules."""
    folder.mkdir()
    for name in names:  # pytest finds what it rewrites by itself
        (folder / f"{name}.py").write_text(f"raise ModuleNotFoundError('gone', name={name!r})")
    (folder / "sitecustomize.py").write_text(
        "import sys\n\n"
        "class Missing:\n"
        "    @staticmethod\n"
        "    def find_spec(name, *_):\n"
        f"        if name in {names!r}:\n"
        "            raise ModuleNotFoundError('gone', name=name)\n\n"
        "sys.meta_path.insert(0, Missing)\n"
    )
    return folder


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what chooses a database or comes from make."""
    ours = ("DATABASE_URL", "MIGRATION_DATABASE_URL", "TEST_DATABASE_URL", "APP_ENV", *OF_MAKE)
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ours and not name.startswith(("MAKE", "MFLAGS", "PG", "PLINTH_"))
    }


def copy_project(folder: Path, url: URL | None = None, **environment: str) -> Project:
    """Return a copy of the scaffold in `folder`, on the database `url`."""
    folder.mkdir(parents=True, exist_ok=True)
    copy_files(COPIED, folder)
    if url is not None:
        environment["DATABASE_URL"] = url.render_as_string(hide_password=False)
    return Project(folder, environment)


def copy_for_a_reader(folder: Path) -> Project:
    """Return what a reader has: a repository with everything in it, and its environment, activated.

    It is installed already: make runs `true` instead of the Python that would do it. Of the tests one file is
    enough.
    """
    folder.mkdir(parents=True)
    copy_files(files_of_the_repository(), folder)
    (folder / ".venv").symlink_to(settings.root() / ".venv")
    programs = settings.root() / ".venv" / "bin"
    project = Project(
        folder,
        {
            **GIT,
            **TYPED,
            "PSQLRC": "/dev/null",
            "MAKEFLAGS": "PYTHON=true T=tests/test_models.py",
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        },
    )
    done = project.shell("git init --quiet; git add --all; git commit --quiet --message begin")
    assert done.returncode == 0, done.stdout
    return project


def files_of_the_repository() -> list[str]:
    """Return all files that git knows here, or would add."""
    listed = subprocess.check_output(
        ["/usr/bin/env", "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=settings.root(),
        text=True,
    )
    return [name for name in listed.split("\0") if name and (settings.root() / name).exists()]


def copy_files(names: Iterable[str], folder: Path) -> None:
    """Copy files and folders of the scaffold."""
    for name in names:
        source = settings.root() / name
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            (folder / name).symlink_to(source.readlink())
        elif source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def python_files(root: Path) -> Iterator[Path]:
    """Yield the scaffold's own Python files."""
    for name in ("alembic", "app", "plinth", "tests"):
        yield from (root / name).rglob("*.py")
