"""`plinth adopt` looks at a project that Alembic made, says what it finds, and changes what is asked for."""

import ast
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import alembic
import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth import settings
from plinth.adopt.adoption import Adoption, adopt
from plinth.adopt.env_file import read_env
from plinth.adopt.report import lines
from plinth.adopt.rewriting import in_the_way, rewritten
from plinth.development import alembic_config
from plinth.errors import PlinthError
from tests.plinth.conftest import own_home
from tests.plinth.documents import read
from tests.plinth.history import rows
from tests.plinth.project import GIT, Project
from tests.plinth.test_existing_projects import Existing, init

SOURCE = str(settings.root())
TEMPLATES = Path(alembic.__file__).parent / "templates"
Look = Callable[..., Adoption]

USERS = """op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )"""


def revision(
    project: Existing,
    name: str,
    down: str | None,
    up: str = "pass",
    back: str = "pass",
) -> None:
    """Write a revision, as people do."""
    (project.root / "migrations" / "versions" / f"{name}.py").write_text(
        f'"""made by hand"""\n\nimport sqlalchemy as sa\nfrom alembic import op\n\n'
        f'revision = "{name.partition("_")[0]}"\n'
        f"down_revision = {down!r}\nbranch_labels = None\ndepends_on = None\n\n\n"
        f"def upgrade():\n    {up}\n\n\ndef downgrade():\n    {back}\n"
    )


def sql(url: URL, *statements: str) -> None:
    with create_engine(url, poolclass=NullPool).begin() as connection:
        for each in statements:
            connection.exec_driver_sql(each)


def stamp(url: URL, name: str) -> None:
    """Say that a database has a revision, as Alembic would."""
    sql(
        url,
        "create table alembic_version (version_num varchar(32) not null, "
        "constraint alembic_version_pkc primary key (version_num))",
        f"insert into alembic_version values ('{name}')",  # noqa: S608
    )


@pytest.fixture
def shop(tmp_path: Path, empty_url: URL) -> Existing:
    """A project as `alembic init` makes it, with models that know a table of users."""
    project = init(tmp_path / "shop", empty_url)
    project.edit("migrations/env.py", "import plinth\n", "")
    return project


@pytest.fixture
def look(shop: Existing, monkeypatch: pytest.MonkeyPatch) -> Iterator[Look]:
    """Return a function that adopts the shop within this process."""
    monkeypatch.setenv("PLINTH_HOME", own_home())  # a server of the shop's own would be left running
    monkeypatch.chdir(shop.root)
    monkeypatch.syspath_prepend(str(shop.root))
    monkeypatch.setenv("APP_ENV", "development")
    monkeypatch.setattr(settings, "_chosen", None)
    settings.tool_settings.cache_clear()

    def run(**given: object) -> Adoption:
        for name in ("models", "app_database"):
            sys.modules.pop(name, None)
        settings.use_root(shop.root / "alembic.ini")
        return adopt(alembic_config(), **given)  # type: ignore[arg-type]

    yield run
    settings.tool_settings.cache_clear()


def users(shop: Existing, url: URL) -> None:
    """Let the shop have a revision that makes its users, and its database have it."""
    revision(shop, "r1", None, USERS, 'op.drop_table("users")')
    sql(url, "create table users (id serial primary key, name varchar(50) not null)")
    stamp(url, "r1")


def files(project: Existing) -> dict[str, str]:
    found = (path for path in project.root.rglob("*") if path.suffix in {".py", ".ini", ".toml"})
    return {str(path): path.read_text() for path in found}


def test_it_shows_what_it_would_change_and_changes_nothing(
    shop: Existing, empty_url: URL, look: Look
) -> None:
    users(shop, empty_url)
    before = files(shop)
    found = look()
    assert files(shop) == before
    assert rows(empty_url, "select count(*) from pg_namespace where nspname = 'plinth'") == [(0,)]
    assert (found.template, found.level, found.by_hand) == ("generic", "none", [])
    assert "+run(target_metadata)\n" in found.change
    assert "-    connectable = engine_from_config(\n" in found.change
    assert (found.revisions, found.from_nothing, found.tried, found.heads) == (1, True, 1, ["r1"])
    assert found.in_order, "\n".join(lines(found))
    text = "\n".join(lines(found))
    assert "migrations/env.py comes from Alembic's template generic." in text
    assert "They build a database from nothing." in text
    assert "Up, down and up again, all put back that was there: 1 of 1." in text
    assert "Database, revisions and models agree." in text


def test_each_difference_is_named_with_its_origin(shop: Existing, empty_url: URL, look: Look) -> None:
    users(shop, empty_url)
    sql(
        empty_url,
        "create index by_hand on users (name)",
        "alter table users add age int",
        "create table others (id serial)",
    )
    new = "    age: Mapped[int | None]\n    nick: Mapped[str | None]\n"
    shop.edit("models.py", "String(50))\n", f"String(50))\n{new}")
    found = look()
    assert {(each.kind, each.name): each.origin for each in found.differences} == {
        ("index", "users.by_hand"): "by hand",
        ("column", "users.age"): "chain",
        ("column", "users.nick"): "models",
    }
    assert found.left_alone == ["table others"]
    assert not found.in_order
    text = "\n".join(lines(found))
    assert "index users.by_hand is too much (made by hand, the database alone differs)" in text
    assert "column users.age is missing (the revisions alone differ" in text
    assert found.undoing == []  # which would undo what the revisions are to get


def test_what_was_changed_by_hand_is_undone_by_the_sql_that_is_shown(
    shop: Existing, empty_url: URL, look: Look
) -> None:
    users(shop, empty_url)
    sql(
        empty_url,
        "create index by_hand on users (name)",
        "alter table users add age int, alter name drop not null, alter name type varchar(80)",
        "create type left_over as enum ('a')",
    )
    found = look()
    assert {(each.kind, each.name, each.attribute) for each in found.differences} == {
        ("index", "users.by_hand", ""),
        ("column", "users.age", ""),
        ("column", "users.name", "not null"),
        ("column", "users.name", "type"),
    }
    assert found.left_alone == ["enum left_over"]
    assert "-- with its values:\n  ALTER TABLE users DROP COLUMN age;" in "\n".join(lines(found))
    sql(empty_url, "\n".join(found.undoing))
    assert look().in_order


@pytest.mark.slow
def test_what_was_changed_by_hand_gets_a_revision(shop: Existing, empty_url: URL, look: Look) -> None:
    revision(shop, "r1", None, USERS, 'op.drop_table("users")')
    old = """op.execute("create type mood as enum ('a'); alter table users add mood mood")"""
    revision(shop, "r2", "r1", old, 'op.execute("alter table users drop mood; drop type mood")')
    gone = 'op.execute("alter table users drop mood")'
    revision(shop, "r3", "r2", gone, 'op.execute("alter table users add mood mood")')
    sql(empty_url, "create table users (id serial primary key, name varchar(50) not null)")
    sql(empty_url, "create type mood as enum ('a')", "alter table users add age int")
    stamp(empty_url, "r3")
    look(write=True)

    def written(*words: str) -> str:
        return shop.ok("alembic", *words, "revision", "--autogenerate", "-m", "more", PYTHONPATH=SOURCE)

    drift = r"so what is written for it fails where they are run:\s+column users.age is too much"
    with pytest.raises(AssertionError, match=drift):
        written()
    by_revisions = ("-x", "compare=revisions")
    shop.edit("models.py", "String(50))\n", "String(50))\n    age: Mapped[int | None]\n")
    with pytest.raises(AssertionError, match=r"part of it already \(column users.age\).*\(enum mood\)"):
        written(*by_revisions)
    shop.edit("models.py", "    age: Mapped[int | None]\n", "")
    written(*by_revisions)
    shop.ok("alembic", "upgrade", "head", PYTHONPATH=SOURCE)
    assert rows(empty_url, "select count(*) from pg_type where typname = 'mood'") == [(0,)]
    shop.edit("models.py", "String(50))\n", "String(50))\n    age: Mapped[int | None]\n")
    assert "The database has this already: alembic stamp head" in written(*by_revisions)
    assert look().undoing == []
    shop.ok("alembic", "stamp", "head", PYTHONPATH=SOURCE)
    assert look().in_order
    assert "No new upgrade" in shop.ok("alembic", *by_revisions, "check", PYTHONPATH=SOURCE)


@pytest.mark.slow
def test_a_database_that_is_behind_is_compared_with_what_it_has(
    shop: Existing, empty_url: URL, look: Look
) -> None:
    users(shop, empty_url)
    revision(
        shop, "r2", "r1", 'op.execute("alter table users add age int")', 'op.drop_column("users", "age")'
    )
    shop.edit("models.py", "String(50))\n", "String(50))\n    age: Mapped[int | None]\n")
    found = look()
    assert found.in_order, "\n".join(lines(found))
    assert "1 to be applied" in "\n".join(found.notes)
    sql(empty_url, "create index by_hand on users (name)")
    assert [(each.name, each.origin) for each in look().differences] == [("users.by_hand", "by hand")]


@pytest.mark.slow
def test_what_is_wrong_with_revisions_is_counted_and_named(
    shop: Existing, empty_url: URL, look: Look
) -> None:
    users(shop, empty_url)
    revision(shop, "r2", "r1", 'op.execute("create view v as select 1 as n")', "pass")
    revision(
        shop, "r3", "r2", "op.create_index('i', 'users', ['name'])", 'raise NotImplementedError("never")'
    )
    found = look()
    assert (found.revisions, found.tried, found.irreversible) == (3, 1, ["r3"])
    assert [(each.kind, each.name) for each in found.problems] == [("downgrade", "r2")]
    assert found.from_nothing
    text = "\n".join(lines(found))
    assert "was there: 1 of 3 (1 says that it can't be undone)." in text
    assert "view public.v is too much" in text
    assert [(each.revision, each.applied) for each in found.blocking] == [("r3", False)]
    assert "postgresql_concurrently" in text
    sql(empty_url, "update alembic_version set version_num = 'r3'", "create view v as select 1 as n")
    sql(empty_url, "create index i on users (name)")
    found = look()
    assert [(each.revision, each.applied) for each in found.blocking] == [("r3", True)]
    assert 'lint_since = "r3"' in "\n".join(found.notes)


@pytest.mark.slow
def test_an_empty_first_revision_that_was_stamped_gets_a_baseline_below_it(
    shop: Existing, empty_url: URL, look: Look
) -> None:
    revision(shop, "r1", None)
    sql(
        empty_url,
        "create table users (id serial primary key, name varchar(50) not null)",
        "insert into users (name) values ('Ada')",
    )
    stamp(empty_url, "r1")
    before = files(shop)
    found = look()
    assert files(shop) == before
    assert (found.from_nothing, found.not_made, found.in_order) == (False, ["table users"], False)
    assert "--write-baseline" in "\n".join(lines(found))

    found = look(baseline=True)
    [new] = (shop.root / "migrations" / "versions").glob("*_baseline.py")
    assert "op.create_table" in new.read_text()
    name = new.name.partition("_")[0]
    assert f"down_revision = '{name}'" in (shop.root / "migrations" / "versions" / "r1.py").read_text()
    found = look()
    assert (found.from_nothing, found.tried, found.heads) == (True, 2, ["r1"])
    assert found.in_order, "\n".join(lines(found))
    assert rows(empty_url, "select name from users") == [("Ada",)]


@pytest.mark.slow
def test_the_schema_of_the_version_table_is_in_no_baseline(
    shop: Existing, empty_url: URL, look: Look
) -> None:
    shop.edit(
        "migrations/env.py",
        "connection=connection, target_metadata=target_metadata",
        "connection=connection, target_metadata=target_metadata, include_schemas=True, "
        "version_table_schema='log'",
    )
    with (shop.root / "models.py").open("a") as models:
        models.write(
            "\n\nclass Entry(Base):\n"
            "    __tablename__ = 'entries'\n"
            "    __table_args__ = {'schema': 'log'}\n\n"
            "    id: Mapped[int] = mapped_column(ForeignKey('users.id'), primary_key=True)\n"
        )
    entries = "create table log.entries (id int primary key references users)"
    revision(shop, "r1", None, f'op.execute("{entries}")', 'op.execute("drop table log.entries")')
    sql(
        empty_url,
        "create schema log",
        "create table users (id serial primary key, name varchar(50) not null)",
        entries,
        "create table log.alembic_version (version_num varchar(32) primary key)",
        "insert into log.alembic_version values ('r1')",
    )
    look(baseline=True)
    [new] = (shop.root / "migrations" / "versions").glob("*_baseline.py")
    assert "op.create_table" in new.read_text()
    assert "SCHEMA log" not in new.read_text()
    assert look().from_nothing


@pytest.mark.slow
def test_a_baseline_drops_no_schema_that_a_filter_leaves_out(
    shop: Existing, empty_url: URL, look: Look
) -> None:
    shop.edit(
        "migrations/env.py",
        "connection=connection, target_metadata=target_metadata",
        "connection=connection, target_metadata=target_metadata, include_schemas=True, "
        "include_name=lambda name, kind, _: name in {'crm', 'log'} or kind != 'schema', "
        "version_table_schema='log'",
    )
    shop.edit(
        "models.py",
        '__tablename__ = "users"',
        '__tablename__ = "users"\n    __table_args__ = {"schema": "crm"}',
    )
    users = "create table crm.users (id serial primary key, name varchar(50) not null)"
    with (shop.root / "models.py").open("a") as models:
        models.write(
            "\n\nclass Entry(Base):\n"
            "    __tablename__ = 'entries'\n"
            "    __table_args__ = {'schema': 'log'}\n\n"
            "    id: Mapped[int] = mapped_column(primary_key=True)\n"
        )
    entries = "create table log.entries (id serial primary key)"
    revision(
        shop,
        "r1",
        None,
        f'op.execute("{users}; {entries}")',
        'op.execute("drop table crm.users; drop table log.entries")',
    )
    sql(
        empty_url,
        "create schema crm",
        "create table stray (id int)",
        users,
        "create schema log",
        entries,
        "create table log.alembic_version (version_num varchar(32) primary key)",
        "insert into log.alembic_version values ('r1')",
    )
    look(baseline=True)
    [new] = (shop.root / "migrations" / "versions").glob("*_baseline.py")
    assert "CREATE SCHEMA crm" in new.read_text()
    assert "public" not in new.read_text()


@pytest.mark.slow
def test_what_another_system_made_and_revisions_lean_on_gets_a_baseline(
    shop: Existing, empty_url: URL, look: Look
) -> None:
    column = 'op.execute("alter table users add age int")'
    revision(shop, "r1", None, column, 'op.drop_column("users", "age")')
    shop.edit("models.py", "String(50))\n", "String(50))\n    age: Mapped[int | None]\n")
    sql(
        empty_url,
        "create type mood as enum ('good', 'bad')",
        "create table users (id serial primary key, name varchar(50) not null, age int)",
        "create table orders (id int primary key, user_id int references users, mood mood, check (id > 0))",
        "create view names as select name from users",
    )
    stamp(empty_url, "r1")
    found = look()
    assert found.not_made == ["table orders", "table users", "type mood", "view public.names"]
    assert (found.tried, found.problems) == (1, [])
    look(baseline=True)
    found = look()
    assert (found.from_nothing, found.tried) == (True, 2)
    assert found.in_order, "\n".join(lines(found))
    assert "orders" not in shop.newest(), "no model knows it, and no revision leans on it"


@pytest.mark.slow
def test_what_revisions_lean_on_and_no_model_knows_is_in_the_baseline_and_named(
    shop: Existing, empty_url: URL, look: Look
) -> None:
    revision(shop, "r1", None, USERS, 'op.drop_table("users")')
    column = 'op.execute("alter table invoices add paid date")'
    revision(shop, "r2", "r1", column, 'op.drop_column("invoices", "paid")')
    sql(empty_url, "create table users (id serial primary key, name varchar(50) not null)")
    sql(empty_url, "create table invoices (id int, paid date)", "create table others (id int)")
    stamp(empty_url, "r2")
    assert look().not_made == ["table invoices", "table others"]
    notes = "\n".join(look(baseline=True).notes)
    assert "No model knows invoices, others: autogenerate would drop it." in notes
    assert look().from_nothing


@pytest.mark.slow
def test_a_database_without_revisions_gets_a_first_one(shop: Existing, empty_url: URL, look: Look) -> None:
    sql(empty_url, "create table users (id serial primary key, name varchar(50) not null)")
    assert look().not_made == ["table users"]
    [*_, last] = look(baseline=True).notes
    match = re.search(r"alembic stamp (\w+)", last)
    assert match
    shop.ok("alembic", "stamp", match[1], PYTHONPATH=SOURCE)
    found = look(write=True)
    assert found.in_order, "\n".join(lines(found))
    assert "No new upgrade operations" in shop.ok("alembic", "check", PYTHONPATH=SOURCE)


@pytest.mark.slow
def test_a_revision_in_the_place_of_many_is_stamped_by_the_command_that_is_named(
    shop: Existing, empty_url: URL, look: Look
) -> None:
    revision(shop, "r1", None, USERS, 'op.drop_table("users")')
    revision(
        shop, "r2", "r1", 'op.execute("alter table users add age int")', 'op.drop_column("users", "age")'
    )
    shop.edit("models.py", "String(50))\n", "String(50))\n    age: Mapped[int | None]\n")
    look(write=True)
    shop.ok("alembic", "upgrade", "head", PYTHONPATH=SOURCE)
    sql(empty_url, "insert into users (name) values ('Ada')")
    for each in (shop.root / "migrations" / "versions").glob("*.py"):
        each.unlink()
    found = look(baseline=True)
    assert (found.revisions, found.from_nothing, found.in_order) == (1, True, False)
    [command] = re.findall(r"told so by: alembic (stamp --purge \w+)", "\n".join(found.notes))
    with pytest.raises(AssertionError, match=rf"has all that it makes: alembic {command}\s"):
        shop.ok("alembic", "upgrade", "head", PYTHONPATH=SOURCE)
    shop.ok("alembic", *command.split(), PYTHONPATH=SOURCE)
    shop.ok("alembic", "upgrade", "head", PYTHONPATH=SOURCE)
    assert look().in_order
    assert rows(empty_url, "select name, age from users") == [("Ada", None)]
    assert shop.run("plinth", "status", PYTHONPATH=SOURCE).returncode == 0


@pytest.mark.slow
def test_what_gone_revisions_made_is_in_the_one_that_takes_their_place_or_is_named(
    shop: Existing, empty_url: URL, look: Look
) -> None:
    shop.edit(
        "models.py",
        "class User",
        """class Event(Base):
    __tablename__ = "events"
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    __table_args__ = {"postgresql_partition_by": "RANGE (day)"}


class User""",
    )
    by_hand = [
        "create table events (day int not null) partition by range (day)",
        "alter table events add constraint events_pkey primary key (day)",
        "create table events_1 partition of events for values from (1) to (9) partition by list (day)",
        'create table "events 1 1" partition of events_1 for values in (5)',
        'create index one on "events 1 1" ((day + 1))',
        "create function touch() returns trigger language plpgsql as $$ begin return new; end $$",
        'create trigger touch before insert on "events 1 1" for each row execute function touch()',
        "create table audit (id int)",
        "create sequence numbers",
        "insert into users (name) values ('root')",
        "insert into events values (5)",
        "insert into audit values (1)",
        "grant select on users to public",
        "create publication everything for table users",
    ]
    revision(shop, "r1", None, USERS, 'op.drop_table("users")')
    revision(shop, "r2", "r1", "\n    ".join(f"op.execute({each!r})" for each in by_hand), "pass")
    look(write=True)
    shop.ok("alembic", "upgrade", "head", PYTHONPATH=SOURCE)
    for each in (shop.root / "migrations" / "versions").glob("*.py"):
        each.unlink()
    (shop.root / "pyproject.toml").write_text('[tool.plinth]\nlint_since = "r2"\n')
    proved, left_out, with_rows, stamp, lint = look(baseline=True).notes
    assert "but for what is named below" in proved
    for name in ("table audit", "sequence numbers", "privileges on table public.users for PUBLIC"):
        assert name in left_out
    assert "publication everything" in left_out
    assert not re.search("events|touch|owner", left_out)
    assert "have rows, and the baseline makes none: events 1 1, users." in with_rows
    match = re.search(r"lint_since in .*pyproject.toml.* 'r2': .*(lint_since = \"\w+\")", lint)
    assert match, lint
    (shop.root / "pyproject.toml").write_text(f"[tool.plinth]\n{match[1]}\n")
    shop.ok("alembic", *stamp.split("alembic ")[1].split(), PYTHONPATH=SOURCE)
    shop.ok("plinth", "lint", PYTHONPATH=SOURCE)
    assert not look().problems
    sql(empty_url, "drop table audit, events, users, alembic_version", "drop function touch()")
    sql(empty_url, "drop publication everything", "drop schema plinth cascade")
    shop.ok("alembic", "upgrade", "head", PYTHONPATH=SOURCE)
    sql(empty_url, "insert into events values (5)")
    assert rows(empty_url, "select tableoid::regclass::text from events") == [('"events 1 1"',)]


@pytest.mark.slow
def test_a_baseline_that_would_not_make_what_is_there_is_not_written(
    shop: Existing, empty_url: URL, look: Look
) -> None:
    revision(shop, "r1", None)
    revision(shop, "r2", "r1", 'op.execute("alter table users add age int")', "pass")
    sql(empty_url, "create table users (id serial primary key, name varchar(50) not null, age int)")
    stamp(empty_url, "r2")
    before = files(shop)
    with pytest.raises(PlinthError, match="nothing was written"):
        look(baseline=True)
    assert files(shop) == before


def test_where_env_py_led_before_has_to_be_known(shop: Existing, empty_url: URL, look: Look) -> None:
    users(shop, empty_url)
    shop.edit("alembic.ini", "postgresql+psycopg://", "postgresql+pg8000://")  # which isn't installed
    before = files(shop)
    with pytest.raises(PlinthError, match="where it led before isn't known: ModuleNotFoundError: No module"):
        look(write=True)
    assert files(shop) == before


HOOKS = """connection=connection, target_metadata=target_metadata, version_table="done",
            include_object=lambda each, name, *_: name != "left_alone","""


@pytest.mark.parametrize(
    ("template", "level"),
    [("generic", "apply"), ("async", "write"), ("pyproject", "write"), ("async", "apply")],
)
@pytest.mark.slow
def test_a_project_that_adopted_goes_on_and_can_go_back(
    tmp_path: Path, empty_url: URL, template: str, level: str
) -> None:
    url = empty_url.set(drivername="postgresql+asyncpg") if template == "async" else empty_url
    project = init(tmp_path / "shop", url, template)
    project.edit("migrations/env.py", "import plinth\n", "")
    env = project.root / "migrations" / "env.py"
    old = re.sub(r"connection=connection,\s+target_metadata=target_metadata", HOOKS, env.read_text())
    assert "left_alone" in old
    env.write_text(old)
    sql(empty_url, "create table left_alone (id int)")
    project.ok("alembic", "revision", "--autogenerate", "-m", "create users")
    project.ok("alembic", "upgrade", "head")

    shown = project.ok("plinth", "adopt", "--write", "--level", level)
    assert f"Alembic's template {template}" in shown
    assert "**plinth.options()" in env.read_text() if level == "write" else "run(" in env.read_text()
    assert env.read_text() != old
    assert "left_alone" in env.read_text()
    project.edit(
        "models.py",
        "String(50))\n",
        "String(50))\n    email: Mapped[str | None] = mapped_column(index=True)\n",
    )
    project.ok("alembic", "revision", "--autogenerate", "-m", "add users email")
    assert "autocommit_block" in project.newest()
    assert "left_alone" not in project.newest()
    project.ok("alembic", "upgrade", "head")
    found = json.loads(project.ok("plinth", "adopt", "--level", level, "--json"))
    assert (found["in_order"], found["level"], found["change"]) == (True, level, "")

    env.write_text(old)  # and the package is uninstalled
    assert len(project.ok("alembic", "history").splitlines()) >= 2
    project.ok("alembic", "downgrade", "base")
    project.ok("alembic", "upgrade", "head")
    assert rows(empty_url, "select count(*) from done") == [(1,)]


def test_a_change_after_which_env_leads_elsewhere_is_put_back(
    shop: Existing, empty_url: URL, look: Look
) -> None:
    users(shop, empty_url)
    other = empty_url.set(database="postgres").render_as_string(hide_password=False).replace("%", "%%")
    ini = (shop.root / "alembic.ini").read_text()
    shown = empty_url.render_as_string(hide_password=False).replace("%", "%%")
    (shop.root / "alembic.ini").write_text(ini.replace(shown, other))
    (shop.root / "app_database.py").write_text(
        f"SETTINGS = {{'sqlalchemy.url': {empty_url.render_as_string(hide_password=False)!r}}}\n"
    )
    shop.edit("migrations/env.py", "config.get_section(config.config_ini_section, {})", "SETTINGS")
    shop.edit(
        "migrations/env.py",
        "from models import Base",
        "from app_database import SETTINGS\nfrom models import Base",
    )
    before = files(shop)
    with pytest.raises(PlinthError, match=r"was put back as it was.*another database"):
        look(write=True)
    assert files(shop) == before


def test_a_change_after_which_sessions_are_others_is_put_back(
    shop: Existing, empty_url: URL, look: Look
) -> None:
    """An engine of the application's own, of which the URL alone would come along."""
    users(shop, empty_url)
    (shop.root / "app_database.py").write_text(
        "from sqlalchemy import NullPool, create_engine\n"
        f"URL = {empty_url.render_as_string(hide_password=False)!r}\n"
        'PATH = {"options": "-csearch_path=public,tenant"}\n'
        "engine = create_engine(URL, poolclass=NullPool, connect_args=PATH)\n"
    )
    text = (shop.root / "migrations/env.py").read_text()
    begin, end = (
        text.index("    connectable = engine_from_config("),
        text.index("    with connectable.connect()"),
    )
    text = text[:begin] + text[end:].replace("connectable.connect()", "engine.connect()")
    text = text.replace("from models import Base", "from app_database import engine\nfrom models import Base")
    (shop.root / "migrations/env.py").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    before = files(shop)
    with pytest.raises(PlinthError, match=r"was put back as it was.*sessions are others.*public,tenant"):
        look(write=True)
    assert files(shop) == before


def test_line_ends_and_byte_order_mark_stay(shop: Existing, empty_url: URL, look: Look) -> None:
    users(shop, empty_url)
    env = shop.root / "migrations/env.py"
    env.write_bytes(b"\xef\xbb\xbf" + env.read_text().replace("\n", "\r\n").encode())
    assert look(write=True).written
    written = env.read_bytes()
    assert written.startswith(b"\xef\xbb\xbf")
    assert written.count(b"\r\n") == written.count(b"\n")


@pytest.mark.slow
def test_without_a_database_the_revisions_are_tried_all_the_same(
    shop: Existing, empty_url: URL, look: Look
) -> None:
    revision(shop, "r1", None, USERS, 'op.drop_table("users")')
    shop.edit("alembic.ini", str(empty_url.database), "there_is_none")
    found = look()
    assert (found.database, found.from_nothing, found.tried) == (None, True, 1)
    assert not found.in_order, "nobody has seen whether they agree"
    assert "There is no database to compare." in found.notes[0]
    assert "does not exist. Make it, or correct its URL, and look again." in found.notes[0]


@pytest.fixture
def reader(tmp_path: Path, server: URL) -> Iterator[Project]:
    """A reader of docs/adopting.md: a project of two revisions, and another one that begins in the middle."""
    urls = {name: server.set(database=name) for name in ("shop", "old")}
    with create_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
        for name in urls:
            connection.exec_driver_sql(f"create database {name}")
    shop, old = (init(tmp_path / name, url) for name, url in urls.items())
    for each in (shop, old):
        each.edit("migrations/env.py", "import plinth\n", "")
    revision(shop, "c4ca4238a0b9", None, USERS, 'op.drop_table("users")')
    email = """op.add_column("users", sa.Column("email", sa.String(length=100)))
    op.create_index("users_email", "users", ["email"])"""
    back = """op.drop_index("users_email", "users")
    op.drop_column("users", "email")"""
    revision(shop, "8f14e45fceea_add_users_email", "c4ca4238a0b9", email, back)
    column = "email: Mapped[str | None] = mapped_column(String(100))"
    index = '__table_args__ = (Index("users_email", "email"),)'
    for each in (shop, old):
        each.edit("models.py", "import ForeignKey", "import ForeignKey, Index")
        each.edit("models.py", "String(50))\n", f"String(50))\n    {column}\n    {index}\n")
    revision(old, "e4da3b7fbbce", None)
    revision(old, "1679091c5a88_add_users_email", "e4da3b7fbbce", email, back)
    sql(urls["old"], "create table users (id serial primary key, name varchar(50) not null)")
    shop.ok("alembic", "upgrade", "head")
    old.ok("alembic", "upgrade", "head")
    sql(urls["shop"], "create index users_by_name on users (name)")
    yield reading(shop.root)
    with create_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
        for name in urls:
            connection.exec_driver_sql(f"drop database {name} with (force)")


def reading(folder: Path) -> Project:
    """Return a project as a reader has it, in git, with the programs that are installed."""
    programs = folder.parent / "bin"
    programs.mkdir()
    for name in ("alembic", "plinth", "python"):
        module = [] if name == "python" else ["-m", name]
        program = shlex.join([sys.executable, *module])
        (programs / name).write_text(f'#!/bin/sh\nexec {program} "$@"\n')
        (programs / name).chmod(0o755)
    (folder / "docs").mkdir()
    (folder / "docs" / "adopting.md").write_text((Path(SOURCE) / "docs" / "adopting.md").read_text())
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    own = {"PYTHONPATH": SOURCE, "PSQLRC": "/dev/null", "PLINTH_HOME": own_home()}
    project = Project(folder, {**GIT, "PATH": path, **own})
    done = project.shell("git init --quiet; git add --all; git commit --quiet --message begin")
    assert done.returncode == 0, done.stdout
    return project


@pytest.mark.slow
def test_the_document_works_from_its_first_block_to_its_last(
    reader: Project, record_property: Callable[[str, object], None]
) -> None:
    record_property("summary", read(reader, "docs/adopting.md").summary("docs/adopting.md"))


def template(name: str) -> str:
    return (TEMPLATES / name / "env.py").read_text()


@pytest.mark.parametrize("name", ["generic", "async"])
@pytest.mark.parametrize("in_pyproject", [False, True])
def test_alembics_own_templates_become_one_call(name: str, in_pyproject: bool) -> None:
    env = read_env(template(name), in_pyproject=in_pyproject)
    pyproject = "pyproject" if name == "generic" else "pyproject_async"
    assert env.template == (pyproject if in_pyproject else name)
    assert rewritten(env, "apply") == (
        "from plinth.env import run\n\ntarget_metadata = None\n\nrun(target_metadata)\n"
    )
    again = read_env(rewritten(env, "apply"))
    assert (again.template, again.level, rewritten(again, "write")) == ("Plinth", "apply", again.text)
    named = read_env(rewritten(env, "write"))
    assert (named.template, named.level, rewritten(named, "write")) == (name, "write", named.text)
    assert "run(target_metadata)" in rewritten(named, "apply")


def test_comments_within_what_goes_stay() -> None:
    text = template("generic").replace(
        "    with connectable.connect() as connection:",
        "    # the pooler in front of it is told to let us be\n"
        "    with connectable.connect() as connection:  # noqa: SIM117",
    )
    text = text.replace(
        "connection=connection, target_metadata=target_metadata",
        "connection=connection, target_metadata=target_metadata,\n"
        "            compare_type=True,  # since the incident of 2021, see OPS-12\n"
        "            include_object=lambda each, name, *_: (\n"
        "                # theirs\n"
        '                name != "theirs"\n'
        "            ),",
    )
    new = rewritten(read_env(text), "apply")
    for each in (
        "# the pooler in front of it is told to let us be",
        "# since the incident of 2021, see OPS-12",
    ):
        assert new.count(each) == 1, new
        assert new.index(each) < new.index("run(\n")
    assert new.count("# theirs") == 1
    assert "noqa" not in new
    assert "calls to context" not in new.lower()
    ast.parse(new)


def test_several_databases_get_the_one_line_and_not_the_one_call() -> None:
    env = read_env(template("multidb"))
    assert env.template == "multidb"
    assert "several databases" in str(in_the_way(env, "apply")[0])
    assert rewritten(env, "apply") == env.text
    named = rewritten(env, "write")
    assert [line.strip() for line in named.splitlines() if line not in env.text.splitlines()] == [
        "import plinth",
        "**plinth.options(),",
    ]
    assert read_env(named).level == "write"


FASTAPI = """
from logging.config import fileConfig

from alembic import context
from sqlalchemy import engine_from_config, pool

# this is the Alembic Config object, which provides
# access to the values within the .ini file in use.
config = context.config
fileConfig(config.config_file_name)

from app.models import SQLModel  # noqa
from app.core.config import settings

target_metadata = SQLModel.metadata


def get_url():
    return str(settings.SQLALCHEMY_DATABASE_URI)


# Ours.
def include_object(object, name, type_, reflected, compare_to):
    return name != "spatial_ref_sys"


def run_migrations_offline():
    url = get_url()
    context.configure(url=url, target_metadata=target_metadata, literal_binds=True, compare_type=True)

    with context.begin_transaction():
        context.run_migrations()


def run_migrations_online():
    configuration = config.get_section(config.config_ini_section)
    configuration["sqlalchemy.url"] = get_url()
    connectable = engine_from_config(configuration, prefix="sqlalchemy.", poolclass=pool.NullPool)

    with connectable.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=target_metadata,
            include_object=include_object,
            compare_type=True,
        )

        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
"""
ADOPTED = """from alembic import context

from app.models import SQLModel  # noqa
from app.core.config import settings
from plinth.env import run
from sqlalchemy.engine import make_url

target_metadata = SQLModel.metadata


def get_url():
    return str(settings.SQLALCHEMY_DATABASE_URI)


# Ours.
def include_object(object, name, type_, reflected, compare_to):
    return name != "spatial_ref_sys"


url = make_url(get_url()).render_as_string(hide_password=False)
context.config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))

run(target_metadata, compare_type=True, include_object=include_object)
"""


def test_the_applications_own_url_and_options_are_kept() -> None:
    env = read_env(FASTAPI)
    assert (env.template, env.url) == ("generic", "get_url()")
    assert rewritten(env, "apply") == ADOPTED


ONLINE = FASTAPI[: FASTAPI.index("def run_migrations_online")]
END = """

if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
"""


@pytest.mark.parametrize(
    ("body", "url"),
    [
        ("with engine.connect() as connection:", "engine.url"),
        ("with create_engine(settings.url, future=True).connect() as connection:", "settings.url"),
        ("engine = get_engine()\n    with engine.connect() as connection:", "get_engine().url"),
        (
            'options = {"sqlalchemy.url": settings.url}\n'
            '    with engine_from_config(options, prefix="sqlalchemy.").connect() as connection:',
            "settings.url",
        ),
    ],
)
def test_where_the_database_is_comes_along(body: str, url: str) -> None:
    configure = "        context.configure(connection=connection, target_metadata=target_metadata)\n"
    env = read_env(f"{ONLINE}def run_migrations_online():\n    {body}\n{configure}{END}")
    assert (env.url, env.obstacles) == (url, [])
    ast.parse(rewritten(env, "apply"))
    assert f"make_url({url})" in rewritten(env, "apply")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('connection.execute(text("set search_path to ours"))', "line 37: connection.execute("),
        ('event.listen(connection, "begin", ours)', "event.listen("),
        ('connection.dialect.default_schema_name = "ours"', "default_schema_name is set"),
    ],
)
def test_what_run_does_not_do_is_named_with_its_line(line: str, complaint: str) -> None:
    body = (
        "def run_migrations_online():\n    with engine.connect() as connection:\n"
        f"        {line}\n        context.configure(connection=connection, target_metadata=target_metadata)\n"
    )
    env = read_env(f"{ONLINE}{body}{END}")
    assert env.template == "hand-made"
    assert complaint in "; ".join(map(str, in_the_way(env, "apply")))
    assert rewritten(env, "apply") == env.text
    assert "**plinth.options()" in rewritten(env, "write"), "which can be had nevertheless"


@pytest.mark.parametrize(
    ("engine", "given"),
    [
        (
            'create_engine(url, pool_pre_ping=True, connect_args={"options": "-csearch_path=ours"})',
            "connect_args",
        ),
        ('engine_from_config(options, prefix="sqlalchemy.", execution_options=ours)', "execution_options"),
        ('create_engine("postgresql://", creator=connector.connect)', "creator"),
        ("create_engine(url, **settings.engine)", "**"),
    ],
)
def test_what_an_engine_gets_beside_its_url_is_named(engine: str, given: str) -> None:
    configure = "        context.configure(connection=connection, target_metadata=target_metadata)\n"
    body = f"def run_migrations_online():\n    with {engine}.connect() as connection:\n{configure}"
    env = read_env(f"{ONLINE}{body}{END}")
    assert f"the engine gets {given}, and run() has the URL alone" in "; ".join(
        map(str, in_the_way(env, "apply"))
    )
    assert rewritten(env, "apply") == env.text


FLASK = """
from logging.config import fileConfig

from flask import current_app

from alembic import context

config = context.config
fileConfig(config.config_file_name)


def get_engine():
    return current_app.extensions['migrate'].db.engine


config.set_main_option('sqlalchemy.url', str(get_engine().url).replace('%', '%%'))


def get_metadata():
    return current_app.extensions['migrate'].db.metadata


def run_migrations_online():
    def process_revision_directives(context, revision, directives):
        if getattr(config.cmd_opts, 'autogenerate', False):
            script = directives[0]
            if script.upgrade_ops.is_empty():
                directives[:] = []

    conf_args = current_app.extensions['migrate'].configure_args
    if conf_args.get("process_revision_directives") is None:
        conf_args["process_revision_directives"] = process_revision_directives
    connectable = get_engine()

    with connectable.connect() as connection:
        context.configure(connection=connection, target_metadata=get_metadata(), **conf_args)

        with context.begin_transaction():
            context.run_migrations()


run_migrations_online()
"""


def test_flask_migrates_own_arguments_are_kept() -> None:
    env = read_env(FLASK)
    assert (env.template, env.obstacles, env.url) == ("Flask-Migrate", [], None)
    new = rewritten(env, "apply")
    assert new.endswith("\nrun(get_metadata, **current_app.extensions['migrate'].configure_args)\n")
    assert "config.set_main_option('sqlalchemy.url'" in new
    assert "run_migrations_online" not in new


ADVANCED = """
import asyncio
from typing import TYPE_CHECKING, cast

from alembic.autogenerate import rewriter
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import AsyncEngine, async_engine_from_config

from advanced_alchemy.base import metadata_registry
from alembic import context

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

__all__ = ("do_run_migrations", "run_migrations_offline", "run_migrations_online")

config = context.config
writer = rewriter.Rewriter()


def run_migrations_offline() -> None:
    context.configure(url=config.db_url, target_metadata=metadata_registry.get(config.bind_key))

    with context.begin_transaction():
        context.run_migrations()


def do_run_migrations(connection: "Connection") -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata_registry.get(config.bind_key),
        version_table=config.version_table_name,
        process_revision_directives=writer,
    )

    with context.begin_transaction():
        context.run_migrations()


async def run_migrations_online() -> None:
    configuration = config.get_section(config.config_ini_section) or {}
    configuration["sqlalchemy.url"] = config.db_url

    connectable = cast(
        "AsyncEngine",
        config.engine or async_engine_from_config(configuration, prefix="sqlalchemy."),
    )
    if connectable is None:  # pyright: ignore[reportUnnecessaryComparison]
        msg = "Could not get engine from config."
        raise RuntimeError(
            msg,
        )

    async with connectable.connect() as connection:
        await connection.run_sync(do_run_migrations)

    await connectable.dispose()


if context.is_offline_mode():
    run_migrations_offline()
else:
    asyncio.run(run_migrations_online())
"""


def test_advanced_alchemys_own_database_and_options_are_kept() -> None:
    env = read_env(ADVANCED)
    assert (env.template, env.obstacles, env.url) == ("advanced-alchemy", [], "config.db_url")
    new = rewritten(env, "apply")
    assert "make_url(config.db_url)" in new
    assert new.endswith(
        "run(\n    metadata_registry.get(config.bind_key),\n    version_table=config.version_table_name,\n"
        "    process_revision_directives=writer,\n)\n"
    )
    assert "run_migrations" not in new
    guarded = ADVANCED.replace("if connectable is None:", "if not is_allowed(connectable):")
    assert "is_allowed" in "; ".join(map(str, in_the_way(read_env(guarded), "apply")))
