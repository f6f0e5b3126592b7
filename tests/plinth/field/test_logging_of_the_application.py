"""A command that runs in an application's process leaves the application's logging as it is."""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

from plinth.status import status
from tests.plinth.history import History


def test_handlers_and_levels_stay(history: History, empty_engine: Engine, tmp_path: Path) -> None:
    history.tables("a")
    root, alembic = logging.getLogger(), logging.getLogger("alembic.runtime.migration")
    own = logging.StreamHandler()
    root.addHandler(own)
    before = (root.level, list(root.handlers), alembic.level, list(alembic.handlers), alembic.disabled)
    try:
        ini = Path(__file__).parents[3] / "alembic.ini"
        config = Config(str(ini))
        config.set_main_option("script_location", str(history.folder).replace("%", "%%"))
        config.attributes["connection"] = empty_engine
        command.upgrade(config, "head")
        status(config)
        command.current(config)
        assert before == (
            *(root.level, list(root.handlers), alembic.level, list(alembic.handlers), alembic.disabled),
        )
    finally:
        root.removeHandler(own)
    del tmp_path
