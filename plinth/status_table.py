"""The status, for people."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from plinth import settings
from plinth.status import AFTER, Line, Status

_STOP = {"ahead", "skipped"}  # problems with which an upgrade doesn't begin
WIDE = 160  # columns, where there is no terminal that would cut lines off


def show(status: Status) -> None:
    """Print a table of the revisions, and under it what is wrong."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    environment = f" ({status.environment})" if status.environment else ""
    console.print(f"Database {status.database}{environment}", markup=False)
    table = Table()
    for title in ("revision", "message", "applied", "by", "took", "batch"):
        table.add_column(title, overflow="fold", justify="right" if title in {"took", "batch"} else "left")
    for line in status.revisions:
        style = "yellow" if line.state != "applied" else None
        cells = (line.revision, line.message, when(line), line.by or "", took(line), batch(line))
        table.add_row(*map(Text, cells), style=style)
    console.print(table)
    for problem in status.problems:
        console.print(f"! {problem.message}", style="red", markup=False, soft_wrap=True)
    if not status.problems and not status.pending:
        console.print("All is applied, and in order.")
    elif status.pending and not _STOP.intersection(problem.kind for problem in status.problems):
        console.print(_what_to_type(status))


def _what_to_type(status: Status) -> str:
    pending, waiting = len(status.pending), len(status.waiting)
    upgrade = settings.to_type("db-upgrade", "alembic upgrade head")
    before = settings.to_type("db-upgrade-before", "plinth upgrade --before")
    after = settings.to_type("db-upgrade-after", "plinth upgrade --after")
    if not waiting:
        return f"{pending} pending: {upgrade}"
    if waiting == pending:
        return f"{pending} pending, after the code: when no older code runs, {after}"
    return (
        f"{pending} pending, {waiting} of them after the code: {upgrade} for all; where code runs, {before}, "
        f"then the new code, then {after}"
    )


def when(line: Line) -> str:
    """Return when a revision was applied, in words."""
    if line.state != "applied":
        return f"{line.state}, after the code" if line.phase == AFTER else line.state
    if line.applied_at is None:
        return "before the ledger"
    time = f"{line.applied_at.astimezone():%Y-%m-%d %H:%M:%S}"
    return f"{time}, marked" if line.marked else time


def took(line: Line) -> str:
    """Return how long it took."""
    if line.seconds is None:
        return ""
    return f"{line.seconds:.1f} s" if line.seconds >= 1 else f"{1000 * line.seconds:.0f} ms"


def batch(line: Line) -> str:
    """Return the batch, if there is one."""
    return str(line.batch) if line.batch else ""
