"""An upgrade that drops what has values says so before it does, with the number of rows."""

import secrets

import pytest
from alembic import command
from sqlalchemy import Column, Identity, Integer, Text
from sqlalchemy.dialects.postgresql import DOMAIN

from plinth.apply import drops
from tests.plinth.field.changing import Changing
from tests.plinth.history import CONCURRENTLY, psql

MAKE, DROP = "op.execute('create table t as select 1 as a')", "op.execute('drop table t')"
SAID = "This drops column public.t.note (2 rows)."


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == drops.__name__]


def test_a_column(changing: Changing, caplog: pytest.LogCaptureFixture) -> None:
    changing.begin(Column("note", Text), values=("'a'", "'b'", "null"))
    changing.write()
    changing.upgrade()
    assert said(caplog) == [SAID]


def test_an_empty_one_is_nothing_to_speak_of(changing: Changing, caplog: pytest.LogCaptureFixture) -> None:
    changing.begin(Column("note", Text), values=("null",))
    changing.write()
    changing.upgrade()
    assert said(caplog) == []


def test_whatever_a_revision_written_by_hand_says(
    changing: Changing, caplog: pytest.LogCaptureFixture
) -> None:
    tables = (
        'create table "My, t" ("A" int, b int, c int, identity int)',
        "create table other as select 1 as a",
        "create table kept as select 1 as a",
        'create table "50%" as select 1 as a',
    )
    changing.history.add("a", None, "\n".join(f"op.execute({each!r})" for each in tables))
    changing.upgrade()
    with psql(changing.engine.url) as connection:
        connection.execute('insert into "My, t" select 1, n, null, n from generate_series(1, 3) n')
    sql = (
        'do $$ begin alter table only "My, t" drop "A" cascade, drop if exists c, drop column B; end $$',
        '-- drop table kept\nalter /* x */ table "My, t"* add d int check (d in (1, 2)), drop Identity',
        "comment on table kept is 'drop table kept'; create function f() returns void as "
        "'drop table kept' language sql; do 'begin execute $$drop table \"50%\"$$; end'",
        'drop table if exists no, other, "My, t"',
    )
    changing.history.add("b", "a", "\n".join(f"op.execute({each!r})" for each in sql))
    changing.upgrade()
    assert said(caplog) == [
        "This drops column public.My, t.A (3 rows).",
        "This drops column public.My, t.b (3 rows).",
        "This drops column public.My, t.identity (3 rows).",
        "This drops table public.50% (1 row).",
        "This drops table public.other (1 row).",
        "This drops table public.My, t (3 rows).",
    ]


def test_of_a_large_table_it_says_about_how_many(
    changing: Changing, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    changing.begin(Column("note", Text))
    with psql(changing.engine.url) as connection:
        connection.execute("insert into t select n, nullif(n % 2, 0) from generate_series(1, 1000) n")
        connection.execute("analyze t")
    changing.write()
    monkeypatch.setattr(drops, "READ", 100)
    changing.upgrade()
    assert said(caplog) == ["This drops column public.t.note (about 500 rows)."]


def test_in_a_transaction_of_the_callers(changing: Changing, caplog: pytest.LogCaptureFixture) -> None:
    changing.begin(Column("note", Text), values=("'a'", "'b'"))
    changing.write()
    config = changing.config()
    with changing.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    assert said(caplog) == [SAID]


def test_rows_that_this_role_may_not_see(changing: Changing, caplog: pytest.LogCaptureFixture) -> None:
    changing.begin(Column("note", Text), values=("'a'",))
    changing.write()
    role = f"plinth_hidden_{secrets.token_hex(4)}"
    with psql(changing.engine.url) as connection:
        connection.execute("alter table t enable row level security, force row level security")
        connection.execute(f"create role {role}".encode())
        connection.execute(f"grant all on schema public to {role}; alter table t owner to {role}".encode())
        connection.execute(f"grant all on all tables in schema public, plinth to {role}".encode())
        connection.execute(f"grant all on all sequences in schema plinth to {role}".encode())
        connection.execute(f"grant all on schema plinth to {role}".encode())
    try:
        with changing.engine.begin() as connection:
            connection.exec_driver_sql(f"set local role {role}")
            config = changing.config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        assert said(caplog) == ["This drops column public.t.note (row security hides how many rows)."]
    finally:
        with psql(changing.engine.url) as connection:
            connection.execute(f"reassign owned by {role} to current_user".encode())
            connection.execute(f"drop owned by {role}; drop role {role}".encode())


@pytest.mark.parametrize("blind", ["import os\n", CONCURRENTLY])
def test_a_downgrade_that_cannot_be_measured(
    changing: Changing, caplog: pytest.LogCaptureFixture, blind: str
) -> None:
    changing.history.add("a", None, MAKE, f"{blind}{DROP}")
    changing.upgrade()
    command.downgrade(changing.history.config(changing.engine), "base")
    assert said(caplog) == ["This drops table public.t (1 row)."]


def test_a_downgrade_that_is_measured_says_it_once(
    changing: Changing, caplog: pytest.LogCaptureFixture
) -> None:
    changing.history.add("a", None, MAKE, DROP)
    changing.upgrade()
    command.downgrade(changing.history.config(changing.engine), "base")
    assert said(caplog) == []
    assert "This loses table public.t (1 row)." in caplog.text


@pytest.mark.parametrize(
    ("column", "words", "value"),
    [
        (Column("note", Text), "The values of note are gone.", None),
        (
            Column("note", Text, nullable=False, server_default="open"),
            "The values of note are gone: each row has what its default says.",
            "open",
        ),
        (
            Column("note", DOMAIN("noted", Text, default="open")),
            "The values of note are gone: each row has what its default says.",
            "open",
        ),
        (Column("note", Integer, Identity()), "The values of note are gone: each row gets a number anew.", 1),
    ],
    ids=["none", "default", "a domain's", "identity"],
)
def test_what_rows_have_when_it_comes_back_stands_in_the_file(
    changing: Changing, column: "Column[object]", words: str, value: object
) -> None:
    changing.begin(column, values=("'7'" if isinstance(column.type, Text) else "7",))
    texts = changing.write(x=("prove=no", "drop=noted", "drop=t.note"))
    assert f"# {words}\n" in texts[-1]
    assert "may have no note" not in "".join(texts)
    changing.upgrade()
    changing.downgrade(f"-{len(texts)}")
    assert changing.values("note") == [value]
