"""Rows for the proof, where a column gets another type: values that have something to lose.

What they must become is asked of PostgreSQL beforehand, without the revisions.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg
from sqlalchemy import Connection, Engine

from plinth.autogenerate.casts import is_a_matter_of_zone
from plinth.autogenerate.conversions import Conversion, Trial, tried
from plinth.autogenerate.quoting import quoted
from plinth.catalog.picture import ColumnName
from plinth.plan.filling import fill, put

# The table, and those that it refers to.
_TABLES = """
    with recursive needed(oid) as (
        select to_regclass(%s)::oid
        union select confrelid from pg_constraint join needed on conrelid = needed.oid where contype = 'f'
    ) select oid from needed where oid is not null
    """
_COLUMN = "select true from pg_attribute where attrelid = to_regclass(%s) and attname = %s"


class WrongValues(Exception):  # noqa: N818 - the proof says it
    """Revisions make something else of values than they should."""


@dataclass(frozen=True)
class Rows:
    """Values that stand in a column, and what they must become.

    Args:
        each: how they are converted.
        before: how often each value stands there after the way back, as text.
        after: how often each stands there in between.
        refused: values that PostgreSQL refuses to convert; none where an expression of the author's does.
    """

    each: Conversion
    before: Counter[str]
    after: Counter[str]
    refused: tuple[str, ...] = ()

    def check_up(self, connection: Connection) -> None:
        """Return if the values are those that they should become.

        Raises:
            WrongValues: they aren't.
        """
        self._check(connection, self.after, f"{self.each.before.type} to {self.each.after.type}")

    def check_down(self, connection: Connection) -> None:
        """Return if the values are what they were, or if an expression of the author's says what they become.

        Raises:
            WrongValues: they aren't.
        """
        if self.each.said is None or is_a_matter_of_zone(self.each.before, self.each.after):
            self._check(connection, self.before, f"{self.each.after.type} back to {self.each.before.type}")

    def put_refused(self, engine: Engine) -> bool:
        """Put a row that can't be converted into a scratch database; return whether it goes in."""
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            _put(connection, self.each.table, {self.each.place.column: self.refused[-1:]})
            return self.refused[-1] in _values(connection, self.each)

    def refuse_cut(self, connection: Connection) -> None:
        """Raise an error, unless that row is as it was.

        Raises:
            WrongValues: it isn't.
        """
        self._check(
            connection, Counter(self.refused[-1:]), f"{self.each.before.type} to {self.each.after.type}"
        )

    def _check(self, connection: Connection, wanted: Counter[str], what: str) -> None:
        found = _values(connection, self.each)
        lost = list((wanted - found).elements())
        if lost:
            became = list((found - wanted).elements())
            raise WrongValues(
                f"Column {self.each.table}.{self.each.place.column} goes from {what}, and {lost[0][:80]!r} "
                f"becomes {became[0][:80] if became else None!r}."
            )


def put_rows(engine: Engine, conversions: Sequence[Conversion]) -> list[Rows]:
    """Put rows into a scratch database, as far as that is easy; return what must become of them.

    Args:
        engine: of the scratch database, as it is before the change.
        conversions: the columns that get another type.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        kept = []
        values: dict[str, dict[str, list[str]]] = {}
        trials: dict[ColumnName, Trial] = {}
        for each in conversions:
            # One that is renamed, too, isn't there under its name yet.
            if connection.exec_driver_sql(_COLUMN, (each.table, each.place.column)).fetchone():
                trials[each.place] = _trial(connection, each)
                values.setdefault(each.table, {})[each.place.column] = list(trials[each.place].made)
        for table, given in values.items():
            _put(connection, table, given)
        for each in conversions:
            if each.place not in trials:
                continue
            trial, standing = trials[each.place], _values(connection, each)
            if standing:
                before, after = _become(standing, trial.restored), _become(standing, trial.made)
                refused = trial.refused if each.said is None else []
                kept.append(Rows(each, before, after, tuple(refused)))
        return kept


def _become(standing: Counter[str], values: Mapping[str, str | None]) -> Counter[str]:
    """Return values converted; those that become NULL, or nothing that is known, aside."""
    found: Counter[str] = Counter()
    for value, count in standing.items():
        if (converted := values.get(value)) is not None:
            found[converted] += count
    return found


def _put(connection: Connection, table: str, given: Mapping[str, Sequence[str]]) -> None:
    session = connection.connection.driver_connection
    assert isinstance(session, psycopg.Connection)  # noqa: S101 - the one driver that we take
    oids = [row[0] for row in session.execute(_TABLES, [table])]
    fill(session, oids[1:])
    put(session, oids[0], given)


def _trial(connection: Connection, each: Conversion) -> Trial:
    """Return what values, as the column prints them, must become."""
    if each.is_of_enums:
        same: dict[str, str | None] = {label: label for label in each.labels}
        return Trial(0, 0, 0, same, [], same)
    return tried(connection, each, each.said.up if each.said else quoted(each.place.column), rows=False)


def _values(connection: Connection, each: Conversion) -> Counter[str]:
    column = quoted(each.place.column)
    query = f"select {column}::text, count(*) from {each.table} where {column} is not null group by 1"  # noqa: S608
    found = connection.exec_driver_sql(query.replace("%", "%%")).all()
    return Counter({str(row[0]): int(row[1]) for row in found})
