"""From two pictures of a schema to the operations that make one of the other, in a safe order."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from plinth.autogenerate import columns, constraints, domains, enums, indexes, others, sequences, tables
from plinth.autogenerate.quoting import literal, quoted, shown
from plinth.autogenerate.refusals import Refusal
from plinth.autogenerate.steps import Change, Phase, SqlOp, Step
from plinth.catalog.picture import ColumnName, Constraint, Name


@dataclass
class Forced:
    """What has to be dropped and made anew although it doesn't change, because of what it stands on.

    Args:
        types: enums and domains that are made anew.
        replaced: generated columns.
        retyped: columns that get another type, or a new one of the same name.
        constraints: of standing tables.
        indexes: of standing tables.
    """

    types: set[Name] = field(default_factory=set)
    replaced: set[ColumnName] = field(default_factory=set)
    retyped: set[ColumnName] = field(default_factory=set)
    constraints: set[tuple[Name, str]] = field(default_factory=set)
    indexes: set[tuple[Name, str]] = field(default_factory=set)

    def of(self, found: set[tuple[Name, str]] | set[ColumnName], table: Name) -> set[str]:
        """Return the names of those that belong to a table."""
        return {name for owner, name in found if owner == table}


def difference(change: Change) -> list[Step]:
    """Return the operations that make what is there what should be there, in order.

    Raises:
        Refusal: a word of the author's is missing.
    """
    found = list(_steps(change))
    return sorted(found, key=lambda step: step.phase)


def _steps(change: Change) -> Iterator[Step]:
    found = forced(change)
    kept = sorted(set(change.before.tables) & set(change.after.tables))
    yield from _schemas(change)
    yield from enums.steps(change)
    yield from domains.steps(change)
    yield from tables.create_steps(change)
    kept_columns = {(each.table, each.column) for each in tables.columns_kept(change) - found.replaced}
    yield from _in_order_of_columns(change, kept, found)
    yield from sequences.steps(change, kept_columns)
    for name in kept:
        yield from tables.alter_steps(change, name)
        yield from constraints.steps(change, name, found.of(found.constraints, name))
        yield from indexes.steps(change, name, found.of(found.indexes, name))
    yield from constraints.not_null_names(change)
    yield from tables.drop_steps(change, _in_the_way(change))
    yield from others.steps(change, _forced_others(change, found))


def _in_order_of_columns(change: Change, kept: list[Name], found: Forced) -> Iterator[Step]:
    for name in kept:
        yield from columns.steps(change, name, found.of(found.replaced, name), found.types)


def _schemas(change: Change) -> Iterator[Step]:
    before, after = change.before.schemas, change.after.schemas
    for name, comment in after.items():
        if name not in before:
            yield Step(Phase.SCHEMAS, SqlOp(f"CREATE SCHEMA {quoted(name)}", f"create schema {name}"))
        if comment != before.get(name):
            text = "NULL" if comment is None else literal(comment)
            yield Step(Phase.SCHEMAS, SqlOp(f"COMMENT ON SCHEMA {quoted(name)} IS {text}"))
    for name in before:
        if name not in after:
            yield Step(Phase.DROP_SCHEMAS, SqlOp(f"DROP SCHEMA {quoted(name)}", f"drop schema {name}"))


def forced(change: Change) -> Forced:
    """Return what has to be made anew although it doesn't change."""
    found = Forced()
    before, after = change.before, change.after
    for name, enum in before.enums.items():
        if name in after.enums and enums.is_rebuilt(enum, after.enums[name], change):
            found.types.add(name)
    for name, domain in before.domains.items():
        if name in after.domains and domains.is_rebuilt(domain, after.domains[name]):
            found.types.add(name)
    _force_columns(change, found)
    _force_parts(change, found)
    return found


def _force_columns(change: Change, forced: Forced) -> None:
    for name, column in tables.columns_kept(change):
        old, new = change.before.tables[name][column], change.after.tables[name][column]
        if columns.is_replaced(old, new):
            forced.replaced.add(ColumnName(name, column))
        elif columns.is_retyped(old, new) or old.named_type in forced.types:
            forced.retyped.add(ColumnName(name, column))
    for name, column in tables.columns_kept(change):
        old = change.before.tables[name][column]
        moved = forced.of(forced.retyped, name)
        if old.generated and (old.uses & moved or old.named_type in forced.types):
            forced.replaced.add(ColumnName(name, column))
    forced.retyped -= forced.replaced


def _force_parts(change: Change, forced: Forced) -> None:
    kept = [name for name in change.before.tables if name in change.after.tables]
    for name in kept:
        before = change.before.tables[name]
        replaced = forced.of(forced.replaced, name)
        for constraint in before.constraints.values():
            if replaced.intersection(constraint.columns) or constraint.types & forced.types:
                forced.constraints.add((name, constraint.name))
        for index in before.indexes.values():
            if index.columns & replaced or index.types & forced.types:
                forced.indexes.add((name, index.name))
    for name in kept:
        for constraint in change.before.tables[name].constraints.values():
            if constraint.foreign_key and _is_key_shaken(change, forced, name, constraint):
                forced.constraints.add((name, constraint.name))


def _is_key_shaken(change: Change, forced: Forced, name: Name, key: Constraint) -> bool:
    """Whether a foreign key can't stay: its columns get another kind of type, or what it stands on goes."""
    target = key.reference.table
    if target not in change.after.tables or target not in change.before.tables:
        return False
    for table, names in ((name, key.columns), (target, key.reference.columns)):
        for column in names:
            old = change.before.tables[table].column(column)
            new = change.after.tables[table].column(column)
            if not old or not new or ColumnName(table, column) not in forced.retyped:
                continue
            if old.named_type in forced.types or columns.changes_family(old, new):
                return True
    before, after = change.before.tables[target], change.after.tables[target]
    for constraint in before.constraints.values():
        stays = constraints.is_kept(constraint, after.constraints.get(constraint.name))
        stays = stays and (target, constraint.name) not in forced.constraints
        if not stays and constraints.stands_on(key, target, constraint):
            return True
    return any(
        index.unique and set(index.key_columns) == set(key.reference.columns)
        for index in before.indexes.values()
        if (target, index.name) in forced.indexes or not indexes.is_kept(index, after.indexes.get(index.name))
    )


def _forced_others(change: Change, forced: Forced) -> set[others.Key]:
    """Return the views and the like that stand on columns which get another type.

    Raises:
        Refusal: one stands on a column that is dropped, and no model says how it should be without it.
    """
    dropped = {
        ColumnName(name, column.name)
        for name, table in change.before.tables.items()
        for column in table.columns
        if name not in change.after.tables or change.after.tables[name].column(column.name) is None
    }
    for other in change.before.others.values():
        new = change.after.others.get((other.kind, other.name))
        if new is None or new.definition != other.definition or other.kind == "statistics":
            continue
        if other.table is not None and other.table not in change.after.tables:
            continue
        used = sorted(other.uses & dropped)
        if used and other.kind not in {"function", "trigger"}:
            raise Refusal(
                "dependent",
                f"The {other.kind} {other.name} uses {shown(used[0].table, change.before)}.{used[0].column}, "
                "which would be dropped. Change or drop it first, in a revision of its own.",
            )
    return others.dependents(change.before, forced.retyped | forced.replaced)


def _in_the_way(change: Change) -> set[Name]:
    """Return the tables to be dropped that have a name which something new needs."""
    before, after = change.before, change.after
    new: set[Name] = set(after.enums) | set(after.domains) | set(after.sequences)
    for table in after.tables.values():
        new |= tables.relation_names(table, after)
    return {
        name
        for name, table in before.tables.items()
        if name not in after.tables and tables.relation_names(table, before) & new
    }
