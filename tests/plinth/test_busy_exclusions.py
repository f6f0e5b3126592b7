"""A busy table gets an exclusion constraint, or another one, by a new table that takes its place."""
# ruff: noqa: S608 - SQL made of constants

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine, MetaData
from sqlalchemy.dialects.postgresql import INT4RANGE, ExcludeConstraint

from plinth.autogenerate.change.refusals import Refusal
from tests.plinth.each_moment import seen_at_each_moment
from tests.plinth.history import do, rows
from tests.plinth.interruptions import take_back
from tests.plinth.judge import dump
from tests.plinth.kinds.kind import NAMING_CONVENTION
from tests.plinth.project import Project
from tests.plinth.test_busy_tables import at_work, begun, write

ROWS = 5000
FILL = f"""
    insert into bookings (during, said)
    select int4range(10 * n, 10 * n + 5), 'booking ' || n from generate_series(1, {ROWS}) n;
    insert into guests (booking_id) select id from bookings
    """
STATEMENTS = (
    "insert into bookings (id, during, said) select n, int4range(10 * n, 10 * n + 5), 'mine ' || :id "
    "from (select nextval('bookings_id_seq')::int) made (n) returning cast(:state as text)",
    "update bookings set during = int4range(lower(during), lower(during) + 1 + (upper(during)) % 5) "
    "where id = :id returning during",
    "update bookings set said = cast(:state as text) where id = 10 * :id returning id",
    "delete from bookings where id = (select max(id) from bookings where said = 'mine ' || :id) returning id",
    "select count(*) from bookings join guests on booking_id = bookings.id where during @> 10 * :id",
)
HOLDS = "select pg_get_constraintdef(oid) from pg_constraint where conname = 'alone'"
IS_OVER = "EXCLUDE USING gist (during WITH &&)"


def models(*exclusion: ExcludeConstraint, key: bool = True) -> MetaData:
    """Return bookings and their guests."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    sa.Table(
        "bookings",
        metadata,
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=key),
        sa.Column("during", INT4RANGE),
        sa.Column("said", sa.Text, index=True),
        *exclusion,
    )
    owner = [sa.ForeignKey("bookings.id", ondelete="CASCADE")] if key else []
    sa.Table(
        "guests",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("booking_id", sa.Integer, *owner),
    )
    return metadata


def alone(where: sa.TextClause | None = None) -> ExcludeConstraint:
    """Return the constraint that no two bookings overlap."""
    return ExcludeConstraint(("during", "&&"), name="alone", where=where)


@pytest.mark.slow
def test_an_application_notices_nothing(project: Project, empty_engine: Engine) -> None:
    url = empty_engine.url
    history = begun(project, empty_engine, models(), FILL)
    config, before = history.config(empty_engine), dump(url)
    assert len(write(history, empty_engine, models(alone()))) == 1
    with at_work(empty_engine, STATEMENTS) as errors:
        command.upgrade(config, "head")
        assert rows(url, HOLDS) == [(IS_OVER,)]
        command.downgrade(config, "-1")
        command.upgrade(config, "head")
    assert errors == []
    assert len(write(history, empty_engine, models(alone(where=sa.text("said <> 'free'"))))) == 1
    with at_work(empty_engine, STATEMENTS) as errors:
        command.upgrade(config, "head")
        command.downgrade(config, "-1")
        assert rows(url, HOLDS) == [(IS_OVER,)]
        command.downgrade(config, "-1")
    assert errors == []
    assert dump(url) == before
    kept = f"select count(*) from bookings where id <= {ROWS}"
    assert rows(url, f"select ({kept}), count(*) from guests") == [(ROWS, ROWS)]


def test_one_that_changes_holds_until_the_other_one_does(project: Project, empty_engine: Engine) -> None:
    before = models(alone())
    history = begun(project, empty_engine, before, FILL)
    after = models(alone(where=sa.text("id > 0")))
    more = sa.Column("guests", sa.Integer, nullable=False, info={"backfill": "1"})  # of what isn't in it
    after.tables["bookings"].append_column(more)
    write(history, empty_engine, after)
    held = "select count(*) from pg_constraint where contype = 'x' and conrelid = 'bookings'::regclass"
    for found in seen_at_each_moment(history, empty_engine, 1, held):
        assert found == [(1,)]


def test_rows_that_violate_it_stop_the_upgrade_with_their_values(
    project: Project, empty_engine: Engine
) -> None:
    url = empty_engine.url
    history = begun(project, empty_engine, models(), FILL)
    config = history.config(empty_engine)
    write(history, empty_engine, models(alone()))
    before = dump(url)
    do(url, "insert into bookings (during, said) values ('[20,24)', 'twice')")
    with pytest.raises(CommandError, match=r"Key \(during\)=\(\[20,2\d\)\) conflicts with existing key"):
        command.upgrade(config, "head")
    command.downgrade(config, "-1")
    assert dump(url) == before
    with pytest.raises(CommandError, match="alone_new"):
        command.upgrade(config, "head")
    do(url, "delete from bookings where said = 'twice'")
    command.upgrade(config, "head")
    assert rows(url, HOLDS) == [(IS_OVER,)]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_what_an_interrupted_way_has_done_is_taken_back(
    project: Project, empty_engine: Engine, part: int
) -> None:
    history = begun(project, empty_engine, models(alone()), FILL)
    [written] = write(history, empty_engine, models(alone(where=sa.text("said <> 'free'"))))
    content = "select (select count(*) from bookings), (select count(*) from guests)"
    take_back(history, empty_engine, written, content, slice(1 + 2 * part, None, 8))


def test_one_that_has_no_online_form_is_refused_until_it_is_accepted(
    project: Project, empty_engine: Engine
) -> None:
    history = begun(project, empty_engine, models(key=False))
    why = "for it has no primary key by which its rows could be copied"
    with pytest.raises(Refusal, match=rf"alone would read all rows.*{why}.*-x rewrite=bookings\.alone"):
        write(history, empty_engine, models(alone(), key=False))
    [written] = write(history, empty_engine, models(alone(), key=False), "rewrite=bookings.alone")
    [file] = history.folder.glob(f"versions/{written}*")
    assert "ALTER TABLE bookings ADD CONSTRAINT alone EXCLUDE" in file.read_text()
