"""Kinds of change, one module for each group."""

import re
from importlib import import_module
from pkgutil import iter_modules

from sqlalchemy import schema

from tests.plinth.kinds.kind import Kind

__all__ = ["KINDS", "Kind", "can_be_said"]

# With SQLAlchemy 2.0, models can't say a view, nor a table's storage parameters.
_IS_NEW = hasattr(schema, "CreateView")
_NEW = re.compile(r"view\..*|table\..*storage_params?|noop\.(wide|without_convention)")


def can_be_said(name: str) -> bool:
    """Whether the models of the SQLAlchemy that is here can say a kind, by its name."""
    return _IS_NEW or not _NEW.fullmatch(name)


def _collect() -> list[Kind]:
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    return [kind for module in modules for kind in getattr(module, "KINDS", []) if can_be_said(kind.name)]


KINDS = _collect()
