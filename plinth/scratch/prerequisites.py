"""What models and revisions lean on and don't make: it is copied from the database in question.

Schemas, extensions, functions, and the types and sequences that others don't make themselves.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from psycopg.sql import SQL, Composable, Identifier, Literal
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from plinth.catalog import Catalog, Name
from plinth.catalog.picture import Domain, Enum, Other
from plinth.catalog.picture import Sequence as StandingSequence
from plinth.sql_text import lexed, parts

# Kinds of objects that a column, a default, a check or an index can lean on, as the picture names them.
LEANED_ON = (
    *("extension", "collation", "composite type", "range type"),
    *("text search dictionary", "text search configuration", "function", "procedure"),
)


@dataclass(frozen=True)
class Prerequisite:
    """Something that models or revisions may lean on.

    Args:
        kind: in SQL.
        name: without its schema.
        statement: makes it.
        known_as: its name, for types and sequences.
        is_owned: a sequence that belongs to a column, which mostly makes it itself.
    """

    kind: str
    name: str
    statement: str
    known_as: Name | None = None
    is_owned: bool = False


def leaned_on(standing: Catalog) -> list[Prerequisite]:
    """Return all of a database's schema that may be leaned on, in an order that mostly works."""
    return [
        *map(schema, standing.schemas),
        *(
            Prerequisite(kind, _bare(name), "; ".join((other.definition, *_said(other))))
            for (kind, name), other in sorted(standing.others.items(), key=_by_kind)
            if kind in LEANED_ON
        ),
        *map(_enum, standing.enums.values()),
        *map(_domain, standing.domains.values()),
        *map(_sequence, standing.sequences.values()),
    ]


def schema(name: str) -> Prerequisite:
    """Return a schema."""
    statement = SQL("create schema if not exists {}").format(Identifier(name)).as_string()
    return Prerequisite("schema", name, statement)


def makes(statements: str, needed: Prerequisite) -> bool:
    """Whether statements written by hand make something themselves."""
    if needed.name.lower() not in statements.lower():
        return False  # as most are, and the rest takes its time
    kind = needed.kind.removeprefix("composite ").removeprefix("range ")
    name = rf'(?:"?[\w$]+"?\s*\.\s*)?"?{re.escape(needed.name)}"?(?![\w$])'
    made = rf"\bcreate\s+(?:or\s+replace\s+)?{kind}\s+(?:if\s+not\s+exists\s+)?{name}"
    return re.search(made, statements, re.IGNORECASE) is not None


def asked_for(statements: Iterable[str]) -> set[str]:
    """Return the names, without their schemas, of the sequences that defaults name."""
    asking = (lexed(each) for each in statements if "nextval" in each.lower())
    found = (each["name"].removeprefix("'") for text in asking for each in text.find("nextval ( <name>"))
    return {parts(name)[-1] for name in found}


def make(connection: Connection, default_schema: str, needed: Iterable[Prerequisite]) -> None:
    """Make what can be made, in whatever order works. What can't be will be missed, or not.

    Args:
        connection: in autocommit; the default schema is the first in its search path afterwards.
        default_schema: of the database from which they come.
        needed: what to make.
    """
    _run(connection, schema(default_schema).statement)
    connection.execute(text("set check_function_bodies = off"))
    # Their texts were printed with the default schema alone in the search path.
    path = connection.scalar(text("select current_setting('search_path')"))
    default = Identifier(default_schema).as_string()
    _set_path(connection, default)
    rest = list(needed)
    while rest:
        failed = [each for each in rest if not _try(connection, each.statement)]
        if len(failed) == len(rest):
            break
        rest = failed
    _set_path(connection, ", ".join(filter(None, [default, path])))


def give_sequences_back(connection: Connection, standing: Catalog, needed: Sequence[Prerequisite]) -> None:
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


def _said(other: Other) -> Iterator[str]:
    """Yield what else is said of an object."""
    return (statement for detail in other.details for statement in detail.statements)


def _by_kind(item: tuple[tuple[str, str], object]) -> tuple[int, str]:
    (kind, name), _ = item
    return (LEANED_ON.index(kind) if kind in LEANED_ON else len(LEANED_ON), name)


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


def _enum(enum: Enum) -> Prerequisite:
    statement = SQL("create type {} as enum ({})").format(
        Identifier(*enum.name), SQL(", ").join(map(Literal, enum.values))
    )
    return _with_comment("type", enum.name, statement, enum.comment)


def _domain(domain: Domain) -> Prerequisite:
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


def _sequence(sequence: StandingSequence) -> Prerequisite:
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
    made = _with_comment("sequence", sequence.name, statement, sequence.comment)
    return replace(made, is_owned=sequence.owner is not None)


def _with_comment(kind: str, name: Name, statement: Composable, comment: str | None) -> Prerequisite:
    made = statement.as_string()
    if comment is not None:
        on = SQL("comment on {} {} is {}").format(SQL(kind), Identifier(*name), Literal(comment))
        made += f"; {on.as_string()}"
    return Prerequisite(kind, name.name, made, name)


def _bare(name: str) -> str:
    """Return the name alone, of what may be "schema.name(arguments)"."""
    return name.partition("(")[0].rpartition(".")[2].strip('"')
