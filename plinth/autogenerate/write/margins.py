"""Long lines of a revision's file, cut where Python or SQL can be: what stands in them stays the same."""

import ast
import re
from collections.abc import Iterator
from itertools import accumulate

from plinth.autogenerate.change.expressions import tokens

LONGEST = 110  # columns of a line that is left alone
FULL = 100  # columns that the pieces of a longer one fill

_STRING = r'"(?:[^"\\]|\\.)*"' + r"|'(?:[^'\\]|\\.)*'"
# A string alone in its line, or as the one argument of what begins there.
_LONE = re.compile(rf"( *)((?:[\w.=( ]*[(=])?)(f?(?:{_STRING}))([),]*)")
# Before which SQL is cut, the best first.
_BETTER = ({"FROM", "ORDER", "SET", "WHERE"}, {"AND", "OR", "TO"})


def string(text: str) -> str:
    """Return a text as Python has it, in double quotes unless that takes more backslashes."""
    plain = repr(str(text))
    if plain.startswith('"') or text.count('"') > text.count("'"):
        return plain
    return '"' + plain[1:-1].replace("\\'", "'").replace('"', '\\"') + '"'


def fitted(source: str, margin: int) -> str:
    """Return Python whose long strings are written in pieces.

    Args:
        source: some lines.
        margin: how far they will be indented.
    """
    lines: list[str] = []
    in_text = False
    for line in source.split("\n"):
        in_text ^= line.count('"""') % 2 == 1
        lines += [line] if in_text or margin + len(line) <= LONGEST else _in_pieces(line, margin)
    return "\n".join(lines)


def _in_pieces(line: str, margin: int) -> list[str]:
    found = _LONE.fullmatch(line)
    if found is None:
        return [line]
    indent, head, text, tail = found.groups()
    if not head:
        pieces = [f"{indent}{each}" for each in _pieces(text, margin + len(indent))]
        return [*pieces[:-1], pieces[-1] + tail]
    inner = f"{indent}    "
    pieces = [f"{inner}{each}" for each in _pieces(text, margin + len(inner))]
    if head.endswith("="):
        head, tail = f"{head}(", f"){tail}"
    return [f"{indent}{head}", *pieces, f"{indent}{tail}"]


def _pieces(text: str, before: int) -> list[str]:
    """Return a string of Python's in pieces, each of which ends with a space."""
    if before + len(text) <= LONGEST:
        return [text]
    prefix, quote, pieces = text.partition(text[-1])[0], text[-1], [""]
    for word in re.split(r"(?<= )", text[len(prefix) + 1 : -1]):
        if pieces[-1] and before + len(prefix + pieces[-1] + word) + 2 > FULL:
            pieces.append("")
        pieces[-1] += word
    return [
        (prefix if "{" in each else "") + string(ast.literal_eval(f"{quote}{each}{quote}")) for each in pieces
    ]


def fitted_sql(line: str, margin: int) -> Iterator[str]:
    """Yield a line of SQL in pieces that fit between the margins, where it can be cut at spaces."""
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    is_simple = not any(each in line for each in ("--", "/*", "$", "\\"))
    while is_simple and margin + len(line) > LONGEST:
        cut = _cut(line, range(len(indent) + 1, LONGEST - margin + 1))
        if cut is None:
            break
        yield line[:cut].rstrip()
        line = indent + line[cut:]
    yield line


def _cut(line: str, room: range) -> int | None:
    """Return the last place at which a line of SQL is cut best; None if it can't be."""
    parts = tokens(line)
    places = list(accumulate(map(len, parts), initial=0))
    spaces = [number for number, each in enumerate(parts[:-1]) if each.isspace() and places[number] in room]
    at_word = ([each for each in spaces if parts[each + 1] in words] for words in _BETTER)
    return next((places[each[-1] + 1] for each in (*at_word, spaces) if each), None)
