"""A row in each table of a scratch database, as far as that is easy.

A revision that works through rows in batches does nothing where there are none, and would look harmless.
"""

import contextlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.sql import SQL, Composed, Identifier, Literal

PASSES = 5  # a row needs those that its foreign keys point to: a chain of tables is filled link by link

# What lies behind a foreign table is somebody else's: rows of a table may lie there, in partitions and heirs.
HERE = """not (c.relhassubclass and exists (
        with recursive below(oid) as (
            select inhrelid from pg_inherits where inhparent = c.oid
            union select i.inhrelid from pg_inherits i join below on below.oid = i.inhparent)
        select from below join pg_class f on f.oid = below.oid and f.relkind = 'f'))"""
_HERE = f"select oid from pg_class c where oid = any(%s) and {HERE}"  # noqa: S608
_COLUMNS = """
    select c.oid, n.nspname, c.relname, a.attname, format_type(t.oid, a.atttypmod), b.typcategory,
           (select enumlabel from pg_enum where enumtypid = b.oid order by enumsortorder limit 1),
           a.attnotnull and not a.atthasdef and a.attidentity = '', a.atthasdef or a.attidentity <> ''
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_type t on t.oid = a.atttypid
    left join pg_type b on b.oid = case t.typtype when 'd' then t.typbasetype else t.oid end
    where c.oid = any(%s) and c.relkind in ('r', 'p')
    order by c.oid, a.attnum
    """
_TYPE = """
    select case t.typtype when 'd' then format_type(t.typbasetype, t.typtypmod) else %s end, b.typcategory,
           (select array_agg(enumlabel::text order by enumsortorder) from pg_enum where enumtypid = b.oid)
    from pg_type t join pg_type b on b.oid = case t.typtype when 'd' then t.typbasetype else t.oid end
    where t.oid = to_regtype(%s)
    """
_NAMES = """
    select nspname, relname from pg_class c join pg_namespace n on n.oid = relnamespace where c.oid = any(%s)
    """
_MATERIALIZED = """
    select nspname, relname from pg_class c join pg_namespace n on n.oid = relnamespace
    where relkind = 'm' and relispopulated order by c.oid
    """
# By pg_type.typcategory, and by type; what stands first is the same number everywhere, so that it is found
# where a foreign key points. The others have something to lose.
_VALUES: dict[str, tuple[str, ...]] = {
    "N": ("1", "0", "-1", "-0.25", "1.1", "12345678901234567890.123456789"),
    "S": ("1", "Ab, {é}", "007", " "),
    "B": ("true", "false"),
    # Rounded to seconds, the second is a day's beginning, and the third isn't.
    "D": ("2000-01-01", "1999-12-31 23:59:59.999999+05:30", "2001-02-03 04:05:06.789012-07"),
    "T": ("1 day", "-1 year -2 mons +3 days 04:05:06.789012"),
    "A": ("{}",),
    "I": ("127.0.0.1", "10.1.2.3/8", "10.0.0.0/8", "::1"),
    "R": ("empty", "(,)"),
}
_BY_TYPE: dict[str, tuple[str, ...]] = {
    "uuid": ("00000000-0000-0000-0000-000000000001", "6f1e4f2c-0000-4000-8000-00000000ffff"),
    "json": ("{}", '{"b": [1, 2.50], "a": null}', '"1"', '{"a": 1, "a": 2}'),
    "jsonb": ("{}", '{"b": [1, 2.50], "a": null}', '"1"'),
    "bytea": ("1", "\\x00ff"),
    "xml": ("<a/>",),
    "smallint": ("1", "-1", "32767", "-32768"),
    "integer": ("1", "-1", "2147483647", "-2147483648"),
    "bigint": ("1", "-1", "9223372036854775807", "-9223372036854775808"),
    "real": ("1", "-0.1", "-1.2345678", "3.4e38"),
    "double precision": ("1", "-1.2345678901234567", "1.7e308"),
    "money": ("1", "-1.25"),
}
_LONG = 300  # characters of a text that has no limit
_NUMBERS = re.compile(r"\((\d+)(?:,(-?\d+))?\)")


def samples(type_: str, category: str, labels: Sequence[str], beyond: int = _LONG) -> list[str]:
    """Return values of a type, as texts: a plain one first, then such as have something to lose.

    Args:
        type_: as `format_type` prints it.
        category: of its base type, or of its elements', as pg_type has it.
        labels: of an enum.
        beyond: how long a text without a limit has to be at least.
    """
    if labels:
        return list(labels)
    numbers = _NUMBERS.search(type_)
    name = _NUMBERS.sub("", type_)
    size = int(numbers[1]) if numbers else None
    found = list(_BY_TYPE.get(name) or _VALUES.get(category, ("1",)))
    if category == "S":
        found.append("é" * (size or beyond))
    elif category == "V":
        found = ["1" * (size or 1), ("10" * (size or beyond))[: size or beyond]]
        found += ["1"] if "varying" in type_ else []
    elif name == "numeric" and size:
        scale = int(numbers[2] or 0) if numbers else 0
        digits = "9" * size
        largest = f"{digits}e{-scale}"
        found = ["1", "-1", largest, f"-{largest}", f"1e{-scale}"]
    return found


def samples_of(
    session: "psycopg.Connection[Any]", type_: str, beyond: int, further: Sequence[str]
) -> list[str]:
    """Return values of a type that the database has, arrays included, and further ones: see `samples`."""
    row = session.execute(_TYPE, [type_.removesuffix("[]")] * 2).fetchone()
    if row is None:
        return []
    base, category, labels = row
    # A domain's own name says nothing of how long its values may be.
    found = list(dict.fromkeys([*samples(base, category, labels or (), beyond), *further]))
    if not type_.endswith("[]"):
        return found
    quoted = [_element(each) for each in found]
    return ["{}", *(f"{{{each}}}" for each in quoted), f"{{{','.join([*quoted, 'NULL'])}}}"]


def _element(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@dataclass(frozen=True)
class _Column:
    name: str
    type: str
    category: str
    label: str | None
    is_required: bool
    is_made: bool  # by a default, an identity or an expression

    def value(self, number: int = 0) -> str:
        """Return its value in a row, from 0 on: another one in each, as far as there are others."""
        found = samples(self.type, self.category, [self.label] if self.label else [])
        return str(number + 1) if found[0] == "1" else found[min(number, len(found) - 1)]


@dataclass(frozen=True)
class _Table:
    name: Identifier
    columns: list[_Column]


def _tables(session: "psycopg.Connection[Any]", oids: Sequence[int]) -> dict[int, _Table]:
    found: dict[int, _Table] = {}
    for oid, schema, table, *column in session.execute(_COLUMNS, [list(oids)]):
        columns = found.setdefault(oid, _Table(Identifier(schema, table), [])).columns
        if column[0] is not None:
            columns.append(_Column(*column))
    return found


def fill(session: "psycopg.Connection[Any]", tables: Sequence[int], further: int = 0) -> list[int]:
    """Put a row into each table that has none; one that refuses stays empty.

    Args:
        session: in autocommit.
        tables: their oids.
        further: how many rows it gets beside that one, of other values, as far as they go in.

    Returns:
        Those that got one.
    """
    here = [oid for (oid,) in session.execute(_HERE, [list(tables)])]
    found = _tables(session, here)
    empty = {oid: table for oid, table in found.items() if not _has_rows(session, table)}
    _fill(session, empty, 0)
    filled = {oid: table for oid, table in empty.items() if _has_rows(session, table)}
    for number in range(1, further + 1):
        _fill(session, filled, number)
    return list(filled)


def _fill(session: "psycopg.Connection[Any]", tables: Mapping[int, _Table], number: int) -> None:
    waiting = tables
    for _ in range(PASSES):
        # What a revision fills in is often what is NULL: at first only what must have a value gets one.
        refused = {
            oid: table
            for oid, table in waiting.items()
            if not _insert(session, table, number, whole=False)
            and not _insert(session, table, number, whole=True)
        }
        if len(refused) in {0, len(waiting)}:
            break
        waiting = refused


def put(
    session: "psycopg.Connection[Any]",
    table: int,
    given: Mapping[str, Sequence[str]],
    plain: Collection[str] = (),
) -> None:
    """Put rows into a table, as far as they go in.

    Args:
        session: in autocommit.
        table: its oid.
        given: values of some columns; each comes once at least, and NULL.
        plain: columns that get any value, if they have no default.
    """
    found = _tables(session, [table])[table]
    for number in range(max(map(len, given.values()), default=0) + 1):
        for own in (str(number + 1), None):  # in a unique column, and in one that refers to another
            values: dict[_Column, str | None] = {}
            for column in found.columns:
                if column.name in given:
                    listed = [*given[column.name], None]
                    values[column] = listed[min(number, len(listed) - 1)]
                elif column.is_required or (column.name in plain and not column.is_made):
                    value = column.value()
                    values[column] = own if own and value == "1" else value
            if _put_one(session, found, values):
                break


def _inserted(table: _Table, given: Mapping[_Column, str | None]) -> Composed:
    """Return what inserts a row with some values."""
    if not given:
        return SQL("insert into {} default values").format(table.name)
    names = SQL(", ").join(Identifier(column.name) for column in given)
    values = SQL(", ").join(
        SQL("cast({} as {})").format(Literal(value), SQL(column.type)) for column, value in given.items()
    )
    return SQL("insert into {} ({}) values ({})").format(table.name, names, values)


def _put_one(session: "psycopg.Connection[Any]", table: _Table, values: Mapping[_Column, str | None]) -> bool:
    with contextlib.suppress(psycopg.Error), session.transaction():
        session.execute(_inserted(table, values))
        for view in session.execute(_MATERIALIZED).fetchall():  # what they compute may not take such a value
            session.execute(SQL("refresh materialized view {}").format(Identifier(*view)))
        return True
    return False


def clear(session: "psycopg.Connection[Any]", tables: Sequence[int]) -> None:
    """Take the rows away again, where they still are."""
    if tables:
        names = session.execute(_NAMES, [list(tables)]).fetchall()
        listed = SQL(", ").join(Identifier(*name) for name in names)
        if names:
            with contextlib.suppress(psycopg.Error):
                session.execute(SQL("truncate {}").format(listed))


def _has_rows(session: "psycopg.Connection[Any]", table: _Table) -> bool:
    return session.execute(SQL("select 1 from {} limit 1").format(table.name)).fetchone() is not None


def _insert(session: "psycopg.Connection[Any]", table: _Table, number: int, *, whole: bool) -> bool:
    given = [column for column in table.columns if column.is_required or (whole and not column.is_made)]
    try:
        session.execute(_inserted(table, {column: column.value(number) for column in given}))
    except psycopg.Error:
        return False
    return True
