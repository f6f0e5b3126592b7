"""Materialized views on columns that exchange their names: second ones, built beside them, take their place.

Filled within the exchange, nobody could read them meanwhile. So second ones are made beforehand, by the very
statements that make the first: for one transaction, which changes the catalog only, they have the names, and
the columns that take over have theirs. They are filled then, outside of any transaction.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from plinth.autogenerate.change import dependents
from plinth.autogenerate.change.belongings import closed
from plinth.autogenerate.change.expressions import tokens
from plinth.autogenerate.change.quoting import do_block, literal, quoted, sql_name, temporary_name
from plinth.autogenerate.change.steps import CommentOp, SqlOp
from plinth.autogenerate.change.way import Operations, Outside, Way
from plinth.catalog.picture import Catalog, Name, Node, Other

KIND = "materialized view"
_DROP_INDEX = "DROP INDEX "


def objections(catalog: Catalog, gone: Collection[Other]) -> Iterator[str]:
    """Yield which views can't be built beforehand: a table has no second primary key yet."""
    for view in to_build(gone, catalog):
        if any(node.kind == "constraint" for node in view.needs):
            yield (
                f"{view.kind} {view.name} groups by a primary key and shows other columns, which it can't "
                "before that key is there: name them in its GROUP BY"
            )


def to_build(gone: Collection[Other], goal: Catalog) -> list[Other]:
    """Return the materialized views in what is made anew, and the views that these read, in order."""
    needs = {each.node: each.needs | goal.others.get((each.kind, each.name), each).needs for each in gone}
    views = {each.node: each for each in gone if each.kind in {"view", KIND}}
    found = {node for node, each in views.items() if each.kind == KIND}
    while more := set[Node]().union(*(needs[node] for node in found)) & views.keys() - found:
        found |= more
    ordered: list[Other] = []
    while len(ordered) < len(found):
        done = {each.node for each in ordered}
        ordered += [views[node] for node in sorted(found - done, key=str) if not needs[node] & found - done]
    return ordered


@dataclass(frozen=True)
class _Relation:
    """A view, or an index of one, under its names.

    Args:
        kind: as in SQL.
        name: its own.
        beside: that of the second one, until it takes over.
        aside: that of the first one, while the second one has the name.
    """

    kind: str
    name: Name
    beside: str
    aside: str

    def rename(self, old: str, new: str, catalog: Catalog) -> SqlOp:
        """Return what gives one of its names in the place of another one."""
        was = sql_name(Name(self.name.schema, old), catalog)
        return SqlOp(f"ALTER {self.kind.upper()} {was} RENAME TO {quoted(new)}")


class Beside:
    """Second materialized views, and what they read, until they take over.

    Args:
        way: so far.
        reached: the schema after the exchange.
        gone: what is made anew with it.
    """

    def __init__(self, way: Way, reached: Catalog, gone: Collection[Other]) -> None:
        self._way = way
        self._reached = reached
        self._gone = gone
        self.views = to_build(gone, reached)
        self._taken = _names(way.at) | _names(reached)
        self._relations: dict[Name, _Relation] = {}

    def _relation(self, kind: str, name: Name) -> _Relation:
        if name not in self._relations:
            beside, aside = (temporary_name(name.name, end, self._taken) for end in ("_new", "_aside"))
            self._relations[name] = _Relation(kind, name, beside, aside)
            self._taken |= {beside, aside}
        return self._relations[name]

    def _view(self, view: Other) -> _Relation:
        return self._relation(view.kind, Name(str(view.schema), view.bare))

    def _later(self, view: Other) -> Other:
        return self._reached.others[view.kind, view.name]

    def _of(self, view: Other) -> list[_Relation]:
        """Return a view and its indexes."""
        schema = str(view.schema)
        indexes = (self._relation("index", Name(schema, each)) for each in _index_names(view))
        return [self._view(view), *indexes]

    @property
    def rest(self) -> list[Other]:
        """What is made anew in the exchange itself."""
        return [each for each in self._gone if each not in self.views]

    def make(self, lend: Operations, take_back: Operations) -> Operations:
        """Return what makes the second views, without rows.

        Args:
            lend: gives what takes over its later names.
            take_back: gives it those that it has until then.
        """
        at = self._way.at
        # What queries lock first comes first.
        aside = [each for view in reversed(self.views) for each in self._of(view)]
        there = dependents.without(self._reached, self._gone)
        made = dependents.with_again(there, list(map(self._empty, self.views)), there)
        names = ", ".join(self._pair(view)[0] for view in self.views if view.kind == KIND)
        return [
            CommentOp(
                f"Beside {names}: the same on the columns as they will be, built before these take over."
            ),
            *(each.rename(each.name.name, each.aside, at) for each in aside),
            *lend,
            *self._way.up(there, made),
            *(
                each.rename(each.name.name, each.beside, at)
                for view in self.views
                for each in self._of(self._later(view))
            ),
            *take_back,
            *(each.rename(each.aside, each.name.name, at) for each in reversed(aside)),
            self._own(),
            self._closed(),
        ]

    def _empty(self, view: Other) -> Other:
        later = self._later(view)
        if later.kind != KIND:
            return later
        return replace(later, definition=f"{later.definition.rstrip().removesuffix(';')} WITH NO DATA")

    def _pair(self, view: Other) -> tuple[str, str]:
        it = self._view(view)
        return sql_name(it.name, self._way.at), sql_name(Name(it.name.schema, it.beside), self._way.at)

    def _own(self) -> SqlOp:
        """Return what gives the second views to those who own the first: they see what these may see."""
        pairs = ", ".join(f"({', '.join(map(literal, self._pair(view)))})" for view in self.views)
        lines = [
            "DECLARE said text; BEGIN",
            "    FOR said IN",
            "        SELECT format('ALTER TABLE %s OWNER TO %I', beside, pg_get_userbyid(relowner))",
            f"        FROM (VALUES {pairs}) v (is_now, beside) JOIN pg_class ON oid = is_now::regclass",
            "    LOOP EXECUTE said; END LOOP;",
        ]
        return SqlOp(do_block(lines))

    def _closed(self) -> SqlOp:
        """Return what lets nobody else use the second views: who may use the first is known when they go."""
        names = [self._pair(view)[1] for view in self.views]
        return closed(names, "nobody else may read it before it has the name")

    def fill(self) -> Operations:
        """Return what fills the second views, where the first are filled."""
        found: list[SqlOp] = []
        for view in self.views:
            if view.kind == KIND:
                found.append(self._refresh(view, "", [view, *self._readers(view)]))
                found.append(SqlOp(f"ANALYZE {self._pair(view)[1]}"))
        # One that isn't filled can't be read, and is emptied again where another one has read it.
        found += [
            self._refresh(view, "NOT", [view], " WITH NO DATA") for view in self.views if self._readers(view)
        ]
        return Outside(found)

    def _readers(self, view: Other) -> list[Other]:
        """Return the materialized views that read a materialized view."""
        found = [view] if view.kind == KIND else []
        for each in self.views:
            if found and not self._later(each).needs.isdisjoint(other.node for other in found):
                found.append(each)
        return [each for each in found[1:] if each.kind == KIND]

    def _refresh(self, view: Other, negation: str, ask: Sequence[Other], how: str = "") -> SqlOp:
        """Return what fills or empties a second view, if one of the first is filled, or not."""
        names = ", ".join(f"{literal(self._pair(each)[0])}::regclass" for each in ask)
        is_filled = f"(SELECT bool_or(relispopulated) FROM pg_class WHERE oid IN ({names}))"  # noqa: S608
        lines = [
            "BEGIN",
            f"    IF {' '.join(filter(None, (negation, is_filled)))} THEN",
            f"        REFRESH MATERIALIZED VIEW {self._pair(view)[1]}{how};",
            "    END IF;",
        ]
        return SqlOp(do_block(lines))

    def take_over(self) -> Operations:
        """Return what gives the second views the names, when the first are gone."""
        return [
            each.rename(each.beside, each.name.name, self._way.at)
            for view in self.views
            for each in self._of(self._later(view))
        ]


def _index_names(view: Other) -> list[str]:
    """Return the names of the indexes of a materialized view."""
    last = [
        tokens(each.undo.removeprefix(_DROP_INDEX))[-1]
        for each in view.details
        if each.undo.startswith(_DROP_INDEX)
    ]
    return [each[1:-1].replace('""', '"') if each.startswith('"') else each for each in last]


def _names(catalog: Catalog) -> set[str]:
    """Return the names of relations and types, whatever their schema."""
    found = {each.name for each in (*catalog.tables, *catalog.sequences, *catalog.enums, *catalog.domains)}
    for table in catalog.tables.values():
        found |= {*table.indexes, *table.constraints}
    for other in catalog.others.values():
        found |= {other.bare, *_index_names(other)}
    return found
