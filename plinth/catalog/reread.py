"""What definitions mean that PostgreSQL prints: as it prints them once it has read its own print again.

A restored dump makes it do so. What `status IN ('a', 'b')` says of a varchar is kept as a list that is cast
as a whole, and printed so. The parser hands the cast of a list that is written out to each element, and what
was kept is printed otherwise from then on. The same happens when ALTER TYPE reads a check anew. Both mean the
same: here is one form. An index's keys and storage parameters are told from its definition here, too.
"""

import re
from collections.abc import Sequence

# Literals, quoted names and the bodies of functions are one token each.
_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|(\$\w*\$).*?\1|[^'"$(),\[\]]+|.""", re.DOTALL)
_TYPE = re.compile(r'::((?:"(?:[^"]|"")*"|[\w. ]|\([\d,]+\))+?)\[\]')
_COLLATED = re.compile(r'\((.*)( COLLATE (?:"(?:[^"]|"")*"|[\w.])+)\)', re.DOTALL)
_OPTIONS = re.compile(r" WITH \((\w+='?[\w.]+'?(?:, \w+='?[\w.]+'?)+)\)")
_CAST_LIST = ("(", "ARRAY", "[")
_DEEPER = {"(": 1, "[": 1, ")": -1, "]": -1}
# A literal that a subquery returns gets the name of its type when it is read.
_NAMELESS = re.compile(r"\( SELECT ('(?:[^']|'')*')::text(?=\s+(?!AS\b)[A-Z]|\s*\))")


def reread(definition: str) -> str:
    """Return a definition that PostgreSQL printed as it would print it after it has read that.

    Args:
        definition: an expression, or a statement that makes something.
    """
    if "(ARRAY[" in definition:  # few have it, and the rest takes its time
        definition = _with_cast_elements(_tokens(definition))
    if "( SELECT '" in definition:
        definition = _NAMELESS.sub(r"( SELECT \1::text AS text", definition)
    return definition


def in_one_order(definition: str) -> str:
    """Return an index's definition with its storage parameters by the alphabet, not as they came."""
    return _OPTIONS.sub(
        lambda found: f" WITH ({', '.join(sorted(found[1].split(', ')))})", definition, count=1
    )


def index_keys(definition: str) -> tuple[str, ...]:
    """Return each key of an index as it stands in the definition that `pg_get_indexdef` prints.

    Its first open parenthesis outside of quotes begins the list of keys: names are quoted where needed.
    """
    tokens = _tokens(definition)
    start = tokens.index("(")
    return tuple("".join(each).strip() for each in _elements(tokens[start + 1 : _end(tokens, start) - 1]))


def _tokens(definition: str) -> list[str]:
    return [each[0] for each in _TOKEN.finditer(definition)]


def _with_cast_elements(tokens: Sequence[str]) -> str:
    """Hand the casts of lists to their elements: `(ARRAY[a])::t[]` is `ARRAY[(a)::t]`."""
    found: list[str] = []
    place = 0
    while place < len(tokens):
        cast = _cast_list(tokens, place) if tokens[place] == "(" else None
        if cast is None:
            found.append(tokens[place])
            place += 1
        else:
            elements, type_, place = cast
            found.append(_list(elements, type_))
    return "".join(found)


def _cast_list(tokens: Sequence[str], start: int) -> tuple[Sequence[str], str, int] | None:
    """Return what a list with a cast holds, its elements' new type, and where it ends; None without one."""
    if tuple(tokens[start : start + 3]) != _CAST_LIST:
        return None
    end = _end(tokens, start + 2)
    if tokens[end : end + 1] != [")"]:
        return None
    type_ = _TYPE.match("".join(tokens[end + 1 : end + 40]))
    if type_ is None:
        return None
    after, rest = end + 1, len(type_[0])
    while rest > 0:
        rest -= len(tokens[after])
        after += 1
    return tokens[start + 3 : end - 1], type_[1], after


def _list(tokens: Sequence[str], type_: str) -> str:
    """Return a list, each element cast to a type; what is a list itself has it in its elements."""
    elements = []
    for element in _elements(tokens):
        if element[:2] == ["ARRAY", "["] and _end(element, 1) == len(element):
            elements.append(_list(element[2:-1], type_))
            continue
        inner = _with_cast_elements(element) if "ARRAY" in element else "".join(element)
        collated = _COLLATED.fullmatch(inner)  # a cast goes below it
        elements.append(f"(({collated[1]})::{type_}{collated[2]})" if collated else f"({inner})::{type_}")
    return f"ARRAY[{', '.join(elements)}]"


def _elements(tokens: Sequence[str]) -> list[list[str]]:
    elements: list[list[str]] = [[]]
    depth = 0
    for part in tokens:
        depth += _DEEPER.get(part, 0)
        if part == "," and depth == 0:
            elements.append([])
        elif elements[-1] or not part.isspace():
            elements[-1].append(part if elements[-1] else part.lstrip())
    return elements


def _end(tokens: Sequence[str], start: int) -> int:
    """Return the place behind the bracket that closes the one at `start`."""
    depth = 0
    for place in range(start, len(tokens)):
        depth += _DEEPER.get(tokens[place], 0)
        if depth == 0:
            return place + 1
    return len(tokens)
