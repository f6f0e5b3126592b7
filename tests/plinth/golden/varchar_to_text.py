"""varchar to text to the shop

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
    op.alter_column("users", "email", type_=sa.Text())


def downgrade() -> None:
    op.alter_column(
        "users",
        "email",
        type_=sa.String(length=255),
        postgresql_using="email || rpad('', char_length(email) - 255, '.')",
    )
