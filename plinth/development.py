"""Drop, create, migrate and seed the development database.

What `plinth.reset_again` isn't certain of comes here, and whatever has to be refused.
"""

import importlib
import logging
import os
import re
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.sql import Identifier
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from plinth import belongings, reset_again, seeds, settings, up_to_date
from plinth.belongings import Setting
from plinth.connecting import (
    ConnectError,
    MissingDatabaseError,
    connect,
    connect_to_maintenance_database,
    engine,
    wait_until_left,
)
from plinth.errors import PlinthError
from plinth.kept_database import KeptDatabase, one_at_a_time
from plinth.safety import (
    Identity,
    SafetyError,
    identity,
    is_on_development_server,
    refuse_unless_development,
    same,
    write_marker,
)
from plinth.server_errors import words

log = logging.getLogger(__name__)

# What a copy needs is there without Alembic, whose import takes a quarter of the time.
if TYPE_CHECKING:
    from alembic.config import Config

# A reset was interrupted in DROP DATABASE.
_IS_HALF_DROPPED = text(
    "select exists (select from pg_database where datname = cast(:name as name) and datconnlimit = -2)"
)


def reset() -> tuple[URL, bool]:
    """Drop, create, migrate and seed the database; two at once take turns.

    Returns:
        The database, and whether it is a copy of what the same revisions made at an earlier reset.

    Raises:
        SafetyError: it isn't development.
        ConnectError: its server can't be reached.
        PlinthError: the seeds can't be loaded.
    """
    url, application = databases()
    name = str(url.database)
    if name in settings.SERVERS_OWN_DATABASES:
        raise SafetyError(f"Refused to drop database {name!r}: it is the server's own. Name another one.")

    def waiting() -> None:
        print(f"Waiting for another reset of {name} ...", flush=True)  # noqa: T201

    with (
        connect_to_maintenance_database(url) as server,
        one_at_a_time(server, reset_again.lock_of(name), waiting),
    ):
        # Asked inside the lock: another reset's DROP would end the session that asks.
        judged = refuse_unless_development(url, "drop")
        if not same(judged, _identity(application)) or (judged is None and name != application.database):
            raise SafetyError(
                "Refused to reset: MIGRATION_DATABASE_URL and DATABASE_URL don't lead to one database. The "
                "second would get the seeds of the first."
            )
        prefix = reset_again.prefix_of(name)
        can_be_copied = is_on_development_server(url) and belongings.are_none(server, name)
        template = KeptDatabase(server, url, prefix) if can_be_copied else None
        found = template.find() if template else None
        kept = found
        if template and not found:
            with _beginning_with(
                f"Nothing is done to database {name}: its revisions can't be applied to a new one, in which "
                "they are run first, and which is dropped. "
            ):
                kept = template.make(lambda place: _upgrade(alembic_config(), place), name)
        if not same(judged, identity(server, name)):
            raise SafetyError(
                f"Refused to drop database {name!r}: the session that would drop it sees another one under "
                "that name. Use a URL that leads to the server directly, and to one host."
            )
        is_there = judged or server.scalar(_IS_HALF_DROPPED, {"name": name})
        had = belongings.settings(server, name, name)
        _make_anew(server, name, kept)
        done = "dropped and made anew" if is_there else "made"
        with (
            _giving(server, name, had),
            _beginning_with(f"Database {name} was {done}; its revisions could not be applied: "),
        ):
            made = identity(server, name)
            with connect(url) as connection:
                if not (same(made, identity(connection)) and same(made, _identity(application))):
                    raise SafetyError("the URL leads to another one than that.")
                write_marker(connection, settings.app_env() or "development")
                connection.commit()
            if kept is None:
                _upgrade(alembic_config())
        if template and template.why_not:
            print(f"No copy is kept for the next reset: {template.why_not}", flush=True)  # noqa: T201
        _load_seeds(application)
    return url, found is not None


def seed() -> None:
    """Run the project's seeds (`[tool.plinth] seeds`, a module), if it has any.

    Raises:
        SafetyError: the application's database isn't development.
        ConnectError: it isn't there.
        PlinthError: they failed; what they print says why.
    """
    if not settings.configured().seeds:
        return
    # Asked as the role that migrates: the application's need not see the marker.
    action = "load development rows into"
    url, application = databases()
    with connect(application):  # the seeds would say it in a traceback
        pass
    if not same(refuse_unless_development(url, action), _identity(application)):
        refuse_unless_development(application, action)
    _load_seeds(application)


def _upgrade(config: "Config", place: URL | None = None) -> None:
    """Apply all revisions, to the database that `env.py` leads to or to another one.

    Args:
        config: Alembic's.
        place: the other one.
    """
    from alembic import command  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    from plinth.apply.standing import forks  # noqa: PLC0415

    config.attributes[up_to_date.ATTRIBUTE] = up_to_date.fingerprint()  # so that the next one need not look
    if place is not None:
        config.attributes["connection"] = engine(place)
    command.upgrade(config, "head" if forks(ScriptDirectory.from_config(config)) else "heads")


def _make_anew(server: Connection, name: str, template: str | None) -> None:
    """Make a database anew, with what belongs to it; the one that is there is dropped when that is done.

    Nobody can enter the new one before it has its name: PostgreSQL would give it none. Its settings are tried
    only, see `_giving`.

    Args:
        server: a session, in autocommit, of its server.
        name: its name.
        template: what it is to be a copy of; it is empty when None.

    Raises:
        PlinthError: what belongs to it can't be given to a new one, or that can't take its name.
    """
    new = reset_again.new_name_of(name)
    belongs = belongings.of(server, name, new)
    like = f"template {_quoted(template)}" if template else _escaped(belongs.options)
    drop_new = text(f"drop database if exists {_quoted(new)} with (force)")
    server.execute(drop_new)  # a killed reset's
    server.execute(text(f"create database {_quoted(new)} {like} allow_connections false"))
    tried = [statement for each in belongs.settings for statement in (each.make, each.take_back)]
    for statement in (*tried, *belongs.statements):
        try:
            server.execute(text(_escaped(statement)))
        except DBAPIError as error:
            server.execute(drop_new)
            raise PlinthError(
                f"Nothing is done to database {name}: what belongs to it can't be given to a new one by "
                f"this role. {words(error)} [{statement}] Do that as a role that may, or take it away first."
            ) from error
    wait_until_left(server, name)
    try:
        server.execute(text(f"drop database if exists {_quoted(name)} with (force)"))
    except DBAPIError as error:
        server.execute(drop_new)
        raise PlinthError(f"Database {name} can't be dropped, and stays as it is: {words(error)}") from error
    try:
        server.execute(  # both or none
            text(
                f"alter database {_quoted(new)} rename to {_quoted(name)}; "
                f"alter database {_quoted(name)} allow_connections true"
            )
        )
    except DBAPIError as error:
        server.execute(drop_new)
        raise PlinthError(
            f"Database {name} was dropped, with what belonged to it, and the new one can't take its name: "
            f"{words(error)} Type the same command again."
        ) from error


@contextmanager
def _giving(server: Connection, name: str, had: Sequence[Setting]) -> Iterator[None]:
    """Give a database the settings that it had, behind its revisions, but for those that these have made.

    Were they there before, revisions that make one would be run with it, but for the first time.
    """
    try:
        yield
    finally:
        if had and not server.invalidated:  # by an interruption
            made = {(each.role, each.name) for each in belongings.settings(server, name, name)}
            for each in had:
                if (each.role, each.name) not in made:
                    _give(server, name, each.make)


def _give(server: Connection, name: str, statement: str) -> None:
    try:
        server.execute(text(_escaped(statement)))
    except DBAPIError as error:
        log.warning(  # no error: that of a revision would be hidden by it
            "Database %s was dropped and made anew; a setting that it had can't be given to it: %s Run this "
            "as a role that may: %s",
            name,
            words(error),
            statement,
        )


@contextmanager
def _beginning_with(beginning: str) -> Iterator[None]:
    """Let the sentence of an error begin with what was done before."""
    from alembic.util import CommandError  # noqa: PLC0415

    try:
        yield
    except CommandError as error:
        raise CommandError(f"{beginning}{_rest(error)}") from error
    except PlinthError as error:
        raise PlinthError(f"{beginning}{_rest(error)}") from error


def _rest(error: Exception) -> str:
    """Return an error's sentence, but for that nothing was changed: it knows of no database made anew."""
    from plinth.apply.applier import UNCHANGED  # noqa: PLC0415

    return re.sub(rf" *{re.escape(UNCHANGED)}", "", str(error)).strip()


def _load_seeds(judged: URL) -> None:
    if settings.configured().seeds:
        seeds.load(_leading_to(judged))


def _leading_to(judged: URL) -> dict[str, str]:
    """Return what lets the application go to a database: DATABASE_URL may name another one than env.py."""
    said = settings.variable("DATABASE_URL")
    if said:
        with suppress(ConnectError):
            url = settings.parse_url(said, "DATABASE_URL")
            if url == judged or same(_identity(url), _identity(judged)):
                return {}
    driver = said.partition(":")[0] if said else "postgresql"
    return {"DATABASE_URL": judged.set(drivername=driver).render_as_string(hide_password=False)}


def _identity(url: URL) -> Identity | None:
    try:
        with connect(url) as connection:
            return identity(connection)
    except MissingDatabaseError:
        return None


def databases() -> tuple[URL, URL]:
    """Return the database that migrations go to, and the application's: those that `env.py` leads to.

    They differ by MIGRATION_DATABASE_URL. Of several databases it is the first.

    Raises:
        SettingsError: a URL isn't PostgreSQL's.
    """
    if up_to_date.names_no_database():
        return settings.migration_url(), settings.application_url()
    from plinth import env_database  # noqa: PLC0415

    return env_database.databases(alembic_config())


def alembic_config() -> "Config":
    """Return the configuration that `alembic` itself would read here, or in the project's folder.

    It is ALEMBIC_CONFIG's; else `alembic.ini` here, in the project's folder, or in the one of its migrations,
    where Flask-Migrate puts it; else `pyproject.toml` alone. ALEMBIC_CONFIG may name one that Python makes,
    too: `module:name`, of a configuration or of a function that returns one.

    Raises:
        PlinthError: there is no such configuration, or it hasn't the section that is asked for.
    """
    from alembic.config import Config  # noqa: PLC0415

    file = settings.alembic_file()
    if file is None:
        return _made(*os.environ["ALEMBIC_CONFIG"].split(":"))
    section = os.environ.get("PLINTH_SECTION")
    found = Config(
        os.environ.get("ALEMBIC_CONFIG") or str(file),
        toml_file=str(settings.root() / "pyproject.toml"),
        ini_section=section or "alembic",
        cmd_opts=Namespace(x=None),  # as under the program `alembic`: see plinth/env.py
    )
    if section and not found.file_config.has_section(section):
        raise PlinthError(
            f"{found.config_file_name} has no section [{section}]. Behind -n, or in PLINTH_SECTION, write "
            f"one of these: {', '.join(found.file_config.sections())}."
        )
    return found


def _made(module: str, name: str) -> "Config":
    """Return the configuration that a module of the project has or makes.

    Raises:
        PlinthError: there is none.
    """
    from alembic.config import Config  # noqa: PLC0415

    sys.path[:0] = [] if str(Path.cwd()) in sys.path else [str(Path.cwd())]
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise PlinthError(f"There is no configuration {module}:{name}: {error}.") from error
    made = found() if callable(found) else found
    if not isinstance(made, Config):
        raise PlinthError(f"{module}:{name} is no alembic.config.Config, and no function that returns one.")
    if made.cmd_opts is None:
        made.cmd_opts = Namespace(x=None)
    return made


def _quoted(name: str) -> str:
    return _escaped(Identifier(name).as_string())


def _escaped(sql: str) -> str:
    """Return SQL in which text() finds no bind parameter."""
    return sql.replace(":", r"\:")
