"""shorten column to the shop: add email_new

Revision ID: 20260101000001
Revises: 20260101000000
Create Date: 2026-01-01 00:00:00

Change: 20260101000001, step 1 of 7
"""

import sqlalchemy as sa
from alembic import op

revision = "20260101000001"
down_revision = "20260101000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("email_new", sa.String(length=100), nullable=True))
    op.execute(
        "CREATE FUNCTION users_email_new() RETURNS trigger LANGUAGE plpgsql AS $keep$ BEGIN "
        "NEW.email_new := (SELECT left(email, 100) FROM (SELECT NEW.*) AS users); RETURN "
        "NEW; END $keep$"
    )
    op.execute(
        "CREATE TRIGGER users_email_new BEFORE INSERT OR UPDATE ON users FOR EACH ROW "
        "EXECUTE FUNCTION users_email_new()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER users_email_new ON users")
    op.execute("DROP FUNCTION users_email_new()")
    op.drop_column("users", "email_new")
