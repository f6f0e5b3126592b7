"""Enum types: created, dropped, values added, renamed or removed.

An application names the type in its statements (`'a'::status`). On a busy database the one that is made anew
stands beside the old one, and takes over the name together with all columns that have it, in one transaction.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from plinth.autogenerate.change.dependents import standing_on
from plinth.autogenerate.change.quoting import comment_sql, literal, quoted, shown, sql_name, temporary_name
from plinth.autogenerate.change.stages import Stage
from plinth.autogenerate.change.steps import Change, SqlOp, Step
from plinth.autogenerate.change.way import Operations, Outside, Way
from plinth.autogenerate.objects.columns import default_op, retype
from plinth.catalog.picture import Catalog, Column, ColumnName, Constraint, Enum, Index, Name, Node, Table

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
    return {value for value in enum.values if any(is_mentioned(value, text) for text in texts)}


def _expressions(catalog: Catalog) -> set[tuple[Node, str]]:
    """Return the SQL of all that is made of some, and whose it is."""
    found = {(other.node, other.definition) for other in catalog.others.values()}
    for table in catalog.tables.values():
        found |= {(table.part("column", each.name), each.default) for each in table.columns if each.default}
        for kind, parts in (("constraint", table.constraints), ("index", table.indexes)):
            found |= {(table.part(kind, name), each.definition) for name, each in parts.items()}
    return found


def is_mentioned(value: str, text: str) -> bool:
    """Whether a value stands in SQL, by itself or in the literal of an array."""
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


def _summary(name: Name, before: Enum | None, after: Enum | None) -> str:
    """Return what a type that is made anew loses, if that is one value; else that it changes."""
    gone = [each for each in before.values if each not in after.values] if before and after else []
    return f"drop {name.name} {gone[0]}" if len(gone) == 1 else f"change {name.name}"


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
    summary = _summary(name, change.before.enums.get(name), change.after.enums.get(name))
    yield Step(SqlOp(rename, summary), "type").dropping(*gone)
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


# On a busy database


def rebuilt_enum(way: Way, place: ColumnName) -> Name | None:
    """Return the enum of a column that is made anew under its name; None when there is none."""
    change = way.change
    name = change.before.tables[place.table][place.column].named_type
    if name is None or name not in change.before.enums or name not in change.after.enums:
        return None
    return name if is_rebuilt(change.before.enums[name], change.after.enums[name], change) else None


def holder(way: Way, name: Name) -> str | None:
    """Return what holds on to a type but the columns that have and keep it, and what stands on them."""
    before, after = way.change.before, way.change.after
    odd = places_of(name, before) ^ places_of(name, after)
    if odd:
        place = min(odd)
        return f"{shown(place.table, after)}.{place.column} has it only before or after"
    type_ = Node("type", name)
    new = set(after.enums[name].values) - set(before.enums[name].values)
    for catalog in (before, after):
        columns = {Node("column", place) for place in places_of(name, catalog)}
        standing = standing_on(catalog, columns)  # made anew with the exchange
        for domain in catalog.domains.values():
            if type_ in domain.needs:
                return f"the domain {shown(domain.name, catalog)} is made of it"
        for other in catalog.others.values():
            if type_ in other.needs and other not in standing:
                return f"the {other.kind} {other.name} names it"
        for table in catalog.tables.values():
            for column in table.columns:
                if type_ in column.default_needs and column.named_type != name:
                    return f"{shown(table.name, catalog)}.{column.name} names it"
            for part in table.parts:
                # One with a new value can't stand on the old type first.
                is_new = any(is_mentioned(value, part.definition) for value in new)
                if type_ in part.needs and (is_new or not goes_along(way, table, part)):
                    return f"{part.name} of {shown(table.name, catalog)} names it"
    return None


def goes_along(way: Way, table: Table, part: Constraint | Index) -> bool:
    """Whether something stands on columns whose enums are made anew, and on nothing else that could be."""
    both = way.change.before, way.change.after
    places = [ColumnName(table.name, each) for each in part.columns]
    staying = [place for place in places if all(catalog.column(*place) for catalog in both)]
    enums = {rebuilt_enum(way, place) for place in staying} - {None}
    types = {Node("type", each) for each in enums if each}
    return bool(types) and part.needs <= types | table.column_nodes


def places_of(name: Name, catalog: Catalog) -> set[ColumnName]:
    """Return the columns that have a type, or an array of it."""
    return {ColumnName(table.name, column.name) for table, column in columns_of(name, catalog)}


@dataclass(frozen=True)
class NewEnum:
    """Two enums, and what they are called before and after the new one takes over.

    Args:
        before: the old one.
        after: the new one.
        new: the new one's name until then.
        old: the old one's name from then on.
    """

    before: Enum
    after: Enum
    new: Name
    old: Name

    def made(self, catalog: Catalog) -> Catalog:
        """Return a schema in which the new one is there too."""
        return replace(catalog, enums={**catalog.enums, self.new: replace(self.after, name=self.new)})

    def taken_over(self, catalog: Catalog) -> Catalog:
        """Return a schema in which it has taken over."""
        others = {name: each for name, each in catalog.enums.items() if name != self.new}
        mine = {self.after.name: self.after, self.old: replace(self.before, name=self.old)}
        return replace(catalog, enums=others | mine)

    def typed(self, column: Column, name: Name, catalog: Catalog) -> Column:
        """Return a column whose type goes by another of these names."""
        array = "[]" if column.type.endswith("[]") else ""
        return replace(column, type=sql_name(name, catalog) + array, named_type=name)

    def called(self, name: Name, catalog: Catalog) -> dict[str, str]:
        """Return what the type is called in SQL, and that it goes by another of these names."""
        return {sql_name(self.after.name, catalog): sql_name(name, catalog)}

    def turn(self, to: Name, by: Name, catalog: Catalog) -> Operations:
        """Return what gives another name to the type that has the name, and the name to another one."""
        name = self.after.name
        summary = _summary(name, self.before, self.after)
        return [_rename(name, to, catalog, summary), _rename(by, name, catalog, summary)]

    def aside(self, catalog: Catalog) -> Name:
        """Return what the type that has the name is called while another one has it for a transaction."""
        name = self.after.name
        taken = {each.name for each in (*catalog.enums, *catalog.domains, *catalog.tables)}
        return Name(name.schema, temporary_name(name.name, "_aside", taken))


def new_enum(way: Way, place: ColumnName) -> NewEnum | None:
    """Return the enums of a column whose type is made anew; None when it isn't."""
    name = rebuilt_enum(way, place)
    if name is None:
        return None
    before, after = way.change.before, way.change.after
    taken = {
        each.name
        for catalog in (before, after)
        for each in (*catalog.enums, *catalog.domains, *catalog.tables)
    }
    new, old = (Name(name.schema, temporary_name(name.name, end, taken)) for end in ("_new", "_old"))
    return NewEnum(before.enums[name], after.enums[name], new, old)


def _rename(name: Name, to: Name, catalog: Catalog, summary: str) -> SqlOp:
    return SqlOp(f"ALTER TYPE {sql_name(name, catalog)} RENAME TO {quoted(to.name)}", summary)


def add_values_used(way: Way) -> None:
    """Go on by the new values of enums that are used at once, which needs a commit before."""
    change = way.change
    extended = {
        name: enum
        for name, enum in change.after.enums.items()
        if (old := change.before.enums.get(name))
        and old.values != enum.values
        and is_extended(old, enum)
        and (set(enum.values) - set(old.values)) & mentioned_values(enum, change)
    }
    if extended:
        to = replace(change.before, enums={**change.before.enums, **extended})
        whole = way.between(way.at, to)
        way.step(to, Outside(whole.up), whole.down)


STAGES = (Stage("enums' new values", add_values_used),)
