"""Kinds of change, one module for each group."""

from importlib import import_module
from pkgutil import iter_modules

from tests.plinth.kinds.kind import Kind

__all__ = ["KINDS", "Kind"]


def _collect() -> list[Kind]:
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    return [kind for module in modules for kind in getattr(module, "KINDS", [])]


KINDS = _collect()
