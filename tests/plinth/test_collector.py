"""What is made while nothing is collected stays as it is, and afterwards all is as before."""

import gc
import weakref
from types import ModuleType

import pytest

from plinth import collector


class Ring:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.me = self


def test_nothing_is_collected_meanwhile_and_all_of_it_later() -> None:
    with collector.paused():
        left = weakref.ref(Ring())
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.collect()
    assert left() is None


def test_an_error_or_a_pause_within_a_pause_changes_nothing() -> None:
    with pytest.raises(ZeroDivisionError), collector.paused():
        raise ZeroDivisionError
    assert gc.isenabled()
    with collector.paused():
        with collector.paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.parametrize("is_held", [False, True])
def test_what_stays_is_looked_at_again(is_held: bool) -> None:
    module, holder = ModuleType("revision"), Ring()
    vars(holder)["module"] = module
    modules = [weakref.ref(module)]
    kept = module if is_held else None
    del module
    collector.leave_out_what_is_imported()
    try:
        collector.collect_at_last([holder], modules)
        assert (modules[0]() is None) == (not is_held)
        assert (gc.get_freeze_count() == 0) == is_held
    finally:
        gc.unfreeze()
    assert modules[0]() is kept
