"""Alembic's plug-in: its autogenerate asks us what differs.

It is imported by every command of Alembic's where Plinth is installed, so it imports next to nothing itself.
It does nothing until it is named: `context.configure(…, **plinth.options())`.
"""

import sys
from typing import Any

from alembic.runtime.plugins import Plugin, _all_plugins
from alembic.util import DispatchPriority

NAME = "plinth"


def setup(plugin: Plugin) -> None:
    """Register with Alembic (the entry point `alembic.plugins`)."""
    # First: others are asked by us.
    plugin.add_autogenerate_comparator(_compare, "autogenerate", priority=DispatchPriority.FIRST)


def options() -> dict[str, Any]:
    """Return what `context.configure()` is told, so that autogenerate and check are Plinth's."""
    if NAME not in _all_plugins:  # from source, nothing has registered it
        Plugin.setup_plugin_from_module(sys.modules[__name__], NAME)
    return {"autogenerate_plugins": [NAME]}


def _compare(*arguments: Any) -> Any:  # noqa: ANN401 - Alembic's
    from plinth.autogenerate.comparator import compare  # noqa: PLC0415 - an upgrade needs nothing of it

    return compare(*arguments)
