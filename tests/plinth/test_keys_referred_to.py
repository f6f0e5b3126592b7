"""A key that goes, moves or changes while foreign keys refer to its columns: these hold at each moment."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from sqlalchemy import (
    Column,
    Engine,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Text,
    UniqueConstraint,
)
from sqlalchemy.schema import SchemaItem

from tests.plinth.each_moment import BOTH, seen_at_each_moment
from tests.plinth.history import rows
from tests.plinth.interruptions import take_back
from tests.plinth.kinds.kind import NAMING_CONVENTION, also
from tests.plinth.project import Project
from tests.plinth.test_busy_tables import begun, write

Items = Callable[[], Sequence[SchemaItem]]
ROWS = """
    insert into accounts (id, name) select n, 'name ' || n from generate_series(1, 50) n;
    insert into invoices (id, account_id, name) select n, n, 'name ' || n from generate_series(1, 50) n;
    """


def number(*, primary: bool = False, unique: bool = False) -> Column[int]:
    return Column(
        "id", Integer, primary_key=primary, unique=unique or None, nullable=False, autoincrement=False
    )


def name(*, primary: bool = False) -> Column[str]:
    return Column("name", Text, primary_key=primary, nullable=False)


def uid() -> Column[object]:
    return Column("uid", sa.Uuid, primary_key=True, server_default=sa.text("gen_random_uuid()"))


def by_number(ondelete: str | None = "CASCADE") -> list[SchemaItem]:
    """Return what refers to an account by its number."""
    own: Column[int] = Column("account_id", ForeignKey("accounts.id", ondelete=ondelete), nullable=False)
    return [own, Column("name", Text)]


def by_both() -> list[SchemaItem]:
    """Return what refers to an account by its number and name."""
    both = ForeignKeyConstraint(["account_id", "name"], ["accounts.id", "accounts.name"])
    return [Column("account_id", Integer), Column("name", Text), both]


class Case(NamedTuple):
    """Accounts before and after, and what of invoices refers to them, before and after if it changes."""

    before: Items
    after: Items
    invoices: Callable[[], list[SchemaItem]] = by_number
    invoices_after: Callable[[], list[SchemaItem]] | None = None
    partitioned: tuple[str, ...] = ()


CASES = {
    "the primary key moves": Case(
        lambda: [number(primary=True), name()],
        lambda: [number(unique=True), uid(), name()],
    ),
    "an index stays": Case(
        lambda: [number(primary=True), name()],
        lambda: [number(), uid(), name(), Index("once", "id", unique=True)],
    ),
    "nothing is primary any more": Case(
        lambda: [number(primary=True), name()], lambda: [number(unique=True), name()]
    ),
    "another name": Case(
        lambda: [number(), name(), UniqueConstraint("id", name="one")],
        lambda: [number(), name(), UniqueConstraint("id", name="two")],
    ),
    "more in the index": Case(
        lambda: [number(), name(), UniqueConstraint("id", name="one")],
        lambda: [number(), name(), UniqueConstraint("id", name="one", postgresql_include=["name"])],
    ),
    "an index of its name": Case(
        lambda: [number(), name(), UniqueConstraint("id", name="one")],
        lambda: [number(), name(), Index("one", "id", unique=True)],
    ),
    "a key of two columns": Case(
        lambda: [number(primary=True), name(primary=True)],
        lambda: [number(), name(), uid(), UniqueConstraint("id", "name")],
        by_both,
    ),
    "the foreign key changes too": Case(
        lambda: [number(primary=True), name()],
        lambda: [number(unique=True), uid(), name()],
        by_number,
        lambda: by_number(None),
    ),
    "accounts refer to accounts": Case(
        lambda: [number(primary=True), name(), Column("above", ForeignKey("accounts.id"))],
        lambda: [
            number(unique=True),
            uid(),
            name(),
            Column("above", ForeignKey("accounts.id")),
        ],
    ),
    "accounts with partitions": Case(
        lambda: [number(primary=True), name(primary=True)],
        lambda: [number(primary=True), name(), uid(), UniqueConstraint("id", "name")],
        by_both,
        partitioned=("accounts",),
    ),
    "invoices with partitions": Case(
        lambda: [number(primary=True), name()],
        lambda: [number(unique=True), uid(), name()],
        partitioned=("invoices",),
    ),
}


def models(accounts: Items, invoices: Items, partitioned: Sequence[str] = ()) -> MetaData:
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    items = {"accounts": accounts(), "invoices": [Column("id", Integer, primary_key=True), *invoices()]}
    for each, its in items.items():
        by = "RANGE (id)" if each in partitioned else None
        table = sa.Table(each, metadata, *its, postgresql_partition_by=by)
        if by:
            also(table, f"create table {each}_1 partition of {each} for values from (0) to (1000)")
    return metadata


# How many foreign keys of each table hold for what is written, in the eyes of others.
HOLDING = """
    select conrelid::regclass::text, count(*) from pg_constraint join pg_class t on t.oid = conrelid
    where contype = 'f' and relkind = 'r' and not confrelid::regclass::text ~ '_1$' group by 1 order by 1
    """


def both_models(case: str) -> list[MetaData]:
    before, after, invoices, invoices_after, partitioned = CASES[case]
    return [
        models(before, invoices, partitioned),
        models(after, invoices_after or invoices, partitioned),
    ]


@pytest.mark.parametrize("backwards", BOTH)
@pytest.mark.parametrize("case", CASES)
def test_what_refers_to_it_holds(project: Project, empty_engine: Engine, case: str, backwards: bool) -> None:
    first, then = reversed(both_models(case)) if backwards else both_models(case)
    history, url = begun(project, empty_engine, first, ROWS), empty_engine.url
    holding = rows(url, HOLDING)
    written = len(write(history, empty_engine, then, "drop=accounts.uid"))
    for found in seen_at_each_moment(history, empty_engine, written, HOLDING):
        assert found == holding
    assert rows(url, "select count(*) from pg_constraint where not convalidated") == [(0,)]


@pytest.mark.slow
@pytest.mark.parametrize("case", ["the primary key moves", "invoices with partitions"])
def test_what_is_done_of_it_is_taken_back(project: Project, empty_engine: Engine, case: str) -> None:
    first, then = both_models(case)
    history = begun(project, empty_engine, first, ROWS)
    (revision,) = write(history, empty_engine, then)
    content = "select count(*), sum(account_id) from invoices join accounts on accounts.id = account_id"
    take_back(history, empty_engine, revision, content, slice(6, None))
