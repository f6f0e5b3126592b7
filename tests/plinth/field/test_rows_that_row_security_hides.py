"""A revision that changes rows changes all of them, or stops: none is passed over for a policy hides it."""

import contextlib
import io
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Column, Engine, Enum, Integer, Numeric, Text
from sqlalchemy.engine import URL

from tests.plinth.field.changing import Changing
from tests.plinth.history import CONCURRENTLY, History, acting_as, do, psql, rows

TABLE = "op.execute('create table t (id int primary key, tenant int, v int)')"
FORCED = """
    create policy of_tenants on t using (tenant = current_setting('app.tenant', true)::int);
    alter table t enable row level security, force row level security;
    """
EXECUTE = "op.execute({!r})"
UPDATES = {
    "plainly": EXECUTE.format("update t set v = id"),
    "in a block": CONCURRENTLY + EXECUTE.format("update t set v = id"),
    "into a key": EXECUTE.format("alter table t add foreign key (v) references t"),
    "by a look first": "for each in op.get_bind().execute(sa.text('select id from t')).scalars():\n"
    "    op.execute(f'update t set v = {each} where id = {each}')",
    "into another table": "op.execute('create table copy as select * from t')\nop.execute('drop table t')",
}
SEES = "query would be affected by row-level security policy for table .t.*BYPASSRLS"


@pytest.fixture
def owner(empty_url: URL) -> Iterator[Engine]:
    """An engine whose sessions own all in the database, and are no superuser's."""
    role = f"owner_{secrets.token_hex(4)}"
    do(empty_url, f"create role {role}; grant create on schema public to {role}")
    do(empty_url, f'grant create on database "{empty_url.database}" to {role}')
    yield acting_as(role, empty_url)
    do(empty_url, f"reassign owned by {role} to current_user; drop owned by {role}; drop role {role}")


@pytest.fixture
def hidden(history: History, owner: Engine, empty_url: URL) -> History:
    """A history whose table has rows that its owner doesn't see; no revision knows it."""
    history.add("a", None, TABLE)
    command.upgrade(history.config(owner), "head")
    do(empty_url, "insert into t values (1, 1, null), (2, 2, null)")
    do(empty_url, FORCED)
    return history


@pytest.mark.parametrize("way", UPDATES)
def test_a_revision_stops(way: str, hidden: History, owner: Engine, empty_url: URL) -> None:
    hidden.add("b", "a", UPDATES[way])
    with pytest.raises(CommandError, match=SEES):
        command.upgrade(hidden.config(owner), "head")
    assert rows(empty_url, "select v from t") == [(None,), (None,)]


def test_it_stops_in_a_callers_transaction_whose_setting_is_put_back(
    hidden: History, owner: Engine, empty_url: URL
) -> None:
    hidden.add("b", "a", "op.execute('create table u ()')")
    hidden.add("c", "b", UPDATES["plainly"])
    with owner.begin() as connection:
        config = hidden.config(connection)
        command.upgrade(config, "b")
        assert connection.exec_driver_sql("show row_security").scalar() == "on"
    with owner.connect() as connection, connection.begin(), pytest.raises(Exception, match=SEES[:40]):
        command.upgrade(hidden.config(connection), "c")
    assert rows(empty_url, "select v from t") == [(None,), (None,)]


def test_printed_sql_stops_too(hidden: History, owner: Engine, empty_url: URL) -> None:
    hidden.add("b", "a", UPDATES["in a block"])
    config = hidden.config(owner)
    config.output_buffer = io.StringIO()
    command.upgrade(config, "a:b", sql=True)
    printed = config.output_buffer.getvalue()
    assert printed.index("SET row_security = off") < printed.index("update t")


def test_one_that_means_the_rows_which_it_sees_says_so(
    hidden: History, owner: Engine, empty_url: URL
) -> None:
    hidden.add(
        "b",
        "a",
        "op.execute('set local row_security = on')\nop.execute('set local app.tenant = 2')\n"
        "op.execute('update t set v = id')",
    )
    command.upgrade(hidden.config(owner), "head")
    assert rows(empty_url, "select v from t order by id") == [(None,), (2,)]


@pytest.mark.parametrize(
    ("name", "info"),
    [("w", {"renamed_from": "v", "keep_old": True}), ("w", {"backfill": "v"})],
    ids=["renamed", "filled"],
)
def test_what_autogenerate_wrote_loses_nothing(
    name: str, info: dict[str, object], changing: Changing, owner: Engine, empty_url: URL
) -> None:
    old = Column("v", Integer)
    changing.begin(Column("tenant", Integer), old, values=("1, 10", "2, 20"))
    kept = [] if "keep_old" in info else [Column("v", Integer)]
    changing.write(Column("tenant", Integer), *kept, Column(name, Integer, info=info))
    role = owner.connect().exec_driver_sql("select current_user").scalar_one()
    with psql(empty_url) as connection:
        connection.execute(f"alter table t owner to {role}".encode())
        connection.execute(f"grant all on all tables in schema public, plinth to {role}".encode())
        connection.execute(f"grant all on all sequences in schema plinth to {role}".encode())
        connection.execute(f"grant all on schema plinth to {role}".encode())
    do(empty_url, FORCED)
    with pytest.raises(CommandError, match=SEES):
        command.upgrade(changing.history.config(owner), "head")
    assert rows(empty_url, "select v from t order by id") == [(10,), (20,)]


def of_enum(*values: str) -> "Column[str]":
    return Column("v", Enum(*values, name="en"))


QUESTIONS: dict[str, tuple[Column[Any], str, Column[Any]]] = {
    "required": (Column("v", Integer), "null", Column("v", Integer, nullable=False)),
    "an enum's value": (of_enum("a", "b"), "'b'", of_enum("a")),
    "cut": (Column("v", Numeric(5, 2)), "1.25", Column("v", Numeric(5, 1))),
    "labels": (Column("v", Text), "'c'", of_enum("a", "b")),
    "an expression": (Column("v", Text), "'c'", Column("v", Integer, info={"using": "v::int"})),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_autogenerate_says_that_it_does_not_see_all_rows(
    question: str, changing: Changing, owner: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    old, value, new = QUESTIONS[question]
    changing.begin(Column("tenant", Integer), old, values=(f"1, {value}",))
    role = owner.connect().exec_driver_sql("select current_user").scalar_one()
    do(
        empty_url,
        f"alter table t owner to {role}; grant select on all tables in schema public, plinth to {role}",
    )
    do(empty_url, f"grant usage on schema plinth to {role}; {FORCED}")
    config = changing.config(Column("tenant", Integer), new, x=("online=no", "prove=no"))
    config.attributes["connection"] = owner
    refusal = pytest.raises(CommandError, match="whether a row here has such a value can't be seen")
    with refusal if question == "cut" else contextlib.nullcontext():
        command.revision(config, "change the shop", autogenerate=True)
    assert "can't see all rows of t" in caplog.text
