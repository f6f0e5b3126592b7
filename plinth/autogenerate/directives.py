"""From a comparison to the revisions that are written (a hook for `process_revision_directives`)."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from alembic.operations import ops
from alembic.runtime.migration import MigrationContext

from plinth import revision_names
from plinth.alembic_command import of_options
from plinth.autogenerate.comparator import ComparedOp, Comparison
from plinth.autogenerate.difference import difference
from plinth.autogenerate.enums import is_extended, mentioned_values
from plinth.autogenerate.proof import Claim, prove
from plinth.autogenerate.scope import in_scope
from plinth.autogenerate.steps import Change
from plinth.catalog import Catalog, Difference, differences
from plinth.errors import as_command_errors

log = logging.getLogger("alembic.autogenerate")


@dataclass(frozen=True)
class Revision:
    """What one revision does, and what takes it back."""

    up: Sequence[ops.MigrateOperation]
    down: Sequence[ops.MigrateOperation]


def write_revisions(
    context: MigrationContext, revision: object, directives: list[ops.MigrationScript]
) -> None:
    """Put the operations of a comparison into as many revisions as they need, name them and prove them.

    Raises:
        alembic.util.CommandError: a word of the author's is missing, or a revision doesn't do what it should.
    """
    if of_options(context.opts).name != "revision" or not directives:
        return
    first = directives[0]
    comparison = _take_comparison(first)
    if comparison:
        written = revisions(comparison)
        _fill(first, written[0])
        for each in written[1:]:
            directives.append(_following(first, directives[-1], each))
    elif _is_empty(first):
        log.info("The database is as the models say: there is nothing to write.")
        directives[:] = []
        return
    revision_names.name_revisions(context, revision, directives)
    if comparison:
        with as_command_errors():
            prove(context, directives, _claim(comparison))


def _claim(comparison: Comparison) -> Claim:
    subject = comparison.subject

    def unexplained(actual: Catalog, wanted: Catalog) -> list[Difference]:
        return differences(*in_scope(actual, wanted, replace(subject.scope, old_tables=())))

    return Claim(subject.models, subject.database, unexplained)


def _take_comparison(script: ops.MigrationScript) -> Comparison | None:
    upgrade_ops = script.upgrade_ops
    if upgrade_ops is None:
        return None
    found = [each for each in upgrade_ops.ops if isinstance(each, ComparedOp)]
    for container in (upgrade_ops, script.downgrade_ops):
        if container is not None:
            container.ops[:] = [each for each in container.ops if not isinstance(each, ComparedOp)]
    return found[0].comparison if found else None


def _is_empty(script: ops.MigrationScript) -> bool:
    return script.upgrade_ops is None or script.upgrade_ops.is_empty()


def _fill(script: ops.MigrationScript, revision: Revision) -> None:
    assert script.upgrade_ops is not None  # noqa: S101 - a new revision has both
    assert script.downgrade_ops is not None  # noqa: S101
    script.upgrade_ops.ops[:0] = revision.up
    script.downgrade_ops.ops.extend(revision.down)


def _following(
    first: ops.MigrationScript, before: ops.MigrationScript, revision: Revision
) -> ops.MigrationScript:
    """Return a further revision, on top of another one that has no file yet."""
    del before
    following = ops.MigrationScript(
        rev_id=None,
        upgrade_ops=ops.UpgradeOps([]),
        downgrade_ops=ops.DowngradeOps([]),
        message=first.message,
        imports=set(first.imports),
        version_path=first.version_path,
    )
    _fill(following, revision)
    return following


def revisions(comparison: Comparison) -> list[Revision]:
    """Return the revisions that a change needs, oldest first."""
    change = comparison.change
    stages = [change.before, *_stages(change), change.after]
    written = [_between(change, before, after) for before, after in zip(stages, stages[1:], strict=False)]
    renamed = written[0]
    written[0] = Revision(
        [*(rename.up for rename in comparison.renames), *renamed.up],
        [*renamed.down, *(rename.down for rename in reversed(comparison.renames))],
    )
    return written


def _stages(change: Change) -> list[Catalog]:
    """Return the schema after each revision but the last: an enum's new value can be used after a commit only."""
    extended = {
        name: enum
        for name, enum in change.after.enums.items()
        if (old := change.before.enums.get(name))
        and old.values != enum.values
        and is_extended(old, enum)
        and (set(enum.values) - set(old.values)) & mentioned_values(enum, change)
    }
    return [replace(change.before, enums={**change.before.enums, **extended})] if extended else []


def _between(change: Change, before: Catalog, after: Catalog) -> Revision:
    up = difference(replace(change, before=before, after=after))
    down = difference(replace(change, before=after, after=before, backfills={}, is_downgrade=True))
    return Revision([step.op for step in up], [step.op for step in down])
