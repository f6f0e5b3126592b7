"""replace unique constraint to the shop

Revision ID: 20260101000001
Revises: 20260101000000
Create Date: 2026-01-01 00:00:00
"""

from alembic import op

revision = "20260101000001"
down_revision = "20260101000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(op.f("ix_users_email"), "users", ["email"], postgresql_concurrently=True)
        op.create_index(
            op.f("uq_users_email_name"),
            "users",
            ["email", "name"],
            unique=True,
            postgresql_concurrently=True,
        )
    op.execute("ALTER TABLE users ADD CONSTRAINT uq_users_email_name UNIQUE USING INDEX uq_users_email_name")
    op.drop_constraint(op.f("uq_users_email"), "users", type_="unique")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            op.f("uq_users_email"),
            "users",
            ["email"],
            unique=True,
            postgresql_concurrently=True,
        )
        op.execute("ALTER TABLE users ADD CONSTRAINT uq_users_email UNIQUE USING INDEX uq_users_email")
        op.drop_constraint(op.f("uq_users_email_name"), "users", type_="unique")
        op.drop_index(op.f("ix_users_email"), table_name="users", postgresql_concurrently=True)
