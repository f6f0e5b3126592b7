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


@cache
def ends_with_the_program() -> None:
    """Let the last collection go, when Python ends: memory goes then anyway. For a program with one command.

    It took a sixth of the time of a short one. What `atexit` has to do is done all the same.
    """
    atexit.register(gc.freeze)


@cache  # of a program that runs many, what it drops in between is to be found
def leave_out_what_is_imported() -> None:
    """Let later collections not look at what is there by now, in a program that says when it ends."""
    if ends_with_the_program.cache_info().currsize:
        gc.freeze()
