"""shorten column to the shop: fill email_new

Revision ID: 20260101000002
Revises: 20260101000001
Create Date: 2026-01-01 00:00:00

Change: 20260101000001, step 2 of 7
"""

import time

import sqlalchemy as sa
from alembic import op

revision = "20260101000002"
down_revision = "20260101000001"
branch_labels = None
depends_on = None
repeatable = True  # after an interruption, it is simply run again


def upgrade() -> None:
    # Each batch has a commit of its own, and passes over rows that have a value.
    with op.get_context().autocommit_block():
        if op.get_context().as_sql:
            op.execute(
                """
                DO $backfill$
                DECLARE
                    at_1 users.id%TYPE;
                    reached_1 users.id%TYPE;
                BEGIN
                    SELECT id INTO at_1 FROM users ORDER BY id LIMIT 1;
                    WHILE FOUND LOOP
                        WITH batch AS MATERIALIZED (
                            SELECT id FROM users WHERE id >= at_1 ORDER BY id LIMIT 1000
                        ), filled AS (
                            UPDATE users SET email_new = left(email, 100)
                            WHERE email_new IS NULL AND id IN (SELECT id FROM batch)
                        )
                        SELECT id INTO reached_1 FROM batch ORDER BY id DESC LIMIT 1;
                        COMMIT;
                        EXIT WHEN at_1 IS NULL OR reached_1 IS NULL OR at_1 = reached_1;
                        at_1 := reached_1;
                        PERFORM pg_sleep(0.01);
                    END LOOP;
                END $backfill$
                """
            )
            return
        batch = sa.text(
            """
            WITH batch AS MATERIALIZED (
                SELECT id FROM users WHERE id >= :key_1 ORDER BY id LIMIT 1000
            ), filled AS (
                UPDATE users SET email_new = left(email, 100)
                WHERE email_new IS NULL AND id IN (SELECT id FROM batch)
            )
            SELECT id FROM batch ORDER BY id DESC LIMIT 1
            """
        )
        connection = op.get_bind()
        at = connection.execute(sa.text("SELECT id FROM users ORDER BY id LIMIT 1")).one_or_none()
        while at:
            keys = dict(zip(["key_1"], at, strict=True))
            reached = connection.execute(batch, keys).one_or_none()
            at = None if reached == at else reached
            time.sleep(0.01)


def downgrade() -> None:
    pass
