"""Backfills: values for rows that have none, batch by batch, each with a commit of its own.

A table is gone through by its primary key; without one by its pages, partition by partition, heir by heir. A
row that is changed meanwhile moves to another page, maybe to one that was passed: the pages are gone through
again, until one look at all rows finds none without a value. If an application is faster each time, what is
left comes last, in one statement.
"""

from dataclasses import dataclass

from alembic.operations import ops

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
        is_moved: what it is made of goes: a row that the update passed over stops it.
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

    def stop_at_rows_passed_over(self, name: str) -> list[str]:
        """Return the lines that stop where a trigger, or a rule, has kept the update from a table's row."""
        if not self.is_moved:
            return []
        none = f"{quoted(self.column)} IS NOT DISTINCT FROM NULL AND ({self.value}) IS DISTINCT FROM NULL"
        if self.missing not in {None, f"{quoted(self.column)} IS NULL"}:
            none += f" AND {self.missing}"  # NULL may be what the value was before, and right
        said = (
            f"Rows of {name} get no value in {quoted(self.column)}: a trigger or rule, which no revision "
            "knows, keeps updates from them. Take it away for the time, and run the same command again"
        )
        return [
            f"    IF EXISTS (SELECT FROM {name} WHERE {none}) THEN",
            f"        RAISE USING MESSAGE = {literal(said)};",
            "    END IF;",
        ]


def _by_key(table: Table, key: tuple[str, ...], name: str, fill: Fill) -> str:
    """Return a block that goes through the table by a key, up to the last one that is there now.

    It passes over rows in which nothing is missing, so it may be run again. What it tells (RAISE DEBUG) is
    for the display of an upgrade; psql doesn't show it.
    """
    taken = {each.name for each in table.columns}
    low, high, last = (temporary_name(each, "", taken) for each in ("low", "high", "last"))
    keys = quoted_list(key)

    def row(variable: str | None = None) -> str:
        words = [f"{variable}.{quoted(each)}" if variable else quoted(each) for each in key]
        return words[0] if len(words) == 1 else f"({', '.join(words)})"

    backwards = ", ".join(f"{each} DESC" for each in map(quoted, key))
    return do_block(
        [
            f"DECLARE {low} record; {high} record; {last} record; BEGIN",
            f"    SELECT {keys} INTO {low} FROM {name} ORDER BY {keys} LIMIT 1;",  # noqa: S608 - quoted names
            f"    SELECT {keys} INTO {last} FROM {name} ORDER BY {backwards} LIMIT 1;",  # noqa: S608
            "    LOOP",
            f"        SELECT {keys} INTO {high} FROM {name} WHERE {row()} > {row(low)} AND {row()} <= "  # noqa: S608
            f"{row(last)} ORDER BY {keys} OFFSET {ROWS - 1} LIMIT 1;",
            f"        {high} := CASE WHEN FOUND THEN {high} ELSE {last} END;",
            *([f"        PERFORM set_config('{FILLS}', 'on', true);"] if fill.says_so else []),
            f"        UPDATE {name} SET {quoted(fill.column)} = {fill.value}"  # noqa: S608
            f" WHERE {fill.condition} AND {row()} BETWEEN {row(low)} AND {row(high)};",
            "        COMMIT;",
            f"        RAISE DEBUG '% of %', {high}, {last};",
            f"        EXIT WHEN {high} IS NOT DISTINCT FROM {last};",
            f"        {low} := {high}; PERFORM pg_sleep({PAUSE});",
            "    END LOOP;",
            *fill.stop_at_rows_passed_over(name),
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
    places = [f"format('(%s,0)', {each})::tid" for each in (page, f"{page} + {PAGES}")]
    if is_alone:
        update = [f"UPDATE {name}{change} AND ctid >= {places[0]} AND ctid < {places[1]};"]
    else:
        change_it = dollar_quoted(f"{change} AND ctid >= $1 AND ctid < $2", "change")
        update = [
            f"EXECUTE 'UPDATE ONLY ' || {part} || {change_it}",
            f"    USING {', '.join(places)};",
        ]
    through = [
        f"{pages} := pg_relation_size({literal(name) if is_alone else part})"
        " / current_setting('block_size')::int;",
        f"FOR {page} IN 0..{pages} BY {PAGES} LOOP",
        *([f"    PERFORM set_config('{FILLS}', 'on', true);"] if fill.says_so else []),
        *(f"    {each}" for each in update),
        "    COMMIT;",
        f"    RAISE DEBUG 'page % of %', {page}, {pages}; PERFORM pg_sleep({PAUSE});",
        "END LOOP;",
    ]
    if not is_alone:
        tables = (
            f"WITH RECURSIVE tree AS (SELECT {literal(name)}::regclass::oid AS id"  # noqa: S608 - quoted names
            " UNION SELECT inhrelid FROM pg_inherits, tree WHERE inhparent = id)"
            " SELECT id FROM tree, pg_class WHERE oid = id AND relkind = 'r'"
        )
        through = [f"FOR {part} IN {tables} LOOP", *(f"    {each}" for each in through), "END LOOP;"]
    declared = f"{pages} int;" if is_alone else f"{part} regclass; {pages} int;"
    return do_block(
        [
            f"DECLARE {declared} BEGIN",
            f"    FOR {turn} IN 1..{TIMES} LOOP",
            f"        EXIT WHEN NOT EXISTS (SELECT FROM {name} WHERE {condition});",
            *(f"        {each}" for each in through),
            "    END LOOP;",
            *([] if fill.is_kept else [f"    UPDATE {name}{change};"]),
            *fill.stop_at_rows_passed_over(name),
        ]
    )


def backfill_op(table: Table, fill: Fill, catalog: Catalog) -> ops.MigrateOperation:
    """Return what gives rows their values, in batches.

    Args:
        table: whose rows.
        fill: what.
        catalog: the schema by then.
    """
    name = sql_name(table.name, catalog)
    if table.primary_key is not None:
        return SqlOp(_by_key(table, table.primary_key.columns, name, fill), None, table.name)
    has_heirs = any(table.name in each.parents for each in catalog.tables.values())
    is_alone = not table.partition_key and not has_heirs
    return SqlOp(_by_pages(table, name, fill, is_alone=is_alone), None, table.name)
