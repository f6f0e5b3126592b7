"""A table `t` of a database whose models change: what the tests of conversions and losses type."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Column, Engine, Integer, MetaData, Table

from tests.plinth.history import History, psql, rows

Models = Callable[[MetaData], object]


@dataclass(frozen=True)
class Changing:
    """A database and its revisions.

    Args:
        history: the revisions.
        engine: on the database.
    """

    history: History
    engine: Engine

    def config(self, *columns: "Column[Any]", x: tuple[str, ...] = ()) -> Config:
        """Return Alembic's configuration, with a table `t` of these columns as the models."""
        metadata = MetaData()
        Table("t", metadata, Column("id", Integer, primary_key=True), *columns)
        config = self.history.config(self.engine)
        config.attributes["target_metadata"] = metadata
        config.cmd_opts = argparse.Namespace(x=list(x))
        return config

    def write(self, *columns: "Column[Any]", x: tuple[str, ...] = ()) -> list[str]:
        """Let autogenerate write; return the text of the new files, in order."""
        versions = self.history.folder / "versions"
        known = set(versions.glob("*.py"))
        command.revision(self.config(*columns, x=x), "change the shop", autogenerate=True)
        return [file.read_text() for file in sorted(set(versions.glob("*.py")) - known)]

    def write_models(self, models: Models, *x: str) -> None:
        """Let autogenerate write what leads to other models than a table `t`."""
        config = self.config(x=x)
        config.attributes["target_metadata"] = metadata = MetaData()
        models(metadata)
        command.revision(config, "change the shop", autogenerate=True)

    def upgrade(self, revision: str = "head") -> None:
        """Apply revisions."""
        command.upgrade(self.config(), revision)

    def stop_before(self, words: str, *, back: bool = False) -> tuple[Path, str]:
        """Apply revisions up to the first statement that begins so, as an interruption would end it there.

        Args:
            words: its first.
            back: undo revisions instead, up to the last one in their file.

        Returns:
            The file that stops there until it is run again, and its text without that.
        """
        stop = 'op.execute("select 1 / count(*) from pass_on")'
        begin = f'    op.execute("{words}'
        files = sorted((self.history.folder / "versions").glob("*.py"))
        [file] = [file for file in files if begin in file.read_text()]
        text = file.read_text()
        head, _, tail = text.rpartition(begin) if back else text.partition(begin)
        file.write_text(f"{head}    {stop}\n{begin}{tail}")
        with psql(self.engine.url) as connection:
            connection.execute("create table pass_on ()")
        with pytest.raises(CommandError, match="division by zero"):
            self.downgrade("-1") if back else self.upgrade()
        with psql(self.engine.url) as connection:
            connection.execute("insert into pass_on default values")
        return file, text

    def downgrade(self, revision: str) -> None:
        """Undo revisions."""
        command.downgrade(self.config(), revision)

    def begin(self, *columns: "Column[Any]", values: tuple[str, ...] = ()) -> None:
        """Make the table, with a row for each of these values (SQL)."""
        self.write(*columns, x=("prove=no",))
        self.upgrade()
        with psql(self.engine.url) as connection:
            for number, value in enumerate(values, 1):
                connection.execute(f"insert into t values ({number}, {value})".encode())  # noqa: S608

    def values(self, column: str) -> list[Any]:
        """Return a column's values in order."""
        return [row[0] for row in rows(self.engine.url, f"select {column} from t order by id")]  # noqa: S608
