"""`plinth upgrade` and `alembic upgrade head` where nothing is pending: said at once, if that is certain.

The long way, through Alembic and `env.py`, notes in `plinth.up_to_date` that it left nothing to do, and what
it saw: a fingerprint of all files that an upgrade depends on, the heads, the ledger's last row. While all of
that is as it was, the long way would say the same again. What can't be told from another case takes the long
way: a file that differs in a byte, an `env.py` of another form, a lock that is held, something half done, a
privilege that is missing.

Neither Alembic nor SQLAlchemy nor psycopg is imported: that takes longer than all that is asked here. The
program `alembic` has imported two of them by then; it is spared the revisions' files, the models, and two
sessions.
"""

import ast
import configparser
import hashlib
import importlib.util
import logging
import os
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from plinth import advisory, libpq, settings
from plinth.errors import PlinthError

if TYPE_CHECKING:
    from alembic.config import Config

ATTRIBUTE = "plinth.up_to_date"  # of Alembic's configuration: the fingerprint, for the one who writes it down
_WITHIN = 5  # seconds until the long way is taken, which waits longer

# What alembic.ini may say and the database that is meant stays the same, and so does where the revisions are.
_INI = {
    "script_location",
    "prepend_sys_path",
    "path_separator",
    "file_template",
    "timezone",
    "truncate_slug_length",
    "revision_environment",
    "output_encoding",
    "here",
}
# What run() may be told and an upgrade that has nothing to do is the same.
_OPTIONS = {
    "naming_convention",
    "include_object",
    "include_name",
    "include_schemas",
    "compare_type",
    "compare_server_default",
    "render_item",
    "process_revision_directives",
}
_LIBRARIES = ("alembic", "sqlalchemy")
_INERT = (
    *(ast.Constant, ast.Dict, ast.List, ast.Tuple, ast.Set, ast.Name, ast.Attribute, ast.UnaryOp, ast.USub),
    ast.Load,
)
# A URL that all who read it read alike.
_WORD = r"(?:[\w.~-]|%[0-9A-Fa-f]{2})"
_URL = re.compile(
    rf"(?:postgres|postgresql|postgresql\+psycopg)://(?:(?P<user>{_WORD}+)(?::(?P<password>{_WORD}+))?@)?"
    rf"(?P<host>[\w.-]*)(?::(?P<port>\d+))?/(?P<dbname>[\w.~-]+)(?:\?(?P<query>(?:[/:&=,]|{_WORD})+))?",
    re.ASCII,
)
_URL_OPTIONS = {"host", "port", "sslmode", "sslrootcert", "application_name", "connect_timeout"}

_SESSION = """
    select set_config('lock_timeout', '250ms', true) as lock_timeout,
           set_config('statement_timeout', '5s', true) as statement_timeout
    """
# Nobody stands between, and what the long way needs beside it is there.
_PLACE = """
    select pg_backend_pid() as pid, n.nspname as schema,
           pg_is_in_recovery() or datconnlimit <> -1 or rolconnlimit <> -1 as is_limited,
           has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
           and has_table_privilege(c.oid, 'insert') and has_table_privilege(c.oid, 'update')
           and has_table_privilege(c.oid, 'delete') and current_schema() is not null as may
    from pg_class c join pg_namespace n on n.oid = c.relnamespace, pg_database, pg_roles
    where c.relname = 'alembic_version' and c.relkind in ('r', 'p') and pg_table_is_visible(c.oid)
      and datname = current_database() and rolname = current_user
    """
_OURS = """
    select has_schema_privilege('plinth', 'usage')
           and bool_and(has_table_privilege('plinth.ledger', privilege) or privilege in ('update', 'delete'))
           and bool_and(has_table_privilege('plinth.unfinished', privilege))
           and bool_and(has_table_privilege('plinth.points', privilege)) as may,
           (select max(id) from plinth.ledger where version_table = $1) as last,
           exists (select from plinth.unfinished) or exists (select from plinth.points) as is_half_done
    from unnest(array['select', 'insert', 'update', 'delete']) privilege
    """
_NOTE = "select files, heads, ledger from plinth.up_to_date where version_table = $1"
_HEADS = "select version_num from alembic_version"
_HOLDER = advisory.HOLDER.replace("%(key)s", "$1")
# As `plinth.safety` reads the marker, and where it is certain that the long way would write none.
_MARKED = """
    select e ->> 'name' as name, e ->> 'name' = 'production' or (e ->> 'database_name' = current_database()
               and (e ->> 'timeline')::int = (select timeline_id from pg_control_checkpoint())) as is_here
    from to_jsonb((select m from plinth.environment m)) e
    where (e ->> 'database')::oid = (select oid from pg_database where datname = current_database())
      and (e ->> 'server')::bigint = (select system_identifier from pg_control_system())
    """


class Uncertain(Exception):  # noqa: N818 - no error
    """The long way has to be taken."""


UNCERTAIN = (Uncertain, PlinthError, ImportError, OSError, ValueError, libpq.NoAnswer)


@dataclass(frozen=True)
class Found:
    """A database in which nothing is pending.

    Args:
        session: in which it was seen.
        history: the name of the ledger's history.
        heads: what is applied.
    """

    session: libpq.Session
    history: str
    heads: list[str]


def fingerprint() -> str | None:
    """Return what all files have in common on which an upgrade depends; None where that can't be told."""
    try:
        digest = hashlib.sha256(sys.version.encode())
        for path in sorted(set(_files()), key=str):
            content = path.read_bytes()
            digest.update(f"\n{path} {len(content)}\n".encode())
            digest.update(content)
    except (Uncertain, PlinthError, OSError, ValueError, SyntaxError, configparser.Error):
        return None
    return digest.hexdigest()


def is_so_for(config: "Config") -> bool:
    """Whether nothing is pending for `alembic upgrade head`, which was typed; if not, it is noted when it is.

    Args:
        config: Alembic's. What a program has set there, and no file says, takes the long way.
    """
    try:
        file, read = _ini()
        be_certain(not config.attributes and config.config_ini_section == "alembic")
        be_certain(config.config_file_name and Path(config.config_file_name).absolute() == file.absolute())
        be_certain(_options(config.file_config) == _options(read))
    except (Uncertain, PlinthError, OSError, ValueError, configparser.Error):
        return False
    known = fingerprint()
    config.attributes[ATTRIBUTE] = known
    found = heads(known) if known else None
    return found is not None and (len(found) == 1 or getattr(config.cmd_opts, "revision", None) == "heads")


def _options(config: configparser.ConfigParser) -> dict[str, str]:
    return dict(config.items("alembic", raw=True))


def heads(known: str) -> list[str] | None:
    """Return the heads of the database if nothing is pending there; None where the long way has to be taken.

    Args:
        known: the fingerprint of the files.
    """
    try:
        with looking(known) as found:
            pass
    except UNCERTAIN:
        return None
    _log_as_alembic_does()
    return found.heads


@contextmanager
def looking(known: str) -> Iterator[Found]:
    """Yield what is found in a database where nothing is pending.

    Args:
        known: the fingerprint of the files.

    Raises:
        Exception: one of `UNCERTAIN`.
    """
    settings.configured()
    app_env = settings.app_env()
    place = _place()
    with libpq.session(place, _WITHIN) as session:
        found = _look(session, known)
        if app_env == "production" or place["host"][:1] in {"", "/"}:  # perhaps the local server
            remembered = marker(session)
            be_certain(app_env != "production" or remembered == app_env)
        yield found


def marker(session: libpq.Session) -> str:
    """Return the environment that the database remembers, where there is no doubt.

    Raises:
        Uncertain: there is.
    """
    marked = _row(session, _MARKED)
    be_certain(marked["is_here"])
    return str(marked["name"])


def _look(session: libpq.Session, known: str) -> Found:
    session.ask(_SESSION)
    place = _row(session, _PLACE)
    be_certain(place["pid"] == session.pid and place["may"] and place["is_limited"] is False)
    table = "alembic_version" if place["schema"] == "public" else f"{place['schema']}.alembic_version"
    ours, note = _row(session, _OURS, table), _row(session, _NOTE, table)
    be_certain(ours["may"] and ours["is_half_done"] is False)
    be_certain(note["files"] == known and note["ledger"] == ours["last"])
    for part in advisory.PARTS:
        be_certain(not session.ask(_HOLDER, str(advisory.lock_key(part, table))))
    found = sorted(row["version_num"] for row in session.ask(_HEADS))
    be_certain(found == sorted(note["heads"]))
    return Found(session, table, found)


def _row(session: libpq.Session, sql: str, *parameters: str) -> dict[str, Any]:
    rows = session.ask(sql, *parameters)
    be_certain(len(rows) == 1)
    return rows[0]


def be_certain(that: object) -> None:
    """Return if something holds.

    Raises:
        Uncertain: it doesn't.
    """
    if not that:
        raise Uncertain


def _place() -> dict[str, str]:
    """Return what libpq is told of the database that migrations go to."""
    settings.forget_libpq_places()
    text = settings.variable("MIGRATION_DATABASE_URL") or settings.variable("DATABASE_URL")
    if text is None and settings.app_env() != "production":
        # Imported late: with a URL it isn't needed, nor is what it imports there. If the server doesn't
        # run, there is no session, and the long way starts it.
        from plinth.local_server import SUPERUSER, development_server  # noqa: PLC0415

        return {**development_server().place(), "user": SUPERUSER, "dbname": settings.development_database()}
    match = _URL.fullmatch(text or "")
    if match is None:
        raise Uncertain
    given = {name: unquote(value) for name, value in match.groupdict().items() if value and name != "query"}
    query = parse_qsl(match["query"] or "", keep_blank_values=True, strict_parsing=bool(match["query"]))
    be_certain(len({name for name, _ in query}) == len(query) and _URL_OPTIONS.issuperset(dict(query)))
    be_certain(given.keys().isdisjoint(dict(query)) and "," not in dict(query).get("host", ""))
    return {"host": "", **given, **dict(query)}


def _log_as_alembic_does() -> None:
    """Say what Alembic says of its context, if the configuration wants that to be seen."""
    file, config = _ini()
    if config.has_section("loggers"):
        from logging.config import fileConfig  # noqa: PLC0415 - it imports much

        fileConfig(file, disable_existing_loggers=False)
        log = logging.getLogger("alembic.runtime.migration")
        log.info("Context impl %s.", "PostgresqlImpl")
        log.info("Will assume %s DDL.", "transactional")


def _ini() -> tuple[Path, configparser.ConfigParser]:
    file = settings.alembic_file()
    if file is None:
        raise Uncertain
    config = configparser.ConfigParser({"here": file.absolute().parent.as_posix()})
    config.read_string(file.read_text(encoding="locale"))
    return file, config


def names_no_database() -> bool:
    """Whether Alembic's configuration and `env.py` name no database, for sure.

    It is DATABASE_URL's then, or the local one.
    """
    try:
        _, config, root = _configuration()
        for _ in _of_environment(_folder(config) / "env.py", root):
            pass
    except (Uncertain, PlinthError, OSError, ValueError, SyntaxError, configparser.Error):
        return False
    return True


def _configuration() -> tuple[Path, configparser.ConfigParser, Path]:
    """Return Alembic's file, what it says, and the project's folder.

    Raises:
        Uncertain: something else is said, here or elsewhere.
    """
    file, config = _ini()
    be_certain(not os.environ.get("PLINTH_SECTION") and config.has_section("alembic"))
    be_certain(_INI.issuperset(config.options("alembic")))
    root = settings.root()
    be_certain(settings.project_of(file) == root)
    toml = root / "pyproject.toml"
    be_certain(
        not toml.exists() or "alembic" not in tomllib.loads(toml.read_text(encoding="utf-8")).get("tool", {})
    )
    return file, config, root


def _files() -> Iterator[Path]:
    """Yield the files on which an upgrade depends.

    Raises:
        Uncertain: there may be others.
    """
    file, config, root = _configuration()
    toml = root / "pyproject.toml"
    if toml.exists():
        yield toml
    be_certain(Path(config.get("alembic", "prepend_sys_path", fallback="")).absolute() == root)
    folder = _folder(config)
    yield file
    yield from _of_environment(folder / "env.py", root)
    found = [*_revisions(folder)]
    be_certain(found)
    yield from found
    yield from Path(__file__).parent.glob("*.py")
    yield from (Path(__file__).parent / "apply").glob("*.py")
    for name in _LIBRARIES:  # each has its version there
        spec = importlib.util.find_spec(name)
        be_certain(spec and spec.origin)
        yield Path(str(spec and spec.origin))


def _folder(config: configparser.ConfigParser) -> Path:
    location = config.get("alembic", "script_location")
    be_certain(":" not in location)
    return Path(location).absolute()


def revisions() -> list[Path]:
    """Return the files of the revisions; only where there is a fingerprint are these all."""
    _, config = _ini()
    return [*_revisions(Path(config.get("alembic", "script_location")).absolute())]


def _revisions(folder: Path) -> Iterator[Path]:
    with os.scandir(folder / "versions") as found:
        entries = [*found]
    for each in entries:
        if each.name.endswith((".py", ".pyc", ".pyo")):
            be_certain(each.name.endswith(".py") and each.is_file())
            yield Path(each.path)


def _of_environment(env: Path, root: Path) -> Iterator[Path]:
    """Yield `env.py` and what of the project it imports, if it does nothing but call our `run()`.

    Raises:
        Uncertain: it may do something else, and lead to another database.
    """
    tree = _tree(env)
    calls = [each for each in tree.body if _is_call_of_run(each)]
    be_certain(len(calls) == 1 and "run" in _imported_from(tree, "plinth.env"))
    (call,) = (
        each.value for each in calls if isinstance(each, ast.Expr) and isinstance(each.value, ast.Call)
    )
    given = {each.arg for each in call.keywords}
    be_certain(None not in given and _OPTIONS.issuperset(filter(None, given)) and len(call.args) == 1)
    (models,) = call.args
    functions = {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}
    bound = [
        each for each in ast.walk(tree) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    ]
    be_certain("run" not in functions and all(each.id not in {"run", *functions} for each in bound))
    has_none = isinstance(models, ast.Constant) and models.value is None
    is_late = isinstance(models, ast.Name) and models.id in functions and "naming_convention" in given
    be_certain(has_none or is_late)
    be_certain(all(_is_inert(each.value) for each in call.keywords))
    rest = ast.Module([each for each in tree.body if each not in calls], [])
    yield env
    yield from _imports(rest, root, set())


def _imports(tree: ast.Module, root: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield the project's files that a module imports, if they do nothing but name things.

    Raises:
        Uncertain: they may do something.
    """
    for each in tree.body:
        if isinstance(each, ast.Import):
            names: Iterable[str] = [alias.name for alias in each.names]
        elif isinstance(each, ast.ImportFrom):
            be_certain(each.level == 0 and each.module)
            names = [f"{each.module}.{alias.name}" for alias in each.names]
        else:
            be_certain(_does_nothing(each))
            continue
        for name in names:
            for path in _of_module(name, root):
                if path not in seen:
                    seen.add(path)
                    yield path
                    yield from _imports(_tree(path), root, seen)


def _of_module(name: str, root: Path) -> Sequence[Path]:
    """Return the project's files that are run when a module, or a name of one, is imported."""
    first, *parts = name.split(".")
    if first in sys.stdlib_module_names or first in {*_LIBRARIES, "plinth"}:
        package = root / first / "__init__.py"  # the project's own would go first
        is_ours = first == "plinth" and package.parent == Path(__file__).parent
        be_certain(not (root / f"{first}.py").exists() and (is_ours or not package.exists()))
        return ()
    found: list[Path] = []
    folder = root / first
    be_certain((folder / "__init__.py").is_file())
    found.append(folder / "__init__.py")
    for number, part in enumerate(parts):
        if (folder / part / "__init__.py").is_file():
            folder /= part
            found.append(folder / "__init__.py")
        elif (folder / f"{part}.py").is_file():
            found.append(folder / f"{part}.py")
            break
        else:
            be_certain(number == len(parts) - 1)  # the name of something in a module
    return found


def _does_nothing(each: ast.stmt) -> bool:
    if isinstance(each, ast.FunctionDef):
        names = [one for one in ast.walk(each.args) if isinstance(one, ast.arg)]
        said = [each.returns, *(one.annotation for one in names), *each.args.defaults, *each.args.kw_defaults]
        return not each.decorator_list and all(one is None or _is_inert(one) for one in said)
    if isinstance(each, ast.Assign):
        return all(isinstance(one, ast.Name) for one in each.targets) and _is_inert(each.value)
    return isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)


def _is_inert(value: ast.expr) -> bool:
    return all(isinstance(each, _INERT) for each in ast.walk(value))


def _is_call_of_run(each: ast.stmt) -> bool:
    call = each.value if isinstance(each, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "run"


def _imported_from(tree: ast.Module, module: str) -> set[str]:
    imports = [each for each in tree.body if isinstance(each, ast.ImportFrom) and each.module == module]
    return {alias.name for each in imports for alias in each.names if alias.asname is None}


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())
