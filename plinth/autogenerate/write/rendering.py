"""How operations are written into a revision's file, as a person would write them.

Alembic's own renderers leave out what `postgresql_using` and its like say, can't write a primary key, and
undo the escapes of `%` and `:`. Operations that aren't ours (of Alembic's own comparison, of a hook) are made
of other things than ours are, and are left to them.
"""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import _repr_type, render_op_text
from alembic.operations import ops
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.elements import TextClause, conv
from sqlalchemy.types import TypeEngine

from plinth.autogenerate.change.steps import (
    AutocommitOp,
    CommentOp,
    EachPartitionOp,
    NamedTextOp,
    PartitionsOp,
    SqlOp,
    TextOp,
)
from plinth.autogenerate.write.margins import FULL, fitted, fitted_sql, string

MARGIN = 4  # of what stands in a function


def _call(function: str, *arguments: str | None) -> str:
    """Return a call, on one line where it fits."""
    given = [argument for argument in arguments if argument is not None]
    line = f"{function}({', '.join(given)})"
    if len(line) <= FULL and "\n" not in line:
        return line
    return _call_in_lines(function, *given)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else line for line in text.split("\n"))


def _option(name: str, value: object) -> str | None:
    return None if value is None else f"{name}={_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, TextClause):
        return f"sa.text({string(value.text)})"
    if isinstance(value, str):
        return string(str(value))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_value(key)}: {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return _listed(map(_value, value))
    return repr(value)


def _listed(values: Iterable[str]) -> str:
    """Return a list, in one line where it fits wherever it stands."""
    given = list(values)
    line = f"[{', '.join(given)}]"
    return line if len(line) <= FULL - 3 * MARGIN else "[\n" + _indented(",\n".join(given)) + ",\n]"


def _name(name: object) -> str:
    """Return the name of a constraint or index; it is final, whatever naming convention there may be."""
    return f"op.f({string(name)})" if isinstance(name, conv) else string(str(name))


def type_source(type_: TypeEngine[Any], context: AutogenContext) -> str:
    """Return a type as it is written."""
    if type(type_) is postgresql.ENUM:
        postgresql_import(context)
        values = [string(value) for value in type_.enums]
        create = None if type_.create_type else "create_type=False"
        name, schema = _option("name", type_.name), _option("schema", type_.schema)
        return _call("postgresql.ENUM", *values, name, schema, create)
    if type(type_) is postgresql.DOMAIN:
        postgresql_import(context)
        base = type_source(type_.data_type, context)
        name, schema = string(str(type_.name)), _option("schema", type_.schema)
        return _call("postgresql.DOMAIN", name, base, schema, "create_type=False")
    if type(type_) is sa.ARRAY:
        return _call("sa.ARRAY", type_source(type_.item_type, context))
    if type(type_) is postgresql.JSONB:
        postgresql_import(context)
        return "postgresql.JSONB()"
    if isinstance(type_, sa.String) and type_.collation:
        length = _option("length", type_.length)
        return _call(f"sa.{type(type_).__name__}", length, _option("collation", type_.collation))
    source: str = _repr_type(type_, context)
    return source.replace("'", '"')


def postgresql_import(context: AutogenContext) -> None:
    """Let the revision import the dialect."""
    context.imports.add("from sqlalchemy.dialects import postgresql")


def column_source(column: sa.Column[Any], context: AutogenContext) -> str:
    """Return a column as it is written."""
    autoincrement = None
    if column.autoincrement not in {"auto", "ignore_fk"}:
        autoincrement = _option("autoincrement", column.autoincrement)
    return _call(
        "sa.Column",
        string(column.name),
        type_source(column.type, context),
        _computed(column.computed),
        _identity(column.identity),
        _default(column.server_default),
        autoincrement,
        _option("nullable", column.nullable),
        _option("comment", column.comment),
    )


def _computed(computed: sa.Computed | None) -> str | None:
    if computed is None:
        return None
    text = string(_sql(computed.sqltext))
    return _call("sa.Computed", text, _option("persisted", computed.persisted))


def _identity(identity: sa.Identity | None) -> str | None:
    if identity is None:
        return None
    names = ("always", "start", "increment", "minvalue", "maxvalue", "cycle", "cache")
    options = {name: getattr(identity, name) for name in names}
    options["always"] = options["always"] or None
    return _call("sa.Identity", *(_option(name, value) for name, value in options.items()))


def _default(default: object) -> str | None:
    if not isinstance(default, sa.DefaultClause):
        return None
    if isinstance(default.arg, str):
        return _option("server_default", default.arg)
    return f"server_default=sa.text({string(_sql(default.arg))})"


def _sql(expression: Any) -> str:  # noqa: ANN401 - any construct that has SQL
    """Return an expression's SQL as `text()` takes it."""
    if isinstance(expression, TextClause):
        return expression.text
    compiled = expression.compile(
        dialect=postgresql.dialect(paramstyle="named"),  # type: ignore[no-untyped-call]
        compile_kwargs={"literal_binds": True, "include_table": False},
    )
    return str(compiled)


def constraint_source(constraint: sa.Constraint) -> str:
    """Return a constraint of a new table as it is written."""
    name = f"name={_name(constraint.name)}" if constraint.name else None
    timing = (_option("deferrable", constraint.deferrable), _option("initially", constraint.initially))
    if isinstance(constraint, sa.PrimaryKeyConstraint):
        return _call("sa.PrimaryKeyConstraint", *_names(constraint), name, *timing)
    if isinstance(constraint, sa.UniqueConstraint):
        options = (_option(key, value) for key, value in constraint.dialect_kwargs.items())
        return _call("sa.UniqueConstraint", *_names(constraint), name, *timing, *options)
    if isinstance(constraint, sa.ForeignKeyConstraint):
        own = _listed(_names(constraint))
        referred = _listed(string(each._get_colspec()) for each in constraint.elements)
        options = (
            _option(option, getattr(constraint, option)) for option in ("onupdate", "ondelete", "match")
        )
        return _call("sa.ForeignKeyConstraint", own, referred, name, *options, *timing)
    if isinstance(constraint, sa.CheckConstraint):
        return _call("sa.CheckConstraint", string(_sql(constraint.sqltext)), name)
    raise NotImplementedError(type(constraint).__name__)


def _names(constraint: sa.schema.ColumnCollectionConstraint) -> list[str]:
    keys = constraint.column_keys if isinstance(constraint, sa.ForeignKeyConstraint) else None
    return [string(key) for key in keys or [column.name for column in constraint.columns]]


@renderers.dispatch_for(SqlOp)
def _sql_op(_: AutogenContext, op: SqlOp) -> list[str]:
    written = fitted(_statement(str(op.sqltext)), MARGIN)
    return [*_comment(op.note), written] if op.note else [written]


def _statement(text: str) -> str:
    if "\n" not in text:
        return f"op.execute({string(text)})"
    return "op.execute(\n" + _indented(text_of_lines(text, 3 * MARGIN)) + "\n)"


def text_of_lines(text: str, margin: int) -> str:
    """Return a text of several lines as it is written, indented as far as the margin says."""
    quoted = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    # What stands in the string is indented with the code: nothing in it may depend on that, as the text of a
    # function does, which is kept.
    is_kept = "$" in text and not text.startswith("DO ")
    if is_kept or quoted.endswith('"') or any(line.count("'") % 2 for line in text.split("\n")):
        lines = [string(f"{line}\n") for line in text.split("\n")[:-1]] + [string(text.rpartition("\n")[2])]
        return "\n".join(lines)
    fitting = "\n".join(piece for line in quoted.split("\n") for piece in fitted_sql(line, margin))
    return f'"""\n{fitting}\n"""'


@renderers.dispatch_for(CommentOp)
def _comment_op(_: AutogenContext, op: CommentOp) -> list[str]:
    return _comment(op.text)


def _comment(text: str) -> list[str]:
    lines = (
        textwrap.wrap(line, FULL, break_long_words=False, break_on_hyphens=False) for line in text.split("\n")
    )
    return [f"# {line}" for pieces in lines for line in pieces]


@renderers.dispatch_for(AutocommitOp)
def _autocommit(context: AutogenContext, op: AutocommitOp) -> str:
    lines = "\n".join(render_op_text(context, each) for each in op.ops)
    return "with op.get_context().autocommit_block():\n" + _indented(fitted(lines, 2 * MARGIN))


@renderers.dispatch_for(EachPartitionOp)
def _each_partition(_: AutogenContext, op: EachPartitionOp) -> list[str]:
    name = "_" if op.given["ending"] is None else "name"
    asked = f"found = op.get_bind().execute(partitions, {_value(op.given)})"
    run = [fitted(f"    op.execute(f{string(each)})", 2 * MARGIN) for each in op.statements]
    return [*_comment(op.note), "\n".join([asked, f"for partition, {name} in found.all():", *run])]


@renderers.dispatch_for(PartitionsOp)
def _partitions(_: AutogenContext, op: PartitionsOp) -> list[str]:
    asked = _indented(text_of_lines(op.text, 2 * MARGIN))
    why = "text() would take a colon in a name for a parameter: a backslash stands before it"
    return [*_comment(why), f"partitions = sa.text(\n{asked}\n)"]


@renderers.dispatch_for(TextOp)
def _text_op(_: AutogenContext, op: TextOp) -> str:
    return op.text


@renderers.dispatch_for(NamedTextOp)
def _named_text(_: AutogenContext, op: NamedTextOp) -> str:
    text = text_of_lines(op.text, MARGIN)
    if text.startswith('"""'):
        return f"{op.name} = {text}"
    return fitted(f"{op.name} = (\n{_indented(text)}\n)", MARGIN)


def _create_table(context: AutogenContext, op: ops.CreateTableOp) -> str:
    table = op.to_table()
    given = [each for each in op.columns if isinstance(each, sa.Constraint)]
    options = [_option(name, value) for name, value in op.kw.items() if name != "info"]
    return _call_in_lines(
        "op.create_table",
        string(op.table_name),
        *(column_source(column, context) for column in table.columns),
        *(
            constraint_source(each)
            for each in _constraints_in_order(table, given)
            if not isinstance(each, sa.PrimaryKeyConstraint) or len(each.columns)
        ),
        _option("schema", op.schema),
        _option("comment", op.comment),
        *options,
        _option("prefixes", list(table._prefixes) or None),
        _option("if_not_exists", op.if_not_exists),
    )


def _constraints_in_order(table: sa.Table, given: list[sa.Constraint]) -> list[sa.Constraint]:
    """Return a new table's constraints in the order in which they were given."""
    order = [str(each.name) for each in given]
    found = [each for each in table.constraints if not getattr(each, "_type_bound", False)]

    def place(each: sa.Constraint) -> tuple[int, str]:
        name = str(each.name)
        return (order.index(name) if name in order else -1, name)

    return sorted(found, key=place)


def _call_in_lines(function: str, *arguments: str | None) -> str:
    given = ",\n".join(argument for argument in arguments if argument is not None)
    return f"{function}(\n{_indented(given)},\n)"


def _add_column(context: AutogenContext, op: ops.AddColumnOp) -> str:
    return _call(
        "op.add_column",
        string(op.table_name),
        column_source(op.column, context),
        _option("schema", op.schema),
        _option("if_not_exists", op.if_not_exists),
    )


def _alter_column(context: AutogenContext, op: ops.AlterColumnOp) -> str:
    options = [f"new_column_name={string(op.modify_name)}" if op.modify_name else None]
    if op.modify_type is not None:
        options.append(f"type_={type_source(op.modify_type, context)}")
    if op.modify_server_default is None:
        options.append("server_default=None")
    elif op.modify_server_default is not False:
        default = op.modify_server_default
        source = default.arg if isinstance(default, sa.DefaultClause) else default
        options.append(f"server_default={_value(source)}")
    options.append(_option("nullable", op.modify_nullable))
    if op.modify_comment is not False:
        options.append(f"comment={_value(op.modify_comment)}")
    if op.existing_type is not None:
        options.append(f"existing_type={type_source(op.existing_type, context)}")
    options += [
        _option(name, value) for name, value in op.kw.items() if not name.startswith(("existing_", "modify_"))
    ]
    options.append(_option("schema", op.schema))
    return _call("op.alter_column", string(op.table_name), string(op.column_name), *options)


def _create_index(_: AutogenContext, op: ops.CreateIndexOp) -> str:
    return _call(
        "op.create_index",
        _name(op.index_name),
        string(op.table_name),
        _listed(map(_value, op.columns)),
        _option("unique", op.unique or None),
        _option("schema", op.schema),
        *_options(op),
        _option("if_not_exists", op.if_not_exists),
    )


def _options(op: Any) -> Iterator[str | None]:  # noqa: ANN401 - those that have any
    return (_option(name, value) for name, value in getattr(op, "kw", {}).items())


def _of_words(function: str, given: Sequence[str], named: Sequence[str]) -> Callable[..., str]:
    """Return what writes an operation whose arguments are names, lists of names and options.

    Args:
        function: Alembic's.
        given: the operation's attributes that stand first.
        named: those that stand by their names, if they say something.
    """

    def write(_: AutogenContext, op: ops.MigrateOperation) -> str:
        values = {name: getattr(op, name) for name in (*given, *named)}
        first = (
            _listed(map(string, map(str, value))) if isinstance(value, list | tuple) else _name(value)
            for value in (values[name] for name in given)
        )
        renamed = {"constraint_type": "type_"}
        words = (_option(renamed.get(name, name), values[name]) for name in named)
        return _call(f"op.{function}", *first, *words, *_options(op))

    return write


_KEY = ("constraint_name", "table_name", "columns")
_FOREIGN_KEY = ("constraint_name", "source_table", "referent_table", "local_cols", "remote_cols")
_OURS: dict[type[ops.MigrateOperation], Callable[..., str]] = {
    ops.CreateTableOp: _create_table,
    ops.DropTableOp: _of_words("drop_table", ["table_name"], ["schema", "if_exists"]),
    ops.RenameTableOp: _of_words("rename_table", ["table_name", "new_table_name"], ["schema"]),
    ops.AddColumnOp: _add_column,
    ops.DropColumnOp: _of_words("drop_column", ["table_name", "column_name"], ["schema", "if_exists"]),
    ops.AlterColumnOp: _alter_column,
    ops.CreateIndexOp: _create_index,
    ops.DropIndexOp: _of_words("drop_index", ["index_name"], ["table_name", "schema", "if_exists"]),
    ops.CreateUniqueConstraintOp: _of_words("create_unique_constraint", _KEY, ["schema"]),
    ops.CreatePrimaryKeyOp: _of_words("create_primary_key", _KEY, ["schema"]),
    ops.CreateCheckConstraintOp: _of_words(
        "create_check_constraint", ["constraint_name", "table_name", "condition"], ["schema"]
    ),
    ops.CreateForeignKeyOp: _of_words("create_foreign_key", _FOREIGN_KEY, []),
    ops.DropConstraintOp: _of_words(
        "drop_constraint", ["constraint_name", "table_name"], ["constraint_type", "schema", "if_exists"]
    ),
    ops.CreateTableCommentOp: _of_words("create_table_comment", ["table_name", "comment"], ["schema"]),
    ops.DropTableCommentOp: _of_words("drop_table_comment", ["table_name"], ["schema"]),
}


_IS_OURS = "_is_plinths"


def as_ours(operations: Iterable[ops.MigrateOperation]) -> list[ops.MigrateOperation]:
    """Return operations, which are written our way from now on."""
    found = list(operations)
    for operation in found:
        vars(operation)[_IS_OURS] = True  # `info` is the table's in some
        if isinstance(operation, ops.OpContainer):
            as_ours(operation.ops)
    return found


def use_renderers() -> None:
    """Let Alembic write our operations our way, and those that it can't write itself."""
    for operation, ours in _OURS.items():
        alembics = renderers._registry.get((operation, "default"))
        if alembics is not None and alembics.__module__ == __name__:
            continue  # an earlier command in this process has done it
        if alembics is None or operation is ops.CreatePrimaryKeyOp:  # for which it has but an error
            alembics = ours
        renderers.dispatch_for(operation, replace=True)(_of_either(ours, alembics))


def _of_either(ours: Callable[..., str], alembics: Callable[..., Any]) -> Callable[..., Any]:
    def render(context: AutogenContext, op: ops.MigrateOperation) -> str | list[str]:
        if _IS_OURS in vars(op):
            return fitted(ours(context, op), MARGIN)
        written: str | list[str] = alembics(context, op)
        return written

    return render
