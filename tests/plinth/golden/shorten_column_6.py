"""shorten column to the shop: drop uq_users_email_old

Revision ID: 20260101000006
Revises: 20260101000005
Create Date: 2026-01-01 00:00:00

Change: 20260101000001, step 6 of 7
"""

from alembic import op

revision = "20260101000006"
down_revision = "20260101000005"
branch_labels = None
depends_on = None
repeatable = True  # after an interruption, it is simply run again


def upgrade() -> None:
    op.drop_constraint(op.f("uq_users_email_old"), "users", type_="unique")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_constraint(op.f("uq_users_email_old"), "users", type_="unique", if_exists=True)
        op.drop_index(
            op.f("uq_users_email_old"),
            table_name="users",
            postgresql_concurrently=True,
            if_exists=True,
        )
        op.create_index(
            op.f("uq_users_email_old"),
            "users",
            ["email_old"],
            unique=True,
            postgresql_concurrently=True,
        )
        op.execute(
            "ALTER TABLE users ADD CONSTRAINT uq_users_email_old UNIQUE USING INDEX uq_users_email_old"
        )
