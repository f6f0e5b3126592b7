"""add authentication sign-in keys

Revision ID: 20261124161510
Revises: 20151009155020
Create Date: 2026-11-24 16:15:13.758759+00:00
"""

from alembic import op

revision = "20261124161510"
down_revision = "20151009155020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            op.f("ix_authentication_user_id"),
            "authentication",
            ["user_id"],
            postgresql_concurrently=True,
        )
        op.create_index(
            op.f("uq_authentication_type_identifier"),
            "authentication",
            ["type", "identifier"],
            unique=True,
            postgresql_concurrently=True,
        )
    op.execute(
        "ALTER TABLE authentication ADD CONSTRAINT uq_authentication_type_identifier UNIQUE "
        "USING INDEX uq_authentication_type_identifier"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("uq_authentication_type_identifier"), "authentication", type_="unique")
    with op.get_context().autocommit_block():
        op.drop_index(
            op.f("ix_authentication_user_id"),
            table_name="authentication",
            postgresql_concurrently=True,
        )
