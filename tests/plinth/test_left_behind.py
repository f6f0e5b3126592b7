"""Projects that begin on what no revision makes, and whose downgrades leave what they made: enums."""

import re
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.plinth.history import rows
from tests.plinth.test_adopt import revision, sql
from tests.plinth.test_existing_projects import Existing, init

MODELS = """
from sqlalchemy import Enum
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    __table_args__ = {"schema": "billing"}

    id: Mapped[int] = mapped_column(primary_key=True)
    role: Mapped[str | None] = mapped_column(Enum("admin", "user", name="role"))
    age: Mapped[int | None]
"""
USERS = """op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("role", sa.Enum("admin", "user", name="role"), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema="billing",
    )"""
AGE = """op.add_column("users", sa.Column("age", sa.Integer()), schema="billing")"""
LINE = "    op.execute('DROP TYPE role')"


def existing(folder: Path, url: URL, models: str = MODELS, **options: str) -> Existing:
    """Return a project as `alembic init` makes it, with models, and options for `context.configure()`."""
    project = init(folder, url)
    project.edit("migrations/env.py", "import plinth\n", "")
    given = "connection=connection, target_metadata=target_metadata"
    more = "".join(f", {name}={value}" for name, value in options.items())
    project.edit("migrations/env.py", given, given + more)
    (project.root / "models.py").write_text(models)
    return project


@pytest.fixture
def billing(tmp_path: Path, empty_url: URL) -> Existing:
    """A project with a schema that was made by hand, an enum, a version table of its own name, and rows."""
    project = existing(tmp_path / "shop", empty_url, include_schemas="True", version_table="'versions'")
    revision(project, "r1", None, USERS, 'op.drop_table("users", schema="billing")')
    revision(project, "r2", "r1", AGE, 'op.drop_column("users", "age", schema="billing")')
    sql(empty_url, "create schema billing")
    project.ok("alembic", "upgrade", "head")
    sql(empty_url, "insert into billing.users (role, age) values ('admin', 3)")
    return project


def test_an_enum_that_a_downgrade_leaves_is_no_part_of_what_no_revision_makes(billing: Existing) -> None:
    found = billing.run("plinth", "adopt").stdout
    assert "They don't build a database from nothing. No revision makes schema billing." in found
    assert "1 of 2." in found
    assert LINE in found, "the line that drops it"
    assert 'type "role" already exists' in found, "what came of it when the revision was applied again"

    checked = billing.run("plinth", "check")
    said = checked.stdout + checked.stderr
    assert checked.returncode == 1
    assert LINE in said
    assert 'schema "billing" does not exist' not in said
    assert "No revision makes this, so they were tried on a copy of it: schema billing." in said

    billing.edit("migrations/versions/r1.py", ', schema="billing")\n', ', schema="billing")\n' + LINE + "\n")
    assert "agree (2 revisions, each tried up and down)" in billing.ok("plinth", "check")


@pytest.mark.slow
def test_what_a_file_of_sql_makes_and_no_downgrade_drops_is_told_from_what_no_revision_makes(
    billing: Existing, empty_url: URL
) -> None:
    (billing.root / "first.sql").write_text(
        "create type role as enum ('admin', 'user'); "
        "create table billing.users (id serial primary key, role role)"
    )
    revision(billing, "r1", None, 'op.execute(open("first.sql").read())')
    checked = billing.run("plinth", "check").stdout
    assert "table billing.users is too much" in checked
    assert LINE in checked
    assert "so they were tried on a copy of it: schema billing." in checked
    assert rows(empty_url, "select role::text, age from billing.users") == [("admin", 3)]


HAND_MADE = """
from sqlalchemy import ARRAY, Enum
from sqlalchemy.dialects.postgresql import ENUM
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

mood = Enum("good", "bad", name="mood")


class Base(DeclarativeBase):
    pass


class Post(Base):
    __tablename__ = "posts"

    id: Mapped[int] = mapped_column(primary_key=True)
    mood: Mapped[str | None] = mapped_column(mood)
    level: Mapped[str | None] = mapped_column(Enum("low", "high", name="level", schema="crm"))
    tags: Mapped[list[str] | None] = mapped_column(ARRAY(Enum("a", "b", name="tag")))
    hand: Mapped[str | None] = mapped_column(ENUM("x", "y", name="hand", create_type=False))


class Call(Base):
    __tablename__ = "calls"
    __table_args__ = {"schema": "crm"}

    id: Mapped[int] = mapped_column(primary_key=True)
    mood: Mapped[str | None] = mapped_column(mood)
"""
POSTS = """op.create_table(
        "posts",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("mood", sa.Enum("good", "bad", name="mood")),
        sa.Column("level", sa.Enum("low", "high", name="level", schema="crm")),
        sa.Column("tags", sa.ARRAY(sa.Enum("a", "b", name="tag"))),
        sa.Column("hand", postgresql.ENUM("x", "y", name="hand", create_type=False)),
    )"""
CALLS = """op.create_table(
        "calls",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("mood", postgresql.ENUM("good", "bad", name="mood", create_type=False)),
        schema="crm",
    )"""


@pytest.mark.slow
def test_enums_in_arrays_in_schemas_and_of_several_tables_are_told_from_one_that_was_made_by_hand(
    tmp_path: Path, empty_url: URL
) -> None:
    project = existing(tmp_path / "shop", empty_url, HAND_MADE, include_schemas="True")
    revision(project, "r1", None, POSTS, 'op.drop_table("posts")')
    revision(project, "r2", "r1", CALLS, 'op.drop_table("calls", schema="crm")')
    for name in ("r1", "r2"):
        dialect = "from alembic import op\nfrom sqlalchemy.dialects import postgresql"
        project.edit(f"migrations/versions/{name}.py", "from alembic import op", dialect)
    sql(empty_url, "create schema crm", "create type hand as enum ('x', 'y')", "create extension pg_trgm")
    sql(empty_url, "create function seven() returns int language sql as 'select 7'")
    project.ok("alembic", "upgrade", "head")
    checked = project.run("plinth", "check").stdout
    assert re.findall(r"op\.execute\((.*)\)", checked) == [
        *("'DROP TYPE crm.level'", "'DROP TYPE mood'", "'DROP TYPE tag'")
    ]
    assert "copy of it: schema crm, type hand, extension pg_trgm, function public.seven()." in checked
    assert "nothing was measured" not in project.ok("plinth", "lint")


@pytest.mark.slow
def test_a_baseline_is_written_below_a_revision_whose_downgrade_leaves_an_enum(
    billing: Existing, empty_url: URL
) -> None:
    found = billing.run("plinth", "adopt", "--write-baseline").stdout
    assert "with what no revision made" in found
    assert "They build a database from nothing." in found
    assert LINE in found
    assert "2 of 3." in found
    [new] = (billing.root / "migrations" / "versions").glob("*_baseline.py")
    assert "CREATE SCHEMA billing" in new.read_text()
    assert "role" not in new.read_text()
    billing.edit("migrations/versions/r1.py", ', schema="billing")\n', ', schema="billing")\n' + LINE + "\n")
    assert "agree (3 revisions, each tried up and down)" in billing.ok("plinth", "check")
    assert rows(empty_url, "select role::text, age from billing.users") == [("admin", 3)]


@pytest.mark.slow
def test_the_lint_measures_on_what_no_revision_makes_and_names_what_is_missing(
    billing: Existing, empty_url: URL
) -> None:
    revision(
        billing, "r3", "r2", "op.get_bind().execute(sa.text('select count(*) from billing.users')).scalar()"
    )
    found = billing.run("plinth", "lint").stdout
    assert "not measured" not in found
    assert "where nothing was measured" not in found
    sql(empty_url, "drop schema billing cascade")
    found = " ".join(billing.run("plinth", "lint").stdout.split())
    assert 'schema "billing" does not exist' in found
    assert f"Database '{empty_url.database}' hasn't it either." in found
    assert "plinth adopt --write-baseline" in found
    assert "alembic-plinth[local]" not in found
    billing.edit("alembic.ini", str(empty_url.database), "nowhere")
    found = " ".join(billing.run("plinth", "lint").stdout.split())
    assert 'schema "billing" does not exist' in found
    assert "The database at hand may have it, and can't be asked." in found
    assert 'database "nowhere" does not exist' in found


@pytest.mark.slow
def test_what_stops_revisions_on_the_copy_is_named_beside_what_is_missing(
    billing: Existing, empty_url: URL
) -> None:
    revision(billing, "r1", None, USERS, "pass")
    sql(empty_url, "create view ages as select id from billing.users")
    checked = billing.run("plinth", "check").stdout
    assert 'schema "billing" does not exist' in checked
    assert "On a copy of what stands in the database they were tried, too: Revision r1" in checked
    assert "already exists" in checked
