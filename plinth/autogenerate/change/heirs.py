"""What a table has from those that it inherits from, and goes on to have: theirs is changed, not its own.

A table that begins to inherit must have all that beforehand, as its own; one that ceases to keeps it so. What
PostgreSQL calls local (`attislocal`) then depends on how a table came to be what it is, and isn't compared.
"""

from dataclasses import replace
from typing import Any

from plinth.autogenerate.change.quoting import shown
from plinth.autogenerate.change.refusals import refuse
from plinth.autogenerate.change.steps import Change
from plinth.catalog.picture import NO_DEFAULT, Catalog, Column, Constraint, Name, Node, Table

# What ALTER TABLE gives the columns of heirs together with the table's.
_HANDED_ON = (
    "type",
    "named_type",
    "collation",
    "default",
    "generated",
    "identity",
    "not_null",
    "storage",
    "statistics",
)
_UNCOMPARED = ("words", "default_needs", "has_volatile_default", "uses")


def ancestors(name: Name, catalog: Catalog) -> list[Name]:
    """Return the tables that one inherits from, and those that these inherit from."""
    table = catalog.tables.get(name)
    found: list[Name] = []
    for parent in table.parents if table else ():
        found += [parent, *ancestors(parent, catalog)]
    return found


_NO_NUMBERS = (
    "PostgreSQL gives heirs' rows no numbers. Add it by a revision written by hand: as a plain column, with "
    "values for all rows and a default for each heir, then ALTER COLUMN … ADD GENERATED."
)
_NOT_BACK = (
    "PostgreSQL adds none there, so no downgrade could bring it back. Let it be a plain column first, in a "
    "revision of its own, and drop it in the next one."
)


def refuse_numbers(change: Change) -> None:
    """Return if no identity column comes, or comes back, to a table that others inherit from.

    PostgreSQL adds none there: heirs' rows would have no numbers (documentation, ALTER TABLE).

    Raises:
        Refusal: one does.
    """
    for name, table in change.after.tables.items():
        before = change.before.tables.get(name)
        heirs = [each.name for each in change.after.tables.values() if name in each.parents]
        if before is None or table.partition_key or not heirs:
            continue
        why = _NOT_BACK if change.is_downgrade else _NO_NUMBERS
        for column in table.columns:
            if column.identity and before.column(column.name) is None:
                refuse(
                    "unknown change",
                    f"Column {shown(name, change.after)}.{column.name} is an identity column, and "
                    f"{shown(min(heirs), change.after)} inherits from its table: {why}",
                )


def in_heirs(name: Name, column: Column, catalog: Catalog) -> list[Node]:
    """Return the columns that a table's heirs have of that name.

    They are added before the table's, and dropped after it: so they stay the heirs' own.
    """
    heirs = (each for each in catalog.tables.values() if name in each.parents)
    return [each.part("column", column.name) for each in heirs]


def is_column_inherited(change: Change, name: Name, column: Column, catalog: Catalog) -> bool:
    """Whether a column comes, or goes, with that of a table which is inherited from before and after."""
    tables = [] if column.is_local else _staying(change, name, catalog)
    return any(table is None or table.column(column.name) for table in tables)


def may_be_inherited(change: Change, name: Name, part: Column | Constraint) -> bool:
    """Whether what goes is a table's own, and in another database that of those which it inherits from.

    Whoever undid a revision by which a table ceased to inherit has it as its own since.
    """
    parents = _staying(change, name, change.before)
    if isinstance(part, Column):
        return any(table is not None and table.column(part.name) for table in parents)
    return any(table is not None and part.name in table.constraints for table in parents)


def is_constraint_inherited(change: Change, name: Name, constraint: Constraint, catalog: Catalog) -> bool:
    """Whether a constraint comes, or goes, with that of a table which is inherited from before and after."""
    tables = _staying(change, name, catalog)
    if constraint.type == "c" and not constraint.is_local:
        return any(table is None or constraint.name in table.constraints for table in tables)
    return bool(tables) and not constraint.is_local


def _staying(change: Change, name: Name, catalog: Catalog) -> list[Table | None]:
    """Return the tables that one inherits from before and after; None for one that isn't ours."""
    there = [each.tables[name] for each in (change.after, change.before) if name in each.tables]
    parents = there[0].parents if there else ()
    return [catalog.tables.get(each) for each in parents if each in there[-1].parents]


def with_inherited(change: Change, name: Name, column: Column) -> Column:
    """Return a column with what it gets, in this change, from that of a table which is inherited from."""
    before, after = change.before.tables[name], change.after.tables[name]
    for parent in set(before.parents) & set(after.parents):
        old, new = (each.tables.get(parent) for each in (change.before, change.after))
        if old is not None and new is not None:
            hand_on = _handed_on if before.partition_bound is None else _handed_on_to_partition
            column = hand_on(column, old.column(column.name), new.column(column.name))
    return column


def _handed_on_to_partition(column: Column, old: Column | None, new: Column | None) -> Column:
    """Return a partition's column; all but its default isn't compared (`with_partitions_own`)."""
    if old is None or new is None or column.default != (old.default or NO_DEFAULT):
        return column
    given = {each: getattr(new, each) for each in _UNCOMPARED}
    return replace(column, **given, default=new.default or NO_DEFAULT)


def _handed_on(column: Column, old: Column | None, new: Column | None) -> Column:
    if old is None or new is None:
        return column
    given: dict[str, Any] = {
        each: getattr(new, each)
        for each in _HANDED_ON
        if getattr(column, each) == getattr(old, each) != getattr(new, each)
    }
    if "default" in given:
        given |= {each: getattr(new, each) for each in _UNCOMPARED}
    return replace(column, **given)


def with_heirs(catalog: Catalog, table: Table) -> Catalog:
    """Return a schema with another table of that name, and what its heirs get from it."""
    old = catalog.tables.get(table.name)
    catalog = replace(catalog, tables={**catalog.tables, table.name: table})
    if old is not None:
        for heir in list(catalog.tables.values()):
            if table.name in heir.parents:
                catalog = with_heirs(catalog, _heir(heir, old, table))
    return catalog


def _heir(heir: Table, old: Table, new: Table) -> Table:
    """Return an heir of a table that has become another."""
    if heir.partition_bound is not None:
        return replace(
            heir,
            columns=tuple(
                _handed_on_to_partition(each, old.column(each.name), new.column(each.name))
                for each in heir.columns
            ),
        )
    columns = [
        _handed_on(column, old.column(column.name), new.column(column.name))
        for column in heir.columns
        if column.is_local or old.column(column.name) is None or new.column(column.name)
    ]
    for column in new.columns:
        if heir.column(column.name) is None and old.column(column.name) is None:
            own = replace(column, is_local=False, sequence=None, comment=None, compression="", options=())
            columns.append(own)
    kinds = {"c", "n"}
    theirs = {
        each.name: each
        for each in heir.constraints.values()
        if each.is_local or each.type not in kinds or each.name not in old.constraints
    }
    handed_on = {
        each.name: replace(each, is_local=False, comment=None)
        for each in new.constraints.values()
        if each.type in kinds and " NO INHERIT" not in each.definition
    }
    return replace(heir, columns=tuple(columns), constraints={**handed_on, **theirs})
