"""What others have registered with Alembic's autogenerate: they are asked what is left to do after Plinth.

They are asked for the objects that they know, in a database in which our own revisions are done: what both
compare is no difference any more, and what theirs lean on is there.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.compare import schema
from alembic.autogenerate.render import render_op_text
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.runtime.plugins import _all_plugins
from alembic.util import PriorityDispatcher
from sqlalchemy import Connection

from plinth import alembic_plugin
from plinth.quiet import quiet_context

log = logging.getLogger("alembic.autogenerate")

# Those that are asked for once, for all that there is, and those of Alembic's own walk over tables. For other
# targets Alembic asks nobody.
_WHOLE, _OF_THE_WALK = {"autogenerate", "schema"}, {"table", "column"}


@dataclass(frozen=True)
class Found:
    """An operation that another plug-in wants done.

    Args:
        operation: Alembic's or its own.
        source: as it will be written.
    """

    operation: ops.MigrateOperation
    source: str


@dataclass(frozen=True)
class Others:
    """Comparators that aren't Alembic's or ours.

    Args:
        dispatcher: has them.
        names: of their functions.
    """

    dispatcher: PriorityDispatcher
    names: Sequence[str]

    def ask(self, context: AutogenContext, upgrade_ops: ops.UpgradeOps) -> None:
        """Let them add what they find.

        Args:
            context: of a database in which all is done that is ours.
            upgrade_ops: what is to be done.
        """
        if not self.names:
            return
        context.comparators = self.dispatcher
        self.dispatcher.dispatch("autogenerate", qualifier="postgresql")(context, upgrade_ops)
        schema._produce_net_changes(context, upgrade_ops)

    def ask_on(self, connection: Connection, options: MigrationContext) -> list[Found]:
        """Return what they find in another database than the one that a context is on."""
        opts = dict(options.opts)
        on_it = quiet_context(connection, environment_context=options.environment_context, opts=opts)
        context, wanted = AutogenContext(on_it), ops.UpgradeOps([])
        self.ask(context, wanted)
        connection.rollback()
        return [Found(each, str(render_op_text(context, each))) for each in wanted.ops]


def take_others(context: AutogenContext) -> Others:
    """Return the comparators that aren't Alembic's or ours, which Alembic itself asks no more; name the rest.

    What isn't asked is what is installed and not listed in `autogenerate_plugins`, and what belongs to
    Alembic's own walk over tables and columns.
    """
    taken, left = PriorityDispatcher(), set()
    for key, found in context.comparators._registry.items():
        theirs = [each for each in found if not _is_known(each[0])]
        if key[0] in _WHOLE:
            taken._registry[key] = theirs
        elif key[0] in _OF_THE_WALK:
            left |= {_name(function) for function, _ in theirs}
        found[:] = [each for each in found if each not in theirs]
    left |= set(_not_listed(context))
    if left:
        log.warning(
            "Not asked what it finds: %s. Tables and what belongs to them are compared by Plinth; a plug-in "
            "that finds other things is asked when autogenerate_plugins lists it, and it registers them for "
            '"schema" or "autogenerate".',
            ", ".join(sorted(left)),
        )
    names = sorted({_name(function) for found in taken._registry.values() for function, _ in found})
    return Others(taken, names)


def _not_listed(context: AutogenContext) -> Iterator[str]:
    wanted = {alembic_plugin.NAME, *context.opts.get("autogenerate_plugins", ())}
    for plugin in _all_plugins.values():
        if plugin.name not in wanted and not plugin.name.startswith("alembic."):
            for found in plugin.autogenerate_comparators._registry.values():
                yield from (_name(function) for function, _ in found)


def _is_known(function: Callable[..., Any]) -> bool:
    return function.__module__.partition(".")[0] in {"alembic", "plinth"}


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
