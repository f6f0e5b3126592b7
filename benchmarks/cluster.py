"""A PostgreSQL of the benchmark's own, with production's settings, gone afterwards."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy.engine import URL

from plinth.__main__ import libpq_url
from plinth.local_server import LocalServer

# Nothing that a crash would cost is switched off: fsync, synchronous_commit and full_page_writes are on. Ten
# thousand tables that one transaction makes take more locks than there are otherwise.
OPTIONS = (
    *("shared_buffers=512MB", "max_wal_size=4GB", "maintenance_work_mem=128MB"),
    "max_locks_per_transaction=2048",
)


@dataclass(frozen=True)
class Cluster:
    """A server, and the folder that holds it and everything else of a run.

    Args:
        server: running.
        home: its PLINTH_HOME, in which what autogenerate remembers lies as well.
        folder: for projects and logs.
    """

    server: LocalServer
    home: Path
    folder: Path

    def url(self, database: str) -> URL:
        """Return the URL of a database."""
        return self.server.url(database)

    def do(self, statement: str, database: str = "postgres") -> None:
        """Run a statement, in autocommit."""
        with psycopg.connect(libpq_url(self.url(database)), autocommit=True) as connection:
            connection.execute(statement.encode())

    @contextmanager
    def database(self, name: str, template: str = "template0") -> Iterator[URL]:
        """Yield the URL of a new database, dropped when the block ends."""
        with psycopg.connect(libpq_url(self.url("postgres")), autocommit=True) as connection:
            names = {"name": Identifier(name), "template": Identifier(template)}
            copy = "create database {name} template {template} strategy file_copy"
            connection.execute(SQL(copy).format(**names))
            try:
                yield self.url(name)
            finally:
                connection.execute(SQL("drop database {name} with (force)").format(**names))

    def forget(self) -> None:
        """Delete what earlier commands remembered: the next one is a first one."""
        shutil.rmtree(self.home / "cache", ignore_errors=True)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Yield a new cluster whose server runs; both are gone when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="plinth-bench-"))
    folder.chmod(0o755)  # the account of the server has to get in
    home = folder / "home"
    # To those who work in this home it is the local server: scratch databases may be made there.
    server = LocalServer("development", options=OPTIONS)
    with patch.dict(os.environ, PLINTH_HOME=str(home)):
        try:
            server.start()
            yield Cluster(server, home, folder)
        finally:
            server.stop()
            shutil.rmtree(folder)
