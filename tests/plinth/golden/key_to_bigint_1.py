"""key to bigint to the shop

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
    op.execute("ALTER SEQUENCE users_id_seq AS bigint")
    # Second columns take the places of notes.user_id, users.id, all at once: in place, the
    # table would be written anew while nobody can use it. Until then triggers keep them equal.
    op.add_column("notes", sa.Column("user_id_new", sa.BigInteger(), nullable=True))
    op.execute(
        "CREATE FUNCTION notes_user_id_new() RETURNS trigger LANGUAGE plpgsql SET search_path FROM "
        "CURRENT AS $keep$ BEGIN NEW.user_id_new := NEW.user_id; RETURN NEW; END $keep$"
    )
    op.execute(
        "CREATE TRIGGER notes_user_id_new BEFORE INSERT OR UPDATE ON notes FOR EACH ROW EXECUTE "
        "FUNCTION notes_user_id_new()"
    )
    op.execute("ALTER TABLE notes ENABLE ALWAYS TRIGGER notes_user_id_new")
    # a commit, so that no lock is held on two tables
    with op.get_context().autocommit_block():
        pass
    op.add_column("users", sa.Column("id_new", sa.BigInteger(), nullable=True))
    op.execute(
        "CREATE FUNCTION users_id_new() RETURNS trigger LANGUAGE plpgsql SET search_path FROM "
        "CURRENT AS $keep$ BEGIN NEW.id_new := NEW.id; RETURN NEW; END $keep$"
    )
    op.execute(
        "CREATE TRIGGER users_id_new BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE "
        "FUNCTION users_id_new()"
    )
    op.execute("ALTER TABLE users ENABLE ALWAYS TRIGGER users_id_new")
    with op.get_context().autocommit_block():
        op.execute(
            """
            DO $$ DECLARE low record; high record; last record; BEGIN
                SELECT id INTO low FROM notes ORDER BY id LIMIT 1;
                SELECT id INTO last FROM notes ORDER BY id DESC LIMIT 1;
                LOOP
                    SELECT id INTO high FROM notes WHERE id > low.id ORDER BY id OFFSET 999 LIMIT 1;
                    high := CASE WHEN high < last THEN high ELSE last END;
                    UPDATE notes SET user_id_new = user_id
                        WHERE user_id_new IS NULL AND id BETWEEN low.id AND high.id;
                    COMMIT; RAISE DEBUG '% of %', high, last;
                    EXIT WHEN high IS NOT DISTINCT FROM last; low := high; PERFORM pg_sleep(0.01);
                END LOOP;
            END $$
            """
        )
        op.execute(
            """
            DO $$ DECLARE low record; high record; last record; BEGIN
                SELECT id INTO low FROM users ORDER BY id LIMIT 1;
                SELECT id INTO last FROM users ORDER BY id DESC LIMIT 1;
                LOOP
                    SELECT id INTO high FROM users WHERE id > low.id ORDER BY id OFFSET 999 LIMIT 1;
                    high := CASE WHEN high < last THEN high ELSE last END;
                    UPDATE users SET id_new = id WHERE id_new IS NULL AND id BETWEEN low.id AND high.id;
                    COMMIT; RAISE DEBUG '% of %', high, last;
                    EXIT WHEN high IS NOT DISTINCT FROM last; low := high; PERFORM pg_sleep(0.01);
                END LOOP;
            END $$
            """
        )
        op.create_check_constraint(
            op.f("notes_user_id_new_required"),
            "notes",
            "user_id_new IS NOT NULL",
            postgresql_not_valid=True,
        )
        op.execute("ALTER TABLE notes VALIDATE CONSTRAINT notes_user_id_new_required")
        op.create_check_constraint(
            op.f("users_id_new_required"),
            "users",
            "id_new IS NOT NULL",
            postgresql_not_valid=True,
        )
        op.execute("ALTER TABLE users VALIDATE CONSTRAINT users_id_new_required")
        op.create_index(
            op.f("ix_notes_user_id_new"),
            "notes",
            ["user_id_new"],
            postgresql_concurrently=True,
        )
        op.create_index(
            op.f("pk_users_new"),
            "users",
            ["id_new"],
            unique=True,
            postgresql_concurrently=True,
        )
        op.execute("ANALYZE notes (user_id_new)")
        op.execute("ANALYZE users (id_new)")
        op.create_foreign_key(
            op.f("fk_notes_user_id_users_new"),
            "notes",
            "users",
            ["user_id_new"],
            ["id_new"],
            ondelete="CASCADE",
            postgresql_not_valid=True,
        )
        op.execute("ALTER TABLE notes VALIDATE CONSTRAINT fk_notes_user_id_users_new")
    # all at once, in a transaction that changes the catalog only
    op.execute("LOCK TABLE users, notes IN ACCESS EXCLUSIVE MODE")
    # stops if something was written past a trigger; only where that can be any row is looked at
    op.execute(
        """
        DO $$ BEGIN
            IF EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid
                WHERE p.oid = 'notes_user_id_new()'::regprocedure AND (t.xmin <> p.xmin
                    OR tgenabled <> 'A'
                OR EXISTS (SELECT FROM pg_trigger o WHERE o.tgrelid = t.tgrelid AND o.tgname > t.tgname
                    AND o.tgtype & 3 = 3 AND o.tgtype & 20 > 0
                ))) AND EXISTS (SELECT FROM notes WHERE (user_id)::bigint::text IS DISTINCT
                    FROM user_id_new::text) THEN
                RAISE
                    'Rows of notes differ in user_id and user_id_new: trigger notes_user_id_new was disabled for a time, or another one comes after it (by its name). '
                    'ALTER TABLE notes ENABLE ALWAYS TRIGGER notes_user_id_new; '
                    'UPDATE notes SET user_id = user_id where they differ'
                    USING ERRCODE = '23000';
            END IF;
            IF EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid
                WHERE p.oid = 'users_id_new()'::regprocedure AND (t.xmin <> p.xmin OR tgenabled <> 'A'
                OR EXISTS (SELECT FROM pg_trigger o WHERE o.tgrelid = t.tgrelid AND o.tgname > t.tgname
                    AND o.tgtype & 3 = 3 AND o.tgtype & 20 > 0
                ))) AND EXISTS (SELECT FROM users WHERE (id)::bigint::text IS DISTINCT
                    FROM id_new::text) THEN
                RAISE
                    'Rows of users differ in id and id_new: trigger users_id_new was disabled for a time, or another one comes after it (by its name). '
                    'ALTER TABLE users ENABLE ALWAYS TRIGGER users_id_new; '
                    'UPDATE users SET id = id where they differ'
                    USING ERRCODE = '23000';
            END IF;
        END $$
        """
    )
    op.execute("DROP TRIGGER notes_user_id_new ON notes")
    op.execute("DROP FUNCTION notes_user_id_new()")
    op.execute("DROP TRIGGER users_id_new ON users")
    op.execute("DROP FUNCTION users_id_new()")
    op.alter_column("users", "id", server_default=None)
    op.drop_constraint(op.f("fk_notes_user_id_users"), "notes", type_="foreignkey")
    op.drop_index(op.f("ix_notes_user_id"), table_name="notes")
    op.drop_constraint(op.f("pk_users"), "users", type_="primary")
    op.alter_column("notes", "user_id", nullable=True)
    op.alter_column("users", "id", nullable=True)
    op.execute("ALTER INDEX ix_notes_user_id_new RENAME TO ix_notes_user_id")
    op.execute("ALTER TABLE notes RENAME CONSTRAINT fk_notes_user_id_users_new TO fk_notes_user_id_users")
    op.alter_column("notes", "user_id", new_column_name="user_id_old")
    op.alter_column("notes", "user_id_new", new_column_name="user_id")
    op.alter_column("users", "id", new_column_name="id_old")
    op.alter_column("users", "id_new", new_column_name="id")
    op.alter_column("notes", "user_id", nullable=False)
    op.drop_constraint(op.f("notes_user_id_new_required"), "notes", type_="check")
    op.alter_column("users", "id", server_default=sa.text("nextval('users_id_seq'::regclass)"))
    op.alter_column("users", "id", nullable=False)
    op.drop_constraint(op.f("users_id_new_required"), "users", type_="check")
    op.execute("ALTER SEQUENCE users_id_seq OWNED BY users.id")
    op.execute("ALTER TABLE users ADD CONSTRAINT pk_users PRIMARY KEY USING INDEX pk_users_new")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        # stops if a number is too large for integer, before any trigger would
        op.execute(
            "SELECT max(id)::integer, min(id)::integer, (SELECT last_value::integer FROM "
            "users_id_seq) FROM users"
        )
    op.execute(
        "CREATE FUNCTION notes_user_id_old() RETURNS trigger LANGUAGE plpgsql SET search_path FROM "
        "CURRENT AS $keep$ BEGIN IF NEW.user_id_old::bigint::text IS DISTINCT FROM "
        "NEW.user_id::text THEN NEW.user_id_old := NEW.user_id; END IF; RETURN NEW; END $keep$"
    )
    op.execute(
        "CREATE TRIGGER notes_user_id_old BEFORE INSERT OR UPDATE ON notes FOR EACH ROW EXECUTE "
        "FUNCTION notes_user_id_old()"
    )
    op.execute("ALTER TABLE notes ENABLE ALWAYS TRIGGER notes_user_id_old")
    # a commit, so that no lock is held on two tables
    with op.get_context().autocommit_block():
        pass
    op.execute(
        "CREATE FUNCTION users_id_old() RETURNS trigger LANGUAGE plpgsql SET search_path FROM "
        "CURRENT AS $keep$ BEGIN IF NEW.id_old::bigint::text IS DISTINCT FROM NEW.id::text THEN "
        "NEW.id_old := NEW.id; END IF; RETURN NEW; END $keep$"
    )
    op.execute(
        "CREATE TRIGGER users_id_old BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE "
        "FUNCTION users_id_old()"
    )
    op.execute("ALTER TABLE users ENABLE ALWAYS TRIGGER users_id_old")
    with op.get_context().autocommit_block():
        op.execute(
            """
            DO $$ DECLARE low record; high record; last record; BEGIN
                SELECT id INTO low FROM notes ORDER BY id LIMIT 1;
                SELECT id INTO last FROM notes ORDER BY id DESC LIMIT 1;
                LOOP
                    SELECT id INTO high FROM notes WHERE id > low.id ORDER BY id OFFSET 999 LIMIT 1;
                    high := CASE WHEN high < last THEN high ELSE last END;
                    UPDATE notes SET user_id_old = user_id WHERE user_id_old::bigint::text IS DISTINCT
                        FROM user_id::text AND id BETWEEN low.id AND high.id;
                    COMMIT; RAISE DEBUG '% of %', high, last;
                    EXIT WHEN high IS NOT DISTINCT FROM last; low := high; PERFORM pg_sleep(0.01);
                END LOOP;
            END $$
            """
        )
        op.execute(
            """
            DO $$ DECLARE low record; high record; last record; BEGIN
                SELECT id INTO low FROM users ORDER BY id LIMIT 1;
                SELECT id INTO last FROM users ORDER BY id DESC LIMIT 1;
                LOOP
                    SELECT id INTO high FROM users WHERE id > low.id ORDER BY id OFFSET 999 LIMIT 1;
                    high := CASE WHEN high < last THEN high ELSE last END;
                    UPDATE users SET id_old = id WHERE id_old::bigint::text IS DISTINCT
                        FROM id::text AND id BETWEEN low.id AND high.id;
                    COMMIT; RAISE DEBUG '% of %', high, last;
                    EXIT WHEN high IS NOT DISTINCT FROM last; low := high; PERFORM pg_sleep(0.01);
                END LOOP;
            END $$
            """
        )
        op.create_check_constraint(
            op.f("notes_user_id_old_required"),
            "notes",
            "user_id_old IS NOT NULL",
            postgresql_not_valid=True,
        )
        op.execute("ALTER TABLE notes VALIDATE CONSTRAINT notes_user_id_old_required")
        op.create_check_constraint(
            op.f("users_id_old_required"),
            "users",
            "id_old IS NOT NULL",
            postgresql_not_valid=True,
        )
        op.execute("ALTER TABLE users VALIDATE CONSTRAINT users_id_old_required")
        op.create_index(
            op.f("ix_notes_user_id_old"),
            "notes",
            ["user_id_old"],
            postgresql_concurrently=True,
        )
        op.create_index(
            op.f("pk_users_old"),
            "users",
            ["id_old"],
            unique=True,
            postgresql_concurrently=True,
        )
        op.execute("ANALYZE notes (user_id_old)")
        op.execute("ANALYZE users (id_old)")
        op.create_foreign_key(
            op.f("fk_notes_user_id_users_old"),
            "notes",
            "users",
            ["user_id_old"],
            ["id_old"],
            ondelete="CASCADE",
            postgresql_not_valid=True,
        )
        op.execute("ALTER TABLE notes VALIDATE CONSTRAINT fk_notes_user_id_users_old")
    # all at once, in a transaction that changes the catalog only
    op.execute("LOCK TABLE users, notes IN ACCESS EXCLUSIVE MODE")
    # stops if something was written past a trigger; only where that can be any row is looked at
    op.execute(
        """
        DO $$ BEGIN
            IF EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid
                WHERE p.oid = 'notes_user_id_old()'::regprocedure AND (t.xmin <> p.xmin
                    OR tgenabled <> 'A'
                OR EXISTS (SELECT FROM pg_trigger o WHERE o.tgrelid = t.tgrelid AND o.tgname > t.tgname
                    AND o.tgtype & 3 = 3 AND o.tgtype & 20 > 0
                ))) AND EXISTS (SELECT FROM notes WHERE user_id_old::bigint::text IS DISTINCT
                    FROM user_id::text) THEN
                RAISE
                    'Rows of notes differ in user_id and user_id_old: trigger notes_user_id_old was disabled for a time, or another one comes after it (by its name). '
                    'ALTER TABLE notes ENABLE ALWAYS TRIGGER notes_user_id_old; '
                    'UPDATE notes SET user_id = user_id where they differ'
                    USING ERRCODE = '23000';
            END IF;
            IF EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid
                WHERE p.oid = 'users_id_old()'::regprocedure AND (t.xmin <> p.xmin OR tgenabled <> 'A'
                OR EXISTS (SELECT FROM pg_trigger o WHERE o.tgrelid = t.tgrelid AND o.tgname > t.tgname
                    AND o.tgtype & 3 = 3 AND o.tgtype & 20 > 0
                ))) AND EXISTS (SELECT FROM users WHERE id_old::bigint::text IS DISTINCT
                    FROM id::text) THEN
                RAISE
                    'Rows of users differ in id and id_old: trigger users_id_old was disabled for a time, or another one comes after it (by its name). '
                    'ALTER TABLE users ENABLE ALWAYS TRIGGER users_id_old; '
                    'UPDATE users SET id = id where they differ'
                    USING ERRCODE = '23000';
            END IF;
        END $$
        """
    )
    op.execute("DROP TRIGGER notes_user_id_old ON notes")
    op.execute("DROP FUNCTION notes_user_id_old()")
    op.execute("DROP TRIGGER users_id_old ON users")
    op.execute("DROP FUNCTION users_id_old()")
    op.alter_column("users", "id", server_default=None)
    op.drop_constraint(op.f("fk_notes_user_id_users"), "notes", type_="foreignkey")
    op.drop_index(op.f("ix_notes_user_id"), table_name="notes")
    op.drop_constraint(op.f("pk_users"), "users", type_="primary")
    op.alter_column("notes", "user_id", nullable=True)
    op.alter_column("users", "id", nullable=True)
    op.execute("ALTER INDEX ix_notes_user_id_old RENAME TO ix_notes_user_id")
    op.execute("ALTER TABLE notes RENAME CONSTRAINT fk_notes_user_id_users_old TO fk_notes_user_id_users")
    op.alter_column("notes", "user_id", new_column_name="user_id_new")
    op.alter_column("notes", "user_id_old", new_column_name="user_id")
    op.alter_column("users", "id", new_column_name="id_new")
    op.alter_column("users", "id_old", new_column_name="id")
    op.alter_column("notes", "user_id", nullable=False)
    op.drop_constraint(op.f("notes_user_id_old_required"), "notes", type_="check")
    op.alter_column("users", "id", server_default=sa.text("nextval('users_id_seq'::regclass)"))
    op.alter_column("users", "id", nullable=False)
    op.drop_constraint(op.f("users_id_old_required"), "users", type_="check")
    op.execute("ALTER SEQUENCE users_id_seq OWNED BY users.id")
    op.execute("ALTER TABLE users ADD CONSTRAINT pk_users PRIMARY KEY USING INDEX pk_users_old")
    op.drop_column("notes", "user_id_new")
    op.drop_column("users", "id_new")
    with op.get_context().autocommit_block():
        op.execute("ALTER SEQUENCE users_id_seq AS integer")
