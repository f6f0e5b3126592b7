"""Types: PostgreSQL's names for them, and SQLAlchemy's classes."""

import re
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from plinth.catalog.picture import Catalog, Column, Name

Type = TypeEngine[Any]

_PLAIN: dict[str, Callable[[], Type]] = {
    "smallint": sa.SmallInteger,
    "integer": sa.Integer,
    "bigint": sa.BigInteger,
    "boolean": sa.Boolean,
    "text": sa.Text,
    "character varying": sa.String,
    "numeric": sa.Numeric,
    "real": sa.REAL,
    "double precision": sa.Double,
    "date": sa.Date,
    "time without time zone": sa.Time,
    "time with time zone": lambda: sa.Time(timezone=True),
    "timestamp without time zone": sa.DateTime,
    "timestamp with time zone": lambda: sa.DateTime(timezone=True),
    "interval": sa.Interval,
    "uuid": sa.Uuid,
    "json": sa.JSON,
    "jsonb": postgresql.JSONB,
    "bytea": sa.LargeBinary,
    "bit varying": lambda: postgresql.BIT(varying=True),
}
_OF_THAT_NAME = (
    *("inet", "cidr", "macaddr", "macaddr8", "money", "oid", "regclass", "tsvector", "tsquery", "hstore"),
    *("citext", *(f"{of}range" for of in ("int4", "int8", "num", "date", "ts", "tstz"))),
    *(f"{of}multirange" for of in ("int4", "int8", "num", "date", "ts", "tstz")),
)
_PLAIN |= {name: getattr(postgresql, name.upper()) for name in _OF_THAT_NAME}
_WITH_NUMBERS: dict[str, Callable[..., Type]] = {
    "character varying": lambda length: sa.String(length=length),
    "character": lambda length: sa.CHAR(length=length),
    "numeric": lambda precision, scale: sa.Numeric(precision=precision, scale=scale),
    "time without time zone": lambda digits: postgresql.TIME(precision=digits),
    "time with time zone": lambda digits: postgresql.TIME(timezone=True, precision=digits),
    "timestamp without time zone": lambda digits: postgresql.TIMESTAMP(precision=digits),
    "timestamp with time zone": lambda digits: postgresql.TIMESTAMP(timezone=True, precision=digits),
    "interval": lambda digits: postgresql.INTERVAL(precision=digits),
    "bit": lambda length: postgresql.BIT(length=length),
    "bit varying": lambda length: postgresql.BIT(length=length, varying=True),
}
_INTERVAL = re.compile(r"interval ([a-z ]+)(?:\((\d)\))?")
_TYPE = re.compile(r"(?P<name>[a-z0-9 ]+?)(?:\((?P<numbers>\d+(?:,-?\d+)*)\)(?P<rest>[a-z ]*))?")
_COLLATED = (sa.String, sa.Text, sa.CHAR)


def sqlalchemy_type(column: Column, catalog: Catalog) -> Type | None:
    """Return the class with which a column's type is written; None when there is none.

    Args:
        column: the column.
        catalog: what it is a part of.
    """
    found = _element_type(column.type.removesuffix("[]"), column.named_type, catalog)
    if found is None:
        return None
    if column.collation is not None:
        collation = re.fullmatch(r'"([^".]+)"|([a-z_0-9]+)', column.collation)
        if collation is None or type(found) not in _COLLATED or column.type.endswith("[]"):
            return None
        found.collation = collation[1] or collation[2]  # type: ignore[attr-defined]
    return sa.ARRAY(found) if column.type.endswith("[]") else found


def _element_type(printed: str, named: Name | None, catalog: Catalog) -> Type | None:
    if named is not None and named in catalog.enums:
        enum = catalog.enums[named]
        return postgresql.ENUM(
            *enum.values, name=named.name, schema=_schema(named, catalog), create_type=False
        )
    if named is not None and named in catalog.domains:
        domain = catalog.domains[named]
        base = _element_type(domain.type, domain.base, catalog)
        if base is None or domain.type.endswith("[]"):
            return None
        return postgresql.DOMAIN(named.name, base, schema=_schema(named, catalog), create_type=False)
    return None if named else builtin_type(printed)


def _schema(name: Name, catalog: Catalog) -> str | None:
    """Return a type's schema, which SQLAlchemy alone spells: its name may have a dot."""
    return None if name.schema == catalog.default_schema else name.schema


def builtin_type(printed: str) -> Type | None:
    """Return the class for what `format_type` prints of a type of PostgreSQL's own; None when unknown."""
    if interval := _INTERVAL.fullmatch(printed):
        digits = int(interval[2]) if interval[2] else None
        return postgresql.INTERVAL(fields=interval[1].upper().strip(), precision=digits)
    match = _TYPE.fullmatch(printed)
    if match is None:
        return None
    name = match["name"] + (match["rest"] or "")
    if match["numbers"] is None:
        make = _PLAIN.get(name)
        return make() if make else None
    make_with = _WITH_NUMBERS.get(name)
    numbers = [int(number) for number in match["numbers"].split(",")]
    return make_with(*numbers) if make_with else None


_FAMILIES = (
    {"smallint", "integer", "bigint"},
    {"character varying", "text", "character"},
    {"bit", "bit varying"},
)


def base_name(printed: str) -> str:
    """Return a type's name without its numbers and an interval's fields, for instance "character varying"."""
    return "interval" if _INTERVAL.fullmatch(printed) else re.sub(r"\([^)]*\)", "", printed)


_LENGTHENED = {"character varying", "bit varying"}
_FINER = {
    *("timestamp without time zone", "timestamp with time zone"),
    *("time without time zone", "time with time zone", "interval"),
}


def is_rewritten(before: str, after: str) -> bool:
    """Whether PostgreSQL writes a table anew when a column's type changes (ALTER TABLE, notes).

    Args:
        before: the type, as `format_type` prints it.
        after: likewise.
    """
    old, new = base_name(before), base_name(after)
    old_numbers, new_numbers = numbers(before), numbers(after)
    if {old, new} == {"character varying", "text"}:
        return bool(new_numbers)
    if (old, new) == ("cidr", "inet"):
        return False
    if old != new or before.endswith("[]"):
        return before != after
    if old == "interval" and _fields(before) != _fields(after):
        return _fields(after) is not None
    if old in _LENGTHENED or old in _FINER:
        return bool(new_numbers) and (not old_numbers or new_numbers < old_numbers)
    if old == "numeric" and new_numbers:
        return not old_numbers or old_numbers[1] != new_numbers[1] or new_numbers < old_numbers
    return bool(new_numbers) and old_numbers != new_numbers


def _fields(interval: str) -> str | None:
    found = _INTERVAL.fullmatch(interval)
    return found[1].strip() if found else None


def numbers(printed: str) -> list[int]:
    """Return the length, or precision and scale, of a type, as `format_type` prints it."""
    found = re.search(r"\(([\d,-]+)\)", printed)
    return [int(number) for number in found[1].split(",")] if found else []


def same_family(before: str, after: str) -> bool:
    """Whether two types are so alike that defaults and foreign keys can stay while one becomes the other."""
    names = {base_name(before), base_name(after)}
    return len(names) == 1 or any(names <= family for family in _FAMILIES)
