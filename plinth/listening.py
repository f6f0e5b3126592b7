"""Listeners to SQLAlchemy's events, for as long as a block runs."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import event

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
