"""Taking back what an interrupted revision has done: from what is there to the schema that was there before.

The revision's own way back begins at its end, where the database isn't. The way is therefore found as that
between any two schemas, and begins where the database is: interrupted itself, it is simply found again.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
from alembic.operations import Operations, ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from plinth.apply.points import Interrupted, PointError, driver_session, erase, go_back
from plinth.apply.renamed import ways_back
from plinth.catalog import Catalog, read_catalog, recorded_catalog

log = logging.getLogger(__name__)

_ACTION = re.compile(r"\bon\s+(?:delete|update)\s+cascade\b", re.IGNORECASE)  # of a key: it drops nothing
_WORD = re.compile(r"[\w$]+")
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
    text = ";\n".join([found.first, *(each.statement for each in found.done.values())])
    if not found.goes_back:
        now = read_catalog(connection, default_schema=before.default_schema, **names)
        with _transaction(connection) as session:
            for way in ways_back((each.statement for each in found.done.values()), before, now):
                connection.exec_driver_sql(way.replace("%", "%%"))
            named = read_catalog(connection, default_schema=before.default_schema, **names)
            _refuse_to_lose(found, before, named, text)
            go_back(session, version_table, found.revision)
    now = read_catalog(connection, default_schema=before.default_schema, **names)
    change = Change(
        *with_partitions_own(_ours(now, before, text), before), read_casts(connection), is_downgrade=True
    )
    connection.commit()
    operations = Operations(context)
    for part in sequence(change):
        for op in part.up:
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
    with _transaction(connection) as session:
        erase(session, version_table, found.revision)
    log.warning("Revision %s stood half-way: what it had done is taken back.", found.revision)


@contextmanager
def _transaction(connection: Connection) -> "Iterator[psycopg.Connection[Any]]":
    """Begin a transaction, and end it for the driver's session too."""
    connection.commit()
    with connection.begin():
        yield driver_session(connection)


def _invoke(operations: Operations, given: Iterable[ops.MigrateOperation]) -> None:
    for op in given:
        operations.invoke(op)


def _refuse_to_lose(found: Interrupted, before: Catalog, now: Catalog, text: str) -> None:
    """Return unless a table or column would be dropped that may be one that was there, under another name.

    Raises:
        PointError: one would. A statement that finds its names itself may have renamed it.
    """
    tables = [{name.name for name in catalog.tables} for catalog in (before, _ours(now, before, text))]
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


def _ours(now: Catalog, before: Catalog, text: str) -> Catalog:
    """Return what is there now, without what is new and which no statement of the revision names."""
    said = {each.lower() for each in _WORD.findall(text)} | {*_IN_QUOTES.findall(text)}

    def is_said(name: str) -> bool:
        return name in said or (_WORD.fullmatch(name) is None and name.replace('"', '""') in text)

    def known(now: Mapping[Any, Any], before: Mapping[Any, Any]) -> dict[Any, Any]:
        return {name: each for name, each in now.items() if name in before or is_said(_bare(name))}

    kinds = ("schemas", "tables", "sequences", "enums", "domains", "others")
    kept: dict[str, Any] = {kind: known(getattr(now, kind), getattr(before, kind)) for kind in kinds}
    owned = {
        name: each
        for name, each in now.sequences.items()
        if each.owner and each.owner.table in kept["tables"]
    }
    kept["sequences"] |= owned
    return replace(now, **kept)


def _bare(name: Any) -> str:  # noqa: ANN401 - a name, or a kind and a name
    """Return the last part of an object's name, as a statement is sure to have it."""
    if isinstance(name, str):
        return name
    last = str(name[-1]).partition("(")[0].partition(" on ")[0].rpartition(".")[2]
    return last.strip('"')
