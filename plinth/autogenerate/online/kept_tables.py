"""A table gets another name, and the old one stays usable until no code uses it any more (`keep_old`).

A view has the old name meanwhile, and the names that the columns had; rows are read and written through it
(CREATE VIEW, Updatable Views). It goes in the revision that comes after the code.
"""

from collections.abc import Iterator, Sequence

from alembic.operations import ops

from plinth.autogenerate.change.belongings import closed
from plinth.autogenerate.change.quoting import do_block, literal, quoted, shown, sql_name
from plinth.autogenerate.change.steps import Change, CommentOp, SqlOp
from plinth.autogenerate.change.way import Part
from plinth.autogenerate.objects.difference import forced
from plinth.autogenerate.online.kept_names import refuse_kept_name
from plinth.catalog.picture import Catalog, Name, Table

Renamed = tuple[Table, Table]


def refuse_unkept_tables(change: Change, kept: Sequence[Renamed]) -> None:
    """Return if each table that should keep its old name can.

    Args:
        change: what else is done, renames done.
        kept: such tables, as they were and renamed.

    Raises:
        Refusal: one can't, and refusals aren't collected.
    """
    for old, new in kept:
        why = next(_objections(change, old, new), None)
        if why:
            refuse_kept_name(f"Table {shown(new.name, change.after)}", shown(old.name, change.before), why)


def _objections(change: Change, old: Table, new: Table) -> Iterator[str]:
    if old.row_security:
        yield "rows that its policies hide would be seen through the view that has the old name"
    if any(name == old.name for name in (*change.after.tables, *change.after.sequences)):
        yield "something new has the old name"
    found = forced(change)
    retyped = sorted(column for table, column in found.retyped | found.parts("column") if table == new.name)
    if retyped:
        yield f"its column {retyped[0]} gets another type too: do that in a revision of its own"


def with_views(turn: Part, kept: Sequence[Renamed], catalog: Catalog) -> Part:
    """Return a transaction of renames with the views that have the old names of its tables.

    Args:
        turn: the renames.
        kept: tables that keep their old names, as they were and renamed.
        catalog: the schema, renames done.
    """
    views = [_View(old, new, catalog) for old, new in kept]
    return Part(
        [*turn.up, *(op for view in views for op in view.make())],
        [*(view.drop() for view in views), *turn.down],
    )


def without_views(kept: Sequence[Renamed], catalog: Catalog) -> list[Part]:
    """Return the transactions after the code in which the views go."""
    views = [_View(old, new, catalog) for old, new in kept]
    return [Part([view.drop()], view.make(), is_after=True) for view in views]


class _View:
    """The view that has a table's old name.

    Args:
        old: the table as it was.
        new: the same, renamed.
        catalog: the schema, renames done.
    """

    def __init__(self, old: Table, new: Table, catalog: Catalog) -> None:
        self.name: Name = old.name
        self._view = sql_name(old.name, catalog)
        self._table = sql_name(new.name, catalog)
        names = [(was.name, now.name) for was, now in zip(old.columns, new.columns, strict=True)]
        self._hides = (
            f"The view {self._view} would show rows of {self._table} that its policies hide. Let the table "
            "be renamed at once, without keep_old."
        )
        self._columns = ", ".join(
            quoted(now) if was == now else f"{quoted(now)} AS {quoted(was)}" for was, now in names
        )
        others = [f" WHEN {literal(now)} THEN {literal(was)}" for was, now in names if was != now]
        self._column = f"CASE t.attname{''.join(others)} ELSE t.attname END" if others else "t.attname"

    def make(self) -> list[ops.MigrateOperation]:
        """Return what makes it, with the privileges that the table's users have, on it and on columns."""
        grant = literal(f"GRANT %s%s ON {self._view.replace('%', '%%')} TO %s%s")
        table, view = (f"{literal(each)}::regclass" for each in (self._table, self._view))
        lines = [
            "DECLARE said text; BEGIN",
            f"    IF (SELECT relrowsecurity FROM pg_class WHERE oid = {table}) THEN",  # noqa: S608 - quoted names
            f"        RAISE USING ERRCODE = '23000', MESSAGE = {literal(self._hides)};",
            "    END IF;",
            "    FOR said IN",
            f"        SELECT format({grant}, privilege_type, part,",
            "            CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,",
            "            CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END)",
            "        FROM pg_class c, LATERAL (",
            "            SELECT '', relacl",
            "            UNION ALL SELECT format(' (%I)', v.attname), t.attacl",
            "            FROM pg_attribute t JOIN pg_attribute v",
            f"                ON v.attrelid = {view} AND v.attname = {self._column}",
            "            WHERE t.attrelid = c.oid",
            f"        ) it (part, acl), aclexplode(acl) WHERE c.oid = {table} AND grantee <> relowner",
            "    LOOP EXECUTE said; END LOOP;",
        ]
        return [
            CommentOp(
                f"The name {self.name.name} stays usable until no code uses it: by a view, with the table's "
                "privileges."
            ),
            SqlOp(f"CREATE VIEW {self._view} AS SELECT {self._columns} FROM {self._table}"),  # noqa: S608
            closed([self._view], "nobody else may read it who may not read the table"),
            SqlOp(do_block(lines)),
        ]

    def drop(self) -> SqlOp:
        """Return what drops it."""
        return SqlOp(f"DROP VIEW {self._view}", f"drop view {self.name.name}")
