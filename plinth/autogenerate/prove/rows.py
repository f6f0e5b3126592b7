"""Rows for the proof, where a column's values become others: such as have something to lose.

Where a column is new and has a backfill, or keeps its old name, there are rows, too: each has its value then.

What they must become is asked of PostgreSQL beforehand, without the revisions.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import psycopg
from alembic.operations import Operations
from alembic.operations.ops import MigrateOperation
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from plinth.autogenerate.change.casts import is_a_matter_of_zone
from plinth.autogenerate.change.expressions import named
from plinth.autogenerate.change.quoting import quoted
from plinth.autogenerate.compare.conversions import Conversion, Trial, enum_made, tried
from plinth.autogenerate.compare.renames import Rename
from plinth.catalog.picture import ColumnName
from plinth.plan.filling import fill, put
from plinth.quiet import quiet_context

# The table, and those that it refers to.
_TABLES = """
    with recursive needed(oid) as (
        select to_regclass(%s)::oid
        union select confrelid from pg_constraint join needed on conrelid = needed.oid where contype = 'f'
    ) select oid from needed where oid is not null
    """
_TABLE = "select to_regclass(%s) is not null"
_COLUMN = "select true from pg_attribute where attrelid = to_regclass(%s) and attname = %s"
_PLACE = "select attrelid, attnum from pg_attribute where attrelid = to_regclass(%s) and attname = %s"
_NAMES = "select attrelid::regclass::text, attname from pg_attribute where attrelid = %s and attnum = %s"


class WrongValues(Exception):  # noqa: N818 - the proof says it
    """Revisions make something else of values than they should."""


@dataclass(frozen=True)
class Rows:
    """Values that stand in a column, and what they must become.

    Args:
        each: how they are converted.
        old: the same by the names that table and column have before.
        before: how often each value stands there after the way back, as text.
        after: how often each stands there in between.
        refused: values that PostgreSQL refuses to convert; none where an expression of the author's does.
        are_convertible: none of these stands there, as it does where it is the column's default, and another
            table's rows needed one to refer to.
    """

    each: Conversion
    old: Conversion
    before: Counter[str]
    after: Counter[str]
    refused: tuple[str, ...] = ()
    are_convertible: bool = True

    def check_up(self, connection: Connection) -> None:
        """Return if the values are those that they should become.

        Raises:
            WrongValues: they aren't.
        """
        before = "its backfill" if self.each.fill else self.each.before.type
        self._check(connection, self.each, self.after, f"{before} to {self.each.after.type}")

    def check_down(self, connection: Connection) -> None:
        """Return if the values are what they were, or if an expression of the author's says what they become.

        Raises:
            WrongValues: they aren't.
        """
        if self.each.fill:
            return  # its column is gone
        if self.each.said is None or is_a_matter_of_zone(self.each.before, self.each.after):
            what = f"{self.each.after.type} back to {self.each.before.type}"
            self._check(connection, self.old, self.before, what)

    def put_refused(self, engine: Engine) -> bool:
        """Put a row that can't be converted into a scratch database; return whether it goes in."""
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            _put(connection, self.old.table, {self.old.place.column: self.refused[-1:]})
            return self.refused[-1] in _values(connection, self.old)

    def refuse_cut(self, connection: Connection) -> None:
        """Raise an error, unless that row is as it was.

        Raises:
            WrongValues: it isn't.
        """
        what = f"{self.each.before.type} to {self.each.after.type}"
        self._check(connection, self.each, Counter(self.refused[-1:]), what)

    def _check(self, connection: Connection, at: Conversion, wanted: Counter[str], what: str) -> None:
        found = _values(connection, at)
        lost = list((wanted - found).elements())
        if lost:
            became = list((found - wanted).elements())
            then = " What it reads becomes something else on the way: let that be a revision of its own."
            raise WrongValues(
                f"Column {at.table}.{at.place.column} goes from {what}, and {lost[0][:80]!r} "
                f"becomes {became[0][:80] if became else None!r}.{then if at.fill else ''}"
            )


def put_rows(engine: Engine, conversions: Sequence[Conversion], renames: Sequence[Rename] = ()) -> list[Rows]:
    """Put rows into a scratch database, as far as that is easy; return what must become of them.

    Args:
        engine: of the scratch database, as it is before the change.
        conversions: the columns whose values become others, by the names that they will have.
        renames: what gives them these names.
    """
    if not conversions:
        return []
    try:
        _invoke(engine, [rename.up for rename in renames])
    except DBAPIError:  # of the revisions, which do the same, it will be told
        return []
    try:
        with _in_autocommit(engine) as connection:
            found = _put_all(engine, connection, conversions)
            places = [None if rows.each.fill else _Standing.read(connection, rows.old) for rows in found]
    finally:
        _invoke(engine, [rename.down for rename in reversed(renames)])
    with _in_autocommit(engine) as connection:
        return [
            _as_before(connection, rows, at) if at else rows for rows, at in zip(found, places, strict=True)
        ]


def _invoke(engine: Engine, wanted: Sequence[MigrateOperation]) -> None:
    with engine.begin() as connection:
        operations = Operations(quiet_context(connection))
        for each in wanted:
            operations.invoke(each)


def _in_autocommit(engine: Engine) -> Connection:
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def _put_all(engine: Engine, connection: Connection, conversions: Sequence[Conversion]) -> list[Rows]:
    kept = []
    values: dict[str, dict[str, list[str]]] = {}
    trials: dict[ColumnName, Trial] = {}
    plain: dict[str, set[str]] = {}
    for each in conversions:
        old = each.standing
        # Revisions needn't make all that stands.
        if each.fill and connection.exec_driver_sql(_TABLE, (each.table,)).scalar():
            values.setdefault(each.table, {})
            plain.setdefault(each.table, set()).update(named(each.fill))
        elif connection.exec_driver_sql(_COLUMN, (each.table, old.place.column)).fetchone():
            trials[each.place] = _trial(engine, old)
            values.setdefault(each.table, {})[old.place.column] = list(trials[each.place].made)
    for table, given in values.items():
        _put(connection, table, given, plain.get(table, ()))
    for each in conversions:
        if each.fill and each.table in plain:
            turned = {other.place.column for other in conversions if other.table == each.table}
            if turned.isdisjoint(named(each.fill)):
                kept.append(_filled(connection, each))
        if each.place not in trials:
            continue
        old = each.standing
        trial, standing = trials[each.place], _values(connection, old)
        if standing:
            before, after = _become(standing, trial.restored), _become(standing, trial.made)
            refused = trial.refused if each.said is None else []
            are_convertible = standing.keys().isdisjoint(trial.refused)
            kept.append(Rows(each, old, before, after, tuple(refused), are_convertible))
    return kept


def _filled(connection: Connection, each: Conversion) -> Rows:
    """Return what a new column's values must be; nothing is known where they are others each time."""
    query = f"select cast(({each.fill}) as {each.after.type})::text, count(*) from {each.table} group by 1"  # noqa: S608
    try:
        first, again = (
            {row[0]: row[1] for row in connection.exec_driver_sql(query.replace("%", "%%"))} for _ in range(2)
        )
    except DBAPIError:  # it isn't for such rows, or for columns that are there by now
        return Rows(each, each, Counter(), Counter(), are_convertible=False)
    first.pop(None, None)
    return Rows(each, each, Counter(), Counter(first if first.items() <= again.items() else {}))


@dataclass(frozen=True)
class _Standing:
    """Where a column is, whatever its name, and its rows' values as texts."""

    table: int
    number: int
    texts: Mapping[tuple[int, str], str]

    @classmethod
    def read(cls, connection: Connection, each: Conversion) -> "_Standing":
        """Return it of a column by its name."""
        row = connection.exec_driver_sql(_PLACE, (each.table, each.place.column)).one()
        return cls(row[0], row[1], _texts(connection, each))


def _as_before(connection: Connection, rows: Rows, standing: _Standing) -> Rows:
    """Return rows with the names that their column, and an enum's values, have before the change."""
    table, column = connection.exec_driver_sql(_NAMES, (standing.table, standing.number)).one()
    place = ColumnName(rows.each.place.table, column)
    old = replace(rows.old, table=table, place=place)
    texts = _texts(connection, old)
    names = {text: texts[row] for row, text in standing.texts.items() if row in texts}

    def named(text: str) -> str:
        return names.get(text, text)

    before = Counter({named(text): count for text, count in rows.before.items()})
    return replace(rows, old=old, before=before, refused=tuple(map(named, rows.refused)))


def _texts(connection: Connection, each: Conversion) -> dict[tuple[int, str], str]:
    """Return the values of a column, as texts, by where their rows lie: names move none of them."""
    column = quoted(each.place.column)
    query = f"select tableoid, ctid::text, {column}::text from {each.table} where {column} is not null"  # noqa: S608
    return {(row[0], row[1]): row[2] for row in connection.exec_driver_sql(query.replace("%", "%%"))}


def _become(standing: Counter[str], values: Mapping[str, str | None]) -> Counter[str]:
    """Return values converted; those that become NULL, or nothing that is known, aside."""
    found: Counter[str] = Counter()
    for value, count in standing.items():
        if (converted := values.get(value)) is not None:
            found[converted] += count
    return found


def _put(
    connection: Connection, table: str, given: Mapping[str, Sequence[str]], plain: Collection[str] = ()
) -> None:
    session = connection.connection.driver_connection
    assert isinstance(session, psycopg.Connection)  # noqa: S101 - the one driver that we take
    oids = [row[0] for row in session.execute(_TABLES, [table])]
    fill(session, oids[1:])
    put(session, oids[0], given, plain)


def _trial(engine: Engine, each: Conversion) -> Trial:
    """Return what values, as the column prints them, must become."""
    with engine.connect() as connection, enum_made(connection, each) as made:
        return tried(connection, made, each.said.up if each.said else quoted(each.place.column), rows=False)


def _values(connection: Connection, each: Conversion) -> Counter[str]:
    column = quoted(each.place.column)
    query = f"select {column}::text, count(*) from {each.table} where {column} is not null group by 1"  # noqa: S608
    found = connection.exec_driver_sql(query.replace("%", "%%")).all()
    return Counter({str(row[0]): int(row[1]) for row in found})
