"""key to bigint to the shop

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
    op.drop_constraint(op.f("fk_notes_user_id_users"), "notes", type_="foreignkey")
    op.alter_column("notes", "user_id", type_=sa.BigInteger())
    op.alter_column("users", "id", type_=sa.BigInteger())
    op.execute("ALTER SEQUENCE users_id_seq AS bigint")
    op.create_foreign_key(
        op.f("fk_notes_user_id_users"),
        "notes",
        "users",
        ["user_id"],
        ["id"],
        ondelete="CASCADE",
    )


def downgrade() -> None:
    op.drop_constraint(op.f("fk_notes_user_id_users"), "notes", type_="foreignkey")
    op.alter_column("notes", "user_id", type_=sa.Integer())
    op.alter_column("users", "id", type_=sa.Integer())
    op.execute("ALTER SEQUENCE users_id_seq AS integer")
    op.create_foreign_key(
        op.f("fk_notes_user_id_users"),
        "notes",
        "users",
        ["user_id"],
        ["id"],
        ondelete="CASCADE",
    )
