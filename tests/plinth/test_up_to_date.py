"""`plinth upgrade` with nothing pending: what may be said without Alembic, and all that may not."""

import json
import re
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.command import stamp, upgrade
from alembic.config import CommandLine, Config
from alembic.util import CommandError
from sqlalchemy.engine import URL

from plinth import (
    advisory,
    alembic_command,
    development,
    known_status,
    local_server,
    revision_text,
    settings,
    up_to_date,
)
from plinth.__main__ import main
from plinth.revision_text import RevisionText, Unclear
from plinth.status import status
from tests.plinth.history import do, psql, rows
from tests.plinth.project import HEAD, Project

NOTED = "select heads from plinth.up_to_date"


@pytest.fixture
def here(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in whose folder we are, upgraded; nothing is pending, and that is noted."""
    project.ok("plinth", "environment", "development")  # as on the local server
    project.ok("plinth", "upgrade")
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(settings, "_chosen", None)
    for name in ("APP_ENV", "MIGRATION_DATABASE_URL", "ALEMBIC_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    # The copy's own program made the fingerprint; the code that is tried here is this repository's.
    monkeypatch.setattr(up_to_date, "__file__", str(project.root / "plinth" / "up_to_date.py"))
    settings.tool_settings.cache_clear()
    assert looked() == [HEAD]
    return project


def looked() -> list[str] | None:
    """Return the heads if nothing is pending for sure; None if the long way is taken."""
    known = up_to_date.fingerprint()
    return up_to_date.heads(known) if known else None


def test_it_says_what_the_long_way_says(here: Project, empty_url: URL) -> None:
    short = here.run("plinth", "upgrade", PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rpartition("|")[2].strip() for line in short.stderr.splitlines() if "|" in line}
    assert "plinth.libpq" in imported
    assert not {"alembic", "sqlalchemy", "psycopg", "plinth.apply", "app"} & imported
    said = [line for line in short.stderr.splitlines() if not line.startswith("import time:")]
    do(empty_url, "drop table plinth.up_to_date")
    long = here.run("plinth", "upgrade")
    assert (short.returncode, short.stdout, said) == (long.returncode, long.stdout, long.stderr.splitlines())
    assert rows(empty_url, NOTED) == [([HEAD],)]
    short = here.run("plinth", "upgrade", "--json")
    do(empty_url, "drop table plinth.up_to_date")
    long = here.run("plinth", "upgrade", "--json")
    assert json.loads(short.stdout) == {"applied": [], "heads": [HEAD], "waiting": []}
    assert (short.returncode, short.stdout, short.stderr) == (long.returncode, long.stdout, long.stderr)


def test_alembic_says_what_the_long_way_says(here: Project, empty_url: URL) -> None:
    noted = "select files, xmin::text from plinth.up_to_date"
    before = rows(empty_url, noted)
    short = here.run("alembic", "upgrade", "head", PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rpartition("|")[2].strip() for line in short.stderr.splitlines() if "|" in line}
    assert "plinth.up_to_date" in imported
    assert not {"plinth.apply", "plinth.connecting", "app.models"} & imported
    said = [line for line in short.stderr.splitlines() if not line.startswith("import time:")]
    assert rows(empty_url, noted) == before
    do(empty_url, "drop table plinth.up_to_date")
    long = here.run("alembic", "upgrade", "head")
    assert (short.returncode, short.stdout, said) == (long.returncode, long.stdout, long.stderr.splitlines())
    assert rows(empty_url, "select files from plinth.up_to_date") == [(before[0][0],)]


def test_what_a_module_leaves_open_is_written(project: Project) -> None:
    """Modules stay uncollected, when Python ends, only where they are known to do nothing."""
    file, module = project.root / "left.txt", project.root / "app" / "naming.py"
    lines = f"def close():\n    left.close()\n\n\nleft = open({str(file)!r}, 'w')\nleft.write('all of it')\n"
    module.write_text(f"{module.read_text()}\n\n{lines}")
    for command in (("alembic", "upgrade", "head"), ("alembic", "upgrade", "head"), ("plinth", "upgrade")):
        project.ok(*command)
        assert file.read_text() == "all of it", command
        file.unlink()


@pytest.mark.parametrize("program", ["alembic", "plinth"])
def test_what_a_revision_leaves_open_is_written(project: Project, program: str) -> None:
    """It is imported when what was imported before it isn't looked at any more."""
    file = project.root / "left.txt"
    lines = f"def close():\n    left.close()\n\n\nleft = open({str(file)!r}, 'w')\nleft.write('all of it')"
    project.write_revision("29990101000000", HEAD, "pass", head=lines)
    project.ok(program, "upgrade", "heads")
    assert file.read_text() == "all of it"


OTHERWISE = [
    ("upgrade", HEAD),
    ("upgrade", "head", "--sql"),
    ("upgrade", "head", "--tag", "shop"),
    ("-x", "shop=1", "upgrade", "head"),
    ("-n", "post_write_hooks", "upgrade", "head"),
    ("-c", "other.ini", "upgrade", "head"),
    ("downgrade", "-0"),
    ("stamp", "head"),
    ("current",),
]


def test_what_is_typed_otherwise_takes_the_long_way(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    class LongWay(Exception):  # noqa: N818 - no error
        pass

    def refuse(*_: object) -> None:
        raise LongWay

    monkeypatch.setattr(alembic_command, "running", refuse)
    (here.root / "other.ini").write_text((here.root / "alembic.ini").read_text())
    program = CommandLine()

    def type_(*arguments: str) -> Config:
        parsed = program.parser.parse_args(arguments)
        return Config((parsed.config or ["alembic.ini"])[0], ini_section=parsed.name, cmd_opts=parsed)

    def run(config: Config) -> None:
        typed = vars(config.cmd_opts or Namespace())
        command, positional, named = typed["cmd"]
        command(config, *(typed[name] for name in positional), **{name: typed[name] for name in named})

    run(type_("upgrade", "head"))
    for arguments in OTHERWISE:
        with pytest.raises((LongWay, CommandError)):
            run(type_(*arguments))
    with pytest.raises(LongWay):  # another command than the one that was typed
        stamp(type_("upgrade", "head"), "head")
    handed_over = type_("upgrade", "head")
    handed_over.attributes["connection"] = None
    told = type_("upgrade", "head")
    told.set_main_option("sqlalchemy.url", "postgresql://elsewhere/x")
    for config in (handed_over, told, Config("alembic.ini")):
        with pytest.raises(LongWay):
            upgrade(config, "head")


def test_the_local_server_is_asked_where_no_url_is_set(
    here: Project, empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = {
        "host": empty_url.query.get("host") or empty_url.host,
        "port": empty_url.query.get("port", "5432"),
    }
    monkeypatch.setattr(local_server.LocalServer, "place", lambda _: place)
    monkeypatch.setattr(local_server, "SUPERUSER", empty_url.username)
    monkeypatch.setenv("PLINTH_DATABASE", str(empty_url.database))
    monkeypatch.delenv("DATABASE_URL")
    assert looked() == [HEAD]
    monkeypatch.setenv("PLINTH_DATABASE", "missing")
    assert looked() is None
    monkeypatch.setenv("PLINTH_DATABASE", str(empty_url.database))
    place["host"] = str(here.root)  # nobody answers there: the long way starts the server
    assert looked() is None


# What is done to the database, and what takes it back; none where the lock is let go of.
CHANGES = {
    "another head": (
        "update alembic_version set version_num = 'other'",
        "update alembic_version set version_num = '{head}'",
    ),
    "nothing applied": (
        "delete from alembic_version",
        "insert into alembic_version values ('{head}')",
    ),
    "no version table": (
        "alter table alembic_version rename to kept",
        "alter table kept rename to alembic_version",
    ),
    "another row of the ledger": (
        "insert into plinth.ledger (version_table, revision, direction, batch) "
        "values ('alembic_version', '{head}', 'unstamp', 0)",
        "delete from plinth.ledger where direction = 'unstamp'",
    ),
    "a revision that stands half-way": (
        "insert into plinth.points (version_table, revision, direction, number, statement, result) "
        "values ('alembic_version', '{head}', 'down', 1, 'drop …', '{{}}')",
        "delete from plinth.points",
    ),
    "an index that is INVALID": (
        "insert into plinth.unfinished values ('alembic_version', '{head}', 'ix', 'create index …')",
        "delete from plinth.unfinished",
    ),
    "other files": (
        "update plinth.up_to_date set files = 'x' || files",
        "update plinth.up_to_date set files = substr(files, 2)",
    ),
    "a limit to connections": (
        "do $$begin execute format('alter database %I connection limit 20', current_database()); end$$",
        "do $$begin execute format('alter database %I connection limit -1', current_database()); end$$",
    ),
    "another database's marker": (
        "update plinth.environment set database = '1'",
        "update plinth.environment "
        "set database = (select oid from pg_database where datname = current_database())",
    ),
    "no schema for tables": (
        "do $$begin execute format('alter database %I set search_path = nowhere', current_database()); end$$",
        "do $$begin execute format('alter database %I reset search_path', current_database()); end$$",
    ),
    "a table that it may not use": (
        "alter table plinth.points rename to hidden",
        "alter table plinth.hidden rename to points",
    ),
}


def test_what_changes_in_the_database_takes_the_long_way(here: Project, empty_url: URL) -> None:
    for name, (change, back) in CHANGES.items():
        do(empty_url, change.format(head=HEAD))
        assert looked() is None, name
        do(empty_url, back.format(head=HEAD))
        assert looked() == [HEAD], name


@pytest.mark.parametrize("part", advisory.PARTS)
def test_who_applies_now_is_waited_for(here: Project, empty_url: URL, part: str) -> None:
    with psql(empty_url) as session:
        key = advisory.lock_key(part, "alembic_version")
        session.execute("select pg_advisory_lock(%s)", [key])
        assert looked() is None
        session.execute("select pg_advisory_unlock(%s)", [key])
        assert looked() == [HEAD]


def test_a_role_that_may_not_migrate_takes_the_long_way(
    here: Project, empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told there which privilege it lacks."""
    role = f"reader_of_{empty_url.database}"
    do(empty_url, f"create role {role} login; grant pg_monitor to {role}")
    try:
        do(
            empty_url,
            f"grant usage on schema public, plinth to {role};"
            f"grant select on alembic_version, plinth.environment, plinth.up_to_date to {role};"
            f"grant all on plinth.ledger, plinth.unfinished, plinth.points to {role}",
        )
        as_role = empty_url.set(username=role)
        monkeypatch.setenv("DATABASE_URL", as_role.render_as_string(hide_password=False))
        assert looked() is None
        do(empty_url, f"grant insert, update, delete on alembic_version to {role}")
        assert looked() == [HEAD]
        do(empty_url, f"revoke insert on plinth.ledger from {role}")
        assert looked() is None
    finally:
        do(empty_url, f"drop owned by {role}; drop role {role}")


def test_production_is_remembered_first(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "production")
    assert looked() is None
    here.ok("plinth", "upgrade", APP_ENV="production")
    assert looked() == [HEAD]


@contextmanager
def edited(project: Project, name: str, edit: Callable[[str], str]) -> Iterator[None]:
    """Edit a file as long as the block runs; one that isn't there is new."""
    file = project.root / name
    before = file.read_text() if file.exists() else None
    file.write_text(edit(before or ""))
    settings.tool_settings.cache_clear()
    try:
        yield
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_text(before)
        settings.tool_settings.cache_clear()


def replaced(old: str, new: str) -> Callable[[str], str]:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return edit


REVISION = f"alembic/versions/{HEAD}_add_authentication_sign_in_keys.py"
RUN = "run(metadata, naming_convention=NAMING_CONVENTION"
EDITS: list[tuple[str, Callable[[str], str]]] = [
    (REVISION, lambda text: f"{text}\n# a comment"),
    (REVISION, replaced("def upgrade", "def up grade")),
    ("alembic/versions/slipped_in.py", lambda _: "revision = 'slipped'\ndown_revision = None\n"),
    ("alembic/versions/left.pyc", lambda _: ""),
    ("alembic/env.py", replaced(RUN, f"{RUN}, version_table='other'")),
    ("alembic/env.py", replaced(RUN, f"{RUN}, **{{}}")),
    ("alembic/env.py", replaced("run(metadata", "print('here')\n\nrun(metadata")),
    ("alembic/env.py", replaced("run(metadata", "run = print\nrun(metadata")),
    ("alembic/env.py", replaced("run(metadata, naming_convention=NAMING_CONVENTION", "run(metadata")),
    ("alembic/env.py", replaced("from sqlalchemy import MetaData", "import secrets_of_the_shop")),
    ("app/naming.py", lambda text: f"{text}\nimport os\nos.environ.setdefault('DATABASE_URL', 'x')\n"),
    ("app/naming.py", lambda text: f"{text}\nprint()\n"),
    ("app/__init__.py", lambda text: f"{text}\nfrom app import settings\n"),
    ("alembic.ini", replaced("[alembic]", "[alembic]\nsqlalchemy.url = postgresql://elsewhere/x")),
    ("alembic.ini", replaced("[alembic]", "[alembic]\nversion_locations = %(here)s/other")),
    ("alembic.ini", replaced("WARNING", "INFO")),
    ("pyproject.toml", lambda text: f"{text}\n[tool.alembic]\nscript_location = 'other'\n"),
    ("pyproject.toml", replaced("timestamps = true", "timestamps = false")),
    ("plinth/apply/phases.py", lambda text: f"{text}\n"),
    ("sqlalchemy.py", lambda _: ""),
    (".env", lambda _: "PLINTH_LOCK_TIMEOUT=soon\n"),
    (".env", lambda _: "MIGRATION_DATABASE_URL=mysql://elsewhere/x\n"),
]


def test_what_changes_in_a_file_takes_the_long_way(here: Project) -> None:
    for name, edit in EDITS:
        with edited(here, name, edit):
            assert looked() is None, (name, (here.root / name).read_text())
        assert looked() == [HEAD], name


def test_a_file_that_is_gone_takes_the_long_way(here: Project) -> None:
    (here.root / REVISION).unlink()
    assert looked() is None


def test_the_local_servers_url_is_said_as_the_long_way_says_it(
    here: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(local_server.LocalServer, "start", lambda _: False)
    monkeypatch.setattr(
        local_server.LocalServer, "place", lambda _: {"host": "/tmp/a b+c@d/é", "port": "5432"}
    )
    monkeypatch.setenv("PLINTH_DATABASE", "shop/é?&x")
    monkeypatch.delenv("DATABASE_URL")
    asked: list[Config] = []
    long_way = development.alembic_config

    def alembic_config() -> Config:
        asked.append(long_way())
        return asked[-1]

    monkeypatch.setattr(development, "alembic_config", alembic_config)

    def said() -> str:
        assert main(["url"]) == 0
        return capsys.readouterr().out

    short = said()
    assert not asked
    monkeypatch.setenv("PLINTH_SECTION", "alembic")
    assert said() == short
    assert asked
    monkeypatch.delenv("PLINTH_SECTION")
    with edited(
        here, "alembic.ini", replaced("[alembic]", "[alembic]\nsqlalchemy.url = postgresql://else/x")
    ):
        assert said() == "postgresql://else/x\n"
    with edited(here, "pyproject.toml", lambda text: f"{text}\n[tool.alembic]\nscript_location = 'other'\n"):
        assert not up_to_date.names_no_database()


@pytest.mark.slow
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://a:b@one,two/x",
        "postgresql://a:b@c@host/x",
        "postgresql://host/x?dbname=y",
        "postgresql://host/x?service=y",
        "postgresql://host/x?host=other",
        "postgresql://host/x?host=a&host=b",
        "postgresql://host/x?target_session_attrs=any",
        "postgresql://host/%78",
        "postgresql+asyncpg://host/x",
        "mysql://host/x",
        "postgresql://host",
        "postgresql://host/x?sslmode=require&",
    ],
)
def test_a_url_that_may_be_read_otherwise_takes_the_long_way(
    here: Project, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(up_to_date.UNCERTAIN):
        up_to_date._place()


def test_the_status_is_said_as_the_long_way_says_it(here: Project, empty_url: URL) -> None:
    do(empty_url, f"alter database {empty_url.database} set timezone = 'Asia/Kathmandu'")
    for arguments in (), ("--json",):
        short = here.run("plinth", "status", *arguments, PYTHONPROFILEIMPORTTIME="1")
        imported = {line.rpartition("|")[2].strip() for line in short.stderr.splitlines() if "|" in line}
        assert "plinth.known_status" in imported
        assert not {"alembic", "sqlalchemy", "psycopg", "plinth.apply", "app"} & imported
        said = [line for line in short.stderr.splitlines() if not line.startswith("import time:")]
        do(empty_url, "alter table plinth.up_to_date rename to hidden")
        long = here.run("plinth", "status", *arguments)
        do(empty_url, "alter table plinth.hidden rename to up_to_date")
        assert (short.stdout, short.returncode, said) == (long.stdout, 0, long.stderr.splitlines())
    assert "+05:45" in short.stdout


WRONG_THINGS = {
    "an index that is INVALID": (
        "create index wrong on users (id); "
        "update pg_index set indisvalid = false where indexrelid = 'wrong'::regclass",
        "drop index wrong",
    ),
    "a constraint that is NOT VALID": (
        "alter table users add constraint wrong check (id > 0) not valid",
        "alter table users drop constraint wrong",
    ),
    "a file that was edited before": (
        "update plinth.ledger set checksum = 'x' || checksum where id = 1",
        "update plinth.ledger set checksum = substr(checksum, 2) where id = 1",
    ),
    "a revision that never ran": (
        "update plinth.ledger set direction = 'unstamp' where id = 1",
        "update plinth.ledger set direction = 'up' where id = 1",
    ),
    "a revision without a file": (
        "update plinth.ledger set revision = 'x' || revision where id = 1",
        "update plinth.ledger set revision = substr(revision, 2) where id = 1",
    ),
    "no marker": (
        "alter table plinth.environment rename to kept",
        "alter table plinth.kept rename to environment",
    ),
}


def test_what_is_not_in_order_is_the_long_ways_to_say(here: Project, empty_url: URL) -> None:
    for name, (change, back) in (CHANGES | WRONG_THINGS).items():
        do(empty_url, change.format(head=HEAD))
        assert known_status.known() is None, name
        do(empty_url, back.format(head=HEAD))
        assert known_status.known() is not None, name
    for name, edit in EDITS:
        with edited(here, name, edit):
            assert known_status.known() is None, name


def test_the_status_of_what_was_marked(here: Project, empty_url: URL) -> None:
    changes = (
        "update plinth.ledger set direction = 'stamp', duration = null, batch = 0 where id = 1",
        "update plinth.ledger set applied_at = null, application = null, checksum = null where id = 1",
        "update plinth.ledger set duration = '26 hours 1.5 s', applied_at = '2026-01-01 10:00' where id = 2",
    )
    for change in changes:
        do(empty_url, change)
        assert known_status.known() == status(development.alembic_config())


HEADER = "revision = 'b'\ndown_revision = 'a'\n"
UNCLEAR = [
    "revision = 'b'\n",
    "down_revision = 'a'\n",
    "revision = f'b'\ndown_revision = 'a'\n",
    "revision, down_revision = 'b', 'a'\n",
    "revision = down_revision = 'a'\n",
    "revision = 'b'\ndown_revision = ('a', 'c')\n",
    f"{HEADER}depends_on = 'c'\n",
    f"{HEADER}branch_labels = ('shop',)\n",
    f"{HEADER}revision += 'c'\n",
    f"{HEADER}if True:\n    revision = 'c'\n",
    f"{HEADER}for revision in 'cd':\n    pass\n",
    f"{HEADER}from elsewhere import revision\n",
    f"{HEADER}import elsewhere as revision\n",
    f"{HEADER}def revision():\n    pass\n",
    f"{HEADER}class revision:\n    pass\n",
    f"{HEADER}del revision\n",
    f"{HEADER}match 1:\n    case revision:\n        pass\n",
    f"{HEADER}match []:\n    case [*revision]:\n        pass\n",
    f"{HEADER}match {{}}:\n    case {{**revision}}:\n        pass\n",
    f"{HEADER}try:\n    pass\nexcept Exception as revision:\n    pass\n",
    f"{HEADER}print(revision := 'c')\n",
    f"{HEADER}__doc__ = 'other'\n",
    f'"""a\n\n  Change: x"""\n{HEADER}',
    f"{HEADER}def\n",
]


def test_what_a_file_says_that_has_to_be_run(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("revision: str = 'a'\ndown_revision = None\n")
    file = tmp_path / "b.py"
    file.write_text(f'"""\nDo it. \nWith care.\n\nChange: x1, step 1 of 2\n"""\n{HEADER}print(revision)\n')
    first, second = revision_text.in_order([file, tmp_path / "a.py"])
    assert (first.revision, first.below, first.message, first.change) == ("a", None, "", None)
    assert second == RevisionText("b", "a", "Do it. ", "x1", second.checksum)
    for source in UNCLEAR:
        file.write_text(source)
        with pytest.raises(Unclear):
            revision_text.in_order([file, tmp_path / "a.py"])
    for below in ("None", "'c'", "'b'"):  # two first ones, one that isn't there, a ring
        file.write_text(f"revision = 'b'\ndown_revision = {below}\n")
        with pytest.raises(Unclear):
            revision_text.in_order([tmp_path / "a.py", file])


def test_a_reset_is_known_to_leave_nothing_pending(project: Project, empty_url: URL) -> None:
    project.ok("plinth", "environment", "development")
    for _ in range(2):  # the second may be a copy
        project.ok("plinth", "reset")
        assert rows(empty_url, NOTED) == [([HEAD],)]
        status = project.run("plinth", "status", PYTHONPROFILEIMPORTTIME="1")
        assert not re.search(r"\| +(sqlalchemy|psycopg)$", status.stderr, re.MULTILINE)
    assert status.stdout == project.ok("plinth", "-n", "alembic", "status")


def test_a_revision_that_waits_is_pending(project: Project, empty_url: URL) -> None:
    project.write_revision("29990101000000", HEAD, "op.execute('select 1')", head='deploy = "after"')
    project.ok("plinth", "upgrade", "--before")
    assert rows(empty_url, "select to_regclass('plinth.up_to_date')::text") == [(None,)]
    project.ok("plinth", "upgrade", "--after")
    assert rows(empty_url, NOTED) == [(["29990101000000"],)]


def test_a_revision_that_slipped_in_is_refused_as_ever(here: Project) -> None:
    here.write_revision("20000101000000", "20151009155020", "op.execute('select 1')")
    (file,) = here.root.glob(f"alembic/versions/{HEAD}*.py")
    file.write_text(file.read_text().replace('"20151009155020"', '"20000101000000"'))
    assert "20000101000000" in here.refused("plinth", "upgrade")
