"""What PostgreSQL 18 brought, said with DDL listeners where SQLAlchemy has no words for it."""

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, MetaData, PrimaryKeyConstraint, Table, Text
from sqlalchemy.dialects.postgresql import INT4RANGE

from tests.plinth.kinds.kind import Kind, Models, also, kept, nothing, t


def with_statements(*statements: str) -> Models:
    def models(m: MetaData) -> None:
        table = t(m, Column("n", Integer), Column("r", INT4RANGE), Column("s", Text, nullable=False))
        for statement in statements:
            also(table, statement)

    return models


def change(name: str, before: Models, after: Models, **options: Any) -> Kind:
    rows = ("insert into t (n, r, s) values (1, '[1,5)', 'a')",)
    return Kind(
        f"18.{name}",
        before,
        after,
        rows=rows,
        checks=(kept("select count(*) from t", 1),),
        server=18,
        **options,
    )


def alike(*names: str, table: str = "t", **types: Any) -> Models:
    """Return models of a table whose columns have long names that differ in their last letter."""

    def models(m: MetaData) -> None:
        columns = (
            Column("c" * 59 + each, types.get(each, Integer), nullable=False, info={"backfill": "7"})
            for each in names
        )
        Table(table, m, *columns, PrimaryKeyConstraint("c" * 59 + "b", "c" * 59 + "a", name="pk"))

    return models


ALIKE = ("insert into t select n, -n from generate_series(1, 9) n",)
plain = with_statements()
NOT_ENFORCED = "ALTER TABLE t ADD CONSTRAINT c CHECK (n > 0) NOT ENFORCED"
OVERLAPS = "ALTER TABLE t ADD CONSTRAINT u UNIQUE (id, r WITHOUT OVERLAPS)"
NAMED = "ALTER TABLE t ADD CONSTRAINT n_given NOT NULL n"
NOT_VALID = "ALTER TABLE t ADD CONSTRAINT n_given NOT NULL n NOT VALID"
BTREE_GIST = ("create extension btree_gist",)


def temporal(*statements: str) -> Models:
    def models(m: MetaData) -> None:
        p = Table("p", m, Column("id", Integer, nullable=False), Column("r", INT4RANGE, nullable=False))
        child = t(m, Column("p_id", Integer), Column("r", INT4RANGE))
        also(p, "ALTER TABLE p ADD CONSTRAINT pk_p PRIMARY KEY (id, r WITHOUT OVERLAPS)")
        child.add_is_dependent_on(p)
        for statement in statements:
            also(child, statement)

    return models


def _referring(m: MetaData, key: str, foreign_key: str) -> None:
    p = Table("p", m, Column("id", Integer, nullable=False), Column("r", INT4RANGE, nullable=False))
    child = t(m, Column("p_id", Integer), Column("r", INT4RANGE))
    also(p, f"ALTER TABLE p ADD CONSTRAINT uq_p {key}")
    child.add_is_dependent_on(p)
    also(child, f"ALTER TABLE t ADD CONSTRAINT fk_t {foreign_key}")


KINDS = [
    Kind("18.columns_that_begin_alike", nothing, alike("a", "b"), server=18),
    Kind("18.columns_that_begin_alike_the_other_way_round", nothing, alike("b", "a", "c"), server=18),
    Kind("18.column_that_begins_alike_comes", alike("a", "b"), alike("a", "b", "c"), rows=ALIKE, server=18),
    Kind(
        "18.column_that_begins_alike_gets_another_type",
        alike("a", "b"),
        alike("a", "b", a=BigInteger),
        rows=ALIKE,
        server=18,
    ),
    Kind("18.columns_that_begin_alike_in_a_long_table", nothing, alike("a", "b", table="t" * 60), server=18),
    change("check_not_enforced_add", plain, with_statements(NOT_ENFORCED)),
    change("check_not_enforced_drop", with_statements(NOT_ENFORCED), plain),
    change(
        "check_enforced",
        with_statements(NOT_ENFORCED),
        with_statements(NOT_ENFORCED.removesuffix(" NOT ENFORCED")),
    ),
    change(
        "check_not_enforced",
        with_statements(NOT_ENFORCED.removesuffix(" NOT ENFORCED")),
        with_statements(NOT_ENFORCED),
    ),
    change("without_overlaps_add", plain, with_statements(OVERLAPS), prepare=BTREE_GIST),
    change("without_overlaps_drop", with_statements(OVERLAPS), plain, prepare=BTREE_GIST),
    change(
        "without_overlaps_change",
        with_statements("ALTER TABLE t ADD CONSTRAINT u UNIQUE (id, r)"),
        with_statements(OVERLAPS),
        prepare=BTREE_GIST,
    ),
    Kind(
        "18.temporal_foreign_key_add",
        temporal(),
        temporal("ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (p_id, PERIOD r) REFERENCES p (id, PERIOD r)"),
        prepare=BTREE_GIST,
        server=18,
    ),
    Kind(
        "18.temporal_foreign_key_drop",
        temporal("ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (p_id, PERIOD r) REFERENCES p (id, PERIOD r)"),
        temporal(),
        prepare=BTREE_GIST,
        server=18,
    ),
    Kind(
        "18.key_and_foreign_key_become_temporal",
        lambda m: _referring(m, "UNIQUE (id, r)", "FOREIGN KEY (p_id, r) REFERENCES p (id, r)"),
        lambda m: _referring(
            m, "UNIQUE (id, r WITHOUT OVERLAPS)", "FOREIGN KEY (p_id, PERIOD r) REFERENCES p (id, PERIOD r)"
        ),
        rows=("insert into p values (1, '[1,5)')", "insert into t (p_id, r) values (1, '[1,5)')"),
        prepare=BTREE_GIST,
        server=18,
    ),
    change("named_not_null_add", plain, with_statements(NAMED)),
    change("named_not_null_drop", with_statements(NAMED), plain),
    change(
        "named_not_null_rename", with_statements(NAMED), with_statements(NAMED.replace("n_given", "n_other"))
    ),
    change("not_null_not_valid", plain, with_statements(NOT_VALID), refusal="NOT VALID"),
]
