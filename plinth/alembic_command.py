"""Which of Alembic's commands is running, and what it needs.

Alembic runs `env.py` for most of its commands without saying for which. It hands over a function that is
local to the command's own (`alembic.command`), whose qualified name therefore begins with the command's.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from alembic import context

# Alembic's own, and those of plinth.undo, which go the same way.
_CHANGE_THE_DATABASE = {"upgrade", "downgrade", "stamp", "ensure_version", "rollback", "redo"}


@dataclass(frozen=True)
class AlembicCommand:
    """A command of Alembic's.

    Args:
        name: as typed, for instance "upgrade".
        autogenerates: it compares the models with the database.
    """

    name: str
    autogenerates: bool

    @property
    def changes_database(self) -> bool:
        """Whether revisions are applied, undone or marked as applied."""
        return self.name in _CHANGE_THE_DATABASE

    @property
    def needs_database(self) -> bool:
        """Whether it has anything to ask a database: an empty revision or a merge is but a file."""
        return self.autogenerates or self.name not in {"revision", "merge"}

    @property
    def needs_models(self) -> bool:
        """Whether it looks at the models: to compare them, or for the names of their tables."""
        return self.name in {"revision", "check"}


def running() -> AlembicCommand:
    """Return the command that runs `env.py` now."""
    return of_options(_options())


def work() -> Callable[..., Iterable[Any]]:
    """Return the function by which it decides which revisions to run, given heads and context."""
    function: Callable[..., Iterable[Any]] = _options()["fn"]
    return function


def _options() -> dict[str, Any]:
    environment = context._proxy  # type: ignore[attr-defined] # before configure() there is no other way
    options: dict[str, Any] = environment.context_opts
    return options


def of_options(options: Mapping[str, Any]) -> AlembicCommand:
    """Return the command that a context's options belong to (`MigrationContext.opts`)."""
    function: Callable[..., Any] = options["fn"]
    revision = options.get("revision_context")
    return AlembicCommand(
        name=function.__qualname__.partition(".")[0],
        autogenerates=revision is not None and bool(revision.command_args["autogenerate"]),
    )
