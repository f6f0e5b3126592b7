"""Make `.venv` from a lock file, with uv where there is one and with venv and pip otherwise.

Runs on a bare Python (`python3 -I plinth/install.py`), so it imports the standard library only, and its
syntax is one that Python 3.6 can still read, in order to say that it is too old.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "installed-from"


def main() -> int:
    """Install `requirements-dev.lock` into `.venv` unless that is done; return the exit code."""
    oldest = oldest_python()
    if sys.version_info < oldest:
        return run_with_newer_python(oldest)
    wanted = fingerprint(ROOT / "requirements-dev.lock")
    with (ROOT / ".venv.lock").open("a") as lock:
        # The installers inherit the lock: after a kill -9 the next run waits for the orphan to end.
        os.set_inheritable(lock.fileno(), True)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if STAMP.is_file() and STAMP.read_text() == wanted:
            return 0
        return install(wanted, lock.fileno())


def oldest_python() -> "tuple[int, int]":
    """Return the version that pyproject.toml requires."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    required = re.search(r'^requires-python = ">=(\d+)\.(\d+)"', project, re.MULTILINE)
    return (int(required.group(1)), int(required.group(2))) if required else (3, 11)


def run_with_newer_python(oldest: "tuple[int, int]") -> int:
    """Go on with a Python that is new enough, if one is on PATH; return the exit code."""
    for minor in range(19, oldest[1] - 1, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer:
            return subprocess.call([newer, "-I", __file__])
    return complain(
        "Python {}.{} or newer is needed; this is {}. ".format(*oldest, sys.version.split()[0])
        + "Install one, or: make PYTHON=/path/to/it"
    )


def fingerprint(lock_file: Path) -> str:
    """Return what `.venv` depends on: the lock file's content, the Python and the place."""
    content = hashlib.sha256(lock_file.read_bytes()).hexdigest()
    return f"{content}\n{sys.version}\n{VENV}\n"


def install(wanted: str, lock: int) -> int:
    """Make `.venv` anew, its stamp last; return the exit code."""
    uv = shutil.which("uv")
    python = str(VENV / "bin" / "python")
    requirements = ["--require-hashes", "-r", str(ROOT / "requirements-dev.lock")]
    print("Installing into .venv ...", flush=True)  # noqa: T201
    if uv:
        steps = [
            [uv, "venv", "--quiet", "--clear", "--no-project", "--python", sys.executable, str(VENV)],
            [uv, "pip", "install", "--quiet", "--python", python, *requirements],
        ]
    else:
        steps = [
            [sys.executable, "-m", "venv", "--clear", str(VENV)],
            [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *requirements],
        ]
    for step in steps:
        if subprocess.call(step, cwd=str(ROOT), pass_fds=[lock]) != 0:
            hint = "" if uv else " (on Debian and Ubuntu, venv comes with the package python3-venv)"
            return complain(f"this step failed: {' '.join(step)}{hint}")
    STAMP.write_text(wanted)
    return 0


def complain(sentence: str) -> int:
    """Print what went wrong; return the exit code for it."""
    sys.stderr.write(f"install: {sentence}\n")
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(complain("interrupted; the same command goes on from here"))
    except OSError as error:
        sys.exit(complain(str(error)))
