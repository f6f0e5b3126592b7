"""Alembic's UPDATE of the version table is compiled once, and nothing else is touched."""

from alembic import command
from sqlalchemy import Column, Engine, MetaData, String, Table, Update, event, literal_column, text, update

from plinth.apply.version_row import compiled_once
from tests.plinth.history import History, heads

VERSIONS = Table("odd:%name", MetaData(), Column("version_num", String(32)))


def of_alembic(old: str, new: str, table: Table = VERSIONS) -> Update:
    """Return the statement as Alembic builds it."""
    given = table.update().values(version_num=literal_column(f"'{new}'"))
    return given.where(table.c.version_num == literal_column(f"'{old}'"))


def test_revisions_are_parameters_and_the_row_is_the_same(empty_engine: Engine) -> None:
    sent: list[str] = []
    with empty_engine.connect() as connection:
        VERSIONS.create(connection)
        connection.execute(VERSIONS.insert().values(version_num="r1"))
        event.listen(connection, "before_cursor_execute", lambda *given: sent.append(given[2]))
        with compiled_once(connection):
            for old, new in (("r1", "r2"), ("r2", "r3")):
                assert connection.execute(of_alembic(old, new)).rowcount == 1
            assert connection.execute(of_alembic("r1", "r2")).rowcount == 0
            assert len({*sent}) == 1
            # Of another form.
            rows = connection.execute(of_alembic("r3", "r4").returning(VERSIONS.c.version_num))
            assert rows.all() == [("r4",)]
            connection.execute(of_alembic("r4", "it''s"))
            connection.execute(of_alembic("it''s", "r5").where(VERSIONS.c.version_num != "r9"))
            connection.execute(update(VERSIONS).values(version_num="r6"))
            other = Table("other", MetaData(), Column("version_num", String), Column("name", String))
            other.create(connection)
            connection.execute(other.insert().values(version_num="r1"))
            connection.execute(of_alembic("r1", "r2", other))
            assert connection.execute(other.select()).all() == [("r2", None)]
        connection.execute(of_alembic("r6", "r7"))
        assert connection.scalar(VERSIONS.select()) == "r7"
        assert len({*sent}) > 5
        assert connection.scalar(text("select 1")) == 1


def test_an_upgrade_compiles_it_once(history: History, empty_engine: Engine) -> None:
    history.tables("r1", "r2", "r3", "r4")
    sent: list[str] = []

    def see(*given: object) -> None:
        sent.append(str(given[2]))

    event.listen(empty_engine, "before_cursor_execute", see)
    command.upgrade(history.config(empty_engine), "head")
    assert len({each for each in sent if each.startswith("UPDATE")}) == 1
    assert heads(empty_engine.url) == {"r4"}
