"""What was found out once and holds as long as its key: files in a folder that may be deleted at any time."""

import contextlib
import hashlib
import os
import pickle
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

from plinth import catalog, settings

KEPT = 16  # files; more are made only by switching between branches

T = TypeVar("T")


def remembered(kind: str, key: Iterable[str], find_out: Callable[[], T]) -> T:
    """Return what was found out before under the same key, else find it out now.

    Args:
        kind: what it is.
        key: all that it depends on; the code that reads catalogs counts too.
        find_out: how it is found out.
    """
    folder = _folder()
    if folder is None:
        return find_out()
    file = folder / _name(kind, key)
    try:
        found: T = pickle.loads(file.read_bytes())  # noqa: S301 - a file of our own, in a folder of our own
        os.utime(file)
    except Exception:  # a damaged pickle raises whatever it likes
        found = find_out()
        _write(file, found)
    return found


def count_known(kind: str, keys: Sequence[Iterable[str]]) -> int:
    """Return how many keys, from the first on, there are up to the last one that is known."""
    folder = _folder()
    if folder is None:
        return 0
    names = {path.name for path in folder.iterdir()}
    known = (number for number, key in enumerate(keys, 1) if _name(kind, key) in names)
    return max(known, default=0)


def _name(kind: str, key: Iterable[str]) -> str:
    digest = hashlib.sha256(kind.encode())
    for part in (_code(), *key):
        digest.update(hashlib.sha256(part.encode("utf-8", "surrogatepass")).digest())
    return f"{kind}-{digest.hexdigest()[:32]}.pickle"


def _folder() -> Path | None:
    """Return a folder that nobody else can write to; None when there is none."""
    configured = settings.variable("PLINTH_HOME")
    home = Path(configured or settings.root() / ".postgres")
    own = Path(tempfile.gettempdir()) / f"plinth-cache-{os.geteuid()}"
    for place in (home / "cache", own):
        try:
            folder = place.expanduser()
            # Home itself is not made here: how is the local server's affair, which has to reach it.
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
        except (OSError, RuntimeError):  # nobody has that home
            continue
        if found.st_uid == os.geteuid() and not found.st_mode & 0o022 and os.access(folder, os.W_OK):
            return folder
    return None


def _write(file: Path, found: object) -> None:
    with contextlib.suppress(OSError):
        handle, name = tempfile.mkstemp(prefix="new-", dir=file.parent)
        with os.fdopen(handle, "wb") as new:
            pickle.dump(found, new, protocol=pickle.HIGHEST_PROTOCOL)
        Path(name).replace(file)
        by_age = sorted(file.parent.glob("*.pickle"), key=lambda each: each.stat().st_mtime)
        for each in [*by_age[:-KEPT], *_abandoned(file.parent)]:
            each.unlink(missing_ok=True)


def _abandoned(folder: Path) -> list[Path]:
    """Return the files that killed programs left half written."""
    newest = max(each.stat().st_mtime for each in folder.iterdir())
    return [each for each in folder.glob("new-*") if newest - each.stat().st_mtime > 3600]


@cache
def _code() -> str:
    """Return what tells this version of Plinth from others: another one may see more."""
    files = [*Path(catalog.__file__).parent.glob("*.py"), *Path(__file__).parent.glob("*.py")]
    digest = hashlib.sha256(b"".join(each.read_bytes() for each in sorted(files)))
    return digest.hexdigest()
