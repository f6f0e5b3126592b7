"""What partitions get first, so that the table's own takes it over and nobody waits.

PostgreSQL builds no index concurrently on a partitioned table, and before 18 adds no foreign key NOT VALID to
one, but takes over what its partitions have already (CREATE INDEX and ALTER TABLE, on partitioned tables).
Which partitions there are, each database says for itself.
"""

from collections.abc import Collection, Iterator

from plinth.autogenerate.change.quoting import do_block, literal, sql_name
from plinth.autogenerate.change.steps import NAME_OF_PART, EachPartitionOp, SqlOp, as_it_is
from plinth.catalog.picture import Catalog, Constraint, Index, Name, Table


def built(index: Index) -> str:
    """Return what builds an index on a partition."""
    _, _, tail = index.definition.partition(" USING ")
    unique = "UNIQUE " if index.unique else ""
    return f"CREATE {unique}INDEX CONCURRENTLY {{name}} ON {{partition}} USING {as_it_is(tail)}"


def on_each(ending: str | None, table: Table, catalog: Catalog, *statements: str) -> EachPartitionOp:
    """Return what gives each partition of a table its own, by a name with some ending, if they need one."""
    note = "the table's takes over what each partition has by then, and builds nothing"
    return EachPartitionOp(sql_name(table.name, catalog), statements, ending, note)


def settled(parts: Collection[Constraint | Index], table: Table, catalog: Catalog) -> Iterator[SqlOp]:
    """Yield what names what partitions have for parts of their table after these, where that is free.

    Until then it has a name for what stands beside another one, and the next one is to find that free.
    Partitions' parts of checks follow the table's.
    """
    indexes = [each for each in parts if isinstance(each, Index) or each.type in {"p", "u"}]
    if indexes:
        yield _settled_indexes(indexes, table, catalog)
    for each in parts:
        if isinstance(each, Constraint) and each.type == "f":
            yield _settled_key(each, table, catalog)


def _settled_indexes(parts: Collection[Constraint | Index], table: Table, catalog: Catalog) -> SqlOp:
    whole = ", ".join(_regclass(Name(table.name.schema, each.name), catalog) for each in parts)
    lines = [
        "DECLARE part regclass; own text; BEGIN",
        "    FOR part, own IN",
        f"        SELECT DISTINCT ON (t.relnamespace, n) relid, {NAME_OF_PART}",
        "        FROM pg_class w, pg_partition_tree(w.oid)",
        "        JOIN pg_index ON indexrelid = relid JOIN pg_class t ON t.oid = indrelid,",
        "            concat(t.relname, '_', w.relname) n",
        f"        WHERE w.oid IN ({whole}) AND level > 0 AND NOT EXISTS (SELECT FROM pg_class c",
        f"            WHERE c.relnamespace = t.relnamespace AND c.relname = {NAME_OF_PART})",
        "    LOOP",
        "        EXECUTE format('ALTER INDEX %s RENAME TO %I', part, own);",
        "    END LOOP;",
    ]
    note = "the partitions' indexes get their later names, too, where these are free"
    return SqlOp(do_block(lines), table=table.name, note=note)


def _settled_key(key: Constraint, table: Table, catalog: Catalog) -> SqlOp:
    name = literal(key.name)
    lines = [
        "DECLARE part regclass; own name; BEGIN",
        "    FOR part, own IN",
        "        WITH RECURSIVE keys AS (SELECT oid, conrelid FROM pg_constraint",
        f"            WHERE conrelid = {_regclass(table.name, catalog)} AND conname = {name}",
        "            UNION SELECT k.oid, k.conrelid FROM pg_constraint k JOIN keys p",
        "            ON k.conparentid = p.oid AND k.conrelid <> p.conrelid)",
        "        SELECT k.conrelid, k.conname FROM pg_constraint k JOIN keys USING (oid)",
        "        WHERE NOT EXISTS (SELECT FROM pg_constraint o",
        f"            WHERE o.conrelid = k.conrelid AND o.conname = {name})",
        "    LOOP",
        f"        EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', part, own, {name});",
        "    END LOOP;",
    ]
    note = "the partitions' foreign keys get their later name, too, where it is free"
    return SqlOp(do_block(lines), table=table.name, note=note)


def _regclass(name: Name, catalog: Catalog) -> str:
    return f"{literal(sql_name(name, catalog))}::regclass"
