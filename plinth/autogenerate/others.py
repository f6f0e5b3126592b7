"""Views, functions, triggers and the like: made by DDL of the models' own, or by hand."""

from collections.abc import Iterator

from plinth.autogenerate.quoting import literal, quoted
from plinth.autogenerate.refusals import Refusal
from plinth.autogenerate.steps import Change, Phase, SqlOp, Step
from plinth.catalog.picture import Catalog, ColumnName, Other

Key = tuple[str, str]

_ROUTINES = {"function", "procedure"}
_FIRST = {"extension", "composite type", "range type"}
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
            if key in forced and old.privileges is not None:
                raise Refusal(
                    "dependent",
                    f"The {old.kind} {old.name} stands on a column that changes, and would lose its "
                    "privileges. Drop it in a revision of its own before, and make it again after.",
                )
            phase = Phase.DROP_OTHERS
            if old.kind in _ROUTINES:
                phase = Phase.DROP_TABLES
            elif old.kind in _FIRST:
                phase = Phase.DROP_TYPES
            yield Step(phase, SqlOp(drop_sql(old), f"drop {old.kind} {_short(old)}"))
    for key, new in after.items():
        found = before.get(key)
        if found is not None and key not in forced and found.definition == new.definition:
            if found.comment != new.comment:
                yield Step(Phase.OTHERS, SqlOp(comment_sql(new), f"comment {_short(new)}"))
            continue
        if new.kind == "aggregate":
            raise Refusal("aggregate", f"Aggregate {new.name} must be made by a revision written by hand.")
        phase = Phase.OTHERS
        if new.kind in _FIRST:
            phase = Phase.SCHEMAS if new.kind == "extension" else Phase.TYPES
        elif new.kind in _ROUTINES and _is_early(new, change.after):
            phase = Phase.FUNCTIONS
        yield Step(phase, SqlOp(new.definition.strip(), f"create {new.kind} {_short(new)}"))
        if new.comment is not None:
            yield Step(Phase.OTHERS, SqlOp(comment_sql(new)))


def _is_replaced(old: Other, new: Other) -> bool:
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
