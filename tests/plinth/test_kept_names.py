"""A rename that leaves the old name usable (`keep_old`): code of before and code of after work at once."""
# ruff: noqa: S608 - SQL made of constants

import argparse
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine, MetaData
from sqlalchemy.dialects import postgresql

from plinth.autogenerate.change.refusals import Refusal, Refusals
from plinth.listening import listening
from tests.plinth.history import History, clear, do, rows
from tests.plinth.kinds.kind import NAMING_CONVENTION
from tests.plinth.project import Project
from tests.plinth.test_what_a_table_has import go

ROWS = 3000
READER = "plinth_test_kept_name_reader"


def models(*, new: bool) -> MetaData:
    """Return members with a name and a number, before or after both and the table are renamed."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)

    def said(old: str) -> dict[str, Any]:
        return {"info": {"renamed_from": old, "keep_old": True}} if new else {}

    sa.Table(
        "people" if new else "members",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "title" if new else "name",
            sa.String(50),
            server_default="nobody",
            nullable=False,
            index=True,
            **said("name"),
        ),
        sa.Column("amount" if new else "number", sa.Integer, **said("number")),
        **said("members"),
    )
    return metadata


@pytest.fixture
def history(project: Project, empty_engine: Engine) -> History:
    """A revision that makes the table, applied, and rows in it."""
    found = clear(project)
    write(found, empty_engine, models(new=False))
    command.upgrade(found.config(empty_engine), "head")
    do(
        empty_engine.url,
        "insert into members (name, number) select 'n' || n, nullif(n % 7, 0) "
        f"from generate_series(1, {ROWS}) n",
    )
    return found


def write(history: History, engine: Engine, metadata: MetaData, *x: str) -> list[str]:
    """Let autogenerate write revisions; return the new ones' ids, oldest first."""
    before = set(history.folder.glob("versions/*.py"))
    config = history.config(engine)
    config.attributes["target_metadata"] = metadata
    config.cmd_opts = argparse.Namespace(x=list(x))
    command.revision(config, "rename", autogenerate=True)
    new = set(history.folder.glob("versions/*.py")) - before
    return [file.name.partition("_")[0] for file in sorted(new, key=lambda file: file.stat().st_mtime_ns)]


@contextmanager
def at_work(engine: Engine, metadata: MetaData) -> Iterator[list[Exception]]:
    """Let code that knows these models alone write and read as long as the block runs; yield its errors."""
    [table] = metadata.tables.values()
    key, name, number = table.c
    errors: list[Exception] = []
    over = threading.Event()

    def work(turn: int) -> None:
        mine = f"{table.name} {turn}"
        with engine.begin() as connection:
            made = connection.execute(sa.insert(table).values({name.name: mine}).returning(key)).scalar_one()
            left_out = connection.execute(sa.insert(table).returning(key, name, number)).one()
            assert (left_out[1], left_out[2]) == ("nobody", None)
        with engine.begin() as connection:
            connection.execute(sa.update(table).where(key == made).values({number.name: turn}))
            assert connection.execute(sa.select(name, number).where(key == made)).one() == (mine, turn)
            connection.execute(sa.update(table).where(key == made).values({number.name: None}))
        with engine.begin() as connection:
            assert connection.execute(sa.select(name, number).where(key == made)).one() == (mine, None)
            connection.execute(sa.delete(table).where(key == left_out[0]))

    def go_on() -> None:
        turn = 0
        try:
            while not over.is_set():
                work(turn := turn + 1)
                over.wait(0.01)
        except Exception as error:
            errors.append(error)

    client = threading.Thread(target=go_on)
    client.start()
    try:
        yield errors
    finally:
        over.set()
        client.join()
        engine.dispose()


def clients(engine: Engine) -> Engine:
    """Return an engine of an application's."""
    return sa.create_engine(engine.url, connect_args={"prepare_threshold": None})


@pytest.mark.slow
def test_both_versions_of_the_code_work_at_once(history: History, empty_engine: Engine) -> None:
    url = empty_engine.url
    do(url, f"drop role if exists {READER}; create role {READER}; grant select on members to {READER}")
    first, after = write(history, empty_engine, models(new=True))
    with at_work(clients(empty_engine), models(new=False)) as errors:
        command.upgrade(history.config(empty_engine), first)
        with at_work(clients(empty_engine), models(new=True)) as newer:
            assert rows(url, f"select has_table_privilege('{READER}', 'members', 'select')") == [(True,)]
            different = (
                "select from people where title is distinct from name or amount is distinct from number"
            )
            assert rows(url, different) == []
            threading.Event().wait(1)
            assert rows(url, different) == []
    assert (errors, newer) == ([], [])
    with at_work(clients(empty_engine), models(new=True)) as errors:
        command.upgrade(history.config(empty_engine), after)
        command.downgrade(history.config(empty_engine), first)
        with at_work(clients(empty_engine), models(new=False)) as older:
            threading.Event().wait(1)
            assert rows(url, different) == []
    assert (errors, older) == ([], [])
    with at_work(clients(empty_engine), models(new=False)) as errors:
        command.downgrade(history.config(empty_engine), "-1")
    assert errors == []
    [(counted, total)] = rows(url, "select count(*), sum(number) from members where id <= 3000")
    assert (counted, total) == (ROWS, sum(n % 7 for n in range(1, ROWS + 1)))
    do(url, f"drop owned by {READER}; drop role {READER}")


GRANTED = """
    select relkind, attname, privilege_type, is_grantable
    from pg_class c join pg_attribute on attrelid = c.oid, aclexplode(attacl)
    where grantee = 'plinth_test_kept_name_reader'::regrole order by 1, 2, 3
    """


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("printed", [False, True])
def test_who_may_use_columns_may_by_either_name(
    history: History, empty_engine: Engine, *, known: bool, printed: bool
) -> None:
    url = empty_engine.url
    do(url, f"drop role if exists {READER}; create role {READER}")
    grant = (
        f"grant select (id, name), insert (name) on members to {READER}; "
        f"grant update (name) on members to {READER} with grant option; "
        f"grant usage on sequence members_id_seq to {READER}"
    )
    if known:
        do(url, grant)
    write(history, empty_engine, models(new=True))
    if not known:
        do(url, grant)
    before = rows(url, GRANTED)

    def use(table: str, name: str) -> None:
        do(
            url,
            f"set role {READER}; insert into {table} ({name}) values ('x'); "
            f"update {table} set {name} = 'y' where {name} = 'x'; select id from {table}",
        )

    def both() -> None:
        use("members", "name")
        use("people", "title")
        use("people", "name")
        assert [each for each in rows(url, GRANTED) if each[0] == "v"] == [
            ("v", *each[1:]) for each in before
        ]
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for view members"):
            do(url, f"set role {READER}; select number from members")

    go(history, empty_engine, "+1", printed=printed)
    both()
    go(history, empty_engine, "head", printed=printed)
    use("people", "title")
    go(history, empty_engine, "-1", printed=printed)
    both()
    go(history, empty_engine, "-1", printed=printed)
    use("members", "name")
    assert rows(url, GRANTED) == before
    do(url, f"drop owned by {READER}; drop role {READER}")


def test_a_view_lets_nobody_read_who_may_not_read_the_table(history: History, empty_engine: Engine) -> None:
    url = empty_engine.url
    do(url, f"drop role if exists {READER}; create role {READER}")
    do(url, f"alter default privileges grant select on tables to {READER}")
    command.upgrade(history.config(empty_engine), write(history, empty_engine, models(new=True))[0])
    assert rows(url, f"select has_table_privilege('{READER}', 'members', 'select')") == [(False,)]
    do(url, f"drop owned by {READER}; drop role {READER}")


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_row_whose_key_changes_before_it_is_filled_keeps_its_value(
    history: History, empty_engine: Engine, direction: str
) -> None:
    first, _ = write(history, empty_engine, models(new=True))
    config, url = history.config(empty_engine), empty_engine.url
    table = "members"
    if direction == "down":
        command.upgrade(config, "head")
        table = "people"

    filled: list[str] = []

    def move(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        fill = re.search(r"UPDATE (\w+) SET (\w+) = (\w+)", statement)
        if fill:  # as if it had begun already
            filled.extend(fill.groups())
            do(url, f"update {fill[1]} set id = id + 100000 where id between 1 and 7")
            raise KeyboardInterrupt

    with listening((Engine, "before_cursor_execute", move)), pytest.raises(KeyboardInterrupt):
        command.upgrade(config, first) if direction == "up" else command.downgrade(config, first)
    table, new, old = filled
    moved = f"select count(*) from {table} where id > 100000 and {new} is not distinct from {old}"
    assert rows(url, moved) == [(7,)]
    assert rows(url, f"select count(*) from {table} where id > 100000 and {new} is not null") >= [(6,)]


@pytest.mark.parametrize(
    ("type_", "session", "first", "second"),
    [
        (sa.Double, "set extra_float_digits = 0", "0.1", "0.10000000000000002"),
        (postgresql.JSON, "select", "'{}'", "'{ }'"),
    ],
    ids=["float", "json"],
)
@pytest.mark.parametrize("written", ["old", "new"])
def test_a_value_that_looks_like_another_one_is_kept(  # noqa: PLR0917 - fixtures, and a case
    project: Project,
    empty_engine: Engine,
    type_: type[sa.types.TypeEngine[Any]],
    session: str,
    first: str,
    second: str,
    written: str,
) -> None:
    history, url = clear(project), empty_engine.url
    for new in (False, True):
        metadata = MetaData(naming_convention=NAMING_CONVENTION)
        said: dict[str, Any] = {"info": {"renamed_from": "old", "keep_old": True}} if new else {}
        column = sa.Column("new" if new else "old", type_, **said)
        sa.Table("t", metadata, sa.Column("id", sa.Integer, primary_key=True), column)
        file, *_ = write(history, empty_engine, metadata)
        command.upgrade(history.config(empty_engine), file)
    other = "new" if written == "old" else "old"
    do(url, f"{session}; insert into t ({written}) values ({first}); update t set {written} = {second}")
    same = f'select {other}::text collate "C" = {second}::text from t'
    assert rows(url, same) == [(True,)]


@pytest.mark.parametrize(
    ("made_by_hand", "reason"),
    [
        ("alter table members enable row level security", "rows that its policies hide"),
        ("create view few as select name from members", "a view, policy or the like stands on it"),
        (
            "create function f() returns trigger language plpgsql as 'begin return new; end'; "
            "create trigger f before insert on members for each row execute function f()",
            "the table has triggers",
        ),
    ],
)
def test_where_the_old_name_can_not_stay_it_is_refused(
    history: History, empty_engine: Engine, made_by_hand: str, reason: str
) -> None:
    do(empty_engine.url, made_by_hand)
    with pytest.raises((Refusal, Refusals), match=reason):
        write(history, empty_engine, models(new=True))


DRAWN = {"server_default": sa.text("md5(random()::text)")}
SAID = postgresql.DOMAIN("said", sa.Text, default="none")
KEPT = {"info": {"renamed_from": "name", "keep_old": True}}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            {"type_": sa.String(50)},
            {"type_": sa.Integer, "info": {**KEPT["info"], "using": "title::integer"}},
            "its type changes too",
        ),
        (
            {"type_": sa.String(50)},
            {"type_": sa.String(50), "server_default": "x"},
            "its default changes too",
        ),
        (
            {"type_": sa.Text},
            {"type_": sa.Text, "nullable": False, "info": {**KEPT["info"], "backfill": "'x'"}},
            "it becomes required too",
        ),
        ({"type_": sa.Text, **DRAWN}, {"type_": sa.Text, **DRAWN}, "its default is another one each time"),
        ({"type_": sa.Text, "unique": True}, {"type_": sa.Text, "unique": True}, "it is a key"),
        ({"type_": SAID}, {"type_": SAID}, "its type is a domain with a default"),
    ],
)
def test_where_the_column_changes_otherwise_or_is_a_key_it_is_refused(
    project: Project, empty_engine: Engine, old: dict[str, Any], new: dict[str, Any], reason: str
) -> None:
    history = clear(project)
    for name, said in (("name", old), ("title", KEPT | new)):
        metadata = MetaData(naming_convention=NAMING_CONVENTION)
        sa.Table("t", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column(name, **said))
        if "unique" in said:
            refers = sa.Column("t", sa.Text, sa.ForeignKey(f"t.{name}"))
            sa.Table("u", metadata, sa.Column("id", sa.Integer, primary_key=True), refers)
        if name == "name":
            write(history, empty_engine, metadata)
            command.upgrade(history.config(empty_engine), "head")
    with pytest.raises((Refusal, Refusals), match=reason):
        write(history, empty_engine, metadata)


@pytest.mark.parametrize(
    ("made", "named", "away"),
    [
        ("create unique index ours on t ({})", "index ours", "drop index ours"),
        (
            "alter table t add constraint ours check ({} <> 'x')",
            "constraint ours on table t",
            "alter table t drop constraint ours",
        ),
        (
            "alter table t alter {} set default 'x'",
            "default value for column {}",
            "alter table t alter {} drop default",
        ),
        (
            "alter table t alter {} set not null",
            "NOT NULL of table t",
            "alter table t alter {} drop not null",
        ),
        ("create sequence ours owned by t.{}", "sequence ours", "drop sequence ours"),
        (
            "grant update ({}) on t to pg_monitor",
            "a privilege on a column of table t",
            "revoke update ({}) on t from pg_monitor",
        ),
    ],
)
def test_what_only_the_database_has_doesnt_go_with_the_old_name(
    project: Project, empty_engine: Engine, made: str, named: str, away: str
) -> None:
    history, url = clear(project), empty_engine.url
    for name in ("old", "new"):
        metadata = MetaData(naming_convention=NAMING_CONVENTION)
        infos = [
            {"renamed_from": each, "keep_old": True} if name == "new" else {} for each in ("old", "old_2")
        ]
        known = {"nullable": False, "index": True, "server_default": "y"}
        sa.Table(
            "t",
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column(name, sa.Text, info=infos[0]),
            sa.Column(f"{name}_2", sa.Text, info=infos[1], **known),  # type: ignore[arg-type]
        )
        first, *_ = write(history, empty_engine, metadata)
        command.upgrade(history.config(empty_engine), first)
    do(url, "insert into t (old) values ('a')")

    def stops(goes: str, move: Callable[..., None], to: str) -> None:
        do(url, made.format(goes))
        said = rf'{named.format(goes)}.* stands on t\."{goes}", and no revision'
        with pytest.raises(CommandError, match=said):
            move(history.config(empty_engine), to)
        do(url, away.format(goes))
        move(history.config(empty_engine), to)

    stops("old", command.upgrade, "head")
    command.downgrade(history.config(empty_engine), "-1")
    stops("new", command.downgrade, "-1")
    assert rows(url, "select old, old_2 from t") == [("a", "y")]


@pytest.mark.parametrize("printed", [False, True])
def test_what_only_the_database_says_of_a_name_goes_over_to_the_other(
    project: Project, empty_engine: Engine, *, printed: bool
) -> None:
    history, url = clear(project), empty_engine.url
    for name in ("100% old", "100% new"):
        metadata = MetaData(naming_convention=NAMING_CONVENTION)
        is_old = name == "100% old"
        columns = (
            sa.Column(
                each, sa.Text, comment=said, info={} if is_old else {"renamed_from": old, "keep_old": True}
            )
            for each, old, said in (
                (name, "100% old", None),
                (f"{name} 2", "100% old 2", "known" if is_old else None),
            )
        )
        sa.Table("t", metadata, sa.Column("id", sa.Integer, primary_key=True), *columns)
        first, *_ = write(history, empty_engine, metadata)
        command.upgrade(history.config(empty_engine), first)
    do(
        url,
        """comment on column t."100% old" is 'by hand';
        alter table t alter "100% old" set statistics 200, alter "100% old" set (n_distinct = 5),
            alter "100% old" set storage external""",
    )
    asked = """
        select attname, col_description(attrelid, attnum), attstattarget::int, attoptions, attstorage
        from pg_attribute where attrelid = 't'::regclass and attname ~ '%' order by 1
        """
    of_id = "select attstattarget::int from pg_attribute where attrelid = 't'::regclass and attnum = 1"
    [(none,)] = rows(url, of_id)
    go(history, empty_engine, "head", printed=printed)
    has = ("by hand", 200, ["n_distinct=5"], "e")
    assert rows(url, asked) == [("100% new", *has), ("100% new 2", None, none, None, "x")]
    go(history, empty_engine, "-2", printed=printed)
    assert rows(url, asked) == [("100% old", *has), ("100% old 2", "known", none, None, "x")]


def test_a_trigger_of_somebody_else_keeps_no_columns(history: History, empty_engine: Engine) -> None:
    url = empty_engine.url
    do(
        url,
        """create function f() returns trigger language plpgsql as 'begin new.n := new.k; return new; end';
        create table s (n int, k int, gone int) partition by range (n);
        create table s_1 partition of s for values from (1) to (100); create table c (n int, k int);
        create table heir () inherits (c)""",
    )
    statements = (
        *(
            f"create trigger is_kept before insert or update on {each} for each row execute function f()"
            for each in ("s", "c")
        ),
        "create index on s (gone)",
        "drop trigger is_kept on s",
        "alter table s drop gone",
    )
    [at] = rows(url, "select version_num from alembic_version")
    history.add("b", at[0], "\n".join(f"op.execute({each!r})" for each in statements))
    command.upgrade(history.config(empty_engine), "head")


def test_a_view_shows_no_rows_that_policies_hide(history: History, empty_engine: Engine) -> None:
    written = write(history, empty_engine, models(new=True))
    do(empty_engine.url, "alter table members enable row level security")
    with pytest.raises(CommandError, match="view members would show rows of people that its policies hide"):
        command.upgrade(history.config(empty_engine), written[0])
    do(empty_engine.url, "alter table members disable row level security")
    command.upgrade(history.config(empty_engine), "head")


def test_a_table_that_inherits_and_no_revision_knows_is_named_first(
    history: History, empty_engine: Engine
) -> None:
    written = write(history, empty_engine, models(new=True))
    do(empty_engine.url, "create table heirs () inherits (members)")
    with pytest.raises(CommandError, match="heirs inherits from people, and no revision knows of it"):
        command.upgrade(history.config(empty_engine), written[0])
    do(empty_engine.url, "drop table heirs")
    command.upgrade(history.config(empty_engine), "head")


def test_what_the_old_name_cant_do_is_said(
    project: Project, empty_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    history, url = clear(project), empty_engine.url
    for new in (False, True):
        metadata = MetaData(naming_convention=NAMING_CONVENTION)

        def said(old: str, *, new: bool = new) -> dict[str, Any]:
            return {"info": {"renamed_from": old, "keep_old": True}} if new else {}

        key = sa.Column("id", sa.Integer, sa.Identity(), primary_key=True)
        sa.Table("items" if new else "goods", metadata, key, sa.Column("t", sa.Text), **said("goods"))
        slug = sa.Column("slug" if new else "word", sa.Text, unique=True, **said("word"))
        plain = sa.Column("b" if new else "a", sa.Text, index=True, **said("a"))
        sa.Table("words", metadata, sa.Column("id", sa.Integer, primary_key=True), slug, plain)
        caplog.clear()
        first, *_ = write(history, empty_engine, metadata)
        command.upgrade(history.config(empty_engine), first)
    assert "Until the second revision words.slug is unique by two indexes" in caplog.text
    assert "goods is a view from the first revision on" in caplog.text
    do(url, "insert into goods (id, t) values (1, 'a') on conflict (id) do update set t = excluded.t")
    for statement in (
        "insert into goods (id, t) values (1, 'a') on conflict on constraint pk_goods do nothing",
        "copy goods to stdout",
        "copy goods from stdin",
        "truncate goods",
        "select nextval('goods_id_seq')",
        "select id, t from goods group by id",
        "begin; declare c cursor for select id from goods for update; fetch c; "
        "update goods set t = 'b' where current of c",
    ):
        with pytest.raises(psycopg.Error):
            do(url, statement)


def test_a_plain_file_renames_at_once_and_that_is_said(
    history: History, empty_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(write(history, empty_engine, models(new=True), "online=no")) == 1
    assert '"keep_old" says nothing in a plain file' in caplog.text
    command.upgrade(history.config(empty_engine), "head")
    assert rows(empty_engine.url, "select count(title), to_regclass('members') from people group by 2") == [
        (ROWS, None)
    ]


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"keep_old": True}, 'of people.title says nothing without "renamed_from"'),
        ({"keep_old": "yes", "renamed_from": "name"}, "of people.title must be True or False"),
    ],
)
def test_a_hint_that_says_nothing_is_refused(
    history: History, empty_engine: Engine, info: dict[str, object], said: str
) -> None:
    wanted = models(new=True)
    wanted.tables["people"].c.title.info = info
    with pytest.raises((Refusal, Refusals), match=said):
        write(history, empty_engine, wanted)


def test_a_column_that_leaves_its_name_is_known_however_it_is_written(
    project: Project, empty_engine: Engine
) -> None:
    history = clear(project)
    do(
        empty_engine.url,
        'create table "T" (price int, price_new bigint); create view v as select price from "T"',
    )
    renames = (
        'ALTER TABLE IF EXISTS ONLY /* x */ public . "T" RENAME "price" -- y\n TO Price_Old;',
        'alter table public."T" rename column PRICE_NEW to price',
    )
    history.add("a", None, "\n".join(f"op.execute({each!r})" for each in renames))
    with pytest.raises(CommandError, match=r'view v stands on public."T".price, and no revision knows of it'):
        command.upgrade(history.config(empty_engine), "head")
