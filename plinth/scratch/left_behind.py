"""What stays when all revisions are undone, though they made it: Alembic's own downgrades leave each enum.

It isn't told from what no revision makes by looking at it. So it is tried: what revisions make comes about
without it, or they get further than with it in their way.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError

from plinth import kept_name
from plinth.autogenerate.change.quoting import quoted
from plinth.catalog import Catalog, Name
from plinth.quiet import quiet_context
from plinth.scratch import prerequisites
from plinth.scratch.revisions import History, RevisionError, all_steps, upgrade

# Names of classes and functions by which revisions make what they give a name.
_CALLS = {"table": "create_table", "sequence": "Sequence"}


class _Object(NamedTuple):
    """Something that stands there: its kind as in SQL, and its name alone."""

    kind: str
    name: str


@dataclass(frozen=True)
class _Came:
    """How far revisions came.

    Args:
        is_done: whether all of them could be applied.
        statements: how many were sent, the one that failed included.
        there: what stands there then, each as the statement that drops it.
    """

    is_done: bool
    statements: int
    there: frozenset[str]

    def shows(self, drop: str, before: "_Came") -> bool:
        """Whether revisions make what was dropped: they come further without it, or it is there again."""
        if self.is_done:
            return drop in self.there or not before.is_done
        return not before.is_done and self.statements > before.statements


def drop_left_behind(
    engine: Engine, history: History, copied: Callable[[], AbstractContextManager[Engine]]
) -> None:
    """Drop what revisions made and their downgrades left.

    Args:
        engine: of a scratch database in which all revisions are undone that can be.
        history: the revisions.
        copied: opens a copy of it.
    """
    with engine.connect() as connection:
        heads = quiet_context(connection, opts=dict(history.options)).get_current_heads()
        standing = _droppable(history.read(connection))
    if not standing:
        return
    files = [Path(step.revision.path) for step in all_steps(history.script, heads)]
    said = [file.read_text(encoding="utf-8", errors="replace") for file in files]

    def suspects() -> list[str]:
        words = "\n".join(said)
        return [drop for drop, each in standing.items() if _may_make(words, each)]

    def without(drops: Collection[str]) -> _Came:
        with copied() as copy:
            _drop(copy, drops)
            sent: list[str] = []
            event.listen(copy, "before_cursor_execute", lambda *given: sent.append(given[2]))
            try:
                upgrade(copy, history)
                is_done = True
            except RevisionError:
                is_done = False
            count = len(sent)
            said.extend(sent)  # it says more than a file that reads others
            with copy.connect() as connection:
                return _Came(is_done, count, frozenset(_droppable(history.read(connection))))

    if not suspects() and not all(map(kept_name.is_pure, files)):
        without(())  # what they send says what they make
    suspected = suspects()
    if not suspected:
        return
    came = without(suspected)
    if came.is_done:
        _drop(engine, came.there.intersection(suspected))
        return
    made: list[str] = []
    came, before = without(made), None
    while came != before:
        before = came
        for drop in suspects():
            if drop not in made and (then := without([*made, drop])).shows(drop, came):
                made.append(drop)
                came = then
    _drop(engine, made)


def _droppable(catalog: Catalog) -> dict[str, _Object]:
    """Return what can be dropped by itself, by the statement that does."""
    return {f"DROP {name}": each for name, each in _objects(catalog)}


def _objects(catalog: Catalog) -> Iterator[tuple[str, _Object]]:
    def by_name(kind: str, names: Iterable[Name]) -> Iterator[tuple[str, _Object]]:
        for name in names:
            yield f"{kind.upper()} {quoted(name.schema)}.{quoted(name.name)}", _Object(kind, name.name)

    for other in catalog.others.values():
        yield other.address, _Object(other.kind, other.bare)
    yield from by_name("table", catalog.tables)
    yield from by_name("sequence", (name for name, each in catalog.sequences.items() if not each.owner))
    yield from by_name("domain", catalog.domains)
    yield from by_name("type", catalog.enums)
    for name in set(catalog.schemas) - {"public", catalog.default_schema}:
        yield f"SCHEMA {quoted(name)}", _Object("schema", name)


def _may_make(said: str, each: _Object) -> bool:
    """Whether revisions, by what they say, may make something."""
    if each.name.lower() not in said.lower():
        return False  # as most are, and the rest takes its time
    if each.kind == "type":  # made by whatever has a column of it
        return re.search(rf"(?<![\w$]){re.escape(each.name)}(?![\w$])", said, re.IGNORECASE) is not None
    call = _CALLS.get(each.kind)
    if call and re.search(rf"\b{call}\(\s*[rf]?[\"']{re.escape(each.name)}[\"']", said):
        return True
    return prerequisites.makes(said, prerequisites.Prerequisite(each.kind, each.name, ""))


def _drop(engine: Engine, drops: Collection[str]) -> None:
    """Drop in whatever order works; on what can't go stands something that isn't theirs."""
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        rest = list(drops)
        while rest:
            failed = [each for each in rest if not _try(connection, each)]
            if len(failed) == len(rest):
                break
            rest = failed


def _try(connection: Connection, statement: str) -> bool:
    try:
        connection.exec_driver_sql(statement.replace("%", "%%"))
    except DBAPIError:
        return False
    return True
