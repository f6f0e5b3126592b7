"""What a revision's source tells, and that of the modules that it imports, which act in its name."""

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from plinth import checksum

_KNOWN = {"alembic", "sqlalchemy", *sys.stdlib_module_names}
_IMPORT = re.compile(rb"\bimport\b")
_PLAIN_IMPORT = re.compile(  # a line that imports of one module alone, which isn't the package's own
    rb"^(?:import (\w+)[\w.]*(?: as \w+)?|from (\w+)[\w.]* import [\w, *]+(?: as \w+)?)[ \t]*(?:#.*)?$",
    re.MULTILINE,
)


def tree_of(source: bytes | None) -> ast.Module | None:
    """Return a module's tree, which nobody changes; None where there is none."""
    try:
        return None if source is None else checksum.tree_of(source)
    except (SyntaxError, ValueError):
        return None


def helpers(source: bytes | None) -> Iterator[tuple[str, bytes]]:
    """Yield the modules that a revision imports itself, with their texts, but for well-known libraries."""
    if source is None or _imports_libraries_alone(source):
        return
    names: dict[str, None] = {}
    for node in _statements(tree_of(source)):
        if isinstance(node, ast.Import):
            names |= dict.fromkeys(each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names[node.module] = None
            names |= dict.fromkeys(f"{node.module}.{each.name}" for each in node.names)
    for name in names:
        if name.partition(".")[0] in _KNOWN:
            continue
        with suppress(ImportError, ValueError, OSError):  # some are names in a module, and have no file
            spec = importlib.util.find_spec(name)
            if spec and spec.origin and spec.has_location:
                yield name, Path(spec.origin).read_bytes()


def _imports_libraries_alone(source: bytes) -> bool:
    """Whether each line with the word is a plain import of a well-known library: it needn't be parsed."""
    plain = [one or other for one, other in _PLAIN_IMPORT.findall(source)]
    return len(plain) == len(_IMPORT.findall(source)) and all(each.decode() in _KNOWN for each in plain)


def _statements(node: ast.AST | None) -> Iterator[ast.AST]:
    """Yield the statements in a module or in one of them."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for each in getattr(node, field, ()):
            yield each
            yield from _statements(each)


def unseen_in(source: bytes | None) -> str | None:
    """Return by what a revision, or what it imports, speaks to the driver itself; None if neither does."""
    for name, text in (("", source), *helpers(source)):
        is_said = text is not None and (b"cursor" in text or b"_connection" in text)
        by = unseen(tree_of(text)) if is_said else None
        if by:
            return f"{by} of {name}" if name else by
    return None


def unseen(tree: ast.Module | None) -> str | None:
    """Return by what a revision speaks to the driver itself, if it does; SQLAlchemy tells nothing of that."""
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "cursor":
            return f"cursor() in line {node.lineno}"
        if isinstance(node, ast.Attribute) and node.attr in {"driver_connection", "dbapi_connection"}:
            return f"{node.attr} in line {node.lineno}"
    return None


def calls_rollback(tree: ast.Module | None) -> bool:
    """Whether a module speaks of something's `rollback`, other than a savepoint's."""
    savepoints: dict[str, bool] = {}
    for node in ast.walk(tree) if tree else ():
        for name, value in _named(node):
            is_one = isinstance(value, ast.Call) and getattr(value.func, "attr", "") == "begin_nested"
            savepoints[name] = is_one and savepoints.get(name, True)
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == "rollback"
        and not (isinstance(node.value, ast.Name) and savepoints.get(node.value.id))
        for node in (ast.walk(tree) if tree else ())
    )


def strings(tree: ast.Module | None) -> Iterator[str]:
    """Yield a module's strings, but for its documentation."""
    nodes = [*ast.walk(tree)] if tree else []
    said = {node.value for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in said:
            yield node.value


def _named(node: ast.AST) -> Iterator[tuple[str, ast.expr | None]]:
    """Yield the names that a node gives, and what it gives them to, where that is seen."""
    if isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
        yield node.optional_vars.id, node.context_expr
    elif isinstance(node, ast.Assign):
        yield from ((each.id, node.value) for each in node.targets if isinstance(each, ast.Name))
    elif isinstance(node, ast.arg):
        yield node.arg, None
