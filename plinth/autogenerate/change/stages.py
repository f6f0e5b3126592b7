"""What is done on the way from one schema to another, each stage with what it needs; the order is found.

No list says which comes first. A stage says what it makes, and what has to be there before it; what becomes
possible by one is done next, so that what belongs to one table stands together.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import NamedTuple

from plinth.autogenerate.change.way import Way
from plinth.catalog.picture import Name


@dataclass(frozen=True)
class Stage:
    """What is done once.

    Args:
        makes: what is there when it is done.
        go: goes on by it.
        needs: what is made before: of what is made for each table, this table's, or that of all.
        needs_of_all: what is made before for all tables.
        is_after: it takes away what running code may still use, and comes after the code.
        behind: the tables for which it is done before it is for one, if any.
    """

    makes: str
    go: Callable[..., None]
    needs: Sequence[str] = ()
    needs_of_all: Sequence[str] = ()
    is_after: bool = False
    behind: Callable[[Way, Name], Collection[Name]] | None = None


class TableStage(Stage):
    """What is done for each standing table whose changes are taken apart; `go` takes its name, too."""


class _Point(NamedTuple):
    """What is made: for one table, or for the whole schema, which is for all tables."""

    what: str
    table: Name | None = None


def go_on(way: Way, stages: Sequence[Stage], tables: Sequence[Name]) -> None:
    """Go on by all stages.

    Args:
        way: so far.
        stages: in any order.
        tables: those that stand, in the order in which they change where nothing else decides.
    """

    def behind(stage: Stage, table: Name) -> Collection[Name]:
        return stage.behind(way, table) if stage.behind else ()

    for stage, table in ordered(stages, tables, behind):
        way.is_after = stage.is_after
        if table is None:
            stage.go(way)
        elif table in way.split:
            stage.go(way, table)


def ordered(
    stages: Sequence[Stage],
    tables: Sequence[Name],
    behind: Callable[[Stage, Name], Collection[Name]] = lambda *_: (),
) -> Iterator[tuple[Stage, Name | None]]:
    """Yield the stages in order, those of tables with each of them.

    Raises:
        graphlib.CycleError: stages need each other. That is a fault of theirs.
        KeyError: one needs what none makes. So is that.
    """
    makers = {stage.makes: stage for stage in stages}

    def needed(stage: Stage, table: Name | None) -> list[_Point]:
        own = [_Point(what, table if isinstance(makers[what], TableStage) else None) for what in stage.needs]
        return own + [_Point(what) for what in stage.needs_of_all]

    graph: dict[_Point, list[_Point]] = {}
    for stage in stages:
        # Also where there is no table: what needs it still comes after what it needs.
        of_each = [_Point(stage.makes, table) for table in tables] if isinstance(stage, TableStage) else []
        graph[_Point(stage.makes)] = of_each + needed(stage, None)
        for table, point in zip(tables, of_each, strict=False):
            first = [_Point(stage.makes, each) for each in behind(stage, table) if each in tables]
            graph[point] = needed(stage, table) + first
    places: dict[Name | None, int] = {table: place for place, table in enumerate(tables)}
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    waiting: list[_Point] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=lambda each: places.get(each.table, len(places)))
        waiting += reversed(ready)
        point = waiting.pop()
        stage = makers[point.what]
        if point.table is not None or not isinstance(stage, TableStage):
            yield stage, point.table
        sorter.done(point)
