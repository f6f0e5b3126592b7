"""Views, functions, triggers and the like: made by DDL of the models' own, or by hand.

On a busy database they are made anew when what they stand on allows it, and dropped late.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import replace

from plinth.autogenerate.change.dependents import nodes_there
from plinth.autogenerate.change.order import mentioned
from plinth.autogenerate.change.quoting import comment_sql, shown, sql_name
from plinth.autogenerate.change.refusals import refuse
from plinth.autogenerate.change.stages import Stage
from plinth.autogenerate.change.steps import Change, FillOp, Forced, SqlOp, Step, Waiting
from plinth.autogenerate.change.way import Way
from plinth.catalog.picture import Catalog, ColumnName, Node, Other, only
from plinth.sql_text import lexed

_ROUTINES = {"function", "procedure"}
_GRANTED = {"view", "materialized view"}
_FIRST = {
    *("extension", "composite type", "range type", "collation"),
    *("text search dictionary", "text search configuration"),
}
_WHAT_IT_CAN = {"composite type": ": it can only get further attributes at its end"}
_ATTRIBUTE = re.compile(r'((?:"(?:[^"]|"")*"|[^",()]|\([^()]*\))+)')


def is_replaced(old: Other, new: Other, change: Change) -> bool:
    """Whether an object that changes is dropped and made anew; CREATE OR REPLACE keeps its privileges."""
    if old.definition == new.definition:
        return False
    if old.kind == "view":
        return old.columns != new.columns[: len(old.columns)]
    if old.kind in _ROUTINES:
        return _head(old) != _head(new)
    if old.kind == "composite type":
        return _attribute_changes(old, new, change) is None
    return old.kind != "extension"


def loses_columns(old: Other, new: Other) -> bool:
    """Whether a view becomes one without some of its columns, which running code may still use."""
    return old.kind == "view" and set(new.columns) < set(old.columns)


def _head(routine: Other) -> str:
    """Return what CREATE OR REPLACE can't change: the names and types of arguments, and of the result."""
    return routine.definition.partition("\n LANGUAGE ")[0]


def users(node: Node, catalog: Catalog) -> list[ColumnName]:
    """Return the columns that are of a type."""
    return [
        ColumnName(table.name, column.name)
        for table in catalog.tables.values()
        for column in table.columns
        if node in column.needs
    ]


def _attribute_changes(old: Other, new: Other, change: Change) -> list[str] | None:
    """Return what ALTER TYPE does to a composite type; None where it can't be altered, and taken back."""
    before, after = _attributes(old), _attributes(new)
    kept = [name for name in before if name in after]
    if list(before)[: len(kept)] != kept or list(after)[: len(kept)] != kept:
        return None  # new attributes come last
    changed = [name for name in kept if before[name] != after[name]]
    if changed and (users(old.node, change.before) or users(new.node, change.after)):
        return None
    actions = [f"DROP ATTRIBUTE {name}" for name in before if name not in after]
    actions += [f"ALTER ATTRIBUTE {name} TYPE {after[name]}" for name in changed]
    return actions + [f"ADD ATTRIBUTE {name} {type_}" for name, type_ in after.items() if name not in before]


def _attributes(composite: Other) -> dict[str, str]:
    """Return the attributes of a composite type with their types, as they stand in its definition."""
    listed = composite.definition.partition(" AS (")[2].removesuffix(")")
    found = {}
    for each in _ATTRIBUTE.findall(listed):
        name = re.match(r'\s*("(?:[^"]|"")*"|\S+) (.*)', each, re.DOTALL)
        if name:
            found[name[1]] = name[2]
    return found


def steps(change: Change, forced: Forced) -> Iterator[Step]:
    """Yield what makes these objects as they should be.

    Args:
        change: the whole.
        forced: what has to be dropped and made anew, because of what it stands on.

    Raises:
        Refusal: one can't be made anew.
    """
    _refuse_dependents(change)
    before, after = change.before.others, change.after.others
    remade = {key for key, old in before.items() if key in after and old.node in forced.changed}
    for key, old in reversed(list(before.items())):
        if key in after and key not in remade:
            continue
        _refuse_loss(old, change)
        again = "What only another database grants on it goes with it: grant it there again."
        note = again if key in remade and old.kind in _GRANTED else None
        drop = SqlOp(f"DROP {old.address}", f"drop {old.kind} {old.bare}", old.table, note=note)
        yield Step(drop, "drop type" if old.kind in _FIRST else None).dropping(old.node)
    for key, new in after.items():
        found = None if key in remade else before.get(key)
        if found is None or found.definition != new.definition:
            yield from _make(change, found, new, is_remade=key in remade)
        for op in _detail_ops(found, new, before.get(key)):
            yield Step(op, "type").making(new.node) if new.kind in _FIRST else Step(op, "other")
        if key in remade and new.kind == "statistics" and new.table:
            yield Step(SqlOp(f"ANALYZE {sql_name(new.table, change.after)}", table=new.table), "other")


def _refuse_dependents(change: Change) -> None:
    """Return if no view or the like stays as it is although it stands on a column that goes.

    Raises:
        Refusal: one does, and no model says how it should be without it.
    """
    dropped = {
        ColumnName(name, column.name)
        for name, table in change.before.tables.items()
        if change.after.tables.get(name) is not table
        for column in table.columns
        if name not in change.after.tables or change.after.tables[name].column(column.name) is None
    }
    for other in change.before.others.values():
        new = change.after.others.get((other.kind, other.name))
        if new is None or new.definition != other.definition or other.kind == "statistics":
            continue
        if other.table is not None and other.table not in change.after.tables:
            continue
        used = sorted(other.uses & dropped)
        if used and other.kind not in {"function", "trigger"}:
            refuse(
                "dependent",
                f"The {other.kind} {other.name} uses {shown(used[0].table, change.before)}."
                f"{used[0].column}, which would be dropped. Change or drop it first, in a revision of "
                "its own.",
            )


def _refuse_loss(old: Other, change: Change) -> None:
    """Return if an object can be dropped and made anew.

    Raises:
        Refusal: columns that stay are of it.
    """
    kept = sorted(set(users(old.node, change.before)) & set(users(old.node, change.after)))
    if kept:
        refuse(
            "dependent",
            f"PostgreSQL can't change {old.kind} {old.name} in this way while {kept[0].table}."
            f"{kept[0].column} is of it{_WHAT_IT_CAN.get(old.kind, '')}. Make a second type beside it "
            "and move the column to it, in a revision written by hand.",
        )


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
            yield SqlOp(detail.undo, f"change {after.bare}", after.table)
    for detail in after.details:
        if detail not in old:
            for statement in detail.statements:
                is_index = before is not None and lexed(statement).begins("create [unique] index") is not None
                why = f"An index of the {after.kind} {after.name} is built while nobody can refresh it"
                waiting = Waiting(why, "require-concurrent-index-creation") if is_index else None
                yield SqlOp(statement, f"change {after.bare}", after.table, waiting=waiting)
    if after.comment != (before.comment if before else None):
        summary = f"comment {after.bare}" if before else None
        yield SqlOp(comment_sql(after.address, after.comment), summary, after.table)
    if before is None:
        for statement in after.privileges or (standing.privileges if standing else ()):
            yield SqlOp(statement)


def _make(change: Change, old: Other | None, new: Other, *, is_remade: bool) -> Iterator[Step]:
    """Yield what makes an object, or changes the one that is there."""
    if new.kind == "aggregate":
        refuse("aggregate", f"Aggregate {new.name} must be made by a revision written by hand.")
        return
    if old and new.kind == "extension":
        if not old.can_move:
            _refuse_move(old, new)
            return
        moved = SqlOp(f"ALTER EXTENSION {new.name} SET SCHEMA {new.definition.rpartition(' SCHEMA ')[2]}")
        yield Step(moved, "schema").making(new.node)
        return
    if old and new.kind == "composite type":
        for action in _attribute_changes(old, new, change) or ():
            if action.startswith("DROP") and not change.is_downgrade and users(old.node, change.before):
                refuse(
                    "dependent",
                    f"The {old.kind} {old.name} would lose an attribute, and rows have values in it: "
                    f"write ALTER TYPE {old.name} {action} in a revision by hand.",
                )
            sql = f"ALTER TYPE {_sql_name(new)} {action}"
            step = Step(SqlOp(sql, f"change {new.bare}"), "type").making(new.node)
            yield step if action.startswith("ADD") else step.dropping(new.node)
        return
    sql = new.definition.strip()
    if old and new.kind == "view":
        sql = sql.replace("CREATE", "CREATE OR REPLACE", 1)
    is_filled = new.kind == "materialized view" and not sql.endswith(" WITH NO DATA")
    why = f"The {new.kind} {new.name} is filled anew while nobody can read it"
    create = (FillOp if is_filled else SqlOp)(
        sql,
        f"create {new.kind} {new.bare}",
        new.view if old and new.view else new.table,
        waiting=Waiting(why, "blocks") if is_filled and is_remade else None,
    )
    about = None
    if new.kind in _FIRST:
        about = "schema" if new.kind == "extension" else "type"
    step = Step(create, about).making(new.node)
    yield step.dropping(new.node) if old else step


def _refuse_move(old: Other, new: Other) -> None:
    schemas = [each.definition.rpartition(" SCHEMA ")[2] for each in (old, new)]
    refuse(
        "extension",
        f"Extension {old.name} stands in schema {schemas[0]} and should stand in {schemas[1]}, and it is one "
        "that PostgreSQL can't move. Leave it where it is, in the models too: CREATE EXTENSION "
        f"{old.name} SCHEMA {schemas[0]}. Or make it anew by a revision written by hand: drop what stands on "
        f"it, op.execute('DROP EXTENSION {old.name}') and op.execute('{new.definition}').",
    )


def _sql_name(type_: Other) -> str:
    return type_.definition.partition("CREATE TYPE ")[2].partition(" AS ")[0]


def goes_before_swaps(way: Way, other: Other) -> bool:
    """Whether something is a trigger that isn't there any more when columns are filled."""
    return other.kind == "trigger" and (other.kind, other.name) not in way.change.after.others


# On a busy database


def _change_what_is_called(way: Way) -> None:
    """Make functions anew for whose sake constraints and indexes are gone, before these come back."""
    tables, forced = way.before.tables, way.forced
    needs = [tables[table].constraints[name].needs for table, name in forced.parts("constraint")]
    needs += [tables[table].indexes[name].needs for table, name in forced.parts("index")]
    called = frozenset[Node]().union(*needs)
    there = nodes_there(way.at)
    changed = {}
    for key, old in way.at.others.items():
        new = way.change.after.others.get(key)
        if old.node in called and new and is_replaced(old, new, way.change) and new.needs <= there:
            changed[key] = new
    way.go(replace(way.at, others={**way.at.others, **changed}))


def _drop_triggers(way: Way) -> None:
    """Drop triggers that go before columns are filled: what they do to rows is wanted no more."""
    for name in sorted({place.table for place in way.swapped}):
        others = only(way.at.others, lambda each: each.table != name or not goes_before_swaps(way, each))  # noqa: B023
        way.go(replace(way.at, others=others))


def _change_those_of_tables(way: Way) -> None:
    """Change triggers, rules, policies and what puts these in force: no lock is held on two tables."""
    after, there = way.change.after, nodes_there(way.at)
    for name in sorted(way.at.tables.keys() & after.tables.keys()):
        own = only(way.at.others, lambda each: each.table == name)  # noqa: B023
        to = {key: each for key, each in own.items() if key in after.others}
        to |= only(after.others, lambda each: each.table == name and each.needs <= there)  # noqa: B023
        table = replace(way.at.tables[name], row_security=after.tables[name].row_security)
        if to != own or table != way.at.tables[name]:
            others = {key: each for key, each in way.at.others.items() if key not in own}
            way.go(replace(way.with_table(table), others={**others, **to}))


def _drop_views(way: Way) -> None:
    """Drop views and their columns, and functions, before what these stand on."""
    at, wanted = way.at, way.change.after.others
    kept = {
        key: wanted[key] if key in wanted and loses_columns(each, wanted[key]) else each
        for key, each in at.others.items()
        if key in wanted or each.table in at.tables
    }
    way.go(with_what_is_needed(at, replace(at, others=kept)))


def with_what_is_needed(at: Catalog, to: Catalog) -> Catalog:
    """Return a schema with those views and functions of another that something in it still stands on."""
    others = dict(to.others)

    def needs(node: Node) -> Collection[Node]:
        called = mentioned(node, at) if (node.kind, node.name) not in to.others else ()  # it goes later
        return {*to.needs(node), *at.needs(node), *called}

    while (
        more := {
            (node.kind, node.name)
            for each in replace(to, others=others).nodes
            for node in needs(each)
            if isinstance(node.name, str) and (node.kind, node.name) not in others
        }
        & at.others.keys()
    ):
        others = {**{key: at.others[key] for key in more}, **others}
    return replace(to, others=others)


STAGES = (
    Stage("functions that parts call", _change_what_is_called, ["no indexes in the way"]),
    Stage("no triggers that go", _drop_triggers, ["columns"]),
    Stage("what belongs to tables", _change_those_of_tables, ["partitions beside default ones"]),
    Stage("no views that go", _drop_views, ["the rest"], is_after=True),
)
