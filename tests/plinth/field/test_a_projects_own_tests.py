"""A project's own tests, which make check runs, after what every team does sooner or later."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from plinth import settings
from tests.plinth.project import HEAD, Project, clean_environment


def run_tests(project: Project, *files: str) -> None:
    """Run tests of the project's in it, which must pass."""
    (project.root / "tests").mkdir(exist_ok=True)
    for file in ("__init__.py", "conftest.py", *files):
        shutil.copy(settings.root() / "tests" / file, project.root / "tests" / file)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *(f"tests/{file}" for file in files),
        ],
        cwd=project.root,
        env=clean_environment() | {"PLINTH_HOME": project.environment["PLINTH_HOME"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def add_revision(folder: Path, revision: str, after: object, up: str, down: str = "pass") -> None:
    (folder / f"{revision}_x.py").write_text(
        f'"""make {revision}"""\n\nimport sqlalchemy as sa\nfrom alembic import op\n\n'
        f"revision = {revision!r}\ndown_revision = {after!r}\n\n\n"
        f"def upgrade():\n    {up}\n\n\ndef downgrade():\n    {down}\n"
    )


@pytest.mark.slow
def test_bear_a_dropped_column_a_merge_and_a_revision_that_cannot_be_undone(project: Project) -> None:
    versions = project.root / "alembic" / "versions"
    deleted = 'sa.Column("deleted_at", sa.DateTime(timezone=True))'
    add_revision(
        versions, "drop", HEAD, 'op.drop_column("users", "deleted_at")', f'op.add_column("users", {deleted})'
    )
    project.replace(
        "app/models/user.py",
        "    deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))\n",
        "    nickname: Mapped[str | None]\n    age: Mapped[int | None]\n",
    )
    for name, type_ in (("nickname", "sa.String()"), ("age", "sa.Integer()")):
        column = f'op.add_column("users", sa.Column("{name}", {type_}))'
        add_revision(versions, name, "drop", column, f'op.drop_column("users", "{name}")')
    add_revision(versions, "merge", ("nickname", "age"), "pass")
    add_revision(
        versions, "spell", "merge", "op.execute('SELECT 1')", 'raise NotImplementedError("spelling")'
    )
    add_revision(versions, "after", "spell", "op.execute('SELECT 2')")
    run_tests(project, "test_migrations.py")
