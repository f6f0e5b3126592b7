"""Whether a statement finds the rows that it changes by constants or by a LIMIT, or goes through a table.

PostgreSQL's own plan says so, whatever words the statement has.
"""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.sql import Identifier

Plan = dict[str, Any]

_OID = "select cast(%s as regclass)::oid::bigint"
_CONDITIONS = ("Index Cond", "TID Cond")
_EQUALS = re.compile(r"(?<![<>!])=")


def gone_through(
    session: "psycopg.Connection[Any]",
    statement: str,
    parameters: Any,  # noqa: ANN401
) -> set[int] | None:
    """Return the tables (oids) of which it changes what it finds by going through some table.

    Args:
        session: in a transaction, which stays as it is, locks included.
        statement: one UPDATE, DELETE or MERGE, or one with such a part; else the answer is None.
        parameters: its own.
    """
    try:
        with session.transaction(force_rollback=True):
            # Binary, so that the server refuses several statements at once.
            explained = f"explain (verbose, format json) {statement}"
            row = session.cursor(binary=True).execute(explained.encode(), parameters).fetchone()
            plan: Plan = row[0][0]["Plan"] if row else {}
            changes = [each for each in _nodes(plan) if each["Node Type"] == "ModifyTable"]
            if all(each["Operation"] == "Insert" for each in changes):
                return None
            names = [Identifier(each["Schema"], each["Relation Name"]) for each in changes if _is_open(each)]
            return {session.execute(_OID, [name.as_string()]).fetchone()[0] for name in names}  # type: ignore[index]
    except psycopg.Error:
        return None


def _children(node: Plan) -> list[Plan]:
    """Return what feeds a node: neither what is computed for each row, nor once."""
    return [
        each
        for each in node.get("Plans", [])
        if each.get("Parent Relationship") not in {"SubPlan", "InitPlan"}
        or each.get("Subplan Name", "").startswith("CTE ")
    ]


def _nodes(node: Plan) -> Iterator[Plan]:
    yield node
    for each in _children(node):
        yield from _nodes(each)


def _is_open(node: Plan) -> bool:
    """Whether a table is gone through from end to end, or from somewhere on, below no LIMIT."""
    if node["Node Type"] == "Limit":
        return False
    is_scan = "Relation Name" in node and node["Node Type"].endswith("Scan")
    if not is_scan:
        return any(map(_is_open, _children(node)))
    # A bitmap's conditions stand below it.
    conditions = [each[name] for each in _nodes(node) for name in _CONDITIONS if name in each]
    return all(map(_says_no_end, conditions))


def _says_no_end(condition: str) -> bool:
    """Whether a condition says but where to begin or to end; one with another table's column has an "="."""
    return not (_EQUALS.search(condition) or ("<" in condition and ">" in condition))
