"""Values for rows, of new columns and of those that become required: batch by batch.

A column that numbers the rows comes empty: PostgreSQL would write the table anew. Its sequence numbers new
rows, and the others in batches; with all its values it becomes an identity column.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from plinth.autogenerate.change.backfills import Fill, backfill
from plinth.autogenerate.change.expressions import as_said, default_sql
from plinth.autogenerate.change.heirs import ancestors, is_column_inherited
from plinth.autogenerate.change.quoting import sql_name
from plinth.autogenerate.change.stages import TableStage
from plinth.autogenerate.change.steps import (
    Change,
    SqlOp,
)
from plinth.autogenerate.change.way import Way
from plinth.autogenerate.objects import triggers
from plinth.autogenerate.objects.sequences import next_value
from plinth.catalog.picture import Catalog, Column, ColumnName, Name


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
    return column.has_volatile_default and not has_constrained_domain(change, column)


def has_constrained_domain(change: Change, column: Column) -> bool:
    """Whether a new column writes its table anew, as its type is a domain that has constraints by then."""
    before, after = change.before.domains, change.after.domains
    name = None if column.type.endswith("[]") else column.named_type
    while name is not None and name in after:
        if after[name].not_null or (name in before and before[name].constraints):
            return True
        name = after[name].base
    return False


def fills(way: Way, name: Name) -> Iterator[tuple[str, str, bool]]:
    """Yield the columns of a table whose rows get values, each with SQL for them that may be NULL, or not."""
    new = [column for column in new_and_filled(way, name) if not column.not_null]
    required = [column for column in becoming_required(way, name) if not column.generated]
    for column in by_use(way, name, [*new, *required]):
        value = _value(way, name, column)
        if column in new:
            yield column.name, str(value), ColumnName(name, column.name) in way.change.backfills
        elif value is not None:
            yield column.name, value, False


def by_use(way: Way, name: Name, columns: Sequence[Column]) -> list[Column]:
    """Return columns in an order in which each comes after those that its value is made of."""
    used = {each.name: way.change.read_columns(ColumnName(name, each.name)) for each in columns}
    left, found = list(columns), list[Column]()
    while left:
        names = {ColumnName(name, each.name) for each in left}
        free = next(each for each in left if not used[each.name] & names)
        found.append(free)
        left.remove(free)
    return found


def tables_read(way: Way, name: Name) -> set[Name]:
    """Return the other tables whose rows get values that a table's backfills read."""
    own = [place for place in way.change.reads if place.table == name]
    read = {each for place in own for each in way.change.read_columns(place)}
    tables = {each.table for each in read if way.change.gets_values(each)}
    return tables.union(*(ancestors(each, way.change.after) for each in tables)) - {name}


def _value(way: Way, name: Name, column: Column) -> str | None:
    """Return what gives rows their values in a column; one of identity numbers them whatever else is said."""
    default, domain = default_sql(as_serial(column, way.change.after)), way.change.after.domain_of(column)
    if default is None and domain and domain.default is not None:
        default = as_said(domain.default, domain.words)
    return default if column.identity else way.change.backfills.get(ColumnName(name, column.name), default)


def fill_column(
    way: Way, place: ColumnName, value: str, *, may_be_null: bool = False, is_kept: bool = False
) -> None:
    """Go on by giving rows a column's values.

    Args:
        way: so far.
        place: the column.
        value: SQL.
        may_be_null: the value.
        is_kept: a trigger gives it to each row that is written.
    """
    name, column = place
    is_moved = may_be_null and place in way.change.kept_names
    says_so = bool(triggers.own_triggers(way.at, triggers.with_heirs(name, way.at)))
    fill = Fill(column, value, None, says_so, may_be_null=may_be_null, is_kept=is_kept, is_moved=is_moved)
    way.step(way.at, backfill(way.at.tables[name], fill, way.at))


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


def _make_identity(way: Way, name: Name) -> None:
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
    way.step(to, [*revoke, *way.between(way.at, to).up])


def becoming_required(way: Way, name: Name) -> list[Column]:
    """Return the columns that refuse NULL by the end, and not yet."""
    table = way.at.tables[name]
    return [
        column
        for column in way.change.after.tables[name].columns
        if column.not_null and (old := table.column(column.name)) and not old.not_null
    ]


STAGES = (TableStage("identity", _make_identity, ["NOT NULL"]),)
