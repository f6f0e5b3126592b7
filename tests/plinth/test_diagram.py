"""The picture of the schema: what the models say, the same each time, and never stale."""

from pathlib import Path

import pytest

from plinth import settings
from tests.plinth.project import Project, copy_for_a_reader

DRAWN = "docs/schema.md is drawn anew: commit it with the models.\n"


def diagram(project: Project) -> str:
    return (project.root / "docs" / "schema.md").read_text()


def make(project: Project, target: str, **environment: str) -> tuple[int, str]:
    done = project.shell(f"make {target}", **environment)
    return done.returncode, done.stdout


def test_the_picture_here_is_what_the_models_say(tmp_path: Path) -> None:
    project = copy_for_a_reader(tmp_path / "my app")
    assert make(project, "diagram-check")[0] == 0
    assert "users ||--o{ authentication : user_id" in diagram(project)


@pytest.mark.slow
def test_a_stale_picture_is_noticed_and_drawn_anew(tmp_path: Path) -> None:
    project = copy_for_a_reader(tmp_path / "my app")
    project.add_column("nickname: Mapped[str | None] = mapped_column(String(50))")
    code, output = make(project, "diagram-check")
    assert code != 0
    assert "+    VARCHAR(50) nickname" in output
    assert "docs/schema.md is stale: make db-diagram" in output
    assert make(project, "db-diagram") == (0, DRAWN)
    assert make(project, "db-diagram") == (0, "")
    assert make(project, "diagram-check")[0] == 0


@pytest.mark.slow
def test_the_picture_is_the_same_each_time(tmp_path: Path) -> None:
    project = copy_for_a_reader(tmp_path / "my app")
    before = diagram(project)
    for seed in ("1", "2"):
        assert make(project, "db-diagram", PYTHONHASHSEED=seed)[0] == 0
        assert diagram(project) == before


@pytest.mark.slow
def test_check_draws_the_picture_goes_on_after_a_failure_and_names_what_failed(tmp_path: Path) -> None:
    project = copy_for_a_reader(tmp_path / "my app")
    project.add_column("nickname: Mapped[str | None]=mapped_column(String(50))")
    (project.root / "app" / "wrong.py").write_text("import os\n")
    checks = "format-check lint db-diagram"
    code, output = make(project, f"check CHECKS='{checks}'")
    assert code == 2
    assert "make check failed in: format-check lint\n" in output
    assert DRAWN in output
    assert "nickname" in diagram(project)


def test_what_ci_runs_sees_a_picture_that_was_not_drawn() -> None:
    for file in (".ci/run", ".github/workflows/ci.yml"):
        assert "make diagram-check check\n" in (settings.root() / file).read_text()
