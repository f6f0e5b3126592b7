"""`make db-reset` where nothing has changed since the last one: a copy, made without SQLAlchemy and psycopg.

Their import takes longer than the copy. It is only made where all is certain that the long way
(`plinth.development`) would ask and find: the database is the local server's, is there and marked as
development's, nothing belongs to it that a copy hasn't, nobody else resets it, and what is kept is that of
the same revisions. Whatever is otherwise, or fails half-way, is left to the long way, which begins anew and
says what there is to say.
"""

import hashlib
import re
from contextlib import ExitStack
from typing import Any

from plinth import advisory, kept_name, leaving, libpq, seeds, settings, up_to_date
from plinth.up_to_date import be_certain

KEPT = "plinth_reset_"  # before the names of what resets keep
_WITHIN = 600  # seconds, for each answer: a copy may be large, and the disk busy

# As `plinth.safety` tells one database from another.
_WHICH = """
    select oid::bigint as oid, extract(epoch from pg_postmaster_start_time())::text as started,
           system_identifier as server, timeline_id as timeline
    from pg_database, pg_control_system(), pg_control_checkpoint()
    where datname = {name} and datconnlimit <> -2
    """
_OF_THAT_NAME = _WHICH.format(name="$1::name")
_HERE = _WHICH.format(name="current_database()")
_LOCK = "select pg_try_advisory_lock($1::bigint)::text"
# The session holds the lock while seeds are loaded, which may take longer.
_STAY = "select set_config('idle_session_timeout', '0', false)"
_MARK = """
    update plinth.environment
    set name = $1, database = d.oid, server = system_identifier, database_name = datname,
        timeline = timeline_id
    from pg_database d, pg_control_system(), pg_control_checkpoint()
    where datname = current_database()
    returning environment.name
    """


def prefix_of(database: str) -> str:
    """Return what the names of all begin with that resets keep of a database."""
    return f"{KEPT}{hashlib.sha256(database.encode()).hexdigest()[:8]}_"


def new_name_of(database: str) -> str:
    """Return the name that a database has until the one of its own name is dropped."""
    return f"plinth_new_{hashlib.sha256(database.encode()).hexdigest()[:8]}"


def lock_of(database: str) -> str:
    """Return the name of the lock of a database's resets."""
    return f"plinth reset {database}"


def reset() -> str | None:
    """Make the database anew as a copy, and load the seeds.

    Returns:
        Its name; None where the long way has to be taken.

    Raises:
        PlinthError: the seeds can't be loaded.
    """
    with ExitStack() as until_the_end:
        try:
            name, url = _copied(until_the_end)
        except up_to_date.UNCERTAIN:
            return None
        seeds.load({"DATABASE_URL": url})
        return name


def _copied(until_the_end: ExitStack) -> tuple[str, str]:
    """Return the database's name and URL; it is a copy now, and other resets wait till the stack is closed.

    Raises:
        Exception: one of `UNCERTAIN`. The database may be as it was, gone, or new.
    """
    settings.forget_libpq_places()
    app_env = settings.app_env() or "development"
    be_certain(app_env == "development")
    be_certain(not any(map(settings.variable, ("DATABASE_URL", "MIGRATION_DATABASE_URL"))))
    be_certain(up_to_date.names_no_database())
    # Imported late: with a URL it isn't needed.
    from plinth.local_server import SUPERUSER, development_server  # noqa: PLC0415

    name, local = settings.development_database(), development_server()
    be_certain(re.fullmatch(r"[\w.~-]+", name, re.ASCII))  # else its URL may be read otherwise
    place = {**local.place(), "user": SUPERUSER, "dbname": name}
    server = until_the_end.enter_context(
        libpq.session({**place, "dbname": "postgres"}, _WITHIN, to_change=True)
    )
    server.run(_STAY)
    be_certain(server.run(_LOCK, str(advisory.number_of(lock_of(name)))) == "true")
    with libpq.session(place, _WITHIN) as session:
        be_certain(up_to_date.marker(session) == app_env)
        judged = session.ask(_HERE)
    be_certain(judged == _of_that_name(server, name))
    be_certain(server.ask(f"{kept_name.IS_PLAIN} as is_plain", name) == [{"is_plain": True}])
    kept = kept_name.name_of(place, prefix_of(name))
    be_certain(
        kept and server.ask(kept_name.KEPT, prefix_of(name)) == [{"name": kept, "is_unfinished": False}]
    )
    leaving.wait(lambda: server.run(leaving.IS_ENTERED, name) == "t")
    server.run(f"drop database {_quoted(name)} with (force)")
    server.run(f"create database {_quoted(name)} template {_quoted(str(kept))}")
    made = _of_that_name(server, name)
    with libpq.session(place, _WITHIN, to_change=True) as session:
        be_certain(session.ask(_HERE) == made)
        be_certain(session.run(_MARK, app_env) == app_env)
    return name, local.libpq_url(name)


def _of_that_name(server: libpq.Session, name: str) -> list[dict[str, Any]]:
    found = server.ask(_OF_THAT_NAME, name)
    be_certain(len(found) == 1)
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
