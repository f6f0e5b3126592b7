"""Other libraries' plug-ins beside Plinth: what they find stands in the same file, in an order that runs."""

import secrets
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.plinth.environments import Environment, build_wheel, make_environment
from tests.plinth.history import rows
from tests.plinth.shapes import MODELS, Site, name_plinth, stock

pytestmark = pytest.mark.slow

LIBRARIES = (
    "psycopg[binary]",
    "alembic-utils",
    "alembic-postgresql-enum",
    "sqlalchemy-declarative-extensions[alembic,parse]",
)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel, and these libraries."""
    folder = tmp_path_factory.mktemp("environment")
    return make_environment(folder / "venv", build_wheel(folder), *LIBRARIES)


@pytest.fixture
def site(tmp_path: Path, empty_url: URL, environment: Environment) -> Site:
    """A folder for a project."""
    folder = tmp_path / "shop"
    folder.mkdir()
    return Site(folder, environment, (empty_url,))


def begin(site: Site, in_env: str) -> None:
    """Let a project have one revision of plain Alembic's, and then Plinth and a library in its env.py."""
    stock(site, "generic")
    site.stage(3)
    site.revision("begin")
    site.ok("upgrade", "head")
    name_plinth(site)
    own = "target_metadata = Base.metadata\n"
    site.edit(site.env, own, own + in_env)


OBJECTS = {
    "alembic-utils": """
from alembic_utils.pg_function import PGFunction
from alembic_utils.pg_trigger import PGTrigger
from alembic_utils.pg_view import PGView
from alembic_utils.replaceable_entity import register_entities

BODY = "returns trigger language plpgsql as $$ begin new.nick = lower(new.nick); return new; end $$"
register_entities([
    PGView("public", "nicks", "select nick from users"),
    PGFunction("public", "lower_nick()", BODY),
    PGTrigger(
        schema="public",
        signature="users_nick",
        definition="before insert on public.users for each row execute function public.lower_nick()",
        on_entity="public.users",
    ),
])
""",
    "sqlalchemy-declarative-extensions": """
from sqlalchemy_declarative_extensions import (
    Functions, Row, Rows, Schemas, Triggers, View, declare_database, register_alembic_events
)
from sqlalchemy_declarative_extensions.dialects.postgresql import Function, Trigger

BODY = "BEGIN NEW.nick = lower(NEW.nick); RETURN NEW; END"
declare_database(
    target_metadata,
    schemas=Schemas().are("audit"),
    views=[View("nicks", "select nick from users")],
    functions=Functions().are(Function("lower_nick", BODY, language="plpgsql", returns="trigger")),
    triggers=Triggers().are(
        Trigger.before("insert", on="users", execute="lower_nick", name="users_nick").for_each_row()
    ),
    rows=Rows(ignore_unspecified=True).are(Row("users", id=1000, name="root", nick="root")),
)
register_alembic_events()
""",
}


@pytest.mark.parametrize("library", OBJECTS)
def test_objects_on_what_plinth_makes(site: Site, library: str) -> None:
    begin(site, OBJECTS[library])
    site.stage(4)
    said = site.revision("nick and what stands on it")
    assert "Not asked" not in said
    up, _, down = site.written()[-1].partition("def downgrade")
    for name in ("nicks", "lower_nick", "users_nick"):
        assert up.index("add_column") < up.rindex(name)
        assert down.index(name) < down.index("drop_column")
    site.ok("upgrade", "head")
    rows(site.urls[0], "insert into users (name, nick) values ('Ada', 'ADA') returning 1")
    assert ("ada",) in rows(site.urls[0], "select nick from nicks")
    assert "No new upgrade operations" in site.ok("check")
    assert "2 revisions, each tried up and down" in site.own("check")
    site.ok("downgrade", "-1")
    assert rows(site.urls[0], "select to_regclass('nicks'), to_regproc('lower_nick')") == [(None, None)]
    site.ok("upgrade", "head")


ROLE = """
from sqlalchemy_declarative_extensions import Grants, Roles, declare_database, register_alembic_events
from sqlalchemy_declarative_extensions.dialects.postgresql import Grant

declare_database(
    target_metadata,
    roles=Roles(ignore_unspecified=True).are("READER"),
    grants=Grants(ignore_unspecified=True).are(Grant.new("select", to="READER").on_tables("users")),
)
register_alembic_events()
"""


def test_roles_which_belong_to_the_whole_server(site: Site) -> None:
    name = f"plinth_{secrets.token_hex(4)}"
    begin(site, ROLE.replace("READER", name))
    site.stage(4)
    site.revision("nick and a reader")
    url, there = site.urls[0], "select count(*) from pg_roles where rolname = %s"
    assert rows(url, there, name) == [(0,)], "it was tried, and nothing is left of that"
    site.ok("upgrade", "head")
    assert "No new upgrade operations" in site.ok("check")
    assert "2 revisions, each tried up and down" in site.own("check")
    assert rows(url, "select has_table_privilege(%s, 'users', 'select')", name) == [(True,)]
    site.ok("downgrade", "-1")
    assert rows(url, there, name) == [(0,)]


ENUM = """

class Color(enum.Enum):
    red = 1
    green = 2  # 5


class Thing(Base):
    __tablename__ = "things"

    id: Mapped[int] = mapped_column(primary_key=True)
    color: Mapped[Color | None]  # 4
"""


def test_a_library_for_enums_finds_them_done(site: Site) -> None:
    site.source = "\nimport enum\n" + MODELS + ENUM
    begin(site, "import alembic_postgresql_enum\n")
    for stage in (4, 5):
        site.stage(stage)
        assert "Not asked" not in site.revision("colors")
        assert "sync_enum_values" not in site.written()[-1]
        site.ok("upgrade", "head")
        assert "No new upgrade operations" in site.ok("check")
    labels = "select enumlabel from pg_enum order by enumsortorder"
    assert rows(site.urls[0], labels) == [("red",), ("green",)]
    site.ok("downgrade", "base")
    assert rows(site.urls[0], "select count(*) from pg_enum") == [(0,)]
