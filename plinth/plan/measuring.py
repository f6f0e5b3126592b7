"""Runs revisions with a recorder."""

import logging
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass

from alembic.runtime.migration import MigrationStep, RevisionStep
from sqlalchemy import Connection, Engine

from plinth.apply.ledger import version_table
from plinth.plan.facts import Revision
from plinth.plan.recorder import Recorder
from plinth.scratch.baseline import Below, is_missing, on_baseline
from plinth.scratch.revisions import History, RevisionError, run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """What came of it.

    Args:
        revisions: those that were measured, in order.
        failure: why the next one couldn't be; None when all were.
        is_missing: something isn't there on which that one leans.
        triggers: tables and names of those that fire for changed rows, and that earlier revisions made.
    """

    revisions: Sequence[Revision]
    failure: str | None = None
    triggers: Collection[tuple[str, str]] = ()
    is_missing: bool = False


def measure(history: History, target: Connection, applied: Sequence[str]) -> Measured:
    """Measure the revisions after those that are applied, in a scratch database that is made for it.

    Args:
        history: the revisions.
        target: the database in question, which is left alone.
        applied: the newest revisions that stand before.

    Raises:
        NoScratchError: there is no place to try them.
    """
    bare: set[str] = set()
    while True:
        measured, failed = _measure(history, target, applied, bare)
        if failed is None or failed in bare:
            return measured
        # Rows that are made up may be refused where real ones are fine: this one goes without.
        bare.add(failed)


def _measure(
    history: History,
    target: Connection,
    applied: Sequence[str],
    bare: Collection[str],
) -> tuple[Measured, str | None]:
    """Return what came of it, and the measured revision that failed."""
    first: tuple[Measured, str | None] | None = None

    def tried(engine: Engine, below: Below | None) -> tuple[Measured, str | None]:
        nonlocal first
        if below and below.failure:
            log.warning("What no revision makes was copied with what revisions make: %s", below.failure)
        recorder = Recorder(engine, version_table(dict(history.options)), bare=bare)

        def walk(connection: Connection, heads: tuple[str, ...]) -> Generator[MigrationStep]:
            reached = heads
            if applied:
                yield from history.script._upgrade_revs(tuple(applied), reached)  # type: ignore[arg-type]
                reached = tuple(applied)
            for step in history.script._upgrade_revs("heads", reached):  # type: ignore[arg-type]
                if isinstance(step, RevisionStep):
                    step.migration_fn = _recorded(recorder, connection, step)
                yield step

        try:
            with recorder.watching():
                run(engine, history, walk)
        except RevisionError as error:
            done = {each.revision for each in recorder.revisions}
            failed = recorder.running if recorder.running not in done else None
            lacks = is_missing(error)
            found = Measured(recorder.revisions, str(error), recorder.triggers, lacks), failed
            if below is None and lacks:
                first = found
                raise
            return found
        return Measured(recorder.revisions, triggers=recorder.triggers), None

    try:
        return on_baseline(target, history, tried)
    except RevisionError:
        if first is None:
            raise
        return first


def _recorded(recorder: Recorder, connection: Connection, step: RevisionStep) -> Callable[..., None]:
    run_step = step.migration_fn
    script = step.revision

    def recorded(**arguments: object) -> None:
        with recorder.recording(
            connection, script.revision, script.doc.splitlines()[0] if script.doc else ""
        ):
            run_step(**arguments)

    return recorded
