"""A kill at any moment, then the same command again: the end is that of an undisturbed run."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from alembic import command
from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth.local_server import LocalServer
from plinth.status import IN_ORDER, status
from tests.plinth.history import (
    CONCURRENTLY,
    PATIENCE,
    History,
    catalog,
    clear,
    empty,
    heads,
    leftovers,
    read_until,
    rows,
    start,
)
from tests.plinth.project import Project, copy_project

NAMES = "abcdefgh"
UP, DOWN = ("alembic", "upgrade", "head"), ("alembic", "downgrade", "base")


@dataclass(frozen=True)
class Scene:
    """Revisions that take long enough to be caught in the act, on a server that may crash.

    Args:
        project: a copy of the scaffold.
        history: its revisions.
        url: an empty database.
    """

    project: Project
    history: History
    url: URL

    def state(self) -> tuple[object, ...]:
        """Return what must be as after an undisturbed run; fail when anything is left over."""
        assert leftovers(self.url) == []
        assert rows(self.url, "select * from plinth.unfinished") == []
        engine = create_engine(self.url, poolclass=NullPool)
        found = status(self.history.config(engine))
        assert not found.problems, found.problems
        assert found.exit_code == IN_ORDER or not found.heads
        applied = "select revision, direction from plinth.ledger order by 1, 2"
        return catalog(self.url), rows(self.url, applied), heads(self.url)


@pytest.fixture
def scene(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A server of the test's own: when one of its processes is killed, all sessions end."""
    monkeypatch.setenv("PLINTH_HOME", str(open_folder / "home"))
    monkeypatch.setenv("PLINTH_CONFIRM", "postgres")
    server = LocalServer("kills", options=("fsync=off", "full_page_writes=off", "autovacuum=off"))
    server.start()
    url = server.url("postgres")
    project = copy_project(open_folder / "app", url, PLINTH_CONFIRM="postgres")
    yield Scene(project, clear(project), url)
    server.stop()


def write_revisions(history: History, size: int) -> None:
    """Write transactions and online steps, on a table of so many rows."""
    fill = f"insert into big select n, n % 97, md5(n::text) from generate_series(1, {size}) n"  # noqa: S608
    history.add(
        "a",
        None,
        f'op.execute("create table big (id int not null, a int, b text)")\nop.execute("{fill}")',
        'op.drop_table("big")',
    )
    history.add(
        "b",
        "a",
        f'{CONCURRENTLY}op.create_index("ix_a", "big", ["a"], postgresql_concurrently=True)',
        f'{CONCURRENTLY}op.drop_index("ix_a", postgresql_concurrently=True)',
    )
    history.add(
        "c",
        "b",
        'op.add_column("big", sa.Column("c", sa.Text()))\nop.execute("update big set c = b")',
        'op.drop_column("big", "c")',
    )
    history.add(
        "d",
        "c",
        f'{CONCURRENTLY}op.drop_index("uq_b", if_exists=True, postgresql_concurrently=True)\n'
        '    op.create_index("uq_b", "big", ["b"], unique=True, postgresql_concurrently=True)',
        f'{CONCURRENTLY}op.drop_index("uq_b", if_exists=True, postgresql_concurrently=True)',
    )
    history.add(
        "e",
        "d",
        'op.create_check_constraint(op.f("ck_a"), "big", "a >= 0", postgresql_not_valid=True)',
        'op.drop_constraint("ck_a", "big")',
    )
    history.add("f", "e", f'{CONCURRENTLY}op.execute("alter table big validate constraint ck_a")')
    history.add(
        "g",
        "f",
        f'{CONCURRENTLY}op.drop_index("ix_a", postgresql_concurrently=True)',
        f'{CONCURRENTLY}op.create_index("ix_a", "big", ["a"], postgresql_concurrently=True)',
    )
    history.add(
        "h",
        "g",
        'op.execute("create table small as select a, count(*) from big group by a")\n'
        'op.create_primary_key("pk_big", "big", ["id"])',
        'op.drop_constraint("pk_big", "big")\nop.drop_table("small")',
    )


def durations(url: URL) -> dict[str, float]:
    """Return how long each revision took when it ran last."""
    return dict(
        rows(url, "select revision, extract(epoch from duration)::float from plinth.ledger order by id")
    )


def kill(scene: Scene, words: tuple[str, ...], took: dict[str, float], chance: random.Random) -> list[str]:
    """Run a command, kill a part of it at a random moment, and return its log."""
    process = start(scene.project, *words)
    if chance.random() < 0.9:  # within a revision, whichever: they take their time by turns, not by length
        revision = chance.choice(list(took))
        line = f"-> {revision}," if words[1] == "upgrade" else f"downgrade {revision} ->"
        log = read_until(process, line)
        time.sleep(chance.uniform(0, took[revision]))
    else:
        log = []
        time.sleep(chance.uniform(0, sum(took.values())))
    return [*log, *strike(scene, process, words, chance).splitlines()]


def strike(
    scene: Scene, process: "subprocess.Popen[str]", words: tuple[str, ...], chance: random.Random
) -> str:
    """Kill a running command, or one of its sessions, and return what it still printed."""
    match chance.choices(["client", "migrating", "lock", "ended"], [5, 3, 1, 1])[0]:
        case "client":
            process.kill()
        case "migrating":
            kill_backend(scene.url, f"alembic {words[1]}")
        case "lock":
            kill_backend(scene.url, f"alembic {words[1]} %")
        case _:
            end_session(scene.url, f"alembic {words[1]}")
    rest = process.communicate()[0]
    assert "Traceback" not in rest, rest
    wait_for_server(scene.url)
    return str(rest)


def kill_backend(url: URL, name: str) -> None:
    """Kill the server's process of a session, which takes all others with it.

    Return when the server knows: until then it lets in whom it throws out a moment later.
    """
    for (pid,) in rows(url, "select pid from pg_stat_activity where application_name like %s", name):
        with suppress(ProcessLookupError), patience():
            os.kill(pid, signal.SIGKILL)
            while True:
                os.kill(pid, 0)
                time.sleep(0.001)


def end_session(url: URL, name: str) -> None:
    rows(url, "select pg_terminate_backend(pid) from pg_stat_activity where application_name like %s", name)


def wait_for_server(url: URL) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            rows(url, "select 1")
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return


def trials(scene: Scene, number: int, seed: int) -> int:
    """Kill commands, every fifth a downgrade, and run each again.

    Returns:
        How many kills came between the first and the last DDL.
    """
    config = scene.history.config(create_engine(scene.url, poolclass=NullPool))
    again = {UP: lambda: command.upgrade(config, "head"), DOWN: lambda: command.downgrade(config, "base")}
    wanted, took = {}, {}
    for words in (UP, DOWN):
        again[words]()
        wanted[words], took[words] = scene.state(), durations(scene.url)
    chance = random.Random(seed)  # noqa: S311 - the same moments in every run
    landed = 0
    for trial in range(number):
        words = DOWN if trial % 5 == 4 else UP
        if words == UP:
            empty(scene.url)
        log = kill(scene, words, took[words], chance)
        began = any(f"Running {words[1]}" in line for line in log)
        landed += began and version(scene.url) != (NAMES[-1] if words == UP else None)
        with patience():
            again[words]()
        assert scene.state() == wanted[words]
    return landed


def version(url: URL) -> str | None:
    """Return where the database stands; None at base."""
    if rows(url, "select to_regclass('alembic_version')::text") == [(None,)]:
        return None
    return next(iter(heads(url)), None)


@contextmanager
def patience() -> Iterator[None]:
    """Fail instead of waiting for ever."""

    def give_up(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.slow
def test_a_few_kills(scene: Scene) -> None:
    write_revisions(scene.history, 10_000)
    trials(scene, 5, seed=7)


@pytest.mark.slow
def test_fifty_kills(scene: Scene, record_property: Callable[[str, object], None]) -> None:
    write_revisions(scene.history, 40_000)
    landed = trials(scene, 50, seed=1)
    record_property("kills between the first and the last DDL", f"{landed} of 50")
    assert landed >= 30
