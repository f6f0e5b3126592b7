"""An index or key that is replaced, by another of its name or not: at no moment is there neither of them."""

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import Engine, MetaData, event
from sqlalchemy.engine import URL

from tests.plinth.history import History, psql, rows
from tests.plinth.judge import dump
from tests.plinth.kinds.kind import NAMING_CONVENTION, also
from tests.plinth.project import Project
from tests.plinth.test_busy_tables import begun, write

# Which of the three stand, and can be used, in the eyes of others.
STANDING = """
    select count(*) filter (where indisprimary), count(*) filter (where indisunique and first = 'code'),
           count(*) filter (where not indisprimary and first = 'amount')
    from pg_index join (select attrelid, attnum, attname as first from pg_attribute) a
         on attrelid = indrelid and attnum = indkey[0]
    where indrelid = %s and indisvalid
    """


def goods(code: sa.schema.SchemaItem, amount: sa.schema.SchemaItem, *more: str) -> MetaData:
    """Return goods, what makes their code unique, what finds them by amount, and what else their key has."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    sa.Table(
        "goods",
        metadata,
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("amount", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", *more, comment="one for each" if more else None),
        code,
        amount,
    )
    return metadata


def before() -> MetaData:
    return goods(sa.UniqueConstraint("code", name="uq_goods"), sa.Index("ix_goods", "amount"))


CHANGES = {
    "of its name": lambda: goods(
        sa.UniqueConstraint("code", "amount", name="uq_goods"),
        sa.Index("ix_goods", "amount", "code"),
        "amount",
    ),
    "of another name": lambda: goods(
        sa.UniqueConstraint("code", "amount"), sa.Index("ix_goods_2", "amount", "code"), "amount"
    ),
    "of another kind": lambda: goods(
        sa.Index("ix_goods_code", "code", unique=True), sa.UniqueConstraint("amount", "code")
    ),
}


@pytest.fixture
def history(project: Project, empty_engine: Engine) -> History:
    """Revisions that make the table, applied, and rows in it."""
    return begun(
        project,
        empty_engine,
        before(),
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


@pytest.mark.parametrize("change", CHANGES)
def test_none_is_ever_missing(history: History, empty_engine: Engine, change: str) -> None:
    url = empty_engine.url
    begun_with = dump(url)
    write(history, empty_engine, CHANGES[change]())
    for revision in ("head", "-1", "head"):
        found = seen(history, empty_engine, url, revision)
        assert len(found) > 1  # one beside the other
        assert all(min(each) > 0 for each in found)
        if revision == "-1":
            assert dump(url) == begun_with
    assert rows(url, "select indexdef ~ 'amount, code' from pg_indexes where indexdef ~ '.amount'")


def test_what_rows_new_values_would_break_goes_first(project: Project, empty_engine: Engine) -> None:
    def models(*items: sa.schema.SchemaItem) -> MetaData:
        metadata = MetaData(naming_convention=NAMING_CONVENTION)
        sa.Table("goods", metadata, sa.Column("id", sa.Integer, primary_key=True), *items)
        return metadata

    first = models(sa.Column("code", sa.Text, unique=True))
    history = begun(project, empty_engine, first, "insert into goods values (1), (2)")
    code = sa.Column("code", sa.Text, nullable=False, info={"backfill": "'none'"})
    write(history, empty_engine, models(code, sa.UniqueConstraint("code", "id")))
    command.upgrade(history.config(empty_engine), "head")
    assert rows(empty_engine.url, "select code from goods") == [("none",), ("none",)]


def test_settings_change_where_the_index_stands(project: Project, empty_engine: Engine) -> None:
    def filled(factor: int) -> MetaData:
        metadata = MetaData(naming_convention=NAMING_CONVENTION)
        table = sa.Table(
            "goods",
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("code", sa.Text),
            sa.Index("ix_goods", "code", postgresql_with={"fillfactor": factor}),
        )
        also(table, f"alter table goods add constraint u unique (code) with (fillfactor = {factor})")
        return metadata

    history = begun(project, empty_engine, filled(70))
    files = "select relname::text, relfilenode from pg_class where relname in ('u', 'ix_goods') order by 1"
    stood = rows(empty_engine.url, files)
    write(history, empty_engine, filled(80))
    for go, revision, factor in (command.upgrade, "head", 80), (command.downgrade, "-1", 70):
        go(history.config(empty_engine), revision)
        assert rows(empty_engine.url, files) == stood
        options = "select distinct reloptions from pg_class where relname in ('u', 'ix_goods')"
        assert rows(empty_engine.url, options) == [([f"fillfactor={factor}"],)]
