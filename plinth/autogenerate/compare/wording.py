"""Expressions in the models' own words: `price > 0`, where PostgreSQL prints `(price > (0)::numeric)`.

What is compared is what PostgreSQL prints; what is written into a file is what the author wrote. In the
models' catalog each object knows the words for what is printed of it. They belong to that print: where an
operation needs another one (of a column under another name, of what only the database has), it is written as
printed.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import DOMAIN, ExcludeConstraint
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import coercions, roles
from sqlalchemy.sql.elements import ColumnClause
from sqlalchemy.sql.sqltypes import SchemaType

from plinth.autogenerate.compare.hints import tables_of
from plinth.catalog.picture import Catalog, Column, Constraint, Domain, Index, Name, Table

_SPACE = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*")|\s+""")
_NOT_VALID = " NOT VALID"
Part = TypeVar("Part", Column, Constraint, Index)
Model = TypeVar("Model")


def in_words_of(metadata: Sequence[sa.MetaData], made: Catalog, dialect: Dialect) -> Catalog:
    """Return the catalog that models made, with their words for what is printed of it.

    An object's name tells which of the models' it is.

    Args:
        metadata: of the models.
        made: what `create_all()` made of them.
        dialect: of the database.
    """
    words = _Words(dialect)
    tables, domains = dict(made.tables), dict(made.domains)
    for name, model in tables_of(metadata, made.default_schema):
        if name in tables:
            tables[name] = words.of_table(model, tables[name])
    for each in metadata:
        for type_ in schema_objects(each):
            if isinstance(type_, DOMAIN):
                name = Name(type_.schema or made.default_schema, str(type_.name))
                if name in domains:
                    domains[name] = words.of_domain(type_, domains[name])
    return replace(made, tables=tables, domains=domains)


def schema_objects(metadata: sa.MetaData) -> Iterable[Any]:
    """Return the models' types and sequences, where `get_schema_objects()` wants a schema's name."""
    listed: Iterable[Any] | None = getattr(metadata, "_objects", None)
    if listed is not None:
        return listed
    types = (column.type for table in metadata.tables.values() for column in table.columns)
    found: dict[Any, None] = dict.fromkeys(metadata._sequences.values())  # in SQLAlchemy 2.0
    found |= dict.fromkeys(
        item for each in types if isinstance(item := getattr(each, "item_type", each), SchemaType)
    )
    return found


class _Words:
    """What `create_all()` sends, expression by expression, as SQL that a person would write.

    Args:
        dialect: of the database.
    """

    def __init__(self, dialect: Dialect) -> None:
        # As psql takes it: nothing is doubled for the driver.
        plain = type(dialect)(paramstyle="named")  # type: ignore[call-arg] # all but the abstract one have it
        plain.server_version_info = dialect.server_version_info
        self._ddl = plain.ddl_compiler(plain, None)  # type: ignore[arg-type] # as MetaData's own does it

    def of_table(self, model: sa.Table, table: Table) -> Table:
        """Return a table with the words of its model."""
        columns = {str(column.name): column for column in model.columns}
        indexes = {self._name(index): index for index in model.indexes}
        constraints = dict(self._paired(model, table))
        return replace(
            table,
            columns=tuple(_worded(each, columns, self._of_column) for each in table.columns),
            constraints={
                name: _worded(each, constraints, self._of_constraint)
                for name, each in table.constraints.items()
            },
            indexes={name: _worded(each, indexes, self._of_index) for name, each in table.indexes.items()},
        )

    def of_domain(self, model: DOMAIN, domain: Domain) -> Domain:
        """Return a domain with the words of its model, which has one check at most."""
        said = None if model.check is None else self._sql(model.check)
        checks = dict(domain.constraints)
        for name, check in domain.constraints.items():
            if said is not None and len(checks) == 1:
                words = {check.definition: f"CHECK ({said})"}
                words |= {f"{printed}{_NOT_VALID}": f"{text}{_NOT_VALID}" for printed, text in words.items()}
                checks[name] = replace(check, words=words)
        default = None if model.default is None else self._default(model.default)
        return replace(domain, constraints=checks, words=_said([domain.default], [default]))

    def _paired(self, model: sa.Table, table: Table) -> Iterator[tuple[str, sa.Constraint]]:
        """Yield the models' constraints by the names that they have in the database."""
        known = (sa.CheckConstraint, ExcludeConstraint)
        made = {each.name for each in table.constraints.values() if each.type == "c"}
        unnamed = []
        for constraint in chain(model.constraints, *(column.constraints for column in model.columns)):
            if isinstance(constraint, known):
                name = self._name(constraint)
                if name is not None:
                    yield name, constraint
                    made.discard(name)
                elif constraint._create_rule is None and constraint._ddl_if is None:
                    unnamed.append(constraint)
        # PostgreSQL gives them names, and only of one we know which it got.
        if len(unnamed) == len(made) == 1:
            yield made.pop(), unnamed[0]

    def _name(self, made: sa.Constraint | sa.Index) -> str | None:
        if made.name is None:
            return None
        return self._ddl.preparer.format_constraint(made, _alembic_quote=False)

    def _of_column(self, model: sa.Column[Any], column: Column) -> Mapping[str, str]:
        if model.computed is not None:
            said = self._sql(model.computed.sqltext)
        elif isinstance(model.server_default, sa.DefaultClause):
            said = self._default(model.server_default.arg)
        else:
            return {}
        return _said([column.default], [said])

    def _of_constraint(self, model: sa.Constraint, constraint: Constraint) -> Mapping[str, str]:
        if isinstance(model, sa.CheckConstraint):
            said = self._sql(model.sqltext)
            if constraint.definition != f"CHECK ({constraint.expression})" or said is None:
                return _said([constraint.expression], [said])
            return {str(constraint.expression): said, constraint.definition: f"CHECK ({said})"}
        head = f"CONSTRAINT {self._ddl.preparer.format_constraint(model)} "
        said = self._try(lambda: self._ddl.process(model).removeprefix(head))
        return _said([constraint.definition], [said])

    def _of_index(self, model: sa.Index, index: Index) -> Mapping[str, str]:
        options = model.dialect_options["postgresql"]
        classes, where = options["ops"], options["where"]

        def key(expression: Any) -> str | None:  # noqa: ANN401 - any construct that has SQL
            is_column = isinstance(expression, ColumnClause)
            said = self._sql(expression if is_column else expression.self_group())
            of_class = classes.get(getattr(expression, "key", None))
            return f"{said} {of_class}" if said and of_class else said

        keys = [key(each) for each in model.expressions]
        words = _said(index.keys, keys) if len(keys) == len(index.keys) else {}
        if where is not None:
            where = self._sql(coercions.expect(roles.DDLExpressionRole, where))
        return {**words, **_said([index.where], [where])}

    def _default(self, default: Any) -> str | None:  # noqa: ANN401 - a text, or a construct that has SQL
        return self._try(lambda: self._ddl.render_default_string(default))

    def _sql(self, expression: Any) -> str | None:  # noqa: ANN401 - any construct that has SQL
        return self._try(
            lambda: self._ddl.sql_compiler.process(expression, include_table=False, literal_binds=True)
        )

    def _try(self, compiled: Callable[[], str]) -> str | None:
        try:
            return _in_one_line(compiled())
        except Exception:  # the application's own constructs raise whatever they like
            return None


def _worded(
    part: Part, models: Mapping[Any, Model], words: Callable[[Model, Part], Mapping[str, str]]
) -> Part:
    """Return a part of a table with the words of its model, if there is one of its name."""
    return replace(part, words=words(models[part.name], part)) if part.name in models else part


def _said(printed: Iterable[str | None], words: Iterable[str | None]) -> dict[str, str]:
    pairs = zip(printed, words, strict=True)
    return {text: said for text, said in pairs if text is not None and said is not None}


def _in_one_line(sql: str) -> str:
    """Return SQL without line breaks, where they say nothing."""
    if "\n" not in sql or any(each in sql for each in ("--", "/*", "$", "\\")):
        return sql
    return _SPACE.sub(lambda found: found[1] or " ", sql.strip())
