"""What a database has on tables, whoever made it: it is there again when another one takes the place.

Models don't say it all, and each database may have more: comments, settings, privileges, policies, triggers.
PostgreSQL's own dependencies (pg_depend) tell what belongs to a table. All of it is noted as the statements
that make it, before the exchange. After it everything has its old name again: what is missing is made by
these statements, and what is missing still stops the exchange by name.
"""

from collections.abc import Collection, Sequence

from plinth.autogenerate.change.quoting import do_block, literal, sql_name
from plinth.autogenerate.change.steps import SqlOp
from plinth.catalog.picture import Catalog, Name

NOTED = "plinth.had"  # the statements, until they are executed or the transaction ends
_LOCKS = "locks the view before its tables, as queries do"
# What is said comes in the order of places: what is made may have a state, and all of it a comment. A
# publication has no list and no filter before PostgreSQL 15.
_PUT_BACK = """
DECLARE had text[] := nullif(current_setting('{noted}', true), ''); has text[]; each text; BEGIN
    FOR turn IN 1..2 LOOP
        WITH RECURSIVE own (class, id) AS (
            SELECT 'pg_class'::regclass::oid, its::oid FROM unnest({tables}::regclass[]) its
            UNION SELECT 'pg_constraint'::regclass, oid FROM pg_constraint
            WHERE confrelid = ANY ({tables}::regclass[])
            UNION SELECT classid, objid FROM own JOIN pg_depend ON (refclassid, refobjid) = (class, id)
            WHERE deptype IN ('a', 'i')
        ), relations AS (
            SELECT c.*, format('ALTER TABLE %s ', oid::regclass) AS alter
            FROM own JOIN pg_class c ON oid = id
            WHERE class = 'pg_class'::regclass AND relname <> ALL ({but}::text[])
        ), columns AS (
            SELECT a.*, relowner, format('%sALTER %I ', alter, attname) AS alter
            FROM relations r JOIN pg_attribute a ON attrelid = r.oid
            WHERE relkind IN ('r', 'v') AND attnum > 0 AND NOT attisdropped
                AND attname <> ALL ({but}::text[])
        ), said (place, what) AS (
            SELECT 1, pg_get_triggerdef(t.oid)
            FROM own JOIN pg_trigger t ON (class, id) = (t.tableoid, t.oid)
            JOIN relations r ON r.oid = tgrelid
            WHERE relkind = 'r' AND NOT tgisinternal AND tgname <> ALL ({but}::text[])
            UNION ALL SELECT 1, pg_get_ruledef(e.oid)
            FROM own JOIN pg_rewrite e ON (class, id) = (e.tableoid, e.oid)
            JOIN relations r ON r.oid = ev_class
            WHERE relkind = 'r'
            UNION ALL SELECT 1, pg_get_statisticsobjdef(oid)
            FROM own JOIN pg_statistic_ext ON (class, id) = (tableoid, oid)
            UNION ALL SELECT 1, concat('CREATE POLICY ', quote_ident(polname), ' ON ', polrelid::regclass,
                CASE WHEN NOT polpermissive THEN ' AS RESTRICTIVE' END, ' FOR ',
                CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                    WHEN 'd' THEN 'DELETE' ELSE 'ALL' END, ' TO ',
                (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END,
                    ', ') FROM unnest(polroles) r), ' USING (' || pg_get_expr(polqual, polrelid) || ')',
                ' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')')
            FROM own JOIN pg_policy ON (class, id) = (tableoid, oid)
            UNION ALL SELECT CASE WHEN said ~ '^OWNER' THEN 0 ELSE 2 END, alter || said
            FROM relations r LEFT JOIN pg_class t ON t.oid = r.reltoastrelid, LATERAL (VALUES
                ('OWNER TO ' || quote_ident(pg_get_userbyid(r.relowner))),
                ('SET (' || array_to_string(r.reloptions, ', ') || ')'),
                ('SET (toast.' || array_to_string(t.reloptions, ', toast.') || ')'),
                (CASE WHEN r.relrowsecurity THEN 'ENABLE ROW LEVEL SECURITY' END),
                (CASE WHEN r.relforcerowsecurity THEN 'FORCE ROW LEVEL SECURITY' END),
                ('REPLICA IDENTITY ' || CASE r.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' END)
            ) it (said) WHERE r.relkind IN ('r', 'v')
            UNION ALL SELECT 2, alter || said
            FROM columns JOIN pg_type t ON t.oid = atttypid, LATERAL (VALUES
                ('SET STATISTICS ' || nullif(attstattarget, -1)),
                ('SET (' || array_to_string(attoptions, ', ') || ')'),
                ('SET STORAGE ' || CASE nullif(attstorage, typstorage) WHEN 'p' THEN 'PLAIN'
                    WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' WHEN 'x' THEN 'EXTENDED' END),
                ('SET COMPRESSION ' || CASE attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END)
            ) it (said)
            UNION ALL SELECT 2, said FROM pg_index i JOIN relations r ON r.oid = indexrelid
            JOIN relations t ON t.oid = indrelid, LATERAL (
                VALUES (format('ALTER INDEX %s SET (', r.oid::regclass)
                        || array_to_string(r.reloptions, ', ') || ')'),
                    (CASE WHEN indisreplident THEN
                        format('%sREPLICA IDENTITY USING INDEX %I', t.alter, r.relname) END),
                    (CASE WHEN indisclustered THEN format('%sCLUSTER ON %I', t.alter, r.relname) END)
                UNION ALL SELECT format('ALTER INDEX %s ALTER %s SET STATISTICS ', attrelid::regclass, attnum)
                    || nullif(attstattarget, -1) FROM pg_attribute WHERE attrelid = r.oid
            ) it (said)
            UNION ALL SELECT 2, format('ALTER TABLE %s %s %s %I', relation::regclass,
                CASE state WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA'
                    ELSE 'ENABLE ALWAYS' END, kind, name)
            FROM own JOIN (
                SELECT tableoid, oid, tgrelid, 'TRIGGER', tgname, tgenabled
                FROM pg_trigger WHERE NOT tgisinternal
                UNION ALL SELECT tableoid, oid, ev_class, 'RULE', rulename, ev_enabled FROM pg_rewrite
            ) it (tableoid, oid, relation, kind, name, state) ON (class, id) = (tableoid, oid)
            WHERE state <> 'O' AND name <> ALL ({but}::text[])
            UNION ALL SELECT 2, format('ALTER STATISTICS %I.%I ', nspname, stxname) || said
            FROM own JOIN pg_statistic_ext s ON (class, id) = (s.tableoid, s.oid)
            JOIN pg_namespace n ON n.oid = stxnamespace, LATERAL (VALUES
                ('OWNER TO ' || quote_ident(pg_get_userbyid(stxowner))),
                ('SET STATISTICS ' || nullif(stxstattarget, -1))) it (said)
            UNION ALL SELECT 2, format('ALTER SEQUENCE %s OWNED BY %s.%I', r.oid::regclass,
                refobjid::regclass, attname)
            FROM relations r JOIN pg_depend ON (classid, objid) = ('pg_class'::regclass, r.oid)
            JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
            WHERE relkind = 'S' AND deptype = 'a'
            UNION ALL SELECT 2, concat('ALTER PUBLICATION ', quote_ident(p.pubname), ' ADD TABLE ONLY ',
                prrelid::regclass, CASE WHEN to_jsonb(m) ->> 'prattrs' <> '' THEN (
                    SELECT ' (' || string_agg(quote_ident(listed), ', ') || ')'
                    FROM jsonb_array_elements_text(to_jsonb(t) -> 'attnames') it (listed)) END,
                ' WHERE (' || (to_jsonb(t) ->> 'rowfilter') || ')')
            FROM own JOIN pg_publication_rel m ON (class, id) = (m.tableoid, m.oid)
            JOIN pg_publication p ON p.oid = prpubid JOIN pg_publication_tables t
                ON t.pubname = p.pubname AND format('%I.%I', schemaname, tablename)::regclass = prrelid
            UNION ALL SELECT 2, format('GRANT %s%s ON %s%s TO %s%s', privilege_type, part, kind,
                relation::regclass,
                CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
                CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END)
            FROM (
                SELECT oid, relowner, '', CASE relkind WHEN 'S' THEN 'SEQUENCE ' END, relacl FROM relations
                WHERE relkind IN ('r', 'v', 'S')
                UNION ALL SELECT attrelid, relowner, format(' (%I)', attname), '', attacl FROM columns
            ) it (relation, owner, part, kind, acl), aclexplode(acl) WHERE grantee <> owner
            UNION ALL SELECT 3, concat(said, ' ON ',
                regexp_replace(i.type, '^(table|view) (?=co)| object$', '', 'g'), ' ', i.identity,
                ' IS ', quote_literal(it.text))
            FROM own, LATERAL (
                SELECT 'COMMENT', objsubid, description FROM pg_description
                WHERE (classoid, objoid) = (class, id)
                UNION ALL SELECT 'SECURITY LABEL FOR ' || quote_ident(provider), objsubid, label
                FROM pg_seclabel WHERE (classoid, objoid) = (class, id)
            ) it (said, part, text), pg_identify_object(class, id, part) i,
            pg_identify_object_as_address(class, id, part) a
            WHERE a.object_names[cardinality(a.object_names)] <> ALL ({but}::text[])
        ) SELECT coalesce(array_agg(what ORDER BY place, what), '{}') INTO has FROM said
        WHERE what IS NOT NULL;
        IF had IS NULL THEN
            PERFORM set_config('{noted}', has::text, true);
            RETURN;
        END IF;
        FOREACH each IN ARRAY had LOOP
            CONTINUE WHEN each = ANY (has) OR turn = 2 AND each LIKE 'CREATE %';
            IF turn = 2 THEN
                RAISE '% is lost when another one takes the place. Take it back, run the same '
                    'command again, and do it anew then.', each USING ERRCODE = '55000';
            END IF;
            EXECUTE each;
        END LOOP;
    END LOOP;
    PERFORM set_config('{noted}', '', true);
"""
_LONG = 40  # characters of names in a line before a further one
_BREAK = "\n" + 12 * " "


def handed_on(tables: Collection[str], but: Collection[str]) -> SqlOp:
    """Return what notes all that tables and views have when it runs first, and then puts it back.

    Args:
        tables: their names, as SQL has them.
        but: the names of columns, indexes, constraints and triggers of which it isn't put back.
    """
    block = _PUT_BACK.replace("{noted}", NOTED)
    for word, found in (("tables", tables), ("but", but)):
        block = block.replace(f"{{{word}}}", literal(array(sorted(set(found)))))
    return SqlOp(do_block(block.strip("\n").split("\n")))


def lock(names: Sequence[Name], catalog: Catalog) -> SqlOp:
    """Return what locks tables, always in the same order: what is referred to first, as applications do."""
    tables = ", ".join(sql_name(each, catalog) for each in names)
    return SqlOp(
        f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE",
        note="all at once, in a transaction that changes the catalog only" if len(names) > 1 else None,
    )


def closed(relations: Sequence[str], note: str) -> SqlOp:
    """Return what lets nobody but its owner use a relation that is new, whoever may by default.

    Args:
        relations: their names in SQL.
        note: why.
    """
    names = [f"{literal(each)}::regclass" for each in relations]
    which = f"= {names[0]}" if len(names) == 1 else f"IN ({', '.join(names)})"
    lines = [
        "DECLARE said text; BEGIN",
        "    FOR said IN",
        "        SELECT DISTINCT format('REVOKE ALL ON %s FROM %s', oid::regclass,",
        "            CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END)",
        f"        FROM pg_class, aclexplode(relacl) WHERE oid {which} AND grantee <> relowner",
        "    LOOP EXECUTE said; END LOOP;",
    ]
    return SqlOp(do_block(lines), note=note)


def lock_view(view: str) -> SqlOp:
    """Return what locks a view, as queries do before its tables; LOCK TABLE would lock all of those, too.

    Its owner stays: in two parts it doesn't read as a statement that gives it another one (`apply.grants`).
    """
    owner = "(SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class "
    owner += f"WHERE oid = {literal(view)}::regclass)"
    return SqlOp(
        do_block([f"BEGIN EXECUTE {literal(f'ALTER VIEW {view} ')} || 'OWNER TO ' || {owner};"]), note=_LOCKS
    )


def array(names: Collection[str]) -> str:
    """Return names as a literal of an array has them."""
    found, length = "", 0
    for each in names:
        escaped = each.replace("\\", "\\\\").replace('"', '\\"')
        is_long = length > _LONG  # what stands between names counts for nothing
        found += f'{"," * bool(found)}{_BREAK * is_long}"{escaped}"'
        length = len(escaped) + (0 if is_long else length)
    return f"{{{found}}}"
