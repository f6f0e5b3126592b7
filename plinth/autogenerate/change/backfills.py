"""Backfills: values for rows that have none, batch by batch, each with a commit of its own.

A table is gone through by its primary key; without one by its pages, partition by partition, heir by heir. A
row that is changed meanwhile moves to another page, maybe to one that was passed: the pages are gone through
again, until one look at all rows finds none without a value. If an application is faster each time, what is
left comes last, in one statement.
"""

from collections.abc import Callable
from dataclasses import dataclass

from plinth.autogenerate.change.quoting import (
    do_block,
    dollar_quoted,
    literal,
    quoted,
    quoted_list,
    sql_name,
    temporary_name,
)
from plinth.autogenerate.change.steps import SqlOp
from plinth.autogenerate.change.way import Outside
from plinth.catalog.picture import Catalog, Table

ROWS = 1000  # in a batch: few enough to be over before anybody waits for one of them
FILLS = "plinth.fills"  # a setting that says so while columns are filled
PAUSE = 0.01  # seconds between two batches, for others and for the replicas
PAGES = 10  # in a batch, where there is no key to go by: of 8 kB, they have some hundred rows
TIMES = 4  # that the pages are gone through


@dataclass(frozen=True)
class Fill:
    """Values for rows.

    Args:
        column: its name.
        value: SQL.
        missing: the condition that a row hasn't got its value; that it has none, if None.
        says_so: a setting tells triggers of it (`triggers`).
        may_be_null: the value; such rows don't count as those that miss it.
        is_kept: a trigger gives it to each row that is written.
        is_moved: what it is made of goes: a row that the update passed over stops the way.
    """

    column: str
    value: str
    missing: str | None = None
    says_so: bool = False
    may_be_null: bool = False
    is_kept: bool = False
    is_moved: bool = False

    @property
    def condition(self) -> str:
        """Which rows get it."""
        return self.missing or f"{quoted(self.column)} IS NULL"

    @property
    def saying_so(self) -> str:
        """What tells triggers of it, until the transaction ends."""
        return f" SET LOCAL {FILLS} = 'on';" if self.says_so else ""


def _by_key(
    table: Table,
    key: tuple[str, ...],
    name: str,
    change: Callable[[Callable[[str], str]], str],
    saying_so: str = "",
) -> str:
    """Return a block that goes through the table by a key, up to the last one that is there now.

    What it tells (RAISE DEBUG) is for the display of an upgrade; psql doesn't show it.

    Args:
        table: which.
        key: its columns.
        name: the table's, as SQL has it.
        change: returns what is done to a batch of rows. It is given what returns their condition, with what
            stands before the columns, and passes over those that are done, so that it may be run again.
        saying_so: what comes before each batch.
    """
    taken = {each.name for each in table.columns}
    low, high, last = (temporary_name(each, "", taken) for each in ("low", "high", "last"))
    keys = quoted_list(key)

    def row(variable: str | None = None) -> str:
        words = [f"{variable}.{quoted(each)}" if variable else quoted(each) for each in key]
        return words[0] if len(words) == 1 else f"({', '.join(words)})"

    def rows(variable: str = "") -> str:
        return f"{row(variable)} BETWEEN {row(low)} AND {row(high)}"

    backwards = ", ".join(f"{each} DESC" for each in map(quoted, key))
    return do_block(
        [
            f"DECLARE {low} record; {high} record; {last} record; BEGIN",
            f"    SELECT {keys} INTO {low} FROM {name} ORDER BY {keys} LIMIT 1;",  # noqa: S608 - quoted names
            f"    SELECT {keys} INTO {last} FROM {name} ORDER BY {backwards} LIMIT 1;",  # noqa: S608
            "    LOOP",
            f"        SELECT {keys} INTO {high} FROM {name} WHERE {row()} > {row(low)}"  # noqa: S608
            f" ORDER BY {keys} OFFSET {ROWS - 1} LIMIT 1;",
            f"        {high} := CASE WHEN {high} < {last} THEN {high} ELSE {last} END;{saying_so}",
            f"        {change(rows)};",
            f"        COMMIT; RAISE DEBUG '% of %', {high}, {last};",
            f"        EXIT WHEN {high} IS NOT DISTINCT FROM {last}; {low} := {high}; "
            f"PERFORM pg_sleep({PAUSE});",
            "    END LOOP;",
        ]
    )


def _by_pages(table: Table, name: str, fill: Fill, *, is_alone: bool) -> str:
    """Return a block that goes through the table page by page, up to the last one that is there now."""
    taken = {each.name for each in table.columns}
    turn, part, pages, page = (temporary_name(each, "", taken) for each in ("turn", "part", "pages", "page"))
    condition = fill.condition
    if fill.may_be_null:
        condition += f" AND ({fill.value}) IS DISTINCT FROM NULL"  # of a row, IS NOT NULL means all fields
    change = f" SET {quoted(fill.column)} = {fill.value} WHERE {condition}"
    low, high = (f"format('(%s,0)', {each})::tid" for each in (page, f"{page} + {PAGES}"))
    if is_alone:
        table_sql, declared = literal(name), f"{pages} int;"
        ask = f"EXIT WHEN NOT EXISTS (SELECT FROM {name} WHERE {condition});"
        update = f"UPDATE {name}{change} AND ctid >= {low} AND ctid < {high};"
    else:
        table_sql, declared = part, f"{part} regclass; {pages} int;"
        ask = f"FOR {part} IN SELECT DISTINCT tableoid FROM {name} WHERE {condition} LOOP"  # noqa: S608
        change_it = dollar_quoted(f"{change} AND ctid >= $1 AND ctid < $2", "change")
        update = f"EXECUTE 'UPDATE ONLY ' || {part} || {change_it} USING {low}, {high};"
    through = [
        f"{pages} := pg_relation_size({table_sql}) / current_setting('block_size')::int;",
        f"FOR {page} IN 0..{pages} BY {PAGES} LOOP{fill.saying_so}",
        f"    {update}",
        f"    COMMIT; RAISE DEBUG 'page % of %', {page}, {pages}; PERFORM pg_sleep({PAUSE});",
        "END LOOP;",
    ]
    if not is_alone:
        through = [*(f"    {each}" for each in through), "END LOOP; EXIT WHEN NOT FOUND;"]
    return do_block(
        [
            f"DECLARE {declared} BEGIN",
            f"    FOR {turn} IN 1..{TIMES} LOOP",
            f"        {ask}",
            *(f"        {each}" for each in through),
            "    END LOOP;",
            *([] if fill.is_kept else [f"   {fill.saying_so} UPDATE {name}{change};"]),
        ]
    )


def _stop_at_rows_passed_over(name: str, fill: Fill) -> str:
    """Return a block that stops where a trigger, or a rule, has kept the update from a table's row."""
    column, where = quoted(fill.column), fill.condition
    none = f"{column} IS NOT DISTINCT FROM NULL AND ({fill.value}) IS DISTINCT FROM NULL"
    if where != f"{column} IS NULL":
        none += f" AND {where}"  # NULL may be what the value was before, and right
    said = (
        f"Rows of {name} get no value in {column}: a trigger or rule keeps updates from them. ",
        f"Disable it, UPDATE {name} SET {column} = {fill.value} WHERE {column} IS NULL, enable it",  # noqa: S608
    )
    return do_block(
        [
            "BEGIN",
            f"    IF EXISTS (SELECT FROM {name} WHERE {none}) THEN",
            f"        RAISE USING ERRCODE = '23000', MESSAGE = {literal(said[0])}",
            f"            || {literal(said[1])};",
            "    END IF;",
        ]
    )


def backfill(table: Table, fill: Fill, catalog: Catalog) -> Outside:
    """Return what gives rows their values, in batches, and stops where one can't get it.

    Args:
        table: whose rows.
        fill: what.
        catalog: the schema by then.
    """
    name = sql_name(table.name, catalog)
    if table.primary_key is not None:
        change = f"UPDATE {name} SET {quoted(fill.column)} = {fill.value} WHERE {fill.condition} AND "  # noqa: S608
        filled = _by_key(
            table, table.primary_key.columns, name, lambda rows: f"{change}{rows('')}", fill.saying_so
        )
    else:
        has_heirs = any(table.name in each.parents for each in catalog.tables.values())
        filled = _by_pages(table, name, fill, is_alone=not table.partition_key and not has_heirs)
    looked = [_stop_at_rows_passed_over(name, fill)] if fill.is_moved else []
    return Outside(SqlOp(each, None, table.name) for each in (filled, *looked))


def copied(table: Table, new: Table, columns: tuple[str, ...], catalog: Catalog) -> SqlOp:
    """Return what copies rows into a table which a trigger keeps equal, in batches.

    A row that somebody changes meanwhile is waited for, for the trigger copies it: none is copied as it was.
    The others of its batch are committed by then, and nobody waits for them.

    Args:
        table: whose rows.
        new: the table that gets them.
        columns: of both.
        catalog: the schema.

    Raises:
        TypeError: the new one has no primary key.
    """
    if new.primary_key is None:
        raise TypeError(new.name)
    name, its, key = sql_name(table.name, catalog), sql_name(new.name, catalog), new.primary_key.columns
    conflict = f"ON CONFLICT ON CONSTRAINT {quoted(new.primary_key.name)} DO NOTHING"
    listed = ", ".join(f"o.{quoted(each)}" for each in columns)
    is_there = " AND ".join(f"n.{quoted(each)} = o.{quoted(each)}" for each in key)

    def copy(rows: Callable[[str], str], how: str = "") -> str:
        return (
            f"INSERT INTO {its} ({quoted_list(columns)})\n"  # noqa: S608 - quoted names
            f"            SELECT {listed} FROM ONLY {name} o\n"
            f"            WHERE {rows('o')} AND NOT EXISTS (\n"
            f"                SELECT FROM {its} n WHERE {is_there} AND {rows('n')})\n"
            f"            FOR NO KEY UPDATE OF o{how} {conflict}"
        )

    def batch(rows: Callable[[str], str]) -> str:
        return f"{copy(rows, ' SKIP LOCKED')};\n        COMMIT;\n        {copy(rows)}"

    return SqlOp(_by_key(table, key, name, batch), None, table.name)
