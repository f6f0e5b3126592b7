"""From one change to a sequence of transactions that a busy database doesn't feel.

Each part of it is either one transaction with strong locks on one standing table, or happens outside of any.
The way between two of them is found as that between any two schemas (`difference`), unless it has an online
form. Each kind of object says in its room what is done for it, and what that needs; the order is found from
that (`stages`).
"""

from collections.abc import Sequence

from plinth.autogenerate.change.heirs import refuse_numbers
from plinth.autogenerate.change.stages import Stage, go_on
from plinth.autogenerate.change.steps import Change
from plinth.autogenerate.change.taken_names import refuse_taken_names
from plinth.autogenerate.change.way import Part, Way
from plinth.autogenerate.objects import (
    columns,
    constraints,
    domains,
    enums,
    foreign_keys,
    indexes,
    keys,
    not_null,
    others,
    partitions,
    tables,
    values,
)
from plinth.autogenerate.objects.difference import difference, forced
from plinth.autogenerate.objects.tables import as_they_change
from plinth.autogenerate.online import in_place, kept_names, new_tables, swaps

# In any order: what comes first is found from what each of them needs.
STAGES: Sequence[Stage] = (
    *enums.STAGES,
    *tables.STAGES,
    *partitions.STAGES,
    *in_place.STAGES,
    *kept_names.STAGES,
    *columns.STAGES,
    *new_tables.STAGES,
    *values.STAGES,
    *not_null.STAGES,
    *swaps.STAGES,
    *constraints.STAGES,
    *keys.STAGES,
    *foreign_keys.STAGES,
    *indexes.STAGES,
    *domains.STAGES,
    *others.STAGES,
)


def sequence(change: Change) -> list[Part]:
    """Return the transactions that lead from what is there to what should be there, in order.

    Raises:
        Refusal: a word of the author's is missing.
    """
    way = _begun(change)
    kept = [name for name in sorted(change.before.tables) if name in change.after.tables]
    go_on(way, STAGES, as_they_change(kept, change))
    return way.parts


def ask(change: Change) -> None:
    """Return if a change has online forms, or what has none is accepted.

    Raises:
        Refusal: a word of the author's is missing, and refusals aren't collected.
    """
    _begun(change)


def whole(change: Change) -> Way:
    """Return the way of a change, on which nothing is done yet."""
    return Way(change, forced(change), change.before, change.before, difference)


def _begun(change: Change) -> Way:
    refuse_numbers(change)
    refuse_taken_names(change, is_online=True)
    way = whole(change)
    way.swapped |= swaps.swaps(way)
    swaps.refuse_rewrites(way)
    swaps.refuse_virtual(way)
    kept_names.refuse_unkept(way)
    new_tables.with_new_tables(way)
    swaps.spare(way)
    return way
