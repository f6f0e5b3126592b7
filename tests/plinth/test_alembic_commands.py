"""Plain Alembic works: each command does what Alembic's documentation says."""

import ast
import os
import re
import subprocess

import pytest
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import URL

from plinth.__main__ import libpq_url, psql
from tests.plinth.project import FIRST, HEAD, REVISIONS, Project


def tables(url: URL) -> set[str]:
    engine = create_engine(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


@pytest.mark.slow
def test_upgrade_and_downgrade(project: Project, empty_url: URL) -> None:
    project.alembic("upgrade", "head")
    assert tables(empty_url) == {"alembic_version", "authentication", "users"}
    assert f"{HEAD} (head)" in project.alembic("current")
    project.alembic("downgrade", "-1")
    assert REVISIONS[-2] in project.alembic("current")
    project.alembic("upgrade", "+1")
    project.alembic("check")
    project.alembic("downgrade", FIRST)
    assert tables(empty_url) == {"alembic_version", "users"}
    project.alembic("downgrade", "base")
    assert tables(empty_url) == {"alembic_version"}


def test_what_only_reads_makes_nothing(project: Project, empty_url: URL) -> None:
    assert project.alembic("current") == ""
    assert "create users" in project.alembic("history", "-i")
    assert f"{HEAD} (head)" in project.alembic("heads")
    project.alembic("branches")
    assert "create users" in project.alembic("show", FIRST)
    project.refused("alembic", "check")
    assert tables(empty_url) == set()


def test_stamp_marks_without_running(project: Project, empty_url: URL) -> None:
    project.alembic("stamp", FIRST)
    assert FIRST in project.alembic("current")
    project.alembic("stamp", "--purge", "base")
    assert project.alembic("current") == ""
    assert tables(empty_url) == {"alembic_version"}


def test_ensure_version(project: Project, empty_url: URL) -> None:
    project.ok("alembic", "ensure_version")
    assert tables(empty_url) == {"alembic_version"}


def test_sql_can_be_run_with_psql(project: Project, empty_url: URL) -> None:
    sql = project.ok("alembic", "upgrade", "head", "--sql", DATABASE_URL="postgresql://nowhere.invalid/none")
    subprocess.run(
        [psql(), "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", libpq_url(empty_url)],
        env=os.environ | {"PGOPTIONS": "-c client_min_messages=warning"},
        input=sql,
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    assert f"{HEAD} (head)" in project.alembic("current")
    project.alembic("check")
    assert "DROP TABLE" in project.alembic("downgrade", "head:base", "--sql")


@pytest.mark.slow
def test_autogenerate_names_the_revision_after_the_change(migrated: Project) -> None:
    migrated.add_column("nickname: Mapped[str | None] = mapped_column(String(50))")
    migrated.ok("alembic", "revision", "--autogenerate")
    name = migrated.versions()[-1]
    assert re.fullmatch(r"\d{14}_add_users_nickname\.py", name)
    content = (migrated.root / "alembic/versions" / name).read_text()
    assert 'op.add_column("users", sa.Column("nickname"' in content
    assert 'op.drop_column("users", "nickname")' in content
    assert "###" not in content
    assert "def upgrade() -> None:" in content
    migrated.ok("alembic", "upgrade", "head")
    migrated.ok("alembic", "check")


def test_ids_are_later_than_the_newest_within_the_same_second(migrated: Project) -> None:
    for number in range(2):
        migrated.alembic("revision", "-m", f"empty step {number}")
    new = migrated.versions()[len(REVISIONS) :]
    assert [name.partition("_")[2] for name in new] == [f"empty_step_{number}.py" for number in range(2)]
    assert "empty step 1" in migrated.alembic("show", "head")


def test_an_empty_revision_needs_no_database(project: Project) -> None:
    project.ok("alembic", "revision", "-m", "move rows", DATABASE_URL="postgresql://nowhere.invalid/none")


def test_rev_id_head_splice_depends_on_and_branch_label(migrated: Project) -> None:
    migrated.alembic("revision", "-m", "side branch", "--rev-id", "side", "--head", FIRST, "--splice")
    migrated.alembic(
        *("revision", "-m", "labelled step", "--head", "side", "--rev-id", "labelled"),
        *("--branch-label", "sideways", "--depends-on", HEAD),
    )
    assert {"side_side_branch.py", "labelled_labelled_step.py"} <= set(migrated.versions())
    shown = migrated.alembic("show", "sideways@head")
    assert "labelled" in shown
    assert HEAD in shown


def test_merge_is_named_by_time_and_by_what_it_merges(migrated: Project) -> None:
    migrated.alembic("revision", "-m", "side branch", "--rev-id", "side", "--head", FIRST, "--splice")
    migrated.alembic("merge", "heads")
    merged = next(name for name in migrated.versions() if "merge" in name)
    assert re.fullmatch(r"\d{14}_merge_.*\.py", merged)
    migrated.alembic("merge", "--rev-id", "given", "-m", "join both", "heads")
    assert "given_join_both.py" in migrated.versions()


@pytest.mark.slow
def test_messages_that_say_nothing_are_refused(migrated: Project) -> None:
    before = migrated.versions()
    assert "add users nickname" in migrated.refused("alembic", "revision", "-m", "update users")
    assert "add users nickname" in migrated.refused("alembic", "revision")
    assert migrated.versions() == before


def test_a_long_message_is_not_cut_and_quotes_are_safe(migrated: Project) -> None:
    message = 'say "why" with a \\ and """three""", longer than Alembic alone leaves it'
    migrated.alembic("revision", "-m", message)
    name = migrated.versions()[-1]
    assert name.endswith("longer_than_alembic_alone_leaves_it.py")
    docstring = ast.get_docstring(ast.parse((migrated.root / "alembic/versions" / name).read_text()))
    assert docstring is not None
    assert docstring.startswith(message)
    migrated.alembic("upgrade", "head")
