"""Edits that a developer makes on models, drawn by hypothesis, and pairs of models with some between them.

Each edit takes a model and returns another. It is only made where PostgreSQL can go both ways with the rows
that are there: what comes back empty on a downgrade must not have been required, a key, or referred to.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tests.plinth.described_models import (
    Column,
    Label,
    Model,
    Pair,
    PrimaryKey,
    Table,
    is_distinct,
)
from tests.plinth.described_types import ROOMY, SCALARS, TEXT, DomainOf, EnumOf, Scalar, Type
from tests.plinth.random_models import (
    COMMENTS,
    CONSTRAINTS,
    SCHEMAS,
    WHOLE,
    changed,
    constraints,
    counting,
    draw_column,
    draw_domain,
    draw_enum,
    draw_identity,
    draw_sequence,
    draw_storage,
    draw_table,
    fresh_name,
    is_whole,
    maybe,
    models,
    named,
    new_key,
    pick,
    reference_options,
    relation_names,
    tidy,
    with_computed,
    with_default,
    with_foreign_key,
)

__all__ = ["EDITS", "pairs"]

T = TypeVar("T")


@dataclass(frozen=True)
class Edit:
    """What an edit is drawn with.

    Args:
        draw: draws.
        before: the models before all edits.
        model: the models as they are now.
        server: PostgreSQL's major version.
    """

    draw: DrawFn
    before: Model
    model: Model
    server: int

    def table(self) -> Table | None:
        """Return one of the tables."""
        return pick(self.draw, self.model.tables) if self.model.tables else None

    def column(self, suits: Callable[[Table, Column], bool]) -> tuple[Table, Column] | None:
        """Return one of the columns that suit, with its table."""
        choices = [
            (table, column) for table in self.model.tables for column in table.columns if suits(table, column)
        ]
        return pick(self.draw, choices) if choices else None

    def has_rows(self, table: Table) -> bool:
        """Whether rows stand in a table."""
        return table.filled and bool(self.before.rows)

    def is_new(self, table: Table) -> bool:
        """Whether a table was added by an edit."""
        return not self.before.has_table(table.key)

    def with_column(self, table: Table, column: Column) -> Model:
        """Return the model with a column in the place of the one with its key."""
        columns = tuple(column if each.key == column.key else each for each in table.columns)
        return changed(self.model, replace(table, columns=columns))


def in_constraint(table: Table, column: int) -> bool:
    """Whether a key, an exclusion constraint, a foreign key or a unique index holds the column."""
    held = [table.primary_key.columns] if table.primary_key else []
    held += [unique.columns for unique in table.uniques]
    held += [foreign.columns for foreign in table.foreign_keys]
    held += [(exclude.column,) for exclude in table.excludes]
    held += [tuple(part.column for part in index.parts) for index in table.indexes if index.unique]
    return any(column in columns for columns in held)


def is_referred_to(model: Model, table: int, column: int | None = None) -> bool:
    """Whether a foreign key of another column refers to a table, or to a column of it."""
    return any(
        foreign.table == table and (column is None or column in foreign.targets)
        for other in model.tables
        if column is not None or other.key != table
        for foreign in other.foreign_keys
    )


def comes_back(edit: Edit, table: Table, key: int) -> bool:
    """Whether a downgrade can make the column again, without its values."""
    if edit.is_new(table) or not edit.has_rows(table):
        return True
    old_table = edit.before.table(table.key)
    if not old_table.has(key):
        return True
    column = old_table.column(key)
    if is_referred_to(edit.before, table.key, key):
        return False
    if column.computed:
        return True
    given = column.default is not None or column.label is not None or column.sequence is not None
    if column.identity is not None or column.serial:
        return not any(key in foreign.columns for foreign in old_table.foreign_keys)
    return (given or column.nullable) and not in_constraint(old_table, key)


# Tables


def add_table(edit: Edit) -> Model:
    """Add a table, which may refer to others."""
    model = edit.model
    table = draw_table(edit.draw, model, edit.server, filled=False)
    model = replace(model, tables=(*model.tables, table))
    return with_foreign_key(edit.draw, model, table.key) if maybe(edit.draw, 5) else model


def drop_table(edit: Edit) -> Model:
    """Drop a table, unless rows of another refer to rows of it."""
    table = edit.table()
    if table is None:
        return edit.model
    others = replace(edit.model, tables=tuple(each for each in edit.model.tables if each.key != table.key))
    standing = replace(
        edit.before, tables=tuple(each for each in edit.before.tables if others.has_table(each.key))
    )
    return edit.model if edit.has_rows(table) and is_referred_to(standing, table.key) else others


def rename_table(edit: Edit) -> Model:
    """Give a table another name."""
    table = edit.table()
    if table is None:
        return edit.model
    name = fresh_name(edit.draw, f"renamed{table.key}", relation_names(edit.model))
    return changed(edit.model, replace(table, name=name))


def move_table(edit: Edit) -> Model:
    """Move a table to another schema."""
    table = edit.table()
    return changed(edit.model, replace(table, schema=pick(edit.draw, SCHEMAS))) if table else edit.model


def change_table_options(edit: Edit) -> Model:
    """Change a table's storage parameters."""
    table = edit.table()
    return changed(edit.model, replace(table, storage=draw_storage(edit.draw))) if table else edit.model


def change_persistence(edit: Edit) -> Model:
    """Make a table unlogged, or logged; foreign keys that this doesn't allow go."""
    table = edit.table()
    return changed(edit.model, replace(table, unlogged=not table.unlogged)) if table else edit.model


def change_table_comment(edit: Edit) -> Model:
    """Change a table's comment."""
    table = edit.table()
    text = pick(edit.draw, (None, *COMMENTS))
    return changed(edit.model, replace(table, comment=text)) if table else edit.model


# Columns


def add_column(edit: Edit) -> Model:
    """Add a column; one that is required says what rows get."""
    table = edit.table()
    if table is None:
        return edit.model
    column = draw_column(edit.draw, edit.model, table)
    given = column.default is not None or column.label is not None
    if column.sequence is not None or column.identity is not None:
        column = replace(column, fill="numbers")
    elif column.nullable and not given:
        column = replace(column, fill="null")
    elif not given:
        column = replace(column, fill="constant", backfill=True)
    else:
        column = replace(column, fill="constant")
    if edit.is_new(table):
        column = replace(column, fill="values", backfill=False)
    return changed(edit.model, replace(table, columns=(*table.columns, column)))


def add_computed_column(edit: Edit) -> Model:
    """Add a generated column."""
    table = edit.table()
    if table is None:
        return edit.model
    return changed(edit.model, with_computed(edit.draw, edit.model, table, edit.server))


def drop_column(edit: Edit) -> Model:
    """Drop a column, and what stands on it."""
    found = edit.column(lambda table, column: len(table.columns) > 1 and comes_back(edit, table, column.key))
    if found is None:
        return edit.model
    table, column = found
    dependents = [each.key for each in table.columns if each.computed and each.computed.column == column.key]
    if len(table.columns) <= 1 + len(dependents):
        return edit.model
    kept = tuple(each for each in table.columns if each.key != column.key)
    return changed(edit.model, replace(table, columns=kept))


def rename_column(edit: Edit) -> Model:
    """Give a column another name."""
    found = edit.column(lambda _table, _column: True)
    if found is None:
        return edit.model
    table, column = found
    name = fresh_name(edit.draw, f"renamed{column.key}", (each.name for each in table.columns))
    return edit.with_column(table, replace(column, name=name))


def become_required(edit: Edit) -> Model:
    """Make a column required."""

    def suits(table: Table, column: Column) -> bool:
        return (
            column.nullable
            and not column.computed
            and (column.fill == "values" or not held_by_any(edit, table, column.key))
        )

    found = edit.column(suits)
    if found is None:
        return edit.model
    table, column = found
    column = replace(column, nullable=False)
    if column.fill in {"sparse", "null"}:
        column = replace(column, fill="constant", backfill=True)
    return edit.with_column(table, column)


def held_by_any(edit: Edit, table: Table, column: int) -> bool:
    """Whether a constraint holds the column, now or before."""
    old = edit.before.has_table(table.key) and in_constraint(edit.before.table(table.key), column)
    return old or in_constraint(table, column)


def become_nullable(edit: Edit) -> Model:
    """Let a column be NULL."""

    def suits(table: Table, column: Column) -> bool:
        in_key = bool(table.primary_key and column.key in table.primary_key.columns)
        return not column.nullable and not in_key and column.identity is None and not column.backfill

    found = edit.column(suits)
    return edit.with_column(found[0], replace(found[1], nullable=True)) if found else edit.model


def change_default(edit: Edit) -> Model:
    """Change, add or drop a column's default."""

    def may_change(table: Table, column: Column) -> bool:
        # Rows that are there get the default of a new column, and it would refer to nothing.
        refers = any(column.key in foreign.columns for foreign in table.foreign_keys)
        is_new = not edit.before.has_table(table.key) or not edit.before.table(table.key).has(column.key)
        is_filled = column.computed or column.identity is not None or column.serial
        return not is_filled and not (refers and is_new)

    found = edit.column(may_change)
    if found is None:
        return edit.model
    table, column = found
    if maybe(edit.draw, 3):
        return edit.with_column(table, replace(column, default=None, label=None, sequence=None))
    return edit.with_column(table, with_default(edit.draw, edit.model, column))


def change_comment(edit: Edit) -> Model:
    """Change a column's comment."""
    found = edit.column(lambda _table, _column: True)
    text = pick(edit.draw, (None, *COMMENTS))
    return edit.with_column(found[0], replace(found[1], comment=text)) if found else edit.model


def change_identity(edit: Edit) -> Model:
    """Change between identity, serial and plain, or change the identity's options."""
    found = edit.column(
        lambda _table, column: is_whole(column) and not column.nullable and not column.computed
    )
    if found is None:
        return edit.model
    table, column = found
    column = replace(column, default=None, sequence=None, identity=None, serial=False)
    kind = pick(edit.draw, ("identity", "plain", "serial"))
    if kind == "identity":
        return edit.with_column(table, replace(column, identity=draw_identity(edit.draw)))
    in_key = table.primary_key and column.key in table.primary_key.columns
    other_serial = any(each.serial for each in table.columns if each.key != column.key)
    serial = kind == "serial" and bool(in_key) and not other_serial
    return edit.with_column(table, replace(column, serial=serial))


def change_computed(edit: Edit) -> Model:
    """Change a generated column's expression, or how it is kept."""
    found = edit.column(lambda _table, column: bool(column.computed))
    if found is None:
        return edit.model
    table, column = found
    made = column.computed
    if made is None or not isinstance(column.type, Scalar):
        return edit.model
    of = table.column(made.column)
    if not isinstance(of.type, Scalar):
        return edit.model
    sql = column.type.sql
    templates = [template for template, kind in of.type.computed if kind == sql]
    persisted = edit.server < 18 or edit.draw(st.booleans())
    made = replace(made, template=pick(edit.draw, templates), persisted=persisted)
    return edit.with_column(table, replace(column, computed=made))


# Types


def change_type(edit: Edit) -> Model:
    """Change a column's type, and that of the columns it refers to or is referred to by."""
    found = edit.column(lambda _table, column: bool(types_to(edit, column)))
    if found is None:
        return edit.model
    table, column = found
    kind = pick(edit.draw, types_to(edit, column))
    related = related_columns(edit.before, related_columns(edit.model, {(table.key, column.key)}))
    spelled = kind in ROOMY and column.type not in ROOMY and text_of(column.type)
    whole = isinstance(kind, Scalar) and kind.sql in WHOLE
    if len(related) > 1 and not (whole and is_whole(column)):
        return edit.model
    model = edit.model
    for table_key, column_key in related:
        if not model.has_table(table_key) or not model.table(table_key).has(column_key):
            continue
        each = model.table(table_key).column(column_key)
        spells = column.type if spelled else None if kind == each.spells else each.spells
        changed_column = replace(each, type=kind, spells=spells)
        model = replace(edit, model=model).with_column(model.table(table_key), changed_column)
    return model


def types_to(edit: Edit, column: Column) -> list[Type]:
    """Return the types that a column's values can be cast to, and back."""
    kind = column.type
    if column.computed or column.backfill:
        return []
    if column.spells and kind in ROOMY:
        return [*(each for each in ROOMY if each != kind), column.spells]
    others: list[Type] = []
    match kind:
        case Scalar():
            others = [each for each in SCALARS if each.group == kind.group and each != kind]
            if column.spells:
                return []
            # A domain's check passes what its base type's values are.
            others += [DomainOf(domain.key) for domain in edit.model.domains if domain.base == kind]
        case DomainOf(key):
            others = [edit.model.domain(key).base]
    return [*others, TEXT] if text_of(kind) and column.fill != "numbers" else others


def text_of(kind: Type) -> bool:
    """Whether a type's values can be spelled as text and read back."""
    if isinstance(kind, Scalar):
        return kind.group in {"integer", "decimal", "any decimal", "date", "uuid", "json", "inet", "boolean"}
    return isinstance(kind, EnumOf) and kind.form == "native"


def related_columns(model: Model, columns: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return columns with all that foreign keys tie to them, each with its table."""
    links = [
        ((table.key, column), (foreign.table, target))
        for table in model.tables
        for foreign in table.foreign_keys
        for column, target in zip(foreign.columns, foreign.targets, strict=True)
    ]
    while True:
        more = {end for link in links if columns & set(link) for end in link} - columns
        if not more:
            return columns
        columns = columns | more


# Constraints and indexes


def add_constraint(edit: Edit) -> Model:
    """Add a constraint or an index."""
    table = edit.table()
    if table is None or not table.columns:
        return edit.model
    for add in edit.draw(st.permutations(CONSTRAINTS)):
        with_another = add(edit.draw, edit.model, table, edit.server)
        if with_another != table:
            return changed(edit.model, with_another)
    return edit.model


def drop_constraint(edit: Edit) -> Model:
    """Drop a constraint or an index."""
    choices = [(table, each) for table in edit.model.tables for each in constraints(table)]
    if not choices:
        return edit.model
    table, dropped = pick(edit.draw, choices)
    return changed(edit.model, with_constraints(table, lambda each: None if each == dropped else each))


def with_constraints(table: Table, change: Callable[[Any], Any]) -> Table:
    """Return the table with its constraints changed; one that becomes None goes."""

    def changed_all(kept: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(new for new in map(change, kept) if new is not None)

    return replace(
        table,
        indexes=changed_all(table.indexes),
        uniques=changed_all(table.uniques),
        checks=changed_all(table.checks),
        excludes=changed_all(table.excludes),
        foreign_keys=changed_all(table.foreign_keys),
    )


def add_foreign_key(edit: Edit) -> Model:
    """Add a column that refers to a table."""
    table = edit.table()
    if table is None:
        return edit.model
    known = {column.key for column in table.columns}
    made = with_foreign_key(edit.draw, edit.model, table.key).table(table.key)
    fill = "values" if edit.is_new(table) else "null"
    columns = tuple(
        column if column.key in known else replace(column, nullable=True, fill=fill)
        for column in made.columns
    )
    return changed(edit.model, replace(made, columns=columns))


def change_foreign_key(edit: Edit) -> Model:
    """Change what a foreign key does when its row goes, or when it is checked."""
    choices = [(table, foreign) for table in edit.model.tables for foreign in table.foreign_keys]
    if not choices:
        return edit.model
    table, foreign = pick(edit.draw, choices)
    nullable = all(table.column(key).nullable for key in foreign.columns)
    other = replace(foreign, options=reference_options(edit.draw, nullable=nullable))
    keys = tuple(other if each == foreign else each for each in table.foreign_keys)
    return changed(edit.model, replace(table, foreign_keys=keys))


def change_primary_key(edit: Edit) -> Model:
    """Drop a primary key, or make one of other columns."""
    table = edit.table()
    if table is None:
        return edit.model
    required = [
        column.key
        for column in table.columns
        if not column.nullable and column.fill == "values" and is_distinct(edit.model, column)
    ]
    if not required or maybe(edit.draw, 3):
        return changed(edit.model, replace(table, primary_key=None))
    columns = tuple(edit.draw(st.lists(st.sampled_from(required), min_size=1, max_size=2, unique=True)))
    name = table.primary_key.name if table.primary_key else None
    return changed(edit.model, replace(table, primary_key=PrimaryKey(name, columns)))


def rename_constraint(edit: Edit) -> Model:
    """Give a constraint or an index another name."""
    choices = [(table, each) for table in edit.model.tables for each in constraints(table) if each.name]
    if not choices:
        return edit.model
    table, old = pick(edit.draw, choices)
    new = replace(old, name=f"other{old.key}")
    return changed(edit.model, with_constraints(table, lambda each: new if each == old else each))


# Enums, domains, sequences


def add_enum(edit: Edit) -> Model:
    """Add an enum, and a column of it."""
    enum = draw_enum(edit.draw, edit.model)
    return add_column(replace(edit, model=replace(edit.model, enums=(*edit.model.enums, enum))))


def change_enum(edit: Edit) -> Model:
    """Add a label anywhere, or take one that no row holds, rename one or put them in another order."""
    if not edit.model.enums:
        return edit.model
    enum = pick(edit.draw, edit.model.enums)
    labels = list(enum.labels)
    spelled = any(
        EnumOf(enum.key) == column.spells or EnumOf(enum.key, "check") == column.type
        for model in (edit.before, edit.model)
        for table in model.tables
        for column in table.columns
    )
    kind = pick(edit.draw, ("add", "remove", "rename", "reorder"))
    if kind == "add":
        key = 1 + max(label.key for label in (*labels, *old_labels(edit.before, enum.key)))
        place = edit.draw(st.integers(0, len(labels)))
        labels.insert(place, Label(key, pick(edit.draw, (f"label {key}", f"it's {key}"))))
    elif kind == "remove":
        labels = [label for label in labels if label.key < 2 or label != labels[-1]]
    elif kind == "rename" and not spelled:
        number = edit.draw(st.integers(0, len(labels) - 1))
        labels[number] = replace(labels[number], name=f"renamed {labels[number].key}")
    elif kind == "reorder":
        labels = edit.draw(st.permutations(labels))
    enums = tuple(
        replace(each, labels=tuple(labels)) if each.key == enum.key else each for each in edit.model.enums
    )
    return replace(edit.model, enums=enums)


def old_labels(model: Model, key: int) -> tuple[Label, ...]:
    """Return the labels that an enum had before."""
    return next((enum.labels for enum in model.enums if enum.key == key), ())


def rename_enum(edit: Edit) -> Model:
    """Give an enum type another name."""
    if not edit.model.enums:
        return edit.model
    enum = pick(edit.draw, edit.model.enums)
    renamed = replace(enum, name=f"renamed{enum.key}")
    return replace(edit.model, enums=tuple(renamed if each == enum else each for each in edit.model.enums))


def add_domain(edit: Edit) -> Model:
    """Add a domain, and a column of it."""
    domain = draw_domain(edit.draw, edit.model)
    return add_column(replace(edit, model=replace(edit.model, domains=(*edit.model.domains, domain))))


def change_domain(edit: Edit) -> Model:
    """Change a domain's check or default."""
    if not edit.model.domains:
        return edit.model
    domain = pick(edit.draw, edit.model.domains)
    other = replace(
        domain,
        check=pick(edit.draw, (None, *domain.base.checks)),
        default=pick(edit.draw, (None, *domain.base.defaults)),
    )
    return replace(
        edit.model, domains=tuple(other if each == domain else each for each in edit.model.domains)
    )


def add_sequence(edit: Edit) -> Model:
    """Add a sequence."""
    sequence = draw_sequence(edit.draw, edit.model)
    return replace(edit.model, sequences=(*edit.model.sequences, sequence))


def drop_sequence(edit: Edit) -> Model:
    """Drop a sequence, and the defaults that it feeds."""
    if not edit.model.sequences:
        return edit.model
    dropped = pick(edit.draw, edit.model.sequences)
    return replace(edit.model, sequences=tuple(each for each in edit.model.sequences if each != dropped))


def change_sequence(edit: Edit) -> Model:
    """Change a sequence's options."""
    if not edit.model.sequences:
        return edit.model
    sequence = pick(edit.draw, edit.model.sequences)
    other = replace(sequence, options=counting(edit.draw))
    return replace(
        edit.model, sequences=tuple(other if each == sequence else each for each in edit.model.sequences)
    )


EDITS: tuple[Callable[[Edit], Model], ...] = (
    add_column,
    drop_column,
    rename_column,
    change_type,
    add_table,
    drop_table,
    rename_table,
    move_table,
    become_required,
    become_nullable,
    change_default,
    change_identity,
    add_constraint,
    drop_constraint,
    rename_constraint,
    add_foreign_key,
    change_foreign_key,
    change_primary_key,
    add_enum,
    change_enum,
    rename_enum,
    add_domain,
    change_domain,
    add_sequence,
    drop_sequence,
    change_sequence,
    add_computed_column,
    change_computed,
    change_comment,
    change_table_comment,
    change_table_options,
    change_persistence,
)


@st.composite
def pairs(draw: DrawFn, server: int = 18) -> Pair:
    """Draw models, and the same models after up to six edits.

    Args:
        draw: hypothesis gives it.
        server: PostgreSQL's major version.
    """
    before = draw(models(server))
    before = model = replace(before, last_key=new_key(before) - 1)
    made: list[str] = []
    for _ in range(draw(st.integers(1, 6))):
        kind = pick(draw, EDITS)
        edited = tidy(kind(Edit(draw, before, model, server)))
        if (
            edited != model
            and not takes_a_name(before, edited)
            and all(each.columns for each in edited.tables)
        ):
            model = replace(edited, last_key=new_key(edited) - 1)
            made.append(kind.__name__)
    return Pair(before, model, tuple(made))


def takes_a_name(before: Model, after: Model) -> bool:
    """Whether something new has the name of something old, for which no hint tells the two apart."""
    names = {(type(each), each.name): each.key for each in named(before)}
    if any(names.get((type(each), each.name), each.key) != each.key for each in named(after)):
        return True
    return any(
        old.name == new.name and old.key != new.key
        for table in after.tables
        if before.has_table(table.key)
        for new in table.columns
        for old in before.table(table.key).columns
    )
