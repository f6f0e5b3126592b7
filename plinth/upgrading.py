"""An upgrade that says what it did: Alembic's own, with the files of the revisions read once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory

from plinth import environment
from plinth.apply import phases
from plinth.apply.ledger import ancestors
from plinth.errors import PlinthError


@dataclass(frozen=True)
class Upgraded:
    """What an upgrade did.

    Args:
        applied: the revisions, oldest first.
        heads: the newest that are applied now.
        waiting: those that are pending, and come after the code.
    """

    applied: Sequence[str]
    heads: Sequence[str]
    waiting: Sequence[str]


def upgrade(config: Config, revision: str) -> Upgraded:
    """Upgrade as `alembic upgrade` does; of several databases, the first one's is returned.

    Args:
        config: Alembic's.
        revision: to which.

    Raises:
        alembic.util.CommandError: it was refused, or gave up.
    """
    script = ScriptDirectory.from_config(config)
    before: list[Sequence[str]] = []

    def steps(heads: Sequence[str], _: MigrationContext) -> Iterable[MigrationStep]:
        before.append(heads)
        return script._upgrade_revs(revision, heads)  # type: ignore[arg-type] # as Alembic itself does

    def see(heads: Sequence[str], _: MigrationContext) -> Sequence[str]:
        return heads

    # As alembic.command.upgrade has it.
    with EnvironmentContext(config, script, fn=steps, destination_rev=revision):
        script.run_env()
    after = environment.look(config, see, script=script, any_heads=True)
    if not before:
        raise PlinthError("env.py ran no migrations: it has to call context.run_migrations().")
    found = ancestors(script, after[0]) - ancestors(script, before[0])
    pending = phases.pending(script, after[0])
    return Upgraded(
        [each.revision for each in reversed([*script.walk_revisions()]) if each.revision in found],
        sorted(after[0]),
        phases.after_the_code(script, pending),
    )
