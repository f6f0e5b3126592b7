"""The findings, for people."""

from rich.console import Console
from rich.text import Text

from plinth.lint.linting import ALLOWED, NAMED, REFUSED, Finding, Lint

WIDE = 160  # columns, where there is no terminal that would cut lines off
SHOWN = 140  # characters of a statement
_STYLES = {REFUSED: "red", NAMED: "yellow", ALLOWED: "dim"}


def show(lint: Lint) -> None:
    """Print what is found, revision by revision."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    for revision in lint.revisions:
        if revision.findings:
            where = f" ({revision.database})" if revision.database else ""
            console.print(f"{revision.file}{where}", style="bold", markup=False)
        for finding in revision.findings:
            for line in lines(finding):
                console.print(Text(f"  {line}", style=_STYLES[finding.level]), soft_wrap=True)
    if lint.not_measured:
        console.print(f"Judged by the text where nothing was measured: {lint.not_measured}", markup=False)
    number = len({revision.revision for revision in lint.revisions})
    refused = sum(each.level == REFUSED for revision in lint.revisions for each in revision.findings)
    console.print(
        f"{number} revision{'s' * (number != 1)} checked: {refused or 'nothing'} refused.", markup=False
    )


def lines(finding: Finding) -> list[str]:
    """Return a finding in lines."""
    found = [f"{finding.level} {finding.rule}: {finding.message}"]
    sql = " ".join(finding.sql.split())
    if sql:
        found.append(f"    {sql if len(sql) <= SHOWN else f'{sql[:SHOWN]} …'}")
    if finding.level == ALLOWED:
        found.append(f"    because: {finding.reason}")
    elif finding.instead:
        found.append(f"    write: {finding.instead}")
    return found
