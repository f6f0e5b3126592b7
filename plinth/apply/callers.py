"""Revisions in a caller's transaction."""

import itertools
import time
from collections.abc import Iterator, Sequence

from alembic.runtime.migration import MigrationContext, MigrationInfo, MigrationStep, RevisionStep
from sqlalchemy import Connection

from plinth import checksum, safety
from plinth.alembic_command import AlembicCommand
from plinth.apply import half_done, losses, phases, resuming, session
from plinth.apply.irreversible import refuse_irreversible
from plinth.apply.ledger import Writer
from plinth.apply.standing import refuse_heads, refuse_slipped_in
from plinth.apply.steps import (
    ApplyError,
    Options,
    Work,
    name_of,
    named_like,
    says_repeatable,
    undoes,
    with_callback,
)


class Callers:
    """Revisions in a caller's transaction, which the caller commits.

    Args:
        command: which of Alembic's.
        options: for `context.configure()`, the connection among them.
        work: the command's.
    """

    def __init__(self, command: AlembicCommand, options: Options, work: Work) -> None:
        self._command = command
        self._options = options
        self._work = work
        self._connection: Connection = options["connection"]
        self._writer: Writer
        self._step_began = 0.0
        self.are_tried = False  # the downgrades

    def options(self) -> Options:
        """Return what is handed to `context.configure()`."""
        return {
            **self._options,
            "fn": named_like(self._work, self._steps),
            "on_version_apply": with_callback(self._options, self._write),
        }

    def _steps(self, heads: Sequence[str], context: MigrationContext) -> Iterator[MigrationStep]:
        refuse_heads(heads, context, self._command)
        planned = phases.but_for_those_after(list(self._work(heads, context)), heads, context)
        self._refuse_half_way(heads, context, planned)
        refuse_irreversible(planned)
        refuse_slipped_in(heads, context, self._command, planned)
        self._refuse_losses(planned, context)
        self._writer = Writer(context, heads)
        self._writer.prepare(self._connection)
        if self._command.name == "stamp":
            resuming.forget(context, heads, self._writer.version_table, self._writer.half_way)
        with session.seeing_all_rows(self._connection):
            yield from self._each(planned, context)

    def _each(self, planned: Sequence[MigrationStep], context: MigrationContext) -> Iterator[MigrationStep]:
        for step in planned:

            def refuse(step: MigrationStep = step) -> None:
                raise ApplyError(
                    f"Revision {name_of(step)} has an online step, which no transaction can hold, and the "
                    "connection that was handed over is in one. Hand over an engine, or a connection without "
                    "a transaction."
                )

            self._step_began = time.monotonic()
            with losses.instead_of_autocommit(context, refuse):
                yield step

    def _write(self, ctx: MigrationContext, step: MigrationInfo, heads: set[str], **_: object) -> None:
        self._writer.write(ctx, step, heads, time.monotonic() - self._step_began)

    def _refuse_half_way(
        self, heads: Sequence[str], context: MigrationContext, planned: Sequence[MigrationStep]
    ) -> None:
        """Return if no revision stands half-way or was left half done, or nothing is to be done."""
        script = context.script
        if not planned or script is None or self._command.name == "stamp":
            return
        left = half_done.left_half_done(context)
        half_done.refuse_others(left, (), planned, script, heads)
        for noted, step in itertools.product(left, planned):
            if noted.is_of(step) and isinstance(step, RevisionStep) and not says_repeatable(step):
                half_done.refuse_twice(noted, script, heads, checksum.of_file(step.revision.path))
        for each in resuming.standing_half_way(context):
            raise ApplyError(
                f"Revision {each.revision} stands half-way, and the connection that was handed over is "
                "in a transaction, in which it can't be gone on with. Hand over an engine, or a "
                f"connection without a transaction, first. {resuming.say_ways(each)}"
            )

    def _refuse_losses(self, planned: Sequence[MigrationStep], context: MigrationContext) -> None:
        downgrades = list(itertools.takewhile(undoes, planned))
        objection = safety.objection_to_losses(self._connection) if downgrades else None
        if objection:
            tried: list[MigrationStep] = []
            self.are_tried = True
            lost = losses.measure(context, self._connection, downgrades, tried.append, strictly=True)
            self.are_tried = False
            refuse_losses(lost, name_of(tried[-1]) if tried else "", objection)
            losses.hold(self._connection, lost.empty)  # in the caller's transaction, which all of them share


def refuse_losses(lost: losses.Losses, revision: str, objection: str) -> None:
    """Return if nothing would be lost.

    Args:
        lost: what is known of it.
        revision: whose downgrade was measured last.
        objection: why nothing may be.

    Raises:
        SafetyError: something would, or that isn't known.
    """
    if lost.blind:
        raise safety.SafetyError(
            f"Revision {revision} {lost.blind}: which rows its downgrade loses can't be seen beforehand. "
            f"Refused: {objection}"
        )
    if lost.found:
        raise safety.SafetyError(f"This would lose {', '.join(lost.found)}. Refused: {objection}")
