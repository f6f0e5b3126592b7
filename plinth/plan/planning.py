"""The pending revisions of a database. It reads only; what they do is tried in a scratch database."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection, text

from plinth import environment
from plinth.apply import phases
from plinth.apply.ledger import ancestors
from plinth.apply.sources import unseen_in
from plinth.errors import PlinthError
from plinth.own_schema import objection_to_version_schema
from plinth.plan.facts import Revision, Table
from plinth.plan.measuring import Measured, measure
from plinth.plan.triggers import unknown
from plinth.plan.verdict import Reason, reasons, worst
from plinth.scratch.databases import undisturbed
from plinth.scratch.revisions import History, history_of

LARGE = 10_000  # rows: fewer are read or written in some milliseconds
COUNTED = 100_000  # rows; of larger tables PostgreSQL's own estimate is taken

# Of a partitioned table, those of its partitions.
_ESTIMATE = """
    select n.nspname, c.relname, (
        select sum(case when leaf.reltuples < 0 then 0 else leaf.reltuples end)
        from pg_partition_tree(c.oid) tree join pg_class leaf on leaf.oid = tree.relid where tree.isleaf)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.oid = to_regclass(:name)
    """


class PlanError(PlinthError):
    """There is no plan; the message says why."""


@dataclass(frozen=True)
class Rows:
    """How many rows a table has.

    Args:
        number: of them.
        exact: whether they were counted; else it is an estimate, or at least so many.
    """

    number: int
    exact: bool

    def __str__(self) -> str:
        """Return it as people read it."""
        return f"{self.number:,}" if self.exact else f"about {self.number:,}"


@dataclass(frozen=True)
class Pending:
    """A pending revision.

    Args:
        measured: what it does.
        reasons: what is to be said of it in the database at hand.
        reasons_if_large: what would be, if all its tables were large.
        phase: "after" when it comes after the code, for itself or for what it stands on; else "before".
        notes: sentences on what only the database at hand has and takes part, and what it is caught behind.
    """

    measured: Revision
    reasons: Sequence[Reason]
    reasons_if_large: Sequence[Reason]
    phase: str = phases.BEFORE
    notes: Sequence[str] = ()

    @property
    def verdict(self) -> str:
        """In one word."""
        return worst(self.reasons)

    @property
    def verdict_if_large(self) -> str:
        """In one word, if all its tables were large."""
        return worst(self.reasons_if_large)


@dataclass(frozen=True)
class Plan:
    """What would happen in a database.

    Args:
        database: its name.
        revisions: those that are pending, in their order.
        rows: how many each table has, by the name that it has now; None when there is no such table yet.
        failure: why the plan ends early; None when it doesn't.
    """

    database: str
    revisions: Sequence[Pending]
    rows: Mapping[str, Rows | None]
    failure: str | None = None

    @property
    def exit_code(self) -> int:
        """1 when a revision fails."""
        return 1 if self.failure else 0

    def rows_of(self, table: Table) -> Rows | None:
        """Return how many rows a table has in the database; None when it isn't there yet."""
        return self.rows.get(table.first_name) if table.first_name else None

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "database": self.database,
            "revisions": [self._revision(each) for each in self.revisions],
            "failure": self.failure,
            "exit_code": self.exit_code,
        }

    def _revision(self, pending: Pending) -> dict[str, Any]:
        measured = pending.measured
        return {
            "revision": measured.revision,
            "message": measured.message,
            "phase": pending.phase,
            "verdict": pending.verdict,
            "verdict_if_large": pending.verdict_if_large,
            "reasons": [asdict(each) for each in pending.reasons],
            "notes": list(pending.notes),
            "dropped": list(measured.dropped),
            "renamed": dict(measured.renamed),
            "statements": [
                {
                    "sql": each.sql,
                    "in_transaction": each.in_transaction,
                    "transaction": each.transaction,
                    "seen": each.seen,
                    "tables": [
                        {
                            "name": use.table.name,
                            "lock": use.lock,
                            "scans": use.scans,
                            "rewrites": use.rewrites,
                            "empties": use.empties,
                            "rows": rows.number if (rows := self.rows_of(use.table)) else None,
                            "rows_exact": rows.exact if rows else None,
                        }
                        for use in each.uses
                    ],
                }
                for each in measured.statements
            ],
        }


def plans(config: Config) -> list[Plan]:
    """Return what the pending revisions would do, in each database that `env.py` leads to.

    Raises:
        alembic.util.CommandError: there is no connection, or no place for a scratch database.
    """

    def look(heads: Sequence[str], context: MigrationContext) -> Plan:
        return _of_context(heads, context)

    look.__qualname__ = "plan.<locals>.look"  # by it the running command is known
    return environment.look(config, look)


def _of_context(heads: Sequence[str], context: MigrationContext) -> Plan:
    history, target = history_of(context), context.connection
    if not isinstance(target, Connection):
        raise PlanError("The plan asks the database: there is no --sql for it.")
    names = {each.revision for each in history.script.walk_revisions()}
    after = phases.after_the_code(history.script, phases.pending(history.script, heads))
    caught = phases.caught(history.script, after)
    with undisturbed(target):
        database = str(target.scalar(text("select current_database()")))
        if names <= ancestors(history.script, heads):
            return Plan(database, [], {})
        missing = objection_to_version_schema(target, history.options.get("version_table_schema"))
        if missing:
            raise PlanError(missing)
        measured = measure(history, target, heads)
        rows = {name: _rows(target, name) for name in _first_names(measured)}
        said = [
            (
                [*unknown(target, each, measured.triggers), *filter(None, [caught.get(each.revision)])],
                _unseen(history, each),
            )
            for each in measured.revisions
        ]
    return _judged(database, measured, rows, after, said)


def _unseen(history: History, revision: Revision) -> list[Reason]:
    script = history.script.get_revision(revision.revision)
    by = script and unseen_in(Path(script.path).read_bytes())
    return (
        [Reason("unseen", f"it speaks to the driver itself ({by}): anything may happen there")] if by else []
    )


def _judged(
    database: str,
    measured: Measured,
    rows: Mapping[str, Rows | None],
    after: Collection[str],
    said: Sequence[tuple[Sequence[str], Sequence[Reason]]],
) -> Plan:
    def is_large(table: Table) -> bool:
        found = rows.get(table.first_name) if table.first_name else None
        return found is not None and found.number >= LARGE

    pending = [
        Pending(
            each,
            [*untold, *reasons(each, is_large)],
            [*untold, *reasons(each, lambda _: True)],
            phases.AFTER if each.revision in after else phases.BEFORE,
            notes,
        )
        for each, (notes, untold) in zip(measured.revisions, said, strict=True)
    ]
    return Plan(database, pending, rows, measured.failure)


def _first_names(measured: Measured) -> set[str]:
    uses = (use for each in measured.revisions for statement in each.statements for use in statement.uses)
    return {use.table.first_name for use in uses if use.table.first_name}


def _rows(target: Connection, name: str) -> Rows | None:
    row = target.execute(text(_ESTIMATE), {"name": name}).one_or_none()
    if row is None:
        return None
    schema, table, estimate = row
    if (estimate or 0) >= COUNTED:
        return Rows(round(estimate), exact=False)
    counted = SQL("select count(*) from (select 1 from {} limit {}) as found").format(
        Identifier(schema, table), COUNTED
    )
    number = int(target.exec_driver_sql(counted.as_string().replace("%", "%%")).scalar_one())
    return Rows(number, exact=number < COUNTED)
