"""The errors that end a command with one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager


class PlinthError(Exception):
    """What went wrong and what to do next, in one sentence or two."""


@contextmanager
def as_command_errors() -> Iterator[None]:
    """Turn a `PlinthError` into Alembic's `CommandError`, which `alembic` prints as one line and exits with.

    So is a refusal of the server's that is no statement's fault.

    Raises:
        alembic.util.CommandError: such an error came up.
    """
    # Imported late: an application's settings raise these errors too, and need no Alembic.
    from alembic.util import CommandError  # noqa: PLC0415

    try:
        yield
    except CommandError:
        raise
    except Exception as error:
        sentence = None if isinstance(error, OSError) else sentence_of(error)
        if sentence is None:  # a revision's own, for instance: the traceback shows where
            raise
        raise CommandError(sentence) from error


def sentence_of(error: Exception) -> str | None:
    """Return what to tell the user of an error; None where only a traceback says where it comes from."""
    if isinstance(error, PlinthError):
        return str(error)
    if isinstance(error, OSError):
        words = error.strerror or type(error).__name__
        return f"{words}: {error.filename}." if error.filename else f"{words}."
    from plinth import server_errors  # noqa: PLC0415 - likewise

    return server_errors.sentence(error)
