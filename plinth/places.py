"""Where in a project's own files an error comes from, for who needs no traceback to mend a typing error."""

import os
import sysconfig
import traceback
from pathlib import Path

_LIBRARIES = tuple(
    str(Path(sysconfig.get_path(name)).resolve()) + os.sep
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_OURS = str(Path(__file__).resolve().parent) + os.sep


def sentence(error: BaseException) -> str | None:
    """Return file, line and words of an error in a project's file; None where it may as well be ours."""
    place = _place(error)
    if place is None:
        return None
    words = error.msg if isinstance(error, SyntaxError) else str(error)
    said = " ".join(f"{type(error).__name__}: {words}".split()).rstrip(":.")
    return f"{shown(Path(place[0]))}, line {place[1]}: {said}. Correct it, and run the same command again."


def is_projects(error: BaseException) -> bool:
    """Whether an error comes from a project's file, or from a library that it calls, and not from us."""
    return _place(error) is not None


def line_in(file: Path, error: BaseException) -> str:
    """Return the place in a file from which an error came, as far as that is known."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve() == file.resolve()
    ]
    return f"{shown(file)}, line {lines[-1]}" if lines else shown(file)


def shown(path: Path) -> str:
    """Return a path as short as can be: from here, if it is below."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _place(error: BaseException) -> tuple[str, int] | None:
    if (
        isinstance(error, SyntaxError)
        and error.filename
        and error.lineno
        and _is_file_of_project(error.filename)
    ):
        return error.filename, error.lineno
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _is_file_of_project(frame.filename) and frame.lineno:
            return frame.filename, frame.lineno
        if frame.filename.startswith(_OURS):
            return None
    return None


def _is_file_of_project(name: str) -> bool:
    """Whether a file is none of a library's, wherever they are installed."""
    if name.startswith("<"):
        return False
    path = str(Path(name).resolve())
    parts = Path(path).parts
    return not path.startswith((*_LIBRARIES, _OURS)) and not {"site-packages", "dist-packages"} & {*parts}
