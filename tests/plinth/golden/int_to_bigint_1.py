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


def downgrade() -> None:
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
    op.drop_column("posts", "likes_new")
