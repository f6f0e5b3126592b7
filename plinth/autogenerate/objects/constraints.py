"""Constraints: primary and foreign keys, unique, check and exclusion constraints.

On a busy table they hold for new rows first, and for all after a look at them that blocks nobody; a key takes
an index that was built before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.sql.elements import conv

from plinth.autogenerate.change.expressions import as_said, bare
from plinth.autogenerate.change.heirs import (
    ancestors,
    is_constraint_inherited,
    may_be_inherited,
)
from plinth.autogenerate.change.partitions import built, on_each, settled
from plinth.autogenerate.change.parts import Piece, is_kept_with, name_beside
from plinth.autogenerate.change.quoting import (
    comment_sql,
    quoted,
    quoted_list,
    schema_of,
    shown,
    sql_name,
    without_binds,
)
from plinth.autogenerate.change.refusals import refuse
from plinth.autogenerate.change.stages import TableStage
from plinth.autogenerate.change.steps import (
    Change,
    Forced,
    NotNullNamesOp,
    SqlOp,
    Step,
    Waiting,
    as_it_is,
)
from plinth.autogenerate.change.way import Operations, Outside, Way
from plinth.autogenerate.objects import indexes
from plinth.autogenerate.objects.indexes import build, build_for_key, is_in_the_way, refuses_values
from plinth.autogenerate.objects.values import becoming_required
from plinth.catalog.picture import Catalog, ColumnName, Constraint, Index, Name, Node, Table

_ACTIONS = {"r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
# What lint says of those that build an index, or read all rows, while nobody can use the table.
RULES = {
    **dict.fromkeys("cf", "constraint-missing-not-valid"),
    "p": "adding-serial-primary-key-field",
    "u": "disallowed-unique-constraint",
    "x": "constraint-missing-not-valid",
}
_KINDS = {"p": "primary", "u": "unique", "f": "foreignkey", "c": "check"}


def timing(constraint: Constraint) -> str:
    """Return the words that say when a constraint is checked."""
    words = " DEFERRABLE" if constraint.deferrable else ""
    return words + (" INITIALLY DEFERRED" if constraint.deferred else "")


def _timing_options(constraint: Constraint) -> dict[str, object]:
    options: dict[str, object] = {"deferrable": True} if constraint.deferrable else {}
    return options | ({"initially": "DEFERRED"} if constraint.deferred else {})


def foreign_key_tail(constraint: Constraint) -> str:
    """Return what a foreign key says behind its columns, as far as SQLAlchemy can say it."""
    key = constraint.reference
    words = " MATCH FULL" if key.match == "f" else ""
    words += f" ON UPDATE {_ACTIONS[key.on_update]}" if key.on_update != "a" else ""
    words += f" ON DELETE {_ACTIONS[key.on_delete]}" if key.on_delete != "a" else ""
    return words + timing(constraint)


def is_native(constraint: Constraint) -> bool:
    """Whether SQLAlchemy has words for all that the definition says."""
    definition, tail = constraint.definition, timing(constraint)
    if constraint.options or constraint.tablespace:
        return False
    if constraint.type == "p":
        plain = definition.startswith("PRIMARY KEY (") and definition.endswith(f"){tail}")
        return plain and not constraint.include and " WITHOUT OVERLAPS" not in definition
    if constraint.type == "u":
        head = "UNIQUE NULLS NOT DISTINCT (" if constraint.nulls_not_distinct else "UNIQUE ("
        fits = definition.startswith(head) and definition.endswith(f"){tail}")
        return fits and " WITHOUT OVERLAPS" not in definition
    if constraint.type == "c":
        return definition == f"CHECK ({constraint.expression})"
    if constraint.type == "f":
        return definition.endswith(f"){foreign_key_tail(constraint)}") and "PERIOD" not in definition
    return False


def sql_definition(constraint: Constraint) -> str:
    """Return a constraint as CREATE TABLE and ADD take it."""
    definition = constraint.definition
    if constraint.options or constraint.tablespace:
        # What is said of the index stands before DEFERRABLE and the predicate of an exclusion.
        tail = timing(constraint)
        head = definition.removesuffix(tail)
        head, where, predicate = head.partition(" WHERE ")
        if constraint.options:
            head += f" WITH ({', '.join(constraint.options)})"
        if constraint.tablespace:
            head += f" USING INDEX TABLESPACE {quoted(constraint.tablespace)}"
        definition = f"{head}{where}{predicate}{tail}"
    return f"CONSTRAINT {quoted(constraint.name)} {as_said(definition, constraint.words)}"


def native_constraint(constraint: Constraint, catalog: Catalog) -> sa.Constraint | None:
    """Return a constraint as `op.create_table` takes it; None where it must be SQL of its own."""
    if not is_native(constraint):
        return None
    name, options = conv(constraint.name), _timing_options(constraint)
    if constraint.type == "p":
        return sa.PrimaryKeyConstraint(*constraint.columns, name=name, **options)  # type: ignore[arg-type]
    if constraint.type == "u":
        return sa.UniqueConstraint(*constraint.columns, name=name, **options, **_unique_options(constraint))  # type: ignore[arg-type]
    if constraint.type == "c":
        return sa.CheckConstraint(
            without_binds(bare(str(constraint.expression), constraint.words)), name=name
        )
    key = constraint.reference
    parts = (key.table.schema, key.table.name, *key.columns)
    if any("." in part for part in parts):
        return None
    prefix = "" if key.table.schema == catalog.default_schema else f"{key.table.schema}."
    referred = [f"{prefix}{key.table.name}.{column}" for column in key.columns]
    return sa.ForeignKeyConstraint(constraint.columns, referred, name=name, **_key_options(constraint))  # type: ignore[arg-type]


def _unique_options(constraint: Constraint) -> dict[str, object]:
    options: dict[str, object] = {}
    if constraint.include:
        options["postgresql_include"] = list(constraint.include)
    if constraint.nulls_not_distinct:
        options["postgresql_nulls_not_distinct"] = True
    return options


def _key_options(constraint: Constraint) -> dict[str, object]:
    key = constraint.reference
    options = _timing_options(constraint)
    if key.on_update != "a":
        options["onupdate"] = _ACTIONS[key.on_update]
    if key.on_delete != "a":
        options["ondelete"] = _ACTIONS[key.on_delete]
    if key.match == "f":
        options["match"] = "FULL"
    return options


def add_op(constraint: Constraint, table: Table, catalog: Catalog) -> ops.MigrateOperation:
    """Return what adds a constraint to a standing table."""
    if not constraint.validated and not constraint.is_not_enforced:
        op = add_op(constraint.for_all_rows, table, catalog)
        if isinstance(op, SqlOp):
            return SqlOp(f"{op.sql} NOT VALID", op.summary, table.name)
        assert isinstance(op, ops.CreateCheckConstraintOp | ops.CreateForeignKeyOp)  # noqa: S101 - the only kinds
        op.kw["postgresql_not_valid"] = True
        return op
    name, schema = conv(constraint.name), schema_of(table.name, catalog)
    # Alembic makes a sketch of the table, in which an included column isn't found; no primary key can wait.
    has_no_word = constraint.type == "x" or (constraint.type == "p" and constraint.deferrable)
    if has_no_word or constraint.include or not is_native(constraint):
        return SqlOp(
            f"ALTER TABLE {sql_name(table.name, catalog)} ADD {sql_definition(constraint)}",
            f"add constraint {constraint.name}",
            table.name,
            waiting=_waiting(constraint, table),
        )
    columns = list(constraint.columns)
    if constraint.type == "p":
        return ops.CreatePrimaryKeyOp(name, table.name.name, columns, schema=schema)
    if constraint.type == "u":
        options = _timing_options(constraint) | _unique_options(constraint)
        return ops.CreateUniqueConstraintOp(name, table.name.name, columns, schema=schema, **options)
    if constraint.type == "c":
        expression = without_binds(bare(str(constraint.expression), constraint.words))
        return ops.CreateCheckConstraintOp(name, table.name.name, expression, schema=schema)
    key = constraint.reference
    schemas = {"source_schema": schema, "referent_schema": schema_of(key.table, catalog)}
    options = {each: value for each, value in schemas.items() if value} | _key_options(constraint)
    return ops.CreateForeignKeyOp(
        name, table.name.name, key.table.name, columns, list(key.columns), **options
    )


def _waiting(constraint: Constraint, table: Table) -> Waiting | None:
    """Return what a constraint makes queries wait for that PostgreSQL adds in one way only."""
    what = "exclusion constraint" if constraint.type == "x" else "constraint"
    why = (
        f"The {what} {constraint.name} reads {table.name.name} and builds its index while "
        "nobody can use the table: PostgreSQL takes no index that was built before"
    )
    is_one_way = constraint.type in {"p", "u", "x"} and not _is_taken_over(constraint, table)
    return Waiting(why, RULES[constraint.type]) if is_one_way else None


def drop_op(constraint: Constraint, table: Table, catalog: Catalog) -> ops.DropConstraintOp:
    """Return what drops a constraint."""
    kind = _KINDS.get(constraint.type)
    return ops.DropConstraintOp(
        conv(constraint.name), table.name.name, kind, schema=schema_of(table.name, catalog)
    )


def comment_op(constraint: Constraint, table: Table, catalog: Catalog) -> SqlOp:
    """Return what puts a comment on a constraint, or takes it off."""
    on = f"CONSTRAINT {quoted(constraint.name)} ON {sql_name(table.name, catalog)}"
    comment = comment_sql(on, constraint.comment)
    if constraint.type == "n":
        return NotNullNamesOp([comment], table.name)
    return SqlOp(comment, f"comment {constraint.name}", table.name)


def rename_op(table: Name, old: Constraint, new: str, catalog: Catalog) -> SqlOp:
    """Return what renames a constraint. NOT NULL has a name only since PostgreSQL 18."""
    rename = f"ALTER TABLE {sql_name(table, catalog)} RENAME CONSTRAINT {quoted(old.name)} TO {quoted(new)}"
    if old.type == "n":
        return NotNullNamesOp([rename], table)
    return SqlOp(rename, f"rename {old.name} to {new}", table)


def rename_part_op(table: Name, part: Constraint | Index, new: str, catalog: Catalog) -> SqlOp:
    """Return what renames a constraint or an index."""
    if isinstance(part, Index):
        return indexes.rename_op(table, part.name, new, catalog)
    return rename_op(table, part, new, catalog)


def is_kept(before: Constraint, after: Constraint | None) -> bool:
    """Whether a constraint is as it should be, its comment and its index's settings aside."""
    return (
        after is not None
        and before.type == after.type
        and before.definition == after.definition
        and before.tablespace == after.tablespace
        and indexes.are_settings(before.options, after.options)
    )


def steps(change: Change, name: Name, forced: Forced) -> Iterator[Step]:
    """Yield what makes the constraints of a standing table as they should be.

    Args:
        change: the whole.
        name: the table.
        forced: what is dropped, or made anew.

    Raises:
        Refusal: a NOT NULL constraint differs in more than its name.
    """
    before, after = change.before.tables[name], change.after.tables[name]
    names = _not_null(before)
    for old in before.constraints.values():
        new = after.constraints.get(old.name)
        if is_constraint_inherited(change, name, old, change.before):
            continue
        if old.type == "n":
            if new is not None and new.definition != old.definition:
                refuse("not null", f"Constraint {old.name} of {name} differs: {new.definition}")
            continue
        if before.part("constraint", old.name) in forced.changed:
            drop = drop_op(old, before, change.before)
            if may_be_inherited(change, name, old):
                drop.if_exists = True
            yield Step(drop).dropping(before.part("constraint", old.name))
    for new in after.constraints.values():
        old_one = names.get(new.columns) if new.type == "n" else before.constraints.get(new.name)
        if is_constraint_inherited(change, name, new, change.after) or (new.type == "n" and not old_one):
            continue
        node = after.part("constraint", new.name)
        is_new = new.type != "n" and (old_one is None or node in forced.changed)
        if is_new:
            yield Step(add_op(new, after, change.after)).making(node)
        for op in _detail_ops(None if is_new else old_one, new, after, change.after):
            yield Step(op, "comment")
    if before.parents != after.parents:
        yield from _renamed_not_null(change, before, after)


def _renamed_not_null(change: Change, before: Table, after: Table) -> Iterator[Step]:
    """Yield what names NOT NULL anew where it isn't inherited any more, or not yet (PostgreSQL 18)."""
    names = _not_null(before)
    for new in after.constraints.values():
        old = names.get(new.columns) if new.type == "n" else None
        if (
            old
            and old.name != new.name
            and not is_constraint_inherited(change, after.name, new, change.after)
        ):
            yield Step(rename_op(after.name, old, new.name, change.after), "comment")


def _detail_ops(
    before: Constraint | None, after: Constraint, table: Table, catalog: Catalog
) -> Iterator[SqlOp]:
    """Yield what else is said of a constraint: its comment, and its index's settings.

    Args:
        before: what was said of it; None of a new one.
        after: what should be.
        table: whose.
        catalog: the schema that should be.

    Raises:
        Refusal: it is a partitioned table's, whose indexes take no other settings.
    """
    if before and before.options != after.options:
        if table.partition_key:
            refuse(
                "unknown change",
                f"The index of constraint {after.name} of {shown(table.name, catalog)} gets other storage "
                "parameters, and PostgreSQL changes none of a partitioned table's: change those of each "
                "partition's index, by a revision written by hand.",
            )
        yield from indexes.setting_ops(before.options, after.options, after.name, table.name, catalog)
    if after.comment != (before.comment if before else None):
        yield comment_op(after, table, catalog)


def _not_null(table: Table) -> dict[tuple[str, ...], Constraint]:
    """Return the NOT NULL constraints of a table by their columns (PostgreSQL 18)."""
    return {each.columns: each for each in table.constraints.values() if each.type == "n"}


def used(constraint: Constraint) -> str:
    """Return what adds a unique constraint or primary key to a partition, on the index of its name."""
    kind = "PRIMARY KEY" if constraint.type == "p" else "UNIQUE"
    return (
        f"ALTER TABLE {{partition}} ADD CONSTRAINT {{name}} {kind} USING INDEX {{name}}{timing(constraint)}"
    )


def added_to_partition(key: Constraint) -> str:
    """Return what adds a foreign key to a partition, for new rows."""
    return f"ALTER TABLE {{partition}} ADD {as_it_is(sql_definition(key))} NOT VALID"


def validated_on_partition(key: Constraint) -> str:
    """Return what looks at a partition's rows for it."""
    return f"ALTER TABLE {{partition}} VALIDATE CONSTRAINT {as_it_is(quoted(key.name))}"


# On a busy database


def add_not_valid(way: Way, name: Name, constraint: Constraint) -> None:
    """Go on by a transaction that adds a constraint for new rows; it is gone before the way is gone back."""
    table = way.at.tables[name]
    to = way.with_table(table.having(replace(constraint.for_new_rows, comment=None)))
    way.step(to, [not_valid_op(constraint, table, way.at)])


def validate(way: Way, name: Name, constraint: Constraint, *, stood: bool = False) -> None:
    """Go on by a look at all rows, outside of any transaction that holds a lock.

    Args:
        way: so far.
        name: the table.
        constraint: what is validated.
        stood: it wasn't added on this way; one that was NOT VALID then is so again when that is gone back.
    """
    table = way.at.tables[name]
    was = way.change.before.tables[name].constraints.get(constraint.name) if stood else None
    to = way.with_table(table.having(constraint))
    standing = table.constraints[constraint.name]
    up: list[ops.MigrateOperation] = [validate_op(constraint, table, way.at)]
    if standing.comment != constraint.comment:
        up.append(comment_op(constraint, table, way.at))
    down = [
        drop_op(constraint, table, way.at),
        not_valid_op(constraint, table, way.at),
        *comment_ops(standing, table, way.at),
    ]
    way.step(to, Outside(up), down if was and not was.validated else [])


def comment_ops(constraint: Constraint, table: Table, catalog: Catalog) -> list[ops.MigrateOperation]:
    """Return what puts a constraint's comment on it, if it has one."""
    return [] if constraint.comment is None else [comment_op(constraint, table, catalog)]


def not_valid_op(constraint: Constraint, table: Table, catalog: Catalog) -> ops.MigrateOperation:
    """Return what adds a constraint that holds for new rows only."""
    return add_op(constraint.for_all_rows.for_new_rows, table, catalog)


def validate_op(constraint: Constraint, table: Table, catalog: Catalog) -> SqlOp:
    """Return what looks whether a constraint holds for all rows."""
    name = sql_name(table.name, catalog)
    return SqlOp(
        f"ALTER TABLE {name} VALIDATE CONSTRAINT {quoted(constraint.name)}",
        f"validate {constraint.name}",
        table.name,
    )


def add_constraint(way: Way, name: Name, constraint: Constraint, *, goes: bool = False) -> None:
    """Go on by adding a constraint; nobody is held up, where that can be. `goes` is as for `add_index`."""
    table = way.at.tables[name]
    to, form = way.with_table(table.having(constraint)), _form(constraint, table, way.at)
    if not form:
        way.go(to)
        return
    drop = [] if goes else [drop_op(constraint, table, way.at)]
    for block in form:
        way.step(to, block)
    way.step(to, [], drop)


def replace_constraint(way: Way, name: Name, old: Constraint, new: Constraint) -> None:
    """Let a constraint take the place of another one in one transaction, so that there always is one."""
    table = way.at.tables[name]
    to = way.with_table(table.without(old.name).having(new))
    go_both_ways(way, to, turn([old], [new], table, way.at), turn([new], [old], table, way.at))


def go_both_ways(way: Way, to: Catalog, up: Sequence[Operations], down: Sequence[Operations]) -> None:
    """Go on by what is done one after the other, and back by something else that is."""
    for block in up:
        way.step(to, block)
    for block in reversed(down):
        way.step(to, [], block)


def turn(going: Sequence[Piece], coming: Sequence[Piece], table: Table, catalog: Catalog) -> list[Operations]:
    """Return what drops some and adds others in one transaction, with what comes before and after that.

    An index, and a key's, is there before it, and rows that were there are looked at after it.
    """
    built: list[ops.MigrateOperation] = []
    found: list[ops.MigrateOperation] = [_drop_op(each, table, catalog) for each in going]
    looks: list[Operations] = []
    for new in coming:
        ahead = name_beside(new, table)
        if isinstance(new, Index):
            built += build(replace(new, name=ahead), table, catalog)
            found.append(indexes.rename_op(table.name, ahead, new.name, catalog))
        elif has_plain_index(new):
            built += build_for_key(key_index(replace(new, name=ahead), table), table, catalog)
            found += added_on_index(new, ahead, table, catalog)
        elif _is_taken_over(new, table):
            built.append(_on_partitions(replace(new, name=ahead), table, catalog))
            found += [*added(new, table, catalog), *settled([new], table, catalog)]
        else:
            first, *rest = _form(new, table, catalog) or [added(new, table, catalog)]
            found += first
            looks += rest
    return [Outside(built), found, *looks]


def _drop_op(part: Piece, table: Table, catalog: Catalog) -> ops.MigrateOperation:
    if isinstance(part, Index):
        return indexes.drop_op(part, table, catalog)
    return drop_op(part, table, catalog)


def added_on_index(
    constraint: Constraint, index: str, table: Table, catalog: Catalog
) -> list[ops.MigrateOperation]:
    """Return what adds a key on an index that is there; with partitions, on each one's (`build_for_key`)."""
    if table.partition_key:
        return [on_each(index, table, catalog, used(constraint)), *added(constraint, table, catalog)]
    return [use_index(constraint, index, table, catalog), *comment_ops(constraint, table, catalog)]


def drop_constraint(way: Way, name: Name, constraint: Constraint) -> None:
    """Go on by dropping a constraint; the way back holds nobody up."""
    table = way.at.tables[name]
    to, form = way.with_table(table.without(constraint.name)), _form(constraint, table, way.at)
    if form:
        again = Outside(op for block in form for op in block)
        way.step(to, [drop_op(constraint, table, way.at)], again)
    else:
        way.go(to)


def _form(constraint: Constraint, table: Table, catalog: Catalog) -> list[Operations]:
    """Return what adds a constraint without holding anybody up, if anything does."""
    comments = comment_ops(constraint, table, catalog)
    if _is_taken_over(constraint, table):
        return [Outside([_on_partitions(constraint, table, catalog)]), added(constraint, table, catalog)]
    if constraint.type in {"c", "f"} and constraint.validated and not constraint.is_not_enforced:
        look = [validate_op(constraint, table, catalog), *comments]
        return [[not_valid_op(constraint, table, catalog)], Outside(look)]
    if has_plain_index(constraint):
        index = build(key_index(constraint, table), table, catalog)
        return [Outside(index), [use_index(constraint, constraint.name, table, catalog), *comments]]
    return []


def _is_taken_over(constraint: Constraint, table: Table) -> bool:
    """Whether a partitioned table takes over a constraint that its partitions have already."""
    is_key = constraint.type == "f" and constraint.validated and not constraint.is_not_enforced
    return bool(table.partition_key) and (is_key or has_plain_index(constraint))


def _on_partitions(constraint: Constraint, table: Table, catalog: Catalog) -> ops.MigrateOperation:
    if constraint.type == "f":
        return on_each(
            None, table, catalog, added_to_partition(constraint), validated_on_partition(constraint)
        )
    return on_each(constraint.name, table, catalog, built(key_index(constraint, table)), used(constraint))


def added(constraint: Constraint, table: Table, catalog: Catalog) -> list[ops.MigrateOperation]:
    """Return what adds a constraint, and its comment."""
    return [add_op(constraint, table, catalog), *comment_ops(constraint, table, catalog)]


def has_plain_index(constraint: Constraint) -> bool:
    """Whether a constraint can stand on an index that was built before (ADD ... USING INDEX)."""
    return constraint.type in {"u", "p"} and " WITHOUT OVERLAPS" not in constraint.definition


def key_index(constraint: Constraint, table: Table) -> Index:
    """Return the index on which a unique constraint or primary key will stand."""
    keys = tuple(map(quoted, constraint.columns))
    definition = (
        f"CREATE UNIQUE INDEX {quoted(constraint.name)} "
        f"ON {quoted(table.name.schema)}.{quoted(table.name.name)} USING btree ({', '.join(keys)})"
    )
    if constraint.include:
        definition += f" INCLUDE ({quoted_list(constraint.include)})"
    if constraint.nulls_not_distinct:
        definition += " NULLS NOT DISTINCT"
    if constraint.options:
        definition += f" WITH ({', '.join(constraint.options)})"
    if constraint.tablespace:
        definition += f" TABLESPACE {quoted(constraint.tablespace)}"
    return Index(
        constraint.name,
        definition,
        keys=keys,
        key_columns=constraint.columns,
        include=constraint.include,
        unique=True,
        nulls_not_distinct=constraint.nulls_not_distinct,
        options=constraint.options,
        tablespace=constraint.tablespace,
        columns=frozenset((*constraint.columns, *constraint.include)),
    )


def use_index(constraint: Constraint, index: str, table: Table, catalog: Catalog) -> SqlOp:
    """Return what adds a unique constraint or primary key on an index, which gets its name."""
    kind = "PRIMARY KEY" if constraint.type == "p" else "UNIQUE"
    name = quoted(constraint.name)
    add = f"ADD CONSTRAINT {name} {kind} USING INDEX {quoted(index)}{timing(constraint)}"
    return SqlOp(
        f"ALTER TABLE {sql_name(table.name, catalog)} {add}",
        f"add constraint {constraint.name}",
        table.name,
    )


# What goes


def drop_constraints(way: Way, name: Name, *, early: bool = False) -> None:
    """Go on by dropping the checks and keys of a table that go, and have no successor.

    Args:
        way: so far.
        name: the table.
        early: those that are in the way of what comes: checks of rows' new values, too.
    """
    forced_constraints = way.forced.of(way.forced.parts("constraint"), name)
    for constraint in sorted(way.at.tables[name].constraints.values(), key=lambda each: each.type):
        if constraint.type not in {"c", "u", "p", "x"} or not goes_away(way, name, constraint):
            continue
        if _stays_until_then(way, name, constraint):
            continue
        new = successor(way, name, constraint)
        if new is not None:
            if early and refuses_values(way, name, constraint):
                make_way(way, name, constraint, new, can_come=has_columns(way, name, new))
        elif _is_in_the_way(way, name, constraint) if early else constraint.name not in forced_constraints:
            drop_constraint(way, name, constraint)


def make_way(way: Way, name: Name, old: Constraint, new: Constraint, *, can_come: bool) -> None:
    """Go on without a constraint that rows' new values might break; its successor comes now, if it can."""
    if can_come:
        replace_constraint(way, name, old, new)
    else:
        drop_constraint(way, name, old)


def has_columns(way: Way, name: Name, constraint: Constraint) -> bool:
    """Whether a table has all columns of a constraint already, as they will be."""
    places = [ColumnName(name, each) for each in (*constraint.columns, *constraint.include)]
    return way.swapped.isdisjoint(places) and all(map(way.at.tables[name].column, constraint.columns))


def _is_in_the_way(way: Way, name: Name, constraint: Constraint) -> bool:
    has_rival = constraint.type == "p" and way.change.after.tables[name].primary_key is not None
    return constraint.type in {"c", "x"} or has_rival or is_in_the_way(way, name, constraint)


def goes_away(way: Way, name: Name, constraint: Constraint) -> bool:
    """Whether a table's constraint goes, or is made anew; not with its column, nor with an inherited one."""
    if is_kept_with(way, name, constraint) or is_constraint_inherited(
        way.change, name, constraint, way.before
    ):
        return False
    wanted = way.change.after.tables[name].constraints.get(constraint.name)
    is_forced = constraint.name in way.forced.of(way.forced.parts("constraint"), name)
    stays = is_kept(constraint, wanted) or waits(constraint, wanted)
    return is_forced or not stays


def waits(constraint: Constraint, wanted: Constraint | None) -> bool:
    """Whether a constraint is as it should be, but for a look at the rows that were there before it."""
    checked = f"{wanted.definition} NOT VALID" if wanted and wanted.validated else None
    return constraint.definition == checked and constraint.type in {"c", "f"}


def _stays_until_then(way: Way, name: Name, constraint: Constraint) -> bool:
    """Whether an exclusion constraint holds until a new table, which has another one, takes the place.

    Not where rows get values in its columns meanwhile.
    """
    place = ColumnName(name, constraint.name)
    filled = {Node("column", ColumnName(name, each.name)) for each in becoming_required(way, name)}
    columns = {Node("column", ColumnName(name, each)) for each in constraint.columns}
    is_filled = not filled.isdisjoint(constraint.needs | columns)
    return place in way.excluded - way.forced.parts("constraint") and not is_filled


def successor(way: Way, name: Name, constraint: Constraint) -> Constraint | None:
    """Return what takes the place of a constraint that goes, without a moment in which neither is there."""
    place = ColumnName(name, constraint.name)
    is_forced = place in way.forced.parts("constraint") | way.excluded
    if is_forced or constraint.type == "n" or not goes_away(way, name, constraint):
        return None
    wanted = way.change.after.tables[name]
    found = wanted.primary_key if constraint.type == "p" else wanted.constraints.get(constraint.name)
    found = found or _of_another_name(way, name, constraint)
    if found is None or found.type != constraint.type or is_handed_on(way, name, found):
        return None
    return None if constraint.type == "c" and _is_shared(way, name, constraint.name) else found


def _of_another_name(way: Way, name: Name, constraint: Constraint) -> Constraint | None:
    """Return the only check or foreign key that comes to columns from which the only one goes."""
    if constraint.type not in {"c", "f"}:
        return None
    before, after = (catalog.tables[name].constraints for catalog in (way.before, way.change.after))
    both = (
        [
            each
            for each in own.values()
            if each.name not in others
            and (each.type, {*each.columns}) == (constraint.type, {*constraint.columns})
        ]
        for own, others in ((before, after), (after, before))
    )
    going, coming = both
    return coming[0] if len(going) == len(coming) == 1 and going[0].name == constraint.name else None


def _is_shared(way: Way, name: Name, check: str) -> bool:
    """Whether tables of which one inherits from the other each have a check of that name of their own.

    All of them go before the first one comes: what is inherited is merged with what is there.
    """
    before = way.before
    heirs = [table for table in before.tables.values() if name in ancestors(table.name, before)]
    above = [before.tables[each] for each in ancestors(name, before) if each in before.tables]
    return any(check in each.constraints for each in above) or any(
        check in each.constraints and each.constraints[check].is_local for each in heirs
    )


def is_handed_on(way: Way, name: Name, constraint: Constraint) -> bool:
    """Whether a constraint comes with that of a table which is inherited from."""
    return is_constraint_inherited(way.change, name, constraint, way.change.after)


def _settle(way: Way, name: Name) -> None:
    """Say what else is said of constraints that stay: that takes nothing from running code."""
    wanted, table = way.change.after.tables[name].constraints, way.at.tables[name]
    said = [
        replace(each, comment=new.comment, options=new.options)
        for each in table.constraints.values()
        if (new := wanted.get(each.name)) and is_kept(each, new)
    ]
    way.go(way.with_table(table.having(*said)))


STAGES = (
    # A key is dropped after all that refers to it.
    TableStage(
        "no constraints in the way",
        partial(drop_constraints, early=True),
        needs_of_all=["no foreign keys that go"],
    ),
    # What says by which index rows are told apart lets go of an old one before.
    TableStage("no constraints that go", drop_constraints, ["chosen indexes"]),
    TableStage("what is said of constraints", _settle, ["foreign keys"]),
)
