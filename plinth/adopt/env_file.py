"""What an `env.py` does, read and not run: which template it comes from, and what in it isn't Alembic's."""

import ast
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import alembic

PLINTH, FLASK, ADVANCED = "Plinth", "Flask-Migrate", "advanced-alchemy"
SEVERAL, HAND_MADE = "multidb", "hand-made"

# What run() says itself, of `context.configure()`.
_OURS = {
    *("connection", "url", "target_metadata", "literal_binds", "dialect_opts", "dialect_name", "as_sql"),
    "transaction_per_migration",
}
_RUNS = {"configure", "run_migrations", "begin_transaction", "is_offline_mode"}
# What may be called on the way to a connection and back, and leaves nothing behind.
_ENGINES = {"create_engine", "create_async_engine"}
_FROM_CONFIG = {"engine_from_config", "async_engine_from_config"}
_HARMLESS = {
    *_RUNS,
    *_ENGINES,
    *_FROM_CONFIG,
    *("AsyncEngine", "cast", "connect", "run_sync", "dispose", "close"),
    *("get_main_option", "get_section", "get_section_option", "get", "getattr", "isinstance", "str", "dict"),
    *("asyncio.run", "asyncio.get_event_loop", "run_until_complete", "render_as_string", "replace"),
    *("is_empty", "logger.info", "logger.debug", "log.info", "print", "plinth.options"),
}
# What may be given to an engine, and changes nothing of what its sessions do or where they are.
_OF_NO_MATTER = {
    *("url", "prefix", "configuration", "future", "echo", "hide_parameters", "logging_name", "max_overflow"),
    "query_cache_size",
}
URL_KEY = "sqlalchemy.url"
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Obstacle:
    """Something that is to be changed by hand.

    Args:
        line: in `env.py`.
        words: what stands there, and why it can't be left to a program.
    """

    line: int
    words: str

    def __str__(self) -> str:
        """Return it as a message has it."""
        return f"line {self.line}: {self.words}"


@dataclass
class EnvFile:
    """An `env.py`.

    Args:
        text: all of it.
        tree: what Python reads there.
        template: "generic", "async", "pyproject", "pyproject_async", "multidb"; "Flask-Migrate",
            "advanced-alchemy", "hand-made", or "Plinth" where it calls `run()` already.
        is_named: whether `plinth.options()` is said.
        dropped: top-level statements that do what `run()` does.
        configured: the calls of `context.configure()` on a connection.
        metadata: the models', as the file says it.
        options: of `context.configure()`, the project's own: lines of source.
        url: what the file takes for the database's URL, if that isn't `sqlalchemy.url` of the configuration.
        hoisted: functions and statements within others, that are still needed.
        obstacles: what `run()` doesn't do.
    """

    text: str
    tree: ast.Module
    template: str = HAND_MADE
    is_named: bool = False
    dropped: list[ast.stmt] = field(default_factory=list)
    configured: list[ast.Call] = field(default_factory=list)
    metadata: str = "None"
    options: list[str] = field(default_factory=list)
    url: str | None = None
    hoisted: list[str] = field(default_factory=list)
    obstacles: list[Obstacle] = field(default_factory=list)

    @property
    def level(self) -> str:
        """What the project has of Plinth: "none", "write" or "apply"."""
        return "apply" if self.template == PLINTH else "write" if self.is_named else "none"

    def source(self, node: ast.AST) -> str:
        """Return a node as it is written."""
        return ast.get_source_segment(self.text, node) or ast.unparse(node)


def read_env(text: str, *, in_pyproject: bool = False) -> EnvFile:
    """Return what an `env.py` does.

    Args:
        text: of the file.
        in_pyproject: whether Alembic's configuration stands in pyproject.toml.

    Raises:
        SyntaxError: it is no Python.
    """
    env = EnvFile(text, ast.parse(text))
    calls = list(_calls(env.tree))
    env.is_named = any(name.endswith("plinth.options") for name, _ in calls)
    if any(isinstance(each, ast.ImportFrom) and each.module == "plinth.env" for each in env.tree.body):
        env.template = PLINTH
        return env
    _Reading(env).read()
    if any(name.endswith("run_migrations") and call.keywords for name, call in calls):
        env.template = SEVERAL
    elif not env.configured or env.obstacles:
        env.template = HAND_MADE
    elif "extensions['migrate']" in text.replace('"', "'"):
        env.template = FLASK
    elif "from advanced_alchemy." in text:
        env.template = ADVANCED
    else:
        is_async = any(name in {"run_sync"} or name.endswith(".run_sync") for name, _ in calls)
        env.template = {
            (False, False): "generic",
            (True, False): "async",
            (False, True): "pyproject",
            (True, True): "pyproject_async",
        }[is_async, in_pyproject]
    return env


@cache
def stock_comments() -> frozenset[str]:
    """Return the comments in all of Alembic's templates."""
    found = (Path(alembic.__file__).parent / "templates").glob("*/env.py")
    lines = (line.strip() for path in found for line in path.read_text(encoding="utf-8").splitlines())
    return frozenset(line for line in lines if line.startswith("#"))


def names_in(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names that are used."""
    return {each.id for node in nodes for each in ast.walk(node) if isinstance(each, ast.Name)}


def _calls(node: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for each in ast.walk(node):
        if isinstance(each, ast.Call):
            yield ast.unparse(each.func), each


class _Reading:
    """The way through a file."""

    def __init__(self, env: EnvFile) -> None:
        self.env = env
        self.functions: dict[str, Function] = {
            each.name: each for each in env.tree.body if isinstance(each, Function)
        }
        self.running = self._running()
        self.kept: set[int] = set()  # nodes that stay as they are, or go without loss

    def _running(self) -> set[str]:
        """Return the functions that run migrations, or call one that does."""
        found: set[str] = set()
        while True:
            more = {
                name
                for name, function in self.functions.items()
                if self._is_running([function], found - {name})
            }
            if more == found:
                return found
            found = more

    def _is_running(self, nodes: Sequence[ast.AST], running: set[str]) -> bool:
        calls = (name for node in nodes for name, _ in _calls(node))
        return any(name in {f"context.{each}" for each in _RUNS} for name in calls) or bool(
            names_in(nodes) & running
        )

    def read(self) -> None:
        env = self.env
        for statement in env.tree.body:
            if isinstance(statement, Function):
                is_dropped = statement.name in self.running
            else:
                calls = {name.rpartition(".")[2] for name, _ in _calls(statement)}
                is_dropped = (
                    self._is_running([statement], self.running)
                    or "fileConfig" in calls
                    or self._only_names_running(statement)
                )
            if is_dropped:
                env.dropped.append(statement)
        for statement in env.dropped:
            self._read_statement(statement)
        for statement in env.dropped:
            self._refuse_others(statement)

    def _only_names_running(self, statement: ast.stmt) -> bool:
        """Whether it is an `__all__` of functions that go."""
        if not isinstance(statement, ast.Assign) or ast.unparse(statement.targets[0]) != "__all__":
            return False
        return {each.value for each in ast.walk(statement) if isinstance(each, ast.Constant)} <= self.running

    def _read_statement(self, statement: ast.stmt) -> None:
        scope = _Scope(statement)
        for function in filter(_only_skips_empty, scope.nested.values()):
            self.kept.update(map(id, ast.walk(function)))
        for node in ast.walk(statement):
            if isinstance(node, ast.Assign) and id(node) not in self.kept:
                self._read_assignment(node, scope)
            elif isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if key is not None and _is(key, URL_KEY):
                        self._take_url(value, scope)
        for name, call in _calls(statement):
            self._read_call(name, call, scope)

    def _read_call(self, name: str, call: ast.Call, scope: "_Scope") -> None:
        last = name.rpartition(".")[2]
        given = {each.arg: each.value for each in call.keywords}
        if name == "context.configure":
            if "connection" in given:
                self.env.configured.append(call)
            self._read_options(call, scope)
        elif last in _ENGINES and call.args:
            self._take_url(call.args[0], scope)
            self._refuse_arguments(call)
        elif last in _FROM_CONFIG:
            if "url" in given:
                self._take_url(given["url"], scope)
            self._refuse_arguments(call)
        elif last == "set_main_option" and len(call.args) == 2 and _is(call.args[0], URL_KEY):
            self._take_url(call.args[1], scope)
        elif last == "connect" and isinstance(call.func, ast.Attribute):
            self._read_place(call.func.value, scope)

    def _refuse_arguments(self, call: ast.Call) -> None:
        """Note what an engine is given beside its URL: by that sessions may be elsewhere, or others."""
        for each in call.keywords:
            name = each.arg or "**"
            if name not in _OF_NO_MATTER and not name.startswith(("pool", "echo_")):
                self._hinder(
                    call,
                    f"the engine gets {name}, and run() has the URL alone. Write it into the URL "
                    "(?options=…), or hand over the engine before run(): "
                    'context.config.attributes["connection"] = …',
                )

    def _read_assignment(self, node: ast.Assign, scope: "_Scope") -> None:
        for target in node.targets:
            if isinstance(target, ast.Attribute):
                self._hinder(node, f"{ast.unparse(target)} is set, which run() doesn't do")
            elif not isinstance(target, ast.Subscript):
                continue
            elif _is(target.slice, URL_KEY):
                self._take_url(node.value, scope)
            elif not (
                isinstance(node.value, ast.Name) and _only_skips_empty(scope.nested.get(node.value.id))
            ):
                self._hinder(node, f"{ast.unparse(target)} is set, which isn't known to run()")

    def _read_place(self, node: ast.expr, scope: "_Scope") -> None:
        """Note whose URL it is, where an engine of the application's own is connected."""
        value = scope.values.get(node.id, node) if isinstance(node, ast.Name) else node
        made = {name.rpartition(".")[2] for name, _ in _calls(value)} & {*_ENGINES, *_FROM_CONFIG}
        source = None if made or self._is_url_set() else self._hoisted(value, scope)
        if source is not None and not (names_in([value]) & scope.locals):
            self.env.url = f"{source}.url"

    def _is_url_set(self) -> bool:
        """Whether a statement that stays says what the database's URL is."""
        stays = [each for each in self.env.tree.body if each not in self.env.dropped]
        return any(
            name.endswith("set_main_option") and call.args and _is(call.args[0], URL_KEY)
            for statement in stays
            for name, call in _calls(statement)
        )

    def _take_url(self, node: ast.expr, scope: "_Scope") -> None:
        source = self._hoisted(node, scope)
        if source is None:
            self._hinder(node, "the database's URL is made here")
        elif "get_main_option" not in source:
            self.env.url = source

    def _read_options(self, call: ast.Call, scope: "_Scope") -> None:
        env = self.env
        is_online = any(each.arg == "connection" for each in call.keywords)
        for each in call.keywords:
            if each.arg == "target_metadata" and (is_online or env.metadata == "None"):
                source = self._hoisted(each.value, scope)
                env.metadata = source or env.metadata
                if source is None:
                    self._hinder(each.value, "the models' metadata is made here")
            is_plinths = each.arg is None and ast.unparse(each.value) == "plinth.options()"
            if is_plinths or each.arg in _OURS:
                continue
            source = self._hoisted(each.value, scope)
            if source is None:
                self._hinder(each.value, f"the option {each.arg or '**'} is made here")
                continue
            line = f"{each.arg}={source}" if each.arg else f"**{source}"
            known = {option.partition("=")[0] for option in env.options}
            if line not in env.options and (each.arg is None or each.arg not in known):
                env.options.append(line)

    def _hoisted(self, node: ast.expr, scope: "_Scope") -> str | None:
        """Return an expression as it may stand outside of its function; None if it can't."""
        self.kept.update(id(each) for each in ast.walk(node))
        used = names_in([node]) & scope.locals
        if not used:
            return self.env.source(node) if hasattr(node, "lineno") else ast.unparse(node)
        if isinstance(node, ast.Name):
            function, value = scope.nested.get(node.id), scope.values.get(node.id)
            if function is not None and not names_in([function]) & (scope.locals - _Scope(function).locals):
                source = textwrap.dedent(" " * function.col_offset + self.env.source(function))
                if source not in self.env.hoisted:
                    self.env.hoisted.append(source)
                self.kept.update(id(each) for each in ast.walk(function))
                return node.id
            if value is not None:
                return self._hoisted(value, scope)
        return None

    def _refuse_others(self, statement: ast.stmt) -> None:
        """Note calls of what isn't known to leave nothing behind."""
        for_nothing = {id(each.value) for each in ast.walk(statement) if isinstance(each, ast.Expr)}
        for each in filter(_is_about_nothing, ast.walk(statement)):
            self.kept.update(map(id, ast.walk(each)))
        for name, call in _calls(statement):
            last = name.rpartition(".")[2]
            if id(call) in self.kept or last == "fileConfig" or name in self.running:
                continue
            if last == "set_main_option" and call.args and _is(call.args[0], URL_KEY):
                continue
            if name in self.functions and id(call) not in for_nothing:
                continue  # it was asked for a value that isn't needed any more
            if not {name, last} & _HARMLESS:
                self._hinder(call, f"{' '.join(self.env.source(call).split())} does what run() doesn't")
                self.kept.update(map(id, ast.walk(call)))  # said once is enough

    def _hinder(self, node: ast.AST, words: str) -> None:
        found = Obstacle(getattr(node, "lineno", 0), words)
        if found not in self.env.obstacles:
            self.env.obstacles.append(found)


class _Scope:
    """The names of a statement of its own.

    Args:
        statement: a function's, for instance.
    """

    def __init__(self, statement: ast.stmt) -> None:
        self.locals: set[str] = set()
        self.nested: dict[str, Function] = {}
        self.values: dict[str, ast.expr] = {}
        assigned: list[str] = []
        inner = [each for each in ast.walk(statement) if each is not statement]
        if isinstance(statement, Function):
            self.locals |= {each.arg for each in ast.walk(statement.args) if isinstance(each, ast.arg)}
        for node in inner:
            if isinstance(node, Function):
                self.nested[node.name] = node
                self.locals.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                assigned.append(node.id)
        self.locals |= set(assigned)
        for node in inner:
            if (
                isinstance(node, ast.Assign)
                and len(node.targets) == 1
                and isinstance(node.targets[0], ast.Name)
            ):
                name = node.targets[0].id
                if assigned.count(name) == 1:
                    self.values[name] = node.value


def _is(node: ast.AST, value: str | None) -> bool:
    return isinstance(node, ast.Constant) and node.value == value


def _is_about_nothing(node: ast.AST) -> bool:
    """Whether it only raises an error where there is no connection: `if connectable is None: …`."""
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Compare)
        and isinstance(node.test.ops[0], ast.Is)
        and _is(node.test.comparators[0], None)
        and isinstance(node.body[-1], ast.Raise)
        and not node.orelse
    )


def _only_skips_empty(function: Function | None) -> bool:
    """Whether a hook does nothing but leave out an empty revision, which Plinth doesn't write anyway."""
    if function is None:
        return False
    calls = {name.rpartition(".")[2] for name, _ in _calls(function)}
    return "is_empty" in calls and calls <= {"is_empty", "getattr", "info"}
