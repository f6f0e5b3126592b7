"""Columns that number the rows, added to busy tables: identity, or serial.

PostgreSQL would write the table anew, to number the rows that are there. Instead the column comes empty, and
its sequence numbers new rows, and the others in batches. With all its values it becomes an identity column.
"""

from dataclasses import replace

from plinth.autogenerate.objects.columns import next_value
from plinth.autogenerate.objects.quoting import sql_name
from plinth.autogenerate.objects.steps import Change, SqlOp
from plinth.autogenerate.online.way import Part, Way, between
from plinth.catalog.picture import Catalog, Column, Name


def is_numbered(change: Change, table: Name, column: Column) -> bool:
    """Whether a column numbers rows that are there, in a table by itself that has a key to go by."""
    before = change.before.tables.get(table)
    if before is None or before.column(column.name) is not None or column.sequence is None:
        return False
    has_heirs = any(table in each.parents for each in change.before.tables.values())
    return before.primary_key is not None and not (before.partition_key or before.parents or has_heirs)


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
