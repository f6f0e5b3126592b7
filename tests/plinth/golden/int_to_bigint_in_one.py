"""int to bigint to the shop

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
    op.alter_column("posts", "likes", server_default=None)
    op.alter_column("posts", "likes", type_=sa.BigInteger())
    op.alter_column("posts", "likes", server_default="0")


def downgrade() -> None:
    op.alter_column("posts", "likes", server_default=None)
    op.alter_column("posts", "likes", type_=sa.Integer())
    op.alter_column("posts", "likes", server_default=sa.text("0"))
