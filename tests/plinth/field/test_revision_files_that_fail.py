"""A revision file that can't be loaded is named with its line, and ids stay within their folder."""

import os
import signal
import subprocess
import sys

import pytest
from sqlalchemy.engine import URL

from tests.plinth.history import clear, psql
from tests.plinth.project import Project, clean_environment

B = "revision = 'b'\n"
AFTER_A = f"{B}down_revision = 'a'\n"
FILES = {
    "syntax": ("def upgrade(:\n", "line 1, can't be loaded: SyntaxError: "),
    "import": ('"""b"""\nimport nowhere\n', "line 2, can't be loaded: ModuleNotFoundError: No module"),
    "no parent": (f"{B}def upgrade(): ...\n", "can't be loaded: it has no line `down_revision = …`"),
    "unknown parent": (f"{B}down_revision = 'z'\n", "down_revision = 'z', and there is no file"),
    "unknown dependency": (f"{AFTER_A}depends_on = 'z'\n", "depends_on = 'z', and there is no file"),
    "exit": (f"{AFTER_A}raise SystemExit(0)\n", "line 3, can't be loaded: SystemExit"),
    "not utf-8": (f"{AFTER_A}x = '\udcff'\n", "can't be loaded: SyntaxError: "),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_loaded(
    project: Project, empty_url: URL, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content, words = FILES[name]
    history = clear(project)
    history.add("a", None, 'op.execute("create table a ()")')
    (history.folder / "versions" / "b.py").write_text(content, errors="surrogateescape")
    for command in (("upgrade", "head"), ("current",), ("revision", "-m", "add a more")):
        with pytest.raises(SystemExit):
            project.alembic(*command)
        said = capsys.readouterr().out
        assert "versions/b.py" in said
        assert words in said
    with psql(empty_url) as connection:
        assert connection.execute("select to_regclass('a')").fetchone() == (None,)


@pytest.mark.parametrize("command", ["status", "lint"])
def test_our_own_commands_name_it_too(project: Project, command: str) -> None:
    history = clear(project)
    history.add("a", None, "pass")
    (history.folder / "versions" / "b.py").write_text("import nowhere\n")
    line = project.refused("plinth", command)
    assert "alembic/versions/b.py, line 1, can't be loaded: ModuleNotFoundError" in line


@pytest.mark.parametrize("given", ["../../evil", "a/b", "/tmp/evil", "x" * 33, "a b"])
def test_an_id_that_is_none(project: Project, given: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(project.root.rglob("*.py"))
    with pytest.raises(SystemExit):
        project.alembic("revision", "-m", "add users nickname", "--rev-id", given)
    assert "letters, digits, underscores, dots and dashes" in capsys.readouterr().out
    assert sorted(project.root.rglob("*.py")) == before
    project.alembic("revision", "-m", "add users nickname", "--rev-id", "add_nick_1")


def test_ctrl_c_while_python_loads(project: Project) -> None:
    """SIGINT comes while our own modules are being imported: quiet, and 130."""
    program = (
        "import os, signal, sys, runpy\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'plinth.settings': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "runpy.run_module('plinth', run_name='__main__', alter_sys=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "status"],
        cwd=project.root,
        env=clean_environment() | project.environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    assert (done.returncode, done.stderr) == (130, "plinth: interrupted\n"), os.fsdecode(done.stderr)
