"""Names and texts as SQL has them, and SQL as SQLAlchemy's `text()` takes it."""

import re
from collections.abc import Collection, Sequence
from itertools import chain, count

from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

from plinth.autogenerate.change.refusals import Refusal
from plinth.catalog.picture import Catalog, Name

MOST_NAMED = 10  # objects in a sentence

# Keywords that are names only in quotes, beside those that SQLAlchemy knows (PostgreSQL, appendix C).
_MORE_KEYWORDS = {
    *("between", "bigint", "bit", "boolean", "char", "character", "coalesce", "dec", "decimal", "exists"),
    *("extract", "float", "greatest", "grouping", "inout", "int", "integer", "interval", "json"),
    *("json_array", "json_arrayagg", "json_exists", "json_object", "json_objectagg", "json_query"),
    *("json_scalar", "json_serialize", "json_table", "json_value", "least", "merge_action", "national"),
    *("nchar", "none", "normalize", "nullif", "numeric", "out", "overlay", "position", "precision", "real"),
    *("row", "setof", "smallint", "substring", "time", "timestamp", "treat", "trim", "values", "varchar"),
    *("xmlattributes", "xmlconcat", "xmlelement", "xmlexists", "xmlforest", "xmlnamespaces", "xmlparse"),
    *("xmlpi", "xmlroot", "xmlserialize", "xmltable", "tablesample", "collation", "concurrently", "lateral"),
    "window",
}
# Keywords of PL/pgSQL that SQL takes for names: behind `NEW.` they are no field there but in quotes.
_OF_PLPGSQL = {"begin", "by", "declare", "execute", "foreach", "if", "loop", "strict", "while"}
_KEYWORDS = set(RESERVED_WORDS) | _MORE_KEYWORDS | _OF_PLPGSQL
# What SQLAlchemy's text() takes for a parameter, or for an escaped one, which it rids of its backslash. 2.0
# takes a dollar for a letter: `a[:$1]`.
_BIND = re.compile(r"(?:(?<=\\)|(?<![:\w\\])(?=:\w)):(?!\w*:)|(?<![:\w\\]):(?=\$)(?![\w$]*:)")
LONGEST_NAME = 63  # bytes: NAMEDATALEN - 1


def quoted(name: str) -> str:
    """Return a name, in quotes where it needs them."""
    if re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name not in _KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def quoted_list(names: tuple[str, ...]) -> str:
    """Return names, separated by commas."""
    return ", ".join(map(quoted, names))


def literal(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def dollar_quoted(text: str, tag: str = "") -> str:
    """Return a text as a literal of SQL, between dollars, by a tag that isn't in it."""
    tags = chain([tag], (f"{tag or 'body'}{number}" for number in count(2)))
    found = next(dollars for each in tags if (dollars := f"${each}$") not in text)
    return f"{found}{text}{found}"


def do_block(lines: Sequence[str]) -> str:
    """Return the statement that executes the lines of a block, up to its END."""
    body = "\n".join([*lines, "END "])
    return f"DO {dollar_quoted(f' {body}')}"


def comment_sql(on: str, comment: str | None) -> str:
    """Return the statement that puts a comment on something, or takes it off."""
    return f"COMMENT ON {on} IS {'NULL' if comment is None else literal(comment)}"


def sql_name(name: Name, catalog: Catalog) -> str:
    """Return a name as SQL has it: bare in the default schema."""
    bare = quoted(name.name)
    return bare if name.schema == catalog.default_schema else f"{quoted(name.schema)}.{bare}"


def schema_of(name: Name, catalog: Catalog) -> str | None:
    """Return the schema for an operation of Alembic's on a table: None for the default one.

    Raises:
        Refusal: several of these take a dot in its name for the end of another name.
    """
    if name.schema == catalog.default_schema:
        return None
    if "." in name.schema:
        raise Refusal(
            "schema",
            f"Alembic splits the name of the schema {quoted(name.schema)} at its dot, and doesn't "
            f"find {name.name} in it. Write this change by hand (op.execute() in a revision of its own), or "
            "give the schema a name without a dot.",
        )
    return name.schema


def shown(name: Name, catalog: Catalog) -> str:
    """Return a name as messages, hints and `-x` arguments have it."""
    return name.name if name.schema == catalog.default_schema else str(name)


def shown_names(names: Sequence[str]) -> str:
    """Return the first of many names, and how many more there are."""
    more = [f"and {len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    return ", ".join([*names[:MOST_NAMED], *more])


def without_binds(sql: str) -> str:
    """Return SQL in which `text()` finds no bind parameter."""
    return _BIND.sub(r"\\:", sql)


def made_name(table: str, column: str, label: str) -> str:
    """Return the name that PostgreSQL makes for what belongs to a column (`makeObjectName`).

    Args:
        table: the table's name.
        column: the column's name.
        label: what the name ends with, for instance "seq".
    """
    first, second = table.encode(), column.encode()
    room = LONGEST_NAME - len(label.encode()) - 2
    while len(first) + len(second) > room:
        if len(first) > len(second):
            first = first[:-1]
        else:
            second = second[:-1]
    parts = (part.decode(errors="ignore") for part in (first, second))
    return "_".join((*parts, label))


def temporary_name(name: str, ending: str, taken: Collection[str] = ()) -> str:
    """Return a name for what doesn't stay, unlike those that are taken."""
    for end in (ending, *(f"{ending}_{number}" for number in range(2, len(taken) + 2))):
        found = name.encode()[: LONGEST_NAME - len(end)].decode(errors="ignore") + end
        if found not in taken:
            break
    return found
