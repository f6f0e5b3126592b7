"""Alembic's environment: where the application's models meet the database."""

import logging
from logging.config import fileConfig
from typing import Any

from alembic import context
from sqlalchemy import MetaData

from app.naming import NAMING_CONVENTION
from plinth import alembic_command, autogenerate, revision_names
from plinth.apply import apply, offline
from plinth.migration_connection import migration_connection

config = context.config
command = alembic_command.running()

# Run by a program; an application in whose process a command runs has its own logging.
if config.cmd_opts is not None and config.config_file_name:
    fileConfig(config.config_file_name, disable_existing_loggers=False)
    if not command.changes_database:
        logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)


def target_metadata() -> MetaData:
    """Return the models' metadata; to run revisions, their way of naming is enough, and starts faster."""
    given: MetaData | None = config.attributes.get("target_metadata")
    if given is not None:
        return given
    if not command.needs_models:
        return MetaData(naming_convention=NAMING_CONVENTION)
    from app.models import Base  # noqa: PLC0415

    return Base.metadata


options: dict[str, Any] = {
    "target_metadata": target_metadata(),
    "process_revision_directives": revision_names.name_revisions,
    "transaction_per_migration": True,
}
if command.autogenerates:
    options |= autogenerate.options()


# With "named", a % in SQL stays one %.
OFFLINE = {"dialect_name": "postgresql", "dialect_opts": {"paramstyle": "named"}, "literal_binds": True}


def migrate(options: dict[str, Any]) -> None:
    """Configure the context and run what the command asks for."""
    context.configure(**options)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    migrate(offline(options | OFFLINE))
elif command.needs_database:
    with migration_connection(config) as connection:
        # Once, and once more after each lock that didn't come.
        apply(config, command, options | {"connection": connection}, migrate)
else:
    context.configure(dialect_name="postgresql", as_sql=True, **options)
    context.run_migrations()
    if command.name == "merge":
        revision_names.name_merges(context.script)
