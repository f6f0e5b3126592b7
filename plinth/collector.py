"""Python's collector of garbage, where much is made that stays."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache


@contextmanager
def paused() -> Iterator[None]:
    """Collect nothing while the block runs: modules, models and schemas stay, and would be looked at again.

    A third of the time in which a thousand models are imported, or as many tables read.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@cache  # a program that runs many goes on, and what it drops in between is to be found
def ends_with_the_program() -> None:
    """Leave out what is there by now, and let the last collection go, when Python ends: memory goes then anyway.

    For a program that runs one command; the two took a sixth of the time of a short one. What `atexit` has to
    do is done all the same.
    """
    gc.freeze()
    atexit.register(gc.freeze)
