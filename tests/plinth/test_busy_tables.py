"""What autogenerate writes for a busy table: the application goes on."""

import argparse
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import Engine, MetaData, text
from sqlalchemy.dialects import postgresql

from app import database
from plinth.autogenerate.change.refusals import Refusal
from tests.plinth.history import History, clear, do, rows
from tests.plinth.kinds.kind import NAMING_CONVENTION
from tests.plinth.project import Project

ROWS = 5000
FILL = f"""
    insert into branches select n from generate_series(1, 50) n;
    insert into accounts (branch_id, amount, code)
    select 1 + n % 50, n, 'code ' || n from generate_series(1, {ROWS}) n;
    """  # noqa: S608 - a number


def models(
    *items: sa.schema.SchemaItem,
    amount: type[sa.types.TypeEngine[int]] = sa.Integer,
    states: tuple[str, ...] = ("new", "old", "gone"),
) -> MetaData:
    """Return accounts, with an index, a check and a unique constraint on their amounts, and branches."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    sa.Table("branches", metadata, sa.Column("id", sa.Integer, primary_key=True))
    sa.Table(
        "accounts",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("branch_id", sa.Integer, nullable=False),
        sa.Column("amount", amount, nullable=False, server_default="0"),
        sa.Column("code", sa.Text),
        sa.Column("state", sa.Enum(*states, name="state"), server_default="new", nullable=False, index=True),
        sa.Index("ix_accounts_amount", "amount", postgresql_where=text("amount > 10")),
        sa.CheckConstraint("amount >= 0", name="amount_not_negative"),
        sa.UniqueConstraint("amount", "id"),
        *items,
    )
    return metadata


def changed() -> MetaData:
    """Return models with a change of each kind that has an online form."""
    return models(
        sa.Index("ix_accounts_branch_id", "branch_id"),
        sa.UniqueConstraint("code"),
        sa.ForeignKeyConstraint(["branch_id"], ["branches.id"]),
        sa.CheckConstraint("length(code) > 1", name="code_is_long"),
        sa.Column("token", sa.Text, nullable=False, info={"backfill": "md5(id::text)"}),
        amount=sa.BigInteger,
    )


def write(history: History, engine: Engine, metadata: MetaData, *said: str) -> list[str]:
    """Let autogenerate write revisions; return the new ones' names, oldest first."""
    before = set(history.folder.glob("versions/*.py"))
    config = history.config(engine)
    config.attributes["target_metadata"] = metadata
    config.cmd_opts = argparse.Namespace(x=said)
    command.revision(config, "widen amounts and more", autogenerate=True)
    new = set(history.folder.glob("versions/*.py")) - before
    return [file.name.partition("_")[0] for file in sorted(new, key=lambda file: file.stat().st_mtime_ns)]


def begun(project: Project, engine: Engine, metadata: MetaData, *statements: str) -> History:
    """Return a history with one revision, applied, that makes the tables; statements run then."""
    found = clear(project)
    write(found, engine, metadata)
    command.upgrade(found.config(engine), "head")
    for statement in statements:
        do(engine.url, statement)
    return found


@pytest.fixture
def history(project: Project, empty_engine: Engine) -> History:
    """Revisions that make the tables, applied, and rows in them."""
    return begun(project, empty_engine, models(), FILL)


STATEMENTS = (
    "insert into accounts (branch_id, amount, state) values (1, 7, 'old'::state) returning id, amount",
    "update accounts set state = 'old' where id = :id and state = cast(:state as state) returning state",
    "update accounts set state = cast(:state as state) where id = :id and state = 'old' returning state",
    "select id, branch_id, amount, code from accounts where id = :id",
    "update accounts set amount = amount + 1 where id = :id returning amount",
)


@contextmanager
def at_work(engine: Engine, statements: Sequence[str] = STATEMENTS) -> Iterator[list[Exception]]:
    """Let two clients of an application read and write as long as the block runs; yield their errors."""
    errors: list[Exception] = []
    over = threading.Event()

    def work(number: int) -> None:
        try:
            while not over.is_set():
                for statement in statements:
                    with engine.begin() as connection:
                        connection.execute(text(statement), {"id": number, "state": "new"}).one()
                time.sleep(0.01)  # each update leaves a dead row, and no vacuum may take it away meanwhile
        except Exception as error:
            errors.append(error)

    clients = [threading.Thread(target=work, args=[number]) for number in (1, 2)]
    for client in clients:
        client.start()
    try:
        yield errors
    finally:
        over.set()
        for client in clients:
            client.join()
        engine.dispose()


@pytest.mark.slow
def test_an_application_notices_nothing(
    history: History, empty_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = empty_engine.url
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    written = write(history, empty_engine, models(amount=sa.BigInteger, states=("old", "new")))
    with at_work(database.engine.__wrapped__()) as errors:
        command.upgrade(history.config(empty_engine), "head")
        command.downgrade(history.config(empty_engine), f"-{len(written)}")
        command.upgrade(history.config(empty_engine), "head")
    assert errors == []
    [(counted, least)] = rows(url, "select count(*), min(amount) from accounts")
    assert counted > ROWS
    assert least >= 2  # no row is without its value
    # Each client added 1 to its row for each row that it inserted, and none of that is lost.
    [(added,)] = rows(url, "select sum(amount) - 3 from accounts where id in (1, 2)")
    assert abs(added - (counted - ROWS)) <= 2
    do(url, "update accounts set amount = 3000000000 where id = 1")
    assert rows(url, "select enum_range(null::state)::text") == [("{old,new}",)]


@pytest.mark.parametrize(
    ("made_by_hand", "reason"),
    [
        (
            "create function f() returns trigger language plpgsql as "
            "'begin raise notice ''%'', new; return new; end'; "
            "create trigger f before insert on accounts for each row execute function f()",
            "trigger f on public.accounts uses whole rows",
        ),
        (
            "create function f() returns trigger language plpgsql as "
            "'begin raise notice ''-- /* %'', NEW; return new; end'; "
            "create trigger f before insert on accounts for each row execute function f()",
            "trigger f on public.accounts uses whole rows",
        ),
        (
            "create trigger f before update on accounts for each row "
            "execute function suppress_redundant_updates_trigger()",
            "what trigger f on public.accounts does can't be read",
        ),
        (
            "create rule f as on update to accounts do also select 1",
            "rule f on public.accounts would hold for what fills",
        ),
    ],
)
def test_where_a_second_column_would_lose_something_it_is_refused(
    history: History, empty_engine: Engine, made_by_hand: str, reason: str
) -> None:
    do(empty_engine.url, made_by_hand)
    with pytest.raises(Refusal) as refused:
        write(history, empty_engine, models(amount=sa.BigInteger))
    assert refused.value.kind == "rewrite"
    assert reason in str(refused.value)
    assert "-x rewrite=accounts.amount" in str(refused.value)


SHARED = (
    "insert into parcels (order_id, state, past) select id, 'old'::state, array['new', 'old']::state[] "
    "from orders where id = :id returning id",
    "update orders set state = cast(:state as state), times = times + 1 where id = :id returning state",
    "insert into orders (id, state) values (:id, 'new') on conflict (id) where state = 'new' "
    "do update set times = orders.times + 1 returning id",
    "select o.id from orders o join parcels p on p.order_id = o.id and p.state <> o.state where o.id = :id "
    "limit 1",
)


def shared(*states: str) -> MetaData:
    """Return two tables with one enum, which a check and the predicate of a unique index name."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    state = sa.Enum(*states, name="state")
    sa.Table(
        "orders",
        metadata,
        sa.Column("number", sa.Integer, sa.Identity(), primary_key=True),
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("times", sa.Integer, nullable=False, server_default="0"),
        sa.Column("state", state, nullable=False, server_default="new"),
        sa.Index("ix_orders_new", "id", unique=True, postgresql_where=text("state = 'new'")),
        sa.CheckConstraint("state <> 'old' OR times > 0", name="old_ones_were_changed"),
    )
    sa.Table(
        "parcels",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("order_id", sa.Integer, nullable=False, index=True),
        sa.Column("state", state, index=True),
        sa.Column("past", sa.ARRAY(state), server_default="{}"),
    )
    return metadata


@pytest.mark.slow
def test_an_enum_of_two_tables_loses_a_value_and_an_application_notices_nothing(
    project: Project, empty_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, history = empty_engine.url, clear(project)
    write(history, empty_engine, shared("new", "old", "gone"))
    command.upgrade(history.config(empty_engine), "head")
    do(url, f"insert into orders (id) select n from generate_series(1, {ROWS}) n")  # noqa: S608 - a number
    do(url, "insert into parcels (order_id, state, past) select id, 'old', '{new}' from orders")
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    written = write(history, empty_engine, shared("old", "new"))
    with at_work(database.engine.__wrapped__(), SHARED) as errors:
        command.upgrade(history.config(empty_engine), "head")
        command.downgrade(history.config(empty_engine), f"-{len(written)}")
        command.upgrade(history.config(empty_engine), "head")
    assert errors == []
    counted = rows(
        url,
        "select (select count(*) from orders where state = 'new'), "
        "(select count(*) from parcels where state = 'old' and past in ('{new}', '{new,old}'))",
    )
    [(orders, parcels)] = counted
    assert orders == ROWS
    assert rows(url, "select count(*) from parcels") == [(parcels,)]
    # Each client changed its row twice for each parcel, and none of that is lost.
    [(changed, sent)] = rows(
        url,
        f"select (select sum(times) from orders), {parcels - ROWS}",  # noqa: S608 - a number
    )
    assert abs(changed - 2 * sent) <= 4
    assert rows(url, "select enum_range(null::state)::text") == [("{old,new}",)]


WRITER = "plinth_test_writer"
ORDERED = (
    "insert into orders (owner) values (:id) returning id",
    "update orders set owner = owner + 1 where id = :id returning owner, cast(:state as text)",
)


def numbered(*columns: "sa.Column[int]") -> MetaData:
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    sa.Table(
        "orders",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("owner", sa.Integer, nullable=False),
        *columns,
    )
    return metadata


@pytest.mark.slow
def test_rows_get_numbers_and_an_application_of_another_role_notices_nothing(
    project: Project, empty_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, history = empty_engine.url, clear(project)
    write(history, empty_engine, numbered())
    command.upgrade(history.config(empty_engine), "head")
    do(url, f"insert into orders (owner) select 0 from generate_series(1, {ROWS})")  # noqa: S608 - a number
    write(history, empty_engine, numbered(sa.Column("number", sa.BigInteger, sa.Identity(always=True))))
    do(url, f"create role {WRITER}; grant select, insert, update on orders to {WRITER}")
    do(url, f"grant usage on sequence orders_id_seq to {WRITER}")
    engine = sa.create_engine(url, connect_args={"options": f"-c role={WRITER}", "prepare_threshold": None})
    try:
        with at_work(engine, ORDERED) as errors:
            command.upgrade(history.config(empty_engine), "head")
            command.downgrade(history.config(empty_engine), "-1")
            command.upgrade(history.config(empty_engine), "head")
    finally:
        do(url, f"drop owned by {WRITER}; drop role {WRITER}")
    assert errors == []
    counted = "select count(*) = count(distinct number), count(*) <= max(number) from orders"
    assert rows(url, counted) == [(True, True)]
    assert rows(url, "select relacl from pg_class where relname = 'orders_number_seq'") == [(None,)]
    made = "insert into orders (owner) values (0) returning number > (select max(number) from orders)"
    assert rows(url, made) == [(True,)]


POSITIVE = postgresql.DOMAIN("positive", sa.Integer, check="VALUE > 0")


def ranges(
    *items: sa.schema.SchemaItem, check: str | None = None, schema: str | None = None, numbers: bool = False
) -> MetaData:
    metadata = MetaData()
    domain = postgresql.DOMAIN("price", sa.Integer, check=check, constraint_name=check and "is_positive")
    during: sa.Column[object] = sa.Column("during", postgresql.INT4RANGE)
    sa.Table("stays", metadata, during, sa.Column("price", domain), sa.Column("nights", POSITIVE), *items)
    number = (sa.Column("number", sa.Integer, sa.Identity()),) if numbers else ()
    size = sa.Column("size", sa.Integer)
    sa.Table("rooms", metadata, size, *number, postgresql_partition_by="RANGE (size)")
    if schema:  # a new table of that name
        sa.Table("stays", metadata, sa.Column("number", sa.Integer), schema=schema)
        sa.event.listen(metadata, "before_create", sa.schema.CreateSchema(schema, if_not_exists=True))
    return metadata


def test_what_makes_an_application_wait_is_said_when_it_is_written(
    project: Project, empty_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    history = clear(project)
    write(history, empty_engine, ranges())
    command.upgrade(history.config(empty_engine), "head")
    changed = ranges(
        postgresql.ExcludeConstraint(("during", "&&"), name="alone"),
        sa.Column("first", sa.Integer, sa.Computed("lower(during)", persisted=True)),
        sa.Column("code", sa.Text, nullable=False, info={"backfill": "during::text"}),  # in batches
        sa.Column("beds", POSITIVE),
        numbers=True,
        check="VALUE > 0",
        schema="archive",
    )
    assert len(write(history, empty_engine, changed, "rewrite=stays.alone")) == 1
    said = [record.getMessage() for record in caplog.records if "# lint: allow" in record.getMessage()]
    assert [(text.partition(":")[0], text.partition("# lint: allow ")[2]) for text in said] == [
        (
            "The rows that are there get their numbers in rooms.number while nobody can use the table",
            "adding-field-with-default: <why>",
        ),
        ("The generated column stays.first is stored", "stored-generated-column: <why>"),
        ("The domain of stays.beds has a check, or refuses NULL", "rewrites: <why>"),
        (
            "The exclusion constraint alone reads stays and builds its index while nobody can use the table",
            "constraint-missing-not-valid: <why>",
        ),
        (
            "The check is_positive of the domain price lets those wait who write to tables that have it, "
            "while rows are looked at",
            "blocks: <why>",
        ),
    ]


def test_a_required_column_that_goes_says_what_its_way_back_needs(
    project: Project, empty_engine: Engine
) -> None:
    history = clear(project)
    write(history, empty_engine, ranges(sa.Column("code", sa.Text, nullable=False)))
    command.upgrade(history.config(empty_engine), "head")
    first, after = write(history, empty_engine, ranges(), "drop=stays.code")
    files = {each: next(history.folder.glob(f"versions/{each}*")).read_text() for each in (first, after)}
    assert "# Rows that are written meanwhile may have no code, and none has one once" in files[first]
    assert "# The values of code are gone." in files[after]


def test_nothing_is_said_of_waiting_where_plain_files_are_wanted(
    project: Project, empty_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    history = clear(project)
    write(history, empty_engine, ranges())
    command.upgrade(history.config(empty_engine), "head")
    changed = ranges(postgresql.ExcludeConstraint(("during", "&&"), name="alone"))
    assert len(write(history, empty_engine, changed, "online=no")) == 1
    assert "# lint: allow" not in caplog.text


def test_an_enum_that_something_holds_on_to_is_not_made_anew_without_a_word(
    history: History, empty_engine: Engine
) -> None:
    do(empty_engine.url, "create function f(state) returns state language sql as 'select $1'")
    with pytest.raises(
        Refusal, match=r"the function public\.f\(state\) names it.*-x rewrite=accounts\.state"
    ):
        write(history, empty_engine, models(states=("old", "new")))
