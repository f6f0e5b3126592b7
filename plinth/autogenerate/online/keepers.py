"""The triggers that keep a column equal to another one, until it takes over its name or goes.

They fire for what replication writes, too (`ENABLE ALWAYS`). Disabled by hand they don't, and can't tell
afterwards; but `ENABLE TRIGGER ALL`, as a tool that loads rows says it, leaves another state than theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from plinth.autogenerate.change import casts
from plinth.autogenerate.change.expressions import default_sql, with_name
from plinth.autogenerate.change.quoting import do_block, dollar_quoted, literal, made_name, quoted, sql_name
from plinth.autogenerate.change.steps import SqlOp
from plinth.autogenerate.change.way import Operations, Way
from plinth.autogenerate.objects.enums import NewEnum
from plinth.autogenerate.online.triggers import last_name
from plinth.catalog.picture import Catalog, Column, ColumnName, Name


def make_trigger(
    function: Name, body: str, table: Name, catalog: Catalog, trigger: str | None = None
) -> Operations:
    """Return what lets a function look at each row that is written.

    Args:
        function: its name.
        body: what it does, in PL/pgSQL.
        table: whose rows.
        catalog: the schema.
        trigger: its name; the function's, if None.
    """
    name, home, own = sql_name(function, catalog), sql_name(table, catalog), quoted(trigger or function.name)
    said = dollar_quoted(f" {body} ", "keep")
    # Who writes may find no type or function by a bare name: what applies a subscription has no search path.
    made = "RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT"
    return [
        SqlOp(f"CREATE FUNCTION {name}() {made} AS {said}"),
        SqlOp(
            f"CREATE TRIGGER {own} BEFORE INSERT OR UPDATE ON {home} FOR EACH ROW EXECUTE FUNCTION {name}()",
            table=table,
        ),
        SqlOp(f"ALTER TABLE {home} ENABLE ALWAYS TRIGGER {own}", table=table),
    ]


def drop_trigger(function: Name, table: Name, catalog: Catalog, trigger: str | None = None) -> Operations:
    """Return what drops it, and the function."""
    return [
        SqlOp(f"DROP TRIGGER {quoted(trigger or function.name)} ON {sql_name(table, catalog)}"),
        SqlOp(f"DROP FUNCTION {sql_name(function, catalog)}()"),
    ]


def lock(names: Sequence[Name], catalog: Catalog) -> SqlOp:
    """Return what locks tables, always in the same order: what is referred to first, as applications do."""
    tables = ", ".join(sql_name(each, catalog) for each in names)
    return SqlOp(
        f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE",
        note="all at once, in a transaction that changes the catalog only" if len(names) > 1 else None,
    )


def stop_if_disabled(functions: Sequence[Name], catalog: Catalog) -> SqlOp:
    """Return what stops where such a trigger was disabled, for what was written then would be lost.

    Args:
        functions: theirs; partitions have triggers of their own for them.
        catalog: the schema. The tables have to be locked by then.
    """
    found = ", ".join(f"{literal(sql_name(each, catalog) + '()')}::regprocedure" for each in functions)
    said = (
        "Trigger % was disabled: columns of % may differ. Make them equal after ",
        "ALTER TABLE % ENABLE ALWAYS TRIGGER %, and run the same command again",
    )
    return SqlOp(
        do_block(
            [
                "DECLARE home regclass; own text; BEGIN",
                "    FOR home, own IN SELECT tgrelid, quote_ident(tgname) FROM pg_trigger",
                f"        WHERE tgenabled <> 'A' AND tgfoid IN ({found}) LOOP",
                f"        RAISE {literal(said[0])}",
                f"            {literal(said[1])}, own, home, home, own;",
                "    END LOOP;",
            ]
        ),
        note="what a trigger didn't see, as it was disabled, would be lost",
    )


@dataclass(frozen=True)
class Turn:
    """A column, and the one that takes over its name.

    Args:
        table: theirs.
        old: the column that has the name.
        new: the one that will have it, as it is by then.
        beside: the same, as it is until then.
        left: what the old one is from then on.
        enum: the type, where that is made anew.
        is_back: the old one comes back on the way back: it has most of its values already.
    """

    table: Name
    old: Column
    new: Column
    beside: Column
    left: Column
    enum: NewEnum | None = None
    is_back: bool = False

    @property
    def place(self) -> ColumnName:
        """The name that both have, one after the other."""
        return ColumnName(self.table, self.old.name)

    @property
    def back(self) -> "Turn":
        """The same the other way round."""
        return Turn(self.table, self.new, self.old, self.left, self.beside, self.enum, is_back=True)


class Keeper:
    """The trigger that keeps one column equal to another.

    Args:
        way: so far.
        turn: whose.
    """

    def __init__(self, way: Way, turn: Turn) -> None:
        self.turn = turn
        label = "old" if turn.is_back else "new"
        self.function = Name(turn.table.schema, made_name(turn.table.name, turn.old.name, label))
        self._way = way
        self._trigger = last_name(way.at, turn.table, self.function.name)
        # All is assigned: a value that doesn't fit stops, where a cast would cut it.
        self.value = self._conversion(turn.old, turn.beside, is_back=turn.is_back)
        self.otherwise = self._of_rows_without_one()
        # On the way back a value that is there stays, unless another one has been written since.
        self.missing = self._missed() if turn.is_back else f"{quoted(turn.beside.name)} IS NULL"

    def _said(self, before: Column, after: Column, *, is_back: bool) -> str | None:
        before, after = (replace(each, name=self.turn.old.name) for each in (before, after))
        change = replace(self._way.change, is_downgrade=is_back)
        return change.using(self.turn.place, before, after)

    def _conversion(self, before: Column, after: Column, *, is_back: bool) -> str:
        """Return the expression that makes one column's values of the other's, called by its later name."""
        said = self._said(before, after, is_back=is_back)
        before, after = (replace(each, name=self.turn.old.name) for each in (before, after))
        at = self._way.at
        return said or casts.using(before, after, at, at, self._way.change.casts) or quoted(before.name)

    def _of_rows_without_one(self) -> str | None:
        """Return the value for rows that have none, where the column becomes required and one is said."""
        old, new = self.turn.old, self.turn.new
        if self.turn.is_back or old.not_null or not new.not_null or new.identity:
            return None
        return self._way.change.backfills.get(self.turn.place, default_sql(new))

    def _missed(self) -> str:
        """Return the condition that a row's new value isn't what the old one, which comes back, becomes."""
        new, old = self.turn.old, self.turn.beside
        was, name = quoted(old.name), quoted(new.name)
        value = self._conversion(old, new, is_back=False)
        if self._said(old, new, is_back=False):
            row = f"SELECT {was} AS {name}"
            was = f"(SELECT {value} FROM ({row}) AS {quoted(self.turn.table.name)})"  # noqa: S608 - quoted names
        elif value != name:
            was = with_name(value, new.name, was)
        cast = f"::{new.type}"
        # As text: json has no equality. A collation may take other values for equal.
        text = '::text COLLATE "C"' if new.collation or old.collation else "::text"
        return f"{was.removesuffix(cast)}{cast}{text} IS DISTINCT FROM {name}::text"

    def make(self) -> Operations:
        """Return what makes it."""
        new = f"NEW.{quoted(self.turn.beside.name)}"
        body = f"{new} := {self._of_new_row(self.value)};"
        if self.otherwise is not None:
            body += f" IF {new} IS NULL THEN {new} := {self._of_row(self.otherwise)}; END IF;"
        if self.turn.is_back:
            body = f"IF {self._of_new_row(self.missing)} THEN {body} END IF;"
        body = f"BEGIN {body} RETURN NEW; END"
        return make_trigger(self.function, body, self.turn.table, self._way.at, self._trigger)

    def _of_new_row(self, expression: str) -> str:
        """Return an expression of the table's columns as one of the row that is written."""
        turn = self.turn
        if any(self._said(turn.old, turn.beside, is_back=each) for each in (False, True)):
            return self._of_row(expression)
        for each in (turn.old, turn.beside):
            expression = with_name(expression, each.name, f"NEW.{quoted(each.name)}")
        return expression

    def _of_row(self, expression: str) -> str:
        row = quoted(self.turn.table.name)
        return f"(SELECT {expression} FROM (SELECT NEW.*) AS {row})"  # noqa: S608 - quoted names

    def drop(self) -> Operations:
        """Return what drops it."""
        return drop_trigger(self.function, self.turn.table, self._way.at, self._trigger)
