"""What an existing project has, and what it would take to go on with Plinth: nothing is changed unasked."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine

from plinth import settings
from plinth.adopt import rewriting, source_file
from plinth.adopt.baseline import write_baseline
from plinth.adopt.env_file import EnvFile, read_env
from plinth.adopt.origins import ALL, BY_HAND, CHAIN, MODELS, Found, Pictures, with_origins
from plinth.adopt.seeing import Seen, on_its_database, see
from plinth.adopt.undoing import undoing
from plinth.apply.irreversible import reason_of
from plinth.apply.ledger import ancestors
from plinth.apply.standing import forks, say_fork, say_slipped_in, say_unknown, slipped_in, unknown_heads
from plinth.autogenerate.change.quoting import shown_names
from plinth.autogenerate.compare.models import own_of
from plinth.autogenerate.compare.scope import Scope, in_scope
from plinth.catalog import Catalog, differences
from plinth.check import Problem, Report, note_untried, try_all
from plinth.errors import PlinthError
from plinth.lint.linting import REFUSED, lint
from plinth.revision_files import refuse_unloadable
from plinth.scratch.baseline import (
    Below,
    begins_with_what_stands,
    named,
    revisions_catalog,
    standing_below,
    without,
)
from plinth.scratch.databases import NoScratchError, scratch_database
from plinth.scratch.revisions import all_steps, copy_missing, upgrade


@dataclass(frozen=True)
class Blocking:
    """A revision that a busy database would feel, or that loses data.

    Args:
        revision: its id.
        file: its name.
        applied: whether the database has it already.
        findings: what the lint says of it, and what to write instead.
    """

    revision: str
    file: str
    applied: bool
    findings: Sequence[str]


@dataclass
class Adoption:
    """What was found, and what was done.

    Args:
        env: the place of `env.py`.
        template: of Alembic's that it comes from; see `EnvFile`.
        level: what the project has of Plinth: "none", "write" or "apply".
        change: of `env.py`, as a unified diff; "" when there is none.
        by_hand: what must be changed by hand before.
        written: the files that were written.
        database: its name; None when there is none.
        heads: what its version table says.
        revisions: how many there are.
        from_nothing: whether they build a database from nothing; None when that couldn't be tried.
        not_made: what stands there, and no revision makes.
        tried: how many went up, down and up again, and put back what was there.
        irreversible: those that say that they can't be undone.
        problems: what is wrong with revisions, or with how far the database is.
        differences: in what database, revisions and models differ.
        left_alone: what was made by hand and no model knows.
        undoing: SQL that makes the database as its revisions make it, where it alone differs.
        blocking: revisions that a busy database would feel.
        notes: what could not be looked at, and why; what to do next.
    """

    env: str = ""
    template: str = ""
    level: str = ""
    change: str = ""
    by_hand: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    database: str | None = None
    heads: list[str] = field(default_factory=list)
    revisions: int = 0
    from_nothing: bool | None = None
    not_made: list[str] = field(default_factory=list)
    tried: int = 0
    irreversible: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    differences: list[Found] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)
    undoing: list[str] = field(default_factory=list)
    blocking: list[Blocking] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def in_order(self) -> bool:
        """Whether everything could be looked at, and agrees; what was applied long ago blocks nobody."""
        pending = any(not each.applied for each in self.blocking)
        return (
            self.database is not None
            and bool(self.from_nothing)
            and not (self.problems or self.differences or self.by_hand or self.not_made or pending)
        )

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        shown = [{"kind": each.kind, "name": each.name, "message": each.message} for each in self.problems]
        return asdict(self) | {"problems": shown, "in_order": self.in_order}


def adopt(config: Config, *, level: str = "apply", write: bool = False, baseline: bool = False) -> Adoption:
    """Look at a project, and change what is asked for.

    Args:
        config: Alembic's.
        level: what `env.py` is to have of Plinth: "write" or "apply".
        write: whether it is changed.
        baseline: whether a revision is written that makes what no revision makes.

    Raises:
        PlinthError: `env.py` can't be run, or what was asked for can't be done.
        alembic.util.CommandError: the revisions can't be read.
    """
    with _quietly():
        return _adopt(config, level, write=write, baseline=baseline)


def _adopt(config: Config, level: str, *, write: bool, baseline: bool) -> Adoption:
    script = ScriptDirectory.from_config(config)
    refuse_unloadable(script)
    place = Path(script.env_py_location)
    env = read_env(source_file.read(place), in_pyproject=bool(config.toml_alembic_config))
    new = rewriting.rewritten(env, level)
    found = Adoption(
        env=_shown(place),
        template=env.template,
        level=env.level,
        change=rewriting.shown_difference(_shown(place), env.text, new),
        by_hand=[str(each) for each in rewriting.in_the_way(env, level)],
    )
    seen = see(config)
    if write and new != env.text:
        seen = _written(place, env, new, seen, found)
    noted = _look(seen, found, baseline=baseline)
    if not baseline:
        return found
    kept = ("env", "template", "level", "change", "by_hand", "written")
    again = Adoption(**{name: getattr(found, name) for name in kept})
    _look(see(config), again, baseline=False)
    again.notes[:0] = noted
    return again


@contextmanager
def _quietly() -> Iterator[None]:
    """Leave out what Alembic tells of its context each time that `env.py` is run, whatever that sets up."""
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _written(place: Path, env: EnvFile, new: str, seen: Seen, found: Adoption) -> Seen:
    """Change `env.py`, and return what it says then; it is put back if that isn't the same.

    Raises:
        PlinthError: it isn't.
    """
    standing = place.read_bytes()
    source_file.write(place, new)
    try:
        then = see(seen.history.config)
        if then.url and seen.failure:
            raise PlinthError(
                f"it leads to {_named(then)}, and where it led before isn't known: {seen.failure}"
            )
        if then.url != seen.url and (then.url is None or seen.url is None or not _same(then, seen)):
            raise PlinthError(f"it leads to another database, {_named(then)} and not {_named(seen)}")
        if then.session != seen.session:
            raise PlinthError(
                f"its sessions are others, by role and search_path: {then.session}, and not {seen.session}"
            )
        if set(then.heads) != set(seen.heads):
            raise PlinthError("it finds another version table")
        if then.has_models != seen.has_models:
            raise PlinthError("it names no models")
    except BaseException as error:
        place.write_bytes(standing)
        if not isinstance(error, PlinthError):
            raise
        raise PlinthError(
            f"{found.env} was put back as it was, for after the change {str(error).rstrip('.')}. "
            f"Change it by hand as shown:\n{found.change}"
        ) from error
    found.written.append(found.env)
    found.level = read_env(new).level
    return then


def _same(one: Seen, other: Seen) -> bool:
    places = [(each.url.host, each.url.port, each.url.database) for each in (one, other) if each.url]
    by_query = [(each.url.query.get("host"), each.url.query.get("port")) for each in (one, other) if each.url]
    return places[0] == places[1] and by_query[0] == by_query[1]


def _named(seen: Seen) -> str:
    return repr(seen.url.database) if seen.url else "none"


def _look(seen: Seen, found: Adoption, *, baseline: bool) -> list[str]:
    """Look at revisions and database, and write a baseline if that is asked for; return what to say of it."""
    script = seen.history.script
    every = [each.revision for each in script.walk_revisions()]
    found.revisions, found.heads = len(every), list(seen.heads)
    found.irreversible = [each.revision for each in script.walk_revisions() if reason_of(each) is not None]
    for several in forks(script):
        found.problems.append(Problem("heads", ", ".join(several), say_fork(several)))
    for each in unknown_heads(script, seen.heads):
        found.problems.append(Problem("ahead", each, say_unknown(script, each, seen.entries)))
    for each in slipped_in(script, seen.heads, seen.entries):
        words = say_slipped_in(script, each, seen.heads, seen.entries)
        found.problems.append(Problem("skipped", each, words))
    if not seen.has_models:
        found.notes.append(
            f"{found.env} names no models (target_metadata is None): there is nothing to compare with."
        )
    with on_its_database(seen, found.notes) as target:
        if seen.url:
            found.database = str(seen.url.database)
        looking = _Looking(seen, target, found)
        try:
            looking.go()
        except NoScratchError as error:
            found.notes.append(f"The revisions could not be tried. {error}")
        if baseline:
            return _write_baseline(seen, target, found)
        if found.not_made and seen.url:
            found.notes.append(
                "A baseline revision would make it, below those that are there, proved to make what the "
                "database has: plinth adopt --write-baseline"
            )
    _lint(seen, found)
    return []


def _write_baseline(seen: Seen, target: Connection, found: Adoption) -> list[str]:
    if not found.not_made:
        raise PlinthError("There is nothing that a baseline would make: nothing has been written.")
    made = write_baseline(seen, target)
    found.written += map(_shown, made.files)
    but = ", but for what is named below" if made.left_out or made.with_rows else ""
    notes = [
        f"Revision {made.revision} is written, with what no revision made: {_shown(made.files[0])}. It was "
        f"proved before: from nothing, all revisions made what is in the database{but}; and it went down and "
        "up again."
    ]
    if made.left_out:
        notes.append(
            "The database has this, and no revision makes it, for no model knows it or only SQL says it: "
            f"{', '.join(made.left_out)}. What each new database needs of it (revisions that are gone made "
            "it, for instance) is written into the baseline by hand: op.execute(…)."
        )
    if made.with_rows:
        notes.append(
            f"These tables have rows, and the baseline makes none: {', '.join(made.with_rows)}. Rows that "
            "each new database needs (revisions that are gone inserted them, for instance) are written into "
            "the baseline by hand: op.bulk_insert(…)."
        )
    if made.unknown:
        notes.append(
            f"No model knows {shown_names(made.unknown)}: autogenerate would drop it. Write a model, or "
            "leave it out by include_object in env.py."
        )
    if made.stamp:
        notes.append(f"Each database that has that already is told so by: alembic stamp {made.stamp}")
    return notes


class _Looking:
    """What is tried in scratch databases, and compared."""

    def __init__(self, seen: Seen, target: Connection, found: Adoption) -> None:
        self.seen, self.target, self.found = seen, target, found
        self.history = seen.history
        self.standing = self.history.read(target) if seen.url else None

    def go(self) -> None:
        """Try the revisions from nothing, or else on what stands below them.

        Raises:
            NoScratchError: there is no place for it.
        """
        report = Report()
        with scratch_database(self.target) as engine:
            is_done = try_all(engine, self.history, report) and self._look_at_what_comes_of_it(engine, report)
        if is_done:
            return
        stops = next((each for each in report.problems if each.kind == "upgrade"), None)
        self.found.from_nothing = False
        if self.standing is not None and (stops is None or stops.is_missing):
            self._try_on_what_stands(self.standing)
        else:
            self._count(report)

    def _look_at_what_comes_of_it(self, engine: Engine, report: Report) -> bool:
        """Compare what the revisions made from nothing; return False where they don't make the database."""
        made = self._read(engine)
        if self._is_lacking(engine, made):
            return False
        self.found.from_nothing = True
        self._count(report)
        self._compare(engine, made, None)
        return True

    def _read(self, engine: Engine) -> Catalog:
        with engine.connect() as connection:
            return self.history.read(connection)

    def _is_lacking(self, engine: Engine, made: Catalog) -> bool:
        """Whether tables of the database's don't come about, for they stood there before the revisions."""
        standing = self.standing
        if standing is None or (self.found.revisions and not begins_with_what_stands(self.history)):
            return False
        missing = set(standing.tables) - set(made.tables)
        if not self.seen.has_models or not missing:
            return bool(missing)
        copy_missing(engine, standing)
        with engine.connect() as connection:
            revisions_catalog(self.history, connection, found=made)
            models = self.seen.subject(connection).models
        return bool(missing & set(models.tables))

    def _count(self, report: Report) -> None:
        """Count those that went up, down and up again; behind one that can't be applied nothing was tried."""
        self.found.problems += report.problems
        steps = [step.revision.revision for step in all_steps(self.history.script)]
        stops = [steps.index(each.name) for each in report.problems if each.kind == "upgrade"]
        tried = steps[: min(stops, default=len(steps))]
        self.found.tried = len(
            set(tried)
            - {each.name for each in report.problems}
            - set(self.found.irreversible)
            - set(report.untried)
        )

    def _try_on_what_stands(self, standing: Catalog) -> None:
        """Try the revisions on a copy of what stands below them."""
        if not self.found.revisions:
            self.found.not_made = named(standing)
            return
        report = Report()
        with standing_below(self.target, self.history) as (engine, below):
            if not below.failure:
                self.found.not_made = named(below.catalog)
            is_done = try_all(engine, self.history, report)
            note_untried(below, self.history.script, report)
            self.found.notes += report.notes if below.failure else []
            self._count(report)
            if is_done:
                self._compare(engine, below.without_shells(self._read(engine)), below)

    def _compare(self, engine: Engine, made: Catalog, below: Below | None) -> None:
        seen, found, target, history = self.seen, self.found, self.target, self.history
        if self.standing is not None:
            own = own_of(seen.options.get("target_metadata"), target.dialect, self.standing.default_schema)
            copy_missing(engine, self.standing, own.has)
        chain_to_models, scope = [], Scope()
        with engine.connect() as connection:
            if not (below and below.failure):
                revisions_catalog(history, connection, found=without(made, below))
            if seen.has_models:
                subject = seen.subject(connection)
                scope = subject.scope
                chain_to_models = differences(*in_scope(subject.database, subject.models, subject.scope))
        to_chain = to_models = None
        script = history.script
        is_newest = set(seen.heads) == set(script.get_heads())
        if self.standing is not None and not unknown_heads(script, seen.heads):
            if is_newest or not seen.heads:
                then = made
            else:
                with scratch_database(target) as older:
                    for head in seen.heads:
                        upgrade(older, history, head)
                    then = self._read(older)
            there = history.read(target, made.default_schema)
            if seen.heads or there.tables:
                to_chain = differences(there, then)
            if seen.has_models and to_chain is not None and is_newest:
                subject = seen.subject(target)
                to_models = differences(*in_scope(subject.database, subject.models, subject.scope))
            self._say_how_far(is_newest, bool(there.tables))
        pictures = Pictures(chain_to_models, to_models, to_chain)
        found.differences, found.left_alone = with_origins(pictures)
        if self.standing is not None and to_chain is not None and (is_newest or not seen.heads):
            goal = self._goal(then)
            if goal is not None:
                scope = replace(scope, old_tables=(), revisions=lambda: then)
                found.undoing = undoing(target, *in_scope(there, goal, scope))

    def _goal(self, made: Catalog) -> Catalog | None:
        """Return the schema in which nothing is undone but what the database alone has or lacks."""
        origins = {each.origin for each in self.found.differences}
        if BY_HAND not in origins:
            return None
        if CHAIN not in origins:
            return made
        return None if origins & {MODELS, ALL} else self.seen.subject(self.target).models

    def _say_how_far(self, is_newest: bool, has_tables: bool) -> None:
        seen, found = self.seen, self.found
        if seen.heads and not is_newest:
            pending = found.revisions - len(ancestors(self.history.script, seen.heads))
            found.notes.append(
                f"The database has not all revisions: {pending} to be applied. It was compared with what "
                "those that it has make; if it has by hand what the others make: alembic stamp heads"
            )
        elif not seen.heads and found.revisions:
            words = (
                "It was compared with all of them; if it has them: alembic stamp heads"
                if has_tables
                else "It is empty, and was not compared."
            )
            found.notes.append(f"No revision is marked as applied to the database. {words}")


def _lint(seen: Seen, found: Adoption) -> None:
    script = seen.history.script
    try:
        checked = lint(seen.history.config)
    except (PlinthError, CommandError) as error:
        found.notes.append(f"Which revisions would block was not looked at. {error}")
        return
    applied = ancestors(
        script, [each for each in seen.heads if each not in unknown_heads(script, seen.heads)]
    )
    for each in checked.revisions:
        refused = [finding for finding in each.findings if finding.level == REFUSED]
        if refused:
            lines = [
                f"{one.rule}: {one.message}. Write: {one.instead or 'see docs/planning.md'}"
                for one in refused
            ]
            found.blocking.append(Blocking(each.revision, each.file, each.revision in applied, lines))
    if checked.not_measured:
        found.notes.append(f"Judged by the text where nothing was measured: {checked.not_measured}")
    done = [each.revision for each in found.blocking if each.applied]
    if done:
        found.notes.append(
            "What is applied blocks nobody any more. To leave it out of the lint, write below [tool.plinth] "
            f'in pyproject.toml: lint_since = "{done[-1]}"'
        )


def _shown(path: Path) -> str:
    shown = os.path.relpath(path, settings.root())
    return str(path) if shown.startswith("..") else shown
