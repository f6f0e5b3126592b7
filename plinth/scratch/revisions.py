"""Runs revisions in a scratch database, by Alembic's own machinery: no env.py, no lock, no ledger."""

import contextlib
import copy
import io
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from alembic import context as context_proxy
from alembic import op as op_proxy
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData
from sqlalchemy.exc import DBAPIError

from plinth import kept_name, own_schema
from plinth.alembic_command import arguments
from plinth.apply.ledger import OWN_TABLES
from plinth.apply.online import OnlineStatements, Step
from plinth.apply.points import Interrupted, Points, driver_session, erase, interrupted
from plinth.catalog import Catalog, read_catalog
from plinth.catalog.read import VERSION_TABLE
from plinth.errors import PlinthError
from plinth.quiet import quietly
from plinth.scratch import prerequisites
from plinth.scratch.beyond import is_beyond
from plinth.scratch.prerequisites import Prerequisite
from plinth.server_errors import in_sentences

# What env.py may say of how revisions are recorded.
_OPTIONS = ("version_table", "version_table_schema", "version_table_pk")
Walk = Callable[[Connection, tuple[str, ...]], Generator[MigrationStep]]


class RevisionError(PlinthError):
    """A revision fails in a scratch database; the message names it and says why.

    Args:
        message: the sentence.
        revision: its id.
        is_upgrade: which way it went.
        is_beyond: it needs what a trial leaves alone, and says nothing against the revision.
    """

    def __init__(self, message: str, revision: str, *, is_upgrade: bool, is_beyond: bool = False) -> None:
        super().__init__(message)
        self.revision = revision
        self.is_upgrade = is_upgrade
        self.is_beyond = is_beyond


@dataclass(frozen=True)
class History:
    """Revisions, and how Alembic's environment runs them.

    Args:
        config: Alembic's; revisions may ask it.
        script: where the revisions are.
        options: of `context.configure()`: those that say how revisions are recorded, and how constraints are
            named that a revision leaves unnamed.
        arguments: what its functions are called with: of several databases, the name of one.
    """

    config: Config
    script: ScriptDirectory
    options: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What the same revisions make depends on this, too."""
        metadata = self.options.get("target_metadata")
        convention = dict(metadata.naming_convention) if metadata is not None else {}
        others = {name: value for name, value in self.options.items() if name != "target_metadata"}
        given = sorted(self.arguments.items())
        return repr((sorted(others.items()), sorted(convention.items(), key=str), *given))

    def with_script(self, script: ScriptDirectory) -> "History":
        """Return the same with other revisions."""
        return replace(self, script=script)

    def read(self, connection: Connection, default_schema: str | None = None) -> Catalog:
        """Return the schema of a database, the version table aside."""
        return read_catalog(
            connection,
            default_schema=default_schema,
            version_table=self.options.get("version_table") or "alembic_version",
            version_table_schema=self.options.get("version_table_schema"),
        )

    def up(self, revision: Script) -> RevisionStep:
        """Return the step that applies one revision."""
        return MigrationStep.upgrade_from_script(self.script.revision_map, revision)

    def down(self, revision: Script) -> RevisionStep:
        """Return the step that undoes one revision."""
        return MigrationStep.downgrade_from_script(self.script.revision_map, revision)


def history_of(context: MigrationContext) -> History:
    """Return the revisions of the command that runs now.

    Raises:
        PlinthError: it has none.
    """
    if context.config is None or context.script is None:
        raise PlinthError("There are no revisions here: Alembic runs without a configuration.")
    options = {name: context.opts[name] for name in _OPTIONS if context.opts.get(name) is not None}
    # Of the models, the way of naming alone: revisions must still run when the models are others.
    convention = getattr(context.opts.get("target_metadata"), "naming_convention", None)
    if convention is not None:
        options["target_metadata"] = MetaData(naming_convention=convention)
    return History(context.config, context.script, options, arguments(context))


def histories_offline(config: Config, script: ScriptDirectory) -> list[History]:
    """Return the revisions as `env.py` has them for each of its databases; it is asked without any."""
    found: list[History] = []

    def look(_: Sequence[str], context: MigrationContext) -> Iterable[MigrationStep]:
        found.append(replace(history_of(context), config=config))
        return []

    given = copy.copy(config)
    given.output_buffer = io.StringIO()
    with EnvironmentContext(given, script, fn=look, as_sql=True, dont_mutate=True):
        script.run_env()
    return found


def upgrade(engine: Engine, history: History, revision: str = "heads") -> None:
    """Apply revisions.

    Raises:
        RevisionError: one fails.
    """

    def walk(_: Connection, heads: tuple[str, ...]) -> Generator[MigrationStep]:
        yield from history.script._upgrade_revs(revision, heads)  # type: ignore[arg-type]

    run(engine, history, walk)


def downgrade(engine: Engine, history: History, revision: str = "base") -> None:
    """Undo revisions.

    Raises:
        RevisionError: one fails.
    """

    def walk(_: Connection, heads: tuple[str, ...]) -> Generator[MigrationStep]:
        yield from history.script._downgrade_revs(revision, heads)  # type: ignore[arg-type]

    run(engine, history, walk)


def run(
    engine: Engine, history: History, walk: Walk, *, is_interrupted: Callable[[], bool] = lambda: False
) -> None:
    """Run the steps that `walk` yields, each in a transaction of its own.

    Args:
        engine: of a scratch database.
        history: the revisions.
        walk: given the connection and the heads, yields steps; when it is asked for the next one, the one
            before is done and committed, and the connection may be used to look at it.
        is_interrupted: asked before each step: whether it is interrupted behind each of its points, and
            resumed.

    Raises:
        RevisionError: a revision fails.
    """
    with quietly(), lent_proxies(), engine.connect() as connection:
        make_version_schema(connection, history)
        with contextlib.closing(_Run(connection, history, walk, is_interrupted)) as going:
            going.go()


class _Interruption(Exception):  # noqa: N818 - it is what the run is about, and no error
    """A revision is interrupted on purpose."""


def _interrupt() -> None:
    raise _Interruption


class _Run:
    """One walk, and the step that it is at."""

    def __init__(
        self, connection: Connection, history: History, walk: Walk, is_interrupted: Callable[[], bool]
    ) -> None:
        self._connection = connection
        self._history = history
        self._walk = walk
        self._is_interrupted = is_interrupted
        self._online = OnlineStatements(connection, VERSION_TABLE, timedelta(), timedelta())
        self._online.interrupt = _interrupt
        self._left: Generator[MigrationStep] | None = None
        self._current: MigrationStep | None = None

    def close(self) -> None:
        if self._left:
            self._left.close()

    def go(self) -> None:
        with self._online.watched():
            while not self._attempt():
                pass

    def _attempt(self) -> bool:
        """Run what is left; return whether that was all, and no step was interrupted."""
        history = self._history
        config = copy.copy(history.config)
        config.attributes = {**history.config.attributes, "connection": self._connection}
        environment = EnvironmentContext(config, history.script, fn=self._steps)
        try:
            with environment:
                environment.configure(
                    connection=self._connection,
                    transaction_per_migration=True,
                    on_version_apply=self._written,
                    **history.options,
                )
                environment.run_migrations(**history.arguments)
            self._connection.commit()
        except Exception as error:
            step = self._current
            if step is None:
                raise
            self._connection.rollback()
            self._online.follow(None)
            if isinstance(error, _Interruption):
                return False
            raise _failure(history.script, step, error) from error
        return True

    def _steps(self, heads: Sequence[str], context: MigrationContext) -> Iterator[MigrationStep]:
        is_upgrade = True
        if self._left is None:
            self._left = self._walk(self._connection, tuple(heads))
        while step := self._current or next(self._left, None):
            if step.is_upgrade is not is_upgrade:
                # There and back are two commands: the second one doesn't know which types the first made.
                context.impl.memo.clear()
                is_upgrade = step.is_upgrade
            self._current = step
            watched = self._watched(step)
            self._online.follow(watched)
            yield step
            self._online.follow(None)
            self._current = None  # from here on, an error is the walk's
            if watched:
                erase(driver_session(self._connection), VERSION_TABLE, watched.revision)
                self._connection.commit()

    def _written(self, *_: object, **__: object) -> None:
        if self._online.step:
            self._online.step.is_written = True

    def _watched(self, step: MigrationStep) -> Step | None:
        """Return what lets a step be interrupted, if it is to be, with what it has done before that."""
        if not isinstance(step, RevisionStep) or not self._is_interrupted():
            return None
        key = step.revision.revision, "up" if step.is_upgrade else "down"
        own_schema.make(self._connection, OWN_TABLES)
        self._connection.commit()
        found = interrupted(driver_session(self._connection), VERSION_TABLE)
        self._connection.commit()
        begun = next((each for each in found if (each.revision, each.direction) == key), Interrupted(*key))
        return Step(key[0], step.is_upgrade, Points(VERSION_TABLE, begun, None))


def copy_missing(
    engine: Engine, standing: Catalog, makes: Callable[[Prerequisite], bool] = lambda _: False
) -> None:
    """Copy what revisions or models may lean on, where it isn't there.

    Args:
        engine: of the scratch database.
        standing: the schema from which it is copied.
        makes: whether the models make something themselves: if it isn't there, the revisions lack it.
    """
    with engine.connect() as connection:
        found = read_catalog(connection, default_schema=standing.default_schema)
    there = {each.statement for each in prerequisites.leaned_on(found)}
    missing = [
        each
        for each in prerequisites.leaned_on(standing)
        if each.statement not in there and not each.is_owned and not makes(each)
    ]
    if missing:
        with engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            prerequisites.make(connection, standing.default_schema, missing)


def all_steps(script: ScriptDirectory, heads: tuple[str, ...] = ()) -> list[RevisionStep]:
    """Return the steps to all heads, in an order in which they can be done."""
    return script._upgrade_revs("heads", heads)  # type: ignore[arg-type]


def sources_of(revisions: Iterable[Script]) -> list[str] | None:
    """Return the revisions' sources; None when what they do depends on more than that."""
    found = []
    for revision in revisions:
        source = _source(revision)
        if source is None or not kept_name.is_pure(Path(revision.path)):
            return None
        found.append(source)
    return found


def _source(revision: Script) -> str | None:
    try:
        return Path(revision.path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def make_version_schema(connection: Connection, history: History) -> None:
    """Make the version table's schema and the default one, where revisions don't and the server hasn't."""
    schemas = [history.options.get("version_table_schema")]
    default = connection.get_execution_options().get("default_schema")
    if default and default != "public":
        sources = "\n".join(_source(each) or "" for each in history.script.walk_revisions())
        schemas += [] if prerequisites.makes(sources, prerequisites.schema(default)) else [default]
    for schema in filter(None, schemas):
        connection.exec_driver_sql(prerequisites.schema(schema).statement.replace("%", "%%"))
    connection.commit()


def _without_cascade(message: str) -> str:
    """Return a server's message with a remedy of ours in the place of one that drops more than is said."""
    words, hint, advice = message.partition("HINT:")
    if hint and "CASCADE" in advice:
        return f"{words.rstrip()} Change or drop first, in a revision written by hand, what stands on it."
    return message


def _failure(script: ScriptDirectory, step: MigrationStep, error: Exception) -> RevisionError:
    names = step.to_revisions_no_deps if step.is_upgrade else step.from_revisions_no_deps
    revision = script.get_revision(names[0]) if names else None
    doc = f" ({revision.doc})" if revision and revision.doc else ""
    direction = "upgrade" if step.is_upgrade else "downgrade"
    if isinstance(error, DBAPIError):
        words = in_sentences(_without_cascade(str(error.orig))).removesuffix(".")
        statement = " ".join((error.statement or "").split())
        shown = statement if len(statement) <= 200 else f"{statement[:200]} …"
        why = f"{words} [{shown}]" if shown else words
    else:
        why = " ".join(f"{type(error).__name__}: {error}".split())
    name = ", ".join(names)
    if is_beyond(error):
        how = "was not tried, for it needs what lies behind a foreign server, and no trial goes there"
    else:
        how = f"fails in its {direction}"
    sentence = f"Revision {name}{doc} {how}: {why}"
    return RevisionError(sentence, name, is_upgrade=step.is_upgrade, is_beyond=is_beyond(error))


@contextlib.contextmanager
def lent_proxies() -> Iterator[None]:
    """Give `alembic.context` and `alembic.op` back to who uses them now: there is but one of each."""
    owners: Iterable[Any] = [getattr(module, "_proxy", None) for module in (context_proxy, op_proxy)]
    try:
        yield
    finally:
        for owner in owners:
            if owner is not None:
                owner._install_proxy()
