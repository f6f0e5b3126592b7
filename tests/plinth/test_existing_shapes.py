"""Projects of the field's shapes, each as its tools make it: Plinth comes, works, and goes without a trace.

Each has an environment of its own, into which the wheel is installed.
"""

import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import URL

from plinth.testing.server import RUN, DatabaseServer, libpq
from tests.plinth.environments import Environment, build_wheel, make_environment
from tests.plinth.history import rows
from tests.plinth.shapes import MODELS, Site, name_plinth, shown, stock

pytestmark = pytest.mark.slow

LIBRARIES = (
    "psycopg[binary]",
    "asyncpg",
    "flask-migrate",
    "flask-sqlalchemy",
    "fastapi",
    "httpx",
    "sqlmodel",
    "advanced-alchemy[cli]",
    "pytest-alembic",
)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel, and the libraries of all shapes."""
    folder = tmp_path_factory.mktemp("environment")
    return make_environment(folder / "venv", build_wheel(folder), *LIBRARIES)


@pytest.fixture
def second_url(database_server: DatabaseServer) -> Iterator[URL]:
    """The URL of a second empty database."""
    name = f"{RUN}_{secrets.token_hex(4)}_second"
    place = libpq(database_server, database_server.maintenance_dbname)
    with psycopg.connect(**place, autocommit=True) as connection:
        connection.execute(f'create database "{name}"')
        yield database_server.url(name)
        connection.execute(f'drop database "{name}" with (force)')


@pytest.fixture
def site(tmp_path: Path, empty_url: URL, environment: Environment) -> Site:
    """A folder for a project, whose environment has no Plinth yet."""
    environment.uninstall()
    folder = tmp_path / "shop"
    folder.mkdir()
    return Site(folder, environment, (empty_url,))


def journey(site: Site, adopt: Callable[[Site], None] = name_plinth, *, revisions: int = 4) -> None:
    """Let a project live with plain Alembic, then with Plinth, and then without it again."""
    site.live()
    url = site.urls[0]
    rows(url, "insert into users (name, email) values ('Ada', 'a'), ('Bob', 'b') returning 1")
    before = (site.root / site.env).read_text()
    site.environment.install()
    adopt(site)
    site.stage(4)
    site.revision("nick")
    assert len(site.written()) == revisions
    site.ok("upgrade", "head")
    assert rows(url, "select nick from users order by id") == [("Ada",), ("Bob",)]
    assert "No new upgrade operations" in site.ok("check")
    site.ok("downgrade", "-1")
    assert "1 pending" in site.own("status", code=1)
    site.ok("upgrade", "head")
    assert "in order" in site.own("status")
    assert f"{revisions} revisions, each tried up and down" in site.own("check")
    (site.root / site.env).write_text(before)
    site.environment.uninstall()
    site.ok("downgrade", "base")
    assert rows(url, "select to_regclass('users')") == [(None,)]
    site.ok("upgrade", "head")
    assert "No new upgrade operations" in site.ok("check")


def run_instead(site: Site) -> None:
    """Let run() be the whole env.py."""
    site.variables = {**site.variables, "PLINTH_CONFIRM": str(site.urls[0].database)}
    site.write(site.env, "from models import Base\nfrom plinth.env import run\n\nrun(Base.metadata)\n")


@pytest.mark.parametrize("adopt", [name_plinth, run_instead])
@pytest.mark.parametrize("template", ["generic", "pyproject", "async", "pyproject_async"])
def test_stock_templates(site: Site, template: str, adopt: Callable[[Site], None]) -> None:
    if "pyproject" in template:
        site.write("pyproject.toml", '[project]\nname = "shop"\nversion = "1"\n')
    journey(
        stock(site, template, "postgresql+asyncpg" if "async" in template else "postgresql+psycopg"), adopt
    )


def test_models_under_src(site: Site) -> None:
    site.write("pyproject.toml", '[project]\nname = "shop"\nversion = "1"\n')
    site.write("src/shop/__init__.py", "")
    site.models = "src/shop/models.py"
    stock(site, "generic")
    site.edit("alembic.ini", "prepend_sys_path = .", "prepend_sys_path = src")
    journey(site)


TWO = """
import os

import models

target_metadata = {
    "first": models.Base.metadata,
    "second": models.Other.metadata,
}
"""
SECOND = """

class Other(DeclarativeBase):
    pass


class Event(Other):
    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str | None] = mapped_column(String(20))  # 4
"""


def test_several_databases(site: Site, second_url: URL) -> None:
    site.urls = (*site.urls, second_url)
    site.source = MODELS + SECOND
    site.python("-m", "alembic", "init", "-t", "multidb", "migrations")
    site.edit("alembic.ini", "databases = engine1, engine2", "databases = first, second")
    for name, standing, url in zip(("first", "second"), ("engine1", "engine2"), site.urls, strict=True):
        site.edit("alembic.ini", f"[{standing}]", f"[{name}]")
        address = "driver://user:pass@localhost/dbname" + ("2" if name == "second" else "")
        site.edit("alembic.ini", f"{address}\n", shown(url).replace("%", "%%") + "\n")
    site.edit("migrations/env.py", "target_metadata = {}", TWO)

    def adopt(site: Site) -> None:
        assert "take --level write" in site.python("-m", "plinth", "adopt", code=1)
        said = site.python("-m", "plinth", "adopt", "--level", "write", "--write", code=0)
        assert "comes from Alembic's template multidb" in said

    journey(site, adopt)
    assert rows(
        second_url, "select column_name from information_schema.columns where table_name = 'events'"
    ) == [
        ("id",),
        ("kind",),
    ]
    site.python("-m", "alembic", "revision", "-m", "write the second one", code=0)
    [file] = (site.root / "migrations" / "versions").glob("*write_the_second_one.py")
    begins = "def upgrade_second() -> None:\n"
    update = f"{begins}    op.execute('update events set kind = kind')\n"  # noqa: S608 - a text of our own
    site.edit(str(file.relative_to(site.root)), begins, update)
    assert "blocks, if" in site.python("-m", "plinth", "plan", code=0).split("Database ")[2]
    site.environment.install()
    site.write(
        "migrations/env.py", "from models import Base\nfrom plinth.env import run\n\nrun(Base.metadata)\n"
    )
    assert "names several" in site.python("-m", "alembic", "upgrade", "head", code=255)


FLASK = """
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)
migrate = Migrate()


class User(db.Model):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    email: Mapped[str | None] = mapped_column(String(100), index=True)  # 2
    nick: Mapped[str] = mapped_column(String(50), index=True, info={"backfill": "name"})  # 4


class Order(db.Model):  # 3
    __tablename__ = "orders"  # 3

    id: Mapped[int] = mapped_column(primary_key=True)  # 3
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)  # 3


def create_app():
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = URL
    db.init_app(app)
    migrate.init_app(app, db)
    return app


def alembic_config():
    app = create_app()
    app.app_context().push()
    return app.extensions["migrate"].migrate.get_config()
"""


FLASK_ENV = """
from alembic import context
from flask import current_app
from plinth.env import run

db = current_app.extensions["migrate"].db
context.config.attributes.setdefault("connection", db.engine)
run(db.metadata)
"""


@pytest.mark.parametrize("level", ["write", "apply"])
def test_flask_migrate(site: Site, level: str) -> None:
    site.models, site.source = "shop.py", FLASK.replace("= URL", f"= {shown(site.urls[0])!r}")
    site.program, site.plinth = ("flask", "--app", "shop", "db"), ("-c", "shop:alembic_config")
    site.commands = {"revision --autogenerate": ("migrate",), "downgrade": ("downgrade", "--")}
    site.stage(1)
    site.ok("init")

    def adopt(site: Site) -> None:
        if level == "write":
            name_plinth(site)
            return
        site.variables = {"PLINTH_CONFIRM": str(site.urls[0].database)}
        site.write(site.env, FLASK_ENV)

    journey(site, adopt)


SQLMODEL = """
from fastapi import FastAPI
from sqlalchemy import String
from sqlmodel import Field, SQLModel


class User(SQLModel, table=True):
    __tablename__ = "users"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=50)
    email: str | None = Field(default=None, index=True)  # 2
    nick: str = Field(max_length=50, index=True, sa_column_kwargs={"info": {"backfill": "name"}})  # 4


class Order(SQLModel, table=True):  # 3
    __tablename__ = "orders"  # 3

    id: int | None = Field(default=None, primary_key=True)  # 3
    user_id: int = Field(foreign_key="users.id", index=True)  # 3


Base = SQLModel
"""
LIFESPAN = """
import asyncio
import logging
from contextlib import asynccontextmanager

from alembic import command
from alembic.config import Config
from fastapi import FastAPI
from fastapi.testclient import TestClient


@asynccontextmanager
async def lifespan(app):
    await asyncio.to_thread(command.upgrade, Config("alembic.ini"), "head")
    yield


logging.getLogger("shop").addHandler(logging.NullHandler())
app = FastAPI(lifespan=lifespan)
app.get("/")(lambda: "here")
with TestClient(app) as client:
    print(client.get("/").text)
assert not logging.getLogger("shop").disabled
"""


@pytest.mark.parametrize("adopt", [name_plinth, run_instead])
def test_fastapi_with_sqlmodel_on_asyncpg(site: Site, adopt: Callable[[Site], None]) -> None:
    site.source = SQLMODEL
    stock(site, "async", "postgresql+asyncpg")
    site.edit(
        "migrations/script.py.mako", "import sqlalchemy as sa\n", "import sqlalchemy as sa\nimport sqlmodel\n"
    )
    site.edit("migrations/env.py", "from logging.config import fileConfig\n", "")
    site.edit("migrations/env.py", "fileConfig(config.config_file_name)", "pass")
    journey(site, adopt)
    site.ok("downgrade", "base")
    site.environment.install()
    before = (site.root / site.env).read_text()
    adopt(site)
    site.write("serve.py", LIFESPAN)
    assert "here" in site.python("serve.py")
    (site.root / site.env).write_text(before)


ADVANCED = """
from advanced_alchemy.alembic.commands import AlembicCommands
from advanced_alchemy.base import BigIntBase
from advanced_alchemy.config import AlembicAsyncConfig, SQLAlchemyAsyncConfig
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column


class User(BigIntBase):
    __tablename__ = "users"

    name: Mapped[str] = mapped_column(String(50))
    email: Mapped[str | None] = mapped_column(String(100), index=True)  # 2
    nick: Mapped[str] = mapped_column(String(50), index=True, info={"backfill": "name"})  # 4


class Order(BigIntBase):  # 3
    __tablename__ = "orders"  # 3

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)  # 3


config = SQLAlchemyAsyncConfig(
    connection_string=URL, alembic_config=AlembicAsyncConfig(script_location="migrations")
)


def alembic_config():
    return AlembicCommands(config).config
"""


@pytest.mark.parametrize("level", ["write", "apply"])
def test_advanced_alchemy(site: Site, level: str) -> None:
    url = shown(site.urls[0], "postgresql+asyncpg")
    site.models, site.source = "shop.py", ADVANCED.replace("=URL", f"={url!r}")
    site.program, site.plinth = ("advanced_alchemy", "--config", "shop.config"), ("-c", "shop:alembic_config")
    site.commands = {
        "revision --autogenerate": ("make-migrations", "--no-prompt"),
        "upgrade": ("upgrade", "--no-prompt"),
        "downgrade": ("downgrade", "--no-prompt", "--"),
    }
    site.stage(1)
    site.ok("init --no-prompt", "migrations")

    def adopt(site: Site) -> None:
        """Adopt it; the template's way of committing each statement leaves no room for steps."""
        # The models' sequences belong to no column, those that its first revisions made do.
        said = site.own("adopt", "--write", "--level", level, code=1)
        assert "env.py is advanced-alchemy's." in said
        assert "Written." in said
        site.variables = {"PLINTH_CONFIRM": str(site.urls[0].database)}
        site.stage(4)
        refused = site.python(
            "-m", *site.program, *site.commands["revision --autogenerate"], "-m", "nick", code=1
        )
        assert "script.py.mako runs all of a revision in an autocommit_block()" in refused
        assert len(site.written()) == 3
        template = site.root / "migrations" / "script.py.mako"
        block = (
            r"        with op\.get_context\(\)\.autocommit_block\(\):\n            (.*)\n            (.*)\n"
        )
        text, count = re.subn(block, r"        \1\n        \2\n", template.read_text())
        assert count == 2
        template.write_text(text)

    journey(site, adopt, revisions=5)  # running code may leave out a key, whose default goes


BILLING = """
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Invoice(Base):
    __tablename__ = "invoices"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
"""


def test_two_version_tables_in_one_database(site: Site) -> None:
    stock(site, "generic")
    own = "target_metadata=target_metadata"
    known = ", include_name=lambda name, kind, _: kind != 'table' or name in target_metadata.tables"
    site.edit("migrations/env.py", own, own + known)
    site.write("billing/models.py", BILLING)
    ini = (site.root / "alembic.ini").read_text()
    section = ini.partition("[alembic]\n")[2].partition("\n[")[0].replace("/migrations", "/billing")
    site.write("alembic.ini", f"{ini}\n[billing]\n{section}\n")
    site.write(
        "billing/env.py", (site.root / site.env).read_text().replace("from models", "from billing.models")
    )
    site.edit("billing/env.py", own, f"{own}, version_table='billing_version'")
    site.write("billing/script.py.mako", (site.root / "migrations/script.py.mako").read_text())
    site.write("billing/versions/.keep", "")
    site.python("-m", "alembic", "-n", "billing", "revision", "--autogenerate", "-m", "invoices")
    site.python("-m", "alembic", "-n", "billing", "upgrade", "head")
    journey(site)
    site.environment.install()
    assert "in order" in site.python("-m", "plinth", "-n", "billing", "status")
    assert "1 revision, each tried up and down" in site.python("-m", "plinth", "-n", "billing", "check")


PYTEST_ALEMBIC = """
import pytest
from pytest_alembic.tests import *
from sqlalchemy import create_engine


@pytest.fixture
def alembic_config():
    return {"file": "alembic.ini"}


@pytest.fixture
def alembic_engine():
    return create_engine(URL)
"""


@pytest.mark.parametrize("adopt", [name_plinth, run_instead])
def test_pytest_alembic(site: Site, adopt: Callable[[Site], None]) -> None:
    stock(site, "generic")
    taking = "connectable = config.attributes.get('connection') or engine_from_config("
    site.edit("migrations/env.py", "connectable = engine_from_config(", taking)
    site.live()
    site.environment.install()
    adopt(site)
    site.stage(4)
    site.revision("nick")
    site.ok("downgrade", "base")
    site.write("test_chain.py", PYTEST_ALEMBIC.replace("URL", repr(shown(site.urls[0]))))
    assert "4 passed" in site.python("-m", "pytest", "-q", "test_chain.py")
