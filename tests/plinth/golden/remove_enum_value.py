"""remove enum value to the shop

Revision ID: 20260101000001
Revises: 20260101000000
Create Date: 2026-01-01 00:00:00
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20260101000001"
down_revision = "20260101000000"
branch_labels = None
depends_on = None
deploy = "after"  # running code may still use what goes here: first the code, then this


def upgrade() -> None:
    op.execute("CREATE TYPE post_state_new AS ENUM ('draft')")
    # A second column takes the place of state: in place, the table would be written anew while
    # nobody can use it. Until then a trigger keeps the two equal.
    op.add_column(
        "posts",
        sa.Column(
            "state_new",
            postgresql.ENUM("draft", name="post_state_new", create_type=False),
            nullable=True,
        ),
    )
    op.execute(
        "CREATE FUNCTION posts_state_new() RETURNS trigger LANGUAGE plpgsql SET search_path FROM "
        "CURRENT AS $keep$ BEGIN NEW.state_new := NEW.state::text::post_state_new; RETURN NEW; END "
        "$keep$"
    )
    op.execute(
        "CREATE TRIGGER posts_state_new BEFORE INSERT OR UPDATE ON posts FOR EACH ROW EXECUTE "
        "FUNCTION posts_state_new()"
    )
    op.execute("ALTER TABLE posts ENABLE ALWAYS TRIGGER posts_state_new")
    with op.get_context().autocommit_block():
        op.execute(
            """
            DO $$ DECLARE low record; high record; last record; BEGIN
                SELECT id INTO low FROM posts ORDER BY id LIMIT 1;
                SELECT id INTO last FROM posts ORDER BY id DESC LIMIT 1;
                LOOP
                    SELECT id INTO high FROM posts WHERE id > low.id ORDER BY id OFFSET 999 LIMIT 1;
                    high := CASE WHEN high < last THEN high ELSE last END;
                    UPDATE posts SET state_new = state::text::post_state_new
                        WHERE state_new IS NULL AND id BETWEEN low.id AND high.id;
                    COMMIT; RAISE DEBUG '% of %', high, last;
                    EXIT WHEN high IS NOT DISTINCT FROM last; low := high; PERFORM pg_sleep(0.01);
                END LOOP;
            END $$
            """
        )
        op.create_check_constraint(
            op.f("posts_state_new_required"),
            "posts",
            "state_new IS NOT NULL",
            postgresql_not_valid=True,
        )
        op.execute("ALTER TABLE posts VALIDATE CONSTRAINT posts_state_new_required")
        op.execute("ANALYZE posts (state_new)")
    op.execute("LOCK TABLE posts IN ACCESS EXCLUSIVE MODE")
    # stops if something was written past a trigger; only where that can be any row is looked at
    op.execute(
        """
        DO $$ BEGIN
            IF EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid
                WHERE p.oid = 'posts_state_new()'::regprocedure AND (t.xmin <> p.xmin OR tgenabled <> 'A'
                OR EXISTS (SELECT FROM pg_trigger o WHERE o.tgrelid = t.tgrelid AND o.tgname > t.tgname
                    AND o.tgtype & 3 = 3 AND o.tgtype & 20 > 0
                ))) AND EXISTS (SELECT FROM posts
                    WHERE (state::text::post_state_new)::post_state_new::text IS DISTINCT
                    FROM state_new::text) THEN
                RAISE
                    'Rows of posts differ in state and state_new: trigger posts_state_new was disabled for a time, or another one comes after it (by its name). '
                    'ALTER TABLE posts ENABLE ALWAYS TRIGGER posts_state_new; '
                    'UPDATE posts SET state = state where they differ'
                    USING ERRCODE = '23000';
            END IF;
        END $$
        """
    )
    op.execute("DROP TRIGGER posts_state_new ON posts")
    op.execute("DROP FUNCTION posts_state_new()")
    op.execute("ALTER TYPE post_state RENAME TO post_state_old")
    op.execute("ALTER TYPE post_state_new RENAME TO post_state")
    op.alter_column("posts", "state", nullable=True)
    op.alter_column("posts", "state", new_column_name="state_old")
    op.alter_column("posts", "state_new", new_column_name="state")
    op.alter_column("posts", "state", nullable=False)
    op.drop_constraint(op.f("posts_state_new_required"), "posts", type_="check")
    op.drop_column("posts", "state_old")
    op.execute("DROP TYPE post_state_old")


def downgrade() -> None:
    op.execute("CREATE TYPE post_state_old AS ENUM ('draft', 'sent')")
    op.add_column(
        "posts",
        sa.Column(
            "state_old",
            postgresql.ENUM("draft", "sent", name="post_state_old", create_type=False),
            nullable=True,
        ),
    )
    op.execute(
        "CREATE FUNCTION posts_state_old() RETURNS trigger LANGUAGE plpgsql SET search_path FROM "
        "CURRENT AS $keep$ BEGIN IF NEW.state_old::text::post_state::text IS DISTINCT FROM "
        "NEW.state::text THEN NEW.state_old := NEW.state::text::post_state_old; END IF; RETURN "
        "NEW; END $keep$"
    )
    op.execute(
        "CREATE TRIGGER posts_state_old BEFORE INSERT OR UPDATE ON posts FOR EACH ROW EXECUTE "
        "FUNCTION posts_state_old()"
    )
    op.execute("ALTER TABLE posts ENABLE ALWAYS TRIGGER posts_state_old")
    with op.get_context().autocommit_block():
        op.execute(
            """
            DO $$ DECLARE low record; high record; last record; BEGIN
                SELECT id INTO low FROM posts ORDER BY id LIMIT 1;
                SELECT id INTO last FROM posts ORDER BY id DESC LIMIT 1;
                LOOP
                    SELECT id INTO high FROM posts WHERE id > low.id ORDER BY id OFFSET 999 LIMIT 1;
                    high := CASE WHEN high < last THEN high ELSE last END;
                    UPDATE posts SET state_old = state::text::post_state_old
                        WHERE state_old::text::post_state::text IS DISTINCT
                        FROM state::text AND id BETWEEN low.id AND high.id;
                    COMMIT; RAISE DEBUG '% of %', high, last;
                    EXIT WHEN high IS NOT DISTINCT FROM last; low := high; PERFORM pg_sleep(0.01);
                END LOOP;
            END $$
            """
        )
        op.create_check_constraint(
            op.f("posts_state_old_required"),
            "posts",
            "state_old IS NOT NULL",
            postgresql_not_valid=True,
        )
        op.execute("ALTER TABLE posts VALIDATE CONSTRAINT posts_state_old_required")
        op.execute("ANALYZE posts (state_old)")
    op.execute("LOCK TABLE posts IN ACCESS EXCLUSIVE MODE")
    # stops if something was written past a trigger; only where that can be any row is looked at
    op.execute(
        """
        DO $$ BEGIN
            IF EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid
                WHERE p.oid = 'posts_state_old()'::regprocedure AND (t.xmin <> p.xmin OR tgenabled <> 'A'
                OR EXISTS (SELECT FROM pg_trigger o WHERE o.tgrelid = t.tgrelid AND o.tgname > t.tgname
                    AND o.tgtype & 3 = 3 AND o.tgtype & 20 > 0
                ))) AND EXISTS (SELECT FROM posts WHERE state_old::text::post_state::text IS DISTINCT
                    FROM state::text) THEN
                RAISE
                    'Rows of posts differ in state and state_old: trigger posts_state_old was disabled for a time, or another one comes after it (by its name). '
                    'ALTER TABLE posts ENABLE ALWAYS TRIGGER posts_state_old; '
                    'UPDATE posts SET state = state where they differ'
                    USING ERRCODE = '23000';
            END IF;
        END $$
        """
    )
    op.execute("DROP TRIGGER posts_state_old ON posts")
    op.execute("DROP FUNCTION posts_state_old()")
    op.execute("ALTER TYPE post_state RENAME TO post_state_new")
    op.execute("ALTER TYPE post_state_old RENAME TO post_state")
    op.alter_column("posts", "state", nullable=True)
    op.alter_column("posts", "state", new_column_name="state_new")
    op.alter_column("posts", "state_old", new_column_name="state")
    op.alter_column("posts", "state", nullable=False)
    op.drop_constraint(op.f("posts_state_old_required"), "posts", type_="check")
    op.drop_column("posts", "state_new")
    op.execute("DROP TYPE post_state_new")
