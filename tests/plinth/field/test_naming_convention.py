"""Revisions that leave a name to the models' naming convention, as Alembic's documentation shows them."""

import json

import psycopg
import pytest
from sqlalchemy.engine import URL

from plinth.__main__ import libpq_url
from tests.plinth.history import clear
from tests.plinth.project import Project

UP = """
op.create_table(
    "parts",
    sa.Column("id", sa.Integer(), nullable=False),
    sa.Column("code", sa.String(), nullable=False),
    sa.Column("size", sa.Integer(), nullable=False),
    sa.Column("up", sa.Integer(), nullable=True),
    sa.CheckConstraint("size > 0", name="positive"),
    sa.ForeignKeyConstraint(["up"], ["parts.id"]),
    sa.PrimaryKeyConstraint("id"),
    sa.UniqueConstraint("code"),
)
op.create_unique_constraint(None, "parts", ["size", "code"])
op.create_check_constraint("long", "parts", "length(code) > 3")
op.create_index(None, "parts", ["up"])
"""
DOWN = """
op.drop_index(op.f("ix_parts_up"), table_name="parts")
op.drop_constraint("long", "parts", type_="check")
op.drop_constraint(op.f("uq_parts_size_code"), "parts", type_="unique")
op.drop_table("parts")
"""
NAMES = {
    *("ck_parts_long", "ck_parts_positive", "fk_parts_up_parts", "ix_parts_up"),
    *("pk_parts", "uq_parts_code", "uq_parts_size_code"),
}
MODEL = '''"""Parts."""

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class Part(Base):
    """A part of another one."""

    __tablename__ = "parts"
    __table_args__ = (
        CheckConstraint("size > 0", name="positive"),
        CheckConstraint("length(code) > 3", name="long"),
        UniqueConstraint("size", "code"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    size: Mapped[int]
    up: Mapped[int | None] = mapped_column(ForeignKey("parts.id"), index=True)
'''
NAMED = """
    select conname from pg_constraint where conrelid = 'parts'::regclass and contype <> 'n'
    union select indexrelid::regclass::text from pg_index where indrelid = 'parts'::regclass
    """


@pytest.mark.slow
def test_they_get_the_models_names_in_every_command(project: Project, empty_url: URL) -> None:
    clear(project).add("a1", None, UP, DOWN)
    planned = json.loads(project.ok("plinth", "plan", "--json"))
    statements = " ".join(each["sql"] for each in planned["revisions"][0]["statements"])
    assert {name for name in NAMES if name in statements} == NAMES
    project.ok("plinth", "lint")
    project.ok("alembic", "upgrade", "head")
    with psycopg.connect(libpq_url(empty_url)) as connection:
        assert {name for (name,) in connection.execute(NAMED)} == NAMES
    (project.root / "app" / "models" / "user.py").write_text('"""No users."""\n')
    (project.root / "app" / "models" / "__init__.py").write_text(
        "from app.models.base import Base\nfrom app.models.part import Part\n\n__all__ = ['Base', 'Part']\n"
    )
    (project.root / "app" / "models" / "part.py").write_text(MODEL)
    project.ok("alembic", "check")
    project.ok("plinth", "check")
    project.replace(
        "app/models/part.py", "    size: Mapped[int]\n", "    size: Mapped[int]\n    w: Mapped[int | None]\n"
    )
    project.ok("alembic", "revision", "--autogenerate", "-m", "add parts w")
    project.ok("alembic", "upgrade", "head")
    project.ok("alembic", "downgrade", "base")
