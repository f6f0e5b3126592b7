"""Runs the project's module that loads the development rows."""

import os
import subprocess
import sys
from collections.abc import Mapping

from plinth import settings
from plinth.errors import PlinthError

# As `python -m`, which prints a traceback when it is interrupted.
_RUN = """
import runpy, sys
try:
    runpy.run_module(sys.argv.pop(), run_name="__main__", alter_sys=True)
except KeyboardInterrupt:
    sys.exit(130)
"""


def load(environment: Mapping[str, str]) -> None:
    """Run the seeds (`[tool.plinth] seeds`), if there are any.

    Args:
        environment: what leads them to the database that was judged, beside this process's own.

    Raises:
        PlinthError: they failed; what they print says why.
    """
    module = settings.configured().seeds
    if not module:
        return
    command = [sys.executable, "-c", _RUN, module]
    if subprocess.call(command, cwd=settings.root(), env={**os.environ, **environment}) != 0:
        raise PlinthError(
            f"The seeds failed (python -m {module}), as said above. The database is there; whether its "
            f"tables are as the models say, {settings.to_type('db-check', 'plinth check')} tells."
        )
