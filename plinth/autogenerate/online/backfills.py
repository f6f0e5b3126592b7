"""Backfills: values for rows that have none, batch by batch, each with a commit of its own."""

from dataclasses import dataclass

from alembic.operations import ops

from plinth.autogenerate.objects.quoting import quoted, sql_name, temporary_name
from plinth.autogenerate.objects.steps import SqlOp, Waiting
from plinth.catalog.picture import Catalog, Table

ROWS = 1000  # in a batch: few enough to be over before anybody waits for one of them
FILLS = "plinth.fills"  # a setting that says so while columns are filled
PAUSE = 0.01  # seconds between two batches, for others and for the replicas


@dataclass(frozen=True)
class Fill:
    """Values for rows.

    Args:
        column: its name.
        value: SQL.
        missing: the condition that a row hasn't got its value; that it has none, if None.
        says_so: a setting tells triggers of it (`triggers`).
    """

    column: str
    value: str
    missing: str | None = None
    says_so: bool = False

    @property
    def condition(self) -> str:
        """Which rows get it."""
        return self.missing or f"{quoted(self.column)} IS NULL"


def _block(table: Table, name: str, fill: Fill) -> str:
    """Return a block that goes through the table by its primary key, up to the last one that is there now.

    It passes over rows in which nothing is missing, so it may be run again. What it tells (RAISE DEBUG) is
    for the display of an upgrade; psql doesn't show it.
    """
    key = [] if table.primary_key is None else [quoted(each) for each in table.primary_key.columns]
    taken = {each.name for each in table.columns}
    low, high, last = (temporary_name(each, "", taken) for each in ("low", "high", "last"))
    keys = ", ".join(key)

    def row(variable: str | None = None) -> str:
        words = [f"{variable}.{each}" if variable else each for each in key]
        return words[0] if len(words) == 1 else f"({', '.join(words)})"

    tag = "$$" if "$$" not in fill.value else "$backfill$"
    backwards = ", ".join(f"{each} DESC" for each in key)
    return "\n".join(
        [
            f"DO {tag} DECLARE {low} record; {high} record; {last} record; BEGIN",
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
            f"END {tag}",
        ]
    )


def backfill_op(table: Table, fill: Fill, catalog: Catalog) -> ops.MigrateOperation:
    """Return what gives rows their values: in batches, where there is a primary key to go by.

    Args:
        table: whose rows.
        fill: what.
        catalog: the schema by then.
    """
    name = sql_name(table.name, catalog)
    if table.primary_key is None:
        sql = f"UPDATE {name} SET {quoted(fill.column)} = {fill.value} WHERE {fill.condition}"  # noqa: S608
        waiting = Waiting(
            f"All rows get their values in {table.name.name}.{fill.column} at once, and who writes to one of "
            "them waits until then: the table has no primary key by which to do it in batches",
            "blocks",
        )
        return SqlOp(sql, None, table.name, waiting=waiting)
    return SqlOp(_block(table, name, fill), None, table.name)
