"""remove enum value to the shop

Revision ID: 20260101000001
Revises: 20260101000000
Create Date: 2026-01-01 00:00:00
"""

from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20260101000001"
down_revision = "20260101000000"
branch_labels = None
depends_on = None
deploy = "after"  # running code may still use what goes here: first the code, then this


def upgrade() -> None:
    op.execute("ALTER TYPE post_state RENAME TO post_state_old")
    op.execute("CREATE TYPE post_state AS ENUM ('draft')")
    op.alter_column(
        "posts",
        "state",
        type_=postgresql.ENUM("draft", name="post_state", create_type=False),
        postgresql_using="state::text::post_state",
    )
    op.execute("DROP TYPE post_state_old")


def downgrade() -> None:
    op.execute("ALTER TYPE post_state ADD VALUE 'sent'")
