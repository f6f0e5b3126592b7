"""The plan, for people."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from plinth.apply.phases import AFTER
from plinth.apply.progress import batches
from plinth.plan.facts import Statement, Use
from plinth.plan.planning import Pending, Plan
from plinth.plan.verdict import WORDS

WIDE = 160  # columns, where there is no terminal that would cut lines off
_STYLES = {"instant": "green", "online": "green", "scans": "yellow"}


def show(plan: Plan) -> None:
    """Print what each pending revision does, statement by statement."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    console.print(f"Database {plan.database}", markup=False)
    for pending in plan.revisions:
        _show(console, plan, pending)
    if plan.failure:
        console.print(f"! {plan.failure}", style="red", markup=False)
    elif not plan.revisions:
        console.print("No revision is pending.")


def _show(console: Console, plan: Plan, pending: Pending) -> None:
    measured = pending.measured
    depends_on_size = WORDS.index(pending.verdict_if_large) > WORDS.index(pending.verdict)
    verdict = Text(pending.verdict, style=_STYLES.get(pending.verdict, "red"))
    if depends_on_size:
        verdict.append(f" here; {pending.verdict_if_large}, if the tables were large", style="yellow")
    console.print()
    phase = " (after the code)" if pending.phase == AFTER else ""
    console.print(Text(f"{measured.revision} {measured.message}{phase}: "), verdict, sep="")
    table = Table()
    for title in ("SQL", "table", "lock", "work", "rows"):
        table.add_column(title, overflow="fold", justify="right" if title == "rows" else "left")
    transaction = 1
    for statement in measured.statements:
        if statement.transaction != transaction:
            table.add_section()  # behind it an interrupted revision is resumed
            transaction = statement.transaction
        for cells in _cells(plan, statement):
            table.add_row(*map(Text, cells))
    if measured.statements:
        console.print(table)
    for line in dict.fromkeys(f"  {reason.word}: {reason.sentence}" for reason in pending.reasons):
        console.print(line, markup=False)
    for note in pending.notes:
        console.print(f"  ! {note}", style="yellow", markup=False)
    if depends_on_size:
        others = [each for each in pending.reasons_if_large if each.word == pending.verdict_if_large]
        console.print(f"  {others[0].word}, if the tables were large: {others[0].sentence}", markup=False)


def _cells(plan: Plan, statement: Statement) -> list[tuple[str, ...]]:
    sql = statement.sql if statement.in_transaction else f"{statement.sql}\n(outside a transaction)"
    rows = [
        (use.table.name, use.lock or "(held)", _work(plan, statement, use), _rows(plan, use))
        for use in statement.uses
        if use.lock != "ACCESS SHARE" or use.scans
    ] or [("", "", "", "")]
    return [(sql if number == 0 else "", *cells) for number, cells in enumerate(rows)]


def _rows(plan: Plan, use: Use) -> str:
    rows = plan.rows_of(use.table)
    return "new" if rows is None else str(rows)


def _work(plan: Plan, statement: Statement, use: Use) -> str:
    if use.empties:
        return "empties"
    if use.rewrites or use.scans:
        return "rewrites" if use.rewrites else "scans"
    rows = plan.rows_of(use.table)
    number = batches(statement.sql, rows.number) if rows and use.lock == "ROW EXCLUSIVE" else None
    return "" if number is None else f"{number:,} batch{'' if number == 1 else 'es'}"
