"""shorten column to the shop: let email_new take over from email

Revision ID: 20260101000005
Revises: 20260101000004
Create Date: 2026-01-01 00:00:00

Change: 20260101000001, step 5 of 7
"""

from alembic import op

revision = "20260101000005"
down_revision = "20260101000004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DROP TRIGGER users_email_new ON users")
    op.execute("DROP FUNCTION users_email_new()")
    op.execute("ALTER TABLE users RENAME CONSTRAINT uq_users_email TO uq_users_email_old")
    op.execute("ALTER TABLE users RENAME CONSTRAINT uq_users_email_new TO uq_users_email")
    op.alter_column("users", "email", new_column_name="email_old")
    op.alter_column("users", "email_new", new_column_name="email")


def downgrade() -> None:
    # What the old column has missed is written first: writers wait as long as that takes.
    op.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
    op.execute(
        "UPDATE users SET email_old = email WHERE (SELECT left(email, 100) FROM (SELECT "
        "email_old AS email) AS users)::character varying(100)::text IS DISTINCT FROM "
        "email::text"
    )
    op.alter_column("users", "email", new_column_name="email_new")
    op.alter_column("users", "email_old", new_column_name="email")
    op.execute("ALTER TABLE users RENAME CONSTRAINT uq_users_email TO uq_users_email_new")
    op.execute("ALTER TABLE users RENAME CONSTRAINT uq_users_email_old TO uq_users_email")
    op.execute(
        "CREATE FUNCTION users_email_new() RETURNS trigger LANGUAGE plpgsql AS $keep$ BEGIN "
        "NEW.email_new := (SELECT left(email, 100) FROM (SELECT NEW.*) AS users); RETURN "
        "NEW; END $keep$"
    )
    op.execute(
        "CREATE TRIGGER users_email_new BEFORE INSERT OR UPDATE ON users FOR EACH ROW "
        "EXECUTE FUNCTION users_email_new()"
    )
