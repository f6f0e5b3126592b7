"""Renames: those that hints ask for, and those of what bears another name but is the same.

They are really done, in a savepoint that is rolled back: PostgreSQL then says how the rest looks under
the new names, in expressions too.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from alembic.operations import Operations, ops
from sqlalchemy import Connection

from plinth.autogenerate.change.quoting import (
    literal,
    quoted,
    schema_of,
    shown,
    sql_name,
    temporary_name,
)
from plinth.autogenerate.change.refusals import refuse
from plinth.autogenerate.change.steps import SqlOp
from plinth.autogenerate.compare.hints import ENUM_RENAMES, RENAMED_FROM, Hints
from plinth.autogenerate.objects import constraints, indexes, sequences
from plinth.autogenerate.objects.enums import columns_of
from plinth.catalog.picture import Catalog, ColumnName, Constraint, Index, Name, Sequence, Table
from plinth.quiet import quiet_context


@dataclass(frozen=True)
class Rename:
    """A rename, and what takes it back.

    Args:
        up: it.
        down: what takes it back.
        names: its table, and names that it takes and leaves: what has one of them too shares its transaction.
    """

    up: ops.MigrateOperation
    down: ops.MigrateOperation
    names: frozenset[Name] = frozenset()


def in_turns(renames: Iterable[Rename]) -> list[list[Rename]]:
    """Return renames in transactions: one for each table, and for those that take each other's names."""
    turns: list[tuple[frozenset[Name], list[Rename]]] = []
    for rename in renames:
        names, mine = rename.names, [rename]
        for turn in reversed([turn for turn in turns if turn[0] & names]):
            turns.remove(turn)
            names, mine = names | turn[0], turn[1] + mine
        turns.append((names, mine))
    return [mine for _, mine in turns]


T = TypeVar("T")
Piece = Constraint | Index
Read = Callable[[], Catalog]


def apply_renames(
    connection: Connection, hints: Hints, before: Catalog, after: Catalog, read: Read
) -> tuple[list[Rename], Catalog]:
    """Do the renames on the connection, in whose transaction they stay; return them, and what is there then.

    Args:
        connection: in a savepoint, which the caller rolls back.
        hints: the models'.
        before: what is there.
        after: what the models mean.
        read: reads what is there by now, as far as it is ours.
    """
    operations = Operations(quiet_context(connection))
    done: list[Rename] = []
    # Columns are looked for in tables that bear their new names already, and so on.
    for stage in (_tables, _columns, _values, _types, _parts):
        renames = list(stage(hints, before, after))
        for rename in renames:
            operations.invoke(rename.up)
        if renames:
            done += renames
            before = read()
    return done, before


def pending_tables(hints: Hints, before: Catalog, after: Catalog) -> set[Name]:
    """Return the tables that are to be renamed, by their old names."""
    return {old for old, _ in _moves_of_tables(hints, before, after, lambda _: None)} & set(before.tables)


Doubt = Callable[[Iterable[str]], None]


def _refuse_ring(names: Iterable[str]) -> None:
    refuse(
        "hint",
        f"{', '.join(sorted(names))} take each other's names, and whether they have done so can't be seen. "
        f'If not, rename them in a revision by hand; then take info={{"{RENAMED_FROM}": …}} out of each.',
    )


def refuse_undone(
    hints: Hints, kept: Mapping[ColumnName, str], given: Catalog, before: Catalog, after: Catalog
) -> None:
    """Refuse hints of renames of which nothing came: what bears the new name would be made anew, and empty.

    Args:
        hints: the models'.
        kept: columns whose old names are to stay usable, and these.
        given: what is there.
        before: what is there when renames are done.
        after: what the models mean.

    Raises:
        Refusal: there is one, and refusals aren't collected.
    """
    # What is begun anew has hints that are done.
    for new, old in hints.tables.items() if given.tables else ():
        if new in after.tables and new not in before.tables:
            _refuse_undone(shown(new, after), shown(old, after), "there is no such table")
    for column, was in hints.columns.items():
        table = before.tables.get(column.table)
        if table is None or column in kept or not after.column(*column):
            continue
        place = f"{shown(column.table, after)}.{column.column}"
        swapped = ColumnName(column.table, was)
        if not table.column(column.column):
            stays = table.column(was) and "the model still has that column"
            _refuse_undone(place, was, stays or "there is no such column, or another one takes it")
        elif column in hints.kept and hints.columns.get(swapped) == column.column and after.column(*swapped):
            _refuse_ring([place, f"{shown(column.table, after)}.{was}"])


def _refuse_undone(place: str, old: str, why: str) -> None:
    refuse(
        "hint",
        f'info={{"{RENAMED_FROM}": "{old}"}} of {place} can\'t be done: {why}. Correct it, or take it out if '
        f"{place} is new.",
    )


def _moves_of_tables(
    hints: Hints, before: Catalog, after: Catalog, doubt: Doubt
) -> Iterator[tuple[Name, Name]]:
    asked = {new: old for new, old in hints.tables.items() if new in after.tables}

    def is_pending(ring: dict[Name, Name]) -> bool:
        """Whether tables that take each other's names are more alike when they do."""
        done = sum(_likeness(before.tables[new], after.tables[new]) for new in ring)
        pending = sum(_likeness(before.tables[old], after.tables[new]) for new, old in ring.items())
        if pending == done:
            doubt(shown(name, after) for name in ring)
        return pending > done

    def aside(name: Name) -> Name:
        return Name(name.schema, temporary_name(name.name, "_old"))

    return _in_turn(set(before.tables), asked, is_pending, aside)


def _likeness(table: Table, other: Table) -> int:
    columns = {(column.name, column.type) for column in other.columns}
    return sum((column.name, column.type) in columns for column in table.columns)


def _tables(hints: Hints, before: Catalog, after: Catalog) -> Iterator[Rename]:
    moves = list(_moves_of_tables(hints, before, after, _refuse_ring))
    for schema in dict.fromkeys(new.schema for _, new in moves):
        if schema not in before.schemas:
            yield Rename(
                SqlOp(f"CREATE SCHEMA {quoted(schema)}"),
                SqlOp(f"DROP SCHEMA {quoted(schema)}"),
            )
    for old, new in moves:
        moved = Name(new.schema, old.name)
        names = frozenset({old, moved, new})
        if new.schema != old.schema:
            yield Rename(
                SqlOp(
                    f"ALTER TABLE {sql_name(old, before)} SET SCHEMA {quoted(new.schema)}",
                    f"move {old.name} to {new.schema}",
                    moved,
                ),
                SqlOp(f"ALTER TABLE {sql_name(moved, before)} SET SCHEMA {quoted(old.schema)}", table=old),
                names,
            )
        if new.name != old.name:
            place = schema_of(new, before)
            yield Rename(
                ops.RenameTableOp(old.name, new.name, schema=place),
                ops.RenameTableOp(new.name, old.name, schema=place),
                names,
            )


def _columns(hints: Hints, before: Catalog, after: Catalog) -> Iterator[Rename]:
    for name, table in before.tables.items():
        wanted = after.tables.get(name)
        asked = {each.column: old for each, old in hints.columns.items() if each.table == name}
        if wanted is None or not asked:
            continue
        schema = schema_of(name, before)
        for old, new in _moves_of_columns(table, wanted, asked):
            yield Rename(
                ops.AlterColumnOp(name.name, old, schema=schema, modify_name=new),
                ops.AlterColumnOp(name.name, new, schema=schema, modify_name=old),
                frozenset({name}),
            )


def _moves_of_columns(table: Table, wanted: Table, asked: dict[str, str]) -> Iterator[tuple[str, str]]:
    def is_pending(ring: dict[str, str]) -> bool:
        """Whether columns that take each other's names have the types of that, and not those of now."""
        pending = all(table[old].type == wanted[new].type for new, old in ring.items())
        done = all(table[new].type == wanted[new].type for new in ring)
        if pending == done:
            _refuse_ring(f"{table.name.name}.{column}" for column in ring)
        return pending and not done

    asked = {new: old for new, old in asked.items() if wanted.column(new)}
    return _in_turn(
        {column.name for column in table.columns},
        asked,
        is_pending,
        lambda name: temporary_name(name, "_old"),
    )


def _in_turn(
    there: set[T], asked: dict[T, T], is_pending: Callable[[dict[T, T]], bool], aside: Callable[[T], T]
) -> Iterator[tuple[T, T]]:
    """Yield old and new names in an order in which each new name is free.

    Args:
        there: the names that are taken.
        asked: new names and old ones.
        is_pending: whether a ring, in which each takes another's name, is still to be gone round.
        aside: returns a name for the first of a ring until its own is free.
    """
    asked = dict(asked)
    free = True
    while free:
        free = False
        for new, old in list(asked.items()):
            if old in there and new not in there:
                yield old, new
                there = there - {old} | {new}
                del asked[new]
                free = True
    while asked:
        new, old = asked.popitem()
        ring = {new: old}
        while old in asked:
            ring[old] = asked.pop(old)
            old = ring[old]
        if old != new or not set(ring) <= there or not is_pending(ring):
            continue
        yield new, aside(new)
        at = new
        while ring[at] != new:
            yield ring[at], at
            at = ring[at]
        yield aside(new), at


def _values(hints: Hints, before: Catalog, after: Catalog) -> Iterator[Rename]:
    said: dict[Name, dict[str, str]] = {}
    for column, renames in hints.values.items():
        found = after.column(*column)
        type_ = found.named_type if found else None
        if type_ is not None and type_ in before.enums and type_ in after.enums:
            said[type_] = {**renames, **said.get(type_, {})}
    for type_, renames in said.items():
        there, wanted = before.enums[type_].values, after.enums[type_].values
        name = sql_name(type_, before)
        for old, new in _moves_of_values(type_, renames, there, wanted):
            yield Rename(
                SqlOp(
                    f"ALTER TYPE {name} RENAME VALUE {literal(old)} TO {literal(new)}",
                    f"rename {type_.name} {old} to {new}",
                ),
                SqlOp(f"ALTER TYPE {name} RENAME VALUE {literal(new)} TO {literal(old)}"),
            )


def _moves_of_values(
    type_: Name, renames: Mapping[str, str], there: tuple[str, ...], wanted: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    taken = {new for old, new in renames.items() if old in there}
    asked = {
        new: old
        for old, new in renames.items()
        if new in wanted and old in there and (old not in wanted or old in taken)
    }
    mapped = tuple({old: new for new, old in asked.items()}.get(value, value) for value in there)

    def is_pending(ring: dict[str, str]) -> bool:
        """Whether values that take each other's names have the order of that; only that can tell."""
        if _in_order(there, wanted):
            return False
        if not _in_order(mapped, wanted):
            _refuse_ring(f"{type_.name}.{value}" for value in ring)
            return False
        return True

    are = {*there}
    for old, new in _in_turn(are, asked, is_pending, lambda value: temporary_name(value, "_old")):
        are = are - {old} | {new}
        yield old, new
    for old, new in renames.items():
        if new in wanted and new not in are:
            stays = old in are and "the model still has that value"
            refuse(
                "hint",
                f'info={{"{ENUM_RENAMES}": {{"{old}": "{new}"}}}} of the enum {type_.name} can\'t be done: '
                f"{stays or 'there is no such value'}. Correct it, or take it out if {new} is new.",
            )


def _in_order(some: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Whether what both have stands in the same order."""
    return [each for each in some if each in others] == [each for each in others if each in some]


def _types(_: Hints, before: Catalog, after: Catalog) -> Iterator[Rename]:
    """Yield the renames of enum types: one goes, another with its values comes and takes its columns."""
    for old in [name for name in before.enums if name not in after.enums]:
        users = list(columns_of(old, before))
        taken = [after.column(table.name, column.name) for table, column in users]
        takers = {each.named_type if each else None for each in taken}
        new = takers.pop() if len(takers) == 1 else None
        if (
            new is None
            or new in before.enums
            or new not in after.enums
            or new.schema != old.schema
            or after.enums[new].values != before.enums[old].values
        ):
            continue
        yield Rename(
            SqlOp(
                f"ALTER TYPE {sql_name(old, before)} RENAME TO {quoted(new.name)}",
                f"rename {old.name} to {new.name}",
            ),
            SqlOp(f"ALTER TYPE {sql_name(new, after)} RENAME TO {quoted(old.name)}"),
        )


@dataclass(frozen=True)
class _Key:
    """A name, and where it must be the only one: in its schema where it is an index's, else in its table."""

    place: Name | str
    name: str


Renaming = Callable[[str, str], SqlOp]


@dataclass(frozen=True)
class _Move:
    """Something that is as it should be but for its name.

    Args:
        old: its name.
        new: the one that it should have.
        rename: returns what renames it.
        table: whose it is.
    """

    old: _Key
    new: str
    rename: Renaming
    table: Name


def _parts(_: Hints, before: Catalog, after: Catalog) -> Iterator[Rename]:
    """Yield the renames of sequences, constraints and indexes that are the same but for their names."""
    moves = list(_moves_of_sequences(before, after))
    taken = {_Key(each.schema, each.name) for each in (*before.tables, *before.sequences)}
    for name, table in before.tables.items():
        taken |= {_key(table, each) for each in table.parts}
        wanted = after.tables.get(name)
        if wanted is not None:
            moves += _moves_of_parts(table, wanted, before)
    renamings = {move.old: move for move in moves}
    asked = {_Key(move.old.place, move.new): move.old for move in moves}

    def aside(key: _Key) -> _Key:
        return _Key(key.place, temporary_name(key.name, "_old"))

    for old, new in _in_turn(taken, asked, lambda _: True, aside):
        move = renamings[new] = renamings.pop(old)
        # Only in its own table is it alone with its name, or among all of its schema.
        names = {Name(key.place, key.name) for key in (old, new) if isinstance(key.place, str)}
        there, back = move.rename(old.name, new.name), move.rename(new.name, old.name)
        yield Rename(there, back, frozenset({move.table, *names}))


def _key(table: Table, part: Constraint | Index) -> _Key:
    is_relation = isinstance(part, Index) or part.type in {"p", "u", "x"}
    return _Key(table.name.schema if is_relation else table.name, part.name)


def _moves_of_sequences(before: Catalog, after: Catalog) -> Iterator[_Move]:
    owned: dict[ColumnName, Sequence] = {each.owner: each for each in before.sequences.values() if each.owner}
    for new in after.sequences.values():
        old = owned.get(new.owner) if new.owner else None
        if new.owner is None or old is None or old.name == new.name or old.name.schema != new.name.schema:
            continue
        heir = after.sequences.get(old.name)
        if heir is not None and heir.owner in {None, new.owner}:
            continue

        def rename(was: str, becomes: str, schema: str = new.name.schema) -> SqlOp:
            return sequences.rename_op(Name(schema, was), becomes, before)

        yield _Move(_Key(old.name.schema, old.name.name), new.name.name, rename, new.owner.table)


def _moves_of_parts(table: Table, wanted: Table, before: Catalog) -> Iterator[_Move]:
    both: tuple[tuple[Mapping[str, Piece], Mapping[str, Piece]], ...] = (
        (table.constraints, wanted.constraints),
        (table.indexes, wanted.indexes),
    )
    for there, should in both:
        gone = [each for name, each in there.items() if name not in should]
        for new in (each for name, each in should.items() if name not in there):
            old = next((each for each in gone if _same(each, new)), None)
            if old is not None:
                gone.remove(old)
                yield _Move(
                    _key(table, old), new.name, partial(_renamed, table.name, old, before), table.name
                )


def _renamed(table: Name, part: Piece, catalog: Catalog, was: str, becomes: str) -> SqlOp:
    return constraints.rename_part_op(table, replace(part, name=was), becomes, catalog)


def _same(old: Piece, new: Piece) -> bool:
    """Whether they are the same but for their names."""
    if isinstance(old, Constraint) and isinstance(new, Constraint):
        return old.is_local and new.is_local and constraints.is_kept(old, new)
    if isinstance(old, Index) and isinstance(new, Index):
        return old.valid and indexes.meaning(old) == indexes.meaning(new)
    return False
