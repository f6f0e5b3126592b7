"""What stands at the end of the log: how many kinds of change passed, and what tests recorded for it."""

import re
from collections.abc import Iterator
from typing import Any

_TEST = re.compile(r"tests/plinth/test_kinds\.py::(test_kind\w*)\[")


def pytest_terminal_summary(terminalreporter: Any) -> None:  # noqa: ANN401 - pytest's class is private
    """Print what tests recorded, and "kinds: N passed of M tried" for each server they were tried on."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(str(value) if name == "summary" else f"{name}: {value}")
    counts: dict[str, dict[str, int]] = {}
    for outcome, report in _reports(terminalreporter):
        match = _TEST.match(report.nodeid)
        if match:
            counts.setdefault(match[1], {"passed": 0, "failed": 0})[outcome] += 1
    for test, count in sorted(counts.items()):
        where = test.removeprefix("test_kind").replace("_", " ")
        terminalreporter.write_line(
            f"kinds{where}: {count['passed']} passed of {count['passed'] + count['failed']} tried"
        )


def _reports(terminalreporter: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            if getattr(report, "when", None) == "call":
                yield outcome, report
