"""add authentication sign-in keys: build ix_authentication_user_id

Revision ID: 20261124161508
Revises: 20151009155020
Create Date: 2026-11-24 16:15:13.758759+00:00

Change: 20261124161508, step 1 of 3
"""

from alembic import op

revision = "20261124161508"
down_revision = "20151009155020"
branch_labels = None
depends_on = None
repeatable = True  # after an interruption, it is simply run again


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(
            op.f("ix_authentication_user_id"),
            table_name="authentication",
            postgresql_concurrently=True,
            if_exists=True,
        )
        op.create_index(
            op.f("ix_authentication_user_id"),
            "authentication",
            ["user_id"],
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(
            op.f("ix_authentication_user_id"),
            table_name="authentication",
            postgresql_concurrently=True,
            if_exists=True,
        )
