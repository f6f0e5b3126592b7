"""What tests have to say at the end of the log: the score of the matrix of kinds, and what they recorded."""

import re
from typing import Any

_TEST = re.compile(r"tests/plinth/test_kinds\.py::(test_kind\w*)\[")


def pytest_terminal_summary(terminalreporter: Any) -> None:  # noqa: ANN401 - pytest's class is private
    """Print "kinds: N passed of M tried", for each server that they were tried on."""
    counts: dict[str, dict[str, int]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            match = _TEST.match(getattr(report, "nodeid", ""))
            if match and report.when == "call":
                counts.setdefault(match[1], {"passed": 0, "failed": 0})[outcome] += 1
    for test, count in sorted(counts.items()):
        where = test.removeprefix("test_kind").replace("_", " ")
        terminalreporter.write_line(
            f"kinds{where}: {count['passed']} passed of {count['passed'] + count['failed']} tried"
        )
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, said in getattr(report, "user_properties", ()) if report.when == "call" else ():
                terminalreporter.write_line(f"{name}: {said}")
