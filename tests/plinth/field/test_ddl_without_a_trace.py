"""What the models' own DDL makes and no revision can, is named when autogenerate runs."""

import argparse
import logging

import pytest
from alembic import command
from sqlalchemy import Column, Engine, Integer, MetaData, Table

from tests.plinth.history import History, psql
from tests.plinth.kinds.kind import also, first

DDL = {
    "publication pub": "create publication pub for table t",
    "operator public.==(integer,integer)": "create operator == (function=int4eq, leftarg=int, rightarg=int)",
    "cast (public.pair AS integer)": "create cast (pair as int) with inout",
    "event trigger loud": "create event trigger loud on sql_drop execute function shout()",
    "privileges on table public.t for PUBLIC": "grant select on t to public",
    "privileges on function public.shout()": "revoke all on function shout() from public",
    "comment on index public.t_pkey": "comment on index t_pkey is 'key'",
    "rows of table public.t": "insert into t values (1)",
}
SEEN = (
    "create type pair as (a int, b int)",
    "create function shout() returns event_trigger language plpgsql as $$ begin end $$",
    "create materialized view v as select id from t",
    "create index v_id on v (id)",
)


def models(*statements: str) -> MetaData:
    metadata = MetaData()
    Table("t", metadata, Column("id", Integer, primary_key=True))
    for statement in statements:
        also(metadata, statement)
    return metadata


def autogenerate(history: History, engine: Engine, metadata: MetaData) -> None:
    config = history.config(engine)
    config.cmd_opts = argparse.Namespace(x=["prove=no"])
    config.attributes["target_metadata"] = metadata
    command.revision(config, message="take a step", autogenerate=True)
    command.upgrade(history.config(engine), "head")


def test_it_is_named_until_it_is_there(
    history: History, empty_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    everything = models(*SEEN, *DDL.values())
    autogenerate(history, empty_engine, everything)
    (said,) = (each.getMessage() for each in caplog.records if "writes no revision" in each.getMessage())
    assert f"which DDL in the models makes: {'; '.join(sorted(DDL))}." in said
    with psql(empty_engine.url) as connection:
        for statement in DDL.values():
            connection.execute(statement)
    caplog.clear()
    autogenerate(history, empty_engine, everything)
    assert not caplog.records


# What was made, by a revision or by hand; what the models say later; the role is the test's.
WAYS = {
    "privileges on table public.t for PUBLIC": ("grant select on t to public", "grant insert on t to public"),
    "privileges on function public.shout() for pg_monitor": (
        "grant execute on function shout() to pg_monitor",
        "revoke all on function shout() from public",
    ),
    "publication one": (
        "create publication one for table t",
        "alter publication one set (publish = 'insert')",
    ),
    "publication two": (
        "create publication two for table t",
        "alter publication two set table t where (id > 5)",
    ),
    "publication all": ('create publication "all" for all tables', 'alter publication "all" rename to rest'),
    "foreign-data wrapper w": (
        "create foreign data wrapper w",
        "alter foreign data wrapper w options (a 'b')",
    ),
    "server s": (
        "create foreign data wrapper x; create server s foreign data wrapper x options (host 'a', port '1')",
        "alter server s options (set host 'b')",
    ),
    "cast (public.pair AS integer)": (
        "create cast (pair as int) with inout",
        "drop cast (pair as int); create cast (pair as int) with inout as implicit",
    ),
    "event trigger loud": (
        "create event trigger loud on ddl_command_end execute function shout()",
        "drop event trigger loud; create event trigger loud on sql_drop execute function shout()",
    ),
    "operator public.==(integer,integer)": (
        "create operator == (function = int4eq, leftarg = int, rightarg = int)",
        "drop operator == (int, int); create operator == (function = int4ne, leftarg = int, rightarg = int)",
    ),
    "operator family public.ops USING btree": (
        "create operator class ops for type int using btree as operator 1 <, function 1 btint4cmp(int, int)",
        "drop operator family ops using btree; create operator class ops for type int using btree "
        "as operator 1 <, operator 3 =, function 1 btint4cmp(int, int)",
    ),
    "text search parser public.p": (
        "create text search parser p (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, "
        "lextypes = prsd_lextype)",
        "drop text search parser p; create text search parser p (start = prsd_start, gettoken = "
        "prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype, headline = prsd_headline)",
    ),
    "conversion public.c": (
        "create conversion c for 'UTF8' to 'LATIN1' from utf8_to_iso8859_1",
        "drop conversion c; create default conversion c for 'UTF8' to 'LATIN1' from utf8_to_iso8859_1",
    ),
    "default acl for role {role} on tables": (
        "alter default privileges grant select on tables to public",
        "alter default privileges grant insert on tables to public",
    ),
    "comment on index public.t_pkey": ("comment on index t_pkey is 'a'", "comment on index t_pkey is 'b'"),
}


def test_it_is_named_while_it_is_otherwise(
    history: History, empty_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    made = [before for before, _ in WAYS.values()]
    autogenerate(history, empty_engine, models(*SEEN))
    with psql(empty_engine.url) as connection:
        connection.execute("alter table t add gone int, add other int; alter table t drop gone, drop other")
        for statement in reversed(made):  # other numbers, and another order
            connection.execute(statement)
        role = connection.execute("select current_user").fetchone()
    assert role
    caplog.clear()
    autogenerate(history, empty_engine, models(*SEEN, *made))
    assert not caplog.records
    autogenerate(history, empty_engine, models(*SEEN, *made, *(after for _, after in WAYS.values())))
    (said,) = (each.getMessage() for each in caplog.records if "writes no revision" in each.getMessage())
    named = [each.format(role=role[0]) for each in WAYS if each != "publication all"]
    for each in named:
        assert f"{each}, which differs" in said
    assert said.count("which differs") == len(named)


def test_no_privilege_gets_into_a_file(
    history: History, empty_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = models(*SEEN)
    first(metadata, "alter default privileges grant select on tables to public")
    autogenerate(history, empty_engine, metadata)
    assert "privileges on materialized view public.v for PUBLIC" in caplog.text
    assert "GRANT" not in "".join(each.read_text() for each in (history.folder / "versions").glob("*.py"))


def test_nothing_is_named_that_is_in_the_picture(
    history: History, empty_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    autogenerate(history, empty_engine, models(*SEEN))
    assert "writes no revision" not in caplog.text
