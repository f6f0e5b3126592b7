"""`make db-reset` again, with nothing changed, against dropping, creating and migrating by hand."""

import argparse
import time
from pathlib import Path

from rich.console import Console

from benchmarks import peers
from benchmarks.cluster import Cluster, cluster
from benchmarks.peers import KNEX, PLAIN
from benchmarks.results import Measured, Results

AGAIN, FIRST = "ours: db-reset again", "ours: db-reset, the first"


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Measure all of them, print and save what it took."""
    results = Results("reset", [PLAIN, KNEX])
    with cluster() as at:
        for number in arguments.revisions:
            each, missing = peers.with_changes(at.folder / f"reset_{number}", number, at.home)
            results.missing |= missing
            took: dict[str, list[float]] = {}
            for turn in range(arguments.runs + 1):
                for name, seconds in _once(at, each, turn).items():
                    if turn or name == FIRST:
                        took.setdefault(name, []).append(seconds)
                console.print(f"{number} revisions: {turn} of {arguments.runs} runs done", highlight=False)
            results.measured += [Measured(f"{number} revisions", name, took[name]) for name in took]
    results.versions = peers.versions()
    results.say(console)
    results.save()


def _once(at: Cluster, each: dict[str, peers.Peer], turn: int) -> dict[str, float]:
    took = {}
    for name in (PLAIN, KNEX):
        if name in each:
            began = time.perf_counter()
            with at.database("reset") as url:
                each[name].run(url)
                took[name] = time.perf_counter() - began
    ours = each[peers.UPGRADE]
    _without_seeds(ours.folder / "pyproject.toml")
    reset = peers.run([*ours.command[:-1], "reset"], ours.folder, ours.environment)
    return took | {AGAIN if turn else FIRST: reset.seconds}


def _without_seeds(file: Path) -> None:
    """Leave out the seeds, which the others don't load."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("seeds = ")]
    file.write_text("\n".join(lines) + "\n")
