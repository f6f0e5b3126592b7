"""Rows that a trigger or a rule keeps from being filled: what their values are copied from doesn't go."""

from typing import Any

import pytest
from alembic.util import CommandError
from sqlalchemy import Column, Integer, String

from tests.plinth.field.changing import Changing
from tests.plinth.history import do

CANCELS = {
    "trigger": """
        create function cancel() returns trigger language plpgsql as $$ begin return null; end $$;
        create trigger cancel before update on t for each row when (old.id = 1) execute function cancel()
        """,
    "rule": "create rule cancel as on update to t where old.id = 1 do instead nothing",
}
ALLOWS = {"trigger": "drop trigger cancel on t", "rule": "drop rule cancel on t"}
CHANGES: dict[str, Column[Any]] = {
    "another type": Column("v", String(9)),
    "required": Column("v", String(9), nullable=False),
    "kept name": Column("w", Integer, info={"renamed_from": "v", "keep_old": True}),
}


@pytest.mark.parametrize("way", CANCELS)
@pytest.mark.parametrize("change", CHANGES)
def test_it_stops_and_goes_on(change: str, way: str, changing: Changing) -> None:
    new = CHANGES[change]
    changing.begin(Column("v", Integer), values=("10", "20"))
    changing.write(Column(new.name, new.type, nullable=new.nullable, info=new.info))
    do(changing.engine.url, CANCELS[way])
    said = (
        "violated by some row" if change == "required" else "Rows of t get no value in [vw_new]+: a trigger"
    )
    with pytest.raises(CommandError, match=said):
        changing.upgrade()
    assert changing.values("v") == [10, 20]
    do(changing.engine.url, ALLOWS[way])
    if change == "kept name":  # filled by hand, as the sentence says
        do(changing.engine.url, "update t set w = v where w is null")
    else:  # the trigger that keeps the two equal does it
        do(changing.engine.url, "update t set v = v")
    changing.upgrade()
    assert [int(each) for each in changing.values(new.name)] == [10, 20]


@pytest.mark.parametrize("way", CANCELS)
def test_so_does_the_way_back(way: str, changing: Changing) -> None:
    changing.begin(Column("v", Integer), values=("10", "20"))
    changing.write(Column("w", Integer, info={"renamed_from": "v", "keep_old": True}))
    changing.upgrade()
    do(changing.engine.url, CANCELS[way])
    with pytest.raises(CommandError, match="Rows of t get no value in v: a trigger"):
        changing.downgrade("-1")
    assert changing.values("w") == [10, 20]
