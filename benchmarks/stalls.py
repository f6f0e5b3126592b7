"""How long an application waits while a busy table is changed: plain Alembic's revisions against ours."""

import argparse
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from statistics import median

import psycopg
from rich.console import Console
from rich.table import Table
from sqlalchemy.engine import URL

from benchmarks import results
from benchmarks.changes import CHANGES, FILL, MODELS, Change
from benchmarks.cluster import Cluster, cluster
from benchmarks.load import WARM_UP, load
from benchmarks.peers import versions
from benchmarks.projects import OURS, PLAIN, on, projects, write_models
from plinth import settings
from plinth.__main__ import libpq_url
from tests.plinth.history import History, clear
from tests.plinth.project import Project

BASE = "stalls"  # the database that the others are copies of
GRACE = 0.05  # seconds above lock_timeout

_SOMEBODY_WAITS = "select 1 from pg_locks where locktype = 'relation' and not granted"


@dataclass(frozen=True)
class Measured:
    """What the application felt of one change; times in seconds.

    Args:
        calm: its longest wait before the change.
        worst: its longest wait while the change ran.
        p99: what 99 of 100 waits stayed under.
        duration: of the change, from the command to its end.
        errors: what the application got.
    """

    calm: float
    worst: float
    p99: float
    duration: float
    errors: Sequence[str]


@dataclass(frozen=True)
class Compared:
    """A change, measured both ways.

    Args:
        change: what was changed.
        plain: as plain Alembic writes it, each time.
        ours: as we do, each time.
        revisions: how many of ours it takes.
    """

    change: Change
    plain: Sequence[Measured]
    ours: Sequence[Measured]
    revisions: int

    @property
    def ratio(self) -> float:
        """How many times our worst stall is below plain Alembic's."""
        return worst(self.plain) / worst(self.ours)


def worst(measured: Sequence[Measured]) -> float:
    """Return the worst stall, the median of several runs."""
    return median(each.worst for each in measured)


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Measure all changes and print them side by side."""
    with cluster() as at:
        each = projects(at, "stalls")
        found = dict(_measure(at, each, arguments, console))
    baseline = median(m.calm for each in found.values() for m in (*each.plain, *each.ours))
    table = _table(found, arguments, baseline)
    said = [
        f"{'met    ' if is_met else 'NOT met'} {name}: {goal}"
        for name, compared in found.items()
        for goal, is_met in goals(compared, baseline)
    ]
    console.print(table)
    for line in said:
        console.print(line, highlight=False)
    of_changes = {
        name: {"plain": [*map(asdict, both.plain)], "ours": [*map(asdict, both.ours)]}
        for name, both in found.items()
    }
    known = {**vars(arguments), "versions": versions(), "baseline": baseline, "changes": of_changes}
    results.save("stalls", results.as_markdown(table, said), known)


def _measure(
    at: Cluster, each: dict[str, Project], arguments: argparse.Namespace, console: Console
) -> Iterator[tuple[str, Compared]]:
    names = arguments.change or list(CHANGES)
    for others in dict.fromkeys(CHANGES[name].others for name in names):
        same = [name for name in names if CHANGES[name].others == others]
        yield from _measure_on(at, each, same, arguments, console)


def _measure_on(
    at: Cluster,
    each: dict[str, Project],
    names: Sequence[str],
    arguments: argparse.Namespace,
    console: Console,
) -> Iterator[tuple[str, Compared]]:
    """Measure changes of the same tables."""
    first = CHANGES[names[0]]
    write_models(each, MODELS + first.others)
    with at.database(BASE) as url:
        each[OURS].ok("alembic", "revision", "--autogenerate", "-m", "create tables", **on(url))
        each[OURS].ok("alembic", "upgrade", "head", **on(url))
        for statement in (FILL + first.fill).replace(":rows", str(arguments.rows)).split(";"):
            if statement.strip():
                at.do(statement, BASE)
        at.do("vacuum analyze", BASE)
        for name in names:
            change = CHANGES[name]
            with _revisions(each, change, url) as revisions:
                found: dict[str, list[Measured]] = {PLAIN: [], OURS: []}
                for _ in range(arguments.repeat):
                    for which, project in each.items():
                        measured = _under_load(at, project, change, arguments)
                        found[which].append(measured)
                        console.print(
                            f"{name}, {which}: {_ms(measured.worst)} ms, {measured.duration:.1f} s",
                            highlight=False,
                        )
            yield name, Compared(change, found[PLAIN], found[OURS], revisions)
    clear(each[OURS])


@contextmanager
def _revisions(each: dict[str, Project], change: Change, url: URL) -> Iterator[int]:
    """Write the change's revisions, ours from the models; yield how many ours are; take them back."""
    folders = {which: project.root / "alembic" / "versions" for which, project in each.items()}
    (base,) = each[OURS].versions()
    revision = base.partition("_")[0]
    plain = History(each[PLAIN].root / "alembic")
    plain.add(revision, None, "pass")
    plain.add("changed", revision, change.plain)
    write_models(each, (MODELS + change.others).replace(*change.models))
    each[OURS].ok("alembic", "revision", "--autogenerate", **on(url))
    try:
        yield len(each[OURS].versions()) - 1
    finally:
        for file in [*folders[PLAIN].glob("*.py"), *folders[OURS].glob("*.py")]:
            if file != folders[OURS] / base:
                file.unlink()


def _under_load(at: Cluster, project: Project, change: Change, arguments: argparse.Namespace) -> Measured:
    with at.database(f"{BASE}_changed", template=BASE) as url:
        at.do("checkpoint")
        with load(url, arguments.protocol, arguments.rate, arguments.rows, change.load) as applied:
            time.sleep(WARM_UP + arguments.calm)
            with _idle_transaction(url, arguments.idle) if change.is_blocked else nullcontext():
                began = time.time()
                project.ok("alembic", "upgrade", "head", **on(url))
                ended = time.time()
    felt = applied.felt(began, ended)
    calm = applied.felt(applied.began + WARM_UP, began)
    return Measured(calm.worst, felt.worst, felt.p99, ended - began, applied.errors)


@contextmanager
def _idle_transaction(url: URL, seconds: float) -> Iterator[None]:
    """Hold a transaction that has read the table, idle for so long from the moment it is in the way."""
    over = threading.Event()

    def wait_and_go(idle: psycopg.Connection) -> None:
        with psycopg.connect(libpq_url(url), autocommit=True) as watch:
            while not watch.execute(_SOMEBODY_WAITS).fetchone() and not over.wait(0.01):
                pass
        over.wait(seconds)
        idle.rollback()

    with psycopg.connect(libpq_url(url)) as connection:
        connection.execute("select from accounts limit 1")
        thread = threading.Thread(target=wait_and_go, args=[connection])
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def goals(compared: Compared, baseline: float) -> Iterator[tuple[str, bool]]:
    """Yield the goals of a change, and whether they are met.

    Args:
        compared: what was measured.
        baseline: the worst stall without any change.
    """
    ours, change = worst(compared.ours), compared.change
    limit = settings.configured().lock_timeout.total_seconds() + GRACE
    yield f"worst stall {_ms(ours)} ms, at most {_ms(limit)}", ours <= limit
    if change.times:
        yield (
            f"{compared.ratio:.0f} times below plain, at least {change.times}",
            compared.ratio >= change.times,
        )
    if change.is_unfelt:
        limit = 2 * baseline
        yield f"worst stall {_ms(ours)} ms, at most twice the baseline: {_ms(limit)}", ours <= limit
    errors = [error for each in compared.ours for error in each.errors]
    yield f"{len(errors)} application errors{''.join(f': {each}' for each in errors[:1])}", not errors


def _table(found: dict[str, Compared], arguments: argparse.Namespace, baseline: float) -> Table:
    table = Table(
        title=f"An application's waits while a table of {arguments.rows:,} rows is changed "
        f"({arguments.rate} transactions per second, protocol {arguments.protocol}; plain / ours)",
        caption=f"Without any change the worst was {_ms(baseline)} ms (the median of the times before).",
    )
    table.add_column("change")
    for heading in ("worst stall, ms", "ratio", "p99, ms", "duration, s", "errors", "revisions"):
        table.add_column(heading, justify="right")
    for name, each in found.items():
        both = (each.plain, each.ours)
        table.add_row(
            name,
            " / ".join(_ms(worst(side)) for side in both),
            f"{each.ratio:.1f}",
            " / ".join(_ms(median(one.p99 for one in side)) for side in both),
            " / ".join(f"{median(one.duration for one in side):.1f}" for side in both),
            " / ".join(str(sum(len(one.errors) for one in side)) for side in both),
            f"1 / {each.revisions}",
        )
    return table


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}" if seconds >= 0.01 else f"{seconds * 1000:.1f}"
