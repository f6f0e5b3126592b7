"""A reset that copies without SQLAlchemy: only where the long way would do the same, and begun anew by it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import URL

from plinth import advisory, development, libpq, reset_again, settings, up_to_date
from plinth.libpq import NoAnswer
from plinth.local_server import LocalServer
from tests.plinth.history import do, heads, ledger, psql, read_until, rows, start
from tests.plinth.project import HEAD, Project, copy_project

DATABASE = "app_development"
COPIED = "a copy of what the same revisions made before"
MARKED = "select name, database_name from plinth.environment"
# What tells a database from another one of its name.
CREATED = "select oid from pg_database where datname = 'app_development'"
LOCKED = f"select pg_advisory_lock({advisory.number_of(reset_again.lock_of(DATABASE))})"
SEEDS = 'seeds = "app.seeds"'


@pytest.fixture
def here(open_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project in whose folder we are, with a local server of its own; its database was reset once."""
    home = str(open_folder / "home")
    monkeypatch.setenv("PLINTH_HOME", home)
    for name in ("APP_ENV", "DATABASE_URL", "MIGRATION_DATABASE_URL", "ALEMBIC_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    project = copy_project(tmp_path / "my app", PLINTH_HOME=home)
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(settings, "_chosen", None)
    # The copy's own program made the fingerprint; the code that is tried here is this repository's.
    monkeypatch.setattr(up_to_date, "__file__", str(project.root / "plinth" / "up_to_date.py"))
    settings.tool_settings.cache_clear()
    server = LocalServer("development", options=("fsync=off",))
    server.start()
    try:
        assert COPIED not in project.ok("plinth", "reset")
        yield project
    finally:
        server.stop()


@pytest.fixture
def url(here: Project) -> URL:
    return LocalServer("development", ()).url(DATABASE)


@pytest.fixture
def server(url: URL) -> URL:
    return url.set(database="postgres")


def without_seeds(project: Project) -> None:
    """Leave out the seeds; that differs from what was kept, so the next reset isn't a copy."""
    project.replace("pyproject.toml", f"{SEEDS}\n", "")
    settings.tool_settings.cache_clear()
    assert COPIED not in project.ok("plinth", "reset")


def state(url: URL) -> list[object]:
    """Return what a reset leaves, beside the number of its database."""
    contents = "select table_schema, table_name, column_name, data_type from information_schema.columns"
    users = "select email from users order by email"
    note = "select files, heads, ledger from plinth.up_to_date"
    return [ledger(url), *(sorted(rows(url, sql)) for sql in (MARKED, contents, users, note))]


def test_it_leaves_and_says_what_the_long_way_does(here: Project, url: URL, server: URL) -> None:
    without_seeds(here)  # which import what they use
    done = here.run("plinth", "reset", PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "plinth.libpq" in imported
    assert not {"alembic", "sqlalchemy", "psycopg", "plinth.development"} & imported
    assert COPIED in done.stdout
    left, database = state(url), rows(server, CREATED)
    assert rows(url, MARKED) == [("development", DATABASE)]
    # A URL takes the long way.
    long = here.run("plinth", "reset", DATABASE_URL=url.render_as_string(hide_password=False))
    assert (done.returncode, long.returncode, long.stderr) == (0, 0, "")

    assert re.sub(r"[\d.]+ s", "", done.stdout) == re.sub(r"[\d.]+ s", "", long.stdout)
    assert state(url) == left
    assert rows(server, CREATED) != database
    assert here.run("plinth", "status").returncode == 0
    assert here.ok("plinth", "environment").strip() == "development"


def test_sessions_and_changes_of_others_are_gone(here: Project, url: URL) -> None:
    whole = state(url)
    with psql(url) as other:
        other.execute("drop table users cascade; delete from plinth.ledger; create table mine ()")
        assert COPIED in here.ok("plinth", "reset")
        with pytest.raises(psycopg.OperationalError):
            other.execute("select 1")
    assert state(url) == whole


Change = Callable[[Project, URL, pytest.MonkeyPatch], None]


def environment(**variables: str) -> Change:
    def change(_: Project, __: URL, patch: pytest.MonkeyPatch) -> None:
        for name, value in variables.items():
            patch.setenv(name, value)

    return change


def sql(statement: str, database: str = DATABASE) -> Change:
    return lambda _, url, __: do(url.set(database=database), statement)


def append(file: str, line: str) -> Change:
    def change(project: Project, _: URL, __: pytest.MonkeyPatch) -> None:
        path = project.root / file
        path.write_text(f"{path.read_text() if path.exists() else ''}{line}\n")

    return change


ALIKE = "postgresql://postgres@/app_development?host=/tmp"
FIRST = "alembic/versions/20151009115505_create_users.py"
# Each is put back before the next one.
OTHERWISE: dict[str, Change] = {
    "production": environment(APP_ENV="production"),
    "test": environment(APP_ENV="test"),
    "no APP_ENV": environment(APP_ENV="staging"),
    "a URL": environment(DATABASE_URL=ALIKE),
    "a URL of migrations": environment(MIGRATION_DATABASE_URL=ALIKE),
    "in .env": append(".env", f"DATABASE_URL={ALIKE}"),
    "another name": environment(PLINTH_DATABASE="other"),
    "an odd name": environment(PLINTH_DATABASE="my app"),
    "the server's own": environment(PLINTH_DATABASE="postgres"),
    "a section": environment(PLINTH_SECTION="other"),
    "a configuration": environment(ALEMBIC_CONFIG="other.ini"),
    "another session": environment(PGTZ="Asia/Tokyo"),
    "env.py": append("alembic/env.py", "print()"),
    "alembic.ini": append("alembic.ini", "[alembic]\nsqlalchemy.url = x"),
    "a revision": append(FIRST, "# edited"),
    "a revision more": append("alembic/versions/later.py", "revision = 'later'"),
    "the settings": append("pyproject.toml", "[tool.other]"),
    "Plinth": append("plinth/apply/steps.py", "# edited"),
    "a marker of production": sql("update plinth.environment set name = 'production'"),
    "a marker of test": sql("update plinth.environment set name = 'test'"),
    "a marker of another database": sql("update plinth.environment set database = 1"),
    "a marker of another server": sql("update plinth.environment set server = 1"),
    "a marker of another name": sql("update plinth.environment set database_name = 'x'"),
    "no marker": sql("delete from plinth.environment"),
    "a role's settings": sql("alter role postgres set search_path = shop, public"),
    "template1": sql("create table t ()", "template1"),
    "what is kept is open": sql("update pg_database set datallowconn = true where datname like 'plinth%'"),
    "half a DROP": sql("update pg_database set datconnlimit = -2 where datname like 'plinth%'"),
    "half a DROP of it": sql(
        "update pg_database set datconnlimit = -2 where datname = 'app_development'", "postgres"
    ),
    "several are kept": sql(
        "do $$begin execute (select format('alter database %I rename to %I', datname, "
        "datname || '_older') from pg_database where datname like 'plinth%'); end$$"
    ),
}
BACK = """
    alter role postgres reset search_path;
    update pg_database set datallowconn = false where datname like 'plinth%';
    update pg_database set datconnlimit = -1;
    do $$begin if exists (select from pg_database where datname like '%\\_older') then
        execute (select format('alter database %I rename to %I', datname, replace(datname, '_older', ''))
                 from pg_database where datname like '%\\_older'); end if; end$$
    """


def test_what_is_otherwise_is_the_long_ways(here: Project, url: URL, server: URL) -> None:
    files = {
        path: path.read_text()
        for path in (*here.root.rglob("*.py"), here.root / "alembic.ini", here.root / "pyproject.toml")
    }
    marker = rows(url, "select name, database, server, database_name, timeline from plinth.environment")[0]
    database = rows(server, CREATED)
    for which, change in OTHERWISE.items():
        with pytest.MonkeyPatch.context() as patch:
            change(here, url, patch)
            settings.tool_settings.cache_clear()
            assert reset_again.reset() is None, which
            assert rows(server, CREATED) == database, which
        do(server, BACK)
        do(url.set(database="template1"), "drop table if exists t")
        with psql(url) as connection:
            connection.execute("delete from plinth.environment")
            connection.execute("insert into plinth.environment values (%s, %s, %s, %s, %s)", marker)
        for path in (*here.root.rglob("*.py"), here.root / ".env"):
            if path not in files:
                path.unlink(missing_ok=True)
        for path, content in files.items():
            if path.read_text() != content:
                path.write_text(content)
    settings.tool_settings.cache_clear()
    assert reset_again.reset() == DATABASE
    assert rows(server, CREATED) != database
    do(server, f"drop database {DATABASE}")
    assert reset_again.reset() is None
    LocalServer("development", ()).stop()
    assert reset_again.reset() is None
    assert COPIED in here.ok("plinth", "reset")


def test_the_refusals_are_the_long_ways(here: Project, url: URL) -> None:
    do(url, "update plinth.environment set name = 'production'")
    assert "it is a production database" in here.refused("plinth", "reset")
    do(url, "update plinth.environment set name = 'test'")
    assert "APP_ENV is not set to test" in here.refused("plinth", "reset")
    do(url, "update plinth.environment set name = 'development'")
    refused = here.refused("plinth", "reset", APP_ENV="test")
    assert "it is a development database and APP_ENV is test" in refused
    refused = here.refused("plinth", "reset", PLINTH_DATABASE="template1")
    assert "the server's own" in refused
    assert heads(url) == {HEAD}


def test_it_may_end_anywhere(here: Project, url: URL, server: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a `kill -9`: whichever statement is the last, the next reset leaves what it ever does."""
    without_seeds(here)
    whole = state(url)
    run = libpq._OfLibpq.run
    said: list[str] = []

    def counted(session: libpq._OfLibpq, statement: str, *parameters: str) -> str:
        said.append(statement)
        if len(said) == last:
            raise NoAnswer
        return run(session, statement, *parameters)

    last = 0
    monkeypatch.setattr(libpq._OfLibpq, "run", counted)
    assert reset_again.reset() == DATABASE
    all_, ends = len(said), set()
    assert [each for each in said if re.match(r"\s*(drop|create|update)", each)]
    for number in range(1, all_ + 1):
        said.clear()
        last = number
        assert reset_again.reset() is None
        last = 0
        is_there = rows(server, CREATED) != []
        # Before the DROP it is as it was, then gone, then there without a marker of its own.
        ended = "marked" if is_there and marked(url) else "there" if is_there else "gone"
        ends.add(ended)
        if ended == "marked":
            assert state(url) == whole
            continue
        _, is_copy = development.reset()
        assert is_copy
        assert state(url) == whole
        assert marked(url)
    assert ends == {"marked", "gone", "there"}


def marked(url: URL) -> bool:
    """Whether the marker is the database's own."""
    own = "select database = (select oid from pg_database where datname = current_database())"
    return rows(url, f"{own} from plinth.environment") == [(True,)]


def test_another_reset_is_waited_for(here: Project, url: URL, server: URL) -> None:
    before = rows(server, CREATED)
    with psql(server) as other:
        other.execute(LOCKED)
        assert reset_again.reset() is None
        waiting = start(here, "plinth", "reset")
        read_until(waiting, f"Waiting for another reset of {DATABASE}")
        assert rows(server, CREATED) == before
    output, _ = waiting.communicate()
    assert waiting.returncode == 0, output
    assert COPIED in output
    assert rows(server, CREATED) != before


def test_another_one_waits_while_the_seeds_are_loaded(here: Project, url: URL, server: URL) -> None:
    do(server, "alter role postgres set idle_session_timeout = '100ms'")
    (here.root / "app" / "seeds.py").write_text(
        "import time\nfrom pathlib import Path\n\nprint('begun', flush=True)\n"
        "while not Path('go').exists():\n    time.sleep(0.05)\n"
    )
    (here.root / "go").touch()
    assert COPIED not in here.ok("plinth", "reset")  # another session
    (here.root / "go").unlink()
    running = start(here, "plinth", "reset")
    read_until(running, "begun")
    waiting = start(here, "plinth", "reset")
    read_until(waiting, "Waiting for another reset")
    (here.root / "go").touch()
    for each in (running, waiting):
        output, _ = each.communicate()
        assert each.returncode == 0, output
        assert COPIED in output


def test_seeds_go_where_the_long_way_sends_them(here: Project, url: URL) -> None:
    """To the database that was judged, wherever the application would go by itself."""
    assert COPIED in here.ok("plinth", "reset")
    asking = "import os\n\nprint('to', os.environ.get('DATABASE_URL'), flush=True)\n"
    (here.root / "app" / "seeds.py").write_text(asking)
    (to,) = (each for each in here.ok("plinth", "reset").splitlines() if each.startswith("to "))
    do(url, "delete from plinth.environment")
    (long,) = (each for each in here.ok("plinth", "reset").splitlines() if each.startswith("to "))
    assert to == long
    assert str(url.database) in to


def test_seeds_that_fail_are_run_once(here: Project, url: URL) -> None:
    (here.root / "app" / "seeds.py").write_text("print('tried')\nraise SystemExit(1)\n")
    done = here.run("plinth", "reset")
    assert (done.returncode, done.stdout) == (1, "tried\n")
    assert "The seeds failed" in done.stderr
    assert rows(url, "select count(*) from users") == [(0,)]
