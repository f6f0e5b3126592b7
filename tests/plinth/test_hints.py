"""Words in a model's `info`: hints, what is almost one, and what is the application's own."""

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text

from plinth.autogenerate.compare.hints import read_hints


def test_a_misspelt_hint_is_named_and_words_of_the_application_are_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metadata = MetaData()
    Table(
        "users",
        metadata,
        Column("id", Integer, primary_key=True, info={"label": "Id", "use": True, 7: "seven"}),
        Column("name", Text, nullable=False, info={"backfil": "'x'"}),
        Column("mail", Text, info={"backfill": "'x'"}),
        info={"rename_from": "people"},
    )
    hints = read_hints(metadata, "public")
    assert [each.column for each in hints.backfills] == ["mail"]
    assert [each.getMessage() for each in caplog.records] == [
        'info={"rename_from": …} of users is no hint. Is "renamed_from" meant?',
        'info={"backfil": …} of users.name is no hint. Is "backfill" meant?',
    ]
