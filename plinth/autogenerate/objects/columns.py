"""Columns: added, dropped, altered."""

import re
from collections.abc import Iterator
from dataclasses import replace

import sqlalchemy as sa
from alembic.operations import ops

from plinth.autogenerate.objects import casts, publications
from plinth.autogenerate.objects.expressions import as_said, bare
from plinth.autogenerate.objects.heirs import (
    in_heirs,
    is_column_inherited,
    may_be_inherited,
    with_inherited,
)
from plinth.autogenerate.objects.quoting import (
    do_block,
    dollar_quoted,
    literal,
    made_name,
    quoted,
    schema_of,
    shown,
    sql_name,
    without_binds,
)
from plinth.autogenerate.objects.refusals import refuse
from plinth.autogenerate.objects.steps import (
    Change,
    CommentOp,
    EachPartitionOp,
    Forced,
    SqlOp,
    Step,
    Waiting,
    as_it_is,
)
from plinth.autogenerate.objects.types import base_name, same_family, sqlalchemy_type
from plinth.catalog.picture import Catalog, Column, ColumnName, Name, Node, Sequence, Table

_SERIAL = {"smallint", "integer", "bigint"}
_LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
_STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}
# What no server reads otherwise, however it takes backslashes.
_PLAIN_TEXT = re.compile(r"'(?:[^'\\]|'')*'")
_COMPRESSION = {"p": "pglz", "l": "lz4"}

INTEGERS = {"smallint", "integer", "bigint"}


def next_value(sequence: Name, catalog: Catalog) -> str:
    """Return the default that is the next value of a sequence, as PostgreSQL prints it."""
    return f"nextval({literal(sql_name(sequence, catalog))}::regclass)"


def is_serial(column: Column, table: Table, catalog: Catalog) -> bool:
    """Whether a column is what SERIAL makes: with a sequence of its own, of the usual name and options."""
    sequence = catalog.sequences.get(column.sequence) if column.sequence else None
    return (
        sequence is not None
        and not sequence.is_identity
        and column.not_null
        and column.type in _SERIAL
        and column.default == next_value(sequence.name, catalog)
        and sequence.name == Name(table.name.schema, made_name(table.name.name, column.name, "seq"))
        and sequence == default_sequence(sequence, column.type, table.persistence)
    )


def default_sequence(sequence: Sequence, type_: str, persistence: str) -> Sequence:
    """Return a sequence with the options that it has when none are said."""
    return replace(
        sequence,
        type=type_,
        start=1,
        increment=1,
        minimum=1,
        maximum=_LARGEST[type_],
        cache=1,
        cycle=False,
        persistence=persistence,
        comment=None,
    )


def native_column(column: Column, table: Table, catalog: Catalog) -> sa.Column[object] | None:
    """Return a column as Alembic's operations take it; None where SQLAlchemy has no words for it.

    Args:
        column: the column.
        table: the table that it belongs to.
        catalog: the schema that both belong to.
    """
    type_ = sqlalchemy_type(column, catalog)
    if type_ is None:
        return None
    given: list[sa.schema.SchemaItem] = []
    options: dict[str, object] = {"nullable": not column.not_null}
    if column.comment is not None:
        options["comment"] = column.comment
    if column.generated:
        given.append(
            sa.Computed(
                without_binds(bare(str(column.default), column.words)), persisted=column.generated == "s"
            )
        )
    elif column.identity:
        given.append(_identity(column, catalog))
        options.pop("nullable")
    elif column.default is not None and not is_serial(column, table, catalog):
        options["server_default"] = server_default(column)
    return sa.Column(column.name, type_, *given, **options)  # type: ignore[arg-type]


def default_sql(column: Column) -> str | None:
    """Return a column's default as SQL, if it has one."""
    return None if column.default is None else as_said(column.default, column.words)


def server_default(column: Column) -> str | sa.TextClause:
    """Return a column's default as SQLAlchemy takes it: a plain text as such."""
    sql = str(default_sql(column))
    if _PLAIN_TEXT.fullmatch(sql):
        return sql[1:-1].replace("''", "'")
    return sa.text(without_binds(sql))


def _options(sequence: Sequence, usual: Sequence) -> dict[str, int | bool]:
    """Return what isn't usual about a sequence."""
    names = ("start", "increment", "minimum", "maximum", "cache", "cycle")
    return {
        each: getattr(sequence, each) for each in names if getattr(sequence, each) != getattr(usual, each)
    }


def option_words(sequence: Sequence, usual: Sequence) -> list[str]:
    """Return what isn't usual about a sequence, as SQL says it."""
    starts = {
        "start": "START WITH",
        "increment": "INCREMENT BY",
        "minimum": "MINVALUE",
        "maximum": "MAXVALUE",
    }
    found = _options(sequence, usual)
    words = [f"{starts.get(name, name.upper())} {value}" for name, value in found.items() if name != "cycle"]
    return [*words, "CYCLE" if found["cycle"] else "NO CYCLE"] if "cycle" in found else words


def _of_identity(column: Column, catalog: Catalog) -> tuple[Sequence, Sequence]:
    """Return an identity column's sequence, and as it is when none of its options are said."""
    sequence = catalog.sequences[column.sequence]  # type: ignore[index] # an identity column has one
    usual = default_sequence(sequence, column.type, sequence.persistence)
    if sequence.increment < 0:
        usual = replace(usual, minimum=-_LARGEST[column.type] - 1, maximum=-1)
    return sequence, replace(usual, start=sequence.maximum if sequence.increment < 0 else sequence.minimum)


def _identity(column: Column, catalog: Catalog) -> sa.Identity:
    names = {"minimum": "minvalue", "maximum": "maxvalue"}
    options = {
        names.get(each, each): value for each, value in _options(*_of_identity(column, catalog)).items()
    }
    return sa.Identity(always=column.identity == "a", **options)  # type: ignore[arg-type]


def identity_sql(column: Column, catalog: Catalog) -> str:
    """Return what makes a column an identity column."""
    words = option_words(*_of_identity(column, catalog))
    kind = "ALWAYS" if column.identity == "a" else "BY DEFAULT"
    return f"GENERATED {kind} AS IDENTITY" + (f" ({' '.join(words)})" if words else "")


def column_sql(column: Column, table: Table, catalog: Catalog) -> str:
    """Return a column as CREATE TABLE and ADD COLUMN take it."""
    words = [quoted(column.name), column.type]
    if column.collation:
        words.append(f"COLLATE {column.collation}")
    if is_serial(column, table, catalog):
        words[1] = {"smallint": "smallserial", "integer": "serial", "bigint": "bigserial"}[column.type]
    elif column.generated:
        expression = bare(str(column.default), column.words)
        words.append(
            f"GENERATED ALWAYS AS ({expression}) {'STORED' if column.generated == 's' else 'VIRTUAL'}"
        )
    elif column.identity:
        words.append(identity_sql(column, catalog))
    elif column.default is not None:
        words.append(f"DEFAULT {default_sql(column)}")
    if column.not_null:
        words.append("NOT NULL")
    return " ".join(words)


def steps(change: Change, name: Name, forced: Forced) -> Iterator[Step]:
    """Yield what makes the columns of a standing table as they should be.

    Args:
        change: the whole.
        name: the table.
        forced: what is made anew: types under their names, which take care of their columns' defaults,
            generated columns, and defaults because of what they call.

    Raises:
        Refusal: it needs a word of the author's, and refusals aren't collected.
    """
    before, after = change.before.tables[name], change.after.tables[name]
    replaced = forced.of(forced.parts("column"), name)
    for column in after.columns:
        is_new = column.name in replaced or before.column(column.name) is None
        if is_new and not is_column_inherited(change, name, column, change.after):
            nodes = _nodes(after, column, change.before)
            theirs = in_heirs(name, column, change.after)
            yield from (step.making(*nodes).needing(*theirs) for step in _add(change, after, column))
    for column in before.columns:
        wanted = after.column(column.name)
        goes = wanted is None and not is_column_inherited(change, name, column, change.before)
        if column.name in replaced or goes:
            about = "drop generated column" if column.generated else None
            drop = Step(_drop(change, before, column), about).dropping(*_nodes(before, column, change.after))
            yield drop.needing(*in_heirs(name, column, change.before))
        elif (
            wanted and after.part("default", column.name) in forced.anew and column.default == wanted.default
        ):
            yield from _alter(change, after, column, replace(wanted, default=None), forced)
            yield from _alter(change, after, replace(wanted, default=None), wanted, forced)
        elif wanted is not None and wanted != column:
            if column.named_type in forced.types and column.named_type == wanted.named_type:
                column = replace(column, default=wanted.default)  # noqa: PLW2901
            column = with_inherited(change, name, column)  # noqa: PLW2901
            yield from _alter(change, after, column, wanted, forced)


def _nodes(table: Table, column: Column, other: Catalog) -> frozenset[Node]:
    """Return what comes with a column that isn't in another schema, or goes with it."""
    alone = replace(table, columns=(column,))
    return (alone.column_nodes - {table.node}) | alone.sequences_but(other.sequences)


def _drop(change: Change, table: Table, column: Column) -> ops.DropColumnOp:
    may_be_gone = may_be_inherited(change, table.name, column) or None
    schema = schema_of(table.name, change.before)
    return ops.DropColumnOp(table.name.name, column.name, schema=schema, if_exists=may_be_gone)


def _add(change: Change, table: Table, column: Column) -> Iterator[Step]:
    """Yield what adds a column; one that is required gets its values first."""
    backfill = change.backfills.get(ColumnName(table.name, column.name))
    fills_itself = column.generated or column.identity or column.default is not None
    required = column.not_null and not fills_itself
    if required and backfill is None:
        place = shown(table.name, change.after)
        if not change.is_downgrade:
            refuse(
                "required",
                f"Column {place}.{column.name} is required, and the rows that {place} has (here or in "
                "production) have no value for it. Give it one: server_default=… in the model, or "
                'info={"backfill": "an SQL expression"}.',
            )
        text = f"The values of {column.name} are gone: this works as long as {place} has no rows."
        yield Step(CommentOp(text))
    elif change.is_downgrade and not column.generated and _was_there(change, table, column):
        yield Step(CommentOp(f"The values of {column.name} are gone."))
    fill = backfill is not None and not column.generated and not column.identity
    fill = fill and ColumnName(table.name, column.name) not in change.filled_later
    yield Step(_add_op(change, table, replace(column, not_null=False, default=None) if fill else column))
    if fill:
        for op in _update(change, table, column, str(backfill), everywhere=True):
            yield Step(op)
        if column.default is not None:
            default = server_default(column)
            yield Step(alter_op(table, column.name, change.after, modify_server_default=default))
        if column.not_null:
            yield Step(alter_op(table, column.name, change.after, modify_nullable=False))
    yield from settings(change, table, Column(column.name, column.type), column)


def _was_there(change: Change, table: Table, column: Column) -> bool:
    """Whether a column is the application's own, and doesn't only stand beside the one that it exchanges."""
    there = (change.goal or change.after).tables.get(table.name)
    return there is not None and there.column(column.name) is not None


def _add_op(change: Change, table: Table, column: Column) -> ops.MigrateOperation:
    native = native_column(column, table, change.after)
    serial_without_key = is_serial(column, table, change.after)
    if native is None or serial_without_key:
        return SqlOp(
            f"ALTER TABLE {sql_name(table.name, change.after)} ADD COLUMN "
            f"{column_sql(column, table, change.after)}",
            f"add {table.name.name} {column.name}",
            table.name,
            waiting=waiting_for_new(
                f"{table.name.name}.{column.name}",
                is_stored=column.generated == "s",
                has_numbers=bool(column.identity) or serial_without_key,
            ),
        )
    return ops.AddColumnOp(table.name.name, native, schema=schema_of(table.name, change.after))


def waiting_for_new(place: str, *, is_stored: bool, has_numbers: bool) -> Waiting | None:
    """Return what a new column makes queries wait for.

    Args:
        place: its table and name.
        is_stored: it is generated, and stored.
        has_numbers: a sequence numbers the rows that are there.
    """
    if is_stored:
        return Waiting(
            f"The generated column {place} is stored: its table is written anew while nobody can use it. A "
            "virtual one (persisted=False, from PostgreSQL 18 on) writes nothing",
            "stored-generated-column",
        )
    if has_numbers:
        return Waiting(
            f"The rows that are there get their numbers in {place} while nobody can use the table: it is "
            "partitioned, or inherits, or another inherits from it",
            "adding-field-with-default",
        )
    return None


def _update(
    change: Change, table: Table, column: Column, value: str, *, everywhere: bool = False
) -> list[ops.MigrateOperation]:
    """Return what gives rows a value, and lets PostgreSQL alter the table afterwards."""
    where = "" if everywhere else f" WHERE {quoted(column.name)} IS NULL"
    name = sql_name(table.name, change.after)
    update = SqlOp(
        f"UPDATE {name} SET {quoted(column.name)} = {value}{where}",  # noqa: S608
        table=table.name,
        waiting=Waiting(
            f"All rows get their values in {table.name.name}.{column.name} while nobody can use the table",
            "blocks",
        ),
    )
    # A check that waits for the commit forbids ALTER TABLE until then.
    waits = any(
        each.deferred and (owner == table.name or (each.foreign_key and each.foreign_key.table == table.name))
        for catalog in (change.before, change.after)
        for owner, other in catalog.tables.items()
        for each in other.constraints.values()
    )
    return [update, SqlOp("SET CONSTRAINTS ALL IMMEDIATE", table=table.name)] if waits else [update]


def alter_op(table: Table, column: str, catalog: Catalog, **what: object) -> ops.AlterColumnOp:
    """Return what alters a column: `what` is as Alembic's operation has it."""
    schema = schema_of(table.name, catalog)
    return ops.AlterColumnOp(table.name.name, column, schema=schema, **what)  # type: ignore[arg-type]


def _alter(change: Change, table: Table, before: Column, after: Column, forced: Forced) -> Iterator[Step]:
    """Yield what makes a column as it should be."""
    sql, summary = _alter_sql(change, table, before), f"change {table.name.name} {before.name}"
    if before.generated and not after.generated:
        drop = Step(SqlOp(f"{sql} DROP EXPRESSION", summary, table.name), "column")
        yield drop.dropping(table.part("column", before.name))
        before = replace(before, generated="", default=None)
    if before.identity and not after.identity:
        drop = Step(SqlOp(f"{sql} DROP IDENTITY", summary, table.name), "column")
        yield drop.dropping(Node("sequence", before.sequence)) if before.sequence else drop
    yield from _retype_around_default(change, table, before, after, forced)
    if before.not_null and not after.not_null:
        loose = loosened(table, after.name, change.after)
        yield Step(ops.ModifyTableOps(table.name.name, loose) if loose[1:] else loose[0], "column")
    if after.not_null and not before.not_null:
        yield from _require(change, table, after)
    if after.identity and not before.identity:
        yield from _become_identity(change, table, after)
    elif after.identity != before.identity and after.identity:
        kind = "ALWAYS" if after.identity == "a" else "BY DEFAULT"
        yield Step(SqlOp(f"{sql} SET GENERATED {kind}", summary, table.name), "column")
    if before.comment != after.comment:
        yield Step(alter_op(table, after.name, change.after, modify_comment=after.comment), "comment")
    if is_retyped(before, after):
        before = replace(before, storage="", compression="")  # another type has its own
    yield from settings(change, table, before, after)


def _retype_around_default(
    change: Change, table: Table, before: Column, after: Column, forced: Forced
) -> Iterator[Step]:
    """Yield what gives a column another type, and its default: off before, on again after."""
    node, its_default = table.part("column", after.name), table.part("default", after.name)
    retyped = is_retyped(before, after)
    has_default = before.default is not None and not before.generated
    stands_by = same_family(before.type, after.type) and before.default == after.default
    drops_default = has_default and (
        after.default is None or bool(after.identity) or (retyped and not stands_by)
    )
    if drops_default:
        drop = default_op(change, table, replace(after, default=None))
        yield Step(drop, "column").dropping(its_default)
    if retyped:
        step = Step(retype(change, table, before, after)).making(node)
        yield step if before.named_type in forced.types else step.dropping(node)
    if (
        after.default is not None
        and not after.generated
        and (drops_default or before.default != after.default)
    ):
        # An identity column's sequence gives its name to the one that the default asks.
        about = "owner" if before.identity else "column"
        set_ = default_op(change, table, after)
        step = Step(set_, about).making(its_default)
        yield step.dropping(its_default) if has_default and not drops_default else step


def loosened(table: Table, column: str, catalog: Catalog) -> list[ops.MigrateOperation]:
    """Return what lets a column be NULL.

    What refuses it in partitions is their own, too, since they got a primary key before their table did.
    """
    found: list[ops.MigrateOperation] = [alter_op(table, column, catalog, modify_nullable=True)]
    if table.partition_key:
        alter = f"ALTER TABLE {{partition}} ALTER COLUMN {as_it_is(quoted(column))} DROP NOT NULL"
        found.append(EachPartitionOp(sql_name(table.name, catalog), "", (alter,)))
    return found


def default_op(change: Change, table: Table, column: Column) -> ops.MigrateOperation:
    """Return what gives a column its default, or takes it off; partitions and heirs keep one of their own.

    PostgreSQL would overwrite theirs with the table's. Which they have, each database says for itself.
    """
    tables = change.after.tables.values()
    if not table.partition_key and not any(table.name in each.parents for each in tables):
        default = None if column.default is None else server_default(column)
        return alter_op(table, column.name, change.after, modify_server_default=default)
    name, sql = literal(sql_name(table.name, change.after)), default_sql(column)
    verb = "DROP DEFAULT" if sql is None else f"SET DEFAULT {sql}"
    change_its = dollar_quoted(f" ALTER COLUMN {quoted(column.name)} {verb}", "change")
    lines = [
        "DECLARE part regclass; BEGIN",
        "    FOREACH part IN ARRAY ARRAY(",
        f"        WITH RECURSIVE tree AS (SELECT {name}::regclass::oid AS id",
        "            UNION SELECT inhrelid FROM pg_inherits, tree WHERE inhparent = id),",
        "        defaults AS (SELECT id, (SELECT pg_get_expr(adbin, adrelid)",
        "            FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum",
        f"            WHERE adrelid = id AND attname = {literal(column.name)}) AS said FROM tree)",
        "        SELECT id FROM defaults WHERE said IS NOT DISTINCT FROM",
        f"            (SELECT said FROM defaults WHERE id = {name}::regclass))",  # noqa: S608 - quoted names
        "    LOOP",
        "        EXECUTE 'ALTER TABLE ONLY ' || part ||",
        f"            {change_its};",
        "    END LOOP;",
    ]
    return SqlOp(
        do_block(lines),
        f"change {table.name.name} {column.name}",
        table.name,
        note="partitions and heirs with a default of their own keep it",
    )


def _alter_sql(change: Change, table: Table, column: Column) -> str:
    return f"ALTER TABLE {sql_name(table.name, change.after)} ALTER COLUMN {quoted(column.name)}"


def retype(change: Change, table: Table, before: Column, after: Column) -> ops.MigrateOperation:
    """Return what gives a column another type."""
    op = _retype(change, table, before, after)
    if not (before.published_by or after.published_by):
        return op
    own = op.ops if isinstance(op, ops.ModifyTableOps) else [op]
    leave = publications.unpublish([ColumnName(table.name, after.name)], change.after)
    return ops.ModifyTableOps(table.name.name, [leave, *own, publications.publish()])


def _retype(change: Change, table: Table, before: Column, after: Column) -> ops.MigrateOperation:
    expression = change.using(ColumnName(table.name, after.name), before, after)
    if casts.keeps_stored_values(before, after, expression):
        # With this zone PostgreSQL sees that nothing has to be written anew.
        zone = [SqlOp(f"SET LOCAL TimeZone TO {to}", table=table.name) for to in ("'UTC'", "DEFAULT")]
        change_op = _type_op(change, table, before, after, None)
        return ops.ModifyTableOps(table.name.name, [zone[0], change_op, zone[1]])
    if expression is None:
        expression = casts.using(before, after, change.before, change.after, change.casts)
    return _type_op(change, table, before, after, expression)


def _type_op(
    change: Change, table: Table, before: Column, after: Column, expression: str | None
) -> ops.MigrateOperation:
    type_ = sqlalchemy_type(after, change.after)
    # Alembic hands USING on as it is, and the driver takes a % in it for a parameter.
    has_percent = expression is not None and "%" in expression
    if type_ is None or has_percent or (after.collation is None and before.collation is not None):
        collate = f" COLLATE {after.collation}" if after.collation else ""
        return SqlOp(
            f"{_alter_sql(change, table, after)} TYPE {after.type}{collate}"
            + (f" USING {expression}" if expression else ""),
            f"change {table.name.name} {after.name}",
            table.name,
        )
    options = {"postgresql_using": expression} if expression else {}
    return alter_op(table, after.name, change.after, modify_type=type_, **options)


def _require(change: Change, table: Table, column: Column) -> Iterator[Step]:
    """Yield what makes a column required, in rows that have no value too where one is known."""
    value = change.backfills.get(ColumnName(table.name, column.name), default_sql(column))
    if value is not None and not change.is_downgrade and not column.generated:
        for op in _update(change, table, column, value):
            yield Step(op, "column")
    yield Step(alter_op(table, column.name, change.after, modify_nullable=False), "column")


def _become_identity(change: Change, table: Table, column: Column) -> Iterator[Step]:
    add = f"{_alter_sql(change, table, column)} ADD {identity_sql(column, change.after)}"
    yield Step(SqlOp(add, f"change {table.name.name} {column.name}", table.name), "owner")
    if column.sequence and change.before.tables[table.name][column.name].sequence is None:
        sequence = change.after.sequences[column.sequence]
        yield Step(continue_sequence(change, sequence, table, column), "owner")


def continue_sequence(change: Change, sequence: Sequence, table: Table, column: Column) -> SqlOp:
    """Return what lets a sequence go on behind the values of its column, unless it stands there already."""
    farthest, reaches = ("max", ">=") if sequence.increment > 0 else ("min", "<=")
    value = f"{farthest}({quoted(column.name)})"
    name = sql_name(sequence.name, change.after)
    return SqlOp(
        f"SELECT setval({literal(name)}, {value}) FROM {sql_name(table.name, change.after)} "  # noqa: S608
        f"HAVING {value} {reaches} (SELECT last_value FROM {name})",
        table=table.name,
    )


def settings(change: Change, table: Table, before: Column, after: Column) -> Iterator[Step]:
    """Yield how a column is stored and measured."""
    actions = []
    if before.storage != after.storage:
        actions.append(f"SET STORAGE {_STORAGE.get(after.storage, 'DEFAULT')}")
    if before.compression != after.compression:
        actions.append(f"SET COMPRESSION {_COMPRESSION.get(after.compression, 'DEFAULT')}")
    if before.statistics != after.statistics:
        actions.append(f"SET STATISTICS {-1 if after.statistics is None else after.statistics}")
    if gone := [each.partition("=")[0] for each in before.options if each not in after.options]:
        actions.append(f"RESET ({', '.join(gone)})")
    if new := [each for each in after.options if each not in before.options]:
        actions.append(f"SET ({', '.join(new)})")
    for action in actions:
        yield Step(SqlOp(f"{_alter_sql(change, table, after)} {action}", table=table.name), "column")


def is_replaced(before: Column, after: Column) -> bool:
    """Whether a column can only be dropped and made anew: what generates it has changed."""
    if not after.generated:
        return before.generated == "v"
    return (before.generated, before.default, before.type, before.collation) != (
        after.generated,
        after.default,
        after.type,
        after.collation,
    )


def is_retyped(before: Column, after: Column) -> bool:
    """Whether a column gets another type."""
    return (before.type, before.collation) != (after.type, after.collation)


def changes_family(before: Column, after: Column) -> bool:
    """Whether a column gets a type that is compared differently."""
    return not same_family(before.type, after.type) or base_name(before.type) != base_name(after.type)
