"""Revision files that can't be loaded, or bear one id: which file, which line, and why."""

import ast
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

from alembic.script import Script, ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError, to_tuple

from plinth import collector
from plinth.places import shown


def refuse_unloadable(script: ScriptDirectory) -> None:
    """Return if all revision files can be loaded, with ids and parents; they are kept for what comes next.

    Raises:
        alembic.util.CommandError: one can't; the message has its name and the line.
    """
    try:
        with collector.paused():
            known = sum(1 for _ in script.walk_revisions())
    except (CommandError, RevisionError):  # Alembic's own sentence comes where they are asked for
        return
    except (Exception, SystemExit) as error:
        found = objection(script)
        if found is None:
            raise
        raise CommandError(found) from error
    # Of files with one id Alembic keeps the last, and may then find several heads that can't be merged.
    if known < sum(1 for path in _listed(script) if _is_revision(path)):
        found = objection(script)
        if found is not None:
            raise CommandError(found)


def is_empty(revision: Script) -> bool:
    """Whether a revision's upgrade() does nothing, as that of a merge, or of one that was only stamped."""
    try:
        tree = ast.parse(Path(revision.path).read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return False
    upgrades = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "upgrade"]
    return bool(upgrades) and all(
        isinstance(statement, ast.Pass)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in upgrades[0].body
    )


def objection(script: ScriptDirectory) -> str | None:
    """Return what is wrong with a revision file, the first of them; None if all can be loaded."""
    loaded: list[Script] = []
    for path in _paths(script):
        try:
            revision = Script._from_path(script, path)
        except CommandError:
            continue
        except (Exception, SystemExit) as error:
            return _describe(path, error)
        if revision is not None:
            loaded.append(revision)
    files: dict[str, Path] = {}
    for each in loaded:
        other = files.setdefault(each.revision, Path(each.path))
        if other != Path(each.path):
            return (
                f"{shown(other)} and {shown(Path(each.path))} have the same id, {each.revision!r}. Give "
                "one of them another, and a down_revision on which it shall stand."
            )
    known = {name for each in loaded for name in (each.revision, *each.branch_labels)}
    for each in loaded:
        for line, parents in (("down_revision", each.down_revision), ("depends_on", each.dependencies)):
            for parent in to_tuple(parents, default=()):
                if parent not in known:
                    return (
                        f"{shown(Path(each.path))} says {line} = {parent!r}, and there is no file of that "
                        "revision here. Get it, or correct the line."
                    )
    return None


def _paths(script: ScriptDirectory) -> Iterator[Path]:
    yield from (path.resolve() for path in _listed(script))


def _listed(script: ScriptDirectory) -> Iterator[Path]:
    for folder in map(Path, script._version_locations):
        if folder.exists():
            yield from sorted(Script._list_py_dir(script, folder))


def _is_revision(path: Path) -> bool:
    return path.suffix == ".py" and not path.name.startswith((".#", "__init__"))


def _describe(path: Path, error: BaseException) -> str:
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == str(path) else None
    line = line or (lines[-1] if lines else None)
    if line is None:  # it was loaded: Alembic misses a name in it
        missed = error.name if isinstance(error, AttributeError) else None
        why = f"it has no line `{missed} = …`" if missed else f"{type(error).__name__}: {error}"
    else:
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        why = f"{type(error).__name__}: {said}"
    place = f"{shown(path)}, line {line}," if line else shown(path)
    return f"{place} can't be loaded: {why}. Correct it, or take it away."


def read_anew(given: ScriptDirectory, folders: Iterable[str | Path]) -> ScriptDirectory:
    """Return the revisions in some folders, read as others are."""
    return ScriptDirectory(
        given.dir,
        file_template=given.file_template,
        truncate_slug_length=given.truncate_slug_length,
        version_locations=list(map(str, folders)),
        sourceless=given.sourceless,
        output_encoding=given.output_encoding,
        timezone=given.timezone,
        hooks=given.hooks,
        recursive_version_locations=given.recursive_version_locations,
        messaging_opts={"quiet": True},
    )
