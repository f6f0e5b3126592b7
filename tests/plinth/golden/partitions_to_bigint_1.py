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
                WITH RECURSIVE its AS NOT MATERIALIZED (
                    SELECT attrelid AS id, pg_get_expr(adbin, adrelid) AS said FROM pg_attribute
                    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
                    WHERE attname = 'post_id'),
                same AS (SELECT * FROM its WHERE id = 'views'::regclass
                    UNION SELECT its.* FROM same JOIN pg_inherits ON inhparent = same.id
                    JOIN its ON its.id = inhrelid AND its.said IS NOT DISTINCT FROM same.said)
                SELECT id FROM same)
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
                WITH RECURSIVE its AS NOT MATERIALIZED (
                    SELECT attrelid AS id, pg_get_expr(adbin, adrelid) AS said FROM pg_attribute
                    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
                    WHERE attname = 'post_id'),
                same AS (SELECT * FROM its WHERE id = 'views'::regclass
                    UNION SELECT its.* FROM same JOIN pg_inherits ON inhparent = same.id
                    JOIN its ON its.id = inhrelid AND its.said IS NOT DISTINCT FROM same.said)
                SELECT id FROM same)
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
    op.drop_column("views", "post_id_new")
