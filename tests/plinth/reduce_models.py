"""Run by the Python of an application's own environment: pickle its models, free of the application's code.

    python reduce_models.py STATEMENT… EXPRESSION FILE

The statements import the models, the expression is their MetaData. What makes no difference to the database
goes (Python defaults, hooks); types of the application's own become those that they stand for. The SQL that
the models make is pickled beside them, for comparison.
"""

import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

from sqlalchemy import ARRAY, DefaultClause, Enum, MetaData, create_mock_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator, TypeEngine

DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


def main(arguments: list[str]) -> None:
    """Import, reduce, pickle."""
    *statements, expression, file = arguments
    names: dict[str, Any] = {}
    for statement in statements:
        exec(statement, names)  # noqa: S102 - the test's own words
    models = eval(expression, names)  # noqa: S307 - the same
    statements_made = creation(models)
    with Path(file).open("wb") as opened:
        pickler = pickle.Pickler(opened)
        pickler.dispatch_table = {}  # a library of the application's may pickle methods in its own way
        pickler.dump((reduce(models), statements_made))


def read(file: Path) -> MetaData:
    """Return pickled models, which make the very same SQL as the application's."""
    pickled, wanted = pickle.loads(file.read_bytes())  # noqa: S301 - written a moment ago
    models = MetaData(naming_convention=pickled.naming_convention)
    for table in pickled.tables.values():
        table.to_metadata(models)  # without it, an enum would have forgotten that it must be created
    difference = wanted ^ creation(models)
    assert not difference, "\n".join(sorted(difference))
    return models


def reduce(models: MetaData) -> MetaData:
    """Return a copy of the models that SQLAlchemy alone can read; the models themselves are spoilt."""
    reduced = MetaData(naming_convention=models.naming_convention)
    for table in models.tables.values():
        table.info.clear()
        for column in table.columns:
            column.type = plain(column.type)
            column.default = column.onupdate = None
            column.info.clear()
            default = column.server_default
            if isinstance(default, DefaultClause) and isinstance(default.arg, str):
                default.arg = str.__str__(default.arg)  # of an enum that is a str, the str
        table.to_metadata(reduced)
    return reduced


def plain(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return a type of SQLAlchemy's own."""
    kind = kind._variant_mapping.get("postgresql", kind)
    if isinstance(kind, TypeDecorator):
        return plain(kind.load_dialect_impl(DIALECT))
    if isinstance(kind, ARRAY):
        return postgresql.ARRAY(plain(kind.item_type), dimensions=kind.dimensions)
    if isinstance(kind, Enum):
        return Enum(
            *kind.enums,
            name=kind.name,
            schema=kind.schema,
            native_enum=kind.native_enum,
            create_constraint=kind.create_constraint,
            length=kind.length,
        )
    return kind


def creation(models: MetaData) -> set[str]:
    """Return the statements of `create_all()`, lines sorted: SQLAlchemy writes foreign keys in any order."""
    statements: set[str] = set()

    def collect(statement: Any, *_: object, **__: object) -> None:  # noqa: ANN401 - SQLAlchemy's any DDL
        lines = str(statement.compile(dialect=engine.dialect)).splitlines()
        statements.add("\n".join(sorted(line.strip().removesuffix(",") for line in lines)))

    engine = create_mock_engine("postgresql+psycopg://", collect)
    models.create_all(engine, checkfirst=False)
    return statements


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # the application's
    main(sys.argv[1:])
