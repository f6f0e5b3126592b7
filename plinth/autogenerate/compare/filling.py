"""What is asked of backfills: whether what they read is there, and has the values that are meant."""

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

from plinth.autogenerate.change.quoting import shown
from plinth.autogenerate.change.refusals import refuse
from plinth.autogenerate.change.steps import Change
from plinth.autogenerate.change.types import same_family
from plinth.autogenerate.compare.conversions import changed_values
from plinth.catalog.picture import ColumnName, Name

T = TypeVar("T", ColumnName, Name)


def ask(change: Change) -> None:
    """Ask about backfills that read what begins empty, has other values afterwards, or needs what they give.

    Args:
        change: from what is there to what the models mean.

    Raises:
        Refusal: there is one, and refusals aren't collected.
    """
    retyped = {
        each.place
        for each in changed_values(change)
        if each.before.type != each.after.type
        and (each.said or not same_family(each.before.type, each.after.type))
    }
    for place in sorted(change.reads):
        mine = _shown(change, place)
        for name in _new_tables(change, place):
            theirs = shown(name, change.after)
            refuse(
                "hint",
                f"The backfill of {mine} reads {theirs}, which is new and begins empty: it finds no row "
                f"there. Take {mine} out of the model until {theirs} has its revision, and its rows.",
            )
        for read in sorted(change.read_columns(place) & retyped):
            refuse(
                "conversion",
                f"The backfill of {mine} reads {_shown(change, read)}, which gets another type in the same "
                "change: its old value, or its new one? Let one of the two be a revision of its own.",
            )
    _refuse_rings(change)


def _shown(change: Change, place: ColumnName) -> str:
    return f"{shown(place.table, change.after)}.{place.column}"


def _new_tables(change: Change, place: ColumnName) -> list[Name]:
    read = {node.name for node in change.reads[place] if node.kind == "table"}
    read |= {each.table for each in change.read_columns(place)}
    return sorted(name for name in change.after.tables.keys() - change.before.tables.keys() if name in read)


def _refuse_rings(change: Change) -> None:
    """Refuse columns that are made of each other, and tables of which none can be filled first."""
    filled = {
        place: {each for each in change.read_columns(place) if change.gets_values(each)}
        for place in change.reads
    }
    if ring := _ring(filled):
        listed = ", ".join(_shown(change, place) for place in sorted(ring))
        refuse(
            "hint",
            f"The values that rows get in {listed} are made of each other: what comes first has none. "
            'Say it otherwise: info={"backfill": "an SQL expression"}.',
        )
        return
    tables = {
        name: {each.table for place in filled if place.table == name for each in filled[place]} - {name}
        for name in {place.table for place in filled}
    }
    if names := _ring(tables):
        first = min(
            place
            for place in filled
            if place.table in names and {each.table for each in filled[place]} & (names - {place.table})
        )
        listed = ", ".join(shown(name, change.after) for name in sorted(names))
        refuse(
            "hint",
            f"The values that rows of {listed} get are made of each other's: none of the tables can be "
            f"filled first. Take {_shown(change, first)} out of the model until the others have their "
            "revision.",
        )


def _ring(needed: Mapping[T, set[T]]) -> set[T]:
    """Return what needs each other; nothing, if there is an order."""
    try:
        TopologicalSorter(needed).prepare()
    except CycleError as error:
        return set(error.args[1])
    return set()
