"""What is done on the way from one schema to another, each stage with what it needs; the order is found.

No list says which comes first. A stage says what it makes, and what has to be there before it; what becomes
possible by one is done next, so that what belongs to one table stands together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import NamedTuple

from plinth.autogenerate.online.way import Way
from plinth.catalog.picture import Name


@dataclass(frozen=True)
class Stage:
    """What is done once.

    Args:
        makes: what is there when it is done.
        go: goes on by it.
        needs: what is made before; where that is made for each table, for all of them.
        is_after: it takes away what running code may still use, and comes after the code.
    """

    makes: str
    go: Callable[[Way], None]
    needs: Sequence[str] = ()
    is_after: bool = False


@dataclass(frozen=True)
class TableStage:
    """What is done for each standing table whose changes are taken apart.

    Args:
        makes: what the table has when it is done.
        go: goes on by it.
        needs: what is made before, for this table where it is made for each.
        needs_of_all: what is made before for all tables.
        is_after: as of `Stage`.
    """

    makes: str
    go: Callable[[Way, Name], None]
    needs: Sequence[str] = ()
    needs_of_all: Sequence[str] = ()
    is_after: bool = False


class _Point(NamedTuple):
    """What is made: for one table, or for the whole schema, which is for all tables."""

    what: str
    table: Name | None = None


def go_on(way: Way, stages: Sequence[Stage | TableStage], tables: Sequence[Name]) -> None:
    """Go on by all stages.

    Args:
        way: so far.
        stages: in any order.
        tables: those that stand, in the order in which they change where nothing else decides.
    """
    for stage, table in ordered(stages, tables):
        way.is_after = stage.is_after
        if isinstance(stage, Stage):
            stage.go(way)
        elif table is not None and table in way.split:
            stage.go(way, table)


def ordered(
    stages: Sequence[Stage | TableStage], tables: Sequence[Name]
) -> Iterator[tuple[Stage | TableStage, Name | None]]:
    """Yield the stages in order, those of tables with each of them.

    Raises:
        graphlib.CycleError: stages need each other. That is a fault of theirs.
        KeyError: one needs what none makes.
    """
    makers = {stage.makes: stage for stage in stages}

    def needed(stage: Stage | TableStage, table: Name | None) -> Iterator[_Point]:
        for what in stage.needs:
            yield _Point(what, table if isinstance(makers[what], TableStage) else None)
        if isinstance(stage, TableStage):
            yield from (_Point(makers[what].makes) for what in stage.needs_of_all)

    graph: dict[_Point, list[_Point]] = {}
    for stage in stages:
        # Also where there is no table: what needs it still comes after what it needs.
        of_each = [_Point(stage.makes, table) for table in tables] if isinstance(stage, TableStage) else []
        graph[_Point(stage.makes)] = [*of_each, *needed(stage, None)]
        graph |= {point: list(needed(stage, point.table)) for point in of_each}
    places: dict[Name | None, int] = {table: place for place, table in enumerate(tables)}
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    waiting: list[_Point] = []
    while sorter.is_active():
        waiting += sorted(
            sorter.get_ready(), key=lambda each: places.get(each.table, len(places)), reverse=True
        )
        point = waiting.pop()
        stage = makers[point.what]
        if isinstance(stage, Stage) or point.table is not None:
            yield stage, point.table
        sorter.done(point)
