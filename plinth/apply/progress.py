"""What is shown of a long upgrade: revision n of m, and how far an index build or backfill is.

A terminal has a line that is renewed; a log gets one now and then, ever more seldom.
"""

import logging
import re
import sys
import time
from typing import TYPE_CHECKING, TextIO

from plinth.sql_text import lexed

if TYPE_CHECKING:
    from rich.status import Status

QUIET = 0.5  # seconds: what is done by then needs no display
INTERVAL = 0.2  # seconds
FIRST_LINE, MOST_BETWEEN_LINES = 30.0, 600.0  # seconds: in a log, of one revision

log = logging.getLogger("alembic.runtime.migration")  # where it tells of each revision, as it is set up


class Display:
    """One line at the end of the log, renewed in place."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._shown = 0.0
        self._status: Status | None = None
        self._streams: list[tuple[logging.StreamHandler[TextIO], TextIO]] = []
        self.line = ""

    def is_due(self) -> bool:
        """Whether it is time to show something."""
        now = time.monotonic()
        return now - self._began > QUIET and now - self._shown > INTERVAL

    def show(self, what: str | None) -> None:
        """Show where the command is.

        Args:
            what: how far the revision is, in words, if that is known.
        """
        self._shown = time.monotonic()
        line = self.line + (f": {what}" if what else "")
        if self._status is None:
            # Imported late: most upgrades are over before there is anything to show.
            from rich.console import Console  # noqa: PLC0415

            self._status = Console(stderr=True).status(line)
            self._status.start()
            self._redirect()
        self._status.update(line)

    def close(self) -> None:
        """Take the line away."""
        if self._status:
            for handler, stream in self._streams:
                handler.setStream(stream)
            self._status.stop()
            self._status = None

    def _redirect(self) -> None:
        """Let log lines pass above the display, as rich lets those written to sys.stderr."""
        terminal = sys.__stderr__
        for handler in logging.getLogger().handlers:
            if terminal and type(handler) is logging.StreamHandler and handler.stream is terminal:
                self._streams.append((handler, terminal))
                handler.setStream(sys.stderr)


class LogLines:
    """Lines in a log, by which a revision of hours is known to go on."""

    def __init__(self) -> None:
        self.line = ""
        self._of = ""
        self._due = 0.0
        self._pause = FIRST_LINE

    def is_due(self) -> bool:
        """Whether it is time to say something."""
        now = time.monotonic()
        if self._of != self.line:
            self._of, self._pause = self.line, FIRST_LINE
            self._due = now + self._pause
        return bool(self.line) and now >= self._due

    def show(self, what: str | None) -> None:
        """Say where the command is.

        Args:
            what: how far the revision is, in words, if that is known.
        """
        log.info("%s: %s", self.line[:1].upper() + self.line[1:], what or "it goes on")
        self._pause = min(2 * self._pause, MOST_BETWEEN_LINES)
        self._due = time.monotonic() + self._pause

    def close(self) -> None:
        """Nothing is left to take away."""


def display() -> Display | LogLines:
    """Return what shows how far a command is: on a terminal, if somebody looks at one, else in the log."""
    return Display() if sys.stderr.isatty() else LogLines()


def describe_build(phase: str, blocks: int, all_blocks: int, tuples: int, all_tuples: int) -> str:
    """Return how far an index build is, in words."""
    done, total = (tuples, all_tuples) if all_tuples else (blocks, all_blocks)
    return f"{phase} {100 * done // total} %" if total else phase


def describe_fill(told: str) -> str:
    """Return how far a backfill in one block is, in words.

    Args:
        told: by the block: the key that it has reached, and the last one, as rows; or the page, in words.
    """
    return "filling: " + re.sub(r"\A\((.*)\) of \((.*)\)\Z", r"key \1 of \2", told)


# Of a batch: the rows that it takes, or those that it passes over to find its last one.
_SIZE = "offset <offset> limit 1 | limit <limit>"


def table_of_batches(statement: str) -> str | None:
    """Return the table that a statement updates, as SQL has it."""
    found = (found for text in lexed(statement).nested for found in text.find("update [only] <table>"))
    return next((each["table"] for each in found), None)


def describe_batches(statement: str, number: int, rows: int | None) -> str:
    """Return how far a backfill is, in words.

    Args:
        statement: what writes a batch.
        number: how many are done.
        rows: about how many the table has; None if that isn't known.
    """
    total = batches(statement, rows)
    return f"batch {number} of about {max(number, total)}" if total else f"batch {number}"


def batches(statement: str, rows: int | None) -> int | None:
    """Return in about how many batches a statement goes through a table; None where it doesn't say.

    Args:
        statement: as SQL; a limit of one row is no batch.
        rows: about how many the table has; None if that isn't known.
    """
    found = (found for text in lexed(statement).nested for found in text.find(_SIZE))
    sizes = [(each["limit"], 0) if each["limit"] else (each["offset"], 1) for each in found]
    size = next((int(rows) + more for rows, more in sizes if rows.isdigit() and int(rows) + more > 1), None)
    return -(-rows // size) if size and rows and rows > 0 else None
