"""add authentication sign-in keys: add uq_authentication_type_identifier

Revision ID: 20261124161510
Revises: 20261124161509
Create Date: 2026-11-24 16:15:14.601086+00:00

Change: 20261124161508, step 3 of 3
"""

from alembic import op

revision = "20261124161510"
down_revision = "20261124161509"
branch_labels = None
depends_on = None
repeatable = True  # after an interruption, it is simply run again


def upgrade() -> None:
    op.execute(
        "ALTER TABLE authentication ADD CONSTRAINT uq_authentication_type_identifier UNIQUE "
        "USING INDEX uq_authentication_type_identifier"
    )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_constraint(
            op.f("uq_authentication_type_identifier"),
            "authentication",
            type_="unique",
            if_exists=True,
        )
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
