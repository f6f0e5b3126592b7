"""A revision that gives columns other types stands half-way, and what it has done is taken back."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Column, Engine, MetaData
from sqlalchemy.dialects.postgresql import JSONB

from plinth.apply.left_columns import ending
from tests.plinth.history import History, do, psql, rows
from tests.plinth.judge import difference, dump
from tests.plinth.kinds.kind import NAMING_CONVENTION
from tests.plinth.project import Project
from tests.plinth.test_busy_tables import begun, write

STOP = (
    '    with op.get_context().autocommit_block():\n        op.execute("select 1 / count(*) from pass_on")\n'
)
SAID: dict[str, Any] = {
    "name": {"using": "left(name, 6)"},
    "rate": {"using": "round(rate)"},
    "said": {"using": "to_jsonb(said)", "using_back": "said #>> '{}'"},
    "made": {"using": "made at time zone 'Europe/Zurich'"},
    "rank": {
        "using": "case rank when 'hi' then 2 else 1 end",
        "using_back": "case rank when 2 then 'hi' else 'lo' end::ranks",
    },
}
BEFORE: dict[str, Any] = {
    "name": sa.Text,
    "rate": sa.Numeric(10, 4),
    "said": sa.Text,
    "made": sa.DateTime,
    "rank": sa.Enum("lo", "hi", name="ranks"),
}
AFTER: dict[str, Any] = {
    "name": sa.String(6),
    "rate": sa.Integer,
    "said": JSONB,
    "made": sa.DateTime(timezone=True),
    "rank": sa.SmallInteger,
}
FILL = """
    create table pass_on ();
    insert into a (name, rate, said, made, rank)
    values ('a long name', 1.2345, 'x', '2026-01-01 12:00', 'hi'),
           ('b', 2.5, 'true', '2026-07-01 12:00', 'lo'), (null, null, null, null, null)
    """
VALUES = "select to_jsonb(a) from a order by id"


def models(types: dict[str, Any], said: dict[str, Any]) -> MetaData:
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    columns = [Column(name, type_, info=said.get(name, {})) for name, type_ in types.items()]
    sa.Table("a", metadata, Column("id", sa.Integer, primary_key=True), *columns)
    return metadata


def stop_at_the_end(history: History, name: str, direction: str) -> None:
    """Let a revision fail behind all else that it does."""
    [file] = history.folder.glob(f"versions/{name}_*.py")
    up, down = file.read_text().split("def downgrade()")
    up, down = (up.rstrip() + f"\n{STOP}\n\n", down) if direction == "up" else (up, down + STOP)
    file.write_text(f"{up}def downgrade(){down}")


def test_values_that_the_revision_has_kept_come_back(project: Project, empty_engine: Engine) -> None:
    url = empty_engine.url
    history = begun(project, empty_engine, models(BEFORE, {}), FILL)
    config = history.config(empty_engine)
    before, values = dump(url), rows(url, VALUES)
    first, *_ = write(history, empty_engine, models(AFTER, SAID))
    stop_at_the_end(history, first, "up")
    with pytest.raises(CommandError):
        command.upgrade(config, first)
    assert rows(url, "select name, rate, rank from a where id = 1") == [("a long", 1, 2)]
    do(
        url,
        """insert into a (name, rate, said, made, rank) values ('new', 7, '"y"', '2026-01-01 11:00+00', 2)""",
    )
    do(url, "update a set name = 'other', rate = 9 where id = 2")
    command.downgrade(config, "-1")
    assert difference(before, dump(url)) == ""
    new = {"id": 4, "name": "new", "rate": 7, "said": "y", "made": "2026-01-01T12:00:00", "rank": "hi"}
    values[1][0].update(name="other", rate=9)
    values[2][0].update(rank="lo")  # what was NULL and what was written since can't be told apart
    assert rows(url, VALUES) == [*values, (new,)]


def test_a_way_back_that_is_taken_back_makes_the_values_as_the_revision_does(
    project: Project, empty_engine: Engine
) -> None:
    url = empty_engine.url
    history = begun(project, empty_engine, models(BEFORE, {}), FILL)
    config = history.config(empty_engine)
    first, *_ = write(history, empty_engine, models(AFTER, SAID))
    stop_at_the_end(history, first, "down")
    command.upgrade(config, first)
    do(url, "update a set name = 'short' where id = 2")
    values = rows(url, VALUES)
    with pytest.raises(CommandError):
        command.downgrade(config, "-1")
    assert rows(url, "select pg_typeof(rate)::text from a where id = 1") == [("numeric",)]
    do(url, "insert into pass_on default values")
    command.upgrade(config, "head")
    kept = [{key: value for key, value in row.items() if not key.endswith("_old")} for (row,) in values]
    assert rows(url, VALUES) == [(row,) for row in kept]


def prices(
    metadata: MetaData,
    kind: type[sa.Integer | sa.BigInteger],
    table: str = "a",
    price: str = "price",
    **said: str,
) -> None:
    """Put a table into models whose columns have names that begin alike, and words of their own."""
    columns: list[Column[Any]] = [Column(price, kind, info=said), Column(f"{price}_usd", kind)]
    sa.Table(table, metadata, Column("id", sa.Integer, primary_key=True), *columns, Column("mark", sa.Text))


TIMES_100 = {"using": "price * 100", "using_back": "price / 100"}
FILL_PRICES = (
    "create table pass_on (); insert into a (price, price_usd, mark) values (1, 7, ':b'), (2, null, '100%')"
)


@pytest.mark.parametrize(
    ("column", "called", "expected"),
    [
        ("price", "price_old", "old"),
        ("price", "price_new_2", "new"),
        ("price_usd", "price_old", None),
        ('5"', '5"_old', "old"),
        ("x" * 63, f"{'x' * 59}_old", "old"),
        ("x" * 59, f"{'x' * 58}_old", None),
        ("é" * 31, f"{'é' * 29}_old", "old"),
    ],
)
def test_columns_that_take_turns_are_known_by_their_whole_name(
    column: str, called: str, expected: str | None
) -> None:
    assert ending(column, called) == expected


@pytest.mark.parametrize("is_renamed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_each_column_gets_the_values_that_were_kept_for_it(
    project: Project, empty_engine: Engine, is_renamed: bool
) -> None:
    url, table = empty_engine.url, "b" if is_renamed else "a"
    before, after = (
        MetaData(naming_convention=NAMING_CONVENTION),
        MetaData(naming_convention=NAMING_CONVENTION),
    )
    prices(before, sa.Integer)
    prices(after, sa.BigInteger, table, **TIMES_100)
    mark = {"using": "case mark when ':b' then 1 else 2 end"}
    mark["using_back"] = "case mark when 1 then ':b' else '100%' end"
    after.tables[table].c.mark.type, after.tables[table].c.mark.info = sa.Integer(), mark
    if is_renamed:
        after.tables[table].info["renamed_from"] = "a"
    history = begun(project, empty_engine, before, FILL_PRICES)
    config = history.config(empty_engine)
    there, values = dump(url), rows(url, VALUES)
    first, *_ = write(history, empty_engine, after)
    stop_at_the_end(history, first, "up")
    with pytest.raises(CommandError):
        command.upgrade(config, first)
    do(url, f"insert into {table} (price, price_usd, mark) values (300, 9, 1)")  # noqa: S608 - a constant
    command.downgrade(config, "-1")
    assert difference(there, dump(url)) == ""
    assert rows(url, VALUES) == [*values, ({"id": 3, "price": 3, "price_usd": 9, "mark": ":b"},)]


def test_values_whose_columns_were_renamed_as_well_are_not_guessed(
    project: Project, empty_engine: Engine
) -> None:
    url = empty_engine.url
    before, after = (
        MetaData(naming_convention=NAMING_CONVENTION),
        MetaData(naming_convention=NAMING_CONVENTION),
    )
    prices(before, sa.Integer)
    prices(
        after, sa.BigInteger, price="cost", renamed_from="price", using="cost * 100", using_back="cost / 100"
    )
    after.tables["a"].c.cost_usd.info["renamed_from"] = "price_usd"
    history = begun(project, empty_engine, before, FILL_PRICES)
    config = history.config(empty_engine)
    first, *_ = write(history, empty_engine, after)
    stop_at_the_end(history, first, "up")
    with pytest.raises(CommandError):
        command.upgrade(config, first)
    values = rows(url, VALUES)
    with pytest.raises(
        CommandError, match=r"the values of public\.a\.price come from what the revision says"
    ):
        command.downgrade(config, "-1")
    assert rows(url, VALUES) == values
    do(url, "insert into pass_on default values")
    command.upgrade(config, "head")


def referring(is_after: bool) -> MetaData:
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    kind = sa.BigInteger if is_after else sa.Integer
    sa.Table("b", metadata, Column("id", sa.BigInteger, primary_key=True))
    key = [sa.ForeignKey("b.id")] if is_after else []
    sa.Table("a", metadata, Column("id", sa.Integer, primary_key=True), Column("k", kind, *key))
    return metadata


def with_key(is_after: bool) -> MetaData:
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    kind = sa.BigInteger if is_after else sa.Integer
    sa.Table("b", metadata, Column("id", kind, primary_key=True), Column("name", sa.Text, unique=is_after))
    key: list[Column[Any]] = (
        [Column("b_id", sa.ForeignKey("b.id"), nullable=False, info={"backfill": "1"})] if is_after else []
    )
    sa.Table("a", metadata, Column("id", sa.Integer, primary_key=True), Column("k", sa.Integer), *key)
    return metadata


@pytest.mark.parametrize("make", [referring, with_key])
def test_what_is_new_on_a_column_goes_before_it_gets_its_type_back(
    project: Project, empty_engine: Engine, make: Callable[[bool], MetaData]
) -> None:
    url = empty_engine.url
    fill = "create table pass_on (); insert into b values (5); insert into a (k) values (5)"
    if make is with_key:
        fill = fill.replace("values (5)", "values (1)", 1)
    history = begun(project, empty_engine, make(False), fill)
    config = history.config(empty_engine)
    before = dump(url)
    first, *_ = write(history, empty_engine, make(True))
    stop_at_the_end(history, first, "up")
    with pytest.raises(CommandError):
        command.upgrade(config, first)
    command.downgrade(config, "-1")
    assert difference(before, dump(url)) == ""
    assert rows(url, "select k from a") == [(5,)]
    do(url, "insert into pass_on default values")
    command.upgrade(config, "head")


def test_a_lock_that_is_missed_as_a_new_table_is_taken_back(project: Project, empty_engine: Engine) -> None:
    """Its key's sequence is the revision's, though no statement names it."""
    url = empty_engine.url
    metadata = models({"n": sa.Integer}, {})
    history = begun(project, empty_engine, metadata, "create table pass_on (); insert into a (n) values (1)")
    config = history.config(empty_engine)
    before = dump(url)
    sa.Table("z", metadata, Column("id", sa.Integer, primary_key=True))
    sa.Index(None, metadata.tables["a"].c.n)
    [name] = write(history, empty_engine, metadata)
    stop_at_the_end(history, name, "up")
    with pytest.raises(CommandError):
        command.upgrade(config, "head")
    with psql(url) as session:
        session.execute("begin")
        session.execute("lock table a in share mode")
        timer = threading.Timer(1.5, session.rollback)
        timer.start()
        command.downgrade(config, "-1")
        timer.join()
    assert difference(before, dump(url)) == ""
