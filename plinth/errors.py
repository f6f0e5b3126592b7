"""The errors that end a command with one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager


class PlinthError(Exception):
    """What went wrong and what to do next, in one sentence or two."""


@contextmanager
def as_command_errors() -> Iterator[None]:
    """Turn a `PlinthError` into Alembic's `CommandError`, which `alembic` prints as one line and exits with.

    Raises:
        alembic.util.CommandError: a `PlinthError` came up.
    """
    # Imported late: an application's settings raise these errors too, and need no Alembic.
    from alembic.util import CommandError  # noqa: PLC0415

    try:
        yield
    except PlinthError as error:
        raise CommandError(str(error)) from error
