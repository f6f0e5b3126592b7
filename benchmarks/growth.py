"""How time grows with the number of revisions and of tables: a table, and a picture of it."""

import argparse
import subprocess
from pathlib import Path

from rich.console import Console

from benchmarks import apply, autogenerate, peers, results
from benchmarks.cluster import cluster
from benchmarks.peers import KNEX, PLAIN, PSQL
from benchmarks.results import Results


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Measure, print, save and draw it; what takes too long is measured up to the size that was asked for."""
    found = Results("growth", [PSQL, PLAIN, KNEX])
    with cluster() as at:
        for number in arguments.revisions:
            apply.measure_pending(at, number, arguments, console, found)
        for number in arguments.growing_tables:
            for measured, _ in autogenerate.check(at, number, arguments.runs, console):
                found.measured += measured
            found.save()
    found.say(console)
    draw(console)


def draw(console: Console) -> None:
    """Draw what was saved, with Matplotlib in an environment of its own; say it where that can't be had."""
    try:
        python = peers.python_with_matplotlib()
    except peers.MissingError as error:
        console.print(f"Not drawn, for Matplotlib is missing: {error}", highlight=False)
        return
    script, picture = Path(__file__).parent / "drawing.py", results.FOLDER / "growth.svg"
    source = results.FOLDER / "growth.json"
    subprocess.run([str(python), str(script), str(source), str(picture)], check=True)
    console.print(f"Drawn in {picture}", highlight=False)
