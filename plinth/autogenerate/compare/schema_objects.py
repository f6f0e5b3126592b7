"""The types and sequences of the models, whose list SQLAlchemy 2.0 hasn't got."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.sql.sqltypes import SchemaType


def schema_objects(metadata: MetaData) -> Iterable[Any]:
    """Return all of them, where `get_schema_objects()` wants a schema's name."""
    listed: Iterable[Any] | None = getattr(metadata, "_objects", None)
    if listed is not None:
        return listed
    types = (column.type for table in metadata.tables.values() for column in table.columns)
    found: dict[Any, None] = dict.fromkeys(metadata._sequences.values())
    found |= dict.fromkeys(
        item for each in types if isinstance(item := getattr(each, "item_type", each), SchemaType)
    )
    return found
