"""Indexes and constraints that come: what is unique stays so, and what refers to it holds, at each moment.

What comes is built before anything goes. Keys and indexes that take each other's names or places do so in one
transaction, and so do those on which foreign keys stand: these go and come with them.
"""

from typing import NamedTuple

from plinth.autogenerate.change.belongings import lock
from plinth.autogenerate.change.heirs import with_heirs
from plinth.autogenerate.change.order import in_order
from plinth.autogenerate.change.parts import Piece
from plinth.autogenerate.change.stages import TableStage
from plinth.autogenerate.change.way import Operations, Way
from plinth.autogenerate.objects import constraints, indexes
from plinth.autogenerate.objects.constraints import (
    add_constraint,
    drop_op,
    go_both_ways,
    goes_away,
    is_handed_on,
    replace_constraint,
    successor,
    turn,
    validate,
    waits,
)
from plinth.autogenerate.objects.foreign_keys import Referring, is_on, referring
from plinth.autogenerate.objects.indexes import add_index, replace_index, taking_turn
from plinth.catalog.picture import Catalog, Index, Name, Table


class _Turn(NamedTuple):
    """What goes of a table and what comes in the same transaction, with the foreign keys that stand on it."""

    going: list[Piece]
    coming: list[Piece]
    referring: list[Referring]

    @property
    def back(self) -> "_Turn":
        """The same for the way back."""
        return _Turn(self.coming, self.going, [each.back for each in self.referring])

    def blocks(self, table: Table, catalog: Catalog) -> list[Operations]:
        """Return the transaction, and what comes before and after it.

        A foreign key goes and comes with the keys: PostgreSQL lets it stand on the oldest one.
        """
        built, turns, *looks = turn(self.going, self.coming, table, catalog)
        names = {each.table for each in self.referring}
        if names:
            locked = lock(in_order({table.name, *names}, catalog), catalog)
            gone = [drop_op(each.old, catalog.tables[each.table], catalog) for each in self.referring]
            added = [op for each in self.referring for op in each.added(catalog)]
            turns = [locked, *gone, *turns, *added]
        return [built, turns, *looks, *(look for each in self.referring for look in each.looks(catalog))]


def _turn(way: Way, name: Name) -> _Turn:
    """Return the keys and indexes of a table that go while others take their names, places or columns."""
    going, coming = list[Piece](), dict[str, Piece]()
    for part in way.at.tables[name].parts:
        new = _in_its_place(way, name, part)
        if new is not None:
            going.append(part)
            coming[new.name] = new
    keys = referring(way, name)
    for key in keys:
        columns = key.old.reference.columns
        there = [each for each in way.at.tables[name].parts if is_on(each, columns)]
        wanted = [each for each in way.change.after.tables[name].parts if is_on(each, columns)]
        going += [each for each in there if each not in going and not _stays(each, wanted)]
        coming |= {each.name: each for each in wanted if not any(_stays(old, [each]) for old in there)}
    return _Turn(going, list(coming.values()), keys)


def _in_its_place(way: Way, name: Name, part: Piece) -> Piece | None:
    """Return what takes the name of a key or index that goes, or the place of a primary key."""
    if isinstance(part, Index):
        return taking_turn(way, name, part)
    if part.type not in {"p", "u"} or not goes_away(way, name, part):
        return None
    return successor(way, name, part) or taking_turn(way, name, part)


def _stays(part: Piece, wanted: list[Piece]) -> bool:
    """Whether a key or index is among those that should be there."""
    found = next((each for each in wanted if each.name == part.name), None)
    if isinstance(part, Index):
        return isinstance(found, Index) and indexes.is_kept(part, found)
    return not isinstance(found, Index) and constraints.is_kept(part, found)


def _add_indexes(way: Way, name: Name) -> None:
    turn = _turn(way, name)
    for index in way.change.after.tables[name].indexes.values():
        old = way.at.tables[name].indexes.get(index.name)
        if index in turn.coming:
            continue
        if old is None:
            add_index(way, name, index)
        elif not indexes.is_kept(old, index):
            replace_index(way, name, old, index)
        else:
            way.go(way.with_table(way.at.tables[name].having(index)))


def _add_constraints(way: Way, name: Name) -> None:
    """Add what comes, and then let keys and indexes take the places of others: their columns stay unique."""
    going, coming, keys = found = _turn(way, name)
    for old in list(way.at.tables[name].constraints.values()):
        new = None if old.type == "f" or old in going else successor(way, name, old)
        if new is not None:
            replace_constraint(way, name, old, new)
    for constraint in way.change.after.tables[name].constraints.values():
        standing = way.at.tables[name].constraints.get(constraint.name)
        if standing and constraint.type == "c" and waits(standing, constraint):
            validate(way, name, constraint, stood=True)
        is_known = constraint.type in {"c", "u", "p", "x"} and (name, constraint.name) not in way.excluded
        is_added = is_known and constraint not in coming and not is_handed_on(way, name, constraint)
        if not standing and is_added:
            add_constraint(way, name, constraint)
    match going, coming, keys:
        case [Index() as old_index], [Index() as new_index], []:
            replace_index(way, name, old_index, new_index)
        case _ if going:
            _take_turns(way, name, found)


def _take_turns(way: Way, name: Name, found: _Turn) -> None:
    """Let some take the places of others in one transaction: there always are the ones or the others."""
    table, at = way.at.tables[name], way.at
    to = way.with_table(table.without(*(each.name for each in found.going)).having(*found.coming))
    for key in found.referring:
        to = with_heirs(to, to.tables[key.table].having(key.new))
    go_both_ways(way, to, found.blocks(table, at), found.back.blocks(table, at))


STAGES = (
    TableStage("indexes", _add_indexes, ["identity"]),
    TableStage("constraints on the table", _add_constraints, ["indexes"]),
)
