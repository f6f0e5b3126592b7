"""How the values of one type become values of another (ALTER COLUMN … TYPE … USING)."""

from collections.abc import Mapping

from sqlalchemy import Connection

from plinth.autogenerate.quoting import quoted
from plinth.autogenerate.types import base_name
from plinth.catalog.picture import Catalog, Column

# From one type to another: "e" when it must be asked for, "a" and "i" when PostgreSQL does it by itself.
Casts = Mapping[tuple[str, str], str]

_STRINGS = {"text", "character varying", "character"}


def read_casts(connection: Connection) -> Casts:
    """Return the casts that the database has between types (pg_cast)."""
    rows = connection.exec_driver_sql(
        "select format_type(castsource, null), format_type(casttarget, null), castcontext::text from pg_cast"
    )
    return {(source, target): context for source, target, context in rows}


def using(before: Column, after: Column, old: Catalog, new: Catalog, casts: Casts) -> str | None:
    """Return the expression that makes values of a column's new type; None when PostgreSQL needs none.

    Args:
        before: the column as it is.
        after: the column as it will be; its type exists by then.
        old: where the type that it has is found.
        new: where the type that it gets is found.
        casts: the database's.
    """
    column, is_array, becomes_array = (
        quoted(before.name),
        before.type.endswith("[]"),
        after.type.endswith("[]"),
    )
    if is_array and not becomes_array:
        return f"{column}[1]::{after.type}"
    if becomes_array and not is_array:
        return f"CASE WHEN {column} IS NOT NULL THEN ARRAY[{column}]::{after.type} END"
    source, target = _base(before, old), _base(after, new)
    named = before.named_type in old.enums, after.named_type in new.enums
    if any(named):
        if target in _STRINGS and not is_array:
            return None
        if source in _STRINGS:
            return f"{column}::{after.type}"
        return f"{column}::text{'[]' if is_array else ''}::{after.type}"
    if source == target and source in {"bit", "bit varying"} and before.type != after.type:
        return f"{column}::{after.type}"  # a length is changed only when it is asked for
    context = casts.get((source, target))
    if source == target or context in {"a", "i"} or (target in _STRINGS and not is_array):
        return None
    if context == "e" or source in _STRINGS or target in _STRINGS:
        return f"{column}::{after.type}"
    if not is_array and (source, "integer") in casts and ("integer", target) in casts:
        return f"{column}::integer::{after.type}"
    return f"{column}::text{'[]' if is_array else ''}::{after.type}"


def _base(column: Column, catalog: Catalog) -> str:
    domain = catalog.domains.get(column.named_type) if column.named_type else None
    return base_name((domain.type if domain else column.type).removesuffix("[]"))
