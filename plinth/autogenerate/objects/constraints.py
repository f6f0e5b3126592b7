"""Constraints: primary and foreign keys, unique, check, exclusion, and the names of NOT NULL."""

from collections.abc import Iterator
from dataclasses import replace

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.sql.elements import conv

from plinth.autogenerate.objects import indexes
from plinth.autogenerate.objects.expressions import as_said, bare
from plinth.autogenerate.objects.heirs import is_constraint_inherited, may_be_inherited
from plinth.autogenerate.objects.quoting import (
    comment_sql,
    dollar_quoted,
    literal,
    made_name,
    quoted,
    schema_of,
    sql_name,
    without_binds,
)
from plinth.autogenerate.objects.refusals import refuse
from plinth.autogenerate.objects.steps import Change, Forced, NotNullNamesOp, SqlOp, Step, Waiting
from plinth.catalog.picture import Catalog, Constraint, Index, Name, Table

_ACTIONS = {"r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
_KINDS = {"p": "primary", "u": "unique", "f": "foreignkey", "c": "check"}
_KEYS = {"p", "u", "x"}


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
    if constraint.options:
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
    if constraint.options:
        # Storage parameters stand before DEFERRABLE and the predicate of an exclusion.
        tail = timing(constraint)
        head = definition.removesuffix(tail)
        head, where, predicate = head.partition(" WHERE ")
        definition = f"{head} WITH ({', '.join(constraint.options)}){where}{predicate}{tail}"
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
            waiting=_waiting(constraint, table) if constraint.type == "x" else None,
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


def _waiting(exclusion: Constraint, table: Table) -> Waiting:
    return Waiting(
        f"The exclusion constraint {exclusion.name} reads {table.name.name} and builds its index while "
        "nobody can use the table: PostgreSQL takes no index that was built before",
        "constraint-missing-not-valid",
    )


def drop_op(constraint: Constraint, table: Table, catalog: Catalog) -> ops.DropConstraintOp:
    """Return what drops a constraint."""
    kind = _KINDS.get(constraint.type)
    return ops.DropConstraintOp(
        conv(constraint.name), table.name.name, kind, schema=schema_of(table.name, catalog)
    )


def comment_op(constraint: Constraint, table: Table, catalog: Catalog) -> SqlOp:
    """Return what puts a comment on a constraint, or takes it off."""
    on = f"CONSTRAINT {quoted(constraint.name)} ON {sql_name(table.name, catalog)}"
    return SqlOp(comment_sql(on, constraint.comment), f"comment {constraint.name}", table.name)


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
    """Whether a constraint is as it should be, its comment aside."""
    return (
        after is not None
        and before.type == after.type
        and before.definition == after.definition
        and before.options == after.options
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
        old_one = before.constraints.get(new.name)
        if new.type == "n" or is_constraint_inherited(change, name, new, change.after):
            continue
        node = after.part("constraint", new.name)
        is_new = old_one is None or node in forced.changed
        if is_new:
            yield Step(add_op(new, after, change.after)).making(node)
        if new.comment != (None if is_new or old_one is None else old_one.comment):
            yield Step(comment_op(new, after, change.after), "comment")
    if before.parents != after.parents:
        yield from _renamed_not_null(change, before, after)


def _renamed_not_null(change: Change, before: Table, after: Table) -> Iterator[Step]:
    """Yield what names NOT NULL anew where it isn't inherited any more, or not yet (PostgreSQL 18)."""
    names = {each.columns: each for each in before.constraints.values() if each.type == "n"}
    for new in after.constraints.values():
        old = names.get(new.columns) if new.type == "n" else None
        if (
            old
            and old.name != new.name
            and not is_constraint_inherited(change, after.name, new, change.after)
        ):
            yield Step(rename_op(after.name, old, new.name, change.after), "comment")


def not_null_names(change: Change) -> Iterator[Step]:
    """Yield what gives new NOT NULL constraints names that aren't the usual ones (PostgreSQL 18).

    Raises:
        Refusal: one isn't valid for all rows.
    """
    for name, table in change.after.tables.items():
        before = change.before.tables.get(name)
        known = (
            {each.columns for each in before.constraints.values() if each.type == "n"} if before else set()
        )
        for each in table.constraints.values():
            if each.type != "n" or each.columns in known:
                continue
            if is_constraint_inherited(change, name, each, change.after):
                continue
            if not each.validated:
                refuse(
                    "not null",
                    f"Constraint {each.name} of {name} is NOT VALID: add it in a revision by hand.",
                )
                continue
            own = replace(table, constraints={each.name: replace(each, is_local=True)})
            for op in not_null_name_ops(own, each.columns[0], change.after):
                yield Step(op, "comment")


def not_null_name_ops(table: Table, column: str, catalog: Catalog) -> list[ops.MigrateOperation]:
    """Return what gives a column's new NOT NULL constraint its name, if it hasn't got it yet.

    It may be the usual one, and before PostgreSQL 18 there is none.
    """
    usual = made_name(table.name.name, column, "not_null")
    place = sql_name(table.name, catalog)
    there = (
        f"SELECT FROM pg_constraint WHERE conname = {literal(usual)} "
        f"AND conrelid = {literal(place)}::regclass"
    )
    own = [each for each in table.constraints.values() if each.type == "n" and each.columns == (column,)]
    rename = f"IF EXISTS ({there}) THEN ALTER TABLE {place} RENAME CONSTRAINT {quoted(usual)}"
    return [
        SqlOp(
            f"DO {dollar_quoted(f' BEGIN {rename} TO {quoted(each.name)}; END IF; END ')}", None, table.name
        )
        for each in own
        if each.name != usual and each.is_local
    ]


def stands_on(key: Constraint, table: Name, constraint: Constraint) -> bool:
    """Whether a foreign key stands on this unique constraint or primary key of a table."""
    return (
        key.foreign_key is not None
        and constraint.type in _KEYS
        and key.foreign_key.table == table
        and set(key.foreign_key.columns) == set(constraint.columns)
    )
