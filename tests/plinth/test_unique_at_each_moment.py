"""Keys and unique indexes that go while others come to their columns: at no moment are these not unique."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from sqlalchemy import Column, Engine, Index, Integer, MetaData, UniqueConstraint
from sqlalchemy.schema import SchemaItem

from tests.plinth.each_moment import BOTH, seen_at_each_moment
from tests.plinth.kinds.kind import NAMING_CONVENTION, also
from tests.plinth.project import Project
from tests.plinth.test_busy_tables import begun, write

Models = Callable[[], MetaData]
ROWS = "insert into tags (a, b) select n, n from generate_series(1, 50) n"


def tags(items: Callable[[], Sequence[SchemaItem]], *, partitioned: bool = False) -> Models:
    """Return what makes models of one table that has columns a and b."""

    def made() -> MetaData:
        metadata = MetaData(naming_convention=NAMING_CONVENTION)
        by = "RANGE (a)" if partitioned else None
        table = sa.Table("tags", metadata, *items(), postgresql_partition_by=by)
        if partitioned:
            also(table, "create table tags_1 partition of tags for values from (0) to (1000)")
        return metadata

    return made


def columns(**options: str) -> list[SchemaItem]:
    """Return columns a and b, which refuse NULL unless something else is said: `a="key"`."""
    said: dict[str, dict[str, Any]] = {
        "key": {"primary_key": True},
        "null": {},
        "filled": {"nullable": False, "info": {"backfill": "7"}},
    }
    return [Column(each, Integer, **said.get(options.get(each, ""), {"nullable": False})) for each in "ab"]


def text(length: int, *more: SchemaItem, unique: bool = False, index: bool = False) -> list[SchemaItem]:
    """Return a column a of a length, and further items."""
    text = Column("a", sa.String(length), unique=unique, index=index)
    return [number(), text, Column("b", Integer), *more]


def number() -> Column[int]:
    return Column("id", Integer, primary_key=True)


class Case(NamedTuple):
    """A change, and what stays unique, before and after and at each moment."""

    before: Models
    after: Models
    unique: tuple[str, ...]


CASES = {
    "a number instead of a key of both": Case(
        tags(lambda: columns(a="key", b="key")),
        tags(lambda: [number(), *columns(), UniqueConstraint("a", "b")]),
        ("a,b",),
    ),
    "the same, and an index": Case(
        tags(lambda: columns(a="key", b="key")),
        tags(lambda: [number(), *columns(), Index("once", "a", "b", unique=True)]),
        ("a,b",),
    ),
    "the same with partitions": Case(
        tags(lambda: columns(a="key", b="key"), partitioned=True),
        tags(
            lambda: [
                Column("id", Integer, sa.Identity(), primary_key=True),
                *columns(a="key"),
                UniqueConstraint("a", "b"),
            ],
            partitioned=True,
        ),
        ("a,b",),
    ),
    "a key that isn't primary any more": Case(
        tags(lambda: columns(a="key", b="key")),
        tags(lambda: [*columns(), UniqueConstraint("a", "b")]),
        ("a,b",),
    ),
    "keys that change places": Case(
        tags(lambda: [*columns(a="key"), UniqueConstraint("b")]),
        tags(lambda: [*columns(b="key"), UniqueConstraint("a")]),
        ("a", "b"),
    ),
    "constraints that change names": Case(
        tags(lambda: [*columns(), UniqueConstraint("a", name="one"), UniqueConstraint("b", name="two")]),
        tags(lambda: [*columns(), UniqueConstraint("b", name="one"), UniqueConstraint("a", name="two")]),
        ("a", "b"),
    ),
    "indexes that change names": Case(
        tags(lambda: [*columns(), Index("one", "a", unique=True), Index("two", "b", unique=True)]),
        tags(lambda: [*columns(), Index("one", "b", unique=True), Index("two", "a", unique=True)]),
        ("a", "b"),
    ),
    "an index that a constraint stands beside": Case(
        tags(lambda: [number(), *columns(), Index("one", "a", unique=True)]),
        tags(lambda: [number(), *columns(), Index("one", "a"), UniqueConstraint("a")]),
        ("a",),
    ),
    "a constraint that becomes an index": Case(
        tags(lambda: [number(), *columns(), UniqueConstraint("a", name="one")]),
        tags(lambda: [number(), *columns(), Index("one", "a", unique=True)]),
        ("a",),
    ),
    "a constraint whose name an index gets": Case(
        tags(lambda: [number(), *columns(), UniqueConstraint("a", name="one")]),
        tags(lambda: [number(), *columns(), Index("one", "a"), UniqueConstraint("a", name="two")]),
        ("a",),
    ),
    "an index and a key that change places": Case(
        tags(lambda: [*columns(b="key"), Index("one", "a", unique=True)]),
        tags(lambda: [*columns(a="key"), Index("one", "b", unique=True)]),
        ("a", "b"),
    ),
    "another name of a column that is filled": Case(
        tags(lambda: [number(), *columns(a="null"), UniqueConstraint("a", "b", name="one")]),
        tags(lambda: [number(), *columns(a="filled"), UniqueConstraint("a", "b", name="two")]),
        ("a,b",),
    ),
    "an index, and a longer type": Case(
        tags(lambda: text(10, unique=True)), tags(lambda: text(20, unique=True, index=True)), ("a",)
    ),
    "another name, and a longer type": Case(
        tags(lambda: text(10, UniqueConstraint("a", name="one"))),
        tags(lambda: text(20, UniqueConstraint("a", name="two"))),
        ("a",),
    ),
    "more columns, and a longer type": Case(
        tags(lambda: text(10, UniqueConstraint("a", name="one"), UniqueConstraint("a", "b", name="two"))),
        tags(lambda: text(20, UniqueConstraint("a", "b", name="one"))),
        ("a,b",),
    ),
    "fewer columns": Case(
        tags(lambda: [number(), *columns(), UniqueConstraint("a", "b")]),
        tags(lambda: [number(), *columns(), UniqueConstraint("a", "b", name="both"), UniqueConstraint("a")]),
        ("a,b",),
    ),
}

# Which columns no two rows have alike, in the eyes of others.
UNIQUE = """
    select (select string_agg(attname, ',' order by attname) from pg_attribute
        where attrelid = indrelid and attnum = any (indkey))
    from pg_index
    where indrelid = 'tags'::regclass and indisunique and indisvalid and indislive and indpred is null
    """


@pytest.mark.parametrize("backwards", BOTH)
@pytest.mark.parametrize("name", CASES)
def test_what_is_unique_stays_so(project: Project, empty_engine: Engine, name: str, backwards: bool) -> None:
    before, after, unique = CASES[name]
    before, after = (after, before) if backwards else (before, after)
    history = begun(project, empty_engine, before(), ROWS)
    written = len(write(history, empty_engine, after(), "drop=tags.id"))
    for found in seen_at_each_moment(history, empty_engine, written, UNIQUE):
        assert {columns for (columns,) in found}.issuperset(unique)
