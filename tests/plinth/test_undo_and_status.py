"""Undo like Knex, and the status: applied, pending, wrong."""

import json
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from plinth.connecting import connect
from plinth.safety import write_marker
from tests.plinth.history import do, rows
from tests.plinth.project import Project
from tests.plinth.test_safety import elsewhere

FIRST, HEAD = "20151009115505", "20151009155020"


def status(project: Project) -> tuple[int, dict[str, Any]]:
    done = project.run("plinth", "status", "--json")
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["exit_code"] == done.returncode
    return done.returncode, found


def kinds(project: Project) -> set[str]:
    code, found = status(project)
    assert code == (2 if found["problems"] else 0)
    return {problem["kind"] for problem in found["problems"]}


def test_rollback_undoes_the_last_batch_and_nothing_else(project: Project) -> None:
    project.ok("alembic", "upgrade", FIRST)
    project.write_revision("x", HEAD, 'op.execute("create table x (id int)")', 'op.drop_table("x")')
    project.ok("alembic", "upgrade", "head")
    output = project.ok("plinth", "rollback")
    assert output == f"Undone: x, {HEAD}.\n"
    assert FIRST in project.ok("alembic", "current")
    project.ok("plinth", "rollback")
    assert project.ok("alembic", "current") == ""
    assert "nothing to undo" in project.refused("plinth", "rollback")


def test_redo_takes_a_change_whole(migrated: Project, clone_url: URL) -> None:
    for name, after, step in (("x", HEAD, 1), ("y", "x", 2)):
        migrated.write_revision(
            name, after, f'op.execute("create table {name} (id int)")', f'op.drop_table("{name}")'
        )
        path = migrated.root / f"alembic/versions/{name}_by_hand.py"
        path.write_text(
            path.read_text().replace(
                f'by hand {name}"""', f'by hand {name}\n\nChange: c, step {step} of 2\n"""'
            )
        )
    migrated.ok("alembic", "upgrade", "head")
    assert json.loads(migrated.ok("plinth", "redo", "--json")) == {
        "undone": ["y", "x"],
        "applied": ["x", "y"],
    }
    assert rows(clone_url, "select to_regclass('x')::text, to_regclass('y')::text") == [("x", "y")]


def test_rows_are_not_lost_without_a_word(migrated: Project, clone_url: URL) -> None:
    do(clone_url, "insert into users (created_at, email) values (now(), 'a'), (now(), null)")
    migrated.write_revision(
        "x",
        HEAD,
        'op.drop_column("users", "email")',
        'op.add_column("users", sa.Column("email", sa.String(255)))',
    )
    url = elsewhere(clone_url).render_as_string(hide_password=False)
    line = migrated.refused("alembic", "downgrade", "base", DATABASE_URL=url)
    assert "table public.users (2 rows)" in line
    assert f"PLINTH_CONFIRM={clone_url.database}" in line
    assert rows(clone_url, "select count(*) from users") == [(2,)]
    migrated.ok("alembic", "downgrade", "base", DATABASE_URL=url, PLINTH_CONFIRM=str(clone_url.database))
    assert rows(clone_url, "select to_regclass('users')") == [(None,)]


@pytest.mark.parametrize("head", ["irreversible = 'the old values are gone'\n", ""])
def test_a_revision_that_cannot_be_undone_stops_before_anything_ran(
    migrated: Project, clone_url: URL, head: str
) -> None:
    down = "pass" if head else "raise NotImplementedError('the old values are gone')"
    migrated.write_revision("x", HEAD, 'op.execute("create table x (id int)")', down, head)
    migrated.write_revision("y", "x", 'op.execute("create table y (id int)")', 'op.drop_table("y")')
    migrated.ok("alembic", "upgrade", "head")
    line = migrated.refused("alembic", "downgrade", HEAD)
    assert "the old values are gone" in line
    assert "Nothing has been changed" in line
    assert rows(clone_url, "select to_regclass('y')::text") == [("y",)]


def test_status_tells_pending_from_applied(project: Project, empty_url: URL) -> None:
    code, found = status(project)
    assert (code, found["pending"]) == (1, [FIRST, HEAD])
    assert rows(empty_url, "select count(*) from pg_tables where schemaname in ('public', 'plinth')") == [
        (0,)
    ]
    project.ok("alembic", "upgrade", "head")
    code, found = status(project)
    assert (code, found["pending"], found["heads"]) == (0, [], [HEAD])
    assert found["revisions"][1]["message"] == "create authentication"
    printed = project.ok("plinth", "status")
    assert "create users" in printed
    assert "pending" not in printed


def test_status_names_what_is_wrong(migrated: Project, clone_url: URL) -> None:
    path = migrated.root / "alembic/versions/20151009115505_create_users.py"
    path.write_text(path.read_text().replace("op.create_table(", "op.create_table(  # formatted anew\n"))
    assert kinds(migrated) == set()
    path.write_text(path.read_text().replace("length=255", "length=254", 1))
    assert kinds(migrated) == {"edited"}
    path.write_text(path.read_text().replace("length=254", "length=255", 1))
    do(clone_url, "alter table users add constraint positive check (id > 0) not valid")
    assert kinds(migrated) == {"not valid"}
    do(clone_url, "alter table users drop constraint positive")
    do(clone_url, "create index broken on users (email)")
    do(clone_url, "update pg_index set indisvalid = false where indexrelid = 'broken'::regclass")
    assert kinds(migrated) == {"invalid index"}
    do(clone_url, "drop index broken")
    do(clone_url, "update alembic_version set version_num = 'future'")
    assert "ahead" in kinds(migrated)


def test_several_heads_are_named(migrated: Project) -> None:
    migrated.write_revision("side", FIRST, "pass")
    code, found = status(migrated)
    assert code == 2
    assert {problem["kind"] for problem in found["problems"]} == {"heads"}


def test_a_database_without_a_ledger_is_taken_in(migrated: Project, clone_url: URL) -> None:
    do(clone_url, "drop schema plinth cascade")
    code, _ = status(migrated)
    assert code == 0
    assert rows(clone_url, "select to_regnamespace('plinth')") == [(None,)]
    migrated.write_revision("a1b2c3", HEAD, 'op.execute("create table x (id int)")', 'op.drop_table("x")')
    migrated.ok("alembic", "upgrade", "head")
    directions = rows(clone_url, "select revision, direction from plinth.ledger order by id")
    assert directions == [(FIRST, "stamp"), (HEAD, "stamp"), ("a1b2c3", "up")]
    assert migrated.ok("plinth", "rollback") == "Undone: a1b2c3.\n"


def test_a_protected_database_refuses_to_be_emptied(migrated: Project, clone_url: URL) -> None:
    with connect(clone_url) as connection:
        write_marker(connection, "production")
        connection.commit()
    url = elsewhere(clone_url).render_as_string(hide_password=False)
    assert "production database" in migrated.refused("alembic", "downgrade", "base", DATABASE_URL=url)
    with connect(clone_url) as connection:
        assert connection.scalar(text("select to_regclass('users')")) is not None
