"""What a downgrade lets queries wait for is said when it is written; where there is another way, none do."""

from pathlib import Path

import pytest
from sqlalchemy import BigInteger, CheckConstraint, Column, Computed, Integer, MetaData, Table
from sqlalchemy.engine import URL

from tests.plinth.judge import empty_place, start_change
from tests.plinth.test_kinds import major_version


def numbers(*further: Column[int] | CheckConstraint) -> MetaData:
    metadata = MetaData()
    Table("numbers", metadata, Column("id", Integer, primary_key=True), Column("a", Integer), *further)
    return metadata


def written(server: URL, folder: Path, before: MetaData, after: MetaData) -> str:
    """Return the downgrade that autogenerate writes."""
    with empty_place(server, folder / "history") as (history, engine):
        if major_version(engine.url) < 18:
            pytest.skip("PostgreSQL 18")
        trial = start_change(history, engine, before, after)
        known = trial.files()
        trial.write("generate it otherwise", after, ())
        (text,) = trial.texts(known)
        return text.partition("def downgrade")[2]


def test_a_stored_column_that_comes_back_writes_the_table_anew(
    server: URL, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = numbers(Column("twice", Integer, Computed("a * 2", persisted=True)))
    written(server, tmp_path, before, numbers())
    assert "A downgrade lets queries wait. The generated column numbers.twice is stored: its" in caplog.text


def test_a_check_that_comes_back_with_its_column_is_looked_at_behind_the_transaction(
    server: URL, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    check = "next > 0"
    before = numbers(
        Column("next", Integer, Computed("a + 1", persisted=False)), CheckConstraint(check, "is_positive")
    )
    after = numbers(
        Column("next", BigInteger, Computed("a + 1", persisted=False)), CheckConstraint(check, "is_positive")
    )
    back = written(server, tmp_path, before, after)
    assert "A downgrade lets queries wait" not in caplog.text
    assert back.count("create_check_constraint") == back.count("postgresql_not_valid=True") == 1
    assert back.index("autocommit_block") < back.index("VALIDATE CONSTRAINT is_positive")
