"""What the models mean: the schema that `metadata.create_all()` makes in a scratch database.

Before that, what the models lean on without knowing it is copied in from the database that they are compared
with: schemas, extensions, functions, and the types and sequences that `create_all()` doesn't make itself.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from psycopg import errors
from psycopg.sql import SQL, Composable, Identifier, Literal
from sqlalchemy import Connection, MetaData, text
from sqlalchemy import Sequence as ModelSequence
from sqlalchemy.dialects.postgresql.named_types import NamedType
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.schema import DDL, CreateSchema, ExecutableDDLElement
from sqlalchemy.sql.ddl import CheckFirst
from sqlalchemy.sql.sqltypes import SchemaType

from plinth.autogenerate.cache import remembered
from plinth.catalog import Catalog, Name, read_catalog
from plinth.catalog.picture import Domain, Enum
from plinth.catalog.picture import Sequence as StandingSequence
from plinth.errors import PlinthError
from plinth.scratch import scratch_database, undisturbed

# Kinds of objects that a column, a default, a check or an index can lean on, as the picture names them.
_LEANED_ON = ("extension", "composite type", "range type", "collation", "function", "procedure")
_THERE_ALREADY = (
    errors.DuplicateObject,
    errors.DuplicateFunction,
    errors.DuplicateTable,
    errors.DuplicateSchema,
)


class ModelsError(PlinthError):
    """The database doesn't take the models as they are; the message says which object and why."""


@dataclass(frozen=True)
class _Prerequisite:
    """Something that the models lean on.

    Args:
        kind: in SQL.
        name: without its schema.
        statement: makes it.
    """

    kind: str
    name: str
    statement: str


@dataclass(frozen=True)
class _Script:
    """What `create_all()` would send.

    Args:
        statements: in their order.
        handwritten: those that are no constructs of SQLAlchemy's.
        is_all: nothing else happens: no listener of the application's own runs.
    """

    statements: Sequence[str]
    handwritten: str
    is_all: bool


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
    several = [metadata] if isinstance(metadata, MetaData) else list(metadata)

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
    needed = _prerequisites(several, target.dialect, standing, script)

    def make() -> Catalog:
        try:
            return make_after(needed)
        except DBAPIError as error:
            # The application's own listeners make what we thought they lean on.
            if not isinstance(error.orig, _THERE_ALREADY):
                raise
            return make_after([])

    def make_after(prerequisites: Sequence[_Prerequisite]) -> Catalog:
        with scratch_database(target) as engine, engine.connect() as connection:
            # One table is enough for one transaction: a thousand would need too many locks.
            connection.execution_options(isolation_level="AUTOCOMMIT")
            _make_prerequisites(connection, default, prerequisites)
            for each in several:
                # What an enum or a sequence is shared by may lie in another metadata.
                each.create_all(connection, checkfirst=CheckFirst.TYPES | CheckFirst.SEQUENCES)
            _give_sequences_back(connection, standing, prerequisites)
            with engine.connect() as reader:
                return read(reader, default)

    with _explained():
        if not script.is_all:
            return make()
        with undisturbed(target):
            place = "\n".join(target.execute(text(_PLACE)).one())
        statements = [each.statement for each in needed]
        names = (default, str(version_table_schema), version_table)
        return remembered("models", [place, *names, *statements, *script.statements], make)


_PLACE = """
    select current_setting('server_version_num'), current_setting('search_path'),
           current_setting('server_encoding')
    """


class _explained:  # noqa: N801 - reads as a function
    """Turn errors of `create_all()` into a sentence that names the object."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, DBAPIError):
            words = " ".join(str(error.orig).split())
            first = (error.statement or "").strip().partition("\n")[0].rstrip(" (")
            raise ModelsError(f"The models can't be created. {first}: {words}") from error
        if isinstance(error, SQLAlchemyError):
            raise ModelsError(
                f"The models can't be created. {' '.join(str(error.args[0]).split())}"
            ) from error


def _script(metadata: Iterable[MetaData], dialect: Dialect) -> _Script:
    statements: list[str] = []
    handwritten: list[str] = []
    is_all = True

    def write(statement: object, *_: object, **__: object) -> None:
        compiled = (
            str(statement.compile(dialect=dialect))
            if isinstance(statement, ExecutableDDLElement)
            else str(statement)
        )
        statements.append(compiled)
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
    return _Script(statements, "\n".join(handwritten), is_all)


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


def _prerequisites(
    metadata: Sequence[MetaData], dialect: Dialect, standing: Catalog, script: _Script
) -> list[_Prerequisite]:
    """Return what is made before the models, in an order that mostly works."""
    made = set(made_by_models(metadata, dialect, standing.default_schema))
    found = [
        *(
            _Prerequisite("schema", name, _sql("create schema if not exists {}", name))
            for name in standing.schemas
        ),
        *(
            _Prerequisite("schema", name, _sql("create schema if not exists {}", name))
            for name in _schemas_of_models(metadata)
            if name not in standing.schemas
        ),
        *(
            _Prerequisite(kind, _bare(name), other.definition)
            for (kind, name), other in sorted(standing.others.items(), key=_by_kind)
            if kind in _LEANED_ON
        ),
        *(_enum(each) for each in standing.enums.values() if each.name not in made),
        *(_domain(each) for each in standing.domains.values() if each.name not in made),
        *(
            _sequence(each)
            for each in standing.sequences.values()
            if each.name not in made and (each.owner is None or _is_asked_for(each, script))
        ),
    ]
    return [each for each in found if not _makes(script.handwritten, each)]


def _by_kind(item: tuple[tuple[str, str], object]) -> tuple[int, str]:
    (kind, name), _ = item
    return (_LEANED_ON.index(kind) if kind in _LEANED_ON else len(_LEANED_ON), name)


def made_by_models(metadata: Iterable[MetaData], dialect: Dialect, default: str) -> Iterator[Name]:
    """Yield the names of types and sequences that `create_all()` makes."""
    for each in metadata:
        for made in each._objects:  # all of them, where `get_schema_objects()` wants a schema's name
            if isinstance(made, ModelSequence) or _is_made_type(made, dialect):
                yield Name(made.schema or default, str(made.name))


def _is_made_type(made: object, dialect: Dialect) -> TypeGuard[SchemaType]:
    return (
        isinstance(made, SchemaType)
        and made.create_type
        and bool(made.name)
        and isinstance(made.dialect_impl(dialect), NamedType)
    )


def _schemas_of_models(metadata: Iterable[MetaData]) -> list[str]:
    named = {schema for each in metadata for schema in each.schemas}
    named |= {str(made.schema) for each in metadata for made in each._objects if made.schema}
    return sorted(named)


def _is_asked_for(sequence: StandingSequence, script: _Script) -> bool:
    """Whether a default of the models names a sequence that belongs to a column, which makes none itself."""
    name = re.compile(rf"nextval\('[^']*\b{re.escape(sequence.name.name)}\b", re.IGNORECASE)
    return any(map(name.search, script.statements))


def _makes(statements: str, needed: _Prerequisite) -> bool:
    """Whether statements written by hand make something themselves."""
    kind = needed.kind.removeprefix("composite ").removeprefix("range ")
    name = rf'(?:"?[\w$]+"?\s*\.\s*)?"?{re.escape(needed.name)}"?(?![\w$])'
    made = rf"\bcreate\s+(?:or\s+replace\s+)?{kind}\s+(?:if\s+not\s+exists\s+)?{name}"
    return re.search(made, statements, re.IGNORECASE) is not None


def _make_prerequisites(connection: Connection, default: str, needed: Sequence[_Prerequisite]) -> None:
    """Make what can be made, in whatever order works.

    What can't be is missed by `create_all()`, or by nobody.
    """
    _run(connection, _sql("create schema if not exists {}", default))
    connection.execute(text("set check_function_bodies = off"))
    # Their texts were printed with the default schema alone in the search path.
    path = connection.scalar(text("select current_setting('search_path')"))
    _set_path(connection, Identifier(default).as_string())
    rest = list(needed)
    while rest:
        failed = [each for each in rest if not _try(connection, each.statement)]
        if len(failed) == len(rest):
            break
        rest = failed
    _set_path(connection, ", ".join(filter(None, [Identifier(default).as_string(), path])))


def _try(connection: Connection, statement: str) -> bool:
    try:
        _run(connection, statement)
    except DBAPIError:
        return False
    return True


def _run(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement.replace("%", "%%"))


def _set_path(connection: Connection, path: str) -> None:
    connection.execute(text("select set_config('search_path', :path, false)"), {"path": path})


def _give_sequences_back(connection: Connection, standing: Catalog, needed: Sequence[_Prerequisite]) -> None:
    """Let sequences that were copied belong to the columns that they belong to."""
    copied = {each.statement for each in needed}
    for sequence in standing.sequences.values():
        if sequence.owner and _sequence(sequence).statement in copied:
            table, column = sequence.owner
            _try(
                connection,
                SQL("alter sequence {} owned by {}")
                .format(Identifier(*sequence.name), Identifier(*table, column))
                .as_string(),
            )


def _enum(enum: Enum) -> _Prerequisite:
    statement = SQL("create type {} as enum ({})").format(
        Identifier(*enum.name), SQL(", ").join(map(Literal, enum.values))
    )
    return _with_comment("type", enum.name, statement, enum.comment)


def _domain(domain: Domain) -> _Prerequisite:
    parts: list[Composable] = [SQL("create domain {} as").format(Identifier(*domain.name)), SQL(domain.type)]
    if domain.collation:
        parts += [SQL("collate"), SQL(domain.collation)]
    if domain.default:
        parts += [SQL("default"), SQL(domain.default)]
    if domain.not_null:
        parts.append(SQL("not null"))
    for check in domain.constraints.values():
        parts += [SQL("constraint"), Identifier(check.name), SQL(check.definition)]
    return _with_comment("domain", domain.name, SQL(" ").join(parts), domain.comment)


def _sequence(sequence: StandingSequence) -> _Prerequisite:
    statement = SQL(
        "create {} sequence {} as {} increment {} minvalue {} maxvalue {} start {} cache {} {}"
    ).format(
        SQL("unlogged" if sequence.persistence == "u" else ""),
        Identifier(*sequence.name),
        SQL(sequence.type),
        *map(
            Literal, (sequence.increment, sequence.minimum, sequence.maximum, sequence.start, sequence.cache)
        ),
        SQL("cycle" if sequence.cycle else "no cycle"),
    )
    return _with_comment("sequence", sequence.name, statement, sequence.comment)


def _with_comment(kind: str, name: Name, statement: Composable, comment: str | None) -> _Prerequisite:
    made = statement.as_string()
    if comment is not None:
        on = SQL("comment on {} {} is {}").format(SQL(kind), Identifier(*name), Literal(comment))
        made += f"; {on.as_string()}"
    return _Prerequisite(kind, name.name, made)


def _bare(name: str) -> str:
    """Return the name alone, of what may be "schema.name(arguments)"."""
    return name.partition("(")[0].rpartition(".")[2].strip('"')


def _sql(statement: str, name: str) -> str:
    return SQL(statement).format(Identifier(name)).as_string()
