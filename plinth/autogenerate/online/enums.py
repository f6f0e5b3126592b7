"""Enums: new values, and an enum that is made anew beside the old one.

An application names the type in its statements (`'a'::status`): the new one takes over the name together with
all columns that have it, in one transaction.
"""

from dataclasses import dataclass, replace

from plinth.autogenerate.objects.enums import (
    columns_of,
    is_extended,
    is_mentioned,
    is_rebuilt,
    mentioned_values,
)
from plinth.autogenerate.objects.quoting import quoted, shown, sql_name, temporary_name
from plinth.autogenerate.objects.steps import AutocommitOp, Change, SqlOp
from plinth.autogenerate.online.dependents import standing_on
from plinth.autogenerate.online.stages import Stage
from plinth.autogenerate.online.way import Operations, Part, Way, between
from plinth.catalog.picture import Catalog, Column, ColumnName, Constraint, Enum, Index, Name, Node, Table


def rebuilt_enum(way: Way, place: ColumnName) -> Name | None:
    """Return the enum of a column that is made anew under its name; None when there is none."""
    change = way.change
    name = change.before.tables[place.table][place.column].named_type
    if name is None or name not in change.before.enums or name not in change.after.enums:
        return None
    return name if is_rebuilt(change.before.enums[name], change.after.enums[name], change) else None


def holder(way: Way, name: Name) -> str | None:
    """Return what holds on to a type but the columns that have and keep it, and what stands on them."""
    before, after = way.change.before, way.change.after
    odd = places_of(name, before) ^ places_of(name, after)
    if odd:
        place = min(odd)
        return f"{shown(place.table, after)}.{place.column} has it only before or after"
    type_ = Node("type", name)
    new = set(after.enums[name].values) - set(before.enums[name].values)
    for catalog in (before, after):
        columns = {Node("column", place) for place in places_of(name, catalog)}
        standing = standing_on(catalog, columns)  # made anew with the exchange
        for domain in catalog.domains.values():
            if type_ in domain.needs:
                return f"the domain {shown(domain.name, catalog)} is made of it"
        for other in catalog.others.values():
            if type_ in other.needs and other not in standing:
                return f"the {other.kind} {other.name} names it"
        for table in catalog.tables.values():
            for column in table.columns:
                if type_ in column.default_needs and column.named_type != name:
                    return f"{shown(table.name, catalog)}.{column.name} names it"
            for part in table.parts:
                # One with a new value can't stand on the old type first.
                stands_by = goes_along(way, table, part) and not is_mentioned(new, part.definition)
                if type_ in part.needs and not stands_by:
                    return f"{part.name} of {shown(table.name, catalog)} names it"
    return None


def goes_along(way: Way, table: Table, part: Constraint | Index) -> bool:
    """Whether something stands on columns whose enums are made anew, and on nothing else that could be."""
    both = way.change.before, way.change.after
    places = [ColumnName(table.name, each) for each in part.columns]
    staying = [place for place in places if all(catalog.column(*place) for catalog in both)]
    enums = {rebuilt_enum(way, place) for place in staying} - {None}
    types = {Node("type", each) for each in enums if each}
    return bool(types) and part.needs <= types | table.column_nodes


def places_of(name: Name, catalog: Catalog) -> set[ColumnName]:
    """Return the columns that have a type, or an array of it."""
    return {ColumnName(table.name, column.name) for table, column in columns_of(name, catalog)}


@dataclass(frozen=True)
class NewEnum:
    """Two enums, and what they are called before and after the new one takes over.

    Args:
        before: the old one.
        after: the new one.
        new: the new one's name until then.
        old: the old one's name from then on.
    """

    before: Enum
    after: Enum
    new: Name
    old: Name

    def made(self, catalog: Catalog) -> Catalog:
        """Return a schema in which the new one is there too."""
        return replace(catalog, enums={**catalog.enums, self.new: replace(self.after, name=self.new)})

    def taken_over(self, catalog: Catalog) -> Catalog:
        """Return a schema in which it has taken over."""
        others = {name: each for name, each in catalog.enums.items() if name != self.new}
        mine = {self.after.name: self.after, self.old: replace(self.before, name=self.old)}
        return replace(catalog, enums=others | mine)

    def typed(self, column: Column, name: Name, catalog: Catalog) -> Column:
        """Return a column whose type goes by another of these names."""
        array = "[]" if column.type.endswith("[]") else ""
        return replace(column, type=sql_name(name, catalog) + array, named_type=name)

    def called(self, name: Name, catalog: Catalog) -> dict[str, str]:
        """Return what the type is called in SQL, and that it goes by another of these names."""
        return {sql_name(self.after.name, catalog): sql_name(name, catalog)}

    def take_over(self, catalog: Catalog) -> Operations:
        """Return what gives the names to those who stay."""
        name = self.after.name
        return [_rename(name, self.old, catalog), _rename(self.new, name, catalog)]

    def give_back(self, catalog: Catalog) -> Operations:
        """Return what takes the names back."""
        name = self.after.name
        return [_rename(name, self.new, catalog), _rename(self.old, name, catalog)]

    def lend(self, beside: Name, catalog: Catalog) -> Operations:
        """Return what gives the name to the type beside, for the length of a transaction."""
        name = self.after.name
        return [_rename(name, self._aside(catalog), catalog), _rename(beside, name, catalog)]

    def take_back(self, beside: Name, catalog: Catalog) -> Operations:
        """Return what ends that."""
        name = self.after.name
        return [_rename(name, beside, catalog), _rename(self._aside(catalog), name, catalog)]

    def _aside(self, catalog: Catalog) -> Name:
        name = self.after.name
        taken = {each.name for each in (*catalog.enums, *catalog.domains, *catalog.tables)}
        return Name(name.schema, temporary_name(name.name, "_aside", taken))


def new_enum(way: Way, place: ColumnName) -> NewEnum | None:
    """Return the enums of a column whose type is made anew; None when it isn't."""
    name = rebuilt_enum(way, place)
    if name is None:
        return None
    before, after = way.change.before, way.change.after
    taken = {
        each.name
        for catalog in (before, after)
        for each in (*catalog.enums, *catalog.domains, *catalog.tables)
    }
    new, old = (Name(name.schema, temporary_name(name.name, end, taken)) for end in ("_new", "_old"))
    return NewEnum(before.enums[name], after.enums[name], new, old)


def _rename(name: Name, to: Name, catalog: Catalog) -> SqlOp:
    return SqlOp(f"ALTER TYPE {sql_name(name, catalog)} RENAME TO {quoted(to.name)}", f"change {name.name}")


def extended_enums(change: Change) -> Catalog | None:
    """Return the schema in which enums have their new values, where these are used at once."""
    extended = {
        name: enum
        for name, enum in change.after.enums.items()
        if (old := change.before.enums.get(name))
        and old.values != enum.values
        and is_extended(old, enum)
        and (set(enum.values) - set(old.values)) & mentioned_values(enum, change)
    }
    return replace(change.before, enums={**change.before.enums, **extended}) if extended else None


def add_values(way: Way, extended: Catalog) -> None:
    """Go on by enums' new values, which can be used after a commit only."""
    whole = between(way.change, way.at, extended)
    way.step(extended, Part([AutocommitOp(whole.up)], whole.down))


def _add_values(way: Way) -> None:
    extended = extended_enums(way.change)
    if extended:
        add_values(way, extended)


STAGES = (Stage("enums' new values", _add_values),)
