"""Names in the texts of functions, which PostgreSQL looks up when they are called: no rename mends them."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from alembic.operations import ops

from plinth.autogenerate.change.order import ROUTINES
from plinth.autogenerate.change.quoting import shown
from plinth.autogenerate.change.steps import Change
from plinth.catalog.picture import ColumnName, Name, Node, Other, Table
from plinth.sql_text import Lexed, lexed, plain

_OF_ROW = "{new | old} . <column>"  # in a trigger's function


def fails_when_called(change: Change, renames: Iterable[ops.MigrateOperation]) -> Iterator[str]:
    """Yield sentences on functions that stay as they are, and name what gets another name or goes.

    Args:
        change: what is done behind the renames.
        renames: the operations of these.
    """
    columns, tables = _renamed(change, list(renames))
    gone = {
        ColumnName(name, column.name): ""
        for name, table in change.before.tables.items()
        for column in table.columns
        if (after := change.after.tables.get(name)) and after.column(column.name) is None
    }
    for key, each in sorted(change.after.others.items()):
        before = change.before.others.get(key)
        if each.kind not in ROUTINES or before is None or before.definition != each.definition:
            continue
        texts = lexed(each.definition).nested[1:]
        for old, new in {**gone, **columns}.items():
            table = change.after.tables.get(old.table) or change.before.tables[old.table]
            if _names_column(texts, old, table, called_by=_triggered(change, each, old.table)):
                yield _sentence(each, f"{shown(old.table, change.after)}.{old.column}", new)
        for was, name in tables.items():
            if any(text.names(was.name) for text in texts):
                yield _sentence(each, shown(was, change.after), shown(name, change.after))


def _sentence(function: Other, old: str, new: str) -> str:
    what = f"is called {new} from this change on" if new else "goes"
    return (
        f"The text of {function.kind} {function.name} names {old}, which {what}. PostgreSQL looks names up "
        "when it is called, and it fails then: change it as well, by an op.execute() in the revision."
    )


def _renamed(
    change: Change, renames: Collection[ops.MigrateOperation]
) -> tuple[Mapping[ColumnName, str], Mapping[Name, Name]]:
    """Return the columns and tables that get other names, by the old ones, columns in their new table."""
    default, tables = change.before.default_schema, dict[Name, Name]()
    for each in renames:
        if isinstance(each, ops.RenameTableOp):
            schema = each.schema or default
            tables[Name(schema, each.table_name)] = Name(schema, each.new_table_name)
    columns: dict[ColumnName, str] = {}
    for each in renames:
        if isinstance(each, ops.AlterColumnOp) and each.modify_name:
            name = Name(each.schema or default, each.table_name)
            columns[ColumnName(tables.get(name, name), each.column_name)] = each.modify_name
    columns |= {ColumnName(new.table, old): new.column for new, old in change.kept_names.items()}
    return columns, tables


def _triggered(change: Change, function: Other, table: Name) -> bool:
    """Whether a trigger of a table calls a function."""
    node = Node(function.kind, function.name)
    return any(
        each.table == table and each.kind == "trigger" and node in each.needs
        for each in change.after.others.values()
    )


def _names_column(texts: Iterable[Lexed], old: ColumnName, table: Table, *, called_by: bool) -> bool:
    """Whether a function's text names a column: of a trigger's row, or beside the table."""
    for text in texts:
        if called_by and any(plain(each["column"]) == old.column for each in text.find(_OF_ROW)):
            return True
        if text.names(old.column) and text.names(table.name.name):
            return True
    return False
