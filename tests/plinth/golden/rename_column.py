"""rename column to the shop

Revision ID: 20260101000001
Revises: 20260101000000
Create Date: 2026-01-01 00:00:00
"""

from alembic import op

revision = "20260101000001"
down_revision = "20260101000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("users", "email", new_column_name="email_address")
    op.execute("ALTER TABLE users RENAME CONSTRAINT uq_users_email TO uq_users_email_address")


def downgrade() -> None:
    op.execute("ALTER TABLE users RENAME CONSTRAINT uq_users_email_address TO uq_users_email")
    op.alter_column("users", "email_address", new_column_name="email")
