"""Text means what it does to plain Alembic, whatever `client_encoding` a session has."""

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from tests.plinth.history import CONCURRENTLY, History, do, heads, rows

WRITE = """\
op.execute("create table t (w text)")
op.execute("insert into t values ('é')")
op.get_bind().execute(sa.text("insert into t values (:w)"), {"w": "é"})
op.get_bind().exec_driver_sql("insert into t values ('é')")
op.bulk_insert(sa.table("t", sa.column("w")), [{"w": "é"}, {"w": "é"}])
op.execute(sa.text("insert into t values ('é')").execution_options(no_parameters=True))
"""


@pytest.mark.parametrize("where", ["engine", "environment", "revision", "caller"])
def test_text_is_stored_as_it_is_written(
    history: History, empty_url: URL, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    if where == "environment":
        monkeypatch.setenv("PGCLIENTENCODING", "latin1")
    given = {"client_encoding": "latin1"} if where in {"engine", "caller"} else {}
    engine = create_engine(empty_url, poolclass=NullPool, connect_args=given)
    set_it = 'op.execute("set client_encoding to latin1")\n' if where == "revision" else ""
    history.add("a", None, f"{set_it}{WRITE}")
    alone = f"{CONCURRENTLY}op.execute(\"insert into t values ('é')\")"  # noqa: S608 - a constant
    history.add("b", "a", f"{set_it}{alone}")
    if where == "caller":
        with engine.begin() as connection:
            command.upgrade(history.config(connection), "a")
    else:
        command.upgrade(history.config(engine), "head")
    monkeypatch.delenv("PGCLIENTENCODING", raising=False)
    assert set(rows(empty_url, "select w from t")) == {("é",)}


def test_what_was_returned_and_what_was_granted_are_text_too(
    history: History, empty_engine: Engine, empty_url: URL
) -> None:
    """In names, and in what a statement that is passed over has returned."""
    history.add("a", None, 'op.execute("create table t (é text)")\nop.execute("create view é as table t")')
    command.upgrade(history.config(empty_engine), "head")
    do(empty_url, 'grant select on "é" to public')
    read = (
        'op.execute("set client_encoding to latin1")\n'
        "w = op.get_bind().exec_driver_sql(\"insert into t values ('é') returning é\").one()\n"
        'assert w._asdict() == {"é": "é"}\n'
    )
    make = 'op.execute("drop view é")\nop.execute("create view é as table t")\n'
    stop = 'op.execute("select 1 / count(*) from t where é is null")'
    history.add("b", "a", f'{read}{make}{CONCURRENTLY}op.execute("create table u ()")\n{stop}')
    with pytest.raises(CommandError, match="The rows don't bear revision b"):
        command.upgrade(history.config(empty_engine), "head")
    do(empty_url, "insert into t values (null)")
    command.upgrade(history.config(empty_engine), "head")
    assert heads(empty_url) == {"b"}
    assert rows(empty_url, "select é from t where é is not null") == [("é",)]
    granted = "select from pg_class, aclexplode(relacl) where relname = 'é' and grantee = 0"
    assert len(rows(empty_url, granted)) == 1
