"""Whether a statement finds the rows that it changes by constants or by a LIMIT, or goes through a table.

PostgreSQL's own plan says so, whatever words the statement has.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from psycopg.sql import Identifier

from plinth.sql_text import lexed, parts

Plan = dict[str, Any]

_OID = "select cast(%s as regclass)::oid::bigint"
_CONDITIONS = ("Index Cond", "TID Cond")


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
            named = {str(each.get("Subplan Name")): each for each in _nodes(plan)}
            names = [
                Identifier(each["Schema"], each["Relation Name"])
                for each in changes
                if not _is_limited(each, named)
            ]
            return {session.execute(_OID, [name.as_string()]).fetchone()[0] for name in names}  # type: ignore[index]
    except psycopg.Error:
        return None


def _nodes(node: Plan) -> Iterator[Plan]:
    yield node
    for each in node.get("Plans", []):
        yield from _nodes(each)


def _is_limited(node: Plan, named: Mapping[str, Plan]) -> bool:
    """Whether a part of a plan gives no more rows than somebody has named: as a join one of whose sides does.

    Args:
        node: the part.
        named: the plans of WITH, by what EXPLAIN calls them.
    """
    kind, inner = node["Node Type"], node.get("Plans", [])
    # What is computed for each row, or once, feeds nothing.
    feeding = [each for each in inner if each.get("Parent Relationship") not in {"SubPlan", "InitPlan"}]
    if kind in {"Limit", "Values Scan"} or (kind == "Result" and not feeding):
        return True
    if "CTE Name" in node:
        plan = named.get(f"CTE {node['CTE Name']}")
        return plan is not None and _is_limited(plan, named)
    if "Relation Name" in node and kind != "ModifyTable":
        conditions = (each[name] for each in _nodes(node) for name in _CONDITIONS if name in each)
        return any(_names_rows(condition, node["Alias"]) for condition in conditions)
    sides = [_is_limited(each, named) for each in feeding]
    return all(sides) if kind in {"Append", "Merge Append", "ModifyTable"} else any(sides)


def _names_rows(condition: str, alias: str) -> bool:
    """Whether a condition says which rows by constants, and not but where to begin, or by another table."""
    text = lexed(condition)
    if any(parts(each["table"]) != [alias] for each in text.find("<table> . <column>")):
        return False
    said = {*text.listed}
    return "=" in said or not (said.isdisjoint({"<", "<="}) or said.isdisjoint({">", ">="}))
