"""Reads a picture of the database's schema from the system catalogs."""

import gc
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, text

from plinth.catalog import queries
from plinth.catalog.dependencies import read_needs, with_needs
from plinth.catalog.index_keys import in_one_order, index_keys
from plinth.catalog.picture import (
    Catalog,
    Column,
    ColumnName,
    Constraint,
    Detail,
    Domain,
    DomainConstraint,
    Enum,
    ForeignKey,
    Index,
    Name,
    Other,
    Sequence,
    Table,
)
from plinth.catalog.reread import reread

VERSION_TABLE = "alembic_version"

Numbers = dict[tuple[int, int], str]  # a table's oid and a column's number: its name
Expressions = dict[int, tuple[set[str], set[Name]]]


def read_catalog(
    connection: Connection,
    *,
    default_schema: str | None = None,
    version_table: str = VERSION_TABLE,
    version_table_schema: str | None = None,
) -> Catalog:
    """Return the picture of all schemas of the connection's database that are not the system's.

    What belongs to an extension, Alembic's version table and Plinth's own schema are left out.

    Args:
        connection: in a transaction or not; it is left as it was.
        default_schema: names in it are printed bare; `current_schema()` unless given.
        version_table: Alembic's.
        version_table_schema: its schema, if it isn't the default one.
    """
    with (
        _without_collection(),
        _search_path(connection, default_schema, version_table) as (schema, version, seen),
    ):
        tables = _tables(connection)
        others = _rows(connection, queries.OTHERS)
        left_out = Name(version_table_schema or seen or schema, version_table)
        found = Catalog(
            default_schema=schema,
            server_version=version,
            schemas=dict(map(tuple, _rows(connection, queries.SCHEMAS))),
            tables={table.name: table for table in tables.values() if table.name != left_out},
            sequences={each.name: each for each in _sequences(connection, tables)},
            enums={each.name: each for each in _enums(connection)},
            domains={each.name: each for each in _domains(connection)},
            others={(each.kind, each.name): each for each in _others(connection, others, tables)},
        )
        return with_needs(found, read_needs(lambda query: _rows(connection, query), others))


@contextmanager
def _without_collection() -> Iterator[None]:
    """Let the garbage collector rest: what is read stays, and going through it takes a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _search_path(
    connection: Connection, default_schema: str | None, version_table: str
) -> Iterator[tuple[str, int, str | None]]:
    """Let names in the default schema stand bare, and all others be qualified.

    Yields that schema, the server's version, and the schema in which the version table was seen until now: it
    may be older than the default one.
    """
    was_in_transaction = connection.in_transaction()
    savepoint = connection.begin_nested()
    try:
        current, version, seen = connection.execute(text(queries.SETTINGS), {"table": version_table}).one()
        schema = default_schema or current or "public"
        path = connection.dialect.identifier_preparer.quote_identifier(schema)
        connection.execute(text("select set_config('search_path', :path, true)"), {"path": path})
        yield schema, version, seen
    finally:
        savepoint.rollback()  # the setting goes with it
        if not was_in_transaction:
            connection.rollback()


def _rows(connection: Connection, query: str) -> list[Any]:
    return list(connection.exec_driver_sql(query.replace("%", "%%")).all())


def _tables(connection: Connection) -> dict[int, Table]:
    expressions = _expressions(connection)
    sequences = {
        (table, column): Name(schema, name)
        for schema, name, *_, table, column, _, _ in _rows(connection, queries.SEQUENCES)
        if table is not None
    }
    columns: dict[int, list[Column]] = defaultdict(list)
    numbers: Numbers = {}
    for (
        table, number, name, type_, type_schema, type_name, collation, default, generated, identity, not_null,
        storage, compression, statistics, has_privileges, comment, is_local, default_oid,
        is_volatile, column_options,
    ) in _rows(connection, queries.COLUMNS):  # fmt: skip
        numbers[table, number] = name
        columns[table].append(
            Column(
                name=name,
                type=type_,
                named_type=Name(type_schema, type_name) if type_name else None,
                collation=collation,
                default=default and reread(default),
                generated=generated.strip("\0"),
                identity=identity.strip("\0"),
                not_null=not_null,
                storage=storage,
                compression=compression.strip("\0"),
                statistics=statistics,
                comment=comment,
                sequence=sequences.get((table, name)),
                is_local=is_local,
                uses=frozenset(expressions[default_oid][0] - {name})
                if generated.strip("\0") and default_oid in expressions
                else frozenset(),
                has_privileges=has_privileges,
                has_volatile_default=is_volatile,
                options=tuple(sorted(column_options)),
            )
        )
    constraints = _constraints(connection, expressions, numbers)
    indexes = _indexes(connection, expressions, numbers)
    tables = {}
    for (
        oid, schema, name, kind, persistence, options, key, bound, parents, method, tablespace, comment,
        security, replica_identity, clustered_on, of_type,
    ) in _rows(connection, queries.TABLES):  # fmt: skip
        tables[oid] = Table(
            name=Name(schema, name),
            columns=tuple(columns[oid]),
            constraints={each.name: each for each in constraints[oid]},
            indexes={each.name: each for each in indexes[oid]},
            persistence=persistence,
            options=tuple(sorted(options)),
            partition_key=key and reread(key),
            partition_bound=bound,
            parents=tuple(Name(*parent) for parent in parents),
            access_method=method,
            tablespace=tablespace,
            comment=comment,
            row_security=security,
            is_foreign=kind == "f",
            replica_identity=replica_identity or "",
            clustered_on=clustered_on,
            of_type=of_type,
        )
    return tables


def _expressions(connection: Connection) -> Expressions:
    found: Expressions = defaultdict(lambda: (set(), set()))
    for owner, column, type_schema, type_name in _rows(connection, queries.EXPRESSIONS):
        if column is not None:
            found[owner][0].add(column)
        else:
            found[owner][1].add(Name(type_schema, type_name))
    return found


def _constraints(
    connection: Connection, expressions: Expressions, numbers: Numbers
) -> dict[int, list[Constraint]]:
    found: dict[int, list[Constraint]] = defaultdict(list)
    for (
        table, oid, name, type_, definition, keys, expression, other_oid, other_schema, other, other_keys,
        on_update, on_delete, match, deferrable, deferred, all_keys, key_count, nulls_not_distinct, options,
        comment, is_local, validated,
    ) in _rows(connection, queries.CONSTRAINTS):  # fmt: skip
        columns = _names(numbers, table, keys or ())
        foreign_key = None
        if type_ == "f":
            foreign_key = ForeignKey(
                Name(other_schema, other), _names(numbers, other_oid, other_keys), on_update, on_delete, match
            )
        found[table].append(
            Constraint(
                name=name,
                type=type_,
                definition=reread(definition) if definition else f"NOT NULL {columns[0]}",
                columns=columns,
                expression=expression and reread(expression),
                foreign_key=foreign_key,
                deferrable=deferrable,
                deferred=deferred,
                include=_names(numbers, table, (all_keys or ())[key_count:]) if all_keys else (),
                nulls_not_distinct=nulls_not_distinct,
                options=tuple(sorted(options)),
                comment=comment,
                is_local=is_local,
                validated=validated,
                types=frozenset(expressions[oid][1]) if oid in expressions else frozenset(),
            )
        )
    return found


def _names(numbers: Numbers, table: int, keys: Iterable[int]) -> tuple[str, ...]:
    """Return columns' names; what lies in a schema that isn't read has none but its number."""
    return tuple(numbers.get((table, key), str(key)) for key in keys)


def _indexes(connection: Connection, expressions: Expressions, numbers: Numbers) -> dict[int, list[Index]]:
    found: dict[int, list[Index]] = defaultdict(list)
    for (
        table, oid, name, definition, keys, key_count, unique, method, where, nulls_not_distinct, options,
        comment, valid, statistics,
    ) in _rows(connection, queries.INDEXES):  # fmt: skip
        columns = [numbers.get((table, key)) for key in keys]  # an expression's key is 0
        definition = reread(definition)  # noqa: PLW2901
        mentioned, types = expressions.get(oid, (set(), set()))
        found[table].append(
            Index(
                name=name,
                definition=in_one_order(definition),
                keys=index_keys(definition),
                key_columns=tuple(columns[:key_count]),
                include=tuple(filter(None, columns[key_count:])),
                unique=unique,
                method=method,
                where=where and reread(where),
                nulls_not_distinct=nulls_not_distinct,
                options=tuple(options),
                comment=comment,
                valid=valid,
                columns=frozenset(mentioned) | frozenset(filter(None, columns)),
                types=frozenset(types),
                statistics=tuple(map(tuple, statistics)),
            )
        )
    return found


def _sequences(connection: Connection, tables: dict[int, Table]) -> Iterator[Sequence]:
    for (
        schema, name, type_, start, increment, minimum, maximum, cache, cycle, persistence, table, column,
        is_identity, comment,
    ) in _rows(connection, queries.SEQUENCES):  # fmt: skip
        owner = tables.get(table) if table is not None else None
        yield Sequence(
            name=Name(schema, name),
            type=type_,
            start=start,
            increment=increment,
            minimum=minimum,
            maximum=maximum,
            cache=cache,
            cycle=cycle,
            persistence=persistence,
            owner=ColumnName(owner.name, column) if owner else None,
            is_identity=bool(is_identity),
            comment=comment,
        )


def _enums(connection: Connection) -> Iterator[Enum]:
    for schema, name, values, comment in _rows(connection, queries.ENUMS):
        yield Enum(Name(schema, name), tuple(values), comment)


def _domains(connection: Connection) -> Iterator[Domain]:
    for schema, name, type_, collation, default, not_null, constraints, comment, *base in _rows(
        connection, queries.DOMAINS
    ):
        yield Domain(
            Name(schema, name),
            type_,
            collation,
            default and reread(default),
            not_null,
            {
                name: DomainConstraint(name, reread(definition), *rest)
                for name, definition, *rest in constraints
            },
            comment,
            Name(*base) if base[1] else None,
        )


def _others(connection: Connection, rows: Iterable[Any], tables: dict[int, Table]) -> Iterator[Other]:
    uses: dict[tuple[int, int], set[ColumnName]] = defaultdict(set)
    for catalog, oid, schema, table, column in _rows(connection, queries.OTHERS_USE):
        uses[catalog, oid].add(ColumnName(Name(schema, table), column))
    types: dict[tuple[int, int], set[Name]] = defaultdict(set)
    for catalog, oid, schema, name in _rows(connection, queries.OTHERS_TYPES):
        types[catalog, oid].add(Name(schema, name))
    details: dict[tuple[int, int], list[Detail]] = defaultdict(list)
    for catalog, oid, statements, undo in _rows(connection, queries.DETAILS):
        details[catalog, oid].append(Detail(tuple(map(reread, statements)), undo))
    privileges: dict[tuple[int, int], list[str]] = defaultdict(list)
    for catalog, oid, statement in _rows(connection, queries.PRIVILEGES):
        privileges[catalog, oid].append(statement)
    columns = dict(map(tuple, _rows(connection, queries.VIEW_COLUMNS)))
    for kind, name, definition, schema, table, comment, oid, catalog, bare in rows:
        owner = tables.get(table) if table is not None else None
        yield Other(
            kind,
            name,
            reread(definition),
            schema,
            owner.name if owner else None,
            comment,
            uses=frozenset(uses.get((catalog, oid), ())),
            details=tuple(sorted(details.get((catalog, oid), ()))),
            columns=tuple(columns.get(oid, ()) if kind == "view" else ()),
            types=frozenset(types.get((catalog, oid), ())),
            privileges=tuple(privileges.get((catalog, oid), ())),
            bare=bare,
        )
