"""The benchmarks run, at a tiny size: what they measure is for `make bench`."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy.engine import URL

import benchmarks.tests
from benchmarks import peers, results
from benchmarks.__main__ import main
from benchmarks.changes import CHANGES
from benchmarks.drawing import PANELS, lines
from benchmarks.peers import OURS, PLAIN
from tests.plinth.history import empty, rows

pytestmark = pytest.mark.slow


def printed(*arguments: str) -> str:
    output = io.StringIO()
    assert main(arguments, Console(file=output, width=200)) == 0
    return output.getvalue()


def test_stalls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    output = printed("stalls", "--rows=2000", "--calm=0.5", "--idle=1", "--protocol=prepared")
    for name in CHANGES:
        assert f"│ {name} " in output
        assert f"{name}: worst stall " in output
    # The load was felt: an application that has prepared statements gets an error from plain Alembic's.
    row = next(line for line in output.splitlines() if "│ int to bigint " in line)
    assert int(row.split("│")[6].partition("/")[0]) > 0, output
    assert set(json.loads((tmp_path / "stalls.json").read_text())["changes"]) == set(CHANGES)
    assert "| int to bigint |" in (tmp_path / "stalls.md").read_text()


def test_autogenerate_and_check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    output = printed("autogenerate", "--tables=3", "--check-tables=3", "--runs=1")
    assert "│ revision --autogenerate, 3 tables, a required, indexed column " in output
    assert "│ check, 3 tables " in output
    saved = json.loads((tmp_path / "autogenerate.json").read_text())
    assert {each["by"] for each in saved["measured"]} == {"plain", "ours"}
    assert "Reading the catalog of 3 tables takes " in output


def test_apply(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(peers, "INSTALLED", tmp_path / "peers")
    monkeypatch.setenv("PATH", str(tmp_path))  # without npm
    output = printed("apply", "--revisions", "5", "--runs=1", "--trials=1")
    assert [each for each in peers._PEERS if f" {each} " in output] == [*peers._PEERS]
    assert "Not measured: Knex, for npm isn't installed." in output
    assert "there failed, ours: alembic: 0." in output
    saved = json.loads((tmp_path / "results" / "apply.json").read_text())
    took = {(each["what"], each["by"]): each["seconds"] for each in saved["measured"]}
    assert len(took["5 pending", peers.PSQL]) == 1
    assert ("none of 5 pending", peers.UPGRADE) in took
    assert ("none of 5 pending", peers.PSQL) not in took
    markdown = (tmp_path / "results" / "apply.md").read_text()
    assert f"Alembic {saved['versions']['Alembic']}" in markdown
    assert "cores" in markdown


def test_reset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    output = printed("reset", "--revisions", "5", "--runs=1")
    assert " ours: db-reset again " in output
    saved = json.loads((tmp_path / "reset.json").read_text())
    assert {each["what"] for each in saved["measured"]} == {"5 revisions"}


def test_tests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(benchmarks.tests, "_MANY", 3)
    printed("tests", "--revisions", "5", "--runs=1")
    saved = json.loads((tmp_path / "tests.json").read_text())
    found = {(each["what"].partition(",")[0], each["by"]) for each in saved["measured"]}
    programs = {"ours", *({"pytest-django", "pytest-django --reuse-db"} - saved["missing"].keys())}
    assert found >= {("a run of one test", each) for each in programs}
    assert found >= {("each more of 3", each) for each in programs}


@pytest.mark.parametrize("number", [1, 9])
def test_what_all_programs_do_is_the_same(number: int, empty_url: URL, tmp_path: Path) -> None:
    """Columns, indexes and foreign keys are alike, whoever made them; names and what they keep aside."""
    made, missing = peers.with_changes(tmp_path, number, tmp_path)
    seen = {}
    for name, peer in made.items():
        peer.run(empty_url)
        seen[name] = (
            rows(
                empty_url,
                """
            select c.relname, attname, format_type(atttypid, atttypmod), attnotnull
            from pg_class c join pg_attribute on attrelid = c.oid
            where relname like 'table_%' and relkind = 'r' and attnum > 0 order by c.relname, attname
            """,
            ),
            rows(
                empty_url,
                """
            select relname, (select count(*) from pg_index where indrelid = c.oid),
                   (select count(*) from pg_constraint where conrelid = c.oid and contype = 'f')
            from pg_class c where relname like 'table_%' and relkind = 'r' order by relname
            """,
            ),
        )
        empty(empty_url)
    assert set(seen) | set(missing) == set(peers._PEERS)
    for name, found in seen.items():
        assert found == seen[peers.PSQL], name


def test_what_is_drawn_is_found_by_its_name() -> None:
    measured: list[dict[str, Any]] = [
        {"what": "100 pending", "by": PLAIN, "seconds": [3.0, 1.0, 2.0]},
        {"what": "10 pending", "by": PLAIN, "seconds": [1.0]},
        {"what": "none of 100 pending", "by": OURS, "seconds": [4.0]},
        {"what": "check, 100 tables, first run", "by": OURS, "seconds": [9.0]},
        {"what": "check, 100 tables", "by": OURS, "seconds": [5.0]},
    ]
    drawn = [lines(measured, what) for _, what, _ in PANELS]
    assert drawn == [{PLAIN: [(10, 1.0), (100, 2.0)]}, {OURS: [(100, 4.0)]}, {OURS: [(100, 5.0)]}]


def test_what_takes_longer_than_it_may_is_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    output = printed("growth", "--revisions", "1", "--growing-tables", "1", "--runs=1", "--longest=0.01")
    assert f"Not measured: {PLAIN}, 1 pending, for it takes longer than 0.01 s." in output


def test_growth(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    output = printed("growth", "--revisions", "1", "--growing-tables", "2", "--runs=1")
    assert "none of 1 pending" in output
    assert "check, 2 tables" in output
    assert ("Not drawn" in output) or "<svg" in (tmp_path / "growth.svg").read_text()
