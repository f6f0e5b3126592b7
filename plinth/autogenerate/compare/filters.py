"""The author's own filters (`include_name`, `include_object` in env.py) keep their meaning."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext

from plinth.autogenerate.compare.hints import tables_of
from plinth.autogenerate.compare.scope import without_column
from plinth.catalog.picture import Table

_KINDS = {"u": "unique_constraint", "f": "foreign_key_constraint", "c": "check_constraint"}


def table_filter(
    context: AutogenContext, default_schema: str
) -> Callable[[Table, Table | None, bool], Table | None]:
    """Return what lets a table through, without what the filters leave out of it.

    Args:
        context: Alembic's.
        default_schema: has no name in the filters.
    """
    models = dict(tables_of(context.metadata, default_schema))
    if not context._object_filters and not context._name_filters:
        return lambda table, _other, _is_standing: table

    def filtered(table: Table, other: Table | None, is_standing: bool) -> Table | None:
        schema = None if table.name.schema == default_schema else table.name.schema
        if is_standing or other is not None:
            if not context.run_name_filters(schema, "schema", {}):
                return None
            if not context.run_name_filters(table.name.name, "table", {"schema_name": schema}):
                return None
        model = models.get(table.name)
        sketch = _sketch(table, schema)
        shown, counterpart = (model, sketch if other else None) if model is not None else (sketch, None)
        is_reflected = model is None
        if not context.run_object_filters(shown, table.name.name, "table", is_reflected, counterpart):
            return None
        return _without_parts(context, table, schema, shown)

    return filtered


def _sketch(table: Table, schema: str | None) -> sa.Table:
    """Return a table as far as a filter looks at it."""
    columns = (sa.Column(column.name, comment=column.comment) for column in table.columns)  # type: ignore[var-annotated]
    return sa.Table(table.name.name, sa.MetaData(), *columns, schema=schema, comment=table.comment)


def _without_parts(context: AutogenContext, table: Table, schema: str | None, shown: sa.Table) -> Table:
    names: Any = {"schema_name": schema, "table_name": table.name.name}

    def lets_through(name: str, kind: Any, part: sa.schema.SchemaItem) -> bool:  # noqa: ANN401
        return context.run_name_filters(name, kind, dict(names)) and context.run_object_filters(
            part, name, kind, False, None
        )

    for column in table.columns:
        part = shown.c.get(column.name)
        if not lets_through(column.name, "column", shown if part is None else part):
            table = without_column(table, column.name)
    parts: tuple[Any, ...] = (*shown.constraints, *shown.indexes)
    items: dict[str, Any] = {str(each.name): each for each in parts if each.name}
    constraints = {
        each.name: each
        for each in table.constraints.values()
        if each.type not in _KINDS or lets_through(each.name, _KINDS[each.type], items.get(each.name, shown))
    }
    indexes = {
        name: each
        for name, each in table.indexes.items()
        if lets_through(name, "index", items.get(name, shown))
    }
    return replace(table, constraints=constraints, indexes=indexes)
