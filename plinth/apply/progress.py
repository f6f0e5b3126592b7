"""What a terminal shows of a long upgrade: revision n of m, and how far an index build is."""

import logging
import sys
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.status import Status

QUIET = 0.5  # seconds: what is done by then needs no display
INTERVAL = 0.2  # seconds


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

    def show(self, build: tuple[str, int, int, int, int] | None) -> None:
        """Show where the command is.

        Args:
            build: the phase of an index build, its blocks and tuples done and total, if one goes on.
        """
        self._shown = time.monotonic()
        line = self.line + (f": {describe_build(*build)}" if build else "")
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


def display_on_terminal() -> Display | None:
    """Return a display, where somebody looks at a terminal."""
    return Display() if sys.stderr.isatty() else None


def describe_build(phase: str, blocks: int, all_blocks: int, tuples: int, all_tuples: int) -> str:
    """Return how far an index build is, in words."""
    done, total = (tuples, all_tuples) if all_tuples else (blocks, all_blocks)
    return f"{phase} {100 * done // total} %" if total else phase
