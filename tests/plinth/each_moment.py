"""What other sessions see behind each statement of a change and of its way back."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from alembic import command
from sqlalchemy import Engine

from plinth.listening import listening
from tests.plinth.history import History, psql
from tests.plinth.judge import dump

Session = psycopg.Connection[tuple[Any, ...]]
BOTH = [
    pytest.param(False, id="so"),
    pytest.param(True, id="the other way round", marks=pytest.mark.slow),
]


def seen_at_each_moment(
    history: History, engine: Engine, revisions: int, query: str
) -> Iterator[list[tuple[Any, ...]]]:
    """Apply revisions, undo and apply them again; yield a query's rows behind each statement.

    Args:
        history: the revisions, of which all but the last ones are applied; they put back just what was there.
        engine: the database's.
        revisions: how many the last ones are.
        query: what others ask.
    """
    before, back = dump(engine.url), f"-{revisions}"
    found: list[list[tuple[Any, ...]]] = []
    for revision in ("head", back, "head"):
        with psql(engine.url) as other:

            def look(*_: object, other: Session = other) -> None:
                found.append(other.execute(query.encode()).fetchall())

            with listening((Engine, "after_cursor_execute", look)):
                go = command.downgrade if revision == back else command.upgrade
                go(history.config(engine), revision)
        assert len(found) > 1
        yield from found
        found.clear()
        assert revision != back or dump(engine.url) == before
