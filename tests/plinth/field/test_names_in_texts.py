"""Functions whose texts name what gets another name: the author hears of it, for PostgreSQL says nothing."""

import pytest
from alembic.script import ScriptDirectory
from psycopg.errors import UndefinedColumn
from sqlalchemy import Column, Integer, MetaData, Table, Text

from tests.plinth.field.changing import Changing
from tests.plinth.history import psql

FUNCTIONS = """
create function touch() returns trigger language plpgsql as $$
    begin new.price := abs(new."price"); return new; end $$;
create trigger touch before update on t for each row execute function touch();
create function total() returns bigint language sql as 'select sum(price) from t';
create function elsewhere() returns text language sql as $$ select 'a price' $$;
"""
KNOWN = "create function known() returns bigint language sql begin atomic select sum(price) from t; end"


def named(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return the functions that are named, each with what becomes of what its text has."""
    said = [each.getMessage() for each in caplog.records if "The text of function" in each.getMessage()]
    caplog.clear()
    return [(each.split()[4], each.split("name ")[1].split(". ")[0]) for each in said]


@pytest.mark.parametrize("online", ["yes", "no"])
def test_what_gets_another_name_or_goes(
    changing: Changing, caplog: pytest.LogCaptureFixture, online: str
) -> None:
    changing.begin(Column("price", Integer), Column("name", Text), values=("1, 'a'",))
    head = ScriptDirectory.from_config(changing.config()).get_current_head()
    changing.history.add("functions", head, f"op.execute({FUNCTIONS + KNOWN!r})")
    changing.upgrade()
    caplog.clear()
    renamed = Column("net", Integer, info={"renamed_from": "price"})
    changing.write(renamed, Column("name", Text), x=(f"online={online}",))
    new = "t.price, which is called net from this change on"
    assert named(caplog) == [("public.total()", new), ("public.touch()", new)]
    changing.upgrade()
    with psql(changing.engine.url) as connection, pytest.raises(UndefinedColumn):
        connection.execute("select total()")


def test_what_goes_and_what_the_change_itself_mends(
    changing: Changing, caplog: pytest.LogCaptureFixture
) -> None:
    changing.begin(Column("price", Integer), values=("1",))
    head = ScriptDirectory.from_config(changing.config()).get_current_head()
    changing.history.add("functions", head, f"op.execute({FUNCTIONS!r})")
    changing.upgrade()
    caplog.clear()

    def other_table(metadata: MetaData) -> None:
        columns = [Column("id", Integer, primary_key=True), Column("price", Integer)]
        Table("items", metadata, *columns, info={"renamed_from": "t"})

    changing.write_models(other_table, "online=no")
    assert named(caplog) == [("public.total()", "t, which is called items from this change on")]
    for file in (changing.history.folder / "versions").glob("*change_the_shop.py"):
        if "rename_table" in file.read_text():
            file.unlink()
    changing.write(x=("online=no", "drop=t.price"))
    gone = "t.price, which goes"
    assert named(caplog) == [("public.total()", gone), ("public.touch()", gone)]
    for file in (changing.history.folder / "versions").glob("*.py"):
        if "drop_column" in file.read_text():
            file.unlink()

    def nothing(metadata: MetaData) -> None:
        Table("u", metadata, Column("id", Integer, primary_key=True))

    changing.write_models(nothing, "online=no", "drop=t", "prove=no")
    assert named(caplog) == [("public.total()", "t, which goes")]


def test_an_old_name_that_is_kept_goes_later(changing: Changing, caplog: pytest.LogCaptureFixture) -> None:
    changing.begin(Column("price", Integer), values=("1",))
    head = ScriptDirectory.from_config(changing.config()).get_current_head()
    total = "create function total() returns bigint language sql as 'select sum(price) from t'"
    changing.history.add("functions", head, f"op.execute({total!r})")
    changing.upgrade()
    caplog.clear()
    changing.write(Column("net", Integer, info={"renamed_from": "price", "keep_old": True}))
    late = "t.price, which goes after the code, as net has its values"
    assert named(caplog) == [("public.total()", late)]
