"""Deploys in two phases: what the new code needs comes before it, what only the old code used comes after it.

A revision says so by a line `deploy = "after"`. While it waits, what stands on it waits too; another branch
doesn't.
"""

import logging
from collections.abc import Iterable, Sequence

from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection

from plinth import safety, settings, status
from plinth.alembic_command import of_options
from plinth.apply.ledger import ancestors, parents
from plinth.errors import PlinthError
from plinth.revision_files import is_empty

log = logging.getLogger(__name__)

BEFORE, AFTER = status.BEFORE, status.AFTER
RELEASE = "python -m plinth upgrade --after, or alembic -x after=yes upgrade head"


class PhaseError(PlinthError):
    """A revision says something else of its phase than it may."""


def phase_of(revision: Script) -> str:
    """Return whether a revision comes "before" the code or "after" it, by its own word.

    Raises:
        PhaseError: the word is another one.
    """
    said = getattr(revision.module, "deploy", BEFORE)
    if said not in {BEFORE, AFTER}:
        raise PhaseError(
            f'Revision {revision.revision} says deploy = {said!r}: write deploy = "after", or leave the line '
            "out."
        )
    return str(said)


def after_the_code(script: ScriptDirectory, pending: Iterable[str]) -> list[str]:
    """Return the pending revisions that come after the code: those that say so, and what stands on them.

    Args:
        script: the revisions.
        pending: ids of those that aren't applied, oldest first.

    Raises:
        PhaseError: one says something else.
    """
    found: list[str] = []
    for name in pending:
        revision = script.get_revision(name)
        if phase_of(revision) == AFTER or not set(found).isdisjoint(parents(script, revision)):
            found.append(name)
    return found


def caught(script: ScriptDirectory, waiting: Iterable[str]) -> dict[str, str]:
    """Return a sentence for each revision that waits only because it stands on one that comes after the code.

    Args:
        script: the revisions.
        waiting: ids of those that wait, oldest first.
    """
    behind: dict[str, list[str]] = {}
    found: dict[str, str] = {}
    for name in waiting:
        revision = script.get_revision(name)
        above = [each for parent in parents(script, revision) for each in behind.get(parent, ())]
        behind[name] = [name] if phase_of(revision) == AFTER else list(dict.fromkeys(above))
        if name not in behind[name] and not is_empty(revision):  # no code needs a merge that makes nothing
            found[name] = (
                f"Revision {name} is caught behind {', '.join(behind[name])}: it comes before the code, and "
                "stands on what comes after it. Code that needs it can't go out until that is applied."
            )
    return found


def pending(script: ScriptDirectory, heads: Sequence[str]) -> list[str]:
    """Return the revisions that aren't applied, oldest first."""
    applied = ancestors(script, heads)
    names = [each.revision for each in script.walk_revisions()]
    return [name for name in reversed(names) if name not in applied]


def as_if_applied(heads: Sequence[str], context: MigrationContext) -> Sequence[str]:
    """Return all heads where nothing is pending but what comes after the code; else those that are given."""
    script = context.script
    if script is None:
        return heads
    names = pending(script, heads)
    return script.get_heads() if after_the_code(script, names) == names else heads


def but_for_those_after(
    planned: Sequence[MigrationStep], heads: Sequence[str], context: MigrationContext
) -> list[MigrationStep]:
    """Return the steps without those of an upgrade that wait for the code, and say which do.

    Raises:
        PhaseError: a revision says something else than it may.
        SettingsError: `-x after=…` is neither yes nor no.
    """
    is_upgrade = of_options(context.opts).name == "upgrade"
    if context.script is None or not is_upgrade or not do_wait(heads, context):
        return list(planned)
    names = [step.revision.revision for step in planned if isinstance(step, RevisionStep)]
    waiting = after_the_code(context.script, names)
    if waiting:
        log.warning(
            "Held back, to come after the code: %s. When no older code runs any more: %s",
            ", ".join(waiting),
            RELEASE,
        )
    for sentence in caught(context.script, waiting).values():
        log.warning(sentence)
    return [
        step for step in planned if not (isinstance(step, RevisionStep) and step.revision.revision in waiting)
    ]


def do_wait(heads: Sequence[str], context: MigrationContext) -> bool:
    """Whether revisions that come after the code wait: by `-x after=no`, or else by the setting.

    By the setting alone they don't where no code can run: in development, and in a database that is new.
    """
    environment = context.environment_context
    arguments = environment.get_x_argument(as_dictionary=True) if environment else {}
    word = arguments.get("after")
    if word is not None:
        return not settings.yes_or_no(word, "-x after")
    if not settings.configured().hold_after or not heads:
        return False
    if isinstance(context.connection, Connection):
        return not safety.is_for_development(context.connection)
    return settings.app_env() not in {"development", "test"}  # --sql asks no database
