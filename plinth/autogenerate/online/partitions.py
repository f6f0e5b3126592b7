"""What partitions get first, so that the table's own takes it over and nobody waits.

PostgreSQL builds no index concurrently on a partitioned table, and before 18 adds no foreign key NOT VALID to
one, but takes over what its partitions have already (CREATE INDEX and ALTER TABLE, on partitioned tables).
Which partitions there are, each database says for itself.
"""

from collections.abc import Iterator

from alembic.operations import ops

from plinth.autogenerate.objects import constraints
from plinth.autogenerate.objects.quoting import quoted, sql_name
from plinth.autogenerate.objects.steps import CommentOp, EachPartitionOp
from plinth.catalog.picture import Catalog, Constraint, Index, Table


def built(index: Index) -> str:
    """Return what builds an index on a partition."""
    _, _, tail = index.definition.partition(" USING ")
    unique = "UNIQUE " if index.unique else ""
    return f"CREATE {unique}INDEX CONCURRENTLY {{name}} ON {{partition}} USING {_as_it_is(tail)}"


def used(constraint: Constraint) -> str:
    """Return what adds a unique constraint or primary key to a partition, on the index of its name."""
    kind = "PRIMARY KEY" if constraint.type == "p" else "UNIQUE"
    timing = constraints.timing(constraint)
    return f"ALTER TABLE {{partition}} ADD CONSTRAINT {{name}} {kind} USING INDEX {{name}}{timing}"


def referring(key: Constraint) -> Iterator[str]:
    """Yield what adds a foreign key to a partition, and looks at its rows."""
    yield f"ALTER TABLE {{partition}} ADD {_as_it_is(constraints.sql_definition(key))} NOT VALID"
    yield f"ALTER TABLE {{partition}} VALIDATE CONSTRAINT {_as_it_is(quoted(key.name))}"


def _as_it_is(sql: str) -> str:
    return sql.replace("{", "{{").replace("}", "}}")


def on_each(ending: str, table: Table, catalog: Catalog, *statements: str) -> list[ops.MigrateOperation]:
    """Return what gives each partition of a table its own, by a name with some ending, and says what for."""
    above = CommentOp("The table's takes over what each partition has by then, and builds nothing.")
    return [above, EachPartitionOp(sql_name(table.name, catalog), ending, statements)]
