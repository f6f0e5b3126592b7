"""add required column to the shop

Revision ID: 20260101000001
Revises: 20260101000000
Create Date: 2026-01-01 00:00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "20260101000001"
down_revision = "20260101000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("country", sa.String(length=2), nullable=True))
    # Until all rows have a value, a trigger gives one to each row that is written.
    op.execute(
        "CREATE FUNCTION users_country_filled() RETURNS trigger LANGUAGE plpgsql SET search_path "
        "FROM CURRENT AS $keep$ BEGIN IF NEW.country IS NULL THEN NEW.country := 'CH'; END IF; "
        "RETURN NEW; END $keep$"
    )
    op.execute(
        "CREATE TRIGGER users_country_filled BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE "
        "FUNCTION users_country_filled()"
    )
    op.execute("ALTER TABLE users ENABLE ALWAYS TRIGGER users_country_filled")
    with op.get_context().autocommit_block():
        op.execute(
            """
            DO $$ DECLARE low record; high record; last record; BEGIN
                SELECT id INTO low FROM users ORDER BY id LIMIT 1;
                SELECT id INTO last FROM users ORDER BY id DESC LIMIT 1;
                LOOP
                    SELECT id INTO high FROM users WHERE id > low.id ORDER BY id OFFSET 999 LIMIT 1;
                    high := CASE WHEN high < last THEN high ELSE last END;
                    UPDATE users SET country = 'CH' WHERE country IS NULL AND id BETWEEN low.id AND high.id;
                    COMMIT; RAISE DEBUG '% of %', high, last;
                    EXIT WHEN high IS NOT DISTINCT FROM last; low := high; PERFORM pg_sleep(0.01);
                END LOOP;
            END $$
            """
        )
        op.create_check_constraint(
            op.f("users_country_required"),
            "users",
            "country IS NOT NULL",
            postgresql_not_valid=True,
        )
        op.execute("ALTER TABLE users VALIDATE CONSTRAINT users_country_required")
    op.alter_column("users", "country", nullable=False)
    op.drop_constraint(op.f("users_country_required"), "users", type_="check")
    op.execute("DROP TRIGGER users_country_filled ON users")
    op.execute("DROP FUNCTION users_country_filled()")


def downgrade() -> None:
    op.drop_column("users", "country")
