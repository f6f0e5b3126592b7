"""Many pending revisions, and eight `alembic upgrade head` at once: ours against plain Alembic's."""

import argparse
from collections.abc import Iterator
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.cluster import Cluster, cluster
from benchmarks.projects import OURS, PLAIN, on, projects, seconds, write_models
from tests.plinth.history import History, start
from tests.plinth.project import Project

AT_ONCE = 8
_NO_MODELS = "from sqlalchemy.orm import DeclarativeBase\n\n\nclass Base(DeclarativeBase):\n    pass\n"


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Measure both and print them side by side."""
    table = Table(title="alembic upgrade head")
    table.add_column("")
    for heading in ("plain", "ours", "ours / plain"):
        table.add_column(heading, justify="right")
    with cluster() as at:
        for number in arguments.revisions:
            for name, plain, ours in _pending(at, number, arguments.runs):
                table.add_row(name, f"{plain:.2f} s", f"{ours:.2f} s", f"{ours / plain:.2f}")
        failed = _at_once(at, arguments.trials)
    table.add_row(
        f"failed of {AT_ONCE} at once", *(" ".join(map(str, failed[which])) for which in (PLAIN, OURS)), ""
    )
    console.print(table)


def _pending(at: Cluster, number: int, runs: int) -> Iterator[tuple[str, float, float]]:
    each = _with_revisions(at, f"pending_{number}", number)
    all_, none = f"{number} revisions pending", f"{number} revisions, none pending"
    took: dict[tuple[str, str], list[float]] = {}
    for _ in range(runs):
        for which, project in each.items():
            with at.database("pending") as url:
                for name in (all_, none):
                    took.setdefault((name, which), []).append(seconds(project, "upgrade", "head", url=url))
    for name in (all_, none):
        yield name, median(took[name, PLAIN]), median(took[name, OURS])


def _at_once(at: Cluster, trials: int) -> dict[str, list[int]]:
    """Return how many of eight fail on an empty database, in each trial."""
    each = _with_revisions(at, "at_once", 20)
    failed: dict[str, list[int]] = {PLAIN: [], OURS: []}
    for _ in range(trials):
        for which, project in each.items():
            with at.database("at_once") as url:
                processes = [start(project, "alembic", "upgrade", "head", **on(url)) for _ in range(AT_ONCE)]
                for process in processes:
                    process.communicate()
                failed[which].append(sum(process.returncode != 0 for process in processes))
    return failed


def _with_revisions(at: Cluster, name: str, number: int) -> dict[str, Project]:
    """Return projects with so many revisions, each of which makes a small table."""
    each = projects(at, name)
    write_models(each, _NO_MODELS)
    for project in each.values():
        History(project.root / "alembic").tables(*(f"{n:04}" for n in range(number)))
    return each
