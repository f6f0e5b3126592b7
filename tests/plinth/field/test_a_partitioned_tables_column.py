"""A column of a partitioned table goes after the code, too, and rows can be inserted without it before."""

from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Column, Date, Integer, MetaData, String, Table

from tests.plinth.field.changing import Changing
from tests.plinth.history import psql


def config(changing: Changing, *columns: "Column[Any]", x: tuple[str, ...] = ()) -> Config:
    metadata = MetaData()
    by_day = "RANGE (day)"
    Table("p", metadata, Column("id", Integer), Column("day", Date), *columns, postgresql_partition_by=by_day)
    found = changing.config(x=x)
    found.attributes["target_metadata"] = metadata
    return found


@pytest.mark.slow
def test_a_partitioned_tables_column_goes_after_the_code(changing: Changing) -> None:
    versions = changing.history.folder / "versions"
    name: Column[Any] = Column("name", String(20), nullable=False)
    command.revision(config(changing, name), "begin", autogenerate=True)
    changing.upgrade()
    with psql(changing.engine.url) as connection:
        connection.execute("create table p_all partition of p default")
    known = set(versions.glob("*.py"))
    command.revision(config(changing), "drop it", autogenerate=True)
    eased, dropped = (file.read_text() for file in sorted(set(versions.glob("*.py")) - known))
    assert 'op.alter_column("p", "name", nullable=True)' in eased
    assert 'deploy = "after"' in dropped
    command.upgrade(config(changing, x=("after=no",)), "head")
    with psql(changing.engine.url) as connection:
        connection.execute("insert into p (id, day) values (1, '2026-01-01')")
    changing.upgrade()
    command.check(config(changing))
