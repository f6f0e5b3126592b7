"""Listeners to SQLAlchemy's events, for as long as a block runs."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import Connection, event

Listener = tuple[Any, str, Callable[..., Any]]


@contextmanager
def listening(*listeners: Listener, retval: bool = False) -> Iterator[None]:
    """Listen as long as the block runs.

    Args:
        listeners: to what, for which event, and what is called.
        retval: whether what they return takes the place of what they were given.
    """
    with ExitStack() as stack:
        for each in listeners:
            event.listen(*each, retval=retval)
            stack.callback(event.remove, *each)
        yield


@contextmanager
def behind_commits(connection: Connection, call: Callable[[], object]) -> Iterator[None]:
    """Call behind each commit of a connection; SQLAlchemy's own event comes before it."""
    dialect = vars(connection.dialect)
    before, commit = dialect.get("do_commit"), connection.dialect.do_commit

    def do_commit(session: Any) -> None:  # noqa: ANN401
        commit(session)
        if not connection.closed and session is connection.connection:
            call()

    dialect["do_commit"] = do_commit
    try:
        yield
    finally:
        del dialect["do_commit"]
        dialect |= {"do_commit": before} if before else {}
