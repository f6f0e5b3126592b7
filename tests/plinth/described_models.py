"""Models as a plain description, which is drawn, changed and printed, and the Python that it stands for.

A table or column is known by its key; its name may change, and whatever refers to it follows. The models are
made by running the very code that a failure prints, so what is printed is what was tried.
"""

import builtins
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import MetaData

from tests.plinth.described_types import TEXT, DomainOf, EnumOf, Scalar, Type

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


@dataclass(frozen=True)
class Label:
    """A value of an enum; rows hold only those with keys 0 and 1."""

    key: int
    name: str


@dataclass(frozen=True)
class Enum:
    """An enum type, written once and shared, or written out at each column (`inline`)."""

    key: int
    name: str
    schema: str | None
    labels: tuple[Label, ...]
    inline: bool = False


@dataclass(frozen=True)
class Domain:
    """A domain over a scalar type."""

    key: int
    name: str
    schema: str | None
    base: Scalar
    check: str | None = None
    default: str | None = None


@dataclass(frozen=True)
class Sequence:
    """A sequence that belongs to no column."""

    key: int
    name: str
    schema: str | None
    options: tuple[tuple[str, int | bool], ...] = ()


@dataclass(frozen=True)
class Computed:
    """A generated column's expression over another column; not `persisted` is virtual."""

    template: str
    column: int
    persisted: bool


@dataclass(frozen=True)
class Column:
    """A column.

    Args:
        key: what it is known by.
        name: its name.
        type: its type.
        nullable: whether it may be NULL.
        default: what `server_default=` says, in Python.
        label: the key of the enum's label that is its default.
        sequence: the key of the sequence that its default takes numbers from.
        identity: the options of an identity column.
        serial: whether SQLAlchemy makes it SERIAL.
        computed: its expression, if it is generated.
        comment: its comment.
        backfill: it becomes required, and the models say what rows get.
        spells: what its text spells: it may become that type.
        fill: what rows hold: `values`; `sparse`, the first row's missing; `null`; `constant`, one for all
            rows; `numbers` of a sequence.
    """

    key: int
    name: str
    type: Type
    nullable: bool = True
    default: str | None = None
    label: int | None = None
    sequence: int | None = None
    identity: tuple[tuple[str, int | bool], ...] | None = None
    serial: bool = False
    computed: Computed | None = None
    comment: str | None = None
    backfill: bool = False
    spells: Type | None = None
    fill: str = "values"


@dataclass(frozen=True)
class PrimaryKey:
    """A primary key."""

    name: str | None
    columns: tuple[int, ...]
    comment: str | None = None


@dataclass(frozen=True)
class Unique:
    """A unique constraint."""

    key: int
    name: str | None
    columns: tuple[int, ...]
    options: tuple[tuple[str, object], ...] = ()
    include: tuple[int, ...] = ()
    comment: str | None = None


@dataclass(frozen=True)
class Check:
    """A condition on one column (`{c}`) or two (`{a}`, `{b}`)."""

    key: int
    name: str | None
    template: str
    columns: tuple[int, ...]
    comment: str | None = None


@dataclass(frozen=True)
class Exclude:
    """An exclusion constraint on one column."""

    key: int
    name: str | None
    column: int
    operator: str
    using: str
    where: str | None = None
    options: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key to a table's primary key or unique columns."""

    key: int
    name: str | None
    columns: tuple[int, ...]
    table: int
    targets: tuple[int, ...]
    options: tuple[tuple[str, object], ...] = ()
    comment: str | None = None


@dataclass(frozen=True)
class Part:
    """A column, or an expression over one, in an index."""

    column: int
    expression: str | None = None
    order: str = ""
    opclass: str | None = None


@dataclass(frozen=True)
class Index:
    """An index; `where` is a condition on the first part's column."""

    key: int
    name: str | None
    parts: tuple[Part, ...]
    unique: bool = False
    using: str = "btree"
    where: str | None = None
    include: tuple[int, ...] = ()
    options: tuple[tuple[str, object], ...] = ()
    storage: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True)
class Table:
    """A table; `filled` says that the model's rows stand in it."""

    key: int
    name: str
    schema: str | None
    columns: tuple[Column, ...]
    primary_key: PrimaryKey | None = None
    uniques: tuple[Unique, ...] = ()
    checks: tuple[Check, ...] = ()
    excludes: tuple[Exclude, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    indexes: tuple[Index, ...] = ()
    comment: str | None = None
    unlogged: bool = False
    storage: tuple[tuple[str, object], ...] = ()
    filled: bool = True

    def column(self, key: int) -> Column:
        """Return the column with a key."""
        return next(column for column in self.columns if column.key == key)

    def has(self, *keys: int) -> bool:
        """Whether all of the columns are there."""
        return {column.key for column in self.columns}.issuperset(keys)


@dataclass(frozen=True)
class Model:
    """All models.

    Args:
        tables: the tables.
        enums: the enums that columns may use.
        domains: the domains that columns may use.
        sequences: the sequences that belong to no column.
        convention: whether there is a naming convention.
        rows: the number of rows in each table that is filled.
        last_key: no key up to this one is given again.
    """

    tables: tuple[Table, ...] = ()
    enums: tuple[Enum, ...] = ()
    domains: tuple[Domain, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    convention: bool = True
    rows: int = 0
    last_key: int = 0

    def table(self, key: int) -> Table:
        """Return the table with a key."""
        return next(table for table in self.tables if table.key == key)

    def enum(self, key: int) -> Enum:
        """Return the enum with a key."""
        return next(enum for enum in self.enums if enum.key == key)

    def domain(self, key: int) -> Domain:
        """Return the domain with a key."""
        return next(domain for domain in self.domains if domain.key == key)

    def has_table(self, key: int) -> bool:
        """Whether there is a table with the key."""
        return any(table.key == key for table in self.tables)


@dataclass(frozen=True)
class Pair:
    """Models before and after some edits; `edits` names them."""

    before: Model
    after: Model
    edits: tuple[str, ...] = ()

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:  # noqa: ANN401
        """Print it as code: hypothesis shows a counterexample so."""
        printer.text(f"\n{self}\n")

    def __str__(self) -> str:
        """Return it as code."""
        return "\n".join(
            [
                f"# {', '.join(self.edits) or 'no edits'}",
                f"BEFORE = '''\n{source(self.before)}'''",
                f"AFTER = '''\n{source(self.after, self.before)}'''",
                f"ROWS = {rows(self.before)!r}",
                f"X = {drops(self)!r}",
            ]
        )


# What a type is in a model


def base(model: Model, kind: Type) -> Scalar:
    """Return the scalar type that a column's type is made of: text for an enum."""
    match kind:
        case DomainOf(key):
            return model.domain(key).base
        case EnumOf():
            return TEXT
    return kind


def values(model: Model, column: Column) -> tuple[str, ...]:
    """Return the three literals that rows have in a column, with their type."""
    kind = column.spells or column.type
    match kind:
        case EnumOf(key, form):
            names = {label.key: label.name for label in model.enum(key).labels}
            texts = [text_literal(names[n % 2]) for n in range(3)]
            if column.spells:
                return tuple(f"{text}::{type_sql(model, column.type)}" for text in texts)
            if form == "array":
                return tuple(f"ARRAY[{text}]::{type_sql(model, kind)}" for text in texts)
            literals = [f"{text}::{type_sql(model, kind)}" for text in texts]
        case DomainOf(key):
            literals = [f"{value}::{type_sql(model, kind)}" for value in model.domain(key).base.values]
        case Scalar():
            literals = [f"{value}::{kind.sql}" for value in kind.values]
    if column.spells:
        return tuple(f"({literal})::text::{type_sql(model, column.type)}" for literal in literals)
    return tuple(literals)


def backfill(model: Model, column: Column) -> str:
    """Return the SQL that fills a column as `values` does, without a cast: its type may be renamed too."""
    match column.spells or column.type:
        case EnumOf(key, form):
            name = next(label.name for label in model.enum(key).labels if label.key == 0)
            return text_literal('{"' + name + '"}' if form == "array" else name)
        case DomainOf(key):
            return model.domain(key).base.values[0]
        case Scalar() as kind:
            return kind.values[0]


def type_sql(model: Model, kind: Type) -> str:
    """Return a type as SQL writes it."""
    match kind:
        case EnumOf(key, form):
            enum = model.enum(key)
            native = qualified(enum.schema, enum.name)
            return {"native": native, "array": f"{native}[]", "check": "varchar"}[form]
        case DomainOf(key):
            domain = model.domain(key)
            return qualified(domain.schema, domain.name)
    return kind.sql


def is_distinct(model: Model, column: Column) -> bool:
    """Whether the column's values differ from row to row, so that it can be a key."""
    if isinstance(column.type, EnumOf) or isinstance(column.spells, EnumOf):
        return False
    kind = base(model, column.spells or column.type)
    return kind.distinct and base(model, column.type).methods[:1] in (("btree",), ("gin",), ("gist",))


def used_types(model: Model) -> Iterator[Type]:
    """Yield the type of every column."""
    for table in model.tables:
        for column in table.columns:
            yield column.type


# Names and literals


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def qualified(schema: str | None, name: str) -> str:
    """Return a name with its schema."""
    return f"{quoted(schema or 'public')}.{quoted(name)}"


def text_literal(text: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def filled_in(model: Model, table: Table, template: str, columns: Iterable[int]) -> str:
    """Return a template with the columns' names in it."""
    keys = list(columns)
    names = [quoted(table.column(key).name) for key in keys]
    kind = table.column(keys[0]).type
    labels = ""
    if isinstance(kind, EnumOf):
        labels = ", ".join(text_literal(label.name) for label in model.enum(kind.key).labels)
    parts = {"{c}": names[0], "{a}": names[0], "{b}": names[-1], "{labels}": labels}
    result = ""
    while template:  # what was put in is not looked at again: a column may be named {c}
        mark = min((mark for mark in parts if mark in template), key=template.index, default=None)
        if mark is None:
            return result + template
        head, _, template = template.partition(mark)
        result += head + parts[mark]
    return result


def python_text(sql: str) -> str:
    """Return `sa.text("…")`, in which a colon makes no parameter."""
    return f"sa.text({escaped(sql)})"


def escaped(sql: str) -> str:
    """Return SQL for `text()` as a Python literal."""
    return repr(sql.replace(":", "\\:"))


# The models' Python


def source(model: Model, since: Model | None = None) -> str:
    """Return the Python that makes the models' `metadata`, with hints for what is renamed since others."""
    convention = f"naming_convention={NAMING_CONVENTION!r}" if model.convention else ""
    lines = [
        "import sqlalchemy as sa",
        "from sqlalchemy.dialects import postgresql as pg",
        "",
        f"metadata = sa.MetaData({convention})",
    ]
    used = set(used_types(model))
    lines += [
        f"e{enum.key} = {enum_source(enum)}"
        for enum in model.enums
        if not enum.inline and used & {EnumOf(enum.key), EnumOf(enum.key, "array")}
    ]
    lines += [
        f"d{domain.key} = {domain_source(domain)}" for domain in model.domains if DomainOf(domain.key) in used
    ]
    lines += [f"s{sequence.key} = {sequence_source(sequence)}" for sequence in model.sequences]
    for table in model.tables:
        lines += table_source(model, table, since)
    return "\n".join(lines) + "\n"


def metadata(model: Model, since: Model | None = None) -> MetaData:
    """Return the models that `source` writes."""
    names: dict[str, Any] = {}
    builtins.exec(source(model, since), names)  # noqa: S102 - the code that a failure prints
    made: MetaData = names["metadata"]
    return made


def call(function: str, *arguments: str | None, **options: object) -> str:
    """Return a call in Python."""
    given = [argument for argument in arguments if argument is not None]
    named = [f"{name}={value}" for name, value in options.items() if value is not None]
    return f"{function}({', '.join([*given, *named])})"


def optional(value: object) -> str | None:
    """Return a value as Python writes it, None for None."""
    return None if value is None else repr(value)


def written(options: Iterable[tuple[str, object]]) -> dict[str, str]:
    """Return options as Python writes them."""
    return {name: repr(value) for name, value in options}


def enum_source(enum: Enum, **options: object) -> str:
    """Return an enum type."""
    given = {"name": repr(enum.name), "schema": optional(enum.schema)}
    if not enum.inline and not options:
        given["metadata"] = "metadata"
    return call("sa.Enum", *(repr(label.name) for label in enum.labels), **(given | options))


def domain_source(domain: Domain) -> str:
    """Return a domain."""
    check = domain.check and python_text(domain.check.replace("{c}", "VALUE"))
    return call(
        "pg.DOMAIN",
        repr(domain.name),
        domain.base.source,
        check=check or None,
        default=domain.default,
        schema=optional(domain.schema),
        metadata="metadata",
    )


def sequence_source(sequence: Sequence) -> str:
    """Return a sequence."""
    options = written(sequence.options)
    return call(
        "sa.Sequence", repr(sequence.name), schema=optional(sequence.schema), metadata="metadata", **options
    )


def type_source(model: Model, column: Column) -> str:
    """Return a column's type."""
    match column.type:
        case EnumOf(key, form):
            enum = model.enum(key)
            if form == "check":
                name = repr(f"v{column.key}")
                return enum_source(enum, name=name, schema=None, native_enum=False, create_constraint=True)
            native = enum_source(enum) if enum.inline else f"e{key}"
            return f"pg.ARRAY({native})" if form == "array" else native
        case DomainOf(key):
            return f"d{key}"
    return column.type.source


def default_source(model: Model, column: Column) -> str | None:
    """Return what `server_default=` says."""
    if column.sequence is not None:
        return f"s{column.sequence}.next_value()"
    if column.label is not None and isinstance(column.type, EnumOf):
        name = next(label.name for label in model.enum(column.type.key).labels if label.key == column.label)
        return repr("{" + name + "}") if column.type.form == "array" else repr(name)
    return column.default


def column_source(model: Model, table: Table, column: Column, since: Model | None) -> str:
    """Return a column."""
    made: str | None = None
    if column.identity is not None:
        made = call("sa.Identity", **written(column.identity))
    elif column.computed:
        expression = filled_in(model, table, column.computed.template, [column.computed.column])
        made = call("sa.Computed", escaped(expression), persisted=column.computed.persisted)
    in_key = bool(table.primary_key and column.key in table.primary_key.columns)
    info = hints(model, table, column, since)
    return call(
        "sa.Column",
        repr(column.name),
        type_source(model, column),
        made,
        nullable=None if column.nullable else False,
        server_default=default_source(model, column),
        autoincrement=column.serial if in_key and column.identity is None else None,
        comment=optional(column.comment),
        info=repr(info) if info else None,
    )


def hints(model: Model, table: Table, column: Column, since: Model | None) -> dict[str, object]:
    """Return what a column's `info=` says about its change since other models."""
    info: dict[str, object] = {"backfill": backfill(model, column)} if column.backfill else {}
    if since is None:
        return info
    if since.has_table(table.key) and since.table(table.key).has(column.key):
        old = since.table(table.key).column(column.key)
        if old.name != column.name:
            info["renamed_from"] = old.name
        if isinstance(old.type, Scalar) and isinstance(column.type, Scalar):
            name = '"' + column.name.replace('"', '""') + '"'
            info |= conversion(old.type, column.type, name)
    if isinstance(column.type, EnumOf) and any(enum.key == column.type.key for enum in since.enums):
        old_names = {label.key: label.name for label in since.enum(column.type.key).labels}
        renames = {
            old_names[label.key]: label.name
            for label in model.enum(column.type.key).labels
            if old_names.get(label.key, label.name) != label.name
        }
        if renames:
            info["enum_renames"] = renames
    return info


# No word is needed: nothing can be lost, or PostgreSQL stops where it would be.
_WIDER = {
    *(("date", "timestamp"), ("date", "timestamp(0)"), ("timestamp(0)", "timestamp")),
    *(("timestamptz(3)", "timestamptz"), ("numeric(10,2)", "numeric(12,4)"), ("real", "double precision")),
    ("interval day to second(3)", "interval"),
}
_ROUNDED = {"decimal", "any decimal", "float", "date", "interval"}


def conversion(old: Scalar, new: Scalar, column: str) -> dict[str, object]:
    """Return what `info=` says of another type, where autogenerate asks for it."""
    is_spelled = (old.group == "text") != (new.group == "text")
    if is_spelled:
        asked = old.group in {"text", "date"}
    else:
        asked = old.group in _ROUNDED and (old.sql, new.sql) not in _WIDER and new.sql != "numeric"
    if not asked or old.sql == new.sql:
        return {}
    return {"using": f"{column}::{new.sql}", "using_back": f"{column}::{old.sql}"}


def table_source(model: Model, table: Table, since: Model | None) -> list[str]:
    """Return a table and its indexes, in lines."""
    items = [column_source(model, table, column, since) for column in table.columns]
    items += constraints_source(model, table)
    options = {f"postgresql_with={dict(table.storage)!r}"} if table.storage else set()
    options |= {"prefixes=['UNLOGGED']"} if table.unlogged else set()
    options |= {f"schema={table.schema!r}"} if table.schema else set()
    options |= {f"comment={table.comment!r}"} if table.comment else set()
    if since and since.has_table(table.key):
        old = since.table(table.key)
        if (old.schema, old.name) != (table.schema, table.name):
            moved = old.schema != table.schema
            name = f"{old.schema or 'public'}.{old.name}" if moved else old.name
            options |= {f"info={ {'renamed_from': name}!r}"}
    arguments = [repr(table.name), "metadata", *items, *sorted(options)]
    lines = [f"t{table.key} = sa.Table(", *(f"    {argument}," for argument in arguments), ")"]
    return lines + [index_source(model, table, index) for index in table.indexes]


def constraints_source(model: Model, table: Table) -> Iterator[str]:
    """Yield a table's constraints."""

    def names(keys: Iterable[int]) -> list[str]:
        return [table.column(key).name for key in keys]

    if table.primary_key:
        key = table.primary_key
        listed = [repr(name) for name in names(key.columns)]
        yield call(
            "sa.PrimaryKeyConstraint", *listed, name=constraint_name(key.name), comment=optional(key.comment)
        )
    for unique in table.uniques:
        options = written(unique.options)
        if unique.include:
            options["postgresql_include"] = repr(names(unique.include))
        listed = [repr(name) for name in names(unique.columns)]
        comment = optional(unique.comment)
        yield call(
            "sa.UniqueConstraint", *listed, name=constraint_name(unique.name), comment=comment, **options
        )
    for check in table.checks:
        condition = escaped(filled_in(model, table, check.template, check.columns))
        yield call(
            "sa.CheckConstraint", condition, name=optional(check.name), comment=optional(check.comment)
        )
    for exclude in table.excludes:
        element = f"({names([exclude.column])[0]!r}, {exclude.operator!r})"
        where = exclude.where and python_text(filled_in(model, table, exclude.where, [exclude.column]))
        yield call(
            "pg.ExcludeConstraint",
            element,
            name=optional(exclude.name),
            using=repr(exclude.using),
            where=where or None,
            **written(exclude.options),
        )
    for foreign in table.foreign_keys:
        target = model.table(foreign.table)
        prefix = f"{target.schema}.{target.name}" if target.schema else target.name
        targets = [f"{prefix}.{target.column(column).name}" for column in foreign.targets]
        yield call(
            "sa.ForeignKeyConstraint",
            repr(names(foreign.columns)),
            repr(targets),
            name=constraint_name(foreign.name),
            comment=optional(foreign.comment),
            **written(foreign.options),
        )


def constraint_name(name: str | None) -> str | None:
    """Return a name that no convention changes."""
    return name and repr(name)


def index_source(model: Model, table: Table, index: Index) -> str:
    """Return an index."""
    parts = []
    opclasses = {}
    for part in index.parts:
        name = table.column(part.column).name
        if part.expression:
            parts.append(python_text(filled_in(model, table, part.expression, [part.column]) + part.order))
        else:
            order = "".join(
                f".{method}()" for method in part.order.lower().replace("nulls ", "nulls_").split()
            )
            parts.append(f"t{table.key}.c[{name!r}]{order}")
        if part.opclass:
            opclasses[name] = part.opclass
    options = written(index.options)
    if index.unique:
        options["unique"] = "True"
    if index.using != "btree":
        options["postgresql_using"] = repr(index.using)
    if index.where:
        condition = filled_in(model, table, index.where, [index.parts[0].column])
        options["postgresql_where"] = python_text(condition)
    if index.storage:
        options["postgresql_with"] = repr(dict(index.storage))
    if index.include:
        options["postgresql_include"] = repr([table.column(key).name for key in index.include])
    if opclasses:
        options["postgresql_ops"] = repr(opclasses)
    return call("sa.Index", repr(index.name), *parts, **options)


# Rows, and what is said about the change


def rows(model: Model) -> list[str]:
    """Return the statements that put rows into the tables; foreign keys hold when all are in."""
    statements = ["set session_replication_role = replica"]
    for table in model.tables:
        stored = [column for column in table.columns if not column.computed]
        names = ", ".join(quoted(column.name) for column in stored)
        for number in range(model.rows if table.filled else 0):
            held = ", ".join(value(model, column, number) for column in stored)
            place = f"{qualified(table.schema, table.name)} ({names})"
            statements.append(f"insert into {place} overriding system value values ({held})")  # noqa: S608
    return statements if len(statements) > 1 else []


def value(model: Model, column: Column, number: int) -> str:
    """Return what a row holds in a column."""
    return "NULL" if column.fill == "sparse" and number == 0 else values(model, column)[number]


def name_of(table: Table) -> str:
    """Return a table's name as `-x drop=` takes it."""
    return f"{table.schema}.{table.name}" if table.schema else table.name


def drops(pair: Pair) -> list[str]:
    """Return the `-x` arguments that name what is dropped, and accept that keys' new types rewrite tables."""
    arguments = [
        f"rewrite={name_of(table)}.{column.name}" for table in pair.after.tables for column in table.columns
    ]
    for table in pair.before.tables:
        if not pair.after.has_table(table.key):
            arguments.append(f"drop={name_of(table)}")
            continue
        later = pair.after.table(table.key)
        arguments += [
            f"drop={name_of(table)}.{column.name}"
            for column in table.columns
            if not later.has(column.key) or bool(later.column(column.key).computed) != bool(column.computed)
        ]
    return arguments


def kept_rows(pair: Pair, *, back: bool) -> Iterator[tuple[str, int]]:
    """Yield queries that count the rows which hold what they held, and how many there should be.

    Args:
        pair: the models.
        back: look at the database after the downgrade, not the upgrade.
    """
    model = pair.before if back else pair.after
    for table in model.tables:
        if not (pair.before.has_table(table.key) and pair.after.has_table(table.key) and pair.before.rows):
            continue
        kept = [column for column in table.columns if holds_its_values(pair, table.key, column.key)]
        if not kept or not table.filled:
            continue
        lines = []
        for number in range(pair.before.rows):
            held = (f"({value(model, column, number)})::text" for column in kept)
            lines.append(f"({', '.join(held)})")
        names = [f"v{column.key}" for column in kept]
        conditions = (f"t.{quoted(column.name)}::text is not distinct from v{column.key}" for column in kept)
        joined = f"(values {', '.join(lines)}) v({', '.join(names)}) on {' and '.join(conditions)}"
        query = f"select count(*) from {qualified(table.schema, table.name)} t join {joined}"  # noqa: S608
        # Two rows that are alike in what is compared meet twice.
        alike = sum(lines.count(line) for line in lines)
        yield query, alike


def holds_its_values(pair: Pair, table: int, column: int) -> bool:
    """Whether a column stands in both models with the same rows in it."""
    both = pair.before.table(table), pair.after.table(table)
    if not all(each.has(column) for each in both):
        return False
    old, new = (each.column(column) for each in both)
    return old.fill == new.fill and not old.computed and not new.computed
