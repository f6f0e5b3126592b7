"""The triggers that keep a column equal to another one, until it takes over its name or goes.

They fire for what replication writes, too (`ENABLE ALWAYS`). Where one was disabled for a time, or a
partition detached, something may have been written past it. Both leave a row of pg_trigger that isn't of the
transaction in which trigger and function were made. One that no revision knows may come after it (by its
name), and change the row. Then that table's rows are looked at before the swap.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from plinth.autogenerate.change.expressions import default_sql, with_name
from plinth.autogenerate.change.quoting import do_block, dollar_quoted, literal, made_name, quoted, sql_name
from plinth.autogenerate.change.steps import SqlOp
from plinth.autogenerate.change.way import Operations, Way
from plinth.autogenerate.objects.enums import NewEnum
from plinth.autogenerate.objects.row_triggers import RowTrigger, is_printed_alike
from plinth.autogenerate.objects.triggers import last_name
from plinth.catalog.picture import Catalog, Column, ColumnName, Name

_PART, _LOST = "part", "is_lost"


class KeepingTrigger(RowTrigger):
    """One that keeps two columns equal."""

    def stop(
        self, pair: tuple[str, str], differ: str, mend: str, catalog: Catalog, ours: Sequence[str] = ()
    ) -> list[str]:
        """Return the lines that stop where rows were written past it (`stop_at_rows_past`).

        Args:
            pair: the columns' names.
            differ: the condition that they differ.
            mend: what makes them equal, as UPDATE … SET has it.
            catalog: the schema. The table has to be locked by then.
            ours: further triggers of such a kind on the table.
        """
        own, home = quoted(self.name or self.function.name), sql_name(self.table, catalog)
        function = literal(f"{sql_name(self.function, catalog)}()")
        is_parted = catalog.tables[self.table].partition_key
        what = f"{own} was disabled, or a partition detached," if is_parted else f"{own} was disabled"
        said = (
            f"Rows of {home} differ in {' and '.join(pair)}: trigger {what} for a time, or another "
            "one comes after it (by its name). ",
            f"ALTER TABLE {home} ENABLE ALWAYS TRIGGER {own}; ",
            f"UPDATE {home} SET {mend} where they differ",  # noqa: S608 - for a reader
        )
        told = [literal(each.replace("%", "%%")) for each in said]
        stop = [f"    RAISE {told[0]}", *(f"        {each}" for each in told[1:])]
        stop += ["        USING ERRCODE = '23000';", "END IF;"]
        asked = "FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid"
        where = [
            f"WHERE p.oid = {function}::regprocedure AND (t.xmin <> p.xmin OR tgenabled <> 'A'",
            "OR EXISTS (SELECT FROM pg_trigger o WHERE o.tgrelid = t.tgrelid AND o.tgname > t.tgname",
            "    AND o.tgtype & 3 = 3 AND o.tgtype & 20 > 0",  # BEFORE INSERT OR UPDATE … FOR EACH ROW
            *(f"    AND o.tgname <> {literal(each)}" for each in ours),
        ]
        where = [f"    {each}" for each in where]
        if not is_parted:
            found = f"EXISTS (SELECT FROM {home} WHERE {differ})"
            return [f"IF EXISTS (SELECT {asked}", *where, f"    ))) AND {found} THEN", *stop]
        rest = dollar_quoted(f" WHERE {differ})", "of")
        look = f"EXECUTE 'SELECT EXISTS (SELECT FROM ' || {_PART} || {rest} INTO {_LOST};"  # noqa: S608
        inner = [f"    {each}" for each in (look, f"IF {_LOST} THEN", *stop)]
        loop = [f"FOR {_PART} IN SELECT tgrelid {asked}", *where, "    )) LOOP", *inner, "END LOOP;"]
        # In a block of its own: a column of another table may be called as its variables are.
        declared = f"DECLARE {_PART} regclass; {_LOST} boolean; BEGIN"
        return [declared, *(f"    {each}" for each in loop), "END;"]


def stop_at_rows_past(stops: Sequence[Sequence[str]]) -> SqlOp:
    """Return what stops where something was written past triggers: it would be lost.

    Args:
        stops: the lines of each (`KeepingTrigger.stop`).
    """
    lines = [f"    {line}" for each in stops for line in each]
    note = "stops if something was written past a trigger; only where that can be any row is looked at"
    return SqlOp(do_block(["BEGIN", *lines]), note=note)


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
        self.name = last_name(way.at, turn.table, self.function.name)
        prints = self._has_word or not all(is_printed_alike(each, way.at) for each in (turn.old, turn.beside))
        self._trigger = KeepingTrigger(self.function, turn.table, self.name, prints)
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
        before, after = (replace(each, name=self.turn.old.name) for each in (before, after))
        change = replace(self._way.change, is_downgrade=is_back)
        return change.conversion(self.turn.place, before, after, at=self._way.at) or quoted(before.name)

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
        unfilled, said = "", self._way.change.usings.get(self.turn.place)
        if said and not said.keeps_null:  # or a row without a value looks like one that has it
            has = "IS DISTINCT FROM NULL"  # of a row, IS NOT NULL means all fields
            unfilled = f" OR {was} IS NOT DISTINCT FROM NULL AND {name} {has} AND ({self.value}) {has}"
        if self._said(old, new, is_back=False):
            row = f"SELECT {was} AS {name}"
            was = f"(SELECT {value} FROM ({row}) AS {quoted(self.turn.table.name)})"  # noqa: S608 - quoted names
        elif value != name:
            was = with_name(value, new.name, was)
            was = f"({was})" if "||" in value else was  # a cast binds tighter
        cast = f"::{new.type}"
        # As text: json has no equality. A collation may take other values for equal.
        text = '::text COLLATE "C"' if new.collation or old.collation else "::text"
        differ = f"{was.removesuffix(cast)}{cast}{text} IS DISTINCT FROM {name}::text"
        return f"({differ}{unfilled})" if unfilled else differ

    @property
    def _differ(self) -> str:
        """The condition that a row was written past it, once all are filled."""
        if self.turn.is_back:
            return self.missing
        kind, beside = self.turn.beside.type, quoted(self.turn.beside.name)
        found = (
            f"({self.value})::{kind}::text IS DISTINCT FROM {beside}::text"  # as text: json has no equality
        )
        return found if self.otherwise is None else f"({self.value}) IS DISTINCT FROM NULL AND {found}"

    def stop(self, keepers: Sequence["Keeper"]) -> list[str]:
        """Return the lines that stop where rows were written past it, who is one of some."""
        old, beside = quoted(self.turn.old.name), quoted(self.turn.beside.name)
        theirs = [each.name for each in keepers if each.turn.table == self.turn.table and each is not self]
        ours = [each for each in theirs if each.encode() > self.name.encode()]
        return self._trigger.stop((old, beside), self._differ, f"{old} = {old}", self._way.at, ours)

    def make(self) -> Operations:
        """Return what makes it."""
        new = f"NEW.{quoted(self.turn.beside.name)}"
        body = f"{new} := {self._of_new_row(self.value)};"
        if self.otherwise is not None:
            body += f" IF {new} IS NULL THEN {new} := {self._of_row(self.otherwise)}; END IF;"
        if self.turn.is_back:
            body = f"IF {self._of_new_row(self.missing)} THEN {body} END IF;"
        body = f"BEGIN {body} RETURN NEW; END"
        return self._trigger.make(body, self._way.at)

    @property
    def _has_word(self) -> bool:
        """Whether an expression is the author's."""
        turn = self.turn
        return any(self._said(turn.old, turn.beside, is_back=each) for each in (False, True))

    def _of_new_row(self, expression: str) -> str:
        """Return an expression of the table's columns as one of the row that is written."""
        turn = self.turn
        if self._has_word:
            return self._of_row(expression)
        for each in (turn.old, turn.beside):
            expression = with_name(expression, each.name, f"NEW.{quoted(each.name)}")
        return expression

    def _of_row(self, expression: str) -> str:
        row = quoted(self.turn.table.name)
        return f"(SELECT {expression} FROM (SELECT NEW.*) AS {row})"  # noqa: S608 - quoted names

    def drop(self) -> Operations:
        """Return what drops it."""
        return self._trigger.drop(self._way.at)
