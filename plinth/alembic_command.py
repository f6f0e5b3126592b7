"""Which of Alembic's commands is running, and what it needs.

Alembic runs `env.py` for most of its commands without saying for which. It hands over a function that is
local to the command's own (`alembic.command`), whose qualified name therefore begins with the command's. A
program may hand over a function of its own (pytest-alembic does): it is taken to change the database.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import alembic.command
from alembic import context
from alembic.runtime.migration import MigrationContext

from plinth.revision_files import refuse_unloadable

# With what Alembic writes SQL that psql takes (`--sql`). Under "named", a % in it stays one %.
OFFLINE: Mapping[str, Any] = {
    "dialect_name": "postgresql",
    "dialect_opts": {"paramstyle": "named"},
    "literal_binds": True,
}

# Alembic's own that leave the database as it is, without saying so by `dont_mutate`.
_READ = {"current", "edit", "history", "merge"}


# Those that look at revisions' files, and at a database only to compare it with the models.
_WITH_FILES = {"revision", "check", "merge"}


@dataclass(frozen=True)
class AlembicCommand:
    """A command of Alembic's.

    Args:
        name: as typed, for instance "upgrade".
        autogenerates: it compares the models with the database, and may write what differs.
        changes_database: revisions are applied, undone or marked as applied.
    """

    name: str
    autogenerates: bool
    changes_database: bool

    @property
    def needs_database(self) -> bool:
        """Whether it has anything to ask a database: an empty revision or a merge is but a file."""
        return self.autogenerates or self.name not in _WITH_FILES - {"check"}

    @property
    def needs_models(self) -> bool:
        """Whether it looks at the models: to compare them, or for the names of their tables."""
        return self.name in {"revision", "check"}


def running() -> AlembicCommand:
    """Return the command that runs `env.py` now.

    Raises:
        alembic.util.CommandError: a revision file can't be loaded.
    """
    refuse_unloadable(context.script)
    return of_options(_options())


def is_typed_upgrade() -> bool:
    """Whether `alembic upgrade head` (or `heads`) was typed, without anything that changes what it does."""
    typed, options = context.config.cmd_opts, _options()
    revision = getattr(typed, "revision", None)
    return (
        getattr(typed, "cmd", [None])[0] is alembic.command.upgrade
        and revision in {"head", "heads"}
        and not any(getattr(typed, name, True) for name in ("sql", "tag", "x"))
        and of_options(options).name == "upgrade"
        and options.get("destination_rev") == revision
        and not any(options.get(name) for name in ("as_sql", "starting_rev", "tag", "dont_mutate"))
    )


def work() -> Callable[..., Iterable[Any]]:
    """Return the function by which it decides which revisions to run, given heads and context."""
    function: Callable[..., Iterable[Any]] = _options()["fn"]
    return function


def arguments(of: MigrationContext) -> dict[str, Any]:
    """Return what `env.py` gave to `context.run_migrations()`, with which a revision's functions are called.

    With several databases it is the name of one (Alembic's template multidb).
    """
    return dict(of_run(of).get("kw", {}))


def of_run(of: MigrationContext) -> Mapping[str, Any]:
    """Return what Alembic keeps nowhere but in its call of `run_migrations()` that is going on."""
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment] # until there is none
        if frame.f_code is MigrationContext.run_migrations.__code__ and frame.f_locals["self"] is of:
            return frame.f_locals
    return {}


def _options() -> dict[str, Any]:
    environment = context._proxy  # type: ignore[attr-defined] # before configure() there is no other way
    options: dict[str, Any] = environment.context_opts
    return options


def of_options(options: Mapping[str, Any]) -> AlembicCommand:
    """Return the command that a context's options belong to (`MigrationContext.opts`)."""
    function: Callable[..., Any] = options["fn"]
    revision = options.get("revision_context")
    name = getattr(function, "__qualname__", type(function).__name__).partition(".")[0]
    if revision is not None and name not in _WITH_FILES:
        name = "revision"  # by another program
    return AlembicCommand(
        name=name,
        autogenerates=revision is not None and bool(revision.command_args["autogenerate"]),
        changes_database=revision is None and not options.get("dont_mutate") and name not in _READ,
    )
