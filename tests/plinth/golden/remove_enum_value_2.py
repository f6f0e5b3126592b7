"""drop posts state_old and drop post_state_old

Revision ID: 20260101000002
Revises: 20260101000001
Create Date: 2026-01-01 00:00:00

Change: 20260101000001, step 2 of 2
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20260101000002"
down_revision = "20260101000001"
branch_labels = None
depends_on = None
deploy = "after"  # running code may still use what goes here: first the code, then this


def upgrade() -> None:
    op.drop_column("posts", "state_old")
    op.execute("DROP TYPE post_state_old")


def downgrade() -> None:
    op.execute("CREATE TYPE post_state_old AS ENUM ('draft', 'sent')")
    op.add_column(
        "posts",
        sa.Column(
            "state_old",
            postgresql.ENUM("draft", "sent", name="post_state_old", create_type=False),
            nullable=True,
        ),
    )
