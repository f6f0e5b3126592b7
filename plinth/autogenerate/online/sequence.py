"""From one change to a sequence of transactions that a busy database doesn't feel.

Each part of it is either one transaction with strong locks on one standing table, or happens outside of any.
The way between two of them is found as that between any two schemas (`difference`), unless it has an online
form: then it is written here.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from plinth.autogenerate.objects import constraints, indexes
from plinth.autogenerate.objects.columns import default_sql
from plinth.autogenerate.objects.difference import forced
from plinth.autogenerate.objects.enums import is_extended, mentioned_values
from plinth.autogenerate.objects.heirs import (
    ancestors,
    is_column_inherited,
    is_constraint_inherited,
    with_heirs,
)
from plinth.autogenerate.objects.order import mentioned
from plinth.autogenerate.objects.others import is_replaced
from plinth.autogenerate.objects.quoting import quoted, shown
from plinth.autogenerate.objects.refusals import Refusal, refuse
from plinth.autogenerate.objects.steps import AutocommitOp, Change
from plinth.autogenerate.objects.tables import as_they_change, in_order, stands_firm
from plinth.autogenerate.online.backfills import Fill, backfill_op
from plinth.autogenerate.online.checks import (
    add_not_valid,
    loosen,
    not_null_check,
    nullable_op,
    validate,
    with_not_null,
)
from plinth.autogenerate.online.domain_checks import add_checks, new_domains
from plinth.autogenerate.online.exchange import swap
from plinth.autogenerate.online.in_place import change_in_place
from plinth.autogenerate.online.kept_names import (
    drop_old_names,
    is_kept_with,
    keep_names,
    old_columns,
    refuse_unkept,
)
from plinth.autogenerate.online.new_enums import rebuilt_enum
from plinth.autogenerate.online.numbers import as_serial, is_numbered, let_number, make_identity
from plinth.autogenerate.online.parts import (
    add_checked,
    add_index,
    add_key,
    drop_constraint,
    drop_index,
    has_plain_index,
    replace_index,
    replace_key,
)
from plinth.autogenerate.online.swaps import goes_before_swaps, groups, objection, spare, swaps
from plinth.autogenerate.online.way import Part, Way, between
from plinth.catalog.picture import Catalog, Column, ColumnName, Constraint, Name, Node, Table

_VIEWS = {"view", "materialized view"}


def extended_enums(change: Change) -> Catalog | None:
    """Return the schema in which enums have their new values, where these are used at once."""
    extended = {
        name: enum
        for name, enum in change.after.enums.items()
        if (old := change.before.enums.get(name))
        and old.values != enum.values
        and is_extended(old, enum)
        and (set(enum.values) - set(old.values)) & mentioned_values(enum, change)
    }
    return replace(change.before, enums={**change.before.enums, **extended}) if extended else None


def ask(change: Change) -> None:
    """Return if a change has online forms, or what has none is accepted.

    Raises:
        Refusal: a word of the author's is missing, and refusals aren't collected.
    """
    _begun(change)


def _begun(change: Change) -> Way:
    way = Way(change, forced(change), change.before, change.before)
    way.swapped |= swaps(way)
    _refuse_rewrites(way)
    _refuse_virtual(way)
    refuse_unkept(way)
    spare(way)
    return way


def add_values(way: Way, extended: Catalog) -> None:
    """Go on by enums' new values, which can be used after a commit only."""
    whole = between(way.change, way.at, extended)
    way.step(extended, Part([AutocommitOp(whole.up)], whole.down))


def sequence(change: Change) -> list[Part]:
    """Return the transactions that lead from what is there to what should be there, in order.

    Raises:
        Refusal: a word of the author's is missing.
    """
    way = _begun(change)
    extended = extended_enums(change)
    if extended:
        add_values(way, extended)
    kept = [name for name in sorted(change.before.tables) if name in change.after.tables]
    standing = sorted(as_they_change(kept, change), key=lambda name: len(ancestors(name, change.after)))
    way.go(_beside(way))
    _drop_keys_of_gone(way)
    change_in_place(way)
    spare(way)
    keep_names(way)
    split = [name for name in standing if _is_split(way, name)]
    filled = {ColumnName(name, column.name) for name in split for column in _new_and_filled(way, name)}
    way.change = replace(way.change, filled_later=filled)
    _drop_keys_to_unlogged(way, split)
    for name in split:
        way.go(_eased(way, name), through=_without_defaults(way, name))
        let_number(way, name)
    _drop_triggers(way)
    # Running code may still use a value that goes.
    together = groups(way, way.swapped)
    late = [group for group in together if rebuilt_enum(way, group[0])]
    for group in together:
        if group not in late:
            swap(way, group)
    for name in split:
        _drop_keys(way, name)
    for name in split:
        _drop_parts(way, name)
    _change_what_is_called(way)
    for name in split:
        _fill(way, name)
        _require(way, name)
        make_identity(way, name)
        _add_parts(way, name)
        _choose_index(way, name)
        _loosen_columns(way, name)
    for name in split:
        _add_foreign_keys(way, name)
    for name in sorted(way.at.tables.keys() & change.after.tables.keys() - change.before.tables.keys()):
        _add_foreign_keys(way, name, split)  # those that waited for what they refer to
    add_checks(way)
    _change_unsplit(way, split, {rebuilt_enum(way, group[0]) for group in late})
    way.is_after = True
    _drop_views(way)
    for group in late:
        swap(way, group)
        for name in sorted({column.table for column in group}):
            _drop_parts(way, name)
    drop_old_names(way)
    _drop_columns(way, split)
    _drop_tables(way)
    way.go(change.after)
    return way.parts


def _refuse_rewrites(way: Way) -> None:
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
        if place in way.change.rewrites or f"{table}.{name}" in way.change.rewrites:
            continue
        reason = objection(way, ColumnName(table, name))
        what = f"to {after.type} made anew" if rebuilt else f"from {before.type} to {after.type}"
        refuse(
            Refusal(
                "rewrite",
                f"The change of column {place} {what} writes the table anew "
                f"while nobody can use it; there is no online form, for {reason}. On a busy database this is "
                "done by hand: add a column of the new type, keep it equal by a trigger, fill it in batches, "
                "build its indexes concurrently, and swap the two in a short transaction. If the rewrite is "
                "acceptable:",
                f"rewrite={place}",
            )
        )


def _refuse_virtual(way: Way) -> None:
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
                    Refusal(
                        "dependent",
                        f"The generated column {shown(table, way.change.after)}.{column.name} goes after the "
                        f"code, and stands until then on {name}, whose new type no virtual column can be "
                        f"generated from. Drop {column.name} first, in a revision of its own.",
                    )
                )


def _is_split(way: Way, name: Name) -> bool:
    """Whether a table's changes have online forms; what begins or ceases to inherit changes in one go."""
    line = [each for each in ancestors(name, way.change.after) if each in way.before.tables]
    return _is_touched(way, name) and not any(_is_whole(way, each) for each in (name, *line))


def _is_touched(way: Way, name: Name) -> bool:
    forced = way.forced.of(way.forced.parts("constraint") | way.swapped, name)
    return bool(forced) or way.before.tables[name] != way.change.after.tables[name]


def _is_whole(way: Way, name: Name) -> bool:
    """Whether a table changes in one go, together with what inherits from it."""
    before, after = way.before.tables[name], way.change.after.tables[name]
    shaken = way.forced.of(way.forced.parts("column") | way.forced.retyped - way.swapped, name)  # and tied
    is_same = (before.partition_key, before.parents) == (after.partition_key, after.parents)
    return bool(shaken) or not is_same


def _beside(way: Way) -> Catalog:
    """Return the schema with all that is new and touches no standing table; nothing is dropped yet."""
    before, after = way.at, way.change.after
    enums = {
        name: enum
        for name, enum in after.enums.items()
        if name not in before.enums or is_extended(before.enums[name], enum)
    }
    tables = {
        name: _without_late_keys(way, table)
        for name, table in after.tables.items()
        if name not in before.tables
    }
    domains = new_domains(way)
    others = {key: each for key, each in after.others.items() if key not in before.others}
    late = _late(way, replace(after, tables=tables, domains=domains, others=others))
    tables = {name: table for name, table in tables.items() if not _body(table) & late}
    tables = {name: _with_keys_to(table, {*before.tables, *tables}) for name, table in tables.items()}
    sequences = {
        name: each
        for name, each in after.sequences.items()
        if name not in before.sequences and (each.owner is None or each.owner.table in tables)
    }
    return replace(
        before,
        schemas={**before.schemas, **{k: v for k, v in after.schemas.items() if k not in before.schemas}},
        enums={**before.enums, **enums},
        domains={**before.domains, **{k: v for k, v in domains.items() if not v.nodes & late}},
        sequences={**before.sequences, **sequences},
        tables={**before.tables, **tables},
        others={**before.others, **{k: v for k, v in others.items() if v.node not in late}},
    )


def _late(way: Way, new: Catalog) -> set[Node]:
    """Return what of a new schema has to wait: for standing tables, for what changes, and for each other."""
    before, after = way.at, way.change.after
    standing = [
        catalog.tables[name] for catalog in (before, after) for name in before.tables.keys() & catalog.tables
    ]
    late = set[Node]().union(*(table.nodes for table in standing))
    late |= {
        other.node
        for key, other in before.others.items()
        if after.others.get(key, other).definition != other.definition
    }
    late |= way.forced.anew
    while more := {node for node in new.nodes - late if (new.needs(node) | mentioned(node, new)) & late}:
        late |= more
    return late


def _body(table: Table) -> frozenset[Node]:
    """Return a table and what is made together with it."""
    keys = (table.part("constraint", each.name) for each in table.constraints.values() if each.type == "f")
    return table.nodes.difference(keys)


def _with_keys_to(table: Table, targets: Collection[Name]) -> Table:
    """Return a table with its foreign keys to some tables alone."""
    constraints = {
        name: each
        for name, each in table.constraints.items()
        if each.foreign_key is None or each.foreign_key.table in targets
    }
    return replace(table, constraints=constraints)


def _without_late_keys(way: Way, table: Table) -> Table:
    """Return a new table without its foreign keys to what standing tables haven't got yet."""
    return replace(
        table,
        constraints={
            each.name: each
            for each in table.constraints.values()
            if each.type != "f" or stands_firm(each, way.change.after, way.before)
        },
    )


def _drop_keys_of_gone(way: Way) -> None:
    """Drop what refers, in tables that go, to something that doesn't stay as it is until then."""
    for name in sorted(way.before.tables.keys() - way.change.after.tables.keys()):
        for each in list(way.at.tables[name].constraints.values()):
            if each.type == "f" and not stands_firm(each, way.before, way.change.after):
                drop_constraint(way, name, each)


# A table with all changes that need no more than a short look at the catalog


def _eased(way: Way, name: Name) -> Catalog:
    before, after = way.before.tables[name], way.change.after.tables[name]
    columns = [_eased_column(way, name, before, column) for column in after.columns]
    kept = [column for column in before.columns if after.column(column.name) is None]
    to_come = _indexes_to_come(before, after)
    gone = before.constraints.keys() - way.at.tables[name].constraints.keys()  # `_drop_keys_to_unlogged`
    standing = {key: each for key, each in before.constraints.items() if key not in gone}
    identities = {f"USING INDEX {quoted(each)}" for each in to_come}
    table = replace(
        after,
        columns=(*columns, *kept),
        constraints=_with_names_of_not_null(
            replace(before, constraints=standing), after, {column.name: column for column in columns}
        ),
        indexes=before.indexes,
        clustered_on=None if after.clustered_on in to_come else after.clustered_on,
        replica_identity="" if after.replica_identity in identities else after.replica_identity,
    )
    dropped = {column.name for column in kept}
    own = {
        key
        for key, each in way.at.sequences.items()
        if each.owner and each.owner.table == name and each.owner.column not in dropped
    }
    sequences = {key: each for key, each in way.at.sequences.items() if key not in own}
    for key, each in way.change.after.sequences.items():
        if each.owner and each.owner.table == name:
            is_late = each.is_identity and each.owner in way.swapped
            is_new = each.is_identity and is_numbered(way.change, name, after[each.owner.column])
            sequences[key] = (
                way.at.sequences[key]
                if is_late
                else replace(each, is_identity=not is_new and each.is_identity)
            )
        elif key in own and not each.is_identity:  # it goes on where it stands, though it isn't the column's
            sequences[key] = replace(each, owner=None)
    return replace(way.with_table(table), sequences=sequences)


def _indexes_to_come(before: Table, after: Table) -> set[str]:
    """Return the names of indexes, those of constraints included, that aren't there yet, or are made anew."""
    new = {
        each.name
        for each in after.constraints.values()
        if not constraints.is_kept(each, before.constraints.get(each.name))
    }
    kept = before.indexes
    return new | {
        each.name for each in after.indexes.values() if not indexes.is_kept(each, kept.get(each.name))
    }


def _with_names_of_not_null(before: Table, after: Table, columns: dict[str, Column]) -> dict[str, Constraint]:
    """Return the constraints that stand, with those of NOT NULL that columns have by now."""
    standing = {each.name: each for each in before.constraints.values() if each.type != "n"}
    for table in (before, after):
        for each in table.constraints.values():
            column = columns.get(each.columns[0]) if each.columns else None
            gone = each.type == "n" and each.columns[0] not in columns
            if each.type == "n" and (gone or (column is not None and column.not_null)):
                standing[each.name] = each
    return standing


def _eased_column(way: Way, table: Name, standing: Table, after: Column) -> Column:
    before = standing.column(after.name)
    handed_on = way.at.tables[table].column(after.name)
    if before is None and handed_on and is_column_inherited(way.change, table, after, way.change.after):
        return handed_on
    if before is not None and ColumnName(table, after.name) in way.swapped:
        return before
    if before is not None:
        # NULL allowed or refused: in revisions of their own, for the way back has to look at all rows.
        return replace(after, not_null=before.not_null)
    if is_filled(way.change, table, after):
        return replace(as_serial(after, way.change.after), not_null=False)
    return after


def _without_defaults(way: Way, name: Name) -> Catalog | None:
    """Return the eased schema before columns that are filled get defaults: one set later is for new rows."""
    eased = _eased(way, name)
    before, table = way.before.tables[name], eased.tables[name]

    def is_late(column: Column) -> bool:
        wanted = way.change.after.tables[name].column(column.name)
        if wanted is None or before.column(column.name) is not None or column.default is None:
            return False
        if ColumnName(name, column.name) in way.change.kept_names:  # it has its default already
            return False
        if is_column_inherited(way.change, name, wanted, way.change.after):
            return False
        return is_filled(way.change, name, wanted)

    if not any(map(is_late, table.columns)):
        return None
    columns = tuple(replace(column, default=None) if is_late(column) else column for column in table.columns)
    return with_heirs(eased, replace(table, columns=columns))


def is_filled(change: Change, table: Name, column: Column) -> bool:
    """Whether a new column gets its values row by row: from a backfill, or a default that differs each time.

    One that PostgreSQL computes once, for all rows that are there, writes nothing anew (ALTER TABLE, notes).
    """
    if column.generated:
        return False
    if column.identity or column.sequence:
        return is_numbered(change, table, column)
    if ColumnName(table, column.name) in change.backfills:
        return True
    return column.has_volatile_default


# What goes: first what others stand on


def _drop_triggers(way: Way) -> None:
    """Drop triggers that go before columns are filled: what they do to rows is wanted no more."""
    for name in sorted({place.table for place in way.swapped}):
        others = {
            key: each
            for key, each in way.at.others.items()
            if not goes_before_swaps(way, each) or each.table != name
        }
        way.go(replace(way.at, others=others))


def _drop_keys_to_unlogged(way: Way, split: Sequence[Name]) -> None:
    """Drop foreign keys that go before what they refer to becomes unlogged, which needs them gone."""
    before, after = way.before.tables, way.change.after.tables
    for name in split:
        for key in list(way.at.tables[name].constraints.values()):
            pair = (
                [catalog.get(key.foreign_key.table) for catalog in (before, after)] if key.foreign_key else []
            )
            if len({each.persistence for each in pair if each}) > 1 and _goes(way, name, key):
                drop_constraint(way, name, key)


def _drop_keys(way: Way, name: Name) -> None:
    for constraint in list(way.at.tables[name].constraints.values()):
        if (
            constraint.type == "f"
            and _goes(way, name, constraint)
            and not _goes_with_table(way, name, constraint)
        ):
            drop_constraint(way, name, constraint)


def _goes_with_table(way: Way, name: Name, key: Constraint) -> bool:
    """Whether a foreign key goes in the revision that drops the table to which it refers.

    The way back then is one transaction: rows that refer to rows which are gone undo all of it.
    """
    wanted = way.change.after.tables
    return key.reference.table not in wanted and all(wanted[name].column(each) for each in key.columns)


def _drop_parts(way: Way, name: Name) -> None:
    table = way.at.tables[name]
    for constraint in sorted(table.constraints.values(), key=lambda each: each.type):
        is_replaced = _successor(way, name, constraint) is not None
        if constraint.type in {"c", "u", "p", "x"} and _goes(way, name, constraint) and not is_replaced:
            drop_constraint(way, name, constraint)
    forced_indexes = way.forced.of(way.forced.parts("index"), name)
    wanted = way.change.after.tables[name].indexes
    for index in table.indexes.values():
        if is_kept_with(way, name, index):
            continue
        if index.name in forced_indexes or index.name not in wanted:
            drop_index(way, name, index)


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


def _loosen_columns(way: Way, name: Name) -> None:
    """Let columns be NULL that may be, or that go, when no key has them any more."""
    for column in way.change.after.tables[name].columns:
        old = way.at.tables[name].column(column.name)
        was = way.before.tables[name].column(column.name)
        if old and was and old.not_null and not column.not_null:
            loosen(way, name, column)
    kept = way.change.after.tables[name]
    for column in way.before.tables[name].columns:
        old = way.at.tables[name].column(column.name)
        stays = column.name in old_columns(way, name)
        if old and old.is_required and kept.column(column.name) is None and not stays:
            loosen(way, name, old)  # code that doesn't know it any more inserts rows without it


def _change_what_is_called(way: Way) -> None:
    """Make functions anew for whose sake constraints and indexes are gone, before these come back."""
    tables, forced = way.before.tables, way.forced
    needs = [tables[table].constraints[name].needs for table, name in forced.parts("constraint")]
    needs += [tables[table].indexes[name].needs for table, name in forced.parts("index")]
    called = frozenset[Node]().union(*needs)
    there = way.at.nodes | {Node("type", name) for name in way.at.enums}
    changed = {}
    for key, old in way.at.others.items():
        new = way.change.after.others.get(key)
        if old.node in called and new and is_replaced(old, new, way.change) and new.needs <= there:
            changed[key] = new
    way.go(replace(way.at, others={**way.at.others, **changed}))


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


# What comes


def _is_handed_on(way: Way, name: Name, constraint: Constraint) -> bool:
    """Whether a constraint comes with that of a table which is inherited from."""
    return is_constraint_inherited(way.change, name, constraint, way.change.after)


def _fill(way: Way, name: Name) -> None:
    """Give rows their values, batch by batch."""
    for column in _new_and_filled(way, name):
        if not column.not_null:
            _fill_column(way, name, column.name, str(_value(way, name, column)))
    for column in _becoming_required(way, name):
        old = way.before.tables[name].column(column.name)
        value = _value(way, name, column)
        if value is None or (old is not None and column.generated):
            continue
        _fill_column(way, name, column.name, value)


def _value(way: Way, name: Name, column: Column) -> str | None:
    """Return what gives rows their values in a column; one of identity numbers them whatever else is said."""
    default = default_sql(as_serial(column, way.change.after))
    return default if column.identity else way.change.backfills.get(ColumnName(name, column.name), default)


def _fill_column(way: Way, name: Name, column: str, value: str) -> None:
    way.step(
        way.at, Part([AutocommitOp([backfill_op(way.at.tables[name], Fill(column, value), way.at)])], [])
    )


def _new_and_filled(way: Way, name: Name) -> list[Column]:
    before = way.before.tables[name]
    return [
        column
        for column in way.change.after.tables[name].columns
        if before.column(column.name) is None
        and is_filled(way.change, name, column)
        and not is_column_inherited(way.change, name, column, way.change.after)
    ]


def _becoming_required(way: Way, name: Name) -> list[Column]:
    table = way.at.tables[name]
    return [
        column
        for column in way.change.after.tables[name].columns
        if column.not_null and (old := table.column(column.name)) and not old.not_null
    ]


def _require(way: Way, name: Name) -> None:
    for column in _becoming_required(way, name):
        table = way.at.tables[name]
        check = not_null_check(table, column)
        add_not_valid(way, name, check, goes=True)
        place = ColumnName(name, column.name)
        value = way.change.backfills.get(place)
        # For rows that came between the first time and the check; a kept name's trigger fills them.
        if value is not None and not column.identity and place not in way.change.kept_names:
            _fill_column(way, name, column.name, value)
        validate(way, name, check)
        to = with_not_null(way, name, column.name, True)
        table = to.tables[name]
        left = {each.name: each for each in table.constraints.values() if each.name != check.name}
        to = with_heirs(to, replace(table, constraints=left))
        up = [
            nullable_op(table, column, to, False),
            *constraints.not_null_name_ops(table, column.name, to),
            constraints.drop_op(check, table, to),
        ]
        way.step(to, Part(up, [nullable_op(table, column, to, True)]))


def _add_parts(way: Way, name: Name) -> None:
    wanted = way.change.after.tables[name]
    for index in wanted.indexes.values():
        old = way.at.tables[name].indexes.get(index.name)
        if old is None:
            add_index(way, name, index)
        elif not indexes.is_kept(old, index):
            replace_index(way, name, old, index)
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
            table = way.at.tables[name]
            constrained = replace(table, constraints={**table.constraints, constraint.name: constraint})
            way.go(way.with_table(constrained))


def _choose_index(way: Way, name: Name) -> None:
    """Say by which index rows are told apart or ordered, where it had to be built first."""
    wanted = way.change.after.tables[name]
    chosen = replace(
        way.at.tables[name],
        clustered_on=wanted.clustered_on,
        replica_identity=wanted.replica_identity,
    )
    way.go(way.with_table(chosen))


def _add_foreign_keys(way: Way, name: Name, targets: Sequence[Name] | None = None) -> None:
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


def _change_unsplit(way: Way, split: Sequence[Name], late: Collection[Name | None]) -> None:
    """Make what is left as it should be, in one transaction, but for some enums, and drop nothing yet."""
    after, at = way.change.after, way.at
    gone = {name: table for name, table in at.tables.items() if name not in after.tables}
    tables = {name: _with_what_goes(at.tables.get(name), table) for name, table in after.tables.items()}
    tables |= {**gone, **{name: at.tables[name] for name in split}}
    columns = {ColumnName(name, column.name) for name, table in tables.items() for column in table.columns}
    rest = {name: each for name, each in at.sequences.items() if name not in after.sequences}
    owned = {name: each for name, each in rest.items() if each.owner is None or each.owner in columns}
    taken = {name for _, name in after.others} | {_full_name(name) for name in after.tables}
    others = {
        key: each
        for key, each in at.others.items()
        if key not in after.others
        and (each.table in gone or (each.kind in _VIEWS and each.name not in taken))
    }
    enums = {name: each for name, each in at.enums.items() if name not in after.enums or name in late}
    to = replace(
        after,
        schemas={**at.schemas, **after.schemas},
        tables=tables,
        sequences={**owned, **after.sequences},
        enums={**after.enums, **enums},
        domains={**{k: v for k, v in at.domains.items() if k not in after.domains}, **after.domains},
        others={**others, **after.others},
    )
    way.go(_with_what_is_needed(way.at, to))


def _with_what_goes(before: Table | None, after: Table) -> Table:
    """Return a table with the columns that go later; none of them is required meanwhile."""
    gone = [column for column in before.columns if after.column(column.name) is None] if before else []
    kept = [replace(column, not_null=column.not_null and not column.is_required) for column in gone]
    not_null = {column.name for column in kept if column.not_null}
    named = {
        name: each
        for name, each in (before.constraints.items() if before else ())
        if each.type == "n" and not_null.issuperset(each.columns)
    }
    return replace(after, columns=(*after.columns, *kept), constraints={**named, **after.constraints})


def _full_name(name: Name) -> str:
    return f"{quoted(name.schema)}.{quoted(name.name)}"


def _with_what_is_needed(at: Catalog, to: Catalog) -> Catalog:
    """Return a schema with those views and functions of another that something in it still stands on."""
    others = dict(to.others)

    def needs(node: Node) -> Collection[Node]:
        called = mentioned(node, at) if (node.kind, node.name) not in to.others else ()  # it goes later
        return {*to.needs(node), *at.needs(node), *called}

    while (
        more := {
            (node.kind, node.name)
            for each in replace(to, others=others).nodes
            for node in needs(each)
            if isinstance(node.name, str) and (node.kind, node.name) not in others
        }
        & at.others.keys()
    ):
        others = {**{key: at.others[key] for key in more}, **others}
    return replace(to, others=others)


def _drop_views(way: Way) -> None:
    """Drop views, and functions that only they needed, before what these stand on."""
    at, wanted = way.at, way.change.after.others
    kept = {key: each for key, each in at.others.items() if key in wanted or each.table in at.tables}
    way.go(_with_what_is_needed(at, replace(at, others=kept)))


def _drop_columns(way: Way, split: Sequence[Name]) -> None:
    """Drop columns, in a transaction for each table: these wait until no code that runs uses them."""
    for name in split:
        table = way.at.tables[name]
        wanted = way.change.after.tables[name]
        names = {column.name for column in table.columns if wanted.column(column.name) is None}
        if not names:
            continue
        left = replace(
            table,
            columns=tuple(column for column in table.columns if column.name not in names),
            constraints={
                each.name: each
                for each in table.constraints.values()
                if each.type != "n" or each.columns[0] not in names
            },
        )
        to = way.with_table(left)
        kept = {
            key: each
            for key, each in to.sequences.items()
            if not (each.owner and each.owner.table == name and each.owner.column in names)
        }
        way.go(replace(to, sequences=kept))


def _drop_tables(way: Way) -> None:
    """Drop tables, one by one; what refers to them goes first."""
    gone = [name for name in way.at.tables if name not in way.change.after.tables]
    for name in reversed(in_order(gone, way.at)):
        tables = {
            other: replace(
                table,
                constraints={
                    each.name: each
                    for each in table.constraints.values()
                    if each.foreign_key is None or each.foreign_key.table != name
                },
            )
            for other, table in way.at.tables.items()
            if other != name
        }
        kept = {
            key: each for key, each in way.at.sequences.items() if not each.owner or each.owner.table != name
        }
        others = {key: each for key, each in way.at.others.items() if each.table != name}
        to = replace(way.at, tables=tables, sequences=kept, others=others)
        way.go(to)
