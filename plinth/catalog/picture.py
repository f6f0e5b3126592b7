"""A picture of a database's schema: what PostgreSQL's own printing functions say of each object.

Two objects are equal when PostgreSQL prints them alike. Texts are printed with the default schema alone in
the search path: names in it stand bare, all others are qualified.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, TypeVar

_NOT_VALID = " NOT VALID"
K = TypeVar("K")
V = TypeVar("V")


def only(found: Mapping[K, V], is_kept: Callable[[V], bool]) -> dict[K, V]:
    """Return some of what is found."""
    return {key: each for key, each in found.items() if is_kept(each)}


class Name(NamedTuple):
    """The name of an object in a schema."""

    schema: str
    name: str

    def __str__(self) -> str:
        """Return it as a message has it."""
        return f"{self.schema}.{self.name}"


class ColumnName(NamedTuple):
    """The name of a column of a table."""

    table: Name
    column: str


class Node(NamedTuple):
    """An object that others can stand on.

    Args:
        kind: "table", "column", "default", "constraint", "index", "sequence", "type" (an enum or a domain),
            "domain constraint", or the kind of what models can't say, as `Other` has it.
        name: what identifies it among those of its kind; for a part, its table (or domain) and its own name.
    """

    kind: str
    name: Name | ColumnName | str

    @classmethod
    def part(cls, kind: str, owner: Name, name: str) -> "Node":
        """Return what belongs to a table or a domain."""
        return cls(kind, ColumnName(owner, name))


NOTHING: frozenset[Node] = frozenset()
NO_DEFAULT = "NULL"  # of a partition that has none, where it is compared with its table's


def types_in(needs: Collection[Node]) -> frozenset[Name]:
    """Return the enums and domains among what something stands on."""
    return frozenset(node.name for node in needs if node.kind == "type" and isinstance(node.name, Name))


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        name: its name.
        type: as `format_type` prints it, for instance "character varying(50)".
        named_type: the enum, domain or other type in a schema of ours that it is, or is an array of.
        collation: where it isn't the type's own, quoted and qualified where needed.
        default: its default, or the expression that generates it.
        generated: "" or "s" (stored) or "v" (virtual).
        identity: "" or "a" (always) or "d" (by default).
        not_null: whether NULL is refused.
        storage: where it isn't the type's own: "p", "e", "m" or "x".
        compression: "" or "p" or "l".
        statistics: its target, where one was set.
        options: "n_distinct" and the like, where they were set.
        comment: if there is one.
        sequence: the sequence that belongs to it (serial or identity).
        is_local: it isn't merely inherited from a parent; not compared, as no statement changes that.
        uses: the columns of the table in the expression that generates it.
        has_privileges: something was granted on it alone; not compared, as no model says it.
        has_volatile_default: its default, or its domain's, is another one for each row; not compared, as the
            default is.
        needs: what it stands on, in PostgreSQL's own words (pg_depend); not compared.
        default_needs: what its default stands on.
        published_by: the publications that name it, in a list of columns or a filter; not compared.
        words: of models: for what is printed of it, how they say it; not compared.
    """

    name: str
    type: str
    named_type: Name | None = None
    collation: str | None = None
    default: str | None = None
    generated: str = ""
    identity: str = ""
    not_null: bool = False
    storage: str = ""
    compression: str = ""
    statistics: int | None = None
    options: tuple[str, ...] = ()
    comment: str | None = None
    sequence: Name | None = None
    is_local: bool = field(default=True, compare=False)
    uses: frozenset[str] = frozenset()
    has_privileges: bool = field(default=False, compare=False)
    has_volatile_default: bool = field(default=False, compare=False)
    needs: frozenset[Node] = field(default=NOTHING, compare=False)
    default_needs: frozenset[Node] = field(default=NOTHING, compare=False)
    published_by: frozenset[str] = field(default=frozenset(), compare=False)
    words: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def is_required(self) -> bool:
        """Whether no row can be inserted without a value for it."""
        return self.not_null and not self.fills_itself

    @property
    def fills_itself(self) -> bool:
        """Whether a row that is inserted without a value for it gets one."""
        return self.default not in {None, NO_DEFAULT} or bool(self.generated or self.identity)


@dataclass(frozen=True)
class ForeignKey:
    """What a foreign key says beside its columns.

    Args:
        table: the one it refers to.
        columns: of that table.
        on_update: "a" (no action), "r", "c", "n" or "d".
        on_delete: likewise.
        match: "s" (simple) or "f" (full).
    """

    table: Name
    columns: tuple[str, ...]
    on_update: str
    on_delete: str
    match: str


@dataclass(frozen=True)
class Constraint:
    """A constraint of a table.

    Args:
        name: its name.
        type: "c" check, "f" foreign key, "p" primary key, "u" unique, "x" exclusion, "n" not null.
        definition: as `pg_get_constraintdef` prints it.
        columns: in their order; for a check, those that it mentions.
        expression: of a check.
        foreign_key: of a foreign key.
        deferrable: whether its check can wait for the end of the transaction.
        deferred: whether it does without being asked.
        include: further columns of its index.
        nulls_not_distinct: NULL equals NULL.
        options: storage parameters of its index.
        tablespace: of its index, where it isn't the default.
        comment: if there is one.
        is_local: it isn't merely inherited from a parent; not compared, as no statement changes that.
        validated: it holds for all rows; a new one is checked against none of the old.
        disabled: nothing is checked, for its triggers are disabled.
        needs: what it stands on, in PostgreSQL's own words (pg_depend); not compared.
        words: of models: for what is printed of it, how they say it; not compared.
    """

    name: str
    type: str
    definition: str
    columns: tuple[str, ...] = ()
    expression: str | None = None
    foreign_key: ForeignKey | None = None
    deferrable: bool = False
    deferred: bool = False
    include: tuple[str, ...] = ()
    nulls_not_distinct: bool = False
    options: tuple[str, ...] = ()
    tablespace: str | None = None
    comment: str | None = None
    is_local: bool = field(default=True, compare=False)
    validated: bool = True
    disabled: bool = False
    needs: frozenset[Node] = field(default=NOTHING, compare=False)
    words: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def for_new_rows(self) -> "Constraint":
        """The same, checked against none of the rows that are there."""
        return replace(self, definition=f"{self.definition}{_NOT_VALID}", validated=False)

    @property
    def for_all_rows(self) -> "Constraint":
        """The same, checked against the rows that are there too."""
        return replace(self, definition=self.definition.removesuffix(_NOT_VALID), validated=True)

    @property
    def is_not_enforced(self) -> bool:
        """Whether no row is ever checked (PostgreSQL 18)."""
        return self.definition.endswith(" NOT ENFORCED")

    @property
    def reference(self) -> ForeignKey:
        """What it refers to.

        Raises:
            TypeError: it is no foreign key.
        """
        if self.foreign_key is None:
            raise TypeError(f"{self.name} is no foreign key")
        return self.foreign_key


@dataclass(frozen=True)
class Index:
    """An index that no constraint made.

    Args:
        name: its name; its schema is its table's.
        definition: as `pg_get_indexdef` prints it, with its tablespace.
        keys: each as it stands in the definition, with collation, operator class and order.
        key_columns: for each key its column's name, None for an expression.
        include: further columns.
        unique: whether it is unique.
        method: "btree", "gin", …
        where: its predicate.
        nulls_not_distinct: NULL equals NULL.
        options: storage parameters.
        tablespace: where it isn't the default.
        comment: if there is one.
        valid: whether it is complete.
        columns: all that it mentions.
        statistics: the targets of its expressions, by their number.
        needs: what it stands on, in PostgreSQL's own words (pg_depend); not compared.
        words: of models: for what is printed of it, how they say it; not compared.
    """

    name: str
    definition: str
    keys: tuple[str, ...] = ()
    key_columns: tuple[str | None, ...] = ()
    include: tuple[str, ...] = ()
    unique: bool = False
    method: str = "btree"
    where: str | None = None
    nulls_not_distinct: bool = False
    options: tuple[str, ...] = ()
    tablespace: str | None = None
    comment: str | None = None
    valid: bool = True
    columns: frozenset[str] = frozenset()
    statistics: tuple[tuple[int, int], ...] = ()
    needs: frozenset[Node] = field(default=NOTHING, compare=False)
    words: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Table:
    """A table, its columns, constraints and indexes.

    Args:
        name: its name.
        columns: in their order.
        constraints: by name.
        indexes: by name; those of constraints are not among them.
        persistence: "p" (permanent) or "u" (unlogged).
        options: storage parameters.
        partition_key: as `pg_get_partkeydef` prints it.
        partition_bound: of a partition.
        partition_condition: the same as `pg_get_partition_constraintdef` prints it; not compared.
        parents: the tables that it inherits from, or is a partition of.
        access_method: where it isn't the default.
        tablespace: where it isn't the default.
        comment: if there is one.
        row_security: "" or "enabled" or "forced", or both.
        is_foreign: a table of another server.
        replica_identity: "" (the primary key) or "FULL", "NOTHING", "USING INDEX …".
        clustered_on: the index that CLUSTER goes by.
        of_type: the composite type that its columns come from (CREATE TABLE … OF).
        needs: what it stands on, in PostgreSQL's own words (pg_depend); not compared.
    """

    name: Name
    columns: tuple[Column, ...] = ()
    constraints: Mapping[str, Constraint] = field(default_factory=dict)
    indexes: Mapping[str, Index] = field(default_factory=dict)
    persistence: str = "p"
    options: tuple[str, ...] = ()
    partition_key: str | None = None
    partition_bound: str | None = None
    partition_condition: str | None = field(default=None, compare=False)
    parents: tuple[Name, ...] = ()
    access_method: str | None = None
    tablespace: str | None = None
    comment: str | None = None
    row_security: str = ""
    is_foreign: bool = False
    replica_identity: str = ""
    clustered_on: str | None = None
    of_type: str | None = None
    needs: frozenset[Node] = field(default=NOTHING, compare=False)

    @property
    def node(self) -> Node:
        """What others can stand on."""
        return Node("table", self.name)

    def part(self, kind: str, name: str) -> Node:
        """Return a column, a default, a constraint or an index as what others can stand on."""
        return Node.part(kind, self.name, name)

    @property
    def column_nodes(self) -> frozenset[Node]:
        """The table, its columns and their defaults."""
        parts = (self.part(kind, column.name) for column in self.columns for kind in ("column", "default"))
        return frozenset((self.node, *parts))

    def sequences_but(self, staying: Collection[Name]) -> frozenset[Node]:
        """Return the sequences that come or go with its columns; those that stay only change their owner."""
        owned = {column.sequence for column in self.columns if column.sequence} - set(staying)
        return frozenset(Node("sequence", name) for name in owned)

    @property
    def nodes(self) -> frozenset[Node]:
        """The table and all its parts."""
        parts = [self.part("constraint", each) for each in self.constraints]
        return self.column_nodes.union(parts, (self.part("index", each) for each in self.indexes))

    def __getitem__(self, name: str) -> Column:
        """Return the column of that name.

        Raises:
            KeyError: there is none.
        """
        found = self.column(name)
        if found is None:
            raise KeyError(name)
        return found

    def column(self, name: str) -> Column | None:
        """Return the column of that name."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> Mapping[str, Column]:
        return {column.name: column for column in self.columns}

    def needs_of(self, kind: str, name: str) -> frozenset[Node]:
        """Return what a column, a default, a constraint or an index of the table stands on."""
        if kind in {"constraint", "index"}:
            part = self.constraints.get(name) if kind == "constraint" else self.indexes.get(name)
            return part.needs if part else NOTHING
        column = self.column(name)
        if column is None:
            return NOTHING
        return column.default_needs if kind == "default" else column.needs | {self.node}

    @property
    def parts(self) -> tuple[Constraint | Index, ...]:
        """Its constraints and indexes."""
        return (*self.constraints.values(), *self.indexes.values())

    def having(self, *parts: "Constraint | Index") -> "Table":
        """Return the table with constraints and indexes, each in the place of one of its name."""
        constraints, indexes = dict(self.constraints), dict(self.indexes)
        constraints |= {each.name: each for each in parts if isinstance(each, Constraint)}
        indexes |= {each.name: each for each in parts if isinstance(each, Index)}
        return replace(self, constraints=constraints, indexes=indexes)

    def without(self, *names: str) -> "Table":
        """Return the table without the constraints and indexes of some names."""
        left = (each for each in self.parts if each.name not in names)
        return replace(self, constraints={}, indexes={}).having(*left)

    def with_constraints(self, is_kept: Callable[[Constraint], bool]) -> "Table":
        """Return the table with some of its constraints alone."""
        return self.without(*(each.name for each in self.constraints.values() if not is_kept(each)))

    def without_columns(self, names: Collection[str]) -> "Table":
        """Return the table without some columns and the names of their NOT NULL; nothing else is on them."""
        columns = tuple(each for each in self.columns if each.name not in names)
        left = self.with_constraints(lambda each: each.type != "n" or each.columns[0] not in names)
        return replace(left, columns=columns)

    @property
    def primary_key(self) -> Constraint | None:
        """The primary key, if there is one."""
        return next((each for each in self.constraints.values() if each.type == "p"), None)


@dataclass(frozen=True)
class Sequence:
    """A sequence.

    Args:
        name: its name.
        type: "smallint", "integer" or "bigint".
        start: its first value.
        increment: its step.
        minimum: its lowest value.
        maximum: its highest value.
        cache: how many values a session takes at once.
        cycle: whether it begins again at its end.
        persistence: "p" (permanent) or "u" (unlogged).
        owner: the column that it belongs to.
        is_identity: whether that column is an identity column.
        comment: if there is one.
    """

    name: Name
    type: str
    start: int
    increment: int
    minimum: int
    maximum: int
    cache: int
    cycle: bool
    persistence: str = "p"
    owner: ColumnName | None = None
    is_identity: bool = False
    comment: str | None = None


@dataclass(frozen=True)
class Enum:
    """An enum type and its values, in their order."""

    name: Name
    values: tuple[str, ...]
    comment: str | None = None


@dataclass(frozen=True)
class DomainConstraint:
    """A check of a domain; `words` are as those of `Constraint`."""

    name: str
    definition: str
    comment: str | None = None
    needs: frozenset[Node] = field(default=NOTHING, compare=False)
    words: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def is_validated(self) -> bool:
        """Whether it holds for all rows."""
        return not self.definition.endswith(_NOT_VALID)

    def __str__(self) -> str:
        """Return it as a message has it."""
        comment = f", comment {self.comment!r}" if self.comment else ""
        return f"{self.name} {self.definition}{comment}"


@dataclass(frozen=True)
class Domain:
    """A domain.

    Args:
        name: its name.
        type: what it is made of, as `format_type` prints it.
        collation: where it isn't the type's own.
        default: as PostgreSQL prints it.
        not_null: whether NULL is refused.
        constraints: by name.
        comment: if there is one.
        base: the named type of ours that it is made of.
        needs: what it stands on, in PostgreSQL's own words (pg_depend); not compared.
        words: of models: for what is printed of it, how they say it; not compared.
    """

    name: Name
    type: str
    collation: str | None = None
    default: str | None = None
    not_null: bool = False
    constraints: Mapping[str, DomainConstraint] = field(default_factory=dict)
    comment: str | None = None
    base: Name | None = None
    needs: frozenset[Node] = field(default=NOTHING, compare=False)
    words: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def nodes(self) -> frozenset[Node]:
        """The domain and its checks."""
        checks = (Node.part("domain constraint", self.name, each) for each in self.constraints)
        return frozenset((Node("type", self.name), *checks))


class Detail(NamedTuple):
    """Something that is said of an object beside the statement that makes it.

    Args:
        statements: say it.
        undo: takes it back.
    """

    statements: tuple[str, ...]
    undo: str

    def __str__(self) -> str:
        """Return it as a message has it."""
        return "; ".join(self.statements)


@dataclass(frozen=True)
class Other:
    """An object that models can't say: a view, function, trigger, policy, extension and the like.

    Args:
        kind: as in SQL, for instance "materialized view".
        name: what identifies it among those of its kind, as SQL has it.
        definition: a statement that makes it.
        schema: the schema that it stands in, if any.
        table: the table that it belongs to, if any.
        comment: if there is one.
        details: what else is said of it: a disabled trigger, the indexes of a materialized view.
        columns: of a view, in their order.
        privileges: the statements that grant them; not compared, as no model says it.
        bare: its name alone, without quotes.
        needs: what it stands on, in PostgreSQL's own words (pg_depend); not compared.
        can_move: of an extension, whether PostgreSQL can move it to another schema; not compared.
    """

    kind: str
    name: str
    definition: str
    schema: str | None = None
    table: Name | None = None
    comment: str | None = None
    details: tuple[Detail, ...] = ()
    columns: tuple[str, ...] = ()
    privileges: tuple[str, ...] = ()
    bare: str = ""
    needs: frozenset[Node] = field(default=NOTHING, compare=False)
    can_move: bool = field(default=True, compare=False)

    @property
    def node(self) -> Node:
        """What others can stand on."""
        return Node(self.kind, self.name)

    @property
    def address(self) -> str:
        """It as DROP and COMMENT ON name it."""
        kind = "TYPE" if self.kind.endswith("type") else self.kind.upper()
        on_table = self.kind in {"trigger", "policy", "rule"}
        return f"{kind} {self.name.replace(' on ', ' ON ', 1) if on_table else self.name}"

    @property
    def view(self) -> Name | None:
        """The name of a view, which queries lock as they lock tables; None for anything else."""
        return Name(self.schema, self.bare) if self.kind == "view" and self.schema else None

    @property
    def uses(self) -> frozenset[ColumnName]:
        """The columns of tables that it stands on."""
        columns = (node.name for node in self.needs if node.kind == "column")
        return frozenset(name for name in columns if isinstance(name, ColumnName))


@dataclass(frozen=True)
class Catalog:
    """All schemas of a database.

    Args:
        default_schema: names in it stand bare.
        server_version: as `server_version_num` has it; not compared.
        schemas: with their comments.
        tables: by name.
        sequences: by name; those that belong to columns too.
        enums: by name.
        domains: by name.
        others: by kind and name.
        leaned_on: of models: what was copied in before they were made, by name (others by kind and name,
            schemas as text); they don't make it. Not compared.
        unseen: of models: what they make that isn't shown here, with what is said of each. Not compared.
    """

    default_schema: str
    server_version: int = field(compare=False)
    schemas: Mapping[str, str | None] = field(default_factory=dict)
    tables: Mapping[Name, Table] = field(default_factory=dict)
    sequences: Mapping[Name, Sequence] = field(default_factory=dict)
    enums: Mapping[Name, Enum] = field(default_factory=dict)
    domains: Mapping[Name, Domain] = field(default_factory=dict)
    others: Mapping[tuple[str, str], Other] = field(default_factory=dict)
    leaned_on: frozenset[tuple[str, str] | str] = field(default=frozenset(), compare=False)
    unseen: Mapping[str, str | None] = field(default_factory=dict, compare=False)

    def column(self, table: Name, name: str) -> Column | None:
        """Return the column of that name; None when there is none, or no such table."""
        found = self.tables.get(table)
        return found.column(name) if found else None

    def domain_of(self, column: Column) -> Domain | None:
        """Return the domain that a column's values are of; None for an array of such."""
        name = None if column.type.endswith("[]") else column.named_type
        return self.domains.get(name) if name else None

    def refuses_null(self, domain: Domain | None) -> bool:
        """Whether a domain, or one that it is made of, refuses NULL."""
        if domain is None or domain.not_null:
            return domain is not None
        return domain.base is not None and self.refuses_null(self.domains.get(domain.base))

    @property
    def nodes(self) -> frozenset[Node]:
        """All that stands on something."""
        tables, domains = self.tables.values(), self.domains.values()
        parts = [*(each.nodes for each in tables), *(each.nodes for each in domains)]
        return frozenset(other.node for other in self.others.values()).union(*parts)

    def needs(self, node: Node) -> frozenset[Node]:
        """Return what an object stands on, directly; nothing when it isn't there."""
        kind, name = node
        if isinstance(name, str):
            other = self.others.get((kind, name))
            return other.needs if other else NOTHING
        if isinstance(name, Name):
            found = self.tables.get(name) if kind == "table" else self.domains.get(name)
            return found.needs if found and kind in {"table", "type"} else NOTHING
        if kind == "domain constraint":
            domain = self.domains.get(name.table)
            check = domain.constraints.get(name.column) if domain else None
            return check.needs if check else NOTHING
        table = self.tables.get(name.table)
        return table.needs_of(kind, name.column) if table else NOTHING
