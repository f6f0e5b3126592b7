"""A revision's facts in one word.

The words, from the worst to the best; a revision gets the worst that fits:

- `destroys`: a table or column is gone afterwards, or a table is emptied.
- `rewrites`: a large table is written anew; nobody can read it until the revision ends.
- `blocks`: something reads all of a large table while the revision holds a lock that makes an application's
  queries wait (SHARE or stronger on a table; or the locks of all the rows that it writes).
- `unseen`: the revision speaks to the driver itself, and what it does there is not seen.
- `renames`: a table, column or value of an enum has another name afterwards; code that runs uses the old one.
- `scans`: a transaction reads all of a large table; queries go on, reading and writing.
- `online`: it works through a table outside of a transaction, and queries go on: concurrent builds, batches.
- `instant`: only the catalog changes, or tables that are new or small. A strong lock for a moment is fine.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from plinth.plan.facts import STRONG, Revision, Statement, Table, Use, stronger

WORDS = ("instant", "online", "scans", "renames", "unseen", "blocks", "rewrites", "destroys")


@dataclass(frozen=True)
class Reason:
    """Why a revision gets a word.

    Args:
        word: the word.
        sentence: what happens.
        statement: the number of the statement, from 0; None when it is the revision as a whole.
    """

    word: str
    sentence: str
    statement: int | None = None


def worst(reasons: Sequence[Reason]) -> str:
    """Return the word that a revision gets."""
    return max((reason.word for reason in reasons), key=WORDS.index, default="instant")


def reasons(revision: Revision, is_large: Callable[[Table], bool]) -> list[Reason]:
    """Return all that is to be said of a revision.

    Args:
        revision: as it was measured.
        is_large: whether a table is so large that reading or writing all of it takes time.
    """
    return [
        *(Reason("destroys", _gone(name, revision)) for name in revision.dropped),
        *(Reason("renames", f"{old} is called {new} afterwards") for old, new in revision.renamed.items()),
        *_of_statements(revision.statements, is_large),
    ]


def _gone(name: str, revision: Revision) -> str:
    if name in revision.replaced:
        return f"{name} is another column afterwards, with what the revision gave it"
    return f"{name} is gone afterwards"


def _of_statements(statements: Sequence[Statement], is_large: Callable[[Table], bool]) -> Iterator[Reason]:
    numbered = enumerate(statements)
    for _, group in groupby(numbered, lambda each: each[1].transaction):
        held: dict[Table, str] = {}
        for number, statement in group:
            for use in statement.uses:
                lock = stronger(held.get(use.table), use.lock)
                if lock:
                    held[use.table] = lock
            yield from _of_statement(number, statement, held, is_large)


def _of_statement(
    number: int, statement: Statement, held: dict[Table, str], is_large: Callable[[Table], bool]
) -> Iterator[Reason]:
    for use in statement.uses:
        if use.empties:
            yield Reason("destroys", f"{use.table.name} is emptied", number)
    # Small tables, and those that are new, are done with in a moment.
    work = [
        use for use in statement.uses if is_large(use.table) and (use.scans or use.rewrites or use.locks_rows)
    ]
    for use in work:
        if use.rewrites:
            yield Reason("rewrites", f"{use.table.name} is written anew under {held[use.table]}", number)
        else:
            yield from _of_scan(number, statement, use, held)
    if not work and not statement.in_transaction:
        changed = [use.table.name for use in statement.uses if use.lock == "ROW EXCLUSIVE"]
        for name in changed:
            yield Reason("online", f"rows of {name} are changed in batches", number)
        if statement.seen == "sampled" and not changed:
            yield Reason("online", "queries go on while it works", number)


def _of_scan(number: int, statement: Statement, use: Use, held: dict[Table, str]) -> Iterator[Reason]:
    name = use.table.name
    strong = {table: lock for table, lock in held.items() if lock in STRONG}
    if strong:
        locks = " and ".join(f"{lock} on {table.name}" for table, lock in strong.items())
        yield Reason("blocks", f"all of {name} is read under {locks}", number)
    elif use.locks_rows:
        yield Reason("blocks", f"all of {name} is gone through, and the rows stay locked", number)
    else:
        word = "scans" if statement.in_transaction else "online"
        yield Reason(word, f"all of {name} is read, under {held.get(use.table, 'no lock')}", number)
