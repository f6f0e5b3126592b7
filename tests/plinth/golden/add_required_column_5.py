"""add required column to the shop: validate users_country_required

Revision ID: 20260101000005
Revises: 20260101000004
Create Date: 2026-01-01 00:00:00

Change: 20260101000001, step 5 of 6
"""

from alembic import op

revision = "20260101000005"
down_revision = "20260101000004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE users VALIDATE CONSTRAINT users_country_required")


def downgrade() -> None:
    op.drop_constraint(op.f("users_country_required"), "users", type_="check")
    op.create_check_constraint(
        op.f("users_country_required"),
        "users",
        "country IS NOT NULL",
        postgresql_not_valid=True,
    )
