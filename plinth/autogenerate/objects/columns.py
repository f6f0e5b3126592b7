"""Columns: added, dropped, altered.

Those of a busy table are added without what takes a look at its rows: values come later (`values`), and so
does NOT NULL (`not_null`).
"""

import re
from collections.abc import Iterator
from dataclasses import replace

import sqlalchemy as sa
from alembic.operations import ops

from plinth.autogenerate.change import casts, publications
from plinth.autogenerate.change.expressions import bare, default_sql
from plinth.autogenerate.change.heirs import (
    in_heirs,
    is_column_inherited,
    may_be_inherited,
    with_heirs,
    with_inherited,
)
from plinth.autogenerate.change.quoting import (
    do_block,
    dollar_quoted,
    literal,
    quoted,
    schema_of,
    shown,
    sql_name,
    without_binds,
)
from plinth.autogenerate.change.refusals import refuse
from plinth.autogenerate.change.stages import TableStage
from plinth.autogenerate.change.steps import (
    Change,
    CommentOp,
    Forced,
    LoosenPartitionsOp,
    SqlOp,
    Step,
    Waiting,
)
from plinth.autogenerate.change.types import base_name, same_family, sqlalchemy_type
from plinth.autogenerate.change.way import Way
from plinth.autogenerate.objects import constraints, indexes, triggers
from plinth.autogenerate.objects.sequences import (
    continue_sequence,
    identity,
    identity_sql,
    is_serial,
)
from plinth.autogenerate.objects.values import (
    as_serial,
    has_constrained_domain,
    is_filled,
    is_numbered,
    let_number,
)
from plinth.catalog.picture import (
    NO_DEFAULT,
    NOTHING,
    Catalog,
    Column,
    ColumnName,
    Constraint,
    Name,
    Node,
    Table,
)

WAITING = "plinth: what it makes queries wait for"  # in a column's `info`
_STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}
# What no server reads otherwise, however it takes backslashes.
_PLAIN_TEXT = re.compile(r"'(?:[^'\\]|'')*'")
_COMPRESSION = {"p": "pglz", "l": "lz4"}


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
        given.append(identity(column, catalog))
        options.pop("nullable")
    elif column.default is not None and not is_serial(column, table, catalog):
        options["server_default"] = server_default(column)
    return sa.Column(column.name, type_, *given, **options)  # type: ignore[arg-type]


def without_value(column: Column, catalog: Catalog) -> Column:
    """Return a column that gives no value to rows that are there: its domain's default would be one."""
    domain = catalog.domain_of(column)
    return replace(column, default="NULL" if domain and domain.default is not None else None)


def server_default(column: Column) -> str | sa.TextClause:
    """Return a column's default as SQLAlchemy takes it: a plain text as such."""
    sql = str(default_sql(column))
    if _PLAIN_TEXT.fullmatch(sql):
        return sql[1:-1].replace("''", "'")
    return sa.text(without_binds(sql))


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
        if column.published_by and (wanted is None or column.name in replaced):
            _refuse_published(change, name, column, "dropped" if wanted is None else "made anew")
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
        elif wanted is not None:
            if column.named_type in forced.types and column.named_type == wanted.named_type:
                column = replace(column, default=wanted.default)  # noqa: PLW2901
            given = with_inherited(change, name, column)
            # A default is given to all heirs that had the table's, also to one that is to keep that.
            column = given if column != wanted else replace(column, default=given.default)  # noqa: PLW2901
            if column != wanted:
                yield from _alter(change, after, column, wanted, forced)


def _refuse_published(change: Change, name: Name, column: Column, what: str) -> None:
    """Refuse what PostgreSQL doesn't let happen to a column that a publication names."""
    publication = min(column.published_by)
    refuse(
        "dependent",
        f"The publication {publication} names column {shown(name, change.before)}.{column.name}, which would "
        f"be {what}. Take it out first, by ALTER PUBLICATION {publication} SET TABLE … in a revision written "
        "by hand, and name it again in one after.",
    )


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
    domain = change.after.domain_of(column)
    refuses_null = change.after.refuses_null(domain) and not (domain and domain.default is not None)
    required = not fills_itself and (column.not_null or refuses_null)
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
        text = f"The values of {column.name} are gone"
        has_default = column.default is not None or (domain is not None and domain.default is not None)
        instead = "each row gets a number anew" if column.identity else "each row has what its default says"
        yield Step(CommentOp(f"{text}: {instead}." if column.identity or has_default else f"{text}."))
    fill = backfill is not None and not column.generated and not column.identity
    if fill and domain and change.after.refuses_null(domain):
        refuse(
            "required",
            f"Column {shown(table.name, change.after)}.{column.name} has a backfill, and its domain "
            f"{domain.name.name} refuses NULL: no row can be without a value until then. Give it "
            "server_default=… in the model instead.",
        )
    fill = fill and ColumnName(table.name, column.name) not in change.filled_later
    yield Step(_add_op(change, table, replace(column, not_null=False, default=None) if fill else column))
    if fill:
        for op in _update(change, table, column, str(backfill), everywhere=True):
            yield Step(op).needing(*change.reads.get(ColumnName(table.name, column.name), ()))
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
    native, waiting = native_column(column, table, change.after), _waiting(change, table, column)
    if native is None or is_serial(column, table, change.after):
        return SqlOp(
            f"ALTER TABLE {sql_name(table.name, change.after)} ADD COLUMN "
            f"{column_sql(column, table, change.after)}",
            f"add {table.name.name} {column.name}",
            table.name,
            waiting=waiting,
        )
    native.info[WAITING] = waiting
    return ops.AddColumnOp(table.name.name, native, schema=schema_of(table.name, change.after))


def _waiting(change: Change, table: Table, column: Column) -> Waiting | None:
    """Return what a new column makes queries wait for."""
    place, why = f"{table.name.name}.{column.name}", change.written_anew.get(table.name)
    if column.generated == "s":
        return Waiting(
            f"The generated column {place} is stored: its table is written anew while nobody can use it"
            f"{f', for {why}' if why else ''}. A virtual one (persisted=False, from PostgreSQL 18 on) writes "
            "nothing",
            "stored-generated-column",
        )
    if column.identity or is_serial(column, table, change.after):
        return Waiting(
            f"The rows that are there get their numbers in {place} while nobody can use the table: it is "
            "partitioned, or inherits, or another inherits from it",
            "adding-field-with-default",
        )
    if has_constrained_domain(change, column):
        return Waiting(
            f"The domain of {place} has a check, or refuses NULL: the table is written anew while nobody can "
            "use it",
            "rewrites",
        )
    return None


def _update(
    change: Change, table: Table, column: Column, value: str, *, everywhere: bool = False
) -> list[ops.MigrateOperation]:
    """Return what gives rows a value, without triggers, and lets PostgreSQL alter the table afterwards."""
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
    quiet = [
        quoted(each.bare)
        for each in triggers.own_triggers(change.after, {table.name})
        if change.before.others.get((each.kind, each.name)) == each
        and triggers.fires_on_each_update(each)
        and not each.details
    ]
    off, on = (
        [SqlOp(f"ALTER TABLE {name} {verb} TRIGGER {each}", table=table.name) for each in quiet]
        for verb in ("DISABLE", "ENABLE")
    )
    # A check that waits for the commit forbids ALTER TABLE until then.
    waits = any(
        each.deferred and (owner == table.name or (each.foreign_key and each.foreign_key.table == table.name))
        for catalog in (change.before, change.after)
        for owner, other in catalog.tables.items()
        for each in other.constraints.values()
    )
    settle = [SqlOp("SET CONSTRAINTS ALL IMMEDIATE", table=table.name)] if waits else []
    return [*off, update, *settle, *on]


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
    alter = alter_op(table, column, catalog, modify_nullable=True)
    return (
        [alter, LoosenPartitionsOp(sql_name(table.name, catalog), alter)] if table.partition_key else [alter]
    )


def default_op(change: Change, table: Table, column: Column) -> ops.MigrateOperation:
    """Return what gives a column its default, or takes it off; partitions and heirs keep one of their own.

    PostgreSQL would overwrite theirs with the table's. Which they have, each database says for itself.
    """
    tables = change.after.tables.values()
    if not table.partition_key and not any(table.name in each.parents for each in tables):
        default = server_default(column) if column.default not in {None, NO_DEFAULT} else None
        return alter_op(table, column.name, change.after, modify_server_default=default)
    name, sql = literal(sql_name(table.name, change.after)), default_sql(column)
    verb = "DROP DEFAULT" if sql in {None, NO_DEFAULT} else f"SET DEFAULT {sql}"
    change_its = dollar_quoted(f" ALTER COLUMN {quoted(column.name)} {verb}", "change")
    lines = [
        "DECLARE part regclass; BEGIN",
        "    FOREACH part IN ARRAY ARRAY(",
        "        WITH RECURSIVE its AS NOT MATERIALIZED (",
        "            SELECT attrelid AS id, pg_get_expr(adbin, adrelid) AS said FROM pg_attribute",
        "            LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum",
        f"            WHERE attname = {literal(column.name)}),",
        f"        same AS (SELECT * FROM its WHERE id = {name}::regclass",  # noqa: S608 - quoted names
        "            UNION SELECT its.* FROM same JOIN pg_inherits ON inhparent = same.id",
        "            JOIN its ON its.id = inhrelid AND its.said IS NOT DISTINCT FROM same.said)",
        "        SELECT id FROM same)",
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
    place = ColumnName(table.name, after.name)
    expression = change.using(place, before, after)
    if casts.keeps_stored_values(before, after, expression):
        # With this zone PostgreSQL sees that nothing has to be written anew.
        zone = [SqlOp(f"SET LOCAL TimeZone TO {to}", table=table.name) for to in ("'UTC'", "DEFAULT")]
        change_op = _type_op(change, table, before, after, None)
        return ops.ModifyTableOps(table.name.name, [zone[0], change_op, zone[1]])
    return _type_op(change, table, before, after, change.conversion(place, before, after))


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
    place = ColumnName(table.name, column.name)
    value, read = change.backfills.get(place, default_sql(column)), change.reads.get(place, NOTHING)
    if value is not None and not change.is_downgrade and not column.generated:
        node = table.part("column", column.name)
        # What makes nothing stands where it is; another's backfill may read these values.
        is_read = any(node in each for each in change.reads.values())
        for op in _update(change, table, column, value):
            step = Step(op, "column").needing(*read)
            yield step.making(node) if read or is_read else step
    yield Step(alter_op(table, column.name, change.after, modify_nullable=False), "column")


def _become_identity(change: Change, table: Table, column: Column) -> Iterator[Step]:
    add = f"{_alter_sql(change, table, column)} ADD {identity_sql(column, change.after)}"
    yield Step(SqlOp(add, f"change {table.name.name} {column.name}", table.name), "owner")
    if column.sequence and change.before.tables[table.name][column.name].sequence is None:
        sequence = change.after.sequences[column.sequence]
        yield Step(continue_sequence(change, sequence, table, column), "owner")


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


# On a busy database: all changes that need no more than a short look at the catalog


def _add_columns(way: Way, name: Name) -> None:
    eased = _eased(way, name)
    way.go(eased, through=_without_defaults(way, name, eased))
    let_number(way, name)


def _eased(way: Way, name: Name) -> Catalog:
    before, after = way.before.tables[name], way.change.after.tables[name]
    late = {
        place.column for place in way.rebuilt if place.table == name and before.column(place.column) is None
    }
    columns = [
        _eased_column(way, name, before, column) for column in after.columns if column.name not in late
    ]
    kept = [column for column in before.columns if after.column(column.name) is None]
    to_come = _indexes_to_come(before, after)
    gone = before.constraints.keys() - way.at.tables[name].constraints.keys()  # `_drop_keys_to_unlogged`
    standing = {key: each for key, each in before.constraints.items() if key not in gone}
    identities = {f"USING INDEX {quoted(each)}" for each in to_come}
    table = replace(
        after,
        columns=(*columns, *kept),
        constraints=_with_names_of_not_null(
            replace(before, constraints=standing), after, {column.name: column for column in columns}
        ),
        indexes=before.indexes,
        row_security=before.row_security,  # policies come first
        clustered_on=None if after.clustered_on in to_come else after.clustered_on,
        replica_identity="" if after.replica_identity in identities else after.replica_identity,
    )
    # Running code may still use what goes, and what fills it, or numbers rows.
    left = {column.name for column in (*kept, *(each for each in columns if each.fills_itself))}
    left -= {column.name for column in after.columns if column.fills_itself}
    own = {
        key
        for key, each in way.at.sequences.items()
        if each.owner and each.owner.table == name and each.owner.column not in left
    }
    sequences = {key: each for key, each in way.at.sequences.items() if key not in own}
    for key, each in way.change.after.sequences.items():
        if each.owner and each.owner.table == name:
            is_late = each.is_identity and each.owner in way.swapped
            is_new = each.is_identity and is_numbered(way.change, name, after[each.owner.column])
            sequences[key] = (
                way.at.sequences[key]
                if is_late
                else replace(each, is_identity=not is_new and each.is_identity)
            )
        elif key in own and not each.is_identity:  # it goes on where it stands, though it isn't the column's
            sequences[key] = replace(each, owner=None)
    return replace(way.with_table(table), sequences=sequences)


def _indexes_to_come(before: Table, after: Table) -> set[str]:
    """Return the names of indexes, those of constraints included, that aren't there yet, or are made anew."""
    keys, others = before.constraints, before.indexes
    return {
        *(name for name, each in after.constraints.items() if not constraints.is_kept(each, keys.get(name))),
        *(name for name, each in after.indexes.items() if not indexes.is_kept(each, others.get(name))),
    }


def _with_names_of_not_null(before: Table, after: Table, columns: dict[str, Column]) -> dict[str, Constraint]:
    """Return the constraints that stand, with those of NOT NULL that columns have by now."""
    standing = {each.name: each for each in before.constraints.values() if each.type != "n"}
    for table in (before, after):
        for each in table.constraints.values():
            column = columns.get(each.columns[0]) if each.type == "n" else None
            if each.type == "n" and (column is None or column.not_null):
                standing[each.name] = each
    return standing


def _eased_column(way: Way, table: Name, standing: Table, after: Column) -> Column:
    before = standing.column(after.name)
    handed_on = way.at.tables[table].column(after.name)
    if before is None and handed_on and is_column_inherited(way.change, table, after, way.change.after):
        return handed_on
    is_turned = ColumnName(table, after.name) in way.swapped | way.rebuilt or after.name in way.carried(table)
    if before is not None and is_turned:
        return before
    if before is not None:
        # NULL allowed or refused: in revisions of their own, for the way back has to look at all rows.
        return replace(with_what_fills_it(handed_on, after), not_null=before.not_null)
    if after.generated == "v":  # one that refuses NULL would be looked at while nobody can use the table
        return replace(after, not_null=False)
    if is_filled(way.change, table, after):
        return replace(as_serial(after, way.change.after), not_null=False)
    return after


def with_what_fills_it(before: Column | None, after: Column) -> Column:
    """Return a column with the default or the numbers that it had, if it is to have none: they go later."""
    if before is None or before.generated or is_retyped(before, after):
        return after
    if after.fills_itself or not before.fills_itself:
        return after
    return replace(
        after,
        default=before.default,
        identity=before.identity,
        sequence=before.sequence,
        default_needs=before.default_needs,
        has_volatile_default=before.has_volatile_default,
    )


def _without_defaults(way: Way, name: Name, eased: Catalog) -> Catalog | None:
    """Return the eased schema before columns that are filled get defaults: one set later is for new rows."""
    before, table = way.before.tables[name], eased.tables[name]

    def is_late(column: Column) -> bool:
        wanted = way.change.after.tables[name].column(column.name)
        if wanted is None or before.column(column.name) is not None:
            return False
        if ColumnName(name, column.name) in way.change.kept_names:  # it has its default already
            return False
        if is_column_inherited(way.change, name, wanted, way.change.after):
            return False
        return is_filled(way.change, name, wanted)

    columns = tuple(without_value(each, eased) if is_late(each) else each for each in table.columns)
    return None if columns == table.columns else with_heirs(eased, replace(table, columns=columns))


def _drop_columns(way: Way, name: Name) -> None:
    """Drop a table's columns, and defaults: these wait until no code that runs uses them."""
    table, wanted = way.at.tables[name], way.change.after.tables[name]
    names = {column.name for column in table.columns if wanted.column(column.name) is None}
    filled = {
        column.name
        for column in table.columns
        if column.fills_itself and not (column.name in names or wanted[column.name].fills_itself)
    }
    if names or filled:
        columns = tuple(
            replace(wanted[each.name], not_null=each.not_null) if each.name in filled else each
            for each in table.columns
        )
        to = way.with_table(replace(table, columns=columns).without_columns(names))
        owners = {ColumnName(name, column) for column in names | filled}
        kept = way.change.after.sequences  # another column may own one by now
        sequences = {
            key: kept[key] if each.owner in owners else each
            for key, each in to.sequences.items()
            if key in kept or each.owner not in owners
        }
        way.go(replace(to, sequences=sequences))


STAGES = (
    TableStage("columns", _add_columns, needs_of_all=["no keys to unlogged tables"]),
    TableStage("no columns that go", _drop_columns, ["no old names"], is_after=True),
)
