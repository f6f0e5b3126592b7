"""An index or key that is replaced by another of its name: at no moment is there neither of them."""

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import Engine, MetaData, event
from sqlalchemy.engine import URL

from tests.plinth.history import History, psql, rows
from tests.plinth.judge import dump
from tests.plinth.kinds.kind import NAMING_CONVENTION
from tests.plinth.project import Project
from tests.plinth.test_busy_tables import begun, write

# Which of the three stand, and can be used, in the eyes of others.
STANDING = """
    select count(*) filter (where indisprimary), count(*) filter (where indisunique and first = 'code'),
           count(*) filter (where not indisunique and first = 'amount')
    from pg_index join (select attrelid, attnum, attname as first from pg_attribute) a
         on attrelid = indrelid and attnum = indkey[0]
    where indrelid = %s and indisvalid
    """


def models(*, new: bool) -> MetaData:
    """Return goods with an index, a unique constraint and a primary key, each on one column or on two."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    more = ["amount"] if new else []
    sa.Table(
        "goods",
        metadata,
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("amount", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", *more, comment="one for each" if new else None),
        sa.UniqueConstraint("code", *more, name="uq_goods"),
        sa.Index("ix_goods", "amount", *(["code"] if new else [])),
    )
    return metadata


@pytest.fixture
def history(project: Project, empty_engine: Engine) -> History:
    """Revisions that make the table, applied, and rows in it."""
    return begun(
        project,
        empty_engine,
        models(new=False),
        "insert into goods select n, 'code ' || n, n % 7 from generate_series(1, 100) n",
    )


def seen(history: History, engine: Engine, url: URL, revision: str) -> set[tuple[int, ...]]:
    """Go to a revision; return what of the three stood behind any of the statements."""
    found: set[tuple[int, ...]] = set()
    [(table,)] = rows(url, "select 'goods'::regclass::oid")
    with psql(url) as other:

        def look(*_: object) -> None:
            found.update(other.execute(STANDING, [table]).fetchall())

        event.listen(Engine, "after_cursor_execute", look)
        try:
            if revision == "head":
                command.upgrade(history.config(engine), revision)
            else:
                command.downgrade(history.config(engine), revision)
        finally:
            event.remove(Engine, "after_cursor_execute", look)
    return found


def test_none_is_ever_missing(history: History, empty_engine: Engine) -> None:
    url = empty_engine.url
    before = dump(url)
    write(history, empty_engine, models(new=True))
    for revision in ("head", "-1", "head"):
        found = seen(history, empty_engine, url, revision)
        assert len(found) > 1  # one beside the other
        assert all(min(each) > 0 for each in found)
        if revision == "-1":
            assert dump(url) == before
    [(definition,)] = rows(url, "select pg_get_indexdef('ix_goods'::regclass)")
    assert definition.endswith("(amount, code)")
