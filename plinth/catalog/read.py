"""Reads a picture of the database's schema from the system catalogs."""

import base64
import hashlib
import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from plinth import collector
from plinth.catalog import queries
from plinth.catalog.dependencies import read_needs, with_needs
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
from plinth.catalog.reread import in_one_order, index_keys, reread

VERSION_TABLE = "alembic_version"

Rows = Callable[[str], list[Any]]  # of a query
Parts = Callable[[Mapping[str, str]], list[Any]]  # of queries, each with where it finds something
Numbers = dict[tuple[int, int], str]  # a table's oid and a column's number: its name
Expressions = dict[int, set[str]]


class Here(NamedTuple):
    """What a picture needs to know beside the rows of the catalogs."""

    default_schema: str
    server_version: int
    version_table: Name


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
    names = {"version_table": version_table, "version_table_schema": version_table_schema}
    return _read(connection, lambda query: _rows(connection, query), default_schema=default_schema, **names)[
        1
    ]


def _read(
    connection: Connection,
    rows: Rows,
    *,
    default_schema: str | None = None,
    version_table: str | None = None,
    version_table_schema: str | None = None,
) -> tuple[Here, Catalog]:
    table = version_table or VERSION_TABLE
    with (
        collector.paused(),
        _search_path(connection, default_schema, table) as (schema, version, seen),
    ):
        here = Here(schema, version, Name(version_table_schema or seen or schema, table))
        return here, _catalog(here, rows)


def record_catalog(connection: Connection, **names: Any) -> str:  # noqa: ANN401 - those of read_catalog
    """Return the picture of a database as text, from which `recorded_catalog` makes it again.

    Args:
        connection: in a transaction or not; it is left as it was.
        names: as for `read_catalog`.
    """
    found: dict[str, list[Any]] = {}

    def rows(query: str) -> list[Any]:
        read = _rows(connection, query)
        found[_key(query)] = [list(row) for row in read]
        return read

    here = _read(connection, rows, **names)[0]
    written = json.dumps([here, found])
    return base64.b64encode(zlib.compress(written.encode(), 1)).decode()


def recorded_catalog(record: str) -> Catalog | None:
    """Return the picture that was recorded; None when another version of this package did."""
    (schema, version, name), found = json.loads(zlib.decompress(base64.b64decode(record)))
    try:
        return _catalog(Here(schema, version, Name(*name)), lambda query: found[_key(query)])
    except (KeyError, ValueError, TypeError):
        return None


def _key(query: str) -> str:
    return hashlib.sha256(query.encode()).hexdigest()[:16]


def _catalog(here: Here, rows: Rows) -> Catalog:
    present = {place for (place,) in rows(queries.PRESENT)}

    def parts(queries_by_place: Mapping[str, str]) -> list[Any]:
        return [row for place, query in queries_by_place.items() if place in present for row in rows(query)]

    sequences = rows(queries.SEQUENCES)
    tables = _tables(rows, sequences)
    others = parts(queries.OTHERS)
    found = Catalog(
        default_schema=here.default_schema,
        server_version=here.server_version,
        schemas=dict(map(tuple, rows(queries.SCHEMAS))),
        tables={table.name: table for table in tables.values() if table.name != here.version_table},
        sequences={each.name: each for each in _sequences(sequences, tables)},
        enums={each.name: each for each in _enums(parts(queries.ENUMS))},
        domains={each.name: each for each in _domains(parts(queries.DOMAINS))},
        others={(each.kind, each.name): each for each in _others(parts, others, tables)},
    )
    return with_needs(found, read_needs(rows, parts, others))


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
        connection.execute(text("set local standard_conforming_strings = on"))  # constants are printed by it
        yield schema, version, seen
    finally:
        savepoint.rollback()  # the setting goes with it
        if not was_in_transaction:
            connection.rollback()


def _rows(connection: Connection, query: str) -> list[Any]:
    return list(connection.exec_driver_sql(query.replace("%", "%%")).all())


def _tables(rows: Rows, sequence_rows: Iterable[Any]) -> dict[int, Table]:
    expressions: Expressions = defaultdict(set)
    for owner, column in rows(queries.EXPRESSIONS):
        expressions[owner].add(column)
    sequences = {
        (table, column): Name(schema, name)
        for schema, name, *_, table, column, _, _ in sequence_rows
        if table is not None
    }
    columns: dict[int, list[Column]] = defaultdict(list)
    numbers: Numbers = {}
    for (
        table, number, name, type_, type_schema, type_name, collation, default, generated, identity, not_null,
        storage, compression, statistics, has_privileges, comment, is_local, default_oid,
        is_volatile, column_options,
    ) in rows(queries.COLUMNS):  # fmt: skip
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
                uses=frozenset(expressions.get(default_oid, set()) - {name})
                if generated.strip("\0")
                else frozenset(),
                has_privileges=has_privileges,
                has_volatile_default=is_volatile,
                options=tuple(sorted(column_options)),
            )
        )
    constraints = _constraints(rows, numbers)
    indexes = _indexes(rows, expressions, numbers)
    tables = {}
    for (
        oid, schema, name, kind, persistence, options, key, bound, parents, method, tablespace, comment,
        security, replica_identity, clustered_on, of_type, partition_condition,
    ) in rows(queries.TABLES):  # fmt: skip
        tables[oid] = Table(
            name=Name(schema, name),
            columns=tuple(columns[oid]),
            constraints={each.name: each for each in constraints[oid]},
            indexes={each.name: each for each in indexes[oid]},
            persistence=persistence,
            options=tuple(sorted(options)),
            partition_key=key and reread(key),
            partition_bound=bound,
            partition_condition=partition_condition,
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


def _constraints(rows: Rows, numbers: Numbers) -> dict[int, list[Constraint]]:
    found: dict[int, list[Constraint]] = defaultdict(list)
    for (
        table, _, name, type_, definition, keys, expression, other_oid, other_schema, other, other_keys,
        on_update, on_delete, match, deferrable, deferred, all_keys, key_count, nulls_not_distinct, options,
        comment, is_local, validated, tablespace, disabled,
    ) in rows(queries.CONSTRAINTS):  # fmt: skip
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
                include=_names(numbers, table, (all_keys or ())[key_count:]),
                nulls_not_distinct=nulls_not_distinct,
                options=tuple(sorted(options)),
                tablespace=tablespace,
                comment=comment,
                is_local=is_local,
                validated=validated,
                disabled=disabled,
            )
        )
    return found


def _names(numbers: Numbers, table: int, keys: Iterable[int]) -> tuple[str, ...]:
    """Return columns' names; what lies in a schema that isn't read has none but its number."""
    return tuple(numbers.get((table, key), str(key)) for key in keys)


def _indexes(rows: Rows, expressions: Expressions, numbers: Numbers) -> dict[int, list[Index]]:
    found: dict[int, list[Index]] = defaultdict(list)
    for (
        table, oid, name, definition, keys, key_count, unique, method, where, nulls_not_distinct, options,
        comment, valid, statistics, tablespace,
    ) in rows(queries.INDEXES):  # fmt: skip
        columns = [numbers.get((table, key)) for key in keys]  # an expression's key is 0
        definition = reread(definition)  # noqa: PLW2901
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
                tablespace=tablespace,
                comment=comment,
                valid=valid,
                columns=frozenset(expressions.get(oid, ())) | frozenset(filter(None, columns)),
                statistics=tuple(map(tuple, statistics)),
            )
        )
    return found


def _sequences(listed: Iterable[Any], tables: dict[int, Table]) -> Iterator[Sequence]:
    for schema, name, *settings, table, column, is_identity, comment in listed:
        owner = tables.get(table) if table is not None else None
        place = ColumnName(owner.name, column) if owner else None
        own = {"owner": place, "is_identity": bool(is_identity), "comment": comment}
        yield Sequence(Name(schema, name), *settings, **own)


def _enums(listed: Iterable[Any]) -> Iterator[Enum]:
    for schema, name, values, comment in listed:
        yield Enum(Name(schema, name), tuple(values), comment)


def _domains(listed: Iterable[Any]) -> Iterator[Domain]:
    for schema, name, type_, collation, default, not_null, constraints, comment, *base in listed:
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


def _others(parts: Parts, listed: Iterable[Any], tables: dict[int, Table]) -> Iterator[Other]:
    details: dict[tuple[int, int], list[Detail]] = defaultdict(list)
    for catalog, oid, statements, undo in parts(queries.DETAILS):
        details[catalog, oid].append(Detail(tuple(map(reread, statements)), undo))
    privileges: dict[tuple[int, int], list[str]] = defaultdict(list)
    for catalog, oid, statement in parts(queries.PRIVILEGES):
        privileges[catalog, oid].append(statement)
    columns = dict(map(tuple, parts(queries.VIEW_COLUMNS)))
    staying = {oid for (oid,) in parts(queries.EXTENSIONS_THAT_STAY)}
    for kind, name, definition, schema, table, comment, oid, catalog, bare in listed:
        owner = tables.get(table) if table is not None else None
        yield Other(
            kind,
            name,
            reread(definition),
            schema,
            owner.name if owner else None,
            comment,
            details=tuple(sorted(details.get((catalog, oid), ()))),
            columns=tuple(columns.get(oid, ()) if kind == "view" else ()),
            privileges=tuple(privileges.get((catalog, oid), ())),
            bare=bare,
            can_move=kind != "extension" or oid not in staying,
        )
