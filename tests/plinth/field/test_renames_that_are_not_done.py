"""A hint of a rename does what it says, or is refused: what bears the new name is not made anew and empty."""

from typing import Any

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Column, Enum, Integer, Text

from tests.plinth.field.changing import Changing
from tests.plinth.history import psql


def old(name: str, *, keep: bool = False) -> dict[str, object]:
    return {"renamed_from": name, **({"keep_old": True} if keep else {})}


A, B = ("a", Integer), ("b", Integer)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ([("c", Text, old("aa")), B], '"aa".* of t.c can\'t be done: there is no such column'),
        ([("c", Integer, old("A")), B], '"A".* of t.c can\'t be done'),
        ([("c", Integer, old("a")), ("d", Integer, old("a")), B], "of t.d can't be done.*another one takes"),
        (
            [A, ("c", Integer, old("a", keep=True)), B],
            "of t.c can't be done: the model still has that column",
        ),
        ([("c", Text, old("aa", keep=True)), B], "of t.c can't be done"),
        ([("b", Integer, old("a")), ("a", Integer, old("b"))], r"t\.a, t\.b take each other's names"),
        ([("b", Integer, old("a")), ("a", Text, old("b"))], r"t\.a, t\.b take each other's names"),
        (
            [("b", Integer, old("a", keep=True)), ("a", Integer, old("b", keep=True))],
            r"t\.a, t\.b take each other's names",
        ),
    ],
    ids=[
        "unknown",
        "another case",
        "taken twice",
        "kept and there",
        "unknown and kept",
        "ring",
        "mixed",
        "kept",
    ],
)
def test_a_columns_is_refused(columns: list[tuple[Any, ...]], words: str, changing: Changing) -> None:
    changing.begin(Column("a", Integer), Column("b", Integer), values=("1, 10", "2, 20"))
    with pytest.raises(CommandError, match=words):
        changing.write(*(Column(name, type_, info=(*info, {})[0]) for name, type_, *info in columns))


def test_a_tables_is_refused(changing: Changing) -> None:
    changing.begin(Column("a", Integer), values=("1",))
    config = changing.config(Column("a", Integer))
    table = config.attributes["target_metadata"].tables["t"]
    new = table.to_metadata(type(table.metadata)(), name="u")
    new.info["renamed_from"] = "tt"
    config.attributes["target_metadata"] = new.metadata
    with pytest.raises(CommandError, match=r'"tt".* of u can.t be done: there is no such table'):
        command.revision(config, "change the shop", autogenerate=True)


@pytest.mark.parametrize(
    ("before", "after", "renames", "words"),
    [
        ("ab", "ac", {"x": "c"}, "there is no such value"),
        ("ab", "abc", {"b": "c"}, "the model still has that value"),
        ("abc", "cba", {"a": "c", "c": "b", "b": "a"}, "take each other's names"),
    ],
    ids=["unknown", "still there", "another order"],
)
def test_a_values_is_refused(
    before: str, after: str, renames: dict[str, str], words: str, changing: Changing
) -> None:
    changing.begin(Column("s", Enum(*before, name="kind")), values=("'a'",))
    with pytest.raises(CommandError, match=words):
        changing.write(Column("s", Enum(*after, name="kind"), info={"enum_renames": renames}))


@pytest.mark.parametrize(
    ("before", "after", "renames", "values"),
    [
        ("ab", "bac", {"a": "b", "b": "a"}, ["b", "a"]),
        ("abx", "ba", {"a": "b", "b": "a"}, ["b", "a"]),
        ("ab", "bcd", {"a": "b", "b": "c"}, ["b", "c"]),
        ("ab", "bc", {"a": "b", "b": "c"}, ["b", "c"]),
    ],
    ids=["swapped, and one more", "swapped, and one less", "in a row, and one more", "in a row"],
)
def test_values_that_take_each_others_names_do_so(
    before: str, after: str, renames: dict[str, str], values: list[str], changing: Changing
) -> None:
    changing.begin(Column("s", Enum(*before, name="kind")), values=("'a'", "'b'"))
    for written in (True, False):
        column: Column[Any] = Column("s", Enum(*after, name="kind"), info={"enum_renames": renames})
        assert bool(changing.write(column)) == written
        changing.upgrade()
        assert changing.values("s") == values
    with psql(changing.engine.url) as connection:
        assert connection.execute("select count(*) from t").fetchone() == (2,)
