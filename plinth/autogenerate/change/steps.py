"""What a change is made of: Alembic's operations, what they make and drop, and those that Alembic lacks."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from alembic.operations import Operations, ops
from sqlalchemy import Connection, text

from plinth.autogenerate.change import casts
from plinth.autogenerate.change.casts import Casts, Using
from plinth.autogenerate.change.quoting import do_block, quoted, without_binds
from plinth.catalog.picture import NOTHING, Catalog, Column, ColumnName, Name, Node


@dataclass(frozen=True)
class Waiting:
    """What an operation on a standing table makes queries wait for, where there is no other way.

    Args:
        why: a sentence, without the point at its end.
        rule: the lint's about it.
        only_where_locked: the operation locks nobody out, but what comes before it in a transaction may.
    """

    why: str
    rule: str
    only_where_locked: bool = False


class SqlOp(ops.ExecuteSQLOp):
    """SQL for what Alembic has no operation for.

    Args:
        sql: one statement, as psql takes it.
        summary: what it does, for the revision's message; None when it only helps another operation.
        table: the table that it is about, or the view that it replaces, if any.
        note: a comment above it in the revision's file, if any.
        waiting: what it makes queries wait for.
    """

    def __init__(
        self,
        sql: str,
        summary: str | None = None,
        table: Name | None = None,
        *,
        note: str | None = None,
        waiting: Waiting | None = None,
    ) -> None:
        super().__init__(without_binds(sql))
        self.sql = sql
        self.summary = summary
        self.table = table
        self.note = note
        self.waiting = waiting


class FillOp(SqlOp):
    """SQL that reads tables to fill what it makes: no lock from before should be held as long as it takes."""


NAMED_NOT_NULL = 18  # the first PostgreSQL in which NOT NULL has a name


class NotNullNamesOp(SqlOp):
    """Gives NOT NULL constraints other names. They have names since PostgreSQL 18 only.

    Args:
        renames: statements.
        table: whose they are.
    """

    def __init__(self, renames: Iterable[str], table: Name) -> None:
        self.renames = tuple(renames)
        self.about = table
        since = (
            "IF current_setting('server_version_num')::int >= 180000 THEN  -- before, NOT NULL has no name"
        )
        lines = ["BEGIN", f"    {since}", *(f"        {each};" for each in self.renames), "    END IF;"]
        super().__init__(do_block(lines), None, table)


class TextOp(ops.MigrateOperation):
    """A line of Python in the revision's file."""

    summary = None

    def __init__(self, text: str) -> None:
        self.text = text

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return it as `alembic check` lists it."""
        return ("text", self.text)


class CommentOp(TextOp):
    """A comment there, above the operation that follows."""


@Operations.implementation_for(CommentOp)
def _comment(*_: object) -> None:
    """Do nothing: it is for whoever reads the file."""


class NamedTextOp(TextOp):
    """Gives a name to SQL that is executed more than once."""

    def __init__(self, name: str, sql: str) -> None:
        super().__init__(sql)
        self.name = name


# What a name `n` becomes where it is too long: of seven characters none has more than four bytes.
NAME_OF_PART = "CASE WHEN octet_length(n) < 64 THEN n ELSE left(n, 7) || md5(n) END"


# The partitions that hold rows, and a name for what is made on each, as `text()` takes them.
PARTITIONS = f"""
SELECT replace(oid::regclass::text, ':', '\\\\:'),
    replace(quote_ident({NAME_OF_PART}),
        ':', '\\\\:')
FROM pg_class, concat(relname, '_', CAST(:ending AS text)) n
WHERE relkind = 'r'
    AND oid IN (SELECT relid FROM pg_partition_tree(CAST(:table AS regclass)) WHERE isleaf)
ORDER BY oid
"""  # noqa: S608 - a constant


class PartitionsOp(TextOp):
    """Gives a name to what asks which partitions there are."""

    def __init__(self) -> None:
        super().__init__(PARTITIONS.strip())


class EachPartitionOp(ops.MigrateOperation):
    """Executes statements for each partition that a table has, and not for those that have some themselves.

    Args:
        table: its name as SQL.
        statements: with `{partition}` and `{name}` in the place of names.
        ending: of the names of what is made there, if anything is.
        note: a comment above it in the revision's file.
    """

    summary = None

    def __init__(self, table: str, statements: Iterable[str], ending: str | None, note: str) -> None:
        self.given = {"table": table, "ending": ending}
        self.statements = tuple(map(without_binds, statements))
        self.note = note

    def on(self, connection: Connection) -> Iterator[str]:
        """Yield the statements for the partitions that are there."""
        for partition, name in connection.execute(text(PARTITIONS), self.given).all():
            yield from (each.format(partition=partition, name=name) for each in self.statements)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return it as `alembic check` lists it."""
        return ("each partition", self.statements)


class LoosenPartitionsOp(EachPartitionOp):
    """Lets a column be NULL in each partition, where the table's may be NULL already.

    Args:
        table: its name as SQL.
        altered: what does that for the table.
    """

    def __init__(self, table: str, altered: ops.AlterColumnOp) -> None:
        self.altered = altered
        statement = f"ALTER TABLE {{partition}} ALTER COLUMN {as_it_is(quoted(altered.column_name))}"
        note = "what refuses NULL there is a partition's own, if it had a primary key before the table had"
        super().__init__(table, [f"{statement} DROP NOT NULL"], None, note)


def as_it_is(sql: str) -> str:
    """Return SQL as it stands in the statements of an `EachPartitionOp`."""
    return sql.replace("{", "{{").replace("}", "}}")


@Operations.implementation_for(EachPartitionOp)
def _each_partition(operations: Operations, op: EachPartitionOp) -> None:
    for statement in op.on(operations.get_bind()):
        operations.execute(statement)


class AutocommitOp(ops.OpContainer):
    """Operations outside of any transaction, each with a commit of its own (`autocommit_block`)."""

    def __init__(self, operations: Iterable[ops.MigrateOperation]) -> None:
        super().__init__(list(operations))


def leaves(operations: Iterable[ops.MigrateOperation]) -> Iterator[ops.MigrateOperation]:
    """Yield operations one by one, those that belong together and those outside of a transaction, too."""
    for op in operations:
        yield from leaves(op.ops) if isinstance(op, ops.OpContainer) else [op]


@dataclass(frozen=True)
class Step:
    """An operation, and what it has to do with others.

    Args:
        op: what.
        about: where a reader expects it (`order`), if what it makes and drops doesn't say so.
        makes: the objects that are as they should be when it has run.
        drops: those that aren't as they were any more.
        needs: those that have to be made before, or, when it makes nothing, to be there still.
    """

    op: ops.MigrateOperation
    about: str | None = None
    makes: frozenset[Node] = NOTHING
    drops: frozenset[Node] = NOTHING
    needs: frozenset[Node] = NOTHING

    def making(self, *nodes: Node) -> "Step":
        """Return it as one that makes objects."""
        return replace(self, makes=self.makes.union(nodes))

    def dropping(self, *nodes: Node) -> "Step":
        """Return it as one that drops objects."""
        return replace(self, drops=self.drops.union(nodes))

    def needing(self, *nodes: Node) -> "Step":
        """Return it as one that needs objects."""
        return replace(self, needs=self.needs.union(nodes))


@dataclass
class Forced:
    """What can't stay as it is: it stands on what goes or changes, or differs where nothing alters it.

    Args:
        anew: objects that are dropped and made anew: types, generated columns, and what has to be, although
            it doesn't change itself (defaults, constraints, indexes, checks of domains, views and the like).
        retyped: columns that get another type, or a new one of the same name.
        changed: all that is dropped, whether it is made anew, comes back otherwise, or goes.
    """

    anew: set[Node] = field(default_factory=set)
    retyped: set[ColumnName] = field(default_factory=set)
    changed: set[Node] = field(default_factory=set)

    @property
    def types(self) -> set[Name]:
        """The enums and domains that are made anew."""
        return {node.name for node in self.anew if node.kind == "type" and isinstance(node.name, Name)}

    def parts(self, kind: str) -> set[ColumnName]:
        """Return the columns, defaults, constraints, indexes or checks of domains that are made anew."""
        return {node.name for node in self.anew if node.kind == kind and isinstance(node.name, ColumnName)}

    def of(self, found: Collection[ColumnName], table: Name) -> set[str]:
        """Return the names of those that belong to a table, or to a domain."""
        return {name for owner, name in found if owner == table}


@dataclass(frozen=True)
class Change:
    """One way from a schema to another, up or down.

    Args:
        before: what is there.
        after: what should be there.
        casts: between types, in this database.
        backfills: SQL that gives a column its value in rows that have none.
        is_downgrade: it takes back what an upgrade did.
        rewrites: columns whose change may write their table anew (`-x rewrite=table.column`).
        goal: where the whole way leads, of which this may be a part.
        usings: what the models say of conversions.
        filled_later: columns whose rows get their values in revisions of their own.
        kept_names: the old names, by new columns, that stay usable until the code that uses them is gone.
        numbered: the sequences that the application asks for values of columns.
        written_anew: why no new table takes the place of one that gets a stored generated column.
        reads: what backfills of standing tables read, but for their own columns.
        finer: columns whose new type has values that the old one can't have.
    """

    before: Catalog
    after: Catalog
    casts: Casts
    backfills: Mapping[ColumnName, str] = field(default_factory=dict)
    is_downgrade: bool = False
    rewrites: Collection[str] = ()
    goal: Catalog | None = None
    usings: Mapping[ColumnName, Using] = field(default_factory=dict)
    filled_later: Collection[ColumnName] = ()
    kept_names: Mapping[ColumnName, str] = field(default_factory=dict)
    numbered: Mapping[ColumnName, Name] = field(default_factory=dict)
    written_anew: Mapping[Name, str] = field(default_factory=dict)
    reads: Mapping[ColumnName, frozenset[Node]] = field(default_factory=dict)
    finer: Collection[ColumnName] = ()

    def gets_values(self, place: ColumnName) -> bool:
        """Whether rows of a standing table get values in a column: it is new, or becomes required."""
        before, after = self.before.column(*place), self.after.column(*place)
        if place.table not in self.before.tables or after is None:
            return False
        return before is None or (after.not_null and not before.not_null)

    def read_columns(self, place: ColumnName) -> set[ColumnName]:
        """Return the columns that a column's backfill reads."""
        return {each.name for each in self.reads.get(place, NOTHING) if isinstance(each.name, ColumnName)}

    def conversion(
        self, place: ColumnName, before: Column, after: Column, *, at: Catalog | None = None
    ) -> str | None:
        """Return the SQL expression that makes values of a column's new type; None when none is needed.

        Args:
            place: the column.
            before: as it is.
            after: as it will be.
            at: where both types are found; before and after, unless it is given.
        """
        old, new = at or self.before, at or self.after
        found = self.using(place, before, after) or casts.using(before, after, old, new, self.casts)
        if found is None and self.is_downgrade and place in self.finer:
            return casts.unrounded(before, after, old, new)
        return found

    def using(self, place: ColumnName, before: Column, after: Column) -> str | None:
        """Return the SQL expression that the models say for a column's new type; None when they say none."""
        said = self.usings.get(place)
        if said is None or before.type == after.type:
            return None
        return said.way_back(before, after) if self.is_downgrade else said.up
