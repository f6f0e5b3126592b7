"""`python -m benchmarks [stalls] [autogenerate] [apply] [reset] [tests] [growth]`: all, or those named."""

import argparse
import os
import sys
from collections.abc import Sequence

from rich.console import Console

from benchmarks import apply, autogenerate, growth, reset, stalls, tests
from benchmarks.changes import CHANGES

BENCHMARKS = {
    "stalls": stalls.run,
    "autogenerate": autogenerate.run,
    "apply": apply.run,
    "reset": reset.run,
    "tests": tests.run,
    "growth": growth.run,
}


def main(arguments: Sequence[str] | None = None, console: Console | None = None) -> int:
    """Run the benchmarks that are named; return the exit code: goals that aren't met are no error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="benchmark", help=", ".join(BENCHMARKS))
    load = parser.add_argument_group("stalls")
    load.add_argument(
        "--rows",
        type=int,
        default=5_000_000,
        help="in the table that is changed; with fewer, a check is too quick to be 25 times quicker",
    )
    load.add_argument("--rate", type=int, default=200, help="transactions offered each second")
    load.add_argument(
        "--protocol",
        choices=["extended", "prepared"],
        default="extended",
        help="of the load: a prepared statement fails once when a column that it returns gets another type",
    )
    load.add_argument("--calm", type=float, default=8.0, help="seconds of load before each change")
    load.add_argument("--idle", type=float, default=6.0, help="seconds that a transaction is idle")
    load.add_argument("--repeat", type=int, default=1, help="times; the medians count")
    load.add_argument("--change", action="append", choices=list(CHANGES), help="only this one (repeatable)")
    size = parser.add_argument_group("autogenerate")
    size.add_argument("--tables", type=int, default=200, help="for alembic revision --autogenerate")
    size.add_argument("--check-tables", type=int, default=200, help="for alembic check")
    size.add_argument("--runs", type=int, default=3, help="the median counts (of apply, too)")
    many = parser.add_argument_group("apply, reset, tests, growth")
    many.add_argument("--revisions", type=int, nargs="+", default=[2, 100, 1000], help="pending")
    many.add_argument("--trials", type=int, default=5, help="of eight at once")
    many.add_argument("--longest", type=float, default=900, help="seconds for one program, or it is left out")
    many.add_argument("--growing-tables", type=int, nargs="+", default=[10, 100, 1000], help="of growth")
    parsed = parser.parse_args(arguments)
    unknown = set(parsed.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}: {', '.join(BENCHMARKS)}")
    # Else each run would compile ours and the revisions anew, and nothing of what pip has installed.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if console is None:
        console = Console() if sys.stdout.isatty() else Console(width=140)
    for name in parsed.names or BENCHMARKS:
        BENCHMARKS[name](parsed, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
