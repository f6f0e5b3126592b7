"""Another type for columns of busy tables: which of them get it by second columns that take their place.

PostgreSQL would write the table anew while nobody can use it. Instead a column of the new type is kept equal
by a trigger, filled in batches, and takes over the name in a short transaction; the old one is dropped later.
A key and what refers to it do so together (`exchange`).
"""

from collections.abc import Collection, Iterator
from dataclasses import replace

from plinth.autogenerate.change import dependents
from plinth.autogenerate.change.expressions import named, tokens
from plinth.autogenerate.change.heirs import ancestors
from plinth.autogenerate.change.parts import Piece, columns_of_key, keys_on, on_column
from plinth.autogenerate.change.quoting import quoted, shown
from plinth.autogenerate.change.refusals import ALONE, refuse
from plinth.autogenerate.change.stages import Stage
from plinth.autogenerate.change.way import Way, virtual_on
from plinth.autogenerate.objects import constraints, triggers
from plinth.autogenerate.objects.columns import native_column
from plinth.autogenerate.objects.constraints import drop_constraints, has_plain_index
from plinth.autogenerate.objects.difference import forced
from plinth.autogenerate.objects.enums import goes_along, holder, places_of, rebuilt_enum
from plinth.autogenerate.objects.indexes import drop_indexes
from plinth.autogenerate.objects.others import goes_before_swaps
from plinth.autogenerate.objects.partitions import own_of_partition
from plinth.autogenerate.objects.values import has_constrained_domain
from plinth.autogenerate.online import materialized
from plinth.autogenerate.online.exchange import swap
from plinth.catalog.picture import Catalog, Column, ColumnName, Index, Name, Node, Table

_BY_HAND = {
    "s": "PostgreSQL writes the table anew to add a second stored column: let a trigger fill a plain one",
    "v": "is virtual, and comes or goes: let that be a revision of its own, which writes nothing",
}


def swaps(way: Way) -> set[ColumnName]:
    """Return the columns that get their new type so."""
    return {
        place
        for group in groups(way, _rewritten(way))
        if not _is_mixed(way, group) and not any(_own_objection(way, each) for each in group)
        for place in group
    }


def _rewritten(way: Way) -> set[ColumnName]:
    return {each for each in way.forced.retyped if way.is_rewritten(each) or rebuilt_enum(way, each)}


def groups(way: Way, places: Collection[ColumnName]) -> list[list[ColumnName]]:
    """Return columns in groups that change together: those of one primary or foreign key, and of one enum."""
    before = way.before
    ties = [columns_of_key(owner, key) for owner, key in keys_on(before, places)]
    ties += [
        {ColumnName(name, column) for column in table.primary_key.columns}
        for name, table in before.tables.items()
        if table.primary_key
    ]
    enums = {enum for place in places if (enum := rebuilt_enum(way, place))}
    ties += [places_of(enum, way.change.before) for enum in sorted(enums)]
    found: list[set[ColumnName]] = [{place} for place in places]
    for tie in ties:
        tied = [group for group in found if group & tie]
        if len(tied) > 1:
            found = [group for group in found if group not in tied] + [set[ColumnName]().union(*tied)]
    return sorted(map(sorted, found))


def _is_mixed(way: Way, group: Collection[ColumnName]) -> bool:
    """Whether columns that are tied together would take turns before the code and after it."""
    return len({rebuilt_enum(way, each) is None for each in group}) > 1


def spare(way: Way) -> None:
    """Take out of what has to be made anew what goes along with columns."""
    tables = {place.table for place in way.swapped}
    carried = {Node.part("column", name, each) for name in tables for each in way.carried(name)}
    carried |= {Node("column", place) for place in way.rebuilt}
    if carried:
        way.forced = forced(replace(way.change, before=way.before), carried)
    way.forced.anew -= {
        Node.part("constraint", owner, key.name) for owner, key in keys_on(way.before, way.swapped)
    }
    for place in way.swapped:
        table = way.before.tables[place.table]
        for part in on_column(table, place.column):
            if goes_along(way, table, part):
                way.forced.anew.discard(_node(table, part))


def _node(table: Table, part: Piece) -> Node:
    return table.part("index" if isinstance(part, Index) else "constraint", part.name)


def objection(way: Way, place: ColumnName) -> str | None:
    """Return why no second column can take the place of a column; None when it can."""
    own = _own_objection(way, place)
    if own is not None:
        return own
    for group in groups(way, _rewritten(way)):
        if place in group and _is_mixed(way, group):
            return "of the columns of one key some get another type, and others an enum without a value"
        for other in group if place in group else []:
            theirs = _own_objection(way, other)
            if theirs is not None:
                name = f"{shown(other.table, way.change.after)}.{other.column}"
                return f"{name} would have to change together with it, and there {theirs}"
    return None


def _own_objection(way: Way, place: ColumnName) -> str | None:
    found = (
        *_objections_of_table(way, place),
        *_objections_of_column(way, place),
        *_objections_of_keys(way, place),
        *_in_the_way(way, place),
    )
    return next(iter(found), None)


def _objections_of_table(way: Way, place: ColumnName) -> Iterator[str]:
    name = place.table
    if way.has_relatives(name):
        yield from _objections_of_relatives(way, place)
    for catalog in (way.before, way.change.after):
        for each in triggers.own_triggers(catalog, {name}):
            is_there = catalog is way.before or rebuilt_enum(way, place)  # an enum goes after all else
            if is_there and not goes_before_swaps(way, each):
                yield from triggers.objections(catalog, each)
    for each in way.before.others.values():
        if each.kind == "rule" and each.table == name:
            yield f"rule {each.name} would hold for what fills the new column, too"


def _objections_of_relatives(way: Way, place: ColumnName) -> Iterator[str]:
    """Yield what keeps a table's partitions from taking over what comes on its second column."""
    name, column = place
    for catalog in (way.before, way.change.after):
        table = catalog.tables[name]
        if table.parents or not table.partition_key:
            yield "the table inherits, or is inherited from, and each heir needs a trigger of its own"
            return
        if _partitioned_by(catalog, place):
            yield "the table, or a partition of it, is partitioned by it"
        for each in catalog.tables.values():
            if name in ancestors(each.name, catalog):
                yield from _objections_of_partition(catalog, each, table, column)


def _objections_of_partition(catalog: Catalog, part: Table, whole: Table, column: str) -> Iterator[str]:
    """Yield what a partition has on a column that isn't the whole table's."""
    its, name, parent = part[column], shown(part.name, catalog), catalog.tables[part.parents[0]]
    if its.default not in {None, whole[column].default}:
        yield f"partition {name} has a default of its own"
    if its.comment or its.has_privileges:
        yield f"partition {name} has a comment or privileges on it"
    own = own_of_partition(part, parent)
    found = [each.name for each in on_column(own, column)]
    found += [key.name for _, key in keys_on(catalog, {ColumnName(part.name, column)}) if key.is_local]
    found += [each.name for each in triggers.own_triggers(catalog, {part.name})]
    standing = dependents.standing_on(catalog, {part.part("column", column)})
    for each in (*found, *(other.name for other in standing)):
        yield f"{each} stands on it in partition {name} alone"


def _objections_of_column(way: Way, place: ColumnName) -> Iterator[str]:
    before, after = (each.tables[place.table] for each in (way.before, way.change.after))
    old, new = before[place.column], after[place.column]
    rebuilt = rebuilt_enum(way, place)
    if way.forced.types & {old.named_type, new.named_type} - {rebuilt}:
        yield "its type is made anew"
    if rebuilt and (holds := holder(way, rebuilt)):
        yield f"its type is made anew, and {holds}"
    if _is_special(old) or _is_special(new):
        yield "it is generated, or has storage settings"
    if (bool(old.identity), old.sequence) != (bool(new.identity), new.sequence):
        yield f"its sequence, or what fills it, changes as well: {ALONE}"
    said, backfill = way.change.usings.get(place), way.change.backfills.get(place)
    words = " ".join(filter(None, (backfill, *((said.up, said.back) if said else ()))))
    for each in (*before.columns, *after.columns):
        if each.generated and each.name in named(words):
            yield f"what is said of it names {each.name}, which is generated, and no trigger sees its value"
    if native_column(new, after, way.change.after) is None:
        yield "SQLAlchemy has no name for its new type"
    if has_constrained_domain(way.change, new):
        yield "its new type is a domain with constraints, and no column of such a type is added without that"
    domain = way.before.domain_of(old)
    if domain and domain.default is None and way.before.refuses_null(domain):
        yield "its type is a domain that refuses NULL, and nothing gives the old column values any more"


def _objections_of_keys(way: Way, place: ColumnName) -> Iterator[str]:
    """Yield why the primary key and the foreign keys of a column can't be made on a second one."""
    before, after = way.before, way.change.after
    key = before.tables[place.table].primary_key
    if key is not None and place.column in key.columns:
        if not constraints.is_kept(key, after.tables[place.table].constraints.get(key.name)):
            yield f"the primary key changes as well: {ALONE}"
        if key.deferrable:
            yield "the primary key is deferrable, and an index built beforehand isn't"
    for owner, each in keys_on(before, {place}):
        if owner not in after.tables:
            continue
        table = f"the foreign key {each.name} of {shown(owner, after)}"
        if not constraints.is_kept(each, after.tables[owner].constraints.get(each.name)):
            yield f"{table} changes as well: {ALONE}"
        elif not constraints.is_native(each):
            yield f"{table} isn't one that could be made on a second column"
        elif "d" in {each.reference.on_update, each.reference.on_delete}:
            yield f"{table} sets a default, which two columns would have to agree on"
        elif any(_inherits(way, other) for other in (owner, each.reference.table)):
            yield f"{table} belongs or refers to a table that inherits, or is inherited from"


def _inherits(way: Way, name: Name) -> bool:
    """Whether a table inherits, or is inherited from, or is a partition."""
    tables = [each.tables[name] for each in (way.before, way.change.after)]
    return way.has_relatives(name) and any(each.parents or not each.partition_key for each in tables)


def _in_the_way(way: Way, place: ColumnName) -> Iterator[str]:
    """Yield what stands on a column and can't be made on a second one."""
    tables = [each.tables[place.table] for each in (way.before, way.change.after)]
    virtual = virtual_on(tables[0], tables[1], {place.column})
    for column in (column for table in tables for column in table.columns):
        if place.column in column.uses and column.name not in virtual:
            yield f"{column.name} is generated from it, and {_BY_HAND[column.generated]}"
    for name in sorted(virtual):
        yield from _objections_of_virtual(way, place.table, name)
    if "forced" in tables[0].row_security:
        yield "its policies hold for its owner too, who might not see all rows to fill"
    gone = {each.node for each in way.before.others.values() if goes_before_swaps(way, each)}
    yield from dependents.objections(way, place, gone)
    for catalog in (way.before, way.change.after):
        standing = dependents.standing_on(catalog, dependents.nodes_of(catalog, place))
        yield from materialized.objections(catalog, standing)
    on_virtual = {part.name for table in tables for name in virtual for part in on_column(table, name)}
    for part in (part for table in tables for part in on_column(table, place.column)):
        is_key = not isinstance(part, Index) and part.type == "f"
        if not is_key and part.name not in on_virtual and not _can_be_moved(way, place, part):
            yield f"{part.name} stands on it"


def _objections_of_virtual(way: Way, name: Name, column: str) -> Iterator[str]:
    """Yield why a column that is generated from another one can't be made anew with it in a moment."""
    for catalog in (way.before, way.change.after):
        table = catalog.tables[name]
        own, node = table[column], table.part("column", column)
        if own.has_privileges or own.published_by:
            yield f"{column} is generated from it, and has privileges, or a publication names it"
        for each in dependents.standing_on(catalog, {node}):
            if each.kind == "materialized view":
                yield f"{column} is generated from it, and {each.kind} {each.name} stands on that"
        for part in catalog.tables.values():
            if name in ancestors(part.name, catalog):
                yield from _objections_of_partition(catalog, part, table, column)


def _is_special(column: Column) -> bool:
    settings = column.storage or column.compression or column.statistics or column.options
    return bool(column.generated or settings)


def _can_be_moved(way: Way, place: ColumnName, part: Piece) -> bool:
    """Whether it can be made on a second column."""
    table = way.before.tables[place.table]
    if _node(table, part) in way.forced.anew and not goes_along(way, table, part):
        return False
    if isinstance(part, Index):
        return part.valid
    is_known = part.type == "c" or (part.type in {"u", "p"} and has_plain_index(part))
    return is_known and part.is_local


def refuse_rewrites(way: Way) -> None:
    """Return if no column changes its type in a way that writes the table anew, or if that is accepted.

    Raises:
        Refusal: one does.
    """
    for table, name in sorted(way.forced.retyped - way.swapped):
        before, after = way.before.tables[table][name], way.change.after.tables[table][name]
        place = f"{shown(table, way.change.after)}.{name}"
        rebuilt = before.is_local and rebuilt_enum(way, ColumnName(table, name))
        if not rebuilt and not way.is_rewritten(ColumnName(table, name)):
            continue
        parted = _partitioned_by(way.before, ColumnName(table, name))
        if parted:
            what = "its table" if parted == table else f"partition {shown(parted, way.before)}"
            refuse(
                "partitioning",
                f"Column {place} gets another type, and {what} is partitioned by it: PostgreSQL changes "
                "no such column. By hand: make a second table with partitions, fill it, and let it take the "
                "name.",
            )
            continue
        if place in way.change.rewrites or f"{table}.{name}" in way.change.rewrites:
            continue
        reason = objection(way, ColumnName(table, name))
        what = f"to {after.type} made anew" if rebuilt else f"from {before.type} to {after.type}"
        refuse(
            "rewrite",
            f"The change of column {place} {what} writes the table anew "
            f"while nobody can use it; there is no online form, for {reason}. On a busy database this is "
            "done by hand: add a column of the new type, keep it equal by a trigger, fill it in batches, "
            "build its indexes concurrently, and swap the two in a short transaction. If the rewrite is "
            "acceptable:",
            f"rewrite={place}",
        )


def _partitioned_by(catalog: Catalog, place: ColumnName) -> Name | None:
    """Return the table, itself or a partition of it, that is partitioned by a column."""
    return next(
        (
            each.name
            for each in catalog.tables.values()
            if quoted(place.column) in tokens(each.partition_key or "")
            and place.table in (each.name, *ancestors(each.name, catalog))
        ),
        None,
    )


def refuse_virtual(way: Way) -> None:
    """Return if no virtual column that goes, and stays until then, stands on one that gets a type of its own.

    PostgreSQL generates none from such a type (documentation, generated columns).

    Raises:
        Refusal: one does.
    """
    for table, name in sorted(way.forced.retyped - way.swapped):
        before, after = way.before.tables[table], way.change.after.tables[table]
        if after[name].named_type is None:
            continue
        for column in before.columns:
            if column.generated == "v" and name in column.uses and after.column(column.name) is None:
                refuse(
                    "dependent",
                    f"The generated column {shown(table, way.change.after)}.{column.name} goes after the "
                    f"code, and stands until then on {name}, whose new type no virtual column can be "
                    f"generated from. Drop {column.name} first, in a revision of its own.",
                )


def _swap_early(way: Way) -> None:
    for group in groups(way, way.swapped):
        if rebuilt_enum(way, group[0]) is None:
            swap(way, group)


def _swap_late(way: Way) -> None:
    """Exchange columns whose enums lose values: running code may still use these."""
    for group in groups(way, way.swapped):
        if rebuilt_enum(way, group[0]):
            swap(way, group)
            for name in sorted({column.table for column in group}):
                drop_constraints(way, name)
                drop_indexes(way, name)


STAGES = (
    Stage("exchanged columns", _swap_early, ["columns", "no triggers that go"]),
    Stage("late exchanged columns", _swap_late, ["no views that go"], is_after=True),
)
