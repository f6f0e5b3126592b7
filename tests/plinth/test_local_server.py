"""The local server: started once, whatever happens to the commands that need it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from plinth import settings
from plinth.connecting import connect
from plinth.local_server import LocalServer, ServerError, development_server
from plinth.safety import is_on_local_server

START = "from plinth.local_server import LocalServer; LocalServer('here', options=['fsync=off']).start()"


@pytest.fixture
def server(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    """A cluster of this test's own, in a folder with odd letters in its name."""
    monkeypatch.setenv("PLINTH_HOME", str(open_folder / "it's a $HOME"))
    server = LocalServer("here", options=["fsync=off"])
    yield server
    server.stop()


def home() -> Path:
    return Path(os.environ["PLINTH_HOME"])


def answer(server: LocalServer) -> str:
    with connect(server.url("postgres")) as connection:
        return str(connection.scalar(text("show server_version")))


def postmaster(server: LocalServer) -> psutil.Process:
    return psutil.Process(int((home() / "18-here" / "postmaster.pid").read_text().split()[0]))


def test_start_stop_start(server: LocalServer) -> None:
    assert not server.exists()
    assert server.start()
    assert server.exists()
    assert not server.start()
    assert answer(server).startswith("18")
    assert server.stop()
    assert not server.stop()
    assert server.start()


@pytest.mark.slow
def test_many_commands_at_once_make_one_server(server: LocalServer) -> None:
    commands = [subprocess.Popen([sys.executable, "-c", START], cwd=settings.root()) for _ in range(6)]
    assert [command.wait() for command in commands] == [0] * 6
    assert answer(server)


@pytest.mark.slow
def test_a_killed_server_is_started_again(server: LocalServer) -> None:
    server.start()
    killed = postmaster(server)
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    assert server.start()
    assert answer(server)


def test_a_pid_that_is_another_programs_now_is_no_server(server: LocalServer) -> None:
    server.start()
    file = home() / "18-here" / "postmaster.pid"
    lines = file.read_text().splitlines()
    server.stop()
    file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    file.chmod(0o600)
    assert server.start()
    assert answer(server)


@pytest.mark.slow
def test_a_killed_first_run_is_made_good(server: LocalServer) -> None:
    first = subprocess.Popen([sys.executable, "-c", START], cwd=settings.root())
    new = home() / "18-here.new"
    while not new.exists():
        assert first.poll() is None
    first.kill()
    first.wait()
    assert server.start()
    assert answer(server)
    assert not new.exists()


def test_nobody_else_may_enter_the_socket_folder(server: LocalServer) -> None:
    server.start()
    folder = Path(str(server.url("postgres").query["host"]))
    assert folder.stat().st_mode & 0o077 == 0


def test_asking_for_it_makes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLINTH_HOME", str(tmp_path / "home"))
    place = {"host": str(tmp_path), "port": "5432"}
    assert not is_on_local_server(URL.create("postgresql+psycopg", database="d", query=place))
    assert not development_server().exists()
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLINTH_HOME", "/dev/null/here")
    with pytest.raises(ServerError, match="PLINTH_HOME"):
        development_server().start()


@pytest.mark.slow
def test_databases_are_spread_over_an_ext4_disk(server: LocalServer) -> None:
    server.start()
    lsattr = shutil.which("lsattr")
    flags = lsattr and subprocess.run(
        [lsattr, "-d", home() / "18-here" / "base"], capture_output=True, text=True, check=False
    )
    if not flags or flags.returncode or "e" not in flags.stdout.split()[0]:  # extents: ext4
        pytest.skip("no ext4")
    assert "T" in flags.stdout.split()[0]
