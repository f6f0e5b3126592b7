"""drop column to the shop

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
deploy = "after"  # running code may still use what goes here: first the code, then this


def upgrade() -> None:
    op.drop_column("posts", "author_id")


def downgrade() -> None:
    # The values of author_id are gone.
    op.add_column("posts", sa.Column("author_id", sa.Integer(), nullable=True))
