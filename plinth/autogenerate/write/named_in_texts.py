"""Names in the texts of functions, which PostgreSQL looks up when they are called: no rename mends them."""

from collections.abc import Collection, Iterable, Iterator

from alembic.operations import ops

from plinth.autogenerate.change.order import ROUTINES
from plinth.autogenerate.change.quoting import shown
from plinth.autogenerate.change.steps import Change
from plinth.catalog.picture import ColumnName, Name, Node, Other, Table
from plinth.sql_text import Lexed, lexed, plain

_OF_ROW = "{new | old} . <column>"  # in a trigger's function


def fails_when_called(change: Change, renames: Iterable[ops.MigrateOperation]) -> Iterator[str]:
    """Yield sentences on functions that stay as they are, and seem to name what gets another name or goes.

    Args:
        change: what is done behind the renames.
        renames: the operations of these.
    """
    columns, tables = _columns_that_go(change), _tables_that_go(change)
    for old, new in _renamed(change, list(renames)):
        if isinstance(old, ColumnName):
            columns[old] = new
        else:
            tables[old] = new
    for key, each in sorted(change.after.others.items()):
        before = change.before.others.get(key)
        if each.kind not in ROUTINES or before is None or before.definition != each.definition:
            continue
        texts = lexed(each.definition).nested[1:]
        for place, what in columns.items():
            table = change.after.tables.get(place.table) or change.before.tables[place.table]
            if _names_column(texts, place, table, of_trigger=_is_triggers(change, each, place.table)):
                yield _sentence(each, f"{shown(place.table, change.after)}.{place.column}", what)
        for name, what in tables.items():
            if any(text.names(name.name) for text in texts):
                yield _sentence(each, shown(name, change.after), what)


def _sentence(function: Other, old: str, what: str) -> str:
    return (
        f"The text of {function.kind} {function.name} seems to name {old}, which {what}. PostgreSQL looks "
        "names up when it is called, and then it fails: change it as well, by op.execute() in the revision."
    )


def _columns_that_go(change: Change) -> dict[ColumnName, str]:
    kept = {ColumnName(new.table, old): new.column for new, old in change.kept_names.items()}
    return {
        place: f"goes after the code, as {kept[place]} has its values" if place in kept else "goes"
        for name, table in change.before.tables.items()
        for column in table.columns
        if (after := change.after.tables.get(name)) and after.column(column.name) is None
        for place in [ColumnName(name, column.name)]
    }


def _tables_that_go(change: Change) -> dict[Name, str]:
    return {name: "goes" for name in change.before.tables if name not in change.after.tables}


def _renamed(
    change: Change, renames: Collection[ops.MigrateOperation]
) -> Iterator[tuple[ColumnName, str] | tuple[Name, str]]:
    """Yield the columns and tables that get other names, by the old ones, columns in their new table."""
    default, tables = change.before.default_schema, dict[Name, Name]()
    for each in renames:
        if isinstance(each, ops.RenameTableOp):
            old, new = (Name(each.schema or default, one) for one in (each.table_name, each.new_table_name))
            tables[old] = new
            yield old, f"is called {shown(new, change.after)} from this change on"
    for each in renames:
        if isinstance(each, ops.AlterColumnOp) and each.modify_name:
            name = Name(each.schema or default, each.table_name)
            place = ColumnName(tables.get(name, name), each.column_name)
            yield place, f"is called {each.modify_name} from this change on"


def _is_triggers(change: Change, function: Other, table: Name) -> bool:
    """Whether a trigger of a table calls a function."""
    node = Node(function.kind, function.name)
    return any(
        each.table == table and each.kind == "trigger" and node in each.needs
        for each in change.after.others.values()
    )


def _names_column(texts: Iterable[Lexed], old: ColumnName, table: Table, *, of_trigger: bool) -> bool:
    """Whether a function's text names a column: of a trigger's row, or beside the table."""
    for text in texts:
        if of_trigger and any(plain(each["column"]) == old.column for each in text.find(_OF_ROW)):
            return True
        if text.names(old.column) and text.names(table.name.name):
            return True
    return False
