"""Which Python `make install` runs."""

import shutil
import subprocess
from pathlib import Path

import pytest

from plinth import settings
from tests.plinth.project import clean_environment


@pytest.mark.parametrize("python", ["{}/my programs/python", "env NOTHING=1 '{}/my programs/python'"])
def test_it_may_lie_in_a_folder_with_a_space_or_be_a_command(tmp_path: Path, python: str) -> None:
    program = tmp_path / "my programs" / "python"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    shutil.copy(settings.root() / "Makefile", tmp_path)
    command = ["make", "--silent", "install", f"PYTHON={python.format(tmp_path)}"]
    done = subprocess.run(
        command, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout == "-I install.py\n", done.stderr
