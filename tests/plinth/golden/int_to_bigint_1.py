"""int to bigint to the shop

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
    hand_on = """
    DO $$ DECLARE
        had text[] := nullif(current_setting('plinth.had', true), ''); has text[]; away text[]; each text;
        why text := '';
    BEGIN
        PERFORM set_config('jit', 'off', true);  -- while nobody can use the tables
        FOR turn IN 1..3 LOOP
            WITH RECURSIVE own (class, id) AS (
                SELECT 'pg_class'::regclass::oid, its::oid FROM unnest('{"posts"}'::regclass[]) its
                UNION SELECT 'pg_constraint'::regclass, oid FROM pg_constraint
                WHERE confrelid = ANY ('{"posts"}'::regclass[])
                UNION SELECT classid, objid FROM own JOIN pg_depend ON (refclassid, refobjid) = (class, id)
                WHERE deptype IN ('a', 'i')
            ), relations AS (
                SELECT c.*, format('ALTER TABLE ONLY %s ', oid::regclass) AS alter
                FROM own JOIN pg_class c ON oid = id
                WHERE class = 'pg_class'::regclass
                    AND relname <> ALL ('{"likes_new","posts_likes_new","posts_likes_new_required"}'::text[])
            ), columns AS (
                SELECT a.*, relowner, format('%sALTER %I ', alter, attname) AS alter
                FROM relations r JOIN pg_attribute a ON attrelid = r.oid
                WHERE relkind IN ('r', 'p', 'v', 'm') AND attnum > 0 AND NOT attisdropped
                    AND attname <> ALL ('{"likes_new","posts_likes_new","posts_likes_new_required"}'::text[])
            ), said (place, what, name, away) AS (
                SELECT 1, replace(regexp_replace(def, ' WHEN \\(\\((.*) AND \\(current_setting\\(''plinth\\.fills''::text,\\ true\\)\\ IS\\ DISTINCT\\ FROM\\ ''on''::text\\)\\)\\) EXECUTE FUNCTION ', ' WHEN (\\1) EXECUTE FUNCTION '),
                    ' WHEN ((current_setting(''plinth.fills''::text, true) IS DISTINCT FROM ''on''::text)) EXECUTE FUNCTION ', ' EXECUTE FUNCTION '), tgname,
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
                    ('REPLICA IDENTITY ' || CASE r.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
                        END)
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
                    UNION ALL SELECT format('ALTER INDEX %s ALTER %s SET STATISTICS ', attrelid::regclass,
                        attnum)
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
                WHERE state <> 'O'
                    AND its <> ALL ('{"likes_new","posts_likes_new","posts_likes_new_required"}'::text[])
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
                    SELECT oid, relowner, '', CASE relkind WHEN 'S' THEN 'SEQUENCE ' END, relacl
                        FROM relations
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
                WHERE a.object_names[cardinality(a.object_names)] <> ALL
                    ('{"likes_new","posts_likes_new","posts_likes_new_required"}'::text[])
                UNION ALL SELECT 4, concat(replace(pg_describe_object(class, id, part), 'rule _RETURN on ',
                    ''),
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
                WHERE contype IS DISTINCT
                    FROM 'n'
                    AND NOT a.object_names &&
                    '{"likes_new","posts_likes_new","posts_likes_new_required"}'::text[]
                    AND (class <> 'pg_attrdef'::regclass
                        OR a.object_names[cardinality(a.object_names)] <> attname)
                UNION ALL SELECT 4, format('table %s on %s', inhrelid::regclass, oid::regclass), NULL, NULL
                FROM relations JOIN pg_inherits ON inhparent = oid WHERE relkind = 'r' AND had IS NULL
                UNION ALL SELECT 5, concat('the query of materialized view ', oid::regclass,
                    pg_get_viewdef(oid)),
                    relname, NULL
                FROM relations WHERE relkind = 'm'
                UNION ALL SELECT 5, format('the %s of %s.%I', said, attrelid::regclass, attname), attname,
                    NULL
                FROM columns LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum), LATERAL (
                    VALUES (CASE WHEN attnotnull AND attidentity = '' THEN 'NOT NULL' END),
                        ('default ' || regexp_replace(pg_get_expr(adbin, adrelid),
                            '::[\\w." ]+(\\([\\d,]+\\))?(\\[\\])?|[()'']', '', 'g'))
                ) it (said)
                WHERE said <> '' AND attgenerated = ''
            ) SELECT coalesce(array_agg(what ORDER BY place, what), '{}'),
                array_agg(said.away) FILTER (WHERE said.away <> '' AND what <> ALL (had))
            INTO has, away FROM said
            WHERE what IS NOT NULL
                AND coalesce(name <> ALL
                ('{"likes_new","posts_likes_new","posts_likes_new_required"}'::text[]), true)
                AND (place NOT IN (1, 5) OR coalesce(name <> ALL ('{}'::text[]), true));
            IF had IS NULL THEN
                PERFORM set_config('plinth.had', has::text, true);
                RETURN;
            END IF;
            IF turn = 1 THEN
                FOREACH each IN ARRAY coalesce(away, '{}') LOOP EXECUTE each; END LOOP;
            END IF;
            FOR each IN SELECT it FROM unnest(had) WITH ORDINALITY AS l (it, n)
                WHERE it NOT IN (SELECT unnest(has)) ORDER BY n LOOP
                CONTINUE WHEN turn > 1 AND each ~ '^(CREATE|ALTER PUBLICATION) ' OR turn < 3
                    AND each !~ '^[A-Z]';
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
        PERFORM set_config('plinth.had', '', true);
    END $$
    """
    # A second column takes the place of likes: in place, the table would be written anew while
    # nobody can use it. Until then a trigger keeps the two equal.
    op.add_column("posts", sa.Column("likes_new", sa.BigInteger(), nullable=True))
    op.execute(
        "CREATE FUNCTION posts_likes_new() RETURNS trigger LANGUAGE plpgsql SET search_path FROM "
        "CURRENT AS $keep$ BEGIN NEW.likes_new := NEW.likes; RETURN NEW; END $keep$"
    )
    op.execute(
        "CREATE TRIGGER posts_likes_new BEFORE INSERT OR UPDATE ON posts FOR EACH ROW EXECUTE "
        "FUNCTION posts_likes_new()"
    )
    op.execute("ALTER TABLE posts ENABLE ALWAYS TRIGGER posts_likes_new")
    with op.get_context().autocommit_block():
        op.execute(
            """
            DO $$ DECLARE low record; high record; last record; BEGIN
                SELECT id INTO low FROM posts ORDER BY id LIMIT 1;
                SELECT id INTO last FROM posts ORDER BY id DESC LIMIT 1;
                LOOP
                    SELECT id INTO high FROM posts WHERE id > low.id ORDER BY id OFFSET 999 LIMIT 1;
                    high := CASE WHEN high < last THEN high ELSE last END;
                    UPDATE posts SET likes_new = likes
                        WHERE likes_new IS NULL AND id BETWEEN low.id AND high.id;
                    COMMIT; RAISE DEBUG '% of %', high, last;
                    EXIT WHEN high IS NOT DISTINCT FROM last; low := high; PERFORM pg_sleep(0.01);
                END LOOP;
            END $$
            """
        )
        op.create_check_constraint(
            op.f("posts_likes_new_required"),
            "posts",
            "likes_new IS NOT NULL",
            postgresql_not_valid=True,
        )
        op.execute("ALTER TABLE posts VALIDATE CONSTRAINT posts_likes_new_required")
        op.execute("ANALYZE posts (likes_new)")
    op.execute(hand_on)
    op.execute("LOCK TABLE posts IN ACCESS EXCLUSIVE MODE")
    # stops if something was written past a trigger; only where that can be any row is looked at
    op.execute(
        """
        DO $$ BEGIN
            IF EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid
                WHERE p.oid = 'posts_likes_new()'::regprocedure AND (t.xmin <> p.xmin OR tgenabled <> 'A'
                OR EXISTS (SELECT FROM pg_trigger o WHERE o.tgrelid = t.tgrelid AND o.tgname > t.tgname
                    AND o.tgtype & 3 = 3 AND o.tgtype & 20 > 0
                ))) AND EXISTS (SELECT FROM posts WHERE (likes)::bigint::text IS DISTINCT
                    FROM likes_new::text) THEN
                RAISE
                    'Rows of posts differ in likes and likes_new: trigger posts_likes_new was disabled for a time, or another one comes after it (by its name). '
                    'ALTER TABLE posts ENABLE ALWAYS TRIGGER posts_likes_new; '
                    'UPDATE posts SET likes = likes where they differ'
                    USING ERRCODE = '23000';
            END IF;
        END $$
        """
    )
    op.execute("DROP TRIGGER posts_likes_new ON posts")
    op.execute("DROP FUNCTION posts_likes_new()")
    op.alter_column("posts", "likes", server_default=None)
    op.alter_column("posts", "likes", nullable=True)
    op.alter_column("posts", "likes", new_column_name="likes_old")
    op.alter_column("posts", "likes_new", new_column_name="likes")
    op.alter_column("posts", "likes", server_default="0")
    op.alter_column("posts", "likes", nullable=False)
    op.drop_constraint(op.f("posts_likes_new_required"), "posts", type_="check")
    op.execute(hand_on)


def downgrade() -> None:
    hand_on = """
    DO $$ DECLARE
        had text[] := nullif(current_setting('plinth.had', true), ''); has text[]; away text[]; each text;
        why text := '';
    BEGIN
        PERFORM set_config('jit', 'off', true);  -- while nobody can use the tables
        FOR turn IN 1..3 LOOP
            WITH RECURSIVE own (class, id) AS (
                SELECT 'pg_class'::regclass::oid, its::oid FROM unnest('{"posts"}'::regclass[]) its
                UNION SELECT 'pg_constraint'::regclass, oid FROM pg_constraint
                WHERE confrelid = ANY ('{"posts"}'::regclass[])
                UNION SELECT classid, objid FROM own JOIN pg_depend ON (refclassid, refobjid) = (class, id)
                WHERE deptype IN ('a', 'i')
            ), relations AS (
                SELECT c.*, format('ALTER TABLE ONLY %s ', oid::regclass) AS alter
                FROM own JOIN pg_class c ON oid = id
                WHERE class = 'pg_class'::regclass
                    AND relname <> ALL ('{"likes_old","posts_likes_old","posts_likes_old_required"}'::text[])
            ), columns AS (
                SELECT a.*, relowner, format('%sALTER %I ', alter, attname) AS alter
                FROM relations r JOIN pg_attribute a ON attrelid = r.oid
                WHERE relkind IN ('r', 'p', 'v', 'm') AND attnum > 0 AND NOT attisdropped
                    AND attname <> ALL ('{"likes_old","posts_likes_old","posts_likes_old_required"}'::text[])
            ), said (place, what, name, away) AS (
                SELECT 1, replace(regexp_replace(def, ' WHEN \\(\\((.*) AND \\(current_setting\\(''plinth\\.fills''::text,\\ true\\)\\ IS\\ DISTINCT\\ FROM\\ ''on''::text\\)\\)\\) EXECUTE FUNCTION ', ' WHEN (\\1) EXECUTE FUNCTION '),
                    ' WHEN ((current_setting(''plinth.fills''::text, true) IS DISTINCT FROM ''on''::text)) EXECUTE FUNCTION ', ' EXECUTE FUNCTION '), tgname,
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
                    ('REPLICA IDENTITY ' || CASE r.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
                        END)
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
                    UNION ALL SELECT format('ALTER INDEX %s ALTER %s SET STATISTICS ', attrelid::regclass,
                        attnum)
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
                WHERE state <> 'O'
                    AND its <> ALL ('{"likes_old","posts_likes_old","posts_likes_old_required"}'::text[])
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
                    SELECT oid, relowner, '', CASE relkind WHEN 'S' THEN 'SEQUENCE ' END, relacl
                        FROM relations
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
                WHERE a.object_names[cardinality(a.object_names)] <> ALL
                    ('{"likes_old","posts_likes_old","posts_likes_old_required"}'::text[])
                UNION ALL SELECT 4, concat(replace(pg_describe_object(class, id, part), 'rule _RETURN on ',
                    ''),
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
                WHERE contype IS DISTINCT
                    FROM 'n'
                    AND NOT a.object_names &&
                    '{"likes_old","posts_likes_old","posts_likes_old_required"}'::text[]
                    AND (class <> 'pg_attrdef'::regclass
                        OR a.object_names[cardinality(a.object_names)] <> attname)
                UNION ALL SELECT 4, format('table %s on %s', inhrelid::regclass, oid::regclass), NULL, NULL
                FROM relations JOIN pg_inherits ON inhparent = oid WHERE relkind = 'r' AND had IS NULL
                UNION ALL SELECT 5, concat('the query of materialized view ', oid::regclass,
                    pg_get_viewdef(oid)),
                    relname, NULL
                FROM relations WHERE relkind = 'm'
                UNION ALL SELECT 5, format('the %s of %s.%I', said, attrelid::regclass, attname), attname,
                    NULL
                FROM columns LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum), LATERAL (
                    VALUES (CASE WHEN attnotnull AND attidentity = '' THEN 'NOT NULL' END),
                        ('default ' || regexp_replace(pg_get_expr(adbin, adrelid),
                            '::[\\w." ]+(\\([\\d,]+\\))?(\\[\\])?|[()'']', '', 'g'))
                ) it (said)
                WHERE said <> '' AND attgenerated = ''
            ) SELECT coalesce(array_agg(what ORDER BY place, what), '{}'),
                array_agg(said.away) FILTER (WHERE said.away <> '' AND what <> ALL (had))
            INTO has, away FROM said
            WHERE what IS NOT NULL
                AND coalesce(name <> ALL
                ('{"likes_old","posts_likes_old","posts_likes_old_required"}'::text[]), true)
                AND (place NOT IN (1, 5) OR coalesce(name <> ALL ('{}'::text[]), true));
            IF had IS NULL THEN
                PERFORM set_config('plinth.had', has::text, true);
                RETURN;
            END IF;
            IF turn = 1 THEN
                FOREACH each IN ARRAY coalesce(away, '{}') LOOP EXECUTE each; END LOOP;
            END IF;
            FOR each IN SELECT it FROM unnest(had) WITH ORDINALITY AS l (it, n)
                WHERE it NOT IN (SELECT unnest(has)) ORDER BY n LOOP
                CONTINUE WHEN turn > 1 AND each ~ '^(CREATE|ALTER PUBLICATION) ' OR turn < 3
                    AND each !~ '^[A-Z]';
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
        PERFORM set_config('plinth.had', '', true);
    END $$
    """
    op.execute(
        "CREATE FUNCTION posts_likes_old() RETURNS trigger LANGUAGE plpgsql SET search_path FROM "
        "CURRENT AS $keep$ BEGIN IF NEW.likes_old::bigint::text IS DISTINCT FROM NEW.likes::text "
        "THEN NEW.likes_old := NEW.likes; END IF; RETURN NEW; END $keep$"
    )
    op.execute(
        "CREATE TRIGGER posts_likes_old BEFORE INSERT OR UPDATE ON posts FOR EACH ROW EXECUTE "
        "FUNCTION posts_likes_old()"
    )
    op.execute("ALTER TABLE posts ENABLE ALWAYS TRIGGER posts_likes_old")
    with op.get_context().autocommit_block():
        op.execute(
            """
            DO $$ DECLARE low record; high record; last record; BEGIN
                SELECT id INTO low FROM posts ORDER BY id LIMIT 1;
                SELECT id INTO last FROM posts ORDER BY id DESC LIMIT 1;
                LOOP
                    SELECT id INTO high FROM posts WHERE id > low.id ORDER BY id OFFSET 999 LIMIT 1;
                    high := CASE WHEN high < last THEN high ELSE last END;
                    UPDATE posts SET likes_old = likes WHERE likes_old::bigint::text IS DISTINCT
                        FROM likes::text AND id BETWEEN low.id AND high.id;
                    COMMIT; RAISE DEBUG '% of %', high, last;
                    EXIT WHEN high IS NOT DISTINCT FROM last; low := high; PERFORM pg_sleep(0.01);
                END LOOP;
            END $$
            """
        )
        op.create_check_constraint(
            op.f("posts_likes_old_required"),
            "posts",
            "likes_old IS NOT NULL",
            postgresql_not_valid=True,
        )
        op.execute("ALTER TABLE posts VALIDATE CONSTRAINT posts_likes_old_required")
        op.execute("ANALYZE posts (likes_old)")
    op.execute(hand_on)
    op.execute("LOCK TABLE posts IN ACCESS EXCLUSIVE MODE")
    # stops if something was written past a trigger; only where that can be any row is looked at
    op.execute(
        """
        DO $$ BEGIN
            IF EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid
                WHERE p.oid = 'posts_likes_old()'::regprocedure AND (t.xmin <> p.xmin OR tgenabled <> 'A'
                OR EXISTS (SELECT FROM pg_trigger o WHERE o.tgrelid = t.tgrelid AND o.tgname > t.tgname
                    AND o.tgtype & 3 = 3 AND o.tgtype & 20 > 0
                ))) AND EXISTS (SELECT FROM posts WHERE likes_old::bigint::text IS DISTINCT
                    FROM likes::text) THEN
                RAISE
                    'Rows of posts differ in likes and likes_old: trigger posts_likes_old was disabled for a time, or another one comes after it (by its name). '
                    'ALTER TABLE posts ENABLE ALWAYS TRIGGER posts_likes_old; '
                    'UPDATE posts SET likes = likes where they differ'
                    USING ERRCODE = '23000';
            END IF;
        END $$
        """
    )
    op.execute("DROP TRIGGER posts_likes_old ON posts")
    op.execute("DROP FUNCTION posts_likes_old()")
    op.alter_column("posts", "likes", server_default=None)
    op.alter_column("posts", "likes", nullable=True)
    op.alter_column("posts", "likes", new_column_name="likes_new")
    op.alter_column("posts", "likes_old", new_column_name="likes")
    op.alter_column("posts", "likes", server_default=sa.text("0"))
    op.alter_column("posts", "likes", nullable=False)
    op.drop_constraint(op.f("posts_likes_old_required"), "posts", type_="check")
    op.execute(hand_on)
    op.drop_column("posts", "likes_new")
