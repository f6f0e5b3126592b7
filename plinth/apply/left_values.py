"""How a revision itself makes the values of columns that get another type, where its author has said it.

As two columns take turns under a name, a trigger keeps one equal to the other, up and down. What it does is
in the revision's file (`online.keepers`): the author's `using` on the way up. On the way back the column that
was left has most values already, and `using_back` makes those that were written since.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from psycopg.sql import Identifier

from plinth.apply.left_columns import ending
from plinth.apply.renamed import Origins
from plinth.autogenerate.change.casts import without_length
from plinth.catalog import Catalog, Name
from plinth.catalog.picture import Column, ColumnName
from plinth.errors import PlinthError
from plinth.sql_text import lexed, parts, plain

_FUNCTION = "create function <name>() returns trigger ... as <body>"
_TRIGGER = (
    "create trigger <trigger> before insert or update on <table> for each row execute function <name>()"
)
# What an author has said is of the columns of a row, whatever else the function names.
_ROW = r" FROM \(SELECT NEW\.\*\) AS (?:\w+|\"(?:[^\"]|\"\")+\")\)"
_KEEPS = re.compile(
    rf"\s*BEGIN (?:IF \(SELECT (?P<missing>.+){_ROW} THEN )?NEW\.(?P<column>.+?) := "
    rf"\(SELECT (?P<value>.+?){_ROW};.* RETURN NEW; END\s*",
    re.DOTALL,
)


class LeftValueError(PlinthError):
    """The values of a column that gets its type back can't be made as the revision makes them."""


@dataclass(frozen=True)
class _Kept:
    """A column that a trigger keeps equal to another one.

    Args:
        table: whose.
        column: its name.
        value: the expression for it.
        missing: the condition that it hasn't that value; None where it isn't asked.
    """

    table: Name
    column: str
    value: str
    missing: str | None


def values_to_come(strings: Iterable[str], now: Catalog, goal: Catalog) -> Mapping[ColumnName, str]:
    """Return expressions for the values of columns that get the new type again, where the revision has them.

    Args:
        strings: of the revision's file, as SQL.
        now: what is there, its way back interrupted.
        goal: what was there before that.
    """
    return {
        ColumnName(kept.table, column.name): kept.value
        for kept in _kept(strings, goal.default_schema)
        for column in _retyped(kept.table, now, goal)
        if kept.missing is None and ending(column.name, kept.column) == "new"
    }


def values_left(
    strings: Iterable[str], origins: Origins, now: Catalog, goal: Catalog
) -> Mapping[ColumnName, str]:
    """Return expressions for the values of columns that get their old type back, where the revision has them.

    Args:
        strings: of the revision's file, as SQL.
        origins: what was called otherwise before it.
        now: what is there, its way up interrupted.
        goal: what was there before.

    Raises:
        LeftValueError: they name columns that have been renamed as well.
    """
    found: dict[ColumnName, str] = {}
    for kept in _kept(strings, goal.default_schema):
        table = origins.of_table(kept.table)
        table = table if table in goal.tables else kept.table
        called = origins.of_columns(table) if table in now.tables else {}
        for column in _retyped(table, now, goal) if kept.missing is not None else ():
            turn = ending(column.name, kept.column)
            if called.get(kept.column, column.name if turn == "old" else None) != column.name:
                continue
            words = lexed(f"{kept.missing} {kept.value}")
            there = {each.name for each in now.tables[table].columns}
            if turn != "old" or any(words.names(each) for each in called.keys() - there):
                raise LeftValueError(
                    f"the values of {table}.{column.name} come from what the revision says of it, by names "
                    "of columns that it has renamed as well."
                )
            if kept.column in there:
                value = f"({kept.value})::{column.type if column.named_type else without_length(column.type)}"
                left = Identifier(kept.column).as_string()
                found[ColumnName(table, column.name)] = (
                    f"CASE WHEN {kept.missing} THEN {value} ELSE {left} END"
                )
    return found


def _retyped(name: Name, now: Catalog, goal: Catalog) -> list[Column]:
    """Return the columns of a table, as they should be, that have another type now."""
    there, wanted = now.tables.get(name), goal.tables.get(name)
    if there is None or wanted is None:
        return []
    pairs = [(each, there.column(each.name)) for each in wanted.columns]
    return [each for each, found in pairs if found is not None and found.type != each.type]


def _kept(strings: Iterable[str], default_schema: str) -> Iterable[_Kept]:
    bodies: dict[str, re.Match[str]] = {}
    tables: dict[str, Name] = {}
    for text in map(lexed, dict.fromkeys(strings)):
        if found := text.begins(_FUNCTION):
            if body := _KEEPS.fullmatch(found["body"][1:]):
                bodies[found["name"]] = body
        elif found := text.matches(_TRIGGER):
            *schema, bare = parts(found["table"])
            tables[found["name"]] = Name(schema[0] if schema else default_schema, bare)
    for name, body in bodies.items():
        if name in tables:
            yield _Kept(tables[name], plain(body["column"]), body["value"], body["missing"])
