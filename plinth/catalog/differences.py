"""In what two pictures of a schema differ, object by object. The order of columns doesn't count."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from plinth.catalog.picture import Catalog, Constraint, Table

_UNSET = "not set"
# Derived from other fields, or compared by themselves.
_NOT_COMPARED = {
    "Column": {"name", "named_type", "sequence", "uses"},
    "Constraint": {
        *("name", "type", "columns", "expression", "foreign_key", "deferrable", "deferred", "include"),
        *("nulls_not_distinct", "validated"),
    },
    "Index": {
        *("name", "keys", "key_columns", "include", "unique", "method", "where", "nulls_not_distinct"),
        *("options", "tablespace", "columns"),
    },
    "Table": {"name", "columns", "constraints", "indexes"},
    "Sequence": {"name"},
    "Enum": {"name"},
    "Domain": {"name", "base"},
    "Other": {"kind", "name", "schema", "table", "columns", "privileges", "bare"},
}


@dataclass(frozen=True)
class Difference:
    """One respect in which an object isn't as it should be.

    Args:
        kind: of the object, for instance "column".
        name: of the object.
        attribute: what differs; "" when the whole object is missing or too much.
        actual: what is there; None when nothing is.
        wanted: what should be there; None when nothing should.
    """

    kind: str
    name: str
    attribute: str = ""
    actual: Any = None
    wanted: Any = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What differs, whatever it is on either side."""
        return self.kind, self.name, self.attribute

    def __str__(self) -> str:
        """Return it as a line of a message."""
        if not self.attribute:
            return f"{self.kind} {self.name} is {'missing' if self.actual is None else 'too much'}"
        wanted = _shown(self.wanted)
        instead = "and should not be set" if wanted == _UNSET else f"not {wanted}"
        return f"{self.kind} {self.name}: {self.attribute} is {_shown(self.actual)}, {instead}"


def differences(actual: Catalog, wanted: Catalog) -> list[Difference]:
    """Return in what a schema isn't as it should be; empty when PostgreSQL prints both alike.

    Args:
        actual: what is there.
        wanted: what should be there.
    """
    return list(_differences(actual, wanted))


def _differences(actual: Catalog, wanted: Catalog) -> Iterator[Difference]:
    for name in sorted({*actual.schemas, *wanted.schemas}):
        if name not in actual.schemas or name not in wanted.schemas:
            yield Difference("schema", name, actual=name if name in actual.schemas else None)
        elif actual.schemas[name] != wanted.schemas[name]:
            yield Difference("schema", name, "comment", actual.schemas[name], wanted.schemas[name])
    for kind, left, right in (
        ("enum", actual.enums, wanted.enums),
        ("domain", actual.domains, wanted.domains),
        ("sequence", actual.sequences, wanted.sequences),
    ):
        yield from _pairs(kind, _by_shown_name(left, actual), _by_shown_name(right, wanted))
    tables = _by_shown_name(actual.tables, actual), _by_shown_name(wanted.tables, wanted)
    yield from _pairs("table", *tables)
    for name in sorted({*tables[0]} & {*tables[1]}):
        yield from _of_tables(name, tables[0][name], tables[1][name])
    for kind in sorted({kind for kind, _ in (*actual.others, *wanted.others)}):
        yield from _pairs(
            kind,
            {each.name: each for each in actual.others.values() if each.kind == kind},
            {each.name: each for each in wanted.others.values() if each.kind == kind},
        )


def _of_tables(name: str, actual: Table, wanted: Table) -> Iterator[Difference]:
    def below(names: Mapping[str, Any]) -> dict[str, Any]:
        return {f"{name}.{each}": value for each, value in names.items()}

    columns = ({column.name: column for column in table.columns} for table in (actual, wanted))
    yield from _pairs("column", *map(below, columns))
    yield from _pairs("constraint", *(below(_own_constraints(table)) for table in (actual, wanted)))
    yield from _pairs("index", below(actual.indexes), below(wanted.indexes))


def _own_constraints(table: Table) -> Mapping[str, Constraint]:
    """Return a table's constraints, but for the keys of a partition that go by the whole table's.

    Whoever made them has given them names, and PostgreSQL gives others.
    """
    if table.partition_bound is None:
        return table.constraints
    return {
        name: each
        for name, each in table.constraints.items()
        if each.is_local or each.type not in {"p", "u", "x"}
    }


def _pairs(kind: str, actual: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[Difference]:
    for name in sorted({*actual, *wanted}):
        left, right = actual.get(name), wanted.get(name)
        if left is None or right is None:
            yield Difference(kind, name, actual=left, wanted=right)
        elif left != right:
            for each in changed_fields(left, right):
                yield Difference(
                    kind, name, each.replace("_", " "), getattr(left, each), getattr(right, each)
                )


def changed_fields(left: Any, right: Any) -> list[str]:  # noqa: ANN401 - two of any of the picture's types
    """Return the names of the fields in which two objects of one type differ."""
    left_out = _NOT_COMPARED[type(left).__name__]
    names = [each.name for each in fields(left) if each.compare and each.name not in left_out]
    return [name for name in names if getattr(left, name) != getattr(right, name)]


def _by_shown_name(named: Mapping[Any, Any], catalog: Catalog) -> dict[str, Any]:
    return {
        name.name if name.schema == catalog.default_schema else str(name): value
        for name, value in named.items()
    }


def _shown(value: object) -> str:
    if value is None or value in ("", ()):
        return _UNSET
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value)
