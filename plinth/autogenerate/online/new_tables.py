"""A new table takes the place of one that gets a stored generated column or an exclusion constraint.

No plain column can become such a one, and to add it PostgreSQL writes the table anew while nobody can use
it; for an exclusion constraint it reads all rows then. So a table that has it stands beside the old one, and
a trigger keeps it equal. It is filled in batches, gets all indexes, and is compared with the old one, row by
row. Then it takes over the name, in a transaction that changes the catalog only.
"""

import textwrap
from collections.abc import Collection, Iterator
from dataclasses import replace

from alembic.operations import ops

from plinth.autogenerate.change import dependents
from plinth.autogenerate.change.backfills import copied
from plinth.autogenerate.change.belongings import array, closed, handed_on, lock, lock_view
from plinth.autogenerate.change.heirs import is_constraint_inherited
from plinth.autogenerate.change.order import in_order
from plinth.autogenerate.change.parts import keys_on, on_column
from plinth.autogenerate.change.quoting import (
    do_block,
    dollar_quoted,
    literal,
    quoted,
    quoted_list,
    shown,
    sql_name,
    temporary_name,
)
from plinth.autogenerate.change.refusals import ALONE, refuse
from plinth.autogenerate.change.stages import TableStage
from plinth.autogenerate.change.steps import CommentOp, SqlOp
from plinth.autogenerate.change.way import Operations, Outside, Way
from plinth.autogenerate.objects import constraints, foreign_keys, indexes
from plinth.autogenerate.objects.columns import is_replaced
from plinth.autogenerate.objects.constraints import has_plain_index
from plinth.autogenerate.objects.not_null_names import named_by_column
from plinth.autogenerate.objects.sequences import identity_sql, made_its_own
from plinth.catalog.picture import Catalog, Column, ColumnName, Constraint, Index, Name, Node, Other, Table

_WIDTH = 90  # of a comment's lines
_LIKE = ("DEFAULTS", "CONSTRAINTS", "GENERATED", "STORAGE", "COMPRESSION", "COMMENTS")
_GO_OVER = {"view", "policy", "rule", "trigger", "statistics"}
_KEYS = {"p", "u", "x"}

# What can't go over, and no revision knows. The rest does, whoever made it (`belongings`).
_LOOK = """
DECLARE more text; BEGIN
    WITH RECURSIVE own (class, id) AS (
        SELECT 'pg_class'::regclass::oid, {old}::regclass::oid
        UNION SELECT classid, objid FROM own JOIN pg_depend ON (refclassid, refobjid) = (class, id)
        WHERE deptype IN ('a', 'i')
    ), standing (class, id, relation) AS (
        SELECT class, id, id FROM own WHERE id = {old}::regclass
        UNION SELECT CASE rulename WHEN '_RETURN' THEN 'pg_class'::regclass ELSE classid END,
            CASE rulename WHEN '_RETURN' THEN ev_class ELSE objid END,
            CASE rulename WHEN '_RETURN' THEN ev_class END
        FROM standing JOIN pg_class c ON c.oid = relation JOIN pg_type t ON t.oid = reltype
        JOIN pg_depend ON (refclassid, refobjid) IN
            (('pg_class'::regclass, c.oid), ('pg_type'::regclass, t.oid), ('pg_type'::regclass, typarray))
        LEFT JOIN pg_rewrite r ON (classid, objid) = (r.tableoid, r.oid)
        WHERE deptype = 'n' OR deptype = 'a' AND relkind <> 'r'
    ) SELECT string_agg(DISTINCT what, ', ') INTO more FROM (
        SELECT 'index ' || relname FROM pg_index JOIN pg_class ON oid = indexrelid
        WHERE indrelid = {old}::regclass AND NOT EXISTS (
            SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))
        UNION ALL SELECT 'the tablespace of ' || relname FROM pg_index JOIN pg_class ON oid = indexrelid
        WHERE indrelid = {old}::regclass AND reltablespace <> 0
        UNION ALL SELECT 'constraint ' || conname FROM pg_constraint
        WHERE {old}::regclass IN (conrelid, confrelid) AND contype NOT IN ('n', 't') AND conparentid = 0
        UNION ALL SELECT concat(type, ' ', object_names[cardinality(object_names)])
        FROM standing, pg_identify_object_as_address(class, id, 0) WHERE (class, id) NOT IN (TABLE own)
            AND class NOT IN ('pg_constraint'::regclass, 'pg_attrdef'::regclass)
        UNION ALL SELECT 'extension ' || extname FROM own JOIN pg_depend ON (classid, objid) = (class, id)
        JOIN pg_extension x ON (refclassid, refobjid) = (x.tableoid, x.oid) WHERE deptype IN ('e', 'x')
        UNION ALL SELECT 'publication ' || pubname FROM pg_publication_tables
        WHERE format('%I.%I', schemaname, tablename)::regclass = {new}::regclass
        UNION ALL SELECT 'a subscription' FROM pg_subscription_rel WHERE srrelid = {old}::regclass
        UNION ALL SELECT 'table ' || inhparent::regclass FROM pg_inherits WHERE inhrelid = {old}::regclass
        UNION ALL SELECT 'row security that hides rows from ' || current_user
        WHERE row_security_active({old})
        UNION ALL SELECT 'a tablespace, access method, persistence or type'
        FROM pg_class WHERE oid IN ({old}::regclass, {new}::regclass)
        GROUP BY reltablespace, relam, relpersistence, reloftype HAVING count(*) = 1
        UNION ALL SELECT 'column ' || attname FROM pg_attribute
        WHERE attrelid = {old}::regclass AND attnum > 0 AND NOT attisdropped
            AND attname <> ALL ({columns}::text[])
        UNION ALL SELECT 'column ' || attname FROM pg_attribute
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid IN ({old}::regclass, {new}::regclass) AND attnum > 0 AND NOT attisdropped
            AND attname <> ALL ({changed}::text[])
        GROUP BY attname, atttypid, atttypmod, attcollation, attnotnull, attgenerated,
            CASE WHEN attname <> ALL ({numbered}::text[]) THEN attidentity END, pg_get_expr(adbin, adrelid)
        HAVING count(*) = 1
    ) found (what) WHERE what <> ALL ({known}::text[]);
    IF more IS NOT NULL THEN
        RAISE USING ERRCODE = '55000', MESSAGE = format(
            '%s stands on %s, or differs there, and no revision knows of it: it would go when '
            'a new table takes its place. Drop it, run the same command again, and make it anew then.',
            more, {old});
    END IF;
"""
# By these it is the same table for whoever has it, before the old one goes.
_SAME_OWNER = """
DECLARE said text; BEGIN
    FOR said IN
        SELECT format('ALTER TABLE %s OWNER TO %I', {new}::regclass, pg_get_userbyid(relowner))
        FROM pg_class WHERE oid = {old}::regclass
        UNION ALL
        SELECT format('ALTER SEQUENCE %s OWNED BY %s.%I', objid::regclass, {new}::regclass, attname)
        FROM pg_depend JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
        WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND deptype = 'a'
            AND refobjid = {old}::regclass AND objid IN (SELECT seqrelid FROM pg_sequence)
    LOOP EXECUTE said; END LOOP;
"""


def with_new_tables(way: Way) -> None:
    """Find what comes, or changes, with a new table: stored generated columns, exclusion constraints.

    Raises:
        Refusal: an exclusion constraint can't, and that isn't accepted.
    """
    reasons: dict[Name, str] = {}
    for name in sorted(way.before.tables.keys() & way.change.after.tables.keys()):
        old, new = way.before.tables[name], way.change.after.tables[name]
        places = {ColumnName(name, each) for each in _to_write(old, new)}
        why = next(_objections(way, name, places), None) if places else None
        if why:
            reasons[name] = why
        else:
            way.rebuilt |= places
        way.excluded |= {ColumnName(name, each) for each in _to_exclude(way, name)}
    way.change = replace(way.change, written_anew=reasons)


def _to_exclude(way: Way, name: Name) -> Iterator[str]:
    """Yield the exclusion constraints of a table that come with a new one, and refuse those that can't."""
    shown_table = shown(name, way.change.after)
    tables = {f"{shown_table}.", f"{name}."}
    # A word for one of its columns says it, too: nobody can use the table meanwhile.
    is_accepted = any(each.startswith(tuple(tables)) for each in way.change.rewrites)
    for each in _to_build(way, name):
        of_columns = {place for place in way.rebuilt if place.table == name}
        found = (*_objections(way, name, of_columns), *_objections_of_exclusion(way, name))
        if not found:
            yield each.name
        elif not is_accepted:
            place = f"{shown_table}.{each.name}"
            refuse(
                "rewrite",
                f"The exclusion constraint {place} would read all rows and build its index while nobody can "
                "use the table: PostgreSQL takes no index that was built before. There is no online form, "
                f"for {found[0]}. If that is acceptable:",
                f"rewrite={place}",
            )


def _to_build(way: Way, name: Name) -> list[Constraint]:
    """Return the exclusion constraints of a standing table that come, or are made anew."""
    old, new = way.before.tables[name], way.change.after.tables[name]
    forced = way.forced.of(way.forced.parts("constraint"), name)
    anew = [each for each in new.constraints.values() if each.type == "x" and each.name in forced]
    return [
        each
        for each in {each.name: each for each in (*_exclusions(old, new), *anew)}.values()
        if not is_constraint_inherited(way.change, name, each, way.change.after)
    ]


def _objections_of_exclusion(way: Way, name: Name) -> Iterator[str]:
    for each in way.change.after.tables[name].constraints.values():
        if each.type in _KEYS and each.deferrable:
            yield f"{each.name} is deferrable, and its copy would be checked row by row"


def _to_write(old: Table, new: Table) -> set[str]:
    """Return the stored generated columns of a table that come, or are generated otherwise."""
    found = set[str]()
    for column in new.columns:
        was = old.column(column.name)
        if column.generated == "s" and (was is None or (was.generated and is_replaced(was, column))):
            found.add(column.name)
    return found


def _objections(way: Way, name: Name, places: Collection[ColumnName]) -> Iterator[str]:
    """Yield why no new table can take the place of a table."""
    yield from _objections_of_key(way, name, {each.column for each in places})
    yield from _objections_of_table(way, name)
    if any(place.table == name for place in way.change.kept_names):
        yield f"a column keeps its old name: {ALONE}"
    shaken = way.forced.parts("column") | way.forced.retyped - way.swapped
    if way.forced.of(shaken - set(places), name):
        yield "another column is made anew, or written anew, as well"
    for catalog in (way.before, way.change.after):
        yield from _objections_of_dependents(catalog, catalog.tables[name])


def _objections_of_key(way: Way, name: Name, columns: Collection[str]) -> Iterator[str]:
    before, after = way.before.tables[name], way.change.after.tables[name]
    key = before.primary_key
    if key is None:
        yield "it has no primary key by which its rows could be copied"
    elif not constraints.is_kept(key, after.constraints.get(key.name)):
        yield f"its primary key changes as well: {ALONE}"
    elif not set(columns).isdisjoint(key.columns):
        yield "its primary key has the column"
    elif not has_plain_index(key):
        yield "its primary key is temporal"


def _objections_of_table(way: Way, name: Name) -> Iterator[str]:
    pair = before, _ = way.before.tables[name], way.change.after.tables[name]
    if way.has_relatives(name) or before.of_type or before.is_foreign:
        yield "it is partitioned, or inherits, or another inherits from it, or it is of a type"
    if any(each.persistence != "p" or each.access_method or each.tablespace for each in pair):
        yield "it is unlogged, or has a tablespace or an access method of its own"
    if "forced" in before.row_security:
        yield "its policies hold for its owner too, who might not see all rows"
    for each in before.constraints.values():
        if each.type in _KEYS and each.deferrable:
            yield f"{each.name} is deferrable, and its copy would be checked row by row"
        if each.type in {"c", "n"} and not each.validated and not each.is_not_enforced:
            yield f"{each.name} doesn't hold for all rows that are there"


def _objections_of_dependents(catalog: Catalog, table: Table) -> Iterator[str]:
    for owner, key in keys_on(catalog, _columns(table)):
        if not constraints.is_native(key.for_all_rows):
            yield f"the foreign key {key.name} of {shown(owner, catalog)} can't be added for new rows alone"
    found = dependents.standing_on(catalog, table.nodes)
    for each in found:
        if each.kind not in _GO_OVER:
            yield f"{each.kind} {each.name} stands on it"
    nodes = table.nodes | {each.node for each in found}
    for node in catalog.nodes - nodes:
        is_key = node.kind == "constraint" and isinstance(node.name, ColumnName)
        if not is_key and not catalog.needs(node).isdisjoint(nodes):
            yield f"a {node.kind} of another table stands on it"


def _exclusions(old: Table, new: Table) -> list[Constraint]:
    """Return the exclusion constraints that one table has and another one hasn't."""
    found = [each for each in new.constraints.values() if each.type == "x"]
    return [
        each
        for each in found
        if (was := old.constraints.get(each.name)) is None or not constraints.is_kept(was, each)
    ]


def _columns(table: Table) -> set[ColumnName]:
    return {ColumnName(table.name, each.name) for each in table.columns}


def _take_place(way: Way, name: Name) -> None:
    """Go on by a new table, and then without the one in whose place it is."""
    table, after = way.at.tables[name], way.change.after.tables[name]
    names = {place.column for place in way.rebuilt if place.table == name}
    if not names:
        return
    columns = {each.name: each for each in table.columns}
    for each in sorted(names):
        was = columns.get(each)
        columns[each] = replace(after[each], not_null=was is not None and was.not_null)
    parts = {part.name: part for each in names for part in on_column(after, each)}
    again = [parts[each.name] for each in table.parts if each.name in parts]
    _go_on(way, replace(table, columns=tuple(columns.values())).having(*again))


def _exclude(way: Way, name: Name) -> None:
    """Go on by a new table that has the exclusion constraints."""
    wanted = way.change.after.tables[name].constraints.values()
    coming = [each for each in wanted if (name, each.name) in way.excluded]
    if coming:
        _go_on(way, way.at.tables[name].having(*coming))


def _go_on(way: Way, goal: Table) -> None:
    name, before, to = goal.name, way.at, way.with_table(goal)
    for part in _parts(way, name, before, to):
        way.step(to, part)
    back = replace(way, at=to, parts=[], change=replace(way.change, is_downgrade=True, backfills={}))
    for part in reversed(_parts(back, name, to, before)):
        way.step(to, [], part)


def _parts(way: Way, name: Name, before: Catalog, after: Catalog) -> list[Operations]:
    """Return what leads from one schema to another, in which a table has what can't be added to it."""
    old, new = before.tables[name], after.tables[name]
    if _to_write(old, new) or _exclusions(old, new):
        return NewTable(way, old, new).parts()
    return [way.up(before, after)]


class NewTable:
    """A table beside another one, until it takes over its name.

    Args:
        way: so far.
        old: the one that has the name.
        goal: the same with other generated columns or exclusion constraints.
    """

    def __init__(self, way: Way, old: Table, goal: Table) -> None:
        self.way = way
        self.at = way.at
        self.old = old
        self.goal = goal
        taken = _names(way.at, old.name.schema)

        def free(name: str, ending: str) -> str:
            found = temporary_name(name, ending, taken)
            taken.add(found)
            return found

        self.name = Name(old.name.schema, free(old.name.name, "_new"))
        self.keeper = Name(old.name.schema, free(old.name.name, "_kept"))
        self.waiting = Name(old.name.schema, free(old.name.name, "_wait"))
        self.changed = _to_write(old, goal)
        self.exclusions = _exclusions(old, goal)
        pieces = [each for each in goal.parts if isinstance(each, Index) or each.type in _KEYS]
        self.until_then = {each.name: free(each.name, "_new") for each in pieces}
        self.columns = tuple(each.name for each in old.columns if not each.generated)
        self.gone = self._standing()
        self.keys = keys_on(self.at, _columns(old))

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of the primary key."""
        assert self.old.primary_key  # noqa: S101 - one of the objections
        return self.old.primary_key.columns

    @property
    def _sql(self) -> str:
        return sql_name(self.old.name, self.at)

    @property
    def _new(self) -> str:
        return sql_name(self.name, self.at)

    def _standing(self) -> list[Other]:
        own = [each for each in self.at.others.values() if each.table == self.old.name]
        nodes = self.old.nodes | {each.node for each in own}
        return dependents.standing_on(self.at, nodes, own)

    def parts(self) -> list[Operations]:
        """Return what makes it, fills it and lets it take over the name, transaction by transaction."""
        return [self._make(), self._fill(), self._take_over(), *self._looks()]

    # Beside the work of the application

    def _make(self) -> Operations:
        what = (
            "stored generated column otherwise without writing it anew"
            if self.changed
            else "exclusion constraint otherwise without reading all rows"
        )
        text = (
            f"A new table takes the place of {shown(self.old.name, self.at)}: PostgreSQL adds no {what} "
            "while nobody can use it. Until then a trigger keeps the two equal."
        )
        like = self._with(self._picture(self.old))
        full = self._with(self._whole())
        including = " ".join(f"INCLUDING {each}" for each in _LIKE)
        options = f" WITH ({', '.join(self.old.options)})" if self.old.options else ""
        return [
            CommentOp("\n".join(textwrap.wrap(text, _WIDTH, break_on_hyphens=False))),
            SqlOp(f"CREATE TABLE {self._new} (LIKE {self._sql} {including}){options}"),
            closed([self._new], "nobody else may read it before it has its policies"),
            *self.way.up(like, full),
            *self._keep(),
            self._look(),
        ]

    def _with(self, table: Table) -> Catalog:
        return replace(self.at, tables={**self.at.tables, table.name: table})

    def _picture(self, table: Table) -> Table:
        """Return a table as it is beside the old one, without what has an index."""
        found = table.with_constraints(lambda each: each.type in {"c", "n"})
        columns = (self._bare(each) for each in table.columns)
        checks = (replace(each, needs=self._moved(each.needs)) for each in found.constraints.values())
        bare = Table(self.name, tuple(columns), needs=self._moved(table.needs))
        return bare.having(*checks)

    def _bare(self, column: Column) -> Column:
        """Return a column as LIKE makes it; what else is said of it goes over later."""
        found = replace(
            column,
            needs=self._moved(column.needs),
            default_needs=self._moved(column.default_needs),
            identity="",
            sequence=None,
            published_by=frozenset(),
        )
        is_like = column.name not in self.changed
        return replace(found, statistics=None, options=()) if is_like else found

    def _moved(self, needs: Collection[Node]) -> frozenset[Node]:
        """Return what something stands on, with the new table in the place of the old one."""

        def moved(node: Node) -> Node:
            if node.name == self.old.name:
                return replace_name(node, self.name)
            if isinstance(node.name, ColumnName) and node.name.table == self.old.name:
                return Node.part(node.kind, self.name, node.name.column)
            return node

        return frozenset(map(moved, needs))

    def _whole(self) -> Table:
        """Return it as it is filled."""
        keys = (each for each in self.goal.constraints.values() if each.type in _KEYS)
        return self._picture(self.goal).having(
            *(replace(each, name=self.until_then[each.name], needs=self._moved(each.needs)) for each in keys)
        )

    def _keep(self) -> Operations:
        """Return what makes the triggers that keep it equal.

        A row is copied as it is when the statement is over: an application's own trigger may have changed it
        once more. A transaction that sees the table as it was before a row was filled can't see the copy that
        it deletes: to insert it fails then, as it would if somebody else had changed the row.
        """
        name, key = sql_name(self.keeper, self.at), self.key
        conflict = f"ON CONFLICT ON CONSTRAINT {quoted(self.until_then[self._key_name])} DO UPDATE SET"
        sets = [each for each in self.columns if each not in key] or [key[0]]
        columns = quoted_list(self.columns)
        old_row, current = (
            ", ".join(f"{row}.{quoted(each)}" for each in self.columns) for row in ("OLD", "o")
        )
        set_all = ", ".join(f"{quoted(each)} = EXCLUDED.{quoted(each)}" for each in sets)
        is_there = f"EXISTS (SELECT FROM ONLY {self._sql} o WHERE {self._same('o', 'OLD')})"
        insert = f"INSERT INTO {self._new} ({columns})"
        delete = f"DELETE FROM {self._new} n"  # noqa: S608 - quoted names
        sees_later = "current_setting('transaction_isolation') NOT IN ('repeatable read', 'serializable')"
        body = [
            "BEGIN",
            "    IF TG_OP = 'TRUNCATE' THEN",
            f"        IF {sees_later} THEN {delete}; ELSE TRUNCATE {self._new}; END IF;",
            "        RETURN NULL;",
            "    END IF;",
            f"    IF TG_OP <> 'INSERT' AND NOT {is_there} THEN",
            f"        {delete} WHERE {self._same('n', 'OLD')};",
            f"        IF NOT (FOUND OR {sees_later}) THEN",
            f"            {insert} VALUES ({old_row})",
            f"            {conflict} {quoted(key[0])} = EXCLUDED.{quoted(key[0])};",
            f"            {delete} WHERE {self._same('n', 'OLD')};",
            "        END IF;",
            "    END IF;",
            "    IF TG_OP <> 'DELETE' THEN",
            f"        {insert} SELECT {current} FROM ONLY {self._sql} o",  # noqa: S608 - quoted names
            f"        WHERE {self._same('o', 'NEW')}",
            f"        {conflict} {set_all};",
            "    END IF;",
            "    RETURN NULL;",
            "END",
        ]
        # Whoever writes to the old table may have no privileges on the new one.
        how = "SECURITY DEFINER SET search_path FROM CURRENT SET row_security = off"
        said = dollar_quoted("\n" + "\n".join(body) + "\n", "keep")
        found = [SqlOp(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql {how} AS {said}")]
        for trigger, event in zip(
            self._triggers, ("INSERT OR UPDATE OR DELETE ON {} FOR EACH ROW", "TRUNCATE ON {}"), strict=True
        ):
            on = event.replace("{}", self._sql)
            found += [
                SqlOp(f"CREATE TRIGGER {trigger} AFTER {on} EXECUTE FUNCTION {name}()", table=self.old.name),
                SqlOp(f"ALTER TABLE {self._sql} ENABLE ALWAYS TRIGGER {trigger}", table=self.old.name),
            ]
        # It writes with its owner's privileges: nobody else may let it fire.
        return [*found, SqlOp(f"REVOKE ALL ON FUNCTION {name}() FROM PUBLIC")]

    @property
    def _key_name(self) -> str:
        assert self.old.primary_key  # noqa: S101 - one of the objections
        return self.old.primary_key.name

    @property
    def _trigger_names(self) -> tuple[str, str]:
        return self.keeper.name, temporary_name(self.keeper.name, "_all")

    @property
    def _triggers(self) -> tuple[str, str]:
        one, other = map(quoted, self._trigger_names)
        return one, other

    def _same(self, one: str, other: str) -> str:
        return " AND ".join(f"{one}.{quoted(each)} = {other}.{quoted(each)}" for each in self.key)

    def _fill(self) -> Operations:
        """Return what fills it, builds its indexes and compares it with the old one."""
        table = self._whole()
        built: list[ops.MigrateOperation] = []
        for index in self.goal.indexes.values():
            own = replace(index, name=self.until_then[index.name])
            built += indexes.build(own, table, self.at)
        if not built:
            # It is over when no transaction is left that would find the new table without the rows.
            built = [self._wait()]
        return Outside(
            [
                copied(self.old, table, self.columns, self.at),
                *built,
                SqlOp(f"ANALYZE {self._new}", table=self.name),
                SqlOp(
                    do_block(["BEGIN", *self._stop_if_different()]),
                    note="in one look, beside the work of the application: what one has, the other has too",
                ),
            ]
        )

    def _wait(self) -> ops.MigrateOperation:
        column, index = quoted(self.key[0]), quoted(self.waiting.name)
        return SqlOp(
            f"CREATE INDEX CONCURRENTLY {index} ON {self._new} ({column}) WHERE false",
            note="waits for transactions that see the new table as it was before it was filled",
        )

    def _stop_if_different(self) -> list[str]:
        rows = [", ".join(f"{each}.{quoted(column)}" for column in self.columns) for each in ("o", "n")]
        where = f"record_image_ne(ROW({rows[0]}), ROW({rows[1]}))"
        equal = self._same("n", "o")
        written = (each for each in self.columns if self.old[each].identity != "a")
        first = quoted(next(written, self.key[0]))
        said = (
            f"Rows of {self._sql} and of {self._new}, which takes its place, differ: ",
            f"trigger {self._triggers[0]} was disabled for a time. ",
            f"ALTER TABLE {self._sql} ENABLE ALWAYS TRIGGER {self._triggers[0]}; ",
            f"UPDATE {self._sql} SET {first} = {first}; ",  # noqa: S608 - for a reader
            f"DELETE FROM {self._new} n WHERE NOT EXISTS (SELECT FROM {self._sql} o WHERE {equal})",  # noqa: S608
        )
        told = [literal(each.replace("%", "%%")) for each in said]
        return [
            f"    IF EXISTS (SELECT FROM ONLY {self._sql} o FULL JOIN {self._new} n ON {equal}",
            f"        WHERE {where}) THEN",
            f"        RAISE {told[0]}",
            *(f"            {each}" for each in told[1:]),
            "            USING ERRCODE = '23000';",
            "    END IF;",
        ]

    def _look(self) -> SqlOp:
        """Return what stops if the table has what would go with it, and nobody knows."""
        kinds = {True: "index", False: "constraint"}
        known = [f"{kinds[isinstance(each, Index)]} {each.name}" for each in self.old.parts]
        known += [f"the tablespace of {each.name}" for each in self.old.parts if each.tablespace]
        known += [f"constraint {key.name}" for _, key in self.keys]
        known += [f"{each.kind} {each.bare}" for each in self.gone]
        numbered = [each.name for each in self.old.columns if each.identity]
        columns = [each.name for each in self.old.columns]
        lines = self._filled(_LOOK, known=known, columns=columns, numbered=numbered)
        note = "stops if the database has something on the table that no revision knows"
        return SqlOp(do_block(lines), note=note)

    def _filled(self, block: str, **names: Collection[str]) -> list[str]:
        """Return the lines of a block with the names in their places."""
        for key, name in (("old", self._sql), ("new", self._new)):
            block = block.replace(f"{{{key}}}", literal(name))
        for key, found in {"changed": self.changed, **names}.items():
            block = block.replace(f"{{{key}}}", literal(array(sorted(set(found)))))
        return block.strip("\n").split("\n")

    # The exchange

    def _take_over(self) -> Operations:
        """Return the operations of the transaction in which it takes over the name."""
        at, name = self.at, self.old.name
        names = {name, *(owner for owner, _ in self.keys)}
        names |= {key.reference.table for _, key in self.keys}
        names |= {each.table for each in self.gone if each.table and each.table in at.tables}
        shaken = {each.node for each in self._views}
        # What is the table's own goes with it, and comes again as it is here (`belongings`).
        made = [each for each in self.gone if each.table != name]
        own = [each for each in self.gone if each.table == name and not each.needs.isdisjoint(shaken)]
        found: list[ops.MigrateOperation] = [lock_view(each.name) for each in self._views]
        found += [lock(in_order(names, at), at), self._look(), self._stop_at_rows_past(), self._hand_on()]
        found += self.way.up(at, dependents.without(at, [*made, *own]))
        incoming = [(owner, key) for owner, key in self.keys if owner != name]
        found += [constraints.drop_op(key, at.tables[owner], at) for owner, key in incoming]
        found.append(SqlOp(do_block(self._filled(_SAME_OWNER)), table=name))
        found += [self._number(each) for each in self.goal.columns if each.identity]
        found.append(SqlOp(f"DROP TABLE {self._sql}", table=name, note=f"{self._new} has its rows"))
        found.append(SqlOp(f"DROP FUNCTION {sql_name(self.keeper, at)}()"))
        found.append(SqlOp(f"ALTER TABLE {self._new} RENAME TO {quoted(name.name)}", table=name))
        if not self.goal.indexes:
            found.append(SqlOp(f"DROP INDEX {sql_name(self.waiting, at)}", table=name))
        for piece in self.goal.parts:
            if piece.name in self.until_then:
                until_then = replace(piece, name=self.until_then[piece.name])
                found.append(constraints.rename_part_op(name, until_then, piece.name, at))
        for piece in self.goal.constraints.values():
            if piece.type == "n" and self.changed.issuperset(piece.columns):
                found.append(named_by_column(piece.name, self.goal, piece.columns[0], self._sql))
        reached = self._with(self.goal)
        bare = dependents.without(reached, made)
        found += self.way.up(bare, dependents.with_again(bare, made, at))
        found += [op for owner, key in self.keys for op in self._add_key(owner, key)]
        return [*found, self._hand_on()]

    def _stop_at_rows_past(self) -> SqlOp:
        """Return what compares both once more, if something may have been written past the trigger."""
        function = literal(f"{sql_name(self.keeper, self.at)}()")
        inner = [f"    {each}" for each in self._stop_if_different()]
        lines = [
            "BEGIN",
            f"    IF EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = {function}::regprocedure",
            "        WHERE tgfoid = p.oid AND (t.xmin <> p.xmin OR tgenabled <> 'A')) THEN",
            *inner,
            "    END IF;",
        ]
        note = "stops if something was written past a trigger; only where that can be any row is looked at"
        return SqlOp(do_block(lines), note=note)

    def _number(self, column: Column) -> SqlOp:
        """Return what lets a column's numbers go on where those of the old one stand."""
        assert column.sequence  # noqa: S101 - an identity column has one
        sequence, name = sql_name(column.sequence, self.at), quoted(column.name)
        head, _, options = identity_sql(column, self.at).partition(" (")
        said = f"SEQUENCE NAME {sequence} {options.removesuffix(')')}".strip()
        as_it_is = self.at.sequences[column.sequence]
        note, again = made_its_own(as_it_is, as_it_is, sequence)
        lines = [
            "DECLARE value bigint; called boolean; its text; BEGIN",
            f"    SELECT last_value, is_called INTO value, called FROM {sequence};",  # noqa: S608 - quoted names
            *note,
            f"    ALTER TABLE {self._sql} ALTER COLUMN {name} DROP IDENTITY;",
            f"    ALTER TABLE {self._new} ALTER COLUMN {name} ADD {head} ({said});",
            *again,
            f"    PERFORM setval({literal(sequence)}, value, called);",
        ]
        return SqlOp(do_block(lines), table=self.old.name)

    def _hand_on(self) -> SqlOp:
        """Return what notes all that the table has, and lets the new one have it under the same names."""
        parts = [part.name for each in self.changed for part in on_column(self.goal, each)]
        parts += [each.name for each in self.exclusions]
        names = [self._sql, *(each.name for each in self._views)]
        return handed_on(names, {*self.changed, *parts, *self._trigger_names})

    @property
    def _views(self) -> list[Other]:
        return [each for each in self.gone if each.kind == "view"]

    def _add_key(self, owner: Name, key: Constraint) -> Iterator[ops.MigrateOperation]:
        """Yield what adds a foreign key for new rows; for those that are there, the old one held."""
        table = self.at.tables[owner]
        if not _is_looked_at(key):
            yield from constraints.added(key, table, self.at)
        elif table.partition_key:
            yield foreign_keys.added_to_partitions(key, table, self.at)
        else:
            yield constraints.not_valid_op(key, table, self.at)

    def _looks(self) -> list[Operations]:
        """Return what looks at all rows for what could only be added with the exchange."""
        found: list[Operations] = []
        for owner, key in self.keys:
            if _is_looked_at(key):
                found += foreign_keys.looks(key, self.at.tables[owner], self.at)
        if any(each.kind == "statistics" for each in self.gone):
            found.append(Outside([SqlOp(f"ANALYZE {self._sql}", table=self.old.name)]))
        return found


def _is_looked_at(key: Constraint) -> bool:
    return key.validated and not key.is_not_enforced


def replace_name(node: Node, name: Name) -> Node:
    """Return the same kind of object with another name."""
    return Node(node.kind, name)


def _names(catalog: Catalog, schema: str) -> set[str]:
    """Return the names of relations, types and functions of a schema."""
    found = {
        each.name
        for each in (*catalog.tables, *catalog.sequences, *catalog.enums, *catalog.domains)
        if each.schema == schema
    }
    for table in catalog.tables.values():
        found |= {*table.indexes, *table.constraints}
    return found | {each.bare for each in catalog.others.values()}


STAGES = (
    TableStage("stored columns", _take_place, ["functions that parts call"]),
    TableStage("constraints", _exclude, ["constraints on the table"]),
)
