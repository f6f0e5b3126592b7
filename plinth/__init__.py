"""The base under the application: everything that makes plain Alembic exact, online and unbreakable.

An application never needs to read it. Rooms, in the order in which data goes through them:

- `settings`: what the environment, `.env` and `pyproject.toml` say (which database, which APP_ENV).
- `local_server`: a PostgreSQL from a wheel in `.postgres/`, started when it is needed.
- `connecting`: an engine for a URL; what goes wrong becomes a sentence.
- `server_errors`: what the server refuses for reasons of its own; `errors`: those that are one sentence.
- `migration_connection`: the one that Alembic's commands work on.
- `own_schema`: the schema `plinth`, and what a role must be allowed there.
- `safety`: which databases count as development, and the word that destructive commands need.
- `scratch`: empty databases in which something is tried out, gone afterwards.
- `env`: a whole `env.py`; `alembic_plugin`: what Alembic calls when it compares.
- `environment`: runs an `env.py`, whichever it is, in order to look.
- `alembic_command`: which of Alembic's commands is running, and what it needs.
- `quiet`: contexts of Alembic's that don't tell how they are set up.
- `places`: the line of a project's file that an error comes from.
- `revision_files`: those that can't be loaded; `collector`: paused while they, models or a schema are read.
- `revision_names`: ids made of the time, messages that say something.
- `apply`: one applier at a time, a transaction for each revision, bounded waiting, the ledger.
- `catalog`: what a database's schema looks like, in PostgreSQL's own words.
- `autogenerate`: from the models to revisions.
- `up_to_date`: an upgrade that has nothing to do, seen without Alembic; `advisory`: the locks' numbers.
- `libpq`: a few statements to a server, sent without psycopg; `sql_text`: reads them as PostgreSQL does.
- `upgrading`: an upgrade that says what it did; `undo`: the last batch, the last change.
- `configured`: what `env.py` says of each of its databases; `env_database`: which one it leads to.
- `check`: whether models, revisions and database agree; `ways_back`: what no picture of a schema shows.
- `status`, `status_reading`, `status_table`: what is applied, pending and wrong.
- `known_status`: the same without Alembic, where all is in order; `revision_text`: a file that isn't run.
- `checksum`: of what a revision's file means.
- `plan`: what pending revisions would lock, read and rewrite, measured in a scratch database.
- `lint`: refuses revisions that block a busy database or lose data.
- `adopt`: what an existing project has, and what it would take to go on with Plinth.
- `older_code`: an older commit's tests on the schema that its successor's deploy begins with.
- `leaving`: waits for sessions that have just been closed.
- `listening`: to SQLAlchemy's events, for as long as a block runs.
- `redirecting`: leads an `env.py` to the database in which something is tried.
- `testing`: a pytest plug-in: databases for tests, and the tests that every project wants.
- `kept_database`: what revisions made, of which the next reset, or run of the tests, begins with a copy;
  `kept_name`: its name, in which all stands that they depend on.
- `belongings`: what belongs to a database and isn't in it: settings, owner, privileges.
- `development`: drop, create, migrate and seed the development database; `reset_again`: the same, without
  SQLAlchemy, where nothing has changed since; `seeds`: runs the module that loads the development rows.
- `__main__`: the programs behind the make targets (`python -m plinth --help`).
"""

from typing import Any

__version__ = "0.1.0"


def options() -> dict[str, Any]:
    """Return what Alembic's `context.configure()` is told, so that autogenerate and check are Plinth's."""
    from plinth import alembic_plugin  # noqa: PLC0415 - an application imports this package too

    return alembic_plugin.options()
