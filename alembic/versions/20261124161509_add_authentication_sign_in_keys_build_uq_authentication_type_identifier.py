"""add authentication sign-in keys: build uq_authentication_type_identifier

Revision ID: 20261124161509
Revises: 20261124161508
Create Date: 2026-11-24 16:15:14.226466+00:00

Change: 20261124161508, step 2 of 3
"""

from alembic import op

revision = "20261124161509"
down_revision = "20261124161508"
branch_labels = None
depends_on = None
repeatable = True  # after an interruption, it is simply run again


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(
            op.f("uq_authentication_type_identifier"),
            table_name="authentication",
            postgresql_concurrently=True,
            if_exists=True,
        )
        op.create_index(
            op.f("uq_authentication_type_identifier"),
            "authentication",
            ["type", "identifier"],
            unique=True,
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(
            op.f("uq_authentication_type_identifier"),
            table_name="authentication",
            postgresql_concurrently=True,
            if_exists=True,
        )
