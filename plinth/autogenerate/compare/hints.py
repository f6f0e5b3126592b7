"""What models say of a change itself, in `info`: renames, values of new columns, and conversions."""

import difflib
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, MetaData

from plinth.autogenerate.change.casts import Using
from plinth.autogenerate.change.quoting import shown
from plinth.autogenerate.change.refusals import Refusal, going_on, refuse
from plinth.catalog.picture import Catalog, ColumnName, Name, Table

Models = MetaData | Sequence[MetaData] | None

log = logging.getLogger(__name__)

RENAMED_FROM = "renamed_from"
ENUM_RENAMES = "enum_renames"
KEEP_OLD = "keep_old"
BACKFILL = "backfill"
USING = "using"
USING_BACK = "using_back"
_HINTS = (RENAMED_FROM, ENUM_RENAMES, KEEP_OLD, BACKFILL, USING, USING_BACK)


@dataclass(frozen=True)
class Hints:
    """The hints of all models.

    Args:
        tables: the name that a table had.
        columns: the name that a column had, by the name that it has now.
        values: new names of an enum's values, by the column that says so.
        backfills: SQL that gives a column its value in rows that have none.
        usings: SQL that makes values of a column's new type of the old ones, and the other way round.
        kept: columns and tables whose old names stay usable until the code that uses them is gone.
        numbered: the sequences that the application asks for values of columns.
    """

    tables: dict[Name, Name] = field(default_factory=dict)
    columns: dict[ColumnName, str] = field(default_factory=dict)
    values: dict[ColumnName, Mapping[str, str]] = field(default_factory=dict)
    backfills: dict[ColumnName, str] = field(default_factory=dict)
    usings: dict[ColumnName, Using] = field(default_factory=dict)
    kept: Collection[ColumnName | Name] = ()
    numbered: dict[ColumnName, Name] = field(default_factory=dict)

    def without_kept(self) -> "Hints":
        """Return the hints without the columns' renames that leave the old names usable."""
        columns = {new: old for new, old in self.columns.items() if new not in self.kept}
        return replace(self, columns=columns)


def all_metadata(metadata: Models) -> list[MetaData]:
    """Return the models' MetaData, of which there may be several."""
    if metadata is None:
        return []
    return [metadata] if isinstance(metadata, MetaData) else list(metadata)


def tables_of(metadata: Models, default_schema: str) -> Iterator[tuple[Name, sa.Table]]:
    """Yield the models' tables, by the names that they have in the database."""
    for each in all_metadata(metadata):
        for table in each.tables.values():
            yield Name(table.schema or default_schema, str(table.name)), table


def read_hints(metadata: Models, default_schema: str) -> Hints:
    """Return the hints that stand in the models.

    Args:
        metadata: the models'.
        default_schema: of tables that name none.

    Raises:
        Refusal: a hint can't be understood, and refusals aren't collected.
    """
    kept: set[ColumnName | Name] = set()
    hints = Hints(kept=kept)
    for name, table in tables_of(metadata, default_schema):
        if RENAMED_FROM in table.info:
            with going_on():
                old = _text(table.info[RENAMED_FROM], RENAMED_FROM, str(table.key))
                schema, _, bare = old.rpartition(".")
                hints.tables[name] = Name(schema or name.schema, bare)
        _read_kept(kept, name, table.info, str(table.key))
        _name_misspelt(table.info, str(table.key))
        for column in table.columns:
            place = ColumnName(name, column.name)
            _read_column(hints, place, column, table)
            if isinstance(column.default, sa.Sequence):
                hints.numbered[place] = Name(column.default.schema or default_schema, column.default.name)
            _read_kept(kept, place, column.info, f"{table.key}.{column.name}")
            _name_misspelt(column.info, f"{table.key}.{column.name}")
    return hints


def _name_misspelt(info: Mapping[Any, Any], shown_as: str) -> None:
    """Say which words in a model's `info` are almost hints; they may be the application's own."""
    for word in info.keys() - {*_HINTS}:
        for meant in difflib.get_close_matches(word, _HINTS, 1, 0.85) if isinstance(word, str) else ():
            log.warning('info={"%s": …} of %s is no hint. Is "%s" meant?', word, shown_as, meant)


def _read_kept(
    kept: set[ColumnName | Name], name: ColumnName | Name, info: Mapping[Any, Any], shown_as: str
) -> None:
    if KEEP_OLD not in info:
        return
    if info[KEEP_OLD] not in {True, False}:
        refuse("hint", f'info={{"{KEEP_OLD}": …}} of {shown_as} must be True or False.')
    elif RENAMED_FROM not in info:
        said = f'info={{"{KEEP_OLD}": …}} of {shown_as} says nothing without "{RENAMED_FROM}".'
        refuse("hint", said)
    elif info[KEEP_OLD]:
        kept.add(name)


def _read_column(hints: Hints, name: ColumnName, column: Column[Any], table: sa.Table) -> None:
    place = f"{table.key}.{column.name}"
    for hint, found in ((RENAMED_FROM, hints.columns), (BACKFILL, hints.backfills)):
        if hint in column.info:
            with going_on():
                found[name] = _text(column.info[hint], hint, place)
    if USING in column.info:
        with going_on():
            up, back = _text(column.info[USING], USING, place), column.info.get(USING_BACK)
            hints.usings[name] = Using(up, back if back is None else _text(back, USING_BACK, place))
    elif USING_BACK in column.info:
        refuse("hint", f'info={{"{USING_BACK}": …}} of {place} says nothing without "{USING}".')
    if ENUM_RENAMES in column.info:
        renames = column.info[ENUM_RENAMES]
        if not isinstance(renames, Mapping) or not all(
            isinstance(text, str) and text for pair in renames.items() for text in pair
        ):
            refuse("hint", f'info={{"{ENUM_RENAMES}": …}} of {place} must be {{"old": "new"}}.')
        else:
            hints.values[name] = dict(renames)


def kept_columns(hints: Hints, before: Catalog, after: Catalog) -> dict[ColumnName, str]:
    """Return the old names, by new columns, that are to stay usable beside the new ones.

    Args:
        hints: the models'.
        before: what is there.
        after: what the models mean.
    """
    asked = {new: hints.columns[new] for new in hints.kept if isinstance(new, ColumnName)}
    return {
        new: old
        for new, old in asked.items()
        if before.column(new.table, old)
        and not before.column(*new)
        and after.column(*new)
        and not after.column(new.table, old)
    }


def kept_tables(hints: Hints, database: Catalog, before: Catalog) -> list[tuple[Table, Table]]:
    """Return the tables whose old names are to stay usable beside the new ones: as they were, and renamed.

    Args:
        hints: the models'.
        database: what was there.
        before: what is there when renames are done.
    """
    names = [(hints.tables[new], new) for new in hints.kept if isinstance(new, Name)]
    return [
        (database.tables[old], before.tables[new])
        for old, new in sorted(names)
        if old in database.tables and old not in before.tables and new in before.tables
    ]


def _text(value: object, hint: str, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Refusal("hint", f'info={{"{hint}": …}} of {place} must be a text.')
    return value


def done_hints(hints: Hints, database: Catalog) -> Iterator[str]:
    """Yield a sentence for each hint that says nothing any more, and can go.

    Args:
        hints: the models'.
        database: a schema that is as the models say.
    """
    for name, old in hints.tables.items():
        if name in database.tables and old not in database.tables:
            yield _can_go(RENAMED_FROM, shown(name, database))
    for column, old_name in hints.columns.items():
        if database.column(*column) and not database.column(column.table, old_name):
            yield _can_go(RENAMED_FROM, f"{shown(column.table, database)}.{column.column}")
    for column, renames in hints.values.items():
        found = database.column(*column)
        enum = database.enums.get(found.named_type) if found and found.named_type else None
        if enum and not set(renames) & set(enum.values):
            yield _can_go(ENUM_RENAMES, f"{shown(column.table, database)}.{column.column}")
    for hint, said in ((BACKFILL, hints.backfills), (USING, hints.usings)):
        for column in said:
            if database.column(*column):
                yield _can_go(hint, f"{shown(column.table, database)}.{column.column}")


def _can_go(hint: str, place: str) -> str:
    return f'The hint info={{"{hint}": …}} of {place} is done, and can go.'
