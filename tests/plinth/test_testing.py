"""The pytest plug-in, in projects that Alembic made, of any layout."""

import asyncio
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from plinth import settings
from plinth.advisory import number_of
from plinth.connecting import connect
from plinth.safety import SafetyError, write_marker
from plinth.testing import asynchronous
from plinth.testing.server import PREFIX, drop_leftovers, libpq, started
from tests.plinth.conftest import own_home
from tests.plinth.history import do, psql, rows
from tests.plinth.project import without_modules
from tests.plinth.test_existing_projects import WHOLE, Existing, init

SETTINGS = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
CONFTEST = 'pytest_plugins = ["plinth.testing"]\n'
MIGRATIONS = """
from plinth.testing import MigrationTests


class TestMigrations(MigrationTests): ...
"""
IN_SYNC = """
import pytest
from sqlalchemy import create_engine, select, text

from models import User


@pytest.mark.parametrize("name", ["Ada", "Grace"])
def test_what_is_committed_is_gone_afterwards(session, name):
    session.add(User(name=name))
    session.commit()
    session.rollback()
    assert session.scalars(select(User.name)).all() == [name]


def test_a_clone_is_a_database_of_its_own(clone_url, session):
    engine = create_engine(clone_url)
    with engine.begin() as connection:
        connection.execute(text("insert into users (name) values ('Lin')"))
    engine.dispose()
    assert session.scalars(select(User.name)).all() == []
"""
IN_LOOPS = """
import pytest
from sqlalchemy import select

from models import User


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def judge(session):
    assert (await session.scalars(select(User.name))).all() == []
    session.add(User(name="Ada"))
    await session.commit()
    await session.rollback()
    assert (await session.scalars(select(User.name))).all() == ["Ada"]
    return session.bind.dialect.driver


@pytest.mark.asyncio
async def test_function(async_session):
    assert await judge(async_session) == "DRIVER"


@pytest.mark.asyncio(loop_scope="session")
async def test_session(async_session):
    assert await judge(async_session) == "DRIVER"


@pytest.mark.anyio
async def test_anyio(async_session):
    assert await judge(async_session) == "DRIVER"
"""
COMMITS = """
import pytest
from sqlalchemy import text

ROW = text("insert into users (name) values ('Ada')")


def test_connection(connection):
    connection.execute(ROW)
    connection.commit()


def test_session(session):
    session.rollback()
    session.execute(ROW)
    session.connection().commit()


@pytest.mark.asyncio
async def test_async(async_connection):
    await async_connection.execute(ROW)
    await async_connection.commit()


def test_what_the_next_one_sees(session):
    assert session.scalar(text("select count(*) from users")) == 0
"""
REVISION = """
import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {below!r}


def upgrade():
    {up}


def downgrade():
    {down}
"""
USERS = """op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(50), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )"""
NICKNAME = 'op.add_column("users", sa.Column("nickname", sa.String()))'


def add_revision(project: Existing, revision: str, below: str | None, up: str, down: str = "pass") -> None:
    """Write a revision by hand."""
    text = REVISION.format(revision=revision, below=below, up=up, down=down)
    (project.root / "migrations" / "versions" / f"{revision}_by_hand.py").write_text(text)


def add_tests(project: Existing, **files: str) -> None:
    """Write what every project has, and files of tests."""
    tests = project.root / "tests"
    tests.mkdir(exist_ok=True)
    (project.root / "pytest.ini").write_text(SETTINGS)
    (tests / "conftest.py").write_text(CONFTEST)
    for name, content in files.items():
        (tests / f"{name}.py").write_text(content)


def pytest_in(project: Existing, *arguments: str, **environment: str) -> str:
    """Run pytest in a project, and return what it printed, whatever came of it."""
    given = ("-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-W", "error", *arguments)
    done = project.run("pytest", *given, **{"PLINTH_HOME": own_home(), "APP_ENV": "", **environment})
    return done.stdout + done.stderr


def counts(output: str) -> dict[str, int]:
    """Return how many tests passed, failed and so on."""
    [line] = re.findall(r"^(\d+ \w+.*) in [\d.]+s", output, re.MULTILINE) or [""]
    return {name: int(number) for number, name in re.findall(r"(\d+) (\w+)", line)}


@pytest.fixture
def project(tmp_path: Path, empty_url: URL) -> Existing:
    """A project with an env.py of Alembic's that names Plinth, and two revisions."""
    made = init(tmp_path / "shop", empty_url.set(drivername="postgresql+asyncpg"), "async")
    made.edit("models.py", "(String(50))\n", "(String(50))\n    nickname: Mapped[str | None]\n")
    made.edit(
        "migrations/env.py",
        "connection=connection, target_metadata=target_metadata",
        "connection=connection, target_metadata=target_metadata, **plinth.options()",
    )
    add_revision(made, "r1", None, USERS, 'op.drop_table("users")')
    add_revision(made, "r2", "r1", NICKNAME, 'op.drop_column("users", "nickname")')
    return made


@pytest.mark.slow
def test_its_own_database_is_left_alone(project: Existing, empty_url: URL) -> None:
    project.ok("alembic", "upgrade", "r1")
    add_tests(project, test_migrations=MIGRATIONS, test_users=IN_SYNC)
    output = pytest_in(project)
    assert counts(output) == {"passed": 8}, output
    assert rows(empty_url, "select version_num from alembic_version") == [("r1",)]
    assert rows(empty_url, "select count(*) from users") == [(0,)]


@pytest.mark.slow
@pytest.mark.parametrize("template", ["generic", "whole"])
def test_with_another_environment(project: Existing, template: str, tmp_path: Path, empty_url: URL) -> None:
    other = init(tmp_path / "other", empty_url.set(drivername="postgresql+psycopg"))
    for file in ("models.py", "migrations/versions/r1_by_hand.py", "migrations/versions/r2_by_hand.py"):
        (other.root / file).write_text((project.root / file).read_text())
    given = "connection=connection, target_metadata=target_metadata"
    other.edit("migrations/env.py", given, f"{given}, **plinth.options()")
    if template == "whole":
        (other.root / "migrations" / "env.py").write_text(WHOLE)
    test_its_own_database_is_left_alone(other, empty_url)


@pytest.mark.parametrize("driver", ["asyncpg", pytest.param("psycopg", marks=pytest.mark.slow)])
def test_an_asynchronous_session_runs_in_each_loop(project: Existing, driver: str) -> None:
    add_tests(project, test_users=IN_LOOPS.replace("DRIVER", driver))
    if driver == "psycopg":
        project.edit("alembic.ini", "postgresql+asyncpg", "postgresql+psycopg")
    output = pytest_in(project)
    assert counts(output) == {"passed": 3}, output


@pytest.mark.slow
def test_a_revision_that_does_not_come_back_and_one_that_is_not_as_the_models_say(project: Existing) -> None:
    add_revision(project, "r3", "r2", 'op.create_index("by_name", "users", ["name"])')
    opened = "op.execute('alter default privileges grant select on tables to public')"
    add_revision(project, "r4", "r3", opened)
    add_tests(project, test_migrations=MIGRATIONS)
    output = pytest_in(project)
    assert counts(output) == {"failed": 4, "passed": 1}, output
    assert output.count("default acl for role") >= 2, output
    assert "The downgrade of revision r3" in output
    assert "index users.by_name is too much" in output
    assert "During handling" not in output
    assert "site-packages" not in output


@pytest.mark.slow
def test_a_chain_that_begins_on_what_others_made(project: Existing) -> None:
    (project.root / "migrations" / "versions" / "r1_by_hand.py").unlink()
    add_revision(project, "r1", None, "pass")
    add_tests(project, test_migrations=MIGRATIONS, test_users=IN_SYNC)
    output = pytest_in(project, "-x")
    assert 'relation "users" does not exist' in output
    assert "baseline" in output
    assert "Traceback" not in output
    table = "create table users (id serial primary key, name varchar(50) not null)"
    (project.root / "tests" / "conftest.py").write_text(
        f"{CONFTEST}\nimport pytest\n\n\n@pytest.fixture(scope='session')\n"
        f"def baseline():\n    return {table!r}\n"
    )
    output = pytest_in(project)
    assert counts(output) == {"passed": 8}, output


@pytest.mark.slow
def test_alembics_configuration_may_lie_elsewhere(project: Existing, tmp_path: Path) -> None:
    (project.root / "src").mkdir()
    (project.root / "models.py").rename(project.root / "src" / "models.py")
    (project.root / "pyproject.toml").touch()
    (project.root / "db").mkdir()
    for name in ("migrations", "alembic.ini"):
        (project.root / name).rename(project.root / "db" / name)
    project.edit("db/alembic.ini", "prepend_sys_path = .", "prepend_sys_path = src")
    add_tests(project, test_one="def test_one(session): ...\n")
    ini = project.root / "pytest.ini"
    ini.write_text(f"{SETTINGS}alembic_config = deploy/alembic.ini\n")
    assert "there is no such file" in pytest_in(project)
    (project.root / "db").rename(project.root / "deploy")
    output = pytest_in(project)
    assert counts(output) == {"passed": 1}, output
    ini.write_text(SETTINGS)
    output = pytest_in(project, ALEMBIC_CONFIG="deploy/alembic.ini")
    assert counts(output) == {"passed": 1}, output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        ("pytest_postgresql", "pip install 'alembic-plinth[test]'"),
        ("psutil", "pip install 'alembic-plinth[local]'"),
        ("pytest_asyncio", "pip install pytest-asyncio"),
    ],
)
def test_what_is_missing_is_named(project: Existing, tmp_path: Path, module: str, sentence: str) -> None:
    fixture = "async_session" if module == "pytest_asyncio" else "session"
    missing = without_modules(tmp_path / "missing", module)
    add_tests(project, test_one=f"def test_one({fixture}): ...\n")
    (project.root / "pytest.ini").write_text("[pytest]\n")
    output = pytest_in(
        project, "-p", "no:asyncio", "-p", "no:postgresql", PYTHONPATH=f"{missing}:{settings.root()}"
    )
    assert sentence in output
    assert "Traceback" not in output


def test_a_test_that_commits_its_connection_fails_and_leaves_nothing(project: Existing) -> None:
    add_tests(project, test_commits=COMMITS)
    output = pytest_in(project)
    assert counts(output) == {"failed": 3, "passed": 1}, output
    assert "Failed: The connection of the tests is committed" in output


@pytest.fixture
def leftovers(server: URL, clone_url: URL) -> Iterator[dict[str, str]]:
    """Databases of other runs, by what becomes of them."""
    runs = {each: f"{PREFIX}{secrets.token_hex(4)}" for each in ("killed", "locked", "entered", "foreign")}
    names = {each: f"{run}_1" for each, run in runs.items()}
    role = secrets.token_hex(4)
    do(server, f'create role "{role}"')
    for name in names.values():
        do(server, f"create database {name} template template0")
    do(server, f'alter database {names["foreign"]} owner to "{role}"')
    with psql(clone_url) as elsewhere, psql(server.set(database=names["entered"])):
        elsewhere.execute("select pg_advisory_lock(%s)", [number_of(runs["locked"])])
        yield names
    for name in names.values():
        do(server, f"drop database if exists {name}")
    do(server, f'drop role "{role}"')


def test_databases_that_others_use_stay(server: URL, leftovers: dict[str, str]) -> None:
    """The lock of a run is held in whichever database its project has on the server."""
    tester = secrets.token_hex(4)
    do(server, f'create role "{tester}" createdb; alter database {leftovers["killed"]} owner to "{tester}"')
    with connect(server, autocommit=True) as connection:
        connection.exec_driver_sql(f'set role "{tester}"')
        drop_leftovers(connection)
        connection.exec_driver_sql("reset role")
        drop_leftovers(connection)
    kept = {name for (name,) in rows(server, "select datname from pg_database")}
    assert kept.intersection(leftovers.values()) == {leftovers["locked"], leftovers["entered"]}
    do(server, f'drop role "{tester}"')


@pytest.mark.parametrize("by", ["marker", "APP_ENV"])
def test_no_database_is_made_beside_productions(
    empty_url: URL, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", empty_url.render_as_string(hide_password=False))
    if by == "marker":
        with connect(empty_url) as connection:
            write_marker(connection, "production")
            connection.commit()
    else:
        monkeypatch.setenv("APP_ENV", "production")
    with pytest.raises(SafetyError, match="beside production's"), started():
        pass


async def asked(engine: AsyncEngine, sql: str) -> tuple[object, ...]:
    async with engine.connect() as connection:
        return tuple((await connection.exec_driver_sql(sql)).one())


def test_the_options_of_the_url_are_those_of_each_session(
    empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"options": r'-c search_path="a\ b",public --work-mem=5MB', "target_session_attrs": "primary"}
    url = empty_url.update_query_dict({**options, "application_name": "mine"})
    monkeypatch.setenv("TEST_DATABASE_URL", url.render_as_string(hide_password=False))
    sql = "select current_setting('search_path'), current_setting('work_mem')"
    wanted = ('"a b",public', "5MB")
    with started() as found, found.database() as made:
        settings.forget_libpq_places()  # as each command does
        assert made.query["target_session_attrs"] == "primary"
        assert rows(made, sql) == [wanted]
        with psycopg.connect(**libpq(found, str(made.database))) as session:
            found_there = session.execute(f"{sql}, current_setting('application_name')").fetchone()
            assert found_there == (*wanted, "mine")
        for driver in ("asyncpg", "psycopg"):
            assert asyncio.run(asked(asynchronous.engine_of(made, driver), sql)) == wanted


def test_a_project_without_asynchronous_code_needs_no_greenlet() -> None:
    without = "import sys; sys.modules['greenlet'] = None; import plinth.testing"
    done = subprocess.run([sys.executable, "-c", without], cwd=settings.root(), check=False)
    assert done.returncode == 0
