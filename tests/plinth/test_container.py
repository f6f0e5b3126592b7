"""What the Dockerfiles say, done step by step: folders stand for the images, and another user for theirs."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.plinth.project import clean_environment, copy_files, files_of_the_repository
from tests.plinth.test_fresh_clone import python_for
from tests.plinth.test_new_project import make_template, new_project

pytestmark = pytest.mark.slow

WORKDIR = "/srv/app"
NOT_COPIED = (".env", ".git", ".postgres", ".venv", "tests")


class Image:
    """An image that is being built.

    Args:
        folder: in which all of them lie, the one that is being built as `now`.
        context: the folder that is copied from.
    """

    def __init__(self, folder: Path, context: Path) -> None:
        self.folder = folder
        self.context = context
        self.environment: dict[str, str] = {}
        self.user: str | None = None
        self.command: list[str] = []
        self._name = ""

    @property
    def root(self) -> Path:
        """Its folder."""
        return self.folder / "now"

    @property
    def workdir(self) -> Path:
        """Where its commands run."""
        return self.root / WORKDIR.strip("/")

    def build(self, dockerfile: str) -> None:
        """Do all that a Dockerfile says."""
        for line in re.sub(r"\\\n", " ", dockerfile).splitlines():
            if line and not line.startswith("#"):
                instruction, _, rest = line.partition(" ")
                getattr(self, f"_{instruction.lower()}")(rest)

    def run(self, *command: str, **environment: str) -> str:
        """Run a command in it, which must succeed, and return what it printed."""
        outside = {name: each for name, each in clean_environment().items() if name.startswith("PIP_")}
        done = subprocess.run(
            command,
            cwd=self.workdir,
            env=outside | {"PATH": str(self.root / "bin")} | self.environment | environment,
            user=self.user if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def _from(self, rest: str) -> None:
        """Begin anew: with Python, and with git where the image isn't the slim one."""
        if self.root.exists():
            self.root.rename(self.folder / self._name)
        image, _, self._name = rest.partition(" AS ")
        assert re.fullmatch(r"python:3\.\d+(-slim)?", image), image
        programs = self.root / "bin"
        programs.mkdir(parents=True)
        for name in ("env", "sh", *(() if image.endswith("-slim") else ("git",))):
            (programs / name).symlink_to(shutil.which(name) or name)
        (programs / "python").symlink_to(python_for("nobody" if os.geteuid() == 0 else None))

    def _workdir(self, rest: str) -> None:
        assert rest == WORKDIR
        self.workdir.mkdir(parents=True)

    def _copy(self, rest: str) -> None:
        *sources, target = rest.split()
        place = self.workdir / target
        if sources[0].startswith("--from="):
            [stage, path] = sources[0].removeprefix("--from="), sources[1]
            shutil.copytree(self.folder / stage / path.strip("/"), place, symlinks=True)
        elif sources == ["."]:
            ignored = (self.context / ".dockerignore").read_text().split()
            assert all(re.fullmatch(r"[\w.-]+", each) for each in ignored)
            for found in self.context.iterdir():
                if found.is_dir() and found.name not in ignored:
                    shutil.copytree(found, place / found.name, dirs_exist_ok=True)
                elif found.name not in ignored:
                    shutil.copy(found, place / found.name)
        else:
            for each in sources:
                shutil.copy(self.context / each, place)

    def _run(self, rest: str) -> None:
        self.run("sh", "-c", rest)

    def _env(self, rest: str) -> None:
        name, _, value = rest.partition("=")
        inside = value.replace(WORKDIR, str(self.workdir))
        self.environment[name] = inside.replace(f"${name}", str(self.root / "bin"))

    def _user(self, rest: str) -> None:
        self.user = rest

    def _cmd(self, rest: str) -> None:
        self.command = json.loads(rest)


@pytest.fixture(params=["repository", "project"])
def context(request: pytest.FixtureRequest, open_folder: Path) -> Path:
    """Where somebody works: in this repository, or in a project that was made of it."""
    made = open_folder / "context"
    if request.param == "project":
        new_project(make_template(open_folder / "plinth"), made)
    else:
        copy_files(files_of_the_repository(), made)
    (made / ".venv" / "bin").mkdir(parents=True)
    (made / ".venv" / "bin" / "alembic").write_text("of another machine")
    (made / ".env").write_text("DATABASE_URL=postgresql://of-another-machine/x\n")
    return made


def test_a_container_upgrades_with_the_runtime_dependencies_only(
    context: Path, open_folder: Path, empty_url: URL
) -> None:
    image = Image(open_folder, context)
    image.build((context / "Dockerfile").read_text())
    assert image.user == "nobody"
    assert not [name for name in NOT_COPIED if (image.workdir / name).exists() and name != ".venv"]
    url = empty_url.render_as_string(hide_password=False)
    given = {"APP_ENV": "production", "DATABASE_URL": url}
    assert "Running upgrade" in image.run(*image.command, **given)
    assert "Running upgrade" not in image.run(*image.command, **given)
    assert "in order" in image.run("python", "-m", "plinth", "status", **given)
    installed = image.run("python", "-m", "pip", "list")
    assert "alembic" in installed
    assert not re.search(r"pytest|ruff|embedded|squawk", installed)


def test_what_the_dockerfile_shows_to_type_is_what_it_runs(context: Path) -> None:
    text = (context / "Dockerfile").read_text()
    [typed] = re.findall(
        r"^#   docker run --rm -e APP_ENV=production -e DATABASE_URL=\S+ app (.*)$", text, re.M
    )
    assert f"CMD {json.dumps(typed.split())}" in text
