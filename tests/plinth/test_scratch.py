"""Scratch databases: where they may be made, and that nothing is left of them."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plinth.local_server import development_server
from plinth.safety import is_on_local_server, write_marker
from plinth.scratch.databases import NoScratchError, objection_to_scratch, scratch_database, url_of
from tests.plinth.field.roles import role
from tests.plinth.history import do, psql, rows
from tests.plinth.test_safety import elsewhere


@pytest.fixture
def target(empty_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    monkeypatch.delenv("APP_ENV", raising=False)
    with empty_engine.connect() as connection:
        write_marker(connection, "development")
        connection.commit()
        yield connection


def scratch_names(url: URL) -> set[str]:
    found = rows(url, "select datname from pg_database where datname like 'plinth\\_scratch\\_%'")
    return {name for (name,) in found}


def name_of(engine: Engine) -> str:
    with engine.connect() as connection:
        return str(connection.scalar(text("select current_database()")))


def test_it_is_empty_and_gone_afterwards(target: Connection, empty_url: URL) -> None:
    with scratch_database(target) as engine:
        name = name_of(engine)
        assert name in scratch_names(empty_url)
        with engine.begin() as connection:
            connection.execute(text("create table t (id int)"))
            assert connection.scalar(text("show synchronous_commit")) == "off"
            assert connection.scalar(text("show server_encoding")) == target.scalar(
                text("show server_encoding")
            )
    assert name not in scratch_names(empty_url)
    assert target.scalar(text("select to_regclass('t')")) is None


def test_roles_that_are_there_are_left_alone_and_new_ones_go_with_it(
    target: Connection, empty_url: URL
) -> None:
    standing, new = (f'plinth "{each} {secrets.token_hex(4)}' for each in ("standing", "new"))
    quoted = {each: '"{}"'.format(each.replace('"', '""')) for each in (standing, new)}
    found = "select rolname, rolcanlogin, rolcreatedb from pg_roles where rolname in (%s, %s)"
    with psql(empty_url) as server:
        server.execute(f"create role {quoted[standing]}".encode())
    try:
        with scratch_database(target) as engine:
            for _ in range(2):
                with engine.begin() as connection:
                    connection.execute(text("create table t (id int)"))
                    for each in quoted.values():
                        connection.execute(text(f"CREATE ROLE {each} WITH LOGIN"))
                        connection.execute(text(f"alter role {each} createdb"))
                        connection.execute(text(f"grant select on t to {each}"))
                inside = sorted(rows(empty_url, found, standing, new))
                assert inside == [(new, True, True), (standing, False, False)]
                with engine.begin() as connection:
                    connection.execute(text("drop table t"))
                    for each in quoted.values():
                        connection.execute(text(f"Drop User If Exists {each}"))
                assert rows(empty_url, found, standing, new) == [(standing, False, False)]
            with engine.begin() as connection:
                connection.execute(text(f"create user {quoted[new]} in role {quoted[standing]}"))
        assert rows(empty_url, found, standing, new) == [(standing, False, False)]
    finally:
        with psql(empty_url) as server:
            server.execute(f"drop role {quoted[standing]}".encode())


def test_what_is_the_whole_servers_is_left_alone_however_it_is_said(
    target: Connection, empty_url: URL
) -> None:
    standing, new = (f"plinth_test_{secrets.token_hex(4)}" for _ in range(2))
    block = "do $$ begin {} if true then {} end if; end $$"
    found = (
        "select (select rolcanlogin from pg_roles where rolname = %s), "
        "exists (select from pg_roles where rolname = %s), "
        "(select count(*) from pg_auth_members where member = to_regrole(%s)), "
        "(select setconfig from pg_db_role_setting where setdatabase = "
        "(select oid from pg_database where datname = current_database()))"
    )
    with psql(empty_url) as server:
        server.execute(f"create role {standing} login".encode())
        before = server.execute(found, [standing, new, standing]).fetchone()
        with scratch_database(target) as scratch, scratch.connect() as connection:
            for statement in (
                f"-- a reader\ncreate role {standing}",
                f"grant pg_monitor to {standing}",
                f"alter database {empty_url.database} set work_mem = '7MB'",
                f"/* all */ grant connect on database {empty_url.database} to {standing}",
                block.format(f"create role {new};", f"drop role if exists {standing};"),
                f"grant {new} to {standing}",
                f"set work_mem = '8MB'; ALTER /* x */ ROLE {standing} nologin; select 1",
                f"do 'begin grant pg_monitor to {standing}; end'",
                f"select 1; do $$ begin if true then -- x\n ALTER USER {standing} nologin; end if; end $$",
                f"-- create role\ncreate table t (c text default 'drop role {standing}' /* ; alter role */)",
            ):
                connection.exec_driver_sql(statement)
            connection.commit()
            assert connection.exec_driver_sql("select to_regclass('t')::text").scalar() == "t"
            assert server.execute(found, [standing, new, standing]).fetchone() == (True, True, 1, None)
        assert server.execute(found, [standing, new, standing]).fetchone() == before
        server.execute(f"drop role {standing}".encode())


def test_what_shared_catalogs_have_is_left_alone(
    target: Connection, empty_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    """Other databases, their owners and settings; parameters, tablespaces, and what is said of roles."""
    old, new, made = (f"plinth_test_{secrets.token_hex(4)}" for _ in range(3))
    legacy, other, publisher = f"{old}_legacy", f"{old}_other", f"host=127.0.0.1 port=1 dbname={old}"
    block = "do $$ begin if true then {}; end if; end $$"
    ((has_parameters,),) = rows(empty_url, "select to_regclass('pg_parameter_acl') is not null")  # in 14 not
    parameters = f"(select count(*) from pg_parameter_acl where paracl::text ~ '{new}')"  # noqa: S608
    found = f"""
        select (select pg_get_userbyid(datdba) || ' ' || datconnlimit || coalesce(datacl::text, '')
                from pg_database where datname = '{legacy}'),
               (select datacl::text from pg_database where datname = '{empty_url.database}'),
               exists (select from pg_database where datname = '{other}'),
               (select count(*) from pg_db_role_setting where 'application_name=tried' = any(setconfig)),
               {parameters if has_parameters else "null"},
               exists (select from pg_tablespace where spcname = '{other}'),
               (select coalesce(spcacl::text, '') || coalesce(spcoptions::text, '')
                from pg_tablespace where spcname = 'pg_default'),
               (select count(*) from pg_shdescription where description = 'tried'),
               (select count(*) from pg_subscription where subname = '{old}'),
               (select array_agg(rolname::text order by rolname) from pg_roles
                where rolname ~ '^{old}|^{new}|^{made}'),
               (select count(*) from pg_auth_members where roleid = to_regrole('{old}'))
        """  # noqa: S608
    said = [
        f"REASSIGN OWNED BY {old}, {new} TO {new}",
        f"drop owned by {old}",
        "ALTER ROLE ALL SET application_name = 'tried'",
        "alter role current_user set application_name = 'tried'",
        f"grant set on parameter log_min_messages to {new}",
        f"grant connect, temporary on database {legacy} to {new}",
        f"grant create on tablespace pg_default to {new}",
        "comment on tablespace pg_default is 'tried'",
        "alter tablespace pg_default set (random_page_cost = 7)",
        f"create tablespace {other} location '/'",
        f"create database {other}",
        f"drop database {legacy}",
        f"alter database {legacy} connection limit 7",
        f"comment on database {legacy} is 'tried'",
        f"comment on role {old} is 'tried'",
        f"create subscription {old} connection '{publisher}' publication p with (connect = false)",
        f"alter role {old} rename to {other}",
        f"grant {old}, {made} to {new}",
        block.format(f"execute 'alter role {old} rename to {other}'"),
        block.format(f"execute 'alter role ' || quote_ident('{old}') || ' rename to {other}'"),
        block.format(f"execute format('drop role %I', '{old}')"),
        block.format(f"execute format('grant %I to %I', '{old}', '{new}')"),
        block.format(f"reassign owned by {old} to {new}"),
    ]
    with psql(empty_url) as server:
        server.execute(f"create role {old}".encode())
        server.execute(f"create role {new}".encode())
        server.execute(f"create database {legacy} owner {old}".encode())
        server.execute(f"grant connect on database {empty_url.database} to {old}".encode())
    try:
        before = rows(empty_url, found)
        with scratch_database(target) as scratch:
            with scratch.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.exec_driver_sql(f"create role {made}")
                connection.exec_driver_sql(f"alter role {made} rename to {made}_too")
                for statement in said:
                    connection.exec_driver_sql(statement.replace("%", "%%"))
            with scratch.begin() as connection:  # of what trials make all may be said
                connection.exec_driver_sql(f"create table t (); alter table t owner to {made}_too")
                connection.exec_driver_sql(f"comment on role {made}_too is 'ours'")
                connection.exec_driver_sql(f"grant {old} to {made}_too")
                connection.exec_driver_sql(f"reassign owned by {made}_too to {new}")
                connection.exec_driver_sql(f"drop owned by {made}_too")
                connection.exec_driver_sql(block.format(f"execute 'create role ' || '{made}_3'"))
                owner = "select pg_get_userbyid(relowner) from pg_class where relname = 't'"
                assert connection.exec_driver_sql(owner).scalar() == new
        assert rows(empty_url, found) == before
        assert f"drop owned by {old}" in caplog.text
    finally:
        with psql(empty_url) as server:
            server.execute(f"drop database if exists {legacy}".encode())
            server.execute(f"drop owned by {old}, {new}".encode())
            server.execute(f"drop role {old}".encode())
            server.execute(f"drop role {new}".encode())


def test_its_url_says_nothing_that_an_older_libpq_does_not_know(target: Connection) -> None:
    assert set(url_of(target).query) <= {"host", "port", "hostaddr"}


def test_sessions_that_are_still_in_it_are_ended(target: Connection, empty_url: URL) -> None:
    with scratch_database(target) as engine:
        name = name_of(engine)
        still_open = engine.connect()
        still_open.execute(text("select 1"))
    assert name not in scratch_names(empty_url)
    still_open.invalidate()
    still_open.close()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_it_is_gone_after_an_error(target: Connection, empty_url: URL, error: type[BaseException]) -> None:
    names = []

    def fail() -> None:
        with scratch_database(target) as engine:
            names.append(name_of(engine))
            raise error

    with pytest.raises(error):
        fail()
    assert not set(names) & scratch_names(empty_url)


def major_version_of(connection: Connection) -> int:
    version = connection.dialect.server_version_info
    assert version
    return int(version[0])


KILLED = """
import sys
from sqlalchemy import create_engine
from plinth.scratch.databases import scratch_database
with create_engine(sys.argv[1]).connect() as target, scratch_database(target) as engine:
    print(engine.url.database, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_program_left_is_dropped_at_the_next_use(target: Connection, empty_url: URL) -> None:
    url = empty_url.render_as_string(hide_password=False)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        name = process.stdout.readline().strip()
        with scratch_database(target):
            assert name in scratch_names(empty_url)  # it lives, and so does its program
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    for _ in range(100):  # until the server has noticed
        with scratch_database(target):
            pass
        if name not in scratch_names(empty_url):
            break
    assert name not in scratch_names(empty_url)


@pytest.mark.parametrize("in_transaction", [True, False])
def test_the_transaction_of_the_target_is_left_alone(
    target: Connection, empty_url: URL, *, in_transaction: bool
) -> None:
    if in_transaction:
        target.execute(text("create table half_done (id int)"))
    with scratch_database(target):
        assert target.in_transaction() is in_transaction
    assert target.in_transaction() is in_transaction
    if in_transaction:
        assert target.scalar(text("select to_regclass('half_done')")) == "half_done"
        target.rollback()
    assert rows(empty_url, "select to_regclass('half_done')::text") == [(None,)]


def test_it_has_the_search_path_of_the_target(target: Connection) -> None:
    target.execute(text('set search_path = shop, "$user", public'))
    target.commit()
    with scratch_database(target) as engine, engine.begin() as connection:
        connection.execute(text("create schema shop"))
        assert connection.scalar(text("select current_schema()")) == "shop"


def test_it_has_the_encoding_and_locale_of_the_target(target: Connection, empty_url: URL) -> None:
    name = f"{empty_url.database}_latin"
    with create_engine(empty_url, isolation_level="AUTOCOMMIT", poolclass=NullPool).connect() as server:
        provider = "locale_provider libc" if major_version_of(server) >= 15 else ""
        server.execute(
            text(
                f"create database {name} template template0 encoding 'LATIN1' "
                f"lc_collate 'C' lc_ctype 'C' {provider}"
            )
        )
        try:
            engine = create_engine(empty_url.set(database=name), poolclass=NullPool)
            with engine.connect() as latin:
                write_marker(latin, "development")
                latin.commit()
                with scratch_database(latin) as made, made.connect() as connection:
                    assert connection.scalar(text("show server_encoding")) == "LATIN1"
        finally:
            server.execute(text(f"drop database {name} with (force)"))


@pytest.mark.parametrize(
    ("marker", "app_env", "words"),
    [
        (None, "", "nothing says"),
        (None, "production", "production"),
        ("production", "", "production"),
        ("production", "development", "production"),
        ("development", "production", "production"),
        (None, "development", None),
        (None, "test", None),
        ("development", "", None),
        ("test", "", None),
    ],
)
def test_where_it_may_be_made(
    empty_url: URL, monkeypatch: pytest.MonkeyPatch, marker: str | None, app_env: str, words: str | None
) -> None:
    monkeypatch.setenv("APP_ENV", app_env)
    engine = create_engine(elsewhere(empty_url), poolclass=NullPool)
    with engine.connect() as target:
        if marker:
            write_marker(target, marker)
            target.commit()
        objection = objection_to_scratch(target)
        assert objection is None if words is None else words in str(objection)


def test_on_the_local_server_it_may(empty_url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APP_ENV", raising=False)
    if not is_on_local_server(empty_url):
        pytest.skip("the tests run on another server")
    with create_engine(empty_url, poolclass=NullPool).connect() as target:
        assert objection_to_scratch(target) is None


def test_a_role_that_may_not_create_databases_is_told_so(target: Connection) -> None:
    target.execute(text("create role plinth_poor"))
    target.execute(text("grant usage on schema plinth to plinth_poor"))
    target.execute(text("grant select on plinth.environment to plinth_poor"))
    target.execute(text("set local role plinth_poor"))
    assert "may not create databases" in str(objection_to_scratch(target))
    target.rollback()


def test_a_protected_server_gets_none(
    empty_url: URL, monkeypatch: pytest.MonkeyPatch, open_folder: os.PathLike[str]
) -> None:
    monkeypatch.setenv("APP_ENV", "production")
    monkeypatch.setenv("PLINTH_HOME", str(open_folder))
    monkeypatch.setattr("plinth.local_server.major_version", lambda: "17000")
    engine = create_engine(empty_url, poolclass=NullPool)
    made: list[object] = []
    monkeypatch.setattr("plinth.scratch.databases._create", lambda *given, **_: made.append(given))
    with (
        engine.connect() as target,
        pytest.raises(NoScratchError, match="production") as caught,
        scratch_database(target),
    ):
        raise AssertionError("unreachable")
    assert "17000" in str(caught.value)
    assert made == []


def test_a_protected_server_s_scratch_databases_lie_on_the_local_one(
    empty_url: URL, monkeypatch: pytest.MonkeyPatch, open_folder: os.PathLike[str]
) -> None:
    monkeypatch.setenv("APP_ENV", "production")
    monkeypatch.setenv("PLINTH_HOME", str(open_folder))
    engine = create_engine(empty_url, poolclass=NullPool)
    with engine.connect() as target:
        if major_version_of(target) != 18:
            pytest.skip("the local server has another major version")
        try:
            with scratch_database(target) as made, made.connect() as connection:
                assert connection.scalar(text("select system_identifier from pg_control_system()")) != (
                    target.scalar(text("select system_identifier from pg_control_system()"))
                )
                assert name_of(made) not in scratch_names(empty_url)
        finally:
            development_server().stop()


def test_the_role_that_would_make_it_is_asked_where_the_database_gives_sessions_another(
    empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    with role(empty_url, "owner") as owner, role(empty_url, "mig") as mig:
        names = f'"{owner.username}"', f'"{mig.username}"'
        do(empty_url, f"alter role {names[0]} createdb; grant {names[0]} to {names[1]}")
        do(empty_url, f'alter role {names[1]} in database "{empty_url.database}" set role = {names[0]}')
        monkeypatch.setenv("APP_ENV", "test")
        monkeypatch.setenv("PLINTH_HOME", "/dev/null/nowhere")
        monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
        said = f"role {mig.username}, as which its sessions begin, may not create databases"
        with create_engine(mig, poolclass=NullPool).connect() as target:
            assert target.scalar(text("select current_user")) == owner.username
            with pytest.raises(NoScratchError, match=said), scratch_database(target):
                pass
