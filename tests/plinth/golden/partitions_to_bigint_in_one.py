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
    op.alter_column("views", "post_id", type_=sa.BigInteger())
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
    op.alter_column("views", "post_id", type_=sa.Integer())
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
                    $change$ ALTER COLUMN post_id SET DEFAULT 1$change$;
            END LOOP;
        END $$
        """
    )
    op.create_foreign_key(op.f("fk_views_post"), "views", "posts", ["post_id"], ["id"])
