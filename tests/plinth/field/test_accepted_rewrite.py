"""What autogenerate was told to accept, and what it can't write in another way, lint doesn't refuse again."""

import pytest

from tests.plinth.project import Project


def autogenerate(project: Project, *x: str, message: str) -> str:
    done = project.run("alembic", *x, "revision", "--autogenerate", "-m", message)
    assert done.returncode == 0, done.stderr
    project.ok("alembic", "upgrade", "head")
    return done.stderr


def allow_stored(project: Project, name: str) -> None:
    [file] = [each for each in project.versions() if name in each]
    project.replace(
        f"alembic/versions/{file}",
        "depends_on = None\n",
        "depends_on = None\n# lint: allow stored-generated-column: there are ten users\n",
    )


@pytest.mark.slow
def test_a_rewrite_that_was_accepted_needs_no_other_word(migrated: Project) -> None:
    migrated.replace("app/models/user.py", "from sqlalchemy import ", "from sqlalchemy import Computed, ")
    migrated.add_column("visits: Mapped[int | None]")
    migrated.add_column('twice: Mapped[int | None] = mapped_column(Computed("2 * visits", persisted=True))')
    autogenerate(migrated, message="add users visits")
    migrated.replace("app/models/user.py", "import Computed, ", "import BigInteger, Computed, ")
    migrated.replace(
        "app/models/user.py",
        "visits: Mapped[int | None]",
        "visits: Mapped[int | None] = mapped_column(BigInteger)",
    )
    said = migrated.refused("alembic", "revision", "--autogenerate", "-m", "widen users visits")
    assert "-x rewrite=users.visits" in said
    told = autogenerate(migrated, "-x", "rewrite=users.visits", message="widen users visits")
    assert "lint: allow stored-generated-column" in told  # it is made anew, and nobody was asked about that
    allow_stored(migrated, "widen")
    files = (migrated.root / "alembic" / "versions").glob("*widen*.py")
    word = "# lint: allow changing-column-type: -x rewrite=users.visits accepts it"
    assert sum(word in file.read_text() for file in files) == 1
    migrated.ok("plinth", "lint")


@pytest.mark.slow
def test_a_stored_generated_column_written_plainly_is_refused_with_what_can_be_done(
    migrated: Project,
) -> None:
    migrated.add_column("shout: Mapped[str | None] = mapped_column(Computed('upper(email)', persisted=True))")
    migrated.replace("app/models/user.py", "from sqlalchemy import ", "from sqlalchemy import Computed, ")
    autogenerate(migrated, "-x", "online=no", message="add users shout")
    done = migrated.run("plinth", "lint")
    assert "refused stored-generated-column" in done.stdout
    assert "then the default" not in done.stdout
    allow_stored(migrated, "shout")
    migrated.ok("plinth", "lint")
    migrated.add_column("twice: Mapped[int | None] = mapped_column(Computed('id * 2', persisted=True))")
    assert "lint: allow" not in autogenerate(migrated, message="add users twice")
    migrated.ok("plinth", "lint")
