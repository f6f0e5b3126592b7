"""What was measured: medians, spreads and ratios, printed, and saved as Markdown and JSON."""

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parent / "results"  # git doesn't look at it


@dataclass(frozen=True)
class Measured:
    """What one program took for one thing.

    Args:
        what: was done.
        by: which program.
        seconds: of each run.
        memory: the most that it held in each run, in bytes; empty where that wasn't looked at.
    """

    what: str
    by: str
    seconds: Sequence[float]
    memory: Sequence[int] = ()

    @property
    def median(self) -> float:
        """The time that counts."""
        return median(self.seconds)


@dataclass
class Results:
    """The results of one run.

    Args:
        name: of the benchmark.
        beside: the programs to which ratios are shown.
        measured: all that was measured.
        missing: programs that weren't there, and why.
        versions: of the programs.
        notes: sentences to be read beside the table.
    """

    name: str
    beside: Sequence[str]
    measured: list[Measured] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def ratio(self, of: Measured, to: str) -> float | None:
        """Return how many times another program's time it took; None where that wasn't measured."""
        other = next((each for each in self.measured if each.what == of.what and each.by == to), None)
        return of.median / other.median if other else None

    def rows(self) -> Iterator[list[str]]:
        """Yield the lines of the table, the headings first."""
        yield ["", "", "median", "from … to", *(f"/ {name}" for name in self.beside), "memory"]
        last = ""
        for each in self.measured:
            ratios = [self.ratio(each, name) for name in self.beside]
            yield [
                each.what if each.what != last else "",
                each.by,
                _time(each.median),
                f"{_time(min(each.seconds))} … {_time(max(each.seconds))}",
                *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
                f"{median(each.memory) / 2**20:.0f} MiB" if each.memory else "",
            ]
            last = each.what

    def say(self, console: Console) -> None:
        """Print the table, and who is missing."""
        headings, *rows = self.rows()
        table = Table(title=self.name)
        for number, heading in enumerate(headings):
            table.add_column(heading, justify="left" if number < 2 else "right", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        console.print(table)
        for line in (*self._missing(), *self.notes):
            console.print(line, highlight=False)

    def markdown(self) -> str:
        """Return the table, with versions and the machine, as Markdown."""
        headings, *rows = self.rows()
        aligned = [":--" if number < 2 else "--:" for number in range(len(headings))]
        lines = ["| " + " | ".join(row) + " |" for row in (headings, aligned, *rows)]
        said = [f"{name} {version}" for name, version in self.versions.items()]
        below = [*self._missing(), *self.notes, f"Versions: {', '.join(said)}." if said else "", machine()]
        return "\n".join([f"# {self.name}", "", *lines, "", *filter(None, below), ""])

    def save(self) -> None:
        """Write Markdown and JSON."""
        save(self.name, self.markdown(), asdict(self))

    def _missing(self) -> list[str]:
        return [f"Not measured: {name}, for {why}." for name, why in self.missing.items()]


def as_markdown(table: Table, below: Sequence[str]) -> str:
    """Return a table as Markdown, with lines that follow it."""
    headings = [str(column.header) for column in table.columns]
    rows = zip(*(map(str, column.cells) for column in table.columns), strict=True)
    lines = ["| " + " | ".join(row) + " |" for row in (headings, [":--"] * len(headings), *rows)]
    return "\n".join([f"# {table.title}", "", *lines, "", *below, str(table.caption or ""), machine(), ""])


def save(name: str, markdown: str, data: Mapping[str, Any]) -> None:
    """Write the results of a benchmark as Markdown and as JSON, with the machine and the time."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    known = {**data, "machine": machine(), "at": datetime.now(UTC).isoformat(timespec="seconds")}
    (FOLDER / f"{name}.json").write_text(json.dumps(known, indent=2) + "\n")
    (FOLDER / f"{name}.md").write_text(markdown)


def machine() -> str:
    """Return a sentence that says on what it was measured."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"Machine: {platform.system()}, {platform.machine()}, {psutil.cpu_count()} cores, {memory:.0f} GiB."
    )


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 10 else f"{seconds * 1000:.0f} ms"
