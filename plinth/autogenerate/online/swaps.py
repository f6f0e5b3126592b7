"""Another type for a column of a busy table: a second column takes its place.

PostgreSQL would write the table anew while nobody can use it. Instead a column of the new type is kept equal
by a trigger, filled in batches, and takes over the name in a short transaction; the old one is dropped later.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from alembic.operations import ops

from plinth.autogenerate.objects import casts, constraints, indexes
from plinth.autogenerate.objects.columns import native_column, server_default
from plinth.autogenerate.objects.expressions import with_name
from plinth.autogenerate.objects.quoting import (
    made_name,
    quoted,
    schema_of,
    sql_name,
    temporary_name,
)
from plinth.autogenerate.objects.steps import AutocommitOp, CommentOp, SqlOp
from plinth.autogenerate.online.backfills import backfill_op
from plinth.autogenerate.online.checks import add_not_valid, comment_ops, not_null_check, validate
from plinth.autogenerate.online.domain_checks import rewrites
from plinth.autogenerate.online.new_enums import NewEnum, is_shared, new_enum, rebuilt_enum
from plinth.autogenerate.online.parts import (
    Piece,
    add_checked,
    add_index,
    add_key,
    has_plain_index,
    moved,
    on_column,
)
from plinth.autogenerate.online.way import Operations, Part, Way
from plinth.catalog.picture import Catalog, Column, ColumnName, Constraint, Index, Name, Table


def swaps(way: Way) -> set[ColumnName]:
    """Return the columns that get their new type so."""
    return {
        each
        for each in way.forced.retyped
        if (way.is_rewritten(each) or rebuilt_enum(way, each)) and not objection(way, each)
    }


def objection(way: Way, place: ColumnName) -> str | None:
    """Return why no second column can take the place of a column; None when it can."""
    found = (*_objections_of_table(way, place), *_objections_of_column(way, place), *_in_the_way(way, place))
    return next(iter(found), None)


def _objections_of_table(way: Way, place: ColumnName) -> Iterator[str]:
    name = place.table
    before = way.before.tables[name]
    if way.has_relatives(name):
        yield "the table is partitioned, or inherits"
    if before.primary_key is None:
        yield "the table has no primary key to fill the new column by"
    if any(each.kind == "trigger" and each.table == name for each in way.before.others.values()):
        yield "the table has triggers"
    parts = {part.name for part in on_column(before, place.column)}
    if before.replica_identity or before.clustered_on in parts:
        yield "the table's replica identity, or the index that it is clustered on, would be another one"


def _objections_of_column(way: Way, place: ColumnName) -> Iterator[str]:
    before, after = (each.tables[place.table] for each in (way.before, way.change.after))
    old, new = before[place.column], after[place.column]
    if _is_key(way, *place):
        yield "it is a key"
    rebuilt = rebuilt_enum(way, place)
    if way.forced.types & {old.named_type, new.named_type} - {rebuilt}:
        yield "its type is made anew"
    if rebuilt and (old.named_type != new.named_type or is_shared(way, rebuilt)):
        yield "its type is made anew, and others use it too"
    if _is_special(old) or _is_special(new):
        yield "it is generated, an identity or serial column, or has storage settings"
    if native_column(new, after, way.change.after) is None:
        yield "SQLAlchemy has no name for its new type"
    if rewrites(way, new.named_type):
        yield "its new type is a domain with constraints, and no column of such a type is added without that"
    if old.has_privileges:
        yield "privileges were granted on it"


def _in_the_way(way: Way, place: ColumnName) -> Iterator[str]:
    """Yield what stands on a column and can't be made on a second one."""
    tables = [each.tables[place.table] for each in (way.before, way.change.after)]
    if any(place.column in column.uses for table in tables for column in table.columns):
        yield "a generated column stands on it"
    others = (*way.before.others.values(), *way.change.after.others.values())
    if tables[0].row_security or any(place in each.uses for each in others):
        yield "a view, policy or the like stands on it"
    for part in (part for table in tables for part in on_column(table, place.column)):
        if not _can_be_moved(way, place, part):
            yield f"{part.name} stands on it"


def _is_key(way: Way, table: Name, column: str) -> bool:
    own = way.before.tables[table].constraints.values()
    if any(each.type in {"p", "f"} and column in each.columns for each in own):
        return True
    return any(
        each.foreign_key is not None
        and each.foreign_key.table == table
        and column in each.foreign_key.columns
        for other in way.before.tables.values()
        for each in other.constraints.values()
    )


def _is_special(column: Column) -> bool:
    settings = column.storage or column.compression or column.statistics or column.options
    return bool(column.generated or column.identity or column.sequence or settings)


def _can_be_moved(way: Way, place: ColumnName, part: Piece) -> bool:
    """Whether it can be made on a second column, and stay on the old one when that is left empty."""
    if part.nulls_not_distinct:
        return False
    if isinstance(part, Index):
        if not part.valid or (place.table, part.name) in way.forced.parts("index"):
            return False
        keys = zip(part.keys, part.key_columns, strict=True)
        said = [part.where or "", *(key for key, column in keys if column is None)]
        return not part.unique or all(with_name(text, place.column, "") == text for text in said)
    is_known = part.type == "c" or (part.type == "u" and has_plain_index(part))
    return is_known and part.is_local and (place.table, part.name) not in way.forced.parts("constraint")


def _is_not_null(constraint: Constraint, column: str) -> bool:
    return constraint.type == "n" and constraint.columns == (column,)


def swap(way: Way, place: ColumnName) -> None:
    """Go the whole way of one column, but for the drop of the old one."""
    name, column = place
    enum = new_enum(way, place)
    if enum:
        way.go(enum.made(way.at))
    table, wanted = way.at.tables[name], way.change.after.tables[name][column]
    new = temporary_name(column, "_new", {each.name for each in table.columns})
    beside = replace(wanted, name=new, not_null=False, default=None)
    if enum:
        beside = enum.typed(beside, enum.new, way.at)
    keeper = _Keeper(way, name, table[column], beside, enum)
    to = way.with_table(replace(table, columns=(*table.columns, beside)))
    native = native_column(beside, table, way.at)
    if native is None:
        raise TypeError(wanted.type)
    schema = schema_of(name, way.at)
    way.step(
        to,
        Part(
            [
                CommentOp(
                    f"A second column takes the place of {column}: in place, the table would be written "
                    "anew while\nnobody can use it. Until then a trigger keeps the two equal."
                ),
                ops.AddColumnOp(name.name, native, schema=schema),
                *keeper.make(),
            ],
            [ops.DropColumnOp(name.name, new, schema=schema)],
        ),
    )
    way.step(way.at, Part([AutocommitOp([backfill_op(table, new, keeper.value, way.at)])], []))
    required = []
    if wanted.not_null:
        required.append(not_null_check(way.at.tables[name], beside))
        add_not_valid(way, name, required[0], goes=True)
        validate(way, name, required[0])
    _take_over(way, keeper, wanted, required, _make_parts(way, place, new))


def _make_parts(way: Way, place: ColumnName, new: str) -> dict[str, Piece]:
    """Make on the new column what will stand on it; return it by the names that it has until then."""
    name, column = place
    made: dict[str, Piece] = {}
    for part in on_column(way.change.after.tables[name], column):
        table = way.at.tables[name]
        own = temporary_name(part.name, "_new", {*table.constraints, *table.indexes})
        made[own] = part
        beside = moved(part, column, new, own)
        if isinstance(beside, Index):
            add_index(way, name, beside, goes=True)
        elif beside.type == "u":
            add_key(way, name, beside, goes=True)
        else:
            add_checked(way, name, beside, goes=True)
    return made


class _Keeper:
    """The trigger that keeps the new column equal to the old one.

    Args:
        way: so far.
        name: the table.
        before: the old column.
        after: the new one.
        enum: its type, where that is made anew.
    """

    def __init__(self, way: Way, name: Name, before: Column, after: Column, enum: NewEnum | None) -> None:
        self.name = name
        self.enum = enum
        self.column = before.name
        self.new = after.name
        self.table = sql_name(name, way.at)
        self.function = Name(name.schema, made_name(name.name, before.name, "new"))
        self._function = sql_name(self.function, way.at)
        own = replace(after, name=before.name)  # by then
        known = way.at, way.at, way.change.casts
        place = ColumnName(name, before.name)
        self.said = way.change.using(place, before, own)
        self.type = after.type
        # Both are assigned: a value that doesn't fit stops, where a cast would cut it.
        plain = quoted(before.name)
        self.value = self.said or casts.using(before, own, *known) or plain
        way_back = replace(way.change, is_downgrade=True)
        self.back = way_back.using(place, own, before) or casts.using(own, before, *known) or plain

    def make(self) -> Operations:
        """Return what makes it."""
        if self.said:
            row = f"(SELECT {self.said} FROM (SELECT NEW.*) AS {quoted(self.name.name)})"  # noqa: S608
        else:
            row = with_name(self.value, self.column, f"NEW.{quoted(self.column)}")
        body = f"BEGIN NEW.{quoted(self.new)} := {row}; RETURN NEW; END"
        trigger = quoted(self.function.name)
        return [
            SqlOp(
                f"CREATE FUNCTION {self._function}() RETURNS trigger LANGUAGE plpgsql AS $keep$ {body} $keep$"
            ),
            SqlOp(
                f"CREATE TRIGGER {trigger} BEFORE INSERT OR UPDATE ON {self.table} "
                f"FOR EACH ROW EXECUTE FUNCTION {self._function}()"
            ),
        ]

    def has_missed(self, old: str) -> str:
        """Return the condition that a row's new value isn't what its old one would become.

        Args:
            old: the old column's name by then.
        """
        was = quoted(old)
        if self.said:
            row = f"SELECT {was} AS {quoted(self.column)}"
            was = f"(SELECT {self.said} FROM ({row}) AS {quoted(self.name.name)})"  # noqa: S608 - quoted names
        elif self.value != quoted(self.column):
            was = with_name(self.value, self.column, was)
        cast = f"::{self.type}"
        # As text: json has no equality.
        was = f"{was.removesuffix(cast)}{cast}"
        return f"{was}::text IS DISTINCT FROM {quoted(self.column)}::text"

    def drop(self) -> Operations:
        """Return what drops it."""
        return [
            SqlOp(f"DROP TRIGGER {quoted(self.function.name)} ON {self.table}"),
            SqlOp(f"DROP FUNCTION {self._function}()"),
        ]


class _TakeOver:
    """What changes its name when the new column takes over.

    Args:
        table: as it is before.
        column: the old column.
        new: the new one.
        made: what was made on the new column, by its names until then.
    """

    def __init__(self, table: Table, column: str, new: str, made: Mapping[str, Piece]) -> None:
        self.table = table
        self.column = column
        self.new = new
        self.old = temporary_name(column, "_old", {each.name for each in table.columns})
        self.made = made
        standing = {**table.constraints, **table.indexes}
        # New rows leave the old column empty, and not every check would let them.
        self.dropped = [
            each for each in on_column(table, column) if isinstance(each, Constraint) and each.type == "c"
        ]
        self.moved: dict[str, str] = {}
        for part in made.values():
            if part.name in standing and standing[part.name] not in self.dropped:
                taken = {*standing, *self.moved.values()}
                self.moved[part.name] = temporary_name(part.name, "_old", taken)

    def up(self, catalog: Catalog) -> list[ops.MigrateOperation]:
        """Return what gives names to those that stay."""
        clear = [constraints.drop_op(each, self.table, catalog) for each in self.dropped]
        away = [self._rename(own, own, to, catalog) for own, to in self.moved.items()]
        made = [self._rename(own, own, part.name, catalog) for own, part in self.made.items()]
        return [*clear, *away, *made]

    def down(self, catalog: Catalog) -> list[ops.MigrateOperation]:
        """Return what takes the names back."""
        made = [self._rename(own, part.name, own, catalog) for own, part in self.made.items()]
        return [*made, *(self._rename(own, to, own, catalog) for own, to in self.moved.items())]

    def restore(self, catalog: Catalog) -> list[ops.MigrateOperation]:
        """Return what puts the checks of the old column back."""
        return [
            op
            for each in self.dropped
            for op in (constraints.add_op(each, self.table, catalog), *comment_ops(each, self.table, catalog))
        ]

    def _rename(self, own: str, before: str, after: str, catalog: Catalog) -> SqlOp:
        constraint = self.table.constraints.get(own)
        if constraint is None:
            return indexes.rename_op(self.table.name, before, after, catalog)
        return constraints.rename_op(self.table.name, replace(constraint, name=before), after, catalog)

    def table_after(self) -> Table:
        """Return the table with those names; the columns are another's affair."""

        def after(part: Piece) -> Piece:
            if part.name in self.made:
                return self.made[part.name]
            return moved(part, self.column, self.old, self.moved.get(part.name, part.name))

        parts: list[Piece] = [*self.table.constraints.values(), *self.table.indexes.values()]
        kept = [after(each) for each in parts if each not in self.dropped]
        return replace(
            self.table,
            constraints={each.name: each for each in kept if isinstance(each, Constraint)},
            indexes={each.name: each for each in kept if isinstance(each, Index)},
        )


def _take_over(
    way: Way,
    keeper: _Keeper,
    wanted: Column,
    required: Sequence[Constraint],
    made: Mapping[str, Piece],
) -> None:
    """Let the new column take over the name, and what was made on it the names of what stands on the old."""
    name, column, enum = keeper.name, keeper.column, keeper.enum
    table = way.at.tables[name]
    before = table[column]
    names = _TakeOver(table, column, keeper.new, made)
    schema = schema_of(name, way.at)

    def alter(of: str, **what: object) -> ops.AlterColumnOp:
        return ops.AlterColumnOp(name.name, of, schema=schema, **what)  # type: ignore[arg-type]

    up: list[ops.MigrateOperation] = [*keeper.drop()]
    if before.default is not None:
        up.append(alter(column, modify_server_default=None))
    if before.not_null:
        up.append(alter(column, modify_nullable=True))
    up += enum.take_over(way.at) if enum else []
    up += names.up(way.at)
    up += [alter(column, modify_name=names.old), alter(keeper.new, modify_name=column)]
    if wanted.default is not None:
        up.append(alter(column, modify_server_default=server_default(wanted)))
    for check in required:
        up += [
            alter(column, modify_nullable=False),
            *constraints.not_null_name_ops(way.change.after.tables[name], column, way.at),
            constraints.drop_op(check, table, way.at),
        ]
    down: list[ops.MigrateOperation] = [
        CommentOp("What the old column has missed is written first: writers wait as long as that takes."),
        SqlOp(f"LOCK TABLE {keeper.table} IN SHARE ROW EXCLUSIVE MODE"),
        *(enum.give_back(way.at) if enum else []),
        SqlOp(
            f"UPDATE {keeper.table} SET {quoted(names.old)} = {keeper.back} "  # noqa: S608 - quoted names
            f"WHERE {keeper.has_missed(names.old)}"
        ),
    ]
    if wanted.default is not None:
        down.append(alter(column, modify_server_default=None))
    if wanted.not_null:
        down.append(alter(column, modify_nullable=True))
    down += [alter(column, modify_name=keeper.new), alter(names.old, modify_name=column)]
    down += [*names.down(way.at), *names.restore(way.at)]
    if before.default is not None:
        down.append(alter(column, modify_server_default=server_default(before)))
    if before.not_null:
        down.append(alter(column, modify_nullable=False))
        down += constraints.not_null_name_ops(table, column, way.at)
    columns = [each for each in table.columns if each.name not in {column, keeper.new}]
    left_behind = replace(before, name=names.old, not_null=False, default=None)
    columns += [wanted, enum.typed(left_behind, enum.old, way.at) if enum else left_behind]
    to = names.table_after()
    left = {each.name: each for each in to.constraints.values() if not _is_not_null(each, column)}
    left |= {
        each.name: each
        for each in way.change.after.tables[name].constraints.values()
        if _is_not_null(each, column)
    }
    for check in required:
        del left[check.name]
    reached = way.with_table(replace(to, columns=tuple(columns), constraints=left))
    way.step(
        enum.taken_over(reached) if enum else reached,
        Part(up, down),
    )
