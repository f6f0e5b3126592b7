"""The way from one schema to another, transaction by transaction."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from alembic.operations import ops

from plinth.autogenerate.change.casts import keeps_stored_values
from plinth.autogenerate.change.heirs import with_heirs
from plinth.autogenerate.change.steps import Change, Forced, Step
from plinth.autogenerate.change.types import is_rewritten
from plinth.catalog.picture import Catalog, ColumnName, Name, Table

Operations = Sequence[ops.MigrateOperation]


class Outside(list[ops.MigrateOperation]):
    """Operations outside of any transaction, each with a commit of its own (`autocommit_block`)."""


@dataclass(frozen=True)
class Part:
    """What happens in one transaction, or `Outside` of any, and what takes it back.

    Args:
        up: its operations.
        down: those that take it back, in one transaction or outside of any; none where the way back of a
            later part does it too.
        is_after: it takes away what running code may still use, and comes after the code.
    """

    up: Operations
    down: Operations
    is_after: bool = False


@dataclass
class Way:
    """The way from one schema to another, part by part.

    Args:
        change: the whole.
        forced: what has to be made anew although it doesn't change.
        before: the schema from which the online forms start: what was there, with columns changed in place.
        at: the schema after the last part so far.
        difference: finds what leads from one schema to another, in order.
        swapped: columns that get another type by a second column that takes their place.
        rebuilt: stored generated columns that come, or change, with a new table.
        excluded: exclusion constraints that do, by their tables.
        split: the standing tables whose changes are taken apart; others change in one go.
        is_after: what follows takes away what running code may still use, and comes after the code.
        parts: so far.
    """

    change: Change
    forced: Forced
    before: Catalog
    at: Catalog
    difference: Callable[[Change], Sequence[Step]]
    swapped: set[ColumnName] = field(default_factory=set)
    rebuilt: set[ColumnName] = field(default_factory=set)
    excluded: set[ColumnName] = field(default_factory=set)
    split: Collection[Name] = ()
    is_after: bool = False
    parts: list[Part] = field(default_factory=list)

    def go(self, to: Catalog, *, through: Catalog | None = None) -> None:
        """Go on by one transaction, if there is anything to do; up `through` a schema on the way."""
        stops = [self.at, *([through] if through else []), to]
        up = [op for pair in pairwise(stops) for op in self.up(*pair)]
        self.step(to, up, self.down(self.at, to))

    def up(self, before: Catalog, after: Catalog) -> Operations:
        """Return what leads from one schema to another."""
        change = replace(self.change, before=before, after=after, goal=self.change.after)
        return [step.op for step in self.difference(change)]

    def down(self, before: Catalog, after: Catalog) -> Operations:
        """Return what leads back to one schema from another."""
        back = replace(self.change, before=after, after=before, goal=self.change.before)
        back = replace(back, backfills={}, is_downgrade=True)
        return [step.op for step in self.difference(back)]

    def between(self, before: Catalog, after: Catalog) -> Part:
        """Return the one transaction that leads from one schema to another."""
        return Part(self.up(before, after), self.down(before, after))

    def step(self, to: Catalog, up: Operations, down: Operations = ()) -> None:
        """Go on by a part that is written already, if there is anything in it."""
        self.at = to
        if up or down:
            self.parts.append(Part(up, down, self.is_after))

    def has_relatives(self, name: Name) -> bool:
        """Whether a table is partitioned, a partition, or inherits, or another inherits from it."""
        before, after = self.before.tables[name], self.change.after.tables[name]
        own = (before.partition_key, after.partition_key, before.parents, after.parents)
        heirs = (*self.before.tables.values(), *self.change.after.tables.values())
        return any(own) or any(name in table.parents for table in heirs)

    def is_rewritten(self, place: ColumnName) -> bool:
        """Whether PostgreSQL writes a table anew, or an index, when a column's type changes in place."""
        before, after = (each.tables[place.table] for each in (self.before, self.change.after))
        old, new = before[place.column], after[place.column]
        said = self.change.using(place, old, new)
        if not keeps_stored_values(old, new, said) and (said or is_rewritten(old.type, new.type)):
            return True
        indexes = [each for each in before.indexes.values() if place.column in each.columns]
        if said:
            keys = [each for each in before.constraints.values() if each.type != "n"]
        elif old.collation != new.collation:
            keys = [each for each in before.constraints.values() if each.type in {"p", "u", "x"}]
        else:  # with an expression or a predicate none outlasts another type, a plain one does
            return any(each.where or None in each.key_columns for each in indexes)
        return bool(indexes) or any(place.column in each.columns for each in keys)

    def carried(self, name: Name) -> set[str]:
        """Return the virtual columns of a table that are made anew when what they are of takes over names."""
        before, after = self.before.tables.get(name), self.change.after.tables.get(name)
        turned = {place.column for place in self.swapped if place.table == name}
        return virtual_on(before, after, turned) if before and after else set()

    def with_table(self, table: Table) -> Catalog:
        """Return the schema so far, with another table of that name."""
        return with_heirs(self.at, table)


def virtual_on(before: Table, after: Table, names: Collection[str]) -> set[str]:
    """Return the columns that are virtual before and after, and generated from any of some columns."""
    return {
        old.name
        for old in before.columns
        if old.generated == "v"
        and (new := after.column(old.name))
        and new.generated == "v"
        and not (old.uses | new.uses).isdisjoint(names)
    }
