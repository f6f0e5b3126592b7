"""Files beside the models that nobody has imported: what they say isn't in the metadata."""

import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType

from sqlalchemy import MetaData, Table

_MODEL = re.compile(rb"^\s+__tablename__\s*=", re.MULTILINE)


def unimported(models: Collection[MetaData]) -> list[Path]:
    """Return the files that have a model and lie in a folder of the models', but weren't imported."""
    modules = [vars(each) for each in [*sys.modules.values()] if isinstance(each, ModuleType)]
    files = [(Path(names["__file__"]), names) for names in modules if names.get("__file__")]
    imported = {file for file, _ in files}
    folders = {file.parent for file, names in files if _has_one(names, models)}
    return sorted(
        file
        for folder in folders
        for file in folder.glob("*.py")
        if file not in imported and _MODEL.search(file.read_bytes())
    )


def _has_one(names: Mapping[str, object], models: Collection[MetaData]) -> bool:
    classes = [each for each in [*names.values()] if isinstance(each, type)]
    tables = [vars(each).get("__table__") for each in classes]
    return any(isinstance(table, Table) and table.metadata in models for table in tables)
