"""A key gets a bigger type, with what refers to it, while an application is at work, and half-way."""
# ruff: noqa: S608 - numbers

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine, MetaData

from app import database
from plinth.autogenerate.change.refusals import Refusal, Refusals
from tests.plinth.history import History, clear, do, rows
from tests.plinth.interruptions import take_back
from tests.plinth.kinds.kind import NAMING_CONVENTION
from tests.plinth.project import Project
from tests.plinth.test_busy_tables import at_work, write

ROWS = 5000
FILL = f"""
    insert into branches (owner) select 0 from generate_series(1, 50) n;
    insert into accounts (branch_id, amount) select 1 + n % 50, n from generate_series(1, {ROWS}) n;
    """
BEYOND = 3_000_000_000
STATEMENTS = (
    "with made as (insert into branches (owner) values (:id) returning id) "
    "insert into accounts (branch_id, amount) select id, 1 from made returning branch_id",
    "update accounts set branch_id = :id, amount = amount + 1 where id = :id returning branch_id",
    "delete from branches where id = (select max(id) from branches where owner = :id) returning id",
    "select b.id, a.amount from accounts a join branches b on b.id = a.branch_id where a.id = :id",
    "select cast(:state as text)",
)


def models(kind: type[sa.types.TypeEngine[int]] = sa.Integer) -> MetaData:
    """Return branches with a serial key, one above the other, and accounts with an identity key."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    sa.Table(
        "branches",
        metadata,
        sa.Column("id", kind, primary_key=True),
        sa.Column("above_id", kind, sa.ForeignKey("branches.id", ondelete="SET NULL")),
        sa.Column("owner", sa.Integer, nullable=False),
    )
    sa.Table(
        "accounts",
        metadata,
        sa.Column("id", kind, sa.Identity(), primary_key=True),
        sa.Column("branch_id", kind, sa.ForeignKey("branches.id", ondelete="CASCADE"), index=True),
        sa.Column("amount", sa.Integer, nullable=False),
    )
    return metadata


@pytest.fixture
def history(project: Project, empty_engine: Engine) -> History:
    """Revisions that make the tables, applied, and rows in them."""
    found = clear(project)
    write(found, empty_engine, models())
    command.upgrade(found.config(empty_engine), "head")
    do(empty_engine.url, FILL)
    return found


@pytest.mark.slow
def test_an_application_notices_nothing(
    history: History, empty_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = empty_engine.url
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    written = write(history, empty_engine, models(sa.BigInteger))
    with at_work(database.engine.__wrapped__(), STATEMENTS) as errors:
        command.upgrade(history.config(empty_engine), "head")
        command.downgrade(history.config(empty_engine), f"-{len(written)}")
        command.upgrade(history.config(empty_engine), "head")
    assert errors == []
    # What was inserted was deleted again, and took along what refers to it.
    assert rows(url, "select count(*) from branches where owner > 0") <= [(2,)]
    assert ROWS <= rows(url, "select count(*) from accounts")[0][0] <= ROWS + 2
    assert rows(url, "select count(*) from accounts where id in (1, 2) and branch_id = id") == [(2,)]
    do(url, f"insert into branches (id, owner) values ({BEYOND}, 0)")
    do(url, f"insert into accounts (branch_id, amount) values ({BEYOND}, 0)")


@pytest.mark.slow
def test_a_number_that_is_too_large_stops_the_way_back_before_the_application_feels_it(
    history: History, empty_engine: Engine
) -> None:
    url = empty_engine.url
    write(history, empty_engine, models(sa.BigInteger))
    command.upgrade(history.config(empty_engine), "+1")
    do(url, f"insert into branches (id, owner) values ({BEYOND}, 0)")
    with pytest.raises(CommandError, match="integer out of range"):
        command.downgrade(history.config(empty_engine), "-1")
    do(url, f"insert into branches (id, owner) values ({BEYOND + 1}, 0)")
    do(url, f"delete from branches where id >= {BEYOND}")
    command.downgrade(history.config(empty_engine), "-1")
    assert rows(url, "select pg_typeof(id)::text, count(*) from branches group by 1") == [("integer", 50)]


@pytest.mark.parametrize(
    ("made_by_hand", "reason"),
    [
        (
            "create function f() returns trigger language plpgsql as 'begin new := old; return new; end'; "
            "create trigger f before update on accounts for each row execute function f()",
            "accounts.branch_id would have to change together with it, and there trigger f on "
            "public.accounts uses whole rows",
        ),
        (
            "alter table accounts drop constraint fk_accounts_branch_id_branches, "
            "add constraint fk_accounts_branch_id_branches foreign key (branch_id) references branches "
            "on delete set default",
            "the foreign key fk_accounts_branch_id_branches of accounts changes as well",
        ),
        (
            "alter table branches drop constraint pk_branches cascade, "
            "add constraint pk_branches primary key (id) deferrable",
            "the primary key changes as well",
        ),
    ],
)
def test_where_second_columns_would_lose_something_it_is_refused(
    history: History, empty_engine: Engine, made_by_hand: str, reason: str
) -> None:
    do(empty_engine.url, made_by_hand)
    with pytest.raises((Refusal, Refusals), match="-x rewrite=branches") as refused:
        write(history, empty_engine, models(sa.BigInteger))
    assert reason in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_what_an_interrupted_way_has_done_is_taken_back(
    history: History, empty_engine: Engine, part: int
) -> None:
    first, _ = write(history, empty_engine, models(sa.BigInteger))
    content = "select (select count(*) from branches), (select sum(branch_id) from accounts)"
    take_back(history, empty_engine, first, content, slice(1 + 2 * part, None, 8))
