"""What is known of a statement and of a revision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from plinth.sql_text import lexed

# From the weakest to the strongest: PostgreSQL's documentation, 13.3 "Explicit Locking".
LOCKS = (
    "ACCESS SHARE",
    "ROW SHARE",
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)
STRONG = frozenset(LOCKS[LOCKS.index("SHARE") :])  # those that make an application's INSERT wait


def asks(sql: str) -> bool:
    """Whether a statement only asks, or sets something; of several, each."""
    words = "select | show | set | reset | values | table | explain"
    return all(each.begins(words) for each in lexed(sql).statements)


@dataclass(frozen=True)
class Table:
    """A table that stood when its revision began.

    Args:
        oid: in the scratch database.
        name: as SQL has it, at that time.
        first_name: when the first measured revision began, that is in the database at hand; None when a
            measured revision made it.
    """

    oid: int
    name: str
    first_name: str | None


@dataclass(frozen=True)
class Use:
    """What a statement does to a standing table.

    Args:
        table: which one.
        lock: the strongest lock that it takes there, in the documentation's words; None when its transaction
            has that already.
        scans: it reads the whole table.
        rewrites: it writes the whole table anew.
        empties: it takes all rows away (TRUNCATE).
        locks_rows: it changes or locks all rows, or looks among all of them for those that it changes.
    """

    table: Table
    lock: str | None = None
    scans: bool = False
    rewrites: bool = False
    empties: bool = False
    locks_rows: bool = False


@dataclass(frozen=True)
class Statement:
    """A statement that a revision sent.

    Args:
        sql: with its parameters in their places.
        in_transaction: whether it ran in the revision's transaction, and not in an autocommit block.
        uses: what it does to standing tables.
        seen: "measured" in a transaction, or "sampled" from other sessions, when no transaction can hold it.
        transaction: the number of its transaction in the revision, from 1 on: behind each an interrupted
            revision is resumed.
    """

    sql: str
    in_transaction: bool
    uses: Sequence[Use] = ()
    seen: str = "measured"
    transaction: int = 1


@dataclass(frozen=True)
class Revision:
    """A revision that was measured.

    Args:
        revision: its id.
        message: its file's first line.
        statements: those that it sent; questions to the catalog are left out.
        dropped: standing tables and columns that are gone afterwards.
        gone: standing views and enums' values that are gone afterwards: no rows are lost with them.
        renamed: old names of tables, columns and values of enums under which nothing is found any more,
            each with its new one.
        replaced: those of the dropped columns in whose place is a new one.
    """

    revision: str
    message: str
    statements: Sequence[Statement]
    dropped: Sequence[str] = ()
    gone: Sequence[str] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    replaced: frozenset[str] = frozenset()

    @property
    def is_online(self) -> bool:
        """Whether it leaves its transaction."""
        return any(not statement.in_transaction for statement in self.statements)


def stronger(one: str | None, other: str | None) -> str | None:
    """Return the stronger one of two locks."""
    return max(one, other, key=lambda lock: -1 if lock is None else LOCKS.index(lock))


def in_words(mode: str) -> str:
    """Return pg_locks' name of a mode as the documentation has it: AccessShareLock is ACCESS SHARE."""
    return _WORDS[mode]


_WORDS = {f"{''.join(word.capitalize() for word in lock.split())}Lock": lock for lock in LOCKS}
