"""What is made while nothing is collected stays as it is, and afterwards all is as before."""

import gc
import weakref

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
