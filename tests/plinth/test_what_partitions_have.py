"""What a partition alone has on its part of an index or trigger is there when a column gets another type."""

from collections.abc import Callable, Iterable

import sqlalchemy as sa
from sqlalchemy import Engine, MetaData

from tests.plinth.history import History, do, rows
from tests.plinth.judge import Dump, difference, dump
from tests.plinth.kinds.kind import NAMING_CONVENTION, also
from tests.plinth.project import Project
from tests.plinth.test_busy_tables import begun, write
from tests.plinth.test_what_a_table_has import go, head

BY_HAND = (
    "comment on index s_2024_day_n_key is 'its own'",
    "comment on constraint s_2024_day_n_key on s_2024 is 'its own'",
    "comment on constraint few on s_2024 is 'its own'",
    "comment on trigger stamp on s_2024 is 'its own'",
    "alter index s_2024_day_n_key set (fillfactor = 70)",
    "alter index s_2024_abs_idx alter column 1 set statistics 75",
    "alter table s_2024 replica identity using index s_2024_day_n_key",
    "alter table s_2024 cluster on s_2024_day_n_key",
    "alter table s_2024 disable trigger stamp",
    "alter table s_2025_1 enable always trigger stamp",
    "create publication p for table s_2024",
)


def models(kind: type[sa.types.TypeEngine[int]], *parts: sa.schema.SchemaItem) -> MetaData:
    """Return a table with partitions on two levels, a trigger, and a number of a type."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    table = sa.Table(
        "s",
        metadata,
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("n", kind, nullable=not parts),
        *parts,
        postgresql_partition_by="RANGE (day)",
    )
    for statement in (
        "create table s_2024 partition of s for values from ('2024-01-01') to ('2025-01-01')",
        "create table s_2025 partition of s for values from ('2025-01-01') to ('2026-01-01') "
        "partition by range (day)",
        "create table s_2025_1 partition of s_2025 default",
    ):
        also(table, statement)
    also(metadata, "create function f() returns trigger language plpgsql as $$ begin return new; end $$")
    also(metadata, "create trigger stamp before update of n on s for each row execute function f()")
    return metadata


def keyed(kind: type[sa.types.TypeEngine[int]]) -> MetaData:
    """Return the same with a constraint, an index and a check on the number."""
    return models(
        kind,
        sa.UniqueConstraint("day", "n", name="s_uq"),
        sa.Index("s_abs", sa.text("abs(n)")),
        sa.CheckConstraint("n < 100", name=sa.schema.conv("few")),
    )


def changed_by_hand(
    project: Project,
    engine: Engine,
    made: Callable[[type[sa.types.TypeEngine[int]]], MetaData],
    by_hand: Iterable[str] = BY_HAND,
) -> tuple[History, str, Dump]:
    """Return a history whose last revision gives the number another type, what is applied, and the schema."""
    history = begun(project, engine, made(sa.Integer), "insert into s values ('2024-02-02', 1)")
    write(history, engine, made(sa.BigInteger))
    for statement in by_hand:
        do(engine.url, statement)
    return history, head(engine.url), dump(engine.url)


def test_it_is_there_when_a_column_has_another_type(project: Project, empty_engine: Engine) -> None:
    url = empty_engine.url
    history, first, before = changed_by_hand(project, empty_engine, keyed)
    go(history, empty_engine, "head", printed=False)
    do(url, "update s set n = 2")
    after = dump(url)
    asked = """
        select reloptions, indisreplident, indisclustered
        from pg_index join pg_class c on c.oid = indexrelid
        where indrelid = 's_2024'::regclass and indisunique
        """
    assert rows(url, asked) == [(["fillfactor=70"], True, True)]
    assert {name.partition(";")[0] for name in before if before[name] != after.get(name)} == {
        "Name: s",
        "Name: s_2024",
        "Name: s_2025",
        "Name: s_2025_1",
    }
    go(history, empty_engine, first, printed=False)
    assert difference(before, dump(url)) == ""


def test_what_is_printed_hands_it_on_too(project: Project, empty_engine: Engine) -> None:
    of_trigger = [each for each in BY_HAND if "stamp" in each]
    history, first, before = changed_by_hand(project, empty_engine, models, of_trigger)
    go(history, empty_engine, "head", printed=True)
    go(history, empty_engine, first, printed=True)
    assert difference(before, dump(empty_engine.url)) == ""
