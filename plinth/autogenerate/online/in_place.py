"""Columns of a busy table that change where they stand: another type, or made anew with what generates them.

They change before all else of their table, so that the rest has its online form. What stands on such a column
and can't outlast the change is dropped in the same transaction. When that ends, checks and foreign keys hold
for new rows again, and unique constraints for all; indexes come back later.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from plinth.autogenerate.change.parts import on_column
from plinth.autogenerate.change.stages import Stage
from plinth.autogenerate.change.way import Outside, Way
from plinth.autogenerate.objects import constraints, indexes
from plinth.autogenerate.objects.difference import forced
from plinth.autogenerate.objects.enums import columns_of, rebuilt_enum
from plinth.autogenerate.objects.not_null import loosen
from plinth.autogenerate.online.swaps import spare
from plinth.catalog.picture import Catalog, Column, ColumnName, Constraint, Index, Name, Node, Table

_MADE_AT_ONCE = {"view", "trigger", "policy", "rule"}


def change_in_place(way: Way) -> None:
    """Go on by the transactions in which columns change in place; the rest of the way starts from there.

    What writes nothing anew is left to the transaction of the table's other changes.
    """
    for place in way.swapped:
        enum = rebuilt_enum(way, place)
        if enum:
            way.forced.anew.discard(Node("type", enum))
            way.before = replace(way.before, enums={**way.before.enums, enum: way.change.after.enums[enum]})
    for names in _groups(way):
        for name in names:
            for column in _virtual(way, name):
                loosen(way, name, column)
        if _takes_time(way, names):
            _go(way, _changed(way, way.at, names))
        way.before = _changed(way, way.before, names)
    way.forced = forced(replace(way.change, before=way.before))
    spare(way)


def _go(way: Way, to: Catalog) -> None:
    """Go on by one transaction; on the way back, too, all rows are looked at behind it, and not in it."""
    before, tables, looks = way.at, dict(way.at.tables), Outside()
    for name, table in before.tables.items():
        anew = [
            each for each in table.constraints.values() if _is_looked_at_again(each, table, to.tables[name])
        ]
        tables[name] = table.having(*(replace(each.for_new_rows, comment=None) for each in anew))
        for each in (each for each in anew if each.is_local):
            looks += [
                constraints.validate_op(each, table, before),
                *constraints.comment_ops(each, table, before),
            ]
    way.step(before, [], looks)
    way.step(to, way.up(before, to), way.down(replace(before, tables=tables), to))


def _is_looked_at_again(constraint: Constraint, table: Table, to: Table) -> bool:
    """Whether a check or foreign key comes again on the way back, and can hold for new rows at first."""
    if constraint.type not in {"c", "f"} or not constraint.validated or constraint.is_not_enforced:
        return False
    stays = constraints.is_kept(constraint, to.constraints.get(constraint.name))
    return not stays and not (constraint.type == "f" and table.partition_key)


def _columns(way: Way, name: Name) -> set[str]:
    """Return the columns of a table that change in place."""
    return way.forced.of(way.forced.parts("column") | way.forced.retyped - way.swapped, name)


def _groups(way: Way) -> list[list[Name]]:
    """Return the tables with such columns; those that share a type which is made anew, or a key, together."""
    standing = [name for name in sorted(way.before.tables) if name in way.change.after.tables]
    found = [name for name in standing if _columns(way, name)]
    alone = [name for name in found if not _is_tied(way, name)]
    sharing = [name for name in alone if _shares_type(way, name) or _shares_key(way, name)]
    if not _are_types_left(way, sharing):
        alone = [name for name in alone if not _shares_type(way, name)]
        sharing = [name for name in sharing if name in alone]
    return [*([sharing] if sharing else []), *([name] for name in alone if name not in sharing)]


def _is_tied(way: Way, name: Name) -> bool:
    """Whether columns change together with something else, and can't before it."""
    before, after = way.before.tables[name], way.change.after.tables[name]
    columns = _columns(way, name)
    if way.has_relatives(name) and not (_has_partitions_alone(way, name) and not _is_written_anew(way, name)):
        return True
    places = {ColumnName(name, column) for column in columns}
    fallen = {each.kind for each in way.before.others.values() if each.uses & places}
    fallen |= {node.kind for node in way.forced.anew if node.kind == "materialized view"}  # on such a view
    if fallen and (not fallen <= _MADE_AT_ONCE or _is_written_anew(way, name)):
        return True
    for column in columns:
        old, new = before[column], after[column]
        if any(before.column(each) is None for each in new.uses):
            return True
        is_replaced = ColumnName(name, column) in way.forced.parts("column")
        if not is_replaced and _how_filled(old) != _how_filled(new):
            return True
    return False


def _has_partitions_alone(way: Way, name: Name) -> bool:
    """Whether a table is partitioned, before and after, and no partition itself."""
    tables = [each.tables[name] for each in (way.before, way.change.after)]
    return all(each.partition_key and not each.parents for each in tables)


def _how_filled(column: Column) -> tuple[object, ...]:
    return column.identity, column.generated, column.sequence


def _virtual(way: Way, name: Name) -> list[Column]:
    """Return the virtual columns that refuse NULL and are made anew: PostgreSQL would look at all rows."""
    return [
        column
        for column in way.before.tables[name].columns
        if column.generated == "v"
        and column.not_null
        and column.name in _columns(way, name)
        and way.change.after.tables[name][column.name].generated == "v"
    ]


def _shares_type(way: Way, name: Name) -> bool:
    table = way.before.tables[name]
    return any(table[column].named_type in way.forced.types for column in _columns(way, name))


def _shares_key(way: Way, name: Name) -> bool:
    """Whether a foreign key from or to a table has to be made anew."""
    for owner, key in way.forced.parts("constraint"):
        constraint = way.before.tables[owner].constraints[key]
        if constraint.foreign_key is not None and name in {owner, constraint.foreign_key.table}:
            return True
    return False


def _are_types_left(way: Way, names: Sequence[Name]) -> bool:
    """Whether the types that are made anew have no columns but those of some tables, that keep them."""
    return all(
        table.name in names
        and (wanted := way.change.after.tables[table.name].column(column.name)) is not None
        and wanted.named_type == type_
        for type_ in way.forced.types
        for table, column in columns_of(type_, way.before)
    )


def _takes_time(way: Way, names: Sequence[Name]) -> bool:
    """Whether tables are written anew or read, or several change at once."""
    return len(names) > 1 or _is_written_anew(way, names[0]) or bool(_reread(way, names[0]))


def _is_written_anew(way: Way, name: Name) -> bool:
    before, after = way.before.tables[name], way.change.after.tables[name]
    return any(
        after[column].generated == "s"
        or way.is_rewritten(ColumnName(name, column))
        or before[column].named_type in way.forced.types
        for column in _columns(way, name)
    )


def _reread(way: Way, name: Name) -> set[str]:
    """Return the checks for which PostgreSQL would read all rows, although it writes none anew."""
    if _is_written_anew(way, name):
        return set()
    table, columns = way.before.tables[name], _columns(way, name)
    return {
        each.name
        for each in table.constraints.values()
        if each.type == "c" and each.validated and columns & {*each.columns}
    }


def _changed(way: Way, catalog: Catalog, names: Sequence[Name]) -> Catalog:
    """Return a schema in which the columns of some tables are as they should be."""
    shared = any(_shares_type(way, name) for name in names)
    types = way.forced.types if shared else set()
    after = way.change.after
    tables = {**catalog.tables, **{name: _with_columns(way, catalog.tables[name]) for name in names}}
    sequences = {
        sequence: after.sequences[sequence]
        for name in names
        for column in _columns(way, name)
        if (sequence := tables[name][column].sequence) in after.sequences and sequence is not None
    }
    changed = replace(
        catalog,
        tables=tables,
        sequences={**catalog.sequences, **sequences},
        enums={name: after.enums[name] if name in types else each for name, each in catalog.enums.items()},
        domains={
            name: after.domains[name] if name in types else each for name, each in catalog.domains.items()
        },
    )
    parts = {name: _with_parts(way, changed, table) for name, table in tables.items() if name in names}
    keys = {name: _with_keys(way, changed, parts.get(name, table), names) for name, table in tables.items()}
    return replace(changed, tables=keys)


def _with_columns(way: Way, table: Table) -> Table:
    """Return a table with its columns changed, those that are replaced as they should be."""
    wanted, moved = way.change.after.tables[table.name], _columns(way, table.name)
    replaced = way.forced.of(way.forced.parts("column"), table.name)
    virtual = {each.name for each in wanted.columns if each.generated == "v"}  # refuse NULL later (`loosen`)
    columns = [
        replace(wanted[column.name], not_null=column.name not in virtual and wanted[column.name].not_null)
        if column.name in replaced
        else _retyped(column, wanted[column.name])
        if column.name in moved
        else column
        for column in table.columns
    ]

    def is_theirs(constraint: Constraint) -> bool:
        return constraint.type == "n" and constraint.columns[0] in replaced

    table = table.with_constraints(lambda each: not is_theirs(each))
    theirs = [
        each for each in wanted.constraints.values() if is_theirs(each) and each.columns[0] not in virtual
    ]
    return replace(table.having(*theirs), columns=tuple(columns))


def _retyped(before: Column, after: Column) -> Column:
    return replace(
        before,
        type=after.type,
        named_type=after.named_type,
        collation=after.collation,
        default=before.default if before.sequence else after.default,
        words=after.words,
        storage="",
        compression="",
    )


def _with_parts(way: Way, catalog: Catalog, table: Table) -> Table:
    """Return a table with those of its checks, keys and indexes that are there after the change."""
    name, wanted = table.name, way.change.after.tables[table.name]
    standing = {part.name for column in _columns(way, name) for part in on_column(table, column)}
    shaken = way.forced.of(way.forced.parts("constraint") | way.forced.parts("index"), name) | _reread(
        way, name
    )
    outlasts = not _is_written_anew(way, name)  # what has an expression or a predicate counts as such
    # What isn't wanted any more goes with its column; PostgreSQL has no index of a virtual one.
    replaced = way.forced.of(way.forced.parts("column"), name)
    going = {part.name for column in replaced for part in on_column(table, column)}
    going -= {*wanted.constraints, *wanted.indexes}
    own: list[Constraint] = []
    for each in table.constraints.values():
        is_moved = each.name in standing and each.type not in {"n", "f"}
        # A key stays until what replaces it is there.
        stays = outlasts and each.type in {"p", "u"} and each.name not in going
        is_kept = stays or constraints.is_kept(each, wanted.constraints.get(each.name))
        if not is_moved or (each.name not in shaken and is_kept):
            own.append(each)
        elif again := _again(way, catalog, table, each):
            own.append(again)
    left: list[Index] = []
    for index in table.indexes.values():
        new = wanted.indexes.get(index.name)
        is_kept = (outlasts and index.name not in going) or indexes.is_kept(index, new)
        if index.name not in standing or (index.name not in shaken and is_kept):
            left.append(index)
        elif new and new.unique and index.unique and _has(table, wanted, new.columns):
            left.append(new)  # nothing may slip in meanwhile
    names = {*(each.name for each in own), *(each.name for each in left)}
    table = replace(table, clustered_on=table.clustered_on if table.clustered_on in names else None)
    return replace(table, constraints={}, indexes={}).having(*own, *left)


def _with_keys(way: Way, catalog: Catalog, table: Table, names: Sequence[Name]) -> Table:
    """Return a table with its foreign keys from or to others for new rows, where they are made anew."""
    own: list[Constraint] = []
    for each in table.constraints.values():
        key = each.foreign_key
        if (
            key is None
            or table.part("constraint", each.name) not in way.forced.anew
            or not {table.name, key.table} & set(names)
        ):
            own.append(each)
        elif again := _again(way, catalog, table, each):
            own.append(again)
    return replace(table, constraints={each.name: each for each in own})


def _again(way: Way, catalog: Catalog, table: Table, constraint: Constraint) -> Constraint | None:
    """Return what takes the place of a constraint in the same revision; None when it can't be made yet."""
    goal = way.change.after.tables
    wanted = goal[table.name].constraints.get(constraint.name) if table.name in goal else None
    if wanted is None or wanted.type != constraint.type or not wanted.is_local:
        return None
    if not _has(table, goal[table.name], (*wanted.columns, *wanted.include)):
        return None
    key = wanted.foreign_key
    if key is not None:
        target = catalog.tables.get(key.table)
        if target is None or target.partition_key or not _has(target, goal[key.table], key.columns):
            return None
    if wanted.type not in {"c", "f"} or not wanted.validated or wanted.is_not_enforced:
        return wanted
    return replace(wanted, definition=f"{wanted.definition} NOT VALID", validated=False, comment=None)


def _has(table: Table, wanted: Table, columns: Iterable[str]) -> bool:
    """Whether a table has some columns, with the types that they should have."""

    def kind(column: Column | None) -> object:
        return column and (column.type, column.collation)

    found = [(table.column(each), wanted.column(each)) for each in columns]
    return all(there is not None and kind(there) == kind(should) for there, should in found)


STAGES = (Stage("columns changed in place", change_in_place, ["no keys of tables that go"]),)
