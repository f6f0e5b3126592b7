"""Constraints of a busy table: for new rows first, and for all after a look at them that blocks nobody.

A key takes an index that was built before.
"""

from collections.abc import Collection
from dataclasses import replace

from alembic.operations import ops

from plinth.autogenerate.objects import constraints
from plinth.autogenerate.objects.heirs import (
    is_constraint_inherited,
)
from plinth.autogenerate.objects.quoting import (
    quoted,
    quoted_list,
    sql_name,
)
from plinth.autogenerate.objects.steps import AutocommitOp, SqlOp
from plinth.autogenerate.objects.tables import stands_firm
from plinth.autogenerate.online.indexes import add_index, build, build_for_key
from plinth.autogenerate.online.partitions import built, on_each, referring, used
from plinth.autogenerate.online.parts import is_kept_with, name_beside
from plinth.autogenerate.online.stages import Stage, TableStage
from plinth.autogenerate.online.way import Part, Way
from plinth.catalog.picture import Catalog, Constraint, Index, Name, Table


def add_not_valid(way: Way, name: Name, constraint: Constraint, *, goes: bool = False) -> None:
    """Go on by a transaction that adds a constraint for new rows.

    Args:
        way: so far.
        name: the table.
        constraint: what is added.
        goes: it only helps, and isn't there any more when the whole way is gone back.
    """
    table = way.at.tables[name]
    unchecked = replace(constraint.for_new_rows, comment=None)
    to = way.with_table(table.having(unchecked))
    up = [not_valid_op(constraint, table, way.at)]
    way.step(to, Part(up, [] if goes else [constraints.drop_op(constraint, table, way.at)]))


def validate(way: Way, name: Name, constraint: Constraint, *, stood: bool = False) -> None:
    """Go on by a look at all rows, outside of any transaction that holds a lock.

    Args:
        way: so far.
        name: the table.
        constraint: what is validated.
        stood: it wasn't added on this way, and is NOT VALID again when that is gone back.
    """
    table = way.at.tables[name]
    to = way.with_table(table.having(constraint))
    standing = table.constraints[constraint.name]
    up: list[ops.MigrateOperation] = [validate_op(constraint, table, way.at)]
    if standing.comment != constraint.comment:
        up.append(constraints.comment_op(constraint, table, way.at))
    down = [
        constraints.drop_op(constraint, table, way.at),
        not_valid_op(constraint, table, way.at),
        *comment_ops(standing, table, way.at),
    ]
    way.step(to, Part([AutocommitOp(up)], down if stood else []))


def comment_ops(constraint: Constraint, table: Table, catalog: Catalog) -> list[ops.MigrateOperation]:
    """Return what puts a constraint's comment on it, if it has one."""
    return [] if constraint.comment is None else [constraints.comment_op(constraint, table, catalog)]


def not_valid_op(constraint: Constraint, table: Table, catalog: Catalog) -> ops.MigrateOperation:
    """Return what adds a constraint that holds for new rows only."""
    return constraints.add_op(constraint.for_all_rows.for_new_rows, table, catalog)


def validate_op(constraint: Constraint, table: Table, catalog: Catalog) -> SqlOp:
    """Return what looks whether a constraint holds for all rows."""
    name = sql_name(table.name, catalog)
    return SqlOp(
        f"ALTER TABLE {name} VALIDATE CONSTRAINT {quoted(constraint.name)}",
        f"validate {constraint.name}",
        table.name,
    )


def add_checked(way: Way, name: Name, constraint: Constraint, *, goes: bool = False) -> None:
    """Add a check or foreign key: for new rows first, then for all; `goes` is as for `add_index`."""
    table = way.at.tables[name]
    if not constraint.validated or constraint.is_not_enforced:
        way.go(way.with_table(table.having(constraint)))
        return
    if _is_taken_over(constraint, table):
        _add_taken_over(way, name, constraint, goes=goes)
        return
    add_not_valid(way, name, constraint, goes=goes)
    validate(way, name, constraint)


def add_key(way: Way, name: Name, constraint: Constraint, *, goes: bool = False) -> None:
    """Add a unique constraint or primary key, its index first; `goes` is as for `add_index`."""
    table = way.at.tables[name]
    if _is_taken_over(constraint, table):
        _add_taken_over(way, name, constraint, goes=goes)
        return
    index = key_index(constraint, table)
    add_index(way, name, index, goes=True)
    table = way.at.tables[name]
    to = way.with_table(table.without(index.name).having(constraint))
    up = [use_index(constraint, constraint.name, table, way.at), *comment_ops(constraint, table, way.at)]
    way.step(to, Part(up, [] if goes else [constraints.drop_op(constraint, table, way.at)]))


def replace_key(way: Way, name: Name, old: Constraint, new: Constraint) -> None:
    """Let a unique constraint or primary key take the place of another one, its index being there before."""
    table = way.at.tables[name]
    ahead, back = (name_beside(each, table) for each in (new, old))
    ahead_of = key_index(replace(new, name=ahead), table)
    way.step(way.at, Part([AutocommitOp(build_for_key(ahead_of, table, way.at))], []))
    to = way.with_table(table.without(old.name).having(new))
    way.step(
        to,
        Part(_take_turns(old, new, ahead, table, way.at), _take_turns(new, old, back, table, way.at)),
    )
    again = build_for_key(key_index(replace(old, name=back), table), table, way.at)
    way.step(to, Part([], [AutocommitOp(again)]))


def _take_turns(
    old: Constraint, new: Constraint, index: str, table: Table, catalog: Catalog
) -> list[ops.MigrateOperation]:
    """Return what drops a key and adds another one on an index that is there."""
    return [constraints.drop_op(old, table, catalog), *added_on_index(new, index, table, catalog)]


def added_on_index(
    constraint: Constraint, index: str, table: Table, catalog: Catalog
) -> list[ops.MigrateOperation]:
    """Return what adds a key on an index that is there; with partitions, on each one's (`build_for_key`)."""
    if table.partition_key:
        [_, each] = on_each(index, table, catalog, used(constraint))
        return [each, *_added(constraint, table, catalog)]
    return [use_index(constraint, index, table, catalog), *comment_ops(constraint, table, catalog)]


def drop_constraint(way: Way, name: Name, constraint: Constraint) -> None:
    """Go on by dropping a constraint; the way back holds nobody up."""
    table = way.at.tables[name]
    to = way.with_table(table.without(constraint.name))
    restore = _restore(constraint, table, way.at)
    if restore is None:
        way.go(to)
    else:
        drop = constraints.drop_op(constraint, table, way.at)
        way.step(to, Part([drop], [AutocommitOp(restore)]))


def _restore(constraint: Constraint, table: Table, catalog: Catalog) -> list[ops.MigrateOperation] | None:
    """Return what puts a constraint back without holding anybody up; None if nothing does."""
    if _is_taken_over(constraint, table):
        return [*_on_partitions(constraint, table, catalog), *_added(constraint, table, catalog)]
    if constraint.type in {"c", "f"} and constraint.validated and not constraint.is_not_enforced:
        add = not_valid_op(constraint, table, catalog)
        return [add, validate_op(constraint, table, catalog), *comment_ops(constraint, table, catalog)]
    if has_plain_index(constraint):
        index = key_index(constraint, table)
        return [
            *build(index, table, catalog),
            use_index(constraint, constraint.name, table, catalog),
            *comment_ops(constraint, table, catalog),
        ]
    return None


def _is_taken_over(constraint: Constraint, table: Table) -> bool:
    """Whether a partitioned table takes over a constraint that its partitions have already."""
    is_key = constraint.type == "f" and constraint.validated and not constraint.is_not_enforced
    return bool(table.partition_key) and (is_key or has_plain_index(constraint))


def _on_partitions(constraint: Constraint, table: Table, catalog: Catalog) -> list[ops.MigrateOperation]:
    if constraint.type == "f":
        return on_each(constraint.name, table, catalog, *referring(constraint))
    return on_each(constraint.name, table, catalog, built(key_index(constraint, table)), used(constraint))


def _added(constraint: Constraint, table: Table, catalog: Catalog) -> list[ops.MigrateOperation]:
    return [constraints.add_op(constraint, table, catalog), *comment_ops(constraint, table, catalog)]


def _add_taken_over(way: Way, name: Name, constraint: Constraint, *, goes: bool) -> None:
    """Go on by a constraint of each partition, and that of the table."""
    table = way.at.tables[name]
    way.step(way.at, Part([AutocommitOp(_on_partitions(constraint, table, way.at))], []))
    to = way.with_table(table.having(constraint))
    down = [] if goes else [constraints.drop_op(constraint, table, way.at)]
    way.step(to, Part(_added(constraint, table, way.at), down))


def has_plain_index(constraint: Constraint) -> bool:
    """Whether a constraint can stand on an index that was built before (ADD ... USING INDEX)."""
    return (
        constraint.type in {"u", "p"}
        and not constraint.options
        and " WITHOUT OVERLAPS" not in constraint.definition
    )


def key_index(constraint: Constraint, table: Table) -> Index:
    """Return the index on which a unique constraint or primary key will stand."""
    keys = tuple(map(quoted, constraint.columns))
    definition = (
        f"CREATE UNIQUE INDEX {quoted(constraint.name)} "
        f"ON {quoted(table.name.schema)}.{quoted(table.name.name)} USING btree ({', '.join(keys)})"
    )
    if constraint.include:
        definition += f" INCLUDE ({quoted_list(constraint.include)})"
    if constraint.nulls_not_distinct:
        definition += " NULLS NOT DISTINCT"
    return Index(
        constraint.name,
        definition,
        keys=keys,
        key_columns=constraint.columns,
        include=constraint.include,
        unique=True,
        nulls_not_distinct=constraint.nulls_not_distinct,
        columns=frozenset((*constraint.columns, *constraint.include)),
    )


def use_index(constraint: Constraint, index: str, table: Table, catalog: Catalog) -> SqlOp:
    """Return what adds a unique constraint or primary key on an index, which gets its name."""
    kind = "PRIMARY KEY" if constraint.type == "p" else "UNIQUE"
    name = quoted(constraint.name)
    add = f"ADD CONSTRAINT {name} {kind} USING INDEX {quoted(index)}{constraints.timing(constraint)}"
    return SqlOp(
        f"ALTER TABLE {sql_name(table.name, catalog)} {add}",
        f"add constraint {constraint.name}",
        table.name,
    )


# What goes: first what refers to others


def _drop_keys_of_gone(way: Way) -> None:
    """Drop what refers, in tables that go, to something that doesn't stay as it is until then."""
    for name in sorted(way.before.tables.keys() - way.change.after.tables.keys()):
        for each in list(way.at.tables[name].constraints.values()):
            if each.type == "f" and not stands_firm(each, way.before, way.change.after):
                drop_constraint(way, name, each)


def _drop_keys_to_unlogged(way: Way, name: Name) -> None:
    """Drop foreign keys that go before what they refer to becomes unlogged, which needs them gone."""
    before, after = way.before.tables, way.change.after.tables
    for key in list(way.at.tables[name].constraints.values()):
        pair = [catalog.get(key.foreign_key.table) for catalog in (before, after)] if key.foreign_key else []
        if len({each.persistence for each in pair if each}) > 1 and _goes(way, name, key):
            drop_constraint(way, name, key)


def _drop_keys(way: Way, name: Name) -> None:
    for key in list(way.at.tables[name].constraints.values()):
        if key.type == "f" and _goes(way, name, key) and not _goes_with_table(way, name, key):
            drop_constraint(way, name, key)


def _goes_with_table(way: Way, name: Name, key: Constraint) -> bool:
    """Whether a foreign key goes in the revision that drops the table to which it refers.

    The way back then is one transaction: rows that refer to rows which are gone undo all of it.
    """
    wanted = way.change.after.tables
    return key.reference.table not in wanted and all(wanted[name].column(each) for each in key.columns)


def drop_constraints(way: Way, name: Name) -> None:
    """Go on by dropping the checks and keys of a table that go, and have no successor."""
    for constraint in sorted(way.at.tables[name].constraints.values(), key=lambda each: each.type):
        is_replaced = _successor(way, name, constraint) is not None
        if constraint.type in {"c", "u", "p", "x"} and _goes(way, name, constraint) and not is_replaced:
            drop_constraint(way, name, constraint)


def _goes(way: Way, name: Name, constraint: Constraint) -> bool:
    if is_kept_with(way, name, constraint) or is_constraint_inherited(
        way.change, name, constraint, way.before
    ):
        return False
    wanted = way.change.after.tables[name].constraints.get(constraint.name)
    is_forced = constraint.name in way.forced.of(way.forced.parts("constraint"), name)
    is_kept = constraints.is_kept(constraint, wanted) or _waits(constraint, wanted)
    return is_forced or not is_kept


def _waits(constraint: Constraint, wanted: Constraint | None) -> bool:
    """Whether a constraint is as it should be, but for a look at the rows that were there before it."""
    checked = f"{wanted.definition} NOT VALID" if wanted and wanted.validated else None
    return constraint.definition == checked and constraint.type in {"c", "f"}


def _successor(way: Way, name: Name, constraint: Constraint) -> Constraint | None:
    """Return the key that takes the place of one that goes, without a moment in which neither is there."""
    is_forced = (name, constraint.name) in way.forced.parts("constraint")
    if is_forced or not has_plain_index(constraint) or is_kept_with(way, name, constraint):
        return None
    wanted = way.change.after.tables[name]
    found = wanted.primary_key if constraint.type == "p" else wanted.constraints.get(constraint.name)
    if found is None or found.type != constraint.type or not has_plain_index(found):
        return None
    return None if constraints.is_kept(constraint, found) else found


# What comes


def _add_constraints(way: Way, name: Name) -> None:
    wanted = way.change.after.tables[name]
    for key in list(way.at.tables[name].constraints.values()):
        successor = _successor(way, name, key)
        if successor is not None:
            replace_key(way, name, key, successor)
    for constraint in wanted.constraints.values():
        standing = way.at.tables[name].constraints.get(constraint.name)
        if standing and constraint.type == "c" and _waits(standing, constraint):
            validate(way, name, constraint, stood=True)
        is_known = constraint.type in {"c", "u", "p", "x"}
        if standing or not is_known or _is_handed_on(way, name, constraint):
            continue
        if constraint.type == "c":
            add_checked(way, name, constraint)
        elif has_plain_index(constraint):
            add_key(way, name, constraint)
        else:
            way.go(way.with_table(way.at.tables[name].having(constraint)))


def _is_handed_on(way: Way, name: Name, constraint: Constraint) -> bool:
    """Whether a constraint comes with that of a table which is inherited from."""
    return is_constraint_inherited(way.change, name, constraint, way.change.after)


def _add_late_foreign_keys(way: Way) -> None:
    """Add those foreign keys of new tables that waited for what they refer to."""
    for name in sorted(way.at.tables.keys() & way.change.after.tables.keys() - way.before.tables.keys()):
        _add_foreign_keys(way, name, way.split)


def _add_foreign_keys(way: Way, name: Name, targets: Collection[Name] | None = None) -> None:
    """Add a table's foreign keys, those to some tables if any are given."""
    for constraint in way.change.after.tables[name].constraints.values():
        standing = way.at.tables[name].constraints.get(constraint.name)
        if standing and constraint.type == "f" and _waits(standing, constraint):
            validate(way, name, constraint, stood=True)
        elif constraint.type == "f" and standing is None:
            target = constraint.reference.table
            is_wanted = targets is None or target in targets
            if is_wanted and target in way.at.tables and not _is_handed_on(way, name, constraint):
                add_checked(way, name, constraint)


STAGES = (
    Stage("no keys of tables that go", _drop_keys_of_gone, ["new objects"]),
    TableStage("no keys to unlogged tables", _drop_keys_to_unlogged, ["changes taken apart"]),
    TableStage("no foreign keys that go", _drop_keys, ["exchanged columns"]),
    # A key is dropped after all that refers to it.
    TableStage("no constraints that go", drop_constraints, needs_of_all=["no foreign keys that go"]),
    TableStage("constraints", _add_constraints, ["indexes"]),
    TableStage("foreign keys", _add_foreign_keys, ["NULL allowed"], needs_of_all=["constraints"]),
    Stage("late foreign keys of new tables", _add_late_foreign_keys, ["foreign keys"]),
)
