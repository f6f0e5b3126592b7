"""What the environment, `.env` and `pyproject.toml` say: which database, which APP_ENV."""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plinth.errors import PlinthError

if TYPE_CHECKING:  # a program that looks whether anything is pending doesn't wait for their import
    from alembic.config import Config
    from sqlalchemy.engine import URL

_chosen: Path | None = None

# libpq takes these for whatever a URL leaves out (PostgreSQL documentation, 32.15 "Environment Variables"),
# so that they could send a command to a database that nobody named. Those that carry credentials stay.
PLACES_OF_LIBPQ = (
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGDATABASE",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGOPTIONS",
    "PGTARGETSESSIONATTRS",
    "PGLOADBALANCEHOSTS",
)


# What a URL's query may hold: nothing that changes which database is reached, or how psycopg hands out rows.
_OPTIONS = re.compile(
    r"host|port|password|passfile|options|client_encoding|application_name|fallback_application_name"
    r"|connect_timeout|tcp_user_timeout|keepalives(_idle|_interval|_count)?|target_session_attrs"
    r"|load_balance_hosts|channel_binding|require_auth|requirepeer|(min|max)_protocol_version|ssl\w+"
    r"|gssencmode|gsslib|gssdelegation|krbsrvname|scram_\w+|oauth_\w+"
)
_RENAMED = {"ssl": "sslmode", "timeout": "connect_timeout"}
_SOCKET = "unix_sock"  # pg8000's: the file, where libpq takes its folder and a port
_SSL_MODES = {"true": "require", "1": "require", "false": "disable", "0": "disable"}
_ELSEWHERE = {
    "dbname": "write the database behind the host's slash",
    "user": "write the user before the @",
    "hostaddr": "write the address as the host",
    "service": "write host and database themselves",
}

ENVIRONMENTS = ("development", "test", "production")
SERVERS_OWN_DATABASES = ("postgres", "template0", "template1")
OLDEST_SERVER = 14  # the major version of PostgreSQL
LONGEST_NAME = 63  # bytes, of anything in PostgreSQL
LONGEST_DURATION = timedelta(milliseconds=2**31 - 1)  # PostgreSQL's own limit
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86400}  # as PostgreSQL writes them


class SettingsError(PlinthError):
    """A setting can't be used; the message says which one and what to write."""


@dataclass(frozen=True)
class Settings:
    """What `[tool.plinth]` may say, and what holds when it doesn't.

    An environment variable (or a line in `.env`) goes before it: PLINTH_LOCK_TIMEOUT for `lock_timeout`, and
    so on. Durations are written as PostgreSQL does: "250ms", "2s", "5min", or a number of milliseconds.

    Args:
        database: the local server's development database.
        seeds: a module that loads the development rows.
        lock_timeout: how long a revision waits for one lock before it lets others go first; 0 is for ever.
        statement_timeout: how long one statement of a revision may take; 0 is for ever.
        retry_limit: for how long a revision is tried again when its locks won't come.
        online: whether autogenerate writes revisions that a busy database doesn't feel.
        leaving: tables and columns (`table.column`) that have left the models, and aren't to be dropped yet.
        hold_after: whether `alembic upgrade` leaves out, outside of development, what comes after the code.
        oldest_server: the oldest PostgreSQL that new revisions are for, by its major version.
        lint_since: the newest revision that `make db-lint` doesn't look at, nor those before it.
        timestamps: whether a revision's id is the time at which it was written, in UTC.
        messages: whether a revision needs a message that says what it changes.
    """

    database: str = "app_development"
    seeds: str = ""
    lock_timeout: timedelta = timedelta(milliseconds=250)
    statement_timeout: timedelta = timedelta(0)
    retry_limit: timedelta = timedelta(minutes=5)
    online: bool = True
    leaving: tuple[str, ...] = ()
    hold_after: bool = False
    oldest_server: int = OLDEST_SERVER
    lint_since: str = ""
    timestamps: bool = False
    messages: bool = False


def root() -> Path:
    """Return the project's folder, which has its `.env`, `pyproject.toml` and `.postgres/`.

    It is the one that was chosen (`use_root`), or else the one that the working directory is in.
    """
    return _chosen or project_of(Path.cwd()) or _source() or Path.cwd()


def to_type(target: str, otherwise: str) -> str:
    """Return what a user types: a target of the project's Makefile if it has that, or else a program.

    Args:
        target: `db-upgrade`, for instance.
        otherwise: the program.
    """
    makefile = root() / "Makefile"
    has_it = makefile.is_file() and f"\n{target}:" in makefile.read_text(encoding="utf-8", errors="replace")
    return f"make {target}" if has_it else otherwise


def use_root(place: Path, *, again: bool = True) -> None:
    """Choose the project.

    Args:
        place: a file or folder of it, its `alembic.ini` for instance.
        again: also where one has been chosen before.
    """
    global _chosen  # noqa: PLW0603 - a process has one project
    if _chosen is None or again:
        _chosen = project_of(place.resolve()) or place.resolve().parent
        tool_settings.cache_clear()


def project_of(place: Path) -> Path | None:
    """Return the nearest folder that is a project's, from a place upwards; None if there is none."""
    of_project = ("pyproject.toml", ".git")
    for names in (of_project, ("alembic.ini",)):
        for folder in (place, *place.parents):
            if any((folder / name).exists() for name in names):
                return folder
    return None


def alembic_file() -> Path | None:
    """Return the file of Alembic's configuration that is meant here; None where Python makes it.

    It is ALEMBIC_CONFIG's; else `alembic.ini` here, in the project's folder, or in the one of its migrations,
    where Flask-Migrate puts it. It need not be there: then `pyproject.toml` alone says all.
    """
    named = os.environ.get("ALEMBIC_CONFIG", "")
    if is_made_by_python(named):
        return None
    if named:
        return Path(named)
    places = ("alembic.ini", "migrations/alembic.ini", "alembic/alembic.ini", "db/alembic.ini")
    folders = [Path.cwd()] if Path.cwd().is_relative_to(root()) else []  # several in one repository
    candidates = [*(each / places[0] for each in folders), *(root() / place for place in places)]
    return next((each for each in candidates if each.is_file()), root() / places[0])


def is_made_by_python(named: str) -> bool:
    """Whether a configuration is named as `module:name`, and is no file."""
    return re.fullmatch(r"[A-Za-z_][\w.]*:\w+", named) is not None


def _source() -> Path | None:
    """Return the folder from whose source this package runs, where that is a project."""
    folder = Path(__file__).resolve().parent.parent
    return folder if (folder / "alembic.ini").is_file() else None


def variable(name: str) -> str | None:
    """Return the environment variable `name`, else its value in `.env`; None when it is unset or empty."""
    return os.environ.get(name) or _written(root() / ".env").get(name) or None


def _written(file: Path) -> Mapping[str, str | None]:
    if not file.exists():
        return {}
    from dotenv import dotenv_values  # noqa: PLC0415 - where there is no such file it isn't needed

    return dotenv_values(file)


def app_env() -> str | None:
    """Return APP_ENV; None when unset.

    Raises:
        SettingsError: it is none of development, test and production.
    """
    value = variable("APP_ENV")
    if value not in {None, *ENVIRONMENTS}:
        raise SettingsError(f"APP_ENV is {value!r}: it must be development, test or production.")
    return value


def development_database() -> str:
    """Return the name of the local server's development database (`[tool.plinth] database`)."""
    return configured().database


def configured() -> Settings:
    """Return all settings, from the environment, `.env` and `[tool.plinth]`.

    Raises:
        SettingsError: one of them can't be read.
    """
    given: dict[str, Any] = {}
    for setting in fields(Settings):
        name, value = said(setting.name)
        if value is not None:
            given[setting.name] = _READERS.get(setting.type, _text)(value, name)
            if setting.name == "database":
                _check_database(given["database"], name)
    return Settings(**given)


def said(setting: str) -> tuple[str, Any]:
    """Return where a setting is said, in the environment or else in `[tool.plinth]`, and what it is."""
    name = f"PLINTH_{setting.upper()}"
    value = variable(name)
    return (f"{setting} in [tool.plinth]", tool_settings().get(setting)) if value is None else (name, value)


def _check_database(database: str, setting: str) -> None:
    if database in SERVERS_OWN_DATABASES:
        raise SettingsError(f"{setting} is {database!r}, which is the server's own: write another name.")
    if len(database.encode()) > LONGEST_NAME:
        raise SettingsError(f"{setting} is longer than {LONGEST_NAME} bytes: write a shorter name.")


def yes_or_no(value: object, setting: str) -> bool:
    """Return what a switch says.

    Args:
        value: yes or no, true or false, on or off.
        setting: where it comes from, for the message.

    Raises:
        SettingsError: it is something else.
    """
    word = str(value).strip().lower()
    if word not in {"yes", "true", "on", "1", "no", "false", "off", "0"}:
        raise SettingsError(f"{setting} is {value!r}: write yes or no.")
    return word in {"yes", "true", "on", "1"}


def names(value: object, setting: str) -> tuple[str, ...]:
    """Return the names that a setting lists.

    Args:
        value: a list of texts, or a text with commas between them.
        setting: where it comes from, for the message.

    Raises:
        SettingsError: it is something else.
    """
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise SettingsError(f'{setting} is {value!r}: write a list of names, ["table.column"].')
    return tuple(each.strip() for each in given if each.strip())


def _text(value: object, _: str) -> str:
    return str(value)


def duration(value: object, setting: str) -> timedelta:
    """Return a duration that is written as PostgreSQL does.

    Args:
        value: a number of milliseconds, or a number with its unit.
        setting: where it comes from, for the message.

    Raises:
        SettingsError: it is no duration, or one that PostgreSQL can't wait for.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)?\s*", str(value))
    if match is None:
        raise SettingsError(f'{setting} is {value!r}: write a duration such as "250ms", "2s" or "5min".')
    seconds = float(match[1]) * _UNITS[match[2] or "ms"]
    if seconds and round(seconds, 6) < 0.001:  # would be rounded to 0, which is for ever
        raise SettingsError(f"{setting} is {value!r}: write 1ms at least, or 0 for no limit.")
    if seconds > LONGEST_DURATION.total_seconds():
        raise SettingsError(
            f"{setting} is {value!r}: write {LONGEST_DURATION.days}d at most, or 0 for no limit."
        )
    return timedelta(seconds=seconds)


def major_version(value: object, setting: str) -> int:
    """Return a major version of PostgreSQL.

    Args:
        value: the number.
        setting: where it comes from, for the message.

    Raises:
        SettingsError: it is something else.
    """
    if not re.fullmatch(r"\d{1,3}", str(value)) or int(str(value)) < OLDEST_SERVER:
        raise SettingsError(
            f"{setting} is {value!r}: write a major version of PostgreSQL, {OLDEST_SERVER} or newer."
        )
    return int(str(value))


_READERS: dict[object, Callable[[object, str], object]] = {
    timedelta: duration,
    bool: yes_or_no,
    int: major_version,
    tuple[str, ...]: names,
}


@cache
def tool_settings() -> dict[str, Any]:
    """Return the table `[tool.plinth]` of pyproject.toml; empty when there is none."""
    file = root() / "pyproject.toml"
    if not file.is_file():
        return {}
    try:
        settings: dict[str, Any] = tomllib.loads(file.read_text()).get("tool", {}).get("plinth", {})
    except ValueError as error:
        raise SettingsError(f"{file} can't be read: {error}.") from error
    return settings


def url_of(config: "Config") -> "URL | None":
    """Return the database that Alembic's configuration or `env.py` names (`sqlalchemy.url`), if any.

    Raises:
        SettingsError: it is no PostgreSQL URL.
    """
    text = config.get_alembic_option("sqlalchemy.url")  # of alembic.ini, or of pyproject.toml
    return None if not text or text.startswith("driver://") else parse_url(text, "sqlalchemy.url")


def database_url() -> "URL":
    """Return the application's database: DATABASE_URL's, or the local server's, which is started, else.

    Raises:
        SettingsError: DATABASE_URL is no PostgreSQL URL, or is unset in production.
    """
    return _configured("DATABASE_URL") or _local()


def application_url(config: "Config | None" = None) -> "URL":
    """Return the database that Alembic's configuration names, if it names one, or else `database_url()`."""
    named = None if config is None else url_of(config)
    return named or database_url()


def migration_url(config: "Config | None" = None) -> "URL":
    """Return the database that migrations go to.

    MIGRATION_DATABASE_URL's, or else `application_url(config)`.
    """
    return _configured("MIGRATION_DATABASE_URL") or application_url(config)


def parse_url(text: str, setting: str) -> "URL":
    """Return `text` as a URL for psycopg 3.

    Args:
        text: `postgres://` or `postgresql://`, as libpq and SQLAlchemy take them. Another driver in it
            (`postgresql+asyncpg://`) is the application's: ours is psycopg.
        setting: where the text comes from, for the message.

    Raises:
        SettingsError: it isn't such a URL, names no database, or has an option that may lead to another one.
    """
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - see above
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    example = "postgresql://user:password@host:5432/database"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise SettingsError(f"{setting} is not a URL. Write one like {example}") from error
    database, _, driver = url.drivername.partition("+")
    if database not in {"postgres", "postgresql"}:
        raise SettingsError(
            f"{setting} is a URL for {url.drivername!r}: only PostgreSQL is supported. "
            f"Write one like {example}"
        )
    if not url.database:
        raise SettingsError(f"{setting} names no database. Write one like {example}")
    ats = 0 if url.username is None else 1 + url.username.count("@")
    if "@" in (url.host or "") or text.partition("?")[0].count("@") > ats:
        # Nothing is shown: what looks like the host is a part of the password.
        raise SettingsError(f"{setting} has more than one @. Write each @ of user and password as %40.")
    if driver not in {"", "psycopg", "psycopg_async"}:
        url = url.set(query=_as_libpq_has_it(url.query))
    _check_options(url, setting)
    return url.set(drivername="postgresql+psycopg")


def _as_libpq_has_it(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of another driver's URL that mean something here, under libpq's names for them.

    The rest is the driver's own matter (its caches, for instance).
    """
    renamed = {_RENAMED.get(name, name): value for name, value in query.items()}
    socket = re.fullmatch(r"(/.*)/\.s\.PGSQL\.(\d+)", str(renamed.get(_SOCKET, "")))
    if socket:
        del renamed[_SOCKET]
        renamed |= {"host": socket[1], "port": socket[2]}
    if "sslmode" in renamed:
        renamed["sslmode"] = _SSL_MODES.get(str(renamed["sslmode"]).lower(), renamed["sslmode"])
    known = {*_ELSEWHERE, _SOCKET}
    return {name: value for name, value in renamed.items() if name in known or _OPTIONS.fullmatch(name)}


def _check_options(url: "URL", setting: str) -> None:
    for name, value in url.query.items():
        if name in _ELSEWHERE:
            raise SettingsError(
                f"{setting} has {name!r} among its options, which may lead to another database than the one "
                f"that it names: {_ELSEWHERE[name]}."
            )
        if not _OPTIONS.fullmatch(name):
            raise SettingsError(
                f"{setting} has {name!r} among its options, which is none for a connection. "
                f"Leave it out of the options in {setting}."
            )
        if name in {"host", "port"} and getattr(url, name):
            raise SettingsError(f"{setting} names a {name} twice: leave it out of its options.")
        if name == "load_balance_hosts" and value != "disable":
            raise SettingsError(
                f"{setting} has {name!r} among its options: each session would be in another database. "
                "Leave it out."
            )


def forget_libpq_places() -> None:
    """Take the variables that choose a server or database out of this process's environment.

    The URL alone chooses; whatever it leaves out gets libpq's built-in default.
    """
    for name in PLACES_OF_LIBPQ:
        os.environ.pop(name, None)


def _configured(name: str) -> "URL | None":
    forget_libpq_places()
    text = variable(name)
    return parse_url(text, name) if text else None


def _local() -> "URL":
    if app_env() == "production":
        raise SettingsError(
            "DATABASE_URL is not set, and with APP_ENV=production there is no default: set it."
        )
    # Imported late: it isn't needed, nor are its libraries there, in a container that has a DATABASE_URL.
    from plinth.local_server import development_server  # noqa: PLC0415

    server = development_server()
    server.start()
    return server.url(development_database())
