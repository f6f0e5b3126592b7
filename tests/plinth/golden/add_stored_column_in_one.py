"""add stored column to the shop

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
    op.add_column(
        "users",
        sa.Column("shout", sa.Text(), sa.Computed("upper(name)", persisted=True), nullable=True),
    )
    op.create_index(op.f("ix_users_shout"), "users", ["shout"])


def downgrade() -> None:
    op.drop_index(op.f("ix_users_shout"), table_name="users")
    op.drop_column("users", "shout")
