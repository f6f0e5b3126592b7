"""Views, functions, triggers and the like: made by DDL of the models' own, or by hand."""

from collections.abc import Iterator

from plinth.autogenerate.quoting import literal, quoted
from plinth.autogenerate.refusals import Refusal
from plinth.autogenerate.steps import Change, Phase, SqlOp, Step
from plinth.catalog.picture import Catalog, ColumnName, Other

Key = tuple[str, str]

_ROUTINES = {"function", "procedure"}
_FIRST = {
    *("extension", "composite type", "range type", "collation"),
    *("text search dictionary", "text search configuration"),
}
_REPLACEABLE = {"function", "procedure"}


def drop_sql(other: Other) -> str:
    """Return the statement that drops an object."""
    kind = "TYPE" if other.kind.endswith("type") else other.kind.upper()
    name = (
        other.name.replace(" on ", " ON ", 1) if other.kind in {"trigger", "policy", "rule"} else other.name
    )
    return f"DROP {kind} {name}"


def comment_sql(other: Other) -> str:
    """Return the statement that comments an object."""
    kind = "TYPE" if other.kind.endswith("type") else other.kind.upper()
    name = (
        other.name.replace(" on ", " ON ", 1) if other.kind in {"trigger", "policy", "rule"} else other.name
    )
    text = "NULL" if other.comment is None else literal(other.comment)
    return f"COMMENT ON {kind} {name} IS {text}"


def dependents(catalog: Catalog, columns: set[ColumnName]) -> set[Key]:
    """Return the objects that stand on columns, and those that stand on these."""
    found: set[Key] = set()
    more = True
    while more:
        views = {other.name for (kind, _), other in catalog.others.items() if (kind, other.name) in found}
        more = False
        for key, other in catalog.others.items():
            on_columns = other.uses & columns
            used = {f"{quoted(use.table.schema)}.{quoted(use.table.name)}" for use in other.uses}
            moves = other.kind in {"function", "statistics"}
            if key not in found and not moves and (on_columns or used & views):
                found.add(key)
                more = True
    return found


def steps(change: Change, forced: set[Key]) -> Iterator[Step]:
    """Yield what makes these objects as they should be.

    Args:
        change: the whole.
        forced: those that have to be dropped and made anew, because of what they stand on.

    Raises:
        Refusal: one can't be made anew.
    """
    before, after = change.before.others, change.after.others
    order = list(before)
    for key in sorted(before, key=lambda key: -order.index(key)):
        old, new = before[key], after.get(key)
        if new is None or key in forced or _is_replaced(old, new):
            phase = Phase.DROP_OTHERS
            if old.kind in _ROUTINES:
                phase = Phase.DROP_TABLES
            elif old.kind in _FIRST:
                phase = Phase.DROP_TYPES
            yield Step(phase, SqlOp(drop_sql(old), f"drop {old.kind} {_short(old)}"))
    for key, new in after.items():
        found = before.get(key)
        is_new = found is None or key in forced or _is_replaced(found, new)
        if is_new or found is None or found.definition != new.definition:
            if new.kind == "aggregate":
                raise Refusal(
                    "aggregate", f"Aggregate {new.name} must be made by a revision written by hand."
                )
            phase = Phase.OTHERS
            if new.kind in _FIRST:
                phase = Phase.SCHEMAS if new.kind == "extension" else Phase.TYPES
            elif new.kind in _ROUTINES and _is_early(new, change.after):
                phase = Phase.FUNCTIONS
            sql = new.definition.strip()
            if new.kind == "view" and not is_new:
                sql = sql.replace("CREATE", "CREATE OR REPLACE", 1)
            yield Step(phase, SqlOp(sql, f"create {new.kind} {_short(new)}"))
        for op in _detail_ops(None if is_new else found, new, found):
            yield Step(Phase.TYPES if new.kind in _FIRST else Phase.OTHERS, op)


def _detail_ops(before: Other | None, after: Other, standing: Other | None) -> Iterator[SqlOp]:
    """Yield what else is said of an object: its comment, a disabled trigger, a materialized view's indexes.

    Args:
        before: what was said of it; None if it is made anew.
        after: what should be.
        standing: the one that was there, whose privileges the new one gets too.
    """
    old = before.details if before else ()
    for detail in reversed(old):
        if detail not in after.details:
            yield SqlOp(detail.undo, f"change {_short(after)}")
    for detail in after.details:
        if detail not in old:
            for statement in detail.statements:
                yield SqlOp(statement, f"change {_short(after)}")
    if after.comment != (before.comment if before else None):
        yield SqlOp(comment_sql(after), f"comment {_short(after)}" if before else None)
    if before is None:
        for statement in after.privileges or (standing.privileges if standing else ()):
            yield SqlOp(statement)


def _is_replaced(old: Other, new: Other) -> bool:
    """Whether an object that changes is dropped and made anew; CREATE OR REPLACE keeps its privileges."""
    if old.kind == "view" and old.columns == new.columns[: len(old.columns)]:
        return False
    return old.definition != new.definition and old.kind not in _REPLACEABLE


def _is_early(function: Other, catalog: Catalog) -> bool:
    """Whether a function is there before the tables: they use it, or it looks at none of them yet."""
    name = function.name.partition("(")[0].rpartition(".")[2]
    texts = (
        text
        for table in catalog.tables.values()
        for text in (
            *(column.default for column in table.columns),
            *(each.definition for each in table.constraints.values()),
            *(each.definition for each in table.indexes.values()),
        )
        if text
    )
    return any(f"{name}(" in text for text in texts)


def _short(other: Other) -> str:
    return other.name.partition(" on ")[0].partition("(")[0].rpartition(".")[2].strip('"')
