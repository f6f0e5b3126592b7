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
from sqlalchemy.pool import NullPool

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
            do(empty_url, f"reassign owned by {name} to current_user; drop owned by {name}; drop role {name}")


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


ACL = """
    select grantee::regrole::text, string_agg(privilege_type, ',' order by privilege_type)
    from pg_class, aclexplode(relacl) where oid = 'v'::regclass and grantee <> relowner group by 1 order by 1
    """


@pytest.mark.parametrize(
    "words",
    [
        ("grant select on v to public", [("-", "SELECT"), ("old", "INSERT,SELECT")]),
        ("grant update on v to new", [("new", "UPDATE"), ("old", "INSERT,SELECT")]),
        ("revoke insert on v from old", [("old", "SELECT")]),
        ("revoke all on v from new, public", [("old", "INSERT,SELECT")]),
        ("revoke all on v from old; grant select on v to old", [("old", "SELECT")]),
        ("revoke insert on all tables in schema public from old", [("old", "SELECT")]),
        ("do 'begin if true then revoke select on v from old; end if; end'", [("old", "INSERT")]),
        ("drop owned by old", []),
        ("do $$ begin execute format('revoke insert on %I from new', 'v'); end $$", []),
    ],
)
def test_what_the_revision_says_itself_holds_and_nothing_else_changes(
    two: History,
    empty_engine: Engine,
    roles: tuple[str, str],
    caplog: pytest.LogCaptureFixture,
    words: tuple[str, list[tuple[str, str]]],
) -> None:
    url, (old, new), (said, has) = empty_engine.url, roles, words
    names = {"old": old, "new": new, "-": "-"}
    do(url, f"create view v as select 1 as n; grant select, insert on v to {old}")
    said = re.sub(r"\b(old|new)\b", lambda it: names[it[0]], said)
    two.add("c", "b", f'op.execute("drop view v; create view v as select 2 as n")\nop.execute("""{said}""")')
    command.upgrade(two.config(empty_engine), "head")
    assert rows(url, ACL) == sorted((names[role], may) for role, may in has)
    is_told = "public.v is made anew, and the revision may have revoked what was granted on it" in caplog.text
    assert is_told is ("format" in said)
    assert f"If not: GRANT INSERT, SELECT ON public.v TO {old}" in caplog.text or not is_told


BY_DEFAULT = """
    alter default privileges grant select, insert on tables to {0};
    alter default privileges in schema public grant update on tables to {0};
    alter default privileges grant execute on functions to {0};
    alter default privileges grant usage on types to {0}
    """


def test_what_is_closed_stays_closed_whatever_is_granted_by_default(
    two: History, empty_url: URL, roles: tuple[str, str], empty_engine: Engine
) -> None:
    """Of one view nobody has granted anything; the other one is granted to everybody but this role."""
    reader, other = roles
    make = """
        create view v as select {0} as n; create view w as select {0} as n;
        create view said as select {0} as n;
        create function f() returns int return {0}; create type e as enum ('{0}'); create table s (id serial)
        """
    do(empty_url, f"{make.format(1)}; grant select on w to {other}; revoke all on function f from public")
    granted = """
        select 'view ' || relname, grantee::regrole::text, privilege_type
        from pg_class left join aclexplode(relacl) on grantee <> relowner
        where relname in ('v', 'w', 's', 'said')
        union all select 'function', grantee::regrole::text, privilege_type
        from pg_proc left join aclexplode(proacl) on grantee <> proowner where proname = 'f'
        union all select 'type', grantee::regrole::text, privilege_type
        from pg_type left join aclexplode(coalesce(typacl, acldefault('T', typowner))) on grantee <> typowner
        where typname = 'e' order by 1, 2, 3
        """
    before = rows(empty_url, granted)
    do(empty_url, BY_DEFAULT.format(reader))
    two.add(
        "c",
        "b",
        f'''op.execute("drop view v, w, said; drop function f; drop type e; drop table s")
op.execute("""{make.format(2)}""")
op.execute("grant select on said to {reader}")''',
    )
    command.upgrade(two.config(empty_engine), "head")
    may = [each for each in before if each[0] != "view said"]
    assert rows(empty_url, granted) == sorted([*may, ("view said", reader, "SELECT")])


def test_an_owner_whose_privileges_the_role_that_migrates_has_not_gets_it_back(
    history: History, empty_url: URL, roles: tuple[str, str]
) -> None:
    """It may only let the view belong to the other role (INHERIT FALSE, SET TRUE)."""
    mine, other = roles
    do(
        empty_url,
        f"create role {other}_reader; grant {other} to {mine} with inherit false, set true;"
        f'grant all on database "{empty_url.database}" to {mine};'
        f"alter schema public owner to {mine}; grant create, usage on schema public to {other}",
    )
    engine = sa.create_engine(empty_url, poolclass=NullPool, connect_args={"options": f"-c role={mine}"})
    history.add("a", None, 'op.execute("create view v as select 1 as n")')
    history.add("b", "a", 'op.execute("drop view v; create view v as select 2 as n")')
    command.upgrade(history.config(engine), "a")
    do(
        empty_url,
        f"alter view v owner to {other}; grant select on v to {other}_reader, {mine}",
    )
    owner = "select relowner::regrole::text from pg_class where oid = 'v'::regclass"
    before = rows(empty_url, ACL)
    assert len(before) == 2
    command.upgrade(history.config(engine), "b")
    assert rows(empty_url, owner) == [(other,)]
    assert rows(empty_url, ACL) == before


@pytest.mark.slow
def test_a_materialized_view_that_is_built_beside_is_closed_as_the_first_one_is(
    project: Project, empty_engine: Engine, roles: tuple[str, str]
) -> None:
    def summed(kind: type[sa.Integer]) -> MetaData:
        metadata = MetaData(naming_convention=NAMING_CONVENTION)
        columns = sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", kind)
        also(
            sa.Table("t", metadata, *columns), "create materialized view summed as select sum(n) as n from t"
        )
        return metadata

    url, (reader, other) = empty_engine.url, roles
    do(url, BY_DEFAULT.format(reader))
    found = clear(project)
    write(found, empty_engine, summed(sa.Integer))
    command.upgrade(found.config(empty_engine), "head")
    do(url, f"revoke all on summed from {reader}")
    write(found, empty_engine, summed(sa.BigInteger))
    do(url, f"grant select on summed to {other}")
    may = f"""
        select relname::text, has_table_privilege('{reader}', oid, 'select'),
            has_table_privilege('{other}', oid, 'select')
        from pg_class where relname ~ '^summed' and relkind = 'm' order by 1
        """
    seen = []

    def look(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("ANALYZE summed"):
            seen.extend(rows(url, may))

    with listening((Engine, "before_cursor_execute", look)):
        command.upgrade(found.config(empty_engine), "head")
    assert seen == [("summed", False, True), ("summed_new", False, False)]
    assert rows(url, may) == [("summed", False, True)]


class _StoppedError(Exception):
    pass


@pytest.mark.parametrize("way", ["resumed", "resumed twice", "taken back"])
def test_what_is_gone_when_a_revision_is_interrupted_has_what_it_had_when_it_comes_back(
    two: History, empty_engine: Engine, roles: tuple[str, str], way: str
) -> None:
    """A function works with the privileges of its owner, and not everybody may call it."""
    url, (owner, reader) = empty_engine.url, roles
    make = "create function f() returns {0} security definer return 1; create view v as select 1::{0} as n"
    do(url, f"{make.format('int')}; grant create on schema public to {owner}")
    do(url, f"alter function f owner to {owner}; alter view v owner to {owner}")
    do(url, f"revoke all on function f from public; grant execute on function f to {reader}")
    do(url, f"grant select on v to {reader}")
    do(url, f"alter default privileges grant insert on tables to {reader}")
    has = f"""
        select proowner::regrole::text, has_function_privilege('public', p.oid, 'execute'),
            has_function_privilege('{reader}', p.oid, 'execute'), relowner::regrole::text,
            has_table_privilege('{reader}', c.oid, 'select'), has_table_privilege('{reader}', c.oid, 'insert')
        from pg_proc p, pg_class c where proname = 'f' and relname = 'v'
        """
    before = rows(url, has)
    assert before == [(owner, False, True, owner, True, False)]
    two.add(
        "c",
        "b",
        f"""
op.execute("drop function f; drop view v")
with op.get_context().autocommit_block():
    op.execute("create index concurrently i on t_a (id)")
    op.execute("create index concurrently j on t_a (id)")
op.execute("{make.format("bigint")}")
""",
    )

    def stopped(words: str) -> None:
        def stop(_conn: object, _cursor: object, statement: str, *_: object) -> None:
            if words in statement:
                raise _StoppedError

        with listening((Engine, "before_cursor_execute", stop)), pytest.raises(_StoppedError):
            command.upgrade(two.config(empty_engine), "head")

    stopped("concurrently j" if way == "resumed twice" else "bigint")
    if way == "resumed twice":
        stopped("bigint")
    assert rows(url, has) == []
    if way == "taken back":
        command.downgrade(two.config(empty_engine), "-1")
    else:
        command.upgrade(two.config(empty_engine), "head")
    assert rows(url, has) == before
    kind = "integer" if way == "taken back" else "bigint"
    assert rows(url, "select pg_typeof(f())::text, pg_typeof(n)::text from v") == [(kind, kind)]


def test_a_table_that_takes_the_place_of_one_that_goes_is_closed_as_that_was_and_it_is_told(
    two: History, empty_engine: Engine, roles: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    url, (reader, other) = empty_engine.url, roles
    do(
        url,
        f"alter default privileges grant select on tables to {reader}, {other}; create table more (id int)",
    )
    may = "select has_table_privilege('{}', 't_a', 'select')"
    two.add(
        "c",
        "b",
        f'op.execute("grant select on more to {other}; drop table t_a; alter table more rename to t_a")',
    )
    command.upgrade(two.config(empty_engine), "head")
    assert rows(url, may.format(reader)) == [(False,)]
    assert rows(url, may.format(other)) == [(True,)]
    assert "public.more takes the place of public.t_a, which hadn't what it has by default" in caplog.text
    assert f"If it should have it: GRANT SELECT ON public.t_a TO {reader}" in caplog.text
