"""Indexes of a busy table: built and dropped without holding anybody up."""

from collections.abc import Iterator
from dataclasses import replace

from alembic.operations import ops

from plinth.autogenerate.objects import indexes
from plinth.autogenerate.objects.steps import AutocommitOp
from plinth.autogenerate.online.partitions import built, on_each
from plinth.autogenerate.online.parts import is_kept_with, name_beside
from plinth.autogenerate.online.stages import TableStage
from plinth.autogenerate.online.way import Part, Way
from plinth.catalog.picture import Catalog, Index, Name, Table


def drop_index(way: Way, name: Name, index: Index) -> None:
    """Go on by dropping an index concurrently."""
    table = way.at.tables[name]
    down = [AutocommitOp(build(index, table, way.at))]
    way.step(way.with_table(table.without(index.name)), Part(_drop(index, table, way.at), down))


def add_index(way: Way, name: Name, index: Index, *, goes: bool = False) -> None:
    """Go on by building an index concurrently.

    Args:
        way: so far.
        name: the table.
        index: what is built.
        goes: it is dropped together with something else when the way is gone back.
    """
    table = way.at.tables[name]
    up = [AutocommitOp(build(index, table, way.at))]
    way.step(way.with_table(table.having(index)), Part(up, [] if goes else _drop(index, table, way.at)))


def replace_index(way: Way, name: Name, old: Index, new: Index) -> None:
    """Build another index of the same name: beside the old one, whose name it takes when that is gone."""
    table = way.at.tables[name]
    own = name_beside(new, table)
    add_index(way, name, replace(new, name=own))
    drop_index(way, name, old)
    to = way.with_table(way.at.tables[name].without(own).having(new))
    up, down = (indexes.rename_op(name, *pair, way.at) for pair in ((own, new.name), (new.name, own)))
    way.step(to, Part([up], [down]))


def build(index: Index, table: Table, catalog: Catalog) -> Iterator[ops.MigrateOperation]:
    """Yield what builds an index without holding anybody up."""
    create = indexes.add_op(index, table, catalog)
    if table.partition_key:
        yield from on_each(index.name, table, catalog, built(index))
    else:
        create.kw["postgresql_concurrently"] = True
    yield create
    yield from indexes.detail_ops(None, index, table.name, catalog)


def build_for_key(index: Index, table: Table, catalog: Catalog) -> list[ops.MigrateOperation]:
    """Return what builds the index on which a key will stand; on each partition of a partitioned table."""
    if table.partition_key:
        return on_each(index.name, table, catalog, built(index))
    return list(build(index, table, catalog))


def _drop(index: Index, table: Table, catalog: Catalog) -> list[ops.MigrateOperation]:
    """Return what drops an index; that of a partitioned table can't be dropped concurrently."""
    drop = indexes.drop_op(index, table, catalog)
    if table.partition_key:
        return [drop]
    drop.kw["postgresql_concurrently"] = True
    return [AutocommitOp([drop])]


def drop_indexes(way: Way, name: Name) -> None:
    """Go on by dropping the indexes of a table that go."""
    forced_indexes = way.forced.of(way.forced.parts("index"), name)
    wanted = way.change.after.tables[name].indexes
    for index in way.at.tables[name].indexes.values():
        goes = index.name in forced_indexes or index.name not in wanted
        if goes and not is_kept_with(way, name, index):
            drop_index(way, name, index)


def _add_indexes(way: Way, name: Name) -> None:
    for index in way.change.after.tables[name].indexes.values():
        old = way.at.tables[name].indexes.get(index.name)
        if old is None:
            add_index(way, name, index)
        elif not indexes.is_kept(old, index):
            replace_index(way, name, old, index)


def _choose_index(way: Way, name: Name) -> None:
    """Say by which index rows are told apart or ordered, where it had to be built first."""
    wanted = way.change.after.tables[name]
    chosen = {"clustered_on": wanted.clustered_on, "replica_identity": wanted.replica_identity}
    way.go(way.with_table(replace(way.at.tables[name], **chosen)))  # type: ignore[arg-type]


STAGES = (
    TableStage("no indexes that go", drop_indexes, ["no constraints that go"]),
    TableStage("indexes", _add_indexes, ["identity"]),
    TableStage("chosen indexes", _choose_index, ["constraints"]),
)
