"""A fresh clone on a machine with Python, make and git and no PostgreSQL: the commands of the README."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from plinth import settings
from tests.plinth.project import clean_environment

pytestmark = pytest.mark.slow

# What a bare machine has. No PostgreSQL, no uv.
PROGRAMS = ("awk", "cat", "env", "git", "make", "mkdir", "rm", "sh")


@dataclass(frozen=True)
class Clone:
    """A clone, and who works in it."""

    root: Path
    environment: dict[str, str]
    user: str | None

    def popen(self, *command: str) -> "subprocess.Popen[str]":
        """Start a command in a session of its own."""
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment,
            user=self.user,
            group=pwd.getpwnam(self.user).pw_gid if self.user else None,
            extra_groups=[] if self.user else None,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str) -> str:
        """Run a command, which must succeed, and return what it printed."""
        started = self.popen(*command)
        output, _ = started.communicate()
        assert started.returncode == 0, output
        return output


def python_for(user: str | None) -> Path:
    """Return a Python that the user may run: this one, or the system's."""
    own = Path(sys.base_prefix) / "bin" / "python3"
    if user is None or all(folder.stat().st_mode & 0o001 for folder in own.resolve().parents):
        return own
    return Path("/usr/bin/python3")


def bare_environment(folder: Path, user: str | None) -> dict[str, str]:
    """Return an environment whose PATH holds no more than a bare machine does, and no LANG."""
    programs = folder / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        found = shutil.which(name)
        assert found, f"{name} is needed for this test"
        (programs / name).symlink_to(found)
    (programs / "python3").symlink_to(python_for(user))
    kept = {
        name: value
        for name, value in clean_environment().items()
        if not name.startswith(("LANG", "LC_", "VIRTUAL_ENV", "PYTEST"))
    }
    home = folder / "home"
    home.mkdir()
    return kept | {"PATH": str(programs), "HOME": str(home)}


def make_clone(folder: Path, user: str | None) -> Clone:
    """Clone what is committed here into a folder with a space in its name."""
    clone = Clone(folder / "my app", bare_environment(folder, user), user)
    subprocess.run(
        [shutil.which("git") or "git", "clone", "--quiet", settings.root(), clone.root], check=True
    )
    if user:
        for path in (folder / "home", clone.root, *clone.root.rglob("*")):
            os.chown(path, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid, follow_symlinks=False)
    return clone


def users() -> list[str | None]:
    """Return as whom the commands run: as root another user is tried too."""
    return [None, "daemon"] if os.geteuid() == 0 else [None]


@pytest.fixture(params=users(), ids=lambda user: user or "self")
def clone(request: pytest.FixtureRequest, open_folder: Path) -> Iterator[Clone]:
    """A fresh clone, for this user and for another one."""
    made = make_clone(open_folder, request.param)
    yield made
    made.run("make", "db-stop")


def test_db_reset_is_the_first_command(clone: Clone) -> None:
    output = clone.run("make", "db-reset")
    assert "Database app_development is new, migrated and seeded" in output
    began = time.monotonic()
    assert "Installing" not in clone.run("make", "db-reset")
    print(f"second make db-reset: {time.monotonic() - began:.1f} s")  # noqa: T201
    assert "(head)" in clone.run(".venv/bin/alembic", "current")
    clone.run("make", "db-stop")
    assert "(head)" in clone.run(".venv/bin/alembic", "current")
    answer = clone.run("sh", "-c", 'echo "select count(*) from users;" | make -s db-shell')
    assert "3" in answer


def test_test_is_the_first_command(clone: Clone) -> None:
    output = clone.run("make", "test", "T=tests/test_models.py tests/test_migrations.py")
    assert "passed" in output
    assert "failed" not in output


def test_a_home_that_only_root_may_enter(open_folder: Path) -> None:
    if os.geteuid() != 0:
        return  # a user's own server runs as that user, who may enter
    clone = make_clone(open_folder, None)
    clone.root.parent.chmod(0o700)
    assert "is new, migrated and seeded" in clone.run("make", "db-reset")
    data = (clone.root / ".postgres").resolve()
    clone.run("make", "db-stop")
    shutil.rmtree(data)


def test_a_first_run_killed_at_any_moment_is_made_good(open_folder: Path) -> None:
    clone = make_clone(open_folder, None)
    for seconds in (1.5, 6.0, 12.0):
        first = clone.popen("make", "db-reset")
        try:
            first.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(first.pid, signal.SIGKILL)
            first.communicate()
    assert "is new, migrated and seeded" in clone.run("make", "db-reset")
    clone.run("make", "db-stop")


def test_two_first_runs_at_once_both_end_well(open_folder: Path) -> None:
    clone = make_clone(open_folder, None)
    running = [clone.popen("make", "db-reset") for _ in range(2)]
    for command in running:
        output, _ = command.communicate()
        assert command.returncode == 0, output
        assert "is new, migrated and seeded" in output
    clone.run("make", "db-stop")


def test_a_container_needs_the_runtime_dependencies_only(open_folder: Path, empty_url: URL) -> None:
    clone = make_clone(open_folder, None)
    clone.run("python3", "install.py", "requirements.lock")
    url = empty_url.render_as_string(hide_password=False)
    clone.environment["DATABASE_URL"] = url
    clone.run(".venv/bin/alembic", "upgrade", "head")
    assert "(head)" in clone.run(".venv/bin/alembic", "current")
