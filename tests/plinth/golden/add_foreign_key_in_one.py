"""add foreign key to the shop

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
    op.create_foreign_key(op.f("fk_posts_author_id_users"), "posts", "users", ["author_id"], ["id"])


def downgrade() -> None:
    op.drop_constraint(op.f("fk_posts_author_id_users"), "posts", type_="foreignkey")
