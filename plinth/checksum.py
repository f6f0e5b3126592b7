"""A checksum of what a revision file means: its code, and neither its layout nor its comments."""

import ast
import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

# Where a value stands or how it was typed, not what it is.
_LEFT_OUT = {"ctx", "kind", "type_comment", "type_ignores", "returns", "annotation", "simple"}
_FIELDS: dict[str, Sequence[tuple[str, str]]] = {}  # of each kind of node: a name, and what stands before it


def read(path: Path | str) -> bytes | None:
    """Return what a revision file says; None when there is no source."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a Path for each of a thousand takes as long as the file
            return file.read()
    except OSError:
        return None


@functools.lru_cache(maxsize=4)  # a revision's is asked for several things in turn
def tree_of(source: str | bytes) -> ast.Module:
    """Return the tree of Python source, which nobody changes.

    Raises:
        SyntaxError: it can't be parsed.
        ValueError: likewise.
    """
    return ast.parse(source)


def of(source: bytes | None) -> str | None:
    """Return the checksum of what a revision file says; None when there is none, or it can't be parsed."""
    try:
        return None if source is None else of_source(source)
    except (SyntaxError, ValueError):
        return None


def of_file(path: Path | str) -> str | None:
    """Return the checksum of a revision file; None when there is no source, or none that can be parsed."""
    return of(read(path))


def of_source(source: str | bytes) -> str:
    """Return the checksum of Python source, the same on every version of Python that can parse it.

    `ast.dump` prints the same tree differently from version to version, so the tree is written here: absent
    and empty fields are left out, new ones therefore change nothing. Docstrings, comments, annotations and
    quotes don't count.

    Raises:
        SyntaxError: it can't be parsed.
    """
    parts: list[str] = []
    _write(tree_of(source), parts.append)
    written = "\0".join([*parts, ""]).encode("utf-8", "surrogatepass")
    return hashlib.sha256(written).hexdigest()[:32]


def _write(node: object, write: Callable[[str], None]) -> None:
    if isinstance(node, ast.Constant):
        write(f"{type(node.value).__name__} {node.value!r}")
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        _write(ast.Assign(targets=[node.target], value=node.value), write)
    elif isinstance(node, ast.AST):
        kind = type(node).__name__
        if kind not in _FIELDS:
            _FIELDS[kind] = [(each, f"{each}=") for each in sorted(node._fields) if each not in _LEFT_OUT]
        write(f"({kind}")
        for name, heading in _FIELDS[kind]:
            value = getattr(node, name, None)
            if value is not None and value != []:
                write(heading)
                if isinstance(value, str):
                    write(repr(value))
                else:
                    _write(_pieces(value) if isinstance(node, ast.JoinedStr) else value, write)
        write(")")
    elif isinstance(node, list):
        write("[")
        for each in node:
            if not _says_nothing(each):
                _write(each, write)
        write("]")
    else:
        write(repr(node))


def _says_nothing(node: object) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Pass)


def _pieces(values: list[ast.expr]) -> list[ast.expr]:
    """Return the pieces of an f-string, its literal text in one: versions cut it differently."""
    pieces: list[ast.expr] = []
    for value in values:
        last = pieces[-1] if pieces else None
        if isinstance(value, ast.Constant) and isinstance(last, ast.Constant):
            pieces[-1] = ast.Constant(str(last.value) + str(value.value))
        elif not (isinstance(value, ast.Constant) and value.value == ""):
            pieces.append(value)
    return pieces
