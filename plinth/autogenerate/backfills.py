"""Backfills: values for rows that have none, batch by batch, as a plain loop in the revision's file."""

from typing import Any

from alembic.operations import ops

from plinth.autogenerate.quoting import quoted, sql_name, without_binds
from plinth.autogenerate.steps import SqlOp
from plinth.catalog.picture import Catalog, Table

ROWS = 1000  # in a batch: few enough to be over before anybody waits for one of them
PAUSE = 0.01  # seconds between two batches, for others and for the replicas


class BackfillOp(ops.MigrateOperation):
    """Gives rows that have no value in a column one, by ranges of the primary key.

    Each batch is a statement with a commit of its own, and passes over rows that have a value: a run that was
    interrupted is taken up again, and does no row twice.

    Args:
        table: its name, as SQL has it.
        column: likewise.
        keys: the columns of the primary key, likewise.
        value: the SQL expression.
    """

    summary = None

    def __init__(self, table: str, column: str, keys: tuple[str, ...], value: str) -> None:
        self.table = table
        self.column = column
        self.keys = keys
        self.value = value

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return it as `alembic check` lists it."""
        return ("backfill", self.table, self.column)

    def batch(self, lower: str) -> str:
        """Return the statement for one batch; it returns the last key.

        Args:
            lower: where the batch begins.
        """
        keys = ", ".join(self.keys)
        key = keys if len(self.keys) == 1 else f"({keys})"
        backwards = ", ".join(f"{each} DESC" for each in self.keys)
        return (
            f"WITH batch AS MATERIALIZED (\n"  # noqa: S608 - quoted names
            f"    SELECT {keys} FROM {self.table} WHERE {key} >= {lower} ORDER BY {keys} LIMIT {ROWS}\n"
            f"), filled AS (\n"
            f"    UPDATE {self.table} SET {self.column} = {self.value}\n"
            f"    WHERE {self.column} IS NULL AND {key} IN (SELECT {keys} FROM batch)\n"
            f")\n"
            f"SELECT {keys} FROM batch ORDER BY {backwards} LIMIT 1"
        )

    def source(self) -> str:
        """Return the Python that does it."""
        names = [f"key_{number}" for number in range(1, len(self.keys) + 1)]
        bound = [f":{name}" for name in names]
        lower = bound[0] if len(bound) == 1 else f"({', '.join(bound)})"
        marked = lower.replace(":", "\0")
        batch = without_binds(self.batch(marked)).replace("\0", ":")
        first = without_binds(self.first())
        return "\n".join(
            [
                "# Each batch has a commit of its own, and passes over rows that have a value.",
                "with op.get_context().autocommit_block():",
                "    if op.get_context().as_sql:",
                "        op.execute(",
                _text(without_binds(self.block()), 12),
                "        )",
                "        return",
                "    batch = sa.text(",
                _text(batch, 8),
                "    )",
                "    connection = op.get_bind()",
                f"    at = connection.execute(sa.text({first!r})).one_or_none()",
                "    while at:",
                f"        keys = dict(zip({names!r}, at, strict=True))",
                "        reached = connection.execute(batch, keys).one_or_none()",
                "        at = None if reached == at else reached",
                f"        time.sleep({PAUSE})",
            ]
        )

    def first(self) -> str:
        """Return the query for the first key."""
        keys = ", ".join(self.keys)
        return f"SELECT {keys} FROM {self.table} ORDER BY {keys} LIMIT 1"  # noqa: S608 - quoted names

    def block(self) -> str:
        """Return the same for psql: a block that commits batch by batch."""
        own = [f"at_{number}" for number in range(1, len(self.keys) + 1)]
        new = [f"reached_{number}" for number in range(1, len(self.keys) + 1)]
        declared = [
            f"    {name} {self.table}.{key}%TYPE;"
            for names in (own, new)
            for name, key in zip(names, self.keys, strict=True)
        ]
        lower = own[0] if len(own) == 1 else f"({', '.join(own)})"
        reached = new[0] if len(new) == 1 else f"({', '.join(new)})"
        head, _, tail = self.batch(lower).rpartition("\nSELECT ")
        columns, _, rest = tail.partition(" FROM ")
        batch = f"{head}\nSELECT {columns} INTO {', '.join(new)} FROM {rest};"
        keys, _, after = self.first().removeprefix("SELECT ").partition(" FROM ")
        return "\n".join(
            [
                "DO $backfill$",
                "DECLARE",
                *declared,
                "BEGIN",
                f"    SELECT {keys} INTO {', '.join(own)} FROM {after};",  # noqa: S608 - quoted names
                "    WHILE FOUND LOOP",
                *(f"        {line}" for line in batch.split("\n")),
                "        COMMIT;",
                f"        EXIT WHEN {own[0]} IS NULL OR {new[0]} IS NULL OR {lower} = {reached};",
                *(f"        {mine} := {its};" for mine, its in zip(own, new, strict=True)),
                f"        PERFORM pg_sleep({PAUSE});",
                "    END LOOP;",
                "END $backfill$",
            ]
        )


def _text(text: str, indent: int) -> str:
    """Return a text of several lines in Python, indented with the code."""
    quoted_text = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    lines = [f'"""\n{quoted_text}\n"""']
    return "\n".join(" " * indent + line if line else line for line in "\n".join(lines).split("\n"))


def backfill_op(table: Table, column: str, value: str, catalog: Catalog) -> ops.MigrateOperation:
    """Return what gives rows their values: in batches, where there is a primary key to go by."""
    name = sql_name(table.name, catalog)
    key = table.primary_key
    if key is None:
        where = f"WHERE {quoted(column)} IS NULL"
        return SqlOp(f"UPDATE {name} SET {quoted(column)} = {value} {where}", None, table.name)  # noqa: S608
    return BackfillOp(name, quoted(column), tuple(map(quoted, key.columns)), value)
