"""The way of `--sql`: timeouts and rows of the ledger are printed, too."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from alembic.runtime.migration import MigrationContext, MigrationInfo, MigrationStep, RevisionStep
from sqlalchemy.exc import NoInspectionAvailable

from plinth import alembic_command, settings
from plinth.apply import phases, session
from plinth.apply.irreversible import refuse_irreversible
from plinth.apply.ledger import Writer
from plinth.apply.left_columns import looked_after_in
from plinth.apply.points import ends_transaction
from plinth.apply.steps import (
    ApplyError,
    Options,
    name_of,
    named_like,
    says_repeatable,
    with_callback,
)
from plinth.sql_text import lexed

_ANSWERS = "NoneType", "MockConnection"  # each question is answered with one, and asked of the other


def offline(options: Options) -> Options:
    """Return the options with which `--sql` writes timeouts and ledger rows too."""
    work = alembic_command.work()
    configured = settings.configured()
    lock_timeout, statement_timeout = configured.lock_timeout, configured.statement_timeout
    writers: list[Writer] = []
    # LOCAL: outside the transaction, a concurrent build must wait as long as it takes.
    timeouts = {"lock_timeout": lock_timeout, "statement_timeout": statement_timeout}
    bounds = [
        f"SET LOCAL {name} = {round(1000 * value.total_seconds())}"
        for name, value in timeouts.items()
        if value or name == "lock_timeout"
    ]

    def steps(heads: Sequence[str], context: MigrationContext) -> Iterator[MigrationStep]:
        planned = phases.but_for_those_after(list(work(heads, context)), heads, context)
        refuse_irreversible(planned)
        if planned:
            context.impl.static_output("-- Run with: psql -v ON_ERROR_STOP=1 -f FILE")
            context.execute("SET {} = {}".format(*session.SEES_ALL_ROWS))
            writers.append(Writer(context, heads))
            for statement in writers[0].offline_preparation():
                context.execute(statement)

        def bound() -> None:
            for statement in bounds:
                context.execute(statement)

        for step in planned:
            run, name = step.migration_fn, name_of(step)

            @functools.wraps(run)
            def bounded(
                run: Callable[..., None] = run,
                name: str = name,
                step: MigrationStep = step,
                **arguments: object,
            ) -> None:
                bound()
                try:
                    with _parts(context, writers[0], step, bound):
                        run(**arguments)
                except (AttributeError, TypeError, NoInspectionAvailable) as error:
                    if not any(each in str(error) for each in _ANSWERS):
                        raise
                    raise ApplyError(_say_asks(name, is_upgrade=step.is_upgrade)) from error

            step.migration_fn = bounded
            yield step

    def write(ctx: MigrationContext, step: MigrationInfo, heads: set[str], **_: object) -> None:
        writers[0].write(ctx, step, heads, None)

    return {**options, "fn": named_like(work, steps), "on_version_apply": with_callback(options, write)}


def _say_asks(name: str, *, is_upgrade: bool) -> str:
    if is_upgrade:
        way = f"alembic upgrade {name}. What comes after it is printed by: alembic upgrade {name}:head --sql"
    else:
        way = "the same command without --sql"
    return (
        f"Revision {name} can't be printed as SQL, for it asks the database what is there. Nothing is "
        f"printed. Apply it to the database itself: {way}"
    )


@contextmanager
def _parts(
    context: MigrationContext, writer: Writer, step: MigrationStep, bound: Callable[[], None]
) -> Iterator[None]:
    """Let each transaction that a printed revision has be bounded, and the first one note that more come."""
    impl, is_noted = context.impl, False
    write, held = impl.static_output, list[str]()

    def flush() -> None:
        for each in looked_after_in(held):
            write(each)
        held.clear()

    def static_output(text: str) -> None:
        nonlocal is_noted
        ends = any(ends_transaction(each.text) for each in lexed(text).statements)
        if ends and not is_noted and isinstance(step, RevisionStep) and not says_repeatable(step):
            is_noted = True
            context.execute(writer.offline_half_done(step.revision.revision, is_upgrade=step.is_upgrade))
        if ends:
            flush()
        held.append(text)
        if text.startswith("BEGIN"):
            bound()

    impl.static_output = static_output  # type: ignore[method-assign] # no hook
    try:
        yield
    finally:
        impl.static_output = write  # type: ignore[method-assign]
        flush()
    if is_noted and isinstance(step, RevisionStep):
        context.execute(writer.offline_whole(step.revision.revision))
