"""What other libraries have registered with Alembic's autogenerate is asked for what is left to do."""

import re

import pytest
from sqlalchemy.engine import URL

from tests.plinth.history import rows
from tests.plinth.project import Project

# Each keeps one view, and writes it by Alembic's own operation or by one of its own.
REGISTERS = """
from alembic.autogenerate import comparators, renderers
from alembic.operations import MigrateOperation, Operations, ops
from sqlalchemy import text


@Operations.register_operation("make_view")
class MakeView(MigrateOperation):
    def __init__(self, drops=False):
        self.drops = drops

    @classmethod
    def make_view(cls, operations, drops):
        return operations.invoke(cls(drops))

    def reverse(self):
        return MakeView(not self.drops)

    def to_diff_tuple(self):
        return ("make_view", self.drops)


@Operations.implementation_for(MakeView)
def make_view(operations, operation):
    create = "create view nicknames as select nickname from users"
    operations.execute("drop view nicknames" if operation.drops else create)


@renderers.dispatch_for(MakeView)
def render_view(context, operation):
    context.imports.add("import my_operations")
    return f"op.make_view({operation.drops})"


@comparators.dispatch_for("schema")
def compare_views(context, upgrade_ops, schemas):
    if context.connection.scalar(text("select to_regclass('nicknames')")) is None:
        upgrade_ops.ops.append(MakeView())
"""
OF_TABLES = """
from alembic.autogenerate import comparators


@comparators.dispatch_for("table")
def compare_registered_tables(context, modify_ops, *rest):
    raise AssertionError("it isn't asked")
"""
COLUMN = "nickname: Mapped[str | None] = mapped_column(String(50))"


def register(project: Project, text: str) -> None:
    """Let env.py import a module that registers something."""
    (project.root / "my_operations.py").write_text(text)
    env = project.root / "alembic" / "env.py"
    env.write_text(env.read_text().replace("\n\ndef metadata", "\nimport my_operations\n\n\ndef metadata"))


@pytest.fixture
def keeping_a_view(project: Project) -> Project:
    """A project with a plug-in of its own, which keeps a view on a column."""
    project.ok("alembic", "upgrade", "head")
    register(project, REGISTERS)
    return project


def newest(project: Project) -> str:
    return (project.root / "alembic" / "versions" / project.versions()[-1]).read_text()


@pytest.mark.slow
def test_what_they_find_comes_after_what_it_leans_on(keeping_a_view: Project, empty_url: URL) -> None:
    project = keeping_a_view
    project.add_column(COLUMN)
    project.ok("alembic", "revision", "--autogenerate", "-m", "add users nickname")
    text = newest(project)
    assert re.search(
        r"add_column.*op\.make_view\(False\).*def downgrade.*make_view\(True\).*drop_column", text, re.S
    )
    assert "\nimport my_operations\n" in text
    project.ok("alembic", "upgrade", "head")
    assert rows(empty_url, "select count(*) from nicknames") == [(0,)]
    project.ok("alembic", "check")
    project.ok("alembic", "revision", "--autogenerate", "-m", "add nothing at all")
    assert newest(project) == text, "there is nothing left"
    assert "agree" in project.ok("plinth", "check")
    project.ok("alembic", "downgrade", "-1", PLINTH_CONFIRM=str(empty_url.database))


@pytest.mark.slow
def test_what_they_alone_find_is_written_too(keeping_a_view: Project, empty_url: URL) -> None:
    project = keeping_a_view
    project.replace("my_operations.py", "select nickname from users", "select first_name from users")
    done = project.run("alembic", "check")
    assert done.returncode != 0
    assert "make_view" in done.stdout + done.stderr
    project.ok("alembic", "revision", "--autogenerate", "-m", "add view nicknames")
    assert "op.make_view(False)" in newest(project)
    project.ok("alembic", "upgrade", "head")
    assert rows(empty_url, "select to_regclass('nicknames')::text") == [("nicknames",)]


def test_a_way_back_that_leaves_something_is_refused_with_their_names(keeping_a_view: Project) -> None:
    project = keeping_a_view
    project.replace(
        "my_operations.py", '"drop view nicknames" if operation.drops', '"select 1" if operation.drops'
    )
    project.add_column(COLUMN)
    done = project.run("alembic", "revision", "--autogenerate", "-m", "add users nickname")
    assert done.returncode != 0
    assert "my_operations.compare_views" in done.stdout + done.stderr
    assert "-x prove=no" in done.stdout + done.stderr


def test_those_of_tables_are_named_for_they_are_not_asked(project: Project) -> None:
    register(project, OF_TABLES)
    project.ok("alembic", "upgrade", "head")
    project.add_column(COLUMN)
    done = project.run("alembic", "revision", "--autogenerate", "-m", "add users nickname")
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stderr.splitlines() if "compare_registered_tables" in line]
    assert "Not asked" in line
