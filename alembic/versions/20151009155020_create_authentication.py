"""create authentication

Revision ID: 20151009155020
Revises: 20151009115505
Create Date: 2015-10-09 15:50:20+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "20151009155020"
down_revision = "20151009115505"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "authentication",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("identifier", sa.String(length=255), nullable=False),
        sa.Column("password", sa.String(length=255), nullable=True),
        sa.Column("data", sa.JSON(), nullable=True),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_authentication_user_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_authentication")),
    )


def downgrade() -> None:
    op.drop_table("authentication")
