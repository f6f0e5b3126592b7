"""A revision that is interrupted behind its statements, and what it has done then taken back."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from alembic import command
from sqlalchemy import Engine

from plinth.listening import listening
from tests.plinth.history import History, rows
from tests.plinth.judge import dump

POINTS = "select from plinth.points where number > 0"


class Interrupted(Exception):  # noqa: N818 - a test's
    """A revision stops here."""


@contextmanager
def interrupted(behind: int) -> Iterator[list[str]]:
    """Let a revision fail behind some of its statements; yield those that ran."""
    ran: list[str] = []

    def before(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.lstrip().startswith(("ALTER", "CREATE", "DROP", "DO", "LOCK", "ANALYZE")):
            if len(ran) == behind:
                raise Interrupted
            ran.append(statement)

    with listening((Engine, "before_cursor_execute", before)):
        yield ran


def take_back(history: History, engine: Engine, revision: str, content: str, steps: slice) -> None:
    """Interrupt a revision behind some of its statements, both ways; what it has done must be taken back.

    Args:
        history: its last revision but this one is applied.
        engine: the database's.
        revision: which.
        content: a query whose answer stays the same.
        steps: behind which of its statements.
    """
    url, config = engine.url, history.config(engine)
    expected, before = rows(url, content), dump(url)
    with interrupted(-1) as ran:
        command.upgrade(config, revision)
    after, there = dump(url), len(ran)
    assert after != before
    with interrupted(-1) as ran:
        command.downgrade(config, "-1")
    back = len(ran)
    assert dump(url) == before
    for behind in range(max(there, back))[steps]:
        if behind < there:
            with interrupted(behind), pytest.raises(Interrupted):
                command.upgrade(config, revision)
            if rows(url, POINTS):
                command.downgrade(config, "-1")
            assert (dump(url), rows(url, content)) == (before, expected), behind
        command.upgrade(config, revision)
        if behind < back:
            with interrupted(behind), pytest.raises(Interrupted):
                command.downgrade(config, "-1")
            command.upgrade(config, revision)
            assert (dump(url), rows(url, content)) == (after, expected), behind
        command.downgrade(config, "-1")
        assert (dump(url), rows(url, content)) == (before, expected), behind
