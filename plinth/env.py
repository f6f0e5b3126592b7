"""A whole `env.py` of Alembic's: `from plinth.env import run`, then `run(Base.metadata)`."""

import atexit
import io
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from logging.config import fileConfig
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import ReferenceType, ref

from alembic import context
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import MetaData

from plinth import alembic_command, alembic_plugin, collector, places, settings, up_to_date
from plinth.errors import PlinthError, as_command_errors

Models = MetaData | Sequence[MetaData]

_OURS = ("connection", "url", "dialect_name", "as_sql", "fn", "target_metadata")


def run(
    metadata: Models | Callable[[], Models] | None,
    *,
    naming_convention: Mapping[str, Any] | None = None,
    **options: Any,  # noqa: ANN401 - Alembic's business
) -> None:
    """Run the command that Alembic runs `env.py` for: on one database, one at a time, resumed and remembered.

    The database is that of the connection or engine in `config.attributes["connection"]`; else
    MIGRATION_DATABASE_URL's; else that of `sqlalchemy.url`, in the file or set by `config.set_main_option()`;
    else DATABASE_URL's. URLs may name any driver: revisions run on psycopg.

    Args:
        metadata: the models', or a function that imports them and returns it: then commands that only run
            revisions don't wait for the import. `config.attributes["target_metadata"]` goes before it.
        naming_convention: of the metadata, for commands that don't call that function.
        options: what else `context.configure()` takes, with Alembic's meaning.

    Raises:
        alembic.util.CommandError: the command was refused, or gave up.
    """
    config = context.config
    if config.config_file_name:
        settings.use_root(Path(config.config_file_name), again=False)
    is_typed = alembic_command.is_typed_upgrade()
    is_done = is_typed and up_to_date.is_so_for(config)
    # env.py, and what it imports. Once in a process: what revisions left would be left out the second time.
    is_inert = is_typed and config.attributes.get(up_to_date.ATTRIBUTE) is not None
    if is_done:
        if is_inert:
            collector.leave_out_what_is_imported()
        return
    with collector.paused():
        # Imported late: where nothing is pending they aren't needed.
        from plinth import revision_names  # noqa: PLC0415
        from plinth.apply import apply, offline  # noqa: PLC0415
        from plinth.migration_connection import migration_connection  # noqa: PLC0415

    modules: list[ReferenceType[ModuleType]] = []
    if is_inert:
        collector.leave_out_what_is_imported()
        # Alembic's own objects are left out, too, and hold what the revisions leave.
        atexit.register(collector.collect_at_last, [context.script, context._proxy], modules)  # type: ignore[attr-defined]
    command = alembic_command.running()
    if is_inert:
        with suppress(CommandError, KeyError):  # where one is missing, it is said below
            modules += [ref(revision.module) for revision in context.script.walk_revisions()]
    _set_up_logging(config, quietly=not command.changes_database)
    with as_command_errors():
        _refuse(options, config)
    hooks = [revision_names.name_revisions, options.pop("process_revision_directives", None)]
    configured = {
        **options,
        "target_metadata": _metadata(config, metadata, naming_convention, command.needs_models),
        "process_revision_directives": revision_names.in_turn(*hooks),
        "transaction_per_migration": True,
    }
    if command.autogenerates:
        given = configured.get("autogenerate_plugins", ())
        configured["autogenerate_plugins"] = [*alembic_plugin.options()["autogenerate_plugins"], *given]
    if context.is_offline_mode():
        place = configured.get("output_buffer") or config.output_buffer or sys.stdout
        held = io.StringIO()  # half of a revision, printed before the rest can't be, would be run
        with as_command_errors():
            _migrate(offline({**configured, **alembic_command.OFFLINE, "output_buffer": held}))
        place.write(held.getvalue())
        place.flush()
    elif command.needs_database:
        with migration_connection(config) as connection:
            # Once, and once more after each lock that didn't come.
            apply(config, command, configured | {"connection": connection}, _migrate)
    else:
        context.configure(dialect_name="postgresql", as_sql=True, **configured)
        context.run_migrations()
        if command.name == "merge":
            revision_names.name_merges(context.script)


def _migrate(options: dict[str, Any]) -> None:
    """Configure the context and run what the command asks for."""
    context.configure(**options)
    with context.begin_transaction():
        context.run_migrations()


def _metadata(
    config: Config,
    given: Models | Callable[[], Models] | None,
    naming_convention: Mapping[str, Any] | None,
    needed: bool,
) -> Models | None:
    """Return the models' metadata; to run revisions, their way of naming is enough, and starts faster."""
    handed_over: Models | None = config.attributes.get("target_metadata")
    if handed_over is not None:
        return handed_over
    if not callable(given):
        return given
    if not needed and naming_convention is not None:
        return MetaData(naming_convention=naming_convention)
    with collector.paused():
        try:
            return given()
        except Exception as error:
            said = None if isinstance(error, (PlinthError, CommandError)) else places.sentence(error)
            if said is None:
                raise
            raise CommandError(f"The models can't be imported. {said}") from error


def _set_up_logging(config: Config, *, quietly: bool) -> None:
    """Log as the file says, where a program was run: an application that runs a command has its own logging.

    Args:
        config: Alembic's.
        quietly: the command changes nothing, so that what Alembic says of its context is of no use.
    """
    file = Path(config.config_file_name) if config.config_file_name else None
    if config.cmd_opts is None or file is None or not file.is_file():
        return
    if config.file_config.has_section("loggers"):
        fileConfig(file, disable_existing_loggers=False)
    if quietly:
        logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)


def _refuse(options: Mapping[str, Any], config: Config) -> None:
    """Return if options have their meaning here.

    Raises:
        PlinthError: one hasn't.
    """
    for name in _OURS:
        if name in options:
            raise PlinthError(
                f"run() takes no {name!r}: which database it is says config.attributes['connection'], "
                "MIGRATION_DATABASE_URL, sqlalchemy.url or DATABASE_URL; the models come first."
            )
    if config.get_main_option("databases"):
        raise PlinthError(
            "run() is for one database, and alembic.ini names several (databases). Keep its env.py "
            "and write there: context.configure(…, **plinth.options())."
        )
    if options.get("transaction_per_migration") is False:
        raise PlinthError(
            "run() takes no transaction_per_migration=False: each revision is done or not, and is remembered "
            "with what it did. Leave it out."
        )
