"""shorten column to the shop: drop email_old

Revision ID: 20260101000007
Revises: 20260101000006
Create Date: 2026-01-01 00:00:00

Change: 20260101000001, step 7 of 7
"""

import sqlalchemy as sa
from alembic import op

revision = "20260101000007"
down_revision = "20260101000006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("users", "email_old")


def downgrade() -> None:
    op.add_column("users", sa.Column("email_old", sa.String(length=255), nullable=True))
