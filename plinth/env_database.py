"""Which database `env.py` leads to, asked without a connection to it: it need not be there.

An application's `env.py` may say it in any way: set `sqlalchemy.url`, make an engine of its own, ask the
application. So it is run as for `alembic current`, up to where it would connect.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL, Dialect

from plinth import redirecting, settings
from plinth.connecting import Led, url_of_arguments
from plinth.environment import look
from plinth.listening import listening
from plinth.migration_connection import ASKED
from plinth.scratch.databases import url_of


def databases(config: Config) -> tuple[URL, URL]:
    """Return the database that migrations go to, and the application's.

    They differ by MIGRATION_DATABASE_URL, where `env.py` heeds it. Of several databases it is the first.

    Args:
        config: Alembic's. What `env.py` sets in it stays.

    Raises:
        SettingsError: a URL isn't PostgreSQL's.
    """
    led_to = _led_to(config)
    migrations = settings.variable("MIGRATION_DATABASE_URL")
    if led_to is None or (migrations and led_to == settings.migration_url(config)):
        return settings.migration_url(config), settings.application_url(config)
    return led_to, led_to  # what else would be meant need not be there


def _led_to(config: Config) -> URL | None:
    """Return where `env.py` leads; None if it doesn't connect at all."""

    def refuse(dialect: Dialect, _: object, arguments: list[Any], options: Mapping[str, Any]) -> None:
        if dialect.name == "postgresql" and not redirecting.is_ours(dialect):
            raise Led(url_of_arguments(arguments, options, "What env.py leads to"))

    def display_version(_: Sequence[str], context: MigrationContext) -> URL | None:
        # An engine with a way of its own to connect.
        return url_of(context.connection) if isinstance(context.connection, Connection) else None

    display_version.__qualname__ = "current.<locals>.display_version"  # as that command's
    config.attributes[ASKED] = True
    try:
        with listening((Engine, "do_connect", refuse)):
            found = look(config, display_version)
    except Led as led:
        return led.url
    finally:
        del config.attributes[ASKED]
    return next(filter(None, found), None)
