"""What the ways through Alembic have in common: how it gets their work, and what its steps are."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import Script
from alembic.util import CommandError, to_tuple

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


def saying_what_to_type(work: Work) -> Work:
    """Return a downgrade's work, which doesn't count steps down from a merge; its message says what to type.

    Raises:
        alembic.util.CommandError: it doesn't, when it is asked for the steps.
    """

    @functools.wraps(work)
    def steps(heads: Sequence[str], context: MigrationContext) -> Iterable[Any]:
        try:
            return work(heads, context)
        except CommandError as error:
            merge = _merge_below(heads, context) if str(error) == "Ambiguous walk" else None
            if merge is None:
                raise
            below = to_tuple(merge.down_revision)
            raise CommandError(
                f"{error}: {merge.revision} joins {' and '.join(below)}, and a number doesn't say which of "
                f"them is meant. To undo it, and what comes after it: alembic downgrade {below[0]}"
            ) from error

    return steps


def _merge_below(heads: Sequence[str], context: MigrationContext) -> Script | None:
    script = context.script
    found = script.get_revision(heads[0]) if script and len(heads) == 1 else None
    while script and found and not found.is_merge_point:
        below = to_tuple(found.down_revision, default=())
        found = script.get_revision(below[0]) if below else None
    return found


def with_callback(options: Options, callback: Callable[..., None]) -> tuple[Callable[..., None], ...]:
    """Return what Alembic calls when a step is done: the project's own callbacks, and another one."""
    return (*to_tuple(options.get("on_version_apply"), default=()), callback)


def says_repeatable(step: MigrationStep) -> bool:
    """Whether a revision's file says that it may simply be run again."""
    return isinstance(step, RevisionStep) and bool(getattr(step.revision.module, "repeatable", False))
