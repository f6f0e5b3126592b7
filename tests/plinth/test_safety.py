"""Nothing destructive happens to a database that isn't development without an explicit word."""

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL

from plinth.connecting import connect
from plinth.safety import Protection, SafetyError, read_marker, refuse_unless_development, write_marker
from plinth.safety import protection as protection_of
from tests.plinth.project import Project


def protection(
    marker: str | None = None, *, on_local_server: bool = False, is_empty: bool = False
) -> Protection:
    return Protection("db", marker, on_local_server=on_local_server, is_empty=is_empty)


@pytest.mark.parametrize(
    ("found", "app_env"),
    [
        (protection(on_local_server=True), ""),
        (protection(on_local_server=True), "development"),
        (protection("development"), ""),
        (protection("development"), "development"),
        (protection("test"), "test"),
        (protection(is_empty=True), "development"),
    ],
)
def test_allowed(monkeypatch: pytest.MonkeyPatch, found: Protection, app_env: str) -> None:
    monkeypatch.setenv("APP_ENV", app_env)
    assert found.objection() is None


@pytest.mark.parametrize(
    ("found", "app_env", "words"),
    [
        (protection(), "", "nothing says"),
        (protection(), "development", "nothing says"),
        (protection(is_empty=True), "", "nothing says"),
        (protection(on_local_server=True), "production", "APP_ENV is production"),
        (protection("development"), "production", "APP_ENV is production"),
        (protection("production"), "", "production database"),
        (protection("production"), "development", "APP_ENV is development"),
        (protection("production", on_local_server=True), "", "production database"),
        (protection("test"), "", "test database"),
    ],
)
def test_refused(monkeypatch: pytest.MonkeyPatch, found: Protection, app_env: str, words: str) -> None:
    monkeypatch.setenv("APP_ENV", app_env)
    objection = found.objection()
    assert objection is not None
    assert words in objection


def elsewhere(url: URL) -> URL:
    """Return the same database by a way that doesn't look like the local server's."""
    return url.update_query_dict({"host": f"{url.query['host']}/."})


def test_a_marker_counts_in_its_own_database_only(empty_url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APP_ENV", raising=False)
    with pytest.raises(SafetyError, match="PLINTH_CONFIRM="):
        refuse_unless_development(elsewhere(empty_url), "drop")
    with connect(empty_url) as connection:
        assert read_marker(connection) is None
        write_marker(connection, "development")
        connection.commit()
        assert read_marker(connection) == "development"
    refuse_unless_development(elsewhere(empty_url), "drop")
    with connect(empty_url) as connection:  # as a restored dump brings it: written in another database
        connection.execute(text("update plinth.environment set database = 1"))
        connection.commit()
        assert read_marker(connection) is None
    with pytest.raises(SafetyError):
        refuse_unless_development(elsewhere(empty_url), "drop")


def test_reset_refuses_and_takes_the_explicit_word(migrated: Project, clone_url: URL) -> None:
    url = elsewhere(clone_url).render_as_string(hide_password=False)
    engine = create_engine(clone_url)
    with engine.begin() as connection:
        connection.execute(text("create table precious (id int)"))
    engine.dispose()
    environments: tuple[dict[str, str], ...] = ({"APP_ENV": "production"}, {"PLINTH_CONFIRM": "other"})
    for environment in environments:
        line = migrated.refused("plinth", "reset", DATABASE_URL=url, **environment)
        assert f"PLINTH_CONFIRM={clone_url.database}" in line
    with connect(clone_url) as connection:
        assert connection.scalar(text("select to_regclass('precious')")) is not None
    migrated.ok("plinth", "reset", DATABASE_URL=url, PLINTH_CONFIRM=str(clone_url.database))
    with connect(clone_url) as connection:
        assert connection.scalar(text("select to_regclass('precious')")) is None


@pytest.mark.parametrize(
    "rows",
    ["create schema plinth; create table plinth.customers ()", "select lo_from_bytea(0, 'a')"],
)
def test_whatever_has_rows_is_not_empty(empty_url: URL, rows: str) -> None:
    with connect(empty_url) as connection:
        assert protection_of(connection).is_empty
        connection.exec_driver_sql(rows)
        assert not protection_of(connection).is_empty


def test_what_is_marked_is_named(project: Project, clone_url: URL) -> None:
    other = clone_url.render_as_string(hide_password=False)
    marked = project.run("plinth", "environment", "development", MIGRATION_DATABASE_URL=other)
    assert marked.stdout == "development\n"
    assert f"/{clone_url.database}?" in marked.stderr


def test_production_is_left_by_an_explicit_word_only(project: Project, empty_url: URL) -> None:
    assert project.ok("plinth", "environment", "production") == "production\n"
    line = project.refused("plinth", "environment", "development", PLINTH_CONFIRM="other")
    assert line.endswith(
        f"database: it is a production database. If you mean it, set PLINTH_CONFIRM={empty_url.database}"
    )
    with connect(empty_url) as connection:
        assert read_marker(connection) == "production"
    word = {"PLINTH_CONFIRM": str(empty_url.database)}
    assert project.ok("plinth", "environment", "development", **word) == "development\n"


@pytest.mark.slow
def test_the_marker_is_set_by_one_command(project: Project) -> None:
    assert project.ok("plinth", "environment").strip() == "not set"
    assert project.ok("plinth", "environment", "production").strip() == "production"
    assert "production database" in project.refused("plinth", "reset")
