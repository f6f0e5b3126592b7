"""What happens to a table while a new one, which takes its place, is kept equal: it stops, or goes over."""

import secrets

import psycopg
import pytest
import sqlalchemy as sa
from alembic.util import CommandError
from sqlalchemy import Engine

from plinth.listening import listening
from tests.plinth.field.changing import Changing
from tests.plinth.history import do, psql, rows
from tests.plinth.interruptions import Interrupted
from tests.plinth.judge import dump


def generated(expression: str | None) -> "tuple[sa.Column[int], ...]":
    """Return the columns of `t`, of which one is generated."""
    twice = [sa.Column("twice", sa.Integer, sa.Computed(expression, persisted=True))] if expression else []
    return sa.Column("v", sa.Integer), *twice


@pytest.fixture
def stopped(changing: Changing) -> Changing:
    """A table of three rows whose new one is filled, and doesn't have the name yet."""
    changing.begin(*generated("v * 2"))
    do(changing.engine.url, "insert into t (id, v) select n, n from generate_series(1, 3) n")
    changing.write(*generated("v * 3"), x=("prove=no",))
    changing.stop_before("LOCK TABLE t")
    return changing


def test_what_replication_writes_is_kept_equal(stopped: Changing) -> None:
    url = stopped.engine.url
    with psql(url) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("set search_path = ''")
        connection.execute("update public.t set v = 7 where id = 2")
        connection.execute("update public.t set id = 4 where id = 3")
        connection.execute("delete from public.t where id = 1")
    stopped.upgrade()
    assert rows(url, "select * from t order by id") == [(2, 7, 21), (4, 3, 9)]


def test_what_was_emptied_is_empty(stopped: Changing) -> None:
    url = stopped.engine.url
    do(url, "truncate t; insert into t (id, v) values (3, 8)")
    stopped.upgrade()
    assert rows(url, "select * from t") == [(3, 8, 24)]


PAST = {
    "changed": "update t set v = 9 where id = 2",
    "deleted": "delete from t where id = 2",
    "inserted": "insert into t (id, v) values (4, 4)",
    "changed key": "update t set id = 5 where id = 2",
}


@pytest.mark.parametrize("past", PAST)
@pytest.mark.parametrize("enabled", ["", "enable trigger all", "enable always trigger t_kept"])
def test_what_was_written_past_the_trigger_stops_it(stopped: Changing, past: str, enabled: str) -> None:
    url = stopped.engine.url
    do(url, f"alter table t disable trigger all; {PAST[past]}")
    if enabled:
        do(url, f"alter table t {enabled}")
    expected = rows(url, "select id, v, v * 3 from t order by id")
    with pytest.raises(CommandError, match="Rows of t and of t_new, which takes its place, differ") as said:
        stopped.upgrade()
    assert [row[:2] for row in rows(url, "select * from t order by id")] == [row[:2] for row in expected]
    do(url, str(said.value).partition("for a time. ")[2].partition(" CONTEXT")[0])
    stopped.upgrade()
    assert rows(url, "select * from t order by id") == expected


def test_rows_that_were_written_past_it_are_missed_before_the_exchange(changing: Changing) -> None:
    url = changing.engine.url
    changing.begin(*generated(None))
    do(url, "insert into t (id, v) select n, n from generate_series(1, 3) n")
    changing.write(*generated("v * 3"), x=("prove=no",))
    changing.stop_before("LOCK TABLE t")
    do(url, "delete from t_new where id = 2")  # by hand
    do(url, "alter table t disable trigger t_kept; alter table t enable always trigger t_kept")
    with pytest.raises(CommandError, match="Rows of t and of t_new"):
        changing.upgrade()
    changing.downgrade("-1")
    assert rows(url, "select * from t order by id") == [(1, 1), (2, 2), (3, 3)]
    assert rows(url, "select relname from pg_class where relname like 't\\_%' and relkind = 'r'") == []


BY_HAND = {
    "index ix": "create index ix on t (v)",
    "constraint above": "alter table t add constraint above check (v > 0) not valid",
    "column more": "alter table t add more int",
    "constraint fk": "create table u (t_id int constraint fk references t)",
    "publication all_of_them": "create publication all_of_them for all tables",
    "table heir": "create table heir () inherits (t)",
}


@pytest.mark.parametrize("named", BY_HAND)
def test_what_no_revision_knows_stops_it_before_anything_is_made(changing: Changing, named: str) -> None:
    url = changing.engine.url
    changing.begin(*generated(None))
    changing.write(*generated("v * 3"), x=("prove=no",))
    do(url, BY_HAND[named])
    with pytest.raises(CommandError, match=f"{named}.* stands on t, or differs there, and no revision knows"):
        changing.upgrade()
    assert rows(url, "select to_regclass('t_new') is null") == [(True,)]


GOES_OVER = (
    "alter table t alter v set default 7, alter v set (n_distinct = -1), alter v set statistics 300",
    "alter table t alter name set storage external, alter name set compression pglz",
    "alter table t set (fillfactor = 70, toast.autovacuum_enabled = false)",
    "alter table t replica identity full, force row level security",
    "comment on table t is 'it''s'; comment on column t.v is 'v'",
    "create sequence numbers owned by t.v",
    "create role {role}; alter table t owner to {role}; grant select on t to public",
    "grant update (v), select (v) on t to pg_monitor with grant option",
    "create publication p for table t (id, v) where (id > 1)",
    "create role {role}_reader; alter default privileges grant select on tables to {role}_reader",
)


def test_what_a_database_says_of_the_table_by_itself_goes_over(
    changing: Changing, caplog: pytest.LogCaptureFixture
) -> None:
    url = changing.engine.url
    role = f"plinth_{secrets.token_hex(4)}"
    changing.begin(sa.Column("v", sa.Integer), sa.Column("name", sa.Text))
    changing.write(*generated("v * 3"), sa.Column("name", sa.Text), x=("prove=no",))
    try:
        for each in GOES_OVER:
            do(url, each.format(role=role))
        may = (
            "select relacl, attname, attacl from pg_class c join pg_attribute a on attrelid = c.oid "
            "where relname = 't' and attname in ('id', 'v') order by 2"
        )
        do(url, "insert into t (id, v) values (1, 1), (2, 2)")
        before = dump(url), rows(url, may)
        changing.upgrade()
        changing.downgrade("-1")
        assert (
            dump(url),
            rows(url, may),
        ) == before
        assert "This drops" not in caplog.text  # its rows are in the new one
    finally:
        for each in (role, f"{role}_reader"):
            do(
                url,
                f"do $$ begin if to_regrole('{each}') is not null then "
                f"drop owned by {each} cascade; drop role {each}; end if; end $$",
            )


SNAPSHOTS = {
    "changes": "update t set v = 9 where id = 2",
    "deletes": "delete from t where id = 2",
    "changes the key": "update t set id = 5 where id = 2",
}


@pytest.mark.parametrize("what", SNAPSHOTS)
def test_a_transaction_that_saw_the_row_before_it_was_copied_leaves_no_copy_as_it_was(
    changing: Changing, what: str
) -> None:
    url = changing.engine.url
    changing.begin(*generated(None))
    do(url, "insert into t (id, v) select n, n from generate_series(1, 3) n")
    changing.write(*generated("v * 3"), x=("prove=no",))

    def stop(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "FOR NO KEY UPDATE" in statement:
            raise Interrupted

    with listening((Engine, "before_cursor_execute", stop)), pytest.raises(CommandError, match="Interrupted"):
        changing.upgrade()
    with psql(url, autocommit=False) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("select count(*) from pg_class")
        do(url, "insert into t_new (id, v) select id, v from t")  # as the batches do
        with pytest.raises(psycopg.errors.SerializationFailure):
            connection.execute(SNAPSHOTS[what].encode())
        connection.rollback()
        connection.execute(SNAPSHOTS[what].encode())
        connection.commit()
    changing.upgrade()
    expected = rows(url, "select id, v, v * 3 from t order by id")
    assert rows(url, "select * from t order by id") == expected
