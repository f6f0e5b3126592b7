"""From two pictures of a schema to the operations that make one of the other, in a safe order."""

from collections.abc import Iterator
from dataclasses import dataclass, field

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
from plinth.autogenerate.objects.heirs import from_the_youngest, in_line
from plinth.autogenerate.objects.order import ordered
from plinth.autogenerate.objects.others import Key
from plinth.autogenerate.objects.quoting import literal, quoted, shown
from plinth.autogenerate.objects.refusals import Refusal, refuse
from plinth.autogenerate.objects.steps import Change, Phase, SqlOp, Step
from plinth.catalog.picture import ColumnName, Constraint, Name, Node


@dataclass
class Forced:
    """What has to be dropped and made anew although it doesn't change, because of what it stands on.

    Args:
        types: enums and domains that are made anew.
        replaced: generated columns.
        retyped: columns that get another type, or a new one of the same name.
        constraints: of standing tables.
        indexes: of standing tables.
        defaults: of standing tables' columns.
        checks: of domains.
        others: views, functions and the like.
    """

    types: set[Name] = field(default_factory=set)
    replaced: set[ColumnName] = field(default_factory=set)
    retyped: set[ColumnName] = field(default_factory=set)
    constraints: set[tuple[Name, str]] = field(default_factory=set)
    indexes: set[tuple[Name, str]] = field(default_factory=set)
    defaults: set[ColumnName] = field(default_factory=set)
    checks: set[tuple[Name, str]] = field(default_factory=set)
    others: set[Key] = field(default_factory=set)

    def of(self, found: set[tuple[Name, str]] | set[ColumnName], table: Name) -> set[str]:
        """Return the names of those that belong to a table."""
        return {name for owner, name in found if owner == table}


def difference(change: Change) -> list[Step]:
    """Return the operations that make what is there what should be there, in order.

    Raises:
        Refusal: a word of the author's is missing.
    """
    return ordered(_steps(change), change)


def _steps(change: Change) -> Iterator[Step]:
    found = forced(change)
    kept = tables.as_they_change(
        in_line(set(change.before.tables) & set(change.after.tables), change), change
    )
    yield from _schemas(change)
    yield from enums.steps(change)
    yield from domains.steps(change, found.types, found.checks)
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
    _refuse_dependents(change)
    _refuse_published(change, found)
    yield from others.steps(change, found.others)


def _in_order_of_columns(change: Change, kept: list[Name], found: Forced) -> Iterator[Step]:
    """Yield steps; a column is added to heirs first, and goes from them last: so it stays their own."""
    made = {
        name: list(
            columns.steps(
                change, name, found.of(found.replaced, name), found.types, found.of(found.defaults, name)
            )
        )
        for name in kept
    }
    for name in from_the_youngest(kept, change):
        yield from (step for step in made[name] if step.phase != Phase.DROP_COLUMNS)
    for name in kept:
        yield from (step for step in made[name] if step.phase == Phase.DROP_COLUMNS)


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
    for name in domains.in_order(before):
        domain, new = before.domains[name], after.domains.get(name)
        if new and (domains.is_rebuilt(domain, new) or domain.base in found.types):
            found.types.add(name)
    _force_by_what_they_call(change, found)
    _force_columns(change, found)
    _force_parts(change, found)
    _force_others(change, found)
    return found


def _force_by_what_they_call(change: Change, forced: Forced) -> None:
    """Find what stands on functions and the like that are dropped and made anew, directly or not."""
    before, after = change.before, change.after
    gone = {
        old.node
        for key, old in before.others.items()
        if key not in after.others or others.is_replaced(old, after.others[key], change)
    }
    shaken = gone | {Node("type", name) for name in forced.types}
    while shaken:
        forced.others |= (found := _standing_on(shaken, change) - forced.others)
        gone |= (shaken := {before.others[key].node for key in found})
    for name, table in before.tables.items():
        wanted = after.tables.get(name)
        if wanted is None or not gone:
            continue
        places = [ColumnName(name, each.name) for each in table.columns if wanted.column(each.name)]
        for place in places:
            column = table[place.column]
            if column.generated and column.needs & gone:
                forced.replaced.add(place)
            elif column.default_needs & gone:
                forced.defaults.add(place)
        forced.constraints |= {
            (name, each) for each, found in table.constraints.items() if found.needs & gone
        }
        forced.indexes |= {(name, each) for each, found in table.indexes.items() if found.needs & gone}
    for name, domain in before.domains.items():
        forced.checks |= {(name, each) for each, found in domain.constraints.items() if found.needs & gone}


def _standing_on(shaken: set[Node], change: Change) -> set[Key]:
    """Return what is to stay and stands on something that doesn't."""
    return {
        key
        for key, other in change.before.others.items()
        if key in change.after.others and other.kind != "extension" and other.needs & shaken
    }


def _force_others(change: Change, forced: Forced) -> None:
    """Find the views and the like that stand on columns and keys which change, and on each other."""
    shaken = {Node("column", each) for each in forced.retyped | forced.replaced}
    for name, table in change.before.tables.items():
        wanted = change.after.tables.get(name)
        shaken |= {
            table.part("constraint", each.name)
            for each in table.constraints.values()
            if wanted
            and (
                (name, each.name) in forced.constraints
                or not constraints.is_kept(each, wanted.constraints.get(each.name))
            )
        }
    found = {key for key in _standing_on(shaken, change) if key[0] != "statistics"}  # it moves along
    while found:
        forced.others |= found
        shaken = {change.before.others[key].node for key in found}
        found = _standing_on(shaken, change) - forced.others


def _force_columns(change: Change, forced: Forced) -> None:
    kept = tables.columns_kept(change)
    for name, column in kept:
        old, new = change.before.tables[name][column], change.after.tables[name][column]
        if columns.is_replaced(old, new):
            forced.replaced.add(ColumnName(name, column))
        elif columns.is_retyped(old, new) or old.named_type in forced.types:
            forced.retyped.add(ColumnName(name, column))
    for name, column in kept:
        old = change.before.tables[name][column]
        if not old.generated:
            continue
        if old.uses & forced.of(forced.retyped, name) or old.named_type in forced.types:
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


def _refuse_dependents(change: Change) -> None:
    """Return if no view or the like stays as it is although it stands on a column that goes.

    Raises:
        Refusal: one does, and no model says how it should be without it.
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
            refuse(
                Refusal(
                    "dependent",
                    f"The {other.kind} {other.name} uses {shown(used[0].table, change.before)}."
                    f"{used[0].column}, which would be dropped. Change or drop it first, in a revision of "
                    "its own.",
                )
            )


def _refuse_published(change: Change, forced: Forced) -> None:
    """Return if no publication names a column that goes or gets another type.

    Raises:
        Refusal: one does, and PostgreSQL lets such a column neither go nor change.
    """
    changed = forced.retyped | forced.replaced
    for name in sorted(change.before.tables.keys() & change.after.tables.keys()):
        for column in change.before.tables[name].columns:
            goes = change.after.tables[name].column(column.name) is None
            if column.published_by and (goes or ColumnName(name, column.name) in changed):
                publication = min(column.published_by)
                refuse(
                    Refusal(
                        "dependent",
                        f"The publication {publication} names column {shown(name, change.before)}."
                        f"{column.name}, which {'would be dropped' if goes else 'gets another type'}. Take "
                        f"it out first, by ALTER PUBLICATION {publication} SET TABLE … in a revision written "
                        "by hand, and name it again in one after.",
                    )
                )


def _in_the_way(change: Change) -> set[Name]:
    """Return the tables to be dropped that have a name which something new needs."""
    before, after = change.before, change.after
    new: set[Name] = set(after.enums) | set(after.domains) | set(after.sequences)
    for table in after.tables.values():
        new |= tables.relation_names(table, after)
    new -= {name for name in before.sequences if name in after.sequences}  # it gets another owner
    return {
        name
        for name, table in before.tables.items()
        if name not in after.tables and tables.relation_names(table, before) & new
    }
