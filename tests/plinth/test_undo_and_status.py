"""Undo like Knex, and the status: applied, pending, wrong."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from alembic import command
from alembic.util import CommandError
from psycopg.errors import ForeignKeyViolation
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth import undo
from plinth.connecting import connect
from plinth.safety import write_marker
from plinth.status import IN_ORDER, PENDING, WRONG, status
from tests.plinth.history import CONCURRENTLY, History, catalog, do, heads, ledger, psql, rows
from tests.plinth.project import FIRST, HEAD, REVISIONS, Project
from tests.plinth.test_safety import elsewhere


@pytest.fixture
def applied(history: History, empty_engine: Engine) -> History:
    """A history whose revisions a and b are applied, in two batches."""
    history.tables("a", "b")
    command.upgrade(history.config(empty_engine), "a")
    command.upgrade(history.config(empty_engine), "b")
    return history


@pytest.fixture
def foreign_engine(empty_url: URL) -> Engine:
    """An engine on the empty database, by a way that doesn't look like the local server's."""
    return create_engine(elsewhere(empty_url), poolclass=NullPool)


def problems(history: History, engine: Engine) -> set[str]:
    """Return what is wrong, and check that the exit code says so."""
    found = status(history.config(engine))
    if found.problems:
        assert found.exit_code == WRONG
    return {problem.kind for problem in found.problems}


def test_rollback_undoes_the_last_batch_and_nothing_else(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a", "b", "c")
    config = history.config(empty_engine)
    command.upgrade(config, "a")
    command.upgrade(config, "head")
    assert undo.rollback(config).undone == ["c", "b"]
    assert heads(empty_url) == {"a"}
    assert undo.rollback(config).undone == ["a"]
    assert heads(empty_url) == set()
    with pytest.raises(CommandError, match="nothing to undo"):
        undo.rollback(config)


def test_rollback_after_a_batch_was_applied_anew(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a", "b", "c")
    config = history.config(empty_engine)
    command.upgrade(config, "b")
    command.upgrade(config, "c")
    undo.redo(config)
    assert ledger(empty_url)[-2:] == [("c", "down", 2), ("c", "up", 2)]
    assert undo.rollback(config).undone == ["c"]
    assert undo.rollback(config).undone == ["b", "a"]


def test_what_waited_for_a_lock_is_of_the_same_batch(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("a", "b")
    do(empty_url, "create table u ()")
    history.add("c", "b", "op.execute('lock table u')")
    with locked_for_a_moment(empty_url, "u"):
        command.upgrade(history.config(empty_engine), "head")
    assert ledger(empty_url) == [("a", "up", 1), ("b", "up", 1), ("c", "up", 1)]


@pytest.mark.parametrize("way", ["engine", "connection"])
def test_an_engine_without_transactions_gets_them(history: History, empty_url: URL, way: str) -> None:
    history.add("a", None, 'op.execute("create table t ()")', 'op.execute("drop table t")')
    history.add("b", "a", 'op.execute("create table u ()")\nop.execute("select 1 / 0")')
    engine = create_engine(empty_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        given = engine if way == "engine" else connection
        with pytest.raises(CommandError, match="It was rolled back: nothing of it"):
            command.upgrade(history.config(given), "head")
        assert (heads(empty_url), rows(empty_url, "select to_regclass('u')")) == ({"a"}, [(None,)])
        command.downgrade(history.config(given), "-1")
        session = connection.connection.driver_connection
        assert getattr(session, "autocommit", None)  # as it was
    assert heads(empty_url) == set()


def test_what_was_only_stamped_is_no_batch(history: History, empty_engine: Engine) -> None:
    history.tables("a")
    command.stamp(history.config(empty_engine), "a")
    with pytest.raises(CommandError, match=r"no batch to undo.*alembic downgrade -1"):
        undo.rollback(history.config(empty_engine))


def test_redo_takes_a_change_whole(applied: History, empty_engine: Engine, empty_url: URL) -> None:
    for number, (name, after) in enumerate((("c", "b"), ("d", "c")), start=1):
        applied.add(
            name,
            after,
            f'op.execute("create table {name} ()")',
            f'op.drop_table("{name}")',
            doc=f"Change: nicknames, step {number} of 2",
        )
    config = applied.config(empty_engine)
    command.upgrade(config, "head")
    done = undo.redo(config)
    assert (done.undone, done.applied) == (["d", "c"], ["c", "d"])
    assert rows(empty_url, "select distinct change from plinth.ledger where revision in ('c', 'd')") == [
        ("nicknames",)
    ]
    assert undo.rollback(config).undone == ["d", "c"]
    done = undo.redo(config)
    assert (done.undone, done.applied) == (["b"], ["b"])


def test_downgrades_and_upgrades_by_steps(applied: History, empty_engine: Engine, empty_url: URL) -> None:
    config = applied.config(empty_engine)
    both = catalog(empty_url)
    command.downgrade(config, "-1")
    assert heads(empty_url) == {"a"}
    command.upgrade(config, "+1")
    assert catalog(empty_url) == both
    command.downgrade(config, "a")
    assert heads(empty_url) == {"a"}
    command.downgrade(config, "base")
    assert heads(empty_url) == set()


WAITS = (
    "if op.get_bind().scalar(sa.text(\"select to_regclass('plinth_only_a_trial')\")) is None:\n"
    "    op.execute('lock table u')"
)


@pytest.mark.parametrize(
    ("way", "onward", "stands"),
    [("downgrade -2", "downgrade c@b", "b"), ("upgrade +2", "upgrade d", "d"), ("redo", "upgrade d", "d")],
)
def test_the_rest_of_a_command_that_counts_is_named(  # noqa: PLR0917 - fixtures, and a case
    applied: History, empty_engine: Engine, empty_url: URL, monkeypatch: pytest.MonkeyPatch, way: str,
    onward: str, stands: str,
) -> None:  # fmt: skip
    name, *argument = way.split()
    config = applied.config(empty_engine)
    for each, after, waits in (("c", "b", name != "upgrade"), ("d", "c", name == "upgrade")):
        up, down = ("pass", WAITS) if name == "downgrade" else (WAITS, "pass")
        applied.add(
            each, after, *((up, down) if waits else ("pass", "pass")), doc="Change: both, step 1 of 2"
        )
    do(empty_url, "create table u ()")
    command.upgrade(config, "b" if name == "upgrade" else "head")
    monkeypatch.setenv("PLINTH_RETRY_LIMIT", "300ms")
    with psql(empty_url, autocommit=False) as other:
        other.execute("lock table u")
        with pytest.raises(CommandError, match=rf'To go on: alembic {onward}\. .*"the same command" is'):
            getattr(undo if name == "redo" else command, name)(config, *argument)
    name, target = onward.split()
    getattr(command, name)(config, target)
    assert heads(empty_url) == {stands}


def test_rows_are_not_lost_without_a_word(
    applied: History, foreign_engine: Engine, empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(empty_url, "insert into t_a values (1), (2)")
    applied.add("c", "b", 'op.execute("alter table t_a add c int")', 'op.drop_column("t_a", "c")')
    config = applied.config(foreign_engine)
    command.upgrade(config, "head")
    do(empty_url, "update t_a set c = 5 where id = 1")
    for target, lost in (
        ("b", r"column public\.t_a\.c \(1 row\)"),
        ("base", r"table public\.t_a \(2 rows\)"),
    ):
        with pytest.raises(CommandError, match=rf"would lose {lost}\. Refused: .*PLINTH_CONFIRM="):
            command.downgrade(config, target)
    assert rows(empty_url, "select count(*), count(c) from t_a") == [(2, 1)]
    monkeypatch.setenv("PLINTH_CONFIRM", str(empty_url.database))
    command.downgrade(config, "base")
    assert heads(empty_url) == set()


@contextmanager
def locked_for_a_moment(url: URL, table: str) -> Iterator[None]:
    """Hold a table until a command that needs it has waited for its lock in vain."""
    with psql(url, autocommit=False) as other:
        other.execute(f"lock table {table} in access exclusive mode".encode())
        timer = threading.Timer(1.0, other.rollback)
        timer.start()
        try:
            yield
        finally:
            timer.join()


@pytest.mark.parametrize(
    ("table", "target", "words"),
    [
        ("t_b", "-1", "would lose table public.t_b"),
        ("plinth.environment", "base", "downgrade to base"),
    ],
)
def test_what_is_refused_is_refused_after_a_lock_that_did_not_come_too(  # noqa: PLR0917 - fixtures, and a case
    applied: History, foreign_engine: Engine, empty_url: URL, table: str, target: str, words: str
) -> None:
    with connect(empty_url) as connection:
        write_marker(connection, "production")
        connection.commit()
    do(empty_url, "insert into t_b values (1), (2)")
    with locked_for_a_moment(empty_url, table), pytest.raises(CommandError, match=words):
        command.downgrade(applied.config(foreign_engine), target)
    assert heads(empty_url) == {"b"}
    assert rows(empty_url, "select count(*) from t_b") == [(2,)]


def test_what_slipped_in_is_refused_after_a_lock_that_did_not_come_too(
    applied: History, empty_engine: Engine, empty_url: URL
) -> None:
    applied.add("x", "a", 'op.execute("create table t_x ()")')
    b = applied.folder / "versions" / "b_make.py"
    b.write_text(b.read_text().replace("down_revision = 'a'", "down_revision = 'x'  # now"))
    applied.add("c", "b", 'op.execute("create table t_c ()")')
    with (
        locked_for_a_moment(empty_url, "plinth.ledger"),
        pytest.raises(CommandError, match="Revision x has never been applied here"),
    ):
        command.upgrade(applied.config(empty_engine), "head")
    assert heads(empty_url) == {"b"}


def test_rows_that_come_while_others_are_undone_are_not_lost_either(
    applied: History, foreign_engine: Engine, empty_url: URL
) -> None:
    applied.add("c", "b", "pass")
    command.upgrade(applied.config(foreign_engine), "head")

    @event.listens_for(foreign_engine, "commit")
    def write_when_c_is_undone(connection: Connection) -> None:
        if connection.scalar(text("select count(*) from plinth.ledger where direction = 'down'")):
            do(empty_url, "insert into t_b values (1) on conflict do nothing")

    with pytest.raises(CommandError, match=r"would lose table public\.t_b \(1 row\).*stands at b"):
        command.downgrade(applied.config(foreign_engine), "a")
    assert rows(empty_url, "select count(*) from t_b") == [(1,)]


@pytest.mark.parametrize(
    ("up", "down", "row", "no_row"),
    [
        ("create table t_c (id int)", "drop table t_c", "insert into t_c values (1)", "delete from t_c"),
        (
            "alter table t_b add c int",
            "alter table t_b drop c",
            "update t_b set c = 1",
            "update t_b set c = null",
        ),
    ],
)
def test_rows_that_come_between_the_last_look_and_the_drop_are_not_lost_either(  # noqa: PLR0917 - a case
    applied: History, foreign_engine: Engine, empty_url: URL, up: str, down: str, row: str, no_row: str
) -> None:
    do(empty_url, "insert into t_b values (1)")
    applied.add("c", "b", f"op.execute({up!r})", f"op.execute({down!r})")
    command.upgrade(applied.config(foreign_engine), "head")
    ends: list[int] = []

    @event.listens_for(foreign_engine, "before_cursor_execute")
    def begin_to_count(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        if "create temporary table plinth_only_a_trial" in statement:
            ends.append(0)

    @event.listens_for(foreign_engine, "rollback")
    def write_when_it_is_measured(_: Connection) -> None:
        if ends:
            ends[-1] += 1
            if ends == [2]:  # the trial's end, and that of the look at what is back
                do(empty_url, row)

    with pytest.raises(CommandError, match=r"would lose .*: rows have come"):
        command.downgrade(applied.config(foreign_engine), "b")
    assert heads(empty_url) == {"c"}
    do(empty_url, no_row)
    command.downgrade(applied.config(foreign_engine), "b")
    assert heads(empty_url) == {"b"}


def test_in_development_the_loss_is_only_said(
    applied: History, empty_engine: Engine, empty_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    do(empty_url, "insert into t_a values (1), (2)")
    command.downgrade(applied.config(empty_engine), "base")
    assert "This loses table public.t_a (2 rows)." in caplog.text
    assert heads(empty_url) == set()


@pytest.mark.parametrize("declared", [True, False])
def test_a_revision_that_cannot_be_undone_stops_before_anything_ran(
    applied: History, empty_engine: Engine, empty_url: URL, declared: bool
) -> None:
    why = "'the old values are gone'"
    down, extra = ("pass", f"irreversible = {why}") if declared else (f"raise NotImplementedError({why})", "")
    applied.add("c", "b", 'op.execute("create table c ()")', down, extra=extra)
    applied.add("d", "c", 'op.execute("create table d ()")', 'op.drop_table("d")')
    command.upgrade(applied.config(empty_engine), "head")
    before = catalog(empty_url)
    with pytest.raises(CommandError, match=r"the old values are gone\. Nothing has been changed"):
        command.downgrade(applied.config(empty_engine), "b")
    assert (heads(empty_url), catalog(empty_url)) == ({"d"}, before)


def test_status_tells_pending_from_applied(history: History, empty_engine: Engine, empty_url: URL) -> None:
    history.tables("a", "b")
    found = status(history.config(empty_engine))
    assert (found.exit_code, found.pending, found.heads) == (PENDING, ["a", "b"], [])
    assert rows(empty_url, "select from pg_tables where schemaname in ('public', 'plinth')") == []
    command.upgrade(history.config(empty_engine), "a")
    assert status(history.config(empty_engine)).pending == ["b"]
    command.upgrade(history.config(empty_engine), "head")
    found = status(history.config(empty_engine))
    assert (found.exit_code, found.pending, found.heads) == (IN_ORDER, [], ["b"])
    line = found.revisions[1]
    assert (line.revision, line.message, line.state, line.batch) == ("b", "make b", "applied", 2)
    assert line.applied_at
    assert line.seconds is not None
    assert "@" in str(line.by)


@pytest.mark.slow
def test_the_program_prints_a_table_and_json(project: Project) -> None:
    printed = project.run("plinth", "status")
    assert printed.returncode == PENDING
    assert f"{len(REVISIONS)} pending" in printed.stdout
    project.ok("alembic", "upgrade", "head")
    printed = project.run("plinth", "status")
    assert printed.returncode == IN_ORDER
    for words in (FIRST, "create users", "create authentication", "All is applied, and in order."):
        assert words in printed.stdout
    found = json.loads(project.ok("plinth", "status", "--json"))
    assert (found["exit_code"], found["pending"], found["heads"]) == (IN_ORDER, [], [HEAD])
    redone = project.ok("plinth", "redo")
    assert redone.startswith("Undone and applied again: ")
    assert redone.endswith(f"{HEAD}.\n")
    assert project.ok("plinth", "rollback") == f"Undone: {', '.join(reversed(REVISIONS))}.\n"
    refused = project.run("plinth", "status", "--json", DATABASE_URL="postgresql:///none?host=/nowhere")
    assert refused.returncode == WRONG
    assert "no connection" in json.loads(refused.stdout)["error"]


def test_an_edited_file(applied: History, empty_engine: Engine) -> None:
    path = applied.folder / "versions" / "a_make.py"
    path.write_text(path.read_text().replace("op.create_table(", "op.create_table(  # formatted anew\n"))
    assert problems(applied, empty_engine) == set()
    path.write_text(path.read_text().replace('"id"', '"key"', 1))
    assert problems(applied, empty_engine) == {"edited"}


def test_a_missing_file(applied: History, empty_engine: Engine) -> None:
    (applied.folder / "versions" / "a_make.py").unlink()
    applied.add("b", None, 'op.create_table("t_b", sa.Column("id", sa.Integer(), primary_key=True))')
    assert {"missing"} <= problems(applied, empty_engine)


def test_a_database_ahead_of_the_code(applied: History, empty_engine: Engine) -> None:
    (applied.folder / "versions" / "b_make.py").unlink()
    assert problems(applied, empty_engine) == {"ahead"}


def test_who_has_no_ledger_is_not_sent_to_base(
    applied: History, empty_engine: Engine, empty_url: URL
) -> None:
    (applied.folder / "versions" / "b_make.py").unlink()
    do(empty_url, "drop schema plinth cascade")
    with pytest.raises(
        CommandError, match=r"undo it there \(down to the newest revision that is here, too\)"
    ):
        command.upgrade(applied.config(empty_engine), "head")


def test_several_heads(applied: History, empty_engine: Engine) -> None:
    applied.add("side", "a", "pass")
    assert problems(applied, empty_engine) == {"heads"}


def test_what_is_not_valid(applied: History, empty_engine: Engine, empty_url: URL) -> None:
    do(empty_url, "alter table t_a add constraint positive check (id > 0) not valid")
    assert problems(applied, empty_engine) == {"not valid"}
    do(empty_url, "alter table t_a drop constraint positive; create index broken on t_a (id)")
    do(empty_url, "update pg_index set indisvalid = false where indexrelid = 'broken'::regclass")
    assert problems(applied, empty_engine) == {"invalid index"}


@pytest.mark.parametrize("side", ["parent", "child", "child_1"])
def test_a_foreign_key_that_is_not_checked(
    applied: History, empty_engine: Engine, empty_url: URL, side: str
) -> None:
    """As an interrupted pg_restore --disable-triggers leaves it, for one partition of a table too."""
    do(empty_url, "create table parent (id int primary key)")
    do(empty_url, "create table child (n int constraint fk references parent) partition by list (n)")
    do(empty_url, "create table child_1 partition of child default")
    do(
        empty_url,
        f"alter table {side} disable trigger all; insert into child_1 select 7 where '{side}' <> 'parent'",
    )
    (found,) = status(applied.config(empty_engine)).problems
    words, _, statement = found.message.partition("break it. ")
    assert (found.kind, words) == (
        "not checked",
        "Foreign key fk on child isn't checked, for triggers are disabled: rows may ",
    )
    if side != "parent":
        with pytest.raises(ForeignKeyViolation):
            do(empty_url, statement)
        do(empty_url, "delete from child_1")
    do(empty_url, statement)
    assert problems(applied, empty_engine) == set()


def test_an_online_step_that_was_interrupted(applied: History, empty_engine: Engine) -> None:
    build = f'{CONCURRENTLY}op.create_index("ix", "t_a", ["id"], postgresql_concurrently=True)'
    applied.add("c", "b", f"{build}\nraise KeyError")
    with pytest.raises(KeyError):
        command.upgrade(applied.config(empty_engine), "head")
    assert problems(applied, empty_engine) == {"interrupted"}


def test_a_database_without_a_ledger_is_taken_in(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    history.tables("1975ea83b712", "27c6a30d7c24")
    command.upgrade(history.config(empty_engine), "head")
    do(empty_url, "drop schema plinth cascade")
    found = status(history.config(empty_engine))
    assert (found.exit_code, [line.state for line in found.revisions]) == (IN_ORDER, ["applied"] * 2)
    assert rows(empty_url, "select to_regnamespace('plinth')") == [(None,)]
    history.add("ae1027a6acf0", "27c6a30d7c24", 'op.execute("create table x ()")', 'op.drop_table("x")')
    command.upgrade(history.config(empty_engine), "head")
    directions = [row[:2] for row in ledger(empty_url)]
    assert directions == [("1975ea83b712", "stamp"), ("27c6a30d7c24", "stamp"), ("ae1027a6acf0", "up")]
    assert undo.rollback(history.config(empty_engine)).undone == ["ae1027a6acf0"]


def test_a_protected_database_refuses_to_be_emptied(
    applied: History, foreign_engine: Engine, empty_url: URL
) -> None:
    with connect(empty_url) as connection:
        write_marker(connection, "production")
        connection.commit()
    with pytest.raises(CommandError, match="production database"):
        command.downgrade(applied.config(foreign_engine), "base")
    assert heads(empty_url) == {"b"}
