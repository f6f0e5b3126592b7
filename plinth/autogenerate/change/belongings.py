"""What a database has on tables, whoever made it: it is there again when others, or columns, take the place.

Models don't say it all, and each database may have more: comments, settings, privileges, policies, triggers.
PostgreSQL's own dependencies (pg_depend) tell what belongs to a table, and what stands on its columns. All of
it is noted as the statements that make it, before the exchange. After it everything has its old name again:
what is missing is made by these statements. What isn't made in a moment (an index, a view of a view) is noted
by its name. What is missing still stops the exchange by name.
"""

from collections.abc import Collection

from plinth.autogenerate.change.guards import without_guard
from plinth.autogenerate.change.quoting import do_block, literal
from plinth.autogenerate.change.steps import SqlOp

NOTED = "plinth.had"  # the statements, until they are executed or the transaction ends
_LOCKS = "locks the view before its tables, as queries do"
# What is said comes in the order of places: what is made may have a state, and all of it a comment. What a
# revision has made under its name goes before (`away`). A publication has no list and no filter before
# PostgreSQL 15. An heir has no trigger that would keep its columns equal: it is never found again.
_PUT_BACK = r"""
DECLARE
    had text[] := nullif(current_setting('{noted}', true), ''); has text[]; away text[]; each text;
    why text := '';
BEGIN
    PERFORM set_config('jit', 'off', true);  -- while nobody can use the tables
    FOR turn IN 1..3 LOOP
        WITH RECURSIVE own (class, id) AS (
            SELECT 'pg_class'::regclass::oid, its::oid FROM unnest({tables}::regclass[]) its
            UNION SELECT 'pg_constraint'::regclass, oid FROM pg_constraint
            WHERE confrelid = ANY ({tables}::regclass[])
            UNION SELECT classid, objid FROM own JOIN pg_depend ON (refclassid, refobjid) = (class, id)
            WHERE deptype IN ('a', 'i')
        ), relations AS (
            SELECT c.*, format('ALTER TABLE ONLY %s ', oid::regclass) AS alter
            FROM own JOIN pg_class c ON oid = id
            WHERE class = 'pg_class'::regclass AND relname <> ALL ({but}::text[])
        ), columns AS (
            SELECT a.*, relowner, format('%sALTER %I ', alter, attname) AS alter
            FROM relations r JOIN pg_attribute a ON attrelid = r.oid
            WHERE relkind IN ('r', 'p', 'v', 'm') AND attnum > 0 AND NOT attisdropped
                AND attname <> ALL ({but}::text[])
        ), said (place, what, name, away) AS (
            SELECT 1, {unguarded}, tgname,
                format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass)
            FROM own JOIN pg_trigger t ON (class, id) = (t.tableoid, t.oid), pg_get_triggerdef(t.oid) def
            WHERE NOT tgisinternal AND tgparentid = 0
            UNION ALL SELECT 1, pg_get_ruledef(oid), rulename,
                format('DROP RULE %I ON %s', rulename, ev_class::regclass)
            FROM own JOIN pg_rewrite ON (class, id) = (tableoid, oid) WHERE rulename <> '_RETURN'
            UNION ALL SELECT 1, concat('CREATE OR REPLACE VIEW ', oid::regclass, ' WITH ('
                || array_to_string(reloptions, ', ') || ')', ' AS ', pg_get_viewdef(oid)), relname, NULL
            FROM relations WHERE relkind = 'v'
            UNION ALL SELECT 1, pg_get_statisticsobjdef(s.oid), stxname,
                format('DROP STATISTICS %I.%I', nspname, stxname)
            FROM own JOIN pg_statistic_ext s ON (class, id) = (s.tableoid, s.oid)
            JOIN pg_namespace n ON n.oid = stxnamespace
            UNION ALL SELECT 1, concat('CREATE POLICY ', quote_ident(polname), ' ON ', polrelid::regclass,
                CASE WHEN NOT polpermissive THEN ' AS RESTRICTIVE' END, ' FOR ',
                CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                    WHEN 'd' THEN 'DELETE' ELSE 'ALL' END, ' TO ',
                (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END,
                    ', ') FROM unnest(polroles) r), ' USING (' || pg_get_expr(polqual, polrelid) || ')',
                ' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')'),
                polname, format('DROP POLICY %I ON %s', polname, polrelid::regclass)
            FROM own JOIN pg_policy ON (class, id) = (tableoid, oid)
            UNION ALL SELECT CASE WHEN said ~ '^OWNER' THEN 0 ELSE 2 END, alter || said, NULL, NULL
            FROM relations r LEFT JOIN pg_class t ON t.oid = r.reltoastrelid, LATERAL (VALUES
                ('OWNER TO ' || quote_ident(pg_get_userbyid(r.relowner))),
                ('SET (' || array_to_string(r.reloptions, ', ') || ')'),
                ('SET (toast.' || array_to_string(t.reloptions, ', toast.') || ')'),
                (CASE WHEN r.relrowsecurity THEN 'ENABLE ROW LEVEL SECURITY' END),
                (CASE WHEN r.relforcerowsecurity THEN 'FORCE ROW LEVEL SECURITY' END),
                ('REPLICA IDENTITY ' || CASE r.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' END)
            ) it (said) WHERE r.relkind IN ('r', 'p', 'v', 'm')
            UNION ALL SELECT 2, alter || said, NULL, NULL
            FROM columns JOIN pg_type t ON t.oid = atttypid, LATERAL (VALUES
                ('SET STATISTICS ' || nullif(attstattarget, -1)),
                ('SET (' || array_to_string(attoptions, ', ') || ')'),
                ('SET STORAGE ' || CASE nullif(attstorage, typstorage) WHEN 'p' THEN 'PLAIN'
                    WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' WHEN 'x' THEN 'EXTENDED' END),
                ('SET COMPRESSION ' || CASE attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END)
            ) it (said)
            UNION ALL SELECT 2, said, NULL, NULL FROM pg_index i JOIN relations r ON r.oid = indexrelid
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
                    ELSE 'ENABLE ALWAYS' END, kind, its), its, NULL
            FROM own JOIN (
                SELECT tableoid, oid, tgrelid, 'TRIGGER', tgname, tgenabled
                FROM pg_trigger WHERE NOT tgisinternal
                UNION ALL SELECT tableoid, oid, ev_class, 'RULE', rulename, ev_enabled FROM pg_rewrite
            ) it (tableoid, oid, relation, kind, its, state) ON (class, id) = (tableoid, oid)
            WHERE state <> 'O' AND its <> ALL ({but}::text[])
            UNION ALL SELECT 2, format('ALTER STATISTICS %I.%I ', nspname, stxname) || said, NULL, NULL
            FROM own JOIN pg_statistic_ext s ON (class, id) = (s.tableoid, s.oid)
            JOIN pg_namespace n ON n.oid = stxnamespace, LATERAL (VALUES
                ('OWNER TO ' || quote_ident(pg_get_userbyid(stxowner))),
                ('SET STATISTICS ' || nullif(stxstattarget, -1))) it (said)
            UNION ALL SELECT 2, format('ALTER SEQUENCE %s OWNED BY %s.%I', r.oid::regclass,
                refobjid::regclass, attname), NULL, NULL
            FROM relations r JOIN pg_depend ON (classid, objid) = ('pg_class'::regclass, r.oid)
            JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
            WHERE relkind = 'S' AND deptype = 'a'
            UNION ALL SELECT 1, concat('ALTER PUBLICATION ', quote_ident(p.pubname), ' ADD TABLE ONLY ',
                prrelid::regclass, CASE WHEN to_jsonb(m) ->> 'prattrs' <> '' THEN (
                    SELECT ' (' || string_agg(quote_ident(listed), ', ') || ')'
                    FROM jsonb_array_elements_text(to_jsonb(t) -> 'attnames') it (listed)) END,
                ' WHERE (' || (to_jsonb(t) ->> 'rowfilter') || ')'), NULL,
                format('ALTER PUBLICATION %I DROP TABLE ONLY %s', p.pubname, prrelid::regclass)
            FROM own JOIN pg_publication_rel m ON (class, id) = (m.tableoid, m.oid)
            JOIN pg_publication p ON p.oid = prpubid LEFT JOIN pg_publication_tables t
                ON t.pubname = p.pubname AND format('%I.%I', schemaname, tablename)::regclass = prrelid
            UNION ALL SELECT 2, format('GRANT %s%s ON %s%s TO %s%s', privilege_type, part, kind,
                relation::regclass,
                CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
                CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END), NULL, NULL
            FROM (
                SELECT oid, relowner, '', CASE relkind WHEN 'S' THEN 'SEQUENCE ' END, relacl FROM relations
                WHERE relkind IN ('r', 'p', 'v', 'm', 'S')
                UNION ALL SELECT attrelid, relowner, format(' (%I)', attname), '', attacl FROM columns
            ) it (relation, owner, part, kind, acl), aclexplode(acl) WHERE grantee <> owner
            UNION ALL SELECT 3, concat(said, ' ON ',
                regexp_replace(i.type, '^(table|(materialized )?view) (?=co)| object$', '', 'g'), ' ',
                i.identity, ' IS ', quote_literal(it.text)), NULL, NULL
            FROM own, LATERAL (
                SELECT 'COMMENT', objsubid, description FROM pg_description
                WHERE (classoid, objoid) = (class, id)
                UNION ALL SELECT 'SECURITY LABEL FOR ' || quote_ident(provider), objsubid, label
                FROM pg_seclabel WHERE (classoid, objoid) = (class, id)
            ) it (said, part, text), pg_identify_object(class, id, part) i,
            pg_identify_object_as_address(class, id, part) a
            WHERE a.object_names[cardinality(a.object_names)] <> ALL ({but}::text[])
            UNION ALL SELECT 4, concat(replace(pg_describe_object(class, id, part), 'rule _RETURN on ', ''),
                ' on ', its), NULL, NULL
            FROM (
                SELECT classid, objid, objsubid, format('%s.%I', attrelid::regclass, attname), attname
                FROM columns JOIN pg_depend ON (refobjid, refobjsubid) = (attrelid, attnum)
                WHERE refclassid = 'pg_class'::regclass
                UNION ALL SELECT 'pg_class'::regclass, indexrelid, 0, r.oid::regclass::text, relname
                FROM relations r JOIN pg_index ON indrelid = r.oid WHERE relkind = 'm'
            ) it (class, id, part, its, attname)
            LEFT JOIN pg_constraint k ON (class, id) = (k.tableoid, k.oid),
            pg_identify_object_as_address(class, id, part) a
            WHERE contype IS DISTINCT FROM 'n' AND NOT a.object_names && {but}::text[]
                AND (class <> 'pg_attrdef'::regclass
                    OR a.object_names[cardinality(a.object_names)] <> attname)
            UNION ALL SELECT 4, format('table %s on %s', inhrelid::regclass, oid::regclass), NULL, NULL
            FROM relations JOIN pg_inherits ON inhparent = oid WHERE relkind = 'r' AND had IS NULL
            UNION ALL SELECT 5, concat('the query of materialized view ', oid::regclass, pg_get_viewdef(oid)),
                relname, NULL
            FROM relations WHERE relkind = 'm'
            UNION ALL SELECT 5, format('the %s of %s.%I', said, attrelid::regclass, attname), attname, NULL
            FROM columns LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum), LATERAL (
                VALUES (CASE WHEN attnotnull AND attidentity = '' THEN 'NOT NULL' END),
                    ('default ' || regexp_replace(pg_get_expr(adbin, adrelid),
                        '::[\w." ]+(\([\d,]+\))?(\[\])?|[()'']', '', 'g'))
            ) it (said)
            WHERE said <> '' AND attgenerated = ''
        ) SELECT coalesce(array_agg(what ORDER BY place, what), '{}'),
            array_agg(said.away) FILTER (WHERE said.away <> '' AND what <> ALL (had))
        INTO has, away FROM said
        WHERE what IS NOT NULL AND coalesce(name <> ALL ({but}::text[]), true)
            AND (place NOT IN (1, 5) OR coalesce(name <> ALL ({changed}::text[]), true));
        IF had IS NULL THEN
            PERFORM set_config('{noted}', has::text, true);
            RETURN;
        END IF;
        IF turn = 1 THEN
            FOREACH each IN ARRAY coalesce(away, '{}') LOOP EXECUTE each; END LOOP;
        END IF;
        FOR each IN SELECT it FROM unnest(had) WITH ORDINALITY AS l (it, n)
            WHERE it NOT IN (SELECT unnest(has)) ORDER BY n LOOP
            CONTINUE WHEN turn > 1 AND each ~ '^(CREATE|ALTER PUBLICATION) ' OR turn < 3 AND each !~ '^[A-Z]';
            BEGIN
                IF turn < 3 THEN
                    EXECUTE each;
                    CONTINUE;
                END IF;
            EXCEPTION WHEN syntax_error_or_access_rule_violation OR feature_not_supported THEN
                why := format(' (%s)', SQLERRM);
            END;
            RAISE '% is lost when another one takes the place%. Take it back, run the same command '
                'again, and do it anew then.', each, why USING ERRCODE = '55000';
        END LOOP;
        EXIT WHEN NOT FOUND;
    END LOOP;
    PERFORM set_config('{noted}', '', true);
"""
_LONG = 40  # characters of names in a line before a further one
_BREAK = "\n" + 12 * " "


def handed_on(tables: Collection[str], but: Collection[str], changed: Collection[str] = ()) -> SqlOp:
    """Return what notes all that tables and views have when it runs first, and then puts it back.

    Args:
        tables: their names, as SQL has them.
        but: the names of columns, indexes, constraints, triggers and the like of which it isn't put back.
        changed: the names of those that are made as they should be by then: what is said of them is put back.
    """
    block = _PUT_BACK.replace("{noted}", NOTED).replace("{unguarded}", without_guard("def"))
    for word, found in (("tables", tables), ("but", but), ("changed", changed)):
        block = block.replace(f"{{{word}}}", literal(array(sorted(set(found)))))
    return SqlOp(do_block(block.strip("\n").split("\n")))


def lock_view(view: str) -> SqlOp:
    """Return what locks a view, as queries do before its tables; LOCK TABLE would lock all of those, too."""
    owner = f"(SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = {literal(view)}::regclass)"  # noqa: S608
    statement = literal(f"ALTER VIEW {view.replace('%', '%%')} OWNER TO %I")
    return SqlOp(do_block([f"BEGIN EXECUTE format({statement}, {owner});"]), note=_LOCKS)


def array(names: Collection[str]) -> str:
    """Return names as a literal of an array has them."""
    found, length = "", 0
    for each in names:
        escaped = each.replace("\\", "\\\\").replace('"', '\\"')
        is_long = length > _LONG  # what stands between names counts for nothing
        found += f'{"," * bool(found)}{_BREAK * is_long}"{escaped}"'
        length = len(escaped) + (0 if is_long else length)
    return f"{{{found}}}"
