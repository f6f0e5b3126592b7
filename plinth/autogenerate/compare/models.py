"""What the models mean: the schema that `metadata.create_all()` makes in a scratch database.

Before that, what the models lean on without knowing it is copied in from the database that they are compared
with: schemas, extensions, functions, and the types and sequences that `create_all()` doesn't make itself.
"""

import functools
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from psycopg import errors
from sqlalchemy import CheckConstraint, Connection, Engine, ForeignKeyConstraint, MetaData
from sqlalchemy import Sequence as ModelSequence
from sqlalchemy.dialects.postgresql.named_types import CreateDomainType, CreateEnumType, NamedType
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.schema import DDL, CreateSchema, CreateSequence, ExecutableDDLElement
from sqlalchemy.sql import ddl
from sqlalchemy.sql.sqltypes import SchemaType

from plinth.autogenerate.compare.hints import Models, all_metadata, tables_of
from plinth.autogenerate.compare.wording import in_words_of, schema_objects
from plinth.catalog import Catalog, ColumnName, Name, read_catalog, unseen
from plinth.errors import PlinthError
from plinth.scratch import prerequisites
from plinth.scratch.baseline import is_missing
from plinth.scratch.cache import remembered
from plinth.scratch.copying import CopyError, Entry, copy_schema
from plinth.scratch.databases import place_of, scratch_database
from plinth.scratch.prerequisites import Prerequisite
from plinth.server_errors import sqlstate, words

log = logging.getLogger(__name__)

# What create_all() looks for before it makes it; SQLAlchemy 2.0 looks for all or nothing.
SHARED: Any = ddl.CheckFirst.TYPES | ddl.CheckFirst.SEQUENCES if hasattr(ddl, "CheckFirst") else True

_UNKNOWN = ("42704", "42883")  # a type, an operator class or the like; a function or operator
_EXTENSION = (
    "If an extension has it: op.execute('CREATE EXTENSION …') in a revision written by hand, applied before "
    "this; or the same in the models, by DDL that listens to before_create."
)
_THERE_ALREADY = (
    errors.DuplicateObject,
    errors.DuplicateFunction,
    errors.DuplicateTable,
    errors.DuplicateSchema,
)


class ModelsError(PlinthError):
    """The database doesn't take the models as they are; the message says which object and why."""


@dataclass(frozen=True)
class _Script:
    """What `create_all()` would send.

    Args:
        statements: in their order.
        handwritten: those that are no constructs of SQLAlchemy's.
        made: the types and sequences that the others make, with their schemas.
        is_all: nothing else happens: no listener of the application's own runs.
    """

    statements: Sequence[str]
    handwritten: str
    made: Collection[tuple[str | None, str]]
    is_all: bool


@dataclass(frozen=True)
class Own:
    """What models make themselves, as far as they say it.

    Args:
        names: of tables, types and sequences.
        handwritten: the statements that make the rest.
    """

    names: Collection[Name]
    handwritten: str

    def has(self, each: Prerequisite) -> bool:
        """Whether they make something."""
        return each.known_as in self.names or prerequisites.makes(self.handwritten, each)


def own_of(metadata: Models, dialect: Dialect, default_schema: str) -> Own:
    """Return what the models make themselves: who else has made it in a database makes no difference."""
    several = all_metadata(metadata)
    return _own_of(several, dialect, default_schema, _script(several, dialect))


def models_catalog(
    metadata: MetaData | Sequence[MetaData],
    target: Connection,
    standing: Catalog | None = None,
    *,
    version_table: str = "alembic_version",
    version_table_schema: str | None = None,
) -> Catalog:
    """Return the schema that the models describe, as PostgreSQL prints it.

    It is kept between runs, as long as neither the models nor what they lean on change.

    Args:
        metadata: of the models.
        target: the database that they are compared with.
        standing: its schema, if it has been read already.
        version_table: Alembic's, to be left out.
        version_table_schema: its schema, if it isn't the default one.

    Raises:
        ModelsError: `create_all()` failed.
        NoScratchError: there is no place to try it.
    """
    several = all_metadata(metadata)

    def read(connection: Connection, default_schema: str | None) -> Catalog:
        return read_catalog(
            connection,
            default_schema=default_schema,
            version_table=version_table,
            version_table_schema=version_table_schema,
        )

    if standing is None:
        standing = read(target, None)
    default = standing.default_schema
    script = _script(several, target.dialect)
    needed = _needed(several, target.dialect, standing, script)

    def known() -> Catalog:
        if not script.is_all:
            return make()
        statements = [each.statement for each in needed]
        names = (default, str(version_table_schema), version_table)
        # A table's indexes are a set: their order is another one in each process.
        key = [place_of(target), *names, *statements, script.handwritten, *sorted(script.statements)]
        return remembered("models", key, make)

    def make() -> Catalog:
        try:
            return make_after(needed)
        except DBAPIError as error:
            # The application's own listeners make what we thought they lean on.
            if not isinstance(error.orig, _THERE_ALREADY):
                raise
            return make_after([])

    def make_after(first: Sequence[Prerequisite], *, is_copy: bool = False) -> Catalog:
        with scratch_database(target) as engine, engine.connect() as connection:
            # One table is enough for one transaction: a thousand would need too many locks.
            connection.execution_options(isolation_level="AUTOCOMMIT")
            if is_copy:
                _copy_what_no_model_makes(target, engine, several, standing, script)
            prerequisites.make(connection, default, first)
            with engine.connect() as reader:  # one: a new session has read nothing of the catalogs yet
                copied = read(reader, default)
                others = unseen(reader) if is_copy else {}
                for each in several:
                    # What an enum or a sequence is shared by may lie in another metadata.
                    each.create_all(connection, checkfirst=SHARED)
                prerequisites.give_sequences_back(connection, standing, first)
                made = read(reader, default)
                further = dict(unseen(reader).items() - others.items())
            own = _granting_nothing(in_words_of(several, _without(made, copied), target.dialect))
            return replace(own, leaned_on=_leaned_on(copied, made), unseen=further)

    def make_on_copy(error: DBAPIError) -> Catalog:
        # What they lean on is more than is copied at first: a table, a text search configuration, a cast.
        try:
            return make_after([each for each in needed if each.kind == "schema"], is_copy=True)
        except (CopyError, DBAPIError) as another:
            log.debug("The models can't be created on a copy of the database's schema: %s", another)
            raise error from None

    with _explained():
        try:
            return known()
        except DBAPIError as error:
            if not is_missing(error):
                raise
            return make_on_copy(error)


def _copy_what_no_model_makes(
    target: Connection,
    engine: Engine,
    metadata: Sequence[MetaData],
    standing: Catalog,
    script: _Script,
) -> None:
    """Copy what stands in the database and isn't the models' own."""
    tables = [name for name, _ in tables_of(metadata, standing.default_schema)]
    types = {(schema or standing.default_schema, name) for schema, name in script.made}
    statements = "\n".join(script.statements)

    def is_made(entry: Entry) -> bool:
        if (entry.schema, entry.name) in types:
            return True
        kind = entry.kind.lower()
        name = entry.name.partition("(")[0].rpartition(" ")[2]  # of a trigger: its table stands first
        return prerequisites.makes(statements, Prerequisite(kind, name, ""))

    copy_schema(target, engine, tables=[*tables, *types], leaves_out=is_made)


def _without(made: Catalog, copied: Catalog) -> Catalog:
    """Return what the models make and lean on, without what stood beside it in a copy of the database."""
    others = {
        key: other
        for key, other in made.others.items()
        if copied.others.get(key) != other or other.kind in prerequisites.LEANED_ON
    }
    tables = {name: table for name, table in made.tables.items() if name not in copied.tables}
    return replace(made, tables=tables, others=others)


def _granting_nothing(made: Catalog) -> Catalog:
    """Return what models make without privileges: these are `unseen`, and granted by hand."""
    return replace(made, others={key: replace(each, privileges=()) for key, each in made.others.items()})


def _leaned_on(copied: Catalog, made: Catalog) -> frozenset[tuple[str, str] | str]:
    """Return the names of what was there before the models were made, and still is as it was."""
    others = (key for key, other in copied.others.items() if made.others.get(key) == other)
    schemas = (name for name, comment in copied.schemas.items() if made.schemas.get(name) == comment)
    return frozenset({*schemas, *copied.enums, *copied.domains, *copied.sequences, *others})


@contextmanager
def _explained() -> Iterator[None]:
    """Turn errors of `create_all()` into a sentence that names the object."""
    try:
        yield
    except DBAPIError as error:
        first = (error.statement or "").strip().partition("\n")[0].rstrip(" (")
        said = f"The models can't be created. {first}: {words(error)}"
        raise ModelsError(f"{said} {_EXTENSION}" if sqlstate(error) in _UNKNOWN else said) from error
    except SQLAlchemyError as error:
        raise ModelsError(f"The models can't be created. {' '.join(str(error.args[0]).split())}") from error


def _script(metadata: Iterable[MetaData], dialect: Dialect) -> _Script:
    statements: list[str] = []
    handwritten: list[str] = []
    made: set[tuple[str | None, str]] = set()
    is_all = True

    def write(statement: object, *_: object, **__: object) -> None:
        compiled = (
            str(statement.compile(dialect=dialect))
            if isinstance(statement, ExecutableDDLElement)
            else str(statement)
        )
        statements.append(compiled)
        if isinstance(statement, CreateEnumType | CreateDomainType | CreateSequence):
            made.add((statement.element.schema, str(statement.element.name)))
        if isinstance(statement, DDL | CreateSchema) or not type(statement).__module__.startswith(
            "sqlalchemy."
        ):
            handwritten.append(compiled)

    for each in metadata:
        if not _listens_with_ddl_only(each):
            is_all = False
        try:
            each.create_all(MockConnection(dialect, write), checkfirst=False)
        except Exception:
            is_all = False
    return _Script(statements, "\n".join(handwritten), made, is_all)


def _listens_with_ddl_only(metadata: MetaData) -> bool:
    """Whether no function of the application's own runs while the metadata is created."""
    listeners = [
        *metadata.dispatch.before_create,
        *metadata.dispatch.after_create,
        *(each for table in metadata.tables.values() for each in table.dispatch.before_create),
        *(each for table in metadata.tables.values() for each in table.dispatch.after_create),
    ]
    return all(map(_is_ddl, listeners))


def _is_ddl(listener: object) -> bool:
    while isinstance(listener, functools.partial):
        listener = listener.func
    if isinstance(listener, ExecutableDDLElement):
        condition = listener._ddl_if
        return condition is None or condition.callable_ is None
    return str(getattr(listener, "__module__", "")).startswith("sqlalchemy.")  # enums make their type so


def _needed(
    metadata: Sequence[MetaData], dialect: Dialect, standing: Catalog, script: _Script
) -> list[Prerequisite]:
    """Return what is made before the models."""
    own = _own_of(metadata, dialect, standing.default_schema, script)
    asked_for = prerequisites.asked_for(script.statements)
    found = [*prerequisites.leaned_on(standing), *map(prerequisites.schema, _schemas_of_models(metadata))]
    return [
        each
        for each in found
        if not own.has(each)
        # A serial column makes its sequence itself, and calls it otherwise where one is there already.
        and (each.kind != "sequence" or each.name in asked_for)
    ]


def _own_of(metadata: Sequence[MetaData], dialect: Dialect, default: str, script: _Script) -> Own:
    made = {Name(schema or default, name) for schema, name in script.made}
    tables = (name for name, _ in tables_of(metadata, default))
    return Own({*made, *_known_types(metadata, dialect, default), *tables}, script.handwritten)


def _known_types(metadata: Iterable[MetaData], dialect: Dialect, default: str) -> Iterator[Name]:
    """Yield the names of types and sequences that `create_all()` makes, where its script broke off."""
    for each in metadata:
        for made in schema_objects(each):
            if isinstance(made, ModelSequence) or _is_made_type(made, dialect):
                yield Name(made.schema or default, str(made.name))


def _is_made_type(made: object, dialect: Dialect) -> TypeGuard[SchemaType]:
    return (
        isinstance(made, SchemaType)
        and getattr(made, "create_type", True)  # SQLAlchemy 2.0 asks PostgreSQL's own types only
        and bool(made.name)
        and isinstance(made.dialect_impl(dialect), NamedType)
    )


def not_valid_constraints(metadata: Models, dialect: Dialect, default: str) -> set[ColumnName]:
    """Return the constraints that models call `postgresql_not_valid`, by table and name.

    `create_all()` doesn't tell: in a new table PostgreSQL takes them for valid.
    """
    preparer = dialect.identifier_preparer
    return {
        ColumnName(owner, name)
        for owner, table in tables_of(metadata, default)
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint | ForeignKeyConstraint)
        and constraint.dialect_options["postgresql"]["not_valid"]
        and constraint.name is not None
        and (name := preparer.format_constraint(constraint, _alembic_quote=False))
    }


def _schemas_of_models(metadata: Iterable[MetaData]) -> list[str]:
    # `MetaData.schemas`, which SQLAlchemy 2.0 hasn't got.
    named = {schema for each in metadata for schema in (*each._schemas, each.schema) if schema}
    named |= {str(made.schema) for each in metadata for made in schema_objects(each) if made.schema}
    return sorted(named)
