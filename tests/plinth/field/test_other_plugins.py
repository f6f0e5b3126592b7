"""What other libraries have registered with Alembic's autogenerate, and what they would have found."""

from tests.plinth.project import Project

REGISTERS = """
from alembic.autogenerate import comparators


@comparators.dispatch_for("schema")
def compare_registered_views(context, upgrade_ops, schemas):
    raise AssertionError("it isn't asked")
"""


def test_they_are_named_for_they_are_not_asked(project: Project) -> None:
    env = project.root / "alembic" / "env.py"
    env.write_text(env.read_text().replace("\n\ndef metadata", f"{REGISTERS}\n\ndef metadata"))
    project.ok("alembic", "upgrade", "head")
    project.add_column("nickname: Mapped[str | None] = mapped_column(String(50))")
    done = project.run("alembic", "revision", "--autogenerate", "-m", "add users nickname")
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stderr.splitlines() if "compare_registered_views" in line]
    assert "Not asked" in line
