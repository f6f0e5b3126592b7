"""Runs `env.py` in order to look: with a function of ours, on a session of psycopg's."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from plinth.connecting import on_our_driver_too

Found = TypeVar("Found")


def look(
    config: Config,
    function: Callable[[Sequence[str], MigrationContext], Found],
    *,
    script: ScriptDirectory | None = None,
    **options: Any,  # noqa: ANN401 - Alembic's
) -> list[Found]:
    """Run `env.py`, and return what a function finds with the heads and each context that it configures.

    Args:
        config: Alembic's.
        function: it changes nothing. By its name the running command is known (`alembic_command`).
        script: the revisions, where they have been read.
        options: of EnvironmentContext.
    """
    found: list[Found] = []

    @functools.wraps(function)
    def on_our_driver(heads: Sequence[str], context: MigrationContext) -> Iterable[Any]:
        given = context.connection
        if not isinstance(given, Connection):
            found.append(function(heads, context))
            return []
        with on_our_driver_too(given) as connection:
            context.connection = connection
            try:
                found.append(function(heads, context))
            finally:
                context.connection = given
        return []

    script = script or ScriptDirectory.from_config(config)
    with EnvironmentContext(config, script, fn=on_our_driver, dont_mutate=True, **options):
        script.run_env()
    return found
