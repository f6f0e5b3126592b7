"""The README's first screen works when pasted."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sybil import Document
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer

from plinth import settings
from tests.plinth.project import clean_environment, copy_project

COPIED_TOO = ("Makefile", "docs", "requirements-dev.lock", "tests")


def blocks() -> list[tuple[str, str]]:
    """Return the language and the text of each code block of the README, in order."""
    document = Document((settings.ROOT / "README.md").read_text(), "README.md")
    lexed = FencedCodeBlockLexer(language=r"\w+", mapping={"language": "language", "source": "source"})
    return [(region.lexemes["language"], str(region.lexemes["source"])) for region in lexed(document)]


def alike(text: str) -> str:
    """Return the text without what differs from run to run."""
    return re.sub(r"\d+\.\d+ s", "<time> s", text).strip()


@pytest.fixture
def readers(open_folder: Path) -> Path:
    """What a reader has: the scaffold and its environment."""
    root = copy_project(open_folder / "my app").root
    for name in COPIED_TOO:
        source = settings.ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, root / name)
    (root / ".venv").symlink_to(settings.ROOT / ".venv")
    return root


def test_the_first_screen_works_when_pasted(readers: Path) -> None:
    # The environment is there already, and of the tests one file is enough.
    variables = {"MAKEFLAGS": "PYTHON=true T=tests/test_models.py"}
    output = ""
    run = 0
    try:
        for language, source in blocks():
            if "copier" in source:
                break  # tests/plinth/test_new_project.py runs it
            if language == "sh":
                done = subprocess.run(
                    ["/bin/sh", "-e", "-c", source],
                    cwd=readers,
                    env=clean_environment() | variables,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, source + done.stdout + done.stderr
                output = done.stdout
                run += 1
            elif language == "text":
                assert alike(source) == alike(output)
            elif language == "mermaid":
                assert set(source.splitlines()) <= set((readers / "docs/schema.md").read_text().splitlines())
            elif "mapped_column" in source:
                model = readers / "app/models/user.py"
                model.write_text(
                    model.read_text().replace("    email:", f"    {source.strip()}\n    email:", 1)
                )
            else:
                newest = max((readers / "alembic/versions").glob("*.py"))
                assert source.strip() in newest.read_text()
    finally:
        subprocess.run(
            [sys.executable, "-m", "plinth", "stop"],
            cwd=readers,
            env=clean_environment() | variables,
            check=True,
        )
    assert run == 3


def test_every_make_target_is_explained() -> None:
    help_text = subprocess.check_output(["/usr/bin/env", "make", "-s", "help"], cwd=settings.ROOT, text=True)
    targets = re.findall(r"^([a-z-]+):", (settings.ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets
    assert all(f"make {target} " in help_text for target in targets)
