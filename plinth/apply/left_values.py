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
from plinth.autogenerate.change.casts import without_length
from plinth.catalog import Catalog, Name
from plinth.catalog.picture import Column, ColumnName
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

    def expression(self, column: Column, now: Catalog, *, is_upgrade: bool) -> str | None:
        """Return the expression for a column's values, if this one takes turns with it."""
        there = now.tables[self.table].column(column.name)
        if there is None or there.type == column.type:
            return None
        end = ending(column.name, self.column)
        if not is_upgrade:
            return self.value if end == "new" and self.missing is None else None
        if end != "old" or self.missing is None or not now.tables[self.table].column(self.column):
            return None
        value = f"({self.value})::{column.type if column.named_type else without_length(column.type)}"
        return f"CASE WHEN {self.missing} THEN {value} ELSE {Identifier(self.column).as_string()} END"


def values_said(
    strings: Iterable[str], now: Catalog, goal: Catalog, *, is_upgrade: bool
) -> Mapping[ColumnName, str]:
    """Return expressions for the values of columns that get their type back, where the revision has them.

    Args:
        strings: of the revision's file.
        now: what is there.
        goal: what was there before.
        is_upgrade: the way up is taken back; else the way down.
    """
    found: dict[ColumnName, str] = {}
    for kept in _kept(strings, goal.default_schema):
        if kept.table in now.tables and kept.table in goal.tables:
            for column in goal.tables[kept.table].columns:
                if expression := kept.expression(column, now, is_upgrade=is_upgrade):
                    found[ColumnName(kept.table, column.name)] = expression
    return found


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
