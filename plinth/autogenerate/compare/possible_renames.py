"""What could be a rename, and be lost as a drop and an add: something goes, something like it comes.

Each new column or table is paired with one old one at most, by kind of type, name and place.
"""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import TypeVar

from plinth.autogenerate.change.casts import is_related
from plinth.autogenerate.change.heirs import is_column_inherited
from plinth.autogenerate.change.quoting import shown
from plinth.autogenerate.change.refusals import refuse
from plinth.autogenerate.change.steps import Change
from plinth.catalog.picture import Column, Table

T = TypeVar("T", Column, Table)

FEWEST_COLUMNS = 3  # of two tables that are so alike that one may be the other's new name
ALIKE = 0.75  # of their columns' names that two such tables share


def ask(change: Change, named: set[str]) -> None:
    """Ask of each pair whether it is a rename.

    Args:
        change: from what is there to what the models mean.
        named: what is meant to be dropped.

    Raises:
        Refusal: there is one, and refusals aren't collected.
    """
    before, after = change.before, change.after
    for name in sorted(set(before.tables) & set(after.tables)):
        for old, new in _pairs_of_columns(before.tables[name], after.tables[name], change):
            place = f"{shown(name, before)}.{old.name}"
            if place in named or f"{name}.{old.name}" in named:
                continue
            same = "of the same type" if old.type == new.type else f"{old.type} and {new.type}"
            refuse(
                "possible rename",
                f"Column {place} goes and {new.name} comes, {same}: that could be a rename, and "
                f'its values would be lost. If it is one, write info={{"renamed_from": "{old.name}"}} on '
                f"{new.name} in the model. If it isn't:",
                f"drop={place}",
            )
    gone = [before.tables[name] for name in sorted(set(before.tables) - set(after.tables))]
    come = [after.tables[name] for name in sorted(set(after.tables) - set(before.tables))]
    for old_table, new_table in _pairs_of_tables(gone, come):
        place = shown(old_table.name, before)
        if place in named or str(old_table.name) in named:
            continue
        names = [{column.name for column in table.columns} for table in (old_table, new_table)]
        almost = "" if names[0] == names[1] else "almost "
        refuse(
            "possible rename",
            f"Table {place} goes and {shown(new_table.name, after)} comes, with {almost}the same "
            "columns: that could be a rename, and its rows would be lost. If it is one, write "
            f'info={{"renamed_from": "{place}"}} in the model\'s __table_args__. If it isn\'t:',
            f"drop={place}",
        )


def _pairs_of_columns(before: Table, after: Table, change: Change) -> Iterator[tuple[Column, Column]]:
    gone, come = (
        [each for each in table.columns if other.column(each.name) is None and not each.generated]
        for table, other in ((before, after), (after, before))
    )
    gone = [each for each in gone if not is_column_inherited(change, before.name, each, change.before)]
    scores = [
        (_score(old, new, before, after), old, new)
        for old in gone
        for new in come
        if old.type == new.type or is_related(old, new, change.before, change.after, change.casts)
    ]
    yield from _best(scores)


def _score(old: Column, new: Column, before: Table, after: Table) -> float:
    """Return how likely it is that a column got another name."""
    words = [set(each.name.lower().split("_")) for each in (old, new)]
    names = SequenceMatcher(None, old.name, new.name).ratio()
    names += len(words[0] & words[1]) / min(map(len, words))
    kept = {each.name for each in before.columns} & {each.name for each in after.columns}
    places = [_neighbours(table, column, kept) for table, column in ((before, old), (after, new))]
    return names + 0.5 * (old.type == new.type) + 0.5 * (places[0] == places[1])


def _neighbours(table: Table, column: Column, kept: set[str]) -> tuple[str | None, str | None]:
    """Return the columns that stand before and after one, of those that stay."""
    names = [each.name for each in table.columns if each.name in kept or each == column]
    at = names.index(column.name)
    return (names[at - 1] if at else None), (names[at + 1] if at + 1 < len(names) else None)


def _pairs_of_tables(gone: Sequence[Table], come: Sequence[Table]) -> Iterator[tuple[Table, Table]]:
    scores = []
    for old in gone:
        for new in come:
            names = [{column.name for column in table.columns} for table in (old, new)]
            share = len(names[0] & names[1]) / len(names[0] | names[1])
            if len(names[0]) >= FEWEST_COLUMNS and share >= ALIKE:
                score = share + SequenceMatcher(None, old.name.name, new.name.name).ratio()
                scores.append((score, old, new))
    yield from _best(scores)


def _best(scores: Sequence[tuple[float, T, T]]) -> Iterator[tuple[T, T]]:
    """Yield the best pairs, in which each comes once."""
    taken: list[T] = []
    for _, old, new in sorted(scores, key=lambda each: -each[0]):
        if old not in taken and new not in taken:
            taken += [old, new]
            yield old, new
