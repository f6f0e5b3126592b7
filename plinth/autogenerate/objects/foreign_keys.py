"""Foreign keys: what they stand on, and when they come and go on a busy database."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from alembic.operations import ops

from plinth.autogenerate.change.heirs import ancestors
from plinth.autogenerate.change.partitions import on_each
from plinth.autogenerate.change.parts import Piece, is_kept_with
from plinth.autogenerate.change.quoting import (
    do_block,
    literal,
    quoted_list,
    sql_name,
)
from plinth.autogenerate.change.stages import Stage, TableStage
from plinth.autogenerate.change.steps import SqlOp
from plinth.autogenerate.change.way import Operations, Outside, Way
from plinth.autogenerate.objects import indexes
from plinth.autogenerate.objects.constraints import (
    add_constraint,
    added,
    added_to_partition,
    comment_ops,
    drop_constraint,
    foreign_key_tail,
    goes_away,
    has_columns,
    is_handed_on,
    is_kept,
    make_way,
    not_valid_op,
    replace_constraint,
    successor,
    validate,
    validate_op,
    waits,
)
from plinth.autogenerate.objects.indexes import is_of_filled
from plinth.catalog.picture import Catalog, Constraint, Index, Name, Node, Table


def stands_on(key: Constraint, table: Name, constraint: Constraint) -> bool:
    """Whether a foreign key stands on this unique constraint or primary key of a table."""
    return (
        key.foreign_key is not None
        and constraint.type in {"p", "u", "x"}
        and key.foreign_key.table == table
        and set(key.foreign_key.columns) == set(constraint.columns)
    )


def refers_to(constraint: Constraint, tables: Collection[Name]) -> bool:
    """Whether a constraint is a foreign key to one of some tables."""
    return constraint.foreign_key is not None and constraint.foreign_key.table in tables


def moved_key(
    key: Constraint, own: Mapping[str, str], referred: Mapping[str, str], name: str, catalog: Catalog
) -> Constraint:
    """Return a foreign key with another name, on and to other columns in the place of some."""
    reference = key.reference
    columns = tuple(own.get(each, each) for each in key.columns)
    target = tuple(referred.get(each, each) for each in reference.columns)
    table = sql_name(reference.table, catalog)
    head = f"FOREIGN KEY ({quoted_list(columns)}) REFERENCES {table}({quoted_list(target)})"
    return replace(
        key,
        name=name,
        definition=head + foreign_key_tail(key),
        columns=columns,
        foreign_key=replace(reference, columns=target),
    )


def added_to_partitions(key: Constraint, table: Table, catalog: Catalog) -> ops.MigrateOperation:
    """Return what adds a foreign key to each partition of a table, for new rows."""
    return on_each(None, table, catalog, added_to_partition(key))


def _validate_on_partitions(key: Constraint, table: Table, catalog: Catalog) -> SqlOp:
    """Return what looks at the rows of each that has it: one that was made since has none."""
    name, whole = literal(key.name), literal(sql_name(table.name, catalog))
    lines = [
        "DECLARE part regclass; BEGIN",
        f"    FOR part IN SELECT conrelid FROM pg_constraint, pg_partition_tree({whole})",  # noqa: S608 - quoted
        f"        WHERE relid = conrelid AND isleaf AND conname = {name} AND NOT convalidated",
        "    LOOP",
        f"        EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', part, {name});",
        "    END LOOP;",
    ]
    note = "the table's takes over what each partition has by then"
    return SqlOp(do_block(lines), f"validate {key.name}", table.name, note=note)


def looks(key: Constraint, table: Table, catalog: Catalog) -> list[Operations]:
    """Return what looks at all rows for a foreign key that holds for new ones, or that partitions have."""
    if table.partition_key:
        return [Outside([_validate_on_partitions(key, table, catalog)]), added(key, table, catalog)]
    return [Outside([validate_op(key, table, catalog), *comment_ops(key, table, catalog)])]


def left_to_look_at(there: Catalog, wanted: Catalog) -> Iterator[Operations]:
    """Yield what foreign keys to partitioned tables wait for, if an exchange stopped behind its middle.

    Args:
        there: the schema in which that is so.
        wanted: the one in which all rows had been looked at.
    """
    for owner, key, _ in _left(there, wanted):
        yield from looks(key, owner, there)


def looked_at(there: Catalog, wanted: Catalog) -> Catalog:
    """Return the schema in which that is done (`left_to_look_at`)."""
    tables = dict(there.tables)
    for owner, key, own in _left(there, wanted):
        tables[owner.name] = tables[owner.name].having(key)
        for name in own & wanted.tables.keys():
            if handed_on := wanted.tables[name].constraints.get(key.name):
                tables[name] = tables[name].having(handed_on)
    return replace(there, tables=tables)


def _left(there: Catalog, wanted: Catalog) -> Iterator[tuple[Table, Constraint, set[Name]]]:
    """Yield the tables whose keys wait, with each of these, and their partitions."""
    for name, table in wanted.tables.items():
        owner = there.tables.get(name)
        for key in table.constraints.values() if owner else ():
            target = there.tables.get(key.foreign_key.table) if key.foreign_key else None
            if owner is None or target is None or not target.partition_key or not key.is_local:
                continue
            own = {each.name for each in there.tables.values() if name in ancestors(each.name, there)}
            found = [each.constraints.get(key.name) for each in there.tables.values() if each.name in own]
            standing = owner.constraints.get(key.name)
            is_left = standing is not None and waits(standing, key)
            if standing is None:
                is_left = any(each and (is_kept(each, key) or waits(each, key)) for each in found)
            if is_left:
                yield owner, key, own


def stands_firm(key: Constraint, catalog: Catalog, other: Catalog) -> bool:
    """Whether what a foreign key refers to is the same in another schema, or isn't there at all.

    Args:
        key: the foreign key.
        catalog: the schema that it belongs to.
        other: what comes before, or after.
    """
    target = key.reference.table
    here, there = catalog.tables.get(target), other.tables.get(target)
    if here is None or there is None:
        return True
    if here.persistence != there.persistence:  # no key of a logged table refers to an unlogged one
        return False
    for name in key.reference.columns:
        old, new = here.column(name), there.column(name)
        if old is None or new is None or (old.type, old.collation) != (new.type, new.collation):
            return False
    return any(
        stands_on(key, target, each) and is_kept(each, there.constraints.get(each.name))
        for each in here.constraints.values()
    ) or any(
        set(each.key_columns) == set(key.reference.columns)
        and indexes.is_kept(each, there.indexes.get(each.name))
        for each in here.indexes.values()
        if each.unique
    )


class Referring(NamedTuple):
    """A foreign key that stands on a key which goes, and what it is when another one has come."""

    table: Name
    old: Constraint
    new: Constraint

    @property
    def back(self) -> "Referring":
        """The same for the way back."""
        return Referring(self.table, self.new, self.old)

    def added(self, catalog: Catalog) -> list[ops.MigrateOperation]:
        """Return what adds it for new rows; for those that are there, the old one held."""
        table = catalog.tables[self.table]
        if not self._is_looked_at:
            return added(self.new, table, catalog)
        if table.partition_key:
            return [added_to_partitions(self.new, table, catalog)]
        return [not_valid_op(self.new, table, catalog)]

    def looks(self, catalog: Catalog) -> list[Operations]:
        """Return what looks at all rows then."""
        return looks(self.new, catalog.tables[self.table], catalog) if self._is_looked_at else []

    @property
    def _is_looked_at(self) -> bool:
        return self.new.validated and not self.new.is_not_enforced


def referring(way: Way, target: Name) -> list[Referring]:
    """Return the foreign keys to a table that go and come with the keys on which they stand."""
    found = [(name, each) for name, table in way.at.tables.items() for each in table.constraints.values()]
    return [
        Referring(name, old, new)
        for name, old in found
        if refers_to(old, {target}) and (new := coming_with_key(way, name, old))
    ]


def coming_with_key(way: Way, name: Name, key: Constraint) -> Constraint | None:
    """Return what a foreign key will be, if another one comes to the columns from which its key goes."""
    target, wanted = key.reference.table, way.change.after.tables
    is_apart = name in way.split and target in way.split and not is_kept_with(way, name, key)
    if not is_apart or not key.is_local or wanted[target].parents:
        return None
    new = wanted[name].constraints.get(key.name)
    if new is None or new.foreign_key is None or is_handed_on(way, name, new):
        return None
    can_be = _refers(key) == _refers(new) and _stay_as_they_are(way, key)
    return new if can_be and _stands_on_what_goes(way, name, key) else None


def _stay_as_they_are(way: Way, key: Constraint) -> bool:
    """Whether the columns to which a foreign key refers don't change."""
    target = key.reference.table
    before, after = way.before.tables[target], way.change.after.tables[target]
    if (
        before.persistence != after.persistence
        or {(target, each) for each in key.reference.columns} & way.swapped
    ):
        return False
    pairs = [(before.column(each), after.column(each)) for each in key.reference.columns]
    return all(old and new and (old.type, old.collation) == (new.type, new.collation) for old, new in pairs)


def _stands_on_what_goes(way: Way, name: Name, key: Constraint) -> bool:
    """Whether a foreign key stands on a key or index that goes when others come, and on nothing else."""
    target = way.before.tables[key.reference.table]
    gone = way.before.needs(way.before.tables[name].part("constraint", key.name)) & way.forced.changed
    own = {_node(target, each): each for each in target.parts if is_on(each, key.reference.columns)}
    return bool(gone) and all(
        node in own and not indexes.is_in_the_way(way, target.name, own[node]) for node in gone
    )


def _node(table: Table, part: Piece) -> Node:
    return table.part("index" if isinstance(part, Index) else "constraint", part.name)


def is_on(part: Piece, columns: Collection[str]) -> bool:
    """Whether an index or key makes some columns unique, so that a foreign key can refer to them."""
    if isinstance(part, Index):
        return part.unique and part.where is None and {*part.key_columns} == {*columns}
    return part.type in {"p", "u"} and {*part.columns} == {*columns}


def _drop_keys_of_gone(way: Way) -> None:
    """Drop what refers, in tables that go, to something that doesn't stay as it is until then.

    Likewise what would keep code that doesn't know them any more from deleting what they refer to.
    """
    kept = way.change.after.tables
    for name in sorted(way.before.tables.keys() - kept.keys()):
        for each in list(way.at.tables[name].constraints.values()):
            if each.foreign_key is None or not each.is_local:
                continue
            keeps_rows = each.foreign_key.table in kept and each.foreign_key.on_delete in {"a", "r"}
            if keeps_rows or not stands_firm(each, way.before, way.change.after):
                drop_constraint(way, name, each)


def _drop_keys_to_unlogged(way: Way, name: Name) -> None:
    """Drop foreign keys that go before what they refer to becomes unlogged, which needs them gone."""
    before, after = way.before.tables, way.change.after.tables
    for key in list(way.at.tables[name].constraints.values()):
        pair = [catalog.get(key.foreign_key.table) for catalog in (before, after)] if key.foreign_key else []
        if len({each.persistence for each in pair if each}) > 1 and goes_away(way, name, key):
            drop_constraint(way, name, key)


def _drop_keys(way: Way, name: Name) -> None:
    for key in list(way.at.tables[name].constraints.values()):
        if key.type != "f" or not goes_away(way, name, key) or _goes_with_table(way, name, key):
            continue
        if coming_with_key(way, name, key):
            continue
        new = _successor(way, name, key)
        if new is None:
            drop_constraint(way, name, key)
        elif is_of_filled(way, name, key) and _refers(key) != _refers(new):
            make_way(way, name, key, new, can_come=_can_come(way, name, new))


def _successor(way: Way, name: Name, key: Constraint) -> Constraint | None:
    """Return the foreign key that takes the place of one that goes, when all that it refers to is there."""
    if _goes_with_table(way, name, key) or not stands_firm(key, way.before, way.change.after):
        return None
    return successor(way, name, key)


def _refers(key: Constraint) -> tuple[object, ...]:
    return key.columns, key.reference.table, key.reference.columns


def _can_come(way: Way, name: Name, key: Constraint) -> bool:
    """Whether a foreign key can be added before rows get values."""
    target = key.reference.table
    is_there = target in way.at.tables and stands_firm(key, way.change.after, way.at)
    return is_there and has_columns(way, name, key)


def _goes_with_table(way: Way, name: Name, key: Constraint) -> bool:
    """Whether a foreign key goes in the revision that drops the table to which it refers.

    The way back then is one transaction: rows that refer to rows which are gone undo all of it.
    """
    wanted = way.change.after.tables
    return key.reference.table not in wanted and all(wanted[name].column(each) for each in key.columns)


def _add_late_foreign_keys(way: Way) -> None:
    """Add those foreign keys of new tables that waited for what they refer to."""
    for name in sorted(way.at.tables.keys() & way.change.after.tables.keys() - way.before.tables.keys()):
        _add_foreign_keys(way, name, way.split)


def _add_foreign_keys(way: Way, name: Name, targets: Collection[Name] | None = None) -> None:
    """Add a table's foreign keys, those to some tables if any are given."""
    places = {
        new.name: key
        for key in way.at.tables[name].constraints.values()
        if key.type == "f" and (new := _successor(way, name, key))
    }
    for constraint in way.change.after.tables[name].constraints.values():
        standing = way.at.tables[name].constraints.get(constraint.name)
        if standing and constraint.type == "f" and waits(standing, constraint):
            validate(way, name, constraint, stood=True)
        elif constraint.name in places:
            replace_constraint(way, name, places[constraint.name], constraint)
        elif constraint.type == "f" and standing is None:
            target = constraint.reference.table
            is_wanted = targets is None or target in targets
            if is_wanted and target in way.at.tables and not is_handed_on(way, name, constraint):
                add_constraint(way, name, constraint)


STAGES = (
    Stage("no keys of tables that go", _drop_keys_of_gone, ["new objects"]),
    TableStage("no keys to unlogged tables", _drop_keys_to_unlogged, ["changes taken apart"]),
    TableStage("no foreign keys that go", _drop_keys, ["exchanged columns"]),
    TableStage("foreign keys", _add_foreign_keys, ["NULL allowed"], needs_of_all=["no indexes that go"]),
    Stage("late foreign keys of new tables", _add_late_foreign_keys, ["foreign keys"]),
)
