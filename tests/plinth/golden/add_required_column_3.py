"""add required column to the shop: let country be no longer NULL in new rows

Revision ID: 20260101000003
Revises: 20260101000002
Create Date: 2026-01-01 00:00:00

Change: 20260101000001, step 3 of 6
"""

from alembic import op

revision = "20260101000003"
down_revision = "20260101000002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_check_constraint(
        op.f("users_country_required"),
        "users",
        "country IS NOT NULL",
        postgresql_not_valid=True,
    )


def downgrade() -> None:
    op.drop_constraint(op.f("users_country_required"), "users", type_="check")
