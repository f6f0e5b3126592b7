"""The SQL of each revision, as `alembic upgrade --sql` would write it."""

import io
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep

from plinth.alembic_command import OFFLINE
from plinth.scratch.revisions import History


@dataclass(frozen=True)
class Sql:
    """A statement.

    Args:
        text: as it is sent.
        in_transaction: whether it is outside of every autocommit block.
    """

    text: str
    in_transaction: bool


@dataclass(frozen=True)
class Rendered:
    """A revision's statements; None when it can't be rendered, with the error that says why."""

    statements: Sequence[Sql] | None
    error: str | None = None


def render(history: History, revisions: Collection[str]) -> dict[str, Rendered]:
    """Return the statements by which the revisions upgrade."""
    rendered: dict[str, Rendered] = {}

    def steps(heads: Sequence[str], context: MigrationContext) -> Iterator[MigrationStep]:
        for step in history.script._upgrade_revs("heads", heads):  # type: ignore[arg-type]
            if isinstance(step, RevisionStep):
                step.migration_fn = _captured(context, step, rendered, revisions)
            yield step

    environment = EnvironmentContext(history.config, history.script, fn=steps, as_sql=True)
    with environment:
        environment.configure(
            output_buffer=io.StringIO(), transaction_per_migration=True, **OFFLINE, **history.options
        )
        environment.run_migrations(**history.arguments)
    return rendered


def _captured(
    context: MigrationContext, step: RevisionStep, rendered: dict[str, Rendered], wanted: Collection[str]
) -> Callable[..., None]:
    run = step.migration_fn
    name = step.revision.revision

    def captured(**arguments: object) -> None:
        if name not in wanted:
            return
        statements: list[Sql] = []
        try:
            with _capture(context, statements):
                run(**arguments)
        except Exception as error:
            rendered[name] = Rendered(None, " ".join(f"{type(error).__name__}: {error}".split()))
        else:
            rendered[name] = Rendered(statements)

    return captured


@contextmanager
def _capture(context: MigrationContext, statements: list[Sql]) -> Iterator[None]:
    in_transaction = True

    def keep(text: str) -> None:
        statements.append(Sql(text.strip(), in_transaction))

    @contextmanager
    def autocommit_block() -> Iterator[None]:
        nonlocal in_transaction
        in_transaction = False
        try:
            yield
        finally:
            in_transaction = True

    context.impl.static_output = keep  # type: ignore[method-assign]
    context.autocommit_block = autocommit_block  # type: ignore[method-assign]
    try:
        yield
    finally:
        del context.impl.static_output, context.autocommit_block
