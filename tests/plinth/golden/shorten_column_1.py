"""shorten column to the shop

Revision ID: 20260101000001
Revises: 20260101000000
Create Date: 2026-01-01 00:00:00

Change: 20260101000001, step 1 of 2
"""

import sqlalchemy as sa
from alembic import op

revision = "20260101000001"
down_revision = "20260101000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A second column takes the place of email: in place, the table would be written anew while
    # nobody can use it. Until then a trigger keeps the two equal.
    op.add_column("users", sa.Column("email_new", sa.String(length=100), nullable=True))
    op.execute(
        "CREATE FUNCTION users_email_new() RETURNS trigger LANGUAGE plpgsql SET search_path FROM "
        "CURRENT SET DateStyle FROM CURRENT SET IntervalStyle FROM CURRENT SET TimeZone FROM "
        "CURRENT SET bytea_output FROM CURRENT SET extra_float_digits FROM CURRENT SET xmloption "
        "FROM CURRENT SET lc_monetary FROM CURRENT SET lc_numeric FROM CURRENT SET lc_time FROM "
        "CURRENT SET default_text_search_config FROM CURRENT AS $keep$ BEGIN NEW.email_new := "
        "(SELECT left(email, 100) FROM (SELECT NEW.*) AS users); RETURN NEW; END $keep$"
    )
    op.execute(
        "CREATE TRIGGER users_email_new BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE "
        "FUNCTION users_email_new()"
    )
    op.execute("ALTER TABLE users ENABLE ALWAYS TRIGGER users_email_new")
    with op.get_context().autocommit_block():
        op.execute(
            """
            DO $$ DECLARE low record; high record; last record; BEGIN
                SELECT id INTO low FROM users ORDER BY id LIMIT 1;
                SELECT id INTO last FROM users ORDER BY id DESC LIMIT 1;
                LOOP
                    SELECT id INTO high FROM users WHERE id > low.id ORDER BY id OFFSET 999 LIMIT 1;
                    high := CASE WHEN high < last THEN high ELSE last END;
                    UPDATE users SET email_new = left(email, 100)
                        WHERE email_new IS NULL AND id BETWEEN low.id AND high.id;
                    COMMIT; RAISE DEBUG '% of %', high, last;
                    EXIT WHEN high IS NOT DISTINCT FROM last; low := high; PERFORM pg_sleep(0.01);
                END LOOP;
            END $$
            """
        )
        op.execute(
            """
            DO $$ BEGIN
                IF EXISTS (SELECT FROM users WHERE email_new IS NOT DISTINCT
                    FROM NULL AND (left(email, 100)) IS DISTINCT FROM NULL) THEN
                    RAISE USING ERRCODE = '23000', MESSAGE =
                        'Rows of users get no value in email_new: a trigger or rule keeps updates from them. '
                        || 'Disable it, UPDATE users SET email_new = left(email, 100) WHERE email_new IS NULL, enable it';
                END IF;
            END $$
            """
        )
        op.create_index(
            op.f("uq_users_email_new"),
            "users",
            ["email_new"],
            unique=True,
            postgresql_concurrently=True,
        )
        op.execute(
            "ALTER TABLE users ADD CONSTRAINT uq_users_email_new UNIQUE USING INDEX uq_users_email_new"
        )
        op.execute("ANALYZE users (email_new)")
    op.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
    # stops if something was written past a trigger; only where that can be any row is looked at
    op.execute(
        """
        DO $$ BEGIN
            IF EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid
                WHERE p.oid = 'users_email_new()'::regprocedure AND (t.xmin <> p.xmin OR tgenabled <> 'A'
                OR EXISTS (SELECT FROM pg_trigger o WHERE o.tgrelid = t.tgrelid AND o.tgname > t.tgname
                    AND o.tgtype & 3 = 3 AND o.tgtype & 20 > 0
                ))) AND EXISTS (SELECT FROM users
                    WHERE (left(email, 100))::character varying(100)::text IS DISTINCT
                    FROM email_new::text) THEN
                RAISE
                    'Rows of users differ in email and email_new: trigger users_email_new was disabled for a time, or another one comes after it (by its name). '
                    'ALTER TABLE users ENABLE ALWAYS TRIGGER users_email_new; '
                    'UPDATE users SET email = email where they differ'
                    USING ERRCODE = '23000';
            END IF;
        END $$
        """
    )
    op.execute("DROP TRIGGER users_email_new ON users")
    op.execute("DROP FUNCTION users_email_new()")
    op.drop_constraint(op.f("uq_users_email"), "users", type_="unique")
    op.execute("ALTER TABLE users RENAME CONSTRAINT uq_users_email_new TO uq_users_email")
    op.alter_column("users", "email", new_column_name="email_old")
    op.alter_column("users", "email_new", new_column_name="email")


def downgrade() -> None:
    op.execute(
        "CREATE FUNCTION users_email_old() RETURNS trigger LANGUAGE plpgsql SET search_path FROM "
        "CURRENT SET DateStyle FROM CURRENT SET IntervalStyle FROM CURRENT SET TimeZone FROM "
        "CURRENT SET bytea_output FROM CURRENT SET extra_float_digits FROM CURRENT SET xmloption "
        "FROM CURRENT SET lc_monetary FROM CURRENT SET lc_numeric FROM CURRENT SET lc_time FROM "
        "CURRENT SET default_text_search_config FROM CURRENT AS $keep$ BEGIN IF (SELECT (SELECT "
        "left(email, 100) FROM (SELECT email_old AS email) AS users)::character varying(100)::text "
        "IS DISTINCT FROM email::text FROM (SELECT NEW.*) AS users) THEN NEW.email_old := (SELECT "
        "email FROM (SELECT NEW.*) AS users); END IF; RETURN NEW; END $keep$"
    )
    op.execute(
        "CREATE TRIGGER users_email_old BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE "
        "FUNCTION users_email_old()"
    )
    op.execute("ALTER TABLE users ENABLE ALWAYS TRIGGER users_email_old")
    with op.get_context().autocommit_block():
        op.execute(
            """
            DO $$ DECLARE low record; high record; last record; BEGIN
                SELECT id INTO low FROM users ORDER BY id LIMIT 1;
                SELECT id INTO last FROM users ORDER BY id DESC LIMIT 1;
                LOOP
                    SELECT id INTO high FROM users WHERE id > low.id ORDER BY id OFFSET 999 LIMIT 1;
                    high := CASE WHEN high < last THEN high ELSE last END;
                    UPDATE users SET email_old = email WHERE (SELECT left(email, 100)
                        FROM (SELECT email_old AS email) AS users)::character varying(100)::text IS DISTINCT
                        FROM email::text AND id BETWEEN low.id AND high.id;
                    COMMIT; RAISE DEBUG '% of %', high, last;
                    EXIT WHEN high IS NOT DISTINCT FROM last; low := high; PERFORM pg_sleep(0.01);
                END LOOP;
            END $$
            """
        )
        op.execute(
            """
            DO $$ BEGIN
                IF EXISTS (SELECT FROM users WHERE email_old IS NOT DISTINCT FROM NULL AND (email) IS DISTINCT
                    FROM NULL AND (SELECT left(email, 100)
                    FROM (SELECT email_old AS email) AS users)::character varying(100)::text IS DISTINCT
                    FROM email::text) THEN
                    RAISE USING ERRCODE = '23000', MESSAGE =
                        'Rows of users get no value in email_old: a trigger or rule keeps updates from them. '
                        || 'Disable it, UPDATE users SET email_old = email WHERE email_old IS NULL, enable it';
                END IF;
            END $$
            """
        )
        op.create_index(
            op.f("uq_users_email_old"),
            "users",
            ["email_old"],
            unique=True,
            postgresql_concurrently=True,
        )
        op.execute(
            "ALTER TABLE users ADD CONSTRAINT uq_users_email_old UNIQUE USING INDEX uq_users_email_old"
        )
        op.execute("ANALYZE users (email_old)")
    op.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
    # stops if something was written past a trigger; only where that can be any row is looked at
    op.execute(
        """
        DO $$ BEGIN
            IF EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid
                WHERE p.oid = 'users_email_old()'::regprocedure AND (t.xmin <> p.xmin OR tgenabled <> 'A'
                OR EXISTS (SELECT FROM pg_trigger o WHERE o.tgrelid = t.tgrelid AND o.tgname > t.tgname
                    AND o.tgtype & 3 = 3 AND o.tgtype & 20 > 0
                ))) AND EXISTS (SELECT FROM users WHERE (SELECT left(email, 100)
                    FROM (SELECT email_old AS email) AS users)::character varying(100)::text IS DISTINCT
                    FROM email::text) THEN
                RAISE
                    'Rows of users differ in email and email_old: trigger users_email_old was disabled for a time, or another one comes after it (by its name). '
                    'ALTER TABLE users ENABLE ALWAYS TRIGGER users_email_old; '
                    'UPDATE users SET email = email where they differ'
                    USING ERRCODE = '23000';
            END IF;
        END $$
        """
    )
    op.execute("DROP TRIGGER users_email_old ON users")
    op.execute("DROP FUNCTION users_email_old()")
    op.drop_constraint(op.f("uq_users_email"), "users", type_="unique")
    op.execute("ALTER TABLE users RENAME CONSTRAINT uq_users_email_old TO uq_users_email")
    op.alter_column("users", "email", new_column_name="email_new")
    op.alter_column("users", "email_old", new_column_name="email")
    op.drop_column("users", "email_new")
