"""Rows of a table without a primary key get values by pages, while an application moves them to others."""
# ruff: noqa: S608 - numbers

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import Engine, MetaData
from sqlalchemy.exc import DBAPIError

from app import database
from tests.plinth.history import History, do, rows
from tests.plinth.interruptions import take_back
from tests.plinth.kinds.kind import NAMING_CONVENTION
from tests.plinth.project import Project
from tests.plinth.test_busy_tables import at_work, begun, write

ROWS = 6000
FILL = (
    f"insert into notes select n, repeat('x', 500), n from generate_series(1, {2 * ROWS}) n",
    f"insert into letters (n, amount) select n, n from generate_series(1, {ROWS}) n",
    f"delete from notes where n > {ROWS}",
    f"delete from notes where n <= {ROWS // 4}",
    "vacuum notes",  # leaves room on the first pages, and on the last ones
    f"insert into notes select n, 'y', n from generate_series(1, {ROWS // 4}) n",
)
# Rows grow and shrink, and move to where there is room.
STATEMENTS = (
    "with moved as (update only notes set text = repeat('x', (random() * 900)::int) "
    f"where n = (select floor(random() * {ROWS})) returning n) select count(*) from moved",
    "insert into notes (n, text, amount) values (1000000, 'new', :id) returning n",
    "insert into letters (n, amount) values (1000000, :id) returning n",
    "select cast(:state as text)",
)


def models(*, new: bool) -> MetaData:
    """Return notes, which have no primary key, and letters, which inherit from them."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    more = (
        sa.Column("maybe", sa.Text, server_default=sa.text("gen_random_uuid()::text")),
        sa.Column("page", sa.Integer, nullable=False, server_default="1", info={"backfill": "n + 1"}),
    )
    sa.Table(
        "notes",
        metadata,
        sa.Column("n", sa.Integer, index=True),
        sa.Column("text", sa.Text),
        sa.Column("amount", sa.Integer),
        *(more if new else ()),
    )
    sa.Table("letters", metadata, postgresql_inherits="notes")
    single = (
        (sa.Column("id", sa.Integer, sa.Identity(), nullable=False), sa.Column("state", sa.BigInteger))
        if new
        else (sa.Column("state", sa.Integer),)
    )
    sa.Table("marks", metadata, sa.Column("n", sa.Integer), *single)
    return metadata


@pytest.fixture
def history(project: Project, empty_engine: Engine) -> History:
    """Revisions that make the tables, applied, and rows in them."""
    return begun(
        project,
        empty_engine,
        models(new=False),
        *FILL,
        f"insert into marks select n, nullif(n % 7, 0) from generate_series(1, {ROWS}) n",
    )


@pytest.mark.slow
def test_no_row_is_missed(history: History, empty_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    url = empty_engine.url
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    written = write(history, empty_engine, models(new=True))
    with at_work(database.engine.__wrapped__(), STATEMENTS) as errors:
        command.upgrade(history.config(empty_engine), "head")
        command.downgrade(history.config(empty_engine), f"-{len(written)}")
        command.upgrade(history.config(empty_engine), "head")
    assert errors == []
    [(counted, tokens)] = rows(url, "select count(*), count(distinct maybe) from notes")
    assert counted == tokens > 2 * ROWS
    assert rows(url, f"select count(*) from notes where n <= {ROWS} and page <> n + 1") == [(0,)]
    assert rows(url, "select count(distinct id), count(state) from marks") == [(ROWS, ROWS - ROWS // 7)]


def test_an_interrupted_fill_goes_on_where_it_was(history: History, empty_engine: Engine) -> None:
    url, config = empty_engine.url, history.config(empty_engine)
    write(history, empty_engine, models(new=True))  # which would let a trigger that it knows rest
    do(
        url,
        "create function stop() returns trigger language plpgsql as "
        "'begin raise exception $m$not this one$m$; end'",
    )
    do(
        url,
        f"create trigger stops before update on letters for each row when (old.n = {ROWS - 7}) "
        "execute function stop()",
    )
    with pytest.raises(DBAPIError, match="not this one"):
        command.upgrade(config, "head")
    [(filled,)] = rows(url, "select count(*) from notes where maybe is not null")
    assert ROWS < filled < 2 * ROWS
    done = "select min(maybe), max(maybe) from only notes"
    before = rows(url, done)
    do(url, "drop trigger stops on letters")
    command.upgrade(config, "head")
    assert rows(url, done) == before
    assert rows(url, "select count(*) from notes where maybe is null or page <> n + 1") == [(0,)]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))
def test_what_an_interrupted_way_has_done_is_taken_back(
    history: History, empty_engine: Engine, part: int
) -> None:
    [revision, *_] = write(history, empty_engine, models(new=True))
    content = "select (select sum(n) from notes), (select sum(state) from marks)"
    take_back(history, empty_engine, revision, content, slice(1 + part, None, 3))
