"""Whose a change of a database is: a revision's that stands half-way, or somebody else's since."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from plinth.apply.said import Said
from plinth.catalog import Catalog, Name
from plinth.catalog.picture import Other, Sequence, Table

KINDS = ("schemas", "tables", "sequences", "enums", "domains", "others")
# What PostgreSQL calls a constraint or index that was given no name.
_UNNAMED = re.compile(r"_(?:check|excl|fkey|idx|key|not_null|pkey)\d*\Z")


@dataclass(frozen=True)
class Scope:
    """What of a database a revision is about, and what somebody else has made or changed since.

    Args:
        before: what was there before the revision.
        said: what it has done, and what has taken it back until now.
        reach: the schemas that statements can have meant; None is among them, for what stands in no schema.
    """

    before: Catalog
    said: Said
    reach: Collection[str | None]

    def ours(self, now: Catalog) -> Catalog:
        """Return what is there now, without what is new and which no statement of the revision made."""

        def is_made(kind: str, name: Any, each: Any) -> bool:  # noqa: ANN401 - any object's
            makes = {"schemas": self.said.makes_schema, "tables": self.said.makes_table}
            return makes.get(kind, self.said.names)(bare(name, each)) and _schema(name, each) in self.reach

        kept: dict[str, Any] = {}
        for kind in KINDS:
            was = getattr(self.before, kind)
            kept[kind] = {
                name: each
                for name, each in getattr(now, kind).items()
                if name in was or is_made(kind, name, each)
            }
        kept["sequences"] |= {
            name: each
            for name, each in now.sequences.items()
            if each.owner and each.owner.table in kept["tables"]
        }
        return replace(now, **kept)

    def goal(self, ours: Catalog) -> Catalog:
        """Return what was there before, with what somebody else has made or changed since.

        That is all that no statement can have meant: what is in other schemas (another tenant's), what none
        names, and columns, constraints and indexes which none makes.
        """
        goal: dict[str, Any] = {}
        for kind in KINDS:
            was, now = getattr(self.before, kind), getattr(ours, kind)
            goal[kind] = {name: each for name, each in was.items() if self._is_meant(name, each, ours)}
            goal[kind] |= {name: each for name, each in now.items() if not self._is_meant(name, each, ours)}
        for name in goal["tables"].keys() & self.before.tables.keys() & ours.tables.keys():
            if self._is_meant(name, ours.tables[name], ours):
                goal["tables"][name] = self._with_others(name, ours)
        for name, each in ours.sequences.items():  # of a column that stays
            owner = goal["tables"].get(each.owner.table) if each.owner else None
            if each.owner and owner and owner.column(each.owner.column):
                goal["sequences"].setdefault(name, each)
        return replace(self.before, **goal)

    def left_alone(self, now: Catalog) -> Iterator[str]:
        """Yield tables and columns that are another's, or the revision's by means that aren't seen."""
        ours = self.ours(now)
        goal = self.goal(ours)
        for name, table in now.tables.items():
            was = self.before.tables.get(name)
            if (was is None and name not in ours.tables) or name.schema not in self.reach:
                if was != table and self.said.names(name.name):
                    yield str(name)
            elif was and name in goal.tables:
                new = {each.name for each in goal.tables[name].columns if was.column(each.name) is None}
                yield from (f"{name}.{each}" for each in new if self.said.names(each))

    def elsewhere(self, now: Catalog) -> Iterator[str]:
        """Yield what has changed in schemas that no statement is known to mean, though one has its name."""
        for kind in KINDS:
            was, there = getattr(self.before, kind), getattr(now, kind)
            for name in {**was, **there}:
                each = there.get(name) or was[name]
                is_meant = _schema(name, each) in self.reach or not self.said.names(bare(name, each))
                if was.get(name) != there.get(name) and not is_meant:
                    yield " ".join(name) if type(name) is tuple else str(name)

    def _is_meant(self, name: Any, each: Any, ours: Catalog) -> bool:  # noqa: ANN401 - any object's
        """Whether statements may have changed something."""
        if _schema(name, each) not in self.reach:
            return False
        if self.said.reaches_what_it_does_not_name or self.said.names(bare(name, each)):
            return True
        tables = set()
        if isinstance(each, Table):
            tables = {name}
        elif isinstance(each, Sequence) and each.owner:
            tables = {each.owner.table}
        elif isinstance(each, Other):
            tables = {place.table for place in each.uses} | ({each.table} if each.table else set())
        return any(self._about(table, ours) for table in tables)

    def _about(self, table: Name, ours: Catalog) -> Said:
        """Return the statements that may have changed a table, what it inherits from, or parts of them."""
        catalogs = (self.before, ours)
        family = {table, *(parent for catalog in catalogs for parent in _above(table, catalog))}
        found = [catalog.tables[name] for catalog in catalogs for name in family & catalog.tables.keys()]
        parts = {part.name for each in found for part in each.parts}
        return self.said.about({name.name for name in family} | parts)

    def _with_others(self, name: Name, ours: Catalog) -> Table:
        """Return a table as it was before, with what somebody else has added to it since."""
        before, now, said = self.before.tables[name], ours.tables[name], self._about(name, ours)
        new = [
            each for each in now.columns if not before.column(each.name) and not said.makes_column(each.name)
        ]
        names = {each.name for each in new}

        def others(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
            return {
                name: each
                for name, each in now.items()
                if name not in before
                and not said.names(name)
                and (not _UNNAMED.search(name) or names & {*each.columns})
            }

        return replace(
            before,
            columns=(*before.columns, *new),
            constraints={**before.constraints, **others(now.constraints, before.constraints)},
            indexes={**before.indexes, **others(now.indexes, before.indexes)},
        )


def _above(table: Name, catalog: Catalog) -> Iterator[Name]:
    """Yield the tables that a table inherits from, or is a partition of."""
    for parent in catalog.tables[table].parents if table in catalog.tables else ():
        yield parent
        yield from _above(parent, catalog)


def reached(connection: Connection, before: Catalog, said: Said) -> set[str | None]:
    """Return the schemas that statements can have meant: those they name, and where other names lead."""
    led = connection.scalars(sa.select(sa.func.unnest(sa.func.current_schemas(False))))
    known = {*before.schemas, *connection.scalars(sa.text("select nspname from pg_namespace"))}
    return {None, before.default_schema, *led, *said.schemas(known)}


def _schema(name: Any, each: Any) -> str | None:  # noqa: ANN401 - any object's
    """Return the schema in which an object stands, or the table that it belongs to; None if it is in none."""
    if isinstance(each, Other):
        return each.table.schema if each.table else each.schema
    return name.schema if isinstance(name, Name) else None


def bare(name: Any, each: Any) -> str:  # noqa: ANN401 - any object's
    """Return the last part of an object's name, as a statement is sure to have it."""
    if isinstance(name, Name):
        return name.name
    return name if isinstance(name, str) else each.bare
