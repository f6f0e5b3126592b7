"""Rows are filled and copied in batches whatever the values of their keys are."""
# ruff: noqa: S608 - SQL made of constants

from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from psycopg.sql import Literal
from sqlalchemy import Engine, MetaData

from tests.plinth.history import rows
from tests.plinth.judge import dump
from tests.plinth.kinds.kind import NAMING_CONVENTION
from tests.plinth.project import Project
from tests.plinth.test_busy_tables import begun, write

ODD = (
    "",
    " ",
    ",",
    "(,)",
    "()",
    '"',
    '""',
    "'",
    "\\",
    "a,b",
    "(",
    "NULL",
    "null",
    "\n",
    "%",
    ":x",
    "{}",
    "é",
)
VALUES = ", ".join(f"({Literal(each).as_string()})" for each in ODD)
FILL = f"""
    insert into notes (a, b, n, said) select a, b, n, n from (values {VALUES}) x (a), (values {VALUES}) y (b),
    generate_series(-3, 3) n
    """
NUMBER = 7 * len(ODD) ** 2  # more than two batches
COMPOSITE, TEXTS, ALONE = ("a", "b", "n"), ("b", "a"), ("c",)


def models(
    key: tuple[str, ...],
    *items: "sa.Column[Any]",
    said: "sa.types.TypeEngine[Any] | type[sa.types.TypeEngine[Any]]" = sa.Integer,
) -> MetaData:
    """Return notes by a key of some of their columns."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    columns: list[sa.Column[Any]] = [
        sa.Column("a", sa.Text, nullable=False),
        sa.Column("b", sa.Text(collation="C"), nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("c", sa.Text, nullable=False, server_default=sa.text("gen_random_uuid()::text || ',\"()'")),
        sa.Column("said", said),
    ]
    sa.Table("notes", metadata, *columns, *items, sa.PrimaryKeyConstraint(*key))
    return metadata


FORMS: dict[str, tuple[str, list[sa.Column[Any]]]] = {
    "required": (
        "word = a || '!'",
        [sa.Column("word", sa.Text, nullable=False, info={"backfill": "a || '!'"})],
    ),
    "identity": ("word > 0", [sa.Column("word", sa.Integer, sa.Identity())]),
    "generated": ("word = n + 1", [sa.Column("word", sa.Integer, sa.Computed("n + 1", persisted=True))]),
}


@pytest.mark.slow
@pytest.mark.parametrize("key", [COMPOSITE, TEXTS, ALONE], ids="-".join)
@pytest.mark.parametrize("form", [*FORMS, "another type"])
def test_each_row_gets_its_value(
    project: Project, empty_engine: Engine, form: str, key: tuple[str, ...]
) -> None:
    url = empty_engine.url
    fill = FILL if key != TEXTS else f"{FILL} where n = 0"
    number = NUMBER if key != TEXTS else len(ODD) ** 2
    history = begun(project, empty_engine, models(key), fill)
    before, config = dump(url), history.config(empty_engine)
    if form == "another type":
        has_it, after = "said = n and pg_typeof(said)::text = 'bigint'", models(key, said=sa.BigInteger)
    else:
        has_it, columns = FORMS[form]
        after = models(key, *(each._copy() for each in columns))
    written = write(history, empty_engine, after)
    command.upgrade(config, "head")
    assert rows(url, f"select count(*) from notes where {has_it}") == [(number,)]
    command.downgrade(config, f"-{len(written)}")
    assert dump(url) == before
    assert rows(url, "select count(*) from notes where said = n") == [(number,)]
