"""How long `alembic revision --autogenerate` (ours with proof) and `alembic check` take."""

import argparse
import shutil
import time
from collections.abc import Iterator

from rich.console import Console
from sqlalchemy.engine import URL

from benchmarks.cluster import Cluster, cluster
from benchmarks.peers import versions
from benchmarks.projects import OURS, PLAIN, on, projects, seconds, write_models
from benchmarks.results import Measured, Results
from plinth.catalog import read_catalog
from plinth.connecting import connect
from tests.plinth.project import Project

_HEAD = """\
from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, ForeignKey, Index, MetaData, Numeric, String, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
"""

_CLASS = """

class Table{number}(Base):
    __tablename__ = "table_{number}"
    __table_args__ = (
        Index("ix_table_{number}_name_created_at", "name", "created_at"),
        CheckConstraint("price >= 0", name="price"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    code: Mapped[str] = mapped_column(String(20), unique=True)
    note: Mapped[str | None]
    price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    is_active: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("table_{parent}.id"), index=True)
"""

_LAST = "    note: Mapped[str | None]\n"

# What is added to the first table: in one transaction, and in a file of many points, each of which the proof
# interrupts.
_CHANGES = {
    "a column": "{name}: Mapped[str | None]",
    "a required, indexed column": (
        "{name}: Mapped[str] = mapped_column(String(20), index=True, info={{'backfill': \"''\"}})"
    ),
}

_GOALS = {"a column": 3, "a required, indexed column": 3.5}  # times plain; the second one with interruptions


def models(tables: int, added: str = "") -> str:
    """Return the source of models: so many tables, the first one with a column more if it is given."""
    source = _HEAD + "".join(
        _CLASS.format(number=number, parent=max(number - 1, 0)) for number in range(tables)
    )
    return source.replace(_LAST, f"{_LAST}    {added}\n", 1) if added else source


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Measure both commands, print and save what they took."""
    results = Results("autogenerate", [PLAIN])
    with cluster() as at:
        for found, goal in (
            *_revision(at, arguments.tables, arguments.runs, console),
            *check(at, arguments.check_tables, arguments.runs, console),
        ):
            results.measured += found
            ratio = results.ratio(found[-1], PLAIN)
            if goal and ratio:
                met = "met" if ratio <= goal else "NOT met"
                results.notes.append(f"{found[-1].what}: {ratio:.2f} times plain, at most {goal:g}: {met}.")
    results.versions = versions()
    results.say(console)
    results.save()


def _revision(
    at: Cluster, tables: int, runs: int, console: Console
) -> Iterator[tuple[list[Measured], float | None]]:
    """Yield what both took, and how many times plain Alembic's time ours may take, where there is a goal."""
    with at.database("written") as url:
        each = _created(at, "written", tables, url, console)
        for change, line in _CHANGES.items():
            at.forget()
            name = f"revision --autogenerate, {tables} tables, {change}"
            # The first one has to find out what the revisions make, the others remember it.
            first, *others = [
                _told(console, name, _written(each, tables, f"column_{number}", line, url))
                for number in range(runs + 1)
            ]
            yield _measured(f"{name}, first run", [first]), None
            yield _measured(name, others), _GOALS[change]


def _measured(what: str, took: list[dict[str, float]]) -> list[Measured]:
    return [Measured(what, which, [one[which] for one in took]) for which in (PLAIN, OURS)]


def _told(console: Console, name: str, took: dict[str, float]) -> dict[str, float]:
    """Say how long one run took, and return it."""
    console.print(f"{name}: plain {took[PLAIN]:.2f} s, ours {took[OURS]:.2f} s", highlight=False)
    return took


def _written(each: dict[str, Project], tables: int, added: str, line: str, url: URL) -> dict[str, float]:
    """Return how long the revision for a new column takes; its file is gone afterwards."""
    write_models(each, models(tables, line.format(name=added)))
    took = {}
    for which, project in each.items():
        before = project.versions()
        took[which] = seconds(project, "revision", "--autogenerate", "-m", f"add table_0 {added}", url=url)
        for name in set(project.versions()) - set(before):
            (project.root / "alembic" / "versions" / name).unlink()
    return took


def check(
    at: Cluster, tables: int, runs: int, console: Console
) -> Iterator[tuple[list[Measured], float | None]]:
    """Yield what `alembic check` took with no difference, and how many times plain's time ours may take."""
    with at.database("checked") as url:
        each = _created(at, f"checked_{tables}", tables, url, console)
        name = f"check, {tables} tables"
        first, *others = [
            _told(
                console, name, {which: seconds(project, "check", url=url) for which, project in each.items()}
            )
            for _ in range(runs + 1)
        ]
        reading = min(_reading(url) for _ in range(runs))
    yield _measured(f"{name}, first run", [first]), None
    yield _measured(name, others), 0.5
    console.print(f"Reading the catalog of {tables} tables takes {reading * 1000:.0f} ms.", highlight=False)


def _reading(url: URL) -> float:
    with connect(url) as connection:
        began = time.perf_counter()
        read_catalog(connection)
        return time.perf_counter() - began


def _created(at: Cluster, name: str, tables: int, url: URL, console: Console) -> dict[str, Project]:
    """Return projects of so many tables, made in the database by a revision that plain Alembic wrote."""
    console.print(f"Making {tables} tables …", highlight=False)
    each = projects(at, name)
    write_models(each, models(tables))
    versions = {which: project.root / "alembic" / "versions" for which, project in each.items()}
    each[PLAIN].ok("alembic", "revision", "--autogenerate", "-m", "create tables", **on(url))
    (file,) = each[PLAIN].versions()
    shutil.copy(versions[PLAIN] / file, versions[OURS])
    each[PLAIN].ok("alembic", "upgrade", "head", **on(url))
    at.forget()
    return each
