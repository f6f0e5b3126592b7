"""The rooms of the house, and which way the arrows between them go."""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from plinth import settings
from tests.plinth.project import python_files

ROOT = settings.root()


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            yield str(node.module).partition(".")[0]


def imports_of(folder: str) -> set[str]:
    files = [path for path in python_files(ROOT) if path.is_relative_to(ROOT / folder)]
    assert files
    return {name for path in files for name in imported(path)}


def test_the_base_knows_nothing_of_the_application() -> None:
    assert not {"app", "tests"} & imports_of("plinth")


def test_the_map_of_each_room_has_all_that_is_in_it() -> None:
    rooms = [path.parent for path in (ROOT / "plinth").rglob("__init__.py")]
    missing = [
        str(path.relative_to(ROOT))
        for room in rooms
        for path in room.iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").exists()
        if f"`{path.stem}`" not in (ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or "")
    ]
    assert len(rooms) > 10
    assert missing == []


def test_no_room_of_autogenerate_needs_one_above() -> None:
    rooms = [path.parent for path in (ROOT / "plinth" / "autogenerate").glob("*/__init__.py")]
    names = {room.name for room in rooms}
    needed = {room.name: needed_by(room) & names - {room.name} for room in rooms}
    assert needed["objects"] == {"change"}, "a kind of object needs what all of them are made of"
    TopologicalSorter(needed).prepare()  # or there is a ring


def needed_by(room: Path) -> set[str]:
    text = "".join(path.read_text() for path in room.glob("*.py"))
    return set(re.findall(r"^from plinth\.autogenerate\.(\w+)", text, re.MULTILINE))


def test_the_application_knows_the_base_in_one_line() -> None:
    using = [
        (path.name, line)
        for path in (ROOT / "app").rglob("*.py")
        for line in path.read_text().splitlines()
        if re.match(r"\s*(from|import) plinth\b", line)
    ]
    assert len(using) == 1, using


def test_revisions_outlive_the_base() -> None:
    standard = {"__future__", "collections", "datetime", "time", "typing"}
    assert imports_of("alembic/versions") - standard <= {"alembic", "sqlalchemy"}


def test_the_folder_alembic_does_not_shadow_the_library() -> None:
    assert not (ROOT / "alembic" / "__init__.py").exists()


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_locks_have_hashes_and_no_url(name: str) -> None:
    lock = (ROOT / name).read_text()
    assert "://" not in lock
    for requirement in re.split(r"\n(?=\w)", lock.strip()):
        assert "--hash=sha256:" in requirement, requirement.splitlines()[0]


def test_runtime_dependencies_are_pinned_alike_in_both_locks() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([\w.-]+==\S+)", (ROOT / name).read_text(), re.MULTILINE))

    assert pins("requirements.lock") <= pins("requirements-dev.lock")
