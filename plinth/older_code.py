"""Tries whether older code works on the schema that a deploy makes before the new code: by its own tests."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from plinth import settings
from plinth.apply.phases import after_the_code
from plinth.development import alembic_config
from plinth.errors import PlinthError
from plinth.revision_files import refuse_unloadable

# The first compare revisions with models, which of another commit aren't the same; the others are the base's.
_LEFT_OUT = ("tests/test_migrations.py", "tests/plinth")


class OlderCodeError(PlinthError):
    """Older code can't be tried; the message says why."""


@dataclass(frozen=True)
class Trial:
    """What came of it.

    Args:
        new: the revisions that the older code doesn't know, and that come before the new code.
        waiting: those that come after it; they were left out.
        passed: whether all tests passed; None when there was nothing to try.
    """

    new: Sequence[str]
    waiting: Sequence[str]
    passed: bool | None


def try_older_code(ref: str, arguments: Sequence[str] = ()) -> Trial:
    """Run a commit's own tests on the schema of our revisions, but for those that come after the code.

    Args:
        ref: the commit, as git names it: that of the code that runs.
        arguments: of pytest.

    Raises:
        OlderCodeError: there is no such commit, or it has revisions that aren't here.
        alembic.util.CommandError: a revision file can't be loaded.
    """
    with _checked_out(ref) as folder:
        ours, theirs = ScriptDirectory.from_config(alembic_config()), _script(folder)
        for script in (ours, theirs):
            refuse_unloadable(script)
        files = {each.revision: Path(each.path) for each in reversed(list(ours.walk_revisions()))}
        known = {each.revision: Path(each.path) for each in theirs.walk_revisions()}
        missing = sorted(known.keys() - files.keys())
        if missing:
            raise OlderCodeError(
                f"{ref} has revisions that aren't here: {', '.join(missing)}. Bring this branch up to date "
                f"first: git rebase {ref}"
            )
        pending = [name for name in files if name not in known]
        waiting = after_the_code(ours, pending)
        new = [name for name in pending if name not in waiting]
        if not new:
            return Trial(new, waiting, None)
        for file in known.values():
            file.unlink()
        for name, file in files.items():
            if name not in waiting:
                copy = folder / file.relative_to(settings.root())
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, copy)
        return Trial(new, waiting, _tests_pass(folder, arguments))


@contextmanager
def _checked_out(ref: str) -> Iterator[Path]:
    """Yield the project as a commit has it, in a working tree of its own that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="plinth-before-") as name:
        tree = Path(name) / "tree"
        _git("worktree", "add", "--quiet", "--detach", str(tree), ref)
        try:
            yield tree / _git("rev-parse", "--show-prefix").strip()
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _git(*arguments: str) -> str:
    program = shutil.which("git")
    if program is None:
        raise OlderCodeError("git is not installed, and the older code comes from it.")
    done = subprocess.run(
        [program, *arguments], cwd=settings.root(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise OlderCodeError(f"git {arguments[0]}: {' '.join(done.stderr.split()) or 'it failed'}")
    return done.stdout


def _script(folder: Path) -> ScriptDirectory:
    return ScriptDirectory.from_config(
        Config(str(folder / "alembic.ini"), toml_file=str(folder / "pyproject.toml"))
    )


def _tests_pass(folder: Path, arguments: Sequence[str]) -> bool:
    left_out = [f"--ignore={each}" for each in _LEFT_OUT if (folder / each).exists()]
    # Its .env and its local server are ours: a new working tree has none.
    given = {
        name: value
        for name in ("TEST_DATABASE_URL", "APP_ENV", "PLINTH_HOME")
        if (value := settings.variable(name))
    }
    environment = dict(os.environ)
    # What is installed "editable" is imported from here, and not from there.
    paths = [str(folder), str(folder / "src"), environment.get("PYTHONPATH")]
    environment |= {
        "PLINTH_HOME": str(settings.root() / ".postgres"),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        **given,
    }
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *left_out, *arguments]
    return subprocess.call(command, cwd=folder, env=environment) == 0
