"""add required column to the shop: validate users_country_required

Revision ID: 20260101000004
Revises: 20260101000003
Create Date: 2026-01-01 00:00:00

Change: 20260101000001, step 4 of 5
"""

from alembic import op

revision = "20260101000004"
down_revision = "20260101000003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE users SET country = 'CH' WHERE country IS NULL")
    op.execute("ALTER TABLE users VALIDATE CONSTRAINT users_country_required")


def downgrade() -> None:
    op.drop_constraint(op.f("users_country_required"), "users", type_="check")
    op.create_check_constraint(
        op.f("users_country_required"),
        "users",
        "country IS NOT NULL",
        postgresql_not_valid=True,
    )
