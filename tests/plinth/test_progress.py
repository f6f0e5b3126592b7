"""What somebody at a terminal sees of a long upgrade; a log stays plain."""

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from alembic import command
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from plinth.apply import progress
from plinth.apply.progress import describe_batches, describe_build, describe_fill, table_of_batches
from plinth.autogenerate.change.backfills import Fill, backfill
from plinth.autogenerate.change.steps import SqlOp
from plinth.catalog.picture import Catalog, Column, Constraint, Name, Table
from plinth.status import PENDING, status
from tests.plinth.history import CONCURRENTLY, History, clear, heads, leftovers, rows, start
from tests.plinth.project import Project, clean_environment

# An index on an expression that takes its time for each row, so that a build can be watched.
SLOW = """op.execute("create table t (id int, filler text)")
op.execute("insert into t select n, repeat('x', 500) from generate_series(1, 3000) n")
op.execute("create function slowly(int) returns int immutable language plpgsql as "
           "'begin perform pg_sleep(0.001); return $1; end'")"""
BUILD = f"{CONCURRENTLY}op.execute('create index concurrently ix on t (slowly(id))')"


@pytest.fixture
def slow(project: Project) -> Project:
    """A project whose second revision builds an index for some seconds."""
    history = clear(project)
    history.add("a", None, SLOW)
    history.add("b", "a", BUILD)
    return project


class Terminal:
    """A process, and what a terminal shows of it.

    Args:
        process: it writes to the terminal.
        screen: the terminal's other side.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", screen: int) -> None:
        self.process = process
        self._screen = screen
        self.seen = ""

    def read_until(self, pattern: str) -> None:
        """Read until the pattern is on the screen; fail when the process ends before."""
        while not re.search(pattern, self.seen):
            more = self._read()
            assert more, self.seen
            self.seen += more

    def read(self) -> str:
        """Read until the process ends; return all that was seen."""
        while more := self._read():
            self.seen += more
        self.process.wait()
        return self.seen

    def _read(self) -> str:
        try:
            return os.read(self._screen, 65536).decode(errors="replace")
        except OSError:  # Linux: nobody has the other side open any more
            return ""


@contextmanager
def terminal(project: Project, *command: str) -> Iterator[Terminal]:
    """Run `python -m <command>` on a terminal."""
    screen, line = pty.openpty()
    environment = {"TERM": "xterm", "COLUMNS": "200"}
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=project.root,
        env=clean_environment() | project.environment | environment,
        stdin=subprocess.DEVNULL,
        stdout=line,
        stderr=line,
    )
    os.close(line)
    try:
        yield Terminal(process, screen)
    finally:
        process.kill()
        process.wait()
        os.close(screen)


@pytest.mark.slow
def test_a_terminal_shows_the_revision_and_the_index_build(
    slow: Project, empty_url: URL, empty_engine: Engine
) -> None:
    config = History(slow.root / "alembic").config(empty_engine)
    with terminal(slow, "alembic", "upgrade", "head") as shown:
        shown.read_until(r"revision 2 of 2: make b: building index: scanning table \d+ %")
        meanwhile = status(config)
        screen = shown.read()
    assert shown.process.returncode == 0, screen
    assert "Running upgrade a -> b" in screen
    assert (meanwhile.exit_code, meanwhile.problems) == (
        PENDING,
        [],
    )  # an index that is being built isn't wrong
    percents = [int(each) for each in re.findall(r"scanning table (\d+) %", screen)]
    assert percents == sorted(percents)
    assert len(set(percents)) > 1
    assert heads(empty_url) == {"b"}


@pytest.mark.slow
def test_a_terminal_shows_the_batches_of_a_backfill(project: Project, empty_url: URL) -> None:
    history = clear(project)
    history.add(
        "a",
        None,
        """op.execute("create table t (id int primary key, n int)")
op.execute("insert into t select n from generate_series(1, 10000) n")
with op.get_context().autocommit_block():
    op.execute("analyze t")""",
    )
    batch = "update t set n = 1 where id in (select id from t where n is null limit 500)"
    history.add(
        "b",
        "a",
        f"{CONCURRENTLY}for _ in range(20):\n        op.execute({batch!r})\n        time.sleep(0.2)",
        extra="repeatable = True",
    )
    with terminal(project, "alembic", "upgrade", "head") as shown:
        shown.read_until(r"revision 2 of 2: make b: batch \d+ of about 20")
        screen = shown.read()
    assert shown.process.returncode == 0, screen
    numbers = [int(each) for each in re.findall(r"batch (\d+) of", screen)]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 1
    assert rows(empty_url, "select count(*) from t where n is null") == [(0,)]


@pytest.mark.slow
def test_a_terminal_shows_how_far_a_backfill_in_one_block_is(project: Project, empty_url: URL) -> None:
    history = clear(project)
    make = (
        'op.execute("create table t (id int primary key, n int)")\n'
        'op.execute("insert into t select n from generate_series(1, 8000) n")'
    )
    table = Table(
        Name("public", "t"),
        columns=(Column("id", "integer"), Column("n", "integer")),
        constraints={"t_pkey": Constraint("t_pkey", "p", "PRIMARY KEY (id)", columns=("id",))},
    )
    (fill,) = backfill(table, Fill("n", "1 + length(pg_sleep(0.0001)::text)"), Catalog("public", 180000))
    assert isinstance(fill, SqlOp)
    history.add("a", None, make)
    history.add("b", "a", f"{CONCURRENTLY}op.execute({fill.sql!r})")
    with terminal(project, "alembic", "upgrade", "head") as shown:
        shown.read_until(r"revision 2 of 2: make b: filling: key \d+001 of 8000")
        screen = shown.read()
    assert shown.process.returncode == 0, screen
    numbers = [int(each) for each in re.findall(r"filling: key (\d+) of 8000", screen)]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 1
    assert rows(empty_url, "select count(*) from t where n is null") == [(0,)]


@pytest.mark.slow
def test_an_interrupted_build_leaves_no_index_and_the_last_line_says_where_it_stands(
    slow: Project, empty_url: URL
) -> None:
    with terminal(slow, "alembic", "upgrade", "head") as shown:
        shown.read_until(r"building index: scanning table")
        shown.process.send_signal(signal.SIGINT)
        screen = shown.read()
    assert shown.process.returncode == 130, screen
    assert "Traceback" not in screen
    last = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", screen).strip().splitlines()[-1]
    assert last.endswith("Interrupted. 1 of 2 revisions done; the database stands at a.")
    assert rows(empty_url, "select from pg_index where indrelid = 't'::regclass") == []
    assert leftovers(empty_url) == []
    slow.ok("alembic", "upgrade", "head")
    assert heads(empty_url) == {"b"}


@pytest.mark.slow
def test_a_log_is_plain(slow: Project) -> None:
    upgrade = start(slow, "alembic", "upgrade", "head")
    log, _ = upgrade.communicate()
    assert upgrade.returncode == 0, log
    assert "\x1b" not in log
    assert "\r" not in log
    assert [line.partition("] ")[2] for line in log.splitlines() if "Running" in line] == [
        "Running upgrade  -> a, make a",
        "Running upgrade a -> b, make b",
    ]
    for command_line in (("downgrade", "-1"), ("upgrade", "head"), ("downgrade", "base")):
        assert slow.run("alembic", *command_line).stderr.count("Context impl PostgresqlImpl.") == 1
    assert "of 2" not in log


@pytest.mark.slow
def test_a_log_says_now_and_then_that_a_revision_goes_on(
    slow: Project, empty_engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE", 0.3)
    monkeypatch.setattr(progress, "MOST_BETWEEN_LINES", 0.5)
    history = History(slow.root / "alembic")
    fill = """do $$ begin
        for n in 1 .. 30 loop
            perform pg_sleep(0.1); commit; raise debug '(%) of (30)', n;
        end loop;
    end $$"""
    history.add("c", "b", CONCURRENTLY + f"op.execute({fill!r})")
    caplog.set_level("INFO")
    command.upgrade(history.config(empty_engine), "head")
    said = [each.getMessage() for each in caplog.records if each.name == "alembic.runtime.migration"]
    assert any(re.fullmatch(r"Revision 2 of 3: make b: building index: scanning .*", each) for each in said)
    told = [each for each in said if re.fullmatch(r"Revision 3 of 3: make c: filling: key \d+ of 30", each)]
    assert 2 <= len(told) <= 10, said


def test_a_build_in_words() -> None:
    assert (
        describe_build("building index: scanning table", 1, 4, 0, 0) == "building index: scanning table 25 %"
    )
    assert describe_build("building index: sorting", 4, 4, 30, 40) == "building index: sorting 75 %"
    assert (
        describe_build("waiting for writers before build", 0, 0, 0, 0) == "waiting for writers before build"
    )


def test_batches_in_words() -> None:
    update = 'WITH batch AS (SELECT id FROM "My t" LIMIT 1000) UPDATE "My t" SET a = 1'
    assert table_of_batches(update) == '"My t"'
    assert table_of_batches("select 1") is None
    assert describe_batches(update, 3, 12_345) == "batch 3 of about 13"
    assert describe_batches(update, 15, 12_345) == "batch 15 of about 15"
    assert describe_batches(update, 3, None) == describe_batches("update t set a = 1", 3, 9) == "batch 3"


def test_a_backfill_in_one_block_in_words() -> None:
    assert describe_fill("(12000) of (50000)") == "filling: key 12000 of 50000"
    assert describe_fill("(1,b) of (2,a)") == "filling: key 1,b of 2,a"
    assert describe_fill("page 40 of 900") == "filling: page 40 of 900"
