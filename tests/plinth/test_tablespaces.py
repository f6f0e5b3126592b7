"""Where indexes lie: a tablespace is a part of them, and they move without holding anybody up."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

from tests.plinth.kinds import Kind
from tests.plinth.kinds.kind import Models, also, kept, t
from tests.plinth.no_online_form import refuses_what_is_known
from tests.plinth.test_kinds import IN_ONE, try_kind

FAST = f'plinth "test" {os.getpid()}'
ROWS = ("insert into t values (1, 2), (2, 3)",)


@pytest.fixture(autouse=True)
def tablespace(server: URL) -> Iterator[None]:
    """A tablespace in the server's own folder."""
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    name = engine.dialect.identifier_preparer.quote(FAST)
    with engine.connect() as connection:
        if connection.scalar(sa.text("select current_setting('server_version_num')::int")) < 150000:
            pytest.skip("PostgreSQL 15")
        connection.exec_driver_sql("set allow_in_place_tablespaces = on")
        connection.exec_driver_sql(f"create tablespace {name} location ''")
    yield
    with engine.connect() as connection:
        connection.exec_driver_sql(f"drop tablespace {name}")


def indexed(tablespace: str | None = None, where: str | None = "n > 1") -> Models:
    predicate = None if where is None else sa.text(where)
    return lambda m: t(
        m,
        sa.Column("n", sa.Integer),
        sa.Index("ix", "n", postgresql_tablespace=tablespace, postgresql_where=predicate),
    )


def unique(tablespace: str | None = None) -> Models:
    def models(m: sa.MetaData) -> None:
        table = t(m, sa.Column("n", sa.Integer), sa.UniqueConstraint("n", name="u"))
        if tablespace:
            quoted = tablespace.replace('"', '""')
            also(table, f'alter index u set tablespace "{quoted}"')
            also(table, f'alter index pk_t set tablespace "{quoted}"')

    return models


KINDS = [
    Kind("tablespace.of_an_index", indexed(), indexed(FAST), rows=ROWS),
    Kind("tablespace.of_an_index_that_changes", indexed(FAST), indexed(FAST, None), rows=ROWS),
    Kind("tablespace.of_keys", unique(), unique(FAST), rows=ROWS, checks=(kept("select sum(n) from t", 5),)),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_index_moves(kind: Kind, server: URL, tmp_path: Path) -> None:
    try_kind(kind, server, tmp_path / "online", written=functools.partial(refuses_what_is_known, kind))
    try_kind(kind, server, tmp_path / "plain", *IN_ONE)
