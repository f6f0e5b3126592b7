"""Revisions made for a test, and what they leave in a database."""

import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool

from plinth import settings
from plinth.__main__ import libpq_url
from tests.plinth.project import Project, clean_environment

PATIENCE = 300.0  # seconds: what takes longer hangs
CONCURRENTLY = "with op.get_context().autocommit_block():\n    "


@dataclass(frozen=True)
class History:
    """A folder of revisions, without those of the scaffold.

    Args:
        folder: the folder of env.py.
    """

    folder: Path

    def add(
        self,
        revision: str,
        down_revision: str | tuple[str, ...] | None,
        upgrade: str,
        downgrade: str = "pass",
        *,
        doc: str = "",
        extra: str = "",
    ) -> Path:
        """Write a revision; `upgrade` and `downgrade` are the functions' bodies."""
        content = (
            f'"""make {revision}\n\n{doc}\n"""\n\n'
            "import time\n\nimport sqlalchemy as sa\nfrom alembic import op\n\n"
            f"revision = {revision!r}\ndown_revision = {down_revision!r}\n{extra}\n\n"
            f"def upgrade():\n{textwrap.indent(upgrade, '    ')}\n\n"
            f"def downgrade():\n{textwrap.indent(downgrade, '    ')}\n"
        )
        file = self.folder / "versions" / f"{revision}_make.py"
        file.write_text(content)
        return file

    def tables(self, *names: str) -> None:
        """Write a chain of revisions, each of which makes a table of its own name."""
        for down_revision, name in zip((None, *names), names, strict=False):
            self.add(
                name,
                down_revision,
                f'op.create_table("t_{name}", sa.Column("id", sa.Integer(), primary_key=True))',
                f'op.drop_table("t_{name}")',
            )

    def configure(self, *options: str) -> None:
        """Write further options into env.py, as a user does: `version_table="other"`."""
        env, given = self.folder / "env.py", "naming_convention=NAMING_CONVENTION"
        assert given in env.read_text()
        env.write_text(env.read_text().replace(given, ", ".join((given, *options))))

    def config(self, connection: "Engine | Connection | AsyncEngine | None" = None) -> Config:
        """Return a configuration for Alembic's commands in this process."""
        config = Config()
        config.set_main_option("script_location", str(self.folder).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        if connection is not None:
            config.attributes["connection"] = connection
        return config


def empty_history(folder: Path) -> History:
    """Return a history with no revision in it."""
    (folder / "versions").mkdir(parents=True)
    for name in ("env.py", "script.py.mako"):
        shutil.copy(settings.root() / "alembic" / name, folder / name)
    return History(folder)


def clear(project: Project) -> History:
    """Take a project's revisions away, and return its history."""
    for file in (project.root / "alembic" / "versions").glob("*.py"):
        file.unlink()
    return History(project.root / "alembic")


def start(project: Project, *command: str, **environment: str) -> "subprocess.Popen[str]":
    """Start `python -m <command>`, all that it prints readable line by line; one that hangs is killed."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", *command],
        cwd=project.root,
        env=clean_environment() | project.environment | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watchdog = threading.Timer(PATIENCE, process.kill)
    watchdog.daemon = True
    watchdog.start()
    return process


def read_until(process: "subprocess.Popen[str]", words: str) -> list[str]:
    """Read what a process prints up to the line that has `words` in it; fail when it ends before."""
    lines = []
    assert process.stdout
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(f"{words!r} is not in {''.join(lines)}")


@contextmanager
def psql(url: URL, *, autocommit: bool = True) -> Iterator["psycopg.Connection[Any]"]:
    """Yield a connection of the test's own."""
    with psycopg.connect(libpq_url(url), autocommit=autocommit, application_name="the test") as connection:
        yield connection


def rows(url: URL, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    with psql(url) as connection:
        return connection.execute(sql, parameters or None).fetchall()


def left_scratch_databases(url: URL) -> set[str]:
    """Return the scratch databases that stay: those of other tests are soon gone."""
    sql = "select datname from pg_database where datname like 'plinth\\_scratch\\_%'"
    left, deadline = set(rows(url, sql)), time.monotonic() + PATIENCE
    while left and time.monotonic() < deadline:
        time.sleep(0.2)
        left &= set(rows(url, sql))
    return {name for (name,) in left}


def do(url: URL, sql: str) -> None:
    """Run statements."""
    with psql(url) as connection:
        connection.execute(sql.encode())


def acting_as(role: str, url: URL) -> Engine:
    """Return an engine whose sessions are a role's."""
    engine = create_engine(url, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def become(session: "psycopg.Connection[Any]", _: object) -> None:
        session.execute(f"set role {role}".encode())
        session.commit()

    return engine


def wait_until(url: URL, sql: str) -> None:
    """Return when a query has a row."""
    deadline = time.monotonic() + PATIENCE
    while not rows(url, sql):
        assert time.monotonic() < deadline, sql
        time.sleep(0.01)


def wait_until_blocked(url: URL) -> None:
    """Return when a session of the database waits for a lock."""
    wait_until(
        url,
        "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
    )


def catalog(url: URL) -> list[tuple[Any, ...]]:
    """Return what the user's schemas look like: columns, constraints, indexes and whether they are valid."""
    return rows(
        url,
        """
        with ours as (
            select c.oid, n.nspname, c.relname, c.relkind
            from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'plinth'))
        select nspname, relname, 'column', attname::text, format_type(atttypid, atttypmod), attnotnull::text
        from ours join pg_attribute on attrelid = oid
        where attnum > 0 and not attisdropped and relkind <> 'i'
        union all select nspname, relname, 'constraint', conname, pg_get_constraintdef(k.oid),
               convalidated::text
        from ours join pg_constraint k on conrelid = ours.oid
        union all select nspname, relname, 'index', '', pg_get_indexdef(indexrelid), indisvalid::text
        from ours join pg_index on indexrelid = ours.oid
        order by 1, 2, 3, 4, 5
        """,
    )


def ledger(url: URL) -> list[tuple[Any, ...]]:
    """Return revision, direction and batch of the ledger's rows."""
    return rows(url, "select revision, direction, batch from plinth.ledger order by id")


def heads(url: URL) -> set[str]:
    """Return what the version table says."""
    return {name for (name,) in rows(url, "select version_num from alembic_version")}


def leftovers(url: URL) -> list[tuple[Any, ...]]:
    """Return the sessions of other programs in the database; those that are ending get a moment for it."""
    deadline = time.monotonic() + 10
    while True:
        found = rows(
            url,
            "select pid, application_name, state, query from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid() "
            "and backend_type = 'client backend'",
        )
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def empty(url: URL) -> None:
    """Drop everything that revisions and Plinth made."""
    with psql(url) as connection:
        connection.execute(
            "drop schema public cascade; create schema public; drop schema if exists plinth cascade"
        )
