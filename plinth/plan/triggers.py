"""Triggers that the database at hand has and no revision made: they fire for rows that a revision changes.

Those that revisions made are tried with them. What fills a second column lets none of these fire, but knows
no others.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from sqlalchemy import Connection, text

from plinth.plan.facts import Revision, Statement
from plinth.sql_text import lexed

# Also in `measuring`'s scratch database. A partition's copy of its table's trigger isn't one by itself.
TRIGGERS = """
    select tgrelid::regclass::text, tgname::text, array(
        select attname::text from pg_attribute where attrelid = tgrelid and attnum = any(tgattr::smallint[])),
        tgtype
    from pg_trigger
    where not tgisinternal and tgparentid = 0 and tgenabled in ('O', 'A')
    """
_TREE = """
    with recursive tree as (
        select cast(to_regclass(:name) as oid) as id union
        select inhrelid from pg_inherits join tree on inhparent = id)
    """
_CHANGES_ROWS = "update | insert | delete | truncate | with | merge | do | copy"
_UPDATE = 16
# By tgtype.
_EVENTS = {"update": _UPDATE, "insert | copy": 4, "delete": 8, "truncate": 32}


class Trigger(NamedTuple):
    """A trigger that fires when rows are changed.

    Args:
        table: its table's name, as SQL has it.
        name: its own.
        columns: those for which it fires; none if it fires whatever is updated.
        updates: it fires for updates and nothing else of what the statement does.
    """

    table: str
    name: str
    columns: tuple[str, ...]
    updates: bool


def unknown(target: Connection, revision: Revision, known: Collection[tuple[str, str]]) -> list[str]:
    """Return sentences that name the triggers which no revision made and that fire for rows it changes.

    Args:
        target: the database at hand.
        revision: as it was measured.
        known: tables and names of those that revisions made.
    """
    found: dict[tuple[str, str], None] = {}
    for statement in revision.statements:
        texts = lexed(statement.sql).nested
        events = sum(event for words, event in _EVENTS.items() if any(each.has(words) for each in texts))
        for table in _changed(statement):
            for each in _triggers(target, table, events):
                is_meant = (
                    not each.updates
                    or not each.columns
                    or any(text.names(name) for text in texts for name in each.columns)
                )
                if is_meant and each[:2] not in known:
                    found[each.table, each.name] = None
    return [
        f"Trigger {name} on {table}, which no revision made, fires for each row that is changed."
        for table, name in found
    ]


def _changed(statement: Statement) -> Iterator[str]:
    """Yield the tables whose rows a statement may change, by their names in the database at hand."""
    if any(each.begins(_CHANGES_ROWS) for each in lexed(statement.sql).statements):
        for use in statement.uses:
            if (use.lock in {None, "ROW EXCLUSIVE"} or use.empties) and use.table.first_name:
                yield use.table.first_name


def _triggers(target: Connection, table: str, events: int) -> list[Trigger]:
    """Return the triggers of a table, its partitions and heirs, that fire when some of this happens."""
    which = "tgrelid in (select id from tree) and tgtype & :events <> 0"
    asked = text(f"{_TREE} {TRIGGERS} and {which} order by 1, 2")
    found = target.execute(asked, {"name": table, "events": events})
    return [
        Trigger(owner, name, tuple(columns), updates=kind & events == _UPDATE)
        for owner, name, columns, kind in found
    ]
