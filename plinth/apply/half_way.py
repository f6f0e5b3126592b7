"""Taking back what an interrupted revision has done: from what is there to the schema that was there before.

The revision's own way back begins at its end, where the database isn't. The way is therefore found as that
between any two schemas, and begins where the database is: interrupted itself, it is simply found again.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from io import StringIO
from itertools import chain, pairwise
from typing import Any

import alembic.operations
import psycopg
from alembic.runtime.migration import MigrationContext
from psycopg.sql import Identifier
from sqlalchemy import Connection

from plinth import checksum
from plinth.apply.left_values import LeftValueError, values_left, values_to_come
from plinth.apply.points import Interrupted, PointError, driver_session, erase, go_back, note_back, shown
from plinth.apply.renamed import TAKEN, origins, ways_back
from plinth.apply.resuming import ways
from plinth.apply.said import Said
from plinth.apply.scope import KINDS, Scope, bare, reached
from plinth.apply.sources import strings
from plinth.autogenerate.change.casts import Using, read_casts
from plinth.autogenerate.change.parts import Piece
from plinth.autogenerate.change.refusals import Refusal
from plinth.autogenerate.change.steps import Change, EachPartitionOp, leaves
from plinth.autogenerate.change.way import Operations, Outside
from plinth.autogenerate.objects.foreign_keys import left_to_look_at, looked_at
from plinth.autogenerate.objects.partitions import with_partitions_own
from plinth.autogenerate.online.sequence import sequence
from plinth.catalog import Catalog, read_catalog, recorded_catalog
from plinth.catalog.picture import ColumnName, Constraint, Name, Table
from plinth.quiet import quiet_context
from plinth.sql_text import Found, Tokens, lexed, parts, plain

log = logging.getLogger(__name__)

_BETWEEN = ";\n\n"  # the statements of a way back
_SET_PATH = """
    select proname from pg_proc
    where strpos(lower(prosrc), 'search_path') > 0 and pronamespace <> 'pg_catalog'::regnamespace
    """
_MAKES = "create | alter | drop | comment | grant | revoke"
_CHANGES = "{update | insert into | delete from | merge into | truncate [table]} [only] <table>"


def take_back(
    context: MigrationContext,
    connection: Connection,
    found: Interrupted,
    version_table: str,
    names: Mapping[str, Any],
) -> None:
    """Take back what an interrupted revision has done.

    What somebody else has made since stays: only what the revision's statements name is dropped.

    Args:
        context: Alembic's.
        connection: its connection, between two transactions.
        found: the revision.
        version_table: whose revisions they are.
        names: of the version table, as for `read_catalog`.

    Raises:
        PointError: what was there before isn't known.
    """
    before = recorded_catalog(found.picture) if found.picture else None
    if before is None:
        raise PointError(
            f"What was there before revision {found.revision} isn't known, so what it has done can't be "
            "taken back. Run the interrupted command again, and then this one."
        )
    done, undone = found.statements, [*filter(None, found.back.split(_BETWEEN))]
    said = Said([*done, *undone], before.default_schema)
    scope = Scope(before, said, reached(connection, before, said))

    def there() -> Catalog:
        return scope.ours(read_catalog(connection, default_schema=before.default_schema, **names))

    planner = _Planner(context, connection, found)

    def run(before: Catalog, after: Catalog) -> None:
        parts = planner.plan(before, after)
        with _transaction(connection) as session:
            note_back(session, version_table, found.revision, _as_sql(connection, parts))
        _execute(context, connection, parts)

    if not found.goes_back:
        now = read_catalog(connection, default_schema=before.default_schema, **names)
        if _sets_path(context, connection, found, said):
            _refuse_to_guess(found, scope, now)
        with _transaction(connection) as session:
            for way in ways_back((each.statement for each in found.done.values()), before, now):
                _refuse_to_move_rows(found, connection, way, said)
                connection.exec_driver_sql(way.replace("%", "%%"))
            ours = there()
            _refuse_to_lose(found, connection, ours, scope.goal(ours), said)
            ours = looked_at(ours, before)
            for start, end in pairwise([ours, *planner.turns(ours, scope.goal(ours))]):
                planner.plan(start, end)  # a way that is refused is refused before any of it
            go_back(session, version_table, found.revision)
    now = read_catalog(connection, default_schema=before.default_schema, **names)
    _execute(context, connection, left_to_look_at(there(), before))
    ours = there()
    _say_what_is_gone(ours, scope.goal(ours))
    if found.back:
        ours = there()
        own, back = (Said(each, before.default_schema) for each in (done, undone))
        run(ours, _without_helpers(ours, before, own, back))
    ours = there()
    for goal in planner.turns(ours, scope.goal(ours)):
        run(there(), goal)
    with _transaction(connection) as session:
        erase(session, version_table, found.revision)
    _say(found, now, scope)


class _Planner:
    """What finds the way between two schemas, with the values that the revision itself makes."""

    def __init__(self, context: MigrationContext, connection: Connection, found: Interrupted) -> None:
        source = context.script and checksum.read(context.script.get_revision(found.revision).path)
        tree = checksum.tree_of(source) if source else None
        self._texts = [each.replace("\\:", ":") for each in strings(tree)]  # as `text()` has them
        self._casts = read_casts(connection)
        self._found = found

    def _said(self, before: Catalog, after: Catalog) -> Mapping[ColumnName, str]:
        found, default = self._found, after.default_schema
        if found.direction == "down":
            return values_to_come(self._texts, before, after)
        try:
            return values_left(self._texts, origins(found.statements, default), before, after)
        except LeftValueError as error:
            raise self._impossible(str(error)) from error

    def plan(self, before: Catalog, after: Catalog) -> list[Operations]:
        """Return the transactions of a way.

        Raises:
            PointError: there is none.
        """
        usings = {place: Using(each, each) for place, each in self._said(before, after).items()}
        change = Change(*with_partitions_own(before, after), self._casts, is_downgrade=True, usings=usings)
        try:
            return [part.up for part in sequence(change)]
        except Refusal as error:
            raise self._impossible(error.message) from error

    def _impossible(self, why: str) -> PointError:
        return PointError(
            f"What revision {self._found.revision} has done can't be taken back: {why} "
            f"Or go on: {ways(self._found)[0]}"
        )

    def turns(self, ours: Catalog, goal: Catalog) -> list[Catalog]:
        """Return where the way leads in turn: first to what is there without what is new on changed columns.

        Columns that were left go at the end where values come from them.
        """
        tables, left = dict(ours.tables), dict(goal.tables)
        retyped = {
            ColumnName(name, each.name)
            for name in ours.tables.keys() & goal.tables.keys()
            for each in ours.tables[name].columns
            if (old := goal.tables[name].column(each.name)) and old.type != each.type
        }
        for name in ours.tables.keys() & goal.tables.keys():
            there, wanted = ours.tables[name], goal.tables[name]
            known = {each.name for each in wanted.parts}
            new = {
                each.name for each in there.parts if each.name not in known and _is_on(name, each, retyped)
            }
            tables[name] = there.without(*new)
        types: set[Name | None] = set()
        for name in {place.table for place in self._said(ours, goal)}:
            more = [each for each in ours.tables[name].columns if goal.tables[name].column(each.name) is None]
            left[name] = replace(goal.tables[name], columns=(*goal.tables[name].columns, *more))
            types |= {each.named_type for each in more}
        enums = {name: each for name, each in ours.enums.items() if name in types}
        domains = {name: each for name, each in ours.domains.items() if name in types}
        enums, domains = {**enums, **goal.enums}, {**domains, **goal.domains}
        middle = replace(goal, tables=left, enums=enums, domains=domains)
        found = [replace(ours, tables=tables), middle, goal]
        return [each for place, each in enumerate(found) if each != [ours, *found][place]]


def _is_on(table: Name, part: Piece, columns: Collection[ColumnName]) -> bool:
    """Whether an index or constraint, but NOT NULL, stands on some columns, or refers to them."""
    if isinstance(part, Constraint) and part.type == "n":
        return False
    on = {ColumnName(table, each) for each in part.columns}
    if isinstance(part, Constraint) and part.foreign_key:
        on |= {ColumnName(part.reference.table, each) for each in part.reference.columns}
    return not on.isdisjoint(columns)


@contextmanager
def _transaction(connection: Connection) -> "Iterator[psycopg.Connection[Any]]":
    """Begin a transaction, and end it for the driver's session too."""
    connection.commit()
    with connection.begin():
        yield driver_session(connection)


def _sets_path(context: MigrationContext, connection: Connection, found: Interrupted, said: Said) -> bool:
    """Whether a revision may have set the search path: by its text, or by a function that it names."""
    source = context.script and checksum.read(context.script.get_revision(found.revision).path)
    texts = (source or b"", *(each.encode() for each in found.statements))
    if any(b"search_path" in each.lower() for each in texts):
        return True
    return any(said.names(name) for name in connection.exec_driver_sql(_SET_PATH).scalars())


def _refuse_to_guess(found: Interrupted, scope: Scope, now: Catalog) -> None:
    """Return if a revision that sets the search path has done nothing where its statements don't lead by now.

    Raises:
        PointError: it may have: for one tenant after the other, for instance.
    """
    elsewhere = sorted(scope.elsewhere(now))
    if elsewhere:
        forth, _ = ways(found)
        raise PointError(
            f"Revision {found.revision} sets the search path, and where its statements led isn't known: what "
            f"it has done can't be told from what others have. {', '.join(elsewhere)}: undo by hand what it "
            f"has changed of that, and run the same command again. Or go on: {forth}"
        )


def _say_what_is_gone(ours: Catalog, goal: Catalog) -> None:
    """Say what comes back without its rows or values: it was dropped, and nothing has kept them."""
    gone = [f"table {name}" for name in goal.tables if name not in ours.tables]
    for name, table in goal.tables.items():
        there = ours.tables.get(name)
        new = [each for each in table.columns if there and there.column(each.name) is None]
        gone += [f"column {name}.{each.name}" for each in new if not each.generated]
    if gone:
        log.warning(
            "It had been dropped, and comes back without its rows or values: %s. Where the application "
            "works, give it its values (UPDATE … SET … from what has them), or apply the revision again.",
            ", ".join(sorted(gone)),
        )


def _say(found: Interrupted, now: Catalog, scope: Scope) -> None:
    """Say what is taken back, and what isn't."""
    log.warning("Revision %s stood half-way: what it had done is taken back.", found.revision)
    elsewhere = sorted(scope.left_alone(now))
    if elsewhere:
        log.warning(
            "Left alone is what was made or changed since, and by no statement as far as can be seen, though "
            "statements have its name: %s.",
            ", ".join(elsewhere),
        )
    stays = list(_changed_rows(found, scope.before))
    if stays:
        log.warning("Not so the rows that it has changed: they stay as they are now. %s", " ".join(stays))


def _without_helpers(ours: Catalog, before: Catalog, own: Said, back: Said) -> Catalog:
    """Return what is there without what only the way back has made, before it was interrupted itself."""
    kept: dict[str, Any] = {}
    for kind in KINDS:
        was = getattr(before, kind)
        kept[kind] = {
            name: each
            for name, each in getattr(ours, kind).items()
            if name in was or own.names(bare(name, each))
        }
    for name, table in before.tables.items():
        if name in kept["tables"]:
            found = kept["tables"][name]
            new = {each.name for each in found.columns if table.column(each.name) is None}
            kept["tables"][name] = found.without_columns(
                {each for each in new if back.makes_column(each) and not own.names(each)}
            )
    kept["sequences"] |= {  # which no statement names
        name: each
        for name, each in ours.sequences.items()
        if each.owner
        and (owner := kept["tables"].get(each.owner.table))
        and owner.column(each.owner.column) is not None
    }
    return replace(ours, **kept)


def _as_sql(connection: Connection, parts: Iterable[Operations]) -> str:
    """Return what is about to run: what it makes on its way goes, too, when it is interrupted itself."""
    printed = StringIO()
    options = {"as_sql": True, "output_buffer": printed}
    operations = alembic.operations.Operations(quiet_context(dialect=connection.dialect, opts=options))
    for op in leaves(chain.from_iterable(parts)):
        if isinstance(op, EachPartitionOp):  # asks which there are
            printed.writelines(f"{statement}{_BETWEEN}" for statement in op.on(connection))
        else:
            operations.invoke(op)
    return printed.getvalue()


def _execute(context: MigrationContext, connection: Connection, parts: Iterable[Operations]) -> None:
    """Execute transactions, and what is outside of any."""
    operations = alembic.operations.Operations(context)
    for part in parts:
        connection.commit()
        if isinstance(part, Outside):
            connection.execution_options(isolation_level="AUTOCOMMIT")
        try:
            for op in leaves(part):
                operations.invoke(op)
            connection.commit()
        finally:
            if isinstance(part, Outside):
                connection.commit()
                connection.execution_options(isolation_level=connection.default_isolation_level)


def _refuse_to_move_rows(found: Interrupted, connection: Connection, way: str, said: Said) -> None:
    """Return unless a statement lets what somebody may miss make room: it is dropped afterwards.

    That is a new table that has rows, and a new column that no statement made.

    Raises:
        PointError: it does.
    """
    aside = lexed(way).matches("alter table <table> rename [column <column>] to <new>")
    if aside is None or not plain(aside["new"]).endswith(TAKEN):
        return
    table, column = aside["table"], aside["column"]
    if not column:
        is_lost = _has_rows(connection, table)
        what, why, way_out = f"table {table}", "has rows", "empty"
    else:
        is_lost = not said.makes_column(plain(column))
        what, why, way_out = f"column {table}.{column}", "was made by no statement of it", "drop"
    if is_lost:
        raise PointError(
            f"What revision {found.revision} has done can't be taken back: the new {what} has the name of "
            f"one that was renamed, and {why}. Give it another name, or {way_out} it, and run the same "
            "command again."
        )


def _has_rows(connection: Connection, table: str) -> bool:
    asked = f"SELECT EXISTS (SELECT FROM {table})".replace("%", "%%")  # noqa: S608 - quoted
    return bool(connection.exec_driver_sql(asked).scalar())


def _refuse_to_lose(
    found: Interrupted, connection: Connection, ours: Catalog, goal: Catalog, said: Said
) -> None:
    """Return unless something can't come back, or would be dropped that may have had another name before.

    Raises:
        PointError: a table or column would be dropped, and another one isn't there any more: a statement that
            finds its names itself may have renamed it. Or a column would have to have values.
    """
    start = f"What revision {found.revision} has done can't be taken back: "
    tables = [{name.name for name in catalog.tables} for catalog in (goal, ours)]
    pairs: list[tuple[str, set[str], set[str]]] = [("", tables[0], tables[1])]
    for name in goal.tables.keys() & ours.tables.keys():
        wanted, there = ({each.name for each in catalog.tables[name].columns} for catalog in (goal, ours))
        pairs.append((f"{name.name}.", wanted, there))
        empty = [each for each in sorted(wanted - there) if goal.tables[name][each].is_required]
        if empty and _has_rows(connection, Identifier(*name).as_string()):
            raise PointError(
                f"{start}{name.name}.{empty[0]} was dropped, and may not be NULL in the rows that are there. "
                f"Go on ({ways(found)[0]}); or add the column by hand, with values, and run the same command "
                "again."
            )
    for owner, wanted, there in pairs:
        gone = sorted(each for each in wanted - there if not said.drops(each))
        others = sorted(there - wanted)
        if gone and others:
            raise PointError(
                f"{start}{owner}{gone[0]} isn't there any more, no statement drops it, and "
                f"{', '.join(others)} would go. If one of these was renamed, give it its name back, and run "
                "the same command again."
            )


def _changed_rows(found: Interrupted, before: Catalog) -> Iterator[str]:
    """Yield the statements that changed values which were there before, as a message has them."""
    tables = {name.name: table for name, table in before.tables.items()}
    for text in dict.fromkeys(found.statements):
        executed = (each for each in lexed(text).executed if not each.begins(_MAKES))
        if any(
            _changes_what_was_there(change, tables) for each in executed for change in each.find(_CHANGES)
        ):
            yield shown(text)


def _changes_what_was_there(change: Found, tables: Mapping[str, Table]) -> bool:
    table = tables.get(parts(change["table"])[-1])
    sets = next(change.rest.find("set"), None)
    if table is None or (change.has("update") and sets is None):  # SELECT … FOR UPDATE
        return False
    if sets is None or not change.has("update"):
        return True
    return any(table.column(name) is not None for name in _columns(sets.rest))


def _columns(sets: Tokens) -> Iterator[str]:
    """Yield the columns of `a = …, (b, c) = …`."""
    for each in sets.elements():
        several = each.begins("(")
        for one in several.rest.elements() if several else [each]:
            column = one.begins("<column>")
            if column:
                yield parts(column["column"])[0]
