"""Enum types: created, dropped, values added, renamed or removed."""

import re
from collections.abc import Collection, Iterator
from dataclasses import replace

from plinth.autogenerate.objects.columns import default_op, retype
from plinth.autogenerate.objects.quoting import comment_sql, literal, quoted, sql_name, temporary_name
from plinth.autogenerate.objects.steps import Change, SqlOp, Step
from plinth.catalog.picture import Catalog, Column, Enum, Name, Node, Table

_ARRAY = re.compile(r"'\{(?:[^']|'')*'")


def create_sql(enum: Enum, catalog: Catalog) -> str:
    """Return the statement that makes an enum type."""
    values = ", ".join(map(literal, enum.values))
    return f"CREATE TYPE {sql_name(enum.name, catalog)} AS ENUM ({values})"


def is_extended(before: Enum, after: Enum) -> bool:
    """Whether values have only been added."""
    rest = iter(after.values)
    return all(value in rest for value in before.values)


def mentioned_values(enum: Enum, change: Change) -> set[str]:
    """Return the values of an enum that the change itself uses: in defaults and in expressions."""
    new = _expressions(change.after) - _expressions(change.before)
    texts = [text for _, text in new]
    texts += [text for place, text in change.backfills.items() if change.after.column(*place)]
    return {value for value in enum.values if any(is_mentioned([value], text) for text in texts)}


def _expressions(catalog: Catalog) -> set[tuple[Node, str]]:
    """Return the SQL of all that is made of some, and whose it is."""
    found = {(other.node, other.definition) for other in catalog.others.values()}
    for table in catalog.tables.values():
        found |= {(table.part("column", each.name), each.default) for each in table.columns if each.default}
        for kind, parts in (("constraint", table.constraints), ("index", table.indexes)):
            found |= {(table.part(kind, name), each.definition) for name, each in parts.items()}
    return found


def is_mentioned(values: Collection[str], text: str) -> bool:
    """Whether any of some values stands in SQL, by itself or in the literal of an array."""
    return any(_is_mentioned(value, text) for value in values)


def _is_mentioned(value: str, text: str) -> bool:
    element = value.replace("\\", "\\\\").replace('"', '\\"')
    return literal(value) in text or any(literal(element)[1:-1] in array for array in _ARRAY.findall(text))


def is_rebuilt(before: Enum, after: Enum, change: Change) -> bool:
    """Whether a type has to be made anew: ADD VALUE doesn't do.

    An added value can't be used before a commit; a downgrade is one transaction.
    """
    if before.values == after.values:
        return False
    if not is_extended(before, after):
        return True
    added = set(after.values) - set(before.values)
    return change.is_downgrade and bool(added & mentioned_values(after, change))


def steps(change: Change) -> Iterator[Step]:
    """Yield what makes the enum types as they should be."""
    before, after = change.before, change.after
    for name, enum in after.enums.items():
        old = before.enums.get(name)
        if old is None:
            create = SqlOp(create_sql(enum, after), f"create {name.name}")
            yield Step(create).making(Node("type", name))
        elif is_rebuilt(old, enum, change):
            yield from rebuild(change, name, create_sql(enum, after))
        elif old.values != enum.values:
            yield from _add_values(change, old, enum)
        if enum.comment != (old.comment if old else None):
            sql = comment_sql(f"TYPE {sql_name(name, after)}", enum.comment)
            yield Step(SqlOp(sql, f"comment {name.name}"), "comment")
    for name in before.enums:
        if name not in after.enums:
            drop = SqlOp(f"DROP TYPE {sql_name(name, before)}", f"drop {name.name}")
            yield Step(drop).dropping(Node("type", name))


def _add_values(change: Change, before: Enum, after: Enum) -> Iterator[Step]:
    name = sql_name(after.name, change.after)
    known = list(before.values)
    for place, value in enumerate(after.values):
        if value in known:
            continue
        where = ""
        if place == 0 and known:
            where = f" BEFORE {literal(known[0])}"
        elif known and known[-1] != after.values[place - 1]:
            where = f" AFTER {literal(after.values[place - 1])}"
        known.insert(place, value)
        op = SqlOp(f"ALTER TYPE {name} ADD VALUE {literal(value)}{where}", f"add {after.name.name} {value}")
        yield Step(op).making(Node("type", after.name))


def columns_of(type_: Name, catalog: Catalog) -> Iterator[tuple[Table, Column]]:
    """Yield the columns that are of a type, or of an array of it."""
    for table in catalog.tables.values():
        for column in table.columns:
            if column.named_type == type_:
                yield table, column


def _aside(name: Name) -> Name:
    """Return what a type is called while one takes its place."""
    return Name(name.schema, temporary_name(name.name, "_old"))


def rebuild(change: Change, name: Name, create: str) -> Iterator[Step]:
    """Yield what makes a type anew under its name, and takes its columns along.

    Args:
        change: the whole.
        name: the type.
        create: the statement that makes the new one.
    """
    dropped = _aside(name)
    kind = "DOMAIN" if name in change.before.domains else "TYPE"
    gone, come = (
        catalog.domains[name].nodes if name in catalog.domains else frozenset({Node("type", name)})
        for catalog in (change.before, change.after)
    )
    rename = f"ALTER {kind} {sql_name(name, change.before)} RENAME TO {quoted(dropped.name)}"
    yield Step(SqlOp(rename, f"change {name.name}"), "type").dropping(*gone)
    yield Step(SqlOp(create)).making(*come)
    for table, column in columns_of(name, change.before):
        new = change.after.column(table.name, column.name)
        if new is None or new.named_type != name or column.generated or not column.is_local:
            continue
        if column.default is not None:
            unset = default_op(change, table, replace(column, default=None))
            yield Step(unset, "type").dropping(table.part("default", column.name))
        yield Step(retype(change, table, column, new), "type").making(table.part("column", column.name))
        if new.default is not None and not new.generated:
            set_ = default_op(change, table, replace(new, name=column.name))
            yield Step(set_, "type").making(table.part("default", column.name))
    drop = Step(SqlOp(f"DROP {kind} {sql_name(dropped, change.after)}")).dropping(Node("type", dropped))
    base = change.before.domains[name].base if name in change.before.domains else None
    yield drop.needing(Node("type", _aside(base))) if base else drop
