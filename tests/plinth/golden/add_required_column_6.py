"""add required column to the shop: require country

Revision ID: 20260101000006
Revises: 20260101000005
Create Date: 2026-01-01 00:00:00

Change: 20260101000001, step 6 of 6
"""

from alembic import op

revision = "20260101000006"
down_revision = "20260101000005"
branch_labels = None
depends_on = None
repeatable = True  # after an interruption, it is simply run again


def upgrade() -> None:
    op.alter_column("users", "country", nullable=False)
    op.drop_constraint(op.f("users_country_required"), "users", type_="check")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_constraint(op.f("users_country_required"), "users", type_="check", if_exists=True)
        op.create_check_constraint(
            op.f("users_country_required"),
            "users",
            "country IS NOT NULL",
            postgresql_not_valid=True,
        )
        op.execute("ALTER TABLE users VALIDATE CONSTRAINT users_country_required")
        op.alter_column("users", "country", nullable=True)
