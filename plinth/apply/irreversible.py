"""Revisions that say that they can't be undone.

A revision says so by a module-level `irreversible = "why"`, or by a `downgrade()` that raises at once.
"""

import ast
from collections.abc import Iterable
from pathlib import Path

from alembic.runtime.migration import MigrationStep, RevisionStep
from alembic.script import Script

from plinth.errors import PlinthError


class IrreversibleError(PlinthError):
    """A revision can't be undone; the message gives its reason."""


def refuse_irreversible(steps: Iterable[MigrationStep]) -> None:
    """Return if all downgrades among the steps can be tried.

    Raises:
        IrreversibleError: a revision says that it can't be undone; nothing has run yet.
    """
    for step in steps:
        if isinstance(step, RevisionStep) and step.is_downgrade:
            revision = step.revision
            reason = reason_of(revision)
            if reason is not None:
                because = f": {reason.rstrip('.')}" if reason else ""
                raise IrreversibleError(
                    f"Revision {revision.revision} ({revision.doc}) says that it can't be undone{because}. "
                    "Nothing has been changed."
                )


def reason_of(revision: Script) -> str | None:
    """Return why a revision can't be undone, "" when it gives no reason; None when it can be."""
    declared = getattr(revision.module, "irreversible", None)
    if declared:
        return declared if isinstance(declared, str) else ""
    try:
        tree = ast.parse(Path(revision.path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "downgrade":
            body = [
                each
                for each in node.body
                if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
            ]
            return _words(body[0]) if body and isinstance(body[0], ast.Raise) else None
    return None


def _words(node: ast.Raise) -> str:
    call = node.exc
    if isinstance(call, ast.Call) and call.args and isinstance(call.args[0], ast.Constant):
        return str(call.args[0].value)
    return ""
