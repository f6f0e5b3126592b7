"""rename table and column to the shop

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
    op.rename_table("posts", "articles")
    op.execute("ALTER SEQUENCE posts_id_seq RENAME TO articles_id_seq")
    op.execute("ALTER TABLE articles RENAME CONSTRAINT posts_id_not_null TO articles_id_not_null")
    op.execute("ALTER TABLE articles RENAME CONSTRAINT posts_likes_not_null TO articles_likes_not_null")
    op.execute("ALTER TABLE articles RENAME CONSTRAINT posts_state_not_null TO articles_state_not_null")
    op.execute("ALTER TABLE articles RENAME CONSTRAINT pk_posts TO pk_articles")
    # a commit, so that no lock is held on two tables
    with op.get_context().autocommit_block():
        pass
    op.alter_column("users", "email", new_column_name="email_address")
    op.execute("ALTER TABLE users RENAME CONSTRAINT uq_users_email TO uq_users_email_address")


def downgrade() -> None:
    op.execute("ALTER TABLE users RENAME CONSTRAINT uq_users_email_address TO uq_users_email")
    op.alter_column("users", "email_address", new_column_name="email")
    # a commit, so that no lock is held on two tables
    with op.get_context().autocommit_block():
        pass
    op.execute("ALTER TABLE articles RENAME CONSTRAINT pk_articles TO pk_posts")
    op.execute("ALTER TABLE articles RENAME CONSTRAINT articles_state_not_null TO posts_state_not_null")
    op.execute("ALTER TABLE articles RENAME CONSTRAINT articles_likes_not_null TO posts_likes_not_null")
    op.execute("ALTER TABLE articles RENAME CONSTRAINT articles_id_not_null TO posts_id_not_null")
    op.execute("ALTER SEQUENCE articles_id_seq RENAME TO posts_id_seq")
    op.rename_table("articles", "posts")
