"""A view that changes keeps what was granted on it: it is replaced, or else the file says what is lost."""

import argparse

from alembic import command
from sqlalchemy import Column, Engine, Integer, MetaData, Table

from tests.plinth.history import History, psql
from tests.plinth.kinds.kind import also


def autogenerate(history: History, engine: Engine, view: str) -> str:
    """Let the models have a view, and return the file that was written for it."""
    metadata = MetaData()
    Table("t", metadata, Column("id", Integer, primary_key=True), Column("n", Integer))
    also(metadata, view)
    known = set((history.folder / "versions").iterdir())
    config = history.config(engine)
    config.cmd_opts = argparse.Namespace(x=["prove=no"])
    config.attributes["target_metadata"] = metadata
    command.revision(config, message="take a step", autogenerate=True)
    command.upgrade(history.config(engine), "head")
    (file,) = set((history.folder / "versions").glob("*.py")) - known
    return file.read_text()


def test_it_is_replaced_where_postgresql_can(history: History, empty_engine: Engine) -> None:
    autogenerate(history, empty_engine, "create view v as select id, n from t")
    with psql(empty_engine.url) as connection:
        connection.execute("grant select on v to public")
    replaced = autogenerate(history, empty_engine, "create view v as select id, n, n + 1 as m from t")
    upgrade, downgrade = replaced.split("def downgrade")
    assert "CREATE OR REPLACE VIEW v" in upgrade
    assert "DROP VIEW" not in upgrade
    assert "GRANT" not in upgrade
    assert "# What only another database grants on it goes with it: grant it there again." in downgrade
    assert "GRANT SELECT ON v TO PUBLIC" in downgrade
