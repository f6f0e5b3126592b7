"""Tries whether older code works on the schema that a deploy makes before the new code: by its own tests."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from alembic.util import CommandError

from plinth import settings
from plinth.apply.phases import after_the_code
from plinth.development import alembic_config
from plinth.errors import PlinthError, sentence_of
from plinth.revision_files import refuse_unloadable

# The first compare revisions with models, which of another commit aren't the same; the others are the base's.
_LEFT_OUT = ("tests/test_migrations.py", "tests/plinth")
# This package as it is here: the older commit may have another one, of a release that knows nothing of this.
_READ = """
import sys
sys.path.insert(0, sys.argv.pop())
import plinth
del sys.path[0]
from plinth.older_code import tell
tell(sys.argv.pop())
"""


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
        OlderCodeError: there is no such commit, it has revisions that aren't here, or some lie outside of it.
        alembic.util.CommandError: a revision file can't be loaded.
    """
    ours = ScriptDirectory.from_config(alembic_config())
    refuse_unloadable(ours)
    files = {each.revision: Path(each.path).resolve() for each in reversed(list(ours.walk_revisions()))}
    with _checked_out(ref) as older:
        known = _revisions_of(older)
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
        copies = {name: _copy_of(file, older) for name, file in files.items() if name not in waiting}
        for file in known.values():
            file.unlink()
        for name, copy in copies.items():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(files[name], copy)
        unseen = sorted(copies.keys() ^ _revisions_of(older).keys())
        if unseen:
            raise OlderCodeError(
                f"The code of {ref} looks for revisions in another folder than they are in now, and would be "
                f"tried without these: {', '.join(unseen)}."
            )
        return Trial(new, waiting, _tests_pass(older, arguments))


def _copy_of(file: Path, older: "_Older") -> Path:
    found = older.there(file)
    if found is None:
        raise OlderCodeError(
            f"{file} lies outside of this repository: the code of {older.ref} can't be tried with it."
        )
    return found


@dataclass(frozen=True)
class _Older:
    """A commit, in a working tree of its own.

    Args:
        ref: the commit.
        tree: the working tree.
        repository: the one from which it is.
    """

    ref: str
    tree: Path
    repository: Path

    @property
    def folder(self) -> Path:
        """The project's."""
        return self.there(settings.root()) or self.tree

    @property
    def working_folder(self) -> Path:
        """Where a command is typed: a path may be relative to it."""
        here = self.there(Path.cwd())
        return here if here and here.is_dir() else self.folder

    def there(self, path: Path) -> Path | None:
        """Return where in the tree something of the repository is; None if it is none of the repository's."""
        found = path.resolve()
        return (
            self.tree / found.relative_to(self.repository) if found.is_relative_to(self.repository) else None
        )

    def environment(self) -> dict[str, str]:
        """Return the variables for programs that are to find what is in the tree, and not what is here."""
        # Its .env and its local server are ours: a new working tree has none.
        given = {
            name: value
            for name in ("TEST_DATABASE_URL", "APP_ENV", "PLINTH_HOME")
            if (value := settings.variable(name))
        }
        config = os.environ.get("ALEMBIC_CONFIG", "")
        if config and not settings.is_made_by_python(config):
            given["ALEMBIC_CONFIG"] = str(self.there(Path(config)) or Path(config).absolute())
        # What is installed "editable" is imported from here, and not from there.
        inherited = dict(os.environ)
        named = [each for each in inherited.get("PYTHONPATH", "").split(os.pathsep) if each]
        paths = [self.folder, self.folder / "src", *(self.there(Path(each)) or each for each in named)]
        return {
            **inherited,
            "PLINTH_HOME": str(settings.root() / ".postgres"),
            "PYTHONPATH": os.pathsep.join(map(str, [*paths, *named])),
            **given,
        }


@contextmanager
def _checked_out(ref: str) -> Iterator[_Older]:
    """Yield the project as a commit has it, in a working tree of its own that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="plinth-before-") as name:
        tree = Path(name).resolve() / "tree"
        _git("worktree", "add", "--quiet", "--detach", str(tree), ref)
        try:
            repository = _git("rev-parse", "--show-toplevel").removesuffix("\n")
            yield _Older(ref, tree, Path(repository).resolve())
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


def _revisions_of(older: _Older) -> Mapping[str, Path]:
    """Return the files of the older commit's revisions, by their ids: all lie in its working tree.

    They are read by a process that runs there: what its configuration says may be relative to the folder in
    which one works, or name a package that is imported.

    Raises:
        OlderCodeError: they can't be read, or some lie elsewhere.
    """
    package = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(older.folder), str(package)],
        cwd=older.working_folder,
        env=older.environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    if "error" in found or not found:
        raise OlderCodeError(f"The revisions of {older.ref} can't be read: {found.get('error', 'see above')}")
    for place in map(Path, found["locations"]):
        if not place.is_relative_to(older.tree):
            raise OlderCodeError(
                f"The configuration of {older.ref} leads to revisions outside of that commit, in {place}, "
                "which are not touched: it can't be tried. Let each folder of script_location and "
                "version_locations be one of this repository's, written as %(here)s/…"
            )
    return {name: Path(file) for name, file in found["revisions"].items()}


def tell(folder: str) -> None:
    """Print which revisions there are, and where, for who started this process.

    Args:
        folder: the project's.
    """
    try:
        with redirect_stdout(sys.stderr):  # revisions may print
            settings.use_root(Path(folder))
            script = ScriptDirectory.from_config(alembic_config())
            refuse_unloadable(script)
            revisions = {each.revision: str(Path(each.path).resolve()) for each in script.walk_revisions()}
            places = [*script._version_locations, *(Path(each).parent for each in revisions.values())]
        found: dict[str, Any] = {
            "locations": sorted({str(Path(each).resolve()) for each in places}),
            "revisions": revisions,
        }
    except Exception as error:
        said = str(error) if isinstance(error, CommandError) else sentence_of(error)
        if said is None:
            raise
        found = {"error": said}
    sys.stdout.write(json.dumps(found))


def _tests_pass(older: _Older, arguments: Sequence[str]) -> bool:
    folder = older.folder
    left_out = [f"--ignore={each}" for each in _LEFT_OUT if (folder / each).exists()]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *left_out, *arguments]
    return subprocess.call(command, cwd=folder, env=older.environment()) == 0
