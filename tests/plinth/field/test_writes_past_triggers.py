"""What writes past triggers while two columns are kept equal: it is kept equal too, or stops the exchange."""
# ruff: noqa: S608 - SQL made of constants

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import BigInteger, Column, Date, Enum, Integer, MetaData, String, Table
from sqlalchemy.engine import URL

from tests.plinth.field.changing import Changing
from tests.plinth.history import do, psql, rows


@dataclass(frozen=True)
class Change:
    """A change of the column v.

    Args:
        before: its type.
        after: its type then.
        name: its name then.
        values: two that are there, and a third.
        info: what the model says of it.
    """

    before: Any
    after: Any
    name: str
    values: tuple[Any, Any, Any] = (10, 20, 30)
    info: Mapping[str, Any] = field(default_factory=dict)

    def begin(self, changing: Changing) -> None:
        """Make the table, with rows, and write the change."""
        changing.begin(Column("v", self.before), values=tuple(repr(each) for each in self.values[:2]))
        changing.write(Column(self.name, self.after, info=dict(self.info)))


CHANGES = {
    "another type": Change(Integer, BigInteger, "v"),
    "an enum": Change(
        String(9), Enum("glad", "sad", name="mood"), "v", ("sad", "sad", "glad"), {"using": "v::mood"}
    ),
    "kept name": Change(Integer, Integer, "w", info={"renamed_from": "v", "keep_old": True}),
}
# By this is told where rows have to be looked at.
PERHAPS_PAST = "select tgname from pg_trigger t join pg_proc p on p.oid = tgfoid where t.xmin <> p.xmin"
LOADS = {
    "disabled": ("disable trigger all", ""),
    "disabled for a time": ("disable trigger all", "enable trigger all"),  # as pg_restore does
    "put back as it was": ("disable trigger {}", "enable always trigger {}"),
}


def replicate(url: URL, statement: str) -> None:
    """Write as a subscription's worker does: only what always fires does, and no schema is searched."""
    with psql(url) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("set search_path = ''")
        connection.execute(statement.encode())


def stand_between(changing: Changing, change: str) -> tuple[Change, Any, Any]:
    """Go up to where the columns are kept equal and filled; return it, its first value and its third."""
    what = CHANGES[change]
    what.begin(changing)
    if change == "kept name":
        changing.upgrade("+1")
    else:
        changing.stop_before("LOCK TABLE t")
    assert rows(changing.engine.url, PERHAPS_PAST) == []
    return what, what.values[0], what.values[2]


@pytest.mark.parametrize("change", CHANGES)
def test_what_replication_writes_is_kept_equal(change: str, changing: Changing) -> None:
    what, first, third = stand_between(changing, change)
    replicate(changing.engine.url, f"update public.t set v = {third!r} where id = 2")
    replicate(changing.engine.url, f"insert into public.t (id, v) values (3, {third!r})")
    changing.upgrade()
    assert changing.values(what.name) == [first, third, third]


@pytest.mark.parametrize("change", CHANGES)
def test_so_it_is_on_the_way_back(change: str, changing: Changing) -> None:
    what = CHANGES[change]
    first, _, third = what.values
    what.begin(changing)
    changing.upgrade()
    changing.downgrade("-1")
    if change != "kept name":
        changing.stop_before("LOCK TABLE t", back=True)
    replicate(changing.engine.url, f"update public.t set {what.name} = {third!r} where id = 2")
    replicate(changing.engine.url, f"insert into public.t (id, {what.name}) values (3, {third!r})")
    changing.downgrade("-1")
    assert changing.values("v") == [first, third, third]


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_trigger_that_was_disabled_stops_it(change: str, load: str, changing: Changing) -> None:
    what, first, third = stand_between(changing, change)
    url, new = changing.engine.url, what.name
    [[trigger]] = rows(url, "select tgname from pg_trigger where not tgisinternal")
    begin, end = (each.format(trigger) for each in LOADS[load])
    do(url, f"alter table t {begin}")
    do(url, f"update t set v = {third!r} where id = 2")
    if end:
        do(url, f"alter table t {end}")
    with pytest.raises(CommandError, match=r"The rows don't bear.*Rows of t differ in v and \w+:") as said:
        changing.upgrade()
    assert f"ALTER TABLE t ENABLE ALWAYS TRIGGER {trigger}; UPDATE t SET " in str(said.value)
    assert changing.values("v") == [first, third]
    do(url, f"alter table t enable always trigger {trigger}")
    do(url, "update t set w = v" if new == "w" else "update t set v = v")
    changing.upgrade()
    assert changing.values(new) == [first, third]


@pytest.mark.parametrize(("change", "mend"), [("another type", "v = v"), ("kept name", "w = v")])
def test_so_does_one_that_comes_after_it_and_changes_rows(change: str, mend: str, changing: Changing) -> None:
    what, first, third = stand_between(changing, change)
    url = changing.engine.url
    do(
        url,
        "create function z() returns trigger language plpgsql as $$ begin new.v := 7; return new; end $$; "
        "create trigger z before insert on t for each row execute function z()",
    )
    do(url, f"insert into t (id, v) values (3, {third})")
    with pytest.raises(CommandError, match=r"Rows of t differ in v and \w+: .*another one comes after it"):
        changing.upgrade()
    do(url, f"update t set {mend}")
    changing.upgrade()
    assert changing.values(what.name) == [first, what.values[1], 7]


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("change", CHANGES)
def test_it_can_be_taken_back(change: str, load: str, changing: Changing) -> None:
    _, first, third = stand_between(changing, change)
    url = changing.engine.url
    [[trigger]] = rows(url, "select tgname from pg_trigger where not tgisinternal")
    for each in filter(None, LOADS[load]):
        do(url, f"alter table t {each.format(trigger)}")
    changing.downgrade("-1")
    do(url, f"update t set v = {third!r} where id = 2")
    assert changing.values("v") == [first, third]


def by_day(changing: Changing) -> URL:
    """Stand before the exchange of a column of a partitioned table; return where."""

    def models(kind: Any) -> Config:  # noqa: ANN401 - a type
        metadata, key = MetaData(), "RANGE (day)"
        Table("t", metadata, Column("day", Date), Column("v", kind), postgresql_partition_by=key)
        config = changing.config()
        config.attributes["target_metadata"] = metadata
        return config

    url = changing.engine.url
    command.revision(models(Integer), "begin", autogenerate=True)
    changing.upgrade()
    do(url, "create table t_all partition of t default")
    do(url, "insert into t values ('2026-01-01', 10), ('2026-01-02', 20)")
    command.revision(models(BigInteger), "another type", autogenerate=True)
    changing.stop_before("LOCK TABLE t")
    assert rows(url, PERHAPS_PAST) == []
    return url


def test_a_partitions_trigger_that_was_disabled_stops_it(changing: Changing) -> None:
    url = by_day(changing)
    do(url, "alter table t_all disable trigger t_v_new")
    do(url, "update t set v = 30 where v = 20")
    with pytest.raises(CommandError, match="Rows of t differ in v and v_new: trigger t_v_new was disabled"):
        changing.upgrade()
    do(url, "alter table t enable always trigger t_v_new")
    do(url, "update t set v = v")
    changing.upgrade()
    assert rows(url, "select v from t order by day") == [(10,), (30,)]


@pytest.mark.parametrize("writes", [True, False])
def test_so_does_a_partition_that_was_detached(changing: Changing, writes: bool) -> None:
    url = by_day(changing)
    replicate(url, "insert into public.t values ('2026-01-03', 30)")
    do(url, "alter table t detach partition t_all")
    if writes:
        do(url, "update t_all set v = 31 where v = 30")
    do(url, "alter table t attach partition t_all default")
    if writes:
        with pytest.raises(CommandError, match="or a partition detached, for a time"):
            changing.upgrade()
        do(url, "update t set v = v")
    changing.upgrade()
    assert rows(url, "select v from t order by day") == [(10,), (20,), (31 if writes else 30,)]


def test_a_column_may_be_called_as_a_variable_is(changing: Changing) -> None:
    changing.begin(Column("is_lost", Integer), Column("part", Integer), values=("1, 2",))
    changing.write(Column("is_lost", BigInteger), Column("part", BigInteger))
    changing.upgrade()
    assert (changing.values("is_lost"), changing.values("part")) == ([1], [2])
