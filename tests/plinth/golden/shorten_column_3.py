"""shorten column to the shop: build uq_users_email_new

Revision ID: 20260101000003
Revises: 20260101000002
Create Date: 2026-01-01 00:00:00

Change: 20260101000001, step 3 of 7
"""

from alembic import op

revision = "20260101000003"
down_revision = "20260101000002"
branch_labels = None
depends_on = None
repeatable = True  # after an interruption, it is simply run again


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(
            op.f("uq_users_email_new"),
            table_name="users",
            postgresql_concurrently=True,
            if_exists=True,
        )
        op.create_index(
            op.f("uq_users_email_new"),
            "users",
            ["email_new"],
            unique=True,
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(
            op.f("uq_users_email_new"),
            table_name="users",
            postgresql_concurrently=True,
            if_exists=True,
        )
