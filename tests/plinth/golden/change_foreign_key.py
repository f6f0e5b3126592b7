"""change foreign key to the shop

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
        op.create_index(op.f("ix_users_name"), "users", ["name"], postgresql_concurrently=True)
    op.drop_constraint(op.f("fk_notes_user_id_users"), "notes", type_="foreignkey")
    op.create_foreign_key(
        op.f("fk_notes_user_id_users"),
        "notes",
        "users",
        ["user_id"],
        ["id"],
        ondelete="RESTRICT",
        postgresql_not_valid=True,
    )
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE notes VALIDATE CONSTRAINT fk_notes_user_id_users")


def downgrade() -> None:
    op.drop_constraint(op.f("fk_notes_user_id_users"), "notes", type_="foreignkey")
    op.create_foreign_key(
        op.f("fk_notes_user_id_users"),
        "notes",
        "users",
        ["user_id"],
        ["id"],
        ondelete="CASCADE",
        postgresql_not_valid=True,
    )
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE notes VALIDATE CONSTRAINT fk_notes_user_id_users")
        op.drop_index(op.f("ix_users_name"), table_name="users", postgresql_concurrently=True)
