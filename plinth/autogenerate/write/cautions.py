"""What the new revisions mean for code that runs, and for values: no order of deploys mends that."""

import re
from collections.abc import Collection, Iterator

from plinth.autogenerate.change.dependents import standing_on
from plinth.autogenerate.change.parts import on_column
from plinth.autogenerate.change.quoting import quoted, shown, sql_name
from plinth.autogenerate.change.steps import Change
from plinth.autogenerate.objects.columns import is_retyped
from plinth.autogenerate.objects.foreign_keys import refers_to
from plinth.autogenerate.objects.others import is_replaced, loses_columns
from plinth.catalog.picture import Catalog, Column, ColumnName, Index, Name, Node, Other, Table

_NAME = re.compile(r'"(?:[^"]|"")*"|\S+')  # of a view's column; its type follows


def cautions(change: Change, kept: Collection[str]) -> Iterator[str]:
    """Yield sentences on what the author should know before the new revisions are applied while code runs.

    Args:
        change: what they do.
        kept: the old names of tables that keep them beside the new ones.
    """
    before, after = change.before, change.after
    pairs = _pairs(change)
    if unknown := [each for pair in pairs for each in _required(change, *pair, is_new=True)]:
        yield (
            f"Running code that doesn't know {', '.join(unknown)} can insert no row from this revision on. "
            "What avoids that: a server_default in the model, which a later revision may take off again; or "
            "nullable first, and required in a revision after the code."
        )
    required = [each for pair in pairs for each in _required(change, *pair, is_new=False)]
    filled = {each for pair in pairs for each in _filled(change, *pair)}
    for names, uses in (
        ([each for each in required if each not in filled], "leaves {} without a value"),
        ([each for each in required if each in filled], "gives {} NULL"),
    ):
        if names:
            yield (
                f"Running code that {uses.format(', '.join(names))} fails from this revision on. What avoids "
                "that: let the code give it a value first, and apply this when no older code runs."
            )
    if refused := [each for pair in pairs for each in _refused(change, *pair)]:
        yield (
            f"The domain of {', '.join(refused)} refuses NULL: new code that gives it no value fails until "
            "it goes, in the second revision. What avoids that: a server_default, in a revision before."
        )
    if twice := [
        f"{shown(place.table, after)}.{place.column}"
        for place, old in sorted(change.kept_names.items())
        if _is_unique(before.tables[place.table], old) and _is_unique(after.tables[place.table], place.column)
    ]:
        yield (
            f"Until the second revision {', '.join(twice)} is unique by two indexes, on the old column and "
            "the new one, and ON CONFLICT goes by one of them: sessions that insert the same new value at "
            'once may get "duplicate key value violates unique constraint". What avoids that: the code '
            "repeats such a statement, which succeeds then."
        )
    for name in kept:
        yield (
            f"{name} is a view from the first revision on: by the old name code selects, inserts, updates "
            "and deletes as before, also with ON CONFLICT (columns). What fails by it: ON CONFLICT ON "
            "CONSTRAINT, COPY to or from it, TRUNCATE, WHERE CURRENT OF, GROUP BY the key alone with other "
            "columns selected, and nextval() of its sequences, which are renamed with the table. What avoids "
            "that: code without such statements (ON CONFLICT (columns), DELETE), deployed before."
        )
    for key, old in before.others.items():
        new = after.others.get(key)
        lost = _names(old) - _names(new) if new and new.columns else set()
        if new and lost and not loses_columns(old, new):
            yield (
                f"The view {old.name} gets other columns, so running code that reads "
                f"{', '.join(sorted(lost))} fails from this revision on. What avoids that: new columns "
                "first, and the drop in a change after."
            )


def _is_unique(table: Table, column: str) -> bool:
    return any(
        each.unique if isinstance(each, Index) else each.type == "u" for each in on_column(table, column)
    )


def _names(view: Other) -> set[str]:
    return {match[0] for each in view.columns if (match := _NAME.match(each))}


def moves(change: Change) -> Iterator[str]:
    """Yield what seems to move to another table, whose rows nobody writes, or which have no value there."""
    for old, table in _pairs(change):
        yield from _moved(change, old, table)
        for column in table.columns:
            was, place = old.column(column.name), f"{shown(table.name, change.after)}.{column.name}"
            if was and column.generated and not was.generated:
                yield (
                    f"{place} becomes a generated column: the values that it has are lost, and code that "
                    "gives it one fails from this revision on. If they are to stay, give the new one another "
                    "name."
                )
            elif was and column.identity == "a" != was.identity:
                yield (
                    f"{place} is GENERATED ALWAYS AS IDENTITY: code that gives it a value fails from this "
                    "revision on. What avoids that: Identity(always=False)."
                )


_COMPUTES = {"function", "text search configuration", "text search dictionary"}


def stale(change: Change) -> Iterator[str]:
    """Yield what keeps values that a function, or a text search configuration, computes otherwise by now.

    PostgreSQL computes what an index or a stored column has, and what a check allows, but once.
    """
    before, after = change.before, change.after
    for key, old in before.others.items():
        new = after.others.get(key) if old.kind in _COMPUTES else None
        # What stands on one that is made anew is made anew, too.
        if new is None or (old.definition, old.details) == (new.definition, new.details):
            continue
        if is_replaced(old, new, change):
            continue
        users = [each for each in standing_on(before, {old.node}) if each.kind in _COMPUTES]
        for what in _computed(change, {old.node, *(each.node for each in users)}):
            yield (
                f"{old.name} changes, and what it has computed stays until {what}. If it computes otherwise, "
                "write that behind it, in this revision and in its downgrade."
            )


def _computed(change: Change, nodes: Collection[Node]) -> Iterator[str]:
    """Yield what stays as some functions have computed it, and what computes it anew."""
    for before, after in _pairs(change):
        table, name = shown(after.name, change.after), sql_name(after.name, change.after)
        for index in before.indexes.values():
            if not index.needs.isdisjoint(nodes) and after.indexes.get(index.name) == index:
                yield f"index {index.name} is built anew ({_reindex(before, index, change.after)})"
        for column in before.columns:
            needs = column.needs | column.default_needs
            if (
                column.generated == "s"
                and not needs.isdisjoint(nodes)
                and after.column(column.name) == column
            ):
                base = quoted(
                    min(column.uses or {each.name for each in before.columns if not each.generated})
                )
                how = f"UPDATE {name} SET {base} = {base}, in batches"  # noqa: S608 - for a reader
                yield f"column {table}.{column.name} is computed anew ({how})"
        for check in before.constraints.values():
            is_there = after.constraints.get(check.name) == check
            if check.type in {"c", "x"} and not check.needs.isdisjoint(nodes) and is_there:
                yield f"rows are looked at for {check.name} of {table} (drop it, and add it again)"


def _reindex(table: Table, index: Index, catalog: Catalog) -> str:
    name = sql_name(Name(table.name.schema, index.name), catalog)
    return f"REINDEX INDEX CONCURRENTLY {name}, in an autocommit_block()"


def _pairs(change: Change) -> list[tuple[Table, Table]]:
    """Return the tables that stay, as they are and as they will be."""
    after = change.after.tables
    return [(table, after[name]) for name, table in change.before.tables.items() if name in after]


def _required(change: Change, before: Table, after: Table, *, is_new: bool) -> Iterator[str]:
    """Yield the columns that come and have to be given a value, or those that stand and refuse NULL now."""
    for column in after.columns:
        old = before.column(column.name)
        if (old is None) is not is_new or not column.is_local or after.partition_bound:
            continue
        if old is None:
            is_filled = ColumnName(after.name, column.name) in change.kept_names
            is_meant = _has_to_be_given(column, change.after) and not is_filled
        else:  # an ORM whose model has no default for it gives NULL
            is_meant = column.not_null and not old.not_null
            # A default that goes by itself goes after the code.
            is_meant |= column.is_required and not old.is_required and is_retyped(old, column)
        if is_meant and not column.generated:
            yield f"{shown(after.name, change.after)}.{column.name}"


def _filled(change: Change, before: Table, after: Table) -> Iterator[str]:
    """Yield the columns that get a value by themselves, before and after, where code names none.

    With a default that is new, too, code of before gives NULL: its models have none (as an ORM does).
    """
    for column in after.columns:
        old = before.column(column.name)
        if old and old.fills_itself and column.fills_itself:
            yield f"{shown(after.name, change.after)}.{column.name}"


def _refused(change: Change, before: Table, after: Table) -> Iterator[str]:
    """Yield the columns that go, and until then refuse NULL by their domain."""
    for column in before.columns:
        is_eased = column.is_required or after.column(column.name) is not None
        if not is_eased and _has_to_be_given(column, change.before):
            yield f"{shown(before.name, change.before)}.{column.name}"


def _has_to_be_given(column: Column, catalog: Catalog) -> bool:
    domain = catalog.domains.get(column.named_type) if column.named_type else None
    refuses = column.not_null or (domain is not None and domain.not_null and not column.type.endswith("[]"))
    return refuses and not (column.fills_itself or (domain and domain.default))


def _moved(change: Change, before: Table, after: Table) -> Iterator[str]:
    gone = {(each.name, each.type) for each in before.columns if after.column(each.name) is None}
    for name, table in sorted(change.after.tables.items()) if gone else ():
        mine, theirs = (shown(each, change.after) for each in (name, after.name))
        is_new = name not in change.before.tables
        names = [
            each.name
            for each in table.columns
            if (each.name, each.type) in gone
            and change.before.column(name, each.name) is None
            and (is_new or ColumnName(name, each.name) not in change.backfills)
        ]
        is_tied = any(refers_to(each, {after.name}) for each in table.constraints.values())
        if not names or not (is_tied or any(refers_to(each, {name}) for each in after.constraints.values())):
            continue
        listed = ", ".join(names)
        if is_new:
            yield (
                f"The new table {mine} has what {theirs} loses ({listed}), and begins empty. If values are "
                "to move, write an op.execute() that moves them by hand, before they go."
            )
        else:
            yield (
                f"The table {mine} gets what {theirs} loses ({listed}), and its rows get none of the values. "
                f"If they are to move, say on the new column where they come from, of the rows of {theirs}: "
                'info={"backfill": "an SQL expression"}.'
            )
