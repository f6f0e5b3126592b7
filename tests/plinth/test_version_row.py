"""One statement writes the version table's row and the ledger's, and Alembic's own where that can't be."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine, event

from plinth import own_schema
from plinth.apply.ledger import OWN_TABLES
from plinth.plan.planning import plans
from plinth.status import status
from tests.plinth.history import (
    CONCURRENTLY,
    PATIENCE,
    History,
    do,
    heads,
    ledger,
    psql,
    rows,
    wait_until_blocked,
)

_SAME = """
    select v.version_num, l.xmin = v.xmin and l.cmin = v.cmin
    from plinth.ledger l, {} v where l.id = (select max(id) from plinth.ledger)
    """


@contextmanager
def sent_by(engine: Engine) -> Iterator[list[str]]:
    """Yield the changes of version table and ledger that go through SQLAlchemy."""
    sent: list[str] = []

    def see(*given: object) -> None:
        statement = " ".join(str(given[2]).split())
        if re.match(r"(?i)(update|insert into) \S*(version|ledger)", statement):
            sent.append(statement)

    event.listen(engine, "before_cursor_execute", see)
    yield sent
    event.remove(engine, "before_cursor_execute", see)


def test_both_rows_are_one_statements(history: History, empty_engine: Engine) -> None:
    url = empty_engine.url
    history.tables("r1", "r2", "r3", "r4")
    with sent_by(empty_engine) as sent:
        command.upgrade(history.config(empty_engine), "r3")
        assert len(sent) == 2, sent  # the first row is inserted
        assert rows(url, _SAME.format("alembic_version")) == [("r3", True)]
        # With what the revision made.
        made = "select l.xmin = c.xmin from plinth.ledger l join pg_class c on relname = 't_' || revision"
        assert rows(url, made) == [(True,)] * 3
        command.downgrade(history.config(empty_engine), "r2")
        assert rows(url, _SAME.format("alembic_version")) == [("r2", True)]
        command.upgrade(history.config(empty_engine), "head")
    assert len(sent) == 2, sent
    assert [(name, way) for name, way, _ in ledger(url)] == [
        *(("r1", "up"), ("r2", "up"), ("r3", "up"), ("r3", "down"), ("r3", "up"), ("r4", "up")),
    ]
    told = "select count(*) from plinth.ledger where applied_at < now() and duration > '0' and batch > 0"
    of_whom = " and database_user = current_user and application like '%@%' and length(checksum) = 32"
    assert rows(url, told + of_whom) == [(6,)]


def test_first_commands_with_a_version_table_each_take_turns(history: History, empty_engine: Engine) -> None:
    history.tables("a")
    with empty_engine.connect() as first, ThreadPoolExecutor() as threads:
        own_schema.make(first, OWN_TABLES)
        second = threads.submit(command.upgrade, history.config(empty_engine), "head")
        wait_until_blocked(empty_engine.url)
        first.commit()
        second.result(PATIENCE)
    assert heads(empty_engine.url) == {"a"}


def test_a_version_table_of_any_name(history: History, empty_engine: Engine) -> None:
    url = empty_engine.url
    do(url, 'create schema "odd %s: {s}"')
    history.configure('version_table_schema="odd %s: {s}"', 'version_table="it\'s {0} %(old)s"')
    history.tables("r1", "r2", "r3")
    with sent_by(empty_engine) as sent:
        command.upgrade(history.config(empty_engine), "head")
    assert len(sent) <= 2, sent
    assert rows(url, _SAME.format('"odd %s: {s}"."it\'s {0} %(old)s"')) == [("r3", True)]


def test_a_row_that_is_gone_is_alembics_to_say(history: History, empty_engine: Engine) -> None:
    history.tables("r1")
    history.add("r2", "r1", 'op.execute("create table t_r2 ()")\nop.execute("delete from alembic_version")')
    with pytest.raises(CommandError, match=r"expected to match one row when updating 'r1' to 'r2'.*0 found"):
        command.upgrade(history.config(empty_engine), "head")
    assert heads(empty_engine.url) == {"r1"}
    assert [name for name, *_ in ledger(empty_engine.url)] == ["r1"]
    assert rows(empty_engine.url, "select to_regclass('t_r2')") == [(None,)]


def test_two_rows_of_one_id_are_refused(history: History, empty_engine: Engine) -> None:
    history.configure("version_table_pk=False")
    history.tables("r1", "r2")
    command.upgrade(history.config(empty_engine), "r1")
    history.add("r2", "r1", "op.execute(\"insert into alembic_version values ('r1')\")")
    with pytest.raises(CommandError, match="expected to match one row"):
        command.upgrade(history.config(empty_engine), "head")
    assert [name for name, *_ in ledger(empty_engine.url)] == ["r1"]


@pytest.mark.parametrize("way", ["upgrade", "downgrade"])
def test_a_row_beside_that_of_what_stands_on_it_is_refused(
    history: History, empty_engine: Engine, way: str
) -> None:
    history.tables("r1", "r2", "r3", "r4")
    config = history.config(empty_engine)
    command.upgrade(config, "r3")
    do(empty_engine.url, "insert into alembic_version values ('r1'); insert into t_r1 values (1)")
    mixed = r"names r1 beside r3, which stands on it.*DELETE FROM alembic_version WHERE version_num = 'r1'"
    with pytest.raises(CommandError, match=mixed):
        getattr(command, way)(config, {"upgrade": "head", "downgrade": "-1"}[way])
    with empty_engine.connect() as connection, connection.begin(), pytest.raises(CommandError, match=mixed):
        command.downgrade(history.config(connection), "-1")
    [problem] = status(config).problems
    assert (problem.kind, problem.name, bool(re.search(mixed, problem.message))) == ("heads", "r1, r3", True)
    for looks in (plans, command.check):
        with pytest.raises(CommandError, match=mixed):
            looks(config)
    command.current(config)
    assert rows(empty_engine.url, "select id from t_r1") == [(1,)]
    do(empty_engine.url, "delete from alembic_version where version_num = 'r1'")
    command.downgrade(config, "-1")
    assert heads(empty_engine.url) == {"r2"}


def test_branches_and_what_joins_them(history: History, empty_engine: Engine) -> None:
    history.tables("r1", "r2", "r3")
    history.add("b2", "r1", "pass")
    history.add("m", ("r3", "b2"), "pass")
    history.add("r5", "m", "pass")
    with sent_by(empty_engine) as sent:
        command.upgrade(history.config(empty_engine), "head")
        command.downgrade(history.config(empty_engine), "r1")
        command.upgrade(history.config(empty_engine), "head")
    assert not [each for each in sent if each.startswith("UPDATE")]
    assert heads(empty_engine.url) == {"r5"}
    applied = (
        "select distinct on (revision) revision, direction from plinth.ledger order by revision, id desc"
    )
    names = ("b2", "m", "r1", "r2", "r3", "r5")
    assert rows(empty_engine.url, applied) == [(name, "up") for name in names]
    assert len(ledger(empty_engine.url)) == 6 + 5 + 5


@pytest.mark.parametrize(
    "body",
    [
        'op.get_bind().commit()\nop.execute("create table more ()")',
        'op.get_bind().execution_options(schema_translate_map={"any": "other"})',
        f'{CONCURRENTLY}op.execute("create index concurrently i on t_r1 (id)")',
        'op.execute("commit")',
        "pass",
    ],
)
def test_a_revision_in_no_ordinary_transaction(history: History, empty_engine: Engine, body: str) -> None:
    history.tables("r1")
    history.add("r2", "r1", body)
    history.add("r3", "r2", "pass")
    command.upgrade(history.config(empty_engine), "head")
    assert heads(empty_engine.url) == {"r3"}
    assert [(name, way) for name, way, _ in ledger(empty_engine.url)] == [
        ("r1", "up"),
        ("r2", "up"),
        ("r3", "up"),
    ]


@pytest.mark.parametrize("way", ["deallocate all", "do $$ begin execute 'deallocate all'; end $$"])
def test_a_session_that_forgets_what_it_has_prepared(
    history: History, empty_engine: Engine, way: str
) -> None:
    history.tables("r1", "r2")
    history.add("r3", "r2", f'op.execute("create table t_r3 ()")\nop.execute("{way}")')
    history.add("r4", "r3", "pass")
    command.upgrade(history.config(empty_engine), "head")
    assert heads(empty_engine.url) == {"r4"}
    assert [name for name, *_ in ledger(empty_engine.url)] == ["r1", "r2", "r3", "r4"]


def test_a_lock_on_the_row_that_does_not_come(
    history: History, empty_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLINTH_LOCK_TIMEOUT", "50ms")
    monkeypatch.setenv("PLINTH_RETRY_LIMIT", "200ms")
    history.tables("r1", "r2")
    command.upgrade(history.config(empty_engine), "r1")
    with psql(empty_engine.url, autocommit=False) as other:
        other.execute("lock table alembic_version in share mode")
        with pytest.raises(CommandError, match="a lock didn't come during revision r2: canceling"):
            command.upgrade(history.config(empty_engine), "head")
        assert rows(empty_engine.url, "select to_regclass('t_r2')") == [(None,)]
    command.upgrade(history.config(empty_engine), "head")
    assert [name for name, *_ in ledger(empty_engine.url)] == ["r1", "r2"]


def test_a_session_that_ends_at_the_row(history: History, empty_engine: Engine) -> None:
    history.tables("r1")
    ends = "create function bye() returns trigger language plpgsql as $$ begin "
    ends += "perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(9); return new; end $$"
    bye = "create trigger bye before update on alembic_version execute function bye()"
    history.add("r2", "r1", f"op.execute({ends!r})\nop.execute({bye!r})")
    with pytest.raises(CommandError, match=r"The connection to the server was lost during revision r2"):
        command.upgrade(history.config(empty_engine), "head")
    assert heads(empty_engine.url) == {"r1"}
