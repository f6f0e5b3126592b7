"""An application at work, and what it felt: pgbench at a fixed rate, latency from the scheduled start."""

import math
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.engine import URL

from benchmarks.changes import BRANCHES
from plinth.__main__ import libpq_url
from plinth.local_server import client_program
from tests.plinth.project import clean_environment

CLIENTS = 8
WARM_UP = 1.0  # seconds: connections are made, statements prepared
DRAIN = 2.0  # seconds: what queued up is served
LONGEST = 3600  # seconds

# What each transaction does, and how often; columns are named, as an ORM does.
SCRIPTS = (
    (
        "\\set id random(1, :rows)\nSELECT id, branch_id, amount, code FROM accounts WHERE id = :id;\n",
        5,
    ),
    ("\\set id random(1, :rows)\nUPDATE accounts SET amount = amount + 1 WHERE id = :id;\n", 3),
    (
        "\\set branch random(1, :branches)\n"
        "INSERT INTO accounts (branch_id, amount, code) VALUES (:branch, 1, gen_random_uuid()::text);\n",
        1,
    ),
    ("\\set branch random(1, :branches)\nUPDATE branches SET total = total + 1 WHERE id = :branch;\n", 1),
)


@dataclass(frozen=True)
class Transaction:
    """One of the application's.

    Args:
        scheduled: when it should have begun, in seconds since 1970.
        ended: when it was done.
    """

    scheduled: float
    ended: float


@dataclass(frozen=True)
class Felt:
    """How long an application waited.

    Args:
        latencies: in seconds, from the scheduled start, sorted.
    """

    latencies: Sequence[float]

    @property
    def worst(self) -> float:
        """The longest; infinite where nothing came through at all."""
        return self.latencies[-1] if self.latencies else math.inf

    @property
    def p99(self) -> float:
        """What 99 of 100 stayed under."""
        return self.latencies[len(self.latencies) * 99 // 100] if self.latencies else math.inf


@dataclass
class Load:
    """pgbench, running; what it did is known when the block ends.

    Args:
        began: when it did.
        transactions: all of them.
        errors: what the application got; the client that got it does no more.
    """

    began: float
    transactions: list[Transaction] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def felt(self, start: float, end: float) -> Felt:
        """Return what was felt from one moment to another, by transactions that began before as well."""
        return Felt(
            sorted(
                each.ended - each.scheduled
                for each in self.transactions
                if each.ended >= start and each.scheduled <= end
            )
        )


@contextmanager
def load(
    url: URL, protocol: str, rate: int, rows: int, more: Sequence[tuple[str, int]] = ()
) -> Iterator[Load]:
    """Keep the tables of `changes` busy while the block runs.

    Args:
        url: the database.
        protocol: pgbench's: "extended", as the engine in `app/database.py`, or "prepared" on the server.
        rate: transactions offered each second, whether or not those before are done.
        rows: of the table accounts.
        more: what else each transaction does, and how often.
    """
    with tempfile.TemporaryDirectory(prefix="plinth-load-") as name:
        folder = Path(name)
        process = subprocess.Popen(
            [
                str(client_program("pgbench")),
                *("--no-vacuum", f"--protocol={protocol}", f"--client={CLIENTS}", f"--time={LONGEST}"),
                *(f"--rate={rate}", "--log", f"--log-prefix={folder / 'log'}"),
                *(f"--define=rows={rows}", f"--define=branches={BRANCHES}"),
                *_scripts(folder, [*SCRIPTS, *more]),
                libpq_url(url),
            ],
            cwd=folder,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        found = Load(time.time())
        try:
            yield found
            time.sleep(DRAIN)
            process.send_signal(signal.SIGALRM)  # as if its time were up: it writes its log to the end
            _, messages = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
        found.errors += [line for line in messages.splitlines() if " aborted in command " in line]
        found.transactions += [each for file in folder.glob("log.*") for each in _read(file)]
        if not found.transactions:
            raise RuntimeError(f"pgbench did nothing: {messages}")


def _scripts(folder: Path, scripts: Sequence[tuple[str, int]]) -> Iterator[str]:
    for number, (script, weight) in enumerate(scripts):
        file = folder / f"{number}.sql"
        file.write_text(script)
        yield f"--file={file}@{weight}"


def _read(log: Path) -> Iterator[Transaction]:
    """Yield the transactions of a log: client, number, latency, script, seconds, microseconds, lag."""
    for line in log.read_text().splitlines():
        _, _, latency, _, whole, micro, *_ = line.split()
        if latency.isdigit():  # not "skipped" and not "failed"
            ended = int(whole) + int(micro) / 1e6
            yield Transaction(ended - int(latency) / 1e6, ended)
