"""partitions to bigint to the shop

Revision ID: 20260101000001
Revises: 20260101000000
Create Date: 2026-01-01 00:00:00

Change: 20260101000001, step 1 of 2
"""

import sqlalchemy as sa
from alembic import op

revision = "20260101000001"
down_revision = "20260101000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # text() would take a colon in a name for a parameter: a backslash stands before it
    partitions = sa.text(
        """
        SELECT replace(oid::regclass::text, ':', '\\\\:'),
            replace(quote_ident(CASE WHEN octet_length(n) < 64 THEN n ELSE left(n, 7) || md5(n) END),
                ':', '\\\\:')
        FROM pg_class, concat(relname, '_', CAST(:ending AS text)) n
        WHERE relkind = 'r'
            AND oid IN (SELECT relid FROM pg_partition_tree(CAST(:table AS regclass)) WHERE isleaf)
        ORDER BY oid
        """
    )
    hand_on = (
        "DO $$ DECLARE\n"
        "    had text[] := nullif(current_setting('plinth.had', true), ''); has text[]; away "
        "text[]; each text;\n"
        "    why text := '';\n"
        "BEGIN\n"
        "    PERFORM set_config('jit', 'off', true);  -- while nobody can use the tables\n"
        "    FOR turn IN 1..3 LOOP\n"
        "        WITH RECURSIVE own (class, id) AS (\n"
        "            SELECT 'pg_class'::regclass::oid, its::oid FROM unnest('{\"views\"}'::regclass[]) its\n"
        "            UNION SELECT 'pg_constraint'::regclass, oid FROM pg_constraint\n"
        "            WHERE confrelid = ANY ('{\"views\"}'::regclass[])\n"
        "            UNION SELECT classid, objid FROM own JOIN pg_depend ON (refclassid, refobjid) "
        "= (class, id)\n"
        "            WHERE deptype IN ('a', 'i')\n"
        "        ), relations AS (\n"
        "            SELECT c.*, format('ALTER TABLE ONLY %s ', oid::regclass) AS alter\n"
        "            FROM own JOIN pg_class c ON oid = id\n"
        "            WHERE class = 'pg_class'::regclass AND relname <> ALL "
        '(\'{"ck_views_post_is_known_new","fk_views_post_new",\n'
        '            "ix_views_day_post_id_new","pk_views_new","post_id_new",\n'
        '            "views_post_id_new","views_post_id_new_required"}\'::text[])\n'
        "        ), columns AS (\n"
        "            SELECT a.*, relowner, format('%sALTER %I ', alter, attname) AS alter\n"
        "            FROM relations r JOIN pg_attribute a ON attrelid = r.oid\n"
        "            WHERE relkind IN ('r', 'p', 'v', 'm') AND attnum > 0 AND NOT attisdropped\n"
        '                AND attname <> ALL (\'{"ck_views_post_is_known_new","fk_views_post_new",\n'
        '            "ix_views_day_post_id_new","pk_views_new","post_id_new",\n'
        '            "views_post_id_new","views_post_id_new_required"}\'::text[])\n'
        "        ), said (place, what, name, away) AS (\n"
        "            SELECT 1, replace(regexp_replace(def, ' WHEN \\(\\((.*) AND "
        "\\(current_setting\\(''plinth\\.fills''::text,\\ true\\)\\ IS\\ DISTINCT\\ FROM\\ "
        "''on''::text\\)\\)\\) EXECUTE FUNCTION ', ' WHEN (\\1) EXECUTE FUNCTION '),\n"
        "                ' WHEN ((current_setting(''plinth.fills''::text, true) IS DISTINCT FROM "
        "''on''::text)) EXECUTE FUNCTION ', ' EXECUTE FUNCTION '), tgname,\n"
        "                format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass)\n"
        "            FROM own JOIN pg_trigger t ON (class, id) = (t.tableoid, t.oid), "
        "pg_get_triggerdef(t.oid) def\n"
        "            WHERE NOT tgisinternal AND tgparentid = 0\n"
        "            UNION ALL SELECT 1, pg_get_ruledef(oid), rulename,\n"
        "                format('DROP RULE %I ON %s', rulename, ev_class::regclass)\n"
        "            FROM own JOIN pg_rewrite ON (class, id) = (tableoid, oid) WHERE rulename <> '_RETURN'\n"
        "            UNION ALL SELECT 1, concat('CREATE OR REPLACE VIEW ', oid::regclass, ' WITH ('\n"
        "                || array_to_string(reloptions, ', ') || ')', ' AS ', "
        "pg_get_viewdef(oid)), relname, NULL\n"
        "            FROM relations WHERE relkind = 'v'\n"
        "            UNION ALL SELECT 1, pg_get_statisticsobjdef(s.oid), stxname,\n"
        "                format('DROP STATISTICS %I.%I', nspname, stxname)\n"
        "            FROM own JOIN pg_statistic_ext s ON (class, id) = (s.tableoid, s.oid)\n"
        "            JOIN pg_namespace n ON n.oid = stxnamespace\n"
        "            UNION ALL SELECT 1, concat('CREATE POLICY ', quote_ident(polname), ' ON ', "
        "polrelid::regclass,\n"
        "                CASE WHEN NOT polpermissive THEN ' AS RESTRICTIVE' END, ' FOR ',\n"
        "                CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'\n"
        "                    WHEN 'd' THEN 'DELETE' ELSE 'ALL' END, ' TO ',\n"
        "                (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE "
        "quote_ident(pg_get_userbyid(r)) END,\n"
        "                    ', ') FROM unnest(polroles) r), ' USING (' || pg_get_expr(polqual, "
        "polrelid) || ')',\n"
        "                ' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')'),\n"
        "                polname, format('DROP POLICY %I ON %s', polname, polrelid::regclass)\n"
        "            FROM own JOIN pg_policy ON (class, id) = (tableoid, oid)\n"
        "            UNION ALL SELECT CASE WHEN said ~ '^OWNER' THEN 0 ELSE 2 END, alter || said, "
        "NULL, NULL\n"
        "            FROM relations r LEFT JOIN pg_class t ON t.oid = r.reltoastrelid, LATERAL (VALUES\n"
        "                ('OWNER TO ' || quote_ident(pg_get_userbyid(r.relowner))),\n"
        "                ('SET (' || array_to_string(r.reloptions, ', ') || ')'),\n"
        "                ('SET (toast.' || array_to_string(t.reloptions, ', toast.') || ')'),\n"
        "                (CASE WHEN r.relrowsecurity THEN 'ENABLE ROW LEVEL SECURITY' END),\n"
        "                (CASE WHEN r.relforcerowsecurity THEN 'FORCE ROW LEVEL SECURITY' END),\n"
        "                ('REPLICA IDENTITY ' || CASE r.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' "
        "THEN 'NOTHING' END)\n"
        "            ) it (said) WHERE r.relkind IN ('r', 'p', 'v', 'm')\n"
        "            UNION ALL SELECT 2, alter || said, NULL, NULL\n"
        "            FROM columns JOIN pg_type t ON t.oid = atttypid, LATERAL (VALUES\n"
        "                ('SET STATISTICS ' || nullif(attstattarget, -1)),\n"
        "                ('SET (' || array_to_string(attoptions, ', ') || ')'),\n"
        "                ('SET STORAGE ' || CASE nullif(attstorage, typstorage) WHEN 'p' THEN 'PLAIN'\n"
        "                    WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' WHEN 'x' THEN 'EXTENDED' END),\n"
        "                ('SET COMPRESSION ' || CASE attcompression WHEN 'p' THEN 'pglz' WHEN 'l' "
        "THEN 'lz4' END)\n"
        "            ) it (said)\n"
        "            UNION ALL SELECT 2, said, NULL, NULL FROM pg_index i JOIN relations r ON "
        "r.oid = indexrelid\n"
        "            JOIN relations t ON t.oid = indrelid, LATERAL (\n"
        "                VALUES (format('ALTER INDEX %s SET (', r.oid::regclass)\n"
        "                        || array_to_string(r.reloptions, ', ') || ')'),\n"
        "                    (CASE WHEN indisreplident THEN\n"
        "                        format('%sREPLICA IDENTITY USING INDEX %I', t.alter, r.relname) END),\n"
        "                    (CASE WHEN indisclustered THEN format('%sCLUSTER ON %I', t.alter, "
        "r.relname) END)\n"
        "                UNION ALL SELECT format('ALTER INDEX %s ALTER %s SET STATISTICS ', "
        "attrelid::regclass, attnum)\n"
        "                    || nullif(attstattarget, -1) FROM pg_attribute WHERE attrelid = r.oid\n"
        "            ) it (said)\n"
        "            UNION ALL SELECT 2, format('ALTER TABLE %s %s %s %I', relation::regclass,\n"
        "                CASE state WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA'\n"
        "                    ELSE 'ENABLE ALWAYS' END, kind, its), its, NULL\n"
        "            FROM own JOIN (\n"
        "                SELECT tableoid, oid, tgrelid, 'TRIGGER', tgname, tgenabled\n"
        "                FROM pg_trigger WHERE NOT tgisinternal\n"
        "                UNION ALL SELECT tableoid, oid, ev_class, 'RULE', rulename, ev_enabled "
        "FROM pg_rewrite\n"
        "            ) it (tableoid, oid, relation, kind, its, state) ON (class, id) = (tableoid, oid)\n"
        "            WHERE state <> 'O' AND its <> ALL "
        '(\'{"ck_views_post_is_known_new","fk_views_post_new",\n'
        '            "ix_views_day_post_id_new","pk_views_new","post_id_new",\n'
        '            "views_post_id_new","views_post_id_new_required"}\'::text[])\n'
        "            UNION ALL SELECT 2, format('ALTER STATISTICS %I.%I ', nspname, stxname) || "
        "said, NULL, NULL\n"
        "            FROM own JOIN pg_statistic_ext s ON (class, id) = (s.tableoid, s.oid)\n"
        "            JOIN pg_namespace n ON n.oid = stxnamespace, LATERAL (VALUES\n"
        "                ('OWNER TO ' || quote_ident(pg_get_userbyid(stxowner))),\n"
        "                ('SET STATISTICS ' || nullif(stxstattarget, -1))) it (said)\n"
        "            UNION ALL SELECT 2, format('ALTER SEQUENCE %s OWNED BY %s.%I', r.oid::regclass,\n"
        "                refobjid::regclass, attname), NULL, NULL\n"
        "            FROM relations r JOIN pg_depend ON (classid, objid) = ('pg_class'::regclass, r.oid)\n"
        "            JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid\n"
        "            WHERE relkind = 'S' AND deptype = 'a'\n"
        "            UNION ALL SELECT 1, concat('ALTER PUBLICATION ', quote_ident(p.pubname), ' "
        "ADD TABLE ONLY ',\n"
        "                prrelid::regclass, CASE WHEN to_jsonb(m) ->> 'prattrs' <> '' THEN (\n"
        "                    SELECT ' (' || string_agg(quote_ident(listed), ', ') || ')'\n"
        "                    FROM jsonb_array_elements_text(to_jsonb(t) -> 'attnames') it (listed)) END,\n"
        "                ' WHERE (' || (to_jsonb(t) ->> 'rowfilter') || ')'), NULL,\n"
        "                format('ALTER PUBLICATION %I DROP TABLE ONLY %s', p.pubname, prrelid::regclass)\n"
        "            FROM own JOIN pg_publication_rel m ON (class, id) = (m.tableoid, m.oid)\n"
        "            JOIN pg_publication p ON p.oid = prpubid LEFT JOIN pg_publication_tables t\n"
        "                ON t.pubname = p.pubname AND format('%I.%I', schemaname, "
        "tablename)::regclass = prrelid\n"
        "            UNION ALL SELECT 2, format('GRANT %s%s ON %s%s TO %s%s', privilege_type, part, kind,\n"
        "                relation::regclass,\n"
        "                CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,\n"
        "                CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END), NULL, NULL\n"
        "            FROM (\n"
        "                SELECT oid, relowner, '', CASE relkind WHEN 'S' THEN 'SEQUENCE ' END, "
        "relacl FROM relations\n"
        "                WHERE relkind IN ('r', 'p', 'v', 'm', 'S')\n"
        "                UNION ALL SELECT attrelid, relowner, format(' (%I)', attname), '', attacl "
        "FROM columns\n"
        "            ) it (relation, owner, part, kind, acl), aclexplode(acl) WHERE grantee <> owner\n"
        "            UNION ALL SELECT 3, concat(said, ' ON ',\n"
        "                regexp_replace(i.type, '^(table|(materialized )?view) (?=co)| object$', "
        "'', 'g'), ' ',\n"
        "                i.identity, ' IS ', quote_literal(it.text)), NULL, NULL\n"
        "            FROM own, LATERAL (\n"
        "                SELECT 'COMMENT', objsubid, description FROM pg_description\n"
        "                WHERE (classoid, objoid) = (class, id)\n"
        "                UNION ALL SELECT 'SECURITY LABEL FOR ' || quote_ident(provider), objsubid, label\n"
        "                FROM pg_seclabel WHERE (classoid, objoid) = (class, id)\n"
        "            ) it (said, part, text), pg_identify_object(class, id, part) i,\n"
        "            pg_identify_object_as_address(class, id, part) a\n"
        "            WHERE a.object_names[cardinality(a.object_names)] <> ALL "
        '(\'{"ck_views_post_is_known_new","fk_views_post_new",\n'
        '            "ix_views_day_post_id_new","pk_views_new","post_id_new",\n'
        '            "views_post_id_new","views_post_id_new_required"}\'::text[])\n'
        "            UNION ALL SELECT 4, concat(replace(pg_describe_object(class, id, part), 'rule "
        "_RETURN on ', ''),\n"
        "                ' on ', its), NULL, NULL\n"
        "            FROM (\n"
        "                SELECT classid, objid, objsubid, format('%s.%I', attrelid::regclass, "
        "attname), attname\n"
        "                FROM columns JOIN pg_depend ON (refobjid, refobjsubid) = (attrelid, attnum)\n"
        "                WHERE refclassid = 'pg_class'::regclass\n"
        "                UNION ALL SELECT 'pg_class'::regclass, indexrelid, 0, "
        "r.oid::regclass::text, relname\n"
        "                FROM relations r JOIN pg_index ON indrelid = r.oid WHERE relkind = 'm'\n"
        "            ) it (class, id, part, its, attname)\n"
        "            LEFT JOIN pg_constraint k ON (class, id) = (k.tableoid, k.oid),\n"
        "            pg_identify_object_as_address(class, id, part) a\n"
        "            WHERE contype IS DISTINCT FROM 'n' AND NOT a.object_names && "
        '\'{"ck_views_post_is_known_new","fk_views_post_new",\n'
        '            "ix_views_day_post_id_new","pk_views_new","post_id_new",\n'
        '            "views_post_id_new","views_post_id_new_required"}\'::text[]\n'
        "                AND (class <> 'pg_attrdef'::regclass\n"
        "                    OR a.object_names[cardinality(a.object_names)] <> attname)\n"
        "            UNION ALL SELECT 4, format('table %s on %s', inhrelid::regclass, "
        "oid::regclass), NULL, NULL\n"
        "            FROM relations JOIN pg_inherits ON inhparent = oid WHERE relkind = 'r' AND had IS NULL\n"
        "            UNION ALL SELECT 5, concat('the query of materialized view ', oid::regclass, "
        "pg_get_viewdef(oid)),\n"
        "                relname, NULL\n"
        "            FROM relations WHERE relkind = 'm'\n"
        "            UNION ALL SELECT 5, format('the %s of %s.%I', said, attrelid::regclass, "
        "attname), attname, NULL\n"
        "            FROM columns LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum), LATERAL (\n"
        "                VALUES (CASE WHEN attnotnull AND attidentity = '' THEN 'NOT NULL' END),\n"
        "                    ('default ' || regexp_replace(pg_get_expr(adbin, adrelid),\n"
        "                        '::[\\w.\" ]+(\\([\\d,]+\\))?(\\[\\])?|[()'']', '', 'g'))\n"
        "            ) it (said)\n"
        "            WHERE said <> '' AND attgenerated = ''\n"
        "        ) SELECT coalesce(array_agg(what ORDER BY place, what), '{}'),\n"
        "            array_agg(said.away) FILTER (WHERE said.away <> '' AND what <> ALL (had))\n"
        "        INTO has, away FROM said\n"
        "        WHERE what IS NOT NULL AND coalesce(name <> ALL "
        '(\'{"ck_views_post_is_known_new","fk_views_post_new",\n'
        '            "ix_views_day_post_id_new","pk_views_new","post_id_new",\n'
        '            "views_post_id_new","views_post_id_new_required"}\'::text[]), true)\n'
        "            AND (place NOT IN (1, 5) OR coalesce(name <> ALL ('{}'::text[]), true));\n"
        "        IF had IS NULL THEN\n"
        "            PERFORM set_config('plinth.had', has::text, true);\n"
        "            RETURN;\n"
        "        END IF;\n"
        "        IF turn = 1 THEN\n"
        "            FOREACH each IN ARRAY coalesce(away, '{}') LOOP EXECUTE each; END LOOP;\n"
        "        END IF;\n"
        "        FOR each IN SELECT it FROM unnest(had) WITH ORDINALITY AS l (it, n)\n"
        "            WHERE it NOT IN (SELECT unnest(has)) ORDER BY n LOOP\n"
        "            CONTINUE WHEN turn > 1 AND each ~ '^(CREATE|ALTER PUBLICATION) ' OR turn < 3 "
        "AND each !~ '^[A-Z]';\n"
        "            BEGIN\n"
        "                IF turn < 3 THEN\n"
        "                    EXECUTE each;\n"
        "                    CONTINUE;\n"
        "                END IF;\n"
        "            EXCEPTION WHEN syntax_error_or_access_rule_violation OR feature_not_supported THEN\n"
        "                why := format(' (%s)', SQLERRM);\n"
        "            END;\n"
        "            RAISE '% is lost when another one takes the place%. Take it back, run the "
        "same command '\n"
        "                'again, and do it anew then.', each, why USING ERRCODE = '55000';\n"
        "        END LOOP;\n"
        "        EXIT WHEN NOT FOUND;\n"
        "    END LOOP;\n"
        "    PERFORM set_config('plinth.had', '', true);\n"
        "END $$"
    )
    # A second column takes the place of post_id: in place, the table would be written anew
    # while nobody can use it. Until then a trigger keeps the two equal.
    op.add_column("views", sa.Column("post_id_new", sa.BigInteger(), nullable=True))
    op.execute(
        "CREATE FUNCTION views_post_id_new() RETURNS trigger LANGUAGE plpgsql SET search_path FROM "
        "CURRENT AS $keep$ BEGIN NEW.post_id_new := NEW.post_id; RETURN NEW; END $keep$"
    )
    op.execute(
        "CREATE TRIGGER views_post_id_new BEFORE INSERT OR UPDATE ON views FOR EACH ROW EXECUTE "
        "FUNCTION views_post_id_new()"
    )
    op.execute("ALTER TABLE views ENABLE ALWAYS TRIGGER views_post_id_new")
    with op.get_context().autocommit_block():
        op.execute(
            """
            DO $$ DECLARE low record; high record; last record; BEGIN
                SELECT post_id, day INTO low FROM views ORDER BY post_id, day LIMIT 1;
                SELECT post_id, day INTO last FROM views ORDER BY post_id DESC, day DESC LIMIT 1;
                LOOP
                    SELECT post_id, day INTO high FROM views WHERE (post_id, day) > (low.post_id, low.day)
                        ORDER BY post_id, day OFFSET 999 LIMIT 1;
                    high := CASE WHEN high < last THEN high ELSE last END;
                    UPDATE views SET post_id_new = post_id
                        WHERE post_id_new IS NULL AND (post_id, day) BETWEEN (low.post_id, low.day)
                        AND (high.post_id, high.day);
                    COMMIT; RAISE DEBUG '% of %', high, last;
                    EXIT WHEN high IS NOT DISTINCT FROM last; low := high; PERFORM pg_sleep(0.01);
                END LOOP;
            END $$
            """
        )
        op.create_check_constraint(
            op.f("views_post_id_new_required"),
            "views",
            "post_id_new IS NOT NULL",
            postgresql_not_valid=True,
        )
        op.execute("ALTER TABLE views VALIDATE CONSTRAINT views_post_id_new_required")
        op.create_check_constraint(
            op.f("ck_views_post_is_known_new"),
            "views",
            "post_id_new > 0",
            postgresql_not_valid=True,
        )
        op.execute("ALTER TABLE views VALIDATE CONSTRAINT ck_views_post_is_known_new")
        # the table's takes over what each partition has by then, and builds nothing
        found = op.get_bind().execute(partitions, {"table": "views", "ending": "pk_views_new"})
        for partition, name in found.all():
            op.execute(
                f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {partition} USING btree (post_id_new, day)"
            )
        # the table's takes over what each partition has by then, and builds nothing
        found = op.get_bind().execute(partitions, {"table": "views", "ending": "ix_views_day_post_id_new"})
        for partition, name in found.all():
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {partition} USING btree (day, post_id_new)")
        op.create_index(op.f("ix_views_day_post_id_new"), "views", ["day", "post_id_new"])
        op.execute("ANALYZE views (post_id_new)")
        # the table's takes over what each partition has by then, and builds nothing
        found = op.get_bind().execute(partitions, {"table": "views", "ending": None})
        for partition, _ in found.all():
            op.execute(
                f"ALTER TABLE {partition} ADD CONSTRAINT fk_views_post_new FOREIGN KEY "
                "(post_id_new) REFERENCES posts(id) NOT VALID"
            )
            op.execute(f"ALTER TABLE {partition} VALIDATE CONSTRAINT fk_views_post_new")
    op.create_foreign_key(op.f("fk_views_post_new"), "views", "posts", ["post_id_new"], ["id"])
    op.execute(hand_on)
    # all at once, in a transaction that changes the catalog only
    op.execute("LOCK TABLE posts, views IN ACCESS EXCLUSIVE MODE")
    # stops if something was written past a trigger; only where that can be any row is looked at
    op.execute(
        """
        DO $$ BEGIN
            DECLARE part regclass; is_lost boolean; BEGIN
                FOR part IN SELECT tgrelid FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid
                    WHERE p.oid = 'views_post_id_new()'::regprocedure AND (t.xmin <> p.xmin
                        OR tgenabled <> 'A'
                    OR EXISTS (SELECT FROM pg_trigger o
                        WHERE o.tgrelid = t.tgrelid AND o.tgname > t.tgname
                        AND o.tgtype & 3 = 3 AND o.tgtype & 20 > 0
                    )) LOOP
                    EXECUTE 'SELECT EXISTS (SELECT FROM ' || part || $of$ WHERE (post_id)::bigint::text IS DISTINCT FROM post_id_new::text)$of$ INTO is_lost;
                    IF is_lost THEN
                        RAISE
                            'Rows of views differ in post_id and post_id_new: trigger views_post_id_new was disabled, or a partition detached, for a time, or another one comes after it (by its name). '
                            'ALTER TABLE views ENABLE ALWAYS TRIGGER views_post_id_new; '
                            'UPDATE views SET post_id = post_id where they differ'
                            USING ERRCODE = '23000';
                    END IF;
                END LOOP;
            END;
        END $$
        """
    )
    op.execute("DROP TRIGGER views_post_id_new ON views")
    op.execute("DROP FUNCTION views_post_id_new()")
    # partitions and heirs with a default of their own keep it
    op.execute(
        """
        DO $$ DECLARE part regclass; BEGIN
            FOREACH part IN ARRAY ARRAY(
                WITH RECURSIVE tree AS (SELECT 'views'::regclass::oid AS id
                    UNION SELECT inhrelid FROM pg_inherits, tree WHERE inhparent = id),
                defaults AS (SELECT id, (SELECT pg_get_expr(adbin, adrelid)
                    FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
                    WHERE adrelid = id AND attname = 'post_id') AS said FROM tree)
                SELECT id FROM defaults WHERE said IS NOT DISTINCT FROM
                    (SELECT said FROM defaults WHERE id = 'views'::regclass))
            LOOP
                EXECUTE 'ALTER TABLE ONLY ' || part ||
                    $change$ ALTER COLUMN post_id DROP DEFAULT$change$;
            END LOOP;
        END $$
        """
    )
    op.drop_constraint(op.f("fk_views_post"), "views", type_="foreignkey")
    op.drop_constraint(op.f("ck_views_post_is_known"), "views", type_="check")
    op.drop_constraint(op.f("pk_views"), "views", type_="primary")
    op.drop_index(op.f("ix_views_day_post_id"), table_name="views")
    op.alter_column("views", "post_id", nullable=True)
    # what refuses NULL there is a partition's own, if it had a primary key before the table had
    found = op.get_bind().execute(partitions, {"table": "views", "ending": None})
    for partition, _ in found.all():
        op.execute(f"ALTER TABLE {partition} ALTER COLUMN post_id DROP NOT NULL")
    op.execute("ALTER TABLE views RENAME CONSTRAINT ck_views_post_is_known_new TO ck_views_post_is_known")
    op.execute("ALTER INDEX ix_views_day_post_id_new RENAME TO ix_views_day_post_id")
    op.execute("ALTER TABLE views RENAME CONSTRAINT fk_views_post_new TO fk_views_post")
    op.alter_column("views", "post_id", new_column_name="post_id_old")
    op.alter_column("views", "post_id_new", new_column_name="post_id")
    op.alter_column("views", "post_id", server_default="1")
    op.alter_column("views", "post_id", nullable=False)
    op.drop_constraint(op.f("views_post_id_new_required"), "views", type_="check")
    # the table's takes over what each partition has by then, and builds nothing
    found = op.get_bind().execute(partitions, {"table": "views", "ending": "pk_views_new"})
    for partition, name in found.all():
        op.execute(f"ALTER TABLE {partition} ADD CONSTRAINT {name} PRIMARY KEY USING INDEX {name}")
    op.create_primary_key(op.f("pk_views"), "views", ["post_id", "day"])
    # the partitions' indexes get their later names, too, where these are free
    op.execute(
        """
        DO $$ DECLARE part regclass; own text; BEGIN
            FOR part, own IN
                SELECT DISTINCT ON (t.relnamespace, n) relid, CASE WHEN octet_length(n) < 64 THEN n ELSE
                    left(n, 7) || md5(n) END
                FROM pg_class w, pg_partition_tree(w.oid)
                JOIN pg_index ON indexrelid = relid JOIN pg_class t ON t.oid = indrelid,
                    concat(t.relname, '_', w.relname) n
                WHERE w.oid IN ('pk_views'::regclass, 'ix_views_day_post_id'::regclass) AND level > 0
                    AND NOT EXISTS (SELECT FROM pg_class c
                    WHERE c.relnamespace = t.relnamespace
                        AND c.relname = CASE WHEN octet_length(n) < 64 THEN n ELSE left(n, 7) || md5(n)
                        END)
            LOOP
                EXECUTE format('ALTER INDEX %s RENAME TO %I', part, own);
            END LOOP;
        END $$
        """
    )
    # the partitions' foreign keys get their later name, too, where it is free
    op.execute(
        """
        DO $$ DECLARE part regclass; own name; BEGIN
            FOR part, own IN
                WITH RECURSIVE keys AS (SELECT oid, conrelid FROM pg_constraint
                    WHERE conrelid = 'views'::regclass AND conname = 'fk_views_post'
                    UNION SELECT k.oid, k.conrelid FROM pg_constraint k JOIN keys p
                    ON k.conparentid = p.oid AND k.conrelid <> p.conrelid)
                SELECT k.conrelid, k.conname FROM pg_constraint k JOIN keys USING (oid)
                WHERE NOT EXISTS (SELECT FROM pg_constraint o
                    WHERE o.conrelid = k.conrelid AND o.conname = 'fk_views_post')
            LOOP
                EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', part, own, 'fk_views_post');
            END LOOP;
        END $$
        """
    )
    op.execute(hand_on)


def downgrade() -> None:
    # text() would take a colon in a name for a parameter: a backslash stands before it
    partitions = sa.text(
        """
        SELECT replace(oid::regclass::text, ':', '\\\\:'),
            replace(quote_ident(CASE WHEN octet_length(n) < 64 THEN n ELSE left(n, 7) || md5(n) END),
                ':', '\\\\:')
        FROM pg_class, concat(relname, '_', CAST(:ending AS text)) n
        WHERE relkind = 'r'
            AND oid IN (SELECT relid FROM pg_partition_tree(CAST(:table AS regclass)) WHERE isleaf)
        ORDER BY oid
        """
    )
    hand_on = (
        "DO $$ DECLARE\n"
        "    had text[] := nullif(current_setting('plinth.had', true), ''); has text[]; away "
        "text[]; each text;\n"
        "    why text := '';\n"
        "BEGIN\n"
        "    PERFORM set_config('jit', 'off', true);  -- while nobody can use the tables\n"
        "    FOR turn IN 1..3 LOOP\n"
        "        WITH RECURSIVE own (class, id) AS (\n"
        "            SELECT 'pg_class'::regclass::oid, its::oid FROM unnest('{\"views\"}'::regclass[]) its\n"
        "            UNION SELECT 'pg_constraint'::regclass, oid FROM pg_constraint\n"
        "            WHERE confrelid = ANY ('{\"views\"}'::regclass[])\n"
        "            UNION SELECT classid, objid FROM own JOIN pg_depend ON (refclassid, refobjid) "
        "= (class, id)\n"
        "            WHERE deptype IN ('a', 'i')\n"
        "        ), relations AS (\n"
        "            SELECT c.*, format('ALTER TABLE ONLY %s ', oid::regclass) AS alter\n"
        "            FROM own JOIN pg_class c ON oid = id\n"
        "            WHERE class = 'pg_class'::regclass AND relname <> ALL "
        '(\'{"ck_views_post_is_known_old","fk_views_post_old",\n'
        '            "ix_views_day_post_id_old","pk_views_old","post_id_old",\n'
        '            "views_post_id_old","views_post_id_old_required"}\'::text[])\n'
        "        ), columns AS (\n"
        "            SELECT a.*, relowner, format('%sALTER %I ', alter, attname) AS alter\n"
        "            FROM relations r JOIN pg_attribute a ON attrelid = r.oid\n"
        "            WHERE relkind IN ('r', 'p', 'v', 'm') AND attnum > 0 AND NOT attisdropped\n"
        '                AND attname <> ALL (\'{"ck_views_post_is_known_old","fk_views_post_old",\n'
        '            "ix_views_day_post_id_old","pk_views_old","post_id_old",\n'
        '            "views_post_id_old","views_post_id_old_required"}\'::text[])\n'
        "        ), said (place, what, name, away) AS (\n"
        "            SELECT 1, replace(regexp_replace(def, ' WHEN \\(\\((.*) AND "
        "\\(current_setting\\(''plinth\\.fills''::text,\\ true\\)\\ IS\\ DISTINCT\\ FROM\\ "
        "''on''::text\\)\\)\\) EXECUTE FUNCTION ', ' WHEN (\\1) EXECUTE FUNCTION '),\n"
        "                ' WHEN ((current_setting(''plinth.fills''::text, true) IS DISTINCT FROM "
        "''on''::text)) EXECUTE FUNCTION ', ' EXECUTE FUNCTION '), tgname,\n"
        "                format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass)\n"
        "            FROM own JOIN pg_trigger t ON (class, id) = (t.tableoid, t.oid), "
        "pg_get_triggerdef(t.oid) def\n"
        "            WHERE NOT tgisinternal AND tgparentid = 0\n"
        "            UNION ALL SELECT 1, pg_get_ruledef(oid), rulename,\n"
        "                format('DROP RULE %I ON %s', rulename, ev_class::regclass)\n"
        "            FROM own JOIN pg_rewrite ON (class, id) = (tableoid, oid) WHERE rulename <> '_RETURN'\n"
        "            UNION ALL SELECT 1, concat('CREATE OR REPLACE VIEW ', oid::regclass, ' WITH ('\n"
        "                || array_to_string(reloptions, ', ') || ')', ' AS ', "
        "pg_get_viewdef(oid)), relname, NULL\n"
        "            FROM relations WHERE relkind = 'v'\n"
        "            UNION ALL SELECT 1, pg_get_statisticsobjdef(s.oid), stxname,\n"
        "                format('DROP STATISTICS %I.%I', nspname, stxname)\n"
        "            FROM own JOIN pg_statistic_ext s ON (class, id) = (s.tableoid, s.oid)\n"
        "            JOIN pg_namespace n ON n.oid = stxnamespace\n"
        "            UNION ALL SELECT 1, concat('CREATE POLICY ', quote_ident(polname), ' ON ', "
        "polrelid::regclass,\n"
        "                CASE WHEN NOT polpermissive THEN ' AS RESTRICTIVE' END, ' FOR ',\n"
        "                CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'\n"
        "                    WHEN 'd' THEN 'DELETE' ELSE 'ALL' END, ' TO ',\n"
        "                (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE "
        "quote_ident(pg_get_userbyid(r)) END,\n"
        "                    ', ') FROM unnest(polroles) r), ' USING (' || pg_get_expr(polqual, "
        "polrelid) || ')',\n"
        "                ' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')'),\n"
        "                polname, format('DROP POLICY %I ON %s', polname, polrelid::regclass)\n"
        "            FROM own JOIN pg_policy ON (class, id) = (tableoid, oid)\n"
        "            UNION ALL SELECT CASE WHEN said ~ '^OWNER' THEN 0 ELSE 2 END, alter || said, "
        "NULL, NULL\n"
        "            FROM relations r LEFT JOIN pg_class t ON t.oid = r.reltoastrelid, LATERAL (VALUES\n"
        "                ('OWNER TO ' || quote_ident(pg_get_userbyid(r.relowner))),\n"
        "                ('SET (' || array_to_string(r.reloptions, ', ') || ')'),\n"
        "                ('SET (toast.' || array_to_string(t.reloptions, ', toast.') || ')'),\n"
        "                (CASE WHEN r.relrowsecurity THEN 'ENABLE ROW LEVEL SECURITY' END),\n"
        "                (CASE WHEN r.relforcerowsecurity THEN 'FORCE ROW LEVEL SECURITY' END),\n"
        "                ('REPLICA IDENTITY ' || CASE r.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' "
        "THEN 'NOTHING' END)\n"
        "            ) it (said) WHERE r.relkind IN ('r', 'p', 'v', 'm')\n"
        "            UNION ALL SELECT 2, alter || said, NULL, NULL\n"
        "            FROM columns JOIN pg_type t ON t.oid = atttypid, LATERAL (VALUES\n"
        "                ('SET STATISTICS ' || nullif(attstattarget, -1)),\n"
        "                ('SET (' || array_to_string(attoptions, ', ') || ')'),\n"
        "                ('SET STORAGE ' || CASE nullif(attstorage, typstorage) WHEN 'p' THEN 'PLAIN'\n"
        "                    WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' WHEN 'x' THEN 'EXTENDED' END),\n"
        "                ('SET COMPRESSION ' || CASE attcompression WHEN 'p' THEN 'pglz' WHEN 'l' "
        "THEN 'lz4' END)\n"
        "            ) it (said)\n"
        "            UNION ALL SELECT 2, said, NULL, NULL FROM pg_index i JOIN relations r ON "
        "r.oid = indexrelid\n"
        "            JOIN relations t ON t.oid = indrelid, LATERAL (\n"
        "                VALUES (format('ALTER INDEX %s SET (', r.oid::regclass)\n"
        "                        || array_to_string(r.reloptions, ', ') || ')'),\n"
        "                    (CASE WHEN indisreplident THEN\n"
        "                        format('%sREPLICA IDENTITY USING INDEX %I', t.alter, r.relname) END),\n"
        "                    (CASE WHEN indisclustered THEN format('%sCLUSTER ON %I', t.alter, "
        "r.relname) END)\n"
        "                UNION ALL SELECT format('ALTER INDEX %s ALTER %s SET STATISTICS ', "
        "attrelid::regclass, attnum)\n"
        "                    || nullif(attstattarget, -1) FROM pg_attribute WHERE attrelid = r.oid\n"
        "            ) it (said)\n"
        "            UNION ALL SELECT 2, format('ALTER TABLE %s %s %s %I', relation::regclass,\n"
        "                CASE state WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA'\n"
        "                    ELSE 'ENABLE ALWAYS' END, kind, its), its, NULL\n"
        "            FROM own JOIN (\n"
        "                SELECT tableoid, oid, tgrelid, 'TRIGGER', tgname, tgenabled\n"
        "                FROM pg_trigger WHERE NOT tgisinternal\n"
        "                UNION ALL SELECT tableoid, oid, ev_class, 'RULE', rulename, ev_enabled "
        "FROM pg_rewrite\n"
        "            ) it (tableoid, oid, relation, kind, its, state) ON (class, id) = (tableoid, oid)\n"
        "            WHERE state <> 'O' AND its <> ALL "
        '(\'{"ck_views_post_is_known_old","fk_views_post_old",\n'
        '            "ix_views_day_post_id_old","pk_views_old","post_id_old",\n'
        '            "views_post_id_old","views_post_id_old_required"}\'::text[])\n'
        "            UNION ALL SELECT 2, format('ALTER STATISTICS %I.%I ', nspname, stxname) || "
        "said, NULL, NULL\n"
        "            FROM own JOIN pg_statistic_ext s ON (class, id) = (s.tableoid, s.oid)\n"
        "            JOIN pg_namespace n ON n.oid = stxnamespace, LATERAL (VALUES\n"
        "                ('OWNER TO ' || quote_ident(pg_get_userbyid(stxowner))),\n"
        "                ('SET STATISTICS ' || nullif(stxstattarget, -1))) it (said)\n"
        "            UNION ALL SELECT 2, format('ALTER SEQUENCE %s OWNED BY %s.%I', r.oid::regclass,\n"
        "                refobjid::regclass, attname), NULL, NULL\n"
        "            FROM relations r JOIN pg_depend ON (classid, objid) = ('pg_class'::regclass, r.oid)\n"
        "            JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid\n"
        "            WHERE relkind = 'S' AND deptype = 'a'\n"
        "            UNION ALL SELECT 1, concat('ALTER PUBLICATION ', quote_ident(p.pubname), ' "
        "ADD TABLE ONLY ',\n"
        "                prrelid::regclass, CASE WHEN to_jsonb(m) ->> 'prattrs' <> '' THEN (\n"
        "                    SELECT ' (' || string_agg(quote_ident(listed), ', ') || ')'\n"
        "                    FROM jsonb_array_elements_text(to_jsonb(t) -> 'attnames') it (listed)) END,\n"
        "                ' WHERE (' || (to_jsonb(t) ->> 'rowfilter') || ')'), NULL,\n"
        "                format('ALTER PUBLICATION %I DROP TABLE ONLY %s', p.pubname, prrelid::regclass)\n"
        "            FROM own JOIN pg_publication_rel m ON (class, id) = (m.tableoid, m.oid)\n"
        "            JOIN pg_publication p ON p.oid = prpubid LEFT JOIN pg_publication_tables t\n"
        "                ON t.pubname = p.pubname AND format('%I.%I', schemaname, "
        "tablename)::regclass = prrelid\n"
        "            UNION ALL SELECT 2, format('GRANT %s%s ON %s%s TO %s%s', privilege_type, part, kind,\n"
        "                relation::regclass,\n"
        "                CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,\n"
        "                CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END), NULL, NULL\n"
        "            FROM (\n"
        "                SELECT oid, relowner, '', CASE relkind WHEN 'S' THEN 'SEQUENCE ' END, "
        "relacl FROM relations\n"
        "                WHERE relkind IN ('r', 'p', 'v', 'm', 'S')\n"
        "                UNION ALL SELECT attrelid, relowner, format(' (%I)', attname), '', attacl "
        "FROM columns\n"
        "            ) it (relation, owner, part, kind, acl), aclexplode(acl) WHERE grantee <> owner\n"
        "            UNION ALL SELECT 3, concat(said, ' ON ',\n"
        "                regexp_replace(i.type, '^(table|(materialized )?view) (?=co)| object$', "
        "'', 'g'), ' ',\n"
        "                i.identity, ' IS ', quote_literal(it.text)), NULL, NULL\n"
        "            FROM own, LATERAL (\n"
        "                SELECT 'COMMENT', objsubid, description FROM pg_description\n"
        "                WHERE (classoid, objoid) = (class, id)\n"
        "                UNION ALL SELECT 'SECURITY LABEL FOR ' || quote_ident(provider), objsubid, label\n"
        "                FROM pg_seclabel WHERE (classoid, objoid) = (class, id)\n"
        "            ) it (said, part, text), pg_identify_object(class, id, part) i,\n"
        "            pg_identify_object_as_address(class, id, part) a\n"
        "            WHERE a.object_names[cardinality(a.object_names)] <> ALL "
        '(\'{"ck_views_post_is_known_old","fk_views_post_old",\n'
        '            "ix_views_day_post_id_old","pk_views_old","post_id_old",\n'
        '            "views_post_id_old","views_post_id_old_required"}\'::text[])\n'
        "            UNION ALL SELECT 4, concat(replace(pg_describe_object(class, id, part), 'rule "
        "_RETURN on ', ''),\n"
        "                ' on ', its), NULL, NULL\n"
        "            FROM (\n"
        "                SELECT classid, objid, objsubid, format('%s.%I', attrelid::regclass, "
        "attname), attname\n"
        "                FROM columns JOIN pg_depend ON (refobjid, refobjsubid) = (attrelid, attnum)\n"
        "                WHERE refclassid = 'pg_class'::regclass\n"
        "                UNION ALL SELECT 'pg_class'::regclass, indexrelid, 0, "
        "r.oid::regclass::text, relname\n"
        "                FROM relations r JOIN pg_index ON indrelid = r.oid WHERE relkind = 'm'\n"
        "            ) it (class, id, part, its, attname)\n"
        "            LEFT JOIN pg_constraint k ON (class, id) = (k.tableoid, k.oid),\n"
        "            pg_identify_object_as_address(class, id, part) a\n"
        "            WHERE contype IS DISTINCT FROM 'n' AND NOT a.object_names && "
        '\'{"ck_views_post_is_known_old","fk_views_post_old",\n'
        '            "ix_views_day_post_id_old","pk_views_old","post_id_old",\n'
        '            "views_post_id_old","views_post_id_old_required"}\'::text[]\n'
        "                AND (class <> 'pg_attrdef'::regclass\n"
        "                    OR a.object_names[cardinality(a.object_names)] <> attname)\n"
        "            UNION ALL SELECT 4, format('table %s on %s', inhrelid::regclass, "
        "oid::regclass), NULL, NULL\n"
        "            FROM relations JOIN pg_inherits ON inhparent = oid WHERE relkind = 'r' AND had IS NULL\n"
        "            UNION ALL SELECT 5, concat('the query of materialized view ', oid::regclass, "
        "pg_get_viewdef(oid)),\n"
        "                relname, NULL\n"
        "            FROM relations WHERE relkind = 'm'\n"
        "            UNION ALL SELECT 5, format('the %s of %s.%I', said, attrelid::regclass, "
        "attname), attname, NULL\n"
        "            FROM columns LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum), LATERAL (\n"
        "                VALUES (CASE WHEN attnotnull AND attidentity = '' THEN 'NOT NULL' END),\n"
        "                    ('default ' || regexp_replace(pg_get_expr(adbin, adrelid),\n"
        "                        '::[\\w.\" ]+(\\([\\d,]+\\))?(\\[\\])?|[()'']', '', 'g'))\n"
        "            ) it (said)\n"
        "            WHERE said <> '' AND attgenerated = ''\n"
        "        ) SELECT coalesce(array_agg(what ORDER BY place, what), '{}'),\n"
        "            array_agg(said.away) FILTER (WHERE said.away <> '' AND what <> ALL (had))\n"
        "        INTO has, away FROM said\n"
        "        WHERE what IS NOT NULL AND coalesce(name <> ALL "
        '(\'{"ck_views_post_is_known_old","fk_views_post_old",\n'
        '            "ix_views_day_post_id_old","pk_views_old","post_id_old",\n'
        '            "views_post_id_old","views_post_id_old_required"}\'::text[]), true)\n'
        "            AND (place NOT IN (1, 5) OR coalesce(name <> ALL ('{}'::text[]), true));\n"
        "        IF had IS NULL THEN\n"
        "            PERFORM set_config('plinth.had', has::text, true);\n"
        "            RETURN;\n"
        "        END IF;\n"
        "        IF turn = 1 THEN\n"
        "            FOREACH each IN ARRAY coalesce(away, '{}') LOOP EXECUTE each; END LOOP;\n"
        "        END IF;\n"
        "        FOR each IN SELECT it FROM unnest(had) WITH ORDINALITY AS l (it, n)\n"
        "            WHERE it NOT IN (SELECT unnest(has)) ORDER BY n LOOP\n"
        "            CONTINUE WHEN turn > 1 AND each ~ '^(CREATE|ALTER PUBLICATION) ' OR turn < 3 "
        "AND each !~ '^[A-Z]';\n"
        "            BEGIN\n"
        "                IF turn < 3 THEN\n"
        "                    EXECUTE each;\n"
        "                    CONTINUE;\n"
        "                END IF;\n"
        "            EXCEPTION WHEN syntax_error_or_access_rule_violation OR feature_not_supported THEN\n"
        "                why := format(' (%s)', SQLERRM);\n"
        "            END;\n"
        "            RAISE '% is lost when another one takes the place%. Take it back, run the "
        "same command '\n"
        "                'again, and do it anew then.', each, why USING ERRCODE = '55000';\n"
        "        END LOOP;\n"
        "        EXIT WHEN NOT FOUND;\n"
        "    END LOOP;\n"
        "    PERFORM set_config('plinth.had', '', true);\n"
        "END $$"
    )
    with op.get_context().autocommit_block():
        # stops if a number is too large for integer, before any trigger would
        op.execute("SELECT max(post_id)::integer, min(post_id)::integer FROM views")
    op.execute(
        "CREATE FUNCTION views_post_id_old() RETURNS trigger LANGUAGE plpgsql SET search_path FROM "
        "CURRENT AS $keep$ BEGIN IF NEW.post_id_old::bigint::text IS DISTINCT FROM "
        "NEW.post_id::text THEN NEW.post_id_old := NEW.post_id; END IF; RETURN NEW; END $keep$"
    )
    op.execute(
        "CREATE TRIGGER views_post_id_old BEFORE INSERT OR UPDATE ON views FOR EACH ROW EXECUTE "
        "FUNCTION views_post_id_old()"
    )
    op.execute("ALTER TABLE views ENABLE ALWAYS TRIGGER views_post_id_old")
    with op.get_context().autocommit_block():
        op.execute(
            """
            DO $$ DECLARE low record; high record; last record; BEGIN
                SELECT post_id, day INTO low FROM views ORDER BY post_id, day LIMIT 1;
                SELECT post_id, day INTO last FROM views ORDER BY post_id DESC, day DESC LIMIT 1;
                LOOP
                    SELECT post_id, day INTO high FROM views WHERE (post_id, day) > (low.post_id, low.day)
                        ORDER BY post_id, day OFFSET 999 LIMIT 1;
                    high := CASE WHEN high < last THEN high ELSE last END;
                    UPDATE views SET post_id_old = post_id WHERE post_id_old::bigint::text IS DISTINCT
                        FROM post_id::text AND (post_id, day) BETWEEN (low.post_id, low.day)
                        AND (high.post_id, high.day);
                    COMMIT; RAISE DEBUG '% of %', high, last;
                    EXIT WHEN high IS NOT DISTINCT FROM last; low := high; PERFORM pg_sleep(0.01);
                END LOOP;
            END $$
            """
        )
        op.create_check_constraint(
            op.f("views_post_id_old_required"),
            "views",
            "post_id_old IS NOT NULL",
            postgresql_not_valid=True,
        )
        op.execute("ALTER TABLE views VALIDATE CONSTRAINT views_post_id_old_required")
        op.create_check_constraint(
            op.f("ck_views_post_is_known_old"),
            "views",
            "post_id_old > 0",
            postgresql_not_valid=True,
        )
        op.execute("ALTER TABLE views VALIDATE CONSTRAINT ck_views_post_is_known_old")
        # the table's takes over what each partition has by then, and builds nothing
        found = op.get_bind().execute(partitions, {"table": "views", "ending": "pk_views_old"})
        for partition, name in found.all():
            op.execute(
                f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {partition} USING btree (post_id_old, day)"
            )
        # the table's takes over what each partition has by then, and builds nothing
        found = op.get_bind().execute(partitions, {"table": "views", "ending": "ix_views_day_post_id_old"})
        for partition, name in found.all():
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {partition} USING btree (day, post_id_old)")
        op.create_index(op.f("ix_views_day_post_id_old"), "views", ["day", "post_id_old"])
        op.execute("ANALYZE views (post_id_old)")
        # the table's takes over what each partition has by then, and builds nothing
        found = op.get_bind().execute(partitions, {"table": "views", "ending": None})
        for partition, _ in found.all():
            op.execute(
                f"ALTER TABLE {partition} ADD CONSTRAINT fk_views_post_old FOREIGN KEY "
                "(post_id_old) REFERENCES posts(id) NOT VALID"
            )
            op.execute(f"ALTER TABLE {partition} VALIDATE CONSTRAINT fk_views_post_old")
    op.create_foreign_key(op.f("fk_views_post_old"), "views", "posts", ["post_id_old"], ["id"])
    op.execute(hand_on)
    # all at once, in a transaction that changes the catalog only
    op.execute("LOCK TABLE posts, views IN ACCESS EXCLUSIVE MODE")
    # stops if something was written past a trigger; only where that can be any row is looked at
    op.execute(
        """
        DO $$ BEGIN
            DECLARE part regclass; is_lost boolean; BEGIN
                FOR part IN SELECT tgrelid FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid
                    WHERE p.oid = 'views_post_id_old()'::regprocedure AND (t.xmin <> p.xmin
                        OR tgenabled <> 'A'
                    OR EXISTS (SELECT FROM pg_trigger o
                        WHERE o.tgrelid = t.tgrelid AND o.tgname > t.tgname
                        AND o.tgtype & 3 = 3 AND o.tgtype & 20 > 0
                    )) LOOP
                    EXECUTE 'SELECT EXISTS (SELECT FROM ' || part || $of$ WHERE post_id_old::bigint::text IS DISTINCT FROM post_id::text)$of$ INTO is_lost;
                    IF is_lost THEN
                        RAISE
                            'Rows of views differ in post_id and post_id_old: trigger views_post_id_old was disabled, or a partition detached, for a time, or another one comes after it (by its name). '
                            'ALTER TABLE views ENABLE ALWAYS TRIGGER views_post_id_old; '
                            'UPDATE views SET post_id = post_id where they differ'
                            USING ERRCODE = '23000';
                    END IF;
                END LOOP;
            END;
        END $$
        """
    )
    op.execute("DROP TRIGGER views_post_id_old ON views")
    op.execute("DROP FUNCTION views_post_id_old()")
    # partitions and heirs with a default of their own keep it
    op.execute(
        """
        DO $$ DECLARE part regclass; BEGIN
            FOREACH part IN ARRAY ARRAY(
                WITH RECURSIVE tree AS (SELECT 'views'::regclass::oid AS id
                    UNION SELECT inhrelid FROM pg_inherits, tree WHERE inhparent = id),
                defaults AS (SELECT id, (SELECT pg_get_expr(adbin, adrelid)
                    FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
                    WHERE adrelid = id AND attname = 'post_id') AS said FROM tree)
                SELECT id FROM defaults WHERE said IS NOT DISTINCT FROM
                    (SELECT said FROM defaults WHERE id = 'views'::regclass))
            LOOP
                EXECUTE 'ALTER TABLE ONLY ' || part ||
                    $change$ ALTER COLUMN post_id DROP DEFAULT$change$;
            END LOOP;
        END $$
        """
    )
    op.drop_constraint(op.f("fk_views_post"), "views", type_="foreignkey")
    op.drop_constraint(op.f("ck_views_post_is_known"), "views", type_="check")
    op.drop_constraint(op.f("pk_views"), "views", type_="primary")
    op.drop_index(op.f("ix_views_day_post_id"), table_name="views")
    op.alter_column("views", "post_id", nullable=True)
    # what refuses NULL there is a partition's own, if it had a primary key before the table had
    found = op.get_bind().execute(partitions, {"table": "views", "ending": None})
    for partition, _ in found.all():
        op.execute(f"ALTER TABLE {partition} ALTER COLUMN post_id DROP NOT NULL")
    op.execute("ALTER TABLE views RENAME CONSTRAINT ck_views_post_is_known_old TO ck_views_post_is_known")
    op.execute("ALTER INDEX ix_views_day_post_id_old RENAME TO ix_views_day_post_id")
    op.execute("ALTER TABLE views RENAME CONSTRAINT fk_views_post_old TO fk_views_post")
    op.alter_column("views", "post_id", new_column_name="post_id_new")
    op.alter_column("views", "post_id_old", new_column_name="post_id")
    op.alter_column("views", "post_id", server_default=sa.text("1"))
    op.alter_column("views", "post_id", nullable=False)
    op.drop_constraint(op.f("views_post_id_old_required"), "views", type_="check")
    # the table's takes over what each partition has by then, and builds nothing
    found = op.get_bind().execute(partitions, {"table": "views", "ending": "pk_views_old"})
    for partition, name in found.all():
        op.execute(f"ALTER TABLE {partition} ADD CONSTRAINT {name} PRIMARY KEY USING INDEX {name}")
    op.create_primary_key(op.f("pk_views"), "views", ["post_id", "day"])
    # the partitions' indexes get their later names, too, where these are free
    op.execute(
        """
        DO $$ DECLARE part regclass; own text; BEGIN
            FOR part, own IN
                SELECT DISTINCT ON (t.relnamespace, n) relid, CASE WHEN octet_length(n) < 64 THEN n ELSE
                    left(n, 7) || md5(n) END
                FROM pg_class w, pg_partition_tree(w.oid)
                JOIN pg_index ON indexrelid = relid JOIN pg_class t ON t.oid = indrelid,
                    concat(t.relname, '_', w.relname) n
                WHERE w.oid IN ('pk_views'::regclass, 'ix_views_day_post_id'::regclass) AND level > 0
                    AND NOT EXISTS (SELECT FROM pg_class c
                    WHERE c.relnamespace = t.relnamespace
                        AND c.relname = CASE WHEN octet_length(n) < 64 THEN n ELSE left(n, 7) || md5(n)
                        END)
            LOOP
                EXECUTE format('ALTER INDEX %s RENAME TO %I', part, own);
            END LOOP;
        END $$
        """
    )
    # the partitions' foreign keys get their later name, too, where it is free
    op.execute(
        """
        DO $$ DECLARE part regclass; own name; BEGIN
            FOR part, own IN
                WITH RECURSIVE keys AS (SELECT oid, conrelid FROM pg_constraint
                    WHERE conrelid = 'views'::regclass AND conname = 'fk_views_post'
                    UNION SELECT k.oid, k.conrelid FROM pg_constraint k JOIN keys p
                    ON k.conparentid = p.oid AND k.conrelid <> p.conrelid)
                SELECT k.conrelid, k.conname FROM pg_constraint k JOIN keys USING (oid)
                WHERE NOT EXISTS (SELECT FROM pg_constraint o
                    WHERE o.conrelid = k.conrelid AND o.conname = 'fk_views_post')
            LOOP
                EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', part, own, 'fk_views_post');
            END LOOP;
        END $$
        """
    )
    op.execute(hand_on)
    op.drop_column("views", "post_id_new")
