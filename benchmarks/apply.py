"""Many pending revisions, none pending, and eight at once: ours against the peers, and psql as the limit."""

import argparse
from collections.abc import Iterator

from rich.console import Console

from benchmarks import peers
from benchmarks.cluster import Cluster, cluster
from benchmarks.peers import KNEX, OURS, PLAIN, PSQL, Peer, Ran, TooLongError
from benchmarks.projects import OURS as HERE
from benchmarks.projects import PLAIN as STOCK
from benchmarks.projects import on, projects, write_models
from benchmarks.results import Measured, Results
from tests.plinth.history import History, start

AT_ONCE = 8
_NO_MODELS = "from sqlalchemy.orm import DeclarativeBase\n\n\nclass Base(DeclarativeBase):\n    pass\n"


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Measure all of them, print and save what it took."""
    results = Results("apply", [PSQL, PLAIN, KNEX])
    with cluster() as at:
        for number in arguments.revisions:
            measure_pending(at, number, arguments, console, results)
        failed = _at_once(at, arguments.trials)
    for which, counts in failed.items():
        words = ", ".join(map(str, counts))
        results.notes.append(f"Of {AT_ONCE} at once on an empty database there failed, {which}: {words}.")
    results.say(console)
    results.save()


def measure_pending(
    at: Cluster, number: int, arguments: argparse.Namespace, console: Console, found: Results
) -> None:
    """Measure so many pending changes and none; what takes longer than it may is said to be missing."""
    each, missing = peers.with_changes(at.folder / f"pending_{number}", number, at.home)
    names = [*each]
    found.measured += _pending(at, each, number, arguments, console)
    for name in names:
        if name not in each:
            missing[f"{name}, {number} pending"] = f"it takes longer than {arguments.longest:g} s"
    found.missing |= missing
    found.versions = peers.versions()
    found.save()  # a long run that is ended has what it measured until then


def _pending(
    at: Cluster, each: dict[str, Peer], number: int, arguments: argparse.Namespace, console: Console
) -> Iterator[Measured]:
    """Yield what all programs took, in turns; the first of each compiles its files, and doesn't count.

    One that takes longer than it may is no longer in `each` afterwards.
    """
    all_, none = f"{number} pending", f"none of {number} pending"
    took: dict[tuple[str, str], list[Ran]] = {}
    for turn in range(arguments.runs + 1):
        for name, peer in [*each.items()]:
            try:
                with at.database("pending") as url:
                    for what in (all_, none) if peer.repeats else (all_,):
                        ran = peer.run(url, arguments.longest)
                        if turn:
                            took.setdefault((what, name), []).append(ran)
            except TooLongError:
                del each[name]
        console.print(f"{number} changes: {turn} of {arguments.runs} runs done", highlight=False)
    for what in (all_, none):
        for name in each:
            done = took.get((what, name), [])
            if done:
                yield Measured(what, name, [one.seconds for one in done], [one.memory for one in done])


def _at_once(at: Cluster, trials: int) -> dict[str, list[int]]:
    """Return how many of eight fail on an empty database, in each trial."""
    each = projects(at, "at_once")
    write_models(each, _NO_MODELS)
    for project in each.values():
        History(project.root / "alembic").tables(*(f"{n:04}" for n in range(20)))
    names = {STOCK: PLAIN, HERE: OURS}
    failed: dict[str, list[int]] = {name: [] for name in names.values()}
    for _ in range(trials):
        for which, project in each.items():
            with at.database("at_once") as url:
                processes = [start(project, "alembic", "upgrade", "head", **on(url)) for _ in range(AT_ONCE)]
                for process in processes:
                    process.communicate()
                failed[names[which]].append(sum(process.returncode != 0 for process in processes))
    return failed
