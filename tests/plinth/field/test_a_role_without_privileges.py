"""A role that may do little: each command works, or ends in one sentence with the GRANTs that it lacks."""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy.engine import URL

from plinth.__main__ import main
from plinth.connecting import connect
from plinth.safety import read_marker, write_marker
from tests.plinth.field.commands import Commands
from tests.plinth.field.roles import as_owner, role
from tests.plinth.history import ledger
from tests.plinth.project import HEAD
from tests.plinth.test_safety import elsewhere

PREPARED = "create schema plinth authorization {mig}; grant usage, create on schema public to {mig}"


@pytest.fixture
def mig(empty_url: URL) -> Iterator[URL]:
    """The role that migrates."""
    with role(empty_url, "mig") as url:
        yield url


def test_with_a_schema_that_was_made_for_it_everything_works(
    commands: Commands, mig: URL, empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_owner(empty_url, PREPARED, mig=mig)
    commands.sign_in(mig)
    monkeypatch.setenv("APP_ENV", "production")
    assert HEAD in commands.ok("upgrade")
    assert "nothing" in commands.ok("upgrade")
    assert commands.ok("environment").strip() == "production"
    assert "All is applied" in commands.ok("status")
    monkeypatch.delenv("APP_ENV")
    monkeypatch.setenv("PLINTH_CONFIRM", str(empty_url.database))
    commands.ok("environment", "development")
    commands.ok("rollback")
    commands.ok("upgrade", "heads")
    commands.ok("redo")
    commands.ok("seed")
    commands.ok("lint")
    assert ledger(empty_url)


def test_what_needs_a_database_of_its_own_says_so(
    commands: Commands, mig: URL, empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no local server either, as in a container."""
    as_owner(empty_url, PREPARED, mig=mig)
    commands.sign_in(mig)
    commands.ok("upgrade", "+1")
    commands.ok("environment", "development")
    monkeypatch.setenv("PLINTH_HOME", "/dev/null/nowhere")
    main(["check"])  # looks at the rest
    for said in (commands.printed(), commands.refusal("plan")):
        assert f"ALTER ROLE {mig.username} CREATEDB" in said
    assert "permission denied to create database" in commands.refusal("reset")  # it is dropped after that
    with connect(empty_url) as connection:
        assert read_marker(connection) == "development"


def test_a_downgrade_that_cant_be_tried_names_its_revision_and_the_grant(
    commands: Commands, mig: URL, empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_owner(empty_url, PREPARED, mig=mig)
    as_owner(empty_url, f'revoke temporary on database "{empty_url.database}" from public', mig=mig)
    commands.sign_in(elsewhere(mig))
    monkeypatch.setenv("APP_ENV", "production")
    commands.ok("upgrade", "+1")  # nothing that was ever applied is left of it: another sentence
    commands.ok("upgrade")
    said = commands.refusal("rollback")
    grant = f"GRANT TEMPORARY ON DATABASE {empty_url.database} TO {mig.username}"
    assert f"Revision {HEAD} can't be tried, as this role may not make a temporary table ({grant})" in said


def test_nothing_prepared(commands: Commands, mig: URL, empty_url: URL) -> None:
    commands.sign_in(mig)
    commands.ok("environment")
    granted = grant_what_is_asked_for(commands, empty_url, "upgrade")
    assert f"CREATE SCHEMA plinth AUTHORIZATION {mig.username}" in granted
    assert HEAD in commands.ok("status")


def test_a_reader(commands: Commands, mig: URL, empty_url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    """A monitoring role, which gets what the sentences say and nothing else."""
    commands.sign_in(empty_url)
    commands.ok("upgrade")
    with connect(empty_url) as connection:
        write_marker(connection, "production")
        connection.commit()
    commands.sign_in(mig)
    granted = grant_what_is_asked_for(commands, empty_url, "status")
    assert granted
    assert all(re.match(r"GRANT (SELECT|USAGE)", each) for each in granted)
    assert commands.ok("environment").strip() == "production"
    monkeypatch.setenv("PLINTH_CONFIRM", str(empty_url.database))
    assert "may not write" in commands.refusal("environment", "development")


def test_a_second_deploy_role(
    commands: Commands, mig: URL, empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One with half of the grants, against a development marker that has to go."""
    commands.sign_in(empty_url)
    commands.ok("upgrade", "+1")
    commands.ok("environment", "development")
    as_owner(
        empty_url, "grant usage on schema plinth to {mig}; grant select on plinth.ledger to {mig}", mig=mig
    )
    as_owner(empty_url, "grant create on schema public to {mig}; grant references on users to {mig}", mig=mig)
    commands.sign_in(mig)
    monkeypatch.setenv("APP_ENV", "production")
    granted = grant_what_is_asked_for(commands, empty_url, "upgrade")
    assert any("ON plinth.ledger" in each for each in granted)
    assert any("ON plinth.environment" in each for each in granted)
    with connect(empty_url) as connection:
        assert read_marker(connection) == "production"


def grant_what_is_asked_for(commands: Commands, owner: URL, command: str) -> list[str]:
    """Run a command again and again, and in between, as the owner, what its one sentence asks for."""
    granted: list[str] = []
    for _ in range(8):
        line = commands.refusal(command)
        if not line:
            return granted
        statements = line.partition(" run: ")[2]
        assert statements, line
        granted += statements.split("; ")
        as_owner(owner, statements)
    raise AssertionError(granted)
