"""What was granted on objects that change is granted on them afterwards, or the change is refused by name."""
# ruff: noqa: S608 - SQL made of constants

import argparse
import re
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import Engine, MetaData
from sqlalchemy.engine import URL

from plinth.listening import listening
from tests.plinth.history import History, clear, do, rows
from tests.plinth.kinds.kind import NAMING_CONVENTION, also
from tests.plinth.project import Project

READER = f"plinth_test_reader_{secrets.token_hex(4)}"
GRANTED = f"""
    select format('%s %s', kind, name), string_agg(privilege_type, ',' order by privilege_type)
    from (
        select 'relation' kind, relname::text name, relacl acl from pg_class
        union all select 'function', proname, proacl from pg_proc
        union all select 'type', typname, typacl from pg_type
        union all select 'schema', nspname, nspacl from pg_namespace
        union all select 'column', relname || '.' || attname, attacl
        from pg_attribute join pg_class c on c.oid = attrelid
        union all select 'public', typname, typacl from pg_type where typname = 'mood'
    ) each, aclexplode(acl)
    where grantee = case kind when 'public' then 0 else '{READER}'::regrole::oid end
    group by kind, name order by 1
    """
TO_PUBLIC = 'op.execute("set local search_path to public")'
GRANTS = f"""
    grant select, insert, update on t to {READER};
    grant usage on sequence t_id_seq to {READER};
    grant select on few, counted to {READER};
    revoke all on type mood from public;
    grant usage on type mood to {READER};
    grant select (same) on few to {READER} with grant option;
    grant execute on function twice(int) to {READER};
    """
TWICE = "create function twice(n int) returns int language sql as 'select {} * n'"
FEW = "create view few as select {} from t where id < 10"
COUNTED = "create materialized view counted as select {} from t"


def models(*, new: bool) -> MetaData:
    """Return a table, an enum, views and a function, before or after all of them have changed."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    moods = ("well", "ill") if new else ("well", "so so", "ill")
    table = sa.Table(
        "t",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("n", sa.BigInteger if new else sa.Integer, nullable=False, index=True),
        sa.Column("mood", sa.Enum(*moods, name="mood"), server_default="well", nullable=False),
        *([sa.Column("more", sa.Text, nullable=False, info={"backfill": "'x'"})] if new else []),
        sa.CheckConstraint("n > 1" if new else "n > 0", name="positive"),
    )
    also(table, TWICE.format(2 if new else 1))
    also(table, FEW.format("1 as same, id" if new else "id, id as same"))
    also(table, COUNTED.format("count(*) + 0" if new else "count(*)"))
    return metadata


@pytest.fixture
def granted(project: Project, empty_engine: Engine) -> Iterator[History]:
    """The objects, made by a revision, with a role's privileges."""
    found = clear(project)
    write(found, empty_engine, models(new=False))
    command.upgrade(found.config(empty_engine), "head")
    do(empty_engine.url, f"drop role if exists {READER}; create role {READER}")
    do(empty_engine.url, GRANTS)
    do(empty_engine.url, "insert into t (n) select n from generate_series(2, 50) n")
    yield found
    away = f"reassign owned by {READER} to current_user; drop owned by {READER}; drop role {READER}"
    do(empty_engine.url, away)


def write(history: History, engine: Engine, metadata: MetaData, *x: str) -> None:
    """Let autogenerate write revisions."""
    config = history.config(engine)
    config.attributes["target_metadata"] = metadata
    config.cmd_opts = argparse.Namespace(x=list(x))
    command.revision(config, "let t be otherwise", autogenerate=True)


@pytest.mark.slow
@pytest.mark.parametrize("x", [[], ["online=no"]], ids=["online", "in one revision"])
def test_what_was_granted_is_granted_afterwards(granted: History, empty_engine: Engine, x: list[str]) -> None:
    before: list[tuple[Any, ...]] = rows(empty_engine.url, GRANTED)
    assert len(before) == 7
    write(granted, empty_engine, models(new=True), *x)
    command.upgrade(granted.config(empty_engine), "head")
    assert rows(empty_engine.url, GRANTED) == before
    command.downgrade(granted.config(empty_engine), "-2" if not x else "-1")
    assert rows(empty_engine.url, GRANTED) == before


OWNED = f"""
    select relname::text from pg_class where relowner = '{READER}'::regrole
    union select proname from pg_proc where proowner = '{READER}'::regrole
    union select typname from pg_type where typowner = '{READER}'::regrole and typtype = 'e' order by 1
    """
GIVEN = f"""
    grant create on schema public to {READER};
    alter view few owner to {READER}; alter materialized view counted owner to {READER};
    alter function twice owner to {READER}; alter type mood owner to {READER};
    grant select on few, counted to postgres;
    """
OF_THE_ROLE_THAT_MIGRATES = """
    select relname::text, privilege_type from pg_class, aclexplode(relacl)
    where relname in ('few', 'counted') and grantee = 'postgres'::regrole order by 1, 2
    """


@pytest.mark.parametrize("x", [[], ["online=no"]], ids=["online", "in one revision"])
def test_what_is_made_anew_belongs_to_whom_it_did(
    granted: History, empty_engine: Engine, x: list[str]
) -> None:
    """A view reads with the privileges of its owner."""
    do(empty_engine.url, GIVEN)
    owned = [("counted",), ("few",), ("mood",), ("twice",)]
    assert rows(empty_engine.url, OWNED) == owned
    may = rows(empty_engine.url, OF_THE_ROLE_THAT_MIGRATES)
    assert may == [("counted", "SELECT"), ("few", "SELECT")]
    write(granted, empty_engine, models(new=True), *x)
    command.upgrade(granted.config(empty_engine), "head")
    assert rows(empty_engine.url, OWNED) == owned
    assert rows(empty_engine.url, OF_THE_ROLE_THAT_MIGRATES) == may
    command.downgrade(granted.config(empty_engine), "-2" if not x else "-1")
    assert rows(empty_engine.url, OWNED) == owned


ON_COLUMN = (
    f"grant select (n), update (n) on t to {READER} with grant option; grant insert (n) on t to public"
)
OF_COLUMN = """
    select grantee = 0, privilege_type, is_grantable
    from pg_attribute, aclexplode(attacl) where attrelid = 't'::regclass and attname = 'n' order by 1, 2
    """


@pytest.mark.parametrize("known", [True, False], ids=["where it is written", "where it is applied"])
def test_a_column_that_takes_over_a_name_gets_what_was_granted_on_the_old_one(
    granted: History, empty_engine: Engine, known: bool
) -> None:
    url = empty_engine.url
    if known:
        do(url, ON_COLUMN)
    write(granted, empty_engine, models(new=True))
    if not known:
        do(url, ON_COLUMN)
    before = rows(url, OF_COLUMN)
    assert len(before) == 3
    command.upgrade(granted.config(empty_engine), "+1")
    assert rows(url, "select pg_typeof(n)::text, count(*) from t group by 1") == [("bigint", 49)]
    assert rows(url, OF_COLUMN) == before
    command.upgrade(granted.config(empty_engine), "head")
    assert rows(url, OF_COLUMN) == before
    command.downgrade(granted.config(empty_engine), "-2")
    assert rows(url, OF_COLUMN) == before


def test_a_file_that_is_printed_says_so_itself(granted: History, empty_engine: Engine) -> None:
    url = empty_engine.url
    do(url, ON_COLUMN)
    before = rows(url, OF_COLUMN)
    write(granted, empty_engine, models(new=True))
    files = [file for file in granted.folder.glob("versions/*.py") if "GRANT %s (%I)" in file.read_text()]
    assert len(files) == 1
    # The statement alone, as psql would run it.
    [found] = re.findall(r"DO \$\$ DECLARE said text;.*?END \$\$", files[0].read_text(), re.DOTALL)[:1]
    do(url, "alter table t add n_new int")
    do(url, found)
    new = rows(url, OF_COLUMN.replace("'n'", "'n_new'"))
    assert new == before


@pytest.fixture
def reader(two: History, empty_url: URL) -> Iterator[str]:
    """A role that may read the first of two tables, and not the second one."""
    do(empty_url, f"create role {READER}; grant select on t_a to {READER}")
    yield READER
    do(empty_url, f"drop owned by {READER}; drop role {READER}")


@pytest.fixture
def two(history: History, empty_engine: Engine) -> History:
    """A history with two tables, applied."""
    history.tables("a", "b")
    command.upgrade(history.config(empty_engine), "head")
    return history


MAY = "select has_table_privilege('{}', 't_a', 'select'), has_table_privilege('{}', 't_b', 'select')"


def test_tables_that_exchange_their_names_keep_their_own(
    two: History, reader: str, empty_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    names = (("t_a", "aside"), ("t_b", "t_a"), ("aside", "t_b"))
    two.add("c", "b", "\n".join(f'op.rename_table("{old}", "{new}")' for old, new in names))
    command.upgrade(two.config(empty_engine), "head")
    assert rows(empty_engine.url, MAY.format(reader, reader)) == [(False, True)]
    assert f"should have them too: GRANT SELECT ON public.t_a TO {reader}" in caplog.text


def test_a_table_that_is_built_anew_by_hand_gets_them(
    two: History, reader: str, empty_engine: Engine
) -> None:
    by_hand = (
        "create table t_new (id int primary key)",
        "drop table t_a",
        "alter table t_new rename to t_a",
    )
    two.add("c", "b", "\n".join(f'op.execute("{each}")' for each in by_hand))
    command.upgrade(two.config(empty_engine), "head")
    assert rows(empty_engine.url, MAY.format(reader, reader)) == [(True, False)]


def test_a_table_that_is_built_anew_belongs_to_whom_it_did_unless_the_revision_says_otherwise(
    two: History, reader: str, empty_engine: Engine
) -> None:
    by_hand = ["drop table t_a", "create table t_a (id serial primary key)"]
    owner = (
        "select relname::text, relowner::regrole::text from pg_class where relname like 't\\_a%' order by 1"
    )
    do(empty_engine.url, "drop table t_a; create table t_a (id serial primary key)")
    do(empty_engine.url, f"grant create on schema public to {reader}; alter table t_a owner to {reader}")
    two.add("c", "b", "\n".join(f'op.execute("{each}")' for each in by_hand))
    command.upgrade(two.config(empty_engine), "head")
    theirs = [("t_a", reader), ("t_a_id_seq", reader), ("t_a_pkey", reader)]
    assert rows(empty_engine.url, owner) == theirs
    for name, below, said in (
        ("d", "c", "alter table t_a owner to postgres"),
        ("e", "d", f"reassign owned by {reader} to postgres"),
    ):
        do(empty_engine.url, f"alter table t_a owner to {reader}")
        two.add(name, below, "\n".join(f'op.execute("{each}")' for each in [*by_hand, said]))
        command.upgrade(two.config(empty_engine), "head")
        assert {role for _, role in rows(empty_engine.url, owner)} == {"postgres"}


@pytest.mark.parametrize(
    ("named", "may"),
    [("t_a", False), ('"t_a"', False), ("public.T_A", False), ("t_a_old", True), ('"T_A"', True)],
)
def test_what_the_revision_revokes_stays_revoked(
    two: History, reader: str, empty_engine: Engine, named: str, may: bool
) -> None:
    do(empty_engine.url, 'create table t_a_old (); create table "T_A" ()')
    by_hand = ("drop table t_a", "create table t_a (id int)", f"revoke all on {named} from {reader}")
    two.add("c", "b", "\n".join(f"op.execute({each!r})" for each in by_hand))
    command.upgrade(two.config(empty_engine), "head")
    assert rows(empty_engine.url, MAY.format(reader, reader)) == [(may, False)]


@pytest.mark.parametrize(
    ("then", "may"),
    [
        ("-- revoke all on t_a from {}", True),
        (
            "; comment on table t_a is 'revoke all on t_a; owner to' /* /* */ ; revoke all on t_a from {} */",
            True,
        ),
        ('; Revoke /* x */ all on public -- y\n . "t_a" from {}', False),
        ("; do 'begin execute format($$revoke all on %I from {}$$, $$t_a$$); end'", False),
    ],
)
def test_what_is_revoked_is_told_by_statements(
    two: History, reader: str, empty_engine: Engine, then: str, may: bool
) -> None:
    text = f"drop table t_a; create table t_a (id int) {then.format(reader)}"
    two.add("c", "b", f"op.execute({text!r})")
    command.upgrade(two.config(empty_engine), "head")
    assert rows(empty_engine.url, MAY.format(reader, reader)) == [(may, False)]


def test_a_role_that_goes_or_is_renamed_is_not_missed(
    history: History, empty_engine: Engine, empty_url: URL, roles: tuple[str, str]
) -> None:
    goes, stays = roles
    do(empty_url, "create table t (a int); create view v as select a from t")
    do(empty_url, f"grant select on v to {goes}, {stays}; alter view v owner to {goes}")
    history.add(
        "a",
        None,
        "op.execute('drop view v; create view v as select a, 1 as b from t')\n"
        f"op.execute('drop owned by {goes}; drop role {goes}; alter role {stays} rename to {stays}_later')",
    )
    command.upgrade(history.config(empty_engine), "head")
    assert rows(empty_url, f"select has_table_privilege('{stays}_later', 'v', 'select')") == [(True,)]


@pytest.fixture
def roles(empty_url: URL) -> Iterator[tuple[str, str]]:
    """The names of two roles, of which none need be there in the end."""
    names = f"role_{secrets.token_hex(4)}", f"role_{secrets.token_hex(4)}"
    for name in names:
        do(empty_url, f"create role {name}")
    yield names
    for (name,) in rows(empty_url, "select rolname from pg_roles where rolname like 'role\\_%'"):
        if name.startswith(names):
            do(empty_url, f"drop owned by {name}; drop role {name}")


def test_each_tenants_view_keeps_what_was_granted_on_it(
    two: History, reader: str, empty_engine: Engine
) -> None:
    """The search path isn't the same when they are dropped and when the transaction ends."""
    for tenant in ("t1", "t2", "t3"):
        do(empty_engine.url, f"create schema {tenant}; create view {tenant}.v as select 1 as id")
        do(empty_engine.url, f"create type {tenant}.e as enum ('a'); create domain {tenant}.d as int")
        do(empty_engine.url, f"create function {tenant}.f({tenant}.d, int) returns int return 1")
    do(empty_engine.url, f"grant select on t1.v, t3.v to {reader}; grant usage on type t1.e to {reader}")
    do(
        empty_engine.url,
        f"revoke all on function t1.f from public; grant execute on function t1.f to {reader}",
    )
    anew = """
for tenant in ("t1", "t2", "t3"):
    op.execute(f"set local search_path to {tenant}, public")
    op.execute("drop view v; drop type e; drop function f")
    op.execute("create view v as select 1 as id, 2 as n; create type e as enum ('b')")
    op.execute("create function f(d, int) returns int return 2")
"""
    two.add("c", "b", f'{anew}op.execute("revoke select on v from {reader}")\n{TO_PUBLIC}')
    command.upgrade(two.config(empty_engine), "head")
    of_views = "select nspname::text from pg_class c join pg_namespace n on n.oid = relnamespace"
    may = f"{of_views} where relname = 'v' and has_table_privilege('{reader}', c.oid, 'select')"
    assert rows(empty_engine.url, may) == [("t1",)]
    of_types = "select nspname::text from pg_type t join pg_namespace n on n.oid = typnamespace"
    named = "where typname = 'e' and typacl::text like '%reader%'"
    assert rows(empty_engine.url, f"{of_types} {named}") == [("t1",)]
    of_functions = "select nspname::text from pg_proc p join pg_namespace n on n.oid = pronamespace"
    closed = "where proname = 'f' and not has_function_privilege('public', p.oid, 'execute')"
    assert rows(empty_engine.url, f"{of_functions} {closed}") == [("t1",)]


def test_what_is_revoked_of_a_table_with_a_percent_sign_stays_revoked(
    two: History, reader: str, empty_engine: Engine
) -> None:
    do(empty_engine.url, f'create table "50%" (); grant select on "50%" to {reader}')
    by_hand = ('drop table "50%"', 'create table "50%" ()', f'revoke all on "50%" from {reader}')
    two.add("c", "b", "\n".join(f"op.execute({each!r})" for each in by_hand))
    command.upgrade(two.config(empty_engine), "head")
    assert rows(empty_engine.url, f"select has_table_privilege('{reader}', '\"50%\"', 'select')") == [
        (False,)
    ]


def test_what_is_granted_and_revoked_meanwhile_counts(
    two: History, empty_engine: Engine, empty_url: URL, roles: tuple[str, str]
) -> None:
    """Somebody says who may use a view between two transactions that make it anew."""
    old, new = roles
    do(
        empty_url,
        f"create view v as select 1 as n; grant select on v, t_a to {old}; grant select (id) on t_b to {old}",
    )
    anew = """
op.execute("drop view v; create view v as select {} as n")
op.execute("alter table t_b rename id to id_old; alter table t_b add id int")
op.execute("alter table t_b drop id_old")
"""
    between = "with op.get_context().autocommit_block():\n    op.execute('select /* between */')"
    two.add("c", "b", anew.format(2) + between + anew.format(3))

    def meanwhile(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        if "between" in statement:
            do(
                empty_url,
                f"revoke all on v from {old}; grant select on v to {new}; revoke all (id) on t_b from {old}",
            )

    with listening((Engine, "before_cursor_execute", meanwhile)):
        command.upgrade(two.config(empty_engine), "head")
    may = "select has_table_privilege({0}, 'v', 'select'), has_column_privilege({0}, 't_b', 'id', 'select')"
    assert rows(empty_url, may.format(f"'{old}'")) == [(False, False)]
    assert rows(empty_url, may.format(f"'{new}'")) == [(True, False)]
    assert rows(empty_url, "select n from v") == [(3,)]
