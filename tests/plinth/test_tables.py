"""The two first tables, column for column, as PostgreSQL's catalog prints them."""

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

# name, type, required, default
USERS = [
    ("id", "integer", True, "nextval('users_id_seq'::regclass)"),
    ("created_at", "timestamp with time zone", True, None),
    ("updated_at", "timestamp with time zone", False, None),
    ("deleted_at", "timestamp with time zone", False, None),
    ("first_name", "character varying(255)", False, None),
    ("last_name", "character varying(255)", False, None),
    ("email", "character varying(255)", False, None),
]
AUTHENTICATION = [
    ("id", "integer", True, "nextval('authentication_id_seq'::regclass)"),
    ("created_at", "timestamp with time zone", True, None),
    ("updated_at", "timestamp with time zone", False, None),
    ("type", "character varying(255)", True, None),
    ("identifier", "character varying(255)", True, None),
    ("password", "character varying(255)", False, None),
    ("data", "json", False, None),
    ("user_id", "integer", True, None),
]

COLUMNS = text("""
    select attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)
    from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
    where attrelid = to_regclass(:table) and attnum > 0 and not attisdropped
    order by attnum
""")
KEYS = text("""
    select conname, pg_get_constraintdef(oid)
    from pg_constraint where conrelid = to_regclass(:table) and contype in ('p', 'f')
    order by conname
""")


@pytest.mark.parametrize(("table", "columns"), [("users", USERS), ("authentication", AUTHENTICATION)])
def test_columns(session: Session, table: str, columns: list[tuple[object, ...]]) -> None:
    assert [tuple(row) for row in session.execute(COLUMNS, {"table": table})] == columns


def test_keys(session: Session) -> None:
    assert [tuple(row) for row in session.execute(KEYS, {"table": "users"})] == [
        ("pk_users", "PRIMARY KEY (id)")
    ]
    assert [tuple(row) for row in session.execute(KEYS, {"table": "authentication"})] == [
        (
            "fk_authentication_user_id_users",
            "FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE",
        ),
        ("pk_authentication", "PRIMARY KEY (id)"),
    ]
