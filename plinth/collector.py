"""Python's collector of garbage, where much is made that stays."""

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from weakref import ReferenceType

_LARGE = 20_000  # objects: some megabytes


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


@contextmanager
def rarely() -> Iterator[None]:
    """Collect less often while the block runs: most of what a revision makes is gone by itself.

    What a file is parsed into was looked at while it was in use.
    """
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], _LARGE) if before[0] else 0, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def leave_out_what_is_imported() -> None:
    """Let collections, the last one too, not look at what is there by now: libraries, which do nothing then.

    They took a sixth of the time of a short program. What a project's module leaves open is written by a
    collection, so none that may do something may be there yet.
    """
    gc.freeze()


def collect_at_last(held: Iterable[object], modules: Sequence["ReferenceType[ModuleType]"]) -> None:
    """Collect what revisions have left when the program ends, so that what they have yet to write is written.

    Args:
        held: what was left out with the libraries, and holds the modules; it is of no use afterwards.
        modules: the revisions'. If one stays, all that was left out is looked at after all.
    """
    for each in held:
        vars(each).clear()
    gc.collect()
    if not modules or any(each() is not None for each in modules):
        gc.unfreeze()
