"""shorten column to the shop: add uq_users_email_new

Revision ID: 20260101000004
Revises: 20260101000003
Create Date: 2026-01-01 00:00:00

Change: 20260101000001, step 4 of 7
"""

from alembic import op

revision = "20260101000004"
down_revision = "20260101000003"
branch_labels = None
depends_on = None
repeatable = True  # after an interruption, it is simply run again


def upgrade() -> None:
    op.execute("ALTER TABLE users ADD CONSTRAINT uq_users_email_new UNIQUE USING INDEX uq_users_email_new")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_constraint(op.f("uq_users_email_new"), "users", type_="unique", if_exists=True)
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
