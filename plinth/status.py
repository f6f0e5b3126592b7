"""What is applied, what is pending, and what is wrong. It reads only."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alembic.config import Config

IN_ORDER, PENDING, WRONG = 0, 1, 2  # exit codes
BEFORE, AFTER = "before", "after"  # what comes before the code that needs it, or after it

# Not those of extensions, which look after themselves.
_OURS = """
    nspname !~ '^pg_' and nspname not in ('information_schema', 'plinth') and not exists (
        select from pg_depend where classid = 'pg_class'::regclass and objid = c.oid and deptype = 'e')
    """
INVALID_INDEXES = f"""
    select i.indexrelid::regclass::text, i.indrelid::regclass::text, c.relkind
    from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
    where not i.indisvalid and {_OURS} and not exists (
        select from pg_stat_progress_create_index b where b.index_relid = i.indexrelid) -- it is being built
    order by 1
    """  # noqa: S608 - a constant
# A constraint that is NOT ENFORCED (PostgreSQL 18) is never validated either, and isn't meant to be.
NOT_VALID_CONSTRAINTS = f"""
    select quote_ident(conname), conrelid::regclass::text
    from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
    where not convalidated and coalesce(to_jsonb(k) ->> 'conenforced', 'true') = 'true' and {_OURS} order by 1
    """  # noqa: S608 - a constant
# Of a partition's foreign key the table's is named: it alone can be made anew.
UNCHECKED_KEYS = f"""
    with recursive unchecked as (
        select k.oid, k.conparentid from pg_constraint k
        where k.contype = 'f' and k.oid in (select tgconstraint from pg_trigger where tgenabled in ('D', 'R'))
        union select k.oid, k.conparentid from pg_constraint k join unchecked u on u.conparentid = k.oid
    )
    select quote_ident(conname), conrelid::regclass::text, pg_get_constraintdef(k.oid)
    from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
    where k.conparentid = 0 and k.oid in (select oid from unchecked) and {_OURS} order by 1
    """  # noqa: S608 - a constant


@dataclass(frozen=True)
class Line:
    """A revision.

    Args:
        revision: its id.
        message: its file's first line; what is known of it when the file is missing.
        state: "applied", "pending", "skipped" (it came in below an applied one, and never ran), or "unknown"
            where the database stands at a revision without a file and has no ledger.
        applied_at: None when pending, or applied before there was a ledger.
        by: user@host.
        database_user: the role in the database.
        seconds: how long it took.
        batch: revisions of one command have the same; 0 when they were only marked as applied.
        change: revisions that one autogenerate wrote have the same.
        marked: whether it was marked as applied (`alembic stamp`, or found so) and not run.
        phase: "after" when it is pending and comes after the code, for itself or for what it stands on; else
            "before".
    """

    revision: str
    message: str
    state: str
    applied_at: datetime | None = None
    by: str | None = None
    database_user: str | None = None
    seconds: float | None = None
    batch: int | None = None
    change: str | None = None
    marked: bool = False
    phase: str = BEFORE


@dataclass(frozen=True)
class Problem:
    """Something that is wrong.

    Args:
        kind: "edited", "missing", "ahead", "skipped", "heads", "caught" (it waits behind what comes after the
            code), "invalid index", "not valid", "not checked" or "interrupted".
        name: of the revision, index or constraint.
        message: what it is and what to do.
    """

    kind: str
    name: str
    message: str


@dataclass(frozen=True)
class Status:
    """Where a database stands.

    Args:
        database: its name.
        environment: the one that it remembers.
        heads: the newest revisions that are applied.
        revisions: all of them, oldest first.
        problems: what is wrong.
    """

    database: str
    environment: str | None
    heads: Sequence[str]
    revisions: Sequence[Line]
    problems: Sequence[Problem]

    @property
    def pending(self) -> list[str]:
        """The revisions that are not applied."""
        return [line.revision for line in self.revisions if line.state == "pending"]

    @property
    def waiting(self) -> list[str]:
        """Those of the pending revisions that come after the code."""
        return [line.revision for line in self.revisions if line.state == "pending" and line.phase == AFTER]

    @property
    def exit_code(self) -> int:
        """0 in order, 1 pending, 2 something wrong."""
        # Between the revisions of one change a constraint waits for its VALIDATE; to be caught is no fault.
        expected = {"not valid", "caught"} if self.pending else set()
        if any(problem.kind not in expected for problem in self.problems):
            return WRONG
        return PENDING if self.pending else IN_ORDER

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self) | {
            "pending": self.pending,
            "waiting": self.waiting,
            "exit_code": self.exit_code,
        }


def status(config: "Config") -> Status:
    """Return where the database stands, as `env.py` sees it: of several, the first one.

    Raises:
        alembic.util.CommandError: there is no connection.
    """
    return statuses(config)[0]


def statuses(config: "Config") -> list[Status]:
    """Return where each database stands that `env.py` leads to.

    Raises:
        alembic.util.CommandError: there is no connection.
    """
    # Imported late: a status that is known without Alembic is shown without it.
    from plinth.status_reading import read  # noqa: PLC0415

    return read(config)
