"""Columns of a busy table: added and filled in batches, required and no longer required.

A column that numbers the rows comes empty: PostgreSQL would write the table anew. Its sequence numbers new
rows, and the others in batches; with all its values it becomes an identity column.
"""

from dataclasses import replace

from alembic.operations import ops

from plinth.autogenerate.objects import constraints, indexes
from plinth.autogenerate.objects.columns import default_sql, loosened, next_value
from plinth.autogenerate.objects.heirs import (
    is_column_inherited,
    with_heirs,
)
from plinth.autogenerate.objects.quoting import made_name, quoted, schema_of, sql_name, temporary_name
from plinth.autogenerate.objects.steps import AutocommitOp, Change, CommentOp, SqlOp
from plinth.autogenerate.online.backfills import Fill, backfill_op
from plinth.autogenerate.online.constraints import add_not_valid, not_valid_op, validate, validate_op
from plinth.autogenerate.online.parts import old_columns
from plinth.autogenerate.online.stages import TableStage
from plinth.autogenerate.online.way import Part, Way, between
from plinth.catalog.picture import Catalog, Column, ColumnName, Constraint, Name, Table, only


def _add_columns(way: Way, name: Name) -> None:
    way.go(_eased(way, name), through=_without_defaults(way, name))
    let_number(way, name)


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
    keys, others = before.constraints, before.indexes
    return {
        *(name for name, each in after.constraints.items() if not constraints.is_kept(each, keys.get(name))),
        *(name for name, each in after.indexes.items() if not indexes.is_kept(each, others.get(name))),
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


# Values


def _fill(way: Way, name: Name) -> None:
    """Give rows their values, batch by batch."""
    for column in new_and_filled(way, name):
        if not column.not_null:
            may_be_null = ColumnName(name, column.name) in way.change.backfills
            _fill_column(way, name, column.name, str(_value(way, name, column)), may_be_null=may_be_null)
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


def _fill_column(way: Way, name: Name, column: str, value: str, *, may_be_null: bool = False) -> None:
    fill = backfill_op(way.at.tables[name], Fill(column, value, may_be_null=may_be_null), way.at)
    way.step(way.at, Part([AutocommitOp([fill])], []))


def new_and_filled(way: Way, name: Name) -> list[Column]:
    """Return the new columns of a table whose rows get their values one by one."""
    before = way.before.tables[name]
    return [
        column
        for column in way.change.after.tables[name].columns
        if before.column(column.name) is None
        and is_filled(way.change, name, column)
        and not is_column_inherited(way.change, name, column, way.change.after)
    ]


def is_numbered(change: Change, table: Name, column: Column) -> bool:
    """Whether a column numbers rows that are there, in a table by itself."""
    before = change.before.tables.get(table)
    if before is None or before.column(column.name) is not None or column.sequence is None:
        return False
    has_heirs = any(table in each.parents for each in change.before.tables.values())
    return not (before.partition_key or before.parents or has_heirs)


def as_serial(column: Column, catalog: Catalog) -> Column:
    """Return an identity column as it is until it has all its values; any other as it is."""
    if not column.identity or column.sequence is None:
        return column
    return replace(column, identity="", default=next_value(column.sequence, catalog))


def _new(way: Way, name: Name) -> dict[str, Column]:
    """Return the new columns of a standing table that will be identity columns."""
    columns = way.change.after.tables[name].columns
    return {each.name: each for each in columns if each.identity and is_numbered(way.change, name, each)}


def _for_everybody(way: Way, name: Name, words: str) -> list[SqlOp]:
    """Return what lets all roles number rows, or no longer: an identity column needs no privilege."""
    sequences = [each.sequence for each in _new(way, name).values() if each.sequence]
    note = "whoever may insert gets a number, as it will be with an identity column"
    return [
        SqlOp(
            words.format(sql_name(each, way.change.after)),
            table=name,
            note=note if words.startswith("GRANT") else None,
        )
        for each in sequences
    ]


def let_number(way: Way, name: Name) -> None:
    """Let all roles insert rows that the sequences of new columns number, in the part that added these."""
    grants = _for_everybody(way, name, "GRANT USAGE ON SEQUENCE {} TO PUBLIC")
    if grants:
        last = way.parts[-1]
        way.parts[-1] = replace(last, up=[*last.up, *grants])


def make_identity(way: Way, name: Name) -> None:
    """Go on by making new columns of a table identity columns, whose sequences go on where they stand."""
    new, table = _new(way, name), way.at.tables[name]
    if not new:
        return
    columns = tuple(new.get(each.name, each) for each in table.columns)
    wanted = way.change.after.sequences
    sequences = {each.sequence: wanted[each.sequence] for each in new.values() if each.sequence}
    to = way.with_table(replace(table, columns=columns))
    to = replace(to, sequences={**to.sequences, **sequences})
    revoke = _for_everybody(way, name, "REVOKE USAGE ON SEQUENCE {} FROM PUBLIC")
    # On the way back the column goes as a whole.
    way.step(to, Part([*revoke, *between(way.change, way.at, to).up], []))


# NULL, allowed or not


def not_null_check(table: Table, column: Column) -> Constraint:
    """Return the check that lets SET NOT NULL trust that no row has NULL."""
    name = made_name(table.name.name, column.name, "required")
    name = temporary_name(name, "", {*table.constraints, *table.indexes})
    expression = f"({quoted(column.name)} IS NOT NULL)"
    return Constraint(name, "c", f"CHECK ({expression})", (column.name,), expression)


def _refuse_null(table: Table, column: Column, catalog: Catalog) -> ops.AlterColumnOp:
    schema = schema_of(table.name, catalog)
    return ops.AlterColumnOp(table.name.name, column.name, schema=schema, modify_nullable=False)


def loosen(way: Way, name: Name, column: Column) -> None:
    """Go on by letting a column take NULL; the way back holds nobody up."""
    table = way.at.tables[name]
    to = with_not_null(way, name, column.name, False)
    check = not_null_check(table, column)
    goes = way.change.after.tables[name].column(column.name) is None
    warning = (
        f"Rows that are written meanwhile may have no {column.name}, and none has one once it was dropped:"
    )
    back: list[ops.MigrateOperation] = [
        *([CommentOp(warning), CommentOp("this works as long as all have one.")] if goes else []),
        not_valid_op(check, table, way.at),
        validate_op(check, table, way.at),
        _refuse_null(table, column, way.at),
        *constraints.not_null_name_ops(table, column.name, way.at),
        constraints.drop_op(check, table, way.at),
    ]
    way.step(to, Part(loosened(table, column.name, way.at), [AutocommitOp(back)]))


def with_not_null(way: Way, name: Name, column: str, not_null: bool) -> Catalog:
    """Return the schema so far in which a column refuses NULL, or doesn't any more."""
    table = way.at.tables[name]
    columns = {each.name: each for each in table.columns}
    columns[column] = replace(columns[column], not_null=not_null)

    def is_its(constraint: Constraint) -> bool:
        return constraint.type == "n" and constraint.columns == (column,)

    names = filter(is_its, way.change.after.tables[name].constraints.values()) if not_null else ()
    table = table.with_constraints(lambda each: not is_its(each)).having(*names)
    return way.with_table(replace(table, columns=tuple(columns.values())))


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
        to = with_heirs(to, table.without(check.name))
        up = [
            _refuse_null(table, column, to),
            *constraints.not_null_name_ops(table, column.name, to),
            constraints.drop_op(check, table, to),
        ]
        # A new column that gets an identity by then takes no NULL: on the way back it goes as a whole.
        is_numbered_anew = column.identity and way.before.tables[name].column(column.name) is None
        way.step(to, Part(up, [] if is_numbered_anew else loosened(table, column.name, to)))


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


def _drop_columns(way: Way, name: Name) -> None:
    """Drop a table's columns, in a transaction of its own: these wait until no code that runs uses them."""
    table, wanted = way.at.tables[name], way.change.after.tables[name]
    names = {column.name for column in table.columns if wanted.column(column.name) is None}
    owners = {ColumnName(name, column) for column in names}
    if names:
        to = way.with_table(table.without_columns(names))
        way.go(replace(to, sequences=only(to.sequences, lambda each: each.owner not in owners)))


STAGES = (
    TableStage("columns", _add_columns, needs_of_all=["no keys to unlogged tables"]),
    # What goes doesn't have to allow the new values.
    TableStage("values", _fill, ["functions that parts call"]),
    TableStage("NOT NULL", _require, ["values"]),
    TableStage("identity", make_identity, ["NOT NULL"]),
    TableStage("NULL allowed", _loosen_columns, ["chosen indexes"]),
    TableStage("no columns that go", _drop_columns, ["no old names"], is_after=True),
)
