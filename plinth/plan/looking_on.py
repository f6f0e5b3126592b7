"""The sessions that see what a statement does which no transaction can hold.

A concurrent index build, for instance, takes its locks and waits for everybody who writes to the table. So
one session pretends to write, the other sees the statement wait, with its locks, and lets the first end.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

Session = psycopg.Connection[Any]

POLL_INTERVAL = 0.001  # seconds
LONGEST = 10.0  # seconds for which the one session pretends to write, if the statement doesn't wait for it

# Also those that it waits for: it is going to have them. An index counts for its table in the recorder.
_LOCKS = """
    select l.relation, l.mode from pg_locks l
    join pg_class c on c.oid = l.relation and c.relkind in ('r', 'p', 'm', 'f')
    where l.pid = %s and l.locktype = 'relation'
    """
_WAITS = "select 1 from pg_locks where pid = %s and not granted"


class LookingOn:
    """Looks on from two other sessions while one statement runs.

    Args:
        writer: a session in autocommit that pretends to write.
        looker: another one.
        pid: of the session that runs the statement.
    """

    def __init__(self, writer: Session, looker: Session, pid: int) -> None:
        self._writer = writer
        self._looker = looker
        self._pid = pid
        self._stop = threading.Event()
        self._seen: set[tuple[int, str]] = set()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="plinth plan", daemon=True)

    def start(self, tables: Sequence[tuple[str, str]]) -> None:
        """Begin, before the statement does.

        Args:
            tables: schema and name of those that it may touch.
        """
        self._writer.execute("begin")
        for schema, name in tables:
            self._writer.execute(
                SQL("lock table only {} in row exclusive mode").format(Identifier(schema, name))
            )
        self._thread.start()

    def stop(self) -> set[tuple[int, str]]:
        """End, after the statement has; return the relations and modes of the locks that were seen."""
        self._stop.set()
        self._thread.join()
        if self._error:
            raise self._error
        return self._seen

    def _run(self) -> None:
        until = time.monotonic() + LONGEST
        try:
            while not self._stop.is_set():
                self._seen.update(self._looker.execute(_LOCKS, [self._pid]).fetchall())
                if self._looker.execute(_WAITS, [self._pid]).fetchone():
                    self._seen.update(self._looker.execute(_LOCKS, [self._pid]).fetchall())
                    self._let_go()
                elif time.monotonic() > until:
                    self._let_go()
                time.sleep(POLL_INTERVAL)
        except psycopg.Error as error:
            self._error = error
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if self._writer.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE:
            self._writer.execute("rollback")
