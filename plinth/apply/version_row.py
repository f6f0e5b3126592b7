"""The version table's row, changed by a statement that is compiled once.

Alembic writes both revisions into its UPDATE as literals, so that SQLAlchemy compiles it anew for each: in a
revision that does little, nothing costs more.
"""

import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import BinaryExpression, Column, Connection, Executable, Table, TextClause, Update, text

from plinth.listening import listening

_LITERAL = re.compile(r"'([\w.-]+)'", re.ASCII)

Executed = tuple[Executable, Sequence[Any], Mapping[str, Any]]


@contextmanager
def compiled_once(connection: Connection) -> Iterator[None]:
    """Let Alembic's UPDATE take the revisions as parameters as long as the block runs.

    Whatever has another form stays as it is.

    Args:
        connection: the migrations'.
    """
    known: dict[Table, TextClause] = {}

    def before(
        _: Connection, statement: Executable, many: Sequence[Any], one: Mapping[str, Any], __: object
    ) -> Executed:
        revisions = _revisions(statement) if isinstance(statement, Update) and not (many or one) else None
        if revisions is None or not isinstance(statement, Update) or not isinstance(statement.table, Table):
            return statement, many, one
        if statement.table not in known:
            table = connection.dialect.identifier_preparer.format_table(statement.table)
            table = table.replace("%%", "%").replace(":", r"\:")  # as text() takes it
            update = f"UPDATE {table} SET version_num=:new WHERE version_num = :old"  # noqa: S608 - quoted
            known[statement.table] = text(update)
        return known[statement.table], many, revisions

    with listening((connection, "before_execute", before), retval=True):
        yield


def _revisions(statement: Update) -> dict[str, str] | None:
    """Return the revisions of Alembic's own UPDATE; None for any other statement."""
    where, values = statement.whereclause, dict(getattr(statement, "_values", None) or {})
    if (
        not isinstance(where, BinaryExpression)
        or where.operator is not operator.eq
        or not isinstance(where.left, Column)
        or (where.left.table, where.left.name) != (statement.table, "version_num")
        or len(statement.table.c) != 1
        or [str(getattr(each, "key", each)) for each in values] != ["version_num"]
        or statement.returning_column_descriptions
    ):
        return None
    [new] = values.values()
    found = [
        _LITERAL.fullmatch(each.name) for each in (new, where.right) if getattr(each, "is_literal", False)
    ]
    matches = [each[1] for each in found if each]
    return {"new": matches[0], "old": matches[1]} if len(matches) == 2 else None
