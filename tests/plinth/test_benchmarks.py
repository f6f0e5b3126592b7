"""The benchmarks run, at a tiny size: what they measure is for `make bench`."""

import io

import pytest
from rich.console import Console

from benchmarks.__main__ import main
from benchmarks.changes import CHANGES

pytestmark = pytest.mark.slow


def printed(*arguments: str) -> str:
    output = io.StringIO()
    assert main(arguments, Console(file=output, width=200)) == 0
    return output.getvalue()


def test_stalls() -> None:
    output = printed("stalls", "--rows=2000", "--calm=0.5", "--idle=1", "--protocol=prepared")
    for name in CHANGES:
        assert f"│ {name} " in output
        assert f"{name}: worst stall " in output
    # The load was felt: an application that has prepared statements gets an error from plain Alembic's.
    row = next(line for line in output.splitlines() if "│ int to bigint " in line)
    assert int(row.split("│")[6].partition("/")[0]) > 0, output


def test_autogenerate_and_check() -> None:
    output = printed("autogenerate", "--tables=3", "--check-tables=3", "--runs=1")
    assert "│ revision --autogenerate, 3 tables, a required, indexed column " in output
    assert "│ check, 3 tables " in output
    assert "Reading the catalog of 3 tables takes " in output


def test_apply() -> None:
    output = printed("apply", "--revisions", "2", "--runs=1", "--trials=1")
    assert "│ 2 revisions pending " in output
    row = next(line for line in output.splitlines() if "failed of 8 at once" in line)
    assert row.split("│")[3].strip() == "0"
