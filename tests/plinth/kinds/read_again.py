"""Columns whose type changes under what PostgreSQL reads once more, and then prints otherwise."""

from typing import Any

from sqlalchemy import CheckConstraint, Column, Computed, Enum, Index, Integer, String, Text, text

from tests.plinth.kinds.kind import Kind, Models, kept, t

ROWS = ("insert into t (s, other) values ('A', 'A'), ('B', 'B')",)
LISTED = "s IN ('A', 'B')"


def over(kind: Any, *make: Any) -> Models:
    """Return a table with a column of some type, and what stands on it."""
    return lambda m: t(m, Column("s", kind), Column("other", String(9)), *(each() for each in make))


def check(sql: str = LISTED, name: str | None = "listed") -> Any:
    return lambda: CheckConstraint(sql, name=name)


def index(*keys: Any, where: str | None = LISTED) -> Any:
    return lambda: Index("ix_open", *keys, postgresql_where=text(where) if where else None)


def enum(length: int) -> Models:
    kind = Enum("A", "B", name="st", native_enum=False, create_constraint=True, length=length)
    return lambda m: t(m, Column("s", kind), Column("other", String(9)))


def generated(persisted: bool) -> Any:
    return lambda: Column("g", Integer, Computed(f"CASE WHEN {LISTED} THEN 1 END", persisted=persisted))


UNDER = {
    "check": check(),
    "check_not_in": check("s NOT IN ('x', 'y')"),
    "check_of_two": check("s IN ('A', 'B') AND other IN ('A', 'B') OR s = other"),
    "check_with_null": check("coalesce(s, 'A') IN ('A', 'B', NULL)"),
    "check_of_arrays": check("ARRAY[s, other] <@ ARRAY['A', 'B']::varchar[]"),
    "check_like_any": check("s LIKE ANY (ARRAY['A%', 'B%'])"),
    "partial_index": index("id"),
    "expression_index": index(text(f"({LISTED})"), where=None),
    "generated": generated(True),
}


def retype(name: str, before: Models, after: Models, **options: Any) -> Kind:
    checks = (kept("select count(*) from t where s = other", 2),)
    return Kind(f"read_again.{name}", before, after, rows=ROWS, checks=checks, **options)


KINDS = [
    *(
        retype(f"{name}_{word}", over(String(before), make), over(String(after), make), x=("rewrite=t.s",))
        for name, make in UNDER.items()
        for word, before, after in (("longer", 9, 20), ("shorter", 20, 9))
    ),
    retype("check_to_text", over(String(9), check()), over(Text(), check())),
    retype("check_unbounded", over(String(9), check()), over(String(), check())),
    retype(
        "unnamed_check",
        over(String(9), check(name=None)),
        over(String(20), check(name=None)),
        convention=False,
    ),
    retype("enum_longer", enum(5), enum(9)),
    retype("enum_shorter", enum(9), enum(5)),
    retype(
        "generated_virtual", over(String(9), generated(False)), over(String(20), generated(False)), server=18
    ),
    retype("check_changes_too", over(String(9), check()), over(String(20), check("s IN ('A', 'B', 'C')"))),
]
