"""From two pictures of a schema to the operations that make one of the other, in a safe order."""

from collections.abc import Iterator, Set

from plinth.autogenerate.change import heirs
from plinth.autogenerate.change.order import ordered
from plinth.autogenerate.change.quoting import comment_sql, quoted
from plinth.autogenerate.change.steps import Change, Forced, SqlOp, Step
from plinth.autogenerate.objects import (
    columns,
    constraints,
    domains,
    enums,
    indexes,
    others,
    sequences,
    tables,
)
from plinth.autogenerate.objects.not_null_names import not_null_names
from plinth.catalog.picture import NOTHING, ColumnName, Name, Node


def difference(change: Change) -> list[Step]:
    """Return the operations that make what is there what should be there, in order.

    Raises:
        Refusal: a word of the author's is missing.
    """
    return ordered(_steps(change), change)


def _steps(change: Change) -> Iterator[Step]:
    heirs.refuse_numbers(change)
    found = forced(change)
    touched = tables.as_they_change(sorted(_touched(change, found)), change)
    yield from _schemas(change)
    yield from enums.steps(change)
    yield from domains.steps(change, found)
    yield from tables.create_steps(change)
    for name in touched:
        yield from columns.steps(change, name, found)
    yield from sequences.steps(change, found)
    for name in touched:
        yield from tables.alter_steps(change, name)
        yield from constraints.steps(change, name, found)
        yield from indexes.steps(change, name, found)
    yield from not_null_names(change)
    yield from tables.drop_steps(change)
    yield from others.steps(change, found)


def _touched(change: Change, forced: Forced) -> Iterator[Name]:
    """Yield the standing tables that change, have something that does, or inherit from one that changes."""
    moved = {node.name.table for node in forced.anew if isinstance(node.name, ColumnName)}
    moved |= {place.table for place in forced.retyped}
    for name, table in change.before.tables.items():
        wanted = change.after.tables.get(name)
        if wanted is not None and (name in moved or (wanted is not table and wanted != table)):
            moved.add(name)
    for name in change.before.tables.keys() & change.after.tables.keys():
        if name in moved or not moved.isdisjoint(heirs.ancestors(name, change.after)):
            yield name


def _schemas(change: Change) -> Iterator[Step]:
    before, after = change.before.schemas, change.after.schemas
    for name, comment in after.items():
        if name not in before:
            create = SqlOp(f"CREATE SCHEMA {quoted(name)}", f"create schema {name}")
            yield Step(create).making(Node("schema", name))
        if comment != before.get(name):
            yield Step(SqlOp(comment_sql(f"SCHEMA {quoted(name)}", comment)), "schema")
    for name in before:
        if name not in after:
            drop = SqlOp(f"DROP SCHEMA {quoted(name)}", f"drop schema {name}")
            yield Step(drop).dropping(Node("schema", name))


def forced(change: Change, carried: Set[Node] = NOTHING) -> Forced:
    """Return what has to be made anew although it doesn't change, and which columns get another type.

    Args:
        change: the whole.
        carried: columns that are made anew with others that take over names.
    """
    found = Forced({Node("type", name) for name in _types_made_anew(change)})
    _find_columns(change, found)
    found.anew -= carried
    shaken = found.changed = found.anew | set(_not_kept(change))
    retyped = {Node("column", place) for place in found.retyped}
    if not shaken and not retyped:
        return found
    standing = change.before.nodes & change.after.nodes - carried
    while more := {node for node in standing - found.anew if _falls(change, node, shaken, retyped)}:
        found.anew |= more
        shaken |= more  # and what stands on it falls, too
    found.retyped -= found.parts("column")
    return found


def _types_made_anew(change: Change) -> set[Name]:
    before, after = change.before, change.after
    found = {
        name
        for name, enum in before.enums.items()
        if name in after.enums and enums.is_rebuilt(enum, after.enums[name], change)
    }
    kept = {name: each for name, each in before.domains.items() if name in after.domains}
    found |= {name for name, each in kept.items() if domains.is_rebuilt(each, after.domains[name])}
    while more := {name for name, each in kept.items() if each.base in found} - found:
        found |= more
    return found


def _find_columns(change: Change, found: Forced) -> None:
    """Find the columns that are dropped and made anew for their own sake, and those that get another type."""
    types = found.types
    for name, table in change.before.tables.items():
        wanted = change.after.tables.get(name)
        if wanted is None or (wanted is table and not types):
            continue
        for old in table.columns:
            new = wanted.column(old.name)
            if new and columns.is_replaced(old, new):
                found.anew.add(table.part("column", old.name))
            elif new and (columns.is_retyped(old, new) or old.named_type in types):
                found.retyped.add(ColumnName(name, old.name))


def _not_kept(change: Change) -> Iterator[Node]:
    """Yield what goes, or is dropped and made anew because it differs itself."""
    before, after = change.before, change.after
    for key, other in before.others.items():
        if key not in after.others or others.is_replaced(other, after.others[key], change):
            yield other.node
    for name, table in before.tables.items():
        wanted = after.tables.get(name)
        if wanted is None or wanted is table:
            continue
        for constraint in table.constraints.values():
            if not constraints.is_kept(constraint, wanted.constraints.get(constraint.name)):
                yield table.part("constraint", constraint.name)
        for index in table.indexes.values():
            if not indexes.is_kept(index, wanted.indexes.get(index.name)):
                yield table.part("index", index.name)


def _falls(change: Change, node: Node, shaken: Set[Node], retyped: Set[Node]) -> bool:
    """Whether what stays has to be dropped and made anew, for the sake of what it stands on.

    Args:
        change: the whole.
        node: what stays.
        shaken: what doesn't, or is made anew.
        retyped: the columns that get another type where they stand.
    """
    needs = change.before.needs(node)
    stands_on_moved = not (needs.isdisjoint(shaken) and needs.isdisjoint(retyped))
    if isinstance(node.name, ColumnName) and node.kind in {"column", "default"}:
        column = change.before.tables[node.name.table][node.name.column]
        if node.kind == "column":
            return bool(column.generated) and stands_on_moved
        # What makes its type anew takes it along.
        return any(each in shaken and each.name != column.named_type for each in needs)
    if isinstance(node.name, ColumnName):
        return not needs.isdisjoint(shaken) or (
            node.kind == "constraint" and _compares_otherwise(change, node.name, shaken, retyped)
        )
    if node.kind == "statistics":  # they move along with a column, but for how much of it is measured
        is_measured = bool(change.before.others[node.kind, str(node.name)].details)
        falls = any(each in shaken and each.kind not in {"column", "constraint"} for each in needs)
        return falls or (is_measured and not needs.isdisjoint(retyped))
    return node.kind not in {"table", "type", "extension"} and stands_on_moved


def _compares_otherwise(change: Change, name: ColumnName, shaken: Set[Node], retyped: Set[Node]) -> bool:
    """Whether a constraint is a foreign key whose columns get another kind of type."""
    key = change.before.tables[name.table].constraints[name.column]
    if key.foreign_key is None:
        return False
    places = [ColumnName(name.table, column) for column in key.columns]
    places += [ColumnName(key.foreign_key.table, column) for column in key.foreign_key.columns]
    for place in places:
        if Node("column", place) in retyped:
            old, new = (each.tables[place.table][place.column] for each in (change.before, change.after))
            if not old.needs.isdisjoint(shaken) or columns.changes_family(old, new):
                return True
    return False
