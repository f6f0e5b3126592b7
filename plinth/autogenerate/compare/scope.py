"""What of a database is ours to compare: what the models know, and what revisions made.

Another application's tables, hand-made types and the like are left alone, whether the models lean on them or
not.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from plinth.autogenerate.change.quoting import literal, quoted, shown, sql_name
from plinth.autogenerate.compare.leaving import with_what_leaves
from plinth.autogenerate.objects.partitions import with_partitions_own
from plinth.catalog.picture import (
    Catalog,
    Column,
    ColumnName,
    Name,
    Other,
    Sequence,
    Table,
    only,
    types_in,
)

T = TypeVar("T")
_VIEWS = {"view", "materialized view"}
_ROUTINES = {"function", "procedure", "aggregate"}


@dataclass(frozen=True)
class Scope:
    """How it is decided what is ours.

    Args:
        old_tables: tables that models are renamed from.
        revisions: what the revisions make; asked only when something stands there that no model knows. None
            when that can't be known: then what no model knows is ours in the default schema alone.
        drops: what the author says is to be dropped (`-x drop=…`): other objects too, by their names alone.
        leaving: what has left the models and is to stay for now (`leaving` in `[tool.plinth]`).
        not_valid: constraints, by table and name, that the models want for new rows only.
        includes: whether the author's filters (`include_name`, `include_object`) let a table be compared.
    """

    old_tables: Collection[Name] = ()
    revisions: Callable[[], Catalog | None] = lambda: None
    drops: frozenset[str] = frozenset()
    leaving: Collection[str] = ()
    not_valid: Collection[ColumnName] = ()
    includes: Callable[[Table, Table | None, bool], Table | None] = lambda table, _other, _is_standing: table


def in_scope(database: Catalog, models: Catalog, scope: Scope) -> tuple[Catalog, Catalog]:
    """Return what is there and what should be there, both without what isn't ours.

    Args:
        database: all that is there.
        models: what the models mean, with what they lean on.
        scope: how it is decided.
    """
    models = with_what_leaves(models, database, scope.leaving)
    there, wanted = _tables(database, models, scope)
    before, after = with_partitions_own(replace(database, tables=there), replace(models, tables=wanted))
    before, after = _with_sequences(before, after, database, models, scope)
    before, after = _with_others(before, after, scope)
    before, after = _with_types(before, after, database, models, scope)
    return _with_schemas(before, after, database)


def _made(scope: Scope, database: Catalog, name: Name, kind: Callable[[Catalog], Mapping[Name, T]]) -> bool:
    revisions = scope.revisions()
    return name.schema == database.default_schema if revisions is None else name in kind(revisions)


def _tables(database: Catalog, models: Catalog, scope: Scope) -> tuple[dict[Name, Table], dict[Name, Table]]:
    there: dict[Name, Table] = {}
    wanted: dict[Name, Table] = {}
    leaned_on = {
        use.table for key, other in models.others.items() if key not in models.leaned_on for use in other.uses
    }
    for name, table in database.tables.items():
        is_known = name in models.tables or name in scope.old_tables
        stays = not is_known and (name in leaned_on or _stays(table, database, models, scope))
        if stays or not (is_known or _made(scope, database, name, lambda catalog: catalog.tables)):
            continue
        kept = scope.includes(table, models.tables.get(name), True)
        if kept is not None:
            there[name] = kept
    for name, table in models.tables.items():
        kept = scope.includes(table, database.tables.get(name), False)
        if kept is not None and (name in there or name not in database.tables):
            kept = _with_not_valid(kept, there.get(name), scope)
            wanted[name] = _with_what_stays(kept, there.get(name), models, scope)
    return there, wanted


def _with_not_valid(table: Table, standing: Table | None, scope: Scope) -> Table:
    """Return a table whose constraints hold for new rows only, where models say so and old ones are there."""
    constraints = dict(table.constraints)
    for name, each in table.constraints.items() if standing else ():
        there = standing.constraints.get(name) if standing else None
        if ColumnName(table.name, name) in scope.not_valid and each.validated:
            is_valid = there is not None and there.definition == each.definition
            constraints[name] = each if is_valid else each.for_new_rows
    return replace(table, constraints=constraints)


def _stays(table: Table, database: Catalog, models: Catalog, scope: Scope) -> bool:
    """Whether a table that no model knows is left alone: another server's, or a partition of what stays."""
    if shown(table.name, database) in scope.drops or str(table.name) in scope.drops:
        return False
    if table.partition_bound is None:
        return table.is_foreign
    parent = table.parents[0]
    return parent in models.tables or (
        parent in database.tables and _stays(database.tables[parent], database, models, scope)
    )


def _with_what_stays(table: Table, standing: Table | None, models: Catalog, scope: Scope) -> Table:
    """Return a table with what models can't say, as it stands in the database, unless it is said to go."""
    if standing is None:
        return table
    indexes = {None, *map(quoted, (*table.indexes, *table.constraints))}

    def kept(setting: str, own: T, there: T, index: str | None = None) -> T:
        goes = f"{shown(table.name, models)}.{setting}" in scope.drops or index not in indexes
        return own if own or goes else there

    identity, clustered = standing.replica_identity, standing.clustered_on
    of_index = identity.removeprefix("USING INDEX ") if identity.startswith("USING INDEX ") else None
    return replace(
        table,
        row_security=kept("row_security", table.row_security, standing.row_security),
        replica_identity=kept("replica_identity", table.replica_identity, identity, of_index),
        clustered_on=kept("clustered_on", table.clustered_on, clustered, clustered and quoted(clustered)),
    )


def _with_sequences(
    before: Catalog, after: Catalog, database: Catalog, models: Catalog, scope: Scope
) -> tuple[Catalog, Catalog]:
    there: dict[Name, Sequence] = {}
    wanted: dict[Name, Sequence] = {}
    defaults = [
        column.default for table in models.tables.values() for column in table.columns if column.default
    ]
    for name in {*database.sequences, *models.sequences}:
        old, new = database.sequences.get(name), models.sequences.get(name)
        if old and old.owner:
            old = old if _owns(old, before) else None
        if new and new.owner:
            new = new if _owns(new, after) else None
        elif new and name in models.leaned_on:
            # Copied in. No model makes it: it goes when revisions made it and nothing asks for it any more.
            asked = any(f"nextval({literal(sql_name(name, models))}" in default for default in defaults)
            new = new if asked and not old else None
            if asked or not _made(scope, database, name, lambda catalog: catalog.sequences):
                old = None
        if old and not old.owner and new is None and name not in models.sequences:
            old = old if _made(scope, database, name, lambda catalog: catalog.sequences) else None
        if old:
            there[name] = old
        if new:
            wanted[name] = new
    return replace(before, sequences=there), replace(after, sequences=wanted)


def _owns(sequence: Sequence, catalog: Catalog) -> bool:
    owner = sequence.owner
    return owner is not None and owner.table in catalog.tables


def _with_types(
    before: Catalog, after: Catalog, database: Catalog, models: Catalog, scope: Scope
) -> tuple[Catalog, Catalog]:
    users = {name for table in after.tables.values() for name in _types_of(table)}
    users |= {domain.base for name, domain in models.domains.items() if domain.base and name in users}
    old_users = {name for table in before.tables.values() for name in _types_of(table)}
    old_users |= {each.base for name, each in database.domains.items() if each.base and name in old_users}
    foreign_users = {
        type_
        for name, table in database.tables.items()
        if name not in before.tables
        for type_ in _types_of(table)
    }
    foreign_users |= {type_ for other in after.others.values() for type_ in types_in(other.needs)}
    left_out: tuple[set[Name], set[Name]] = set(), set()  # of what is there, and of what should be
    for name in {*database.enums, *database.domains, *models.enums, *models.domains}:
        is_made = name in {**models.enums, **models.domains} and name not in models.leaned_on
        if name in users or is_made:
            continue
        left_out[1].add(name)  # copied in, and maybe dropped since
        if name in database.enums or name in database.domains:
            made = _made(scope, database, name, lambda catalog: {**catalog.enums, **catalog.domains})
            is_known = name in old_users or scope.revisions() is not None
            if not (is_known and name not in foreign_users and made):
                left_out[0].add(name)

    def own(catalog: Catalog, other: Catalog, gone: set[Name]) -> Catalog:
        enums = only(other.enums, lambda each: each.name not in gone)
        return replace(catalog, enums=enums, domains=only(other.domains, lambda each: each.name not in gone))

    return own(before, database, left_out[0]), own(after, models, left_out[1])


def _types_of(table: Table) -> set[Name]:
    found = {column.named_type for column in table.columns if column.named_type}
    return found.union(*(types_in(each.needs) for each in table.parts))


def _with_others(before: Catalog, after: Catalog, scope: Scope) -> tuple[Catalog, Catalog]:
    """Let stay what models don't know, but for what goes with a table that goes, or is said to go."""
    wanted: dict[tuple[str, str], Other] = {}
    for key, other in {**before.others, **after.others}.items():
        is_made = key in after.others and key not in after.leaned_on
        gone = other.table in before.tables and other.table not in after.tables
        if key not in after.others and other.kind in _VIEWS:
            gone = any((kind, other.name) in after.others for kind in _VIEWS)
        if not gone and (is_made or not scope.drops.intersection(_names(other))):
            wanted[key] = other
    there = {
        key: other
        for key, other in before.others.items()
        if other.table is None or other.table in before.tables or key in wanted
    }
    return replace(before, others=there), replace(after, others=wanted)


def _names(other: Other) -> set[str]:
    """Return what `-x drop=…` may call an object: its name alone, with its schema or table, or in full."""
    owners = [each for each in (other.schema, other.table and other.table.name) if each]
    plain = {other.bare, *(f"{owner}.{other.bare}" for owner in owners)}
    _, bracket, arguments = other.name.partition("(") if other.kind in _ROUTINES else ("", "", "")
    return {other.name, *plain, *(f"{name}{bracket}{arguments}" for name in plain)}


def _with_schemas(before: Catalog, after: Catalog, database: Catalog) -> tuple[Catalog, Catalog]:
    """Compare schemas that the models make or that hold something of ours; else an empty one stays."""
    wanted_in, there_in = (
        {name.schema for named in (each.tables, each.sequences, each.enums, each.domains) for name in named}
        for each in (after, before)
    )
    wanted_in |= {other.schema for other in after.others.values() if other.schema}
    said = {name: comment for name, comment in after.schemas.items() if name not in after.leaned_on}
    ours = wanted_in | there_in | set(said)
    standing = {name: comment for name, comment in database.schemas.items() if name in ours}
    new = dict.fromkeys(wanted_in - set(database.schemas))
    return replace(before, schemas=standing), replace(after, schemas={**standing, **new, **said})


def what_stays(after: Catalog, database: Catalog, models: Catalog, scope: Scope) -> list[str]:
    """Return what revisions made and no model says, and that stays nevertheless, as messages name it.

    Args:
        after: what should be there, as `in_scope` returns it.
        database: all that is there.
        models: what the models mean.
        scope: how it is decided what is ours.
    """
    own = models.others.keys() - models.leaned_on
    others = [key for key in after.others.keys() & database.others.keys() if key not in own]
    partitions = [
        name for name, table in database.tables.items() if table.partition_bound and name not in models.tables
    ]
    settings = [
        (name, setting)
        for name in after.tables.keys() & models.tables.keys()
        for setting in ("row_security", "replica_identity", "clustered_on")
        if getattr(after.tables[name], setting) != getattr(models.tables[name], setting)
    ]
    if not (others or partitions or settings):
        return []
    made = scope.revisions()
    if made is None:
        return []
    return sorted(
        [
            *(f"{kind} {name}" for kind, name in others if (kind, name) in made.others),
            *(f"partition {shown(name, database)}" for name in partitions if name in made.tables),
            *(
                f"{shown(name, database)}.{setting}"
                for name, setting in settings
                if name in made.tables and getattr(made.tables[name], setting)
            ),
        ]
    )


def without_column(table: Table, name: str) -> Table:
    """Return a table without a column that isn't to be compared, and without what stands on it."""
    columns: tuple[Column, ...] = tuple(each for each in table.columns if each.name != name)
    return replace(
        table,
        columns=columns,
        constraints={each.name: each for each in table.constraints.values() if name not in each.columns},
        indexes={each.name: each for each in table.indexes.values() if name not in each.columns},
    )
