"""What a database alone has on what a revision drops and makes anew under its name is there again."""

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import Engine, MetaData

from tests.plinth.history import History, do, rows
from tests.plinth.judge import difference, dump
from tests.plinth.kinds.kind import NAMING_CONVENTION, also
from tests.plinth.project import Project
from tests.plinth.test_busy_tables import begun, write
from tests.plinth.test_what_a_table_has import go, head

BY_HAND = (
    "alter index ix set (fillfactor = 60)",
    "comment on index ix is 'by hand'",
    "comment on constraint uq on t is 'by hand'",
    "alter index uq set (deduplicate_items = off)",
    "alter table t replica identity using index uq",
    "alter table t cluster on ix",
    "create publication p for table t",
    "comment on view v is 'by hand'",
    "comment on column v.name is 'by hand'",
    "alter view v set (security_barrier = true)",
    "comment on materialized view mv is 'by hand'",
)


def models(*, new: bool) -> MetaData:
    """Return a table whose index and constraint get a column more, and a name that becomes longer."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    more = ["k"] if new else []
    sa.Table(
        "t",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("k", sa.Integer, nullable=False),
        sa.Column("name", sa.String(100 if new else 50)),
        sa.Index("ix", "n", *more),
        sa.Index("known", "k", *(["n"] if new else []), postgresql_with={} if new else {"fillfactor": 70}),
        sa.UniqueConstraint("n", *more, name="uq"),
        sa.CheckConstraint("n > 0" if new else "n > 1", name="few", comment=None if new else "known"),
    )
    also(metadata, "create view v as select id, name from t")
    also(metadata, "create materialized view mv as select id, name from t")
    if new:
        also(metadata, "create view barred as select id, name from t")
    else:
        also(metadata, "create view barred with (security_barrier = true) as select id, name from t")
        also(metadata, "comment on view barred is 'known'")
    return metadata


@pytest.mark.parametrize("printed", [False, True])
def test_it_is_there_again_and_what_models_say_no_more_is_gone(
    project: Project, empty_engine: Engine, *, printed: bool
) -> None:
    url = empty_engine.url
    history = begun(project, empty_engine, models(new=False), "insert into t (n, k) values (2, 1)")
    first = head(url)
    write(history, empty_engine, models(new=True))
    for statement in BY_HAND:
        do(url, statement)
    before = dump(url)
    go(history, empty_engine, "head", printed=printed)
    do(url, "update t set k = 2")
    asked = """
        select relname::text, obj_description(c.oid), reloptions, indisreplident, indisclustered
        from pg_class c left join pg_index on indexrelid = c.oid
        where relname in ('ix', 'known', 'uq', 'v', 'mv', 'barred') order by 1
        """
    assert rows(url, asked) == [
        ("barred", None, None, None, None),
        ("ix", "by hand", ["fillfactor=60"], False, True),
        ("known", None, None, False, False),
        ("mv", "by hand", None, None, None),
        ("uq", None, ["deduplicate_items=off"], True, False),
        ("v", "by hand", ["security_barrier=true"], None, None),
    ]
    assert rows(url, "select col_description('v'::regclass, 2)") == [("by hand",)]
    comments = (
        "select conname::text, obj_description(oid) from pg_constraint where conname ~ 'few|uq' order by 1"
    )
    assert rows(url, comments) == [("ck_t_few", None), ("uq", "by hand")]
    go(history, empty_engine, first, printed=printed)
    assert difference(before, dump(url)) == ""


def test_what_a_revision_says_itself_holds_and_what_cant_be_said_again_is_named(
    history: History, empty_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    url = empty_engine.url
    do(
        url,
        """create table t (n int); create index a on t (n); create index b on t (n);
        create view v as select n from t;
        comment on index a is 'gone'; comment on index b is 'stays'; alter index b set (fillfactor = 60);
        create function f() returns trigger language plpgsql as 'begin return new; end';
        create trigger ins instead of insert on v for each row execute function f()""",
    )
    statements = (
        "drop view v cascade; create view v as select n from t where n > 0",
        "drop index a",
        "create index a on t (n)",
        "comment on index a is null",
        "drop index b restrict",
        "create index b on t (n) with (fillfactor = 80)",
    )
    history.add("a", None, "\n".join(f"op.execute({each!r})" for each in statements))
    command.upgrade(history.config(empty_engine), "head")
    asked = "select relname::text, obj_description(oid), reloptions from pg_class where relname in ('a', 'b')"
    assert sorted(rows(url, asked)) == [("a", None, None), ("b", "stays", ["fillfactor=80"])]
    assert "v is made anew, and had this: trigger ins on view v" in caplog.text


ENUM = "create type en as enum ('a', 'b')"
AGAIN = {
    "an enum without a value": (
        "alter type en rename to en_old",
        "create type en as enum ('a')",
        "alter table t alter e type en using e::text::en",
        "drop type en_old",
    ),
    "one that takes over the name": (
        "create type en_new as enum ('a')",
        "alter type en rename to en_old",
        "alter type en_new rename to en",
    ),
    "a domain in its place": (
        "alter table t drop e",
        "drop type public.en",
        "create domain public.en as text",
    ),
}
OF_TYPE = """
    select rolname::text, typacl::text from pg_type join pg_roles r on r.oid = typowner
    where typname = 'en' and typnamespace = 'public'::regnamespace
    """


@pytest.mark.parametrize("printed", [False, True])
@pytest.mark.parametrize("way", AGAIN)
def test_a_type_that_is_made_anew_has_who_may_use_it(
    way: str, history: History, empty_engine: Engine, *, printed: bool
) -> None:
    url, role = empty_engine.url, f"{empty_engine.url.database}_role"
    history.add("a", None, f"op.execute({f'{ENUM}; create table t (e en)'!r})")
    history.add("b", "a", "\n".join(f"op.execute({each!r})" for each in AGAIN[way]))
    command.upgrade(history.config(empty_engine), "a")
    do(url, f"create role {role}; grant create on schema public to {role}; revoke all on type en from public")
    try:
        do(url, f"alter default privileges grant usage on types to {role}")
        do(url, f"grant usage on type en to pg_monitor with grant option; alter type en owner to {role}")
        before = rows(url, OF_TYPE)
        go(history, empty_engine, "head", printed=printed)
        assert rows(url, OF_TYPE) == before
        assert "pg_monitor=U*" in str(before)
    finally:
        do(url, f"alter default privileges revoke usage on types from {role}")
        do(url, f"reassign owned by {role} to current_user; drop owned by {role}; drop role {role}")


SAID = {
    "grant usage on type en to public": "select has_type_privilege('pg_monitor', 'en', 'usage')",
    "alter type en owner to pg_database_owner": "select pg_get_userbyid(typowner) = 'pg_database_owner' "
    "from pg_type where typname = 'en'",
}


@pytest.mark.parametrize("said", SAID)
def test_what_a_printed_revision_says_of_who_may_use_a_type_holds(
    said: str, history: History, empty_engine: Engine
) -> None:
    url = empty_engine.url
    history.add("a", None, f"op.execute({ENUM!r})")
    statements = ("drop type en", ENUM, said)
    history.add("b", "a", "\n".join(f"op.execute({each!r})" for each in statements))
    command.upgrade(history.config(empty_engine), "a")
    do(url, "revoke all on type en from public")
    go(history, empty_engine, "head", printed=True)
    assert rows(url, SAID[said]) == [(True,)]
