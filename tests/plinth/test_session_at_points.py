"""What a session alone has, behind a point too: a revision that is resumed has another session."""
# ruff: noqa: S608 - SQL in revisions' files, made of constants

from pathlib import Path

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from tests.plinth.history import CONCURRENTLY, History, do, heads, rows

POINT = f'{CONCURRENTLY}op.execute("create table public.point ()")'
STOP = 'op.execute("select 1 / count(*) from public.pass_on")'


@pytest.fixture
def schemas(history: History, empty_engine: Engine, empty_url: URL) -> History:
    """A history with a revision, two schemas with a table `t` each, and what sets the search path."""
    history.configure('version_table_schema="public"')
    history.add("a", None, "pass")
    command.upgrade(history.config(empty_engine), "head")
    do(
        empty_url,
        "create table pass_on (); create table t (id int); create schema other; "
        "create table other.t (id int);"
        "create function goes(setting text, value text, is_local bool) returns void language plpgsql as "
        "$$ begin perform set_config(setting, value, is_local); end $$;"
        "create function goes_by_word() returns void language plpgsql as "
        "$$ begin set search_path = other, public; set a.b = 'other'; end $$",
    )
    return history


def interrupt(history: History, engine: Engine, url: URL, body: str) -> None:
    """Interrupt a revision, and go on with it."""
    history.add("b", "a", body)
    with pytest.raises(CommandError, match="goes on behind it"):
        command.upgrade(history.config(engine), "head")
    do(url, "insert into pass_on default values")
    command.upgrade(history.config(engine), "head")
    assert (heads(url), rows(url, "select from plinth.points")) == ({"b"}, [])


GO = {
    "a block": "do $$ begin set search_path = other, public; end $$",
    "a block that calls": "do $$ begin perform set_config('search_path', 'other, public', false); end $$",
    "a function": "select public.goes('search_path', 'other, public', false)",
    "its words": "select public.goes_by_word()",
    "SET": "set search_path = other, public",
    "several": "create table other.x (); set search_path = other, public",
    "a query": "select set_config('search_path', 'other, public', false)",
}


@pytest.mark.parametrize("way", GO)
@pytest.mark.parametrize("place", ["in a transaction", "outside"])
def test_where_a_session_looks_for_names_it_does_when_it_is_resumed(
    schemas: History, empty_engine: Engine, empty_url: URL, way: str, place: str
) -> None:
    go = f"op.execute({GO[way]!r})"
    first = f"{CONCURRENTLY}{go}" if place == "outside" else go
    interrupt(
        schemas, empty_engine, empty_url, f'{first}\n{POINT}\n{STOP}\nop.execute("insert into t values (1)")'
    )
    assert rows(empty_url, "select tableoid::regclass::text from other.t") == [("other.t",)]


ENDS = {
    "typed": "op.execute('commit')\n{}",
    "a block begins": "with op.get_context().autocommit_block():\n    {}",
    "a statement outside": "with op.get_context().autocommit_block():\n    op.execute('analyze t')\n    {}",
}


@pytest.mark.parametrize("end", ENDS)
def test_it_is_looked_at_as_soon_as_a_transaction_has_ended(
    schemas: History, empty_engine: Engine, empty_url: URL, end: str, tmp_path: Path
) -> None:
    stop = ENDS[end].format(f"Path('{tmp_path}/let_pass').unlink()")
    first = "op.execute(\"select public.goes('search_path', 'other, public', false)\")"
    insert = "op.execute('insert into t values (1)')"
    schemas.add("b", "a", f"from pathlib import Path\n{first}\n{stop}\n{insert}")
    with pytest.raises(FileNotFoundError):
        command.upgrade(schemas.config(empty_engine), "head")
    (tmp_path / "let_pass").touch()
    command.upgrade(schemas.config(empty_engine), "head")
    assert rows(empty_url, "select from other.t") == [()]


BACK = {
    "in a block": "do $$ begin reset search_path; end $$",
    "by a rollback": "",
    "at the end": "do $$ begin set local search_path = other; end $$",
    "at the end, in a function": "select public.goes('search_path', 'other', true)",
    "as a word": "set local search_path = other",
}


@pytest.mark.parametrize("way", BACK)
def test_a_setting_that_is_gone_behind_a_point_is_not_given_back(
    schemas: History, empty_engine: Engine, empty_url: URL, way: str
) -> None:
    first = 'op.execute("set search_path = other")\n' if way == "in a block" else ""
    if way == "by a rollback":
        first = (
            "with op.get_bind().begin_nested() as it:\n    op.execute('set search_path = other')\n"
            "    it.rollback()\n"
        )
    body = f'{first}op.execute("""{BACK[way] or "create table public.x ()"}""")\n{POINT}\n{STOP}\n'
    interrupt(schemas, empty_engine, empty_url, f'{body}op.execute("insert into t values (1)")')
    assert rows(empty_url, "select from public.t") == [()]


@pytest.mark.parametrize("way", ["goes('a.b', 'other', false)", "goes_by_word()"])
def test_a_setting_of_the_applications_own_is_given_back(
    schemas: History, empty_engine: Engine, empty_url: URL, way: str
) -> None:
    body = f'op.execute("select public.{way}")\n{POINT}\n{STOP}\n'
    insert = "op.execute(\"insert into public.t select 1 where current_setting('a.b', true) = 'other'\")"
    interrupt(schemas, empty_engine, empty_url, f"{body}{insert}")
    assert rows(empty_url, "select from public.t") == [()]


MADE = {
    "a lock": (
        "select pg_try_advisory_lock(42)",
        "insert into t select 1 from pg_locks where locktype = 'advisory' and objid = 42",
    ),
    "a shared lock of two numbers": (
        "do $$ begin perform pg_advisory_lock_shared(-1, 2); end $$",
        "insert into t select 1 from pg_locks where mode = 'ShareLock' and objid = 2 and objsubid = 2",
    ),
    "a prepared statement": (
        "do $$ begin execute 'prepare u (int) as insert into t values ($1)'; end $$",
        "execute u(1)",
    ),
    "one of several": ("create table x (); prepare u as insert into t values (1)", "execute u"),
    "a role": (
        "do $$ begin set role pg_monitor; end $$",
        "insert into t select 1 where current_user = 'pg_monitor'",
    ),
    "who has logged in": (
        "do $$ begin set session authorization pg_monitor; end $$",
        "insert into t select 1 where session_user = 'pg_monitor'",
    ),
}


@pytest.mark.parametrize("what", MADE)
def test_what_a_session_has_is_given_back(schemas: History, empty_url: URL, what: str) -> None:
    # As ours is: psycopg forgets all that is prepared when it forgets what it has prepared itself.
    engine = create_engine(empty_url, poolclass=NullPool, connect_args={"prepare_threshold": None})
    do(empty_url, "grant all on all tables in schema plinth, public to pg_monitor")
    do(empty_url, "grant usage on schema plinth to pg_monitor; grant create on schema public to pg_monitor")
    made, used = MADE[what]
    interrupt(schemas, engine, empty_url, f'op.execute("{made}")\n{POINT}\n{STOP}\nop.execute("{used}")')
    assert rows(empty_url, "select from t") == [()]


GONE = {
    "seed of random": "select setseed(0.5)",
    "table made": "do $$ begin create temp table made as select 1; end $$",
    "cursor made": "declare made cursor with hold for select 1",
    "function made": "do $$ begin execute 'create function pg_temp.made() returns int return 1'; end $$",
}


@pytest.mark.parametrize("what", GONE)
def test_what_can_not_be_given_back_is_named(
    schemas: History, empty_engine: Engine, empty_url: URL, what: str
) -> None:
    with pytest.raises(CommandError, match=f"went with that: .*{what}.*downgrade -1.*repeatable = True"):
        interrupt(schemas, empty_engine, empty_url, f'op.execute("{GONE[what]}")\n{POINT}\n{STOP}')
    command.downgrade(schemas.config(empty_engine), "-1")
    assert rows(empty_url, "select from pg_class where relname = 'point'") == []


def test_a_setting_of_which_nobody_knows_whether_it_lasts_is_named(
    schemas: History, empty_engine: Engine, empty_url: URL
) -> None:
    schemas.add("b", "a", f"op.execute({BACK['at the end, in a function']!r})\n{POINT}\n{STOP}")
    with pytest.raises(CommandError, match="goes on behind it"):
        command.upgrade(schemas.config(empty_engine), "head")
    noted = '{"session": {"setting search_path": "other"}, "unsettled": ["setting search_path"]}'
    do(empty_url, f"update plinth.points set result = result || '{noted}'")  # as before that was looked at
    with pytest.raises(
        CommandError, match=r"transaction alone isn't known: setting search_path\..*downgrade"
    ):
        command.upgrade(schemas.config(empty_engine), "head")


@pytest.mark.parametrize("first", [POINT, "pass"])
def test_what_a_failed_attempt_has_set_is_gone_when_it_is_tried_again(
    schemas: History, empty_engine: Engine, empty_url: URL, first: str
) -> None:
    body = (
        "with op.get_context().autocommit_block():\n"
        "    if not tried:\n"
        "        tried.append(1)\n"
        '        op.execute("set search_path = other")\n'
        '        op.execute("do $$ begin raise lock_not_available; end $$")\n'
        'op.execute("insert into t values (1)")'
    )
    schemas.add("b", "a", f"{first}\n{body}", extra="tried = []")
    command.upgrade(schemas.config(empty_engine), "head")
    assert rows(empty_url, "select from public.t") == [()]
