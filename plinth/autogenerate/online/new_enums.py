"""An enum that is made anew beside the old one, for the one column that has it.

An application names the type in its statements (`'a'::status`): the new one takes over the name together with
its column, in one transaction. Where several columns have the type, no such moment is there for all of them.
"""

from dataclasses import dataclass, replace

from plinth.autogenerate.objects.enums import columns_of, is_rebuilt
from plinth.autogenerate.objects.quoting import quoted, sql_name, temporary_name
from plinth.autogenerate.objects.steps import SqlOp
from plinth.autogenerate.online.dependents import standing_on
from plinth.autogenerate.online.way import Operations, Way
from plinth.catalog.picture import Catalog, Column, ColumnName, Enum, Name, Node


def rebuilt_enum(way: Way, place: ColumnName) -> Name | None:
    """Return the enum of a column that is made anew under its name; None when there is none."""
    change = way.change
    name = change.before.tables[place.table][place.column].named_type
    if name is None or name not in change.before.enums or name not in change.after.enums:
        return None
    return name if is_rebuilt(change.before.enums[name], change.after.enums[name], change) else None


def is_shared(way: Way, name: Name) -> bool:
    """Whether more than one column has a type, or a function, a view or an expression mentions it."""
    for catalog in (way.change.before, way.change.after):
        own = list(columns_of(name, catalog))
        if len(own) != 1:
            return True
        [(table, column)] = own
        standing = standing_on(catalog, {table.part("column", column.name)})  # made anew with the exchange
        users = [each.needs for each in catalog.domains.values()]
        users += [each.needs for each in catalog.others.values() if each not in standing]
        columns = [column for table in catalog.tables.values() for column in table.columns]
        users += [each.default_needs for each in columns if each.named_type != name]
        for table in catalog.tables.values():
            users += [each.needs for each in table.parts]
        if any(Node("type", name) in needs for needs in users):
            return True
    return False


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

    def take_over(self, catalog: Catalog) -> Operations:
        """Return what gives the names to those who stay."""
        name = self.after.name
        return [_rename(name, self.old, catalog), _rename(self.new, name, catalog)]

    def give_back(self, catalog: Catalog) -> Operations:
        """Return what takes the names back."""
        name = self.after.name
        return [_rename(name, self.new, catalog), _rename(self.old, name, catalog)]


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
