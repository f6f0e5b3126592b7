"""A checksum of what a revision file means: its code, and neither its layout nor its comments."""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

# Where a value stands or how it was typed, not what it is.
_LEFT_OUT = {"ctx", "kind", "type_comment", "type_ignores", "returns", "annotation", "simple"}


def of_file(path: Path) -> str | None:
    """Return the checksum of a revision file; None when there is no source, or none that can be parsed."""
    try:
        return of_source(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


def of_source(source: str | bytes) -> str:
    """Return the checksum of Python source, the same on every version of Python that can parse it.

    `ast.dump` prints the same tree differently from version to version, so the tree is written here: absent
    and empty fields are left out, new ones therefore change nothing. Docstrings, comments, annotations and
    quotes don't count.

    Raises:
        SyntaxError: it can't be parsed.
    """
    digest = hashlib.sha256()
    for part in _parts(ast.parse(source)):
        digest.update(part.encode("utf-8", "surrogatepass"))
        digest.update(b"\0")
    return digest.hexdigest()[:32]


def _parts(node: object) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        yield f"{type(node.value).__name__} {node.value!r}"
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        yield from _parts(ast.Assign(targets=[node.target], value=node.value))
    elif isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name, value in sorted(ast.iter_fields(node)):
            if name not in _LEFT_OUT and value is not None and value != []:
                yield f"{name}="
                yield from _parts(_pieces(value) if isinstance(node, ast.JoinedStr) else value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for each in node:
            if not _says_nothing(each):
                yield from _parts(each)
        yield "]"
    else:
        yield repr(node)


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
