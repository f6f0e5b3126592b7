"""Make `.venv` from a lock file, with uv where there is one and with venv and pip otherwise.

What pyproject.toml takes from an address (`name @ git+https://…`) can have no hash, and follows in a second
step: without dependencies, for the lock file has them, as it has what builds it.

Runs on a bare Python (`python3 -I install.py`), so it imports the standard library only, and its syntax is
one that Python 3.6 can still read, in order to say that it is too old.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "installed-from"

# They send packages elsewhere, or nowhere. What says where packages come from stays: an index, a proxy.
ELSEWHERE = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_DRY_RUN")
LOOK = "import sys, importlib.metadata as found; [found.version(name) for name in sys.argv[1:]]"


def main() -> int:
    """Install a lock file (else `requirements-dev.lock`) unless that is done; return the exit code."""
    oldest = oldest_python()
    if sys.version_info < oldest:
        return run_with_newer_python(oldest)
    lock_file = ROOT / (sys.argv[1] if len(sys.argv) > 1 else "requirements-dev.lock")
    addresses = from_addresses()
    wanted = fingerprint(lock_file, addresses)
    with (ROOT / ".venv.lock").open("a") as lock:
        # The installers inherit the lock: after a kill -9 the next run waits for the orphan to end.
        os.set_inheritable(lock.fileno(), True)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if STAMP.is_file() and STAMP.read_text() == wanted:
            return 0
        if VENV.is_symlink():
            return complain(
                f".venv is a link to {os.path.realpath(str(VENV))}, which others may use, and would be "
                "emptied. Install there, or remove the link"
            )
        return install(lock_file, addresses, wanted, lock.fileno())


def oldest_python() -> "tuple[int, int]":
    """Return the version that pyproject.toml requires."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    required = re.search(r'^requires-python = ">=(\d+)\.(\d+)"', project, re.MULTILINE)
    return (int(required.group(1)), int(required.group(2))) if required else (3, 11)


def run_with_newer_python(oldest: "tuple[int, int]") -> int:
    """Go on with a Python that is new enough, if one is on PATH; return the exit code."""
    for minor in range(19, oldest[1] - 1, -1):
        newer = shutil.which(f"python3.{minor}")
        # A version manager puts one there for each of its versions; some only say that they aren't active.
        if newer and subprocess.call([newer, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            return subprocess.call([newer, "-I", __file__, *sys.argv[1:]])
    return complain(
        "Python {}.{} or newer is needed; this is {}. ".format(*oldest, sys.version.split()[0])
        + "Install one, or: make PYTHON=/path/to/it"
    )


def from_addresses() -> "list[str]":
    """Return the addresses of what the project takes from one: older pips refuse a name before a file's."""
    import tomllib  # noqa: PLC0415 - Python 3.11 has it, and this is 3.11 or newer by now

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    each_part = (each.partition(";")[0].partition("@") for each in project.get("dependencies", []))
    return [address.strip() for _, _, address in each_part if address]


def fingerprint(lock_file: Path, addresses: "list[str]") -> str:
    """Return what `.venv` depends on: the lock file's content, the addresses, the Python and the place."""
    content = hashlib.sha256(lock_file.read_bytes()).hexdigest()
    return "\n".join([content, *addresses, sys.version, str(VENV), ""])


def install(lock_file: Path, addresses: "list[str]", wanted: str, lock: int) -> int:
    """Make `.venv` anew, its stamp last; return the exit code."""
    uv = shutil.which("uv")
    python = str(VENV / "bin" / "python")
    if uv:
        make = [uv, "venv", "--quiet", "--clear", "--no-project", "--python", sys.executable, str(VENV)]
        add = [uv, "pip", "install", "--quiet", "--python", python]
    else:
        make = [sys.executable, "-m", "venv", "--clear", str(VENV)]
        add = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    no_venv = "" if uv else "on Debian and Ubuntu, venv comes with the package python3-venv"
    steps = [(make, no_venv), ([*add, "--require-hashes", "-r", str(lock_file)], "")]
    if addresses:
        unreachable = "this machine must reach the address in pyproject.toml, and find that commit there"
        steps.append(([*add, "--no-deps", "--no-build-isolation", *addresses], unreachable))
    misled = "they went elsewhere: see pip's configuration (pip config list)"
    steps.append(([python, "-c", LOOK, *needed_everywhere(lock_file)], misled))
    sys.stderr.write("Installing into .venv ...\n")  # stdout is that of what is asked for next
    environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    for step, hint in steps:
        if subprocess.call(step, cwd=str(ROOT), env=environment, pass_fds=[lock]) != 0:
            return complain(f"this step failed: {' '.join(step)}{hint and f' ({hint})'}")
    STAMP.write_text(wanted)
    return 0


def needed_everywhere(lock_file: Path) -> "list[str]":
    """Return the packages that a lock file has for each platform and Python."""
    return re.findall(r"^([\w.-]+)==[^\s;]+ *\\?$", lock_file.read_text(encoding="utf-8"), re.MULTILINE)


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
