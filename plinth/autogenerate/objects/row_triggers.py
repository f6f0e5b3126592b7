"""Triggers that look at each row that is written, as long as a change takes.

One gives rows their values while a column is filled: what fills it passes over a row whose key changes
meanwhile, and a check that refuses NULL would keep the application from each row that has none yet.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from plinth.autogenerate.change.expressions import named
from plinth.autogenerate.change.quoting import dollar_quoted, made_name, quoted, sql_name
from plinth.autogenerate.change.steps import CommentOp, SqlOp
from plinth.autogenerate.change.types import base_name
from plinth.autogenerate.change.way import Operations, Way
from plinth.autogenerate.objects.triggers import last_name, with_heirs
from plinth.catalog.picture import Catalog, Column, ColumnName, Name

# By these a value is printed, read or made of another one: what is written meanwhile is made as what is
# there. They are all that PostgreSQL's documentation names for it (Client Connection Defaults).
_FORMATS = (
    *("DateStyle", "IntervalStyle", "TimeZone", "bytea_output", "extra_float_digits", "xmloption"),
    *("lc_monetary", "lc_numeric", "lc_time", "default_text_search_config"),
)
_PRINTED_ALIKE = {"smallint", "integer", "bigint", "numeric", "boolean", "uuid", "json", "jsonb"}
_PRINTED_ALIKE |= {"text", "character varying", "character"}
_CONSTANT = re.compile(r"'(?:[^']|'')*'|[-+]?[\d.]+|true|false", re.IGNORECASE)
_OF_STORED_ROWS = {"tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"}


def is_printed_alike(column: Column, catalog: Catalog) -> bool:
    """Whether each session prints a column's values as the others do."""
    if column.named_type:
        return column.named_type in catalog.enums
    return base_name(column.type.removesuffix("[]")) in _PRINTED_ALIKE


@dataclass(frozen=True)
class RowTrigger:
    """What lets a function look at each row that is written.

    Args:
        function: its name.
        table: whose rows.
        name: the trigger's; the function's, if None.
        prints: what it does depends on how a session prints values: it prints them as the migration does.
        is_owners: it needs no privilege of who writes.
    """

    function: Name
    table: Name
    name: str | None = None
    prints: bool = False
    is_owners: bool = False

    def make(self, body: str, catalog: Catalog) -> Operations:
        """Return what makes both, with a body in PL/pgSQL."""
        name, home = sql_name(self.function, catalog), sql_name(self.table, catalog)
        own = quoted(self.name or self.function.name)
        # Who writes may find no type by a bare name: what applies a subscription has no search path.
        settings = ("search_path", *(_FORMATS if self.prints else ()))
        how = " ".join(f"SET {each} FROM CURRENT" for each in settings)
        how = f"SECURITY DEFINER {how}" if self.is_owners else how
        said = dollar_quoted(f" {body} ", "keep")
        call = f"BEFORE INSERT OR UPDATE ON {home} FOR EACH ROW EXECUTE FUNCTION {name}()"
        return [
            SqlOp(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql {how} AS {said}"),
            SqlOp(f"CREATE TRIGGER {own} {call}", table=self.table),
            SqlOp(f"ALTER TABLE {home} ENABLE ALWAYS TRIGGER {own}", table=self.table),
        ]

    def drop(self, catalog: Catalog) -> Operations:
        """Return what drops both."""
        own = quoted(self.name or self.function.name)
        return [
            SqlOp(f"DROP TRIGGER {own} ON {sql_name(self.table, catalog)}"),
            SqlOp(f"DROP FUNCTION {sql_name(self.function, catalog)}()"),
        ]


def is_known_of_new_row(way: Way, place: ColumnName, value: str) -> bool:
    """Whether a column's value can be made of a row that isn't written yet."""
    own = {each.column for each in way.change.read_columns(place) if each.table == place.table}
    columns = (way.at.tables[place.table].column(each) for each in own)
    is_generated = any(each is not None and each.generated for each in columns)
    return not is_generated and named(value).isdisjoint({*_OF_STORED_ROWS, place.table.schema})


def fill_while(way: Way, name: Name, values: Mapping[str, str]) -> list[RowTrigger]:
    """Go on by triggers that give rows of a table, and of its heirs, values where they have none.

    Args:
        way: so far.
        name: the table.
        values: SQL, by columns, each after those that it is made of.

    Returns:
        The triggers, to be dropped when all rows have their values.
    """
    if not values:
        return []
    table, words = way.at.tables[name], list[str]()
    prints = is_owners = False
    for column, value in values.items():
        is_said = ColumnName(name, column) in way.change.backfills
        if is_said and not (_CONSTANT.fullmatch(value) and is_printed_alike(table[column], way.at)):
            prints = True
            value = f"(SELECT {value} FROM (SELECT NEW.*) AS {quoted(name.name)})"  # noqa: S608, PLW2901
        elif "(" in value:
            is_owners = True  # of a default: who updates rows may not be one who inserts them
        new = f"NEW.{quoted(column)}"
        words.append(f"IF {new} IS NULL THEN {new} := {value}; END IF;")
    body = f"{'#variable_conflict use_column ' if prints else ''}BEGIN {' '.join(words)} RETURN NEW; END"
    # What the models say may use other tables, which a temporary one may hide.
    is_owners = is_owners and not prints
    found = list[RowTrigger]()
    for each in _with_own_triggers(name, way.at):
        function = Name(each.schema, made_name(each.name, next(iter(values)), "filled"))
        trigger = RowTrigger(function, each, last_name(way.at, each, function.name), prints, is_owners)
        why = (
            []
            if found
            else [CommentOp("Until all rows have a value, a trigger gives one to each row that is written.")]
        )
        way.step(way.at, [*why, *trigger.make(body, way.at)])
        found.append(trigger)
    return found


def _with_own_triggers(name: Name, catalog: Catalog) -> Collection[Name]:
    """Return a table and its heirs; a partition has those of the table that it is one of."""
    names = sorted(with_heirs(name, catalog))
    return [each for each in names if each == name or catalog.tables[each].partition_bound is None]
