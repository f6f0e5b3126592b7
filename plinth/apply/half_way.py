"""Taking back what an interrupted revision has done: from what is there to the schema that was there before.

The revision's own way back begins at its end, where the database isn't. The way is therefore found as that
between any two schemas, and begins where the database is: interrupted itself, it is simply found again.
"""

import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from io import StringIO
from itertools import chain
from typing import Any

import psycopg
import sqlalchemy as sa
from alembic.operations import Operations, ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from plinth.apply.points import Interrupted, PointError, driver_session, erase, go_back, note_back, shown
from plinth.apply.renamed import TAKEN, ways_back
from plinth.catalog import Catalog, Name, read_catalog, recorded_catalog
from plinth.catalog.picture import Other, Table

log = logging.getLogger(__name__)

_ACTION = re.compile(r"\bon\s+(?:delete|update)\s+cascade\b", re.IGNORECASE)  # of a key: it drops nothing
_WORD = re.compile(r"[\w$]+")
_KINDS = ("schemas", "tables", "sequences", "enums", "domains", "others")
_IDENTIFIER = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_ASIDE = re.compile(rf'ALTER TABLE (?P<table>.+) RENAME TO "[^"]*(?:""[^"]*)*{TAKEN}"')
_MAKES = re.compile(r"\s*(?:create|alter|drop|comment|grant|revoke)\b", re.IGNORECASE)
_CHANGES = re.compile(
    rf"\b(?:update(?=\s+[^;]*?\bset\b)(?P<set>)|insert\s+into|delete\s+from|merge\s+into|truncate(?:\s+table)?)"
    rf"\s+(?:only\s+)?(?:{_IDENTIFIER}\s*\.\s*)?(?P<table>{_IDENTIFIER})",
    re.IGNORECASE,
)
_IN_QUOTES = re.compile(r"""['"]([\w$]+)(?=['"])""")


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
    # Imported late: other commands need nothing of it.
    from plinth.autogenerate.change.casts import read_casts  # noqa: PLC0415
    from plinth.autogenerate.change.steps import AutocommitOp, Change  # noqa: PLC0415
    from plinth.autogenerate.objects.tables import with_partitions_own  # noqa: PLC0415
    from plinth.autogenerate.online.sequence import sequence  # noqa: PLC0415

    before = recorded_catalog(found.picture) if found.picture else None
    if before is None:
        raise PointError(
            f"What was there before revision {found.revision} isn't known, so what it has done can't be "
            "taken back. Run the interrupted command again, and then this one."
        )
    own = ";\n".join(found.statements)
    text = f"{own};\n{found.back}"
    schemas = {*before.schemas, *connection.scalars(sa.text("select nspname from pg_namespace"))}
    reach = _reached(connection, before.default_schema, schemas, text)

    def there() -> Catalog:
        now = read_catalog(connection, default_schema=before.default_schema, **names)
        return _ours(now, before, text, reach)

    def run(before: Catalog, after: Catalog) -> None:
        change = Change(*with_partitions_own(before, after), read_casts(connection), is_downgrade=True)
        parts = [part.up for part in sequence(change)]
        with _transaction(connection) as session:
            note_back(session, version_table, found.revision, _as_sql(connection, parts))
        operations = Operations(context)
        for op in chain.from_iterable(parts):
            if isinstance(op, AutocommitOp):
                connection.commit()
                connection.execution_options(isolation_level="AUTOCOMMIT")
                try:
                    _invoke(operations, op.ops)
                finally:
                    connection.commit()
                    connection.execution_options(isolation_level=connection.default_isolation_level)
            else:
                _invoke(operations, [op])
        connection.commit()

    if not found.goes_back:
        now = read_catalog(connection, default_schema=before.default_schema, **names)
        with _transaction(connection) as session:
            for way in ways_back((each.statement for each in found.done.values()), before, now):
                _refuse_to_move_rows(found, connection, way)
                connection.exec_driver_sql(way.replace("%", "%%"))
            _refuse_to_lose(found, before, there(), text)
            go_back(session, version_table, found.revision)
    now = read_catalog(connection, default_schema=before.default_schema, **names)
    if found.back:
        ours = there()
        run(ours, _without_helpers(ours, before, own))
    ours = there()
    run(ours, _goal(before, ours, text, reach))
    with _transaction(connection) as session:
        erase(session, version_table, found.revision)
    _say(found, before, now, text, reach)


@contextmanager
def _transaction(connection: Connection) -> "Iterator[psycopg.Connection[Any]]":
    """Begin a transaction, and end it for the driver's session too."""
    connection.commit()
    with connection.begin():
        yield driver_session(connection)


def _say(found: Interrupted, before: Catalog, now: Catalog, text: str, reach: Collection[str | None]) -> None:
    """Say what is taken back, and what isn't."""
    log.warning("Revision %s stood half-way: what it had done is taken back.", found.revision)
    elsewhere = sorted(_left_alone(before, now, text, reach))
    if elsewhere:
        log.warning(
            "Left alone are tables of schemas that no statement names, though they were made or changed "
            "since, and statements have their names: %s.",
            ", ".join(elsewhere),
        )
    stays = list(_changed_rows(found, before))
    if stays:
        log.warning("Not so the rows that it has changed: they stay as they are now. %s", " ".join(stays))


def _without_helpers(ours: Catalog, before: Catalog, own: str) -> Catalog:
    """Return what is there without what only the way back has made, before it was interrupted itself."""
    is_own = _said(own)
    kept: dict[str, Any] = {}
    for kind in _KINDS:
        was = getattr(before, kind)
        kept[kind] = {
            name: each for name, each in getattr(ours, kind).items() if name in was or is_own(_bare(name))
        }
    for name, table in before.tables.items():
        if name in kept["tables"]:
            found = kept["tables"][name]
            new = {each.name for each in found.columns if table.column(each.name) is None}
            kept["tables"][name] = found.without_columns({each for each in new if not is_own(each)})
    return replace(ours, **kept)


def _as_sql(connection: Connection, parts: Iterable[Iterable[ops.MigrateOperation]]) -> str:
    """Return what is about to run: what it makes on its way goes, too, when it is interrupted itself."""
    from plinth.autogenerate.change.steps import EachPartitionOp  # noqa: PLC0415 - as above

    printed = StringIO()
    options = {"as_sql": True, "output_buffer": printed}
    operations = Operations(MigrationContext.configure(dialect=connection.dialect, opts=options))
    for op in chain.from_iterable(parts):
        for each in op.ops if isinstance(op, ops.OpContainer) else [op]:
            if isinstance(each, EachPartitionOp):  # asks which there are
                printed.writelines(each.on(connection))
            else:
                operations.invoke(each)
    return printed.getvalue()


def _invoke(operations: Operations, given: Iterable[ops.MigrateOperation]) -> None:
    for op in given:
        operations.invoke(op)


def _refuse_to_move_rows(found: Interrupted, connection: Connection, way: str) -> None:
    """Return unless a statement lets a new table make room that has rows: it is dropped afterwards.

    Raises:
        PointError: it does.
    """
    match = _ASIDE.fullmatch(way)
    if (
        match
        and connection.exec_driver_sql(
            f"SELECT EXISTS (SELECT FROM {match['table']})".replace("%", "%%")  # noqa: S608 - quoted
        ).scalar()
    ):
        raise PointError(
            f"What revision {found.revision} has done can't be taken back: the new table {match['table']} "
            "has the name of one that was renamed, and has rows. Give it another name, or empty it, and run "
            "the same command again."
        )


def _refuse_to_lose(found: Interrupted, before: Catalog, now: Catalog, text: str) -> None:
    """Return unless a table or column would be dropped that may be one that was there, under another name.

    Raises:
        PointError: one would. A statement that finds its names itself may have renamed it.
    """
    tables = [{name.name for name in catalog.tables} for catalog in (before, now)]
    pairs: list[tuple[str, set[str], set[str]]] = [("", tables[0], tables[1])]
    for name in before.tables.keys() & now.tables.keys():
        old, new = ({each.name for each in catalog.tables[name].columns} for catalog in (before, now))
        pairs.append((f"{name.name}.", old, new))
    for owner, old, new in pairs:
        gone = sorted(each for each in old - new if not _drops(text, each))
        others = sorted(new - old)
        if gone and others:
            raise PointError(
                f"What revision {found.revision} has done can't be taken back: {owner}{gone[0]} isn't there "
                f"any more, no statement drops it, and {', '.join(others)} would go. If one of these was "
                "renamed, give it its name back, and run the same command again."
            )


def _drops(text: str, name: str) -> bool:
    place = rf'(?:"?\w+"?\s*\.\s*)?"?{re.escape(name)}(?!\w)'
    drop = rf"\bdrop\s+(?:column\s+|table\s+)?(?:if\s+exists\s+)?{place}|\bdrop\b[^;]*\bcascade\b"
    return re.search(drop, _ACTION.sub("", text), re.IGNORECASE) is not None


def _left_alone(before: Catalog, now: Catalog, text: str, reach: Collection[str | None]) -> Iterator[str]:
    """Yield tables that are another tenant's, or the revision's by a search_path of its own."""
    is_said = _said(text)
    for name, table in now.tables.items():
        if name.schema not in reach and is_said(name.name) and before.tables.get(name) != table:
            yield str(name)


def _changed_rows(found: Interrupted, before: Catalog) -> Iterator[str]:
    """Yield the statements that changed values which were there before, as a message has them."""
    tables = {name.name: table for name, table in before.tables.items()}
    for statement in dict.fromkeys(found.statements):
        if _MAKES.match(statement):
            continue
        for match in _CHANGES.finditer(statement):
            table = tables.get(_plain(match["table"]))
            columns = [re.escape(each.name) for each in table.columns] if table else []
            sets = rf'(?:\bset|,|\()\s*"?(?:{"|".join(columns)})"?\s*(?:=|,|\))'
            is_new = match["set"] is not None and not re.search(
                sets, statement[match.start() :], re.IGNORECASE
            )
            if table and not is_new:
                yield shown(statement)
                break


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def _ours(now: Catalog, before: Catalog, text: str, reach: Collection[str | None]) -> Catalog:
    """Return what is there now, without what is new and which no statement of the revision names."""
    is_said = _said(text)

    def known(now: Mapping[Any, Any], before: Mapping[Any, Any]) -> dict[Any, Any]:
        return {
            name: each
            for name, each in now.items()
            if name in before or (is_said(_bare(name)) and _schema(name, each) in reach)
        }

    kept: dict[str, Any] = {kind: known(getattr(now, kind), getattr(before, kind)) for kind in _KINDS}
    owned = {
        name: each
        for name, each in now.sequences.items()
        if each.owner and each.owner.table in kept["tables"]
    }
    kept["sequences"] |= owned
    return replace(now, **kept)


def _goal(before: Catalog, ours: Catalog, text: str, reach: Collection[str | None]) -> Catalog:
    """Return what was there before, with what somebody else has made or changed since.

    That is all in schemas which no statement can have meant (another tenant's), and columns, constraints and
    indexes which none names.
    """
    goal: dict[str, Any] = {}
    for kind in _KINDS:
        was, now = getattr(before, kind), getattr(ours, kind)
        goal[kind] = {name: each for name, each in was.items() if _schema(name, each) in reach}
        goal[kind] |= {name: each for name, each in now.items() if _schema(name, each) not in reach}
    for name, table in before.tables.items():
        found = ours.tables.get(name)
        if found and name.schema in reach:
            goal["tables"][name] = _with_others(table, found, ours, text)
    for name, each in ours.sequences.items():  # of a column that stays
        owner = goal["tables"].get(each.owner.table) if each.owner else None
        if each.owner and owner and owner.column(each.owner.column):
            goal["sequences"].setdefault(name, each)
    return replace(before, **goal)


def _with_others(before: Table, now: Table, ours: Catalog, text: str) -> Table:
    """Return a table as it was before, with what somebody else has added to it since."""
    is_said = _said(text)
    new = [each for each in now.columns if before.column(each.name) is None and not is_said(each.name)]
    # What is there since the revision named the table may have a name that PostgreSQL gave it.
    is_named = any(is_said(each.name) for each in (now.name, *_above(now, ours)))
    names = {each.name for each in new}

    def others(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: each
            for name, each in now.items()
            if name not in before and not is_said(name) and (not is_named or names & {*each.columns})
        }

    return replace(
        before,
        columns=(*before.columns, *new),
        constraints={**before.constraints, **others(now.constraints, before.constraints)},
        indexes={**before.indexes, **others(now.indexes, before.indexes)},
    )


def _above(table: Table, catalog: Catalog) -> Iterator[Name]:
    """Yield the tables that a table inherits from, or is a partition of."""
    for parent in table.parents:
        yield parent
        if parent in catalog.tables:
            yield from _above(catalog.tables[parent], catalog)


def _said(text: str) -> Callable[[str], bool]:
    """Return what tells whether statements name something."""
    said = {each.lower() for each in _WORD.findall(text)} | {*_IN_QUOTES.findall(text)}

    def is_said(name: str) -> bool:
        if name.endswith(TAKEN) and name.removesuffix(TAKEN) in text:
            return True
        return name in said or (_WORD.fullmatch(name) is None and name.replace('"', '""') in text)

    return is_said


def _reached(connection: Connection, default: str, known: Iterable[str], text: str) -> set[str | None]:
    """Return the schemas that statements can have meant: where names without one lead, and those they name.

    None is among them, for what stands in no schema.
    """
    found = {None, default, *connection.scalars(sa.select(sa.func.unnest(sa.func.current_schemas(False))))}
    for name in known:
        place = re.escape(name.replace('"', '""'))
        if re.search(
            rf'(?<![\w$])"?{place}"?\s*\.|\bschema\b[^;]*?(?<![\w$]){place}(?![\w$])', text, re.IGNORECASE
        ):
            found.add(name)
    return found


def _schema(name: Any, each: Any) -> str | None:  # noqa: ANN401 - any object's
    """Return the schema in which an object stands, or the table that it belongs to; None if it is in none."""
    if isinstance(each, Other):
        return each.table.schema if each.table else each.schema
    return name.schema if isinstance(name, Name) else None


def _bare(name: Any) -> str:  # noqa: ANN401 - a name, or a kind and a name
    """Return the last part of an object's name, as a statement is sure to have it."""
    if isinstance(name, str):
        return name
    last = str(name[-1]).partition("(")[0].partition(" on ")[0].rpartition(".")[2]
    return last.strip('"')
