"""Indexes, unique constraints and checks of partitioned tables, at which nobody waits.

PostgreSQL builds none concurrently on a partitioned table, but takes over those that its partitions have
already (CREATE INDEX, on partitioned tables). Which partitions there are, each database says for itself.
"""

from collections.abc import Iterator
from dataclasses import replace

from alembic.operations import ops

from plinth.autogenerate.objects import constraints, indexes
from plinth.autogenerate.objects.quoting import sql_name
from plinth.autogenerate.objects.steps import AutocommitOp, CommentOp, EachPartitionOp
from plinth.autogenerate.online.checks import comment_ops
from plinth.autogenerate.online.parts import Piece, add_checked, has_plain_index, key_index
from plinth.autogenerate.online.way import Part, Way
from plinth.catalog.picture import Constraint, Index, Name, Table


def partitioned(way: Way) -> list[Name]:
    """Return the standing tables that are partitioned, and no partitions themselves."""
    return [
        name
        for name, table in sorted(way.before.tables.items())
        if table.partition_key
        and not table.parents
        and (wanted := way.change.after.tables.get(name))
        and wanted.partition_key == table.partition_key
        and not wanted.parents
    ]


def _to_come(way: Way, name: Name) -> list[Piece]:
    """Return the indexes and constraints that a table hasn't got, or has others of their names."""
    at, wanted = way.at.tables[name], way.change.after.tables[name]
    return [
        *(each for each in wanted.indexes.values() if not _is_there(way, each, at)),
        *(
            each
            for each in wanted.constraints.values()
            if (each.type == "c" or (each.type == "u" and has_plain_index(each)))
            and not constraints.is_kept(each, at.constraints.get(each.name))
            and not _is_referred_to(way, name, each)
        ),
    ]


def _is_there(way: Way, index: Index, at: Table) -> bool:
    standing = at.indexes.get(index.name)
    return (
        standing is not None
        and indexes.is_kept(standing, index)
        and at.part("index", index.name) not in way.forced.anew
    )


def _is_referred_to(way: Way, name: Name, constraint: Constraint) -> bool:
    return any(
        constraints.stands_on(key, name, constraint)
        for table in way.change.after.tables.values()
        for key in table.constraints.values()
    )


def without_parts_to_come(way: Way, name: Name, table: Table) -> Table:
    """Return a partitioned table without what is built on its partitions first."""
    late = {each.name for each in _to_come(way, name)}
    return replace(
        table,
        indexes={key: each for key, each in table.indexes.items() if key not in late},
        constraints={key: each for key, each in table.constraints.items() if key not in late},
    )


def add_parts_to_come(way: Way, name: Name) -> None:
    """Go on by building them, each on one partition after the other."""
    for part in _to_come(way, name):
        table = way.at.tables[name]
        if isinstance(part, Constraint) and part.type == "c":
            add_checked(way, name, part)
            continue
        if isinstance(part, Index):
            to = replace(table, indexes={**table.indexes, part.name: part})
            up = [indexes.add_op(part, table, way.at), *indexes.detail_ops(None, part, name, way.at)]
            down: ops.MigrateOperation = indexes.drop_op(part, to, way.at)
        else:
            to = replace(table, constraints={**table.constraints, part.name: part})
            up = [constraints.add_op(part, table, way.at), *comment_ops(part, table, way.at)]
            down = constraints.drop_op(part, to, way.at)
        above = CommentOp(f"{part.name} takes over what each partition has by then, and builds nothing.")
        each = EachPartitionOp(sql_name(name, way.at), part.name, tuple(_statements(part, table)))
        way.step(way.at, Part([AutocommitOp([above, each])], []))
        way.step(way.with_table(to), Part(up, [down]))


def _statements(part: Piece, table: Table) -> Iterator[str]:
    index = part if isinstance(part, Index) else key_index(part, table)
    _, _, tail = index.definition.partition(" USING ")
    unique = "UNIQUE " if index.unique else ""
    tail = tail.replace("{", "{{").replace("}", "}}")
    yield f"CREATE {unique}INDEX CONCURRENTLY {{name}} ON {{partition}} USING {tail}"
    if isinstance(part, Constraint):
        timing = constraints.timing(part)
        yield f"ALTER TABLE {{partition}} ADD CONSTRAINT {{name}} UNIQUE USING INDEX {{name}}{timing}"
