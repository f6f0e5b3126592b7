"""What is done as root, or in folders that others can write to, doesn't reach what isn't ours."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plinth import local_server, settings
from plinth.local_server import LocalServer, ServerError, development_server
from tests.plinth.project import Project


@pytest.fixture
def server(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    """A cluster of this test's own, with its sockets in a folder of this test's own."""
    monkeypatch.setenv("PLINTH_HOME", str(open_folder / "home"))
    server = LocalServer("root", options=["fsync=off"])
    server.start()
    yield server
    server.stop()


def socket_folder(server: LocalServer) -> Path:
    return Path(str(server.url("postgres").query["host"]))


@pytest.mark.parametrize("what", ["link", "dangling link", "file"])
def test_something_else_at_the_place_of_the_socket_folder(
    server: LocalServer, open_folder: Path, what: str
) -> None:
    server.stop()
    folder, victim = socket_folder(server), open_folder / "victim"
    if folder.exists():
        folder.rmdir()
    if what == "link":
        victim.mkdir(mode=0o755)
    if what == "file":
        folder.touch()
    else:
        folder.symlink_to(victim)
    try:
        with pytest.raises(ServerError, match="was made by somebody else: remove it"):
            server.start()
        if what == "link":
            assert victim.stat().st_uid == os.geteuid()
    finally:
        folder.unlink()
    server.start()


def test_a_folder_for_temporary_files_that_only_root_may_enter(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    monkeypatch.setenv("PLINTH_HOME", str(open_folder / "home"))
    server = LocalServer("private", options=["fsync=off"])
    assert server.start()
    server.stop()


@pytest.mark.slow
def test_chattr_that_the_account_may_not_run(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chattr = tmp_path / "chattr"
    chattr.write_text("no program")
    chattr.chmod(0o755)
    monkeypatch.setenv("PLINTH_HOME", str(open_folder / "home"))
    monkeypatch.setattr(shutil, "which", lambda _: str(chattr))
    server = LocalServer("trick", options=["fsync=off"])
    assert server.start()
    server.stop()


def test_permissions_that_postgresql_refuses_are_put_right(server: LocalServer, open_folder: Path) -> None:
    server.stop()
    data = open_folder / "home" / f"{local_server.major_version()}-root"
    data.chmod(0o755)
    assert server.start()
    assert data.with_suffix(".log").stat().st_mode & 0o077 == 0  # it may hold a statement with a password


@pytest.mark.parametrize("home", ["~nosuch/x", "/proc", "/dev/null/x"])
def test_a_home_that_is_none(project: Project, home: str) -> None:
    line = project.refused("plinth", "reset", PLINTH_HOME=home, DATABASE_URL="")
    assert "PLINTH_HOME" in line


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another account")
def test_a_home_out_of_reach_is_not_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("PLINTH_HOME", str(tmp_path / "home"))
    with pytest.raises(ServerError, match="can't reach"):
        development_server().start()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server may need a folder elsewhere")
@pytest.mark.slow
def test_folders_of_projects_that_are_gone(
    monkeypatch: pytest.MonkeyPatch, open_folder: Path, tmp_path: Path
) -> None:
    elsewhere = open_folder / "elsewhere"
    monkeypatch.setattr(local_server, "REACHABLE", elsewhere)
    monkeypatch.delenv("PLINTH_HOME", raising=False)
    tmp_path.chmod(0o700)
    long_ago = time.time() - 2 * local_server.UNUSED
    device = tmp_path.stat().st_dev
    for name, project, age, of_device in (
        ("gone", tmp_path / "gone", long_ago, device),
        ("lately", tmp_path / "lately", time.time(), device),
        ("unmounted", tmp_path / "unmounted", long_ago, device + 1),
        ("there", tmp_path, long_ago, device),
    ):
        (elsewhere / name).mkdir(parents=True)
        elsewhere.chmod(0o755)
        note = elsewhere / name / local_server.OWNER
        note.write_text(json.dumps({"link": str(project / ".postgres"), "device": of_device}))
        os.utime(note, (age, age))
    (elsewhere / "somebody's").mkdir()
    (elsewhere / "gone").chmod(0o755)
    monkeypatch.setenv("PLINTH_HOME", str(elsewhere / "gone"))
    LocalServer("gone", options=["fsync=off"]).start()
    monkeypatch.delenv("PLINTH_HOME")
    project = tmp_path / "mine"
    project.mkdir()
    monkeypatch.setattr(settings, "_chosen", project)
    server = LocalServer("clones", options=["fsync=off"])
    server.start()
    try:
        left = {each.name for each in elsewhere.iterdir()} - {(project / ".postgres").resolve().name}
        assert left == {"lately", "unmounted", "there", "somebody's"}
        assert (project / ".postgres" / local_server.OWNER).exists()
    finally:
        server.stop()
