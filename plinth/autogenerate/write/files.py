"""From the parts of a change to revisions: one file, and a second one for what comes after the code.

A file reads from top to bottom in the order in which things happen. What needs a transaction stands plainly,
what must not be in one stands in an `autocommit_block()`. Each block ends the transaction before it, so that
no lock is held while another one is waited for.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from alembic.operations import ops

from plinth.autogenerate.change.belongings import NOTED, lock_view
from plinth.autogenerate.change.steps import (
    NAMED_NOT_NULL,
    AutocommitOp,
    CommentOp,
    EachPartitionOp,
    FillOp,
    LoosenPartitionsOp,
    NamedTextOp,
    NotNullNamesOp,
    PartitionsOp,
    SqlOp,
    TextOp,
    leaves,
)
from plinth.autogenerate.change.way import Operations, Outside, Part
from plinth.catalog.picture import Catalog, Name
from plinth.sql_text import lexed, plain


@dataclass(frozen=True)
class File:
    """A revision as it is written.

    Args:
        up: what its `upgrade()` does; what is outside of any transaction as an `AutocommitOp`.
        down: what its `downgrade()` does.
        is_after: it takes away what running code may still use, and comes after the code.
    """

    up: Operations
    down: Operations
    is_after: bool = False


def files(
    parts: Sequence[Part], standing: Catalog, *, in_one: bool = False, oldest_server: int = 14
) -> list[File]:
    """Return the revisions of a change, in order, each of several of its parts.

    Args:
        parts: of the change, in order.
        standing: the schema in which it begins.
        in_one: transactions aren't taken apart for the sake of their locks (`-x online=no`).
        oldest_server: the oldest PostgreSQL that they are for, by its major version.
    """
    found, plainly = [], oldest_server >= NAMED_NOT_NULL
    if in_one:
        standing = replace(standing, tables={}, others={})
    for is_after in (False, True):
        own = [part for part in parts if part.is_after == is_after]
        if own:
            ways = [part.up for part in own], _without_needless([part.down for part in reversed(own)])
            up, down = (_joined(each, standing, plainly=plainly) for each in ways)
            found.append(File(up, down, is_after))
    return found


def _joined(parts: Iterable[Operations], standing: Catalog, *, plainly: bool) -> list[ops.MigrateOperation]:
    """Return the operations of several transactions, one after the other, as one function has them.

    Args:
        parts: the transactions.
        standing: the schema in which they begin.
        plainly: each server that they are for has names of NOT NULL constraints.
    """
    blocks: list[_Block] = []
    for part in parts:
        if not part:
            continue
        mine = _Block(isinstance(part, Outside), list(part))
        last = blocks[-1] if blocks else None
        if last and last.takes(mine, standing):
            last.ops += mine.ops
        else:
            blocks.append(mine)
    return _with_names(list(_written(_absorbed(blocks), plainly=plainly)))


@dataclass
class _Block:
    """Operations of one transaction, or outside of any."""

    is_outside: bool
    ops: list[ops.MigrateOperation]

    def takes(self, other: "_Block", standing: Catalog) -> bool:
        """Whether another one can follow without a commit in between."""
        if self.is_outside or other.is_outside:
            return self.is_outside and other.is_outside
        if any(isinstance(op, FillOp) for op in other.ops) and _tables(self.ops, standing.default_schema):
            return False
        mine, theirs = (_tables(each.ops, standing.default_schema) for each in (self, other))
        views = {each.view for each in standing.others.values() if each.view}
        if theirs & views and mine & {*views, *standing.tables} - theirs:
            return False  # queries lock a view before its tables
        return len((mine | theirs) & standing.tables.keys()) <= 1

    @property
    def is_single(self) -> bool:
        """Whether it is but one statement, which needs no transaction with others."""
        return len([each for each in leaves(self.ops) if not isinstance(each, CommentOp)]) == 1


def _absorbed(blocks: Sequence[_Block]) -> list[_Block]:
    """Return the blocks, with single statements that have to be committed apart outside of transactions."""
    found: list[_Block] = []
    for place, block in enumerate(blocks):
        last = found[-1] if found else None
        following = blocks[place + 1] if place + 1 < len(blocks) else None
        if block.is_outside or not block.is_single:
            is_outside = block.is_outside
        elif last is None:
            # Else a block with nothing in it would have to stand between the two.
            is_outside = following is not None and not following.is_outside and not following.is_single
        else:
            # At the end of the file it stands plainly, together with what says that the revision is applied.
            is_outside = following is not None or not last.is_outside
        if last and last.is_outside and is_outside:
            last.ops += block.ops
        else:
            found.append(_Block(is_outside, list(block.ops)))
    return found


def _written(blocks: Sequence[_Block], *, plainly: bool) -> Iterator[ops.MigrateOperation]:
    last: _Block | None = None
    for block in blocks:
        if block.is_outside:
            yield AutocommitOp(_gathered(block.ops, plainly=plainly))
        else:
            if last and not last.is_outside:
                yield CommentOp("a commit, so that no lock is held on two tables")
                yield AutocommitOp([TextOp("pass")])
            yield from _gathered(_views_first(block.ops), plainly=plainly)
        last = block


def _views_first(operations: Sequence[ops.MigrateOperation]) -> Operations:
    """Return the operations of a transaction in which views that go are locked before tables.

    So queries lock them: the other way round, each would wait for what the other has, and a busy application
    would let nobody have both. A view goes before all that locks a table, unless that is about the view, or
    something that may stand on it goes before; then it is locked there.
    """
    found = list(operations)
    start = next((place for place, op in enumerate(found) if _locks(op)), len(found))
    for op in operations:
        view = isinstance(op, SqlOp) and lexed(op.sql).matches("drop view <view>")
        if not view or start > (place := found.index(op)):
            continue
        locked = lock_view(view["view"])
        if any(isinstance(each, SqlOp) and each.sql == locked.sql for each in found[:start]):
            continue
        between = [each for each in found[start:place] if isinstance(each, SqlOp)]
        if any(each.summary or _is_about(each, view["view"]) for each in between):
            found.insert(start, locked)
        else:
            found.insert(start, found.pop(place))
        start += 1
    return found


def _is_about(op: SqlOp, view: str) -> bool:
    """Whether an operation has the name of a view, in a string too."""
    name = plain(lexed(view).listed[-1])
    return any(each.names(name) for each in lexed(op.sql).nested)


def _locks(op: ops.MigrateOperation) -> bool:
    """Whether an operation locks a table that may stand."""
    if isinstance(op, SqlOp):
        return op.table is not None or lexed(op.sql).begins("lock table | alter table") is not None
    return not isinstance(op, TextOp)


def _gathered(operations: Iterable[ops.MigrateOperation], *, plainly: bool) -> list[ops.MigrateOperation]:
    """Return operations, with plain statements or one block for names of a table's NOT NULL constraints."""
    found: list[ops.MigrateOperation] = []
    for op in operations:
        last = found[-1] if found else None
        if isinstance(op, NotNullNamesOp) and plainly:
            found += [SqlOp(each, None, op.about) for each in op.renames]
        elif isinstance(op, NotNullNamesOp) and isinstance(last, NotNullNamesOp) and op.about == last.about:
            found[-1] = NotNullNamesOp([*last.renames, *op.renames], last.about)
        else:
            found.append(op)
    return found


def _with_names(operations: list[ops.MigrateOperation]) -> list[ops.MigrateOperation]:
    """Return the operations, with a name for each text of several lines that is executed more than once.

    What asks which partitions there are has one, too.
    """
    texts = Counter(str(op.sqltext) for op in leaves(operations) if isinstance(op, SqlOp) and "\n" in op.sql)
    repeated = [text for text, times in texts.items() if times > 1]
    names: dict[str, str] = {}
    for word, own in (
        ("fill", [each for each in repeated if "COMMIT;" in each]),
        ("hand_on", [each for each in repeated if NOTED in each]),
        ("look", [each for each in repeated if "COMMIT;" not in each and NOTED not in each]),
    ):
        names |= {text: word if len(own) == 1 else f"{word}_{n}" for n, text in enumerate(own, 1)}

    def named(op: ops.MigrateOperation) -> ops.MigrateOperation:
        if isinstance(op, AutocommitOp):
            return AutocommitOp(map(named, op.ops))
        return (
            TextOp(f"op.execute({names[str(op.sqltext)]})")
            if isinstance(op, SqlOp) and str(op.sqltext) in names
            else op
        )

    given: list[ops.MigrateOperation] = [NamedTextOp(name, text) for text, name in names.items()]
    if any(isinstance(op, EachPartitionOp) for op in leaves(operations)):
        given.insert(0, PartitionsOp())
    return [*given, *map(named, operations)]


def _without_needless(parts: Sequence[Operations]) -> list[Operations]:
    """Return the operations without changes of what a later one drops whole."""
    dropped: set[tuple[str | None, str, str | None]] = set()
    found: list[Operations] = []
    for part in reversed(parts):
        kept = []
        for op in reversed(part):
            altered = op.altered if isinstance(op, LoosenPartitionsOp) else op
            if isinstance(altered, ops.AlterColumnOp) and _is_dropped(altered, dropped):
                continue
            if isinstance(op, ops.DropColumnOp):
                dropped.add((op.schema, op.table_name, op.column_name))
            elif isinstance(op, ops.DropTableOp):
                dropped.add((op.schema, op.table_name, None))
            elif isinstance(op, ops.AddColumnOp | ops.RenameTableOp | ops.CreateTableOp | SqlOp):
                dropped.clear()  # another one of that name may come, or be asked for
            kept.append(op)
        found.append(Outside(reversed(kept)) if isinstance(part, Outside) else kept[::-1])
    return found[::-1]


def _is_dropped(op: ops.AlterColumnOp, dropped: set[tuple[str | None, str, str | None]]) -> bool:
    return any((op.schema, op.table_name, name) in dropped for name in (op.column_name, None))


def _tables(operations: Iterable[ops.MigrateOperation], default_schema: str) -> set[Name]:
    """Return the tables that operations are about."""
    found: set[Name] = set()
    for op in operations:
        if isinstance(op, SqlOp):
            found |= {op.table} if op.table else set()
        elif isinstance(op, ops.RenameTableOp):
            schema = op.schema or default_schema
            found |= {Name(schema, op.table_name), Name(schema, op.new_table_name)}
        elif isinstance(op, ops.CreateForeignKeyOp):
            found.add(Name(op.kw.get("source_schema") or default_schema, op.source_table))
        elif name := getattr(op, "table_name", None):
            found.add(Name(getattr(op, "schema", None) or default_schema, name))
    return found
