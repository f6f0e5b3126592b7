"""Python's collector of garbage, while much is made that stays."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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
