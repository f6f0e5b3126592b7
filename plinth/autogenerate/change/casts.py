"""How the values of one type become values of another (ALTER COLUMN … TYPE … USING).

All is an assignment: a value that doesn't fit stops, where an explicit cast to a length would cut it. So no
expression that is made here casts to a type with a length, a scale or a precision.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from plinth.autogenerate.change.quoting import quoted
from plinth.autogenerate.change.types import base_name, numbers
from plinth.catalog.picture import Catalog, Column
from plinth.sql_text import lexed, parts


@dataclass(frozen=True)
class Cast:
    """A cast between two types.

    Args:
        context: "e" when it must be asked for, "a" and "i" when PostgreSQL does it by itself.
        depends_on_session: its result is another one with another TimeZone, DateStyle or the like.
    """

    context: str
    depends_on_session: bool


Casts = Mapping[tuple[str, str], Cast]


@dataclass(frozen=True)
class Using:
    """What the models say of a conversion.

    Args:
        up: the SQL expression that makes the new values of a row, in which the column is still the old one.
        back: the one that makes the old values of the new ones; None when none is said.
        keeps_null: the first one surely makes nothing of NULL.
    """

    up: str
    back: str | None = None
    keeps_null: bool = False

    def way_back(self, before: Column, after: Column) -> str | None:
        """Return the author's expression for the way back, if there is one."""
        return self.back or (self.up if is_a_matter_of_zone(before, after) else None)


_VARYING = {"text", "character varying"}
_STRINGS = {*_VARYING, "character"}
# Their bare names mean a length of one.
_WITHOUT_LENGTH = {"character": "bpchar", "bit": '"bit"'}
_TIMESTAMPS = {"timestamp without time zone", "timestamp with time zone"}
_UTC = {"'UTC", "'GMT", "'ETC/UTC", "'ETC/GMT"}

# What stands in pg_cast, and the casts through a type's text, which PostgreSQL does by itself on assignment.
_CASTS = """
    select format_type(castsource, null), format_type(casttarget, null), castcontext::text,
           case castmethod when 'b' then false
                           when 'f' then (select provolatile <> 'i' from pg_proc where oid = castfunc)
                           else (select provolatile <> 'i' from pg_proc where oid = s.typoutput) end
    from pg_cast join pg_type s on s.oid = castsource
    union all
    select format_type(t.oid, null), 'text', 'a', p.provolatile <> 'i'
    from pg_type t join pg_proc p on p.oid = t.typoutput
    where t.typtype in ('b', 'r', 'm') and t.typcategory <> 'A'
      and not exists (select from pg_cast where castsource = t.oid and casttarget = 'text'::regtype)
    """


def read_casts(connection: Connection) -> Casts:
    """Return the casts that the database has between types."""
    rows = connection.exec_driver_sql(_CASTS)
    return {(source, target): Cast(context, bool(depends)) for source, target, context, depends in rows}


def without_length(type_: str) -> str:
    """Return a type as SQL names it without a length: what doesn't fit stops when it is assigned, uncut.

    Args:
        type_: as `format_type` prints it.
    """
    element = type_.removesuffix("[]")
    name = base_name(element)
    return _WITHOUT_LENGTH.get(name, name) + type_[len(element) :]


def is_automatic(before: Column, after: Column, old: Catalog, new: Catalog, casts: Casts) -> bool:
    """Whether PostgreSQL converts values by itself, in each session alike; an enum's values by their names.

    Args:
        before: the column as it is.
        after: the column as it will be.
        old: where the type that it has is found.
        new: where the type that it gets is found.
        casts: the database's.
    """
    if before.type.endswith("[]") != after.type.endswith("[]"):
        return False
    source, target = _base(before, old), _base(after, new)
    if source == target:
        return True
    enums = [_is_enum(before, old), _is_enum(after, new)]
    if any(enums):
        return all(is_enum or name in _STRINGS for is_enum, name in zip(enums, (source, target), strict=True))
    if source in _STRINGS and target in _STRINGS:
        return True
    cast = casts.get((source, target)) or (casts.get((source, "text")) if target in _STRINGS else None)
    return cast is not None and cast.context in {"a", "i"} and not cast.depends_on_session


def is_possible(before: Column, after: Column, casts: Casts) -> bool:
    """Whether PostgreSQL has a cast at all: each type has those from text and to it (CREATE CAST, notes)."""
    if before.named_type or after.named_type:
        return True
    names = source, target = (
        base_name(before.type.removesuffix("[]")),
        base_name(after.type.removesuffix("[]")),
    )
    return source == target or names in casts or not _STRINGS.isdisjoint(names)


def is_related(before: Column, after: Column, old: Catalog, new: Catalog, casts: Casts) -> bool:
    """Whether values of one type may have been meant to go on as values of another; as for `is_automatic`."""
    if before.type.endswith("[]") != after.type.endswith("[]"):
        return False
    if is_automatic(before, after, old, new, casts):
        return _base(after, new) not in _STRINGS or _base(before, old) in _STRINGS or bool(before.named_type)
    found = casts.get((_base(before, old), _base(after, new)))
    return found is not None and found.context in {"a", "i"}


def is_a_matter_of_zone(before: Column, after: Column) -> bool:
    """Whether a time without a zone gets one, or loses it: `AT TIME ZONE` then reads alike both ways."""
    return {base_name(before.type), base_name(after.type)} == _TIMESTAMPS


def keeps_stored_values(before: Column, after: Column, said: str | None) -> bool:
    """Whether a time gets or loses its zone, and UTC is said: what is stored stays as it is."""
    found = lexed(said or "").matches("<column> at time zone <zone>")
    is_utc = found and parts(found["column"]) == [before.name] and found["zone"].upper() in _UTC
    return bool(is_utc) and is_a_matter_of_zone(before, after) and numbers(before.type) == numbers(after.type)


def using(before: Column, after: Column, old: Catalog, new: Catalog, casts: Casts) -> str | None:
    """Return the expression that makes values of a column's new type; None when PostgreSQL needs none.

    Args:
        before: the column as it is.
        after: the column as it will be; its type exists by then.
        old: where the type that it has is found.
        new: where the type that it gets is found.
        casts: the database's.
    """
    column, array = quoted(before.name), "[]" if after.type.endswith("[]") else ""
    source, target = _base(before, old), _base(after, new)
    enums = [_is_enum(before, old), _is_enum(after, new)]
    if source in _VARYING and target in _VARYING and not array and not any(enums):
        size, fits = _length(after, new), _length(before, old)
        # Where only blanks are too much, an assignment cuts them without a word: with a dot it stops.
        return f"{column} || rpad('', char_length({column}) - {size}, '.')" if size < fits else None
    if not any(enums):
        cast = casts.get((source, target)) or Cast("e", depends_on_session=False)
        if source == target or cast.context in {"a", "i"} or (target in _STRINGS and not array):
            return None
        wanted = without_length(target + array)
        if source in _STRINGS or target in _STRINGS or (source, target) in casts:
            return f"{column}::{wanted}"
        return f"{column}::text{array}::{wanted}"
    if target in _STRINGS:
        return f"{column}::text[]" if array else None
    if source in _STRINGS:
        return f"{column}::{after.type}"
    return f"{column}::text{array}::{after.type}"


def unrounded(before: Column, after: Column, old: Catalog, new: Catalog) -> str:
    """Return the expression that makes values of a coarser type, and stops at one that would become another.

    The arguments are those of `using`.
    """
    column = quoted(before.name)
    source, target = without_domains(before, old).type, without_domains(after, new).type
    made = f"{column}::{target}"
    same = f"{made}::{source} IS NOT DISTINCT FROM {column}"
    if base_name(target.removesuffix("[]")) == "real":  # 0.1 is another number there, and printed alike
        same += f" OR {made}::text = {column}::text"
    said = f"{column}::text || ' would become ' || {made}::{source}::text"
    return f"CASE WHEN {same} THEN {made} ELSE ({said})::{target} END"


def without_domains(column: Column, catalog: Catalog) -> Column:
    """Return a column with the type that a domain is made of, an array's with its brackets."""
    domain = catalog.domains.get(column.named_type) if column.named_type else None
    if domain is None:
        return column
    array = "[]" if column.type.endswith("[]") else ""
    return without_domains(replace(column, type=domain.type + array, named_type=domain.base), catalog)


def _is_enum(column: Column, catalog: Catalog) -> bool:
    """Whether a column's type is an enum, or a domain that is made of one."""
    return without_domains(column, catalog).named_type in catalog.enums


def _length(column: Column, catalog: Catalog) -> float:
    """Return how long a column's texts may be."""
    return next(iter(numbers(without_domains(column, catalog).type)), math.inf)


def _base(column: Column, catalog: Catalog) -> str:
    return base_name(without_domains(column, catalog).type.removesuffix("[]"))
