"""What a test waits for, and a run of them: ours against pytest-django."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

from rich.console import Console

from benchmarks import peers
from benchmarks.cluster import cluster
from benchmarks.peers import DJANGO, UPGRADE, Peer
from benchmarks.results import Measured, Results
from plinth import local_server

OURS, THEIRS, REUSED = "ours", "pytest-django", "pytest-django --reuse-db"
_CONFTEST = 'pytest_plugins = ["plinth.testing"]\n'
_MANY = 500  # tests
_FILE = """\
import pytest


@pytest.mark.parametrize("number", range({number}))
def test_nothing({fixture}, number):
    pass
"""


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Measure both, print and save what it took."""
    results = Results("tests", [THEIRS, REUSED])
    with cluster() as at, patch.dict("os.environ", PLINTH_HOME=str(at.home)):
        server = local_server.test_server()
        server.start()  # both have their databases there
        try:
            theirs = _python_of_theirs(results)
            for number in arguments.revisions:
                each, _ = peers.with_changes(at.folder / f"tests_{number}", number, at.home)
                took: dict[tuple[str, str], list[float]] = {}
                for turn in range(arguments.runs + 1):
                    for key, seconds in _once(each, theirs, server, number).items():
                        if turn:
                            took.setdefault(key, []).append(seconds)
                    console.print(
                        f"{number} revisions: {turn} of {arguments.runs} runs done", highlight=False
                    )
                results.measured += [Measured(what, by, took[what, by]) for what, by in sorted(took)]
                results.versions = peers.versions()
                results.save()
        finally:
            server.stop()
    results.say(console)
    results.save()


def _python_of_theirs(results: Results) -> str | None:
    """Return the Python that has pytest-django; None, which the results then say, where it can't be had."""
    try:
        return str(peers.python_with_pytest_django())
    except peers.MissingError as error:
        results.missing = dict.fromkeys((THEIRS, REUSED), str(error))
        return None


def _once(
    each: Mapping[str, Peer], theirs: str | None, server: local_server.LocalServer, number: int
) -> dict[tuple[str, str], float]:
    """Return what a run of one test took, and what each of many took more."""
    found = {}
    for by, name, fixture, options in (
        (OURS, UPGRADE, "session", ()),
        (THEIRS, DJANGO, "db", ("-p", "pytest_django", "--create-db")),
        (REUSED, DJANGO, "db", ("-p", "pytest_django", "--reuse-db")),
    ):
        if name not in each or (by != OURS and theirs is None):
            continue
        peer = each[name]
        python = peer.command[0] if by == OURS else str(theirs)
        place = {} if by == OURS else peers.place(server.url("postgres"))
        seconds = {}
        for tests in (1, _MANY):
            _write(peer.folder, fixture, tests, _CONFTEST if by == OURS else "")
            command = [python, "-m", "pytest", "-q", *options, "tests"]
            seconds[tests] = peers.run(command, peer.folder, {**peer.environment, **place}).seconds
        found[f"a run of one test, {number} revisions", by] = seconds[1]
        found[f"each more of {_MANY}, {number} revisions", by] = (seconds[_MANY] - seconds[1]) / (_MANY - 1)
    return found


def _write(folder: Path, fixture: str, number: int, conftest: str) -> None:
    tests = folder / "tests"
    tests.mkdir(exist_ok=True)
    (tests / "conftest.py").write_text(conftest)
    (tests / "test_nothing.py").write_text(_FILE.format(fixture=fixture, number=number))
