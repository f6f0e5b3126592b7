"""Waits for sessions that have just been closed, before their database is dropped, renamed or copied.

PostgreSQL waits for them too, but looks again after 100 ms only.
"""

import time
from collections.abc import Callable

IS_ENTERED = "select exists (select from pg_stat_activity where datname = $1)"
_LOOKS = 25
_BETWEEN = 0.002  # seconds: a session ends in one to three milliseconds


def wait(is_entered: Callable[[], object]) -> None:
    """Return when nobody is in a database, or after 50 ms: who is in it then, stays.

    Args:
        is_entered: asks the server, by `IS_ENTERED`.
    """
    for _ in range(_LOOKS):
        if not is_entered():
            return
        time.sleep(_BETWEEN)
