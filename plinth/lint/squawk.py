"""Runs Squawk, whose binary is installed beside Python's own."""

import json
import subprocess
import sysconfig
import tempfile
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from itertools import accumulate
from pathlib import Path

from plinth.errors import PlinthError

OLDEST_POSTGRESQL = "14.0"


class SquawkError(PlinthError):
    """Squawk can't be run; the message says why."""


@dataclass(frozen=True)
class Complaint:
    """What Squawk says of a statement.

    Args:
        rule: by Squawk's name.
        statement: its number, from 0.
    """

    rule: str
    statement: int


def complaints(revisions: Mapping[str, Sequence[str]], *, in_transaction: bool) -> dict[str, list[Complaint]]:
    """Return what Squawk says of each revision.

    Args:
        revisions: the statements of each.
        in_transaction: whether a transaction is around each of them.

    Raises:
        SquawkError: it can't be run.
    """
    if not revisions:
        return {}
    with tempfile.TemporaryDirectory(prefix="plinth-lint-") as folder:
        files = {Path(folder) / f"{number}.sql": name for number, name in enumerate(revisions)}
        for file, name in files.items():
            file.write_text("".join(f"{_closed(text)}\n" for text in revisions[name]), encoding="utf-8")
        assume = ["--assume-in-transaction"] if in_transaction else []
        command = [
            program(),
            "--reporter=json",
            f"--pg-version={OLDEST_POSTGRESQL}",
            *assume,
            *map(str, files),
        ]
        # In the folder of the files: a configuration file of the project's own has no say.
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        try:
            found = json.loads(done.stdout or "[]")
        except ValueError:
            found = None
        if found is None or done.returncode not in {0, 1}:
            raise SquawkError(f"Squawk failed: {(done.stderr or done.stdout).strip()}")
    said: dict[str, list[Complaint]] = {name: [] for name in revisions}
    by_file = {str(file): name for file, name in files.items()}
    for each in found:
        name = by_file[each["file"]]
        complaint = Complaint(each["rule_name"], _statement_at(revisions[name], each["line"]))
        if complaint not in said[name]:
            said[name].append(complaint)
    return said


def program() -> str:
    """Return Squawk's binary, as it is installed in the running Python's environment.

    Raises:
        SquawkError: it isn't.
    """
    try:
        installed = metadata.files("squawk-cli") or []
    except metadata.PackageNotFoundError:
        installed = []
    places = [Path(str(file.locate())) for file in installed if file.stem == "squawk"]
    for place in [*places, Path(sysconfig.get_path("scripts")) / "squawk"]:
        if place.is_file():
            return str(place)
    raise SquawkError("Squawk is not installed. Run: pip install 'alembic-plinth[lint]'")


def _closed(text: str) -> str:
    return text if text.rstrip().endswith(";") else f"{text}\n;"


def _statement_at(statements: Sequence[str], line: int) -> int:
    starts = [0, *accumulate(_closed(text).count("\n") + 1 for text in statements)]
    return min(bisect_right(starts, line) - 1, len(statements) - 1)
