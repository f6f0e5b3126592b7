"""Publications that name columns, in a list or a filter: PostgreSQL lets such a column neither change nor go.

Which publications there are, each database says for itself. They leave the table out, and take it in again
with the same list and filter, in the transaction in which the column changes, or another one gets its name.
"""

from collections.abc import Collection

from plinth.autogenerate.change.quoting import dollar_quoted, literal, sql_name
from plinth.autogenerate.change.steps import SqlOp
from plinth.catalog.picture import Catalog, ColumnName

_SAID = "plinth.published"  # what takes the tables in again, until the transaction ends
_UNPUBLISH = """
DECLARE it record; said text := ''; BEGIN
    IF current_setting('server_version_num')::int < 150000 THEN RETURN; END IF;  -- no columns there
    FOR it IN
        SELECT quote_ident(pubname) AS publication, prrelid::regclass AS published,
            ' WHERE (' || pg_get_expr(prqual, prrelid) || ')' AS filter,
            (SELECT ' (' || string_agg(quote_ident(attname), ', ' ORDER BY attnum) || ')'
             FROM pg_attribute WHERE attrelid = prrelid AND attnum = ANY (prattrs)) AS listed
        FROM pg_publication_rel r JOIN pg_publication p ON p.oid = prpubid WHERE r.oid IN (
            SELECT objid FROM pg_depend JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
            WHERE classid = 'pg_publication_rel'::regclass AND refclassid = 'pg_class'::regclass
                AND (attrelid, attname) IN ({places}))
    LOOP
        said := format('%s ALTER PUBLICATION %s ADD TABLE ONLY %s%s%s;',
            said, it.publication, it.published, it.listed, it.filter);
        EXECUTE format('ALTER PUBLICATION %s DROP TABLE ONLY %s', it.publication, it.published);
    END LOOP;
    PERFORM set_config('{said}', said, true);
END
"""
_PUBLISH = f"""
DO $$ DECLARE said text := current_setting('{_SAID}', true); BEGIN
    IF said <> '' THEN EXECUTE said; END IF;
END $$
"""


def unpublish(places: Collection[ColumnName], catalog: Catalog) -> SqlOp:
    """Return what takes tables out of the publications that name some of their columns."""
    listed = ", ".join(
        f"({literal(sql_name(each.table, catalog))}::regclass, {literal(each.column)})"
        for each in sorted(places)
    )
    body = _UNPUBLISH.format(places=listed, said=_SAID).strip()
    return SqlOp(f"DO {dollar_quoted(f' {body} ')}")


def publish() -> SqlOp:
    """Return what takes them in again, with columns and filters of the same names."""
    return SqlOp(_PUBLISH.strip())
