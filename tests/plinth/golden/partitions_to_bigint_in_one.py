"""partitions to bigint to the shop

Revision ID: 20260101000001
Revises: 20260101000000
Create Date: 2026-01-01 00:00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "20260101000001"
down_revision = "20260101000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint(op.f("fk_views_post"), "views", type_="foreignkey")
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
    op.alter_column("views", "post_id", type_=sa.BigInteger())
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
                    $change$ ALTER COLUMN post_id SET DEFAULT '1'$change$;
            END LOOP;
        END $$
        """
    )
    op.create_foreign_key(op.f("fk_views_post"), "views", "posts", ["post_id"], ["id"])


def downgrade() -> None:
    op.drop_constraint(op.f("fk_views_post"), "views", type_="foreignkey")
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
    op.alter_column("views", "post_id", type_=sa.Integer())
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
                    $change$ ALTER COLUMN post_id SET DEFAULT 1$change$;
            END LOOP;
        END $$
        """
    )
    op.create_foreign_key(op.f("fk_views_post"), "views", "posts", ["post_id"], ["id"])
