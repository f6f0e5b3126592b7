"""What a table has from those that it inherits from, and goes on to have: theirs is changed, not its own.

A table that begins to inherit must have all that beforehand, as its own; one that ceases to keeps it so. What
PostgreSQL calls local (`attislocal`) then depends on how a table came to be what it is, and isn't compared.
"""

from plinth.autogenerate.objects.steps import Change
from plinth.catalog.picture import Catalog, Column, Constraint, Name, Node, Table


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
    before, after = change.before.tables.get(name), change.after.tables.get(name)
    parents = [*(after or before).parents] if after or before else []  # type: ignore[union-attr]
    if before and after:
        parents = [each for each in parents if each in before.parents]
    return [catalog.tables.get(each) for each in parents]
