"""The picture of the schema: what the models say, the same each time, and never stale."""

from pathlib import Path

from tests.plinth.project import Project, copy_for_a_reader


def diagram(project: Project) -> str:
    return (project.root / "docs" / "schema.md").read_text()


def make(project: Project, target: str, **environment: str) -> tuple[int, str]:
    done = project.shell(f"make {target}", **environment)
    return done.returncode, done.stdout


def test_the_picture_here_is_what_the_models_say(tmp_path: Path) -> None:
    project = copy_for_a_reader(tmp_path / "my app")
    assert make(project, "diagram-check")[0] == 0
    assert "users ||--o{ authentication : user_id" in diagram(project)


def test_a_stale_picture_is_noticed_and_drawn_anew(tmp_path: Path) -> None:
    project = copy_for_a_reader(tmp_path / "my app")
    project.add_column("nickname: Mapped[str | None] = mapped_column(String(50))")
    code, output = make(project, "diagram-check")
    assert code != 0
    assert "+    VARCHAR(50) nickname" in output
    assert "docs/schema.md is stale: make db-diagram" in output
    assert make(project, "db-diagram")[0] == 0
    assert make(project, "diagram-check")[0] == 0


def test_the_picture_is_the_same_each_time(tmp_path: Path) -> None:
    project = copy_for_a_reader(tmp_path / "my app")
    before = diagram(project)
    for seed in ("1", "2"):
        assert make(project, "db-diagram", PYTHONHASHSEED=seed)[0] == 0
        assert diagram(project) == before


def test_check_asks_for_the_picture(tmp_path: Path) -> None:
    project = copy_for_a_reader(tmp_path / "my app")
    assert "paracelsus.cli inject docs/schema.md --check" in make(project, "-n check")[1]
