"""Hypothesis strategies that draw models, and pairs of models with edits between them.

Only valid models are drawn: `create_all()` makes each of them and its rows go in. The conditions under which
a constraint may stand are functions of their own, which the edits use too: what has lost its ground goes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tests.plinth.described_models import (
    Check,
    Column,
    Computed,
    Domain,
    Enum,
    Exclude,
    ForeignKey,
    Index,
    Label,
    Model,
    Part,
    PrimaryKey,
    Sequence,
    Table,
    Unique,
    base,
    is_distinct,
)
from tests.plinth.described_types import (
    ANY_TWO,
    BY_SQL,
    INTEGER,
    NOT_NULL,
    ONE_OF_LABELS,
    ROOMY,
    SCALARS,
    SPELLED,
    TEXT,
    DomainOf,
    EnumOf,
    Scalar,
    Type,
)

T = TypeVar("T")

SCHEMAS = (None, "billing", "Other schema")
ODD_NAMES = (
    "order",
    "user",
    "Select",
    "two words",
    'say "hi"',
    "100%",
    "a:b",
    "größe",
    "表",
    "it's",
    "back\\slash",
    "semi;colon",
    "%(table_name)s",
    "{c}",
    "$1",
    "--",
    "x" * 63,
    "é" * 12,
)
COMMENTS = ("plain", "it's 100%", "two\nlines", "a:b", 'the "quoted"', "größe")
WHOLE = ("smallint", "integer", "bigint")


# Drawing


def maybe(draw: DrawFn, times_of_ten: int) -> bool:
    """Return True so many times of ten; shrinks to False."""
    return draw(st.integers(0, 9)) >= 10 - times_of_ten


def pick(draw: DrawFn, values: Iterable[T]) -> T:
    """Return one of the values; shrinks to the first."""
    return draw(st.sampled_from(list(values)))


def pick_some(draw: DrawFn, values: Iterable[T], most: int) -> tuple[T, ...]:
    """Return one to `most` different values, in any order."""
    listed = list(values)
    return tuple(draw(st.lists(st.sampled_from(listed), min_size=1, max_size=most, unique=True)))


def comment(draw: DrawFn) -> str | None:
    """Return a comment, or none."""
    return pick(draw, COMMENTS) if maybe(draw, 2) else None


def fresh_name(draw: DrawFn, plain: str, taken: Iterable[str]) -> str:
    """Return a name that isn't taken: the plain one, or an odd one."""
    not_free = set(taken)
    names = [name for name in ODD_NAMES if name not in not_free]
    return pick(draw, names) if names and maybe(draw, 2) else plain


def new_key(model: Model) -> int:
    """Return a key that nothing in the model has or had."""
    return 1 + max([model.last_key, *keys(model)])


def keys(model: Model) -> Iterator[int]:
    """Yield all keys."""
    yield from (each.key for each in named(model))
    for table in model.tables:
        yield from (each.key for each in table.columns)
        yield from (each.key for each in constraints(table))


def named(model: Model) -> tuple[Table | Enum | Domain | Sequence, ...]:
    """Return what has a name of its own in a schema."""
    return (*model.tables, *model.enums, *model.domains, *model.sequences)


Constraint = Unique | Check | Exclude | ForeignKey | Index


def constraints(table: Table) -> tuple[Constraint, ...]:
    """Return a table's constraints and indexes, its primary key aside."""
    return (*table.indexes, *table.uniques, *table.checks, *table.excludes, *table.foreign_keys)


# What may stand


def may_be_key(model: Model, table: Table, columns: tuple[int, ...]) -> bool:
    """Whether no two rows have the same values in the columns."""
    if not table.has(*columns):
        return False
    chosen = [table.column(key) for key in columns]
    if any(column.computed or not is_btree(model, column) for column in chosen):
        return False
    return any(
        column.fill in {"values", "sparse", "null", "numbers"} and is_distinct(model, column)
        for column in chosen
    )


def is_btree(model: Model, column: Column) -> bool:
    """Whether a unique constraint takes the column."""
    return "btree" in base(model, column.type).methods or isinstance(column.type, EnumOf)


def may_be_primary(model: Model, table: Table, key: PrimaryKey) -> bool:
    """Whether a primary key may stand."""
    return may_be_key(model, table, key.columns) and all(
        not table.column(column).nullable and table.column(column).fill in {"values", "numbers", "constant"}
        for column in key.columns
    )


def may_be_unique(model: Model, table: Table, unique: Unique | Index, columns: tuple[int, ...]) -> bool:
    """Whether a unique constraint or index may stand."""
    one_null = dict(unique.options).get("postgresql_nulls_not_distinct")
    filled = {table.column(key).fill for key in columns if table.has(key)}
    return (
        may_be_key(model, table, columns)
        and table.has(*unique.include)
        and not any(is_virtual(table.column(key)) for key in unique.include)
        and not (one_null and filled & {"null", "sparse"})
        and not is_twice(table, unique, columns)
    )


def is_twice(table: Table, unique: Unique | Index, columns: tuple[int, ...]) -> bool:
    """Whether it is a constraint on the primary key's columns, which CREATE TABLE leaves out."""
    return isinstance(unique, Unique) and bool(table.primary_key and table.primary_key.columns == columns)


def is_virtual(column: Column) -> bool:
    """Whether the column is generated when it is read."""
    return column.computed is not None and not column.computed.persisted


def may_be_checked(model: Model, table: Table, check: Check) -> bool:
    """Whether a check may stand."""
    return table.has(*check.columns) and check.template in checks_on(model, table, check.columns)


def checks_on(model: Model, table: Table, columns: tuple[int, ...]) -> tuple[str, ...]:
    """Return the conditions that may be put on columns."""
    if len(columns) > 1:
        return (ANY_TWO,)
    return conditions(model, table.column(columns[0]))


def conditions(model: Model, column: Column) -> tuple[str, ...]:
    """Return the conditions that hold for a column's values, its default and NULL."""
    if column.computed:
        return ()
    match column.type:
        case EnumOf(_, "array"):
            return ()
        case EnumOf(_, "native"):
            return (ONE_OF_LABELS,)
        case EnumOf():
            return ("length({c}) > 0",)
        case DomainOf():
            return ()
    if column.sequence is not None or column.identity is not None or column.serial:
        return ("{c} > 0",)
    if column.spells:
        return ("length({c}) > 0", "{c} <> ''")
    return column.type.checks


def may_be_excluded(model: Model, table: Table, exclude: Exclude) -> bool:
    """Whether an exclusion constraint may stand."""
    return (
        may_be_key(model, table, (exclude.column,))
        and (exclude.using, exclude.operator) in exclusions(model, table.column(exclude.column))
        and (exclude.where in {None, NOT_NULL})
    )


def exclusions(model: Model, column: Column) -> list[tuple[str, str]]:
    """Return index methods and operators that exclude equal or overlapping values."""
    methods = base(model, column.type).methods
    overlapping = [("gist", "&&")] if methods[:1] == ("gist",) else []
    return overlapping + ([("btree", "=")] if "btree" in methods else [])


def may_refer(model: Model, table: Table, foreign: ForeignKey) -> bool:
    """Whether a foreign key may stand: a key that it refers to, of the same types, with the same rows."""
    if not (table.has(*foreign.columns) and model.has_table(foreign.table)):
        return False
    target = model.table(foreign.table)
    if not target.has(*foreign.targets) or foreign.targets not in keys_of(target):
        return False
    if target.unlogged and not table.unlogged:
        return False
    pairs = list(zip(map(table.column, foreign.columns), map(target.column, foreign.targets), strict=True))
    if any(column.computed for column, _ in pairs):
        return False
    if any(column.type != other.type or column.spells != other.spells for column, other in pairs):
        return False
    if all(column.fill == "null" for column, _ in pairs):
        return True
    if dict(foreign.options).get("match") and any(column.fill != "values" for column, _ in pairs):
        return False
    return all(
        column.fill in {"values", "sparse"} and other.fill == "values" for column, other in pairs
    ) and (target.filled or not table.filled or not model.rows)


def keys_of(table: Table) -> list[tuple[int, ...]]:
    """Return the columns that a foreign key may refer to."""
    primary = [table.primary_key.columns] if table.primary_key else []
    return primary + [
        unique.columns for unique in table.uniques if not dict(unique.options).get("deferrable")
    ]


def may_be_indexed(model: Model, table: Table, index: Index) -> bool:
    """Whether an index may stand."""
    columns = tuple(part.column for part in index.parts)
    if not table.has(*columns) or not table.has(*index.include):
        return False
    if any(is_virtual(table.column(key)) for key in (*columns, *index.include)):
        return False
    if any(part not in parts_of(model, table.column(part.column), index.using) for part in index.parts):
        return False
    if index.where not in {None, NOT_NULL, *conditions(model, table.column(columns[0]))}:
        return False
    return not index.unique or may_be_unique(model, table, index, columns)


def parts_of(model: Model, column: Column, using: str) -> list[Part]:
    """Return what an index of a method may hold of a column."""
    kind = base(model, column.type)
    enum = isinstance(column.type, EnumOf) and column.type.form != "check"
    methods = ("btree", "hash") if enum else kind.methods
    if using not in methods or is_virtual(column):
        return []
    parts = [Part(column.key)]
    if using == "btree":
        parts += [Part(column.key, order=order) for order in (" DESC", " DESC NULLS LAST", " NULLS FIRST")]
    scalar = isinstance(column.type, Scalar)
    parts += [Part(column.key, opclass=name) for method, name in kind.opclasses if method == using and scalar]
    if using == "btree" and scalar:
        parts += [Part(column.key, expression) for expression in kind.expressions]
        parts += [Part(column.key, expression, " DESC") for expression in kind.expressions]
    return parts


def may_be_computed(model: Model, table: Table, column: Column) -> bool:
    """Whether a generated column may stand."""
    made = column.computed
    if made is None:
        return True
    if not table.has(made.column):
        return False
    of = table.column(made.column)
    return (
        of.computed is None
        and isinstance(of.type, Scalar)
        and of.spells is None
        and isinstance(column.type, Scalar)
        and (made.template, column.type.sql) in of.type.computed
    )


def tidy(model: Model) -> Model:
    """Return a model without what may no longer stand in it."""
    while True:
        tidied = replace(model, tables=tuple(tidy_table(model, table) for table in model.tables))
        if tidied == model:
            return model
        model = tidied


def tidy_table(model: Model, table: Table) -> Table:
    """Return a table without what may no longer stand in it."""
    columns = tuple(
        tidy_column(model, table, column) for column in table.columns if may_be_computed(model, table, column)
    )
    key = table.primary_key
    return replace(
        table,
        columns=columns,
        primary_key=with_comment(model, key) if key and may_be_primary(model, table, key) else None,
        uniques=tuple(
            with_comment(model, each)
            for each in table.uniques
            if may_be_unique(model, table, each, each.columns)
        ),
        checks=tuple(
            with_comment(model, each) for each in table.checks if may_be_checked(model, table, each)
        ),
        excludes=tuple(each for each in table.excludes if may_be_excluded(model, table, each)),
        foreign_keys=tuple(
            with_comment(model, each) if is_made_with_table(model, each) else replace(each, comment=None)
            for each in table.foreign_keys
            if may_refer(model, table, each)
        ),
        indexes=tuple(each for each in table.indexes if may_be_indexed(model, table, each)),
    )


Named = TypeVar("Named", PrimaryKey, Unique, Check, ForeignKey)


def with_comment(model: Model, constraint: Named) -> Named:
    """Return a constraint without its comment, if SQLAlchemy doesn't know its name."""
    return constraint if model.convention or constraint.name else replace(constraint, comment=None)


def is_made_with_table(model: Model, foreign: ForeignKey) -> bool:
    """Whether a foreign key stands in CREATE TABLE: SQLAlchemy comments on others before they are made."""
    return not dict(foreign.options).get("use_alter") and not has_cycle(model)


def has_cycle(model: Model) -> bool:
    """Whether tables refer to one another in a ring; SQLAlchemy then adds all foreign keys last."""
    waiting = {table.key: {each.table for each in table.foreign_keys} - {table.key} for table in model.tables}
    while ready := {key for key, targets in waiting.items() if not targets & waiting.keys()}:
        waiting = {key: targets for key, targets in waiting.items() if key not in ready}
    return bool(waiting)


def tidy_column(model: Model, table: Table, column: Column) -> Column:
    """Return a column without a default that may no longer stand."""
    key = table.primary_key
    if column.serial and not (key and column.key in key.columns and is_whole(column)):
        column = replace(column, serial=False)
    if column.identity is not None and (not is_whole(column) or column.nullable):
        column = replace(column, identity=None)
    if column.default is not None and column.default not in defaults(model, column):
        column = replace(column, default=None)
    if column.label is not None and not has_label(model, column):
        column = replace(column, label=None)
    if column.sequence is not None and (
        not is_whole(column) or column.sequence not in {each.key for each in model.sequences}
    ):
        column = replace(column, sequence=None)
    return column


def has_label(model: Model, column: Column) -> bool:
    """Whether the label that is the column's default is there."""
    if not isinstance(column.type, EnumOf):
        return False
    return column.label in {label.key for label in model.enum(column.type.key).labels}


def is_whole(column: Column) -> bool:
    """Whether the column's type is one of whole numbers."""
    return isinstance(column.type, Scalar) and column.type.sql in WHOLE


def defaults(model: Model, column: Column) -> tuple[str, ...]:
    """Return what may be a column's server default, aside from labels and sequences."""
    if isinstance(column.type, EnumOf) or column.computed:
        return ()
    return (
        ('"1"', '"2"')
        if column.spells and base(model, column.spells).group == "integer"
        else (() if column.spells else base(model, column.type).defaults)
    )


# Drawing a model


@st.composite
def models(draw: DrawFn, server: int = 18) -> Model:
    """Draw a model.

    Args:
        draw: hypothesis gives it.
        server: PostgreSQL's major version; 18 has virtual columns, 15 has NULLS NOT DISTINCT.
    """
    model = Model(convention=not maybe(draw, 3), rows=draw(st.integers(0, 3)))
    for _ in range(draw(st.integers(0, 2))):
        model = replace(model, enums=(*model.enums, draw_enum(draw, model)))
    for _ in range(draw(st.integers(0, 1))):
        model = replace(model, domains=(*model.domains, draw_domain(draw, model)))
    for _ in range(draw(st.integers(0, 1))):
        model = replace(model, sequences=(*model.sequences, draw_sequence(draw, model)))
    for _ in range(draw(st.integers(1, 4))):
        model = replace(model, tables=(*model.tables, draw_table(draw, model, server)))
    for table in model.tables:
        for _ in range(draw(st.integers(0, 2))):
            model = with_foreign_key(draw, model, table.key)
    return tidy(model)


def schema(draw: DrawFn) -> str | None:
    """Return a schema."""
    return pick(draw, SCHEMAS) if maybe(draw, 3) else None


def relation_names(model: Model) -> set[str]:
    """Return the names of what shares a schema's namespace."""
    return {each.name for each in named(model)}


def draw_enum(draw: DrawFn, model: Model) -> Enum:
    """Draw an enum of two to four labels."""
    key = new_key(model)
    names = ("new", "old", "in use", "it's", "100%", "a:b", "größe", "Other")
    labels = draw(st.lists(st.sampled_from(names), min_size=2, max_size=4, unique=True))
    return Enum(
        key,
        fresh_name(draw, f"e{key}", relation_names(model)),
        schema(draw),
        tuple(Label(number, name) for number, name in enumerate(labels)),
        inline=draw(st.booleans()),
    )


DOMAIN_BASES = (INTEGER, TEXT)


def draw_domain(draw: DrawFn, model: Model) -> Domain:
    """Draw a domain."""
    key = new_key(model)
    kind = pick(draw, DOMAIN_BASES)
    return Domain(
        key,
        fresh_name(draw, f"d{key}", relation_names(model)),
        schema(draw),
        kind,
        check=pick(draw, (None, *kind.checks)),
        default=pick(draw, kind.defaults) if maybe(draw, 2) else None,
    )


def draw_sequence(draw: DrawFn, model: Model) -> Sequence:
    """Draw a sequence."""
    key = new_key(model)
    name = fresh_name(draw, f"s{key}", relation_names(model))
    return Sequence(key, name, schema(draw), counting(draw))


def counting(draw: DrawFn) -> tuple[tuple[str, int | bool], ...]:
    """Return options of a sequence or identity column, which counts from 1 or more."""
    options: tuple[tuple[str, int | bool], ...] = ()
    for name, values in (
        ("start", (1, 1000)),
        ("increment", (1, 5)),
        ("minvalue", (1,)),
        ("maxvalue", (30000,)),
        ("cycle", (True,)),
        ("cache", (10,)),
    ):
        if maybe(draw, 2):
            options += ((name, pick(draw, values)),)
    return options


def draw_table(draw: DrawFn, model: Model, server: int, *, filled: bool = True) -> Table:
    """Draw a table, without foreign keys."""
    key = new_key(model)
    table = Table(
        key,
        fresh_name(draw, f"t{key}", relation_names(model)),
        schema(draw),
        (),
        comment=comment(draw),
        unlogged=maybe(draw, 1),
        storage=draw_storage(draw),
        filled=filled,
    )
    if maybe(draw, 9):
        table = with_id(draw, model, table)
    for _ in range(draw(st.integers(0 if table.columns else 1, 5))):
        column = draw_column(draw, joined(model, table), table)
        table = replace(table, columns=(*table.columns, column))
    if maybe(draw, 3):
        table = with_computed(draw, joined(model, table), table, server)
    for add in draw(st.lists(st.sampled_from(CONSTRAINTS), max_size=4)):
        table = add(draw, joined(model, table), table, server)
    return table


def joined(model: Model, table: Table) -> Model:
    """Return the model with a table in it that may be new."""
    others = tuple(each for each in model.tables if each.key != table.key)
    return replace(model, tables=(*others, table))


def draw_storage(draw: DrawFn) -> tuple[tuple[str, object], ...]:
    """Return storage parameters of a table."""
    options: tuple[tuple[str, object], ...] = ()
    for name, values in (("fillfactor", (70, 90)), ("autovacuum_enabled", (False,))):
        if maybe(draw, 1):
            options += ((name, pick(draw, values)),)
    return options


def with_id(draw: DrawFn, model: Model, table: Table) -> Table:
    """Return the table with a primary key of one column."""
    key = new_key(joined(model, table))
    column = Column(key, "id", INTEGER, nullable=False)
    kind = pick(draw, ("serial", "identity", "uuid", "text", "none"))
    scalar = {"uuid": next(each for each in SCALARS if each.sql == "uuid"), "text": TEXT}.get(kind)
    whole = [each for each in SCALARS if each.sql in WHOLE]
    column = replace(
        column,
        type=scalar or pick(draw, whole),
        serial=kind == "serial",
        identity=draw_identity(draw) if kind == "identity" else None,
    )
    primary = PrimaryKey(constraint_name(draw, f"pk{key}"), (key,), comment(draw))
    return replace(table, columns=(column, *table.columns), primary_key=primary)


def draw_identity(draw: DrawFn) -> tuple[tuple[str, int | bool], ...]:
    """Return options of an identity column."""
    return ((("always", True),) if draw(st.booleans()) else ()) + counting(draw)


def constraint_name(draw: DrawFn, name: str) -> str | None:
    """Return a name that is written out, or none."""
    return name if maybe(draw, 3) else None


def draw_type(draw: DrawFn, model: Model) -> Type:
    """Return a type: one of PostgreSQL's or the model's own."""
    own: list[Type] = [
        EnumOf(enum.key, form) for enum in model.enums for form in ("native", "array", "check")
    ]
    own += [DomainOf(domain.key) for domain in model.domains]
    if own and maybe(draw, 4):
        return pick(draw, own)
    return pick(draw, SCALARS)


def draw_column(draw: DrawFn, model: Model, table: Table) -> Column:
    """Draw a column that is neither generated nor in a key."""
    key = new_key(model)
    kind = draw_type(draw, model)
    column = Column(
        key,
        fresh_name(draw, f"c{key}", (column.name for column in table.columns)),
        kind,
        nullable=draw(st.booleans()),
        comment=comment(draw),
    )
    if kind in ROOMY and maybe(draw, 4):
        enums: list[Type] = [EnumOf(enum.key) for enum in model.enums]
        column = replace(column, spells=pick(draw, [*SPELLED, *enums]))
    if is_whole(column) and not column.nullable and maybe(draw, 2):
        return replace(column, identity=draw_identity(draw))
    if maybe(draw, 4):
        column = with_default(draw, model, column)
    if column.nullable and column.default is None and maybe(draw, 3):
        column = replace(column, fill="sparse")
    return column


def with_default(draw: DrawFn, model: Model, column: Column) -> Column:
    """Return the column with another server default, if it can have one."""
    column = replace(column, default=None, label=None, sequence=None)
    choices: list[dict[str, Any]] = [{"default": default} for default in defaults(model, column)]
    if isinstance(column.type, EnumOf):
        choices += [{"label": label.key} for label in model.enum(column.type.key).labels]
    if is_whole(column):
        choices += [{"sequence": sequence.key} for sequence in model.sequences]
    return replace(column, **pick(draw, choices)) if choices else column


def with_computed(draw: DrawFn, model: Model, table: Table, server: int) -> Table:
    """Return the table with a generated column, if a column of it lends itself."""
    choices = [
        (column.key, template, BY_SQL[sql])
        for column in table.columns
        if isinstance(column.type, Scalar) and column.spells is None and column.computed is None
        for template, sql in column.type.computed
    ]
    if not choices:
        return table
    of, template, kind = pick(draw, choices)
    key = new_key(model)
    name = fresh_name(draw, f"c{key}", (column.name for column in table.columns))
    persisted = server < 18 or draw(st.booleans())
    made = Column(key, name, kind, computed=Computed(template, of, persisted))
    return replace(table, columns=(*table.columns, made))


def with_unique(draw: DrawFn, model: Model, table: Table, server: int) -> Table:
    """Return the table with one more unique constraint, if it may have one."""
    key = new_key(model)
    columns = pick_some(draw, [column.key for column in table.columns], 2)
    if any(each.columns == columns for each in table.uniques):
        return table
    options: tuple[tuple[str, object], ...] = ()
    if maybe(draw, 2):
        options += (("deferrable", True),)
        options += (("initially", pick(draw, ("DEFERRED", "IMMEDIATE"))),) if maybe(draw, 5) else ()
    if server >= 15 and maybe(draw, 2):
        options += (("postgresql_nulls_not_distinct", True),)
    others = [column.key for column in table.columns if column.key not in columns]
    include = pick_some(draw, others, 2) if others and maybe(draw, 1) else ()
    name = constraint_name(draw, f"uq{key}")
    unique = Unique(key, name, columns, options, include, comment(draw))
    if not may_be_unique(model, table, unique, columns):
        return table
    return replace(table, uniques=(*table.uniques, unique))


def with_check(draw: DrawFn, model: Model, table: Table, server: int) -> Table:
    """Return the table with one more check, if it may have one."""
    key = new_key(model)
    columns = pick_some(draw, [column.key for column in table.columns], 2)
    templates = checks_on(model, table, columns)
    if not templates or any(is_virtual(table.column(column)) for column in columns):
        return table
    # The server makes a name of the column's; two of one column would be named in the order of their making.
    named = model.convention or len(columns) > 1 or any(each.columns == columns for each in table.checks)
    name = f"k{key}" if named or maybe(draw, 5) else None
    check = Check(key, name, pick(draw, templates), columns, comment(draw))
    return replace(table, checks=(*table.checks, check))


def with_exclude(draw: DrawFn, model: Model, table: Table, server: int) -> Table:
    """Return the table with one more exclusion constraint, if it may have one."""
    key = new_key(model)
    choices = [
        Exclude(key, f"ex{key}", column.key, operator, using)
        for column in table.columns
        for using, operator in exclusions(model, column)
        if may_be_key(model, table, (column.key,))
    ]
    if not choices:
        return table
    exclude = pick(draw, choices)
    options: tuple[tuple[str, object], ...] = (("deferrable", True),) if maybe(draw, 2) else ()
    where = NOT_NULL if maybe(draw, 2) else None
    return replace(table, excludes=(*table.excludes, replace(exclude, where=where, options=options)))


def with_index(draw: DrawFn, model: Model, table: Table, server: int) -> Table:
    """Return the table with one more index, if it may have one."""
    key = new_key(model)
    using = pick(draw, ("btree", "btree", "gin", "gist", "brin", "hash"))
    columns = pick_some(draw, [column.key for column in table.columns], 1 if using == "hash" else 2)
    choices = [parts_of(model, table.column(column), using) for column in columns]
    if not all(choices):
        return table
    parts = tuple(pick(draw, each) for each in choices)
    conventional = all(part.expression is None for part in parts) and not any(
        tuple(part.column for part in each.parts) == columns for each in table.indexes
    )
    name = None if conventional and maybe(draw, 5) else f"ix{key}"
    index = Index(key, name, parts, using=using)
    if maybe(draw, 2):
        index = replace(index, where=pick(draw, (NOT_NULL, *conditions(model, table.column(columns[0])))))
    if using == "btree":
        index = with_btree_options(draw, model, table, index, server)
    elif using in {"gin", "brin"} and maybe(draw, 3):
        storage: tuple[str, object] = ("fastupdate", False) if using == "gin" else ("pages_per_range", 16)
        index = replace(index, storage=(storage,))
    return replace(table, indexes=(*table.indexes, index)) if may_be_indexed(model, table, index) else table


def with_btree_options(draw: DrawFn, model: Model, table: Table, index: Index, server: int) -> Index:
    """Return the index with what only a B-tree has."""
    columns = tuple(part.column for part in index.parts)
    options: tuple[tuple[str, object], ...] = ()
    if maybe(draw, 2):
        index = replace(index, storage=(("fillfactor", pick(draw, (50, 80))),))
    plain = all(part.expression is None for part in index.parts)
    candidate = replace(index, unique=True)
    if plain and maybe(draw, 3) and may_be_unique(model, table, candidate, columns):
        index = candidate
        if server >= 15 and maybe(draw, 2):
            options += (("postgresql_nulls_not_distinct", True),)
    others = [column.key for column in table.columns if column.key not in columns]
    include = pick_some(draw, others, 2) if others and maybe(draw, 2) else ()
    return replace(index, options=options, include=include)


CONSTRAINTS = (with_index, with_unique, with_check, with_exclude)


def with_foreign_key(draw: DrawFn, model: Model, table_key: int) -> Model:
    """Return the model with one more foreign key, if a table may have one, and a column made for it."""
    table = model.table(table_key)
    choices = [
        (target, columns)
        for target in model.tables
        for columns in keys_of(target)
        if (not target.unlogged or table.unlogged)
        and (target.filled or not (table.filled and model.rows))
        and all(target.column(key).fill == "values" for key in columns)
        and all(target.column(key).spells is None for key in columns)
        and all(base(model, target.column(key).type).methods[0] == "btree" for key in columns)
    ]
    if not choices:
        return model
    target, targets = pick(draw, choices)
    nullable = draw(st.booleans())
    made: list[Column] = []
    for key in targets:
        taken = [column.name for column in (*table.columns, *made)]
        number = new_key(model) + len(made)
        name = fresh_name(draw, f"r{number}", taken)
        made.append(Column(number, name, target.column(key).type, nullable=nullable))
    number = new_key(model) + len(made)
    foreign = ForeignKey(
        number,
        constraint_name(draw, f"fk{number}"),
        tuple(column.key for column in made),
        target.key,
        targets,
        reference_options(draw, nullable=nullable),
        comment(draw),
    )
    table = replace(table, columns=(*table.columns, *made), foreign_keys=(*table.foreign_keys, foreign))
    return changed(model, table)


def changed(model: Model, table: Table) -> Model:
    """Return the model with a table in the place of the one with its key."""
    return replace(model, tables=tuple(table if each.key == table.key else each for each in model.tables))


def reference_options(draw: DrawFn, *, nullable: bool) -> tuple[tuple[str, object], ...]:
    """Return options of a foreign key."""
    options: tuple[tuple[str, object], ...] = ()
    actions = ("CASCADE", "RESTRICT", "NO ACTION", *(("SET NULL",) if nullable else ()))
    for name in ("ondelete", "onupdate"):
        if maybe(draw, 3):
            options += ((name, pick(draw, actions)),)
    if maybe(draw, 2):
        options += (("deferrable", True),)
        options += (("initially", pick(draw, ("DEFERRED", "IMMEDIATE"))),) if maybe(draw, 5) else ()
    if maybe(draw, 1):
        options += (("match", "FULL"),)
    if maybe(draw, 1):
        options += (("use_alter", True),)
    return options
