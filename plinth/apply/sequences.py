"""Sequences that a trial has set back: no rollback undoes it, and they would give values again."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

log = logging.getLogger(__name__)

# Of those that a revision of this role can set; one that cycles goes back by itself.
_STANDING = """
    select c.oid, n.nspname || '.' || c.relname, pg_sequence_last_value(c.oid), seqincrement > 0
    from pg_sequence join pg_class c on c.oid = seqrelid join pg_namespace n on n.oid = c.relnamespace
    where c.relpersistence <> 't' and not seqcycle and n.nspname <> 'plinth'
      and has_table_privilege(c.oid, 'UPDATE') and has_table_privilege(c.oid, 'SELECT')
    """
_PUT_BACK = """
    select setval(c.oid::regclass, :value) from pg_class c where c.oid = :oid
      and not coalesce(case when :rises then pg_sequence_last_value(c.oid) >= :value
                            else pg_sequence_last_value(c.oid) <= :value end, false)
    """


@dataclass(frozen=True)
class Standing:
    """Where a sequence stands.

    Args:
        oid: its own.
        name: as a message has it.
        last: the value that it gave last; None when it gave none.
        rises: each value is greater than the one before.
    """

    oid: int
    name: str
    last: int | None
    rises: bool

    def is_ahead_of(self, other: "Standing") -> bool:
        """Whether it has given values that it would give again, if it stood where another one does."""
        if self.last is None or other.last is None:
            return self.last is not None
        return self.last > other.last if self.rises else self.last < other.last


def read(connection: Connection) -> list[Standing]:
    """Return where the sequences stand."""
    return [Standing(*row) for row in connection.execute(text(_STANDING))]


def put_back(connection: Connection, before: Sequence[Standing]) -> None:
    """Let sequences that were set back stand again where they stood, and say so; those that went on stay."""
    now = {each.oid: each for each in read(connection)} if before else {}
    found = [
        each.name
        for each in before
        if each.last is not None
        and each.oid in now
        and each.is_ahead_of(now[each.oid])
        and connection.execute(
            text(_PUT_BACK), {"oid": each.oid, "value": each.last, "rises": each.rises}
        ).scalar()  # unless somebody else has drawn as many values by now
    ]
    if found:
        log.warning(
            "What was tried to see what would be lost had set sequences back, which no rollback undoes. They "
            "stand again where they stood: %s.",
            ", ".join(found),
        )
