"""What autogenerate writes for busy tables with partitions or heirs: the application goes on."""

from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine, MetaData
from sqlalchemy.dialects.postgresql import JSONB

from app import database
from plinth import settings
from plinth.autogenerate.change.refusals import Refusal
from tests.plinth.history import History, clear, do, rows
from tests.plinth.interruptions import take_back
from tests.plinth.judge import dump
from tests.plinth.kinds.kind import NAMING_CONVENTION, also
from tests.plinth.kinds.partitions import shops
from tests.plinth.project import Project
from tests.plinth.test_busy_tables import at_work, begun, write

ROWS = 6000
FILL = f"""
    insert into regions select n from generate_series(1, 50) n;
    insert into visits (day, id, region_id)
    select '2024-01-01'::date + n % 700, n, nullif(n % 50, 0) from generate_series(1, {ROWS}) n;
    insert into notes (day, visit_id) select day, id from visits where id % 3 = 0;
    insert into places select n from generate_series(1, {ROWS}) n;
    insert into cities (id, people) select n, n from generate_series({ROWS + 1}, {2 * ROWS}) n;
    create sequence numbers start 1000000
    """  # noqa: S608 - a number
# A partition that no model knows, and one that has partitions.
PARTITIONS = (
    "create table visits_2024 partition of visits for values from ('2024-01-01') to ('2025-01-01') "
    "partition by range (day)",
    "create table visits_2024_all partition of visits_2024 for values from ('2024-01-01') to ('2025-01-01')",
)
BY_HAND = "create table visits_later partition of visits for values from ('2025-01-01') to (maxvalue)"
STATEMENTS = (
    "insert into visits (day, id, region_id) values ('2024-02-02', nextval('numbers'), :id) returning id",
    "insert into visits (day, id, region_id) values ('2025-02-02', nextval('numbers'), :id) returning id",
    "insert into notes (day, visit_id) select day, id from visits where id = :id returning day",
    "update visits set region_id = region_id where id = :id returning day",
    "insert into cities (id, people) values (nextval('numbers'), 7) returning id",
    "select count(*), sum(v.region_id) from visits v join regions r on r.id = v.region_id where v.id = :id",
    "select count(*) from places where id = :id",
    "select cast(:state as text)",
)


def models(*, new: bool) -> MetaData:
    """Return visits, which are partitioned, what refers to them and they refer to, and places with heirs."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    sa.Table("regions", metadata, sa.Column("id", sa.Integer, primary_key=True))
    more: tuple[sa.schema.SchemaItem, ...] = (
        sa.Column("token", sa.Text, nullable=False, server_default=sa.text("gen_random_uuid()::text")),
        sa.ForeignKeyConstraint(["region_id"], ["regions.id"]),
        sa.UniqueConstraint("day", "token"),
        sa.Index("ix_visits_region_id", "region_id"),
        sa.CheckConstraint("id > 0", name="id_is_positive"),
    )
    visits = sa.Table(
        "visits",
        metadata,
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("region_id", sa.Integer, nullable=not new, info={"backfill": "50"}),
        sa.PrimaryKeyConstraint(*(["id", "day"] if new else ["day", "id"])),
        *(more if new else ()),
        postgresql_partition_by="RANGE (day)",
    )
    for statement in PARTITIONS:
        also(visits, statement)
    notes = sa.Table("notes", metadata, sa.Column("day", sa.Date), sa.Column("visit_id", sa.Integer))
    places = sa.Table("places", metadata, sa.Column("id", sa.Integer, primary_key=True))
    cities = sa.Table("cities", metadata, sa.Column("people", sa.Integer), postgresql_inherits="places")
    if new:
        notes.append_constraint(sa.ForeignKeyConstraint(["day", "visit_id"], ["visits.day", "visits.id"]))
        places.append_column(sa.Column("code", sa.Text, nullable=False, server_default="-"))
        places.append_column(
            sa.Column("mark", sa.Text, nullable=False, server_default=sa.text("gen_random_uuid()::text"))
        )
        places.append_constraint(sa.CheckConstraint("id > 0", name="id_is_positive"))
        cities.append_constraint(sa.CheckConstraint("people > 0", name="people_are_there"))
        sa.Index("ix_cities_people", cities.c.people)
    return metadata


@pytest.fixture
def history(project: Project, empty_engine: Engine) -> History:
    """Revisions that make the tables, applied, and rows in them."""
    return begun(project, empty_engine, models(new=False), BY_HAND, FILL)


@pytest.mark.slow
def test_an_application_notices_nothing(
    history: History, empty_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = empty_engine.url
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    written = write(history, empty_engine, models(new=True))
    with at_work(database.engine.__wrapped__(), STATEMENTS) as errors:
        command.upgrade(history.config(empty_engine), "head")
        command.downgrade(history.config(empty_engine), f"-{len(written)}")
        command.upgrade(history.config(empty_engine), "head")
    assert errors == []
    assert rows(url, "select count(*) from visits where id <= 6000") == [(ROWS,)]
    [(counted, tokens)] = rows(url, "select count(*), count(distinct token) from visits")
    assert counted == tokens > ROWS
    [(counted, marks)] = rows(url, "select count(*), count(distinct mark) from places")
    assert counted == marks > 2 * ROWS


def events(*, partitioned: bool) -> MetaData:
    """Return the models of docs/autogenerate.md's example."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    sa.Table(
        "events",
        metadata,
        sa.Column("id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("what", sa.Text, server_default="nothing"),
        sa.PrimaryKeyConstraint("id", "day"),
        postgresql_partition_by="RANGE (day)" if partitioned else None,
    )
    return metadata


OF_EVENTS = (
    "insert into events (id, day) values (nextval('numbers'), '2026-06-01') returning id",
    "update events set what = what where id = :id returning id",
    "select count(*) from events where day > '2026-01-01'",
    "select cast(:state as text)",
)

# What stays with the table that becomes a partition.
ON_EVENTS = (
    "create function counted() returns bigint begin atomic select count(*) from events; end",
    "create materialized view first_day as select min(day) from events",
    "create table places ()",
    "create rule counts as on insert to places do also delete from events",
)


@pytest.mark.slow
def test_a_table_becomes_partitioned_as_the_document_says(project: Project, empty_engine: Engine) -> None:
    url, found = empty_engine.url, clear(project)
    write(found, empty_engine, events(partitioned=False))
    command.upgrade(found.config(empty_engine), "head")
    do(url, "create view event_days as select day, count(*) from events group by day")
    before = dump(url)
    do(url, "create sequence numbers start 1000000")
    do(url, "insert into events select n, '2026-01-01'::date + n % 300 from generate_series(1, 5000) n")
    with pytest.raises(Refusal, match="A table becomes partitioned without a copy"):
        write(found, empty_engine, events(partitioned=True))
    text = (settings.root() / "docs/autogenerate.md").read_text().partition("## A table that becomes")[2]
    code = text.partition("```python\n")[2].partition("```")[0]
    _, _, more = text.partition("```sql\n")
    query, _, more = more.partition("```")
    do(url, "; ".join(ON_EVENTS))
    found_on_it = {name for (name,) in rows(url, query)}
    assert found_on_it == {
        "function counted()",
        "rule _RETURN on view event_days",
        "rule _RETURN on materialized view first_day",
        "rule counts on table places",
    }
    do(url, "drop function counted; drop materialized view first_day; drop table places")
    view = more.partition("```python\n")[2].partition("```")[0]
    for behind in ("\n\n\ndef down", '    op.drop_table("events_partitioned")\n'):
        assert code.count(behind) == 1
        code = code.replace(behind, f"\n{view}{behind}")
    config = found.config(empty_engine)
    command.revision(config, "events are partitioned", rev_id="parted")
    [file] = found.folder.glob("versions/*parted*.py")
    head = file.read_text().partition("\ndef upgrade")[0]
    file.write_text(f"{head}\n{code}")
    with at_work(empty_engine, OF_EVENTS) as errors:
        command.upgrade(config, "head")
    assert errors == []
    do(url, "insert into events (id, day) values (1, '2027-05-05')")
    config.attributes["target_metadata"] = events(partitioned=True)
    command.check(config)
    counted = rows(url, "select count(*) from events")
    assert rows(url, "select sum(count) from event_days") == counted
    command.downgrade(config, "-1")
    assert rows(url, "select sum(count) from event_days") == counted
    assert rows(url, "select count(*) from events") == counted
    do(url, "drop sequence numbers")
    assert dump(url) == before


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))
def test_what_an_interrupted_way_has_done_is_taken_back(
    history: History, empty_engine: Engine, part: int
) -> None:
    [revision] = write(history, empty_engine, models(new=True))
    content = "select (select count(*) from visits), (select sum(id) from places)"
    take_back(history, empty_engine, revision, content, slice(1 + part, None, 3))


def days(*partitions: str, amount: type[sa.types.TypeEngine[Any]] = sa.Integer) -> MetaData:
    """Return the models of a table with a default partition, and further ones."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    table = sa.Table(
        "days",
        metadata,
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("kind", sa.Text),
        sa.Column("n", sa.Integer, index=True),
        sa.Column("amount", amount, nullable=False),
        postgresql_partition_by="RANGE (day, kind)",
    )
    also(table, "create table rest partition of days default")
    for partition in partitions:
        also(table, partition)
    return metadata


NEW_DAYS = (
    "create table days_2026 partition of days "
    "for values from ('2026-01-01', 'a') to ('2027-01-01', maxvalue) partition by list (kind)",
    "create table days_2026_rest partition of days_2026 default",
    "create table days_2026_b partition of days_2026 for values in ('b', null)",
)
OF_DAYS = (
    "insert into days (day, kind, n, amount) values ('2025-06-01', 'b', :id, 7) returning n",
    "with raised as (update days set amount = amount + 1 where n = :id + 20 returning n) "
    "select count(*) from raised",
    "select count(*) from days where n = :id",
    "select cast(:state as text)",
)


@pytest.fixture
def of_days(project: Project, empty_engine: Engine) -> History:
    """Revisions that make a table with a default partition, applied, and rows in it."""
    found = clear(project)
    write(found, empty_engine, days())
    command.upgrade(found.config(empty_engine), "head")
    do(
        empty_engine.url,
        "insert into days select '2024-01-01', 'a', n + 10, n from generate_series(1, 5000) n",
    )
    return found


@pytest.mark.slow
def test_a_partition_comes_beside_a_default_one(of_days: History, empty_engine: Engine) -> None:
    config = of_days.config(empty_engine)
    write(of_days, empty_engine, days(*NEW_DAYS))
    with at_work(empty_engine, OF_DAYS) as errors:
        command.upgrade(config, "head")
        command.downgrade(config, "-1")
        command.upgrade(config, "head")
    assert errors == []
    write(of_days, empty_engine, days(), "drop=partition", "drop=days_2026")
    with at_work(empty_engine, OF_DAYS) as errors:
        command.upgrade(config, "head")
        command.downgrade(config, "-1")
    assert errors == []
    do(empty_engine.url, "insert into days values ('2026-06-01', 'b', 1, 1), ('2026-06-01', 'c', 1, 1)")
    assert rows(empty_engine.url, "select count(*) from days_2026_b") == [(1,)]
    assert rows(empty_engine.url, "select conname from pg_constraint where conname ~ '_without_'") == []


def test_rows_that_belong_to_a_new_partition_stop_it_before_anything_changes(
    of_days: History, empty_engine: Engine
) -> None:
    write(of_days, empty_engine, days(*NEW_DAYS))
    do(empty_engine.url, "insert into days values ('2026-06-01', 'b', 1, 1)")
    before = dump(empty_engine.url)
    moved = r"The rows don't bear.*rows of rest belong to the new partition days_2026: move them"
    with pytest.raises(CommandError, match=moved):
        command.upgrade(of_days.config(empty_engine), "head")
    assert dump(empty_engine.url) == before
    do(empty_engine.url, "delete from days where day > '2026-01-01'")
    command.upgrade(of_days.config(empty_engine), "head")


@pytest.mark.slow
def test_what_an_interrupted_new_partition_has_done_is_taken_back(
    of_days: History, empty_engine: Engine
) -> None:
    [revision] = write(of_days, empty_engine, days(*NEW_DAYS))
    take_back(of_days, empty_engine, revision, "select sum(n) from days", slice(None))


@pytest.mark.slow
def test_a_column_of_a_partitioned_table_gets_another_type(of_days: History, empty_engine: Engine) -> None:
    url, config = empty_engine.url, of_days.config(empty_engine)
    do(
        url,
        "create table by_hand partition of days for values from ('2025-01-01', 'a') to ('2026-01-01', 'z')",
    )
    first, _ = write(of_days, empty_engine, days(amount=sa.BigInteger))
    content = "select sum(amount) from days where n not in (1, 2, 21, 22)"
    before = rows(url, content)
    with at_work(empty_engine, OF_DAYS) as errors:
        command.upgrade(config, first)
        command.downgrade(config, "-1")
        command.upgrade(config, first)
    assert errors == []
    assert rows(url, content) == before
    assert rows(url, "select min(amount), max(amount) from days where n in (1, 2)") == [(7, 7)]
    command.downgrade(config, "-1")
    take_back(of_days, empty_engine, first, "select sum(amount) from days", slice(None, None, 2))
    command.upgrade(config, "head")


def sales(kind: type[sa.types.TypeEngine[int]]) -> MetaData:
    """Return the models of a table with partitions, in which all sorts of things stand on one column."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    sa.Table("kinds", metadata, sa.Column("id", sa.Integer, primary_key=True))
    table = sa.Table(
        "sales",
        metadata,
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("kind", kind, nullable=False, server_default="7"),
        sa.PrimaryKeyConstraint("n", "day", "kind"),
        sa.UniqueConstraint("kind", "n", "day"),
        sa.ForeignKeyConstraint(["kind"], ["kinds.id"]),
        sa.CheckConstraint("kind > 0", name="kind_is_known"),
        sa.Index("ix_sales_kind", "kind", postgresql_where=sa.text("kind < 5")),
        postgresql_partition_by="RANGE (day)",
    )
    for statement in PARTITIONS:
        also(table, statement.replace("visits", "sales"))
    return metadata


def there_and_back(history: History, engine: Engine, models: MetaData, statements: tuple[str, ...]) -> None:
    """Write revisions for models; up, down and up, while an application works without an error."""
    config = history.config(engine)
    first, _ = write(history, engine, models)
    with at_work(engine, statements) as errors:
        command.upgrade(config, first)
        command.downgrade(config, "-1")
        command.upgrade(config, "head")
    assert errors == []


OF_SALES = (
    "insert into sales (day, n) values ('2024-02-02', nextval('numbers')) returning kind",
    "insert into sales (day, n, kind) values ('2025-02-02', nextval('numbers'), 3) returning kind",
    "with changed as (update sales set kind = kind % 9 + 1 where n = :id returning kind) "
    "select count(*) from changed",
    "select count(*), sum(kind) from sales where kind < 3 and n = :id",
    "select cast(:state as text)",
)


@pytest.fixture
def of_sales(project: Project, empty_engine: Engine) -> History:
    """Revisions that make that table, applied, and rows in it."""
    fill = """
        insert into kinds select n from generate_series(1, 9) n;
        insert into sales select '2024-01-01'::date + n % 700, n, n % 9 + 1 from generate_series(1, 4000) n;
        create sequence numbers start 1000000
        """
    return begun(project, empty_engine, sales(sa.Integer), BY_HAND.replace("visits", "sales"), fill)


@pytest.mark.slow
def test_a_column_with_all_sorts_of_things_on_it_gets_another_type(
    of_sales: History, empty_engine: Engine
) -> None:
    url = empty_engine.url
    there_and_back(of_sales, empty_engine, sales(sa.BigInteger), OF_SALES)
    assert rows(url, "select count(*) from sales where n <= 4000") == [(4000,)]
    assert rows(url, "select distinct kind from sales where n > 1000000 order by kind") == [(3,), (7,)]
    assert rows(url, "select relname from pg_class where relname ~ '_(new|old)$'") == []
    assert rows(url, "select conname from pg_constraint where conname ~ '_(new|old)$'") == []


@pytest.mark.slow
def test_what_an_interrupted_exchange_has_done_is_taken_back(of_sales: History, empty_engine: Engine) -> None:
    first, _ = write(of_sales, empty_engine, sales(sa.BigInteger))
    take_back(of_sales, empty_engine, first, "select count(*), sum(kind) from sales", slice(1, None, 7))


def of_shops(kind: type[sa.types.TypeEngine[int]]) -> MetaData:
    """Return the models of a table with partitions, to whose primary key all sorts of tables refer."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    shops(notes="LIST (n)")(metadata, kind)
    return metadata


OF_SHOPS = (
    "insert into orders (day, id) values ('2024-02-02', nextval('numbers')) returning id",
    "insert into orders (day, id, parent) values ('2023-02-02', nextval('numbers'), :id) returning id",
    "with made as (insert into orders (day, id) values ('2025-02-02', nextval('numbers')) returning day, id) "
    "insert into refunds (day, id) select day, id from made returning id",
    "insert into notes (day, id, n) select day, id, id % 3 from orders where id = :id returning n",
    "select count(*), sum(o.id + n.id) from orders o left join notes n using (day, id) where o.id = :id",
    "select cast(:state as text)",
)


@pytest.fixture
def at_shops(project: Project, empty_engine: Engine) -> History:
    """Revisions that make these tables, applied, and rows in them."""
    fill = """
        insert into orders (id, day) select n, '2023-02-02' from generate_series(1, 10) n;
        insert into orders (id, day) select n, '2023-01-01'::date + n % 900 from generate_series(11, 4000) n;
        insert into refunds select day, id from orders where id % 3 = 0;
        insert into notes select day, id, id % 4 from orders where id % 2 = 0;
        create sequence numbers start 1000000
        """
    return begun(project, empty_engine, of_shops(sa.Integer), BY_HAND.replace("visits", "orders"), fill)


@pytest.mark.slow
def test_a_key_to_which_others_refer_gets_another_type(at_shops: History, empty_engine: Engine) -> None:
    url = empty_engine.url
    there_and_back(at_shops, empty_engine, of_shops(sa.BigInteger), OF_SHOPS)
    assert rows(url, "select count(*) from orders where id <= 4000") == [(4000,)]
    assert rows(
        url, "select count(*) from refunds left join orders o using (day, id) where o.id is null"
    ) == [(0,)]
    assert (
        rows(url, "select conname from pg_constraint where not convalidated or conname ~ '_(new|old)$'") == []
    )
    for row in (
        "refunds (day, id) values ('2024-02-02', 999)",
        "notes (day, id, n) values ('2024-02-02', 999, 1)",
        "orders (day, id, parent) values ('2024-02-02', 1, 999)",
    ):
        with pytest.raises(psycopg.Error, match="violates foreign key constraint"):
            do(url, f"insert into {row}")


@pytest.mark.slow
def test_what_an_interrupted_exchange_of_such_a_key_has_done_is_taken_back(
    at_shops: History, empty_engine: Engine
) -> None:
    first, _ = write(at_shops, empty_engine, of_shops(sa.BigInteger))
    content = (
        "select (select count(*) from orders), (select sum(id) from notes), (select sum(id) from refunds)"
    )
    take_back(at_shops, empty_engine, first, content, slice(3, None, 6))


def keyed(*, key: type[sa.types.TypeEngine[int]], id_: type[sa.types.TypeEngine[int]]) -> MetaData:
    """Return the models of a table by whose numbers it is partitioned, one that refers to it, and an heir."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    sa.Table(
        "keyed",
        metadata,
        sa.Column("n", key, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("id", id_, nullable=False, primary_key=True, autoincrement=False),
        postgresql_partition_by="LIST (n)",
    )
    refer = sa.Table("refer", metadata, sa.Column("n", sa.Integer), sa.Column("id", sa.Integer))
    refer.append_constraint(sa.ForeignKeyConstraint(["n", "id"], ["keyed.n", "keyed.id"]))
    sa.Table("over", metadata, sa.Column("n", key))
    sa.Table("under", metadata, postgresql_inherits="over")
    return metadata


def test_columns_that_none_takes_the_place_of_are_refused_with_the_reason(
    project: Project, empty_engine: Engine
) -> None:
    history = begun(project, empty_engine, keyed(key=sa.Integer, id_=sa.Integer))
    with pytest.raises(CommandError) as raised:
        write(history, empty_engine, keyed(key=sa.BigInteger, id_=sa.Integer))
    assert "its table is partitioned by it: PostgreSQL changes no such column" in str(raised.value)
    assert "is inherited from, and each heir needs a trigger of its own" in str(raised.value)
    assert "rewrite=keyed.n" not in str(raised.value)


def test_a_column_by_which_a_partition_is_partitioned_is_refused_as_what_postgresql_cant_do(
    project: Project, empty_engine: Engine
) -> None:
    parted = (
        "create table days_2026 partition of days for values from ('2026-01-01', 'a') to ('2027-01-01', 'a') "
        "partition by list (amount)"
    )
    history = begun(project, empty_engine, days(parted))
    for x in ((), ("rewrite=days.amount",)):
        with pytest.raises(Refusal, match="partition days_2026 is partitioned by it: PostgreSQL") as raised:
            write(history, empty_engine, days(parted, amount=sa.BigInteger), *x)
        assert "rewrite=" not in str(raised.value)


def test_what_a_partition_has_by_itself_on_a_column_that_leaves_its_name_is_named(
    of_days: History, empty_engine: Engine
) -> None:
    config = of_days.config(empty_engine)
    write(of_days, empty_engine, days(amount=sa.BigInteger))
    do(empty_engine.url, "alter table rest alter amount set default 3; create index ours on rest (amount)")
    with pytest.raises(
        CommandError, match="default value for column amount_old of table rest, index ours stands"
    ):
        command.upgrade(config, "head")
    do(empty_engine.url, "alter table rest alter amount drop default; drop index ours")
    command.upgrade(config, "head")


SETTINGS = """
    select relname::text, col_description(attrelid, attnum), attstattarget, attoptions::text
    from pg_attribute join pg_class c on c.oid = attrelid
    where relkind in ('r', 'p') and attname = 'amount' and relname in ('days', 'rest') order by 1
    """


@pytest.mark.parametrize("table", ["days", "rest"])
def test_comments_and_settings_that_only_the_database_has_go_over(
    of_days: History, empty_engine: Engine, table: str
) -> None:
    url, config = empty_engine.url, of_days.config(empty_engine)
    first, second = write(of_days, empty_engine, days(amount=sa.Text))
    given = (
        f"comment on column {table}.amount is 'it''s what'; "
        f"alter table only {table} alter amount set statistics 500; "
        f"alter table only {table} alter amount set (n_distinct = -0.5)"
    )
    do(url, given)
    before = rows(url, SETTINGS)
    command.upgrade(config, first)
    assert rows(url, SETTINGS) == before
    assert "it's what" in str(before)
    command.downgrade(config, "-1")
    assert rows(url, SETTINGS) == before
    command.upgrade(config, second)


def test_how_the_old_column_is_stored_goes_over(project: Project, empty_engine: Engine) -> None:
    url = empty_engine.url

    def notes(type_: type[sa.types.TypeEngine[Any]], using: str) -> MetaData:
        metadata = MetaData(naming_convention=NAMING_CONVENTION)
        info = {"using": using, "using_back": "note #>> '{}'"}
        sa.Table("notes", metadata, sa.Column("note", type_, info=info if using else {}))
        return metadata

    history = begun(project, empty_engine, notes(sa.Text, ""))
    stored = "select attstorage::text, attcompression::text from pg_attribute where attname = 'note'"
    first, _ = write(history, empty_engine, notes(JSONB, "to_jsonb(note)"))
    do(
        url,
        "alter table notes alter note set storage external; "
        "alter table notes alter note set compression pglz",
    )
    command.upgrade(history.config(empty_engine), first)
    assert rows(url, stored) == [("e", "p")]
    do(url, "alter table notes alter note set storage main")
    command.downgrade(history.config(empty_engine), "-1")
    assert rows(url, stored) == [("e", "p")]
