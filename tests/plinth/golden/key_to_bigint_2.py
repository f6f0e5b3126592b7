"""drop notes user_id_old and 1 more

Revision ID: 20260101000002
Revises: 20260101000001
Create Date: 2026-01-01 00:00:00

Change: 20260101000001, step 2 of 2
"""

import sqlalchemy as sa
from alembic import op

revision = "20260101000002"
down_revision = "20260101000001"
branch_labels = None
depends_on = None
deploy = "after"  # running code may still use what goes here: first the code, then this


def upgrade() -> None:
    op.drop_column("notes", "user_id_old")
    with op.get_context().autocommit_block():
        op.drop_column("users", "id_old")


def downgrade() -> None:
    op.add_column("users", sa.Column("id_old", sa.Integer(), nullable=True))
    with op.get_context().autocommit_block():
        op.add_column("notes", sa.Column("user_id_old", sa.Integer(), nullable=True))
