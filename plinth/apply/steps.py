"""What the ways through Alembic have in common: how it gets their work, and what its steps are."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.util import to_tuple

from plinth.errors import PlinthError

Options = dict[str, Any]  # for `context.configure()`
Work = Callable[..., Iterable[Any]]  # from heads to steps


class ApplyError(PlinthError):
    """A command stopped; the message says why, and where the database stands."""


def undoes(step: MigrationStep) -> bool:
    """Whether a step takes a revision back."""
    return isinstance(step, RevisionStep) and step.is_downgrade


def name_of(step: MigrationStep) -> str:
    """Return the revisions that a step applies or takes back."""
    names = step.to_revisions_no_deps if step.is_upgrade else step.from_revisions_no_deps
    return ", ".join(names) or "base"


def named_like(work: Work, steps: Work) -> Work:
    """Return `steps` under the name by which the running command is known."""

    @functools.wraps(work)
    def named(heads: Sequence[str], context: MigrationContext) -> Iterator[MigrationStep]:
        return iter(steps(heads, context))

    return named


def with_callback(options: Options, callback: Callable[..., None]) -> tuple[Callable[..., None], ...]:
    """Return what Alembic calls when a step is done: the project's own callbacks, and another one."""
    return (*to_tuple(options.get("on_version_apply"), default=()), callback)


def says_repeatable(step: MigrationStep) -> bool:
    """Whether a revision's file says that it may simply be run again."""
    return isinstance(step, RevisionStep) and bool(getattr(step.revision.module, "repeatable", False))
