"""Runs `env.py` in order to look: with a function of ours, on a session of psycopg's."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from plinth.connecting import on_our_driver_too

Look = Callable[[Sequence[str], MigrationContext], Iterable[Any]]


def look(
    config: Config,
    function: Look,
    *,
    script: ScriptDirectory | None = None,
    **options: Any,  # noqa: ANN401 - Alembic's
) -> None:
    """Run `env.py`, whichever it is, and a function with the heads and the context that it configures.

    Args:
        config: Alembic's.
        function: it changes nothing.
        script: the revisions, where they have been read.
        options: of EnvironmentContext.
    """

    @functools.wraps(function)
    def on_our_driver(heads: Sequence[str], context: MigrationContext) -> Iterable[Any]:
        given = context.connection
        if not isinstance(given, Connection):
            return function(heads, context)
        with on_our_driver_too(given) as connection:
            context.connection = connection
            try:
                return list(function(heads, context))
            finally:
                context.connection = given

    script = script or ScriptDirectory.from_config(config)
    with EnvironmentContext(config, script, fn=on_our_driver, dont_mutate=True, **options):
        script.run_env()
