"""How long what fills a column is in a revision's file."""

import pytest

from plinth.autogenerate.change.backfills import Fill, backfill
from plinth.autogenerate.change.steps import SqlOp
from plinth.autogenerate.write.rendering import text_of_lines
from plinth.catalog.picture import Catalog, Column, Constraint, Name, Table

NAME = Name("public", "lines")
COLUMNS = tuple(Column(name, "bigint") for name in ("order_id", "line", "note"))
KEY = Constraint("lines_pkey", "p", "PRIMARY KEY", columns=("order_id", "line"))
KEYED = Table(NAME, columns=COLUMNS, constraints={KEY.name: KEY})
KEYLESS = Table(NAME, columns=COLUMNS)
HEIR = Table(Name("public", "old_lines"), columns=COLUMNS, parents=(NAME,))
VALUE = "coalesce(nullif(lower(btrim(note)), ''), 'none')"


@pytest.mark.parametrize(
    ("table", "heirs"),
    [
        pytest.param(KEYED, (), id="by its key"),
        pytest.param(KEYLESS, (), id="by its pages"),
        pytest.param(KEYLESS, (HEIR,), id="with heirs"),
    ],
)
def test_it_has_at_most_fifteen_lines(table: Table, heirs: tuple[Table, ...]) -> None:
    catalog = Catalog("public", 180000, tables={each.name: each for each in (table, *heirs)})
    fill = Fill("note_new", VALUE, says_so=True, is_moved=True)
    for block in backfill(table, fill, catalog):
        assert isinstance(block, SqlOp)
        lines = text_of_lines(block.sql, 12).splitlines()[1:-1]
        assert len(lines) <= 15, "\n".join(lines)
